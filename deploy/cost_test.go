package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
)

func TestCost_is_what_the_page_says(t *testing.T) {
	t.Parallel()
	got, err := run(nil)
	require.NoError(t, err)
	assert.Contains(t, sectionOf(t, "Costs"), got)

	one := fleet{10_000, 20, 5 * time.Minute, usualRow}.bill(prices{writePrice, readPrice})
	ten := dollars(10 * (one.writes + one.reads))
	assert.Contains(t, sectionOf(t, "Costs"), "leases of 5 minutes: $"+ten+".")
}

func TestCost_refuses_what_is_no_fleet(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"-items -1":                      "-items is -1",
		"-items 1 -workers 0":            "-workers is 0",
		"-items 1 -row 0":                "-row is 0",
		"-items 1 -duration 1ms":         "-duration is 1ms",
		"-items 1 -write-price -0.1":     "-write-price is -0.1",
		"-items 1 -read-price NaN":       "-read-price is NaN",
		"-items 1 mailboxes":             `"mailboxes"`,
		"-items 1 -write-price Infinity": "-write-price is +Inf",
	} {
		_, err := run(strings.Fields(args))
		assert.ErrorContains(t, err, want, args)
	}
	got, err := run(strings.Fields("-items 1500 -workers 12 -duration 1m30s -row 1100"))
	require.NoError(t, err)
	assert.Contains(t, got, "| 1,500 | 12 | 1m30s | 100 |")
}

// costJSON is what "lease cost -json" says.
type costJSON struct {
	Items      int     `json:"items"`
	Workers    int     `json:"workers"`
	Writes     float64 `json:"write_units_per_second"`
	Reads      float64 `json:"read_units_per_second"`
	WriteBill  float64 `json:"writes_dollars_per_month"`
	ReadBill   float64 `json:"reads_dollars_per_month"`
	WritePrice float64 `json:"write_price_per_million"`
	ReadPrice  float64 `json:"read_price_per_million"`
}

// TestCost_is_reckoned_as_lease_cost_does: a fleet of 6 items and 3 workers with leases of 30 s,
// whose renewals all come between two of its looks.
func TestCost_is_reckoned_as_lease_cost_does(t *testing.T) {
	t.Parallel()
	of := fleet{items: 6, workers: 3, duration: 30 * time.Second, rowBytes: usualRow}
	f := newFixture(t)
	leases := f.fillFleet(of)
	failed := f.renewAfterTheFirstLook(leases, of.duration/3)

	// Its first look must be over before that time is.
	stdout, err := f.run(key, "", "cost", "-json", "-for", "8s", "-every", "2s")
	require.NoError(t, err)
	var got costJSON
	require.NoError(t, json.Unmarshal([]byte(stdout), &got))
	require.Empty(t, failed)
	assert.Equal(t, of.items, got.Items)
	assert.Equal(t, of.workers, got.Workers)
	assert.Positive(t, got.Writes)
	assert.Equal(t, prices{got.WritePrice, got.ReadPrice}, prices{writePrice, readPrice})
	assert.InEpsilon(t, monthly(got.Writes, writePrice), got.WriteBill, 1e-9)
	assert.InEpsilon(t, monthly(got.Reads, readPrice), got.ReadBill, 1e-9)
	assert.InEpsilon(t, of.reads(), got.Reads, 1e-3)
}

// fillFleet has the workers of a fleet hold its items.
func (f *fixture) fillFleet(of fleet) (leases []*lease.Lease) {
	f.tb.Helper()
	for i := range of.items {
		id := fmt.Sprintf("item-%05d", i)
		filler := strings.Repeat("x", 100-len(key)-len(id)-len("Filler"))
		attributes := map[string]*dynamodb.AttributeValue{"Filler": {S: &filler}}
		require.NoError(f.tb, f.direct.AddLeaseID(id, attributes))
		leases = append(leases, f.hold(id, worker{fmt.Sprint("worker-", i%of.workers), of.duration}))
	}
	return leases
}

// renewAfterTheFirstLook has the leases renewed for that much longer, when what runs through the
// guard has looked at all once. Its next look waits for that. What goes wrong is sent.
func (f *fixture) renewAfterTheFirstLook(leases []*lease.Lease, longer time.Duration) <-chan error {
	var looked atomic.Bool
	renewed := make(chan struct{})
	failed := make(chan error, len(leases))
	before := func(r asked) {
		if r.isLook() && looked.Load() {
			<-renewed
		}
	}
	after := func(r asked) {
		if !r.isLook() || !looked.CompareAndSwap(false, true) {
			return
		}
		defer close(renewed)
		for _, l := range leases {
			item, err := f.direct.GetLeaseItem(context.Background(), l.LeaseID)
			if err == nil {
				err = f.direct.RenewLease(l, item.Until.Add(longer))
			}
			if err != nil {
				failed <- err
			}
		}
	}
	f.guard.call(hooks{before, after})
	return failed
}

// isLook tells of a scan of all rows, and not of the one that shows the database's clock.
func (r asked) isLook() bool {
	return r.action == "Scan" && !strings.Contains(string(r.body), `"Limit":1,`)
}

// TestCost_of_a_look_is_about_what_DynamoDB_counts.
func TestCost_of_a_look_is_about_what_DynamoDB_counts(t *testing.T) {
	t.Parallel()
	of := fleet{items: 400, workers: 7, duration: 30 * time.Second, rowBytes: usualRow}
	f := newFixture(t)
	f.fillFleet(of)
	out, err := ddblocal.ForTest(t).Client().Scan(&dynamodb.ScanInput{
		TableName:              &f.table,
		ReturnConsumedCapacity: aws.String(dynamodb.ReturnConsumedCapacityTotal),
	})
	require.NoError(t, err)
	t.Logf("%v units; reckoned: %v", *out.ConsumedCapacity.CapacityUnits, of.look())
	assert.InEpsilon(t, of.look(), *out.ConsumedCapacity.CapacityUnits, 0.1)
}
