package lease

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// tenure is what all copies of a Locker's Lease share: who holds what since when, and, as
// a term, how that stands now. What a store has granted last is kept beside it, for the
// store: to the Locker that is just a Lease.
type tenure struct {
	holding
	owner      *Locker
	request    requested
	purpose    purpose
	attributes attributes    // as they were when it was obtained
	firstToken int64         // with which it began
	begun      time.Time     // when its lease was asked for
	took       time.Duration // how long that lease's reply was waited for

	ctx        context.Context // done when the tenure is over
	cancel     context.CancelCauseFunc
	work       context.Context // done when ctx is, or when the item is wanted
	cancelWork context.CancelCauseFunc
	// of the context of Hold's work; nil when none runs. The owner's mutex guards it
	endWorkCtx context.CancelCauseFunc
	watcher    atomic.Pointer[watcher] // over Hold's work; nil when none runs

	current atomic.Pointer[tenureState] // written with the owner's mutex held

	scale           sync.Mutex
	weighing        weighing    // guarded by scale
	isWeightIgnored atomic.Bool // one that makes no sense was said, and logged
}

// holding is the name of a tenure: who has what. A Locker has one live tenure of each.
type holding struct {
	leaseID string
	lessee  string
}

// purpose is what a lease is obtained for.
type purpose int

const (
	forCaller purpose = iota // who asked for it heartbeats and releases it
	forWork                  // work runs under it, by Hold or HoldShare, and ends when the item is wanted
)

// tenureState is a tenure at one moment.
type tenureState struct {
	term
	granted *Lease // as the store has granted it last
}

func (t *tenure) state() tenureState { return *t.current.Load() }

// lease returns the tenure as a Lease, to be given to a store.
func (t *tenure) lease() *Lease {
	return &Lease{LeaseID: t.leaseID, Request: t.request, tenure: t}
}

// weigh notes what the work says the item weighs. One that makes no sense is logged once, as a
// work may say it all the time.
func (t *tenure) weigh(weight float64) {
	if isMeasure(weight) {
		t.scale.Lock()
		t.weighing = t.weighing.heard(weight)
		t.scale.Unlock()
		return
	}
	if !t.isWeightIgnored.Swap(true) {
		logError("Lease Weight Ignored", "lessee_id", t.lessee, "lease_id", t.leaseID,
			"weight", fmt.Sprint(weight))
	}
}

// weightShown notes the row's weight, which a renewal's reply has shown.
func (t *tenure) weightShown(weight float64) {
	t.scale.Lock()
	defer t.scale.Unlock()
	t.weighing = t.weighing.renewed(weight)
}

// weightToWrite is what the next renewal is to write.
func (t *tenure) weightToWrite() (weight float64, ok bool) {
	t.scale.Lock()
	defer t.scale.Unlock()
	return t.weighing.toWrite()
}

// happen applies a fact to the tenure, with all that follows from it, and returns the
// tenure as it is then.
func (t *tenure) happen(f fact) term { return t.change(f, nil) }

// extend applies a renewal, which took so long, and which the store has answered by that Lease.
func (t *tenure) extend(g grant, took time.Duration, granted *Lease) term {
	return t.change(fact{kind: renewed, grant: g, took: took}, granted)
}

func (t *tenure) change(f fact, granted *Lease) term {
	t.owner.mu.Lock()
	was, is := t.apply(f, granted)
	t.owner.mu.Unlock()
	t.log(f, was, is)
	return is
}

// apply changes the tenure, counts that, and ends its contexts. The owner's mutex is held.
func (t *tenure) apply(f fact, granted *Lease) (was, is term) {
	f.at = time.Now()
	before := t.state()
	after := tenureState{term: before.after(f), granted: before.granted}

	// Of renewals that are answered in another order than they were applied, the one with
	// the greatest token counts.
	if granted != nil && after.token == f.grant.token {
		after.granted = granted
	}
	t.current.Store(&after)
	t.owner.stats.follow(t.purpose, f, before.term, after.term)
	t.owner.noteTransition(t, f, before.term, after.term)
	hasLeftWork := t.endWorkCtx != nil && before.live() && !after.live()
	if hasLeftWork {
		t.owner.noteLeaseless(t.leaseID, 1)
	}
	if !after.live() {
		t.cancel(after.cause())
	} else if after.phase == wanted {
		t.cancelWork(LeaseWantedError)
	}
	t.tellWork()
	return before.term, after.term
}

// beginWork notes that Hold's work begins, and returns its context: it is done with ctx, and
// at once when t.work is, so that no caller is told of the end before work is. A tenure has
// one.
func (t *tenure) beginWork(ctx context.Context) (context.Context, context.CancelFunc) {
	both, cancel := context.WithCancelCause(ctx)
	t.owner.mu.Lock()
	defer t.owner.mu.Unlock()
	t.endWorkCtx = cancel
	t.owner.stats.Working++
	if !t.state().live() {
		t.owner.noteLeaseless(t.leaseID, 1)
	}
	t.tellWork()
	return both, func() { cancel(nil) }
}

// endWork notes that the work has returned.
func (t *tenure) endWork() {
	t.owner.mu.Lock()
	defer t.owner.mu.Unlock()
	t.endWorkCtx = nil
	t.owner.stats.Working--
	if !t.state().live() {
		t.owner.noteLeaseless(t.leaseID, -1)
	}
}

// tellWork ends the work's context if t.work is done. The owner's mutex is held.
func (t *tenure) tellWork() {
	if t.endWorkCtx != nil && t.work.Err() != nil {
		t.endWorkCtx(context.Cause(t.work))
	}
}

// log tells of a transition, after the owner's mutex was given back: the logger is the
// user's.
func (t *tenure) log(f fact, was, is term) {
	who := []any{"lessee_id", t.lessee, "lease_id", t.leaseID}
	if f.kind == renewed && is.live() {
		logInfo("Renewed Lease", who...)
	}
	if was.phase == held && is.phase == wanted {
		logInfo("Lease Wanted", append(who, "wanted_by", is.wish.by)...)
	}
	if was.fate == is.fate {
		return
	}
	switch is.fate {
	case freed:
		logInfo("Released Lease", who...)
	case handedOver:
		logHandover(is.wish.by, who)
	}
}

// logHandover tells that an item was given away as it was wanted: by nobody in particular,
// if an operator wanted it freed.
func logHandover(wantedBy string, who []any) {
	if wantedBy == "" {
		logInfo("Released Lease", who...)
		return
	}
	logInfo("Handed Over Lease", append(who, "wanted_by", wantedBy)...)
}

// check ends the tenure if its time is up, and returns it as it is then.
func (t *tenure) check() term {
	is := t.state().term
	if is.live() && is.left(time.Now()) == 0 {
		is = t.happen(fact{kind: timePassed})
	}
	return is
}

// left returns how much longer the holder may rely on the lease.
func (t *tenure) left() time.Duration {
	return t.check().left(time.Now())
}

// over returns why the tenure is over; nil while it isn't.
func (t *tenure) over() error { return t.check().cause() }

// tick ends the tenure in time, wherever nobody asks for it. It comes again after a
// second, or after half the margin if that is less: timers stand still while a machine
// sleeps.
func (t *tenure) tick() {
	is := t.check()
	if !is.live() {
		return
	}
	nap := max(margin(is.duration)/2, time.Millisecond)
	left := max(is.left(time.Now()), 1)
	time.AfterFunc(min(left, nap, time.Second), t.tick)
}

// isSettled tells that what becomes of the row is known, or its holder's business.
func (t *tenure) isSettled() bool {
	is := t.state()
	return is.discarded || is.fate != notFreed
}

// handsOver tells that the item is to be handed over when it is released: its work was
// told to end for somebody who wants it.
func (t *tenure) handsOver() bool {
	return t.purpose == forWork && t.state().isWanted()
}

// freeAt is when others can have the row, if it isn't freed before: at its end, and not
// while a namesake may rely on it.
func (t *tenure) freeAt() time.Time {
	state := t.state()
	return later(state.rowEnd(), state.granted.keptUntil())
}
