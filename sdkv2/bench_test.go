package sdkv2_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	awsv2 "github.com/aws/aws-sdk-go-v2/aws"
	v2 "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go/aws"
	v1 "github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease/internal/ddblocal"
	"github.com/intercom/lease/sdkv2"
)

// leased is the response to a write by which a lease is taken.
const leased = `{"Attributes":{"id":{"S":"a"},"ProcessID":{"S":"w1"},` +
	`"LeaseUntil":{"N":"1767323045000000000"},"FencingToken":{"N":"7"}}}`

const (
	updateExpression = "SET #holder = :me, #until = :until, " +
		"#token = if_not_exists(#token, :zero) + :one"
	conditionExpression = "attribute_exists(#key) AND " +
		"(attribute_not_exists(#until) OR #until < :now OR #holder = :me)"
)

// updateV1 is the write by which a lease is taken.
func updateV1(table string) *v1.UpdateItemInput {
	text := func(s string) *v1.AttributeValue { return &v1.AttributeValue{S: &s} }
	number := func(n int64) *v1.AttributeValue {
		return &v1.AttributeValue{N: aws.String(fmt.Sprint(n))}
	}
	now := time.Now()
	return &v1.UpdateItemInput{
		TableName:           &table,
		Key:                 map[string]*v1.AttributeValue{"id": text("a")},
		UpdateExpression:    aws.String(updateExpression),
		ConditionExpression: aws.String(conditionExpression),
		ExpressionAttributeNames: map[string]*string{
			"#key":    aws.String("id"),
			"#holder": aws.String("ProcessID"),
			"#until":  aws.String("LeaseUntil"),
			"#token":  aws.String("FencingToken"),
		},
		ExpressionAttributeValues: map[string]*v1.AttributeValue{
			":me":    text("w1"),
			":until": number(now.Add(time.Minute).UnixNano()),
			":now":   number(now.UnixNano()),
			":zero":  number(0),
			":one":   number(1),
		},
		ReturnValues: aws.String(v1.ReturnValueAllNew),
		ReturnValuesOnConditionCheckFailure: aws.String(
			v1.ReturnValuesOnConditionCheckFailureAllOld),
	}
}

// updateV2 is updateV1 in v2's types.
func updateV2(table string) *v2.UpdateItemInput {
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	number := func(n int64) types.AttributeValue {
		return &types.AttributeValueMemberN{Value: fmt.Sprint(n)}
	}
	now := time.Now()
	return &v2.UpdateItemInput{
		TableName:           &table,
		Key:                 map[string]types.AttributeValue{"id": text("a")},
		UpdateExpression:    aws.String(updateExpression),
		ConditionExpression: aws.String(conditionExpression),
		ExpressionAttributeNames: map[string]string{
			"#key":    "id",
			"#holder": "ProcessID",
			"#until":  "LeaseUntil",
			"#token":  "FencingToken",
		},
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":me":    text("w1"),
			":until": number(now.Add(time.Minute).UnixNano()),
			":now":   number(now.UnixNano()),
			":zero":  number(0),
			":one":   number(1),
		},
		ReturnValues:                        types.ReturnValueAllNew,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
}

// ways are the three ways to send that write.
func ways(client awsv2.HTTPClient, endpoint, table string) map[string]func() error {
	ctx := context.Background()
	cfg := configOf(client, endpoint)
	plainV2 := v2.NewFromConfig(cfg)
	bridged := sdkv2.NewFromConfig(cfg)
	plainV1 := ddblocal.NewClient(endpoint, &aws.Config{HTTPClient: client.(*http.Client)})
	inV1 := updateV1(table)
	inV2 := updateV2(table)
	return map[string]func() error{
		"v1": func() error {
			_, err := plainV1.UpdateItemWithContext(ctx, inV1)
			return err
		},
		"v2": func() error {
			_, err := plainV2.UpdateItem(ctx, inV2)
			return err
		},
		"bridge": func() error {
			_, err := bridged.UpdateItemWithContext(ctx, inV1)
			return err
		},
	}
}

// BenchmarkStub measures what the SDKs take of a write's time and memory.
func BenchmarkStub(b *testing.B) {
	benchmark(b, ways(&http.Client{Transport: always(200, leased)}, "http://stub", "t"))
}

// BenchmarkLocal measures the same write on DynamoDB Local.
func BenchmarkLocal(b *testing.B) {
	endpoint := ddblocal.ForTest(b).Endpoint
	table := newTable(b, ddblocal.NewClient(endpoint), "a")
	benchmark(b, ways(&http.Client{Transport: newTransport(b)}, endpoint, table))
}

func benchmark(b *testing.B, ways map[string]func() error) {
	for _, way := range []string{"v1", "v2", "bridge"} {
		b.Run(way, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				require.NoError(b, ways[way]())
			}
		})
	}
}

func TestRequestAllocatesAtMost400Times(t *testing.T) {
	allocations := make(map[string]float64)
	for way, send := range ways(&http.Client{Transport: always(200, leased)}, "http://stub", "t") {
		allocations[way] = testing.AllocsPerRun(200, func() { require.NoError(t, send()) })
	}
	t.Log("allocations of a write:", allocations)
	assert.LessOrEqual(t, allocations["bridge"], 400.0)
}
