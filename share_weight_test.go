package lease_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

// showing is a client that shows rows otherwise than they are.
type showing struct {
	client *leasetest.Store
	change func(item *lease.LeaseItem)
}

func (s showing) changed(item lease.LeaseItem) lease.LeaseItem {
	s.change(&item)
	return item
}

func (s showing) ListLeaseIDs() ([]string, error) { return s.client.ListLeaseIDs() }

func (s showing) Lease(
	leaseID string, request lease.LeaseRequest, until time.Time,
) (*lease.Lease, error) {
	return s.client.Lease(leaseID, request, until)
}

func (s showing) ScanLeaseItemsWithContext(
	ctx context.Context, after string, limit int,
) ([]lease.LeaseItem, string, error) {
	items, next, err := s.client.ScanLeaseItemsWithContext(ctx, after, limit)
	for i := range items {
		s.change(&items[i])
	}
	return items, next, err
}

func (s showing) LeaseWithContext(
	ctx context.Context, leaseID string, request lease.LeaseRequest, until time.Time,
) (*lease.Lease, error) {
	return s.client.LeaseWithContext(ctx, leaseID, request, until)
}

func (s showing) LeaseAsSeen(
	ctx context.Context, seen lease.LeaseItem, predecessor *lease.Lease,
	request lease.LeaseRequest, until time.Time,
) (*lease.Lease, error) {
	return s.client.LeaseAsSeen(ctx, seen, predecessor, request, until)
}

func (s showing) RenewLeaseItem(
	ctx context.Context, l *lease.Lease, until, wanted time.Time,
) (lease.LeaseItem, error) {
	item, err := s.client.RenewLeaseItem(ctx, l, until, wanted)
	return s.changed(item), err
}

func (s showing) ReleaseLeaseWithContext(ctx context.Context, l *lease.Lease) error {
	return s.client.ReleaseLeaseWithContext(ctx, l)
}

func (s showing) WantLease(
	ctx context.Context, seen lease.LeaseItem, wantedBy string, until time.Time,
) error {
	return s.client.WantLease(ctx, seen, wantedBy, until)
}

func (s showing) WithdrawWish(
	ctx context.Context, seen lease.LeaseItem, wantedBy string, until time.Time,
) (lease.LeaseItem, error) {
	item, err := s.client.WithdrawWish(ctx, seen, wantedBy, until)
	return s.changed(item), err
}

func (s showing) HandOverLease(ctx context.Context, l *lease.Lease, until time.Time) error {
	return s.client.HandOverLease(ctx, l, until)
}

func (s showing) SaveAttributes(
	ctx context.Context, l *lease.Lease, attributes map[string]*dynamodb.AttributeValue,
) error {
	return s.client.SaveAttributes(ctx, l, attributes)
}

// weighed is a fleet whose items weigh something.
type weighed struct {
	*simulation
	mu         sync.Mutex
	weights    map[string]float64
	capacities map[string]float64
}

// weigher says what the items weigh of a fleet of so many.
type weigher func(random *rand.Rand, items int) []float64

func equal(_ *rand.Rand, items int) []float64 { return slices.Repeat([]float64{1}, items) }

// heavy is one item in 20 that weighs 20.
func heavy(_ *rand.Rand, items int) []float64 {
	weights := make([]float64, items)
	for i := range weights {
		weights[i] = 1
		if i%20 == 0 {
			weights[i] = 20
		}
	}
	return weights
}

func logNormal(_ *rand.Rand, items int) []float64 {
	weights := make([]float64, items)
	for i := range weights {
		quantile := (float64(i) + 0.5) / float64(items)
		weights[i] = math.Exp(math.Sqrt2 * math.Erfinv(2*quantile-1))
	}
	return weights
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

func (f *weighed) capacity(name string) float64 {
	if w := f.workers[name]; w.capacity > 0 {
		return w.capacity
	}
	return 1
}

// knows makes a worker one that sees weights.
func (f *weighed) knows(w *sharer) {
	w.locker = lease.NewLocker(showing{w.client, func(item *lease.LeaseItem) {
		f.mu.Lock()
		defer f.mu.Unlock()
		item.Weight = f.weights[item.LeaseID]
		item.Capacity = f.capacities[item.LesseeID]
	}})
}

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

// isLevel tells that the greatest load is within a tenth of the best possible.
func (f *weighed) isLevel() func() bool {
	best := f.best()
	return func() bool {
		of, nobody := f.loads()
		greatest := 0.0
		for _, load := range of {
			greatest = max(greatest, load)
		}
		return nobody == 0 && greatest <= 1.1*best
	}
}

func (f *weighed) settled(workers int) {
	f.startAll(workers, 0, f.knows)
	f.until("level", 3*time.Minute, f.isLevel())
	time.Sleep(2 * time.Minute)
	f.moved()
}

func weigh(t *testing.T, items int, weights weigher, test func(f *weighed)) {
	simulate(t, items, func(s *simulation) {
		f := &weighed{
			simulation: s,
			weights:    make(map[string]float64),
			capacities: make(map[string]float64),
		}
		random := rand.New(rand.NewPCG(rand.Uint64(), 1))
		for i, weight := range weights(random, items) {
			f.weights[s.items[i]] = weight
		}
		test(f)
	})
}

func TestX(t *testing.T) {
	for name, weights := range map[string]weigher{"equal": equal, "heavy": heavy, "log-normal": logNormal} {
		t.Run(name, func(t *testing.T) {
			for what, run := range map[string]func(f *weighed, s size) string{
				"start": func(f *weighed, s size) string {
					start := time.Now()
					time.AfterFunc(4*time.Second, func() {
						f.simulation.mu.Lock()
						var free []string
						for _, id := range f.items {
							if len(f.began[id]) == 0 { free = append(free, fmt.Sprint(id, " ", f.weight(id))) }
						}
						f.simulation.mu.Unlock()
						of, _ := f.loads()
						if len(free) > 0 { f.Logf("DEBUG %v free %v loads %v, mean %v", time.Since(start), free, of, f.best()) }
					})
					f.startAll(s.workers, 0, f.knows)
					held := f.until("all begun", 15*time.Second, func() bool {
						f.simulation.mu.Lock()
						defer f.simulation.mu.Unlock()
						return len(f.began) == s.items
					})
					level := held + f.until("level", 3*time.Minute, f.isLevel())
					return fmt.Sprintf("held %s level %s moved %d refused %d", seconds(held), seconds(level), f.moved(), f.requests().Refused)
				},
				"join": func(f *weighed, s size) string {
					f.settled(s.workers)
					f.start("joins", f.knows)
					level := f.until("level", 3*time.Minute, f.isLevel())
					time.Sleep(time.Minute)
					m := f.moved()
					time.Sleep(10 * time.Minute)
					return fmt.Sprintf("moved %d level %s; later %d", m, seconds(level), f.moved())
				},
				"half": func(f *weighed, s size) string {
					f.settled(s.workers)
					f.startSome(s.workers, s.workers/2, 0, f.knows)
					level := f.until("level", 3*time.Minute, f.isLevel())
					time.Sleep(time.Minute)
					return fmt.Sprintf("moved %d level %s", f.moved(), seconds(level))
				},
				"others": func(f *weighed, s size) string {
					f.settled(1)
					f.startSome(1, s.workers-1, time.Duration(s.workers-1)*time.Second, f.knows)
					level := f.until("level", 4*time.Minute, f.isLevel())
					time.Sleep(time.Minute)
					return fmt.Sprintf("moved %d level %s", f.moved(), seconds(level))
				},
				"killed": func(f *weighed, s size) string {
					f.settled(s.workers)
					f.kill(f.workers["w0"])
					idle := f.idle(f.endsOf("w0"), time.Minute)
					median := idle[len(idle)/2]
					longest := idle[len(idle)-1]
					level := f.until("level", 4*time.Minute, f.isLevel())
					time.Sleep(time.Minute)
					return fmt.Sprintf("median %s longest %s level %s moved %d", seconds(median), seconds(longest), seconds(level), f.moved())
				},
				"30times": func(f *weighed, s size) string {
					f.settled(s.workers)
					n := rand.IntN(s.items)
					id := fmt.Sprintf("item-%d", n)
					of, _ := f.counts()
					others := of[f.on[id]] - 1
					f.setWeight(id, 30*f.weight(id))
					time.Sleep(100 * time.Millisecond)
					level := f.until("level", 4*time.Minute, f.isLevel())
					time.Sleep(2 * time.Minute)
					return fmt.Sprintf("level %s moved %d others %d", seconds(level), f.moved(), others)
				},
			} {
				for _, s := range []size{{10, 100}, {100, 1000}} {
					t.Run(fmt.Sprintf("%s/%v", what, s), func(t *testing.T) {
						weigh(t, s.items, weights, func(f *weighed) {
							t.Logf("RESULT %v %s %s: %s", s, name, what, run(f, s))
						})
					})
				}
			}
		})
	}
}
