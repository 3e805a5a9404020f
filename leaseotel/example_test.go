package leaseotel_test

import (
	"context"
	"log"
	"os/signal"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leaseotel"
)

// deliver is a work whose own spans are children of its tenure's.
func deliver(ctx context.Context, l *lease.Lease) error {
	_, span := otel.Tracer("mailer").Start(ctx, "deliver")
	defer span.End()
	span.SetAttributes(attribute.String("mailbox", l.LeaseID))
	<-ctx.Done()
	return ctx.Err()
}

// A worker of a share, with spans, metrics, and the trace's ID in its log.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	traces := sdktrace.NewTracerProvider() // with an exporter, in a program
	metrics := sdkmetric.NewMeterProvider()

	telemetry := leaseotel.New(
		leaseotel.WithTracerProvider(traces),
		leaseotel.WithMeterProvider(metrics),
		leaseotel.WithConsumedCapacity(),
	)
	ddb := telemetry.Client(dynamodb.New(session.Must(session.NewSession())))
	locker := lease.NewLocker(lease.NewLockStore(ddb, "mailboxes", "mailbox"))
	telemetry.Observe(locker)
	lease.SetLogger(telemetry.Logger(nil))

	work := func(ctx context.Context, l *lease.Lease) error {
		return deliver(telemetry.Context(ctx, l), l)
	}
	err := locker.HoldShare(ctx, for30s(lease.UniqueLesseeID()), 0, work)
	log.Print("stopped: ", err)

	// In this order: what telemetry ends is exported, and the last figures are read.
	ending, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := telemetry.Shutdown(ending); err != nil {
		log.Print(err)
	}
	if err := traces.Shutdown(ending); err != nil {
		log.Print(err)
	}
	if err := metrics.Shutdown(ending); err != nil {
		log.Print(err)
	}
}
