// Share is one worker of a fleet that shares many mailboxes: it delivers its fair share of them, until it is told to stop.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
)

var (
	table    = flag.String("table", "many-mailboxes", "the DynamoDB table; it is made if it isn't there")
	most     = flag.Int("most", 0, "how many mailboxes to deliver at once, at most; 0: no limit")
	duration = flag.Duration("lease", 30*time.Second, "how long a lease may outlive its holder")
)

// worker says who wants leases, and for how long. It is a lease.LeaseRequest.
type worker struct{ name string }

func (w worker) LesseeID() string             { return w.name }
func (w worker) LeaseDuration() time.Duration { return *duration }

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	store := lease.NewLockStore(newClient(), *table, "mailbox")
	if err := register(ctx, store); err != nil {
		log.Fatal(err)
	}
	me := worker{lease.UniqueLesseeID()} // no other live worker may have this name

	err := lease.NewLocker(store).HoldShare(ctx, me, *most, deliver)
	if ctx.Err() == nil {
		log.Fatal(err) // a bad argument, table or permission
	}
	log.Print("stopped: ", err) // why ctx is done; and whether mailboxes stay leased, as they could not be released
}

// newClient returns a client that keeps its connections open. SDK v1 by itself keeps two, and opens one anew for most of
// the requests that a worker with many leases sends side by side.
func newClient() *dynamodb.DynamoDB {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = transport.MaxIdleConns
	config := aws.NewConfig().WithHTTPClient(&http.Client{Transport: transport})
	if endpoint := os.Getenv("DYNAMODB_ENDPOINT"); endpoint != "" {
		config.WithEndpoint(endpoint) // DynamoDB Local
	}
	return dynamodb.New(session.Must(session.NewSession(config)))
}

// register makes the table and the lease items. A deployment would do it once, not each worker.
func register(ctx context.Context, store *lease.LockStore) error {
	if err := store.EnsureTableWithContext(ctx); err != nil {
		return err
	}
	for i := range 20 {
		err := store.AddLeaseIDWithContext(ctx, fmt.Sprintf("mailbox-%02d", i), nil)
		if err != nil && !errors.Is(err, lease.LeaseIDExistsError) {
			return err
		}
	}
	return nil
}

// deliver delivers one mailbox, until ctx is done. HoldShare calls it for each that this worker holds, side by side.
func deliver(ctx context.Context, l *lease.Lease) error {
	log.Printf("delivering %s, with the token %d", l.LeaseID, l.FencingToken())
	mails := time.NewTicker(time.Second)
	defer mails.Stop()
	for sent := 0; ; {
		select {
		case <-mails.C:
			sent++ // here it would be sent
		case <-ctx.Done():
			// Wanted elsewhere (lease.LeaseWantedError), lost, or this worker stops: return soon, in any case.
			log.Printf("left %s after %d mails: %v", l.LeaseID, sent, context.Cause(ctx))
			return ctx.Err()
		}
	}
}
