package lease

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ReleaseLease ends the lease's context, stops its Heartbeat, and frees the item for
// others (or when the lease of another process of the name ends). It costs one write,
// may be repeated, and takes 10 seconds at most; the error then says until when the
// item stays leased. It is bare [LeaseLostError] if the item was lost, and wraps
// [ReleaseUnsupportedError] if the store can't free one.
func (l *Locker) ReleaseLease(lease *Lease) error { return l.ReleaseLeaseWithContext(always, lease) }

// ReleaseLeaseWithContext is [Locker.ReleaseLease] with a context. It ends the tenure
// also when ctx is done.
func (l *Locker) ReleaseLeaseWithContext(ctx context.Context, lease *Lease) error {
	t, err := l.tenureOf(ctx, lease)
	if err != nil {
		return err
	}
	return l.release(ctx, t)
}

// release ends the tenure, then frees its row.
func (l *Locker) release(ctx context.Context, t *tenure) error {
	l.enter(t.holding) // No sibling is to lease the row meanwhile.
	defer l.leave(t.holding)
	is := t.happen(event{kind: givenUp})
	if is.phase == lost {
		return LeaseLostError
	}
	if is.isFreed() {
		return nil
	}
	patience := releasePatience(time.Until(t.freeAt()))
	timed, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	handsOver := t.handsOver()
	err := awaitError(timed, endless, func(ctx context.Context) error {
		return l.free(ctx, t, is, handsOver)
	})
	l.countWrite(ctx, err)
	if says(ctx, err, LeaseLostError) {
		return t.releaseRefused()
	}
	isGivenUp := err != nil && timed.Err() != nil
	if isGivenUp || errors.Is(err, ReleaseUnsupportedError) {
		return t.notReleased(err)
	}
	if err != nil {
		return err
	}
	if handsOver {
		t.happen(event{kind: rowHandedOver})
	} else {
		t.happen(event{kind: rowFreed})
	}
	return nil
}

// releasePatience is how long a release may take, when the row ends by itself after
// that time.
func releasePatience(rowLasts time.Duration) time.Duration {
	const most = 10 * time.Second // Any shutdown should have time for it.
	const over = time.Second      // Nobody waits for the item any more.
	if rowLasts <= 0 {
		return over
	}
	return min(rowLasts, most)
}

// free sends the release, or the handover.
func (l *Locker) free(ctx context.Context, t *tenure, is term, handsOver bool) error {
	if handsOver {
		return l.store.HandOverLease(ctx, t.lease(), is.reservedUntil(time.Now()))
	}
	return l.store.ReleaseLeaseWithContext(ctx, t.lease())
}

// releaseRefused notes that the row is another's. That is fine if its holder gave it
// away before, by the store or by another call of ReleaseLease.
func (t *tenure) releaseRefused() error {
	if t.state().fate == notFreed {
		t.happen(event{kind: rowTaken})
	}
	if t.state().fate == taken {
		return LeaseLostError
	}
	return nil
}

// notReleased says until when the item stays leased.
func (t *tenure) notReleased(err error) error {
	end := t.freeAt()
	ends := "ended"
	if time.Until(end) > 0 {
		ends = "ends"
	}
	return fmt.Errorf("lease: the lease of %q was not released, and %s at %v: %w",
		t.leaseID, ends, end.Round(0), err)
}
