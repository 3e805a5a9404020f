// Mailer is one worker of a fleet that shares mailboxes: it delivers one, until it is told to stop.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
)

var table = flag.String("table", "mailboxes", "the DynamoDB table; it is made if it isn't there")

// worker says who wants a lease, and how long a lease may outlive its holder. It is a lease.LeaseRequest.
type worker struct{ name string }

func (w worker) LesseeID() string             { return w.name }
func (w worker) LeaseDuration() time.Duration { return 30 * time.Second }

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	store := lease.NewLockStore(newClient(), *table, "mailbox")
	if err := register(ctx, store, "alice", "bob", "carol"); err != nil {
		log.Fatal(err)
	}
	me := worker{lease.UniqueLesseeID()} // no other live worker may have this name
	locker := lease.NewLocker(store)

	for ctx.Err() == nil {
		err := locker.Hold(ctx, me, func(ctx context.Context, l *lease.Lease) error {
			return deliver(ctx, locker, l)
		})
		if ctx.Err() == nil {
			log.Print(err) // the lease was lost: errors.Is(err, lease.LeaseLostError); or deliver failed
		}
		pause(ctx, time.Second) // what failed at once may do so again
	}
	log.Print("stopped")
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
func register(ctx context.Context, store *lease.LockStore, mailboxes ...string) error {
	if err := store.EnsureTableWithContext(ctx); err != nil {
		return err
	}
	for _, mailbox := range mailboxes {
		err := store.AddLeaseIDWithContext(ctx, mailbox, nil)
		if err != nil && !errors.Is(err, lease.LeaseIDExistsError) {
			return err
		}
	}
	return nil
}

// deliver delivers one mail a second, from where the last holder stopped. It returns when ctx is done: the
// worker is to stop, or the lease is over and the mailbox may be someone else's.
func deliver(ctx context.Context, locker *lease.Locker, l *lease.Lease) error {
	mail := 0
	if saved := l.AttributeValues["LastMail"]; saved != nil {
		mail, _ = strconv.Atoi(aws.StringValue(saved.N))
	}
	log.Printf("delivering %s after mail %d, with the token %d", l.LeaseID, mail, l.FencingToken())
	for pause(ctx, time.Second) {
		mail++ // here it would be sent
		// The row refuses this once it has changed hands, however late this process learns of it: lease.LeaseLostError.
		saved := &dynamodb.AttributeValue{N: aws.String(strconv.Itoa(mail))}
		// It is saved also when the worker is to stop just now: the lease is kept until this function returns.
		err := locker.SaveAttributes(context.WithoutCancel(ctx), l, map[string]*dynamodb.AttributeValue{"LastMail": saved})
		if err != nil {
			return err
		}
		log.Printf("delivered %s's mail %d", l.LeaseID, mail)
	}
	return ctx.Err()
}

// pause waits, and reports false as soon as ctx is done.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
