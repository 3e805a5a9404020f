package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
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
	go exitWithParent()
	lease.SetLogger(reportErrors{})
	terminated, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()

	ddb := ddblocal.NewClient(endpoint)
	locker := lease.NewLocker(lease.NewLockStore(ddb, table, hashKey))
	err := locker.HoldShare(terminated, worker(name), 0, func(ctx context.Context, l *lease.Lease) error {
		return deliver(ctx, l, ddb, guardTable(table))
	})
	if err != context.Cause(terminated) {
		report(event{Kind: "log", Text: fmt.Sprintf("HoldShare returned: %v", err)})
		os.Exit(1)
	}
}

// deliver works on a mailbox until ctx is done. Each piece of the work is a write that the guard must take.
func deliver(ctx context.Context, l *lease.Lease, ddb *dynamodb.DynamoDB, guard string) error {
	e := event{Item: l.LeaseID, Token: l.FencingToken()}
	report(e.as("began", time.Now()))
	for ctx.Err() == nil {
		asked := time.Now() // before Valid: what the answer is good for, if there is a pause meanwhile
		if !l.Valid() {
			break
		}
		switch err := write(l.Context(), ddb, guard, l); {
		case err == nil:
			report(e.as("wrote", asked))
		case err == errRefused:
			report(e.as("refused", asked))
		case l.Valid():
			report(event{Kind: "log", Text: "a write failed: " + err.Error()})
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
	report(e.as("ended", time.Now()))
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

// exitWithParent ends this process when the one at the other end of its stdin is gone.
func exitWithParent() {
	io.Copy(io.Discard, os.Stdin)
	os.Exit(1)
}

// event is what a worker tells the process that started it, as a line of JSON.
type event struct {
	At     time.Time
	Worker string `json:"-"` // filled in by the reader
	Kind   string // began, wrote, refused, ended; log; exited
	Item   string `json:",omitempty"`
	Token  int64  `json:",omitempty"`
	Text   string `json:",omitempty"`
}

func (e event) as(kind string, at time.Time) event {
	e.Kind, e.At = kind, at
	return e
}

var reporting sync.Mutex

func report(e event) {
	reporting.Lock()
	defer reporting.Unlock()
	if e.At.IsZero() {
		e.At = time.Now()
	}
	json.NewEncoder(os.Stdout).Encode(e)
}

// reportErrors is a lease.LeaseLogger: it makes the library's errors events.
type reportErrors struct{}

func (reportErrors) LogInfoMessage(string, ...interface{}) {}

func (reportErrors) LogErrorMessage(message string, keyvals ...interface{}) {
	text := "logged: " + message
	for i := 0; i+1 < len(keyvals); i += 2 {
		text += fmt.Sprintf(" %v=%v", keyvals[i], keyvals[i+1])
	}
	report(event{Kind: "log", Text: text})
}
