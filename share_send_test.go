package lease_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

// ofEarlier are so many items that a process of the name "w" has held before.
func ofEarlier(t *testing.T, n int) *leasetest.Store {
	store := leasetest.NewStore(ids(n)...)
	holds(t, store, "w", ids(n)...)
	return store
}

// holds leases items to a lessee for an hour, which no Locker looks after.
func holds(t *testing.T, store *leasetest.Store, lessee string, ids ...string) map[string]*lease.Lease {
	leases := make(map[string]*lease.Lease)
	for _, id := range ids {
		l, err := store.Lease(id, worker{lessee, time.Hour}, time.Now().Add(time.Hour))
		require.NoError(t, err)
		leases[id] = l
	}
	return leases
}

// One of the first wave fails, as the last of it: the store has answered all the same.
func TestHoldShareGoesOnWhereSomeRequestsOfAWaveFail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		store := &hooked{to: ofEarlier(t, 40), hook: func(context.Context, lease.LeaseItem) error {
			if calls.Add(1) > 1 {
				return nil
			}
			time.Sleep(time.Second)
			return throttled
		}}
		locker := lease.NewLocker(store)
		stop := sharing(locker, for30s("w"), 0, untilDone)
		time.Sleep(1100 * time.Millisecond)
		assert.EqualValues(t, 39, locker.Stats().Held)
		assert.ErrorIs(t, stop(), context.Canceled)
	})
}

// What wasn't sent hasn't failed.
func TestHoldShareTriesTheUnsentAtItsNextLook(t *testing.T) {
	t.Parallel()
	for range 5 { // A look may come when what has failed rests no more.
		synctest.Test(t, func(t *testing.T) {
			var calls atomic.Int32
			store := &hooked{to: ofEarlier(t, 40), hook: func(context.Context, lease.LeaseItem) error {
				if calls.Add(1) <= 16 {
					return throttled
				}
				return nil
			}}
			locker := lease.NewLocker(store)
			stop := sharing(locker, for30s("w"), 0, untilDone)
			for locker.Stats().Held < 24 {
				time.Sleep(100 * time.Millisecond)
			}
			assert.Equal(t, 2, store.to.Counts().Scans)
			assert.ErrorIs(t, stop(), context.Canceled)
		})
	}
}

func TestHoldShareWishesForNothingAtItsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore(ids(400)...)
		for i, id := range ids(400) {
			holds(t, store, ids(20)[i/20], id)
		}
		var wishes atomic.Int32
		client := &hooked{to: store, want: func(context.Context) error {
			wishes.Add(1)
			time.Sleep(2 * time.Second)
			return nil
		}}
		stop := sharing(lease.NewLocker(client), for30s("w"), 0, untilDone)
		time.Sleep(time.Second)
		assert.True(t, stop() == context.Canceled)
		assert.EqualValues(t, 16, wishes.Load(), "and no second wave")
	})
}

func TestHoldShareTakesNobodyForDeafWhoseWishFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var once atomic.Bool
		w2, stop := wishing(t, func(context.Context) error {
			if once.Swap(true) {
				return nil
			}
			return throttled
		})
		time.Sleep(30 * time.Second)
		assert.EqualValues(t, 2, w2.Stats().Held)
		assert.True(t, stop() == context.Canceled)
	})
}

func TestHoldShareForgetsAWishThatWasRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a", "b")
		holds(t, store, "other", "a", "b")
		refuse := func(context.Context) error { return lease.LeaseNotObtainedError }
		stop := sharing(lease.NewLocker(&hooked{to: store, want: refuse}), for30s("w"), 0, untilDone)
		time.Sleep(time.Second)
		assert.True(t, stop() == context.Canceled)
		assert.Zero(t, store.Counts().Withdrawals)
	})
}

// It is at its limit by an own row that it came upon.
// wishedOf returns which one of the items "w" wishes for.
func wishedOf(t *testing.T, store *leasetest.Store, ids ...string) (wished string) {
	t.Helper()
	for _, id := range ids {
		if by := rowOf(t, store, id)["WantedBy"]; by != nil && *by.S == "w" {
			wished = id
		}
	}
	require.NotEmpty(t, wished)
	return wished
}
