package lease

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// LockerStats is what a [Locker] does and has done. The counts are of all since [NewLocker].
type LockerStats struct {
	Held       int // leases that it holds, whether something renews them or not
	Waiting    int // calls of WaitUntilLeaseObtained and Hold that wait for a lease
	InHandover int // leases of those held whose item somebody else wants, so that Hold or HoldShare ends its work

	Obtained   int64 // leases
	Renewed    int64 // successful renewals
	Released   int64 // items that it freed
	HandedOver int64 // items that it handed over, or freed as the wish was gone by then
	Lost       int64 // leases whose item turned out to be another's, or retired, or that this Locker has leased anew
	Expired    int64 // leases whose time was up before they were renewed or released
	RacesLost  int64 // items that others leased first: one or two failed writes each
	Looks      int64 // scans: one for each MB of the table that an ObtainLease, a wait or a share looks at

	FailedRenewals int64 // without those that showed a loss, or were given up with their context
	FailedLooks    int64 // without those that were given up with their context

	LastLook       time.Time     // when the last successful scan was answered; zero before
	LastRenewal    time.Time     // the same of renewals
	LeastRemaining time.Duration // the least time, see [Lease.Remaining], that a lease had left when it was renewed; 0 before
}

// stats are those of one Locker. No request is sent while mu is held.
type stats struct {
	mu  sync.Mutex
	now LockerStats
}

// stage is how far a tenure has come in the stats, which guard it.
type stage int

const (
	stageNone stage = iota
	stageHeld
	stageWanted
	stageOver
)

func (s *stats) note(what func(now *LockerStats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what(&s.now)
}

// reach counts a tenure among those held, those wanted, or no more, for a cause.
func (s *stats) reach(t *tenure, next stage, cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if next <= t.stage {
		return
	}
	switch {
	case t.stage == stageNone && next != stageOver:
		s.now.Held++
	case next == stageWanted:
		s.now.InHandover++
	case next == stageOver:
		if t.stage != stageNone {
			s.now.Held--
		}
		if t.stage == stageWanted {
			s.now.InHandover--
		}
		switch cause {
		case LeaseLostError:
			s.now.Lost++
		case LeaseExpiredError:
			s.now.Expired++
		}
	}
	t.stage = next
}

// renewal counts a renewal of a tenure that had so much left when its reply came.
func (s *stats) renewal(ctx context.Context, t *tenure, left time.Duration, err error) {
	over := t.over()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		s.now.Renewed++
		s.now.LastRenewal = time.Now()
		s.now.LeastRemaining = min(left, cmp.Or(s.now.LeastRemaining, left))
	case err != LeaseLostError && (ctx.Err() == nil || over == LeaseExpiredError): // else it was given up
		s.now.FailedRenewals++
	}
}

// Stats returns a consistent snapshot. It takes less than a microsecond, and waits for no request.
func (l *Locker) Stats() LockerStats {
	if l == nil {
		return LockerStats{}
	}
	l.stats.mu.Lock()
	defer l.stats.mu.Unlock()
	return l.stats.now
}

// Leases returns the leases that the Locker holds at this moment, in the order of their IDs: new values, of the same tenures.
// Their Until is that of the last renewal. It takes time by their number, and waits for no request.
func (l *Locker) Leases() []*Lease {
	if l == nil {
		return nil
	}
	l.tenures.mu.Lock()
	live := slices.DeleteFunc(slices.Collect(maps.Values(l.tenures.last)), func(t *tenure) bool { return t.over() != nil })
	l.tenures.mu.Unlock()
	slices.SortFunc(live, func(a, b *tenure) int { return strings.Compare(a.leaseID, b.leaseID) })
	leases := make([]*Lease, len(live))
	for i, t := range live {
		leases[i] = &Lease{t.leaseID, maps.Clone(t.attributes), t.terms.request, t.state().rowEnd().Round(0), t, nil}
	}
	return leases
}
