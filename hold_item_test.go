package lease_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
	"github.com/intercom/lease/leasetest"
)

// holdingItem is a store in memory of some items, and a Locker on it.
type holdingItem struct {
	*testing.T
	*leasetest.Store
	*lease.Locker
	start time.Time
}

// holdItemTest runs a test of HoldItem in imagined time.
func holdItemTest(t *testing.T, test func(h holdingItem)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a", "b", "c")
		test(holdingItem{T: t, Store: store, Locker: lease.NewLocker(store), start: time.Now()})
	})
}

func (h holdingItem) now() time.Duration { return time.Since(h.start) }

// obtains returns when HoldItem had the item, and how it ended, for work that returns at once.
func (h holdingItem) obtains(ctx context.Context, id string) (at time.Duration, err error) {
	err = h.HoldItem(ctx, id, for30s("w1"), func(context.Context, *lease.Lease) error {
		at = h.now()
		return nil
	})
	return at, err
}

// reads is the Counts of so many looks, and no write.
func reads(n int) leasetest.Counts { return leasetest.Counts{Reads: n} }

func TestHoldItemHoldsThatItemAndReleasesIt(t *testing.T) {
	holdItemTest(t, func(h holdingItem) {
		err := h.HoldItem(h.Context(), "b", for30s("w1"), func(ctx context.Context, l *lease.Lease) error {
			assert.Equal(h, "b", l.LeaseID)
			assert.Equal(h, "w1", h.Holder("b"))
			time.Sleep(65 * time.Second) // longer than the lease lasts
			assert.True(h, l.Valid())
			return ctx.Err()
		})
		assert.NoError(h, err)
		assert.NotContains(h, rowOf(h.T, h.Store, "b"), "ProcessID")
		assert.Equal(h, leasetest.Counts{Reads: 1, Leases: 1, Renewals: 6, Releases: 1}, h.Counts())
	})
}

func TestHoldItemEndsAsHoldDoes(t *testing.T) {
	boom := errors.New("boom")
	for name, test := range map[string]func(h holdingItem){
		"work's error is returned as it is": func(h holdingItem) {
			err := h.HoldItem(h.Context(), "a", for30s("w1"), func(context.Context, *lease.Lease) error { return boom })
			assert.True(h, err == boom)
		},
		"a wish ends the work": func(h holdingItem) {
			err := h.HoldItem(h.Context(), "a", for30s("w1"), func(ctx context.Context, _ *lease.Lease) error {
				wish(h.T, h.Store, "a", "w2", time.Minute)
				<-ctx.Done()
				assert.Equal(h, lease.LeaseWantedError, context.Cause(ctx))
				return ctx.Err()
			})
			assert.True(h, err == lease.LeaseWantedError, "got %v", err)
			assert.Equal(h, "w2", h.Holder("a"), "it was handed over")
		},
		"a loss ends the work": func(h holdingItem) {
			err := h.HoldItem(h.Context(), "a", for30s("w1"), func(ctx context.Context, _ *lease.Lease) error {
				h.Steal("a", "w2", time.Minute)
				<-ctx.Done()
				return ctx.Err()
			})
			assert.ErrorIs(h, err, lease.LeaseLostError)
		},
		"a panic releases": func(h holdingItem) {
			assert.PanicsWithValue(h, "boom", func() {
				_ = h.HoldItem(h.Context(), "a", for30s("w1"), func(context.Context, *lease.Lease) error { panic("boom") })
			})
			assert.Empty(h, h.Holder("a"))
		},
	} {
		t.Run(name, func(t *testing.T) { holdItemTest(t, test) })
	}
}

func TestHoldItemLooksEachThirdOfTheDuration(t *testing.T) {
	holdItemTest(t, func(h holdingItem) {
		h.Steal("a", "w2", time.Hour)
		go func() {
			time.Sleep(35 * time.Second)
			h.Steal("a", "w2", -1) // as if it was released
		}()
		at, err := h.obtains(h.Context(), "a")
		assert.NoError(h, err)
		assert.Equal(h, 40*time.Second, at)
		assert.Equal(h, leasetest.Counts{Reads: 5, Leases: 1, Releases: 1}, h.Counts())
		assert.Zero(h, h.Stats().Waiting)
	})
}

func TestHoldItemStrikesAtTheEndOfTheLeaseThatItSees(t *testing.T) {
	holdItemTest(t, func(h holdingItem) {
		h.Steal("a", "w2", 27*time.Second)
		at, err := h.obtains(h.Context(), "a")
		assert.NoError(h, err)
		assert.Greater(h, at, 27*time.Second)
		assert.Less(h, at, 27*time.Second+100*time.Millisecond)
		assert.Equal(h, 4, h.Counts().Reads, "at 0, 10 and 20 s, and at its end")
		assert.Equal(h, 1, h.Counts().Leases)
	})
}

// TestHoldItemOfWhatIsRenewedOftenCostsTwoReadsAPeriod: the end that each look shows is near.
func TestHoldItemOfWhatIsRenewedOftenCostsTwoReadsAPeriod(t *testing.T) {
	holdItemTest(t, func(h holdingItem) {
		brief := worker{"w2", time.Second}
		holder := h.NewClient()
		go func() { _ = lease.NewLocker(holder).HoldItem(h.Context(), "a", brief, untilDone) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(h.Context(), time.Minute-1)
		defer cancel()
		_, err := h.obtains(ctx, "a")
		assert.ErrorIs(h, err, context.DeadlineExceeded)
		assert.Equal(h, reads(12), h.Counts(), "and no write")
	})
}

func TestHoldItemWithADeadlineIsATryLockWithATimeOut(t *testing.T) {
	holdItemTest(t, func(h holdingItem) {
		h.Steal("a", "w2", time.Hour)
		ctx, cancel := context.WithTimeout(h.Context(), 25*time.Second)
		defer cancel()
		go func() {
			time.Sleep(time.Second)
			assert.Equal(h, 1, h.Stats().Waiting)
		}()
		_, err := h.obtains(ctx, "a")
		assert.ErrorIs(h, err, context.DeadlineExceeded)
		assert.EqualError(h, err, `lease: "w1" gave up waiting for "a" in the store *leasetest.Store, `+
			`which "w2" had when it was last seen held: context deadline exceeded`)
		assert.Equal(h, 25*time.Second, h.now())
		assert.Equal(h, reads(3), h.Counts())

		why := errors.New("no more")
		over, stop := context.WithCancelCause(h.Context())
		stop(why)
		_, err = h.obtains(over, "b")
		assert.ErrorIs(h, err, why)
		assert.ErrorIs(h, err, context.Canceled)
		assert.ErrorContains(h, err, `waiting for "b" in the store *leasetest.Store: `)
		assert.Empty(h, h.Holder("b"))
	})
}

func TestHoldItemOfWhatIsNotRegisteredEndsAtOnce(t *testing.T) {
	holdItemTest(t, func(h holdingItem) {
		ctx, cancel := context.WithTimeout(h.Context(), time.Minute)
		defer cancel()
		_, err := h.obtains(ctx, "d")
		assert.ErrorIs(h, err, lease.LeaseIDUnknownError)
		assert.ErrorContains(h, err, `"d"`)
		assert.Zero(h, h.now())

		h.Steal("a", "w2", time.Hour)
		go func() {
			time.Sleep(5 * time.Second)
			h.Retire("a")
		}()
		_, err = h.obtains(ctx, "a")
		assert.ErrorIs(h, err, lease.LeaseIDUnknownError, "retired while it waits")
		assert.Equal(h, 10*time.Second, h.now())
	})
}

func TestHoldItemWaitsErrorsOfTheStoreOut(t *testing.T) {
	for name, spoil := range map[string]func(s *leasetest.Store, on bool){
		"outage": (*leasetest.Store).SetOutage,
		"no access": func(s *leasetest.Store, on bool) {
			s.SetError(nil)
			if on {
				s.SetError(leasetest.AccessDeniedError)
			}
		},
		"replies lost": (*leasetest.Store).SetLoseReplies,
	} {
		t.Run(name, func(t *testing.T) {
			holdItemTest(t, func(h holdingItem) {
				spoil(h.Store, true)
				time.AfterFunc(35*time.Second, func() { spoil(h.Store, false) })
				at, err := h.obtains(h.Context(), "a")
				assert.NoError(h, err)
				assert.Equal(h, 40*time.Second, at)
				assert.Equal(h, int64(4), h.Stats().FailedLooks)
			})
		})
	}
}

func TestHoldItemThatIsCancelledLeavesNothingLeased(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		locker := lease.NewLocker(answeredLate(store, 700*time.Millisecond))
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		err := locker.HoldItem(ctx, "a", for30s("w1"), func(context.Context, *lease.Lease) error {
			t.Error("it works")
			return nil
		})
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Empty(t, store.Holder("a"), "the late lease was released before it returned")
		assert.Zero(t, locker.Stats().Held)
	})
}

// TestHoldItemIsALockAmongGoroutinesAndLockers: of one name and of several.
func TestHoldItemIsALockAmongGoroutinesAndLockers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a", "b")
		var inside, most atomic.Int64
		lock := func(locker *lease.Locker, name string) {
			err := locker.HoldItem(t.Context(), "a", worker{name, 3 * time.Second}, func(ctx context.Context, _ *lease.Lease) error {
				most.Store(max(most.Load(), inside.Add(1)))
				time.Sleep(2 * time.Second)
				inside.Add(-1)
				return ctx.Err()
			})
			assert.NoError(t, err)
		}
		var all sync.WaitGroup
		for _, name := range []string{"w1", "w2", "w3"} {
			locker := lease.NewLocker(store)
			for range 4 {
				all.Go(func() { lock(locker, name) })
			}
		}
		all.Wait()
		assert.Equal(t, int64(1), most.Load())
		assert.Empty(t, store.Holder("a"))
	})
}

func TestHoldItemOfAStoreOfTwoMethodsTriesEachPeriod(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		s.lease = func(id string, until time.Time) (*lease.Lease, error) {
			if time.Since(s.start) < 15*time.Second {
				return nil, lease.LeaseNotObtainedError
			}
			return &lease.Lease{LeaseID: id, Until: until}, nil
		}
		noWork := func(context.Context, *lease.Lease) error { return nil }
		assert.NoError(t, lease.NewLocker(s).HoldItem(t.Context(), "b", for30s("w1"), noWork))
		assert.Equal(t, []call{{0, "b"}, {10 * time.Second, "b"}, {20 * time.Second, "b"}}, s.calls)
	})
}

func TestHoldItemReturnsAtOnceWhatIsWrong(t *testing.T) {
	t.Parallel()
	locker := lease.NewLocker(leasetest.NewStore("a"))
	var none context.Context
	for name, c := range map[string]struct {
		locker  *lease.Locker
		ctx     context.Context
		id      string
		request lease.LeaseRequest
		work    work
		says    string
	}{
		"a Locker of nothing": {nil, t.Context(), "a", for30s("w1"), untilDone, "no store"},
		"no context":          {locker, none, "a", for30s("w1"), untilDone, "context is nil"},
		"no ID":               {locker, t.Context(), "", for30s("w1"), untilDone, "lease ID is empty"},
		"no request":          {locker, t.Context(), "a", nil, untilDone, "LeaseRequest is nil"},
		"no work":             {locker, t.Context(), "a", for30s("w1"), nil, `work to hold "a" for is nil`},
	} {
		t.Run(name, func(t *testing.T) {
			assert.ErrorContains(t, c.locker.HoldItem(c.ctx, c.id, c.request, c.work), c.says)
		})
	}
}

// TestHoldItemOfATableThatDoesNotFitEndsAtOnce: no waiting would make it good.
func TestHoldItemOfATableThatDoesNotFitEndsAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixtureOn(t, ddblocal.ForTest(t).Endpoint, "id")
	f.createTable("other:S")
	err := lease.NewLocker(f.LockStore).HoldItem(within(t, aWhile), "a", for30s("w1"), untilDone)
	require.ErrorContains(t, err, `hash key "other"; want "id"`)
}
