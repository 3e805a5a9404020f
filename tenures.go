package lease

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// tenures are those of one Locker. Its mutex guards them.
type tenures struct {
	last map[holding]*tenure // the newest of each holding
	uses map[holding]int     // how many calls lease, hold or release it just now
	// how many works go on without a lease, by their items: nobody here is to work on those
	leaseless map[string]int
	beats     map[holding][]*tenure // those of which Heartbeats run, as often as they do
	sweepAt   int                   // at how many tenures those that are over are forgotten
}

func newTenures() tenures {
	return tenures{
		last:      make(map[holding]*tenure),
		uses:      make(map[holding]int),
		leaseless: make(map[string]int),
		beats:     make(map[holding][]*tenure),
	}
}

// usage tells what this Locker does with an item.
func (ts *tenures) usage(h holding) usage {
	// A Heartbeat whose tenure is over uses nothing, though it may take a moment to return.
	isRenewed := slices.ContainsFunc(ts.beats[h], (*tenure).isLive)
	isWorkedOn := ts.uses[h] > 0 || ts.leaseless[h.leaseID] > 0
	if isWorkedOn || isRenewed {
		return inUse
	}
	if last := ts.last[h]; last != nil && last.isLive() {
		return unrenewed
	}
	return unheld
}

func (t *tenure) isLive() bool { return t.state().at(time.Now()).live() }

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

// use notes that an item is in use, and returns what it was before, and its last
// tenure or nil.
func (l *Locker) use(h holding) (usage, *tenure) {
	l.mu.Lock()
	defer l.mu.Unlock()
	usage := l.tenures.usage(h)
	l.tenures.uses[h]++
	return usage, l.tenures.last[h]
}

// unuse takes back what enter noted.
func (l *Locker) unuse(h holding) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tenures.uses[h]--
	if l.tenures.uses[h] == 0 {
		delete(l.tenures.uses, h)
	}
}

// beginBeat notes that a Heartbeat of a tenure runs.
func (l *Locker) beginBeat(t *tenure) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tenures.beats[t.holding] = append(l.tenures.beats[t.holding], t)
}

// endBeat takes back what beginBeat noted.
func (l *Locker) endBeat(t *tenure) {
	l.mu.Lock()
	defer l.mu.Unlock()
	beats := l.tenures.beats[t.holding]
	i := slices.Index(beats, t)
	beats = slices.Delete(beats, i, i+1)
	l.tenures.beats[t.holding] = beats
	if len(beats) == 0 {
		delete(l.tenures.beats, t.holding)
	}
}

// noteLeaseless notes that so many more works go on without a lease of an item. The mutex is
// held.
func (l *Locker) noteLeaseless(leaseID string, more int) {
	l.stats.Stuck += more
	l.tenures.leaseless[leaseID] += more
	if l.tenures.leaseless[leaseID] == 0 {
		delete(l.tenures.leaseless, leaseID)
	}
}

func (l *Locker) usage(h holding) usage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tenures.usage(h)
}

// lastToken is that of the last tenure of a holding; 0 if there is none.
func (l *Locker) lastToken(h holding) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := l.tenures.last[h]
	if last == nil {
		return 0
	}
	return last.state().token
}

// obtained begins a tenure of a lease that was asked for at that time.
func (l *Locker) obtained(granted *Lease, a attempt, begun time.Time) *tenure {
	l.mu.Lock()
	l.stats.Obtained++
	g := grant{
		asked:         begun.Add(a.request.duration),
		namesakeUntil: later(a.namesakeUntil(begun), granted.keptUntil()),
	}
	t := l.beginTenure(granted, a.request, a.purpose, g)
	t.begun = begun
	t.took = time.Since(begun)
	l.noteObtained(t)
	l.mu.Unlock()
	t.tick()
	return t
}

// beginTenure begins a tenure, and ends the one before of its holding. What the Lease and
// the request say is filled into the grant. The mutex is held; when that was given back, its
// tick is to be called, once.
func (l *Locker) beginTenure(
	granted *Lease, request requested, purpose purpose, g grant,
) *tenure {
	g.token = granted.FencingToken()
	g.duration = request.duration
	g.until = granted.Until
	t := &tenure{
		holding:    holding{leaseID: granted.LeaseID, lessee: request.lessee},
		owner:      l,
		request:    request,
		purpose:    purpose,
		attributes: maps.Clone(granted.AttributeValues),
		firstToken: g.token,
		begun:      time.Now(),
		weighing:   weighing{row: parseLoad(granted.AttributeValues[weightAttribute])},
	}
	t.ctx, t.cancel = context.WithCancelCause(context.Background())
	t.work, t.cancelWork = context.WithCancelCause(t.ctx)
	kept := *granted
	kept.AttributeValues = nil // They are the caller's.
	t.current.Store(&tenureState{term: newTerm(g, time.Now()), granted: &kept})
	l.stats.Held++

	l.tenures.sweep()
	if before := l.tenures.last[t.holding]; before != nil {
		before.apply(fact{kind: lossSeen}, nil)
	}
	l.tenures.last[t.holding] = t
	return t
}

// tenureOf returns the tenure of a lease that this Locker is to look after. One begins
// with a bare Lease that it doesn't know. A lease of another Locker keeps its tenure.
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
	t, acquaintance := l.lookUp(lease, request)
	if acquaintance == stranger {
		t = l.beginBare(*lease, request)
	}
	l.mu.Unlock()
	switch acquaintance {
	case stranger:
		t.tick()
	case superseded:
		return nil, LeaseLostError
	}
	return t, nil
}

// beginBare begins a tenure of a Lease that this Locker didn't obtain. The mutex is held.
func (l *Locker) beginBare(bare Lease, request requested) *tenure {
	if bare.Until.IsZero() { // as if it had been obtained just now
		bare.Until = time.Now().Add(request.duration)
	}
	return l.beginTenure(&bare, request, forCaller, grant{asked: bare.Until})
}

// heldTenureOf returns the tenure of a lease that this Locker has, without beginning one.
func (l *Locker) heldTenureOf(ctx context.Context, lease *Lease) (*tenure, error) {
	if err := l.check(ctx); err != nil {
		return nil, err
	}
	if !lease.isBare() {
		return lease.tenure, l.checkOwner(lease)
	}
	request, err := checkLease(lease)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t, acquaintance := l.lookUp(lease, request)
	switch acquaintance {
	case stranger:
		return nil, errNotHeld(lease)
	case superseded:
		return nil, LeaseLostError
	}
	return t, nil
}

func (l *Locker) checkOwner(lease *Lease) error {
	if lease.tenure.owner == l {
		return nil
	}
	return errNotHeld(lease)
}

func errNotHeld(lease *Lease) error {
	return fmt.Errorf("lease: the lease of %q is not one that this Locker holds", lease.LeaseID)
}

// acquaintance is what a Locker knows of a bare Lease.
type acquaintance int

const (
	stranger   acquaintance = iota // nothing
	known                          // it is of the last tenure that this Locker has of its holding
	superseded                     // a later tenure of this Locker has followed
)

// lookUp returns the tenure of a bare Lease, if it is known. The mutex is held.
func (l *Locker) lookUp(bare *Lease, request requested) (*tenure, acquaintance) {
	t := l.tenures.last[holding{leaseID: bare.LeaseID, lessee: request.lessee}]
	if t == nil {
		return nil, stranger
	}
	return t, t.acquaintance(bare)
}

// acquaintance compares the last tenure of a holding with a bare Lease.
func (t *tenure) acquaintance(bare *Lease) acquaintance {
	is := t.state().at(time.Now())
	token := bare.FencingToken()
	if token == 0 {
		// It has no token to compare: a literal. Without an end, it may be released again.
		isReleased := is.phase == released && bare.Until.IsZero()
		if is.live() || isReleased {
			return known
		}
		return stranger
	}
	if t.firstToken <= token && token <= is.token {
		return known
	}
	if is.live() && token < t.firstToken {
		return superseded
	}
	return stranger
}
