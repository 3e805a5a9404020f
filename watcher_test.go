package lease_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

// hungWork is work that hangs, whatever its context says, till it is freed.
type hungWork struct {
	mu     sync.Mutex
	begun  int // how often
	ctx    context.Context
	lease  *lease.Lease
	free   chan struct{} // closed to let it return
	answer error
	first  func(l *lease.Lease) // what it does before it hangs; nil for nothing
}

func newHungWork(first func(l *lease.Lease)) *hungWork {
	return &hungWork{first: first, free: make(chan struct{})}
}

func (h *hungWork) work(ctx context.Context, l *lease.Lease) error {
	h.mu.Lock()
	h.begun++
	h.ctx = ctx
	h.lease = l
	h.mu.Unlock()
	if h.first != nil {
		h.first(l)
	}
	<-h.free
	return h.answer
}

// seen is what of it others may look at.
func (h *hungWork) seen() (begun int, ctx context.Context, l *lease.Lease) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.begun, h.ctx, h.lease
}

func promising(within time.Duration) func(l *lease.Lease) {
	return func(l *lease.Lease) { l.Progress(within) }
}

// holding begins a Hold of work.
func holding(locker *lease.Locker, r lease.LeaseRequest, work work) (ended chan error) {
	ended = make(chan error, 1)
	go func() { ended <- locker.Hold(context.Background(), r, work) }()
	return ended
}

// sharingWith is sharing by options.
func sharingWith(
	locker *lease.Locker, r lease.LeaseRequest, options lease.ShareOptions, work work,
) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- locker.HoldShareWith(ctx, r, options, work) }()
	return sync.OnceValue(func() error {
		cancel()
		return <-stopped
	})
}

// TestProgressGivesUpTheItemOfWorkThatBreaksItsPromise: and it is no other's here, till the
// work has returned.
func TestProgressGivesUpTheItemOfWorkThatBreaksItsPromise(t *testing.T) {
	logger := record(t)
	boom := errors.New("boom")
	for _, answer := range []error{nil, context.Canceled, lease.LeaseStuckError, boom} {
		synctest.Test(t, func(t *testing.T) {
			store := leasetest.NewStore("a")
			locker := lease.NewLocker(store)
			hung := newHungWork(promising(10 * time.Second))
			hung.answer = answer
			ended := holding(locker, for30s("w"), hung.work)
			time.Sleep(10*time.Second - time.Millisecond)
			_, ctx, l := hung.seen()
			assert.NoError(t, ctx.Err())
			assert.True(t, l.Valid())
			assert.Equal(t, "w", store.Holder("a"))
			stats := locker.Stats()
			assert.Equal(t, [2]int{1, 0}, [2]int{stats.Working, stats.Stuck})

			time.Sleep(time.Millisecond)
			synctest.Wait()
			assert.Equal(t, lease.LeaseStuckError, context.Cause(ctx))
			assert.Equal(t, lease.LeaseStuckError, context.Cause(l.Context()))
			assert.False(t, l.Valid())
			assert.Empty(t, store.Holder("a"), "it is released")
			late := row{"Mail": num(1)}
			assert.True(t, locker.SaveAttributes(t.Context(), l, late) == lease.LeaseLostError)
			stats = locker.Stats()
			assert.Equal(t, [3]int{1, 1, 0}, [3]int{stats.Working, stats.Stuck, stats.Held})
			assert.EqualValues(t, [2]int64{1, 1}, [2]int64{stats.Stucks, stats.Released})

			_, err := locker.ObtainLease(for30s("w"))
			assert.True(t, err == lease.LeaseNotObtainedError, "its work hangs here")
			_, err = locker.ObtainLease(for30s("another name"))
			assert.True(t, err == lease.LeaseNotObtainedError, "in this process")
			other := lease.NewLocker(store)
			taken, err := other.ObtainLease(for30s("w2"))
			require.NoError(t, err)
			time.Sleep(time.Second)
			require.NoError(t, other.ReleaseLease(taken))

			close(hung.free)
			err = <-ended
			assert.ErrorIs(t, err, lease.LeaseStuckError)
			assert.ErrorContains(t, err, `the work on "a" was stuck: no progress within 10s, as promised`)
			assert.NotErrorIs(t, err, lease.LeaseLostError)
			assert.NotErrorIs(t, err, context.Canceled)
			assert.Equal(t, answer == boom, errors.Is(err, boom))
			stats = locker.Stats()
			assert.Equal(t, [2]int{0, 0}, [2]int{stats.Working, stats.Stuck})
			assert.EqualValues(t, 1, stats.Stucks)
			_, err = locker.ObtainLease(for30s("w"))
			assert.NoError(t, err, "its work has returned")
		})
	}
	stuck := logger.named("Work Stuck")
	require.Len(t, stuck, 4)
	assert.Equal(t, "error", stuck[0].level)
	assert.Equal(t, "w", stuck[0].keyvals["lessee_id"])
	assert.Equal(t, "a", stuck[0].keyvals["lease_id"])
	assert.Equal(t, "no progress within 10s, as promised", stuck[0].keyvals["reason"])
	assert.Contains(t, stuck[0].keyvals, "since")
	require.Len(t, logger.named("Stuck Work Returned"), 4)
}

func TestProgressThatIsKeptUpOrTakenBackHoldsNothingUp(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]func(l *lease.Lease){
		"never called": nil,
		"kept up": func(l *lease.Lease) {
			for range 100 {
				l.Progress(10 * time.Second)
				time.Sleep(9 * time.Second)
			}
			l.Progress(time.Hour)
		},
		"taken back":        func(l *lease.Lease) { l.Progress(10 * time.Second); l.Progress(0) },
		"taken back, below": func(l *lease.Lease) { l.Progress(10 * time.Second); l.Progress(-time.Second) },
		"by a copy": func(l *lease.Lease) {
			l.Progress(10 * time.Second)
			copied := *l
			copied.Progress(0)
		},
		"of a slip": func(l *lease.Lease) { l.Progress(30) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := leasetest.NewStore("a")
				work := func(ctx context.Context, l *lease.Lease) error {
					if first != nil {
						first(l)
					}
					time.Sleep(30 * time.Minute)
					return ctx.Err()
				}
				locker := lease.NewLocker(store)
				assert.NoError(t, locker.Hold(t.Context(), for30s("w"), work))
				assert.Zero(t, locker.Stats().Stucks)
			})
		})
	}
}

func TestProgressTellsOfASlipOnce(t *testing.T) {
	logger := record(t)
	synctest.Test(t, func(t *testing.T) {
		work := func(_ context.Context, l *lease.Lease) error {
			l.Progress(10 * time.Second)
			l.Progress(30)
			l.Progress(30)
			time.Sleep(11 * time.Second) // The promise before still counts.
			return nil
		}
		err := lease.NewLocker(leasetest.NewStore("a")).Hold(t.Context(), for30s("w"), work)
		assert.ErrorIs(t, err, lease.LeaseStuckError)
	})
	slips := logger.named("Progress Ignored")
	require.Len(t, slips, 1)
	assert.Equal(t, 30*time.Nanosecond, slips[0].keyvals["within"])
}

func TestProgressOnALeaseThatNoHoldWatchesDoesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a", "b")
		locker := lease.NewLocker(store)
		documented, err := locker.ObtainLease(for30s("w"))
		require.NoError(t, err)
		go locker.Heartbeat(documented, 10*time.Second)
		var held *lease.Lease
		hold := holding(locker, for30s("w"), func(_ context.Context, l *lease.Lease) error {
			held = l
			return nil
		})
		require.NoError(t, <-hold)
		bare, err := store.Lease(held.LeaseID, for30s("w2"), time.Now().Add(time.Hour))
		require.NoError(t, err)
		for _, l := range []*lease.Lease{documented, held, bare, {}, nil} {
			l.Progress(time.Second)
		}
		time.Sleep(time.Minute)
		assert.True(t, documented.Valid())
		assert.True(t, bare.Valid())
		assert.Zero(t, locker.Stats().Stucks)
		require.NoError(t, locker.ReleaseLease(documented))
	})
}

func TestProgressOfWorkThatHasReturnedBindsNothing(t *testing.T) {
	logger := record(t)
	synctest.Test(t, func(t *testing.T) {
		locker := lease.NewLocker(leasetest.NewStore("a"))
		work := func(_ context.Context, l *lease.Lease) error {
			l.Progress(10 * time.Second)
			return nil
		}
		require.NoError(t, locker.Hold(t.Context(), for30s("w"), work))
		time.Sleep(time.Minute)
		assert.Zero(t, locker.Stats().Stucks)
	})
	assert.Empty(t, logger.named("Work Stuck"))
}

func TestProgressThatIsBrokenHandsOverToWhoWantsTheItem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		hung := newHungWork(promising(45 * time.Second))
		ended := holding(lease.NewLocker(store), for30s("w"), hung.work)
		time.Sleep(35 * time.Second)
		wish(t, store, "a", "w2", time.Minute)
		time.Sleep(10*time.Second - time.Millisecond)
		assert.Equal(t, "w", store.Holder("a"), "work was told to end, and takes its time")
		time.Sleep(time.Second)
		assert.Equal(t, "w2", store.Holder("a"))
		_, ctx, _ := hung.seen()
		assert.Equal(t, lease.LeaseWantedError, context.Cause(ctx), "that was first")
		close(hung.free)
		assert.ErrorIs(t, <-ended, lease.LeaseStuckError)
	})
}

// TestStuckWorksTenureEndsBeforeItsRowIsFreed: nothing may rely on it when another can have it.
func TestStuckWorksTenureEndsBeforeItsRowIsFreed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hung := newHungWork(promising(10 * time.Second))
		defer close(hung.free)
		var released atomic.Bool
		store := &hooked{to: leasetest.NewStore("a"), release: func() {
			_, ctx, l := hung.seen()
			released.Store(true)
			assert.False(t, l.Valid())
			assert.Error(t, l.Context().Err())
			assert.Error(t, ctx.Err())
		}}
		holding(lease.NewLocker(store), for30s("w"), hung.work)
		time.Sleep(11 * time.Second)
		assert.True(t, released.Load())
	})
}

// TestStuckWorkThatReturnsWhileItsItemIsReleasedWaitsForThat: its Hold is over when all is.
func TestStuckWorkThatReturnsWhileItsItemIsReleasedWaitsForThat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hung := newHungWork(promising(10 * time.Second))
		store := &hooked{to: leasetest.NewStore("a"), release: func() { time.Sleep(3 * time.Second) }}
		locker := lease.NewLocker(store)
		start := time.Now()
		ended := holding(locker, for30s("w"), hung.work)
		time.Sleep(11 * time.Second)
		close(hung.free)
		assert.ErrorIs(t, <-ended, lease.LeaseStuckError)
		assert.Equal(t, 13*time.Second, time.Since(start))
		assert.Equal(t, 1, store.to.Counts().Releases, "once")
		_, err := locker.ObtainLease(for30s("w"))
		assert.NoError(t, err)
	})
}

// TestStuckWorkThatWasLostSaysBoth: and frees nothing that is another's.
func TestStuckWorkThatWasLostSaysBoth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		locker := lease.NewLocker(store)
		hung := newHungWork(promising(time.Minute))
		ended := holding(locker, for30s("w"), hung.work)
		time.Sleep(time.Second)
		store.Steal("a", "thief", time.Hour)
		time.Sleep(30 * time.Second)
		stats := locker.Stats()
		assert.Equal(t, 1, stats.Stuck, "it is deaf")
		assert.Zero(t, stats.Stucks)
		time.Sleep(time.Minute)
		assert.EqualValues(t, 1, locker.Stats().Stucks)
		assert.Equal(t, "thief", store.Holder("a"))
		close(hung.free)
		err := <-ended
		assert.ErrorIs(t, err, lease.LeaseStuckError)
		assert.ErrorIs(t, err, lease.LeaseLostError)
	})
}

func TestStuckWorkThatPanicsOrLeavesItsGoroutineFreesItsItem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		locker := lease.NewLocker(store)
		assert.PanicsWithValue(t, "boom", func() {
			locker.Hold(t.Context(), for30s("w"), func(_ context.Context, l *lease.Lease) error {
				l.Progress(10 * time.Second)
				time.Sleep(time.Minute)
				panic("boom")
			})
		})
		assert.Empty(t, store.Holder("a"))
		assert.Zero(t, locker.Stats().Working+locker.Stats().Stuck)
		_, err := locker.ObtainLease(for30s("w"))
		assert.NoError(t, err)
	})
}

// TestStuckWorkLogsAPanicOfItsStore: at once, and Hold panics when work has returned.
func TestStuckWorkLogsAPanicOfItsStore(t *testing.T) {
	logger := record(t)
	synctest.Test(t, func(t *testing.T) {
		hung := newHungWork(promising(10 * time.Second))
		store := &hooked{to: leasetest.NewStore("a"), release: func() { panic("store") }}
		panicked := make(chan any, 1)
		go func() {
			defer func() { panicked <- recover() }()
			lease.NewLocker(store).Hold(t.Context(), for30s("w"), hung.work)
		}()
		time.Sleep(11 * time.Second)
		assert.NotEmpty(t, logger.named("Panic"))
		close(hung.free)
		assert.Equal(t, "store", <-panicked)
	})
}

// TestHoldShareTellsOfAStuckWorkOnce: not as of one that has ended.
func TestHoldShareTellsOfAStuckWorkOnce(t *testing.T) {
	logger := record(t)
	synctest.Test(t, func(t *testing.T) {
		hung := newHungWork(promising(10 * time.Second))
		hung.answer = errors.New("too late")
		stop := sharing(lease.NewLocker(leasetest.NewStore("a")), for30s("w"), 0, hung.work)
		time.Sleep(11 * time.Second)
		close(hung.free)
		time.Sleep(time.Second)
		assert.True(t, stop() == context.Canceled)
	})
	assert.Len(t, logger.named("Work Stuck"), 1)
	assert.Len(t, logger.named("Stuck Work Returned"), 1)
	assert.Empty(t, logger.named("Work Ended"))
}

func TestHoldShareWithRefusesANegativePatience(t *testing.T) {
	t.Parallel()
	options := lease.ShareOptions{Patience: -time.Second}
	locker := lease.NewLocker(leasetest.NewStore("a"))
	err := locker.HoldShareWith(t.Context(), for30s("w"), options, untilDone)
	assert.ErrorContains(t, err, "Patience is -1s")
}

// TestPatienceEndsForWhateverReasonWorkWasToldToEnd: then its item is given up, and it hangs on.
func TestPatienceEndsForWhateverReasonWorkWasToldToEnd(t *testing.T) {
	const patience = 20 * time.Second
	for name, c := range map[string]struct {
		tell   func(t *testing.T, store *leasetest.Store)
		told   time.Duration // after which work is told
		holder string        // then
		cause  error
	}{
		"wanted": {
			func(t *testing.T, s *leasetest.Store) { wish(t, s, "a", "w2", 5*time.Minute) },
			10 * time.Second, "w2", lease.LeaseWantedError,
		},
		"freed for an operator": {
			func(t *testing.T, s *leasetest.Store) { wish(t, s, "a", "", 5*time.Minute) },
			10 * time.Second, "", lease.LeaseWantedError,
		},
		"lost": {
			func(_ *testing.T, s *leasetest.Store) { s.Steal("a", "thief", time.Hour) },
			10 * time.Second, "thief", lease.LeaseLostError,
		},
		"expired": {
			func(_ *testing.T, s *leasetest.Store) { s.OutageFor(time.Minute) },
			27 * time.Second, "", lease.LeaseExpiredError,
		},
	} {
		t.Run(name, func(t *testing.T) {
			logger := record(t)
			synctest.Test(t, func(t *testing.T) {
				store := leasetest.NewStore("a")
				locker := lease.NewLocker(store)
				hung := newHungWork(nil)
				options := lease.ShareOptions{Patience: patience}
				stop := sharingWith(locker, for30s("w"), options, hung.work)
				time.Sleep(time.Minute)
				c.tell(t, store)
				time.Sleep(patience)
				assert.Zero(t, locker.Stats().Stucks)
				time.Sleep(c.told + time.Second)
				assert.EqualValues(t, 1, locker.Stats().Stucks)
				assert.Equal(t, 1, locker.Stats().Stuck)
				assert.Equal(t, c.holder, store.Holder("a"))
				time.Sleep(time.Minute)
				_, ctx, _ := hung.seen()
				assert.Equal(t, c.cause, context.Cause(ctx))
				err := stop()
				assert.ErrorIs(t, err, context.Canceled)
				assert.ErrorIs(t, err, lease.LeaseStuckError)
				assert.ErrorContains(t, err, `lease: 1 stuck works of "w" still run: `)
				close(hung.free)
				synctest.Wait()
				begun, _, _ := hung.seen()
				assert.Equal(t, 1, begun)
				assert.Zero(t, locker.Stats().Working+locker.Stats().Stuck)
			})
			require.Len(t, logger.named("Work Stuck"), 1)
			assert.Equal(t, "no return within 20s after its context was done",
				logger.named("Work Stuck")[0].keyvals["reason"])
		})
	}
}

// TestHoldShareEndsInItsPatienceAndTenSeconds: also where the store hangs, and the works do for
// ever.
func TestHoldShareEndsInItsPatienceAndTenSeconds(t *testing.T) {
	t.Parallel()
	const patience = 20 * time.Second
	for _, storeHangs := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			store := leasetest.NewStore(ids(10)...)
			client := store.NewClient()
			locker := lease.NewLocker(client)
			hung := newHungWork(nil)
			options := lease.ShareOptions{Patience: patience}
			stop := sharingWith(locker, worker{"w", 5 * time.Minute}, options, hung.work)
			time.Sleep(time.Minute)
			client.SetHang(storeHangs)
			start := time.Now()
			err := stop()
			assert.ErrorIs(t, err, lease.LeaseStuckError)
			assert.ErrorIs(t, err, context.Canceled)
			assert.ErrorContains(t, err, `10 stuck works of "w" still run: `)
			assert.GreaterOrEqual(t, time.Since(start), patience)
			assert.LessOrEqual(t, time.Since(start), patience+10*time.Second)
			held := 0
			for _, id := range ids(10) {
				if store.Holder(id) == "w" {
					held++
				}
			}
			if storeHangs {
				assert.ErrorContains(t, err, `10 items of "w" stay leased until `)
			} else {
				assert.Zero(t, held)
			}
			client.SetHang(false)
			time.Sleep(time.Hour)
			close(hung.free)
			synctest.Wait()
			assert.Zero(t, locker.Stats().Working)
		})
	}
}

func TestHoldShareSaysNothingOfWorksThatHaveReturned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hung := newHungWork(promising(10 * time.Second))
		stop := sharingWith(lease.NewLocker(leasetest.NewStore("a")), for30s("w"), lease.ShareOptions{}, hung.work)
		time.Sleep(11 * time.Second)
		close(hung.free)
		time.Sleep(time.Second)
		assert.True(t, stop() == context.Canceled)
	})
}

// TestHoldShareWorksOnNothingTwice: an item whose stuck work hangs isn't taken, nor wished for,
// until that has returned; then it is an item like any other.
func TestHoldShareWorksOnNothingTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		client := store.NewClient()
		locker := lease.NewLocker(client)
		hung := newHungWork(promising(10 * time.Second))
		stop := sharing(locker, for30s("w"), 0, hung.work)
		time.Sleep(30 * time.Minute)
		begun, _, _ := hung.seen()
		assert.Equal(t, 1, begun, "it is free, and nobody else is there")
		assert.Empty(t, store.Holder("a"))

		many := holds(t, store, "other", "a")
		for i := range 9 {
			id := fmt.Sprint("b", i)
			require.NoError(t, store.AddLeaseID(id, nil))
			many[id] = holds(t, store, "other", id)[id]
		}
		for range 30 {
			time.Sleep(time.Minute)
			assert.NotContains(t, rowOf(t, store, "a"), "WantedBy")
		}
		assert.Positive(t, client.Counts().Wishes, "for the others")
		require.NoError(t, store.ReleaseLease(many["a"]))

		close(hung.free)
		time.Sleep(5 * time.Second)
		begun, _, _ = hung.seen()
		assert.Equal(t, 1, begun, "it rests after that, as after any work")
		time.Sleep(time.Minute)
		begun, _, _ = hung.seen()
		assert.Greater(t, begun, 1)
		assert.True(t, stop() == context.Canceled)
	})
}

// TestHoldShareWorksOnNoMoreThanMost: works that are stuck run still.
func TestHoldShareWorksOnNoMoreThanMost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore(ids(10)...)
		var running, most, hung atomic.Int32
		free := make(chan struct{})
		work := func(ctx context.Context, l *lease.Lease) error {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			if hung.Add(1) <= 2 {
				l.Progress(10 * time.Second)
				<-free
			}
			<-ctx.Done()
			return ctx.Err()
		}
		locker := lease.NewLocker(store)
		stop := sharingWith(locker, for30s("w"), lease.ShareOptions{Most: 3}, work)
		time.Sleep(10 * time.Minute)
		assert.Equal(t, 1, locker.Stats().Held)
		assert.Equal(t, int32(3), running.Load())
		close(free)
		time.Sleep(10 * time.Minute)
		assert.Equal(t, 3, locker.Stats().Held)
		stop()
		assert.Equal(t, int32(3), most.Load())
	})
}

// TestShareOfAWorkThatHangsIsWorkedOnElsewhere: in the time of the promise, and as soon after that
// as any item that is released in a level fleet: within a period in the median of ten workers.
func TestShareOfAWorkThatHangsIsWorkedOnElsewhere(t *testing.T) {
	t.Parallel()
	const within = 20 * time.Second
	for _, s := range []size{{2, 12}, {4, 24}, {10, 100}} {
		simulate(t, s.items, func(f *simulation) {
			h := &hangsOnce{free: make(chan struct{})}
			defer close(h.free)
			f.startAll(s.workers, 0, func(w *sharer) {
				if w.name == "w0" {
					w.work = h.works(w, within)
				}
			})
			f.until("level", 2*time.Minute, f.level)
			time.Sleep(2 * time.Minute)
			var all []time.Duration
			for n := range 5 {
				h.isOn.Store(true)
				f.until("hanging", within, func() bool { return h.hanging() != nil })
				idle := f.idle(h.hanging(), within+2*shareP)
				all = append(all, idle[0])
				assert.Equal(f, n+1, f.workers["w0"].locker.Stats().Stuck)
				time.Sleep(2 * time.Minute)
				assert.True(f, f.held())
			}
			slices.Sort(all)
			f.Logf("%v: worked on elsewhere %v after the last promise in the median, %v at most",
				s, all[2], all[4])
			assert.GreaterOrEqual(f, all[0], within)
			assert.LessOrEqual(f, all[4], within+shareP*11/10, "looks are jittered")
		})
	}
}

// hangsOnce is work of which one hangs when that is on, right after it has promised progress.
type hangsOnce struct {
	isOn atomic.Bool
	mu   sync.Mutex
	from map[string]time.Time // since when it hangs
	free chan struct{}
}

// hanging returns which one hangs since when; nil before.
func (h *hangsOnce) hanging() map[string]time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.isOn.Load() {
		return nil
	}
	return h.from
}

func (h *hangsOnce) works(w *sharer, within time.Duration) work {
	return func(ctx context.Context, l *lease.Lease) error {
		w.begin(l)
		for ctx.Err() == nil {
			l.Progress(within)
			if h.begins(l) {
				w.end(l) // for the simulation
				<-h.free
				return nil
			}
			select {
			case <-time.After(within / 2):
			case <-ctx.Done():
			}
		}
		w.end(l)
		return ctx.Err()
	}
}

// begins tells that this one is to hang.
func (h *hangsOnce) begins(l *lease.Lease) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	hangs := h.isOn.CompareAndSwap(true, false)
	if hangs {
		h.from = map[string]time.Time{l.LeaseID: time.Now()}
	}
	return hangs
}

func BenchmarkProgress(b *testing.B) {
	work := func(_ context.Context, l *lease.Lease) error {
		for b.Loop() {
			l.Progress(time.Minute)
		}
		return nil
	}
	locker := lease.NewLocker(leasetest.NewStore("a"))
	if err := locker.Hold(b.Context(), for30s("w"), work); err != nil {
		b.Fatal(err)
	}
}
