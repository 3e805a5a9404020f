package leasetest

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
)

// AddLeaseID is [lease.LockStore.AddLeaseID]. As no time may pass between its calls, the token
// of an item that is registered anew starts where the item was retired, if that is further.
func (s *Store) AddLeaseID(leaseID string, attributes map[string]*dynamodb.AttributeValue) error {
	return s.AddLeaseIDWithContext(context.Background(), leaseID, attributes)
}

// AddLeaseIDWithContext is [lease.LockStore.AddLeaseIDWithContext]; see [Store.AddLeaseID].
func (s *Store) AddLeaseIDWithContext(
	ctx context.Context, leaseID string, attributes map[string]*dynamodb.AttributeValue,
) error {
	if err := checkItem(ctx, leaseID); err != nil {
		return err
	}
	if err := checkAttributes(leaseID, attributes); err != nil {
		return err
	}

	result, err := s.send(ctx, &s.counts.Registrations, func(now int64) outcome {
		return s.add(leaseID, s.firstToken(leaseID, attributes, now), attributes)
	})
	if err != nil {
		return err
	}
	return result.orElse(existsError(leaseID))
}

// firstToken is where the token of an item that is registered starts.
func (s *Store) firstToken(
	leaseID string, attributes map[string]*dynamodb.AttributeValue, now int64,
) int64 {
	if given := attributes[tokenAttribute]; given != nil {
		token, _ := parseToken(given) // which was checked
		return token
	}
	milliseconds := now / int64(time.Millisecond)
	return max(milliseconds, s.retired[leaseID])
}

func existsError(leaseID string) error {
	return fmt.Errorf("leasetest: %w: %q", lease.LeaseIDExistsError, leaseID)
}

// RemoveLeaseID is [lease.LockStore.RemoveLeaseID].
func (s *Store) RemoveLeaseID(leaseID string) error {
	return s.RemoveLeaseIDWithContext(context.Background(), leaseID)
}

// RemoveLeaseIDWithContext is [lease.LockStore.RemoveLeaseIDWithContext].
func (s *Store) RemoveLeaseIDWithContext(ctx context.Context, leaseID string) error {
	if err := checkItem(ctx, leaseID); err != nil {
		return err
	}

	var holder string
	result, err := s.send(ctx, &s.counts.Retirements, func(now int64) outcome {
		r := s.find(leaseID)
		if r != nil && r.isLive(now) {
			holder = r.holder
			return refused
		}
		s.remove(leaseID)
		return applied
	})
	if err != nil {
		return err
	}
	held := fmt.Errorf("leasetest: %w: %q, by %q", lease.LeaseHeldError, leaseID, holder)
	return result.orElse(held)
}

// RemoveLease is [lease.LockStore.RemoveLease].
func (s *Store) RemoveLease(l *lease.Lease) error {
	return s.RemoveLeaseWithContext(context.Background(), l)
}

// RemoveLeaseWithContext is [lease.LockStore.RemoveLeaseWithContext].
func (s *Store) RemoveLeaseWithContext(ctx context.Context, l *lease.Lease) error {
	if err := checkTenure(ctx, l); err != nil {
		return err
	}
	l.Discard()
	t := tenureOf(l)

	result, err := s.send(ctx, &s.counts.Retirements, func(int64) outcome {
		r := s.find(l.LeaseID)
		if r == nil {
			return appliedBefore
		}
		if !r.yieldsTo(t) {
			return refused
		}
		s.remove(l.LeaseID)
		return applied
	})
	if err != nil {
		return err
	}
	return result.orElse(lease.LeaseLostError)
}

// checkItem checks the input of a call for an item.
func checkItem(ctx context.Context, leaseID string) error {
	if err := checkContext(ctx); err != nil {
		return err
	}
	return checkName("lease ID", leaseID)
}
