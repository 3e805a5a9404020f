package leasetest

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
)

// SaveAttributes is [lease.LockStore.SaveAttributes].
func (s *Store) SaveAttributes(
	ctx context.Context, l *lease.Lease, attributes map[string]*dynamodb.AttributeValue,
) error {
	if err := checkSave(ctx, l, attributes); err != nil {
		return err
	}
	if tenureIsOver(l) {
		return lease.LeaseLostError
	}
	if len(attributes) == 0 {
		return nil
	}
	t := tenureOf(l)

	result, err := s.write(ctx, &s.counts.Saves, l.LeaseID, func(r *row, now int64) outcome {
		return r.save(t, attributes, now)
	})
	if err != nil {
		return err
	}
	return result.orElse(lease.LeaseLostError)
}

func checkSave(
	ctx context.Context, l *lease.Lease, attributes map[string]*dynamodb.AttributeValue,
) error {
	if err := checkTenure(ctx, l); err != nil {
		return err
	}
	for name, value := range attributes {
		if err := checkAttributeName(l.LeaseID, name); err != nil {
			return err
		}
		if value == nil {
			continue // It is to be removed.
		}
		if err := checkValue(l.LeaseID, name, value); err != nil {
			return err
		}
	}
	if l.FencingToken() == 0 {
		return fmt.Errorf("leasetest: the lease of %q has no fencing token to save attributes under",
			l.LeaseID)
	}
	return nil
}

// tenureIsOver tells whether a Locker knows that the lease is over. Of a bare lease it is the
// row that says.
func tenureIsOver(l *lease.Lease) bool {
	// Whether a bare lease is over its Until says, and that of a Locker's doesn't matter.
	sameWithTimeLeft := *l
	sameWithTimeLeft.Until = time.Now().Add(2 * l.Request.LeaseDuration())
	return !sameWithTimeLeft.Valid()
}
