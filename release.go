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
	l.use(t.holding) // No sibling is to lease the row meanwhile.
	defer l.unuse(t.holding)
	is := t.happen(fact{kind: givenUp})
	if is.phase == lost {
		return LeaseLostError
	}
	if is.isFreed() {
		return nil
	}
	end := t.freeAt().Round(0) // The row ends by the wall clock.
	patience, verb := releasePatience(time.Until(end))
	handsOver := t.handsOver()
	deed := "release"
	if handsOver {
		deed = "handover"
	}
	e := l.errandOf(deed, t)
	e.ends = end
	err := askError(ctx, l, e, patience, func(ctx context.Context) error {
		return l.free(ctx, t, is, handsOver)
	})
	t.owner.countWrite(ctx, e, err)
	if says(ctx, err, LeaseLostError) {
		return t.releaseRefused()
	}
	if isAbandoned(ctx, err) || errors.Is(err, ReleaseUnsupportedError) {
		return fmt.Errorf("lease: the lease of %q was not released, and %s at %v: %w",
			t.leaseID, verb, end, err)
	}
	if err != nil {
		return err
	}
	took := time.Since(e.begun)
	if handsOver {
		t.happen(fact{kind: rowHandedOver, took: took})
	} else {
		t.happen(fact{kind: rowFreed, took: took})
	}
	return nil
}

// isAbandoned tells that an errand ended with that error as nobody waited any longer.
func isAbandoned(ctx context.Context, err error) bool {
	var unanswered *unansweredError
	return err != nil && (ctx.Err() != nil || errors.As(err, &unanswered))
}

// releasePatience is how long a release may take of a row that ends by itself after that
// time, and what an error then says of the lease.
func releasePatience(rowLasts time.Duration) (patience time.Duration, verb string) {
	const most = 10 * time.Second // Any shutdown should have time for it.
	if rowLasts <= 0 {
		return time.Second, "ended" // Nobody waits for the item any more.
	}
	return min(rowLasts, most), "ends"
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
	is := t.state()
	if is.discarded || is.isFreed() {
		return nil
	}
	t.happen(fact{kind: rowTaken})
	return LeaseLostError
}
