// Handover shows a small fleet that shares work by leases, and how an item changes hands.
//
//	go run ./examples/handover [-items 3] [-workers 5] [-patience 10s]
//
// It starts DynamoDB Local, or uses the endpoint in $DYNAMODB_ENDPOINT (and the region in
// $AWS_REGION), makes a table of mailboxes and starts more worker processes than there are
// mailboxes. worker.go is such a worker: the first thing to read. Then, on one timeline:
//
//  1. Every mailbox gets a holder, who keeps it; the other workers stand by.
//  2. A holder is killed. When its lease has ended, a standby takes over.
//  3. A holder is told to stop. It releases its mailbox, and a standby takes over at once.
//  4. A holder is paused for longer than its lease, and continued when a standby has taken over. It
//     knows at once that its lease is gone, and what it writes with its old token is refused.
//
// After some 15 seconds it ends with a summary. The exit status is 1 when a mailbox did not
// change hands in time, or when something else was not as it must be. No process is left
// behind, whatever way this one ends; and no table, unless it is killed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
	"github.com/intercom/lease/internal/workers"
)

// hashKey is the hash key of both tables: the leases, and the cursors that the workers save.
const hashKey = "mailbox"

func cursorTable(table string) string { return table + "-cursors" }

func main() {
	if len(os.Args) == 5 && os.Args[1] == "worker" {
		runWorker(os.Args[2], os.Args[3], os.Args[4])
		return
	}
	flags := flag.NewFlagSet("handover", flag.ExitOnError)
	items := flags.Int("items", 3, "how many `mailboxes` to share")
	count := flags.Int("workers", 5, "how many `processes` to start; those over -items stand by")
	patience := flags.Duration("patience", 3*leaseDuration+waitPeriod,
		"how long anything may take that must happen; long, as the machine may be busy")
	flags.Parse(os.Args[1:])
	if flags.NArg() > 0 || *items < 1 || *count < *items {
		fmt.Fprintln(os.Stderr, "handover: want at least one item, no fewer workers than items, "+
			"and no other arguments")
		flags.Usage()
		os.Exit(2)
	}
	signals := []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	ctx, cancel := context.WithTimeoutCause(ctx, 18**patience, errors.New("took too long"))
	err := run(ctx, *patience, *items, *count)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "handover: FAILED:", err)
		os.Exit(1)
	}
}

// run sets the stage, plays the scenes and prints the summary.
func run(ctx context.Context, patience time.Duration, items, count int) (err error) {
	f := newFleet(ctx, patience)
	server, err := ddblocal.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	f.say("DynamoDB is at %s", server.Endpoint)

	ddb := server.Client()
	f.endpoint = server.Endpoint
	f.table = fmt.Sprintf("handover-%d-%d", os.Getpid(), time.Now().UnixNano())
	defer workers.DropTables("handover", ddb, f.table, cursorTable(f.table))
	if err := f.makeTables(ddb, items); err != nil {
		return err
	}
	f.say("made the table %s with %d mailboxes", f.table, items)

	defer f.Stop()
	for range count {
		if err := f.startWorker(); err != nil {
			return err
		}
	}
	err = f.play()
	return errors.Join(err, f.summarize())
}

// makeTables makes the table of the leases, with the mailboxes, and that of the cursors.
func (f *fleet) makeTables(ddb *dynamodb.DynamoDB, items int) error {
	f.store = lease.NewLockStore(ddb, f.table, hashKey)
	if err := f.store.EnsureTableWithContext(f.Ctx); err != nil {
		return err
	}
	cursors := lease.NewLockStore(ddb, cursorTable(f.table), hashKey) // only to make the table
	if err := cursors.EnsureTableWithContext(f.Ctx); err != nil {
		return err
	}
	zero := map[string]*dynamodb.AttributeValue{
		"FencingToken": {N: aws.String("0")}, // 1, 2, 3 are easier to follow
	}
	for i := range items {
		id := fmt.Sprintf("mailbox-%d", i+1)
		if err := f.store.AddLeaseIDWithContext(f.Ctx, id, zero); err != nil {
			return err
		}
		f.items = append(f.items, id)
	}
	return nil
}
