package leaseotel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/intercom/lease"
)

// Each field has a value of its own.
func TestMetricsShowEachFieldOfStats(t *testing.T) {
	stats := lease.LockerStats{
		Held: 1000, Waiting: 2, InHandover: 30, Working: 400, Stuck: 5,
		Obtained: 6, Renewed: 7, Released: 8, HandedOver: 9, Lost: 10, Expired: 11,
		Stucks: 12, RacesLost: 13, Namesakes: 14, Looks: 15,
		FailedRenewals: 16, FailedLooks: 17, FailedWrites: 18,
	}
	got := make(map[string]int64)
	for _, f := range counters {
		got[f.name] = f.of(stats)
	}
	for _, s := range append(levels, failures) {
		for _, p := range s.parts {
			got[s.name+" "+p.value] = p.of(stats)
		}
	}
	assert.Equal(t, map[string]int64{
		"lease.tenure.obtained":        6,
		"lease.tenure.renewed":         7,
		"lease.tenure.lost":            10,
		"lease.tenure.expired":         11,
		"lease.item.released":          8,
		"lease.item.handed_over":       9,
		"lease.work.stuck":             12,
		"lease.race.lost":              13,
		"lease.namesake.met":           14,
		"lease.look.answered":          15,
		"lease.request.failed renewal": 16,
		"lease.request.failed look":    17,
		"lease.request.failed write":   18,
		"lease.tenure.count held":      970,
		"lease.tenure.count wanted":    30,
		"lease.work.count leased":      395,
		"lease.work.count leaseless":   5,
		"lease.wait.count ":            2,
	}, got)
}

// Of several Lockers a gauge shows the gravest: the lease that ends first, the oldest look.
func TestMetricsShowTheGravestOfSeveral(t *testing.T) {
	graver := make(map[string]time.Duration)
	for _, g := range gauges {
		graver[g.name] = g.over(time.Minute, time.Hour)
		assert.Equal(t, graver[g.name], g.over(time.Hour, time.Minute))
	}
	assert.Equal(t, map[string]time.Duration{
		"lease.tenure.remaining": time.Minute,
		"lease.look.age":         time.Hour,
	}, graver)
}

// Of few values, whatever an error's text says.
func TestErrorTypes(t *testing.T) {
	for want, err := range map[string]error{
		"ThrottlingException": fmt.Errorf("why: %w", awserr.New("ThrottlingException", "no", nil)),
		"timeout":             context.DeadlineExceeded,
		"lease_expired":       fmt.Errorf("%w: %w", lease.LeaseLostError, lease.LeaseExpiredError),
		"lease_lost":          lease.LeaseLostError,
		"lease_stuck":         lease.LeaseStuckError,
		"lease_id_unknown":    fmt.Errorf("alice: %w", lease.LeaseIDUnknownError),
		"canceled":            context.Canceled,
		"_OTHER":              errors.New("no"),
	} {
		assert.Equal(t, want, typeOf(err))
	}
	assert.Equal(t, "_OTHER", typeOf(&net.AddrError{Err: "no"}), "it is no timeout")
}

// Of wishes and saves only failures are told: how long they take is in no histogram.
func TestMetricsOfRequestsLeaveOutThoseOfWhichOnlyFailuresAreTold(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	telemetry := New(WithMeterProvider(meters))
	measured := []string{"handover", "lease", "read", "release", "renewal", "scan"}
	for _, request := range append(measured, "save", "wish", "withdraw the wish", "") {
		telemetry.told(failedWrite(request))
	}
	var read metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &read))
	require.Len(t, read.ScopeMetrics, 1)
	require.Len(t, read.ScopeMetrics[0].Metrics, 1)
	data := read.ScopeMetrics[0].Metrics[0].Data.(metricdata.Histogram[float64])
	var got []string
	for _, point := range data.DataPoints {
		name, _ := point.Attributes.Value(requestKey)
		got = append(got, name.AsString())
	}
	assert.ElementsMatch(t, measured, got)
}
