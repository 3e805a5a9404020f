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

// Short, so that there is something to see soon. In production, 30 s, 10 s and 10 s are good values.
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

// runWorker is the whole of a worker process: it waits for a mailbox, delivers it, and starts over
// when it has lost it; on SIGTERM it releases it and returns. It prints its reports to stdout.
func runWorker(endpoint, table, name string) {
	go workers.ExitWithParent()
	lease.SetLogger(workers.Errors{})
	terminated, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()

	ddb := ddblocal.NewClient(endpoint)
	lease.SetupLockStoreGlobal(ddb, table, hashKey)
	locker := lease.NewLocker(lease.GlobalLockStore)
	for terminated.Err() == nil {
		l, err := locker.WaitUntilLeaseObtainedWithContext(terminated, worker(name), waitPeriod)
		if err != nil {
			return
		}
		workers.Report(workers.Event{Kind: "obtained", Item: l.LeaseID, Token: l.FencingToken(),
			Text: fmt.Sprintf("obtained %s with token %d", l.LeaseID, l.FencingToken())})

		heartbeat := make(chan error, 1)
		go func() { heartbeat <- locker.Heartbeat(l, heartbeatDuration) }()
		deliver(terminated, l, ddb, cursorTable(table))

		lost := !l.Valid() // else it was told to stop
		if lost {
			workers.Report(workers.Event{Kind: "over", OK: l.Context().Err() != nil,
				Text: fmt.Sprintf("Valid() is false; its context is done: %v", context.Cause(l.Context()))})
			afterthought(l, ddb, cursorTable(table))
		} else {
			workers.Report(workers.Event{Kind: "stopping", OK: true, Text: "has stopped working and releases " + l.LeaseID})
		}
		err = locker.ReleaseLease(l)
		workers.Report(workers.Event{Kind: "release", OK: err == nil || lost && err == lease.LeaseLostError,
			Text: fmt.Sprintf("ReleaseLease returned: %v", err)})
		err = <-heartbeat
		workers.Report(workers.Event{Kind: "heartbeat", OK: err == nil || lost && errors.Is(err, lease.LeaseLostError),
			Text: fmt.Sprintf("Heartbeat returned: %v", err)})
	}
}

// deliver works on a mailbox until the worker is told to stop or the lease is over. A piece of the
// work ends with the cursor's being saved.
func deliver(terminated context.Context, l *lease.Lease, ddb *dynamodb.DynamoDB, cursors string) {
	for cursor := 1; terminated.Err() == nil; cursor++ {
		asked := time.Now() // before Valid: what the answer is good for, if there is a pause meanwhile
		if !l.Valid() {
			return
		}
		switch err := saveCursor(l.Context(), ddb, cursors, l, cursor); {
		case err == nil:
			workers.Report(workers.Event{At: asked, Kind: "worked", Item: l.LeaseID, Token: l.FencingToken()})
		case l.Valid():
			workers.Report(workers.Event{At: asked, Kind: "failed", Item: l.LeaseID, Token: l.FencingToken(),
				Text: "could not save the cursor: " + err.Error()})
		}
		select {
		case <-time.After(step):
		case <-l.Context().Done():
		case <-terminated.Done():
		}
	}
}

// afterthought does what no worker should do, but one that was paused at a bad moment does
// nevertheless: it saves a cursor when its lease is over.
func afterthought(l *lease.Lease, ddb *dynamodb.DynamoDB, cursors string) {
	err := saveCursor(context.Background(), ddb, cursors, l, -1)
	workers.Report(workers.Event{Kind: "late write", OK: err == errRefused,
		Text: fmt.Sprintf("a late write with token %d returned: %v", l.FencingToken(), err)})
}

var errRefused = errors.New("refused, as there was a write with a later token")

// saveCursor writes the cursor, unless a later tenure of the mailbox has written one: errRefused.
func saveCursor(ctx context.Context, ddb *dynamodb.DynamoDB, table string, l *lease.Lease, cursor int) error {
	_, err := ddb.UpdateItemWithContext(ctx, &dynamodb.UpdateItemInput{
		TableName:                &table,
		Key:                      map[string]*dynamodb.AttributeValue{hashKey: {S: &l.LeaseID}},
		UpdateExpression:         aws.String("SET #cursor = :cursor, #token = :mine"),
		ConditionExpression:      aws.String("attribute_not_exists(#token) OR #token <= :mine"),
		ExpressionAttributeNames: map[string]*string{"#cursor": aws.String("Cursor"), "#token": aws.String("Token")},
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
