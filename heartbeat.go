package lease

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"time"
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
//     in an outage. Throttling, server, connection and timeout errors are logged and retried until then,
//     with backoff; a request that hangs is given up so early that at least two more tries fit;
//   - any other error of the store at once. The lease then ends by itself.
//
// When it returns because of the end, the lease's context is done already. The lease may be renewed by
// one Heartbeat at a time or more. A panic of the store or the request goes through it.
func (l *Locker) Heartbeat(lease *Lease, heartbeatDuration time.Duration) error {
	return l.HeartbeatWithContext(context.Background(), lease, heartbeatDuration)
}

// HeartbeatWithContext is [Locker.Heartbeat] with a context. When ctx is done, it returns an error
// that wraps the context's, and the tenure goes on until its end.
func (l *Locker) HeartbeatWithContext(ctx context.Context, lease *Lease, heartbeatDuration time.Duration) error {
	if err := l.check(ctx); err != nil {
		return err
	}
	if heartbeatDuration <= 0 {
		return fmt.Errorf("lease: heartbeatDuration is %v; want more than 0", heartbeatDuration)
	}
	t, err := l.tenures.of(lease)
	if err != nil {
		return err
	}
	l.tenures.share(t.holding)
	defer l.tenures.leave(t.holding)
	return l.heartbeat(ctx, t, heartbeatDuration)
}

func (l *Locker) heartbeat(ctx context.Context, t *tenure, every time.Duration) error {
	both, cancel := t.within(ctx)
	defer cancel()
	if longest := t.terms.duration / 3 * 2; every > longest {
		logInfo("Heartbeat Shortened", "lessee_id", t.lessee, "lease_id", t.leaseID, "heartbeat_duration", every, "used", longest)
	}
	for sent := time.Now(); ; {
		// Later than two thirds, an outage or a hung request would leave too little time for further tries;
		// and a lease may be older than it should be when its heartbeat starts.
		now := t.state()
		next, latest := sent.Add(min(every, now.duration/3*2)), now.rowEnd().Add(-now.duration/3)
		if soonest := sent.Add(now.end.Sub(sent) / 4); latest.Before(soonest) {
			latest = soonest // A store that grants less than it is asked for isn't asked all the time.
		}
		if latest.Before(next) {
			next = latest
		}
		if !sleepUntil(both, next) || t.over() != nil {
			return t.outcome(ctx, nil)
		}
		var err error
		if sent, err = l.renew(both, t); err != nil {
			return t.outcome(ctx, err)
		}
	}
}

// outcome is what a heartbeat returns that is over because of the tenure, of ctx, or of err.
func (t *tenure) outcome(ctx context.Context, err error) error {
	switch over := t.over(); {
	case over == LeaseReleasedError:
		return nil
	case over == LeaseExpiredError && err != nil && err != over && err != LeaseLostError:
		return fmt.Errorf("%w: the lease of %q ended before it could be renewed: %w", LeaseLostError, t.leaseID, err)
	case over != nil || err == LeaseLostError:
		return LeaseLostError
	case ctx.Err() != nil:
		return fmt.Errorf("lease: the heartbeat of %q was stopped: %w", t.leaseID, contextError(ctx))
	}
	return err
}

const (
	minBackoff = 10 * time.Millisecond
	maxBackoff = time.Second
)

// renew renews the lease, with as many tries as it takes, and returns when the one that succeeded was
// sent. After an error the heartbeat is over: it is the last one that says more than that the tenure is.
// ctx is done when the tenure is.
func (l *Locker) renew(ctx context.Context, t *tenure) (sent time.Time, err error) {
	for backoff := 2 * minBackoff; ; backoff *= 2 {
		sent := time.Now()
		tried := l.tryRenewal(ctx, t)
		if tried == nil {
			return sent, nil
		}
		if err == nil || !errors.Is(tried, LeaseExpiredError) {
			err = tried
		}
		left := t.expire()
		if left == 0 || ctx.Err() != nil || !transient(tried) {
			return sent, err
		}
		logFailure(tried, "lessee_id", t.lessee, "lease_id", t.leaseID)
		backoff = min(backoff, maxBackoff, max(left/4, minBackoff))
		if !sleepUntil(ctx, time.Now().Add(backoff/2+mathrand.N(backoff/2))) {
			return sent, err
		}
	}
}

// tryRenewal makes one renewal, which gets a third of the time that is left.
func (l *Locker) tryRenewal(ctx context.Context, t *tenure) error {
	now := t.terms
	now.duration = t.terms.request.LeaseDuration()
	if err := checkDuration(now.duration); err != nil {
		now.duration = t.state().duration
		logError("Lease Request Refused", "lessee_id", t.lessee, "lease_id", t.leaseID, "error", err, "used", now.duration)
	}
	ctx, cancel := l.limit(ctx, t.expire()/3)
	defer cancel()
	until, held := time.Now().Add(now.duration), t.lease()
	got, err := l.ask(ctx, t.leaseID, now, until, func() (*Lease, error) {
		if l.adapted || held.FencingToken() == 0 { // Only leasing anew shows the token of a literal.
			return l.store.LeaseWithContext(ctx, t.leaseID, now, until)
		}
		return held, l.store.RenewLeaseWithContext(ctx, held, until)
	})
	switch over := t.over(); {
	case over != nil:
		return cmp.Or(err, over)
	case errors.Is(err, LeaseLostError) || errors.Is(err, LeaseNotObtainedError):
		t.finish(LeaseLostError)
		return LeaseLostError
	case err != nil:
		return err
	case !t.extend(got, now.duration, until):
		return t.over()
	}
	logInfo("Renewed Lease", "lessee_id", t.lessee, "lease_id", t.leaseID)
	return nil
}
