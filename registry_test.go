package lease_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
)

func TestAddLeaseIDRegistersAFreeItem(t *testing.T) {
	f := newFixture(t)
	before := time.Now().UnixMilli()
	require.NoError(t, f.AddLeaseID("a", row{"x": str("y")}))
	got := f.get("a")
	token := mustInt(t, got["FencingToken"])
	assert.True(t, before <= token && token <= time.Now().UnixMilli(), "%d is not the time in milliseconds", token)
	assert.Equal(t, row{"id": str("a"), "LeaseUntil": num(0), "FencingToken": num(token), "x": str("y")}, got)
	assert.NoError(t, f.original("a", "old", time.Now().Add(time.Second)), "the original can lease it")
}

func TestAddLeaseIDNeverOverwrites(t *testing.T) {
	f := newFixture(t, "a")
	_, err := f.Lease("a", for30s("w1"), time.Now().Add(time.Minute))
	require.NoError(t, err)
	before := f.get("a")
	err = f.AddLeaseID("a", row{"x": str("y")})
	assert.ErrorIs(t, err, lease.LeaseIDExistsError)
	assert.ErrorContains(t, err, `"a"`)
	assert.Equal(t, before, f.get("a"))
}

func TestRemoveLeaseIDRetiresOnlyWhatNobodyHolds(t *testing.T) {
	f := newFixture(t, "free")
	f.put(f.held("held", "other", time.Now().Add(time.Minute)))
	f.put(f.held("ended", "other", time.Now().Add(-time.Second)))
	f.put(row{"id": str("bare")})
	err := f.RemoveLeaseID("held")
	assert.ErrorIs(t, err, lease.LeaseHeldError)
	assert.ErrorContains(t, err, `by "other"`)
	for _, id := range []string{"free", "ended", "bare", "missing"} {
		assert.NoError(t, f.RemoveLeaseID(id), id)
	}
	ids, err := f.ListLeaseIDs()
	require.NoError(t, err)
	assert.Equal(t, []string{"held"}, ids)

	// A store that has seen no reply yet doesn't know what the time is.
	f.put(f.held("ended", "other", time.Now().Add(-time.Second)))
	fresh := lease.NewLockStore(f.ddb, f.table, f.key)
	assert.NoError(t, fresh.RemoveLeaseID("ended"))
	assert.ErrorIs(t, lease.NewLockStore(f.ddb, f.table, f.key).RemoveLeaseID("held"), lease.LeaseHeldError)
}

func TestAHolderRetiresItsOwnItem(t *testing.T) {
	f := newFixture(t, "a")
	l, err := f.Lease("a", for30s("w1"), time.Now().Add(time.Minute))
	require.NoError(t, err)
	require.NoError(t, f.RemoveLease(l))
	assert.Nil(t, f.get("a"))
}

func TestEnsureTableMakesAFittingTable(t *testing.T) {
	f := newFixtureOn(t, ddblocal.ForTest(t).Endpoint, "lock.id")
	var wg sync.WaitGroup
	for range 5 { // at once
		wg.Go(func() { assert.NoError(t, f.EnsureTable()) })
	}
	wg.Wait()
	require.NoError(t, f.EnsureTable(), "it is there already")
	out, err := f.ddb.DescribeTable(&dynamodb.DescribeTableInput{TableName: &f.table})
	require.NoError(t, err)
	assert.Equal(t, "PAY_PER_REQUEST", *out.Table.BillingModeSummary.BillingMode)
	assert.Equal(t, "ACTIVE", *out.Table.TableStatus)
	assert.Equal(t, "lock.id", *out.Table.KeySchema[0].AttributeName)
	assert.NoError(t, f.AddLeaseID("a", nil))
}

// schema is "name:type", hash key first.
func (f *fixture) createTable(keys ...string) {
	in := &dynamodb.CreateTableInput{TableName: &f.table, BillingMode: aws.String("PAY_PER_REQUEST")}
	for i, key := range keys {
		name, kind, _ := strings.Cut(key, ":")
		in.AttributeDefinitions = append(in.AttributeDefinitions,
			&dynamodb.AttributeDefinition{AttributeName: &name, AttributeType: &kind})
		in.KeySchema = append(in.KeySchema, &dynamodb.KeySchemaElement{AttributeName: &name,
			KeyType: aws.String([]string{"HASH", "RANGE"}[i])})
	}
	_, err := f.ddb.CreateTable(in)
	require.NoError(f.tb, err)
}

func TestATableThatDoesNotFitIsAClearError(t *testing.T) {
	for _, c := range []struct {
		keys []string
		row  row
		says string
	}{
		{[]string{"id:N"}, row{"id": num(1)}, `hash key "id" of type N`},
		{[]string{"id:B"}, row{"id": {B: []byte("x")}}, `hash key "id" of type B`},
		{[]string{"id:S", "sort:S"}, row{"id": str("a"), "sort": str("1")}, "sort key"},
		{[]string{"other:S"}, row{"other": str("a")}, `"id"`},
		{nil, nil, "does not exist"},
	} {
		t.Run(c.says, func(t *testing.T) {
			f := newFixtureOn(t, ddblocal.ForTest(t).Endpoint, "id")
			if c.keys != nil {
				f.createTable(c.keys...)
				f.put(c.row)
				if len(c.keys) == 2 {
					f.put(row{"id": str("a"), "sort": str("2")})
				}
				assert.ErrorContains(t, f.EnsureTable(), c.says)
			}
			check := func(err error) {
				t.Helper()
				assert.ErrorContains(t, err, c.says)
				assert.ErrorContains(t, err, fmt.Sprintf("table %q", f.table))
			}
			_, err := f.ListLeaseIDs()
			check(err)
			locker := lease.NewLocker(f.LockStore)
			_, err = locker.ObtainLease(for30s("w1"))
			check(err)
			if c.keys == nil {
				check(f.AddLeaseID("a", nil))
				return
			}
			_, err = locker.WaitUntilLeaseObtainedWithContext(within(t, time.Minute), for30s("w1"), time.Second)
			check(err) // at once: no waiting makes it good
			check(locker.Hold(within(t, time.Minute), for30s("w1"), func(context.Context, *lease.Lease) error { return nil }))

			// A write gets DynamoDB's own error, with table and key named.
			l, err := f.Lease("a", for30s("w1"), time.Now().Add(time.Minute))
			assert.Nil(t, l)
			for _, err := range []error{err, f.AddLeaseID("a", nil), f.RemoveLeaseID("a")} {
				assert.Implements(t, (*awserr.Error)(nil), err)
				assert.ErrorContains(t, err, fmt.Sprintf(`of "a" in table %q with the hash key "id": ValidationException`, f.table))
			}
			out, err := f.ddb.Scan(&dynamodb.ScanInput{TableName: &f.table})
			require.NoError(t, err)
			assert.Equal(t, c.row, out.Items[0], "nothing was written")
		})
	}
}
