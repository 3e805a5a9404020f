package leasetest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease/leasetest"
)

func TestStoreRowsAreCopies(t *testing.T) {
	s := leasetest.NewStore()
	given := map[string]*dynamodb.AttributeValue{
		"colour":       {S: aws.String("blue")},
		"FencingToken": {N: aws.String("41")},
	}
	require.NoError(t, s.AddLeaseID("a", given))
	*given["colour"].S = "red"
	want := map[string]*dynamodb.AttributeValue{
		leasetest.HashKey: {S: aws.String("a")},
		"LeaseUntil":      {N: aws.String("0")},
		"FencingToken":    {N: aws.String("41")},
		"colour":          {S: aws.String("blue")},
	}
	row, ok := s.Row("a")
	assert.True(t, ok)
	assert.Equal(t, want, row)
	*row["colour"].S = "red"
	row, _ = s.Row("a")
	assert.Equal(t, want, row)
	key := map[string]*dynamodb.AttributeValue{leasetest.HashKey: {S: aws.String("a")}}
	assert.Error(t, s.AddLeaseID("b", key))
	assert.Panics(t, func() { leasetest.NewStore("a", "a") })
	assert.Panics(t, func() { leasetest.NewStore("") })
}

func TestStoreTokensNeverComeAgain(t *testing.T) {
	inBubble(t, func(b *bubble) {
		next := func(s *leasetest.Store) int64 {
			b.Helper()
			l, err := s.Lease("a", for30s("w1"), time.Now().Add(time.Minute))
			require.NoError(b, err)
			return l.FencingToken()
		}
		row, _ := b.Row("a")
		assert.NotContains(b, row, "FencingToken")
		assert.Equal(b, []int64{1, 2, 3}, []int64{next(b.Store), next(b.Store), next(b.Store)})
		b.Retire("a")
		require.NoError(b, b.AddLeaseID("a", nil))
		now := time.Now().UnixMilli()
		row, _ = b.Row("a")
		assert.Equal(b, fmt.Sprint(now), *row["FencingToken"].N)
		assert.Equal(b, now+1, next(b.Store))

		late := b.NewClient()
		late.SetClockSkew(-time.Minute)
		b.Retire("a")
		require.NoError(b, late.AddLeaseID("a", nil), "at the same moment, by a clock that is late")
		assert.Equal(b, now+2, next(late), "no token comes again")
		require.NoError(b, late.AddLeaseID("b", nil))
		row, _ = b.Row("b")
		assert.Equal(b, fmt.Sprint(now-60_000), *row["FencingToken"].N)
	})
}
