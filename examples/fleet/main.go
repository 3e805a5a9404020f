// Fleet shows how worker processes share many items, and how the shares move when the fleet changes.
//
//	go run ./examples/fleet [-data FILE.csv]
//
// It starts DynamoDB Local, or uses the endpoint in $DYNAMODB_ENDPOINT (and the region in $AWS_REGION), makes a table
// of 30 mailboxes and starts three worker processes. worker.go is such a worker: the first thing to read. Then a
// fourth joins, one is killed, and one is told to stop; each time it waits until the shares are level again. A line
// each second says who holds how many.
//
// Every holder writes to a second table all the time, whose rows refuse a write with an older fencing token. A refused
// write, or two tenures of a mailbox that overlap, is a double holder.
//
// After some 30 seconds it ends with a summary. The exit status is 1 when there was a double holder, when a mailbox
// has no holder at the end, or when the whole has not come to its end after 50 seconds. No process is left behind,
// whatever way this one ends; and no table, unless it is killed. -data writes who held how many to a file, of which
// examples/fleet/picture makes a picture:
//
//	go run -C examples/fleet/picture . <FILE.csv >docs/fleet.svg
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

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
	"github.com/intercom/lease/internal/workers"
)

const (
	hashKey   = "mailbox" // of both tables: the leases, and the guard
	mailboxes = 30
	quiet     = 4 * time.Second // how long the fleet is watched when it is level
)

func guardTable(table string) string { return table + "-guard" }

func main() {
	if len(os.Args) == 5 && os.Args[1] == "worker" {
		runWorker(os.Args[2], os.Args[3], os.Args[4])
		return
	}
	flags := flag.NewFlagSet("fleet", flag.ExitOnError)
	data := flags.String("data", "", "write who held how many to this CSV `file`")
	flags.Parse(os.Args[1:])
	if flags.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "fleet: want no other arguments")
		flags.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, *data)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fleet: FAILED:", err)
		os.Exit(1)
	}
}

// run sets the stage, plays the scenes, and prints the summary.
func run(ctx context.Context, data string) (err error) {
	server, err := ddblocal.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	ctx, cancel := context.WithTimeoutCause(ctx, 50*time.Second, errors.New("took too long"))
	defer cancel()

	table := fmt.Sprintf("fleet-%d-%d", os.Getpid(), time.Now().UnixNano())
	ddb := server.Client()
	store := lease.NewLockStore(ddb, table, hashKey)
	guard := lease.NewLockStore(ddb, guardTable(table), hashKey) // only to make the table
	defer workers.DropTables("fleet", ddb, table, guardTable(table))
	if err := errors.Join(store.EnsureTableWithContext(ctx), guard.EnsureTableWithContext(ctx)); err != nil {
		return err
	}
	for i := range mailboxes {
		if err := store.AddLeaseIDWithContext(ctx, fmt.Sprintf("mailbox-%d", i+1), nil); err != nil {
			return err
		}
	}
	fmt.Printf("DynamoDB is at %s; made the table %s with %d mailboxes; leases last %v\n\n", server.Endpoint, table, mailboxes, leaseDuration)

	f := newFleet(ctx, server.Endpoint, table)
	defer f.Stop()
	if err := f.play(); err != nil {
		return errors.Join(err, f.checkTenures())
	}
	f.summarize()
	if data != "" {
		err = f.writeData(data)
	}
	return errors.Join(err, f.checkTenures())
}

// play plays the scenes, the last of which is that all stop.
func (f *fleet) play() error {
	f.began = time.Now()
	f.header()
	f.scene("three workers start")
	for _, scene := range []func() error{
		func() error { return errors.Join(f.start(), f.start(), f.start()) },
		func() error { f.scene("worker-4 joins"); return f.start() },
		func() error { f.scene("SIGKILL for worker-2"); return f.kill(f.processes[1]) },
		func() error { f.scene("SIGTERM for worker-3"); return f.terminate(f.processes[2]) },
	} {
		if err := scene(); err != nil {
			return err
		}
		if err := f.await(f.level); err != nil {
			return fmt.Errorf("waiting for level shares: %w", err)
		}
		f.say("level")
		watched := time.Now().Add(quiet)
		if err := f.await(func() bool { return time.Now().After(watched) }); err != nil {
			return err
		}
	}
	f.over = time.Now()
	f.held = mailboxes - f.nobody()
	for _, p := range f.processes {
		if p.running {
			if err := f.terminate(p); err != nil {
				return err
			}
		}
	}
	err := f.await(func() bool { return f.running() == 0 })
	if err == nil && f.held < mailboxes {
		err = fmt.Errorf("%d of %d mailboxes are held at the end", f.held, mailboxes)
	}
	return err
}
