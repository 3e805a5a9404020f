// Metrics is a worker that shares mailboxes, as examples/share does, and shows its figures:
// /metrics for Prometheus, /healthz for people. It is a module of its own, so that the library
// needs no client of Prometheus.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/intercom/lease"
)

// worker is a lease.LeaseRequest.
type worker struct {
	name     string
	duration time.Duration
}

func (w worker) LesseeID() string             { return w.name }
func (w worker) LeaseDuration() time.Duration { return w.duration }

func main() {
	table := flag.String("table", "many-mailboxes", "the DynamoDB table of examples/share")
	duration := flag.Duration("lease", 30*time.Second, "how long a lease may outlive its holder")
	listen := flag.String("listen", "localhost:9090", "where to serve /metrics and /healthz")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	locker := lease.NewLocker(lease.NewLockStore(newClient(), *table, "mailbox"))
	server := &http.Server{Addr: *listen, Handler: figures(locker, *duration)}
	go func() {
		if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			log.Print(err) // The work goes on.
		}
	}()
	me := worker{lease.UniqueLesseeID(), *duration}
	err := locker.HoldShare(ctx, me, 0, func(ctx context.Context, l *lease.Lease) error {
		<-ctx.Done() // here it would deliver l.LeaseID
		return ctx.Err()
	})
	server.Close()
	log.Print("stopped: ", err)
}

// newClient returns a client that keeps its connections open. SDK v1 by itself keeps two, and
// opens one anew for most of the requests that a worker with many leases sends side by side.
func newClient() *dynamodb.DynamoDB {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = transport.MaxIdleConns
	config := aws.NewConfig().WithHTTPClient(&http.Client{Transport: transport})
	if endpoint := os.Getenv("DYNAMODB_ENDPOINT"); endpoint != "" {
		config.WithEndpoint(endpoint) // DynamoDB Local
	}
	return dynamodb.New(session.Must(session.NewSession(config)))
}

// figures serves /metrics and /healthz of a Locker whose worker looks at the table each third
// of the lease's duration. In a fleet of over 100 workers it looks less often: allow for the
// number of workers / 100 times as long.
func figures(locker *lease.Locker, duration time.Duration) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{locker})
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.Handle("/healthz", health{locker, duration})
	return mux
}
