package lease

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"time"
)

// Heartbeat renews the lease every heartbeatDuration, the first time after one, and blocks until the tenure is over. A third
// of the lease's duration is good; more than two thirds counts as that, which is logged. A lease may have several Heartbeats
// at once. A panic of the store or the request goes through it. It returns
//   - nil after the lease was released by [Locker.ReleaseLease];
//   - bare [LeaseLostError] when someone else holds the item, it was retired, or the time was up without a failed renewal;
//   - an error that wraps both LeaseLostError and the last error of the store, when the lease ended in an outage: throttling,
//     server, connection, timeout and hanging requests are logged and retried till then;
//   - any other error of the store at once. The lease then ends by itself.
func (l *Locker) Heartbeat(lease *Lease, heartbeatDuration time.Duration) error {
	return l.HeartbeatWithContext(always, lease, heartbeatDuration)
}

// HeartbeatWithContext is [Locker.Heartbeat] until ctx is done: then its error wraps the context's, and the tenure goes on.
func (l *Locker) HeartbeatWithContext(ctx context.Context, lease *Lease, heartbeatDuration time.Duration) error {
	if heartbeatDuration <= 0 {
		return fmt.Errorf("lease: heartbeatDuration is %v; want more than 0", heartbeatDuration)
	}
	t, err := l.tenureOf(ctx, lease, true)
	if err != nil {
		return err
	}
	l.tenures.use(t.holding, 1)
	defer l.tenures.use(t.holding, -1)
	return l.heartbeat(ctx, t, heartbeatDuration, heartbeatDuration)
}

func (l *Locker) heartbeat(ctx context.Context, t *tenure, first, every time.Duration) error {
	minBackoff, maxBackoff := max(10*time.Millisecond, t.terms.duration/300), max(time.Second, t.terms.duration/6)
	both, cancel := within(ctx, t.ctx)
	defer cancel()
	if longest := t.terms.duration / 3 * 2; every > longest {
		logInfo("Heartbeat Shortened", "lessee_id", t.lessee, "lease_id", t.leaseID, "heartbeat_duration", every, "used", longest)
	}
	var failed error // since the last renewal: the last error that says more than that the tenure is over
	for sent, backoff := time.Now().Add(first-every), minBackoff; ; backoff *= 2 {
		// Two thirds leave time for further tries, also of an old lease; but a store that grants less is asked no sooner.
		now := t.state()
		next := sent.Add(min(every, now.rowEnd().Sub(sent)/3*2, max(now.rowEnd().Sub(sent)-now.duration/3, now.end.Sub(sent)/4)))
		if failed != nil {
			backoff = min(backoff, maxBackoff, max(t.expire()/4, minBackoff))
			next = time.Now().Add(backoff/2 + mathrand.N(backoff/2))
		}
		if !sleepUntil(both, next) || t.over() != nil {
			return t.outcome(ctx, failed)
		}
		sent = time.Now()
		err := l.renew(both, t)
		switch {
		case err == nil:
			failed, backoff = nil, minBackoff
			continue
		case failed == nil || !errors.Is(err, LeaseExpiredError):
			failed = err
		}
		if t.over() != nil || both.Err() != nil || !transient(err) && !t.terms.keep {
			return t.outcome(ctx, failed)
		}
		logFailure(err, "lessee_id", t.lessee, "lease_id", t.leaseID)
	}
}

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

// renew makes one renewal, which gets a third of the time that is left. ctx is done when the tenure is.
func (l *Locker) renew(ctx context.Context, t *tenure) error {
	var now terms
	var until time.Time
	got, item := (*Lease)(nil), LeaseItem{}
	err := l.await(ctx, t.expire()/3, func(ctx context.Context) (err error) {
		now = t.terms
		now.duration = now.request.LeaseDuration()
		if err := checkDuration(now.duration); err != nil {
			now.duration = t.state().duration
			logError("Lease Request Refused", "lessee_id", t.lessee, "lease_id", t.leaseID, "error", err, "used", now.duration)
		}
		if until = time.Now().Add(now.duration); until.Before(t.state().rowEnd()) {
			until = t.state().rowEnd() // A shorter duration must not take away what others rely on: leasing anew would.
		}
		if got = t.lease(); l.adapted || got.FencingToken() == 0 { // Only leasing anew shows the token of a literal.
			got, err = l.store.LeaseWithContext(ctx, t.leaseID, now, until)
			return err
		}
		item, err = l.store.RenewLeaseItem(ctx, got, until, t.prolonged())
		return err
	})
	if err == nil {
		got, err = complete(got, t.leaseID, now, until)
	}
	left, over := t.expire(), t.over()
	switch {
	case over != nil:
		err = cmp.Or(err, over)
	case says(ctx, err, LeaseLostError) || says(ctx, err, LeaseNotObtainedError):
		t.finish(LeaseLostError)
		err = LeaseLostError
	case err == nil && !t.extend(got, now.duration, until):
		err = t.over()
	}
	if l.stats.renewal(ctx, t, left, err); err == nil {
		logInfo("Renewed Lease", "lessee_id", t.lessee, "lease_id", t.leaseID)
		t.yield(item)
	}
	return err
}
