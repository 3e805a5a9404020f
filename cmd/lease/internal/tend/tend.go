// Package tend runs commands, each under a lease: none outlives its tenure, whatever becomes of
// this process. Reading: tend.go → group.go, stub.go, notify.go → guard.go.
package tend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/intercom/lease"
	"github.com/intercom/lease/cmd/lease/internal/exit"
	"github.com/intercom/lease/cmd/lease/internal/say"
)

const (
	leftoverGrace = 5 * time.Second        // for what a command that has ended leaves in its group
	lostGrace     = time.Second            // when the item is another's already
	killPause     = 100 * time.Millisecond // from one SIGKILL to the next: it may just have forked
)

// Keeper runs commands, each under a lease.
type Keeper struct {
	Path     string
	Args     []string // the command's own name first
	Many     bool     // commands run side by side, and none gets stdin
	Duration time.Duration
	Watchdog time.Duration   // how long one may say nothing; 0: for ever
	Patience time.Duration   // how long it may take to end when it is told to; 0: for ever
	Kill     <-chan struct{} // closed when all are to end at once
	guard    *guard
}

// outcome is how a command has ended.
type outcome struct {
	Status      int // as a shell has it
	Lost        bool
	Interrupted bool  // by Ctrl-C at its terminal
	Err         error // what Hold is to hear of it
}

// Run runs the command for an item, with more in its environment, until all processes of its group
// have ended. It ends them when ctx is done, and sees to it that they don't outlive the tenure. The
// error is why the command was not started.
func (k *Keeper) Run(ctx context.Context, l *lease.Lease, env []string) (outcome, error) {
	runtime.LockOSThread() // On Linux the command is killed when the thread that started it ends.
	defer runtime.UnlockOSThread()
	var said *notices
	if k.Watchdog > 0 {
		var err error
		if said, err = newNotices(); err != nil {
			return outcome{}, err
		}
		defer said.close()
		env = append(env,
			"NOTIFY_SOCKET="+said.path,
			fmt.Sprint("WATCHDOG_USEC=", k.Watchdog.Microseconds()),
		)
	}
	g, err := k.start(l, env)
	if err != nil {
		return outcome{}, err
	}
	defer g.close()
	t := k.newTending(l, g)
	if said != nil {
		t.goesOn = said.goesOn
		t.stops = said.stops
		t.silent = time.After(k.Watchdog)
	}
	t.run(ctx)
	k.guard.drop(g.id)
	return t.outcome(ctx), nil
}

func (k *Keeper) newTending(l *lease.Lease, g *group) *tending {
	return &tending{Keeper: k, lease: l, group: g, lead: killLead(k.Duration)}
}

// killLead is how much sooner than the tenure's end a group is killed: that takes a moment.
func killLead(duration time.Duration) time.Duration {
	const shortest, longest = 10 * time.Millisecond, 100 * time.Millisecond
	return min(max(duration/100, shortest), longest)
}

// tending is the care for a command and all of its group.
type tending struct {
	*Keeper
	lease *lease.Lease
	group *group
	lead  time.Duration

	goesOn, stops <-chan struct{}  // what the command says of itself
	silent        <-chan time.Time // it has said nothing for too long

	told bool             // the group was told to stop
	hung bool             // as it was silent
	lost bool             // its lease is lost, or about to be
	kill <-chan time.Time // it is to be killed

	ends      time.Time        // when it is killed if no renewal comes
	ended     <-chan time.Time // that time has come
	guardTold time.Time        // when the guard has heard of it
}

func (t *tending) run(ctx context.Context) {
	exited := t.group.exited
	done := ctx.Done()
	over := t.lease.Context().Done()
	atOnce := t.Keeper.Kill
	ticker := time.NewTicker(t.lead)
	defer ticker.Stop()
	t.keepUntilEnd(t.lease.Remaining())
	for !t.group.over() {
		select {
		case <-exited:
			exited = nil
			t.endLeftovers()
		case <-done:
			done = nil
			t.stop()
		case <-over:
			over = nil
			t.lose()
		case <-t.goesOn:
			t.silent = time.After(t.Watchdog)
		case <-t.stops:
			t.endHung("says that it hangs")
		case <-t.silent:
			t.endHung("has not said for " + say.Duration(t.Watchdog) + " that it goes on")
		case <-t.ended:
			t.endTenure()
		case <-atOnce:
			atOnce = nil
			t.killAfter(0)
		case <-t.kill:
			t.group.signal(syscall.SIGKILL)
			t.killAfter(killPause)
		case <-ticker.C:
			t.group.resume()
			t.followRenewals()
		}
	}
}

// tell tells the group to stop, once. One that is stopped at the terminal can't end.
func (t *tending) tell() {
	if t.told {
		return
	}
	t.told = true
	t.group.signal(syscall.SIGTERM)
	t.group.signal(syscall.SIGCONT)
}

func (t *tending) killAfter(grace time.Duration) { t.kill = time.After(grace) }

// keepUntilEnd says till when the group may work, if that is news. It says so again each second: a
// word to the guard may not have got through.
func (t *tending) keepUntilEnd(left time.Duration) {
	now := time.Now()
	end := now.Add(left - t.lead)
	same := end.Sub(t.ends).Abs() < t.lead
	if same && now.Sub(t.guardTold) < time.Second {
		return
	}
	t.ends = end
	t.ended = time.After(left - t.lead)
	t.guardTold = now
	t.guard.keep(t.group.id, end)
}

// endLeftovers ends what the command has left when it ended by itself.
func (t *tending) endLeftovers() {
	if t.told || t.group.over() {
		return
	}
	t.tell()
	t.killAfter(leftoverGrace)
}

// stop is for an item that is wanted, or a holder that is to stop: there is time to finish.
func (t *tending) stop() {
	if t.lease.Context().Err() != nil {
		return
	}
	t.tell()
	if t.Patience > 0 && t.kill == nil {
		t.killAfter(t.Patience)
	}
}

// endHung is for a command that hangs: it is ended, and then the item is given up as after any
// other end.
func (t *tending) endHung(why string) {
	if t.told {
		return
	}
	t.hung = true
	about := say.About{Item: t.lease.LeaseID, Cause: why}
	about.Warn("the command for %s %s, and is ended", say.Name(t.lease.LeaseID), why)
	t.tell()
	t.killAfter(cmp.Or(t.Patience, leftoverGrace))
}

// lose is for a lease that is over: the item may be another's. What was told to stop has had its
// time.
func (t *tending) lose() {
	grace := time.Duration(0)
	if !t.told {
		grace = min(lostGrace, t.Duration/10, time.Until(t.ends))
	}
	t.lost = true
	t.tell()
	t.killAfter(max(0, grace))
}

// endTenure kills the group, unless a renewal came at the last moment.
func (t *tending) endTenure() {
	left := t.lease.Remaining()
	if left > t.lead {
		t.keepUntilEnd(left)
		return
	}
	t.lost = true
	t.told = true
	t.killAfter(0)
}

// followRenewals moves the end along. If no renewal has come for too long, there is no time to stop
// in but this.
func (t *tending) followRenewals() {
	left := t.lease.Remaining()
	if left == 0 {
		return
	}
	t.keepUntilEnd(left)
	if left < t.Duration/10 && !t.lost {
		t.lost = true
		t.tell()
	}
}

var errAboutToBeLost = errors.New("the lease could not be renewed, and the command was ended")

// outcome is how the command has ended.
func (t *tending) outcome(ctx context.Context) outcome {
	o := outcome{Status: t.group.status(), Interrupted: t.group.interrupted() && !t.told}
	if t.hung {
		o.Status = cmp.Or(o.Status, exit.Failed)
	}

	// It may have been the guard that ended it.
	o.Lost = t.lost || t.lease.Context().Err() != nil
	switch {
	case o.Lost:
		t.warnOfLoss()
		o.Err = errAboutToBeLost
	case ctx.Err() != nil:
		o.Err = context.Cause(ctx)
	case o.Status != 0:
		o.Err = fmt.Errorf("the command ended with status %d", o.Status)
		if t.Many {
			about := say.About{Item: t.lease.LeaseID, Status: o.Status}
			about.Warn("the command for %s ended with status %d", say.Name(t.lease.LeaseID), o.Status)
		}
	}
	return o
}

func (t *tending) warnOfLoss() {
	what := "could not be renewed in time"
	cause := context.Cause(t.lease.Context())
	isLost := errors.Is(cause, lease.LeaseLostError) && !errors.Is(cause, lease.LeaseExpiredError)
	if isLost {
		what = "was lost"
	}
	end := "was ended"
	if t.group.foreign {
		end = "has ended by itself"
	}
	about := say.About{Item: t.lease.LeaseID, Cause: what}
	about.Warn("the lease of %s %s, and its command %s", say.Name(t.lease.LeaseID), what, end)
}

// CantRun says why a command can't be run, and returns the exit status that shells have for it.
func CantRun(name string, err error) exit.Status {
	var lookup *exec.Error
	var access *fs.PathError
	why := err
	if errors.As(err, &lookup) {
		why = lookup.Err
	}
	if errors.As(why, &access) {
		why = access.Err
	}
	say.About{Cause: why.Error()}.Warn("the command %q can't be run: %v", name, why)
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return exit.NotFound
	}
	return exit.CantRun
}

// InterruptGroup ends this process and its group as Ctrl-C does: the script around this one is to
// stop too, as it does for a command without a lease.
func InterruptGroup() {
	signal.Reset(syscall.SIGINT)
	syscall.Kill(0, syscall.SIGINT)
	time.Sleep(time.Second)
}
