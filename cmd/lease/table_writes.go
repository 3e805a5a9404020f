package main

import (
	"cmp"
	"context"
	"errors"
	"maps"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/intercom/lease"
)

// What is written to rows beside what the library writes.

// weigh sets the weight of an item that is there, and returns what it was; nil if it had none.
func (c *client) weigh(
	ctx context.Context, id string, weight *dynamodb.AttributeValue,
) (was *dynamodb.AttributeValue, err error) {
	if id == "" {
		return nil, errNoName
	}
	out, err := c.ddb.UpdateItemWithContext(ctx, &dynamodb.UpdateItemInput{
		TableName:           &c.table,
		Key:                 row{c.key: {S: &id}},
		ConditionExpression: aws.String("attribute_exists(#key)"),
		UpdateExpression:    aws.String("SET #weight = :weight"),
		ExpressionAttributeNames: map[string]*string{
			"#key":    &c.key,
			"#weight": aws.String(weightAttribute),
		},
		ExpressionAttributeValues: row{":weight": weight},
		ReturnValues:              aws.String(dynamodb.ReturnValueUpdatedOld),
	})
	if isRefused(err) {
		return nil, c.missing(id)
	}
	if err != nil {
		return nil, err
	}
	return out.Attributes[weightAttribute], nil
}

// markForced leaves in the row whose tenure is to end by force: the release says nothing of that.
// A row that is another's by now has no mark, and the release sees that.
func (c *client) markForced(ctx context.Context, seen item) error {
	_, err := c.ddb.UpdateItemWithContext(ctx, &dynamodb.UpdateItemInput{
		TableName:           &c.table,
		Key:                 row{c.key: {S: &seen.LeaseID}},
		ConditionExpression: aws.String("#holder = :holder AND #token = :token"),
		UpdateExpression:    aws.String("SET #forced = :token"),
		ExpressionAttributeNames: map[string]*string{
			"#holder": aws.String("ProcessID"),
			"#token":  aws.String("FencingToken"),
			"#forced": aws.String(forcedAttribute),
		},
		ExpressionAttributeValues: row{
			":holder": {S: &seen.LesseeID},
			":token":  number(seen.FencingToken),
		},
	})
	if isRefused(err) {
		return nil
	}
	return err
}

// isRefused tells that a write's condition did not hold.
func isRefused(err error) bool {
	return errors.As(err, new(*dynamodb.ConditionalCheckFailedException))
}

// add registers an item with these attributes.
func (c *client) add(ctx context.Context, id string, given row) error {
	attributes := maps.Clone(given)
	token := number(c.now().UnixMilli()) // as the library would choose it
	attributes["FencingToken"] = token
	if c.key != firstTokenAttribute {
		attributes[firstTokenAttribute] = token
	}
	return c.AddLeaseIDWithContext(ctx, id, attributes)
}

// makeTable makes the table, unless it is there. A table that is there has the last word about the
// key, if none was given.
func (c *client) makeTable(ctx context.Context) (made bool, err error) {
	key, err := c.askKey(ctx)
	made = errors.As(err, new(*dynamodb.ResourceNotFoundException))
	if err != nil && !made {
		return false, err
	}
	c.key = cmp.Or(c.key, key, "id")
	c.LockStore = lease.NewLockStore(c.ddb, c.table, c.key)
	return made, c.EnsureTableWithContext(ctx)
}
