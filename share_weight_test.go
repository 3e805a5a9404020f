package lease_test

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/race"
)

// weighed is a fleet whose items weigh something.
type weighed struct {
	*simulation
	random *rand.Rand

	mu      sync.Mutex
	weights map[string]float64
	noise   float64 // of what works measure, up and down
}

// weigher says what the items weigh of a fleet of so many.
type weigher func(items int) []float64

func equal(items int) []float64 { return slices.Repeat([]float64{1}, items) }

// heavy is one item in 20 that weighs 20.
func heavy(items int) []float64 {
	weights := equal(items)
	for i := 0; i < items; i += 20 {
		weights[i] = 20
	}
	return weights
}

func logNormal(items int) []float64 {
	weights := make([]float64, items)
	for i := range weights {
		quantile := (float64(i) + 0.5) / float64(items)
		weights[i] = math.Exp(math.Sqrt2 * math.Erfinv(2*quantile-1))
	}
	return weights
}

// weigh simulates a fleet whose items are registered with these weights.
func weigh(t *testing.T, items int, weights weigher, test func(f *weighed)) {
	simulate(t, items, func(s *simulation) {
		f := &weighed{
			simulation: s,
			random:     rand.New(rand.NewPCG(rand.Uint64(), 1)),
			weights:    make(map[string]float64),
		}
		for i, weight := range weights(items) {
			id := s.items[i]
			f.weights[id] = weight
			require.NoError(t, f.store.RemoveLeaseID(id))
			number := strconv.FormatFloat(weight, 'g', 4, 64)
			require.NoError(t, f.store.AddLeaseID(id, map[string]*dynamodb.AttributeValue{
				"LeaseWeight": {N: &number},
			}))
		}
		test(f)
	})
}

func (f *weighed) weight(id string) float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.weights[id]
}

func (f *weighed) setWeight(id string, weight float64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.weights[id] = weight
}

// measured is what a work measures of an item's weight.
func (f *weighed) measured(id string) float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.weights[id] * (1 + f.noise*(2*f.random.Float64()-1))
}

// measures makes a worker one whose works measure what their items weigh.
func (f *weighed) measures(w *sharer) {
	w.work = func(ctx context.Context, l *lease.Lease) error {
		measuring, stop := context.WithCancel(ctx)
		var measurer sync.WaitGroup
		measurer.Go(func() {
			for measuring.Err() == nil {
				l.SetWeight(f.measured(l.LeaseID))
				select {
				case <-measuring.Done():
				case <-time.After(shareP / 2):
				}
			}
		})
		defer measurer.Wait()
		defer stop()
		return w.deliver(ctx, l)
	}
}

func (f *weighed) capacity(name string) float64 { return cmp.Or(f.workers[name].capacity, 1) }

// loads are those of the workers that aren't cut off, and what items weigh that have nobody.
func (f *weighed) loads() (of map[string]float64, nobody float64) {
	f.simulation.mu.Lock()
	defer f.simulation.mu.Unlock()
	of = make(map[string]float64)
	for name, w := range f.workers {
		if !w.cut.Load() {
			of[name] = 0
		}
	}
	for _, item := range f.items {
		name := f.on[item]
		if _, ok := of[name]; ok {
			of[name] += f.weight(item) / f.capacity(name)
		} else {
			nobody += f.weight(item)
		}
	}
	return of, nobody
}

// best is the least that the greatest load can be, or a little more: the heaviest item first, each
// is given to whose load is least then.
func (f *weighed) best() (greatest float64) {
	of, _ := f.loads()
	for name := range of {
		of[name] = 0
	}
	var weights []float64
	for _, item := range f.items {
		weights = append(weights, f.weight(item))
	}
	slices.Sort(weights)
	for _, weight := range slices.Backward(weights) {
		least := ""
		for name, load := range of {
			isLess := least == "" || load+weight/f.capacity(name) < of[least]+weight/f.capacity(least)
			if isLess {
				least = name
			}
		}
		of[least] += weight / f.capacity(least)
		greatest = max(greatest, of[least])
	}
	return greatest
}

// isLevel tells that the greatest load is within a tenth of the best possible, or that no
// move of one item would make it less by a twentieth: that is all the levelling there is.
func (f *weighed) isLevel() func() bool {
	best := f.best()
	return func() bool {
		of, nobody := f.loads()
		most, least := "", ""
		for name, load := range of {
			if most == "" || load > of[most] {
				most = name
			}
			if least == "" || load < of[least] {
				least = name
			}
		}
		isEven := of[most] <= 1.1*best || !f.isHelped(most, of[most], of[least])
		return nobody == 0 && isEven
	}
}

// isHelped tells that a worker, of that load, has an item that one of the least load could take.
func (f *weighed) isHelped(name string, load, least float64) bool {
	f.simulation.mu.Lock()
	defer f.simulation.mu.Unlock()
	for id, worker := range f.on {
		if worker == name && least+f.weight(id) < 0.95*load {
			return true
		}
	}
	return false
}

// levelAfter returns how long it takes until the loads are level.
func (f *weighed) levelAfter(most time.Duration) time.Duration {
	f.Helper()
	after := f.until("level", most, f.isLevel())
	if f.Failed() {
		of, _ := f.loads()
		f.Logf("the loads are %v, the best is %.1f", of, f.best())
	}
	return after
}

// shows makes a worker one to whom rows say what their items weigh now.
func (f *weighed) shows(w *sharer) {
	w.locker = lease.NewLocker(&hooked{to: w.client, show: func(item *lease.LeaseItem) {
		item.Weight = f.weight(item.LeaseID)
	}})
}

func (f *weighed) settled(workers int) { f.settledAs(workers, f.measures) }

func (f *weighed) settledAs(workers int, as func(w *sharer)) {
	f.startAll(workers, 0, as)
	f.levelAfter(3 * time.Minute)
	time.Sleep(2 * time.Minute)
	f.moved()
}

// TestShareByWeight simulates what happens to fleets whose items weigh differently, and logs a
// table of it. The bounds are the design's: half as long again, a fifth more moves.
func TestShareByWeight(t *testing.T) {
	t.Parallel()
	sizes := []size{{10, 100}}
	if *shareLarge {
		sizes = append(sizes, size{100, 1000})
	}
	scenarios := []struct {
		name string
		run  func(f *weighed, s size) string
	}{
		{"all start at once", weighedStart},
		{"one more joins", weighedJoin},
		{"half as many again join at once", weighedHalf},
		{"one holds all, the others join 1 s apart", weighedOthers},
		{"one is killed", weighedDeath},
		{"an item becomes 30 times as heavy", weighedGrowth},
	}
	weighers := map[string]weigher{"heavy": heavy, "log-normal": logNormal}
	if race.Enabled() { // With it all takes ten times as long.
		delete(weighers, "log-normal")
	}
	for name, weights := range weighers {
		for _, s := range sizes {
			for _, scenario := range scenarios {
				t.Run(fmt.Sprintf("%s/%s/%v", name, scenario.name, s), func(t *testing.T) {
					t.Parallel()
					weigh(t, s.items, weights, func(f *weighed) {
						t.Logf("| %v | %s | %s | %s |", s, name, scenario.name, scenario.run(f, s))
					})
				})
			}
		}
	}
}

func weighedStart(f *weighed, s size) string {
	f.startAll(s.workers, 0, f.measures)
	held := f.until("held", 10*time.Second, f.held)
	level := held + f.levelAfter(96*time.Second)
	return fmt.Sprintf("all held after %s, level after %s, %d moved", seconds(held), seconds(level), f.moved())
}

func weighedJoin(f *weighed, s size) string {
	f.settled(s.workers)
	f.start("joins", f.measures)
	level := f.levelAfter(time.Minute)
	time.Sleep(2 * time.Minute)
	moves := f.moved()
	assert.LessOrEqual(f, moves, 38)
	of, _ := f.loads()
	assert.Greater(f, of["joins"], f.best()/2)
	return fmt.Sprintf("%d moved, level after %s", moves, seconds(level))
}

func weighedHalf(f *weighed, s size) string {
	f.settled(s.workers)
	f.startSome(s.workers, s.workers/2, 0, f.measures)
	level := f.levelAfter(80 * time.Second)
	time.Sleep(2 * time.Minute)
	moves := f.moved()
	assert.LessOrEqual(f, moves, s.items*78/100)
	return fmt.Sprintf("%d moved, level after %s", moves, seconds(level))
}

func weighedOthers(f *weighed, s size) string {
	f.settled(1)
	f.startSome(1, s.workers-1, time.Duration(s.workers-1)*time.Second, f.measures)
	level := f.levelAfter(54 * time.Second)
	time.Sleep(time.Minute)
	moves := f.moved()
	if s.workers == 10 {
		assert.LessOrEqual(f, moves, 132)
	}
	return fmt.Sprintf("%d moved, level %s after the last", moves, seconds(level))
}

func weighedDeath(f *weighed, s size) string {
	f.settled(s.workers)
	f.kill(f.workers["w0"])
	idle := f.idle(f.endsOf("w0"), time.Minute)
	longest := idle[len(idle)-1]
	assert.LessOrEqual(f, longest, 5250*time.Millisecond)
	level := f.levelAfter(time.Minute)
	return fmt.Sprintf("items were free for %s in the median, %s at most; level %s after", seconds(idle[len(idle)/2]),
		seconds(longest), seconds(level))
}

// beside returns how many items a worker works on beside this one.
func (f *weighed) beside(id string) (n int) {
	f.simulation.mu.Lock()
	defer f.simulation.mu.Unlock()
	for _, worker := range f.on {
		if worker == f.on[id] {
			n++
		}
	}
	return n - 1
}

// weighedGrowth: what its holder had beside it goes to others.
func weighedGrowth(f *weighed, s size) string {
	f.settledAs(s.workers, f.shows)
	id := fmt.Sprintf("item-%d", s.items/2+1) // It weighs 1, or about that.
	others := f.beside(id)
	f.setWeight(id, 30*f.weight(id))
	time.Sleep(time.Second)
	level := time.Second + f.levelAfter(50*time.Second)
	time.Sleep(2 * time.Minute)
	moves := f.moved()
	assert.LessOrEqual(f, moves, 2*others+15)
	return fmt.Sprintf("%d moved (it had %d beside it), level after %s", moves, others, seconds(level))
}

// TestShareOfAnItemThatIsMeasuredToBeHeavyIsRelieved: its row says so, within half, after some
// renewals.
func TestShareOfAnItemThatIsMeasuredToBeHeavyIsRelieved(t *testing.T) {
	t.Parallel()
	weigh(t, 100, equal, func(f *weighed) {
		f.settled(10)
		f.setWeight("item-1", 30)
		f.until("relieved", 3*time.Minute, func() bool {
			return f.beside("item-1") == 0
		})
		time.Sleep(2 * time.Minute)
		item, err := f.store.GetLeaseItem(f.Context(), "item-1")
		require.NoError(t, err)
		assert.Greater(t, item.Weight, 20.0)
		assert.LessOrEqual(t, f.moved(), 25)
	})
}

func TestShareOfNoisyWeightsIsAtRest(t *testing.T) {
	t.Parallel()
	weigh(t, 100, logNormal, func(f *weighed) {
		f.noise = 0.2
		f.settled(10)
		time.Sleep(5 * time.Minute)
		f.moved()
		time.Sleep(atRest())
		moves := f.moved()
		f.Logf("%d moves in %v", moves, atRest())
		assert.LessOrEqual(f, moves, 10)
	})
}

// atRest is for how long fleets are simulated that are to be at rest.
func atRest() time.Duration {
	if *shareLarge {
		return time.Hour
	}
	if race.Enabled() {
		return 5 * time.Minute
	}
	return 20 * time.Minute
}

func TestShareByCapacityGivesALargerHostMore(t *testing.T) {
	t.Parallel()
	weigh(t, 60, equal, func(f *weighed) {
		large := func(w *sharer) { w.capacity = 2 }
		f.startSome(0, 2, 0)
		f.startSome(2, 2, 0, large)
		has := func(small, large int) func() bool {
			return func() bool {
				of, nobody := f.counts()
				isSmall := of["w0"] == small && of["w1"] == small
				return nobody == 0 && isSmall && of["w2"] == large && of["w3"] == large
			}
		}
		f.until("20 and 10", 2*time.Minute, has(10, 20))
		f.start("w4", large)
		f.until("level", time.Minute, f.isLevel())
		time.Sleep(time.Minute)
		f.moved()
		time.Sleep(atRest())
		assert.Zero(f, f.moved())
	})
}

// TestShareOfClasses: workers of three classes on one table, which overlap.
func TestShareOfClasses(t *testing.T) {
	t.Parallel()
	simulate(t, 60, func(f *simulation) {
		within := func(from, to int) func(w *sharer) {
			return func(w *sharer) {
				w.takes = func(id string) bool {
					n := itemNumber(id)
					return from <= n && n < to
				}
			}
		}
		f.startSome(0, 2, 0, within(0, 40))
		f.startSome(2, 2, 0, within(20, 60))
		f.until("held", time.Minute, f.held)
		time.Sleep(2 * time.Minute)
		f.moved()
		time.Sleep(atRest())
		assert.Zero(f, f.moved())
		of, _ := f.counts()
		f.Logf("%v", of)
		for name, n := range of {
			assert.GreaterOrEqual(f, n, 10, name)
			assert.LessOrEqual(f, n, 20, name)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		for id, worker := range f.on {
			assert.True(f, f.workers[worker].takes(id), "%s works on %s", worker, id)
		}
	})
}

func itemNumber(id string) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(id, "item-"))
	return n
}

// TestShareOfAClassThatChangesGivesItemsUp: their works end as if they were wanted.
func TestShareOfAClassThatChangesGivesItemsUp(t *testing.T) {
	t.Parallel()
	simulate(t, 20, func(f *simulation) {
		var takesFrom atomic.Int32
		f.start("w0", func(w *sharer) {
			deliver := w.work
			w.takes = func(id string) bool { return itemNumber(id) >= int(takesFrom.Load()) }
			w.work = func(ctx context.Context, l *lease.Lease) error {
				err := deliver(ctx, l)
				if n := itemNumber(l.LeaseID); n < int(takesFrom.Load()) {
					assert.Equal(f, lease.LeaseWantedError, context.Cause(ctx))
				}
				return err
			}
		})
		f.until("held", time.Minute, f.held)
		time.Sleep(time.Minute)
		takesFrom.Store(15)
		f.until("given up", 2*shareP, func() bool { return f.has("w0") == 5 })
		f.start("w1")
		f.until("held again", time.Minute, f.held)
		time.Sleep(5 * time.Minute)
		of, nobody := f.counts()
		assert.Zero(f, nobody)
		assert.Equal(f, 15, of["w1"], "what w0 has is as many as it may have")
		takesFrom.Store(0)
		f.until("level", 5*time.Minute, f.level)
	})
}

// TestShareBesideWorkersThatSeeNoWeightsMovesLittle: those of a version before count items.
func TestShareBesideWorkersThatSeeNoWeightsMovesLittle(t *testing.T) {
	t.Parallel()
	weigh(t, 100, heavy, func(f *weighed) {
		blind := func(w *sharer) {
			w.locker = lease.NewLocker(&hooked{to: w.client, show: func(item *lease.LeaseItem) {
				item.Weight = 0
				item.Capacity = 0
			}})
		}
		f.startSome(0, 5, 0, blind)
		time.Sleep(2 * time.Minute)
		f.startSome(5, 5, 0)
		time.Sleep(10 * time.Minute)
		f.moved()
		time.Sleep(atRest())
		moves := f.moved()
		f.Logf("%d moves in %v", moves, atRest())
		assert.LessOrEqual(f, moves, 3*len(f.items))
	})
}
