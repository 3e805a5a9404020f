package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/intercom/lease"
	"github.com/intercom/lease/cmd/lease/internal/cli"
	"github.com/intercom/lease/cmd/lease/internal/dynamo"
	"github.com/intercom/lease/cmd/lease/internal/exit"
	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/say"
	"github.com/intercom/lease/cmd/lease/internal/tend"
)

// holding is what the flags of hold say.
type holding struct {
	as       string
	item     string // that one; "": any
	share    bool   // -most was given
	most     int
	items    string // of the share: a pattern
	capacity float64
	duration time.Duration
	waits    bool // for as long as is given, no longer
	wait     time.Duration
	try      bool
	linger   time.Duration
	watchdog time.Duration
	patience time.Duration
	json     bool
}

func (a *app) hold() *cobra.Command {
	var f holding
	var c *cobra.Command
	c = a.command(cobra.Command{
		Use:         "hold [-item NAME | -most N] [-try | -wait D] [--] COMMAND...",
		Short:       "run a command while it holds an item, or many",
		Long:        holdHelp,
		Example:     "lease hold -table jobs -item nightly -try -linger 10m -- ./backup.sh",
		Annotations: map[string]string{cli.Verbatim: "true"},
	}, func(ctx context.Context, args []string) error {
		f.share = cli.IsGiven(c, "most")
		f.waits = f.try || cli.IsGiven(c, "wait")
		if err := f.check(args); err != nil {
			return err
		}
		program, err := exec.LookPath(args[0])
		if err != nil {
			return tend.CantRun(args[0], err)
		}
		h := &holder{
			app:     a,
			holding: f,
			as:      dynamo.Lessee{Name: cmp.Or(f.as, lease.UniqueLesseeID()), Duration: f.duration},
			keeper: &tend.Keeper{
				Path:     program,
				Args:     args,
				Many:     f.share,
				Duration: f.duration,
				Watchdog: f.watchdog,
				Patience: f.patience,
				Kill:     a.again,
			},
		}
		return h.run(ctx)
	})
	flags := c.Flags()
	flags.SetInterspersed(false)
	flags.StringVar(&f.item, "item", "", "hold the item `NAME`, and no other")
	flags.IntVar(&f.most, "most", -1, "hold a fair share of all items, `N` at most (0: no limit), and run "+
		"a command for each. -items PATTERN, -capacity C: of those only, and so much load "+
		"next to other workers, who count 1")
	flags.StringVar(&f.items, "items", "*", "with -most: a share of the items of `PATTERN` only")
	flags.Float64Var(&f.capacity, "capacity", 1, "with -most: so much load, `C`, next to other workers, who count 1")
	flags.BoolVar(&f.try, "try", false, "exit with 75 if none is to be had at once; -wait D: in that time")
	flags.DurationVar(&f.wait, "wait", 0, "exit with 75 if none is to be had in that time, `D`")
	flags.DurationVar(&f.linger, "linger", 0, "keep the item leased for `D` after the command's success")
	flags.DurationVar(&f.watchdog, "watchdog", 0, "end a command that hasn't sent WATCHDOG=1 to "+
		"$NOTIFY_SOCKET for `D`, as under systemd")
	flags.DurationVar(&f.patience, "patience", 0, "kill it if it goes on for `D` after SIGTERM")
	flags.DurationVar(&f.duration, "duration", 30*time.Second, "the lease outlives this program for `D`; else 30s")
	flags.StringVar(&f.as, "as", "", "be the worker `LESSEE`, as no other live one is; else any name")
	flags.BoolVar(&f.json, "json", false, "log in JSON")
	cli.ExplainElsewhere(flags, "items", "capacity", "wait")
	return c
}

const holdHelp = `Waits for a free item, and runs the command while it holds it, with LEASE_ID,
LEASE_TOKEN, LEASE_LESSEE and LEASE_ATTRIBUTES (JSON) in its environment. When
the item is wanted elsewhere, or at SIGTERM, the command's process group gets
SIGTERM; at a second one SIGKILL, and when the tenure ends. The exit status is
the command's; 75: lease lost, or not to be had; 125: no table, say.`

func (f *holding) check(args []string) error {
	if f.share && f.most < 0 {
		return exit.Usagef("-most is %d; want the number of items to hold, or 0 for no limit", f.most)
	}
	if f.duration < time.Second {
		return exit.Usagef("-duration is %v; want 1s or more, and rather 20s or more", f.duration)
	}
	for name, d := range map[string]time.Duration{
		"wait": f.wait, "linger": f.linger, "watchdog": f.watchdog, "patience": f.patience,
	} {
		if d < 0 {
			return exit.Usagef("-%s is %v; want a time", name, d)
		}
	}
	if f.try && f.wait > 0 {
		return exit.Usagef("give -try, or -wait: the one waits for nothing")
	}
	if !fleet.IsPattern(f.items) {
		return exit.Usagef("-items is %q, which is no pattern: want box-*, say", f.items)
	}
	if f.capacity <= 0 {
		return exit.Usagef("-capacity is %v; want how much load it carries next to others, 1 or 2.5 say", f.capacity)
	}
	if err := f.checkShare(); err != nil {
		return err
	}
	if len(args) == 0 {
		return exit.Usagef(`no command to run while it is held; see "lease hold -h"`)
	}
	return nil
}

// checkShare tells which flags are not for a share, or for one only.
func (f *holding) checkShare() error {
	if f.share {
		if f.item != "" || f.waits || f.linger > 0 {
			return exit.Usagef("-most is for a share of the items, which never ends: -item, -try, -wait and -linger are for one item")
		}
		return nil
	}
	if f.items != "*" || f.capacity != 1 {
		return exit.Usagef("-items and -capacity are for a share of the items: give -most too")
	}
	return nil
}

// holder runs commands under leases.
type holder struct {
	*app
	holding
	as     dynamo.Lessee
	keeper *tend.Keeper
	locker *lease.Locker
	until  time.Time // an item is to be had; zero: whenever that is

	opened atomic.Bool  // the table has answered
	phase  atomic.Int32 // of the wait for an item
	status atomic.Int64 // of the command that ended last
	gaveUp atomic.Bool  // a command was ended as its lease was lost, or about to be
	ctrlC  atomic.Bool  // a command was ended at the terminal

	lingers bool // the item stays leased; it is set before Hold returns
}

// The phases of the wait for an item. It is over with the first that is had.
const (
	waiting int32 = iota
	working       // a command was started
	waitedEnough
)

func (h *holder) began() bool { return h.phase.Load() == working }

// run holds what it is to hold, and returns the command's exit status.
func (h *holder) run(ctx context.Context) error {
	if h.waits {
		h.until = time.Now().Add(h.wait)
	}
	say.Log.Timed = true
	say.Log.JSON = h.json
	newsCtx, stop := context.WithCancel(ctx)
	defer stop()
	if !h.try { // It says why it doesn't wait.
		about := say.About{Item: h.item}
		go about.WhileWaiting(newsCtx, func() string { return h.waitsFor(newsCtx) })
	}
	if err := h.prepare(ctx); err != nil {
		return err
	}
	holdCtx, deny := context.WithCancelCause(ctx)
	defer deny(nil)
	lease.SetLogger(&holdLogger{verbose: h.verbose})
	n := &news{holder: h, deny: deny, tell: say.About.Warn}
	h.locker.Observe(n.hear)
	if h.share {
		return h.runShare(ctx, holdCtx)
	}
	return h.runOne(ctx, holdCtx)
}

// prepare makes sure of what no waiting would make good.
func (h *holder) prepare(ctx context.Context) error {
	retries := dynamo.SDKRetries
	if h.waits {
		retries = dynamo.FewRetries
	}
	c, err := h.Connect(retries)
	if err == nil {
		err = dynamo.Patiently(ctx, h.until, time.Second, c.Reach)
	}
	if err == nil {
		err = h.keeper.StartGuard()
	}
	if err == nil {
		h.opened.Store(true)
		h.locker = lease.NewLocker(c.LockStore)
		signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // A closed stderr is not to end it.
		return nil
	}
	if ctx.Err() != nil || errors.As(err, new(exit.UsageError)) {
		return err
	}
	return h.cantHold(err)
}

// cantHold says why no lease is to be had.
func (h *holder) cantHold(err error) error {
	h.Complain(err)
	return exit.Status(exit.CantHold)
}

// runOne holds one item. holdCtx ends with ctx, or when there is no use in waiting.
func (h *holder) runOne(ctx, holdCtx context.Context) error {
	var err error
	if h.item == "" {
		err = h.locker.Hold(holdCtx, h.as, h.work)
	} else {
		err = h.locker.HoldItem(holdCtx, h.item, h.as, h.work)
	}
	if h.gaveUp.Load() {
		return exit.Status(exit.Lost)
	}
	if h.began() {
		return h.afterCommand(err)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if h.phase.Load() == waitedEnough {
		say.About{Item: h.item}.Warn("%s", h.situation(ctx))
		return exit.Status(exit.Lost)
	}
	if denied := denial(holdCtx); denied != nil {
		return h.cantHold(denied)
	}
	if errors.Is(err, lease.LeaseIDUnknownError) {
		err = h.Client.Load().Missing(h.item)
	}
	return h.cantHold(err)
}

// afterCommand returns the exit status when the command has ended by itself, or as it was told
// to. err is what Hold has returned.
func (h *holder) afterCommand(err error) error {
	if errors.Is(err, lease.LeaseLostError) && !h.lingers {
		say.About{Item: h.item}.Warn("the lease was lost when the command had just ended")
		return exit.Status(exit.Lost)
	}
	if h.ctrlC.Load() {
		tend.InterruptGroup()
	}
	return exit.Status(h.status.Load())
}

// runShare holds a share of all items until it is told to stop.
func (h *holder) runShare(ctx, holdCtx context.Context) error {
	options := lease.ShareOptions{Most: h.most, Capacity: h.capacity, Items: func(id string) bool { return fleet.Matches(h.items, id) }}
	err := h.locker.HoldShareWith(holdCtx, h.as, options, h.work)
	if denied := denial(holdCtx); denied != nil {
		return h.cantHold(denied)
	}
	if ctx.Err() == nil {
		return h.cantHold(err)
	}
	if err == context.Cause(ctx) {
		return nil
	}
	say.Warn("%v", err) // Items stay leased.
	return exit.Status(exit.Failed)
}

// work runs the command for one item.
func (h *holder) work(ctx context.Context, l *lease.Lease) error {
	if !h.phase.CompareAndSwap(waiting, working) && !h.began() {
		return errors.New("it came too late")
	}
	if strings.Contains(l.LeaseID, "\x00") {
		return h.badName(l)
	}
	o, err := h.keeper.Run(ctx, l, h.environment(l))
	if err != nil {
		return h.notStarted(l, err)
	}
	h.status.Store(int64(o.Status))
	h.ctrlC.Store(o.Interrupted)
	if o.Lost {
		h.gaveUp.Store(true)
		h.tellWhoHas(l)
	}
	if o.Err != nil || h.linger == 0 {
		return o.Err
	}
	return h.keep(l)
}

// tellWhoHas says what became of an item whose tenure is over, if that can be learned at once.
func (h *holder) tellWhoHas(l *lease.Lease) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	i, err := h.Client.Load().Find(ctx, l.LeaseID)
	if err != nil {
		return
	}
	if i.Forced != nil && *i.Forced == l.FencingToken() {
		say.About{Item: l.LeaseID}.Warn("%s was freed by force", say.Name(l.LeaseID))
	}
	now := time.Now()
	about := say.About{Item: l.LeaseID}
	if i.Live(now) {
		about.Holder = i.LesseeID
		about.Token = i.FencingToken
	}
	about.Warn("%s %s", say.Name(l.LeaseID), i.Describe(now))
}

// environment is what a command learns of its tenure.
func (h *holder) environment(l *lease.Lease) []string {
	const longest = 100_000 // is less than Linux takes for one variable
	env := []string{
		"LEASE_ID=" + l.LeaseID,
		"LEASE_TOKEN=" + strconv.FormatInt(l.FencingToken(), 10),
		"LEASE_LESSEE=" + h.as.Name,
	}
	attributes := fleet.UsersAttributes(l.AttributeValues, h.Client.Load().Key)
	if len(attributes) > longest {
		say.About{Item: l.LeaseID}.Warn(
			"the attributes of %s are too large for an environment: LEASE_ATTRIBUTES isn't set", say.Name(l.LeaseID))
		return env
	}
	return append(env, "LEASE_ATTRIBUTES="+attributes)
}

// keep leases the item anew, for as long as it is to linger. What Hold releases then is the tenure
// before, which is over.
func (h *holder) keep(l *lease.Lease) error {
	ctx, cancel := context.WithTimeout(context.Background(), l.Remaining())
	defer cancel()
	request := dynamo.Lessee{Name: h.as.Name, Duration: h.linger}
	_, err := h.Client.Load().LeaseWithContext(ctx, l.LeaseID, request, time.Now().Add(h.linger))
	if err != nil {
		why := h.Explain(err)
		say.About{Item: l.LeaseID, Cause: why}.Warn(
			"%s is released, as it can't be leased for longer: %s", say.Name(l.LeaseID), why)
		return err
	}
	h.lingers = true
	return nil
}

// badName is for an item that no command can be told of.
func (h *holder) badName(l *lease.Lease) error {
	say.About{Item: l.LeaseID}.Warn(
		"no command can be run for the item %s: an environment can't have its name", say.Name(l.LeaseID))
	h.status.Store(exit.CantHold)
	return errors.New("the item has a NUL byte in its name")
}

// notStarted is for a command that was not started.
func (h *holder) notStarted(l *lease.Lease, err error) error {
	if l.Context().Err() != nil {
		h.gaveUp.Store(true)
		say.About{Item: l.LeaseID}.Warn(
			"the lease of %s was lost before its command began", say.Name(l.LeaseID))
		return err
	}
	h.status.Store(int64(tend.CantRun(h.keeper.Args[0], err)))
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

// holdLogger shows what goes wrong that is no event, or with -v everything.
type holdLogger struct {
	verbose bool
	mu      sync.Mutex
	told    string // what it has shown last
}

func (l *holdLogger) LogInfoMessage(message string, keyvals ...interface{}) {
	if l.verbose {
		say.LogEvent(message, keyvals)
	}
}

func (l *holdLogger) LogErrorMessage(message string, keyvals ...interface{}) {
	if l.verbose {
		say.LogEvent(message, keyvals)
		return
	}
	switch message {
	case "Clock Corrected":
		l.tell(say.AboutEvent(keyvals), clockText(keyvals))
	case "Lease Item Skipped", "Panic":
		l.tell(say.AboutEvent(keyvals), say.EventLine(message, keyvals))
	}
}

// tell shows what it has not shown just before.
func (l *holdLogger) tell(about say.About, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if text != l.told {
		l.told = text
		about.Warn("%s", text)
	}
}

// clockText says by how much this host's clock is wrong, of which the first value is.
func clockText(keyvals []any) string {
	wrong, _ := keyvals[1].(time.Duration)
	where := "ahead of"
	if wrong < 0 {
		where = "behind"
	}
	return fmt.Sprintf("this host's clock is %s %s the database's, which is reckoned with: set it",
		say.Duration(wrong.Abs()), where)
}
