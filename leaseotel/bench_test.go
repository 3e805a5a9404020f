package leaseotel

import (
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/intercom/lease"
)

func newMeasuredToo(options ...sdktrace.TracerProviderOption) *Telemetry {
	return New(
		WithTracerProvider(sdktrace.NewTracerProvider(options...)),
		WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))),
	)
}

func event(kind lease.EventKind, item string) lease.Event {
	return lease.Event{Kind: kind, LeaseID: item, LesseeID: "w1", FencingToken: 1, At: time.Now()}
}

// failedWrite is what a Locker tells of a request that has failed.
func failedWrite(request string) lease.Event {
	e := event(lease.EventWriteFailed, "alice")
	e.Request = request
	e.Err = errors.New("no")
	return e
}

// What a renewal costs the observers of a Locker, whether its tenure is sampled or not.
func BenchmarkRenewal(b *testing.B) {
	for name, sampler := range map[string]sdktrace.Sampler{
		"sampled": sdktrace.AlwaysSample(), "not sampled": sdktrace.NeverSample(),
	} {
		b.Run(name, func(b *testing.B) {
			telemetry := newMeasuredToo(sdktrace.WithSampler(sampler))
			telemetry.told(event(lease.EventObtained, "alice"))
			renewed := event(lease.EventRenewed, "alice")
			renewed.Request = "renewal"
			renewed.Took = time.Millisecond
			b.ReportAllocs()
			for b.Loop() {
				telemetry.told(renewed)
			}
		})
	}
}

// What an open tenure takes.
func BenchmarkOpenTenure(b *testing.B) {
	const tenures = 10_000
	for b.Loop() {
		telemetry := newMeasuredToo()
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for n := range tenures {
			telemetry.tenures.told(event(lease.EventObtained, fmt.Sprint(n)))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/tenures, "B/tenure")
		runtime.KeepAlive(telemetry)
	}
}
