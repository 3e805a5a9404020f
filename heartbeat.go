package lease

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"time"
)

// Heartbeat renews the lease every heartbeatDuration, the first time after one, and
// blocks until the tenure is over. A third of the lease's duration is good; more than
// two thirds counts as that, which is logged. A lease may have several Heartbeats at
// once. A panic of the store or the request goes through it. It returns
//   - nil after the lease was released by [Locker.ReleaseLease];
//   - bare [LeaseLostError] when someone else holds the item, it was retired, or the
//     time was up without a failed renewal;
//   - an error that wraps both LeaseLostError and the last error of the store, when the
//     lease ended in an outage: throttling, server, connection, timeout and hanging
//     requests, and credentials that can't be had, are logged and retried till then;
//   - any other error of the store at once. The lease then ends by itself.
func (l *Locker) Heartbeat(lease *Lease, heartbeatDuration time.Duration) error {
	return l.HeartbeatWithContext(always, lease, heartbeatDuration)
}

// HeartbeatWithContext is [Locker.Heartbeat] until ctx is done: then its error wraps
// the context's, and the tenure goes on.
func (l *Locker) HeartbeatWithContext(
	ctx context.Context, lease *Lease, heartbeatDuration time.Duration,
) error {
	if heartbeatDuration <= 0 {
		return fmt.Errorf("lease: heartbeatDuration is %v; want more than 0", heartbeatDuration)
	}
	t, err := l.tenureOf(ctx, lease)
	if err != nil {
		return err
	}
	l.beginBeat(t)
	defer l.endBeat(t)
	return l.heartbeat(ctx, t, time.Now().Add(heartbeatDuration), heartbeatDuration)
}

// heartbeat renews a lease, the first time when that is due.
func (l *Locker) heartbeat(
	ctx context.Context, t *tenure, due time.Time, every time.Duration,
) error {
	both, cancel := within(ctx, t.ctx)
	defer cancel()
	if longest := t.request.duration / 3 * 2; every > longest {
		logInfo("Heartbeat Shortened", "lessee_id", t.lessee, "lease_id", t.leaseID,
			"heartbeat_duration", every, "used", longest)
	}
	pulse := newPulse(due, every, t.request.duration, t.took)
	var failure error // since the last renewal
	for {
		next := pulse.next(time.Now(), t.state().term, mathrand.N[time.Duration])
		isDue := sleepUntil(both, next)
		if !isDue || t.over() != nil {
			return t.outcome(ctx, failure)
		}
		begun := time.Now()
		patience := pulse.patience(t.left())
		err := l.renew(both, t, patience)
		if err == nil {
			failure = nil
			pulse = pulse.succeeded(begun, time.Since(begun))
			continue
		}
		saysMore := !errors.Is(err, LeaseExpiredError) // than that the time is up
		if failure == nil || saysMore {
			failure = err
		}
		if !t.goesOn(both, err) {
			return t.outcome(ctx, failure)
		}
		pulse = pulse.failed(patience, t.left())
	}
}

// goesOn tells whether a renewal that failed so is tried again. Work is not to end for
// an error that may pass; who calls Heartbeat is told of it.
func (t *tenure) goesOn(ctx context.Context, err error) bool {
	if t.over() != nil {
		return false
	}
	if ctx.Err() != nil {
		return false
	}
	return t.purpose == forWork || mayPass(err)
}

// outcome is what a heartbeat returns that ends after that failure, or nil.
func (t *tenure) outcome(ctx context.Context, failure error) error {
	over := t.over()
	if over == LeaseReleasedError {
		return nil
	}
	if over == LeaseExpiredError && isCause(failure) {
		return fmt.Errorf("%w: the lease of %q ended before it could be renewed: %w",
			LeaseLostError, t.leaseID, failure)
	}
	if over != nil || failure == LeaseLostError {
		return LeaseLostError
	}
	if ctx.Err() != nil {
		return fmt.Errorf("lease: the heartbeat of %q was stopped: %w", t.leaseID, contextError(ctx))
	}
	return failure
}

// isCause tells that a failure says more than that the lease is over.
func isCause(failure error) bool {
	switch failure {
	case nil, LeaseLostError, LeaseExpiredError:
		return false
	}
	return true
}

// renew makes one renewal. ctx is done when the tenure is.
func (l *Locker) renew(ctx context.Context, t *tenure, patience time.Duration) error {
	e := l.errand("renewal", t.leaseID, t.lessee)
	renew := func(ctx context.Context) (renewal, error) { return l.sendRenewal(ctx, t) }
	got, err := ask(ctx, l, e, l.store.patience(patience), renew)
	err = l.renewed(ctx, t, got, err)
	if err != nil {
		t.owner.countFailedRenewal(ctx, t, err)
	}
	return err
}

// renewal is what a renewal has asked for, and what the store has granted and shown.
type renewal struct {
	duration time.Duration
	until    time.Time
	granted  *Lease
	item     LeaseItem
}

func (l *Locker) sendRenewal(ctx context.Context, t *tenure) (renewal, error) {
	request := t.requestedNow()
	now := time.Now()
	term := t.state().term
	until := term.renewedUntil(now, request.duration)
	var wishUntil time.Time
	if t.purpose == forWork {
		wishUntil = term.prolonged(now)
	}
	granted, item, err := l.store.renew(ctx, t.lease(), request, until, wishUntil)
	if err == nil {
		granted, err = complete(granted, t.leaseID, t.request, until)
	}
	return renewal{
		duration: request.duration,
		until:    until,
		granted:  granted,
		item:     item,
	}, err
}

// requestedNow returns what the tenure's request asks for by now: its duration may have
// changed.
func (t *tenure) requestedNow() requested {
	r := t.request
	r.duration = r.original.LeaseDuration()
	if err := checkDuration(r.duration); err != nil {
		r.duration = t.state().duration
		logError("Lease Request Refused", "lessee_id", t.lessee, "lease_id", t.leaseID,
			"error", err, "used", r.duration)
	}
	return r
}

// renewed changes the tenure by what a renewal came to.
func (l *Locker) renewed(ctx context.Context, t *tenure, got renewal, err error) error {
	if over := t.over(); over != nil {
		return firstOf(err, over)
	}
	isLost := says(ctx, err, LeaseLostError) || says(ctx, err, LeaseNotObtainedError)
	if isLost {
		t.happen(event{kind: lossSeen})
		return LeaseLostError
	}
	if err != nil {
		return err
	}
	is := t.extend(grant{
		token:    got.granted.FencingToken(),
		duration: got.duration,
		asked:    got.until,
		until:    got.granted.Until,
	}, got.granted)
	if !is.live() {
		return is.cause()
	}
	t.weightShown(got.item.weight())
	t.heed(got.item)
	return nil
}

// heed notes whether somebody else wants the item.
func (t *tenure) heed(item LeaseItem) {
	until := item.wantedUntil(time.Now())
	isWanted := !until.IsZero() && item.WantedBy != t.lessee
	if !isWanted {
		t.happen(event{kind: noWishSeen})
		return
	}
	t.happen(event{kind: wishSeen, wish: wish{by: item.WantedBy, until: until}})
}
