package lease_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
)

func TestEnsureTableMakesAFittingTable(t *testing.T) {
	t.Parallel()
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

func TestEnsureTableWrapsTheContextsError(t *testing.T) {
	t.Parallel()
	for mode, waits := range map[string]string{"": "for the table to become active", "hang": "for a reply"} {
		t.Run("while it waits "+waits, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i, why := newImagined(t, 0), errors.New("shutting down")
				i.mode.Store(mode)
				ctx, cancel := context.WithCancelCause(context.Background())
				time.AfterFunc(time.Minute, func() { cancel(why) })
				err := i.EnsureTableWithContext(ctx)
				assert.ErrorIs(t, err, context.Canceled)
				assert.ErrorIs(t, err, why)
			})
		})
	}
}

func TestTableThatDoesNotFitIsAClearError(t *testing.T) {
	t.Parallel()
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

func TestTableThatIsEmptyAndDoesNotFitIsAClearError(t *testing.T) {
	for key, says := range map[string]string{
		"other:S": `hash key "other"; want "id"`,
		"id:N":    `hash key "id" of type N`,
		"id:B":    `hash key "id" of type B`,
	} {
		t.Run(key, func(t *testing.T) {
			f := newFixtureOn(t, ddblocal.ForTest(t).Endpoint, "id")
			f.createTable(key)
			ids, err := f.ListLeaseIDs()
			assert.ErrorContains(t, err, says)
			assert.Empty(t, ids)
			locker := lease.NewLocker(f.LockStore)
			_, err = locker.ObtainLease(for30s("w1"))
			assert.ErrorContains(t, err, says)
			logger := record(t)
			soon(t, func() { assert.Nil(t, locker.WaitUntilLeaseObtained(for30s("w1"), time.Second)) })
			errs := slices.DeleteFunc(logger.events, func(e event) bool { return e.level != "error" })
			require.Len(t, errs, 1)
			assert.ErrorContains(t, errs[0].keyvals["error"].(error), says)
		})
	}
}

func TestTableThatIsEmptyAndFitsIsDescribedOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for range 3 {
		ids, err := f.ListLeaseIDs()
		require.NoError(t, err)
		assert.Empty(t, ids)
		_, err = lease.NewLocker(f.LockStore).ObtainLease(for30s("w1"))
		assert.True(t, err == lease.LeaseNotObtainedError, "got %v", err)
	}
	assert.Equal(t, 1, f.count("DescribeTable"))
	assert.Equal(t, 7, f.count())
}

func TestAddLeaseIDRegistersAFreeItem(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	before := time.Now().UnixMilli()
	require.NoError(t, f.AddLeaseID("a", row{"x": str("y")}))
	got := f.get("a")
	token := mustInt(t, got["FencingToken"])
	assert.GreaterOrEqual(t, token, before, "the token is the time in milliseconds")
	assert.LessOrEqual(t, token, time.Now().UnixMilli())
	assert.Equal(t, row{"id": str("a"), "LeaseUntil": num(0), "FencingToken": num(token), "x": str("y")}, got)
	assert.NoError(t, f.original("a", "old", time.Now().Add(time.Second)), "the original can lease it")
}

func TestAddLeaseIDNeverOverwrites(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	_, err := f.Lease("a", for30s("w1"), time.Now().Add(time.Minute))
	require.NoError(t, err)
	before := f.get("a")
	err = f.AddLeaseID("a", row{"x": str("y")})
	assert.ErrorIs(t, err, lease.LeaseIDExistsError)
	assert.ErrorContains(t, err, `"a"`)
	assert.Equal(t, before, f.get("a"))

	again := row{"FencingToken": num(1)}
	require.NoError(t, f.AddLeaseID("b", again))
	assert.ErrorIs(t, f.AddLeaseID("b", again), lease.LeaseIDExistsError, "though it is the same")
	err = f.through(lossy("PutItem")).AddLeaseID("b", nil)
	assert.ErrorIs(t, err, lease.LeaseIDExistsError, "the reply that was lost said so too")
}

func TestAddLeaseIDMaySetTheToken(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	require.NoError(t, f.AddLeaseID("a", row{"FencingToken": num(41)}))
	l, err := f.Lease("a", for30s("w1"), time.Now().Add(time.Minute))
	require.NoError(t, err)
	assert.Equal(t, int64(42), l.FencingToken())
	for _, token := range []*dynamodb.AttributeValue{str("41"), num(-1), num(1<<53 + 1)} {
		assert.Error(t, f.AddLeaseID("b", row{"FencingToken": token}))
		assert.Nil(t, f.get("b"))
	}
	assert.NoError(t, f.AddLeaseID("b", row{"FencingToken": num(1 << 53)}))
}

func TestAddLeaseIDAfterRetirementRepeatsNoToken(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	last := int64(0)
	for range 3 {
		require.NoError(t, f.AddLeaseID("a", nil))
		for range 2 {
			l, err := f.Lease("a", for30s("w1"), time.Now())
			require.NoError(t, err)
			assert.Greater(t, l.FencingToken(), last)
			assert.Less(t, l.FencingToken(), int64(1)<<53)
			last = l.FencingToken()
		}
		require.NoError(t, f.RemoveLeaseID("a"))
	}
}

func TestAddLeaseIDOnAWrongClockRepeatsNoToken(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	register := func() int64 { // in a process of its own
		s := f.through(dated(-time.Minute))
		require.NoError(t, s.AddLeaseID("a", nil))
		l, err := lease.NewLocker(s).ObtainLease(for30s("w1"))
		require.NoError(t, err)
		require.NoError(t, s.RemoveLease(l))
		return l.FencingToken()
	}
	first := register()
	time.Sleep(2100 * time.Millisecond) // as exact as a Date header is, twice
	assert.Greater(t, register(), first)
}

func TestAddLeaseIDAnewIsNoOlderTenures(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.put(row{"id": str("a"), "LeaseUntil": num(0), "FencingToken": num(1000)})
	locker := lease.NewLocker(f.LockStore)
	older, err := locker.ObtainLease(for30s("w1"))
	require.NoError(t, err)
	f.put(row{"id": str("a"), "LeaseUntil": num(0)}) // registered anew, as an operator's script may do it
	newer, err := locker.ObtainLease(for30s("w1"))
	require.NoError(t, err)
	assert.Less(t, newer.FencingToken(), older.FencingToken())
	assert.True(t, newer.Valid())
	assert.False(t, older.Valid())
	assert.Equal(t, lease.LeaseLostError, locker.Heartbeat(older, time.Millisecond))
	assert.Equal(t, lease.LeaseLostError, locker.ReleaseLease(older))
	err = locker.HeartbeatWithContext(within(t, 100*time.Millisecond), newer, 20*time.Millisecond)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.True(t, newer.Valid())
	assert.NoError(t, locker.ReleaseLease(newer))
}

func TestRemoveLeaseIDRetiresOnlyWhatNobodyHolds(t *testing.T) {
	t.Parallel()
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

func TestRemoveLeaseRetiresTheHoldersOwnItem(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l, err := f.Lease("a", for30s("w1"), time.Now().Add(time.Minute))
	require.NoError(t, err)
	require.NoError(t, f.RemoveLease(l))
	assert.Nil(t, f.get("a"))
}

func TestAddLeaseIDOfAnItemThatCannotBeReadSaysThatItExists(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.put(row{"id": str("a"), "LeaseUntil": str("soon")})
	assert.ErrorIs(t, f.AddLeaseID("a", nil), lease.LeaseIDExistsError)
	assert.Equal(t, row{"id": str("a"), "LeaseUntil": str("soon")}, f.get("a"))
}

func TestEnsureTableLogsNoErrorOfATableThatIsNotThereYet(t *testing.T) {
	logger := record(t)
	w := &wire{}
	require.NoError(t, w.store(t).EnsureTable())
	assert.Empty(t, logger.text())
}

// The permission to describe it may be missing.
func TestTableThatNobodyMayDescribeIsJudgedByItsRows(t *testing.T) {
	t.Parallel()
	f := newFixtureOn(t, ddblocal.ForTest(t).Endpoint, "id")
	f.createTable("other:S")
	f.put(row{"other": str("a")})
	s := f.through(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".DescribeTable") {
				const refusal = `{"__type": "AccessDeniedException"}`
				return &http.Response{StatusCode: http.StatusBadRequest, Body: jsonBody(refusal), Request: r}, nil
			}
			return next.RoundTrip(r)
		})
	})
	_, err := s.ListLeaseIDs()
	assert.ErrorContains(t, err, "has rows without a hash key")
}

func TestTableMayHaveAnIndexOnANumber(t *testing.T) {
	t.Parallel()
	w := &wire{table: `{"TableStatus": "ACTIVE", "AttributeDefinitions": [
		{"AttributeName": "score", "AttributeType": "N"}, {"AttributeName": "` + wireKey + `", "AttributeType": "S"}]}`}
	assert.NoError(t, w.store(t).EnsureTable())
	w = &wire{table: `{"TableStatus": "ACTIVE", "AttributeDefinitions": [
		{"AttributeName": "` + wireKey + `", "AttributeType": "N"}]}`}
	assert.ErrorContains(t, w.store(t).EnsureTable(), "type N")
}
