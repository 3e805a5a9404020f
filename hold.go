package lease

import (
	"context"
	"errors"
	"fmt"
)

// Hold waits until it obtains a lease, looking every third of its duration, see
// [Locker.WaitUntilLeaseObtained]; it runs work, heartbeating the lease as often, and
// releases it, whether work returns, panics or leaves its goroutine. It blocks until
// that is done.
//
// work must stop when its context is done: [context.Cause] is that of ctx (the lease is
// kept till work returns), [LeaseWantedError] if somebody else wants the item (which is
// then handed over), or why the tenure is over. Hold waits for that as long as it takes;
// the item of work that broke a promise, see [Lease.Progress], is given up before. What
// fails of renewals and the release is logged. A panic of the store or the request goes
// through Hold.
//
// The error is nil if work returned nil and the lease was held throughout. It wraps
//   - work's error, if it returned one; but LeaseWantedError, if work's error only
//     repeats that its context was done;
//   - [LeaseStuckError], if work was stuck; [LeaseLostError], if the lease was lost before
//     work returned; ctx's error, if ctx was done before one was obtained;
//   - at once, what is wrong with the request, or what no waiting would make good.
func (l *Locker) Hold(
	ctx context.Context, request LeaseRequest,
	work func(ctx context.Context, lease *Lease) error,
) error {
	r, err := l.checked(ctx, request)
	if err != nil {
		return err
	}
	if work == nil {
		return errors.New("lease: the work to Hold a lease for is nil")
	}
	lease, err := l.waitUntilObtained(ctx, r, forWork, r.period())
	if err != nil {
		return err
	}
	return l.hold(ctx, lease, workTerms{first: r.period()}, work)
}

// hold runs work under a lease that was obtained for it, and so is in use; it ends both.
// The item of work that is stuck it gives up before, but it stays in use until work has
// returned: nothing here is to work on it twice.
func (l *Locker) hold(
	ctx context.Context, lease *Lease, terms workTerms,
	work func(ctx context.Context, lease *Lease) error,
) error {
	t := lease.tenure // whatever work does to its lease
	defer l.unuse(t.holding)
	workCtx, cancel := t.beginWork(ctx)
	defer cancel()

	// The lease is renewed, and then released, also when ctx is done: until work has
	// returned, or is stuck.
	lasting := context.WithoutCancel(ctx)
	beat := async(func() (nothing, error) {
		return nothing{}, l.heartbeat(lasting, t, t.begun.Add(terms.first), t.request.period())
	})
	watcher := watchOver(workCtx, t, terms, func() error { return l.endHold(lasting, t, beat) })
	hasReturned := false
	defer func() {
		if !hasReturned { // It has panicked, or left its goroutine.
			_ = watcher.end()
		}
	}()
	err := work(workCtx, lease)
	hasReturned = true
	t.check() // If the time is up, that is the cause.
	end := holdEnd{
		err:        err,
		cause:      context.Cause(t.work),
		callerDone: ctx.Err() != nil,
	}
	end.loss = watcher.end()
	return end.result()
}

// holdEnd is how the work of a Hold has ended.
type holdEnd struct {
	err        error // that work returned
	cause      error // why its lease told it to end; nil if it didn't
	callerDone bool  // the caller's context told it to end
	loss       error // of the lease, or that work was stuck; nil if it was held throughout
}

// result is what Hold returns.
func (e holdEnd) result() error {
	if e.loss != nil {
		if e.err == nil || e.isEcho() {
			return e.loss
		}
		return errors.Join(e.err, e.loss)
	}
	isWanted := e.cause == LeaseWantedError && !e.callerDone
	if isWanted && e.isEcho() {
		return e.cause
	}
	if isWanted && errors.Is(e.err, context.Canceled) {
		return errors.Join(e.err, e.cause)
	}
	return e.err
}

// isEcho tells that work's error only repeats that its context was done.
func (e holdEnd) isEcho() bool {
	if e.cause == nil || e.callerDone {
		return false
	}
	switch e.err {
	case context.Canceled, e.cause:
		return true
	}
	return false
}

// endHold releases the lease, waits for its heartbeat, and returns the loss of the
// lease, if it was lost before.
func (l *Locker) endHold(ctx context.Context, t *tenure, beat <-chan result[nothing]) error {
	over := t.over()
	releaseErr := l.release(ctx, t)
	if errors.Is(releaseErr, ReleaseUnsupportedError) {
		logFailure(releaseErr, "lessee_id", t.lessee, "lease_id", t.leaseID)
	}
	_, err := (<-beat).returned()
	loss := lossOf(t.leaseID, over, err)
	isUntold := loss == nil && err == errLeft // What fails of a store, the Locker has told of.
	if isUntold {
		logError("Heartbeat Ended", "lessee_id", t.lessee, "lease_id", t.leaseID, "error", err)
	}
	if loss == nil && releaseErr == LeaseLostError {
		return releaseErr
	}
	return loss
}

// lossOf is how the lease was lost whose tenure was over so, and whose heartbeat returned
// that; nil if it wasn't.
func lossOf(leaseID string, over, beatErr error) error {
	if over == LeaseStuckError { // It was given up here.
		return nil
	}
	isPaused := over == LeaseExpiredError && beatErr == LeaseLostError
	if isPaused { // Nobody else has been seen to hold it.
		return fmt.Errorf("lease: the lease of %q wasn't renewed in time: %w", leaseID, over)
	}
	if errors.Is(beatErr, LeaseLostError) {
		return beatErr
	}
	if over == nil || over == LeaseReleasedError {
		return nil
	}
	if beatErr == nil {
		return over
	}
	return fmt.Errorf("%w: %w", LeaseLostError, beatErr)
}
