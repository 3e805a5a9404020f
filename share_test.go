package lease_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
	"github.com/intercom/lease/leasetest"
)

func TestHoldShareRefusesWhatNoWaitingMakesGood(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	misfit := newFixtureOn(t, ddblocal.ForTest(t).Endpoint, "id")
	misfit.createTable("other:S")
	denied := leasetest.NewStore("a")
	denied.SetError(leasetest.AccessDeniedError)
	ctx, w1 := t.Context(), for30s("w1")
	work := func(context.Context, *lease.Lease) error {
		t.Error("work ran")
		return nil
	}
	f.reset()
	good := lease.NewLocker(f.LockStore)
	of := lease.NewLocker
	for says, call := range map[string]func() error{
		"most is -1":              func() error { return good.HoldShare(ctx, w1, -1, work) },
		"work":                    func() error { return good.HoldShare(ctx, w1, 0, nil) },
		"context is nil":          func() error { return good.HoldShare(nil, w1, 0, work) }, //lint:ignore SA1012 what is tested
		"LeaseRequest is nil":     func() error { return good.HoldShare(ctx, nil, 0, work) },
		"LesseeID is empty":       func() error { return good.HoldShare(ctx, for30s(""), 0, work) },
		"LeaseDuration is 0s":     func() error { return good.HoldShare(ctx, worker{"w1", 0}, 0, work) },
		"LeaseDuration is 30ns":   func() error { return good.HoldShare(ctx, worker{"w1", 30}, 0, work) },
		"no store":                func() error { return of(nil).HoldShare(ctx, w1, 0, work) },
		"NewLocker":               func() error { return (&lease.Locker{}).HoldShare(ctx, w1, 0, work) },
		`hash key "other"`:        func() error { return of(misfit.LockStore).HoldShare(ctx, w1, 0, work) },
		"AccessDeniedException":   func() error { return of(denied).HoldShare(ctx, w1, 0, work) },
		"SetupLockStoreGlobal":    func() error { return of((*lease.LockStore)(nil)).HoldShare(ctx, w1, 0, work) },
		"DynamoDB is nil, or was": func() error { return of(&lease.LockStore{}).HoldShare(ctx, w1, 0, work) },
	} {
		soon(t, func() { assert.ErrorContains(t, call(), says) })
	}
	assert.Zero(t, f.count())
}

func TestHoldShareEndsAtAMisfitTableThatItMeetsLater(t *testing.T) {
	t.Parallel()
	misfit := newFixtureOn(t, ddblocal.ForTest(t).Endpoint, "id")
	misfit.createTable("other:S")
	var sent atomic.Int32
	s := misfit.through(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			if sent.Add(1) == 1 {
				return nil, io.ErrUnexpectedEOF
			}
			return next.RoundTrip(r)
		})
	})
	s.DynamoDB.Config.MaxRetries = aws.Int(0)
	soon(t, func() {
		err := lease.NewLocker(s).HoldShare(t.Context(), worker{"w", time.Second}, 0, untilDone)
		assert.ErrorContains(t, err, `hash key "other"`)
	})
}

func TestHoldShareOfADoneContextSendsNothing(t *testing.T) {
	t.Parallel()
	store := leasetest.NewStore("a")
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	soon(t, func() {
		err := lease.NewLocker(store).HoldShare(ctx, for30s("w1"), 0, untilDone)
		assert.True(t, err == cause, "got %v", err)
	})
	assert.Zero(t, store.Counts().Requests())
}

func TestHoldShareWaitsOutAnOutageOfTheFirstLook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a", "b")
		store.OutageFor(time.Minute)
		stop := sharing(lease.NewLocker(store), for30s("w1"), 0, untilDone)
		time.Sleep(time.Minute + 15*time.Second)
		assert.Equal(t, "w1", store.Holder("a"))
		assert.Equal(t, "w1", store.Holder("b"))
		store.SetError(leasetest.AccessDeniedError) // later looks wait out all
		time.Sleep(15 * time.Second)
		store.SetError(nil)
		time.Sleep(time.Minute)
		assert.Equal(t, "w1", store.Holder("a"))
		assert.ErrorIs(t, stop(), context.Canceled)
		assert.Empty(t, store.Holder("a")+store.Holder("b"))
	})
}

func TestHoldShareTriesItsFirstLookAgainSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := leasetest.NewStore("a")
		s.OutageFor(time.Second)
		stop := sharing(lease.NewLocker(s), worker{"w", time.Hour}, 0, untilDone)
		time.Sleep(time.Minute)
		assert.Equal(t, "w", s.Holder("a"))
		assert.True(t, stop() == context.Canceled)

		s.OutageFor(time.Second)
		denied := make(chan error, 1)
		go func() { denied <- lease.NewLocker(s).HoldShare(context.Background(), for30s("w"), 0, untilDone) }()
		synctest.Wait()
		s.SetError(leasetest.AccessDeniedError)
		assert.ErrorContains(t, <-denied, "AccessDenied", "the first look that is answered")
	})
}

func TestHoldShareRenewsThroughAnErrorThatPasses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := leasetest.NewStore()
		for i := range 100 {
			require.NoError(t, s.AddLeaseID(fmt.Sprint(i), nil))
		}
		var lost atomic.Int32
		work := func(ctx context.Context, _ *lease.Lease) error {
			<-ctx.Done()
			if context.Cause(ctx) != context.Canceled {
				lost.Add(1)
			}
			return ctx.Err()
		}
		stop := sharing(lease.NewLocker(s), for30s("w"), 0, work)
		time.Sleep(time.Minute)
		s.SetError(leasetest.AccessDeniedError)
		time.Sleep(12 * time.Second)
		s.SetError(nil)
		time.Sleep(time.Minute)
		assert.True(t, stop() == context.Canceled)
		assert.Zero(t, lost.Load())
	})
}

func TestHoldShareOfTinyLeasesDoesNotSpin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, outage := range []bool{false, true} {
			store := leasetest.NewStore("a")
			store.Steal("a", "other", time.Hour)
			store.SetOutage(outage)
			stop := sharing(lease.NewLocker(store), worker{"w1", time.Millisecond}, 0, untilDone)
			time.Sleep(time.Second)
			require.Error(t, stop())
			assert.Less(t, store.Counts().Scans, 150, "Hold looks each 10 ms at most; outage: %t", outage)
		}
	})
}

func TestHoldShareKeepsToItsLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a", "b", "c", "d", "e")
		var now, most atomic.Int32
		work := func(ctx context.Context, l *lease.Lease) error {
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			return untilDone(ctx, l)
		}
		stop := sharing(lease.NewLocker(store), for30s("w1"), 2, work)
		time.Sleep(10 * time.Minute)
		assert.Equal(t, int32(2), now.Load())
		require.ErrorIs(t, stop(), context.Canceled)
		assert.Equal(t, int32(2), most.Load())
	})
}

func TestHoldShareOnAStoreOfTwoMethodsTakesWhatIsFreeUpToTheLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a", "b", "c", "d", "e")
		s.lease = func(id string, until time.Time) (*lease.Lease, error) {
			if id == "b" {
				return held(id, until)
			}
			return &lease.Lease{LeaseID: id, Until: until}, nil
		}
		var mu sync.Mutex
		at := make(map[string]int)
		work := func(ctx context.Context, l *lease.Lease) error {
			mu.Lock()
			at[l.LeaseID]++
			mu.Unlock()
			return untilDone(ctx, l)
		}
		stop := sharing(lease.NewLocker(s), for30s("w1"), 3, work)
		time.Sleep(10 * time.Minute)
		mu.Lock()
		assert.Len(t, at, 3)
		for id, n := range at {
			assert.Equal(t, 1, n, id)
		}
		mu.Unlock()
		err := stop()
		assert.ErrorIs(t, err, context.Canceled)
		assert.ErrorContains(t, err, `3 items of "w1" stay leased until`)
	})
}

func TestHoldShareOnAStoreOfTwoMethodsTriesEachOnceALook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore()
		for i := range 100 {
			id := fmt.Sprint(i)
			require.NoError(t, store.AddLeaseID(id, nil))
			if i != 37 && i != 73 {
				store.Steal(id, "other", 100*time.Hour)
			}
		}
		var running atomic.Int32
		work := func(ctx context.Context, l *lease.Lease) error {
			running.Add(1)
			defer running.Add(-1)
			return untilDone(ctx, l)
		}
		stop := sharing(lease.NewLocker(plainStore{store}), for30s("w"), 0, work)
		time.Sleep(time.Minute)
		assert.Equal(t, int32(2), running.Load())
		assert.Equal(t, "w", store.Holder("37"))
		before := store.Counts().Refused
		time.Sleep(10 * time.Minute)
		assert.LessOrEqual(t, store.Counts().Refused-before, 98*66, "a look tries each once")
		err := stop()
		assert.ErrorIs(t, err, context.Canceled)
		assert.ErrorContains(t, err, "2 items of \"w\" stay leased until")
	})
}

func TestHoldShareAsksAStoreThatFailsRarely(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := leasetest.NewStore()
		for i := range 1000 {
			require.NoError(t, s.AddLeaseID(fmt.Sprint(i), nil))
		}
		s.SetError(leasetest.OutageError)
		calls := &listed{plainStore{s}}
		stop := sharing(lease.NewLocker(calls), for30s("w"), 10, untilDone)
		time.Sleep(time.Minute)
		assert.LessOrEqual(t, s.Counts().Leases, 250, "30 a look")
		assert.ErrorIs(t, stop(), context.Canceled) // wrapped, as any of the leases may have been written
	})
}

// TestHoldShareWorksOnTheOthersWhenOneRequestHangs: an item whose request gets no reply does not
// keep the others of its batch from their work.
func TestHoldShareWorksOnTheOthersWhenOneRequestHangs(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{6 * time.Second, 30 * time.Second} {
		t.Run(d.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hook := func(ctx context.Context, seen lease.LeaseItem) error {
					if seen.LeaseID != "a" {
						return nil
					}
					<-ctx.Done()
					return ctx.Err()
				}
				store := &hooked{to: leasetest.NewStore("a", "b", "c", "d", "e", "f", "g", "h"), hook: hook}
				start, began, causes := time.Now(), make(chan time.Duration, 100), make(chan error, 100)
				work := func(ctx context.Context, l *lease.Lease) error {
					began <- time.Since(start)
					<-ctx.Done()
					causes <- context.Cause(ctx)
					return ctx.Err()
				}
				stop := sharing(lease.NewLocker(store), worker{"w", d}, 0, work)
				time.Sleep(d / 4)
				assert.Len(t, began, 7, "those that work by then")
				time.Sleep(2 * d)
				assert.Len(t, began, 7, "none has begun again")
				assert.ErrorIs(t, stop(), context.Canceled)
				for range 7 {
					assert.True(t, <-causes == context.Canceled, "all were renewed")
				}
			})
		})
	}
}

func TestHoldShareOnASlowStoreTakesAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := leasetest.NewStore("a", "b", "c", "d")
		var running atomic.Int32
		slow := &hooked{to: s, hook: func(ctx context.Context, _ lease.LeaseItem) error {
			select {
			case <-time.After(3 * time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}
		work := func(ctx context.Context, l *lease.Lease) error {
			running.Add(1)
			return untilDone(ctx, l)
		}
		stop := sharing(lease.NewLocker(slow), for30s("w"), 0, work)
		time.Sleep(time.Minute)
		assert.Equal(t, int32(4), running.Load())
		assert.True(t, stop() == context.Canceled)
	})
}

func TestHoldShareReturnsSoonInTheMidstOfALook(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{2 * time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			s := leasetest.NewStore()
			for i := range 1000 {
				id := fmt.Sprint(i)
				require.NoError(t, s.AddLeaseID(id, nil))
				_, err := s.Lease(id, for30s("w"), time.Now().Add(30*time.Second))
				require.NoError(t, err)
			}
			var sent atomic.Int32
			hook := func(ctx context.Context, _ lease.LeaseItem) error {
				sent.Add(1)
				select {
				case <-time.After(d):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			stop := sharing(lease.NewLocker(&hooked{to: s, hook: hook}), for30s("w"), 0, untilDone)
			time.Sleep(time.Second)
			before, start := sent.Load(), time.Now()
			assert.ErrorIs(t, stop(), context.Canceled)
			assert.Equal(t, before, sent.Load(), "no request was begun after that")
			assert.LessOrEqual(t, time.Since(start), 5*time.Second)
		})
	}
}

func TestHoldShareKeepsAnItemWhoseWorkChangesItsLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a", "b")
		work := func(ctx context.Context, l *lease.Lease) error {
			*l = lease.Lease{}
			return untilDone(ctx, l)
		}
		stop := sharing(lease.NewLocker(store), for30s("w"), 0, work)
		time.Sleep(time.Minute)
		assert.Equal(t, "w", store.Holder("a"))
		assert.Equal(t, "w", store.Holder("b"))
		assert.True(t, stop() == context.Canceled)
		assert.Empty(t, store.Holder("a"))
		assert.Empty(t, store.Holder("b"))
	})
}

func TestHoldShareEndsTheWorkOnItemsThatAreLostOrRetired(t *testing.T) {
	logger := record(t)
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("stolen", "removed", "retired")
		causes := make(chan string, 3)
		work := func(ctx context.Context, l *lease.Lease) error {
			if l.LeaseID == "removed" {
				assert.NoError(t, store.RemoveLease(l))
				return nil // done for good
			}
			<-ctx.Done()
			causes <- fmt.Sprint(l.LeaseID, " ", context.Cause(ctx))
			return ctx.Err()
		}
		stop := sharing(lease.NewLocker(store), for30s("w"), 0, work)
		time.Sleep(time.Minute)
		store.Steal("stolen", "thief", time.Hour)
		store.Retire("retired")
		time.Sleep(time.Minute)
		lost := []string{<-causes, <-causes}
		assert.ElementsMatch(t, []string{"stolen Lease Lost", "retired Lease Lost"}, lost)
		assert.True(t, stop() == context.Canceled)
		assert.Equal(t, "thief", store.Holder("stolen"))
	})
	assert.NotContains(t, logger.text(), "Work Ended")
	assert.NotContains(t, logger.text(), "Lease Lost", "the store says so")
}

func TestHoldShareLogsALeaseThatExpires(t *testing.T) {
	logger := record(t)
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		stop := sharing(lease.NewLocker(store), for30s("w"), 0, untilDone)
		time.Sleep(time.Minute)
		store.OutageFor(time.Minute)
		time.Sleep(time.Minute)
		assert.True(t, stop() == context.Canceled)
	})
	assert.Len(t, logger.named("Lease Lost"), 1)
}

func TestHoldShareLogsWorkThatEndsUnaskedOrFails(t *testing.T) {
	boom := errors.New("boom")
	for _, failure := range []error{nil, boom} {
		logger := record(t)
		synctest.Test(t, func(t *testing.T) {
			work := func(ctx context.Context, _ *lease.Lease) error {
				if failure != nil {
					<-ctx.Done()
				}
				return failure
			}
			stop := sharing(lease.NewLocker(leasetest.NewStore("a")), for30s("w"), 0, work)
			time.Sleep(5 * time.Second)
			assert.True(t, stop() == context.Canceled)
		})
		ended := logger.named("Work Ended")
		require.Len(t, ended, 1)
		assert.Equal(t, failure, ended[0].keyvals["error"])
	}
}

func TestHoldShareLogsTheErrorsOfItsLooks(t *testing.T) {
	logger := record(t)
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore()
		stop := sharing(lease.NewLocker(store), for30s("w"), 0, untilDone)
		time.Sleep(time.Minute)
		store.SetOutage(true)
		time.Sleep(time.Minute)
		assert.True(t, stop() == context.Canceled)
		assert.Len(t, logger.named("AWS Error"), store.Counts().Faulty)
	})
	assert.NotEmpty(t, logger.named("AWS Error"))
}

func TestHoldShareLooksAtAllPages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a", "b", "c", "d", "e")
		store.SetPageSize(2)
		stop := sharing(lease.NewLocker(store), for30s("w"), 0, untilDone)
		time.Sleep(time.Minute)
		for _, id := range []string{"a", "b", "c", "d", "e"} {
			assert.Equal(t, "w", store.Holder(id))
		}
		assert.True(t, stop() == context.Canceled)
	})
}

func TestHoldShareReturnsAtOnceWhenALookHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore()
		stop := sharing(lease.NewLocker(store), for30s("w"), 0, untilDone)
		time.Sleep(time.Minute)
		store.SetHang(true)
		defer store.SetHang(false)
		time.Sleep(15 * time.Second)
		start := time.Now()
		assert.True(t, stop() == context.Canceled)
		assert.Zero(t, time.Since(start))
	})
}

func TestHoldShareReleasesWhatIsLeasedWhenItEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := delayed(leasetest.NewStore("a"))
		store.applied = func(context.Context, lease.LeaseItem) { time.Sleep(2 * time.Second) }
		stop := sharing(lease.NewLocker(store), for30s("w"), 0, untilDone)
		time.Sleep(time.Second)
		require.Equal(t, "w", store.to.Holder("a"))
		assert.True(t, stop() == context.Canceled)
		assert.Empty(t, store.to.Holder("a"))
	})
}

// wishing has w2 join w1, who holds all of four items, by a store whose wishes come to that.
func wishing(t *testing.T, want func(ctx context.Context) error) (*lease.Locker, func() error) {
	store := leasetest.NewStore("a", "b", "c", "d")
	stop1 := sharing(lease.NewLocker(store.NewClient()), for30s("w1"), 0, untilDone)
	time.Sleep(time.Minute)
	client := delayed(store.NewClient())
	client.want = want
	w2 := lease.NewLocker(client)
	stop2 := sharing(w2, for30s("w2"), 0, untilDone)
	time.Sleep(time.Second)
	return w2, func() error {
		defer stop1()
		return stop2()
	}
}

func TestHoldShareWaitsForAWishThatHangsAsForAnyRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, stop := wishing(t, func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		start := time.Now()
		assert.True(t, stop() == context.Canceled)
		assert.LessOrEqual(t, time.Since(start), 5*time.Second)
	})
}

func TestHoldShareCountsAndLogsWishesThatFail(t *testing.T) {
	logger := record(t)
	synctest.Test(t, func(t *testing.T) {
		w2, stop := wishing(t, func(context.Context) error { return throttled })
		assert.EqualValues(t, 1, w2.Stats().FailedWrites)
		assert.True(t, stop() == context.Canceled)
	})
	assert.Len(t, logger.named("AWS Error"), 1)
}

// What was handed over was leased by no namesake: when it is released, it is free.
func TestHoldShareFreesAtOnceWhatWasHandedOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a", "b")
		stop := sharing(lease.NewLocker(store.NewClient()), for30s("w1"), 0, untilDone)
		time.Sleep(time.Minute)
		w2 := lease.NewLocker(store.NewClient())
		stop2 := sharing(w2, for30s("w2"), 0, untilDone)
		for w2.Stats().Held == 0 {
			time.Sleep(100 * time.Millisecond)
		}
		id := w2.Leases()[0].LeaseID
		assert.True(t, stop2() == context.Canceled)
		assert.Equal(t, num(0), rowOf(t, store, id)["LeaseUntil"])
		assert.True(t, stop() == context.Canceled)
	})
}

// sharingHooked runs a share of nine items for 5 seconds, which looks often meanwhile, and once
// more soon after it has all. The leases of one of them are hooked.
func sharingHooked(t *testing.T, hook func(store *leasetest.Store) error) (holder string) {
	store := leasetest.NewStore(append(ids(8), "hooked")...)
	client := &hooked{to: store, hook: func(_ context.Context, seen lease.LeaseItem) error {
		if seen.LeaseID == "hooked" {
			return hook(store)
		}
		return nil
	}}
	stop := sharing(lease.NewLocker(client), for30s("w"), 0, untilDone)
	time.Sleep(5 * time.Second)
	holder = store.Holder("hooked")
	assert.True(t, stop() == context.Canceled)
	return holder
}

func TestHoldShareLeavesAloneAndLogsAnItemWhoseLeaseFails(t *testing.T) {
	logger := record(t)
	tries := 0
	synctest.Test(t, func(t *testing.T) {
		sharingHooked(t, func(*leasetest.Store) error {
			tries++
			return throttled
		})
	})
	assert.Equal(t, 1, tries)
	failed := logger.named("AWS Error")
	require.Len(t, failed, 1)
	assert.Equal(t, "hooked", failed[0].keyvals["lease_id"])
}

func TestHoldShareTriesAgainSoonWhatAnotherWasFasterToLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var once sync.Once
		holder := sharingHooked(t, func(store *leasetest.Store) error {
			once.Do(func() { store.Steal("hooked", "faster", 100*time.Millisecond) })
			return nil
		})
		assert.Equal(t, "w", holder)
	})
}

func TestHoldShareSpreadsTheRenewalsOfManyItems(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := delayed(leasetest.NewStore(ids(100)...))
		store.hook = func(context.Context, lease.LeaseItem) error { return nil }
		var mu sync.Mutex
		at := make(map[time.Time]bool)
		store.renewed = func(*lease.Lease) {
			mu.Lock()
			defer mu.Unlock()
			at[time.Now()] = true
		}
		stop := sharing(lease.NewLocker(store), for30s("w"), 0, untilDone)
		time.Sleep(time.Minute)
		assert.True(t, stop() == context.Canceled)
		assert.Greater(t, len(at), 90)
	})
}

// TestHoldShareWorksThroughAQueue: items are registered, worked on once, and retired: nothing of
// them is left behind.
func TestHoldShareWorksThroughAQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore()
		var done atomic.Int32
		work := func(_ context.Context, l *lease.Lease) error {
			done.Add(1)
			return store.RemoveLease(l)
		}
		stop := sharing(lease.NewLocker(store), for30s("w"), 0, work)
		for i := range 500 {
			require.NoError(t, store.AddLeaseID(fmt.Sprint(i), nil))
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		ids, err := store.ListLeaseIDs()
		require.NoError(t, err)
		assert.Empty(t, ids)
		assert.Equal(t, int32(500), done.Load())
		assert.True(t, stop() == context.Canceled)
	})
}

// The item is kept for nobody any longer than who is to have it then has asked.
func TestHoldShareReservesForNoLongerThanTheWish(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		work := func(ctx context.Context, _ *lease.Lease) error {
			<-ctx.Done()
			time.Sleep(25 * time.Second)
			return nil
		}
		stop := sharing(lease.NewLocker(store), for30s("w"), 0, work)
		time.Sleep(time.Minute)
		wish(t, store, "a", "", 5*time.Minute)
		time.Sleep(20 * time.Second) // The holder has seen it.
		wish(t, store, "a", "dead", 20*time.Second)
		for store.Holder("a") == "w" {
			time.Sleep(100 * time.Millisecond)
		}
		assert.Equal(t, "dead", store.Holder("a"))
		assert.LessOrEqual(t, time.Until(asSeen(t, store, "a").Until), 25*time.Second)
		assert.True(t, stop() == context.Canceled)
	})
}

func TestHoldShareRestsFromWorkThatReturnsAtOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err         error
		least, most int32 // tries in an hour
	}{
		"nil":                {nil, 300, 400}, // a third of 30 s each
		"an error":           {errors.New("boom"), 12, 30},
		"LeaseWantedError":   {lease.LeaseWantedError, 12, 30}, // nobody wants it
		"a lost lease's":     {lease.LeaseLostError, 12, 400},
		"a wrapped loss":     {fmt.Errorf("of another: %w", lease.LeaseLostError), 12, 400},
		"a context's":        {context.Canceled, 12, 400},
		"an expired lease's": {lease.LeaseExpiredError, 12, 400},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := leasetest.NewStore("a", "b")
				var tries atomic.Int32
				work := func(ctx context.Context, l *lease.Lease) error {
					if l.LeaseID == "b" {
						return untilDone(ctx, l)
					}
					tries.Add(1)
					return c.err
				}
				stop := sharing(lease.NewLocker(store), for30s("w1"), 0, work)
				time.Sleep(time.Hour)
				assert.Equal(t, "w1", store.Holder("b"))
				require.ErrorIs(t, stop(), context.Canceled)
				assert.GreaterOrEqual(t, tries.Load(), c.least)
				assert.LessOrEqual(t, tries.Load(), c.most)
			})
		})
	}
}

// TestHoldShareWishesForNothingThatItRestsFrom: it would be handed over, and then stay idle until
// the reservation ends.
func TestHoldShareWishesForNothingThatItRestsFrom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a", "b")
		var working atomic.Int32
		work := func(ctx context.Context, l *lease.Lease) error {
			working.Add(1)
			defer working.Add(-1)
			return untilDone(ctx, l)
		}
		good := sharing(lease.NewLocker(store.NewClient()), for30s("good"), 0, work)
		time.Sleep(time.Minute)
		require.Equal(t, int32(2), working.Load())
		fail := func(context.Context, *lease.Lease) error { return errors.New("this host is broken") }
		bad := sharing(lease.NewLocker(store.NewClient()), for30s("bad"), 0, fail)
		idle := 0
		for range 3600 {
			time.Sleep(time.Second)
			idle += 2 - int(working.Load())
		}
		assert.Less(t, idle, 10*60, "seconds in an hour that one of the two items had no work")
		require.ErrorIs(t, bad(), context.Canceled)
		require.ErrorIs(t, good(), context.Canceled)
	})
}

func TestHoldShareNamesItemsThatItCouldNotRelease(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fail func(s *leasetest.Store)
		most time.Duration
	}{
		"outage": {func(s *leasetest.Store) { s.SetOutage(true) }, time.Second},
		"hang":   {func(s *leasetest.Store) { s.SetHang(true) }, 10 * time.Second},
		"denied": {func(s *leasetest.Store) { s.SetError(leasetest.AccessDeniedError) }, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ids []string
				for i := range 200 {
					ids = append(ids, fmt.Sprintf("item-%d", i))
				}
				store := leasetest.NewStore(ids...)
				client := store.NewClient()
				stop := sharing(lease.NewLocker(client), worker{"w1", time.Minute}, 0, untilDone)
				time.Sleep(50 * time.Second)
				c.fail(client)
				start := time.Now()
				err := stop()
				assert.LessOrEqual(t, time.Since(start), c.most)
				assert.ErrorIs(t, err, context.Canceled)
				require.ErrorContains(t, err, `200 items of "w1" stay leased until `)
				last := time.Time{}
				items, _, err2 := store.ScanLeaseItems("", 0)
				require.NoError(t, err2)
				for _, item := range items {
					if item.Until.After(last) {
						last = item.Until
					}
				}
				assert.ErrorContains(t, err, last.Format(time.RFC3339))
				client.SetHang(false)
			})
		})
	}
}

func TestHoldShareNamesAnItemWhoseWorkRepeatsALoss(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		work := func(ctx context.Context, _ *lease.Lease) error {
			<-ctx.Done()
			return fmt.Errorf("of another lease: %w", lease.LeaseLostError)
		}
		stop := sharing(lease.NewLocker(store), for30s("w1"), 0, work)
		time.Sleep(5 * time.Second)
		store.SetOutage(true)
		assert.ErrorContains(t, stop(), `1 items of "w1" stay leased until`)
	})
}

func TestHoldShareNamesWorkThatLeavesItsGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger := record(t)
		store := leasetest.NewStore("a")
		work := func(context.Context, *lease.Lease) error {
			runtime.Goexit()
			return nil
		}
		stop := sharing(lease.NewLocker(store), for30s("w1"), 0, work)
		time.Sleep(5 * time.Second)
		require.ErrorIs(t, stop(), context.Canceled)
		ended := logger.named("Work Ended")
		require.Len(t, ended, 1)
		assert.ErrorContains(t, ended[0].keyvals["error"].(error), "work left its goroutine")
		assert.Empty(t, store.Holder("a"))
	})
}

func TestHoldSharePanicsAsItsWorkWhenTheOthersHaveReturned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a", "b", "c")
		var working atomic.Int32
		assert.PanicsWithValue(t, "boom", func() {
			work := func(ctx context.Context, l *lease.Lease) error {
				working.Add(1)
				defer working.Add(-1)
				if l.LeaseID == "b" {
					time.Sleep(time.Minute)
					panic("boom")
				}
				<-ctx.Done()
				time.Sleep(2 * time.Second)
				return ctx.Err()
			}
			_ = lease.NewLocker(store).HoldShare(t.Context(), for30s("w1"), 0, work)
		})
		assert.Zero(t, working.Load())
		for _, id := range []string{"a", "b", "c"} {
			assert.Empty(t, store.Holder(id), id)
		}
	})
}

func TestHoldShareLogsAPanicOfWorkWithItsStack(t *testing.T) {
	logger := record(t)
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a", "b")
		assert.Panics(t, func() {
			work := func(ctx context.Context, l *lease.Lease) error {
				if l.LeaseID == "a" {
					workThatPanics()
				}
				<-ctx.Done()
				return nil
			}
			lease.NewLocker(store).HoldShare(t.Context(), for30s("w"), 0, work)
		})
		assert.Empty(t, store.Holder("a"))
		assert.Empty(t, store.Holder("b"))
	})
	assert.Contains(t, logger.text(), "workThatPanics")
}

func workThatPanics() { panic("work") }

func TestHoldSharePanicsAsItsStoreWhenAllHaveReturned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hook := func(_ context.Context, seen lease.LeaseItem) error {
			if seen.LeaseID == "a" {
				panic("store")
			}
			return nil
		}
		store := &hooked{to: leasetest.NewStore("a", "b", "c", "d", "e", "f", "g", "h"), hook: hook}
		var running atomic.Int32
		assert.PanicsWithValue(t, "store", func() {
			work := func(ctx context.Context, _ *lease.Lease) error {
				running.Add(1)
				defer running.Add(-1)
				<-ctx.Done()
				time.Sleep(time.Second)
				return nil
			}
			lease.NewLocker(store).HoldShare(t.Context(), for30s("w"), 0, work)
		})
		assert.Zero(t, running.Load(), "works that HoldShare left behind")
		for _, id := range []string{"b", "c", "d", "e", "f", "g", "h"} {
			assert.Empty(t, store.to.Holder(id))
		}
	})
}

func TestHoldShareTakesAHundredItemsForHardlyMoreThanAWriteEach(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var ids []string
		for i := range 100 {
			ids = append(ids, fmt.Sprintf("item-%d", i))
		}
		store := leasetest.NewStore(ids...)
		first, second := store.NewClient(), store.NewClient()
		stop1 := sharing(lease.NewLocker(first), for30s("w1"), 0, untilDone)
		time.Sleep(9 * time.Second) // no second look by then, but those while it took something
		counts := first.Counts()
		assert.Equal(t, 100, counts.Leases)
		assert.LessOrEqual(t, counts.Scans, 10)
		assert.Zero(t, counts.Refused)

		time.Sleep(time.Minute)
		stop2 := sharing(lease.NewLocker(second), for30s("w2"), 0, untilDone)
		time.Sleep(2 * time.Minute)
		counts, joined := first.Counts(), second.Counts()
		assert.Equal(t, [4]int{50, 50, 50, 150}, [4]int{joined.Wishes, counts.Handovers, joined.Leases,
			joined.Wishes + counts.Handovers + joined.Leases}, "three writes for each item that moves")
		assert.Zero(t, counts.Releases+counts.Refused+joined.Refused)
		require.ErrorIs(t, stop1(), context.Canceled)
		require.ErrorIs(t, stop2(), context.Canceled)
	})
}

// Two workers on a real table, one of which joins, and one leaves.
func TestHoldShareOnDynamoDB(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a", "b", "c", "d")
	count := func(name string) (n int) {
		items, _, err := f.ScanLeaseItems("", 0)
		require.NoError(t, err)
		for _, item := range items {
			if item.LesseeID == name && item.Until.After(time.Now()) {
				n++
			}
		}
		return n
	}
	have := func(w1, w2 int) {
		t.Helper()
		eventually(t, fmt.Sprintf("w1 has %d, w2 %d", w1, w2), func() bool {
			return count("w1") == w1 && count("w2") == w2
		})
	}
	first := sharing(lease.NewLocker(f.store()), worker{"w1", 20 * time.Second}, 0, untilDone)
	have(4, 0)
	second := sharing(lease.NewLocker(f.store()), worker{"w2", 20 * time.Second}, 0, untilDone)
	have(2, 2)
	require.ErrorIs(t, first(), context.Canceled)
	have(0, 4)
	require.ErrorIs(t, second(), context.Canceled)
	have(0, 0)
	for _, id := range []string{"a", "b", "c", "d"} {
		assert.NotContains(t, f.get(id), "WantedBy")
	}
}

// Whatever lies in WantedBy and WantedUntil of free and of held items, HoldShare gets them all,
// and keeps or gets back each that it holds.
func TestHoldShareKeepsItemsWithForeignWishes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	bys, untils := foreignWishes("w1")
	for i := range untils { // Not a live wish: who heeds that loses the item until the reservation ends.
		if u := untils[i]; u != nil && u.N != nil && len(*u.N) >= 19 && (*u.N)[0] == '1' {
			untils[i] = num(time.Now().Add(3 * time.Second).UnixNano())
		}
	}
	var ids []string
	for i := range max(len(bys), len(untils)) * 3 {
		id := fmt.Sprintf("item-%d", i)
		ids = append(ids, id)
		f.put(row{"id": str(id), "LeaseUntil": num(0), "mine": str("kept")})
	}
	wish := func() {
		for i, id := range ids {
			f.setWish(id, bys[i%len(bys)], untils[i*7%len(untils)])
		}
	}
	wish()
	var mu sync.Mutex
	at := make(map[string]int)
	works := func(id string, n int) {
		mu.Lock()
		defer mu.Unlock()
		at[id] += n
	}
	work := func(ctx context.Context, l *lease.Lease) error {
		works(l.LeaseID, 1)
		defer works(l.LeaseID, -1)
		return untilDone(ctx, l)
	}
	stop := sharing(lease.NewLocker(f.LockStore), worker{"w1", 15 * time.Second}, 0, work)
	defer stop()
	all := func(what string) {
		t.Helper()
		eventually(t, what, func() bool {
			mu.Lock()
			defer mu.Unlock()
			for _, id := range ids {
				if at[id] == 0 {
					return false
				}
			}
			return true
		})
	}
	all("each is held")
	wish()
	ends := func(id string) int64 { return mustInt(t, f.get(id)["LeaseUntil"]) }
	first := make(map[string]int64)
	for _, id := range ids {
		first[id] = ends(id)
	}
	for _, id := range ids {
		eventually(t, id+" is renewed, or leased anew", func() bool { return ends(id) > first[id] })
	}
	all("each is held again")
	assert.ErrorIs(t, stop(), context.Canceled)
	for _, id := range ids {
		require.Equal(t, str("kept"), f.get(id)["mine"])
	}
}

// What lies in WantedBy and WantedUntil of held items keeps nobody from their share.
func TestHoldShareIsLevelInSpiteOfForeignWishes(t *testing.T) {
	for name, wish := range map[string]struct{ by, until *dynamodb.AttributeValue }{
		"none":                       {nil, nil},
		"the holder's own, over":     {str("w1"), num(1)},
		"the holder's own, for long": {str("w1"), num(time.Now().Add(time.Hour).UnixNano())},
		"until is no number":         {str("w3"), str("soon")},
		"no until":                   {str("w3"), nil},
		"too far ahead":              {str("w3"), num(math.MaxInt64)},
		"negative":                   {str("w3"), num(-1)},
		"a fraction":                 {str("w3"), &dynamodb.AttributeValue{N: aws.String("1.5")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			items := []string{"a", "b", "c", "d"}
			f := newFixture(t, items...)
			share := func(lessee string) (has *atomic.Int32, stop func() error) {
				has = new(atomic.Int32)
				locker := lease.NewLocker(f.store())
				work := func(ctx context.Context, l *lease.Lease) error {
					has.Add(1)
					defer has.Add(-1)
					return untilDone(ctx, l)
				}
				return has, sharing(locker, worker{lessee, 6 * time.Second}, 0, work)
			}
			first, stop := share("w1")
			defer stop()
			eventually(t, "w1 has all", func() bool { return first.Load() == 4 })
			for _, id := range items {
				f.setWish(id, wish.by, wish.until)
			}
			second, stop2 := share("w2")
			defer stop2()
			eventually(t, "w2 has its share", func() bool { return second.Load() == 2 })
		})
	}
}

func TestHoldShareLeavesToOthersWhatItsWorkGaveAway(t *testing.T) {
	logger := record(t)
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		works := 0
		stop := sharing(lease.NewLocker(store), for30s("w"), 0, func(ctx context.Context, l *lease.Lease) error {
			works++
			return store.ReleaseLease(l)
		})
		time.Sleep(time.Minute)
		assert.True(t, stop() == context.Canceled)
		assert.Greater(t, works, 5, "it doesn't rest from what was given away")
		assert.Empty(t, logger.named("Work Ended"))
	})
}

func TestHoldShareWaitsForItsWorksWhenTheLoggerLeavesItsGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		record(t) // for its cleanup
		lease.SetLogger(leaver{})
		store := leasetest.NewStore("a", "fails")
		var running atomic.Int32
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			lease.NewLocker(store).HoldShare(t.Context(), for30s("w"), 0, func(ctx context.Context, l *lease.Lease) error {
				running.Add(1)
				defer running.Add(-1)
				if l.LeaseID == "fails" {
					time.Sleep(time.Minute)
					return errors.New("that is logged")
				}
				<-ctx.Done()
				time.Sleep(time.Second)
				return ctx.Err()
			})
		}()
		<-ended
		assert.Zero(t, running.Load())
		assert.Empty(t, store.Holder("a"))
	})
}

// TestHoldShareWhoseLoggerLeavesItsGoroutineWaitsForNoStuckWork: and that may return later.
func TestHoldShareWhoseLoggerLeavesItsGoroutineWaitsForNoStuckWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		record(t) // for its cleanup
		lease.SetLogger(leaver{})
		store := leasetest.NewStore("a", "fails")
		hung := newHungWork(promising(2 * time.Minute))
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			lease.NewLocker(store).HoldShare(t.Context(), for30s("w"), 0, func(ctx context.Context, l *lease.Lease) error {
				if l.LeaseID == "fails" {
					time.Sleep(time.Minute)
					return errors.New("that is logged")
				}
				return hung.work(ctx, l)
			})
		}()
		<-ended
		assert.Empty(t, store.Holder("a"))
		close(hung.free)
	})
}

// TestHoldSharePanicsAsStuckWorkThatReturnsByOne: but not when it has returned itself.
func TestHoldSharePanicsAsStuckWorkThatReturnsByOne(t *testing.T) {
	t.Parallel()
	for _, hasEnded := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			hung := newHungWork(promising(10 * time.Second))
			locker := lease.NewLocker(leasetest.NewStore("a"))
			work := func(ctx context.Context, l *lease.Lease) error {
				hung.work(ctx, l)
				panic("boom")
			}
			ctx, cancel := context.WithCancel(t.Context())
			panicked := make(chan any, 1)
			go func() {
				defer func() { panicked <- recover() }()
				locker.HoldShare(ctx, for30s("w"), 0, work)
			}()
			time.Sleep(11 * time.Second)
			if hasEnded {
				cancel()
				assert.Nil(t, <-panicked)
				close(hung.free)
			} else {
				close(hung.free)
				synctest.Wait()
				assert.Len(t, panicked, 1, "at once, not by a later work")
				assert.Equal(t, "boom", <-panicked)
			}
			cancel()
			synctest.Wait()
			assert.Zero(t, locker.Stats().Working)
		})
	}
}

// TestHoldSharePanicsAsItsStoreThatReleasesStuckWork: as by any release.
func TestHoldSharePanicsAsItsStoreThatReleasesStuckWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hung := newHungWork(promising(10 * time.Second))
		defer close(hung.free)
		store := &hooked{to: leasetest.NewStore("a"), release: func() { panic("store") }}
		assert.PanicsWithValue(t, "store", func() {
			lease.NewLocker(store).HoldShare(t.Context(), for30s("w"), 0, hung.work)
		})
	})
}

// leaver is a logger that leaves its goroutine when a work has ended, as t.FailNow does.
type leaver struct{}

func (leaver) LogInfoMessage(string, ...interface{}) {}

func (leaver) LogErrorMessage(message string, _ ...interface{}) {
	if message == "Work Ended" {
		runtime.Goexit()
	}
}
