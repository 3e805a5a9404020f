package lease

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"time"
)

const (
	minBackoff = 10 * time.Millisecond
	maxBackoff = time.Second
)

// Heartbeat renews the lease every heartbeatDuration, the first time after one heartbeatDuration,
// and blocks until the tenure is over. A third of the lease's duration is a good heartbeatDuration; with
// one of over two thirds it renews sooner than asked, and says so in the log once.
//
// It returns
//   - nil after the lease was released by [Locker.ReleaseLease];
//   - bare [LeaseLostError] when someone else holds the item, it was retired, or the time was up
//     without a failed renewal (the process was paused, say);
//   - an error that wraps both LeaseLostError and the last error of the store, when the lease ended
//     in an outage. Throttling, server, connection and timeout errors are retried until then, with
//     backoff; a request that hangs is given up so early that at least two more tries fit;
//   - any other error of the store at once. The lease then ends by itself.
//
// When it returns because of the end, the lease's context is done already. The lease may be renewed by
// one Heartbeat at a time or more.
func (l *Locker) Heartbeat(lease *Lease, heartbeatDuration time.Duration) error {
	return l.HeartbeatWithContext(context.Background(), lease, heartbeatDuration)
}

// HeartbeatWithContext is [Locker.Heartbeat] with a context. When ctx is done, it returns an error
// that wraps the context's, and the tenure goes on until its end.
func (l *Locker) HeartbeatWithContext(ctx context.Context, lease *Lease, heartbeatDuration time.Duration) error {
	h, err := l.newHeart(ctx, lease)
	if err != nil {
		return err
	}
	if heartbeatDuration <= 0 {
		return fmt.Errorf("lease: heartbeatDuration is %v; want more than 0", heartbeatDuration)
	}
	// From there on, an outage or a hung request leaves too little time for further tries.
	longest := h.terms.duration * 2 / 3
	if heartbeatDuration > longest {
		logInfo("Heartbeat Shortened", "lessee_id", h.terms.lessee, "lease_id", lease.LeaseID,
			"heartbeat_duration", heartbeatDuration, "used", longest)
	}
	for next := time.Now().Add(min(heartbeatDuration, longest)); ; {
		// Sooner, too, for a lease that is older than it should be when its heartbeat starts.
		last := time.Now().Add(h.tenure.check() + h.tenure.margin - (h.terms.duration - longest))
		if last.Before(next) {
			next = last
		}
		if err := h.sleepUntil(ctx, next); err != nil {
			return h.end(ctx, nil)
		}
		if err := h.renew(ctx); err != nil {
			return h.end(ctx, err)
		}
		next = h.renewed.Add(min(heartbeatDuration, longest))
	}
}

// heart is one running heartbeat.
type heart struct {
	locker *Locker
	lease  *Lease
	terms  terms
	tenure *tenure

	renewed time.Time // when the last successful renewal was sent
}

func (l *Locker) newHeart(ctx context.Context, lease *Lease) (*heart, error) {
	if err := l.checkContext(ctx); err != nil {
		return nil, err
	}
	if err := checkLease(lease); err != nil {
		return nil, err
	}
	terms, err := checkRequest(lease.Request)
	if err != nil {
		return nil, err
	}
	h := &heart{locker: l, lease: lease, terms: terms, tenure: lease.tenure}
	if h.tenure == nil { // a literal
		until := lease.Until
		if until.IsZero() {
			until = time.Now().Add(terms.duration)
		}
		h.tenure = newTenure(lease.FencingToken(), until, terms.duration)
	}
	return h, nil
}

// sleepUntil blocks until then; its error says that ctx or the tenure was over before.
func (h *heart) sleepUntil(ctx context.Context, then time.Time) error {
	both, cancel := h.context(ctx)
	defer cancel()
	if err := sleepUntil(both, then); err != nil {
		return err
	}
	return h.tenure.over()
}

// context returns a context that is done when ctx or the tenure is.
func (h *heart) context(ctx context.Context) (context.Context, context.CancelFunc) {
	both, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(h.tenure.ctx, func() { cancel(context.Cause(h.tenure.ctx)) })
	return both, func() { stop(); cancel(nil) }
}

// end returns the error of a heartbeat that is over because of the tenure, of ctx, or of err.
func (h *heart) end(ctx context.Context, err error) error {
	over := h.tenure.over()
	switch {
	case over == LeaseReleasedError:
		return nil
	case over == LeaseLostError || err == LeaseLostError:
		return LeaseLostError
	case over != nil && err != nil:
		return fmt.Errorf("%w: the lease of %q ended before it could be renewed: %w", LeaseLostError, h.lease.LeaseID, err)
	case over != nil:
		return LeaseLostError
	case ctx.Err() != nil:
		return fmt.Errorf("lease: the heartbeat of %q was stopped: %w", h.lease.LeaseID, context.Cause(ctx))
	}
	return err
}

// renew renews the lease, with as many tries as it takes. After an error the heartbeat is over: the
// last one met with, nil if there was none.
func (h *heart) renew(ctx context.Context) error {
	var last error
	for backoff := 2 * minBackoff; ; backoff *= 2 {
		err := h.try(ctx)
		if err == nil {
			return nil
		}
		if last == nil || !errors.Is(err, LeaseExpiredError) {
			last = err // else it says no more than that the tenure's end cut this try short
		}
		left := h.tenure.check()
		if left == 0 || ctx.Err() != nil || !transient(err) {
			return last
		}
		h.locker.logFailure(err, "lessee_id", h.terms.lessee, "lease_id", h.lease.LeaseID)
		backoff = min(backoff, maxBackoff, max(left/4, minBackoff))
		if h.sleepUntil(ctx, time.Now().Add(backoff/2+mathrand.N(backoff/2))) != nil {
			return last
		}
	}
}

// try makes one renewal. A store that takes contexts gets a third of the time that is left for it.
func (h *heart) try(ctx context.Context) error {
	ctx, cancel := h.context(ctx)
	defer cancel()
	if err := h.tenure.lock(ctx); err != nil {
		return err
	}
	start := time.Now()
	until := start.Add(h.terms.duration)
	err := h.send(ctx, until)
	switch {
	case errors.Is(err, LeaseLostError) || errors.Is(err, LeaseNotObtainedError):
		h.tenure.finish(LeaseLostError)
		return LeaseLostError
	case err != nil:
		return err
	case !h.tenure.extend(until):
		return nil // The heartbeat will see that the tenure is over.
	}
	h.renewed = start
	logInfo("Renewed Lease", "lessee_id", h.terms.lessee, "lease_id", h.lease.LeaseID)
	return nil
}

// send sends the renewal, and unlocks the tenure when the store is done with it. It returns when ctx is
// done, even if the store does not.
func (h *heart) send(ctx context.Context, until time.Time) error {
	id, request := h.lease.LeaseID, h.terms.request
	tryCtx, cancel := context.WithTimeout(ctx, h.tenure.check()/3)
	defer cancel()
	var call func() error
	var grace time.Duration // for a call whose context is done to return
	renewing := false
	switch store := h.locker.store.(type) {
	case renewingStore:
		renewing = true
		grace = h.tenure.margin / 4
		call = func() error { return store.RenewLeaseWithContext(tryCtx, h.lease, until) }
	case contextStore:
		grace = h.tenure.margin / 4
		call = func() error { _, err := store.LeaseWithContext(tryCtx, id, request, until); return err }
	default: // Nothing can end this store's Lease: there is one try.
		tryCtx = ctx
		call = func() error { _, err := h.locker.store.Lease(id, request, until); return err }
	}
	unlock := sync.OnceFunc(h.tenure.unlock)
	done := make(chan error, 1)
	go func() {
		err := call()
		unlock()
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-tryCtx.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
	}
	if renewing {
		unlock() // Another renewal may overtake this one: it does no harm. A Lease might.
	}
	return context.Cause(tryCtx)
}
