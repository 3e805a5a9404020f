package lease_test

import (
	"context"
	"log"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
)

// Worker is one process of the fleet. It is its own LeaseRequest.
type Worker struct{ ID string }

func (w Worker) LesseeID() string             { return w.ID }
func (w Worker) LeaseDuration() time.Duration { return 30 * time.Second }

// deliver works on a mailbox until ctx is done.
func deliver(ctx context.Context, mailbox string) error { <-ctx.Done(); return ctx.Err() }

func ExampleLocker_Hold() {
	ctx := context.Background() // cancel it to shut down
	ddb := dynamodb.New(session.Must(session.NewSession()))
	locker := lease.NewLocker(lease.NewLockStore(ddb, "mailboxes", "mailbox"))

	for ctx.Err() == nil {
		err := locker.Hold(ctx, Worker{ID: "host-1:4711"}, func(ctx context.Context, l *lease.Lease) error {
			return deliver(ctx, l.LeaseID) // stops when ctx is done: the lease may be someone else's then
		})
		log.Print(err) // errors.Is(err, lease.LeaseLostError): the lease was lost
	}
}

func ExampleLocker_Heartbeat() {
	ddb := dynamodb.New(session.Must(session.NewSession()))
	lease.SetupLockStoreGlobal(ddb, "mailboxes", "mailbox") // once, at process start

	locker := lease.NewLocker(lease.GlobalLockStore)
	l := locker.WaitUntilLeaseObtained(Worker{ID: "host-1:4711"}, 10*time.Second)
	go func() {
		if err := locker.Heartbeat(l, 10*time.Second); err != nil {
			log.Print(err) // the lease is lost, or is about to be
		}
	}()
	deliver(l.Context(), l.LeaseID) // the context is done before anyone else can have the mailbox
	locker.ReleaseLease(l)          // the next worker needn't wait for the lease's end
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
	if err != nil {
		log.Print(err) // errors.Is(err, lease.LeaseIDExistsError): it was there already
	}
}

// saveCursor writes to the resource itself, unless a later tenure of the mailbox has written before.
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
	return err // ConditionalCheckFailedException: this tenure is over
}

func ExampleLease_FencingToken() {
	ddb := dynamodb.New(session.Must(session.NewSession()))
	locker := lease.NewLocker(lease.NewLockStore(ddb, "mailboxes", "mailbox"))
	l := locker.WaitUntilLeaseObtained(Worker{ID: "host-1:4711"}, 10*time.Second)
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
