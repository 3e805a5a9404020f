package leasetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
)

// AddLeaseID is [lease.LockStore.AddLeaseID]. As no time may pass between its calls, the token of an item that
// is registered anew starts where the item was retired, if that is further.
func (s *Store) AddLeaseID(leaseID string, attributes map[string]*dynamodb.AttributeValue) error {
	return s.AddLeaseIDWithContext(context.Background(), leaseID, attributes)
}

// AddLeaseIDWithContext is [lease.LockStore.AddLeaseIDWithContext]; see [Store.AddLeaseID].
func (s *Store) AddLeaseIDWithContext(ctx context.Context, leaseID string, attributes map[string]*dynamodb.AttributeValue) error {
	if err := cmp.Or(checkContext(ctx), checkName("lease ID", leaseID), checkAttributes(leaseID, attributes)); err != nil {
		return err
	}
	return s.send(ctx, &s.counts.Registrations, func(now int64) error {
		token := max(now/int64(time.Millisecond), s.retired[leaseID])
		if given := attributes[tokenAttribute]; given != nil {
			token, _ = parseToken(given)
		}
		return s.add(leaseID, token, attributes)
	})
}

// RemoveLeaseID is [lease.LockStore.RemoveLeaseID].
func (s *Store) RemoveLeaseID(leaseID string) error {
	return s.RemoveLeaseIDWithContext(context.Background(), leaseID)
}

// RemoveLeaseIDWithContext is [lease.LockStore.RemoveLeaseIDWithContext].
func (s *Store) RemoveLeaseIDWithContext(ctx context.Context, leaseID string) error {
	if err := cmp.Or(checkContext(ctx), checkName("lease ID", leaseID)); err != nil {
		return err
	}
	return s.send(ctx, &s.counts.Retirements, func(now int64) error {
		if r := s.find(leaseID); r != nil && r.until >= now {
			return fmt.Errorf("leasetest: %w: %q, by %q", lease.LeaseHeldError, leaseID, r.holder)
		}
		s.remove(leaseID)
		return nil
	})
}

// RemoveLease is [lease.LockStore.RemoveLease].
func (s *Store) RemoveLease(l *lease.Lease) error {
	return s.RemoveLeaseWithContext(context.Background(), l)
}

// RemoveLeaseWithContext is [lease.LockStore.RemoveLeaseWithContext].
func (s *Store) RemoveLeaseWithContext(ctx context.Context, l *lease.Lease) error {
	if err := cmp.Or(checkContext(ctx), checkLease(l)); err != nil {
		return err
	}
	l.Discard()
	lessee := l.Request.LesseeID()
	return s.send(ctx, &s.counts.Retirements, func(int64) error {
		r := s.find(l.LeaseID)
		switch {
		case r == nil:
			return errAlready
		case !r.isOf(lessee, l):
			return lease.LeaseLostError
		}
		s.remove(l.LeaseID)
		return nil
	})
}

// checkAttributes tells what is wrong with the attributes to register an item with.
func checkAttributes(leaseID string, attributes map[string]*dynamodb.AttributeValue) error {
	for name, value := range attributes {
		err := checkAttributeName(leaseID, name)
		switch {
		case err != nil && name != tokenAttribute:
			return err
		case value == nil:
			return fmt.Errorf("leasetest: the attribute %q of lease ID %q is nil", name, leaseID)
		case name == tokenAttribute:
			if _, err := parseToken(value); err != nil {
				return fmt.Errorf("leasetest: the attribute %q of lease ID %q is no good: %w", name, leaseID, err)
			}
		}
	}
	return nil
}

func checkAttributeName(leaseID, name string) error {
	switch name {
	case HashKey, holderAttribute, untilAttribute, tokenAttribute, wantedBy, wantedUntil:
		return fmt.Errorf("leasetest: the attribute %q of lease ID %q is the library's to write", name, leaseID)
	case "":
		return fmt.Errorf("leasetest: an attribute of lease ID %q has an empty name", leaseID)
	}
	return nil
}

func parseToken(value *dynamodb.AttributeValue) (int64, error) {
	if value.N == nil {
		return 0, errors.New("it is not a number")
	}
	const most = math.MaxInt64 / 2
	token, err := strconv.ParseInt(*value.N, 10, 64)
	if err != nil || token < 0 || token > most {
		return 0, fmt.Errorf("%s is not a whole number from 0 to %d", *value.N, int64(most))
	}
	return token, nil
}
