package leaseotel

import (
	"testing"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/client/metadata"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/intercom/lease"
)

type values = map[string]*dynamodb.AttributeValue

// A write is of a tenure if its condition names both its lessee and its token.
func TestClientsRequestIsOfTheTenureThatItNames(t *testing.T) {
	telemetry, _ := newTraced()
	telemetry.told(event(lease.EventObtained, "alice"))
	tenure := telemetry.tenures.byItem["alice"][0]
	key := values{"id": {S: aws.String("alice")}}
	own := values{":holder": {S: aws.String("w1")}, ":token": {N: aws.String("1")}, ":x": nil}
	for name, c := range map[string]struct {
		params any
		isOwn  bool
	}{
		"an update": {
			&dynamodb.UpdateItemInput{Key: key, ExpressionAttributeValues: own}, true,
		},
		"a deletion": {
			&dynamodb.DeleteItemInput{Key: key, ExpressionAttributeValues: own}, true,
		},
		"without a token": {&dynamodb.UpdateItemInput{
			Key: key, ExpressionAttributeValues: values{":holder": {S: aws.String("w1")}},
		}, false},
		"without a lessee": {&dynamodb.UpdateItemInput{
			Key: key, ExpressionAttributeValues: values{":token": {N: aws.String("1")}},
		}, false},
		"of another item": {&dynamodb.UpdateItemInput{
			Key: values{"id": {S: aws.String("bob")}}, ExpressionAttributeValues: own,
		}, false},
		"of a table with a sort key": {&dynamodb.UpdateItemInput{
			Key:                       values{"id": key["id"], "sort": key["id"]},
			ExpressionAttributeValues: own,
		}, false},
		"without a key":     {&dynamodb.UpdateItemInput{Key: values{"id": nil}}, false},
		"of another kind":   {&dynamodb.PutItemInput{Item: key}, false},
		"of nothing at all": {nil, false},
	} {
		parent, attributes := telemetry.requests.parentOf(t.Context(), c.params)
		span := trace.SpanContextFromContext(parent)
		if !c.isOwn {
			assert.False(t, span.IsValid(), name)
			assert.Empty(t, attributes, name)
			continue
		}
		assert.Equal(t, tenure.span.SpanContext(), span, name)
		assert.Contains(t, attributes, itemKey.String("alice"), name)
	}
}

func TestClientsRequestSaysWhereToItGoes(t *testing.T) {
	r := &request.Request{
		Operation:  &request.Operation{Name: "BatchGetItem"},
		ClientInfo: metadata.ClientInfo{Endpoint: "http://127.0.0.1:8000"},
	}
	tables := func(names ...string) *dynamodb.BatchGetItemInput {
		in := &dynamodb.BatchGetItemInput{
			RequestItems: make(map[string]*dynamodb.KeysAndAttributes),
		}
		for _, name := range names {
			in.RequestItems[name] = nil
		}
		return in
	}
	want := []attribute.KeyValue{
		attribute.String("db.system.name", "aws.dynamodb"),
		attribute.String("db.operation.name", "BatchGetItem"),
		attribute.String("server.address", "127.0.0.1"),
		attribute.Int("server.port", 8000),
	}
	r.Params = tables("a", "b")
	assert.ElementsMatch(t, want, attributesOfRequest(r))
	r.Params = tables("a")
	want = append(want, attribute.String("db.collection.name", "a"))
	assert.ElementsMatch(t, want, attributesOfRequest(r))
}

// Who asks for a figure of each index gets that.
func TestClientLeavesWhatIsAskedForAsItIs(t *testing.T) {
	in := &dynamodb.ScanInput{
		ReturnConsumedCapacity: aws.String(dynamodb.ReturnConsumedCapacityIndexes),
	}
	r := &request.Request{Params: in}
	askCapacity(r)
	assert.Same(t, in, r.Params)
	assert.Equal(t, dynamodb.ReturnConsumedCapacityIndexes, *in.ReturnConsumedCapacity)
}
