package lease

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"
)

const validationException = "ValidationException" // The SDK has no constant for it.

// AddLeaseID registers a lease item: it writes a row of that hash key, free to be leased, with the
// given attributes beside it (nil for none). It writes one unit for each KB of the row.
//
// An item that is registered already stays as it is: the error wraps [LeaseIDExistsError].
// Attributes with the name of the hash key or of this package's own attributes are refused.
func (s *LockStore) AddLeaseID(leaseID string, attributes map[string]*dynamodb.AttributeValue) error {
	return s.AddLeaseIDWithContext(context.Background(), leaseID, attributes)
}

// AddLeaseIDWithContext is [LockStore.AddLeaseID] with a context.
func (s *LockStore) AddLeaseIDWithContext(ctx context.Context, leaseID string, attributes map[string]*dynamodb.AttributeValue) error {
	if err := s.checkCall(ctx, leaseID); err != nil {
		return err
	}
	item := map[string]*dynamodb.AttributeValue{s.key: text(leaseID), untilAttribute: number(0)}
	for name, value := range attributes {
		switch name {
		case s.key, holderAttribute, untilAttribute, tokenAttribute:
			return fmt.Errorf("lease: the attribute %q of lease ID %q is the library's to write", name, leaseID)
		case "":
			return fmt.Errorf("lease: an attribute of lease ID %q has an empty name", leaseID)
		}
		if value == nil {
			return fmt.Errorf("lease: the attribute %q of lease ID %q is nil", name, leaseID)
		}
		item[name] = value
	}
	req, _ := s.PutItemRequest(&dynamodb.PutItemInput{
		TableName:                           &s.table,
		Item:                                item,
		ConditionExpression:                 s.adding.Condition(),
		ExpressionAttributeNames:            s.adding.names,
		ReturnValuesOnConditionCheckFailure: aws.String(dynamodb.ReturnValuesOnConditionCheckFailureAllOld),
	})
	err := s.send(ctx, req, "lease_id", leaseID)
	there, refused := conditionFailed(err)
	switch {
	case !refused:
		return s.explainTable(ctx, err)
	case req.RetryCount > 0 && reflect.DeepEqual(there, item):
		return nil // The SDK sent it again because the reply was lost, but it had been applied.
	}
	return fmt.Errorf("lease: %w: %q in table %q", LeaseIDExistsError, leaseID, s.table)
}

// RemoveLeaseID retires a lease item that nobody holds: it deletes the row and the user's attributes
// with it. An item that is not there is fine. It writes one unit for each KB of the row.
//
// While someone holds the item, the error wraps [LeaseHeldError], and nothing is deleted. A holder
// retires its own item by [LockStore.RemoveLease].
func (s *LockStore) RemoveLeaseID(leaseID string) error {
	return s.RemoveLeaseIDWithContext(context.Background(), leaseID)
}

// RemoveLeaseIDWithContext is [LockStore.RemoveLeaseID] with a context.
func (s *LockStore) RemoveLeaseIDWithContext(ctx context.Context, leaseID string) error {
	if err := s.checkCall(ctx, leaseID); err != nil {
		return err
	}
	for again := false; ; again = true {
		item, refused, err := s.remove(ctx, leaseID, s.retiring, values{"now": number(s.now())})
		if !refused {
			return err
		}
		seen, err := s.parse(leaseID, item)
		if again || err != nil || seen.until >= s.serverNow() {
			return fmt.Errorf("lease: %w: %q in table %q, by %q", LeaseHeldError, leaseID, s.table, seen.holder)
		}
		// It is free, but at the first try the server's clock wasn't known yet.
	}
}

// RemoveLease retires the item of a lease that is held: it ends the tenure and then deletes the row,
// and the user's attributes with it. It writes one unit for each KB of the row.
//
// The error is bare [LeaseLostError] when the tenure was over before; nothing is deleted then.
func (s *LockStore) RemoveLease(lease *Lease) error {
	return s.RemoveLeaseWithContext(context.Background(), lease)
}

// RemoveLeaseWithContext is [LockStore.RemoveLease] with a context.
func (s *LockStore) RemoveLeaseWithContext(ctx context.Context, lease *Lease) (err error) {
	terms, err := s.checkHeld(ctx, lease)
	if err != nil {
		return err
	}
	if t := lease.tenure; t != nil {
		t.finish(LeaseReleasedError)
		if err := t.lock(ctx); err != nil {
			return fmt.Errorf("lease: a renewal of %q is under way and keeps it from being retired: %w", lease.LeaseID, err)
		}
		defer t.unlock()
		defer func() { t.freed = t.freed || err == nil }() // There is nothing left to release.
	}
	item, refused, err := s.remove(ctx, lease.LeaseID, s.retiringOwn, values{
		"me": text(terms.lessee), "token": number(lease.FencingToken())})
	switch {
	case !refused:
		return err
	case len(item) == 0:
		return nil // Retired before, perhaps by a request whose reply was lost.
	}
	seen, _ := s.parse(lease.LeaseID, item)
	return s.lost(lease, terms, seen)
}

// remove sends one DeleteItem and returns whether its condition refused it, and the row that did.
func (s *LockStore) remove(ctx context.Context, leaseID string, t template, v values) (map[string]*dynamodb.AttributeValue, bool, error) {
	req, _ := s.DeleteItemRequest(&dynamodb.DeleteItemInput{
		TableName:                           &s.table,
		Key:                                 map[string]*dynamodb.AttributeValue{s.key: text(leaseID)},
		ConditionExpression:                 t.Condition(),
		ExpressionAttributeNames:            t.names,
		ExpressionAttributeValues:           t.fill(v),
		ReturnValuesOnConditionCheckFailure: aws.String(dynamodb.ReturnValuesOnConditionCheckFailureAllOld),
	})
	err := s.send(ctx, req, "lease_id", leaseID)
	item, refused := conditionFailed(err)
	if refused {
		return item, true, nil
	}
	return nil, false, s.explainTable(ctx, err)
}

// EnsureTable makes the store's table, with the store's hash key of type string and on-demand
// billing, unless it is there, and blocks until it is active: some seconds when it makes one. A table
// that is there is left as it is; the error says how it doesn't fit, if it doesn't.
//
// Any number of processes may call it at once. It is a help for a first run: it needs permission for
// DescribeTable and CreateTable, which nothing else here does.
func (s *LockStore) EnsureTable() error {
	return s.EnsureTableWithContext(context.Background())
}

// EnsureTableWithContext is [LockStore.EnsureTable] with a context.
func (s *LockStore) EnsureTableWithContext(ctx context.Context) error {
	if err := s.checkContext(ctx); err != nil {
		return err
	}
	req, out := s.DescribeTableRequest(&dynamodb.DescribeTableInput{TableName: &s.table})
	req.SetContext(ctx)
	switch err := req.Send(); {
	case err == nil && aws.StringValue(out.Table.TableStatus) == dynamodb.TableStatusActive:
		return s.fits(out.Table)
	case err != nil && errorCode(err) != dynamodb.ErrCodeResourceNotFoundException:
		logFailure(err, "operation", req.Operation.Name, "table", s.table)
		return err
	case err != nil:
		if err := s.createTable(ctx); err != nil {
			return err
		}
	}
	err := s.WaitUntilTableExistsWithContext(ctx, &dynamodb.DescribeTableInput{TableName: &s.table},
		request.WithWaiterDelay(request.ConstantWaiterDelay(time.Second)), request.WithWaiterMaxAttempts(300))
	if err != nil {
		return explain(err, context.Cause(ctx), "lease: table %q did not become active", s.table)
	}
	return s.checkTable(ctx)
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
	req.SetContext(ctx)
	if err := req.Send(); err != nil && errorCode(err) != dynamodb.ErrCodeResourceInUseException {
		logFailure(err, "operation", req.Operation.Name, "table", s.table)
		return err
	}
	return nil
}

// checkTable asks for the table's description and tells how it doesn't fit; nil also when there is
// no answer, as it is asked for to explain another error.
func (s *LockStore) checkTable(ctx context.Context) error {
	out, err := s.DescribeTableWithContext(ctx, &dynamodb.DescribeTableInput{TableName: &s.table})
	if err != nil {
		return nil
	}
	return s.fits(out.Table)
}

// fits tells what in a table's description is not as lease items need it.
func (s *LockStore) fits(table *dynamodb.TableDescription) error {
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
		if kind := aws.StringValue(definition.AttributeType); aws.StringValue(definition.AttributeName) == s.key && kind != dynamodb.ScalarAttributeTypeS {
			return s.misfit("has the hash key %q of type %s; want S (string)", s.key, kind)
		}
	}
	return nil
}
