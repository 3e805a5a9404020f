package leaseprom_test

import (
	"context"
	"errors"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leaseprom"
)

// Mailer is a lease.LeaseRequest.
type Mailer struct{ Name string }

func (m Mailer) LesseeID() string           { return m.Name }
func (Mailer) LeaseDuration() time.Duration { return 30 * time.Second }

// A worker that shares mailboxes serves its figures to Prometheus, and answers probes.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ddb := dynamodb.New(session.Must(session.NewSession()))
	locker := lease.NewLocker(lease.NewLockStore(ddb, "mailboxes", "mailbox"))

	prometheus.MustRegister(leaseprom.NewCollector(locker))
	probes := leaseprom.Handler(locker)
	http.Handle("/metrics", promhttp.Handler())
	http.Handle("/healthz", probes)
	http.Handle("/readyz", probes)
	go func() { log.Print(http.ListenAndServe(":9090", nil)) }()

	me := Mailer{Name: lease.UniqueLesseeID()}
	err := locker.HoldShare(ctx, me, 0, func(ctx context.Context, l *lease.Lease) error {
		<-ctx.Done() // here it would deliver l.LeaseID
		return ctx.Err()
	})
	if !errors.Is(err, context.Canceled) {
		log.Print(err)
	}
}

// A process with two Lockers tells their figures apart by a label.
func ExampleNewCollector_severalLockers() {
	ddb := dynamodb.New(session.Must(session.NewSession()))
	lockers := map[string]*lease.Locker{
		"mailboxes": lease.NewLocker(lease.NewLockStore(ddb, "mailboxes", "mailbox")),
		"feeds":     lease.NewLocker(lease.NewLockStore(ddb, "feeds", "feed")),
	}
	for name, locker := range lockers {
		label := prometheus.Labels{"locker": name}
		prometheus.WrapRegistererWith(label, prometheus.DefaultRegisterer).
			MustRegister(leaseprom.NewCollector(locker))
	}
	http.Handle("/", leaseprom.Handler(lockers["mailboxes"], lockers["feeds"]))
}
