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

// WithdrawWish is [lease.LockStore.WithdrawWish]. It counts as one of [Counts.Withdrawals], or
// as two if the wish ends at another time.
func (s *Store) WithdrawWish(
	ctx context.Context, seen lease.LeaseItem, by string, until time.Time,
) (lease.LeaseItem, error) {
	if err := checkWish(ctx, seen, by, until); err != nil {
		return lease.LeaseItem{}, err
	}

	item := lease.LeaseItem{LeaseID: seen.LeaseID, Weight: 1, Capacity: 1}
	end := s.hostTime(until)
	try := func() (outcome, error) {
		return s.write(ctx, &s.counts.Withdrawals, seen.LeaseID, func(r *row, _ int64) outcome {
			result := r.withdraw(wish{by: by, until: end})
			item = s.item(r)
			end = r.wish.until
			return result
		})
	}
	result, err := try()
	if result == notAsSeen {
		result, err = try() // as the refusal shows it
	}
	if err != nil {
		return lease.LeaseItem{}, err
	}

	isTheirs := by != "" && item.LesseeID == by
	if isTheirs || result == notAsSeen {
		return item, lease.LeaseNotObtainedError
	}
	return item, nil
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

	return s.give(ctx, &s.counts.Handovers, l, func(r *row, now int64) outcome {
		return r.handOver(t, s.hostTime(until), now)
	})
}
