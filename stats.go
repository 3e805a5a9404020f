package lease

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"
)

// LockerStats is what a [Locker] does and has done. The counts are of all since
// [NewLocker].
type LockerStats struct {
	// Held is how many leases it holds, whether something renews them or not. Bare ones
	// that it was given are among them.
	Held int
	// Waiting is how many calls of WaitUntilLeaseObtained, Hold and HoldItem wait for a lease.
	Waiting int
	// InHandover is how many of the leases held are of items that somebody else wants,
	// so that Hold or HoldShare ends its work.
	InHandover int
	// Working is how many works of Hold, HoldItem and HoldShare run.
	Working int
	// Stuck is how many of those hold nothing any more: they are stuck, or go on after the
	// end of their tenure. Others may work on their items.
	Stuck int

	// Obtained counts leases, by ObtainLease, ObtainItem and all that waits.
	Obtained int64
	// Renewed counts successful renewals.
	Renewed int64
	// Released counts items that it freed, be it after their leases had expired.
	Released int64
	// HandedOver counts items that it handed over, or freed as that was the wish.
	HandedOver int64
	// Lost counts leases whose item turned out to be another's, or retired, or that
	// this Locker has leased anew.
	Lost int64
	// Expired counts leases whose time was up before they were renewed or released.
	Expired int64
	// Stucks counts works that were stuck, see [LeaseStuckError].
	Stucks int64
	// RacesLost counts items that were another's, or gone, when it wanted to lease
	// them; not on a store of two methods.
	RacesLost int64
	// Namesakes counts shares that have met another process of their name, see
	// [LesseeIDInUseError].
	Namesakes int64
	// Looks counts scans: one for each MB of the table that an ObtainLease, a wait or a
	// share looks at; and reads of one item, by ObtainItem and HoldItem.
	Looks int64

	// FailedRenewals counts renewals that failed: not those that showed a loss, or were
	// given up with their context.
	FailedRenewals int64
	// FailedLooks counts likewise.
	FailedLooks int64
	// FailedWrites counts likewise all others: leases, releases, handovers, wishes and
	// saves.
	FailedWrites int64

	// LastLook is when the last successful scan was answered; zero before.
	LastLook time.Time
	// LastRenewal is the same of renewals.
	LastRenewal time.Time
	// LeastRemaining is the least time, see [Lease.Remaining], that a lease had left
	// when it was renewed; 0 before.
	LeastRemaining time.Duration
}

// follow counts a transition of a tenure.
func (s *LockerStats) follow(purpose purpose, f fact, was, is term) {
	if f.kind == renewed && is.live() {
		s.renewed(f.at, was.left(f.at))
	}
	if purpose == forWork {
		s.InHandover += inHandover(is) - inHandover(was)
	}
	if was.live() && !is.live() {
		s.ended(is.phase)
	}
	if was.fate != is.fate {
		s.freed(is)
	}
	if f.kind == workStuck {
		s.Stucks++
	}
}

// inHandover is 1 while the work of a tenure is to end.
func inHandover(t term) int {
	if t.phase == wanted {
		return 1
	}
	return 0
}

func (s *LockerStats) renewed(now time.Time, left time.Duration) {
	s.Renewed++
	s.LastRenewal = now
	if s.LeastRemaining == 0 || left < s.LeastRemaining {
		s.LeastRemaining = left
	}
}

func (s *LockerStats) ended(phase phase) {
	s.Held--
	switch phase {
	case lost:
		s.Lost++
	case expired:
		s.Expired++
	}
}

func (s *LockerStats) freed(t term) {
	switch t.fate {
	case freed:
		s.Released++
	case handedOver:
		s.HandedOver++
	case taken:
		if t.phase == released { // else it has counted already, as expired
			s.Lost++
		}
	}
}

// count changes the numbers. No request is sent meanwhile.
func (l *Locker) count(change func(s *LockerStats)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.stats)
}

// countLook counts a look, unless it was given up with its context.
func (l *Locker) countLook(ctx context.Context, e errand, err error) {
	isAnswered := err == nil || errors.Is(err, LeaseIDUnknownError)
	l.mu.Lock()
	defer l.mu.Unlock()
	if isAnswered {
		l.stats.Looks++
		if isScan := e.leaseID == ""; isScan {
			l.stats.LastLook = time.Now()
		}
		l.noteRequest(EventLooked, e, err)
	} else if ctx.Err() == nil {
		l.stats.FailedLooks++
		l.noteRequest(EventLookFailed, e, err)
	}
}

// countWrite counts a write that isn't a renewal if it failed, and wasn't given up with
// its context.
func (l *Locker) countWrite(ctx context.Context, e errand, err error) {
	if err == nil || ctx.Err() != nil || isVerdict(err) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.FailedWrites++
	l.noteRequest(EventWriteFailed, e, err)
}

// isVerdict tells that an error is what the row, or the kind of the store, has to say.
func isVerdict(err error) bool {
	for _, answer := range []error{
		LeaseLostError, LeaseNotObtainedError, LeaseIDUnknownError, ReleaseUnsupportedError,
		errors.ErrUnsupported,
	} {
		if errors.Is(err, answer) {
			return true
		}
	}
	return false
}

// countFailedRenewal counts a renewal that failed, but none that showed a loss or was
// given up.
func (l *Locker) countFailedRenewal(ctx context.Context, t *tenure, e errand, err error) {
	phase := t.check().phase
	isTold := err == LeaseLostError || phase == released
	if isTold {
		return
	}
	isAbandoned := ctx.Err() != nil && phase != expired
	if isAbandoned {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.FailedRenewals++
	l.noteRequest(EventRenewalFailed, e, err)
}

// Stats returns the numbers as they are together at one moment. It takes less than a
// microsecond, and waits for no request. A lease that is being released is in none of
// them until the reply; nor is one whose release has failed, or that was given up by
// the store's own methods.
func (l *Locker) Stats() LockerStats {
	if l == nil {
		return LockerStats{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stats
}

// Leases returns the leases that the Locker holds at this moment, in the order of their
// IDs: new values, of the same tenures. Their Until is that of the last renewal, their
// AttributeValues are those that the items were obtained with: what those point to is
// shared, and not to be changed. It takes time by their number, and waits for no
// request.
func (l *Locker) Leases() []*Lease {
	if l == nil {
		return nil
	}
	live := l.liveTenures()
	slices.SortFunc(live, func(a, b *tenure) int { return strings.Compare(a.leaseID, b.leaseID) })
	leases := make([]*Lease, 0, len(live))
	for _, t := range live {
		lease := t.lease()
		lease.AttributeValues = maps.Clone(t.attributes)
		lease.Request = t.request.original
		lease.Until = t.state().rowEnd().Round(0)
		leases = append(leases, lease)
	}
	return leases
}

func (l *Locker) liveTenures() (live []*tenure) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for _, t := range l.tenures.last {
		if t.state().at(now).live() {
			live = append(live, t)
		}
	}
	return live
}
