package lease_test

import (
	"context"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// bare is the least that leasing takes of the SDK: the same UpdateItem, written by hand.
func (f *fixture) bare(id string, until time.Time) error {
	_, err := f.ddb.UpdateItemWithContext(context.Background(), &dynamodb.UpdateItemInput{
		TableName: &f.table,
		Key:       row{f.key: str(id)},
		UpdateExpression: aws.String("SET #holder = :me, #until = :until, " +
			"#token = if_not_exists(#token, :zero) + :one"),
		ConditionExpression: aws.String("attribute_exists(#key) AND (attribute_not_exists(#until) OR #until < :now OR " +
			"(#holder = :me AND #until < :until))"),
		ExpressionAttributeNames: map[string]*string{"#key": &f.key, "#holder": aws.String("ProcessID"),
			"#until": aws.String("LeaseUntil"), "#token": aws.String("FencingToken")},
		ExpressionAttributeValues: row{":me": str("w1"), ":until": num(until.UnixNano()), ":now": num(time.Now().UnixNano()),
			":zero": num(0), ":one": num(1)},
		ReturnValues:                        aws.String(dynamodb.ReturnValueAllNew),
		ReturnValuesOnConditionCheckFailure: aws.String(dynamodb.ReturnValuesOnConditionCheckFailureAllOld),
	})
	return err
}

// BenchmarkLease sets LockStore.Lease beside the bare UpdateItem of the same shape.
func BenchmarkLease(b *testing.B) {
	f := newFixture(b, "a", "b")
	b.Run("bare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			require.NoError(b, f.bare("a", time.Now().Add(30*time.Second)))
		}
	})
	b.Run("Lease", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err := f.Lease("b", for30s("w1"), time.Now().Add(30*time.Second))
			require.NoError(b, err)
		}
	})
}

func TestLeaseAllocatesHardlyMoreThanABareUpdate(t *testing.T) {
	f := newFixture(t, "a", "b")
	bare := testing.AllocsPerRun(200, func() {
		require.NoError(t, f.bare("a", time.Now().Add(30*time.Second)))
	})
	ours := testing.AllocsPerRun(200, func() {
		_, err := f.Lease("b", for30s("w1"), time.Now().Add(30*time.Second))
		require.NoError(t, err)
	})
	t.Logf("%.0f against %.0f allocations", ours, bare)
	assert.LessOrEqual(t, ours, 1.1*bare)
}
