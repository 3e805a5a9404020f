// Lease shows and moves the leases of a table, and runs commands while it holds them.
//
//	go run -C cmd/lease . -h
//
// docs/command.md has its flags, output, exit statuses and permissions. Reading the source:
//
//   - main.go (what the commands have in common) → internal/cli (how they are written)
//   - list.go, cost.go, add.go, weigh.go, release.go: each a command
//   - yield.go, retire.go → internal/ask; hold.go, wait.go → internal/tend; watch.go → internal/screen;
//     page.go → internal/page, and internal/history, which keeps what it shows
//
// What a row shows is in internal/fleet, which decides of values alone; how a table is reached in
// internal/dynamo, and how people are spoken to in internal/say.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/intercom/lease"
	"github.com/intercom/lease/cmd/lease/internal/cli"
	"github.com/intercom/lease/cmd/lease/internal/dynamo"
	"github.com/intercom/lease/cmd/lease/internal/exit"
	"github.com/intercom/lease/cmd/lease/internal/say"
	"github.com/intercom/lease/cmd/lease/internal/tend"
)

// app is what the commands have in common.
type app struct {
	dynamo.Address
	verbose bool
	again   chan struct{} // closed by the second signal
}

// action is what a command does, once its flags are parsed.
type action func(ctx context.Context, args []string) error

// commands returns the command "lease", with all that belong to it.
func (a *app) commands() *cobra.Command {
	root := &cobra.Command{
		Use:                   "lease COMMAND [-table T] [-key K] [-region R] [-endpoint URL] [-v] ...",
		Short:                 "shows and moves the leases of a DynamoDB table",
		Long:                  rootHelp,
		Example:               `export LEASE_TABLE=mailboxes; lease list`,
		Version:               cli.Version(),
		Args:                  cobra.ArbitraryArgs,
		RunE:                  cli.NoCommand,
		DisableFlagsInUseLine: true,
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.Table, "table", os.Getenv("LEASE_TABLE"), "the table `T`; or LEASE_TABLE in the environment")
	flags.StringVar(&a.Key, "key", os.Getenv("LEASE_KEY"), "its hash key `K`; or LEASE_KEY; else the table is asked")
	flags.StringVar(&a.Region, "region", "", "the AWS region `R`; or AWS_REGION, or the profile's")
	flags.StringVar(&a.Endpoint, "endpoint", "", "a `URL`, of DynamoDB Local say; or AWS_ENDPOINT_URL")
	flags.BoolVarP(&a.verbose, "verbose", "v", false, "log to stderr what the library does")
	root.AddCommand(
		a.list(), a.watch(), a.page(), a.cost(), a.add(), a.weigh(), a.retire(), a.initialize(),
		a.yield(), a.release(), a.hold(),
		cli.VersionCommand(), cli.ManCommand(),
	)
	cli.Dress(root)
	return root
}

// command returns a command of lease that does something to a table.
func (a *app) command(c cobra.Command, act action) *cobra.Command {
	c.DisableFlagsInUseLine = true
	c.RunE = func(c *cobra.Command, args []string) error {
		lease.SetLogger(nil)
		if a.verbose {
			lease.SetLogger(say.Logger{})
		}
		return act(c.Context(), args)
	}
	return &c
}

const rootHelp = `Shows and moves the leases of a DynamoDB table. Exit status: 0 fine, 1 failed,
2 wrong usage. More: "lease COMMAND -h", "completion bash", "man", "version".`

// interrupted is the cause of a context that a signal has ended.
type interrupted struct{ syscall.Signal }

func (i interrupted) Error() string      { return "interrupted by " + unix.SignalName(i.Signal) }
func (interrupted) Is(target error) bool { return target == context.Canceled }

func main() {
	if tend.RunPart(endSignals) {
		return
	}
	os.Exit(run(os.Args[1:]))
}

// run runs the command that args name, and returns the exit status.
func run(args []string) int {
	a := &app{again: make(chan struct{})}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	go a.awaitSignals(notifySignals(), cancel)
	return a.status(ctx, a.run(ctx, args))
}

var endSignals = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT}

// notifySignals returns the signals that ask this process to end. One that is ignored stays so:
// that is what nohup is for.
func notifySignals() <-chan os.Signal {
	signals := make(chan os.Signal, 2)
	for _, sig := range endSignals {
		if !signal.Ignored(sig) {
			signal.Notify(signals, sig)
		}
	}
	return signals
}

// awaitSignals cancels at the first signal, and closes a.again at the second.
func (a *app) awaitSignals(signals <-chan os.Signal, cancel context.CancelCauseFunc) {
	sig := <-signals
	cancel(interrupted{sig.(syscall.Signal)})

	// timeout(1) sends two: one to this process, and one to its group.
	first := time.Now()
	for range signals {
		if time.Since(first) > time.Second {
			close(a.again)
			return
		}
	}
}

// status returns the exit status for what a command has returned, and says what there is to say.
func (a *app) status(ctx context.Context, err error) int {
	if err == nil {
		return 0
	}
	var said exit.Status
	if errors.As(err, &said) {
		return int(said)
	}
	var signaled interrupted
	if errors.As(err, &signaled) || errors.As(context.Cause(ctx), &signaled) {
		return exit.OfSignal + int(signaled.Signal)
	}
	a.Complain(err)
	if errors.As(err, new(exit.UsageError)) {
		return exit.Usage
	}
	return exit.Failed
}

// run runs the command that args name. A panic of it is an error as any other.
func (a *app) run(ctx context.Context, args []string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = a.bug(p)
		}
	}()
	root := a.commands()
	cli.SetArgs(root, args)
	return root.ExecuteContext(ctx)
}

func (a *app) bug(p any) error {
	if a.verbose {
		os.Stderr.Write(debug.Stack())
	}
	return fmt.Errorf("a bug: panic: %v; with -v there is a stack to report", p)
}
