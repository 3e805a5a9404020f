package lease_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

// What stalls sharing, or starves a worker, in fleets of HoldShare in imagined time.

// rows are those of the store, by their IDs.
func (f *simulation) rows() map[string]lease.LeaseItem {
	f.Helper()
	items, _, err := f.store.ScanLeaseItems("", 0)
	require.NoError(f, err)
	rows := make(map[string]lease.LeaseItem)
	for _, item := range items {
		rows[item.LeaseID] = item
	}
	return rows
}

// endsOf are when the leases of a worker end.
func (f *simulation) endsOf(lessee string) map[string]time.Time {
	ends := make(map[string]time.Time)
	for id, row := range f.rows() {
		if row.LesseeID == lessee {
			ends[id] = row.Until
		}
	}
	return ends
}

// idle waits until all of these are worked on again, and returns for how long they were not
// since then, the shortest first.
func (f *simulation) idle(since map[string]time.Time, most time.Duration) (idle []time.Duration) {
	f.Helper()
	begun := func() (after []time.Duration) {
		f.mu.Lock()
		defer f.mu.Unlock()
		for id, end := range since {
			i := slices.IndexFunc(f.began[id], func(began time.Time) bool { return !began.Before(end) })
			if i >= 0 {
				after = append(after, f.began[id][i].Sub(end))
			}
		}
		return after
	}
	f.until("all at work again", most, func() bool { return len(begun()) == len(since) })
	idle = begun()
	slices.Sort(idle)
	return idle
}

func for20s(w *sharer) { w.duration = 20 * time.Second }

// TestShareAfterADeathTakesOverAtOnce: who let a lease end is dead, and has no share.
func TestShareAfterADeathTakesOverAtOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		workers, items int
		option         func(w *sharer)
		median, most   time.Duration
	}{
		"4 × 50, leases of 20 s": {4, 200, for20s, 400 * time.Millisecond, 1500 * time.Millisecond},
		"4 × 50":                 {4, 200, func(*sharer) {}, 500 * time.Millisecond, 2 * time.Second},
		"10 × 100":               {10, 100, func(*sharer) {}, 500 * time.Millisecond, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			simulate(t, c.items, func(f *simulation) {
				f.startAll(c.workers, 0, c.option)
				f.until("level", 2*time.Minute, f.level)
				time.Sleep(time.Minute)
				f.kill(f.workers["w0"])
				idle := f.idle(f.endsOf("w0"), time.Minute)
				median := idle[len(idle)/2]
				longest := idle[len(idle)-1]
				f.Logf("%s: free for %v in the median, %v at most", name, median, longest)
				assert.LessOrEqual(f, median, c.median)
				assert.LessOrEqual(f, longest, c.most)
			})
		})
	}
}

// TestShareOfAReleasedItemIsTakenSoon: in a level fleet that is beyond everybody's share.
func TestShareOfAReleasedItemIsTakenSoon(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{20 * time.Second, 30 * time.Second, 5 * time.Minute, 24 * time.Hour} {
		simulate(t, 24, func(f *simulation) {
			f.returns = 0
			period := min(d/3, 30*time.Second)
			f.startAll(4, 0, func(w *sharer) { w.duration = d })
			f.until("level", 2*time.Minute, f.level)
			time.Sleep(5 * period)
			var longest, all time.Duration
			for _, id := range f.items[:10] {
				row := f.rows()[id]
				require.NoError(f, f.store.WantLease(f.Context(), row, "", time.Now().Add(time.Minute)))
				before := len(f.gapsSoFar())
				f.until("taken", time.Minute, func() bool { return len(f.gapsSoFar()) > before })
				gap := f.gapsSoFar()[before]
				longest = max(longest, gap)
				all += gap / 10
				time.Sleep(3 * period)
			}
			f.Logf("leases of %v: free for %v on average, %v at most", d, all, longest)
			assert.LessOrEqual(f, all, period*3/4)
			assert.LessOrEqual(f, longest, period*8/5)
		})
	}
}

// TestShareOfLongLeasesIsLevelAsSoon: looks are 30 s apart at the most, and a holder heeds the
// wishes that its own look shows.
func TestShareOfLongLeasesIsLevelAsSoon(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{5 * time.Minute, 10 * time.Minute, 24 * time.Hour} {
		simulate(t, 100, func(f *simulation) {
			f.startAll(10, 0, func(w *sharer) { w.duration = d })
			held := f.until("all held", time.Minute, f.held)
			f.until("level", 2*time.Minute, f.level)
			time.Sleep(5 * time.Minute)
			f.moved()
			f.start("one more", func(w *sharer) { w.duration = d })
			level := f.until("level", 2*time.Minute, f.level)
			time.Sleep(5 * time.Minute)
			moves := f.moved()
			f.Logf("leases of %v: held after %v, one joins: level after %v, %d moves", d, held, level, moves)
			assert.LessOrEqual(f, moves, 9)
			assert.LessOrEqual(f, level, 50*time.Second)
		})
	}
}

func TestShareOfOneWorkerWithLongLeasesTakesAllSoon(t *testing.T) {
	t.Parallel()
	simulate(t, 200, func(f *simulation) {
		f.start("w0", func(w *sharer) { w.duration = 24 * time.Hour })
		held := f.until("all held", time.Minute, f.held)
		f.Logf("200 held after %v", held)
		assert.LessOrEqual(f, held, 20*time.Second)
	})
}

// late is a worker whose leases are answered late, though they are applied at once.
func late(by time.Duration) func(w *sharer) {
	return func(w *sharer) {
		w.locker = lease.NewLocker(&hooked{to: w.client, applied: func(ctx context.Context, _ lease.LeaseItem) {
			select {
			case <-time.After(by):
			case <-ctx.Done():
			}
		}})
	}
}

// TestShareOfLateRepliesIsLevel: an answer counts whenever it comes.
func TestShareOfLateRepliesIsLevel(t *testing.T) {
	t.Parallel()
	simulate(t, 24, func(f *simulation) {
		f.startAll(3, 0, for20s, late(4*time.Second))
		held := f.until("all held", 2*time.Minute, f.held)
		level := f.until("level", 5*time.Minute, f.level)
		f.Logf("replies late by 4 s: held after %v, level after %v", held, level)
		time.Sleep(time.Minute)
		f.moved()
		time.Sleep(20 * time.Minute)
		assert.True(f, f.level())
		assert.Zero(f, f.moved())
	})
}

// deaf is a holder of up to 16 items that gives none away, in one of several ways.
func deaf(f *simulation, how string) {
	d := shareD
	store := f.store.NewClient()
	request := worker{"deaf", d}
	switch how {
	case "leases of 5 minutes":
		request.duration = 5 * time.Minute
	case "leases of an hour":
		request.duration = time.Hour
	case "hangs":
		f.start("deaf", func(w *sharer) {
			w.most = 16
			w.work = func(ctx context.Context, l *lease.Lease) error {
				w.begin(l)
				defer w.end(l)
				select {
				case <-l.Context().Done():
				case <-w.over:
				}
				return nil
			}
		})
		f.until("16", time.Minute, func() bool { return f.has("deaf") == 16 })
		return
	}
	var leases []*lease.Lease
	for _, id := range f.items[:16] {
		l, err := store.Lease(id, request, time.Now().Add(request.duration))
		require.NoError(f, err)
		leases = append(leases, l)
	}
	go func() {
		for {
			select {
			case <-time.After(request.duration / 3):
			case <-f.over:
				return
			}
			for i, l := range leases {
				until := time.Now().Add(request.duration)
				switch how {
				case "leases anew, and the wish goes":
					leases[i], _ = store.Lease(l.LeaseID, request, until)
				case "removes the wish":
					item, _ := store.RenewLeaseItem(f.Context(), l, until, time.Time{})
					if item.WantedBy != "" {
						_, _ = store.WithdrawWish(f.Context(), item, item.WantedBy, time.Unix(0, item.WantedUntil))
					}
				case "prolongs the wish without end":
					_, _ = store.RenewLeaseItem(f.Context(), l, until, time.Now().Add(request.duration))
				default:
					_ = store.RenewLease(l, until)
				}
			}
		}
	}()
}

// TestShareBesideADeafHolder: it costs a joiner one item of its reckoning, not its share.
func TestShareBesideADeafHolder(t *testing.T) {
	t.Parallel()
	for _, how := range []string{
		"ignores wishes", "leases anew, and the wish goes", "removes the wish",
		"prolongs the wish without end", "leases of 5 minutes", "leases of an hour", "hangs",
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			simulate(t, 24, func(f *simulation) {
				deaf(f, how)
				f.start("w0")
				f.until("8", time.Minute, func() bool { return f.has("w0") == 8 })
				time.Sleep(time.Minute)
				f.start("w1")
				f.until("16 4 4", 90*time.Second, func() bool { return f.has("w0") == 4 && f.has("w1") == 4 })
				f.start("w2")
				f.until("16 3 3 2", 90*time.Second, func() bool {
					has := []int{f.has("w0"), f.has("w1"), f.has("w2")}
					slices.Sort(has)
					return slices.Equal(has, []int{2, 3, 3})
				})

				if !*shareLarge {
					return
				}
				time.Sleep(time.Minute)
				f.moved()
				sent := f.requests()
				time.Sleep(time.Hour)
				now := f.requests()
				f.Logf("%s: %d moves in an hour, %d wishes", how, f.moved(), now.Wishes-sent.Wishes)
			})
		})
	}
}

// TestShareOfADeafHolderDoesNotScrambleTheOthers: each probe is one wish, not a share of them.
func TestShareOfADeafHolderDoesNotScrambleTheOthers(t *testing.T) {
	t.Parallel()
	simulate(t, 28, func(f *simulation) {
		deaf(f, "ignores wishes")
		f.startAll(4, 0)
		f.until("all held", time.Minute, func() bool { _, nobody := f.counts(); return nobody == 16 })
		time.Sleep(10 * time.Minute)
		f.moved()
		time.Sleep(time.Hour)
		moves := f.moved()
		f.Logf("%d moves in an hour", moves)
		assert.LessOrEqual(f, moves, 20)
	})
}

// idleness is how much of the items' time nobody works.
type idleness struct{ free, all int }

// pass lets a time pass.
func (i *idleness) pass(f *simulation, d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		_, nobody := f.counts()
		i.free += nobody
		i.all += len(f.items)
	}
}

func (i *idleness) share() float64 { return float64(i.free) / float64(i.all) }

// TestShareWithGhosts: a worker that is gone again soon takes few items out of work.
func TestShareWithGhosts(t *testing.T) {
	t.Parallel()
	simulate(t, 60, func(f *simulation) {
		f.returns = 0
		f.startAll(5, 0)
		f.until("level", time.Minute, f.level)
		time.Sleep(time.Minute)
		var lost idleness
		for i := range 20 {
			ghost := f.start(fmt.Sprintf("ghost-%d", i))
			lost.pass(f, 3*time.Second)
			f.kill(ghost)
			lost.pass(f, 57*time.Second)
		}
		f.Logf("a newcomer dies each minute: %.1f %% of all items' time is lost", 100*lost.share())
		assert.LessOrEqual(f, lost.share(), 0.06)
	})
}

// TestShareThatLeavesSoonLeavesNothingBehind: it withdraws its wishes, and gives back what was
// reserved for it.
func TestShareThatLeavesSoonLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{30 * time.Second, 10 * time.Minute} {
		for stay := time.Duration(0); stay <= 12*time.Second; stay += 750 * time.Millisecond {
			simulate(t, 24, func(f *simulation) {
				f.returns = 0
				long := func(w *sharer) { w.duration = d }
				f.startAll(3, 0, long)
				f.until("level", time.Minute, f.level)
				time.Sleep(time.Minute)
				brief := f.start("brief", long)
				time.Sleep(stay)
				assert.True(f, f.leave(brief) == context.Canceled, "after %v", stay)
				for _, row := range f.rows() {
					assert.NotEqual(f, "brief", row.LesseeID, "after %v: %+v", stay, row)
					assert.NotEqual(f, "brief", row.WantedBy, "after %v: %+v", stay, row)
				}
				f.until("all held again", time.Minute, f.held)
			})
		}
	}
}

// TestShareAtItsLimitGivesBackWhatIsReservedForIt: while it waited for it, its room was taken.
func TestShareAtItsLimitGivesBackWhatIsReservedForIt(t *testing.T) {
	t.Parallel()
	simulate(t, 2, func(f *simulation) {
		f.returns = 0
		w0 := f.start("w0")
		f.until("held", time.Minute, f.held)
		w1 := f.start("w1", func(w *sharer) {
			w.most = 1
			w.work = func(ctx context.Context, l *lease.Lease) error {
				w.begin(l)
				defer w.end(l)
				<-ctx.Done()
				return nil
			}
		})
		f.until("one each", time.Minute, f.level)
		f.leave(w0)
		time.Sleep(time.Minute)
		assert.Equal(f, 1, f.has(w1.name))
		free := 0
		for _, row := range f.rows() {
			if row.LesseeID == "" {
				free++
			}
		}
		assert.Equal(f, 1, free)
	})
}

// TestShareOfARestartedWorkerTakesItsOwnRows: whoever wants them.
func TestShareOfARestartedWorkerTakesItsOwnRows(t *testing.T) {
	t.Parallel()
	for name, by := range map[string]string{"another": "w9", "an operator": ""} {
		t.Run(name, func(t *testing.T) {
			simulate(t, 4, func(f *simulation) {
				f.returns = 0
				w0 := f.start("w0")
				f.until("held", time.Minute, f.held)
				time.Sleep(time.Minute)
				f.crash(w0)
				for _, row := range f.rows() {
					require.NoError(f, f.store.WantLease(f.Context(), row, by, time.Now().Add(time.Minute)))
				}
				restarted := time.Now()
				since := make(map[string]time.Time)
				for _, id := range f.items {
					since[id] = restarted
				}
				again := f.store.NewClient()
				ctx, stop := context.WithCancel(f.Context())
				w := &sharer{simulation: f, name: "w0", duration: shareD, client: again}
				done := make(chan error, 1)
				go func() { done <- lease.NewLocker(again).HoldShare(ctx, w, 0, w.deliver) }()
				idle := f.idle(since, 2*time.Minute)
				f.Logf("wanted by %s: at work after %v", name, idle[len(idle)-1])
				assert.LessOrEqual(f, idle[len(idle)-1], time.Second)
				stop()
				<-done
			})
		})
	}
}

// TestShareOfARestartedWorkerBesideAJoiner: nobody else can have an item as long as the process
// before may rely on it, so the work goes on until then.
func TestShareOfARestartedWorkerBesideAJoiner(t *testing.T) {
	t.Parallel()
	simulate(t, 12, func(f *simulation) {
		f.returns = 0
		longLeases := func(w *sharer) {
			w.duration = 10 * time.Minute
			w.work = func(ctx context.Context, l *lease.Lease) error {
				w.begin(l)
				<-ctx.Done()
				if !w.cut.Load() {
					w.end(l)
				}
				return nil
			}
		}
		f.startAll(2, 0, longLeases)
		f.until("level", time.Minute, f.level)
		time.Sleep(time.Minute)
		before := f.workers["w0"]
		f.crash(before)
		f.start("w0", longLeases)
		f.start("w2", longLeases)
		var lost idleness
		lost.pass(f, 12*time.Minute)
		seconds := lost.free / 10
		f.Logf("a worker restarts and another joins: %d item-seconds are lost", seconds)
		assert.LessOrEqual(f, seconds, 120)
		f.until("level", time.Minute, f.level)
		before.client.SetHang(false)
		before.stop()
		<-before.stopped
	})
}

// TestShareOfANameTwiceEnds: two processes of one name would take each other's items for ever.
func TestShareOfANameTwiceEnds(t *testing.T) {
	t.Parallel()
	for _, pause := range []time.Duration{0, 2 * time.Second, 40 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			store := leasetest.NewStore(several("a", 20)...)
			lockers := []*lease.Locker{lease.NewLocker(store.NewClient()), lease.NewLocker(store.NewClient())}
			errs := make(chan error, 2)
			ctx, cancel := context.WithCancel(t.Context())
			for _, locker := range lockers {
				go func() { errs <- locker.HoldShare(ctx, worker{"host:1", shareD}, 0, untilDone) }()
				time.Sleep(pause)
			}
			time.Sleep(40 * time.Second)
			require.Len(t, errs, 1, "one has ended, the other goes on")
			err := <-errs
			assert.ErrorIs(t, err, lease.LesseeIDInUseError)
			assert.ErrorContains(t, err, `"host:1"`)
			met := lockers[0].Stats().Namesakes + lockers[1].Stats().Namesakes
			assert.Equal(t, int64(1), met)
			time.Sleep(10 * time.Minute)
			assert.Empty(t, errs)
			assert.LessOrEqual(t, store.Counts().Leases, 60)
			cancel()
			assert.ErrorIs(t, <-errs, context.Canceled)
		})
	}
}

func several(prefix string, n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprintf("%s-%d", prefix, i))
	}
	return ids
}

// TestShareOfWorkThatTakesMinutesToReturnIsAskedForOnce: its wish is prolonged for as long as the
// work is ending, so that the wisher doesn't ask elsewhere too.
func TestShareOfWorkThatTakesMinutesToReturnIsAskedForOnce(t *testing.T) {
	t.Parallel()
	simulate(t, 50, func(f *simulation) {
		f.startAll(1, 0, slowly(5*time.Minute))
		f.until("held", 2*time.Minute, f.held)
		time.Sleep(time.Minute)
		f.moved()
		f.startSome(1, 1, 0, slowly(5*time.Minute))
		time.Sleep(time.Hour)
		of, _ := f.counts()
		moves := f.moved()
		f.Logf("%v after %d moves", of, moves)
		assert.Equal(f, 25, of["w1"])
		assert.Equal(f, 25, moves)
	})
}

// slowly is a worker whose work takes just so long to return, unless its lease ends.
func slowly(returns time.Duration) func(w *sharer) {
	return func(w *sharer) {
		w.work = func(ctx context.Context, l *lease.Lease) error {
			w.begin(l)
			defer w.end(l)
			<-ctx.Done()
			select {
			case <-time.After(returns):
			case <-l.Context().Done():
			case <-w.over:
			}
			return ctx.Err()
		}
	}
}

// staying returns how a share ends that was started on that store, and stopped after a while.
func staying(t *testing.T, store *hooked, most int, after time.Duration, before func()) error {
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- lease.NewLocker(store).HoldShare(ctx, for30s("w1"), most, untilDone) }()
	time.Sleep(after)
	before()
	stop()
	return <-done
}

func TestHoldShareNamesWhatStaysLeasedToIt(t *testing.T) {
	t.Parallel()
	end := func() {}
	for name, c := range map[string]struct {
		want string // "" for nothing
		run  func(t *testing.T, s *leasetest.Store) error
	}{
		"nothing": {"", func(t *testing.T, s *leasetest.Store) error {
			return staying(t, &hooked{to: s}, 0, time.Minute, end)
		}},
		"what it had before a restart, beyond its limit": {"2 items", func(t *testing.T, s *leasetest.Store) error {
			before := lease.NewLocker(s)
			for range 3 {
				_, err := before.ObtainLease(worker{"w1", time.Hour})
				require.NoError(t, err)
			}
			return staying(t, &hooked{to: s}, 1, 5*time.Minute, end)
		}},
		"nothing that it leased too late": {"", func(t *testing.T, s *leasetest.Store) error {
			lost := &hooked{to: s, applied: func(ctx context.Context, seen lease.LeaseItem) {
				if seen.LeaseID == "a" {
					<-ctx.Done()
				}
			}}
			defer func() {
				items, _, err := s.ScanLeaseItems("", 0)
				assert.NoError(t, err)
				for _, item := range items {
					assert.Empty(t, item.LesseeID, "%+v", item)
				}
			}()
			return staying(t, lost, 0, 2*time.Second, end)
		}},
		"what it could not release before": {"1 items", func(t *testing.T, s *leasetest.Store) error {
			client := s.NewClient()
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error, 1)
			var once sync.Once
			work := func(ctx context.Context, l *lease.Lease) error {
				isFirst := false
				once.Do(func() { isFirst = true })
				if !isFirst {
					return untilDone(ctx, l)
				}
				time.Sleep(10 * time.Second)
				client.SetError(leasetest.AccessDeniedError)
				time.AfterFunc(time.Second, func() { client.SetError(nil) })
				return errors.New("broken")
			}
			go func() { done <- lease.NewLocker(client).HoldShare(ctx, for30s("w1"), 0, work) }()
			time.Sleep(12 * time.Second)
			stop()
			return <-done
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := c.run(t, leasetest.NewStore("a", "b", "c"))
				assert.ErrorIs(t, err, context.Canceled)
				if c.want == "" {
					assert.Equal(t, context.Canceled, err)
					return
				}
				assert.ErrorContains(t, err, c.want)
				time.Sleep(2 * time.Minute)
			})
		})
	}
}
