package lease_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/race"
	"github.com/intercom/lease/leasetest"
)

var shareSeed = flag.Uint64("share.seed", 0, "the seed of the simulated fleets; 0 for a new one")

var shareLarge = flag.Bool("share.large", false,
	"simulate 1,000 workers with 10,000 items as well, and an hour in peace of all")

const (
	shareD = 30 * time.Second
	shareP = shareD / 3
)

// simulation is workers that share items: HoldShare itself, on a store in memory, in imagined time.
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
	began  map[string][]time.Time // when the works on an item began
	moves  int
	double int
	gaps   []time.Duration // how long items that moved had nobody
}

// start starts a worker.
func (f *simulation) start(name string, options ...func(w *sharer)) *sharer {
	w := &sharer{
		simulation: f,
		name:       name,
		client:     f.store.NewClient(),
		duration:   shareD,
		stopped:    make(chan error, 1),
	}
	w.work = w.deliver
	for _, option := range options {
		option(w)
	}
	var ctx context.Context
	ctx, w.stop = context.WithCancel(context.Background())
	f.workers[name] = w
	if w.locker == nil {
		w.locker = lease.NewLocker(w.client)
	}
	shares := lease.ShareOptions{Most: w.most, Capacity: w.capacity, Items: w.takes}
	go func() { w.stopped <- w.locker.HoldShareWith(ctx, w, shares, w.work) }()
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

// kill cuts a worker off for good: nothing is released.
func (f *simulation) kill(w *sharer) {
	w.cut.Store(true)
	w.client.SetHang(true)
}

// crash kills a worker whose name another one is to have.
func (f *simulation) crash(w *sharer) {
	f.kill(w)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range f.items {
		if f.on[id] == w.name {
			f.on[id] = ""
		}
	}
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

// has returns how many items a worker works on.
func (f *simulation) has(name string) int {
	of, _ := f.counts()
	return of[name]
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

// gapsSoFar are how long items that moved had nobody.
func (f *simulation) gapsSoFar() []time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.gaps)
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

// settled starts a fleet and waits until it is level, and at rest.
func (f *simulation) settled(workers int) {
	f.startAll(workers, 0)
	f.until("level", 2*time.Minute, f.level)
	time.Sleep(time.Minute)
	f.moved()
}

// sharer is a worker.
type sharer struct {
	*simulation
	name     string
	client   *leasetest.Store
	locker   *lease.Locker
	duration time.Duration
	most     int
	capacity float64
	takes    func(leaseID string) bool // the items that it takes part in; nil: all
	work     func(ctx context.Context, l *lease.Lease) error
	stop     context.CancelFunc
	stopped  chan error
	cut      atomic.Bool
}

func (w *sharer) LesseeID() string { return w.name }

func (w *sharer) LeaseDuration() time.Duration { return w.duration }

// deliver works on an item until it shall not, and takes some time to return.
func (w *sharer) deliver(ctx context.Context, l *lease.Lease) error {
	w.begin(l)
	<-ctx.Done()
	select {
	case <-time.After(1 + w.rand(w.returns)):
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
	w.began[l.LeaseID] = append(w.began[l.LeaseID], time.Now())
}

func (w *sharer) end(l *lease.Lease) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.on[l.LeaseID], w.since[l.LeaseID] = "", time.Now()
}

// simulate runs a test with a fleet, in imagined time. Nothing of it is left.
func simulate(t *testing.T, items int, test func(f *simulation)) {
	seed := *shareSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	synctest.Test(t, func(t *testing.T) {
		t.Logf("seed %d", seed)
		source := rand.New(rand.NewPCG(seed, 1))
		f := &simulation{
			T:       t,
			workers: make(map[string]*sharer),
			on:      make(map[string]string),
			last:    make(map[string]string),
			since:   make(map[string]time.Time),
			began:   make(map[string][]time.Time),
			returns: 2 * time.Second,
			over:    make(chan struct{}),
		}
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

// size is that of a simulated fleet.
type size struct{ workers, items int }

func (s size) String() string { return fmt.Sprintf("%d workers × %d items", s.workers, s.items) }

// TestShare simulates what happens to fleets of several sizes, and logs a table of it.
func TestShare(t *testing.T) {
	t.Parallel()
	sizes := []size{{10, 100}}
	if !race.Enabled() { // With it that takes minutes, and finds no other races.
		sizes = append(sizes, size{100, 1000})
	}
	if *shareLarge {
		sizes = append(sizes, size{1000, 10000})
	}
	scenarios := []struct {
		name string
		run  func(f *simulation, s size) string
	}{
		{"all start at once", allAtOnce},
		{"all start within 3 s", allWithinSeconds},
		{"one more joins", oneJoins},
		{"an hour in peace", inPeace},
		{"one is killed", func(f *simulation, s size) string { return killed(f, s, 1) }},
		{"half are killed at once", func(f *simulation, s size) string { return killed(f, s, s.workers/2) }},
		{"half as many again join at once", halfAsManyAgain},
		{"one holds all, the others join 1 s apart", othersJoin},
		{"all are restarted, one after the other", rollingRestart},
	}
	rows := make([]string, len(sizes)*len(scenarios))
	t.Cleanup(func() {
		t.Logf("Leases of %v, work that takes up to 2 s to return:\n"+
			"| fleet | what happens | result |\n|---|---|---|\n%s", shareD, strings.Join(rows, ""))
	})
	for i, s := range sizes {
		for j, scenario := range scenarios {
			t.Run(fmt.Sprintf("%s/%v", scenario.name, s), func(t *testing.T) {
				t.Parallel()
				simulate(t, s.items, func(f *simulation) {
					result := scenario.run(f, s)
					rows[i*len(scenarios)+j] = fmt.Sprintf("| %v | %s | %s |\n", s, scenario.name, result)
				})
			})
		}
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func allAtOnce(f *simulation, s size) string {
	f.startAll(s.workers, 0)
	held := f.until("all held", 5*time.Second, f.held)
	level := held + f.until("level", shareD, f.level)
	return fmt.Sprintf("all held after %s, level after %s, %d moved", seconds(held), seconds(level), f.moved())
}

func allWithinSeconds(f *simulation, s size) string {
	f.startAll(s.workers, 3*time.Second)
	level := f.until("level", 2*shareD, f.level)
	return fmt.Sprintf("%d moved, level after %s", f.moved(), seconds(level))
}

func oneJoins(f *simulation, s size) string {
	f.settled(s.workers)
	before := f.requests()
	f.start("joins")
	level := f.until("level", 3*shareP, f.level)
	time.Sleep(time.Minute)
	moves, after := f.moved(), f.requests()
	assert.Equal(f, s.items/(s.workers+1), moves)
	writes := after.Wishes + after.Handovers + after.Leases - before.Leases
	assert.Equal(f, 3*moves, writes, "a move costs three writes")
	assert.Equal(f, before.Refused, after.Refused, "failed writes")
	return fmt.Sprintf("%d moved (the least possible), level after %s", moves, seconds(level))
}

func inPeace(f *simulation, s size) string {
	f.settled(s.workers)
	before, long := f.requests(), time.Hour
	if (s.workers > 10 || race.Enabled()) && !*shareLarge {
		long = 5 * time.Minute
	}
	time.Sleep(long)
	after, moves := f.requests(), f.moved()
	assert.Zero(f, moves)
	assert.Equal(f, before.Refused, after.Refused, "failed writes")
	assert.Equal(f, before.Leases, after.Leases)
	scans := float64(after.Scans-before.Scans) / float64(s.workers) / float64(long/shareP)
	assert.LessOrEqual(f, scans, 1.05)
	return fmt.Sprintf("%d moved, %.2f scans a worker a period (%v simulated)", moves, scans, long)
}

// killed kills workers. An item may be without work beyond the end of its lease as it moves
// once more; how soon it is leased, TestShareAfterADeathTakesOverAtOnce measures.
func killed(f *simulation, s size, n int) string {
	f.settled(s.workers)
	most := shareD + shareP
	if s.workers > 100 {
		most += 5 * shareP // They look less often.
	}
	for i := range n {
		f.kill(f.workers[fmt.Sprintf("w%d", i)])
	}
	held := f.until("all held", most, f.held)
	level := held + f.until("level", 2*time.Minute, f.level)
	return fmt.Sprintf("all held after %s, level after %s", seconds(held), seconds(level))
}

func halfAsManyAgain(f *simulation, s size) string {
	f.settled(s.workers)
	f.startSome(s.workers, s.workers/2, 0)
	level := f.until("level", 4*time.Minute, f.level)
	time.Sleep(time.Minute)
	return fmt.Sprintf("%d moved (least possible: %d), level after %s", f.moved(), s.items/3, seconds(level))
}

func othersJoin(f *simulation, s size) string {
	f.settled(1)
	f.startSome(1, s.workers-1, time.Duration(s.workers-1)*time.Second)
	level := f.until("level", 4*time.Minute, f.level)
	time.Sleep(time.Minute)
	least, moves := s.items-s.items/s.workers, f.moved()
	if s.workers == 10 {
		assert.LessOrEqual(f, moves, 120) // 110 to 117 were simulated
	}
	return fmt.Sprintf("%d moved (least possible: %d), level %s after the last", moves, least, seconds(level))
}

func rollingRestart(f *simulation, s size) string {
	f.settled(s.workers)
	f.gaps = nil
	pause := 5 * time.Minute / time.Duration(s.workers)
	for i := range s.workers {
		name := fmt.Sprintf("w%d", i)
		require.ErrorIs(f, f.leave(f.workers[name]), context.Canceled)
		time.Sleep(pause / 6)
		f.start(name)
		time.Sleep(pause * 5 / 6)
	}
	level := f.until("level", 2*time.Minute, f.level)
	longest := slices.Max(append(f.gaps, 0))
	assert.Less(f, longest, shareD)
	return fmt.Sprintf("%d moved, an item without work for %s at most, level after %s",
		f.moved(), seconds(longest), seconds(level))
}

func TestShareOfMoreWorkersThanItemsIsAtRest(t *testing.T) {
	t.Parallel()
	simulate(t, 5, func(f *simulation) {
		f.startAll(20, 0)
		f.until("all held", time.Minute, f.held)
		f.moved()
		time.Sleep(20 * time.Minute)
		assert.True(f, f.level())
		assert.Zero(f, f.moved())
	})
}

func TestShareOfADeafWorkerIsLeftToIt(t *testing.T) {
	t.Parallel()
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
		f.until("28", time.Minute, func() bool { return f.has("deaf") == 28 })
		f.start("b")
		f.until("all held", time.Minute, f.held)
		f.start("c")
		f.until("even", 40*time.Minute, func() bool { return f.has("b") == 6 && f.has("c") == 6 })
	})
}

func TestShareOfSlowWorkMovesLittle(t *testing.T) {
	t.Parallel()
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

func TestShareOfShortAndLongLeasesIsLevel(t *testing.T) {
	t.Parallel()
	simulate(t, 40, func(f *simulation) {
		for i := range 4 {
			durations := []time.Duration{3 * time.Second, time.Minute}
			f.start(fmt.Sprintf("w%d", i), func(w *sharer) { w.duration = durations[i%2] })
		}
		f.until("all held", 2*time.Minute, f.held)
		level := f.until("level", 20*time.Minute, f.level)
		f.Logf("level %v, moves %d", level, f.moved())
	})
}

func TestShareOfVeryDifferentLeasesIsAtRest(t *testing.T) {
	t.Parallel()
	for _, d := range [][2]time.Duration{
		{30 * time.Second, 2 * time.Hour},
		{30 * time.Second, 15 * time.Minute},
		{15 * time.Minute, 30 * time.Second},
	} {
		simulate(t, 10, func(f *simulation) {
			f.returns = 0
			f.start("w0", func(w *sharer) { w.duration = d[0] })
			f.until("held", 5*time.Minute, f.held)
			time.Sleep(time.Minute)
			f.start("w1", func(w *sharer) { w.duration = d[1] })
			f.until("level", 30*time.Minute, f.level)
			f.moved()
			time.Sleep(time.Hour)
			assert.Zero(f, f.moved(), "leases of %v", d)
		})
	}
}

func TestShareOfHalfLimitedWorkersIsLevel(t *testing.T) {
	t.Parallel()
	simulate(t, 100, func(f *simulation) {
		for i := range 10 {
			f.start(fmt.Sprintf("w%d", i), func(w *sharer) { w.most = 5 * (i % 2) })
		}
		f.until("all held", time.Minute, f.held)
		level := f.until("even", 5*time.Minute, func() bool {
			of, _ := f.counts()
			for name, n := range of {
				limited := f.workers[name].most > 0
				if limited && n != 5 {
					return false
				}
				if !limited && (n < 14 || n > 16) {
					return false
				}
			}
			return true
		})
		f.Logf("level %v", level)
	})
}

func TestShareOfAPoisonedItemTriesItRarely(t *testing.T) {
	t.Parallel()
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

func TestShareOfPoisonedItemsIsLevelAndAtRest(t *testing.T) {
	t.Parallel()
	simulate(t, 12, func(f *simulation) {
		poison := func(w *sharer) {
			w.work = func(ctx context.Context, l *lease.Lease) error {
				if n, _ := strconv.Atoi(strings.TrimPrefix(l.LeaseID, "item-")); n >= 6 {
					return errors.New("poison")
				}
				return w.deliver(ctx, l)
			}
		}
		f.start("w0", poison)
		time.Sleep(10 * time.Minute)
		f.start("w1", poison)
		f.until("even", 5*time.Minute, func() bool { return f.has("w0") == 3 && f.has("w1") == 3 })
		f.moved()
		time.Sleep(time.Hour)
		assert.LessOrEqual(f, f.moved(), 4)
	})
}

func TestShareOfAWorkerThatAlwaysFailsIsTheOthers(t *testing.T) {
	t.Parallel()
	simulate(t, 40, func(f *simulation) {
		f.startAll(3, 0)
		f.until("level", time.Minute, f.level)
		var runs atomic.Int32
		broken := f.start("broken", func(w *sharer) {
			w.work = func(context.Context, *lease.Lease) error { runs.Add(1); return errors.New("disk full") }
		})
		time.Sleep(30 * time.Minute) // By then each item rests as long as any does.
		runs.Store(0)
		before := broken.client.Counts()
		var lost idleness
		lost.pass(f, 20*time.Minute)
		after := broken.client.Counts()
		f.Logf("%d runs in 20 minutes, %d wishes, %.1f %% of the items' time lost",
			runs.Load(), after.Wishes-before.Wishes, 100*lost.share())
		assert.Less(f, lost.share(), 0.03, "the others have what it can't keep")
		assert.LessOrEqual(f, runs.Load(), int32(170), "each item rests for 5 minutes after each")
		assert.LessOrEqual(f, after.Wishes-before.Wishes, 170)
	})
}

func TestShareOfWorkThatEndsAtOncePullsAtOthersRarely(t *testing.T) {
	t.Parallel()
	simulate(t, 20, func(f *simulation) {
		f.start("w0")
		f.until("held", time.Minute, f.held)
		ends := f.start("ends", func(w *sharer) {
			w.work = func(context.Context, *lease.Lease) error { return nil }
		})
		time.Sleep(20 * time.Minute)
		before := ends.client.Counts().Wishes
		time.Sleep(time.Hour)
		assert.LessOrEqual(f, ends.client.Counts().Wishes-before, 150)
	})
}

func TestShareOfWorkThatWrapsTheContextsErrorLogsNone(t *testing.T) {
	for name, wrap := range map[string]func(err error) error{
		"in words": func(err error) error { return fmt.Errorf("poll: %w", err) },
		"as the SDK does": func(err error) error {
			return awserr.New(request.CanceledErrorCode, "request context canceled", err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			logger := record(t)
			simulate(t, 10, func(f *simulation) {
				wraps := func(w *sharer) {
					w.work = func(ctx context.Context, _ *lease.Lease) error {
						<-ctx.Done()
						return wrap(ctx.Err())
					}
				}
				w0 := f.start("w0", wraps)
				time.Sleep(time.Minute)
				w1 := f.start("w1", wraps)
				time.Sleep(time.Minute)
				assert.True(f, f.leave(w1) == context.Canceled)
				assert.True(f, f.leave(w0) == context.Canceled)
			})
			assert.NotContains(t, logger.text(), "Work Ended")
		})
	}
}

// In large fleets all looks together cost less than the renewals of what they look at, however
// many lease ends they see.
func TestShareOfALargeFleetIsLookedAtRarely(t *testing.T) {
	t.Parallel()
	if race.Enabled() {
		t.Skip("with -race it takes long, and finds no other races")
	}
	simulate(t, 300, func(f *simulation) {
		f.startAll(300, 0)
		f.until("held", 5*time.Minute, f.held)
		time.Sleep(3 * time.Minute)
		before := f.requests()
		time.Sleep(10 * time.Minute)
		after := f.requests()
		scans := float64(after.Scans-before.Scans) / 300 / 60
		f.Logf("%.2f scans a worker a period", scans)
		assert.LessOrEqual(f, scans, 0.37)
		f.kill(f.workers["w0"])
		f.until("held again", 2*shareD, f.held)
	})
}

func TestShareBesideForeignShortLeasesCostsNoLooks(t *testing.T) {
	t.Parallel()
	if race.Enabled() {
		t.Skip("with -race it takes long, and finds no other races")
	}
	for _, d := range []time.Duration{time.Minute, 3 * time.Second, 300 * time.Millisecond} {
		simulate(t, 100, func(f *simulation) {
			f.returns = 0
			f.start("short", func(w *sharer) { w.duration = d })
			long := f.start("long", func(w *sharer) { w.duration = time.Minute })
			time.Sleep(2 * time.Minute)
			before := long.client.Counts()
			time.Sleep(5 * time.Minute)
			scans := long.client.Counts().Scans - before.Scans
			assert.LessOrEqual(f, scans, 17, "in 15 periods, beside leases of %v", d)
		})
	}
}

func TestShareOfAReservationThatNobodyCanUseIsPastSoon(t *testing.T) {
	t.Parallel()
	simulate(t, 2, func(f *simulation) {
		f.returns = 0
		w0 := f.start("w0")
		f.until("held", time.Minute, f.held)
		time.Sleep(time.Minute)
		w1 := f.start("w1", func(w *sharer) { w.most = 1 })
		f.until("wished", time.Minute, func() bool { return w1.client.Counts().Wishes > 0 })
		w1.client.SetHang(true)
		f.until("handed over", time.Minute, func() bool { return w0.client.Counts().Handovers > 0 })
		f.leave(w0)
		time.Sleep(2 * time.Minute)
		w1.client.SetHang(false)
		f.until("at work", 2*shareD, func() bool { return f.has("w1") == 1 })
		time.Sleep(time.Minute)
		before := w1.client.Counts()
		time.Sleep(time.Hour)
		after := w1.client.Counts()
		assert.LessOrEqual(f, after.Scans-before.Scans, 378, "no wish is out any more")
		assert.Equal(f, before.Wishes, after.Wishes)
	})
}

func TestShareOfAReservationBeyondTheLimitEnds(t *testing.T) {
	t.Parallel()
	simulate(t, 4, func(f *simulation) {
		f.returns = 0
		f.start("x", func(w *sharer) { w.most = 1 })
		time.Sleep(5 * time.Second)
		f.start("y")
		f.until("held", time.Minute, f.held)
		time.Sleep(time.Minute)
		items, _, err := f.store.ScanLeaseItems("", 0)
		require.NoError(f, err)
		for _, i := range items {
			if i.LesseeID == "y" {
				require.NoError(f, f.store.WantLease(f.Context(), i, "x", time.Now().Add(9*time.Minute)))
				break
			}
		}
		f.until("free", time.Minute, func() bool { return !f.held() })
		f.until("held", time.Minute+3*shareP, f.held)
	})
}

func TestShareBesideTheOriginalIsLevel(t *testing.T) {
	t.Parallel()
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
		f.until("nobody's is the original's", 2*time.Minute, func() bool {
			_, nobody := f.counts()
			return nobody <= 1
		})
		time.Sleep(10 * time.Minute)
		of, nobody := f.counts()
		f.Logf("%v, the original's %d", of, nobody)
		assert.InDelta(f, of["w1"], of["w2"], 1)
		close(stop)
		<-done
	})
}
