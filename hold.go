package lease

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// ReleaseLease ends the lease's context, stops its Heartbeat, waits for a renewal that is under way,
// and then frees the item, so that others can lease it at once. It writes one unit. A lease that was
// released already is fine.
//
// The error is bare [LeaseLostError] if the item was lost before; a new holder's row is untouched. It
// wraps [ReleaseUnsupportedError] if the store can't free an item: the tenure is over then, but the
// item stays leased until its end. After any other error, the release may be tried again.
//
// It blocks for as long as the request takes, but hardly longer than the item would stay leased anyway.
func (l *Locker) ReleaseLease(lease *Lease) error {
	return l.ReleaseLeaseWithContext(context.Background(), lease)
}

// ReleaseLeaseWithContext is [Locker.ReleaseLease] with a context. The tenure is ended also when ctx
// is done.
func (l *Locker) ReleaseLeaseWithContext(ctx context.Context, lease *Lease) error {
	h, err := l.newHeart(ctx, lease)
	if err != nil {
		return err
	}
	t := h.tenure
	t.finish(LeaseReleasedError)
	wait := max(time.Until(t.rowEnd()), h.terms.duration/3)
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if err := t.lock(ctx); err != nil {
		return fmt.Errorf("lease: a renewal of %q is under way and keeps it from being released: %w", lease.LeaseID, err)
	}
	defer t.unlock()
	switch {
	case t.over() == LeaseLostError:
		return LeaseLostError
	case t.freed:
		return nil
	}
	store, ok := l.store.(releasingStore)
	if !ok {
		t.freed = true
		return fmt.Errorf("lease: %w: the store %T can't free %q, which stays leased until %v",
			ReleaseUnsupportedError, l.store, lease.LeaseID, t.rowEnd().Round(0))
	}
	err = store.ReleaseLeaseWithContext(ctx, lease)
	switch {
	case errors.Is(err, LeaseLostError):
		return LeaseLostError
	case err == nil:
		t.freed = true
		logInfo("Released Lease", "lessee_id", h.terms.lessee, "lease_id", lease.LeaseID)
	}
	return err
}

// Hold waits until it obtains a lease, runs work, and releases the lease, whatever way work ends: by
// returning, by a panic, or by leaving its goroutine. Meanwhile it heartbeats the lease at a third of
// its duration. While it waits it scans as often, see [Locker.WaitUntilLeaseObtained].
//
// work's context is done when ctx is, or when the tenure is over; its [context.Cause] says which.
// work must then stop. After a cancellation of ctx, the lease is kept until work has returned; after
// the end of the tenure, another worker may have the item already.
//
// Hold blocks until work has returned and the heartbeat has ended. The error is
//   - nil if work returned nil and the lease was held throughout;
//   - one that wraps work's error, if it returned one;
//   - one for which errors.Is(err, LeaseLostError) holds if the lease was lost before work returned. It
//     wraps work's error as well, unless that only repeats that its context was done;
//   - one that wraps the cause of ctx, if ctx was done before a lease was obtained; afterwards, it is
//     for work to return it;
//   - at once, that of a bad request.
//
// A release that fails is logged: the item then stays leased until its end. So is an error that ended
// the heartbeat, if work returned before the lease ended.
func (l *Locker) Hold(ctx context.Context, request LeaseRequest, work func(ctx context.Context, lease *Lease) error) (err error) {
	terms, err := l.check(ctx, request)
	if err != nil {
		return err
	}
	if work == nil {
		return errors.New("lease: the work to Hold a lease for is nil")
	}
	third := max(terms.duration/3, 1)
	lease, err := l.WaitUntilLeaseObtainedWithContext(ctx, request, third)
	if err != nil {
		return err
	}
	workCtx, cancel := (&heart{tenure: lease.tenure}).context(ctx)
	defer cancel()
	uncancelled := context.WithoutCancel(ctx)
	heartbeat := make(chan error, 1)
	go func() { heartbeat <- l.HeartbeatWithContext(uncancelled, lease, third) }()
	defer func() {
		over := lease.tenure.over()
		echo := over != nil && ctx.Err() == nil && (err == context.Canceled || err == over)
		released := l.ReleaseLeaseWithContext(uncancelled, lease)
		beat := <-heartbeat
		var loss error
		switch {
		case errors.Is(beat, LeaseLostError):
			loss = beat
		case over != nil && over != LeaseReleasedError:
			loss = fmt.Errorf("%w: %w", LeaseLostError, cmp.Or(beat, over))
		case released == LeaseLostError:
			loss = released
		case released != nil:
			l.logFailure(released, "lessee_id", terms.lessee, "lease_id", lease.LeaseID)
		case beat != nil:
			l.logFailure(beat, "lessee_id", terms.lessee, "lease_id", lease.LeaseID)
		}
		switch {
		case loss == nil:
		case err == nil || echo:
			err = loss
		default:
			err = errors.Join(err, loss)
		}
	}()
	return work(workCtx, lease)
}
