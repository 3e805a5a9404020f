package main

import (
	"context"
	"fmt"
	"math/rand/v2"
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

// rollout is a fleet that is replaced worker by worker, in imagined time.
type rollout struct {
	store   *leasetest.Store
	started int
	running []*replica // the oldest first

	mu     sync.Mutex
	works  int                  // that have begun
	on     map[string]int       // how many work on an item
	free   map[string]time.Time // since when nobody does
	gaps   []time.Duration      // how long nobody did
	double bool                 // two have worked on one item
}

// replica is one worker of a fleet.
type replica struct {
	stop context.CancelFunc
	left chan error
}

const (
	rolloutItems   = 100
	rolloutWorkers = 10
	startUp        = 5 * time.Second // from the start of a container to that of its worker
	ready          = 10 * time.Second
)

func newRollout() *rollout {
	var items []string
	for i := range rolloutItems {
		items = append(items, fmt.Sprintf("item-%03d", i))
	}
	return &rollout{
		store: leasetest.NewStore(items...),
		on:    make(map[string]int),
		free:  make(map[string]time.Time),
	}
}

// start starts a worker.
func (r *rollout) start() {
	r.started++
	ctx, stop := context.WithCancel(context.Background())
	p := &replica{stop: stop, left: make(chan error, 1)}
	r.running = append(r.running, p)
	locker := lease.NewLocker(r.store.NewClient())
	name := worker{fmt.Sprintf("worker-%d", r.started), 30 * time.Second}
	go func() { p.left <- locker.HoldShare(ctx, name, 0, r.work) }()
}

// stopOldest stops the workers that have run longest, and waits until they have left.
func (r *rollout) stopOldest(n int) {
	oldest := r.running[:n]
	r.running = r.running[n:]
	for _, p := range oldest {
		p.stop()
	}
	for _, p := range oldest {
		<-p.left
	}
}

// work works on an item, and returns up to a second after it is to.
func (r *rollout) work(ctx context.Context, l *lease.Lease) error {
	r.begin(l.LeaseID)
	defer r.end(l.LeaseID)
	<-ctx.Done()
	time.Sleep(rand.N(time.Second))
	return ctx.Err()
}

func (r *rollout) begin(item string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.works++
	r.on[item]++
	r.double = r.double || r.on[item] > 1
	if since, wasFree := r.free[item]; wasFree {
		r.gaps = append(r.gaps, time.Since(since))
		delete(r.free, item)
	}
}

func (r *rollout) end(item string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.on[item]--
	r.free[item] = time.Now()
}

// moves is how many works have begun, but for the first on each item.
func (r *rollout) moves() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.works - rolloutItems
}

// idle returns the longest time that an item was without work, and the sum of all such time.
func (r *rollout) idle() (longest, sum time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, gap := range r.gaps {
		sum += gap
	}
	return slices.Max(r.gaps), sum
}

// isWorkedOn tells that all items are.
func (r *rollout) isWorkedOn() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.free) == 0
}

// way is a way to replace a fleet.
type way struct {
	atOnce int           // so many workers
	surges bool          // the new ones start before the old ones stop
	ready  time.Duration // how long a new one is left to settle
}

var ways = map[string]way{
	"maxSurge 1, maxUnavailable 0":                    {1, true, ready},
	"maxSurge 0, maxUnavailable 1":                    {1, false, ready},
	"maxSurge 0, maxUnavailable 1, minReadySeconds 0": {1, false, 0},
	"maxSurge 3, maxUnavailable 0":                    {3, true, ready},
	"maxSurge 0, maxUnavailable 10, or Recreate":      {10, false, ready},
}

// replace replaces some of the workers.
func (w way) replace(r *rollout, n int) {
	if !w.surges {
		r.stopOldest(n)
	}
	time.Sleep(startUp)
	for range n {
		r.start()
	}
	time.Sleep(w.ready)
	if w.surges {
		r.stopOldest(n)
	}
}

// TestRollout_moves_each_item_a_few_times: nobody works beside another, and no item waits for long.
func TestRollout_moves_each_item_a_few_times(t *testing.T) {
	for name, w := range ways {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRollout()
				for range rolloutWorkers {
					r.start()
				}
				time.Sleep(time.Minute)
				require.Zero(t, r.moves(), "all are worked on, and none has moved")
				began := time.Now()
				for left := rolloutWorkers; left > 0; left -= w.atOnce {
					w.replace(r, min(left, w.atOnce))
				}
				lasted := time.Since(began)
				time.Sleep(time.Minute)
				moves := r.moves()
				longest, sum := r.idle()
				each := sum / rolloutItems
				t.Logf("%d moves; an item idle for %.1fs at most, %.1fs on average; it lasted %.0fs",
					moves, longest.Seconds(), each.Seconds(), lasted.Seconds())
				assert.GreaterOrEqual(t, moves, rolloutItems, "each has left its old worker")
				assert.Less(t, moves, 3*rolloutItems)
				assert.Less(t, longest, 30*time.Second)
				assert.True(t, r.isWorkedOn())
				r.stopOldest(len(r.running))
				assert.False(t, r.double, "two have worked on one item")
			})
		})
	}
}
