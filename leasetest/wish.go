package leasetest

import (
	"cmp"
	"context"
	"time"

	"github.com/intercom/lease"
)

// WantLease is [lease.LockStore.WantLease].
func (s *Store) WantLease(
	ctx context.Context, seen lease.LeaseItem, by string, until time.Time,
) error {
	if err := checkWish(ctx, seen, by, until); err != nil {
		return err
	}
	isFree := seen.LesseeID == ""
	isOwn := seen.LesseeID == by
	if isFree || isOwn {
		return lease.LeaseNotObtainedError // without a request
	}

	result, err := s.write(ctx, &s.counts.Wishes, seen.LeaseID, func(r *row, now int64) outcome {
		return r.want(seen, wish{by: by, until: s.hostTime(until)}, now)
	})
	if err != nil {
		return err
	}
	return result.orElse(lease.LeaseNotObtainedError)
}

func checkWish(ctx context.Context, seen lease.LeaseItem, by string, until time.Time) error {
	if err := checkContext(ctx); err != nil {
		return err
	}
	if err := checkName("lease ID", seen.LeaseID); err != nil {
		return err
	}
	const operator = "-" // any good name: an operator has none
	if err := checkName("LesseeID", cmp.Or(by, operator)); err != nil {
		return err
	}
	return checkUntil(until)
}

// HandOverLease is [lease.LockStore.HandOverLease].
func (s *Store) HandOverLease(ctx context.Context, l *lease.Lease, until time.Time) error {
	if err := checkMoving(ctx, l, until); err != nil {
		return err
	}
	l.Discard()
	t := tenureOf(l)
	farthest := farthestWish(l.Request.LeaseDuration()).Nanoseconds()

	result, err := s.write(ctx, &s.counts.Handovers, l.LeaseID, func(r *row, now int64) outcome {
		return r.handOver(t, s.hostTime(until), now, now+farthest)
	})
	if err != nil {
		return err
	}
	return result.orElse(lease.LeaseLostError)
}

// farthestWish is how far ahead a wish may end that a handover heeds.
func farthestWish(duration time.Duration) time.Duration {
	tenPeriods := 10 * (duration / 3)
	return max(tenPeriods, 10*time.Minute)
}
