package dynamo

import (
	"cmp"
	"context"
	"errors"
	"maps"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
	"github.com/intercom/lease/cmd/lease/internal/fleet"
)

// What is written to rows beside what the library writes.

// Weigh sets the weight of an item that is there, and returns what it was; nil if it had none.
func (c *Client) Weigh(
	ctx context.Context, id string, weight *dynamodb.AttributeValue,
) (was *dynamodb.AttributeValue, err error) {
	if id == "" {
		return nil, errNoName
	}
	out, err := c.DDB.UpdateItemWithContext(ctx, &dynamodb.UpdateItemInput{
		TableName:           &c.Table,
		Key:                 fleet.Row{c.Key: {S: &id}},
		ConditionExpression: aws.String("attribute_exists(#key)"),
		UpdateExpression:    aws.String("SET #weight = :weight"),
		ExpressionAttributeNames: map[string]*string{
			"#key":    &c.Key,
			"#weight": aws.String(fleet.WeightAttribute),
		},
		ExpressionAttributeValues: fleet.Row{":weight": weight},
		ReturnValues:              aws.String(dynamodb.ReturnValueUpdatedOld),
	})
	if isRefused(err) {
		return nil, c.Missing(id)
	}
	if err != nil {
		return nil, err
	}
	return out.Attributes[fleet.WeightAttribute], nil
}

// MarkForced leaves in the row whose tenure is to end by force: the release says nothing of that.
// A row that is another's by now has no mark, and the release sees that.
func (c *Client) MarkForced(ctx context.Context, seen fleet.Item) error {
	_, err := c.DDB.UpdateItemWithContext(ctx, &dynamodb.UpdateItemInput{
		TableName:           &c.Table,
		Key:                 fleet.Row{c.Key: {S: &seen.LeaseID}},
		ConditionExpression: aws.String("#holder = :holder AND #token = :token"),
		UpdateExpression:    aws.String("SET #forced = :token"),
		ExpressionAttributeNames: map[string]*string{
			"#holder": aws.String("ProcessID"),
			"#token":  aws.String("FencingToken"),
			"#forced": aws.String(fleet.ForcedAttribute),
		},
		ExpressionAttributeValues: fleet.Row{
			":holder": {S: &seen.LesseeID},
			":token":  fleet.Number(seen.FencingToken),
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

// Add registers an item with these attributes.
func (c *Client) Add(ctx context.Context, id string, given fleet.Row) error {
	attributes := maps.Clone(given)
	token := fleet.Number(c.now().UnixMilli()) // as the library would choose it
	attributes["FencingToken"] = token
	if c.Key != fleet.FirstTokenAttribute {
		attributes[fleet.FirstTokenAttribute] = token
	}
	return c.AddLeaseIDWithContext(ctx, id, attributes)
}

// MakeTable makes the table, unless it is there. A table that is there has the last word about the
// key, if none was given.
func (c *Client) MakeTable(ctx context.Context) (made bool, err error) {
	key, err := c.askKey(ctx)
	made = errors.As(err, new(*dynamodb.ResourceNotFoundException))
	if err != nil && !made {
		return false, err
	}
	c.Key = cmp.Or(c.Key, key, "id")
	c.LockStore = lease.NewLockStore(c.DDB, c.Table, c.Key)
	return made, c.EnsureTableWithContext(ctx)
}
