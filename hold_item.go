package lease

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// HoldItem waits until it obtains that item, holds it, runs work, and releases it: all as
// [Locker.Hold] does, of this one item. It looks at the item every third of the duration, and
// once more right after the end of the lease that it sees, if that comes before the next look.
// What each look costs is told at [Locker.ObtainItem]. A context with a deadline makes it a
// try-lock with a time-out. (The work's context has that deadline too: work that is to go on
// then heeds its lease's.)
//
// It returns as Hold does. If ctx is done before it has the item, the error says what it
// waited for and wraps ctx's; if no such item is registered, it wraps [LeaseIDUnknownError],
// at once.
func (l *Locker) HoldItem(
	ctx context.Context, leaseID string, request LeaseRequest,
	work func(ctx context.Context, lease *Lease) error,
) error {
	r, err := l.checkedItem(ctx, leaseID, request)
	if err != nil {
		return err
	}
	if work == nil {
		return fmt.Errorf("lease: the work to hold %q for is nil", leaseID)
	}
	w := itemWait{locker: l, leaseID: leaseID, request: r}
	lease, err := w.run(ctx)
	if err != nil {
		return err
	}
	return l.hold(ctx, lease, workTerms{first: r.period()}, work)
}

// itemWait is a wait for one item.
type itemWait struct {
	locker  *Locker
	leaseID string
	request requested
	seen    shown  // another's item, as the last try has seen it; zero if it hasn't
	holder  string // who was seen to have it last; "": nobody
}

// run tries until it obtains a lease, or until no waiting makes good.
func (w *itemWait) run(ctx context.Context) (*Lease, error) {
	w.locker.count(func(s *LockerStats) { s.Waiting++ })
	defer w.locker.count(func(s *LockerStats) { s.Waiting-- })
	for {
		lease, err := w.try(ctx)
		next := time.Now().Add(waitAfter(err, w.request.period()))
		strike, isAhead := w.strikeBefore(next)
		if isAhead && sleepUntil(ctx, strike) {
			lease, err = w.try(ctx)
		}
		if err == nil || isHopeless(err) {
			return lease, err
		}
		if !sleepUntil(ctx, next) {
			return nil, w.givenUp(ctx)
		}
	}
}

// isHopeless tells of an error that waiting for one item doesn't make good.
func isHopeless(err error) bool { return isFinal(err) || errors.Is(err, LeaseIDUnknownError) }

func (w *itemWait) try(ctx context.Context) (*Lease, error) {
	lease, seen, err := w.locker.tryItem(ctx, w.leaseID, w.request, forWork)
	w.seen = seen
	if seen.LesseeID != "" {
		w.holder = seen.LesseeID
	}
	return lease, err
}

// strikeBefore returns when the lease that was seen will have ended, if that is before the next
// look.
func (w *itemWait) strikeBefore(next time.Time) (strike time.Time, isAhead bool) {
	if w.seen.Until.IsZero() {
		return time.Time{}, false
	}
	strike = strikeAfter(w.seen.Until)
	return strike, strike.Before(next)
}

// givenUp is the error of a wait that ended with its context.
func (w *itemWait) givenUp(ctx context.Context) error {
	seen := ""
	if w.holder != "" {
		seen = fmt.Sprintf(", which %q had when it was last seen held", w.holder)
	}
	return fmt.Errorf("lease: %q gave up waiting for %q in %s%s: %w",
		w.request.lessee, w.leaseID, w.locker.where, seen, contextError(ctx))
}
