package lease_test

import (
	"context"
	"errors"
	"log"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

// Worker is one process of the fleet. It is its own LeaseRequest.
type Worker struct{ ID string }

func (w Worker) LesseeID() string             { return w.ID }
func (w Worker) LeaseDuration() time.Duration { return 30 * time.Second }

// deliver works on a mailbox until ctx is done.
func deliver(ctx context.Context, mailbox string) error { <-ctx.Done(); return ctx.Err() }

// poll looks for a mailbox's mail, once.
func poll(ctx context.Context, mailbox string) error { return ctx.Err() }

// examples/mailer is the whole program.
func ExampleLocker_Hold() {
	ctx := context.Background() // of signal.NotifyContext, in a program
	ddb := dynamodb.New(session.Must(session.NewSession()))
	locker := lease.NewLocker(lease.NewLockStore(ddb, "mailboxes", "mailbox"))

	for ctx.Err() == nil {
		err := locker.Hold(ctx, Worker{ID: lease.UniqueLesseeID()}, func(ctx context.Context, l *lease.Lease) error {
			return deliver(ctx, l.LeaseID) // stops when ctx is done: the lease may be someone else's then
		})
		log.Print(err) // errors.Is(err, lease.LeaseLostError): the lease was lost
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// examples/share is the whole program.
func ExampleLocker_HoldShare() {
	ctx := context.Background() // of signal.NotifyContext, in a program
	ddb := dynamodb.New(session.Must(session.NewSession()))
	locker := lease.NewLocker(lease.NewLockStore(ddb, "mailboxes", "mailbox"))

	err := locker.HoldShare(ctx, Worker{ID: lease.UniqueLesseeID()}, 0, func(ctx context.Context, l *lease.Lease) error {
		return deliver(ctx, l.LeaseID) // stops when ctx is done: the mailbox is wanted elsewhere, say
	})
	log.Print(err) // why ctx is done, or what is wrong with the table
}

// A job of which one worker of many is to run, or none: it waits a minute for whoever runs it now.
func ExampleLocker_HoldItem() {
	ddb := dynamodb.New(session.Must(session.NewSession()))
	locker := lease.NewLocker(lease.NewLockStore(ddb, "jobs", "job"))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := locker.HoldItem(ctx, "billing", Worker{ID: lease.UniqueLesseeID()}, func(_ context.Context, l *lease.Lease) error {
		return deliver(l.Context(), l.LeaseID) // for as long as it takes: the minute was for the wait
	})
	if errors.Is(err, context.DeadlineExceeded) {
		log.Print("somebody else runs it: ", err)
	}
}

// An operator frees the mailboxes of one host, so that any worker may take them.
func ExampleLockStore_WantLease() {
	ctx := context.Background()
	ddb := dynamodb.New(session.Must(session.NewSession()))
	store := lease.NewLockStore(ddb, "mailboxes", "mailbox")
	for after, more := "", true; more; more = after != "" {
		items, next, err := store.ScanLeaseItemsWithContext(ctx, after, 0)
		if err != nil {
			log.Fatal(err)
		}
		for _, item := range items {
			if item.LesseeID != "host-1:4711" {
				continue
			}
			err := store.WantLease(ctx, item, "", time.Now().Add(time.Minute))
			if err != nil { // LeaseNotObtainedError: it has changed hands since
				log.Print(item.LeaseID, ": ", err)
			}
		}
		after = next
	}
}

// A worker that polls mailboxes, and gives up one whose poll hangs.
func ExampleLease_Progress() {
	ddb := dynamodb.New(session.Must(session.NewSession()))
	locker := lease.NewLocker(lease.NewLockStore(ddb, "mailboxes", "mailbox"))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	work := func(ctx context.Context, l *lease.Lease) error {
		for ctx.Err() == nil {
			l.Progress(2 * time.Minute) // If this isn't called again by then, the poll hangs.
			if err := poll(ctx, l.LeaseID); err != nil {
				return err
			}
		}
		return ctx.Err()
	}
	options := lease.ShareOptions{Patience: 15 * time.Second}
	err := locker.HoldShareWith(ctx, Worker{ID: lease.UniqueLesseeID()}, options, work)
	log.Print("stopped: ", err) // LeaseStuckError: some polls hang still, and end with the process
}

func ExampleLocker_Heartbeat() {
	ddb := dynamodb.New(session.Must(session.NewSession()))
	lease.SetupLockStoreGlobal(ddb, "mailboxes", "mailbox") // once, at process start

	locker := lease.NewLocker(lease.GlobalLockStore)
	l := locker.WaitUntilLeaseObtained(Worker{ID: lease.UniqueLesseeID()}, 10*time.Second)
	if l == nil {
		log.Fatal("the request or the table is unusable: the log says why")
	}
	go func() {
		if err := locker.Heartbeat(l, 10*time.Second); err != nil {
			log.Print(err) // the lease is lost, or will end as it isn't renewed any more
		}
	}()
	deliver(l.Context(), l.LeaseID) // must return when that context is done
	if err := locker.ReleaseLease(l); err != nil {
		log.Print(err) // the item stays leased until the lease's end, or was lost before
	}
}

func ExampleLockStore_AddLeaseID() {
	ddb := dynamodb.New(session.Must(session.NewSession()))
	store := lease.NewLockStore(ddb, "mailboxes", "mailbox")
	if err := store.EnsureTable(); err != nil {
		log.Fatal(err)
	}
	err := store.AddLeaseID("alice", map[string]*dynamodb.AttributeValue{
		"Server": {S: aws.String("imap.example.com")}, // in Lease.AttributeValues of whoever obtains it
	})
	if err != nil && !errors.Is(err, lease.LeaseIDExistsError) {
		log.Fatal(err)
	}
}

// saveCursor writes to a row of another table, unless a later tenure of the mailbox has written there.
func saveCursor(ddb *dynamodb.DynamoDB, table string, l *lease.Lease, cursor string) error {
	_, err := ddb.UpdateItem(&dynamodb.UpdateItemInput{
		TableName:                &table,
		Key:                      map[string]*dynamodb.AttributeValue{"mailbox": {S: &l.LeaseID}},
		UpdateExpression:         aws.String("SET LastUID = :cursor, #token = :token"),
		ConditionExpression:      aws.String("attribute_not_exists(#token) OR #token <= :token"),
		ExpressionAttributeNames: map[string]*string{"#token": aws.String("Token")}, // a reserved word
		ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{
			":cursor": {S: &cursor},
			":token":  {N: aws.String(strconv.FormatInt(l.FencingToken(), 10))},
		},
	})
	return err // ConditionalCheckFailedException: a later tenure was there
}

func ExampleLease_FencingToken() {
	ddb := dynamodb.New(session.Must(session.NewSession()))
	locker := lease.NewLocker(lease.NewLockStore(ddb, "mailboxes", "mailbox"))
	l, err := locker.ObtainLease(Worker{ID: lease.UniqueLesseeID()})
	if err != nil {
		log.Fatal(err)
	}
	if err := saveCursor(ddb, "cursors", l, "4711"); err != nil {
		log.Print(err)
	}
}

func TestAResourceRefusesAnOlderToken(t *testing.T) {
	f := newFixtureKey(t, "mailbox", "alice")
	cursors := newFixtureKey(t, "mailbox")
	older, err := f.Lease("alice", for30s("w1"), time.Now())
	require.NoError(t, err)
	require.NoError(t, saveCursor(f.ddb, cursors.table, older, "1"))
	require.NoError(t, saveCursor(f.ddb, cursors.table, older, "2"))
	newer, err := f.Lease("alice", for30s("w2"), time.Now().Add(time.Minute))
	require.NoError(t, err)
	require.NoError(t, saveCursor(f.ddb, cursors.table, newer, "3"))
	err = saveCursor(f.ddb, cursors.table, older, "late")
	assert.IsType(t, (*dynamodb.ConditionalCheckFailedException)(nil), err)
	assert.Equal(t, str("3"), cursors.get("alice")["LastUID"])
}

func TestDeliveryStopsWhenTheLeaseIsStolen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("alice")
		locker := lease.NewLocker(store)
		stopped := make(chan error)
		go func() {
			stopped <- locker.Hold(t.Context(), Worker{ID: "host-1:4711"}, func(ctx context.Context, l *lease.Lease) error {
				return deliver(ctx, l.LeaseID)
			})
		}()

		time.Sleep(time.Hour) // takes no time in here
		store.Steal("alice", "host-2:4711", time.Minute)
		stolen := time.Now()
		if err := <-stopped; !errors.Is(err, lease.LeaseLostError) {
			t.Errorf("Hold = %v; want LeaseLostError", err)
		}
		if took := time.Since(stolen); took > 10*time.Second {
			t.Errorf("delivery stopped after %v; want at most 10s, a heartbeat", took)
		}
	})
}
