package leaseotel_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
	"github.com/intercom/lease/leaseotel"
	"github.com/intercom/lease/leasetest"
)

func TestMain(m *testing.M) {
	lease.SetLogger(nil)
	ddblocal.Main(m)
}

// for30s is a LeaseRequest.
type for30s string

func (w for30s) LesseeID() string           { return string(w) }
func (for30s) LeaseDuration() time.Duration { return 30 * time.Second }

// observation is what a test sees of a Telemetry.
type observation struct {
	t         *testing.T
	spans     *tracetest.InMemoryExporter // those that have ended
	tracers   *sdktrace.TracerProvider
	reader    *sdkmetric.ManualReader
	telemetry *leaseotel.Telemetry
}

func newObservation(t *testing.T, options ...leaseotel.Option) *observation {
	o := &observation{
		t:      t,
		spans:  tracetest.NewInMemoryExporter(),
		reader: sdkmetric.NewManualReader(),
	}
	o.tracers = sdktrace.NewTracerProvider(sdktrace.WithSyncer(o.spans))
	options = append(options,
		leaseotel.WithTracerProvider(o.tracers),
		leaseotel.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(o.reader))))
	o.telemetry = leaseotel.New(options...)
	return o
}

// tracer is the user's.
func (o *observation) tracer() trace.Tracer { return o.tracers.Tracer("user") }

// tenures are the spans of tenures that have ended, in the order in which they have.
func (o *observation) tenures() (tenures []tracetest.SpanStub) {
	for _, span := range o.spans.GetSpans() {
		if span.Name == "lease tenure" {
			tenures = append(tenures, span)
		}
	}
	return tenures
}

// tenure is the only one.
func (o *observation) tenure() tracetest.SpanStub {
	o.t.Helper()
	tenures := o.tenures()
	require.Len(o.t, tenures, 1)
	return tenures[0]
}

// attributesOf are those of a span, by their keys.
func attributesOf(all []attribute.KeyValue) map[string]any {
	got := make(map[string]any)
	for _, kv := range all {
		got[string(kv.Key)] = kv.Value.AsInterface()
	}
	return got
}

// eventsOf are the names of a span's events.
func eventsOf(span tracetest.SpanStub) (names []string) {
	for _, e := range span.Events {
		names = append(names, e.Name)
	}
	return names
}

// metrics are all that are read now, by their names.
func (o *observation) metrics() map[string]metricdata.Metrics {
	o.t.Helper()
	var read metricdata.ResourceMetrics
	require.NoError(o.t, o.reader.Collect(context.Background(), &read))
	got := make(map[string]metricdata.Metrics)
	for _, scope := range read.ScopeMetrics {
		for _, m := range scope.Metrics {
			got[m.Name] = m
		}
	}
	return got
}

// imagined is a Locker on a store in memory, which is observed. It is for a bubble.
type imagined struct {
	*observation
	store  *leasetest.Store
	locker *lease.Locker
	ctx    context.Context
}

// imagine runs a test in a bubble, on a store with one item, "alice".
func imagine(t *testing.T, test func(i *imagined)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		i := &imagined{
			observation: newObservation(t),
			store:       newStore(),
			ctx:         t.Context(),
		}
		i.locker = lease.NewLocker(i.store)
		i.telemetry.Observe(i.locker)
		test(i)
	})
}

func newStore() *leasetest.Store { return leasetest.NewStore("alice") }

// hold holds an item for that time.
func (i *imagined) hold(d time.Duration) {
	i.t.Helper()
	require.NoError(i.t, i.locker.Hold(i.ctx, for30s("w1"), workFor(d)))
	synctest.Wait()
}

// workFor returns a work that lasts so long.
func workFor(d time.Duration) func(context.Context, *lease.Lease) error {
	return func(context.Context, *lease.Lease) error {
		time.Sleep(d)
		return nil
	}
}

// untilDone is a work.
func untilDone(ctx context.Context, _ *lease.Lease) error {
	<-ctx.Done()
	return ctx.Err()
}
