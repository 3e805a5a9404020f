package leaseprom

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/intercom/lease"
)

// metricNames are the metrics of the fields of LockerStats: all figures.
var metricNames = map[string]string{
	"Held":           "lease_held",
	"Waiting":        "lease_waiting",
	"InHandover":     "lease_in_handover",
	"Working":        "lease_working",
	"Stuck":          "lease_stuck",
	"Obtained":       "lease_obtained_total",
	"Renewed":        "lease_renewed_total",
	"Released":       "lease_released_total",
	"HandedOver":     "lease_handed_over_total",
	"Lost":           "lease_lost_total",
	"Expired":        "lease_expired_total",
	"Stucks":         "lease_stucks_total",
	"RacesLost":      "lease_races_lost_total",
	"Namesakes":      "lease_namesakes_total",
	"Looks":          "lease_looks_total",
	"FailedRenewals": "lease_failed_renewals_total",
	"FailedLooks":    "lease_failed_looks_total",
	"FailedWrites":   "lease_failed_writes_total",
	"LastLook":       "lease_last_look_timestamp_seconds",
	"LastRenewal":    "lease_last_renewal_timestamp_seconds",
	"LeastRemaining": "lease_least_remaining_seconds",
}

// TestFiguresShowEachFieldOfStats: each has a value of its own, and the metric of its name has
// that, as a counter if it only grows.
func TestFiguresShowEachFieldOfStats(t *testing.T) {
	stats := &lease.LockerStats{}
	fields := reflect.ValueOf(stats).Elem()
	want := make(map[string]float64)
	for i := range fields.NumField() {
		value := i + 1
		switch field := fields.Field(i); field.Interface().(type) {
		case int, int64:
			field.SetInt(int64(value))
		case time.Duration:
			field.SetInt(int64(time.Duration(value) * time.Second))
		case time.Time:
			field.Set(reflect.ValueOf(time.Unix(int64(value), 0)))
		}
		want[metricNames[fields.Type().Field(i).Name]] = float64(value)
	}
	got := make(map[string]float64)
	for _, f := range figures {
		name := nameOf(f.desc)
		value, isKnown := f.value(stats)
		if !isKnown {
			t.Errorf("%s isn't known", name)
		}
		got[name] = value
		isCounter := f.kind == prometheus.CounterValue
		if isTotal := strings.HasSuffix(name, "_total"); isCounter != isTotal {
			t.Errorf("%s: a counter: %t", name, isCounter)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("figures show\n%v; want\n%v", got, want)
	}
}

// nameOf is the name of a metric that has no labels.
func nameOf(desc *prometheus.Desc) string {
	_, name, _ := strings.Cut(desc.String(), `fqName: "`)
	name, _, _ = strings.Cut(name, `"`)
	return name
}

// request is a lease.LeaseRequest whose duration may be senseless.
type request time.Duration

func (request) LesseeID() string               { return "w1" }
func (r request) LeaseDuration() time.Duration { return time.Duration(r) }

// TestShortestOfLeasesWhoseDurationHasChanged: a ratio is always one.
func TestShortestOfLeasesWhoseDurationHasChanged(t *testing.T) {
	for name, c := range map[string]struct {
		duration time.Duration
		want     []float64
	}{
		"none any more": {0, []float64{0}},
		"a negative":    {-time.Hour, []float64{0}},
		"less":          {time.Hour, []float64{1}},
	} {
		l := &lease.Lease{
			LeaseID: "alice", Request: request(c.duration), Until: time.Now().Add(5 * time.Hour),
		}
		to := make(chan prometheus.Metric, 2)
		collectShortest(to, []*lease.Lease{l})
		close(to)
		var ratios []float64
		for metric := range to {
			var m dto.Metric
			if err := metric.Write(&m); err != nil {
				t.Fatal(err)
			}
			if metric.Desc() == shortestRatio {
				ratios = append(ratios, m.GetGauge().GetValue())
			}
		}
		if !slices.Equal(ratios, c.want) {
			t.Errorf("%s: the ratio is %v; want %v", name, ratios, c.want)
		}
	}
}
