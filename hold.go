package lease

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ReleaseLease ends the lease's context, stops its Heartbeat, and frees the item for others (or when the lease of another process
// of the name ends). It costs one write, may be repeated, and takes 10 seconds at most; the error then says until when the item
// stays leased. It is bare [LeaseLostError] if the item was lost, and wraps [ReleaseUnsupportedError] if the store can't free one.
func (l *Locker) ReleaseLease(lease *Lease) error { return l.ReleaseLeaseWithContext(always, lease) }

// ReleaseLeaseWithContext is [Locker.ReleaseLease] with a context. It ends the tenure also when ctx is done.
func (l *Locker) ReleaseLeaseWithContext(ctx context.Context, lease *Lease) error {
	t, err := l.tenureOf(ctx, lease, true)
	if err != nil {
		return err
	}
	return l.release(ctx, t)
}

func (l *Locker) release(ctx context.Context, t *tenure) error {
	const maxRelease = 10 * time.Second // Any shutdown should have time for it.
	l.tenures.use(t.holding, 1)         // No sibling is to lease the row meanwhile.
	defer l.tenures.use(t.holding, -1)
	t.finish(LeaseReleasedError)
	if t.over() == LeaseLostError {
		return LeaseLostError
	}
	if t.released.Load() {
		return nil
	}
	now, most, ends := t.state(), time.Second, "ended" // After the end nobody waits for the item any more.
	end := time.Unix(0, max(now.rowEnd().UnixNano(), now.claim.older))
	if left := time.Until(end); left > 0 {
		most, ends = min(left, maxRelease), "ends"
	}
	wanted := t.yields()
	timed, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	err := l.stats.wrote(ctx, l.await(timed, 2*most, func(ctx context.Context) error { return l.free(ctx, t, wanted) }))
	switch lost := says(ctx, err, LeaseLostError); {
	case lost && (t.discarded.Load() || t.released.Load()): // Its holder had given the row away by the store, or this way.
		return nil
	case lost:
		if t.lost.CompareAndSwap(false, true) && t.over() == LeaseReleasedError {
			l.stats.note(func(now *LockerStats) { now.Lost++ })
		}
		return LeaseLostError
	case errors.Is(err, ReleaseUnsupportedError) || err != nil && timed.Err() != nil:
		return fmt.Errorf("lease: the lease of %q was not released, and %s at %v: %w", t.leaseID, ends, end, err)
	case err == nil && t.released.CompareAndSwap(false, true):
		if wanted {
			l.stats.note(func(now *LockerStats) { now.HandedOver++ })
			logInfo("Handed Over Lease", "lessee_id", t.lessee, "lease_id", t.leaseID)
		} else {
			l.stats.note(func(now *LockerStats) { now.Released++ })
			logInfo("Released Lease", "lessee_id", t.lessee, "lease_id", t.leaseID)
		}
	}
	return err
}

// free sends the handover of an item that is wanted, or the release of any other.
func (l *Locker) free(ctx context.Context, t *tenure, wanted bool) error {
	if !wanted {
		return l.store.ReleaseLeaseWithContext(ctx, t.lease())
	}
	d := t.state().duration
	left := min(max(time.Until(t.wish.Load().until), d/3*2), max(d, time.Minute)) // It may be another's wish by now.
	return l.store.HandOverLease(ctx, t.lease(), time.Now().Add(left))
}

// Hold waits until it obtains a lease, looking every third of its duration, see [Locker.WaitUntilLeaseObtained]; it runs
// work, heartbeating the lease as often, and releases it, whether work returns, panics or leaves its goroutine. It blocks
// until that is done. work must stop when its context is done: [context.Cause] is that of ctx (the lease is kept till work
// returns), [LeaseWantedError] if somebody else wants the item (which is then handed over), or why the tenure is over. What
// fails of renewals and the release is logged. A panic of the store or the request goes through Hold. The error is nil if work
// returned nil and the lease was held throughout. It wraps
//   - work's error, if it returned one; but LeaseWantedError, if work's error only repeats that its context was done;
//   - [LeaseLostError], if the lease was lost before work returned; ctx's error, if ctx was done before one was obtained;
//   - at once, what is wrong with the request, or what no waiting would make good.
func (l *Locker) Hold(ctx context.Context, request LeaseRequest, work func(ctx context.Context, lease *Lease) error) error {
	terms, err := checkRequest(request)
	if err = cmp.Or(l.check(ctx), err); err != nil {
		return err
	}
	if work == nil {
		return errors.New("lease: the work to Hold a lease for is nil")
	}
	terms.keep = true
	lease, err := l.WaitUntilLeaseObtainedWithContext(ctx, terms, max(terms.duration/3, 1))
	if err != nil {
		return err
	}
	return l.hold(ctx, lease, max(terms.duration/3, 1), work)
}

// hold runs work under a lease that is in use, and ends both. The first renewal comes after that time.
func (l *Locker) hold(ctx context.Context, lease *Lease, first time.Duration, work func(ctx context.Context, lease *Lease) error) (err error) {
	t := lease.tenure // whatever work does to its lease
	workCtx, cancel := within(ctx, t.work)
	defer cancel()
	beat := begin(func() error { return l.heartbeat(context.WithoutCancel(ctx), t, first, max(t.terms.duration/3, 1)) }, false)
	end := sync.OnceValue(func() error { return l.end(ctx, t, beat) })
	defer end() // for work that doesn't return
	err = work(workCtx, lease)
	t.expire()
	over := context.Cause(t.work)
	echo := over != nil && ctx.Err() == nil && (err == context.Canceled || err == over)
	switch lost := end(); {
	case lost != nil && (err == nil || echo):
		return lost
	case lost != nil:
		return errors.Join(err, lost)
	case echo && over == LeaseWantedError:
		return over
	case over == LeaseWantedError && ctx.Err() == nil && errors.Is(err, context.Canceled):
		return errors.Join(err, over)
	}
	return err
}

func (l *Locker) end(ctx context.Context, t *tenure, beat <-chan func() error) error {
	defer l.tenures.use(t.holding, -1)
	over := t.over()
	released := l.release(context.WithoutCancel(ctx), t)
	logFailure(released, "lessee_id", t.lessee, "lease_id", t.leaseID)
	err := (<-beat)()
	switch {
	case errors.Is(err, LeaseLostError):
		return err
	case over != nil && over != LeaseReleasedError:
		return fmt.Errorf("%w: %w", LeaseLostError, cmp.Or(err, over))
	case released == LeaseLostError:
		return released
	}
	logFailure(err, "lessee_id", t.lessee, "lease_id", t.leaseID)
	return nil
}
