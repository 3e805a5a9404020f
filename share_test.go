package lease_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
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

// The simulation of a fleet: HoldShare itself, on a store in memory, in imagined time.

var shareSeed = flag.Uint64("share.seed", 0, "the seed of the simulated fleets; 0 for a new one")

const (
	shareD = 30 * time.Second
	shareP = shareD / 3
)

// simulation is workers that share items.
type simulation struct {
	*testing.T
	store   *leasetest.Store
	items   []string
	rand    func(d time.Duration) time.Duration // safe for concurrent use
	workers map[string]*sharer
	returns time.Duration // work takes up to that to return
	over    chan struct{} // closed when the simulation is

	mu     sync.Mutex
	on     map[string]string // who works on an item
	last   map[string]string // who worked on it last
	since  map[string]time.Time
	moves  int
	double int
	gaps   []time.Duration // how long items that moved had nobody
}

// sharer is a worker.
type sharer struct {
	*simulation
	name     string
	client   *leasetest.Store
	duration time.Duration
	most     int
	work     func(ctx context.Context, l *lease.Lease) error
	stop     context.CancelFunc
	stopped  chan error
	cut      atomic.Bool
}

func (w *sharer) LesseeID() string             { return w.name }
func (w *sharer) LeaseDuration() time.Duration { return w.duration }

// simulate runs a test with a fleet, in imagined time. Nothing of it is left.
func simulate(t *testing.T, items int, test func(f *simulation)) {
	seed := *shareSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	lease.SetLogger(nil)
	t.Cleanup(func() { lease.SetLogger(nil) })
	synctest.Test(t, func(t *testing.T) {
		t.Logf("seed %d", seed)
		source := rand.New(rand.NewPCG(seed, 1))
		f := &simulation{T: t, workers: make(map[string]*sharer), on: make(map[string]string), last: make(map[string]string),
			since: make(map[string]time.Time), returns: 2 * time.Second, over: make(chan struct{})}
		f.rand = func(d time.Duration) time.Duration {
			f.mu.Lock()
			defer f.mu.Unlock()
			return time.Duration(source.Int64N(int64(d) + 1))
		}
		for i := range items {
			f.items = append(f.items, fmt.Sprintf("item-%d", i))
		}
		f.store = leasetest.NewStore(f.items...)
		test(f)
		close(f.over)
		for _, w := range f.workers {
			w.client.SetHang(false)
			w.stop()
		}
		for _, w := range f.workers {
			<-w.stopped
		}
		assert.Zero(t, f.double, "items with two at work")
	})
}

// start starts a worker.
func (f *simulation) start(name string, options ...func(w *sharer)) *sharer {
	w := &sharer{simulation: f, name: name, client: f.store.NewClient(), duration: shareD, stopped: make(chan error, 1)}
	w.work = w.deliver
	for _, option := range options {
		option(w)
	}
	var ctx context.Context
	ctx, w.stop = context.WithCancel(context.Background())
	f.workers[name] = w
	go func() { w.stopped <- lease.NewLocker(w.client).HoldShare(ctx, w, w.most, w.work) }()
	return w
}

// startAll starts workers, within that time.
func (f *simulation) startAll(n int, within time.Duration, options ...func(w *sharer)) {
	f.startSome(0, n, within, options...)
}

func (f *simulation) startSome(first, n int, within time.Duration, options ...func(w *sharer)) {
	for i := range n {
		f.start(fmt.Sprintf("w%d", first+i), options...)
		if within > 0 {
			time.Sleep(within / time.Duration(n))
		}
	}
}

// deliver works on an item until it shall not, and takes some time to return.
func (w *sharer) deliver(ctx context.Context, l *lease.Lease) error {
	w.begin(l)
	<-ctx.Done()
	select {
	case <-time.After(w.rand(w.returns)):
	case <-l.Context().Done(): // as it must
	}
	w.end(l)
	return ctx.Err()
}

func (w *sharer) begin(l *lease.Lease) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if other := w.on[l.LeaseID]; other != "" {
		w.double++
	}
	if last := w.last[l.LeaseID]; last != "" && last != w.name {
		w.moves++
		w.gaps = append(w.gaps, time.Since(w.since[l.LeaseID]))
	}
	w.on[l.LeaseID], w.last[l.LeaseID] = w.name, w.name
}

func (w *sharer) end(l *lease.Lease) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.on[l.LeaseID], w.since[l.LeaseID] = "", time.Now()
}

// kill cuts a worker off for good: nothing is released.
func (f *simulation) kill(w *sharer) {
	w.cut.Store(true)
	w.client.SetHang(true)
}

// leave stops a worker, and returns how HoldShare returned.
func (f *simulation) leave(w *sharer) error {
	w.stop()
	delete(f.workers, w.name)
	return <-w.stopped
}

// counts returns how many items each worker works on that isn't cut off, and how many have nobody.
func (f *simulation) counts() (of map[string]int, nobody int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	of = make(map[string]int)
	for name, w := range f.workers {
		if !w.cut.Load() {
			of[name] = 0
		}
	}
	for _, item := range f.items {
		if _, ok := of[f.on[item]]; ok {
			of[f.on[item]]++
		} else {
			nobody++
		}
	}
	return of, nobody
}

// level tells that no two workers differ by more than one, and nobody's items are none.
func (f *simulation) level() bool {
	of, nobody := f.counts()
	least, most := len(f.items), 0
	for _, n := range of {
		least, most = min(least, n), max(most, n)
	}
	return nobody == 0 && most-least <= 1
}

func (f *simulation) held() bool {
	_, nobody := f.counts()
	return nobody == 0
}

// until returns how long it takes until something is so, at most that time.
func (f *simulation) until(what string, most time.Duration, so func() bool) time.Duration {
	f.Helper()
	start := time.Now()
	for !so() {
		if time.Since(start) > most {
			of, nobody := f.counts()
			f.Errorf("not %s after %v: %v, nobody's %d", what, most, of, nobody)
			return most
		}
		time.Sleep(100 * time.Millisecond)
	}
	return time.Since(start)
}

// moved returns how many items have moved since the last call.
func (f *simulation) moved() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.moves
	f.moves = 0
	return n
}

func (f *simulation) requests() (c leasetest.Counts) {
	for _, w := range f.workers {
		n := w.client.Counts()
		c.Scans += n.Scans
		c.Leases += n.Leases
		c.Renewals += n.Renewals
		c.Releases += n.Releases
		c.Wishes += n.Wishes
		c.Handovers += n.Handovers
		c.Refused += n.Refused
	}
	return c
}

func TestShareAllStartAtOnce(t *testing.T) {
	for _, size := range []struct{ workers, items int }{{10, 100}, {100, 1000}} {
		t.Run(fmt.Sprintf("%d × %d", size.workers, size.items), func(t *testing.T) {
			simulate(t, size.items, func(f *simulation) {
				f.startAll(size.workers, 0)
				held := f.until("all held", 5*time.Second, f.held)
				level := held + f.until("level", shareD, f.level)
				f.Logf("all held %v, level %v, moves %d, %+v", held, level, f.moved(), f.requests())
			})
		})
	}
}

func TestShareOneJoins(t *testing.T) {
	simulate(t, 100, func(f *simulation) {
		f.startAll(10, 0)
		f.until("level", time.Minute, f.level)
		time.Sleep(time.Minute)
		f.moved()
		before := f.requests()
		f.start("joins")
		level := f.until("level", 3*shareP, f.level)
		time.Sleep(time.Minute)
		f.Logf("level %v, gaps %v", level, f.gaps)
		assert.Equal(f, 9, f.moved())
		after := f.requests()
		assert.Equal(f, 3*9, after.Wishes+after.Handovers+after.Leases-before.Leases, "a move costs three writes")
		assert.Equal(f, before.Refused, after.Refused)
	})
}

func TestShareInPeace(t *testing.T) {
	simulate(t, 100, func(f *simulation) {
		f.startAll(10, 0)
		f.until("level", time.Minute, f.level)
		time.Sleep(time.Minute)
		f.moved()
		before := f.requests()
		time.Sleep(time.Hour)
		after := f.requests()
		assert.Zero(f, f.moved())
		assert.Equal(f, before.Refused, after.Refused, "failed writes")
		assert.Equal(f, before.Leases, after.Leases)
		scans := float64(after.Scans-before.Scans) / 10 / float64(time.Hour/shareP)
		f.Logf("%.3f scans a worker a period", scans)
		assert.LessOrEqual(f, scans, 1.05)
	})
}

func TestShareSomeAreKilled(t *testing.T) {
	for n, most := range map[int]time.Duration{1: shareD + 2*time.Second, 5: shareD + shareP} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			simulate(t, 100, func(f *simulation) {
				f.startAll(10, 0)
				f.until("level", time.Minute, f.level)
				time.Sleep(time.Minute)
				for i := range n {
					f.kill(f.workers[fmt.Sprintf("w%d", i)])
				}
				held := f.until("all held", most, f.held)
				level := held + f.until("level", time.Minute, f.level)
				f.Logf("all held %v, level %v", held, level)
			})
		})
	}
}

func TestShareHalfAsManyAgainJoin(t *testing.T) {
	simulate(t, 100, func(f *simulation) {
		f.startAll(10, 0)
		f.until("level", time.Minute, f.level)
		time.Sleep(time.Minute)
		f.moved()
		f.startSome(10, 5, 0)
		level := f.until("level", time.Minute, f.level)
		time.Sleep(time.Minute)
		f.Logf("level %v, moves %d (least possible 33)", level, f.moved())
	})
}

func TestShareOneHoldsAllNineJoin(t *testing.T) {
	simulate(t, 100, func(f *simulation) {
		f.start("w0")
		f.until("level", time.Minute, f.level)
		time.Sleep(time.Minute)
		f.startSome(1, 9, 9*time.Second)
		level := f.until("level", 3*time.Minute, f.level)
		time.Sleep(time.Minute)
		moves := f.moved()
		f.Logf("level %v, moves %d", level, moves)
		assert.LessOrEqual(f, moves, 110)
	})
}

func TestShareRollingRestart(t *testing.T) {
	simulate(t, 100, func(f *simulation) {
		f.startAll(10, 0)
		f.until("level", time.Minute, f.level)
		time.Sleep(time.Minute)
		f.moved()
		f.gaps = nil
		for i := range 10 {
			name := fmt.Sprintf("w%d", i)
			require.ErrorIs(f, f.leave(f.workers[name]), context.Canceled)
			time.Sleep(5 * time.Second)
			f.start(name)
			time.Sleep(30 * time.Second)
		}
		level := f.until("level", time.Minute, f.level)
		longest := time.Duration(0)
		for _, gap := range f.gaps {
			longest = max(longest, gap)
		}
		f.Logf("level %v, moves %d, longest gap %v", level, f.moved(), longest)
	})
}

func TestShareMoreWorkersThanItems(t *testing.T) {
	simulate(t, 5, func(f *simulation) {
		f.startAll(20, 0)
		f.until("all held", time.Minute, f.held)
		f.moved()
		time.Sleep(time.Hour)
		assert.True(f, f.level())
		assert.Zero(f, f.moved())
	})
}

func TestShareADeafWorker(t *testing.T) {
	simulate(t, 40, func(f *simulation) {
		f.start("deaf", func(w *sharer) {
			w.most = 28
			w.work = func(ctx context.Context, l *lease.Lease) error { // heeds no wish
				w.begin(l)
				defer w.end(l)
				select {
				case <-l.Context().Done():
				case <-w.over:
				}
				return nil
			}
		})
		f.until("28", time.Minute, func() bool { of, _ := f.counts(); return of["deaf"] == 28 })
		f.start("b")
		f.until("all held", time.Minute, f.held)
		f.start("c")
		f.until("even", 10*time.Minute, func() bool { of, _ := f.counts(); return of["b"] == 6 && of["c"] == 6 })
	})
}

func TestShareSlowWork(t *testing.T) {
	simulate(t, 40, func(f *simulation) {
		f.returns = 2 * time.Minute
		f.start("w0")
		f.until("level", time.Minute, f.level)
		f.startSome(1, 3, 3*time.Second)
		level := f.until("level", 10*time.Minute, f.level)
		time.Sleep(5 * time.Minute)
		moves := f.moved()
		f.Logf("level %v, moves %d", level, moves)
		assert.LessOrEqual(f, moves, 45)
	})
}

func TestShareShortAndLongLeases(t *testing.T) {
	simulate(t, 40, func(f *simulation) {
		for i := range 4 {
			f.start(fmt.Sprintf("w%d", i), func(w *sharer) { w.duration = []time.Duration{3 * time.Second, time.Minute}[i%2] })
		}
		f.until("all held", 2*time.Minute, f.held)
		level := f.until("level", 20*time.Minute, f.level)
		f.Logf("level %v, moves %d", level, f.moved())
	})
}

func TestShareHalfAreLimited(t *testing.T) {
	simulate(t, 100, func(f *simulation) {
		for i := range 10 {
			f.start(fmt.Sprintf("w%d", i), func(w *sharer) { w.most = 5 * (i % 2) })
		}
		f.until("all held", time.Minute, f.held)
		level := f.until("even", 5*time.Minute, func() bool {
			of, _ := f.counts()
			for name, n := range of {
				if want := 15; f.workers[name].most == 0 && (n < want-1 || n > want+1) || f.workers[name].most == 5 && n != 5 {
					return false
				}
			}
			return true
		})
		f.Logf("level %v", level)
	})
}

func TestShareAPoisonedItem(t *testing.T) {
	simulate(t, 20, func(f *simulation) {
		var tries atomic.Int32
		f.startAll(4, 0, func(w *sharer) {
			deliver := w.work
			w.work = func(ctx context.Context, l *lease.Lease) error {
				if l.LeaseID == "item-0" {
					tries.Add(1)
					return fmt.Errorf("poisoned")
				}
				return deliver(ctx, l)
			}
		})
		time.Sleep(time.Hour)
		_, nobody := f.counts()
		assert.Equal(f, 1, nobody)
		f.Logf("%d tries in an hour by 4 workers", tries.Load())
		assert.Less(f, tries.Load(), int32(100))
		assert.Greater(f, tries.Load(), int32(20))
	})
}

func TestShareWithTheOriginal(t *testing.T) {
	simulate(t, 30, func(f *simulation) {
		f.startAll(3, 0)
		f.until("level", time.Minute, f.level)
		time.Sleep(time.Minute)
		// A worker of the original keeps what it gets, and heeds no wish.
		client := f.store.NewClient()
		stop := make(chan struct{})
		done := make(chan struct{})
		r := worker{"original", shareD}
		go func() {
			defer close(done)
			for item := ""; ; {
				for _, id := range f.items {
					if item != "" {
						id = item
					}
					if _, err := client.Lease(id, r, time.Now().Add(shareD)); err == nil {
						item = id
						break
					}
				}
				select {
				case <-time.After(5 * time.Second):
				case <-stop:
					return
				}
			}
		}()
		f.kill(f.workers["w0"])
		f.until("nobody's is the original's", 2*time.Minute, func() bool { _, nobody := f.counts(); return nobody <= 1 })
		time.Sleep(10 * time.Minute)
		of, nobody := f.counts()
		f.Logf("%v, the original's %d", of, nobody)
		assert.InDelta(f, of["w1"], of["w2"], 1)
		close(stop)
		<-done
	})
}
