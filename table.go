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

// EnsureTable makes the store's table, with the store's hash key of type string and on-demand
// billing, unless it is there, and blocks until it is active: some seconds when it makes one. A table
// that is there is left as it is; the error says how it doesn't fit, if it doesn't.
//
// Any number of processes may call it at once. It is a help for a first run: it needs permission for
// DescribeTable and CreateTable, which nothing else here does.
func (s *LockStore) EnsureTable() error { return s.EnsureTableWithContext(context.Background()) }

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
		err := s.send(ctx, req, "", dynamodb.ErrCodeResourceNotFoundException)
		switch {
		case errorCode(err) == dynamodb.ErrCodeResourceNotFoundException:
			err = s.createTable(ctx)
		case err == nil && aws.StringValue(out.Table.TableStatus) == dynamodb.TableStatusActive:
			return s.checkTable(out.Table)
		}
		if err != nil {
			return err
		}
	}
}

// createTable sends one CreateTable. That another process was first is fine.
func (s *LockStore) createTable(ctx context.Context) error {
	req, _ := s.CreateTableRequest(&dynamodb.CreateTableInput{
		TableName:   &s.table,
		BillingMode: aws.String(dynamodb.BillingModePayPerRequest),
		AttributeDefinitions: []*dynamodb.AttributeDefinition{
			{AttributeName: &s.key, AttributeType: aws.String(dynamodb.ScalarAttributeTypeS)}},
		KeySchema: []*dynamodb.KeySchemaElement{
			{AttributeName: &s.key, KeyType: aws.String(dynamodb.KeyTypeHash)}},
	})
	err := s.send(ctx, req, "", dynamodb.ErrCodeResourceInUseException)
	if errorCode(err) == dynamodb.ErrCodeResourceInUseException {
		return nil
	}
	return err
}

// misfit returns the error of a table that can't hold lease items.
func (s *LockStore) misfit(format string, args ...any) error {
	return setupf("lease: table %q "+format, append([]any{s.table}, args...)...)
}

// checkTable tells what in a table's description is not as lease items need it.
func (s *LockStore) checkTable(table *dynamodb.TableDescription) error {
	for _, element := range table.KeySchema {
		name := aws.StringValue(element.AttributeName)
		switch {
		case aws.StringValue(element.KeyType) != dynamodb.KeyTypeHash:
			return s.misfit("has the sort key %q; lease items have a hash key only", name)
		case name != s.key:
			return s.misfit("has the hash key %q; want %q", name, s.key)
		}
	}
	for _, definition := range table.AttributeDefinitions {
		kind := aws.StringValue(definition.AttributeType)
		if aws.StringValue(definition.AttributeName) == s.key && kind != dynamodb.ScalarAttributeTypeS {
			return s.misfit("has the hash key %q of type %s; want S (string)", s.key, kind)
		}
	}
	return nil
}

// checkPage tells what is wrong with a table whose rows don't look as they should, or that has none: it asks
// for the description, of an empty table once. No answer is no error: a worker needs no permission to ask.
func (s *LockStore) checkPage(ctx context.Context, page *dynamodb.ScanOutput, first bool) error {
	odd := len(page.LastEvaluatedKey) > 1
	for i, row := range page.Items {
		key := row[s.key]
		odd = odd || key == nil || key.S == nil || i > 0 && *key.S == *page.Items[i-1][s.key].S
	}
	if !odd && (len(page.Items) > 0 || !first || s.described.Load()) {
		return nil
	}
	out, err := s.DescribeTableWithContext(ctx, &dynamodb.DescribeTableInput{TableName: &s.table})
	if err == nil {
		err = s.checkTable(out.Table)
	} else if err = nil; odd {
		err = s.misfit("has rows that are no lease items: want a hash key %q of type S (string) and no sort key", s.key)
	}
	s.described.Store(err == nil && ctx.Err() == nil)
	return err
}

// AddLeaseID registers a lease item: it writes a row of that hash key, free to be leased, with the
// given attributes beside it (nil for none). It costs one write unit for each KB of the row.
//
// The item's FencingToken starts at the current time in Unix milliseconds (53 bits are enough for it), so
// that an item that is retired and registered anew never repeats a token; or at what the attributes say.
//
// An item that is registered already stays as it is: the error wraps [LeaseIDExistsError].
// Attributes with the name of the hash key or of this package's other attributes are refused.
func (s *LockStore) AddLeaseID(leaseID string, attributes map[string]*dynamodb.AttributeValue) error {
	return s.AddLeaseIDWithContext(context.Background(), leaseID, attributes)
}

// AddLeaseIDWithContext is [LockStore.AddLeaseID] with a context.
func (s *LockStore) AddLeaseIDWithContext(ctx context.Context, leaseID string, given map[string]*dynamodb.AttributeValue) error {
	if err := cmp.Or(s.check(ctx), checkName("lease ID", leaseID)); err != nil {
		return err
	}
	item := attributes{s.key: text(leaseID), untilAttribute: number(0), tokenAttribute: number(s.clock.now() / 1e6)}
	for name, value := range given {
		switch {
		case name == s.key || name == holderAttribute || name == untilAttribute:
			return fmt.Errorf("lease: the attribute %q of lease ID %q is the library's to write", name, leaseID)
		case name == "":
			return fmt.Errorf("lease: an attribute of lease ID %q has an empty name", leaseID)
		case value == nil:
			return fmt.Errorf("lease: the attribute %q of lease ID %q is nil", name, leaseID)
		}
		item[name] = value
	}
	if r, err := s.parse(leaseID, item); err != nil || r.token > 1<<53 {
		return cmp.Or(err, fmt.Errorf("lease: the %s %d of lease ID %q is over 53 bits", tokenAttribute, r.token, leaseID))
	}
	const absent = "attribute_not_exists(#key)"
	req, _ := s.PutItemRequest(&dynamodb.PutItemInput{
		TableName:                           &s.table,
		Item:                                item,
		ConditionExpression:                 aws.String(absent),
		ExpressionAttributeNames:            s.names(absent),
		ReturnValuesOnConditionCheckFailure: aws.String(dynamodb.ReturnValuesOnConditionCheckFailureAllOld),
	})
	found, err := s.write(ctx, req, leaseID)
	switch {
	case found == nil:
		return err
	case req.RetryCount > 0 && reflect.DeepEqual(found.item, item):
		return nil // The SDK sent it again because the reply was lost, but it had been applied.
	}
	return fmt.Errorf("lease: %w: %q in table %q", LeaseIDExistsError, leaseID, s.table)
}

// RemoveLeaseID retires a lease item that nobody holds: it deletes the row and the user's attributes
// with it. An item that is not there is fine. It costs one write unit for each KB of the row.
//
// While someone holds the item, the error wraps [LeaseHeldError], and nothing is deleted. A holder
// retires its own item by [LockStore.RemoveLease].
func (s *LockStore) RemoveLeaseID(leaseID string) error {
	return s.RemoveLeaseIDWithContext(context.Background(), leaseID)
}

// RemoveLeaseIDWithContext is [LockStore.RemoveLeaseID] with a context.
func (s *LockStore) RemoveLeaseIDWithContext(ctx context.Context, leaseID string) error {
	if err := cmp.Or(s.check(ctx), checkName("lease ID", leaseID)); err != nil {
		return err
	}
	if err := s.learnClock(ctx); err != nil {
		return err
	}
	found, err := s.remove(ctx, leaseID, attributes{":now": number(s.clock.now())},
		"attribute_not_exists(#key) OR attribute_not_exists(#until) OR #until < :now")
	if found == nil || err != nil {
		return err
	}
	return fmt.Errorf("lease: %w: %q in table %q, by %q", LeaseHeldError, leaseID, s.table, found.holder)
}

// RemoveLease retires the item of a lease that is held: it ends the lease in this process, see
// [Lease.Discard], and then deletes the row, and the user's attributes with it. An item that is not there
// is fine. It costs one write unit for each KB of the row.
//
// The error is bare [LeaseLostError] when the tenure was over before; nothing is deleted then.
func (s *LockStore) RemoveLease(lease *Lease) error {
	return s.RemoveLeaseWithContext(context.Background(), lease)
}

// RemoveLeaseWithContext is [LockStore.RemoveLease] with a context.
func (s *LockStore) RemoveLeaseWithContext(ctx context.Context, lease *Lease) error {
	held, err := s.checkHeld(ctx, lease)
	if err != nil {
		return err
	}
	lease.Discard()
	found, err := s.remove(ctx, lease.LeaseID, held.values(), ownCondition)
	if found == nil || err != nil || len(found.item) == 0 { // retired before
		return err
	}
	return held.lost(found)
}

// remove sends one DeleteItem, and returns the row that refused it.
func (s *LockStore) remove(ctx context.Context, leaseID string, v attributes, condition string) (refusal *row, err error) {
	req, _ := s.DeleteItemRequest(&dynamodb.DeleteItemInput{
		TableName:                           &s.table,
		Key:                                 attributes{s.key: text(leaseID)},
		ConditionExpression:                 &condition,
		ExpressionAttributeNames:            s.names(condition),
		ExpressionAttributeValues:           v,
		ReturnValuesOnConditionCheckFailure: aws.String(dynamodb.ReturnValuesOnConditionCheckFailureAllOld),
	})
	return s.write(ctx, req, leaseID)
}
