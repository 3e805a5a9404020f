package lease_test

import (
	"fmt"
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
		"ProcessID is not a string":     {"id": str("a"), "ProcessID": num(1)},
		`no hash key "id"`:              {"id": num(1)},
		`hash key "id" of type S`:       nil,
	} {
		item, err = store.ParseLeaseItem(r)
		assert.ErrorContains(t, err, why)
		if r["id"] != nil && r["id"].S != nil {
			assert.Equal(t, "a", item.LeaseID)
		}
	}
	_, err = lease.NewLockStore(nil, "", "").ParseLeaseItem(row{})
	assert.Error(t, err)
}
