package lease_test

import (
	"context"
	"math"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
)

// obtained returns a lease of 10 s of a two-method store, obtained just now.
func obtained(t *testing.T) *lease.Lease {
	t.Helper()
	l, err := lease.NewLocker(newScript("a")).ObtainLease(worker{"w1", 10 * time.Second})
	require.NoError(t, err)
	return l
}

func TestLeaseEndsATenthBeforeItsRowDoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := obtained(t)
		ctx := l.Context()
		time.Sleep(9*time.Second - 1)
		synctest.Wait()
		assert.NoError(t, ctx.Err())
		assert.True(t, l.Valid())
		assert.Equal(t, time.Duration(1), l.Remaining())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		assert.Error(t, ctx.Err())
		assert.Equal(t, lease.LeaseExpiredError, context.Cause(ctx))
		assert.False(t, l.Valid())
		assert.Zero(t, l.Remaining())
	})
}

func TestLeaseCopiesShareTheTenure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := obtained(t)
		other := *l
		assert.True(t, l.Context() == other.Context())
		locker := lease.NewLocker(newScript("a"))
		assert.ErrorIs(t, locker.ReleaseLease(&other), lease.ReleaseUnsupportedError)
		assert.False(t, l.Valid())
		assert.Equal(t, lease.LeaseReleasedError, context.Cause(l.Context()))
		assert.ErrorIs(t, locker.ReleaseLease(l), lease.ReleaseUnsupportedError, "it is still leased")
	})
}

func TestLeaseThatIsALiteralAnswersFromUntil(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := lease.Lease{
			LeaseID:         "a",
			Until:           time.Now().Add(10 * time.Second),
			AttributeValues: row{"FencingToken": num(3)},
		}
		ctx := l.Context()
		time.Sleep(10*time.Second - 1)
		synctest.Wait()
		assert.True(t, l.Valid())
		assert.Equal(t, time.Duration(1), l.Remaining())
		assert.NoError(t, ctx.Err())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		assert.False(t, l.Valid())
		assert.Zero(t, l.Remaining())
		assert.Equal(t, lease.LeaseExpiredError, context.Cause(ctx))
		assert.Equal(t, int64(3), l.FencingToken())
		time.Sleep(time.Hour)
		assert.Zero(t, l.Remaining())
	})
	var none *lease.Lease
	assert.False(t, none.Valid())
	assert.Zero(t, none.FencingToken())
	assert.Error(t, none.Context().Err())
	assert.False(t, (&lease.Lease{}).Valid())
}

func TestLeaseThatIsALiteralHasOneContext(t *testing.T) {
	l := &lease.Lease{LeaseID: "a", Request: for30s("w1"), Until: time.Now().Add(time.Hour)}
	first := l.Context()
	inUse := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := inUse()
	for range 20_000 {
		if l.Context() != first {
			t.Fatal("another context")
		}
	}
	assert.Less(t, inUse()-before, int64(1<<20))
	runtime.KeepAlive(l)
}

func TestLeaseRequestOfOver100YearsIsRefused(t *testing.T) {
	t.Parallel()
	const years = 100 * 365 * 24 * time.Hour
	f := newFixture(t, "a")
	locker := lease.NewLocker(f.LockStore)
	for _, d := range []time.Duration{years + 1, 1 << 62, math.MaxInt64} {
		for _, call := range []func() error{
			func() error { _, err := locker.ObtainLease(worker{"w1", d}); return err },
			func() error {
				_, err := locker.WaitUntilLeaseObtainedWithContext(within(t, aWhile), worker{"w1", d}, time.Second)
				return err
			},
			func() error { _, err := f.Lease("a", worker{"w1", d}, time.Now().Add(time.Minute)); return err },
			func() error {
				l := &lease.Lease{LeaseID: "a", Request: worker{"w1", d}}
				return locker.HeartbeatWithContext(within(t, aWhile), l, time.Millisecond)
			},
		} {
			assert.ErrorContains(t, call(), "100 years")
		}
	}
	assert.Zero(t, f.count())
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		locker := lease.NewLocker(s)
		l, err := locker.ObtainLease(worker{"w1", years})
		require.NoError(t, err)
		assert.Equal(t, years/10*9, l.Remaining())
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		assert.ErrorIs(t, locker.HeartbeatWithContext(ctx, l, 3*time.Second), context.DeadlineExceeded)
		assert.Len(t, s.beats(), 3)
	})
}
