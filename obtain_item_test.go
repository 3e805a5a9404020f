package lease_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
	"github.com/intercom/lease/leasetest"
)

func TestObtainItemLeasesThatItemAndNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore(ids(5)...)
		locker := lease.NewLocker(store)
		l, err := locker.ObtainItem(t.Context(), "item-3", for30s("w1"))
		require.NoError(t, err)
		assert.Equal(t, "item-3", l.LeaseID)
		assert.Equal(t, int64(1), l.FencingToken())
		assert.Equal(t, 27*time.Second, l.Remaining())
		assert.Equal(t, leasetest.Counts{Reads: 1, Leases: 1}, store.Counts())
		assert.Equal(t, int64(1), locker.Stats().Looks)
		assert.NoError(t, locker.ReleaseLease(l))
	})
}

func TestObtainItemSendsNoWriteWhereItIsHeld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a", "b")
		store.Steal("a", "w2", time.Minute)
		locker := lease.NewLocker(store)
		l, err := locker.ObtainItem(t.Context(), "a", for30s("w1"))
		assert.Nil(t, l)
		assert.True(t, err == lease.LeaseNotObtainedError, "got %v", err)
		assert.Equal(t, leasetest.Counts{Reads: 1}, store.Counts())

		time.Sleep(time.Minute) // Its lease ends now, and at its end it is held.
		_, err = locker.ObtainItem(t.Context(), "a", for30s("w1"))
		assert.True(t, err == lease.LeaseNotObtainedError, "got %v", err)
		time.Sleep(time.Nanosecond)
		_, err = locker.ObtainItem(t.Context(), "a", for30s("w1"))
		assert.NoError(t, err)
	})
}

func TestObtainItemOfWhatIsNotRegisteredSaysSo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		locker := lease.NewLocker(store)
		_, err := locker.ObtainItem(t.Context(), "b", for30s("w1"))
		assert.ErrorIs(t, err, lease.LeaseIDUnknownError)
		assert.ErrorContains(t, err, `"b"`)
		assert.Zero(t, store.Counts().Leases)
		stats := locker.Stats()
		assert.Equal(t, int64(1), stats.Looks, "it was answered")
		assert.Zero(t, stats.FailedLooks)
	})
}

// TestObtainItemTakesNoItemOfItsOwnLocker: goroutines that share a name would hold it together.
func TestObtainItemTakesNoItemOfItsOwnLocker(t *testing.T) {
	t.Parallel()
	for name, heartbeats := range map[string]bool{"renewed": true, "not renewed yet": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := leasetest.NewStore("a")
				locker := lease.NewLocker(store)
				l, err := locker.ObtainItem(t.Context(), "a", for30s("w1"))
				require.NoError(t, err)
				if heartbeats {
					go func() { _ = locker.Heartbeat(l, 10*time.Second) }()
				}
				synctest.Wait()
				_, err = locker.ObtainItem(t.Context(), "a", for30s("w1"))
				assert.True(t, err == lease.LeaseNotObtainedError, "got %v", err)
				assert.Equal(t, 2, store.Counts().Requests(), "and asks nobody")
				require.NoError(t, locker.ReleaseLease(l))
				again, err := locker.ObtainItem(t.Context(), "a", for30s("w1"))
				require.NoError(t, err)
				assert.Equal(t, int64(2), again.FencingToken())
				require.NoError(t, locker.ReleaseLease(again))
			})
		})
	}
}

// TestObtainItemTakesItsOwnRowAfterARestart: and keeps it from others for as long as the process
// before may rely on it.
func TestObtainItemTakesItsOwnRowAfterARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		older, err := lease.NewLocker(store).ObtainItem(t.Context(), "a", for30s("w1"))
		require.NoError(t, err)
		time.Sleep(time.Second)
		restarted := lease.NewLocker(store)
		l, err := restarted.ObtainItem(t.Context(), "a", worker{"w1", time.Minute})
		require.NoError(t, err)
		require.NoError(t, restarted.ReleaseLease(l))
		other := lease.NewLocker(store)
		_, err = other.ObtainItem(t.Context(), "a", for30s("w2"))
		assert.True(t, err == lease.LeaseNotObtainedError, "got %v", err)
		time.Sleep(time.Until(older.Until) + 1)
		_, err = other.ObtainItem(t.Context(), "a", for30s("w2"))
		assert.NoError(t, err)
	})
}

func TestObtainItemThatIsLostToAnotherMeanwhileIsNotObtained(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		crowded := &hooked{to: store, hook: func(context.Context, lease.LeaseItem) error {
			store.Steal("a", "w2", time.Minute)
			return nil
		}}
		locker := lease.NewLocker(crowded)
		_, err := locker.ObtainItem(t.Context(), "a", for30s("w1"))
		assert.True(t, err == lease.LeaseNotObtainedError, "got %v", err)
		assert.Equal(t, int64(1), locker.Stats().RacesLost)
		assert.Equal(t, "w2", store.Holder("a"))
	})
}

func TestObtainItemWaitsForNoReplyLongerThanItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		store.SetHang(true)
		locker := lease.NewLocker(store)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := locker.ObtainItem(ctx, "a", for30s("w1"))
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, `read of "a"`)

		begun := time.Now()
		_, err = locker.ObtainItem(t.Context(), "a", for30s("w1"))
		assertUnanswered(t, err, `the read of "a"`)
		assert.Equal(t, 30*time.Second, time.Since(begun))
		assert.Equal(t, int64(1), locker.Stats().FailedLooks)
		store.SetHang(false)
		synctest.Wait()
		assert.Zero(t, locker.Stats().Held)
	})
}

func TestObtainItemReturnsAtOnceWhatIsWrong(t *testing.T) {
	t.Parallel()
	locker := lease.NewLocker(leasetest.NewStore("a"))
	var none context.Context
	for name, c := range map[string]struct {
		locker  *lease.Locker
		ctx     context.Context
		id      string
		request lease.LeaseRequest
		says    string
	}{
		"a Locker of nothing": {nil, t.Context(), "a", for30s("w1"), "no store"},
		"no context":          {locker, none, "a", for30s("w1"), "context is nil"},
		"no ID":               {locker, t.Context(), "", for30s("w1"), "lease ID is empty"},
		"no text as ID":       {locker, t.Context(), "\xff", for30s("w1"), "UTF-8"},
		"no request":          {locker, t.Context(), "a", nil, "LeaseRequest is nil"},
		"no name":             {locker, t.Context(), "a", for30s(""), "LesseeID is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.locker.ObtainItem(c.ctx, c.id, c.request)
			assert.ErrorContains(t, err, c.says)
		})
	}
}

// The stores that can't read one item.

func TestObtainItemLooksThroughTheScansOfAStoreThatReadsNoOneItem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore(ids(10)...)
		store.SetPageSize(3)
		locker := lease.NewLocker(&hooked{to: store})
		for _, id := range ids(10) {
			l, err := locker.ObtainItem(t.Context(), id, for30s("w1"))
			require.NoError(t, err)
			assert.Equal(t, id, l.LeaseID)
		}
		assert.Zero(t, store.Counts().Reads)
		assert.Equal(t, 10, store.Counts().Leases)

		_, err := locker.ObtainItem(t.Context(), "item-10", for30s("w1"))
		assert.ErrorIs(t, err, lease.LeaseIDUnknownError)
		assert.ErrorContains(t, err, `"item-10" in the store *lease_test.hooked`)
		_, err = lease.NewLocker(&hooked{to: store}).ObtainItem(t.Context(), "item-3", for30s("w2"))
		assert.True(t, err == lease.LeaseNotObtainedError, "got %v", err)
		assert.Equal(t, 10, store.Counts().Leases)
	})
}

func TestObtainItemOfAStoreOfTwoMethodsIsLeasedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		locker := lease.NewLocker(s)
		l, err := locker.ObtainItem(t.Context(), "b", for30s("w1"))
		require.NoError(t, err)
		assert.Equal(t, "b", l.LeaseID)
		assert.Equal(t, []call{{0, "b"}}, s.calls)
		assert.Zero(t, locker.Stats().Looks)

		s.lease = held
		_, err = locker.ObtainItem(t.Context(), "a", for30s("w1"))
		assert.True(t, err == lease.LeaseNotObtainedError, "got %v", err)
		assert.Zero(t, locker.Stats().RacesLost)
		boom := errors.New("boom")
		s.lease = func(string, time.Time) (*lease.Lease, error) { return nil, boom }
		_, err = locker.ObtainItem(t.Context(), "a", for30s("w1"))
		assert.ErrorIs(t, err, boom)
	})
}

// On DynamoDB.

func TestObtainItemCostsAReadAndAWrite(t *testing.T) {
	t.Parallel()
	f := newFixture(t, ids(50)...)
	locker := lease.NewLocker(f.LockStore)
	l, err := locker.ObtainItem(t.Context(), "item-7", for30s("w1"))
	require.NoError(t, err)
	assert.Equal(t, "item-7", l.LeaseID)
	assert.Equal(t, 1, f.count("GetItem"))
	assert.Equal(t, 1, f.count("UpdateItem"))
	assert.Equal(t, 2, f.count())
	_, err = lease.NewLocker(f.LockStore).ObtainItem(t.Context(), "item-7", for30s("w2"))
	assert.True(t, err == lease.LeaseNotObtainedError, "got %v", err)
	assert.Equal(t, 1, f.count("UpdateItem"))
	assert.InDelta(t, 2, f.rcu, 0)
	assert.InDelta(t, 1, f.wcu, 0)
	_, err = locker.ObtainItem(t.Context(), "item-50", for30s("w1"))
	assert.ErrorIs(t, err, lease.LeaseIDUnknownError)
	assert.ErrorContains(t, err, `"item-50" in table "`+f.table)
}

func TestObtainItemOfARowThatNobodyCanLeaseSaysWhy(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.put(row{"id": str("a"), "LeaseUntil": str("soon")})
	_, err := lease.NewLocker(f.LockStore).ObtainItem(t.Context(), "a", for30s("w1"))
	assert.ErrorContains(t, err, `the row of "a"`)
	assert.Zero(t, f.count("UpdateItem"))
}

func TestObtainItemOfATableThatDoesNotFitSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, keys := range map[string][]string{
		"another hash key": {"other:S"}, "a number": {"id:N"}, "a sort key": {"id:S", "part:S"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixtureOn(t, ddblocal.ForTest(t).Endpoint, "id")
			f.createTable(keys...)
			_, err := lease.NewLocker(f.LockStore).ObtainItem(t.Context(), "a", for30s("w1"))
			assert.ErrorContains(t, err, "table \""+f.table+"\" has the")
		})
	}
}
