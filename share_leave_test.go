package lease_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

// calling is a logger that calls a function with each event.
type calling func(event string)

func (c calling) LogInfoMessage(event string, _ ...interface{})  { c(event) }
func (c calling) LogErrorMessage(event string, _ ...interface{}) { c(event) }

// TestHoldShareThatEndsWhileItLogsWithdrawsItsWishes: nothing else is under way then.
func TestHoldShareThatEndsWhileItLogsWithdrawsItsWishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore(ids(6)...)
		original := store.NewClient()
		for _, id := range ids(6)[1:] {
			_, err := original.Lease(id, worker{"deaf", time.Hour}, time.Now().Add(time.Hour))
			require.NoError(t, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		lease.SetLogger(calling(func(event string) {
			if event == "Work Ended" {
				cancel()
			}
		}))
		defer lease.SetLogger(nil)
		client := store.NewClient()
		locker := lease.NewLocker(client)
		work := func(ctx context.Context, _ *lease.Lease) error {
			time.Sleep(time.Minute)
			return nil
		}
		err := locker.HoldShare(ctx, worker{"brief", shareD}, 0, work)
		assert.True(t, err == context.Canceled, "got %v", err)
		assert.Equal(t, 1, client.Counts().Wishes)
		items, _, err := store.ScanLeaseItems("", 0)
		require.NoError(t, err)
		for _, item := range items {
			assert.Empty(t, item.WantedBy, item.LeaseID)
		}
	})
}

func TestHoldShareThatEndsWithdrawsAWishThatWasNotAnswered(t *testing.T) {
	t.Parallel()
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			store := leasetest.NewStore(ids(6)...)
			for _, id := range ids(6) {
				_, err := store.Lease(id, worker{"deaf", time.Hour}, time.Now().Add(time.Hour))
				require.NoError(t, err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			client := &hooked{to: store.NewClient(), wished: func(ctx context.Context) error {
				time.AfterFunc(time.Second, cancel)
				<-ctx.Done()
				return ctx.Err()
			}}
			err := lease.NewLocker(client).HoldShare(ctx, worker{"brief", shareD}, 0, untilDone)
			items, _, _ := store.ScanLeaseItems("", 0)
			wished := 0
			for _, item := range items {
				if item.WantedBy == "brief" {
					wished++
				}
			}
			if err == context.Canceled {
				assert.Zero(t, wished, "wishes stay, and the error is %v", err)
			}
		})
	}
}

// TestHoldShareNamesWhatStaysLeasedAfterItsTenureWasOver: its row ends a tenth of the lease later.
func TestHoldShareNamesWhatStaysLeasedAfterItsTenureWasOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		stop := sharing(lease.NewLocker(store), worker{"w1", time.Hour}, 0, untilDone)
		time.Sleep(time.Minute)
		end := asSeen(t, store, "a").Until
		store.SetHang(true)
		time.Sleep(time.Until(end) - 3*time.Minute)
		err := stop()
		require.True(t, time.Now().Before(end))
		assert.ErrorContains(t, err, `1 items of "w1" stay leased until`)
	})
}

func TestHoldShareDoesNotNameWhatItHasLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a", "b")
		lost := make(chan struct{})
		stop := sharing(lease.NewLocker(store), for30s("w1"), 0, func(ctx context.Context, l *lease.Lease) error {
			<-ctx.Done()
			if l.LeaseID == "a" {
				close(lost)
			}
			return nil
		})
		time.Sleep(20 * time.Second)
		store.Steal("a", "thief", time.Hour)
		<-lost
		store.SetOutage(true) // before a look shows whose it is
		time.Sleep(time.Millisecond)
		assert.ErrorContains(t, stop(), `1 items of "w1" stay leased until`)
	})
}

// TestHoldShareBesideALeaseOfItsOwnLockerFindsNoNamesake: who lost an item may hold it again by
// another method.
func TestHoldShareBesideALeaseOfItsOwnLockerFindsNoNamesake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		locker := lease.NewLocker(store)
		r := worker{"w1", shareD}
		stop := sharing(locker, r, 0, untilDone)
		time.Sleep(time.Minute)
		store.Steal("a", "thief", 15*time.Second)
		time.Sleep(11 * time.Second)                // It has learned of that,
		store.Steal("a", "thief", time.Millisecond) // and looks again when the first theft ends.
		time.Sleep(2 * time.Millisecond)
		l, err := locker.ObtainLease(r)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		assert.ErrorIs(t, locker.HeartbeatWithContext(ctx, l, shareP), context.DeadlineExceeded)
		require.NoError(t, locker.ReleaseLease(l))
		assert.Zero(t, locker.Stats().Namesakes)
		assert.True(t, stop() == context.Canceled)
	})
}

// TestHoldShareTakesBackWhatItLostByAHandover: no namesake has leased it.
func TestHoldShareTakesBackWhatItLostByAHandover(t *testing.T) {
	t.Parallel()
	simulate(t, 12, func(f *simulation) {
		f.startAll(2, 0)
		f.until("level", time.Minute, f.level)
		time.Sleep(time.Minute)
		f.workers["w0"].client.OutageFor(45 * time.Second)
		f.until("all w1's", time.Minute, func() bool { return f.has("w1") == 12 })
		f.until("level", 3*time.Minute, f.level)
		time.Sleep(5 * time.Minute)
		assert.Zero(f, f.workers["w0"].locker.Stats().Namesakes)
		assert.True(f, f.level())
	})
}

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

// TestHoldShareThatEndsBeforeItUsesWhatALookShowedNamesNothingItGaveBack: its own row, after a
// restart, and one that was handed over to it.
func TestHoldShareThatEndsBeforeItUsesWhatALookShowedNamesNothingItGaveBack(t *testing.T) {
	t.Parallel()
	for _, isLate := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			store := leasetest.NewStore(ids(40)...)
			holds(t, store, "w", ids(40)...)
			ctx, cancel := context.WithCancel(t.Context())
			var asked sync.Once
			client := &hooked{to: store, hook: func(context.Context, lease.LeaseItem) error {
				if isLate {
					defer time.Sleep(time.Second)
				}
				asked.Do(func() { time.AfterFunc(time.Millisecond, cancel) })
				time.Sleep(time.Millisecond)
				return nil
			}}
			err := lease.NewLocker(client).HoldShare(ctx, for30s("w"), 0, untilDone)
			stay := 0
			for _, id := range ids(40) {
				if store.Holder(id) == "w" {
					stay++
				}
			}
			require.Positive(t, stay, "those of the next waves")
			assert.ErrorContains(t, err, fmt.Sprintf("%d items of \"w\" stay leased", stay))
		})
		synctest.Test(t, func(t *testing.T) {
			store := leasetest.NewStore("a", "b")
			others := holds(t, store, "other", "a", "b")
			ctx, cancel := context.WithCancel(t.Context())
			client := &hooked{to: store, hook: func(context.Context, lease.LeaseItem) error {
				cancel()
				if isLate {
					return nil
				}
				return lease.LeaseNotObtainedError
			}}
			time.AfterFunc(time.Second, func() {
				of := others[wishedOf(t, store, "a", "b")]
				assert.NoError(t, store.HandOverLease(ctx, of, time.Now().Add(time.Minute)))
			})
			err := lease.NewLocker(client).HoldShare(ctx, for30s("w"), 0, untilDone)
			assert.True(t, err == context.Canceled, "got %v", err)
			assert.Equal(t, "other", store.Holder("a")+store.Holder("b"))
		})
	}
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
				if l.LeaseID == "b" { // It ends with the share, and so can't be released.
					store.SetOutage(true)
				}
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
