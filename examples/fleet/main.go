// Fleet shows how workers share many items, and how the shares move when the fleet changes.
//
//	go run ./examples/fleet [-engine local|memory] [-data FILE.csv] [-limit 50s]
//
// Three workers share 30 mailboxes. worker.go is such a worker: the first thing to read. Then
// a fourth joins, one is killed, and one is told to stop; each time it waits until the shares
// are level again, and stay so for a while. A line each second says who holds how many.
//
// With the engine local each worker is a process, and the leases are in a table of DynamoDB
// Local, which is started, or of the endpoint in $DYNAMODB_ENDPOINT (with the region in
// $AWS_REGION). With the engine memory the workers are goroutines of this process, and so is
// the store. Unless it is told, it takes local where it can, which needs Java, and npm for the
// first time.
//
// Every holder writes to a guard all the time, which refuses a write with an older fencing
// token. A holder that is refused, or two tenures of a mailbox that overlap, is a double
// holder.
//
// After some 30 seconds it ends with a summary. The exit status is 1 when there was a double
// holder, or when the whole has not come to its end, with all mailboxes held, within the
// limit. No process is left behind, whatever way this one ends; and no table, unless it is
// killed. -data writes who held how many to a file, of which examples/fleet/picture makes a
// picture:
//
//	go run -C examples/fleet/picture . <FILE.csv >docs/fleet.svg
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) == 5 && os.Args[1] == "worker" {
		runProcess(os.Args[2], os.Args[3], os.Args[4])
		return
	}
	opt := parse(os.Args[1:])
	signals := []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	err := run(ctx, os.Stdout, opt)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fleet: FAILED:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	engine string // "local", "memory", or "" for what can be had
	data   string // a file, if the data are to be written
	limit  time.Duration
}

// parse ends the program if the arguments are bad.
func parse(args []string) options {
	var opt options
	flags := flag.NewFlagSet("fleet", flag.ExitOnError)
	const engines = "`local`: processes on DynamoDB Local; or memory: all in this process\n" +
		"(default local, where it can be had)"
	flags.Func("engine", engines, opt.setEngine)
	flags.StringVar(&opt.data, "data", "", "write who held how many to this CSV `file`")
	const limit = "how long it may take, once the engine has started"
	flags.DurationVar(&opt.limit, "limit", 50*time.Second, limit)
	flags.Parse(args)
	if flags.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "fleet: want no other arguments")
		flags.Usage()
		os.Exit(2)
	}
	return opt
}

func (o *options) setEngine(name string) error {
	if name != "local" && name != "memory" {
		return errors.New("want local or memory")
	}
	o.engine = name
	return nil
}

// run sets the stage, plays the scenes, and prints the summary.
func run(ctx context.Context, out io.Writer, opt options) (err error) {
	e, err := open(ctx, out, opt.engine)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	ctx, cancel := context.WithTimeoutCause(ctx, opt.limit, errors.New("took too long"))
	defer cancel()
	stage, err := e.prepare(ctx, mailboxIDs())
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s; leases last %v\n\n", stage, leaseDuration)

	f := newFleet(e, out)
	if err := f.play(ctx); err != nil {
		return errors.Join(err, f.checkTenures())
	}
	f.summarize()
	if opt.data != "" {
		err = f.writeData(opt.data)
	}
	return errors.Join(err, f.checkTenures())
}

// mailboxes is how many there are.
const mailboxes = 30

func mailboxIDs() []string {
	ids := make([]string, mailboxes)
	for i := range ids {
		ids[i] = fmt.Sprintf("mailbox-%d", i+1)
	}
	return ids
}
