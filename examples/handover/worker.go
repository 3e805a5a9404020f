package main

import (
	"context"
	"errors"
	"fmt"
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

// Short, so that there is something to see soon. In production, 30 s, 10 s and 10 s are good.
const (
	leaseDuration     = 3 * time.Second
	heartbeatDuration = leaseDuration / 3
	waitPeriod        = leaseDuration / 3

	step = 100 * time.Millisecond // how long one piece of the work takes
)

// worker is a lease.LeaseRequest. Its name must differ from that of every other worker; in
// production, the host's name and the process ID make a good one.
type worker string

func (w worker) LesseeID() string             { return string(w) }
func (w worker) LeaseDuration() time.Duration { return leaseDuration }

// runWorker is the whole of a worker process: it waits for a mailbox, delivers it, and starts
// over when it has lost it; on SIGTERM it releases it and returns. It prints its reports to
// stdout.
func runWorker(endpoint, table, name string) {
	go workers.ExitWithParent()
	lease.SetLogger(workers.Errors{})
	terminated, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()

	ddb := ddblocal.NewClient(endpoint)
	cursors := &cursors{ddb, cursorTable(table)}
	lease.SetupLockStoreGlobal(ddb, table, hashKey)
	locker := lease.NewLocker(lease.GlobalLockStore)
	for terminated.Err() == nil {
		l, err := locker.WaitUntilLeaseObtainedWithContext(terminated, worker(name), waitPeriod)
		if err != nil {
			return
		}
		report(l, "obtained", "obtained %s with token %d", l.LeaseID, l.FencingToken())

		heartbeat := make(chan error, 1)
		go func() { heartbeat <- locker.Heartbeat(l, heartbeatDuration) }()
		deliver(terminated, l, cursors)
		end(locker, l, heartbeat, cursors)
	}
}

// deliver works on a mailbox until the worker is told to stop or the lease is over. A piece of
// the work ends with the cursor's being saved.
func deliver(terminated context.Context, l *lease.Lease, cursors *cursors) {
	for cursor := 1; terminated.Err() == nil; cursor++ {
		// Before Valid: what the answer is good for, if there is a pause meanwhile.
		asked := time.Now()
		if !l.Valid() {
			return
		}
		done := workers.Event{At: asked, Item: l.LeaseID, Token: l.FencingToken()}
		if err := cursors.save(l.Context(), l, cursor); err == nil {
			done.Kind = "worked"
			workers.Report(done)
		} else if l.Valid() {
			done.Kind = "failed"
			done.Text = "could not save the cursor: " + err.Error()
			workers.Report(done)
		}
		select {
		case <-time.After(step):
		case <-l.Context().Done():
		case <-terminated.Done():
		}
	}
}

// end releases the mailbox, and awaits the end of its heartbeat.
func end(locker *lease.Locker, l *lease.Lease, heartbeat <-chan error, cursors *cursors) {
	lost := !l.Valid() // else it was told to stop
	if lost {
		cause := context.Cause(l.Context())
		check("over", cause != nil, "Valid() is false; its context is done: %v", cause)
		afterthought(l, cursors)
	} else {
		check("stopping", true, "has stopped working and releases %s", l.LeaseID)
	}

	released := locker.ReleaseLease(l)
	releaseOK := released == nil || lost && released == lease.LeaseLostError
	check("release", releaseOK, "ReleaseLease returned: %v", released)

	beat := <-heartbeat
	beatOK := beat == nil || lost && errors.Is(beat, lease.LeaseLostError)
	check("heartbeat", beatOK, "Heartbeat returned: %v", beat)
}

// afterthought does what no worker should do, but one that was paused at a bad moment does
// nevertheless: it saves a cursor when its lease is over.
func afterthought(l *lease.Lease, cursors *cursors) {
	err := cursors.save(context.Background(), l, -1)
	text := "a late write with token %d returned: %v"
	check("late write", err == errRefused, text, l.FencingToken(), err)
}

// report reports what happens to a mailbox.
func report(l *lease.Lease, kind, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	workers.Report(workers.Event{Kind: kind, Item: l.LeaseID, Token: l.FencingToken(), Text: text})
}

// check reports something that is as it must be, or not.
func check(kind string, ok bool, format string, args ...any) {
	workers.Report(workers.Event{Kind: kind, OK: ok, Text: fmt.Sprintf(format, args...)})
}

// cursors is a table that says how far the work on each mailbox has come.
type cursors struct {
	ddb   *dynamodb.DynamoDB
	table string
}

var errRefused = errors.New("refused, as there was a write with a later token")

// save writes the cursor, unless a later tenure of the mailbox has written one: errRefused.
func (c *cursors) save(ctx context.Context, l *lease.Lease, cursor int) error {
	_, err := c.ddb.UpdateItemWithContext(ctx, &dynamodb.UpdateItemInput{
		TableName:           &c.table,
		Key:                 map[string]*dynamodb.AttributeValue{hashKey: {S: &l.LeaseID}},
		UpdateExpression:    aws.String("SET #cursor = :cursor, #token = :mine"),
		ConditionExpression: aws.String("attribute_not_exists(#token) OR #token <= :mine"),
		ExpressionAttributeNames: map[string]*string{
			"#cursor": aws.String("Cursor"),
			"#token":  aws.String("Token"),
		},
		ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{
			":cursor": {N: aws.String(strconv.Itoa(cursor))},
			":mine":   {N: aws.String(strconv.FormatInt(l.FencingToken(), 10))},
		},
	})
	var refused *dynamodb.ConditionalCheckFailedException
	if errors.As(err, &refused) {
		return errRefused
	}
	return err
}
