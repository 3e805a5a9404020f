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
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
)

func TestLeaseWritesTheDocumentedRow(t *testing.T) {
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

func TestLeaseOfAHeldItemIsNotObtained(t *testing.T) {
	f := newFixture(t)
	f.put(f.held("a", "other", time.Now().Add(time.Minute)))
	before := f.get("a")
	l, err := f.Lease("a", for30s("w1"), time.Now().Add(30*time.Second))
	assert.Nil(t, l)
	assert.True(t, err == lease.LeaseNotObtainedError, "got %v", err)
	assert.Equal(t, before, f.get("a"))
}

func TestLeaseOfAnEndedOrOwnItemIsObtained(t *testing.T) {
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

func TestLeaseNeverCreatesARow(t *testing.T) {
	f := newFixture(t)
	l, err := f.Lease("nobody", for30s("w1"), time.Now().Add(time.Second))
	assert.Nil(t, l)
	assert.True(t, err == lease.LeaseNotObtainedError, "got %v", err)
	assert.Nil(t, f.get("nobody"))
}

func TestLeaseIsOneRequest(t *testing.T) {
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

func TestLeaseByTheHolderMayShortenIt(t *testing.T) {
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

func TestAnyHashKeyNameWorks(t *testing.T) {
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

func TestUserAttributesSurviveEveryWrite(t *testing.T) {
	f := newFixture(t)
	require.NoError(t, f.AddLeaseID("a", everyType()))
	want := f.get("a")
	lessees := []worker{for30s("w1"), for30s("w2"), for30s("w3")}
	for i := 0; i < 1000; {
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

// original is a worker of the original library: its only write, by its documentation.
func (f *fixture) original(id, lessee string, until time.Time) error {
	_, err := f.ddb.UpdateItem(&dynamodb.UpdateItemInput{
		TableName: &f.table, Key: row{f.key: str(id)},
		UpdateExpression:         aws.String("SET ProcessID = :p, LeaseUntil = :u"),
		ConditionExpression:      aws.String("attribute_exists(#k) AND (LeaseUntil < :now OR ProcessID = :p)"),
		ExpressionAttributeNames: map[string]*string{"#k": &f.key},
		ExpressionAttributeValues: row{":p": str(lessee), ":u": num(until.UnixNano()),
			":now": num(time.Now().UnixNano())},
	})
	return err
}

func TestOriginalAndOursShareATable(t *testing.T) {
	f := newFixture(t, "a")
	require.NoError(t, f.original("a", "old", time.Now().Add(300*time.Millisecond)))
	_, err := f.Lease("a", for30s("new"), time.Now().Add(time.Second))
	require.True(t, err == lease.LeaseNotObtainedError)
	time.Sleep(310 * time.Millisecond) // real ends of leases on a real database
	l, err := f.Lease("a", worker{"new", 300 * time.Millisecond}, time.Now().Add(300*time.Millisecond))
	require.NoError(t, err)
	require.Error(t, f.original("a", "old", time.Now().Add(time.Second)))
	require.NoError(t, f.RenewLease(l, time.Now().Add(300*time.Millisecond)))
	require.Error(t, f.original("a", "old", time.Now().Add(time.Second)))
	time.Sleep(310 * time.Millisecond)
	require.NoError(t, f.original("a", "old", time.Now().Add(time.Second)), "the original takes over from ours")
	assert.True(t, f.RenewLease(l, time.Now().Add(time.Second)) == lease.LeaseLostError)
	assert.Equal(t, str("old"), f.get("a")["ProcessID"])

	require.NoError(t, f.original("a", "old", time.Now()))
	l, err = f.Lease("a", for30s("new"), time.Now().Add(time.Minute))
	require.NoError(t, err)
	require.NoError(t, f.ReleaseLease(l))
	assert.NoError(t, f.original("a", "old", time.Now().Add(time.Second)), "the original leases what ours released")
}

func TestConcurrentLesseesOfBothKindsNeverShareAnItem(t *testing.T) {
	f := newFixture(t, "a", "b", "c")
	until := time.Now().Add(time.Minute)
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

func TestTokensGrowThroughEveryChangeOfTenure(t *testing.T) {
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

func TestAnOlderTenureCanNeitherRenewNorRelease(t *testing.T) {
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

func TestRenewalAndReleaseOfARetiredItemAreLost(t *testing.T) {
	f := newFixture(t, "a")
	l, err := f.Lease("a", for30s("w1"), time.Now().Add(time.Minute))
	require.NoError(t, err)
	_, err = f.ddb.DeleteItem(&dynamodb.DeleteItemInput{TableName: &f.table, Key: row{"id": str("a")}})
	require.NoError(t, err)
	assert.True(t, f.RenewLease(l, time.Now().Add(time.Minute)) == lease.LeaseLostError)
	assert.True(t, f.ReleaseLease(l) == lease.LeaseLostError)
	assert.Nil(t, f.get("a"), "no write creates a row")
}

func TestReleaseFreesTheRowAndMayBeRepeated(t *testing.T) {
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

// lossy drops the replies to the numbered requests of that operation (from 1; the first if none is
// named), after the writes were applied.
func lossy(operation string, numbers ...int) func(http.RoundTripper) http.RoundTripper {
	if numbers == nil {
		numbers = []int{1}
	}
	var sent atomic.Int32
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if err == nil && strings.HasSuffix(r.Header.Get("X-Amz-Target"), "."+operation) &&
				slices.Contains(numbers, int(sent.Add(1))) {
				resp.Body.Close()
				return nil, io.ErrUnexpectedEOF
			}
			return resp, err
		})
	}
}

func TestALostReplyCostsNothing(t *testing.T) {
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

func TestALostReplyOfANamesakesLeaseIsNotTakenForItsOwn(t *testing.T) {
	f := newFixture(t, "a")
	until := time.Now().Add(30 * time.Second)
	first, err := f.Lease("a", for30s("host:1"), until)
	require.NoError(t, err)
	second, err := f.Lease("a", for30s("host:1"), until) // the very same end
	require.NoError(t, err)
	assert.Greater(t, second.FencingToken(), first.FencingToken())
}

// TestALeaseWhoseReplyWasLostIsNoOlderTenure: what the model found. The release of the older tenure,
// arriving late, must not free what was leased until the same end and whose reply was lost.
func TestALeaseWhoseReplyWasLostIsNoOlderTenure(t *testing.T) {
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

// TestALateShorteningChangesNothing: what the model found, too. The end that the late write has seen
// may be there again, but the tenure isn't.
func TestALateShorteningChangesNothing(t *testing.T) {
	f := newFixture(t, "a")
	var late *tape
	store := f.through(func(next http.RoundTripper) http.RoundTripper { late = &tape{next: next}; return late })
	start := time.Now()
	_, err := store.Lease("a", for30s("w1"), start.Add(time.Hour)) // 0 learns the clock, 1
	require.NoError(t, err)
	l, err := store.Lease("a", for30s("w1"), start.Add(time.Minute)) // 2 is refused, 3 shortens
	require.NoError(t, err)
	require.Len(t, late.sent, 4)
	require.NoError(t, store.RenewLease(l, start.Add(time.Hour)))
	before := f.get("a")
	late.replay(t, 3)
	assert.Equal(t, before, f.get("a"))
}

// tape records requests, so that they can arrive once more, late.
type tape struct {
	mu    sync.Mutex
	sent  []*http.Request
	bodys [][]byte
	next  http.RoundTripper
}

func (p *tape) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	p.mu.Lock()
	p.sent, p.bodys = append(p.sent, r.Clone(context.Background())), append(p.bodys, body)
	p.mu.Unlock()
	return p.next.RoundTrip(r)
}

// replay sends request n again.
func (p *tape) replay(t *testing.T, n int) {
	r := p.sent[n].Clone(context.Background())
	r.Body = io.NopCloser(bytes.NewReader(p.bodys[n]))
	resp, err := p.next.RoundTrip(r)
	require.NoError(t, err)
	resp.Body.Close()
}

func TestWritesThatArriveLateChangeNothing(t *testing.T) {
	f := newFixture(t, "a")
	var late *tape
	store := f.through(func(next http.RoundTripper) http.RoundTripper { late = &tape{next: next}; return late })
	start := time.Now()
	_, err := store.ListLeaseIDs() // learns the clock
	require.NoError(t, err)
	late.sent, late.bodys = nil, nil
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

func TestARenewalNeverMovesTheEndBack(t *testing.T) {
	f := newFixture(t, "a")
	l, err := f.Lease("a", for30s("w1"), time.Now().Add(time.Hour))
	require.NoError(t, err)
	before := f.get("a")
	require.NoError(t, f.RenewLease(l, time.Now().Add(time.Minute)))
	assert.Equal(t, before, f.get("a"))
	assert.Greater(t, l.Remaining(), 50*time.Minute)
}

// dated rewrites the Date headers, as if this host's clock were wrong by that much.
func dated(hostError time.Duration) func(http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if err == nil {
				resp.Header.Set("Date", time.Now().Add(-hostError).UTC().Format(http.TimeFormat))
			}
			return resp, err
		})
	}
}

func TestAWrongClockIsCorrected(t *testing.T) {
	for _, hostError := range []time.Duration{time.Minute, -time.Minute} {
		t.Run(hostError.String(), func(t *testing.T) {
			logger := record(t)
			f := newFixture(t)
			server := func() time.Time { return time.Now().Add(-hostError) }
			f.put(f.held("live", "other", server().Add(5*time.Second)))
			f.put(f.held("ended", "other", server().Add(-5*time.Second)))
			f.put(f.held("free", "", time.Unix(0, 0)))

			// Also in the very first request, which knows nothing yet.
			store := f.through(dated(hostError))
			_, err := store.Lease("live", for30s("w1"), time.Now().Add(30*time.Second))
			assert.True(t, err == lease.LeaseNotObtainedError, "got %v", err)
			for _, id := range []string{"ended", "free"} {
				store = f.through(dated(hostError))
				l, err := store.Lease(id, for30s("w1"), time.Now().Add(30*time.Second))
				require.NoError(t, err)
				ends := func() time.Duration {
					n := mustInt(t, f.get(id)["LeaseUntil"])
					return time.Unix(0, n).Sub(server())
				}
				assert.InDelta(t, 30, ends().Seconds(), 1.5)
				assert.InDelta(t, 27, l.Remaining().Seconds(), 1)
				require.NoError(t, store.RenewLease(l, time.Now().Add(40*time.Second)))
				assert.InDelta(t, 40, ends().Seconds(), 1.5)
				if hostError < 0 { // A row that ends too late harms nobody; one that ends too soon would.
					require.NoError(t, f.through(dated(hostError)).RenewLease(l, time.Now().Add(2*time.Minute)))
					assert.InDelta(t, 120, ends().Seconds(), 1.5)
				}
			}
			locker := lease.NewLocker(f.through(dated(hostError)))
			_, err = locker.ObtainLease(for30s("w2"))
			assert.True(t, err == lease.LeaseNotObtainedError, "got %v", err)

			require.NotEmpty(t, logger.named("Clock Corrected"))
			measured := logger.named("Clock Corrected")[0].keyvals["clock_error"].(time.Duration)
			assert.InDelta(t, hostError.Seconds(), measured.Seconds(), 1.5)
		})
	}
}

func TestAClockWithinASecondIsNotCorrected(t *testing.T) {
	for _, hostError := range []time.Duration{900 * time.Millisecond, -900 * time.Millisecond, 0} {
		logger := record(t)
		f := newFixture(t, "a")
		store := f.through(dated(hostError))
		until := time.Now().Add(30 * time.Second)
		l, err := store.Lease("a", for30s("w1"), until)
		require.NoError(t, err)
		assert.Equal(t, num(until.UnixNano()), f.get("a")["LeaseUntil"])
		for i := range 50 {
			until = until.Add(time.Duration(i))
			require.NoError(t, store.RenewLease(l, until))
			require.Equal(t, num(until.UnixNano()), f.get("a")["LeaseUntil"])
		}
		assert.Empty(t, logger.named("Clock Corrected"))
	}
}

func TestWithoutADateTheHostsClockStands(t *testing.T) {
	for _, header := range []string{"", "yesterday", "Thu, 01 Jan 1970 00:00:00 GMT"} {
		f := newFixture(t)
		f.put(f.held("live", "other", time.Now().Add(5*time.Second)))
		f.put(f.held("ended", "other", time.Now().Add(-5*time.Second)))
		store := f.through(func(next http.RoundTripper) http.RoundTripper {
			return roundTrip(func(r *http.Request) (*http.Response, error) {
				resp, err := next.RoundTrip(r)
				if err == nil {
					resp.Header.Set("Date", header)
				}
				return resp, err
			})
		})
		until := time.Now().Add(time.Minute)
		_, err := store.Lease("ended", for30s("w1"), until)
		require.NoError(t, err)
		assert.Equal(t, num(until.UnixNano()), f.get("ended")["LeaseUntil"])
		_, err = store.Lease("live", for30s("w1"), until)
		assert.True(t, err == lease.LeaseNotObtainedError)
		f.put(f.held("ended", "other", time.Now().Add(-5*time.Second)))
		assert.NoError(t, store.RemoveLeaseID("ended"))
		assert.ErrorIs(t, store.RemoveLeaseID("live"), lease.LeaseHeldError)
	}
}

func mustInt(t *testing.T, v *dynamodb.AttributeValue) int64 {
	t.Helper()
	require.NotNil(t, v)
	var n int64
	_, err := fmt.Sscan(*v.N, &n)
	require.NoError(t, err)
	return n
}

func TestBadInputSendsNothingAndSaysWhat(t *testing.T) {
	f := newFixture(t, "a")
	good, soon := for30s("w1"), time.Now().Add(time.Minute)
	l, err := f.Lease("a", good, soon)
	require.NoError(t, err)
	f.reset()
	long := strings.Repeat("x", 2049)
	locker := lease.NewLocker(f.LockStore)
	leaseOf := func(id string, r lease.LeaseRequest, until time.Time) func() error {
		return func() error { _, err := f.Lease(id, r, until); return err }
	}
	store := func(ddb *dynamodb.DynamoDB, table, key string) func() error {
		return func() error { _, err := lease.NewLockStore(ddb, table, key).ListLeaseIDs(); return err }
	}
	for _, c := range []struct {
		says string
		call func() error
	}{
		{"LeaseRequest is nil", leaseOf("a", nil, soon)},
		{"LeaseRequest is nil", leaseOf("a", (*worker)(nil), soon)},
		{"LesseeID is empty", leaseOf("a", for30s(""), soon)},
		{`LesseeID "\xff" is not valid UTF-8`, leaseOf("a", for30s("\xff"), soon)},
		{"2049 bytes", leaseOf("a", for30s(long), soon)},
		{"lease ID is empty", leaseOf("", good, soon)},
		{`lease ID "a\xc3" is not valid UTF-8`, leaseOf("a\xc3", good, soon)},
		{"2049 bytes", leaseOf(long, good, soon)},
		{"LeaseDuration is 0s", leaseOf("a", worker{"w1", 0}, soon)},
		{"LeaseDuration is -1s", leaseOf("a", worker{"w1", -time.Second}, soon)},
		{"between 1970 and 2262", leaseOf("a", worker{"w1", 1<<63 - 1}, soon)},
		{"between 1970 and 2262", leaseOf("a", good, time.Time{})},
		{"between 1970 and 2262", leaseOf("a", good, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))},
		{"table name is empty", store(f.ddb, "", "id")},
		{"hash key name is empty", store(f.ddb, "t", "")},
		{"DynamoDB is nil", store(nil, "t", "id")},
		{`hash key "LeaseUntil"`, store(f.ddb, "t", "LeaseUntil")},
		{"LockStore is nil", func() error { _, err := (*lease.LockStore)(nil).ListLeaseIDs(); return err }},
		{"LockStore is nil", func() error { _, err := lease.NewLocker((*lease.LockStore)(nil)).ObtainLease(good); return err }},
		{"no store", func() error { _, err := lease.NewLocker(nil).ObtainLease(good); return err }},
		{"LeaseRequest is nil", func() error { _, err := locker.ObtainLease(nil); return err }},
		{"LesseeID is empty", func() error { _, err := locker.ObtainLease(for30s("")); return err }},
		{"LeaseDuration is 0s", func() error {
			_, err := locker.WaitUntilLeaseObtainedWithContext(context.Background(), worker{"w1", 0}, time.Second)
			return err
		}},
		{"context is nil", func() error { _, err := locker.ObtainLeaseWithContext(nil, good); return err }}, //lint:ignore SA1012 what is tested
		{"Lease is nil", func() error { return locker.Heartbeat(nil, time.Second) }},
		{"Lease is nil", func() error { return locker.ReleaseLease(nil) }},
		{"Lease is nil", func() error { return f.RenewLease(nil, soon) }},
		{"LeaseRequest is nil", func() error { return locker.Heartbeat(&lease.Lease{LeaseID: "a"}, time.Second) }},
		{"heartbeatDuration is 0s", func() error { return locker.Heartbeat(l, 0) }},
		{"heartbeatDuration is -1s", func() error { return locker.Heartbeat(l, -time.Second) }},
		{"work to Hold a lease for is nil", func() error { return locker.Hold(context.Background(), good, nil) }},
		{"lease ID is empty", func() error { return f.AddLeaseID("", nil) }},
		{`attribute "LeaseUntil"`, func() error { return f.AddLeaseID("b", row{"LeaseUntil": num(1)}) }},
		{`attribute "id"`, func() error { return f.AddLeaseID("b", row{"id": str("c")}) }},
		{`attribute "x" of lease ID "b" is nil`, func() error { return f.AddLeaseID("b", row{"x": nil}) }},
		{"lease ID is empty", func() error { return f.RemoveLeaseID("") }},
	} {
		err := c.call()
		assert.ErrorContains(t, err, c.says)
	}
	assert.Zero(t, f.count())
	assert.Nil(t, locker.WaitUntilLeaseObtained(nil, time.Second))
}

func TestCancelledRequestsEndAtOnce(t *testing.T) {
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

func TestErrorsOfTheSDKKeepTheirTypeAndAreLogged(t *testing.T) {
	logger := record(t)
	f := newFixture(t, "a")
	f.ddb.Handlers.Send.PushBack(func(r *request.Request) {
		r.HTTPResponse.StatusCode = http.StatusBadRequest
		r.HTTPResponse.Body = io.NopCloser(strings.NewReader(`{"__type":"x#AccessDeniedException","message":"no"}`))
	})
	_, err := f.Lease("a", for30s("w1"), time.Now().Add(time.Minute))
	failure, ok := err.(awserr.RequestFailure)
	require.True(t, ok, "%T", err)
	assert.Equal(t, "AccessDeniedException", failure.Code())
	events := logger.named("AWS Error")
	require.Len(t, events, 1)
	assert.Equal(t, "error", events[0].level)
	assert.Equal(t, "AccessDeniedException", events[0].keyvals["Code"])
	assert.Equal(t, "no", events[0].keyvals["AWSMessage"])
	assert.Equal(t, 400, events[0].keyvals["StatusCode"])
	assert.Contains(t, events[0].keyvals, "DDBRequestID")
}

// TestNoMethodShadowsTheClients: callers use the embedded client through the store.
func TestNoMethodShadowsTheClients(t *testing.T) {
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

func TestSetLoggerAtAnyTime(t *testing.T) {
	f := newFixture(t)
	var wg sync.WaitGroup
	defer wg.Wait()
	for range 4 {
		wg.Go(func() {
			for range 20 {
				lease.SetLogger(&recorder{})
				_ = f.AddLeaseID("", nil)
				_, _ = lease.NewLocker(f.LockStore).ObtainLease(for30s("w"))
				lease.SetLogger(nil)
			}
		})
	}
}
