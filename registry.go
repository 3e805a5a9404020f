package lease

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// AddLeaseID registers a lease item: it writes a row of that hash key, free to be
// leased, with the given attributes (nil for none), at one write unit for each KB. If
// it is registered, the error wraps [LeaseIDExistsError]. The FencingToken starts at
// what the attributes say, or at the time in Unix milliseconds (53 bits), so that it
// never repeats a token. The attributes may say the item's LeaseWeight: a number above
// 0, how much of a worker's load it is. Without one it weighs 1.
func (s *LockStore) AddLeaseID(
	leaseID string, attributes map[string]*dynamodb.AttributeValue,
) error {
	return s.AddLeaseIDWithContext(always, leaseID, attributes)
}

// AddLeaseIDWithContext is [LockStore.AddLeaseID] with a context.
func (s *LockStore) AddLeaseIDWithContext(
	ctx context.Context, leaseID string, attributes map[string]*dynamodb.AttributeValue,
) error {
	if err := s.ready(ctx, checkName("lease ID", leaseID)); err != nil {
		return err
	}
	now, err := s.past(ctx)
	if err != nil {
		return err
	}
	item, err := s.newRow(leaseID, attributes, now)
	if err != nil {
		return err
	}
	req, _ := s.PutItemRequest(&dynamodb.PutItemInput{
		TableName:                           &s.table,
		Item:                                item,
		ConditionExpression:                 aws.String("attribute_not_exists(#key)"),
		ExpressionAttributeNames:            map[string]*string{"#key": &s.key},
		ReturnValuesOnConditionCheckFailure: aws.String(dynamodb.ReturnValuesOnConditionCheckFailureAllOld),
	})
	got, err := s.send(ctx, req, leaseID)
	if got.verdict != refused {
		return err
	}

	// What is there may be unreadable: it is there.
	isAsSent := reflect.DeepEqual(got.row.attributes, item)
	if got.resent && isAsSent { // The reply was lost.
		return nil
	}
	return fmt.Errorf("lease: %w: %q in table %q", LeaseIDExistsError, leaseID, s.table)
}

// newRow returns the row of an item that is registered now.
func (s *LockStore) newRow(leaseID string, given attributes, now int64) (attributes, error) {
	const mostToken = 1 << 53
	item := attributes{
		s.key:          text(leaseID),
		untilAttribute: number(0),
		tokenAttribute: number(now / time.Millisecond.Nanoseconds()),
	}
	for name, value := range given {
		if err := s.checkGiven(leaseID, name, value); err != nil {
			return nil, err
		}
		item[name] = value
	}
	row, err := s.parse(leaseID, item)
	if err != nil {
		return nil, err
	}
	if row.FencingToken > mostToken {
		return nil, fmt.Errorf("lease: the %s %d of lease ID %q is over 53 bits",
			tokenAttribute, row.FencingToken, leaseID)
	}
	return item, nil
}

// checkGiven tells what is wrong with an attribute that an item is to be registered with. The
// token, too, may be said, and the weight; the row is read when it is complete.
func (s *LockStore) checkGiven(leaseID, name string, given *value) error {
	isOurs := name == tokenAttribute || name == weightAttribute
	if !isOurs {
		if err := s.checkUsers(leaseID, name); err != nil {
			return err
		}
	}
	if given == nil {
		return fmt.Errorf("lease: the attribute %q of lease ID %q is nil", name, leaseID)
	}
	if name == weightAttribute {
		return checkWeight(leaseID, given)
	}
	return nil
}

func checkWeight(leaseID string, given *value) error {
	weight, err := parseNumber(given)
	isWeight := err == nil && weight.Sign() > 0 && !weight.IsInf()
	if isWeight {
		return nil
	}
	return fmt.Errorf("lease: the %s %q of lease ID %q is not a number above 0",
		weightAttribute, aws.StringValue(given.N), leaseID)
}

// RemoveLeaseID deletes the row of an item that nobody holds, at one write unit for
// each KB. One that is not there is fine. While someone holds the item, the error wraps
// [LeaseHeldError].
func (s *LockStore) RemoveLeaseID(id string) error { return s.RemoveLeaseIDWithContext(always, id) }

// RemoveLeaseIDWithContext is [LockStore.RemoveLeaseID] with a context.
func (s *LockStore) RemoveLeaseIDWithContext(ctx context.Context, leaseID string) error {
	if err := s.ready(ctx, checkName("lease ID", leaseID)); err != nil {
		return err
	}
	now, err := s.past(ctx)
	if err != nil {
		return err
	}
	got, err := s.remove(ctx, write{
		leaseID:   leaseID,
		condition: "attribute_not_exists(#key) OR attribute_not_exists(#until) OR #until < :now",
		values:    attributes{":now": number(now)},
	})
	if err != nil {
		return err
	}
	if got.verdict == applied {
		return nil
	}
	return fmt.Errorf("lease: %w: %q in table %q, by %q", LeaseHeldError, leaseID, s.table, got.row.LesseeID)
}

// RemoveLease is [LockStore.RemoveLeaseID] by the holder, whose lease it ends. The
// error is bare [LeaseLostError] if it was lost.
func (s *LockStore) RemoveLease(lease *Lease) error { return s.RemoveLeaseWithContext(always, lease) }

// RemoveLeaseWithContext is [LockStore.RemoveLease] with a context.
func (s *LockStore) RemoveLeaseWithContext(ctx context.Context, lease *Lease) error {
	mine, err := s.holderOf(ctx, lease)
	if err != nil {
		return err
	}
	lease.Discard()
	asked := mine.claim.furthestAsked.Load()
	got, err := s.remove(ctx, write{
		leaseID:   lease.LeaseID,
		condition: ownCondition,
		values:    mine.own(asked),
	})
	mine.noteGiving(got)
	if err != nil {
		return err
	}
	switch mine.retirement(got, asked) {
	case applied, appliedBefore:
		return nil
	case overtaken:
		return s.RemoveLeaseWithContext(ctx, lease)
	}
	if s.hadGiven(mine, got.row) {
		return nil
	}
	return mine.lost(lease.LeaseID, got.row)
}

// retirement is what a deletion of the own row came to.
func (h holder) retirement(got reply, asked int64) verdict {
	if got.verdict == applied {
		return applied
	}
	if !got.row.isThere() {
		return appliedBefore
	}
	return h.refusal(got.row, asked)
}

// remove sends a deletion.
func (s *LockStore) remove(ctx context.Context, w write) (reply, error) {
	req, _ := s.DeleteItemRequest(&dynamodb.DeleteItemInput{
		TableName:                           &s.table,
		Key:                                 attributes{s.key: text(w.leaseID)},
		ConditionExpression:                 &w.condition,
		ExpressionAttributeNames:            s.names(w.condition),
		ExpressionAttributeValues:           w.values,
		ReturnValuesOnConditionCheckFailure: aws.String(dynamodb.ReturnValuesOnConditionCheckFailureAllOld),
	})
	return s.send(ctx, req, w.leaseID)
}
