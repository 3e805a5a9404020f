package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
	"github.com/intercom/lease/internal/workers"
)

const (
	leaseDuration = 6 * time.Second // short, so that there is something to see soon; 30 s is a good value in production
	step          = 300 * time.Millisecond
)

// worker is a lease.LeaseRequest. Its name must differ from that of every other worker.
type worker string

func (w worker) LesseeID() string             { return string(w) }
func (w worker) LeaseDuration() time.Duration { return leaseDuration }

// runWorker is the whole of a worker process: it delivers its share of the mailboxes until SIGTERM. It prints its
// reports to stdout.
func runWorker(endpoint, table, name string) {
	go workers.ExitWithParent()
	lease.SetLogger(workers.Errors{})
	terminated, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()

	ddb := ddblocal.NewClient(endpoint)
	locker := lease.NewLocker(lease.NewLockStore(ddb, table, hashKey))
	err := locker.HoldShare(terminated, worker(name), 0, func(ctx context.Context, l *lease.Lease) error {
		return deliver(ctx, l, ddb, guardTable(table))
	})
	if err != context.Cause(terminated) {
		workers.Report(workers.Event{Kind: "log", Text: fmt.Sprintf("HoldShare returned: %v", err)})
		os.Exit(1)
	}
}

// deliver works on a mailbox until ctx is done. Each piece of the work is a write that the guard must take.
func deliver(ctx context.Context, l *lease.Lease, ddb *dynamodb.DynamoDB, guard string) error {
	e := workers.Event{Item: l.LeaseID, Token: l.FencingToken()}
	workers.Report(as(e, "began", time.Now()))
	for ctx.Err() == nil {
		asked := time.Now() // before Valid: what the answer is good for, if there is a pause meanwhile
		if !l.Valid() {
			break
		}
		switch err := write(l.Context(), ddb, guard, l); {
		case err == nil:
			workers.Report(as(e, "wrote", asked))
		case err == errRefused:
			workers.Report(as(e, "refused", asked))
		case l.Valid():
			workers.Report(workers.Event{Kind: "log", Text: "a write failed: " + err.Error()})
		}
		select {
		case <-time.After(step):
		case <-ctx.Done():
		}
	}
	e.Text = string(sigterm)
	switch cause := context.Cause(ctx); {
	case !l.Valid():
		e.Text = string(loss)
	case cause == lease.LeaseWantedError:
		e.Text = string(handover)
	}
	workers.Report(as(e, "ended", time.Now()))
	return ctx.Err()
}

var errRefused = errors.New("refused by the guard")

// write writes to the mailbox's row of the guard. The row takes no write of an older tenure than its last one, nor of
// another process with the same token.
func write(ctx context.Context, ddb *dynamodb.DynamoDB, guard string, l *lease.Lease) error {
	_, err := ddb.UpdateItemWithContext(ctx, &dynamodb.UpdateItemInput{
		TableName:        &guard,
		Key:              map[string]*dynamodb.AttributeValue{hashKey: {S: &l.LeaseID}},
		UpdateExpression: aws.String("SET #token = :token, #by = :me"),
		ConditionExpression: aws.String("attribute_not_exists(#token) OR #token < :token OR " +
			"(#token = :token AND #by = :me)"),
		ExpressionAttributeNames: map[string]*string{"#token": aws.String("Token"), "#by": aws.String("By")},
		ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{
			":token": {N: aws.String(strconv.FormatInt(l.FencingToken(), 10))},
			":me":    {S: aws.String(l.Request.LesseeID())},
		},
	})
	var refused *dynamodb.ConditionalCheckFailedException
	if errors.As(err, &refused) {
		return errRefused
	}
	return err
}

func as(e workers.Event, kind string, at time.Time) workers.Event {
	e.Kind, e.At = kind, at
	return e
}
