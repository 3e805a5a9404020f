// Poller is one of a fleet of workers that poll 200 mailboxes by load: five weigh 20 times as much as others, and one may hang.
package main

import (
	"context"
	"errors"
	"expvar"
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
	table    = flag.String("table", "polled-mailboxes", "the DynamoDB table; it and TABLE-mails are made where they lack")
	capacity = flag.Float64("capacity", 1, "how much load this worker carries, next to others")
	duration = flag.Duration("lease", 30*time.Second, "how long a lease may outlive its holder")
	figures  = flag.String("figures", "localhost:0", "where to show figures, under /debug/vars")
)

type worker struct{ name string }

func (w worker) LesseeID() string             { return w.name }
func (w worker) LeaseDuration() time.Duration { return *duration }

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 100 // a connection for each of many renewals
	ddb := dynamodb.New(session.Must(session.NewSession(aws.NewConfig().WithEndpoint(os.Getenv("DYNAMODB_ENDPOINT")))))
	store := lease.NewLockStore(ddb, *table, "mailbox")
	if err := register(ctx, store); err != nil {
		log.Fatal(err)
	}
	locker := lease.NewLocker(store)
	events := expvar.NewMap("lease_events")
	locker.Observe(func(e lease.Event) { events.Add(e.Kind.String(), 1) })
	expvar.Publish("lease", expvar.Func(func() any { return locker.Stats() }))
	go func() { log.Print(http.ListenAndServe(*figures, nil)) }()
	options := lease.ShareOptions{Capacity: *capacity, Patience: 8 * time.Second} // and 10 s for the releases
	work := func(ctx context.Context, l *lease.Lease) error { return poll(ctx, locker, ddb, l) }
	err := locker.HoldShareWith(ctx, worker{lease.UniqueLesseeID()}, options, work)
	if ctx.Err() == nil { // No signal: something is wrong with an argument, or the table.
		log.Fatal("failed: ", err)
	}
	log.Print("stopped: ", err) // It says what hangs on or stays leased, if anything.
}

// register makes the tables and the lease items. A deployment would do it once, not each worker.
func register(ctx context.Context, store *lease.LockStore) error {
	mails := lease.NewLockStore(store.DynamoDB, *table+"-mails", "mailbox")
	err := errors.Join(store.EnsureTableWithContext(ctx), mails.EnsureTableWithContext(ctx))
	for i := 0; i < 200 && err == nil; i++ {
		err = store.AddLeaseIDWithContext(ctx, fmt.Sprintf("mailbox-%03d", i), nil)
		if errors.Is(err, lease.LeaseIDExistsError) {
			err = nil
		}
	}
	return err
}

// poll polls a mailbox until ctx is done: it is wanted elsewhere or lost, or this worker stops.
func poll(ctx context.Context, locker *lease.Locker, ddb *dynamodb.DynamoDB, l *lease.Lease) error {
	seen := 0 // mails, by whoever had it
	if saved := l.AttributeValues["Seen"]; saved != nil {
		fmt.Sscan(*saved.N, &seen)
	}
	for ctx.Err() == nil {
		l.Progress(*duration) // If this isn't called again by then, the poll hangs.
		mails := fetch(l.LeaseID)
		l.SetWeight(float64(mails)) // how much of a worker's load it is, next to the others
		seen += mails
		if err := deliver(context.WithoutCancel(ctx), locker, ddb, l, seen); err != nil {
			return err // What has begun when this worker is told to stop is finished.
		}
		select {
		case <-time.After(*duration / 3):
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// fetch returns how many mails a mailbox has got since the last poll. (It makes them up.)
func fetch(mailbox string) (mails int) {
	if mailbox == os.Getenv("HANGING") { // to see what happens then
		select {} // as on a connection without a deadline
	}
	if mailbox < "mailbox-005" {
		return 20
	}
	return 1
}

// deliver writes to another table, unless a later tenure of the mailbox has (a poll may hang, and go on), and a checkpoint.
func deliver(ctx context.Context, locker *lease.Locker, ddb *dynamodb.DynamoDB, l *lease.Lease, seen int) error {
	upTo := &dynamodb.AttributeValue{N: aws.String(fmt.Sprint(seen))}
	token := &dynamodb.AttributeValue{N: aws.String(fmt.Sprint(l.FencingToken()))}
	_, err := ddb.UpdateItemWithContext(ctx, &dynamodb.UpdateItemInput{
		TableName:                 aws.String(*table + "-mails"),
		Key:                       map[string]*dynamodb.AttributeValue{"mailbox": {S: &l.LeaseID}},
		UpdateExpression:          aws.String("SET Seen = :seen, Tenure = :token"),
		ConditionExpression:       aws.String("attribute_not_exists(Tenure) OR Tenure <= :token"),
		ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{":seen": upTo, ":token": token},
	})
	if err != nil {
		return err
	}
	return locker.SaveAttributes(ctx, l, map[string]*dynamodb.AttributeValue{"Seen": upTo})
}
