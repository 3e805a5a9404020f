package leasetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/intercom/lease"
)

// shared lets one worker hold all items, a second join, and the first leave.
func shared(c *conformance) {
	s := &sharing{conformance: c, atWork: make(map[string]*lease.Lease)}
	all := len(five)

	stop1 := s.start("w1")
	s.wait("all with w1", func(of map[string]int) bool { return of["w1"] == all })
	stop2 := s.start("w2")
	s.wait("level", func(of map[string]int) bool {
		less := min(of["w1"], of["w2"])
		return of["w1"]+of["w2"] == all && less == all/2
	})
	stop1()
	s.wait("all with w2", func(of map[string]int) bool { return of["w2"] == all })
	stop2()
	s.wait("all released", func(of map[string]int) bool { return len(of) == 0 })
}

// sharing is what workers do that share the items.
type sharing struct {
	*conformance
	mu     sync.Mutex
	atWork map[string]*lease.Lease // the leases that work is done under, by item
}

// start starts a worker, which the function that it returns stops.
func (s *sharing) start(lessee string) (stop func()) {
	ctx, cancel := context.WithCancel(s.Context())
	stopped := make(chan error, 1)
	go func() {
		locker := lease.NewLocker(s.StoreInterface)
		stopped <- locker.HoldShare(ctx, terms{lessee, 6 * time.Second}, 0, s.work)
	}()
	return func() {
		cancel()
		if err := <-stopped; !errors.Is(err, context.Canceled) {
			s.Errorf("HoldShare of %s = %v; want context.Canceled", lessee, err)
		}
	}
}

// work works on an item until it is to stop.
func (s *sharing) work(ctx context.Context, l *lease.Lease) error {
	s.begin(l)
	defer s.end(l)
	<-ctx.Done()
	return context.Cause(ctx)
}

func (s *sharing) begin(l *lease.Lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	other := s.atWork[l.LeaseID]
	if other != nil && !isCutOff(other) {
		s.Errorf("two are at work on %s, by the tokens %d and %d",
			l.LeaseID, other.FencingToken(), l.FencingToken())
	}
	s.atWork[l.LeaseID] = l
}

func (s *sharing) end(l *lease.Lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.atWork[l.LeaseID] == l {
		delete(s.atWork, l.LeaseID)
	}
}

// isCutOff tells whether a lease is over because it wasn't renewed in time: that happens on a
// machine that stalls, and then the next holder doesn't wait until work has returned.
func isCutOff(l *lease.Lease) bool {
	cause := context.Cause(l.Context())
	return errors.Is(cause, lease.LeaseExpiredError) || errors.Is(cause, lease.LeaseLostError)
}

// wait waits until the numbers of items that lessees have, as a scan shows them, are so.
func (s *sharing) wait(what string, so func(of map[string]int) bool) {
	s.Helper()
	const most = 3 * time.Minute
	start := time.Now()
	for {
		of := s.holders()
		if so(of) {
			return
		}
		if time.Since(start) > most {
			s.Errorf("after %v not yet %s, but %v", most, what, of)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// holders returns how many items each lessee has. The items of a lease that has ended are still
// its until somebody else leases them: only a release removes the holder.
func (s *sharing) holders() map[string]int {
	of := make(map[string]int)
	for _, item := range s.scan("") {
		if item.LesseeID != "" {
			of[item.LesseeID]++
		}
	}
	return of
}
