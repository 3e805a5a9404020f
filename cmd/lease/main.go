// Lease shows and moves the leases of a table, and runs commands while it holds them.
//
//	go run -C cmd/lease . -h
//
// docs/command.md has its flags, output, exit statuses and permissions. Reading the source:
//
//   - main.go (what the commands have in common) → flags.go (how they are written) → client.go (the
//     table) → explain.go (its errors) → item.go (what a row is)
//   - list.go, add.go, weigh.go, yield.go with census.go and verdict.go, retire.go, release.go
//   - watch: changes.go, event.go → watch.go → screen.go → layout.go, pane.go
//   - hold: hold.go → tend.go → group.go, stub.go → guard.go
//
// changes.go, census.go and verdict.go decide, of values alone; so do item.go, event.go, layout.go and
// pane.go, which show them.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/term"
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

// app is what the commands have in common: the flags, and the client once there is one.
type app struct {
	table, key, region, endpoint string
	verbose                      bool
	client                       atomic.Pointer[client]
	again                        chan struct{} // closed by the second signal
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
		Version:               version(),
		Args:                  cobra.ArbitraryArgs,
		RunE:                  noCommand,
		DisableFlagsInUseLine: true,
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.table, "table", os.Getenv("LEASE_TABLE"), "the table `T`; or LEASE_TABLE in the environment")
	flags.StringVar(&a.key, "key", os.Getenv("LEASE_KEY"), "its hash key `K`; or LEASE_KEY; else the table is asked")
	flags.StringVar(&a.region, "region", "", "the AWS region `R`; or AWS_REGION, or the profile's")
	flags.StringVar(&a.endpoint, "endpoint", "", "a `URL`, of DynamoDB Local say; or AWS_ENDPOINT_URL,\n"+
		"AWS_ENDPOINT_URL_DYNAMODB or DYNAMODB_ENDPOINT")
	flags.BoolVarP(&a.verbose, "verbose", "v", false, "log to stderr what the library does")
	root.AddCommand(
		a.list(), a.watch(), a.cost(), a.add(), a.weigh(), a.retire(), a.initialize(),
		a.yield(), a.release(), a.hold(),
		versionCommand(), manCommand(),
	)
	dress(root)
	return root
}

const rootHelp = `Shows and moves the leases of a DynamoDB table. Exit status: 0 fine, 1 failed,
2 wrong usage. More: "lease COMMAND -h", "completion bash", "man", "version".`

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
	root := a.commands()
	root.SetArgs(withTwoDashes(root, args))
	return root.ExecuteContext(ctx)
}

func (a *app) bug(p any) error {
	if a.verbose {
		os.Stderr.Write(debug.Stack())
	}
	return fmt.Errorf("a bug: panic: %v; with -v there is a stack to report", p)
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

// log is how lines are written to stderr.
var log struct {
	sync.Mutex
	timed, json bool // of "lease hold", which runs for long
}

// warn writes a line to stderr.
func warn(format string, args ...any) {
	log.Lock()
	defer log.Unlock()
	text := strings.TrimPrefix(oneLine(fmt.Sprintf(format, args...)), "lease: ")
	now := time.Now().UTC()
	switch {
	case log.json:
		line, _ := json.Marshal(struct {
			Time    time.Time `json:"time"`
			Message string    `json:"message"`
		}{now.Truncate(time.Millisecond), text})
		fmt.Fprintf(os.Stderr, "%s\n", line)
	case log.timed:
		fmt.Fprintln(os.Stderr, now.Format(time.DateTime), "lease:", text)
	default:
		fmt.Fprintln(os.Stderr, "lease:", text)
	}
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
