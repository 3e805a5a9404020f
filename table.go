package lease

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// EnsureTable makes the store's table, with on-demand billing, unless it is there, and blocks until it is active. A table
// that is there is left as it is; if it doesn't fit, the error says how. Any number of processes may call it at once.
func (s *LockStore) EnsureTable() error { return s.EnsureTableWithContext(always) }

// EnsureTableWithContext is [LockStore.EnsureTable] with a context.
func (s *LockStore) EnsureTableWithContext(ctx context.Context) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	for wait := time.Duration(0); ; wait = min(4*wait+20*time.Millisecond, time.Second) {
		if aws.SleepWithContext(ctx, wait) != nil {
			return fmt.Errorf("lease: table %q did not become active: %w", s.table, contextError(ctx))
		}
		req, out := s.DescribeTableRequest(&dynamodb.DescribeTableInput{TableName: &s.table})
		_, err := s.send(ctx, req, "")
		if err == nil && aws.StringValue(out.Table.TableStatus) == dynamodb.TableStatusActive {
			return s.checkTable(out.Table)
		}
		if errorCode(err) == dynamodb.ErrCodeResourceNotFoundException {
			req, _ := s.CreateTableRequest(&dynamodb.CreateTableInput{
				TableName:            &s.table,
				BillingMode:          aws.String(dynamodb.BillingModePayPerRequest),
				AttributeDefinitions: []*dynamodb.AttributeDefinition{{AttributeName: &s.key, AttributeType: aws.String("S")}},
				KeySchema:            []*dynamodb.KeySchemaElement{{AttributeName: &s.key, KeyType: aws.String("HASH")}},
			})
			_, err = s.send(ctx, req, "")
		}
		if err != nil && errorCode(err) != dynamodb.ErrCodeResourceInUseException { // else another process was first
			return err
		}
	}
}

func (s *LockStore) checkTable(table *dynamodb.TableDescription) error {
	for _, element := range table.KeySchema {
		if name := *element.AttributeName; *element.KeyType != dynamodb.KeyTypeHash {
			return setupf("lease: table %q has the sort key %q; lease items have a hash key only", s.table, name)
		} else if name != s.key {
			return setupf("lease: table %q has the hash key %q; want %q", s.table, name, s.key)
		}
	}
	for _, d := range table.AttributeDefinitions {
		if *d.AttributeName == s.key && *d.AttributeType != dynamodb.ScalarAttributeTypeS {
			return setupf("lease: table %q has the hash key %q of type %s; want S (string)", s.table, s.key, *d.AttributeType)
		}
	}
	return nil
}

// checkPage asks for the description of a table that looks odd, or is empty (once). Getting none is no error.
func (s *LockStore) checkPage(ctx context.Context, page *dynamodb.ScanOutput, first bool) (err error) {
	odd, last := len(page.LastEvaluatedKey) > 1, ""
	for _, row := range page.Items {
		key := cmp.Or(row[s.key], zero).S
		odd = odd || key == nil || *key == last
		last = aws.StringValue(key)
	}
	if !odd && (len(page.Items) > 0 || !first || s.described.Load()) {
		return nil
	}
	out, failed := s.DescribeTableWithContext(ctx, &dynamodb.DescribeTableInput{TableName: &s.table})
	if failed == nil {
		err = s.checkTable(out.Table)
	} else if odd {
		err = setupf("lease: table %q has rows without a hash key %q of type S (string), or with a sort key", s.table, s.key)
	}
	s.described.Store(err == nil && ctx.Err() == nil)
	return err
}

// AddLeaseID registers a lease item: it writes a row of that hash key, free to be leased, with the given attributes (nil
// for none), at one write unit for each KB. If it is registered, the error wraps [LeaseIDExistsError]. The FencingToken
// starts at what the attributes say, or at the time in Unix milliseconds (53 bits), so that it never repeats a token.
func (s *LockStore) AddLeaseID(leaseID string, attributes map[string]*dynamodb.AttributeValue) error {
	return s.AddLeaseIDWithContext(always, leaseID, attributes)
}

// AddLeaseIDWithContext is [LockStore.AddLeaseID] with a context.
func (s *LockStore) AddLeaseIDWithContext(ctx context.Context, leaseID string, given map[string]*dynamodb.AttributeValue) error {
	if err := s.ready(ctx, checkName("lease ID", leaseID)); err != nil {
		return err
	}
	now, _ := s.clock.times(time.Now())
	item := attributes{s.key: text(leaseID), untilAttribute: zero, tokenAttribute: number(now / 1e6)}
	for name, value := range given {
		if err := s.notOurs(leaseID, name); err != nil && name != tokenAttribute {
			return err
		} else if value == nil {
			return fmt.Errorf("lease: the attribute %q of lease ID %q is nil", name, leaseID)
		}
		item[name] = value
	}
	if r, err := s.parse(leaseID, item); err != nil || r.FencingToken > 1<<53 {
		return cmp.Or(err, fmt.Errorf("lease: the %s %d of lease ID %q is over 53 bits", tokenAttribute, r.FencingToken, leaseID))
	}
	req, _ := s.PutItemRequest(&dynamodb.PutItemInput{
		TableName:                           &s.table,
		Item:                                item,
		ConditionExpression:                 aws.String("attribute_not_exists(#key)"),
		ExpressionAttributeNames:            map[string]*string{"#key": &s.key},
		ReturnValuesOnConditionCheckFailure: aws.String(dynamodb.ReturnValuesOnConditionCheckFailureAllOld),
	})
	found, err := s.send(ctx, req, leaseID)
	if found == nil || found.resent && reflect.DeepEqual(found.item, item) {
		return err // At the last, the reply was lost.
	}
	return fmt.Errorf("lease: %w: %q in table %q", LeaseIDExistsError, leaseID, s.table)
}

// RemoveLeaseID deletes the row of an item that nobody holds, at one write unit for each KB. One that is not there is fine.
// While someone holds the item, the error wraps [LeaseHeldError].
func (s *LockStore) RemoveLeaseID(id string) error { return s.RemoveLeaseIDWithContext(always, id) }

// RemoveLeaseIDWithContext is [LockStore.RemoveLeaseID] with a context.
func (s *LockStore) RemoveLeaseIDWithContext(ctx context.Context, leaseID string) error {
	if err := s.ready(ctx, checkName("lease ID", leaseID)); err != nil {
		return err
	}
	now, _ := s.clock.times(time.Now())
	found, err := s.remove(ctx, leaseID, attributes{":now": number(now)},
		"attribute_not_exists(#key) OR attribute_not_exists(#until) OR #until < :now")
	if found == nil || err != nil {
		return err
	}
	return fmt.Errorf("lease: %w: %q in table %q, by %q", LeaseHeldError, leaseID, s.table, found.LesseeID)
}

// RemoveLease is [LockStore.RemoveLeaseID] by the holder, whose lease it ends. The error is bare [LeaseLostError] if it was lost.
func (s *LockStore) RemoveLease(lease *Lease) error { return s.RemoveLeaseWithContext(always, lease) }

// RemoveLeaseWithContext is [LockStore.RemoveLease] with a context.
func (s *LockStore) RemoveLeaseWithContext(ctx context.Context, lease *Lease) error {
	mine, c, err := s.held(ctx, lease)
	if err != nil {
		return err
	}
	lease.Discard()
	furthest := c.furthest.Load()
	found, err := s.remove(ctx, lease.LeaseID, mine.own(furthest), ownCondition)
	if found == nil || err != nil || len(found.item) == 0 { // retired before
		return err
	} else if c.overtaken(mine, found, furthest) {
		return s.RemoveLeaseWithContext(ctx, lease)
	}
	return mine.lost(lease.LeaseID, found)
}

func (s *LockStore) remove(ctx context.Context, leaseID string, v attributes, condition string) (*row, error) {
	req, _ := s.DeleteItemRequest(&dynamodb.DeleteItemInput{
		TableName:                           &s.table,
		Key:                                 attributes{s.key: text(leaseID)},
		ConditionExpression:                 &condition,
		ExpressionAttributeNames:            s.names(condition),
		ExpressionAttributeValues:           v,
		ReturnValuesOnConditionCheckFailure: aws.String(dynamodb.ReturnValuesOnConditionCheckFailureAllOld),
	})
	return s.send(ctx, req, leaseID)
}
