package lease_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
	"github.com/intercom/lease/leasetest"
)

func TestNewLockerHeedsTheLeaseOfAStoreThatEmbedsOurs(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	e := &embedder{LockStore: f.LockStore, limit: 3}
	locker := lease.NewLocker(e)
	f.put(row{"id": str("bad"), "LeaseUntil": str("soon")}) // stops nobody
	l, err := locker.ObtainLease(for30s("w1"))
	require.NoError(t, err)
	assert.Equal(t, "a", l.LeaseID)
	e.leased.Store(1)
	assert.True(t, locker.Heartbeat(l, 10*time.Millisecond) == errEnough)
	assert.Equal(t, int64(4), e.leased.Load(), "renewals too")
}

func TestNewLockerOfANilPointerIsAnError(t *testing.T) {
	t.Parallel()
	assert.NotPanics(t, func() {
		locker := lease.NewLocker((*embedder)(nil))
		_, err := locker.ObtainLease(for30s("w1"))
		assert.ErrorContains(t, err, "nil")
		assert.Error(t, locker.ReleaseLease(&lease.Lease{LeaseID: "a", Request: for30s("w1")}))
		_, err = lease.NewLocker((*script)(nil)).ObtainLease(for30s("w1"))
		assert.ErrorContains(t, err, "nil")
	})
}

func TestLockerReturnsAtOnceWhatNoWaitingMakesGood(t *testing.T) {
	defer func(s *lease.LockStore) { lease.GlobalLockStore = s }(lease.GlobalLockStore)
	lease.GlobalLockStore = nil
	table := func(key string, r row) func(*testing.T) *lease.Locker {
		return func(t *testing.T) *lease.Locker {
			f := newFixtureOn(t, ddblocal.ForTest(t).Endpoint, "id")
			f.createTable(key)
			if r != nil {
				f.put(r)
			}
			return lease.NewLocker(f.LockStore)
		}
	}
	of := func(locker *lease.Locker) func(*testing.T) *lease.Locker {
		return func(*testing.T) *lease.Locker { return locker }
	}
	for name, c := range map[string]struct {
		locker func(*testing.T) *lease.Locker
		says   string
	}{
		"the global store before its setup":       {of(lease.NewLocker(lease.GlobalLockStore)), "SetupLockStoreGlobal"},
		"no store":                                {of(lease.NewLocker(nil)), "store"},
		"a zero Locker":                           {of(&lease.Locker{}), "store"},
		"a zero store":                            {of(lease.NewLocker(&lease.LockStore{})), "DynamoDB is nil"},
		"an embedder of no store":                 {of(lease.NewLocker(&embedder{})), "LockStore is nil"},
		"a hash key of another name":              {table("other:S", row{"other": str("a")}), `"id"`},
		"a hash key of another type":              {table("id:N", row{"id": num(1)}), "type N"},
		"an empty table's key of another name":    {table("other:S", nil), `hash key "other"`},
		"an empty table's hash key of type N":     {table("id:N", nil), "type N"},
		"an embedder of a store that doesn't fit": {func(t *testing.T) *lease.Locker { return embedding(t) }, "type B"},
	} {
		t.Run(name, func(t *testing.T) {
			logger := record(t)
			locker := c.locker(t)
			soon(t, func() {
				assert.Nil(t, locker.WaitUntilLeaseObtained(for30s("w1"), time.Second))
				refused := logger.named("Lease Request Refused")
				require.Len(t, refused, 1)
				assert.Equal(t, "error", refused[0].level)
				assert.ErrorContains(t, refused[0].keyvals["error"].(error), c.says)
			})
			soon(t, func() {
				_, err := locker.ObtainLease(for30s("w1"))
				assert.ErrorContains(t, err, c.says)
				l, err := locker.WaitUntilLeaseObtainedWithContext(context.Background(), for30s("w1"), time.Second)
				assert.Nil(t, l)
				assert.ErrorContains(t, err, c.says)
				err = locker.Hold(context.Background(), for30s("w1"), func(context.Context, *lease.Lease) error { return nil })
				assert.ErrorContains(t, err, c.says)
			})
		})
	}
}

func embedding(t *testing.T) *lease.Locker {
	f := newFixtureOn(t, ddblocal.ForTest(t).Endpoint, "id")
	f.createTable("id:B")
	return lease.NewLocker(&embedder{LockStore: f.LockStore})
}

func TestLockerLeavesNoGoroutine(t *testing.T) {
	f := newFixture(t, "a")
	f.transport.DisableKeepAlives = true
	f.transport.CloseIdleConnections()
	before := goleak.IgnoreCurrent()
	locker := lease.NewLocker(f.LockStore)
	l, err := locker.ObtainLease(for30s("w1"))
	require.NoError(t, err)
	_, err = locker.WaitUntilLeaseObtainedWithContext(within(t, 30*time.Millisecond), for30s("w2"), time.Second)
	require.Error(t, err)
	require.Error(t, locker.HeartbeatWithContext(within(t, 30*time.Millisecond), l, 10*time.Millisecond))
	require.NoError(t, locker.ReleaseLease(l))
	require.NoError(t, locker.Hold(context.Background(), for30s("w1"), func(context.Context, *lease.Lease) error { return nil }))
	var left error
	eventually(t, "no goroutine is left", func() bool {
		left = goleak.Find(before)
		return left == nil
	})
	assert.NoError(t, left)
}

// TestLockerLeavesNoGoroutineBesideStuckWork: HoldShare has returned, and its work hangs on; when
// that returns nothing is left.
func TestLockerLeavesNoGoroutineBesideStuckWork(t *testing.T) {
	before := goleak.IgnoreCurrent()
	hung := newHungWork(promising(10 * time.Millisecond))
	stop := sharing(lease.NewLocker(leasetest.NewStore("a")), for30s("w"), 0, hung.work)
	eventually(t, "stuck", func() bool {
		_, ctx, _ := hung.seen()
		return ctx != nil && ctx.Err() != nil
	})
	require.ErrorIs(t, stop(), lease.LeaseStuckError)
	isHung := goleak.IgnoreAnyFunction("github.com/intercom/lease_test.(*hungWork).work")
	var left error
	eventually(t, "only the work is left", func() bool {
		left = goleak.Find(before, isHung)
		return left == nil
	})
	assert.NoError(t, left)
	assert.Error(t, goleak.Find(before), "it hangs on")
	close(hung.free)
	eventually(t, "no goroutine is left", func() bool { return goleak.Find(before) == nil })
}
