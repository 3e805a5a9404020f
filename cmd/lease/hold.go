package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/intercom/lease"
)

// holding is what the flags of hold say.
type holding struct {
	as       string
	share    bool // -most was given
	most     int
	duration time.Duration
}

func (a *app) hold() *cobra.Command {
	var f holding
	var c *cobra.Command
	c = a.command(cobra.Command{
		Use:         "hold -as LESSEE [-most N] [-duration 30s] [--] COMMAND...",
		Short:       "run a command while it holds an item, or many",
		Long:        holdHelp,
		Example:     "lease hold -as $HOSTNAME:$$:$RANDOM -table boxes -- ./deliver.sh",
		Annotations: map[string]string{verbatim: "true"},
	}, func(ctx context.Context, args []string) error {
		f.share = isGiven(c, "most")
		if err := f.check(args); err != nil {
			return err
		}
		path, err := exec.LookPath(args[0])
		if err != nil {
			return cantRun(args[0], err)
		}
		h := &holder{
			app:   a,
			as:    lessee{f.as, f.duration},
			path:  path,
			args:  args,
			share: f.share,
		}
		if err := h.prepare(ctx); err != nil {
			return err
		}
		if f.share {
			return h.runShare(ctx, f.most)
		}
		return h.runOne(ctx)
	})
	flags := c.Flags()
	flags.SetInterspersed(false)
	flags.StringVar(&f.as, "as", "", "the worker's name is `LESSEE`; no other live one may have it")
	flags.IntVar(&f.most, "most", -1, "hold a fair share of all items, `N` at most (0: no limit), with\n"+
		"a command for each, side by side and without stdin")
	flags.DurationVar(&f.duration, "duration", 30*time.Second, "the lease outlives this program for `D`; else 30s")
	return c
}

const holdHelp = `Waits for a free item, holds it, and runs the command meanwhile, with
LEASE_ID, LEASE_TOKEN and LEASE_LESSEE in its environment. If the item is
wanted elsewhere, or on SIGINT or SIGTERM, the command's process group gets
SIGTERM; the item is handed over, or released, when all of it has ended. A
second signal kills it. When the lease is lost, or about to be, it gets
SIGTERM, and SIGKILL at the end of the tenure. Daemons are beyond its reach.

Exit status: that of the command (128 + n for signal n); 75 if the lease was
lost; 125 none to be had, 126, 127 no such command. -most: 0 if told to stop.`

func (f *holding) check(args []string) error {
	if f.as == "" {
		return usagef(`who holds it? Give -as LESSEE, a name that no other live worker has`)
	}
	if f.share && f.most < 0 {
		return usagef("-most is %d; want the number of items to hold, or 0 for no limit", f.most)
	}
	if f.duration < time.Second {
		return usagef("-duration is %v; want 1s or more, and rather 20s or more", f.duration)
	}
	if len(args) == 0 {
		return usagef(`no command to run while it is held; see "lease hold -h"`)
	}
	return nil
}

// cantRun says why a command can't be run, and returns the exit status that shells have for it.
func cantRun(name string, err error) exitStatus {
	var lookup *exec.Error
	var access *fs.PathError
	why := err
	if errors.As(err, &lookup) {
		why = lookup.Err
	}
	if errors.As(why, &access) {
		why = access.Err
	}
	warn("the command %q can't be run: %v", name, why)
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return statusNotFound
	}
	return statusCantRun
}

// holder runs commands under leases.
type holder struct {
	*app
	as     lessee
	path   string
	args   []string
	share  bool
	locker *lease.Locker
	guard  *guard

	began  atomic.Bool  // a command was started
	status atomic.Int64 // of the command that ended last
	gaveUp atomic.Bool  // a command was ended as its lease was lost, or about to be
	ctrlC  atomic.Bool  // a command was ended at the terminal
}

// prepare makes sure of what no waiting would make good.
func (h *holder) prepare(ctx context.Context) error {
	c, err := h.open(ctx, sdkRetries)
	if err == nil {
		h.guard, err = startGuard()
	}
	if err == nil {
		h.locker = lease.NewLocker(c.LockStore)
		signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // A closed stderr is not to end it.
		return nil
	}
	if ctx.Err() != nil || errors.As(err, new(usageError)) {
		return err
	}
	return h.cantHold(err)
}

// cantHold says why no lease is to be had.
func (h *holder) cantHold(err error) error {
	h.complain(err)
	return exitStatus(statusCantHold)
}

// runOne holds one item, and returns the command's exit status.
func (h *holder) runOne(ctx context.Context) error {
	holdCtx, deny := context.WithCancelCause(ctx)
	defer deny(nil)
	lease.SetLogger(&holdLogger{holder: h, deny: deny})
	patience := time.AfterFunc(2*time.Second, h.tellThatItWaits)
	err := h.locker.Hold(holdCtx, h.as, h.work)
	patience.Stop()
	if h.gaveUp.Load() {
		return exitStatus(statusLost)
	}
	if h.began.Load() {
		return h.afterCommand(err)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if denied := denial(holdCtx); denied != nil {
		return h.cantHold(denied)
	}
	return h.cantHold(err)
}

func (h *holder) tellThatItWaits() {
	if !h.began.Load() && isTerminal(os.Stderr) {
		warn("waiting for a free item")
	}
}

// afterCommand returns the exit status when the command has ended by itself, or as it was told
// to. err is what Hold has returned.
func (h *holder) afterCommand(err error) error {
	if errors.Is(err, lease.LeaseLostError) {
		warn("the lease was lost when the command had just ended")
		return exitStatus(statusLost)
	}
	if h.ctrlC.Load() {
		interruptGroup()
	}
	return exitStatus(h.status.Load())
}

// interruptGroup ends this process and its group as Ctrl-C does: the script around this one is to
// stop too, as it does for a command without a lease.
func interruptGroup() {
	signal.Reset(syscall.SIGINT)
	syscall.Kill(0, syscall.SIGINT)
	time.Sleep(time.Second)
}

// runShare holds a share of all items until it is told to stop.
func (h *holder) runShare(ctx context.Context, most int) error {
	holdCtx, deny := context.WithCancelCause(ctx)
	defer deny(nil)
	lease.SetLogger(&holdLogger{holder: h, deny: deny})
	err := h.locker.HoldShare(holdCtx, h.as, most, h.work)
	if denied := denial(holdCtx); denied != nil {
		return h.cantHold(denied)
	}
	if ctx.Err() == nil {
		return h.cantHold(err)
	}
	if err == context.Cause(ctx) {
		return nil
	}
	warn("%v", err) // Items stay leased.
	return exitStatus(statusFailed)
}

// work runs the command for one item. It returns when all processes of the command's group have
// ended.
func (h *holder) work(ctx context.Context, l *lease.Lease) error {
	runtime.LockOSThread() // On Linux the command is killed when the thread that started it ends.
	defer runtime.UnlockOSThread()
	if strings.Contains(l.LeaseID, "\x00") {
		return h.badName(l)
	}
	g, err := h.start(l)
	if err != nil {
		return h.notStarted(l, err)
	}
	h.began.Store(true)
	defer g.close()
	return h.tend(ctx, l, g)
}

// badName is for an item that no command can be told of.
func (h *holder) badName(l *lease.Lease) error {
	warn("no command can be run for the item %s: an environment can't have its name",
		show(l.LeaseID))
	h.status.Store(statusCantHold)
	h.began.Store(true)
	return errors.New("the item has a NUL byte in its name")
}

// notStarted is for a command that was not started.
func (h *holder) notStarted(l *lease.Lease, err error) error {
	if l.Context().Err() != nil {
		h.gaveUp.Store(true)
		warn("the lease of %s was lost before its command began", show(l.LeaseID))
		return err
	}
	h.status.Store(int64(cantRun(h.args[0], err)))
	h.began.Store(true)
	return err
}

// deniedError is a refusal that no waiting makes good.
type deniedError struct{ text string }

func (e *deniedError) Error() string { return e.text }

// denial returns the refusal that has ended a context, or nil.
func denial(ctx context.Context) *deniedError {
	var e *deniedError
	errors.As(context.Cause(ctx), &e)
	return e
}

// holdLogger shows what goes wrong while it holds or waits, or with -v everything.
type holdLogger struct {
	*holder
	deny func(cause error)
	mu   sync.Mutex
	told string // what it has shown last
}

func (l *holdLogger) LogInfoMessage(message string, keyvals ...interface{}) {
	if l.verbose {
		logEvent(message, keyvals)
	}
}

func (l *holdLogger) LogErrorMessage(message string, keyvals ...interface{}) {
	if l.verbose {
		logEvent(message, keyvals)
	}
	values := valuesByKey(keyvals)
	code := values["Code"]
	if strings.HasPrefix(code, "AccessDenied") && !l.began.Load() {
		text := denied(operation(values), l.table, code, values["AWSMessage"])
		l.deny(&deniedError{text})
		return
	}
	if l.verbose {
		return
	}
	switch message {
	case "AWS Error":
		l.tell(awsErrorText(values))
	case "Clock Corrected", "Lease Item Skipped", "Panic":
		l.tell(eventLine(message, keyvals))
	}
}

// tell shows what it has not shown just before.
func (l *holdLogger) tell(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if text != "" && text != l.told {
		l.told = text
		warn("%s", text)
	}
}

func valuesByKey(keyvals []any) map[string]string {
	values := make(map[string]string)
	for pair := range slices.Chunk(keyvals, 2) {
		if len(pair) == 2 {
			values[fmt.Sprint(pair[0])] = fmt.Sprint(pair[1])
		}
	}
	return values
}

// operation returns what an event of the library is about. It says so of all but its writes.
func operation(values map[string]string) string {
	return cmp.Or(values["operation"], "UpdateItem")
}

func awsErrorText(values map[string]string) string {
	text := values["error"]
	if code := values["Code"]; code != "" {
		text = "dynamodb:" + operation(values) + " failed: " + code + ": " + values["AWSMessage"]
	}
	if id := values["lease_id"]; id != "" {
		text = show(id) + ": " + strings.TrimPrefix(text, "lease: ")
	}
	return text
}
