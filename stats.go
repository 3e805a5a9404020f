package lease

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// LockerStats is what a [Locker] does and has done. The counts are of all since [NewLocker].
type LockerStats struct {
	Held       int // leases that it holds, whether something renews them or not; also bare ones that it was given
	Waiting    int // calls of WaitUntilLeaseObtained and Hold that wait for a lease
	InHandover int // leases of those held whose item somebody else wants, so that Hold or HoldShare ends its work

	Obtained   int64 // leases, by ObtainLease and all that waits
	Renewed    int64 // successful renewals
	Released   int64 // items that it freed, be it after their leases had expired
	HandedOver int64 // items that it handed over, or freed as that was the wish
	Lost       int64 // leases whose item turned out to be another's, or retired, or that this Locker has leased anew
	Expired    int64 // leases whose time was up before they were renewed or released
	RacesLost  int64 // items that were another's, or gone, when it wanted to lease them; not on a store of two methods
	Looks      int64 // scans: one for each MB of the table that an ObtainLease, a wait or a share looks at

	FailedRenewals int64 // without those that showed a loss, or were given up with their context
	FailedLooks    int64 // likewise
	FailedWrites   int64 // likewise, of all others: leases, releases, handovers, wishes and saves

	LastLook       time.Time     // when the last successful scan was answered; zero before
	LastRenewal    time.Time     // the same of renewals
	LeastRemaining time.Duration // the least time, see [Lease.Remaining], that a lease had left when it was renewed; 0 before
}

// stats are those of one Locker. No request is sent while mu is held.
type stats struct {
	mu  sync.Mutex
	now LockerStats
}

// counted is what the stats know of a tenure. Their mu guards it.
type counted struct{ wanted, over bool }

func (s *stats) note(what func(now *LockerStats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what(&s.now)
}

// wanted counts a tenure whose work is to end as the item is wanted.
func (s *stats) wanted(t *tenure) {
	s.note(func(now *LockerStats) {
		if !t.counted.over && !t.counted.wanted {
			t.counted.wanted = true
			now.InHandover++
		}
	})
}

// over counts a tenure no more among those that are held.
func (s *stats) over(t *tenure, cause error) {
	s.note(func(now *LockerStats) {
		if t.counted.over {
			return
		}
		t.counted.over = true
		now.Held--
		if t.counted.wanted {
			now.InHandover--
		}
		switch cause {
		case LeaseLostError:
			now.Lost++
		case LeaseExpiredError:
			now.Expired++
		}
	})
}

// wrote counts a write that isn't a renewal, if it failed.
func (s *stats) wrote(ctx context.Context, err error) error {
	told := errors.Is(err, LeaseLostError) || errors.Is(err, LeaseNotObtainedError) || errors.Is(err, ReleaseUnsupportedError)
	if err != nil && ctx.Err() == nil && !told && !errors.Is(err, errors.ErrUnsupported) {
		s.note(func(now *LockerStats) { now.FailedWrites++ })
	}
	return err
}

// renewal counts a renewal of a tenure that had so much left when its reply came.
func (s *stats) renewal(ctx context.Context, t *tenure, left time.Duration, err error) {
	over := t.over()
	s.note(func(now *LockerStats) {
		switch {
		case err == nil:
			now.Renewed++
			now.LastRenewal = time.Now()
			now.LeastRemaining = min(left, cmp.Or(now.LeastRemaining, left))
		case err != LeaseLostError && over != LeaseReleasedError && (ctx.Err() == nil || over == LeaseExpiredError): // else it was given up
			now.FailedRenewals++
		}
	})
}

// Stats returns the numbers as they are together at one moment. It takes less than a microsecond, and waits for no request.
// A lease that is being released is in none of them until the reply; nor is one whose release has failed, or that was given up by
// the store's own methods.
func (l *Locker) Stats() LockerStats {
	if l == nil {
		return LockerStats{}
	}
	l.stats.mu.Lock()
	defer l.stats.mu.Unlock()
	return l.stats.now
}

// Leases returns the leases that the Locker holds at this moment, in the order of their IDs: new values, of the same tenures.
// Their Until is that of the last renewal, their AttributeValues are those that the items were obtained with: what those point
// to is shared, and not to be changed. It takes time by their number, and waits for no request.
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
