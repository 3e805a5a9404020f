package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/intercom/lease"
)

const holdHelp = `Usage: lease hold -as LESSEE [-most N] [-duration 30s] [--] COMMAND...

Waits for a free item, holds it, and runs the command meanwhile, with
LEASE_ID, LEASE_TOKEN and LEASE_LESSEE in its environment. If the item is
wanted elsewhere, or on SIGINT or SIGTERM, the command's process group gets
SIGTERM; the item is handed over, or released, when all of it has ended. A
second signal kills it. When the lease is lost, or about to be, it gets
SIGTERM, and SIGKILL at the end of the tenure. Daemons are beyond its reach.

  -as LESSEE     the name of this worker; no other live one may have it
  -most N        hold a fair share of all items, N at most (0: no limit), with
                 a command for each, side by side and without stdin
  -duration 30s  how long the lease outlives this program

  -table T, -key K, -region R, -endpoint URL, -v: see "lease -h"

Exit status: that of the command (128 + n for signal n); 75 if the lease was
lost; 125 none to be had, 126, 127 no such command. -most: 0 if told to stop.

Example: lease hold -as $(hostname):$$ -table boxes -- sh -c 'echo $LEASE_ID'
`

func hold(a *app, flags *flag.FlagSet) func(ctx context.Context, args []string) error {
	as := flags.String("as", "", "")
	most := flags.Int("most", -1, "")
	duration := flags.Duration("duration", 30*time.Second, "")
	return func(ctx context.Context, args []string) error {
		share := false
		flags.Visit(func(f *flag.Flag) { share = share || f.Name == "most" })
		switch {
		case *as == "":
			return usagef(`who holds it? Give -as LESSEE, a name that no other live worker has`)
		case share && *most < 0:
			return usagef("-most is %d; want the number of items to hold, or 0 for no limit", *most)
		case *duration < time.Second:
			return usagef("-duration is %v; want 1s or more, and rather 20s or more", *duration)
		case len(args) == 0:
			return usagef(`no command to run while it is held; see "lease hold -h"`)
		}
		path, err := exec.LookPath(args[0])
		if err != nil {
			return cantRun(args[0], err)
		}
		h := &holder{app: a, as: lessee{*as, *duration}, path: path, args: args, share: share}
		if err := h.prepare(ctx); err != nil {
			return err
		}
		if share {
			return h.runShare(ctx, *most)
		}
		return h.runOne(ctx)
	}
}

// cantRun says why a command can't be run, with the exit status that shells have for it.
func cantRun(name string, err error) error {
	status := exitStatus(statusCantRun)
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		status = statusNotFound
	}
	if inner := (*exec.Error)(nil); errors.As(err, &inner) {
		err = inner.Err
	}
	if inner := (*fs.PathError)(nil); errors.As(err, &inner) {
		err = inner.Err
	}
	warn("the command %q can't be run: %v", name, err)
	return status
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
	switch {
	case err == nil:
	case ctx.Err() != nil || errors.As(err, new(usageError)):
		return err
	default:
		h.complain(err)
		return exitStatus(statusCantHold)
	}
	h.locker = lease.NewLocker(c.LockStore)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // A closed stderr is not to end it.
	return nil
}

// runOne holds one item, and returns the command's exit status.
func (h *holder) runOne(ctx context.Context) error {
	holdCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	lease.SetLogger(&holdLogger{holder: h, deny: cancel})
	patience := time.AfterFunc(2*time.Second, func() {
		if !h.began.Load() && isTerminal(os.Stderr) {
			warn("waiting for a free item")
		}
	})
	err := h.locker.Hold(holdCtx, h.as, h.work)
	patience.Stop()
	var denied *deniedError
	switch {
	case h.gaveUp.Load():
		return exitStatus(statusLost)
	case h.began.Load() && errors.Is(err, lease.LeaseLostError):
		warn("the lease was lost when the command had just ended")
		return exitStatus(statusLost)
	case h.ctrlC.Load(): // The script around this one is to stop too, as it does for a command without a lease.
		signal.Reset(syscall.SIGINT)
		syscall.Kill(0, syscall.SIGINT)
		time.Sleep(time.Second)
		return exitStatus(h.status.Load())
	case h.began.Load():
		return exitStatus(h.status.Load())
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(context.Cause(holdCtx), &denied):
		err = denied
	}
	var status exitStatus
	if errors.As(err, &status) {
		return status
	}
	h.complain(err)
	return exitStatus(statusCantHold)
}

// runShare holds a share of all items until it is told to stop.
func (h *holder) runShare(ctx context.Context, most int) error {
	holdCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	lease.SetLogger(&holdLogger{holder: h, deny: cancel})
	err := h.locker.HoldShare(holdCtx, h.as, most, h.work)
	var denied *deniedError
	switch {
	case errors.As(context.Cause(holdCtx), &denied):
		err = denied
	case ctx.Err() != nil && err == context.Cause(ctx):
		return nil
	case ctx.Err() != nil && err != nil:
		warn("%v", err) // Items stay leased.
		return exitStatus(statusFailed)
	}
	h.complain(err)
	return exitStatus(statusCantHold)
}

// work runs the command for one item. It returns when all processes of the command's group have ended.
func (h *holder) work(ctx context.Context, l *lease.Lease) error {
	runtime.LockOSThread() // On Linux the command is killed when the thread that started it ends.
	defer runtime.UnlockOSThread()
	if strings.Contains(l.LeaseID, "\x00") {
		warn("no command can be run for the item %s: an environment can't have its name", show(l.LeaseID))
		h.began.Store(true)
		h.status.Store(statusCantHold)
		return errors.New("the item has a NUL byte in its name")
	}
	g, err := h.start(l)
	if err != nil && l.Context().Err() != nil {
		h.gaveUp.Store(true)
		warn("the lease of %s was lost before its command began", show(l.LeaseID))
		return err
	} else if err != nil {
		h.began.Store(true)
		status, _ := cantRun(h.args[0], err).(exitStatus)
		h.status.Store(int64(status))
		return err
	}
	h.began.Store(true)
	defer g.close()
	return h.tend(ctx, l, g)
}

const (
	leftoverGrace = 5 * time.Second // for what a command that has ended leaves in its group
	lostGrace     = time.Second     // when the item is another's already
)

// tend waits until a group has ended. It ends it when ctx is done, and sees to it that it doesn't outlive the tenure.
func (h *holder) tend(ctx context.Context, l *lease.Lease, g *group) error {
	lead := min(max(h.as.duration/100, 10*time.Millisecond), 100*time.Millisecond) // Killing takes a moment.
	ticker := time.NewTicker(lead)
	defer ticker.Stop()
	var kill, last <-chan time.Time // last is when it is killed if no renewal comes
	told, lost := false, false      // the group was told to stop; its lease is lost, or about to be
	end := func() {
		if !told {
			told = true
			g.signal(syscall.SIGTERM)
			g.signal(syscall.SIGCONT) // One that is stopped can't end.
		}
	}
	done, over, again, exited := ctx.Done(), l.Context().Done(), (<-chan struct{})(h.again), g.exited
	var ends, toldGuard time.Time
	keep := func(left time.Duration) {
		now := time.Now()
		end := now.Add(left - lead)
		if now.Sub(toldGuard) < time.Second && end.Sub(ends).Abs() < lead {
			return
		}
		ends, toldGuard, last = end, now, time.After(left-lead)
		h.guard.keep(g.id, ends) // Again each second: a word may not have got through.
	}
	keep(l.Remaining())
	for !g.over() {
		select {
		case <-exited:
			exited = nil
			if !told && !g.over() {
				end()
				kill = time.After(leftoverGrace)
			}
		case <-done:
			done = nil
			if l.Context().Err() == nil { // wanted, or told to stop
				end()
			}
		case <-over:
			over = nil
			grace := min(lostGrace, h.as.duration/10, time.Until(ends))
			if told {
				grace = 0
			}
			lost = true
			end()
			kill = time.After(max(0, grace))
		case <-last:
			if left := l.Remaining(); left > lead { // A renewal came at the last moment.
				keep(left)
				continue
			}
			lost, told = true, true
			kill = time.After(0)
		case <-again:
			again = nil
			kill = time.After(0)
		case <-kill:
			g.signal(syscall.SIGKILL)
			kill = time.After(100 * time.Millisecond) // It may just have forked.
		case <-ticker.C:
			g.resume()
			left := l.Remaining()
			if left == 0 {
				continue
			}
			keep(left)
			if left < h.as.duration/10 && !lost { // Renewals fail: there is no time but this to stop in.
				lost = true
				end()
			}
		}
	}
	h.guard.drop(g.id)
	status := g.status()
	h.status.Store(int64(status))
	h.ctrlC.Store(g.interrupted() && !told)
	switch name := show(l.LeaseID); {
	case lost || l.Context().Err() != nil: // It may have been the guard that ended it.
		h.gaveUp.Store(true)
		if g.foreign {
			warn("the lease of %s was lost, and its command has ended by itself", name)
		} else {
			warn("the lease of %s was lost, and its command was ended", name)
		}
		return errAboutToBeLost
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case status != 0:
		if h.share {
			warn("the command for %s ended with status %d", name, status)
		}
		return fmt.Errorf("the command ended with status %d", status)
	}
	return nil
}

var errAboutToBeLost = errors.New("the lease could not be renewed, and the command was ended")

// deniedError is a refusal that no waiting makes good.
type deniedError struct{ text string }

func (e *deniedError) Error() string { return e.text }

// holdLogger shows what goes wrong while it holds or waits, or with -v everything.
type holdLogger struct {
	*holder
	deny func(cause error)
	mu   sync.Mutex
	last string
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
	values := make(map[string]string)
	for i := 0; i+1 < len(keyvals); i += 2 {
		values[fmt.Sprint(keyvals[i])] = fmt.Sprint(keyvals[i+1])
	}
	code, operation := values["Code"], cmp.Or(values["operation"], "UpdateItem")
	if strings.HasPrefix(code, "AccessDenied") && !l.began.Load() {
		l.deny(&deniedError{fmt.Sprintf("no permission for dynamodb:%s on table %q: have that action allowed for these credentials (%s: %s)",
			operation, l.table, code, values["AWSMessage"])})
		return
	}
	text := ""
	switch message {
	case "AWS Error":
		if text = "dynamodb:" + operation + " failed: " + code + ": " + values["AWSMessage"]; code == "" {
			text = values["error"]
		}
		if id := values["lease_id"]; id != "" {
			text = show(id) + ": " + strings.TrimPrefix(text, "lease: ")
		}
	case "Clock Corrected", "Lease Item Skipped", "Panic":
		text = eventLine(message, keyvals)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if text != "" && text != l.last && !l.verbose {
		l.last = text
		warn("%s", text)
	}
}
