package leaseotel

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/intercom/lease"
)

// scope names this package as the source of spans and metrics.
const scope = "github.com/intercom/lease/leaseotel"

// Telemetry makes spans and metrics of what Lockers do. It is for the process's life, and for
// the Lockers of one table: make one for each table, with [WithAttributes] that tell their
// metrics apart. All its methods are safe for concurrent use.
type Telemetry struct {
	tenures  *tenures
	requests *requests
	measured *measured

	mu      sync.Mutex
	lockers []*lease.Locker // that are observed
}

// New returns a Telemetry that knows no Locker yet. It sends nothing. Instruments that the
// Meter refuses, and options that are nil, are told to [otel.Handle], and left out.
func New(options ...Option) *Telemetry {
	s := settings{}
	for i, option := range options {
		if option == nil {
			otel.Handle(fmt.Errorf("leaseotel: New's option %d is nil", i+1))
			continue
		}
		option(&s)
	}
	tracer := s.tracer()
	meter := s.meter()
	t := &Telemetry{measured: newMeasured(meter, s.attributes)}
	t.tenures = newTenures(tracer, s.attributes, t.measured)
	t.requests = &requests{
		tracer:       tracer,
		attributes:   s.attributes,
		duration:     newOperationDuration(meter),
		tenures:      t.tenures,
		asksCapacity: s.asksCapacity,
	}
	showFigures(meter, s.attributes, t.observed)
	return t
}

// Option is one of [New].
type Option func(*settings)

type settings struct {
	tracers      trace.TracerProvider
	meters       metric.MeterProvider
	attributes   []attribute.KeyValue
	asksCapacity bool
}

// WithTracerProvider says who makes the spans; nil, and without it: [otel.GetTracerProvider].
func WithTracerProvider(provider trace.TracerProvider) Option {
	return func(s *settings) { s.tracers = provider }
}

// WithMeterProvider says who makes the metrics; nil, and without it: [otel.GetMeterProvider].
func WithMeterProvider(provider metric.MeterProvider) Option {
	return func(s *settings) { s.meters = provider }
}

// WithAttributes adds attributes to all spans and metrics: the table, say. Each set of values
// is a series of each metric.
func WithAttributes(attributes ...attribute.KeyValue) Option {
	return func(s *settings) { s.attributes = append(s.attributes, attributes...) }
}

// WithConsumedCapacity has the requests of a [Telemetry.Client] ask DynamoDB for the capacity
// that they consume, where they don't ask themselves: it costs nothing, and spans then show it.
func WithConsumedCapacity() Option {
	return func(s *settings) { s.asksCapacity = true }
}

func (s settings) tracer() trace.Tracer {
	provider := s.tracers
	if provider == nil {
		provider = otel.GetTracerProvider()
	}
	return provider.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL))
}

func (s settings) meter() metric.Meter {
	provider := s.meters
	if provider == nil {
		provider = otel.GetMeterProvider()
	}
	return provider.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL))
}

// Observe makes spans and metrics of what this Locker does from now on, see
// [lease.Locker.Observe]. Call it before the Locker obtains anything: a tenure that has begun
// has no span, unless [Telemetry.Context] begins one. A Locker that is observed already stays
// so; of nil that is logged.
func (t *Telemetry) Observe(locker *lease.Locker) {
	if locker == nil || t.isNew(locker) {
		locker.Observe(t.told)
	}
}

// isNew tells that a Locker wasn't observed before. It is from now on.
func (t *Telemetry) isNew(locker *lease.Locker) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if slices.Contains(t.lockers, locker) {
		return false
	}
	t.lockers = append(t.lockers, locker)
	return true
}

// observed are the Lockers that are observed.
func (t *Telemetry) observed() []*lease.Locker {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.lockers)
}

// told is the observer of all Lockers.
func (t *Telemetry) told(e lease.Event) {
	t.measured.told(e)
	isCrowded := t.tenures.told(e)
	if isCrowded {
		t.tenures.sweep(t.held())
	}
}

// held are the items of which the Lockers hold leases now.
func (t *Telemetry) held() map[string]bool {
	held := make(map[string]bool)
	for _, locker := range t.observed() {
		for _, l := range locker.Leases() {
			held[l.LeaseID] = true
		}
	}
	return held
}

// Context returns ctx with the span of the lease's tenure, so that spans which are started with
// it are its children. Call it first in the work:
//
//	ctx = telemetry.Context(ctx, l)
//
// A span in ctx, of who called Hold, say, becomes a link of the tenure's. A tenure without a
// span gets one now: it was obtained before its Locker was observed, or a moment ago. One that
// is over gets none, nor does anything after Shutdown, nor a nil lease: ctx is returned as it is.
func (t *Telemetry) Context(ctx context.Context, l *lease.Lease) context.Context {
	if ctx == nil {
		ctx = context.Background()
	}
	if l == nil {
		return ctx
	}
	of := t.ofLease(l)
	if of == nil {
		return ctx
	}
	t.tenures.link(of, trace.SpanContextFromContext(ctx))
	return contextOf(ctx, of)
}

// ofLease returns the tenure of a lease; nil if it has no span, and is to get none.
func (t *Telemetry) ofLease(l *lease.Lease) *tenure {
	if l.Request == nil {
		return nil
	}
	who := holding{leaseID: l.LeaseID, lessee: l.Request.LesseeID()}
	during := l.Context()
	of, isNew := t.tenures.ofLease(who, l.FencingToken(), during.Err() != nil)
	if isNew {
		// Whether or not a Locker tells of its end: the span is to end.
		context.AfterFunc(during, func() { t.isOver(of, context.Cause(during)) })
	}
	return of
}

// isOver notes that a lease's context is done. That of a bare one is although it is renewed.
func (t *Telemetry) isOver(of *tenure, cause error) {
	if !t.held()[of.leaseID] {
		t.tenures.awaitEnd(of, endingOf(cause, time.Now()))
	}
}

// Shutdown ends the spans of all tenures, and makes no more. Call it when the work is done, and
// before the providers are shut down. It waits until observers were told of all tenures that
// are over, or until ctx is done: then the error wraps that of ctx. Those still held it ends as
// they are. The metrics go on: their last figures are to be read yet.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	for {
		behind, changed := t.tenures.behind(t.held())
		if behind == 0 {
			t.tenures.close(time.Now())
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.tenures.close(time.Now())
			return fmt.Errorf("leaseotel: the ends of %d tenures were not told: %w", behind, ctx.Err())
		}
	}
}
