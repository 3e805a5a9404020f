package lease

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// maxRelease is how long a release may take: any shutdown should have time for it.
const maxRelease = 10 * time.Second

// ReleaseLease ends the lease's context, stops its Heartbeat, and then frees the item, so that others
// can lease it at once. It costs one write. A lease that was released already is fine.
//
// The error is bare [LeaseLostError] if the item was lost before; a new holder's row is untouched. It
// wraps [ReleaseUnsupportedError] if the store can't free an item, which then stays leased until its end.
// After any other error, the release may be tried again.
//
// It blocks for as long as the request takes, but for 10 seconds at most, and not beyond the end of the
// item's lease. The error then says when that is.
func (l *Locker) ReleaseLease(lease *Lease) error {
	return l.ReleaseLeaseWithContext(context.Background(), lease)
}

// ReleaseLeaseWithContext is [Locker.ReleaseLease] with a context. The tenure is ended also when ctx
// is done.
func (l *Locker) ReleaseLeaseWithContext(ctx context.Context, lease *Lease) error {
	if err := l.check(ctx); err != nil {
		return err
	}
	t, err := l.tenures.of(lease)
	if err != nil {
		return err
	}
	return l.release(ctx, t)
}

func (l *Locker) release(ctx context.Context, t *tenure) error {
	t.finish(LeaseReleasedError)
	end, most := t.state().rowEnd(), time.Second // After the end nobody waits for the item any more.
	if left := time.Until(end); left > 0 {
		most = min(left, maxRelease)
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	freed, err := await(ctx, func() (bool, error) { return l.free(ctx, t) })
	switch {
	case freed:
		logInfo("Released Lease", "lessee_id", t.lessee, "lease_id", t.leaseID)
	case errors.Is(err, ReleaseUnsupportedError) || err != nil && ctx.Err() != nil:
		return fmt.Errorf("lease: the lease of %q was not released, and ends at %v: %w", t.leaseID, end.Round(0), err)
	}
	return err
}

// free frees the row of a tenure that has ended, and reports whether it was this call that did.
func (l *Locker) free(ctx context.Context, t *tenure) (freed bool, err error) {
	select {
	case t.releasing <- struct{}{}:
		defer func() { <-t.releasing }()
	case <-ctx.Done():
		return false, contextError(ctx)
	}
	switch {
	case t.over() == LeaseLostError:
		return false, LeaseLostError
	case t.released:
		return false, nil
	}
	given := t.state().discarded // Its holder has given the row away by the store.
	err = l.store.ReleaseLeaseWithContext(ctx, t.lease())
	lost := errors.Is(err, LeaseLostError)
	t.released = err == nil || given && lost
	switch {
	case t.released:
		return err == nil, nil
	case lost:
		return false, LeaseLostError
	}
	return false, err
}

// Hold waits until it obtains a lease, runs work, and releases the lease, whatever way work ends: by
// returning, by a panic, or by leaving its goroutine. Meanwhile it heartbeats the lease at a third of
// its duration. While it waits it looks as often, see [Locker.WaitUntilLeaseObtained].
//
// work's context is done when ctx is, or when the tenure is over; its [context.Cause] says which.
// work must then stop. After a cancellation of ctx, the lease is kept until work has returned; after
// the end of the tenure, another worker may have the item already.
//
// Hold blocks until work has returned and the lease is released, for which it takes 10 seconds at most.
// The error is
//   - nil if work returned nil and the lease was held throughout;
//   - one that wraps work's error, if it returned one;
//   - one for which errors.Is(err, LeaseLostError) holds if the lease was lost before work returned. It
//     wraps work's error as well, unless that only repeats that its context was done;
//   - one that wraps ctx's error, if ctx was done before a lease was obtained; afterwards, it is
//     for work to return it;
//   - at once, that of a bad request, or of what no waiting would make good.
//
// A release that fails is logged: the item then stays leased until its end. So is an error that ended
// the heartbeat, if work returned before the lease ended. A panic of the store or the request in a renewal
// goes through Hold when work has returned.
func (l *Locker) Hold(ctx context.Context, request LeaseRequest, work func(ctx context.Context, lease *Lease) error) error {
	terms, err := l.checkCall(ctx, request)
	if err != nil {
		return err
	}
	if work == nil {
		return errors.New("lease: the work to Hold a lease for is nil")
	}
	lease, err := l.wait(ctx, terms, terms.duration/3)
	if err != nil {
		return err
	}
	t := lease.tenure // whatever work does to its lease
	workCtx, cancel := t.within(ctx)
	defer cancel()
	beat := begin(func() (struct{}, error) {
		return struct{}{}, l.heartbeat(context.WithoutCancel(ctx), t, max(terms.duration/3, 1))
	})
	end := sync.OnceValue(func() error { return l.end(ctx, t, beat) })
	defer end() // for work that doesn't return
	err = work(workCtx, lease)
	over := t.over()
	echo := over != nil && ctx.Err() == nil && (err == context.Canceled || err == over)
	switch lost := end(); {
	case lost == nil:
		return err
	case err == nil || echo:
		return lost
	default:
		return errors.Join(err, lost)
	}
}

// end releases a lease that Hold holds, waits for its heartbeat, and returns how the lease was lost, if it
// was.
func (l *Locker) end(ctx context.Context, t *tenure, beat <-chan func() (struct{}, error)) error {
	defer l.tenures.leave(t.holding)
	over := t.over()
	released := l.release(context.WithoutCancel(ctx), t)
	_, err := (<-beat)()
	switch {
	case errors.Is(err, LeaseLostError):
		return err
	case over != nil && over != LeaseReleasedError:
		return fmt.Errorf("%w: %w", LeaseLostError, cmp.Or(err, over))
	case released == LeaseLostError:
		return released
	}
	if err = cmp.Or(released, err); err != nil {
		logFailure(err, "lessee_id", t.lessee, "lease_id", t.leaseID)
	}
	return nil
}
