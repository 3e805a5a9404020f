// Lease shows and moves the leases of a table, and runs commands while it holds them.
//
//	go run ./cmd/lease -h
//
// docs/command.md has its flags, output, exit statuses and permissions. Reading the source:
//
//   - main.go (what the commands have in common) → client.go (the table) → explain.go (its errors)
//     → item.go (what a row is)
//   - list.go, add.go, yield.go and verdict.go, release.go
//   - watch: changes.go, event.go → watch.go → view.go, screen.go
//   - hold: hold.go → tend.go → group.go, stub.go → guard.go
//
// changes.go and verdict.go decide, of values alone; so do item.go, event.go and view.go, which
// show them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"golang.org/x/term"

	"github.com/intercom/lease"
)

// The exit statuses, but for those of the command that hold runs.
const (
	statusFailed   = 1
	statusUsage    = 2
	statusLost     = 75  // hold lost its lease
	statusCantHold = 125 // hold could not obtain a lease
	statusCantRun  = 126 // hold found its command, and could not run it
	statusNotFound = 127 // hold did not find its command
	statusSignal   = 128 // and the number of the signal that ended it
)

// action is what a command does, once its flags are parsed.
type action func(ctx context.Context, args []string) error

// command is one of the commands.
type command struct {
	name, help string
	setup      func(a *app, flags *flag.FlagSet) action // defines its flags
	verbatim   bool                                     // after its first argument no flag is its own
}

var commands = []command{
	{name: "list", help: listHelp, setup: list},
	{name: "watch", help: watchHelp, setup: watch},
	{name: "add", help: addHelp, setup: add},
	{name: "retire", help: retireHelp, setup: retire},
	{name: "init", help: initHelp, setup: initialize},
	{name: "yield", help: yieldHelp, setup: yield},
	{name: "release", help: releaseHelp, setup: release},
	{name: "hold", help: holdHelp, setup: hold, verbatim: true},
}

const help = `Usage: lease COMMAND [-table T] [-key K] [-region R] [-endpoint URL] [-v] ...

Shows and moves the leases of a DynamoDB table.

  list    who holds what               yield    ask a holder to give it up
  watch   what changes, as it does     release  free an item by force
  add     register items               hold     run a command while it holds
  retire  delete items                          an item, or many
  init    make the table

  -table     the table; or LEASE_TABLE in the environment
  -key       its hash key's name; or LEASE_KEY; else the table is asked
  -region    the AWS region; or AWS_REGION, or the profile's
  -endpoint  a URL, of DynamoDB Local say; or AWS_ENDPOINT_URL_DYNAMODB,
             AWS_ENDPOINT_URL or DYNAMODB_ENDPOINT
  -v         log to stderr what the library does

Example: export LEASE_TABLE=mailboxes; lease list
"lease COMMAND -h" says more. Exit status: 0 fine, 1 failed, 2 wrong usage.
`

// app is what the commands have in common: the flags, and the client once there is one.
type app struct {
	table, key, region, endpoint string
	verbose                      bool
	client                       *client
	again                        chan struct{} // closed by the second signal
}

// usageError is a wrong use of a command: the exit status is 2.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// exitStatus ends the program; what there is to say has been said.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprint("exit status ", int(s)) }

// interrupted is the cause of a context that a signal has ended.
type interrupted struct{ syscall.Signal }

func (i interrupted) Error() string      { return "interrupted: " + i.Signal.String() }
func (interrupted) Is(target error) bool { return target == context.Canceled }

func main() {
	switch os.Args[0] {
	case guardName:
		runGuard(os.Stdin)
		return
	case stubName:
		runStub()
	}
	os.Exit(run(os.Args[1:]))
}

// run runs the command that args name, and returns the exit status.
func run(args []string) int {
	a := &app{
		table: os.Getenv("LEASE_TABLE"),
		key:   os.Getenv("LEASE_KEY"),
		again: make(chan struct{}),
	}
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
	var said exitStatus
	if errors.As(err, &said) {
		return int(said)
	}
	var signaled interrupted
	if errors.As(err, &signaled) || errors.As(context.Cause(ctx), &signaled) {
		return statusSignal + int(signaled.Signal)
	}
	a.complain(err)
	if errors.As(err, new(usageError)) {
		return statusUsage
	}
	return statusFailed
}

// run runs the command that args name. A panic of it is an error as any other.
func (a *app) run(ctx context.Context, args []string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = a.bug(p)
		}
	}()
	flags := a.newFlags("lease")
	if err := flags.Parse(args); err != nil {
		return a.parseError(flags, help, err)
	}
	args = flags.Args()
	if len(args) == 0 {
		return usagef(`no command; "lease -h" has a list`)
	}
	if args[0] == "help" {
		return a.help(ctx, args[1:])
	}
	return a.runCommand(ctx, args[0], args[1:])
}

func (a *app) bug(p any) error {
	if a.verbose {
		os.Stderr.Write(debug.Stack())
	}
	return fmt.Errorf("a bug: panic: %v; with -v there is a stack to report", p)
}

// help shows the help of a command, or that of all.
func (a *app) help(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return say(help)
	}
	return a.runCommand(ctx, args[0], []string{"-h"})
}

func (a *app) runCommand(ctx context.Context, name string, args []string) error {
	is := func(c command) bool { return c.name == name }
	n := slices.IndexFunc(commands, is)
	if n < 0 {
		return usagef(`no command %q; "lease -h" has a list`, name)
	}
	c := commands[n]
	flags := a.newFlags("lease " + c.name)
	act := c.setup(a, flags)
	args, err := parse(flags, args, c.verbatim)
	if err != nil {
		return a.parseError(flags, c.help, err)
	}
	lease.SetLogger(nil)
	if a.verbose {
		lease.SetLogger(logger{})
	}
	return act(ctx, args)
}

func (a *app) newFlags(name string) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&a.table, "table", a.table, "")
	flags.StringVar(&a.key, "key", a.key, "")
	flags.StringVar(&a.region, "region", a.region, "")
	flags.StringVar(&a.endpoint, "endpoint", a.endpoint, "")
	flags.BoolVar(&a.verbose, "v", a.verbose, "")
	return flags
}

// parse parses flags that may come before, between and after the arguments. After "--" there are
// only arguments; verbatim, after the first argument too.
func parse(flags *flag.FlagSet, args []string, verbatim bool) (rest []string, err error) {
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		left := flags.Args()
		parsed := args[:len(args)-len(left)]
		ended := len(parsed) > 0 && parsed[len(parsed)-1] == "--"
		if ended || verbatim {
			return append(rest, left...), nil
		}
		if len(left) == 0 {
			return rest, nil
		}
		rest = append(rest, left[0])
		args = left[1:]
	}
}

func (a *app) parseError(flags *flag.FlagSet, help string, err error) error {
	if errors.Is(err, flag.ErrHelp) {
		return say(help)
	}
	return usagef(`%v; see "%s -h"`, err, flags.Name())
}

// say writes to stdout.
func say(format string, args ...any) error {
	if len(args) > 0 {
		format = fmt.Sprintf(format, args...)
	}
	_, err := io.WriteString(os.Stdout, format)
	return err
}

// complain writes an error to stderr, as one line.
func (a *app) complain(err error) { warn("%s", a.explain(err)) }

var warning sync.Mutex

// warn writes a line to stderr.
func warn(format string, args ...any) {
	warning.Lock()
	defer warning.Unlock()
	line := strings.TrimPrefix(oneLine(fmt.Sprintf(format, args...)), "lease: ")
	fmt.Fprintln(os.Stderr, "lease: "+line)
}

// breaks are what a text of several lines has between its lines.
var breaks = strings.NewReplacer("\r\n", "; ", "\n\t", ": ", "\n", "; ")

// oneLine makes a text one line that no terminal takes for a command.
func oneLine(text string) string {
	text = breaks.Replace(strings.TrimSpace(text))
	return strings.Map(blankControl, strings.TrimSpace(text))
}

func blankControl(r rune) rune {
	if unicode.IsControl(r) {
		return ' '
	}
	return r
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// logger writes the library's events to stderr: for -v.
type logger struct{}

func (logger) LogInfoMessage(message string, keyvals ...interface{})  { logEvent(message, keyvals) }
func (logger) LogErrorMessage(message string, keyvals ...interface{}) { logEvent(message, keyvals) }

func logEvent(message string, keyvals []any) { warn("%s", eventLine(message, keyvals)) }

func eventLine(message string, keyvals []any) string {
	line := message
	for pair := range slices.Chunk(keyvals, 2) {
		if len(pair) < 2 || pair[0] == "stack" || pair[1] == nil {
			continue
		}
		line += fmt.Sprintf(" %v=%q", pair[0], fmt.Sprint(pair[1]))
	}
	return line
}
