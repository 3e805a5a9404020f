package leaseotel

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/semconv/v1.43.0/dbconv"

	"github.com/intercom/lease"
)

// measured are the histograms of what Lockers tell. None has a series for each item.
type measured struct {
	attributes []attribute.KeyValue
	tenures    metric.Float64Histogram
	requests   metric.Float64Histogram
}

func newMeasured(meter metric.Meter, attributes []attribute.KeyValue) *measured {
	const minute, hour, day = 60, 60 * 60, 24 * 60 * 60
	tenures, err := meter.Float64Histogram("lease.tenure.duration",
		metric.WithUnit("s"),
		metric.WithDescription("How long tenures have lasted, by how they have ended."),
		metric.WithExplicitBucketBoundaries(
			1, 10, minute, 5*minute, 15*minute, hour, 4*hour, 12*hour, day, 7*day, 30*day,
		))
	handle(err)
	requests, err := meter.Float64Histogram("lease.request.duration",
		metric.WithUnit("s"),
		metric.WithDescription("How long a Locker has waited for its store, retries included."),
		metric.WithExplicitBucketBoundaries(requestBuckets...))
	handle(err)
	return &measured{attributes: attributes, tenures: tenures, requests: requests}
}

// requestBuckets are those of the conventions for database clients.
var requestBuckets = []float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10}

func newOperationDuration(meter metric.Meter) dbconv.ClientOperationDuration {
	duration, err := dbconv.NewClientOperationDuration(meter,
		metric.WithExplicitBucketBoundaries(requestBuckets...))
	handle(err)
	return duration
}

// handle tells of an instrument that the Meter refuses.
func handle(err error) {
	if err != nil {
		otel.Handle(err)
	}
}

// told records how long a request took. Of wishes and saves only failures are told: they are
// left out.
func (m *measured) told(e lease.Event) {
	switch e.Request {
	case "lease", "renewal", "release", "handover", "scan", "read":
	default:
		return
	}
	all := append(m.own(), requestKey.String(e.Request))
	if isFailure(e.Kind) {
		all = append(all, errorType(e.Err))
	}
	m.requests.Record(context.Background(), e.Took.Seconds(), metric.WithAttributes(all...))
}

// own returns a copy of the attributes that all have.
func (m *measured) own() []attribute.KeyValue {
	return append([]attribute.KeyValue(nil), m.attributes...)
}

func isFailure(kind lease.EventKind) bool {
	switch kind {
	case lease.EventRenewalFailed, lease.EventLookFailed, lease.EventWriteFailed:
		return true
	}
	return false
}

// ended records how long a tenure has lasted, with its span as the example.
func (m *measured) ended(of *tenure) {
	lasted := of.ending.at.Sub(of.begun)
	ctx := contextOf(context.Background(), of)
	all := append(m.own(), endKey.String(of.ending.how))
	m.tenures.Record(ctx, lasted.Seconds(), metric.WithAttributes(all...))
}
