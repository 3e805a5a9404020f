package lease_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
)

func TestLockStoreLeaseWritesTheDocumentedRow(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.put(row{"id": str("a"), "LeaseUntil": num(0), "colour": str("blue")})
	until := time.Now().Add(30 * time.Second)
	l, err := f.Lease("a", for30s("w1"), until)
	require.NoError(t, err)
	want := row{"id": str("a"), "ProcessID": str("w1"), "LeaseUntil": num(until.UnixNano()),
		"FencingToken": num(1), "colour": str("blue")}
	assert.Equal(t, want, f.get("a"))
	assert.Equal(t, want, l.AttributeValues)
	assert.Equal(t, "a", l.LeaseID)
	assert.Equal(t, for30s("w1"), l.Request)
	assert.True(t, until.Equal(l.Until))
	assert.Equal(t, int64(1), l.FencingToken())
}

func TestLockStoreLeaseRenewalAndReleaseAreOneRequestEach(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l, err := f.Lease("a", for30s("w1"), time.Now().Add(30*time.Second))
	require.NoError(t, err)
	assert.Equal(t, 1, f.count())
	require.NoError(t, f.RenewLease(l, time.Now().Add(30*time.Second)))
	assert.Equal(t, 2, f.count())
	require.NoError(t, f.ReleaseLease(l))
	assert.Equal(t, 3, f.count())
	assert.Equal(t, 3.0, f.wcu)
	assert.Zero(t, f.refusals())
}

func TestLockStoreFirstLeaseOfAnEndedRowIsOneScanAndOneWrite(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.put(f.held("a", "dead", time.Now().Add(-time.Second)))
	f.reset()
	_, err := f.store().Lease("a", for30s("w1"), time.Now().Add(time.Minute))
	require.NoError(t, err)
	assert.Equal(t, 1, f.count("Scan"))
	assert.Equal(t, 1, f.count("UpdateItem"))
	assert.Equal(t, 2, f.count())
	assert.Zero(t, f.refusals())
}

func TestLockStoreLearnsTheTimeByAScanOfOneRow(t *testing.T) {
	t.Parallel()
	w := &wire{}
	_, err := w.store(t).Lease("alice", for30s("w1"), time.Now().Add(30*time.Second))
	require.NoError(t, err)
	require.Len(t, w.requests, 2)
	assert.Equal(t, "Scan ProjectionExpression: #key", w.requests[0].String())
	assert.Equal(t, 1, w.requests[0].Limit)
}

func TestLockStoreLeaseOfAHeldItemIsRefused(t *testing.T) {
	t.Parallel()
	for name, ends := range map[string]time.Duration{
		"for longer than it would be leased":  time.Hour,
		"for just as long":                    30 * time.Second,
		"for a shorter time than it would be": 20 * time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			now := time.Now()
			f.put(f.held("a", "other", now.Add(ends)))
			before := f.get("a")
			l, err := f.Lease("a", for30s("w1"), now.Add(30*time.Second))
			assert.Nil(t, l)
			assert.True(t, err == lease.LeaseNotObtainedError, "got %v", err)
			assert.Equal(t, before, f.get("a"))
		})
	}
}

func TestLockStoreLeaseOfAnEndedOrOwnItemIsObtained(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, r := range map[string]row{
		"ended":                 {"ProcessID": str("other"), "LeaseUntil": num(now.Add(-time.Second).UnixNano())},
		"released":              {"LeaseUntil": num(0), "FencingToken": num(7)},
		"never leased":          {},
		"own":                   {"ProcessID": str("w1"), "LeaseUntil": num(now.Add(10 * time.Second).UnixNano())},
		"own, ending later":     {"ProcessID": str("w1"), "LeaseUntil": num(now.Add(time.Hour).UnixNano())},
		"negative end":          {"ProcessID": str("other"), "LeaseUntil": num(-5)},
		"fractional end":        {"ProcessID": str("other"), "LeaseUntil": {N: aws.String("12345.678")}},
		"hugely negative end":   {"ProcessID": str("other"), "LeaseUntil": {N: aws.String("-1E+100")}},
		"lessee without an end": {"ProcessID": str("other")},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			r = maps.Clone(r)
			r["id"] = str("a")
			f.put(r)
			until := time.Now().Add(30 * time.Second)
			l, err := f.Lease("a", for30s("w1"), until)
			require.NoError(t, err)
			assert.Equal(t, *num(until.UnixNano()).N, *f.get("a")["LeaseUntil"].N)
			assert.True(t, l.Valid())
		})
	}
}

func TestLockStoreLeaseNeverCreatesARow(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	l, err := f.Lease("nobody", for30s("w1"), time.Now().Add(time.Second))
	assert.Nil(t, l)
	assert.True(t, err == lease.LeaseNotObtainedError, "got %v", err)
	assert.Nil(t, f.get("nobody"))
}

func TestLockStoreLeaseByTheHolderMayShortenIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	_, err := f.Lease("a", for30s("w1"), time.Now().Add(time.Hour))
	require.NoError(t, err)
	now := time.Now()
	_, err = f.Lease("a", for30s("w1"), now)
	require.NoError(t, err)
	assert.Equal(t, num(now.UnixNano()), f.get("a")["LeaseUntil"])
	_, err = f.Lease("a", for30s("w2"), time.Now().Add(time.Hour))
	assert.NoError(t, err, "an end in the past frees the item, as it did in the original")
}

func TestLockStoreTakesAnyNameOfAHashKey(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"Name", "Status", "lease-id", "lock.id", "1st"} {
		t.Run(key, func(t *testing.T) {
			f := newFixtureKey(t, key, "a", "b")
			ids, err := f.ListLeaseIDs()
			require.NoError(t, err)
			assert.ElementsMatch(t, []string{"a", "b"}, ids)
			locker := lease.NewLocker(f.LockStore)
			l, err := locker.ObtainLease(for30s("w1"))
			require.NoError(t, err)
			require.NoError(t, f.RenewLease(l, time.Now().Add(time.Minute)))
			require.NoError(t, locker.ReleaseLease(l))
			require.NoError(t, f.RemoveLeaseID("a"))
			require.NoError(t, f.EnsureTable())
			l, err = locker.ObtainLease(for30s("w1"))
			require.NoError(t, err)
			assert.Equal(t, "b", l.LeaseID)
			require.NoError(t, f.RemoveLease(l))
			assert.Nil(t, f.get("b"))
		})
	}
}

// everyType has an attribute of every type of DynamoDB's.
func everyType() row {
	return row{
		"S": str("gr\u00fcn \u0000 \u2028"), "N": {N: aws.String("-1.2345678901234567890123456789012345678E-100")},
		"B": {B: []byte{0, 255, 1}}, "BOOL": {BOOL: aws.Bool(false)}, "NULL": {NULL: aws.Bool(true)},
		"SS": {SS: aws.StringSlice([]string{"a", "b"})}, "NS": {NS: aws.StringSlice([]string{"1", "2.5"})},
		"BS": {BS: [][]byte{{1}, {2, 3}}}, "L": {L: []*dynamodb.AttributeValue{str("x"), num(1), {M: row{"y": str("")}}}},
		"M": {M: row{"deep": {M: row{"er": {L: []*dynamodb.AttributeValue{}}}}}},
	}
}

func TestLockStoreWritesLeaveTheUsersAttributes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	require.NoError(t, f.AddLeaseID("a", everyType()))
	want := f.get("a")
	lessees := []worker{for30s("w1"), for30s("w2"), for30s("w3")}
	for i := 0; i < 300; {
		l, err := f.Lease("a", lessees[rand.IntN(len(lessees))], time.Now().Add(30*time.Second))
		require.NoError(t, err)
		i++
		for range rand.IntN(5) {
			require.NoError(t, f.RenewLease(l, time.Now().Add(30*time.Second)))
			i++
		}
		require.NoError(t, f.ReleaseLease(l))
	}
	got := f.get("a")
	delete(got, "FencingToken")
	delete(want, "FencingToken")
	assert.Equal(t, want, got)
}

func TestLockStoreSharesATableWithTheOriginal(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	soon := func() time.Time { return time.Now().Add(time.Minute) }
	require.NoError(t, f.original("a", "old", soon()))
	_, err := f.Lease("a", for30s("new"), soon())
	require.True(t, err == lease.LeaseNotObtainedError)
	f.pass("a")
	l, err := f.Lease("a", for30s("new"), soon())
	require.NoError(t, err)
	require.Error(t, f.original("a", "old", soon()))
	require.NoError(t, f.RenewLease(l, soon()))
	require.Error(t, f.original("a", "old", soon()))
	f.pass("a")
	require.NoError(t, f.original("a", "old", soon()), "the original takes over from ours")
	assert.True(t, f.RenewLease(l, soon()) == lease.LeaseLostError)
	assert.Equal(t, str("old"), f.get("a")["ProcessID"])

	require.NoError(t, f.original("a", "old", time.Now().Add(-time.Second)))
	l, err = f.Lease("a", for30s("new"), soon())
	require.NoError(t, err)
	require.NoError(t, f.ReleaseLease(l))
	assert.NoError(t, f.original("a", "old", soon()), "the original leases what ours released")
}

func TestLockStoreLeasesAnItemToOneOfManyAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a", "b", "c")
	until := time.Now().Add(time.Hour)
	var mu sync.Mutex
	holders := make(map[string][]string)
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			for _, id := range []string{"a", "b", "c"} {
				lessee := fmt.Sprintf("w%d", i)
				var err error
				if i%2 == 0 {
					_, err = f.Lease(id, for30s(lessee), until)
				} else {
					err = f.original(id, lessee, until)
				}
				if err == nil {
					mu.Lock()
					holders[id] = append(holders[id], lessee)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	for _, id := range []string{"a", "b", "c"} {
		assert.Len(t, holders[id], 1, id)
	}
}

func TestLockStoreTokensGrowThroughEveryChangeOfTenure(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	last := int64(0)
	next := func(l *lease.Lease, err error) *lease.Lease {
		t.Helper()
		require.NoError(t, err)
		require.Greater(t, l.FencingToken(), last)
		last = l.FencingToken()
		assert.Equal(t, num(last), f.get("a")["FencingToken"])
		return l
	}
	l := next(f.Lease("a", for30s("w1"), time.Now().Add(time.Minute)))
	require.NoError(t, f.RenewLease(l, time.Now().Add(time.Minute)))
	assert.Equal(t, last, l.FencingToken(), "a renewal is the same tenure")
	require.NoError(t, f.ReleaseLease(l))
	next(f.Lease("a", for30s("w2"), time.Now().Add(-time.Millisecond))) // and crashed
	next(f.Lease("a", for30s("w1"), time.Now().Add(time.Minute)))       // takeover
	next(f.Lease("a", for30s("w1"), time.Now().Add(time.Minute)))       // the same lessee, anew
}

func TestLockStoreRefusesRenewalAndReleaseOfAnOlderTenure(t *testing.T) {
	logger := record(t)
	f := newFixture(t, "a")
	older, err := f.Lease("a", for30s("host:1"), time.Now().Add(time.Minute))
	require.NoError(t, err)
	_, err = f.Lease("a", for30s("host:1"), time.Now().Add(time.Minute))
	require.NoError(t, err)
	before := f.get("a")

	assert.True(t, f.RenewLease(older, time.Now().Add(time.Hour)) == lease.LeaseLostError)
	assert.True(t, f.ReleaseLease(older) == lease.LeaseLostError)
	assert.True(t, f.RemoveLease(older) == lease.LeaseLostError)
	assert.Equal(t, before, f.get("a"))
	lost := logger.named("Lease Lost")
	require.NotEmpty(t, lost)
	assert.Equal(t, "host:1", lost[0].keyvals["holder"])
	assert.Equal(t, int64(2), lost[0].keyvals["holder_fencing_token"])
}

func TestLockStoreRenewalAndReleaseOfARetiredItemAreLost(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l, err := f.Lease("a", for30s("w1"), time.Now().Add(time.Minute))
	require.NoError(t, err)
	_, err = f.ddb.DeleteItem(&dynamodb.DeleteItemInput{TableName: &f.table, Key: row{"id": str("a")}})
	require.NoError(t, err)
	assert.True(t, f.RenewLease(l, time.Now().Add(time.Minute)) == lease.LeaseLostError)
	assert.True(t, f.ReleaseLease(l) == lease.LeaseLostError)
	assert.Nil(t, f.get("a"), "no write creates a row")
}

func TestLockStoreRenewalOfARowWithoutAnEndIsLost(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l, err := f.Lease("a", for30s("w1"), time.Now().Add(30*time.Second))
	require.NoError(t, err)
	r := f.get("a")
	delete(r, "LeaseUntil")
	f.put(r)
	f.reset()
	_, err = f.RenewLeaseItem(t.Context(), l, time.Now().Add(30*time.Second), time.Time{})
	assert.True(t, err == lease.LeaseLostError)
	assert.Equal(t, 1, f.count())
}

func TestLockStoreRenewalOfALiteralWithoutATokenLeasesAnew(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	literal := &lease.Lease{LeaseID: "a", Request: for30s("w1")}
	now := time.Now()
	require.NoError(t, f.RenewLease(literal, now.Add(time.Minute)))
	want := f.held("a", "w1", now.Add(time.Minute))
	want["FencingToken"] = num(1)
	assert.Equal(t, want, f.get("a"))

	require.NoError(t, f.RenewLease(literal, now.Add(2*time.Minute)))
	want["LeaseUntil"] = num(now.Add(2 * time.Minute).UnixNano())
	want["FencingToken"] = num(2)
	assert.Equal(t, want, f.get("a"))

	others := f.held("a", "w2", now.Add(time.Minute))
	f.put(others)
	err := f.RenewLease(literal, now.Add(time.Hour))
	assert.True(t, err == lease.LeaseLostError, "got %v", err)
	assert.Equal(t, others, f.get("a"))
}

func TestLockStoreRenewalNeverMovesTheEndBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l, err := f.Lease("a", for30s("w1"), time.Now().Add(time.Hour))
	require.NoError(t, err)
	before := f.get("a")
	require.NoError(t, f.RenewLease(l, time.Now().Add(time.Minute)))
	assert.Equal(t, before, f.get("a"))
	assert.Greater(t, l.Remaining(), 50*time.Minute)
}

func TestLockStoreReleaseFreesTheRowAndMayBeRepeated(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l, err := f.Lease("a", for30s("w1"), time.Now().Add(time.Minute))
	require.NoError(t, err)
	require.NoError(t, f.ReleaseLease(l))
	assert.Equal(t, row{"id": str("a"), "LeaseUntil": num(0), "FencingToken": num(1)}, f.get("a"))
	require.NoError(t, f.ReleaseLease(l))

	locker := lease.NewLocker(f.LockStore)
	l, err = locker.ObtainLease(for30s("w1"))
	require.NoError(t, err)
	require.NoError(t, f.ReleaseLease(l))
	assert.ErrorIs(t, context.Cause(l.Context()), lease.LeaseReleasedError, "nobody relies on a row that is free")
	assert.False(t, l.Valid())
	assert.NoError(t, locker.ReleaseLease(l))
}

func TestLockStoreReleaseThatARenewalOvertakesIsSentAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	built, renewed := make(chan struct{}), make(chan struct{})
	var releases atomic.Int32
	s := f.through(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(q *http.Request) (*http.Response, error) {
			body, err := io.ReadAll(q.Body)
			q.Body = io.NopCloser(bytes.NewReader(body))
			if err == nil && strings.Contains(string(body), "REMOVE #holder") && releases.Add(1) == 1 {
				close(built)
				<-renewed
			}
			return next.RoundTrip(q)
		})
	})
	l, err := s.Lease("a", for30s("w"), time.Now().Add(30*time.Second))
	require.NoError(t, err)
	released := make(chan error)
	go func() { released <- s.ReleaseLease(l) }()
	<-built
	assert.NoError(t, s.RenewLease(l, time.Now().Add(time.Minute)))
	close(renewed)
	assert.NoError(t, <-released)
	assert.Equal(t, int32(2), releases.Load())
	assert.NotContains(t, f.get("a"), "ProcessID")
}

// takenAfter returns a store on the fixture's table that loses the reply to its first such
// request, which was applied; taken is called before the SDK learns of that.
func (f *fixture) takenAfter(isIt func(body string) bool, retries int, taken func()) *lease.LockStore {
	var isLost atomic.Bool
	ddb, _ := newClient(f.tb, f.ddb.Endpoint, func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			isNow := isIt(string(bodyOf(r))) && !isLost.Swap(true)
			resp, err := next.RoundTrip(r)
			if err == nil && isNow {
				resp.Body.Close()
				taken()
				return nil, io.ErrUnexpectedEOF
			}
			return resp, err
		})
	}, &aws.Config{MaxRetries: aws.Int(retries)})
	return lease.NewLockStore(ddb, f.table, f.key)
}

// A refusal before one's own end proves that the release was applied whose reply was lost.
func TestLockStoreReleaseWhoseReplyWasLostIsNoLossWhoeverHasTheItemThen(t *testing.T) {
	t.Parallel()
	isRelease := func(body string) bool { return strings.Contains(body, ":rest") }
	isHandover := func(body string) bool { return strings.Contains(body, ":horizon") }
	isRetirement := func(body string) bool {
		return strings.Contains(body, ":token") && !strings.Contains(body, "UpdateExpression")
	}
	in30s := func() time.Time { return time.Now().Add(30 * time.Second) }
	release := func(s *lease.LockStore, l *lease.Lease) error { return s.ReleaseLease(l) }
	handOver := func(s *lease.LockStore, l *lease.Lease) error {
		return s.HandOverLease(context.Background(), l, in30s())
	}
	retire := func(s *lease.LockStore, l *lease.Lease) error { return s.RemoveLease(l) }
	leased := func(f *fixture) {
		_, err := f.Lease("a", for30s("w2"), in30s())
		assert.NoError(f.tb, err)
	}
	for name, c := range map[string]struct {
		isIt  func(body string) bool
		call  func(*lease.LockStore, *lease.Lease) error
		taken func(f *fixture)
	}{
		"released, and another's":        {isRelease, release, leased},
		"released, and an original's":    {isRelease, release, func(f *fixture) { assert.NoError(f.tb, f.original("a", "w2", in30s())) }},
		"released, and retired":          {isRelease, release, func(f *fixture) { assert.NoError(f.tb, f.RemoveLeaseID("a")) }},
		"handed over, and leased":        {isHandover, handOver, leased},
		"retired, and registered anew":   {isRetirement, retire, func(f *fixture) { assert.NoError(f.tb, f.AddLeaseID("a", nil)) }},
		"handed over, and given further": {isHandover, handOver, func(f *fixture) { f.put(f.held("a", "w3", in30s())) }},
	} {
		for _, retries := range []int{0, 3} {
			f := newFixture(t, "a")
			store := f.takenAfter(c.isIt, retries, func() { c.taken(f) })
			l, err := store.Lease("a", worker{"w1", time.Minute}, time.Now().Add(time.Minute))
			require.NoError(t, err)
			require.NoError(t, f.WantLease(t.Context(), f.seen(), "w2", in30s()))
			err = c.call(store, l)
			if retries == 0 {
				require.Error(t, err, "%s: the reply was lost", name)
				err = c.call(store, l)
			}
			assert.NoError(t, err, "%s, with %d retries", name, retries)
		}
	}
}

func TestLockStoreReleaseOfWhatWasTakenBeforeIsALoss(t *testing.T) {
	t.Parallel()
	isRelease := func(body string) bool { return strings.Contains(body, ":rest") }
	stolen := func(f *fixture, by string) {
		r := f.held("a", by, time.Now().Add(time.Minute))
		r["FencingToken"] = num(9)
		f.put(r)
	}
	for name, c := range map[string]struct {
		lasts  time.Duration
		before func(f *fixture)
		after  func(f *fixture)
	}{
		"taken, though nothing was released": {time.Minute, func(f *fixture) { stolen(f, "w2") }, func(*fixture) {}},
		"a namesake's":                       {time.Minute, func(*fixture) {}, func(f *fixture) { stolen(f, "w1") }},
		"taken at its end":                   {time.Second, func(*fixture) {}, func(f *fixture) { stolen(f, "w2") }},
	} {
		f := newFixture(t, "a")
		store := f.takenAfter(isRelease, 3, func() { c.after(f) })
		l, err := store.Lease("a", for30s("w1"), time.Now().Add(c.lasts))
		require.NoError(t, err)
		if name == "taken, though nothing was released" {
			store = f.LockStore
		}
		c.before(f)
		assert.True(t, store.ReleaseLease(l) == lease.LeaseLostError, name)
	}
}

// emptied makes the bodies of the replies to that operation empty, once a switch is on.
func emptied(operation string, on *atomic.Bool) between {
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if err == nil && on.Load() && strings.HasSuffix(r.Header.Get("X-Amz-Target"), "."+operation) {
				resp.Body.Close()
				resp.Body = jsonBody("{}")
				resp.Header.Del("X-Amz-Crc32")
			}
			return resp, err
		})
	}
}

// A success that shows nothing isn't DynamoDB's: what it says was done may not have been.
func TestLockStoreTakesNoReplyThatShowsNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		operation string
		call      func(*lease.LockStore, *lease.Lease) error
	}{
		"Lease": {"UpdateItem", func(s *lease.LockStore, _ *lease.Lease) error {
			_, err := s.Lease("b", for30s("w1"), time.Now().Add(time.Minute))
			return err
		}},
		"RenewLease": {"UpdateItem", func(s *lease.LockStore, l *lease.Lease) error {
			return s.RenewLease(l, time.Now().Add(time.Minute))
		}},
		"ReleaseLease": {"UpdateItem", func(s *lease.LockStore, l *lease.Lease) error { return s.ReleaseLease(l) }},
		"SaveAttributes": {"UpdateItem", func(s *lease.LockStore, l *lease.Lease) error {
			return s.SaveAttributes(context.Background(), l, row{"x": num(1)})
		}},
		"ListLeaseIDs": {"Scan", func(s *lease.LockStore, _ *lease.Lease) error { _, err := s.ListLeaseIDs(); return err }},
		"EnsureTable":  {"DescribeTable", func(s *lease.LockStore, _ *lease.Lease) error { return s.EnsureTable() }},
	} {
		f := newFixture(t, "a", "b")
		on := new(atomic.Bool)
		store := f.through(emptied(c.operation, on))
		l, err := store.Lease("a", for30s("w1"), time.Now().Add(30*time.Second))
		require.NoError(t, err)
		on.Store(true)
		err = c.call(store, l)
		require.Error(t, err, name)
		assert.False(t, errors.Is(err, lease.LeaseLostError), name)
		assert.ErrorContains(t, err, c.operation, name)
		assert.ErrorContains(t, err, f.table, name)
		var failure awserr.RequestFailure
		assert.ErrorAs(t, err, &failure, name)
		on.Store(false)
		assert.NoError(t, c.call(store, l), "%s: another try makes good", name)
	}
}

func TestLockStoreTellsThatAnotherTryMayShowIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newImagined(t, 0)
		locker := lease.NewLocker(i.LockStore)
		l, err := locker.ObtainLease(for30s("w1"))
		require.NoError(t, err)
		ours, renewals := i.next, 0
		i.next = roundTrip(func(r *http.Request) (*http.Response, error) {
			resp, err := ours.RoundTrip(r)
			if renewals++; renewals == 1 {
				resp.Body = jsonBody("{}")
			}
			return resp, err
		})
		err = locker.HeartbeatWithContext(within(t, 20*time.Second), l, 5*time.Second)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Greater(t, renewals, 2)
		assert.True(t, l.Valid())
	})
}

// A success that shows the row of another tenure is none of this one's.
func TestLockStoreRenewalMustShowItsNameAndToken(t *testing.T) {
	t.Parallel()
	for _, other := range []string{`"ProcessID":{"S":"w2"},"FencingToken":{"N":"7"}`,
		`"ProcessID":{"S":"w1"},"FencingToken":{"N":"8"}`} {
		i := newImagined(t, 0)
		l, err := i.Lease("a", for30s("w1"), time.Now().Add(30*time.Second))
		require.NoError(t, err)
		ours := i.next
		i.next = roundTrip(func(r *http.Request) (*http.Response, error) {
			resp, err := ours.RoundTrip(r)
			resp.Body = jsonBody(`{"Attributes":{"id":{"S":"a"},"LeaseUntil":{"N":"1"},` + other + `}}`)
			return resp, err
		})
		err = i.RenewLease(l, time.Now().Add(time.Minute))
		require.Error(t, err)
		assert.False(t, errors.Is(err, lease.LeaseLostError))
	}
}

func TestLockStoreLosesNothingByALostReply(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	until := time.Now().Add(30 * time.Second)
	l, err := f.through(lossy("UpdateItem")).Lease("a", for30s("w1"), until)
	require.NoError(t, err)
	assert.Equal(t, int64(2), l.FencingToken(), "nobody was given the first token")
	assert.Equal(t, f.get("a"), l.AttributeValues)

	// After two lost replies the row can't be told from a namesake's. Nobody holds it for longer than this
	// lease, and the next try obtains it.
	again := f.through(lossy("UpdateItem", 1, 3))
	_, err = again.Lease("a", for30s("w1"), until.Add(time.Millisecond))
	assert.True(t, err == lease.LeaseNotObtainedError, "got %v", err)
	l, err = again.Lease("a", for30s("w1"), until.Add(time.Millisecond))
	require.NoError(t, err)

	require.NoError(t, f.through(lossy("UpdateItem")).RenewLease(l, until.Add(time.Second)))
	assert.Equal(t, num(until.Add(time.Second).UnixNano()), f.get("a")["LeaseUntil"])
	require.NoError(t, f.through(lossy("UpdateItem")).ReleaseLease(l))

	require.NoError(t, f.through(lossy("PutItem")).AddLeaseID("b", row{"x": str("y")}))
	require.NoError(t, f.through(lossy("DeleteItem")).RemoveLeaseID("b"))
	l, err = f.Lease("a", for30s("w1"), until)
	require.NoError(t, err)
	require.NoError(t, f.through(lossy("DeleteItem")).RemoveLease(l))
}

// TestLockStoreLeaseWhoseReplyWasLostIsNoOlderTenure: what the model found. The release of the
// older tenure, arriving late, must not free what was leased until the same end and whose reply
// was lost.
func TestLockStoreLeaseWhoseReplyWasLostIsNoOlderTenure(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	until := time.Now().Add(30 * time.Second)
	older, err := f.Lease("a", for30s("w1"), until)
	require.NoError(t, err)
	newer, err := f.through(lossy("UpdateItem")).Lease("a", for30s("w1"), until)
	require.NoError(t, err)
	assert.Greater(t, newer.FencingToken(), older.FencingToken())
	assert.True(t, f.ReleaseLease(older) == lease.LeaseLostError)
	assert.Equal(t, str("w1"), f.get("a")["ProcessID"])
	require.NoError(t, f.RenewLease(newer, until.Add(time.Second)))
}

// TestLockStoreShorteningThatArrivesLateChangesNothing: what the model found, too. The end that
// the late write has seen may be there again, but the tenure isn't.
func TestLockStoreShorteningThatArrivesLateChangesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	store, late := f.taped()
	start := time.Now()
	_, err := store.Lease("a", for30s("w1"), start.Add(time.Hour)) // 0
	require.NoError(t, err)
	l, err := store.Lease("a", for30s("w1"), start.Add(time.Minute)) // 1 is refused, 2 shortens
	require.NoError(t, err)
	require.Len(t, late.sent, 3)
	require.NoError(t, store.RenewLease(l, start.Add(time.Hour)))
	before := f.get("a")
	late.replay(t, 2)
	assert.Equal(t, before, f.get("a"))
}

func TestLockStoreWritesThatArriveLateChangeNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	store, late := f.taped()
	start := time.Now()
	l, err := store.Lease("a", for30s("w1"), start.Add(30*time.Second)) // 0
	require.NoError(t, err)
	unchanged := func(n int, what string) {
		t.Helper()
		before := f.get("a")
		late.replay(t, n)
		assert.Equal(t, before, f.get("a"), what)
	}
	unchanged(0, "the lease again")
	require.NoError(t, store.RenewLease(l, start.Add(40*time.Second))) // 1
	unchanged(0, "the lease after a renewal")
	unchanged(1, "the renewal again")
	require.NoError(t, store.RenewLease(l, start.Add(50*time.Second))) // 2
	unchanged(1, "a renewal after a later one")
	l2, err := store.Lease("a", for30s("w1"), start.Add(60*time.Second)) // 3
	require.NoError(t, err)
	for n := range 3 {
		unchanged(n, "a write of the older tenure")
	}
	require.NoError(t, store.ReleaseLease(l2)) // 4
	unchanged(1, "a renewal after the release")
	unchanged(4, "the release again")
	_, err = f.Lease("a", for30s("w2"), start.Add(30*time.Second))
	require.NoError(t, err)
	for n := range 5 {
		unchanged(n, "a write of an earlier holder")
	}
}

func TestLockStoreRequestsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	hang := make(chan struct{})
	defer close(hang)
	store := f.through(func(http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			select {
			case <-r.Context().Done():
				return nil, r.Context().Err()
			case <-hang:
				return nil, errors.New("the test is over")
			}
		})
	})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err := store.LeaseWithContext(ctx, "a", for30s("w1"), time.Now().Add(time.Minute))
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	var sdk awserr.Error
	require.ErrorAs(t, err, &sdk)
	assert.Equal(t, request.CanceledErrorCode, sdk.Code())
	_, err = store.ListLeaseIDsWithContext(ctx)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestLockStoreOfAClientThatNewDidNotMakeIsAClearError(t *testing.T) {
	t.Parallel()
	assert.NotPanics(t, func() {
		store := lease.NewLockStore(&dynamodb.DynamoDB{}, "leases", "id")
		_, err := store.ListLeaseIDs()
		assert.ErrorContains(t, err, "dynamodb.New")
		_, err = lease.NewLocker(store).ObtainLease(for30s("w1"))
		assert.ErrorContains(t, err, "dynamodb.New")
	})
}

// TestLockStoreShadowsNoMethodOfItsClient: callers use the embedded client through the store.
func TestLockStoreShadowsNoMethodOfItsClient(t *testing.T) {
	t.Parallel()
	client := reflect.TypeFor[*dynamodb.DynamoDB]()
	store := reflect.TypeFor[*lease.LockStore]()
	for i := range client.NumMethod() {
		theirs := client.Method(i)
		ours, ok := store.MethodByName(theirs.Name)
		require.True(t, ok, theirs.Name)
		for n := 1; n < theirs.Type.NumIn(); n++ {
			require.Equal(t, theirs.Type.In(n), ours.Type.In(n), theirs.Name)
		}
		require.Equal(t, theirs.Type.NumIn(), ours.Type.NumIn(), theirs.Name)
		require.Equal(t, theirs.Type.NumOut(), ours.Type.NumOut(), theirs.Name)
	}
}

func TestLockStoreLeaseAllocatesHardlyMoreThanABareUpdate(t *testing.T) {
	f := newFixture(t, "a", "b")
	bare := testing.AllocsPerRun(50, func() {
		require.NoError(t, f.bare("a", time.Now().Add(30*time.Second)))
	})
	ours := testing.AllocsPerRun(50, func() {
		_, err := f.Lease("b", for30s("w1"), time.Now().Add(30*time.Second))
		require.NoError(t, err)
	})
	t.Logf("%.0f against %.0f allocations", ours, bare)
	assert.LessOrEqual(t, ours, 1.1*bare)
}
