package lease_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
)

func TestListLeaseIDsReadsEveryPage(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var rows []row
	want := make(map[string]bool)
	for i := range 600 {
		id := fmt.Sprintf("item-%03d", i)
		rows = append(rows, padded(id, 4096))
		want[id] = true
	}
	f.fill(rows)
	ids, err := f.ListLeaseIDs()
	require.NoError(t, err)
	assert.Len(t, ids, 600)
	for _, id := range ids {
		assert.True(t, want[id], id)
		delete(want, id)
	}
	assert.Equal(t, 3, f.count("Scan"))
}

func TestListLeaseIDsOfAnEmptyTableIsEmpty(t *testing.T) {
	t.Parallel()
	ids, err := newFixture(t).ListLeaseIDs()
	require.NoError(t, err)
	assert.NotNil(t, ids)
	assert.Empty(t, ids)
}

func TestScanLogsUnreadableRowsOnceAndTheyStopNobody(t *testing.T) {
	logger := record(t)
	f := newFixture(t, "good")
	bad := map[string]row{
		"until-string":   {"LeaseUntil": str("soon")},
		"until-null":     {"LeaseUntil": {NULL: aws.Bool(true)}},
		"holder-number":  {"LeaseUntil": num(0), "ProcessID": num(7)},
		"token-string":   {"LeaseUntil": num(0), "FencingToken": str("1")},
		"token-huge":     {"LeaseUntil": num(0), "FencingToken": {N: aws.String("1" + strings.Repeat("0", 30))}},
		"token-fraction": {"LeaseUntil": num(0), "FencingToken": {N: aws.String("1.5")}},
	}
	for id, r := range bad {
		r["id"] = str(id)
		f.put(r)
	}
	locker := lease.NewLocker(f.LockStore)
	l, err := locker.ObtainLease(for30s("w1"))
	require.NoError(t, err)
	assert.Equal(t, "good", l.LeaseID)
	assert.Len(t, logger.named("Lease Item Skipped"), len(bad))
	_, err = locker.ObtainLease(for30s("w2"))
	assert.True(t, err == lease.LeaseNotObtainedError, "got %v", err)
	for id, r := range bad {
		assert.Equal(t, r, f.get(id), "nothing was written to it")
	}
	assert.Len(t, logger.named("Lease Item Skipped"), len(bad), "each once")
	ids, err := f.ListLeaseIDs()
	require.NoError(t, err)
	assert.Len(t, ids, len(bad)+1)
}

func TestScanOfARowTooLargeToLeaseStopsNobody(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.put(padded("full", 400*1024-30))
	f.put(padded("good", 10))
	locker := lease.NewLocker(f.LockStore)
	for i := range 5 {
		l, err := locker.ObtainLease(for30s(fmt.Sprint("w", i)))
		require.NoError(t, err)
		assert.Equal(t, "good", l.LeaseID)
		require.NoError(t, locker.ReleaseLease(l))
	}
}

func TestScanLeaseItemsShowsWhoHoldsWhat(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "free")
	until := time.Now().Add(time.Minute).Round(0)
	f.put(f.held("held", "w1", until))
	f.put(row{"id": str("forever"), "ProcessID": str("w2"), "LeaseUntil": {N: aws.String("9E+37")}})
	f.reset()
	items, next, err := f.ScanLeaseItems("", 0)
	require.NoError(t, err)
	assert.Empty(t, next)
	byID := make(map[string]lease.LeaseItem)
	for _, item := range items {
		byID[item.LeaseID] = item
	}
	assert.Equal(t, lease.LeaseItem{LeaseID: "free", Weight: 1, Capacity: 1}, byID["free"])
	assert.Equal(t, "w1", byID["held"].LesseeID)
	assert.True(t, until.Equal(byID["held"].Until))
	assert.True(t, byID["forever"].Until.After(time.Now().AddDate(100, 0, 0)))
	assert.Equal(t, 1, f.count())
}

func TestScanLeaseItemsAfterNoUTF8SendsNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	_, _, err := f.ScanLeaseItems("\xff", 0)
	assert.ErrorContains(t, err, "UTF-8")
	assert.Zero(t, f.count())
}

func TestGetLeaseItemReadsOneRowAsItIsNow(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a", "b")
	until := time.Now().Add(time.Minute)
	_, err := f.Lease("a", for30s("w1"), until)
	require.NoError(t, err)
	require.NoError(t, f.WantLease(t.Context(), f.item("a"), "w2", until))
	scanned := f.item("a")
	f.reset()
	item, err := f.GetLeaseItem(t.Context(), "a")
	require.NoError(t, err)
	assert.Equal(t, scanned, item)
	assert.Equal(t, lease.ItemWanted, item.State())
	assert.Equal(t, 1, f.count("GetItem"))
	assert.InDelta(t, 1, f.rcu, 0, "a strongly consistent read of up to 4 KB")

	item, err = f.GetLeaseItem(t.Context(), "b")
	require.NoError(t, err)
	assert.Equal(t, lease.LeaseItem{LeaseID: "b", Weight: 1, Capacity: 1}, item)
}

func TestGetLeaseItemSaysWhichItemIsNotRegistered(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	item, err := f.GetLeaseItem(t.Context(), "A")
	assert.ErrorIs(t, err, lease.LeaseIDUnknownError)
	assert.ErrorContains(t, err, `"A" in table "`+f.table)
	assert.Zero(t, item)
}

func TestGetLeaseItemSaysWhyARowIsUnusable(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.put(row{"id": str("a"), "ProcessID": str("w1"), "LeaseUntil": str("soon")})
	item, err := f.GetLeaseItem(t.Context(), "a")
	assert.ErrorContains(t, err, `the row of "a"`)
	assert.ErrorContains(t, err, "LeaseUntil")
	assert.NotErrorIs(t, err, lease.LeaseIDUnknownError)
	assert.Equal(t, "w1", item.LesseeID, "what could be made out")
	assert.Equal(t, lease.ItemUnusable, item.State())
}

func TestGetLeaseItemWithBadInputSendsNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	_, err := f.GetLeaseItem(t.Context(), "")
	assert.ErrorContains(t, err, "lease ID is empty")
	var none context.Context
	_, err = f.GetLeaseItem(none, "a")
	assert.ErrorContains(t, err, "context is nil")
	assert.Zero(t, f.count())
}

// TestGetLeaseItemTakesNoEmptyReplyForAnItemThatIsntThere: unless it is DynamoDB's own.
func TestGetLeaseItemTakesNoEmptyReplyForAnItemThatIsntThere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body, id string
		unknown  bool
	}{
		"DynamoDB's":   {body: "{}", id: "1", unknown: true},
		"a proxy's":    {body: "{}"},
		"no reply":     {body: ""},
		"another row":  {body: `{"Item":{"id":{"S":"b"}}}`, id: "1"},
		"a row of its": {body: `{"Item":{"LeaseUntil":{"N":"0"}}}`, id: "1"},
	} {
		t.Run(name, func(t *testing.T) {
			reply := roundTrip(func(r *http.Request) (*http.Response, error) {
				header := http.Header{"Date": {time.Now().UTC().Format(http.TimeFormat)}}
				if c.id != "" {
					header.Set("X-Amzn-Requestid", c.id)
				}
				return &http.Response{StatusCode: 200, Header: header, Body: jsonBody(c.body), Request: r}, nil
			})
			through := func(http.RoundTripper) http.RoundTripper { return reply }
			ddb, _ := newClient(t, "http://127.0.0.1:1", through)
			_, err := lease.NewLockStore(ddb, "leases", "id").GetLeaseItem(t.Context(), "a")
			if c.unknown {
				assert.ErrorIs(t, err, lease.LeaseIDUnknownError)
			} else {
				assert.ErrorContains(t, err, "GetItem of \"a\"")
				assert.ErrorContains(t, err, "doesn't show")
				assert.NotErrorIs(t, err, lease.LeaseIDUnknownError)
			}
		})
	}
}

func TestGetLeaseItemTeachesTheClock(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	fresh := f.store()
	_, err := fresh.GetLeaseItem(t.Context(), "a")
	require.NoError(t, err)
	_, err = fresh.Lease("a", for30s("w1"), time.Now().Add(time.Minute))
	require.NoError(t, err)
	assert.Zero(t, f.count("Scan"), "the lease needs no reply to learn from")
}

func TestParseLeaseItemShowsWhatARowIsAndWhyItCantBeLeased(t *testing.T) {
	t.Parallel()
	store := lease.NewLockStore(ddblocal.NewClient("http://127.0.0.1:1"), "leases", "id")
	item, err := store.ParseLeaseItem(row{"id": str("a"), "ProcessID": str("w1"), "LeaseUntil": num(5), "FencingToken": num(7),
		"WantedBy": str("w2"), "WantedUntil": num(6), "Mail": num(8)})
	require.NoError(t, err)
	assert.Equal(t, lease.LeaseItem{LeaseID: "a", LesseeID: "w1", Until: time.Unix(0, 5), FencingToken: 7, LeaseUntil: 5,
		WantedBy: "w2", WantedUntil: 6, Weight: 1, Capacity: 1}, item)
	item, err = store.ParseLeaseItem(row{"id": str("a"), "WantedBy": str("w2"), "WantedUntil": str("soon")})
	require.NoError(t, err)
	assert.Equal(t, int64(-1), item.WantedUntil, "senseless")
	_, err = store.ParseLeaseItem(row{"id": str("a"), "FencingToken": num(1<<62 - 1)})
	assert.NoError(t, err)
	for why, r := range map[string]row{
		`LeaseUntil "" is not a number`: {"id": str("a"), "ProcessID": str("w1"), "LeaseUntil": str("soon")},
		"4611686018427387904":           {"id": str("a"), "FencingToken": num(1 << 62)},
		`FencingToken "-1"`:             {"id": str("a"), "FencingToken": num(-1)},
		`FencingToken "1.5"`:            {"id": str("a"), "FencingToken": {N: aws.String("1.5")}},
		"ProcessID is not a string":     {"id": str("a"), "ProcessID": num(1)},
		`no hash key "id"`:              {"id": num(1)},
		`hash key "id" of type S`:       nil,
	} {
		item, err = store.ParseLeaseItem(r)
		assert.ErrorContains(t, err, why)
		assert.Equal(t, lease.ItemUnusable, item.State(), why)
		if r["id"] != nil && r["id"].S != nil {
			assert.Equal(t, "a", item.LeaseID)
		}
	}
	_, err = lease.NewLockStore(nil, "", "").ParseLeaseItem(row{})
	assert.Error(t, err)
}
