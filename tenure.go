package lease

import (
	"context"
	"fmt"
	"maps"
	"sync/atomic"
	"time"
)

// tenure is what all copies of a Locker's Lease share.
type tenure struct {
	holding
	owner      *Locker
	request    requested
	purpose    purpose
	attributes attributes // as they were when it was obtained
	firstToken int64      // with which it began

	ctx     context.Context // done when the tenure is over
	end     context.CancelCauseFunc
	work    context.Context // done when ctx is, or when the item is wanted
	endWork context.CancelCauseFunc

	now atomic.Pointer[tenureState] // written with the owner's mutex held
}

// holding is who has what.
type holding struct {
	leaseID string
	lessee  string
}

// purpose is what a lease is obtained for.
type purpose int

const (
	forCaller purpose = iota // who asked for it heartbeats and releases it
	// a Hold or HoldShare runs work under it, which ends when the item is wanted
	forWork
)

// tenureState is a tenure at one moment.
type tenureState struct {
	term
	granted *Lease // as the store has granted it last
}

func (t *tenure) state() tenureState { return *t.now.Load() }

// lease returns the tenure as a Lease, to be given to a store.
func (t *tenure) lease() *Lease {
	return &Lease{LeaseID: t.leaseID, Request: t.request, tenure: t}
}

// happen applies an event to the tenure, with all that follows from it. It returns the
// tenure as it was before and as it is now.
func (t *tenure) happen(e event) (was, is term) {
	t.owner.mu.Lock()
	was, is = t.apply(e, nil)
	t.owner.mu.Unlock()
	t.log(e, was, is)
	return was, is
}

// renew is happen for a renewal, which the store has answered by that Lease.
func (t *tenure) renew(g grant, granted *Lease) (was, is term) {
	e := event{kind: renewed, grant: g}
	t.owner.mu.Lock()
	was, is = t.apply(e, granted)
	t.owner.mu.Unlock()
	t.log(e, was, is)
	return was, is
}

// apply changes the tenure, counts that, and ends its contexts. The owner's mutex is held.
func (t *tenure) apply(e event, granted *Lease) (was, is term) {
	e.at = time.Now()
	now := t.state()
	next := tenureState{term: now.after(e), granted: now.granted}

	// Replies may come in another order than their writes were applied.
	if granted != nil && e.grant.token >= now.token {
		next.granted = granted
	}
	t.now.Store(&next)
	t.owner.stats.follow(t.purpose, e, now.term, next.term)
	if !next.live() {
		t.end(next.cause())
	} else if next.phase == wanted {
		t.endWork(LeaseWantedError)
	}
	return now.term, next.term
}

// log tells of a transition, after the owner's mutex was given back: the logger is the
// user's.
func (t *tenure) log(e event, was, is term) {
	who := []any{"lessee_id", t.lessee, "lease_id", t.leaseID}
	if e.kind == renewed && is.live() {
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
		logInfo("Handed Over Lease", who...)
	}
}

// check returns the tenure as it is now, and ends it if its time is up.
func (t *tenure) check() term {
	now := t.state().term
	if now.live() && now.left(time.Now()) == 0 {
		_, now = t.happen(event{kind: timePassed})
	}
	return now
}

// left returns how much longer the holder may rely on the lease.
func (t *tenure) left() time.Duration {
	return t.check().left(time.Now())
}

// over returns why the tenure is over; nil while it isn't.
func (t *tenure) over() error { return t.check().cause() }

// tick ends the tenure in time. It comes again after half the margin, and each second:
// its timer knows nothing of a machine's sleep.
func (t *tenure) tick() {
	now := t.check()
	if !now.live() {
		return
	}
	nap := max(margin(now.duration)/2, time.Millisecond)
	left := max(now.left(time.Now()), 1)
	time.AfterFunc(min(left, nap, time.Second), t.tick)
}

// handsOver tells that the item is to be handed over when it is released: its work was
// told to end for somebody who wants it.
func (t *tenure) handsOver() bool {
	return t.purpose == forWork && t.state().isWanted()
}

// tenures are those of one Locker. Its mutex guards them.
type tenures struct {
	last map[holding]*tenure // the newest of each holding
	// by Heartbeats, Holds and HoldShares, and by what just leases or releases it
	uses    map[holding]int
	sweepAt int // at how many tenures those that are over are forgotten
}

func newTenures() tenures {
	return tenures{last: make(map[holding]*tenure), uses: make(map[holding]int)}
}

// usage tells what this Locker does with an item.
func (ts *tenures) usage(h holding) usage {
	if ts.uses[h] > 0 {
		return inUse
	}
	if last := ts.last[h]; last != nil && last.state().at(time.Now()).live() {
		return unused
	}
	return unheld
}

// sweep forgets tenures that are over, when there are many.
func (ts *tenures) sweep() {
	if len(ts.last) < ts.sweepAt {
		return
	}
	now := time.Now()
	maps.DeleteFunc(ts.last, func(_ holding, t *tenure) bool {
		state := t.state()
		return !state.at(now).live() && state.rowEnd().Before(now)
	})
	ts.sweepAt = 2*len(ts.last) + 16
}

// enter notes that an item is in use, and returns what it was before, and its last
// tenure or nil.
func (l *Locker) enter(h holding) (usage, *tenure) {
	l.mu.Lock()
	defer l.mu.Unlock()
	usage := l.tenures.usage(h)
	l.tenures.uses[h]++
	return usage, l.tenures.last[h]
}

// leave takes back what enter noted.
func (l *Locker) leave(h holding) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tenures.uses[h]--
	if l.tenures.uses[h] == 0 {
		delete(l.tenures.uses, h)
	}
}

func (l *Locker) usage(h holding) usage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tenures.usage(h)
}

// obtained begins a tenure of a lease that was asked for until then.
func (l *Locker) obtained(granted *Lease, a attempt, asked time.Time) *tenure {
	l.mu.Lock()
	l.stats.Obtained++
	t := l.begin(granted, a.request, a.purpose, asked)
	l.mu.Unlock()
	t.tick()
	return t
}

// begin begins a tenure, and ends the one before of its holding. The mutex is held. Its
// tick is to be called when that was given back.
func (l *Locker) begin(
	granted *Lease, request requested, purpose purpose, asked time.Time,
) *tenure {
	g := grant{
		token:    granted.FencingToken(),
		duration: request.duration,
		asked:    asked,
		until:    granted.Until,
	}
	t := &tenure{
		holding:    holding{leaseID: granted.LeaseID, lessee: request.lessee},
		owner:      l,
		request:    request,
		purpose:    purpose,
		attributes: maps.Clone(granted.AttributeValues),
		firstToken: g.token,
	}
	t.ctx, t.end = context.WithCancelCause(context.Background())
	t.work, t.endWork = context.WithCancelCause(t.ctx)
	t.now.Store(&tenureState{term: newTerm(g, time.Now()), granted: granted})
	l.stats.Held++

	l.tenures.sweep()
	if before := l.tenures.last[t.holding]; before != nil {
		before.apply(event{kind: lossSeen}, nil)
	}
	l.tenures.last[t.holding] = t
	return t
}

// tenureOf returns the tenure of a lease that this Locker is to look after. One begins
// with a bare Lease that it doesn't know.
func (l *Locker) tenureOf(ctx context.Context, lease *Lease) (*tenure, error) {
	if err := l.check(ctx); err != nil {
		return nil, err
	}
	if !lease.isBare() {
		return lease.tenure, nil
	}
	request, err := checkLease(lease)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	t, err := l.known(lease, request)
	if err == nil && t == nil {
		t = l.beginBare(*lease, request)
	}
	l.mu.Unlock()
	if err != nil {
		return nil, err
	}
	t.tick()
	return t, nil
}

// beginBare begins a tenure of a Lease that this Locker didn't obtain. The mutex is held.
func (l *Locker) beginBare(bare Lease, request requested) *tenure {
	if bare.Until.IsZero() { // as if it had been obtained just now
		bare.Until = time.Now().Add(request.duration)
	}
	return l.begin(&bare, request, forCaller, bare.Until)
}

// heldTenureOf returns the tenure of a lease that this Locker has, without beginning one.
func (l *Locker) heldTenureOf(ctx context.Context, lease *Lease) (*tenure, error) {
	if err := l.check(ctx); err != nil {
		return nil, err
	}
	t, err := l.findTenure(lease)
	if err != nil {
		return nil, err
	}
	if t == nil || t.owner != l {
		return nil, fmt.Errorf("lease: the lease of %q is not one that this Locker holds", lease.LeaseID)
	}
	return t, nil
}

// findTenure returns the tenure of a lease; nil if it is bare, and this Locker doesn't
// know it.
func (l *Locker) findTenure(lease *Lease) (*tenure, error) {
	if !lease.isBare() {
		return lease.tenure, nil
	}
	request, err := checkLease(lease)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.known(lease, request)
}

// known returns the tenure of a bare Lease if this Locker has it, and nil if it knows
// nothing of it. The error is LeaseLostError if a later tenure has followed. The mutex
// is held.
func (l *Locker) known(bare *Lease, request requested) (*tenure, error) {
	t := l.tenures.last[holding{leaseID: bare.LeaseID, lessee: request.lessee}]
	if t == nil {
		return nil, nil
	}
	now := t.state().at(time.Now())
	token := bare.FencingToken()
	if token == 0 {
		isReleased := bare.Until.IsZero() && now.phase == released
		if now.live() || isReleased {
			return t, nil
		}
		return nil, nil
	}
	if t.firstToken <= token && token <= now.token {
		return t, nil
	}
	if now.live() && token < t.firstToken {
		return nil, LeaseLostError
	}
	return nil, nil
}
