package lease_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

// wisher runs a share of "w" that has wished for one of two items of another's.
func wisher(t *testing.T) (
	store *leasetest.Store, wished string, of *lease.Lease, stop func() error,
) {
	store = leasetest.NewStore("a", "b")
	others := holds(t, store, "other", "a", "b")
	stop = sharing(lease.NewLocker(store), for30s("w"), 0, untilDone)
	time.Sleep(time.Second)
	wished = wishedOf(t, store, "a", "b")
	return store, wished, others[wished], stop
}

func TestHoldShareWithdrawsItsWishesAtItsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, wished, _, stop := wisher(t)
		assert.True(t, stop() == context.Canceled)
		assert.NotContains(t, rowOf(t, store, wished), "WantedBy")
		assert.Equal(t, "other", store.Holder(wished))
		assert.Equal(t, 1, store.Counts().Withdrawals)
	})
}

// The wish that is under way when it ends is withdrawn after it was made.
func TestHoldShareEndsInTheMidstOfAStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a", "b")
		holds(t, store, "other", "a", "b")
		client := &hooked{to: store, want: func(context.Context) error {
			time.Sleep(2 * time.Second)
			return nil
		}}
		stop := sharing(lease.NewLocker(client), for30s("w"), 0, untilDone)
		time.Sleep(time.Second)
		assert.True(t, stop() == context.Canceled)
		assert.Equal(t, 1, store.Counts().Wishes)
		for _, id := range []string{"a", "b"} {
			assert.NotContains(t, rowOf(t, store, id), "WantedBy")
		}
	})
}

func TestHoldShareGivesBackWhatWasHandedOverAtItsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, wished, of, stop := wisher(t)
		require.NoError(t, store.HandOverLease(t.Context(), of, time.Now().Add(time.Minute)))
		require.Equal(t, "w", store.Holder(wished))
		assert.True(t, stop() == context.Canceled)
		assert.Empty(t, store.Holder(wished))
	})
}

func TestHoldShareGivesBackNothingThatANamesakeHas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, wished, of, stop := wisher(t)
		require.NoError(t, store.HandOverLease(t.Context(), of, time.Now().Add(time.Minute)))
		holds(t, store, "w", wished)
		assert.ErrorContains(t, stop(), `1 items of "w" stay leased`)
		assert.Equal(t, "w", store.Holder(wished))
	})
}

func TestHoldShareSaysThatAWishItCouldNotWithdrawMayBeHeeded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, _, _, stop := wisher(t)
		store.SetOutage(true)
		err := stop()
		assert.ErrorIs(t, err, context.Canceled)
		assert.ErrorContains(t, err, `1 items of "w" stay leased`)
	})
}

func TestHoldShareNamesWhatEndedItAndWhatStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a", "b")
		ended := make(chan error)
		go func() {
			work := func(ctx context.Context, l *lease.Lease) error {
				<-ctx.Done()
				store.SetOutage(true) // so that it can't be released
				return nil
			}
			ended <- lease.NewLocker(store).HoldShare(t.Context(), for30s("w"), 0, work)
		}()
		time.Sleep(5 * time.Second)
		holds(t, store, "w", "a")
		err := <-ended
		assert.ErrorIs(t, err, lease.LesseeIDInUseError)
		assert.ErrorContains(t, err, "stay leased")
	})
}
