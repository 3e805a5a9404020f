package lease

import (
	"context"
	"maps"
	"sync"
	"time"
)

// tenure is the state that all copies of a Locker's lease share. What it was obtained with stays, whatever
// the caller does to a copy.
type tenure struct {
	holding
	terms terms
	first int64 // the token that it began with

	ctx    context.Context
	cancel context.CancelCauseFunc

	releasing chan struct{} // holds a value while a release is under way, and guards:
	released  bool          // the row was freed

	mu    sync.Mutex // guards:
	now   state
	timer *time.Timer
}

// holding is one lessee's hold on one item.
type holding struct{ leaseID, lessee string }

// state is what changes.
type state struct {
	token     int64
	claim     *claim
	duration  time.Duration // what was asked for
	end       time.Time     // the holder may rely on the lease until here; carries the monotonic clock
	discarded bool          // it was ended by Discard
}

// rowEnd is when the row says that the lease ends, by this host's clock.
func (s state) rowEnd() time.Time { return s.end.Add(margin(s.duration)) }

// stateOf returns the state after a store was asked for that end. More than was asked for is not believed.
func stateOf(got *Lease, duration time.Duration, asked time.Time) state {
	s := state{duration: duration, end: asked}
	if got.Until.Before(asked) {
		s.end = got.Until
	}
	now := time.Now()
	s.end = now.Add(s.end.Sub(now) - margin(duration))
	s.token, s.claim = got.held()
	return s
}

func newTenure(got *Lease, terms terms, asked time.Time) *tenure {
	t := &tenure{holding: holding{got.LeaseID, terms.lessee}, terms: terms, releasing: make(chan struct{}, 1)}
	t.ctx, t.cancel = context.WithCancelCause(context.Background())
	t.mu.Lock() // The timer may fire before the assignment is done.
	defer t.mu.Unlock()
	t.now = stateOf(got, terms.duration, asked)
	t.first = t.now.token
	t.timer = time.AfterFunc(0, t.tick)
	return t
}

// tick is what the timer does: it ends the tenure or sleeps on, no longer than half the margin or a second:
// the timer knows nothing of a machine's sleep, after which the context should end soon.
func (t *tenure) tick() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if left := t.expireLocked(); left > 0 {
		t.timer.Reset(min(left, max(margin(t.now.duration)/2, time.Millisecond), time.Second))
	}
}

// expire ends the tenure if its time is up, and returns how much is left of it.
func (t *tenure) expire() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.expireLocked()
}

func (t *tenure) expireLocked() time.Duration {
	if t.ctx.Err() != nil {
		return 0
	}
	left := timeLeft(time.Now(), t.now.end)
	if left <= 0 {
		t.finishLocked(LeaseExpiredError)
	}
	return max(0, left)
}

// finish ends the tenure for the given cause, unless it is over already.
func (t *tenure) finish(cause error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expireLocked() // An end by time comes first.
	t.finishLocked(cause)
}

func (t *tenure) finishLocked(cause error) {
	t.cancel(cause)
	t.timer.Stop()
}

// extend takes over what a renewal got, and reports false if the tenure is over. The end is never moved back,
// unless the store granted less than was asked for: then it has written that.
func (t *tenure) extend(got *Lease, duration time.Duration, asked time.Time) bool {
	next := stateOf(got, duration, asked)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.expireLocked() == 0 {
		return false
	}
	if !next.end.After(t.now.end) && !got.Until.Before(asked) {
		next.end, next.duration = t.now.end, t.now.duration
	}
	t.now = next
	return t.expireLocked() > 0
}

// over returns why the tenure ended: nil if it hasn't.
func (t *tenure) over() error {
	t.expire()
	return context.Cause(t.ctx)
}

func (t *tenure) state() state {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.now
}

// within returns a context that is done when ctx or the tenure is.
func (t *tenure) within(ctx context.Context) (context.Context, context.CancelFunc) {
	both, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(t.ctx, func() { cancel(context.Cause(t.ctx)) })
	return both, func() { stop(); cancel(nil) }
}

// lease returns the tenure as a store takes it.
func (t *tenure) lease() *Lease { return &Lease{LeaseID: t.leaseID, Request: t.terms, tenure: t} }

// tenures are those of one Locker. It is safe for concurrent use.
type tenures struct {
	mu      sync.Mutex
	last    map[holding]*tenure // the last one of each holding: a newer one ends it
	uses    map[holding]int     // by Heartbeats and Holds, and by what is just obtaining it
	sweepAt int                 // at how many entries to forget those that are over
}

// state tells whether a holding is in use, and whether it has a live tenure.
func (ts *tenures) state(h holding) (inUse, live bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := ts.last[h]
	return ts.uses[h] > 0, t != nil && t.over() == nil
}

// enter notes that a holding is in use from now on, unless it is already, and returns its last tenure as a
// store takes it: nil if there is none.
func (ts *tenures) enter(h holding) (older *Lease, ok bool) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.uses[h] > 0 {
		return nil, false
	}
	ts.uses[h] = 1
	if t := ts.last[h]; t != nil {
		older = t.lease()
	}
	return older, true
}

// share notes one more use of a holding; leave, one less.
func (ts *tenures) share(h holding) { ts.use(h, 1) }
func (ts *tenures) leave(h holding) { ts.use(h, -1) }

func (ts *tenures) use(h holding, n int) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.uses[h] += n; ts.uses[h] == 0 {
		delete(ts.uses, h)
	}
}

// begin notes a new tenure and ends the one before. ts.mu is held.
func (ts *tenures) begin(t *tenure) {
	if len(ts.last) >= ts.sweepAt {
		maps.DeleteFunc(ts.last, func(_ holding, t *tenure) bool {
			return t.over() != nil && t.state().rowEnd().Before(time.Now())
		})
		ts.sweepAt = 2*len(ts.last) + 16
	}
	if older := ts.last[t.holding]; older != nil {
		older.finish(LeaseLostError)
	}
	ts.last[t.holding] = t
}

// of returns a lease's tenure. A bare Lease gets the one that this Locker has with its token, or a new one;
// without an Until, as if it had been obtained just now.
func (ts *tenures) of(l *Lease) (*tenure, error) {
	if l != nil && l.tenure != nil {
		return l.tenure, nil
	}
	terms, err := checkLease(l)
	if err != nil {
		return nil, err
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	token, live, newest := l.FencingToken(), false, int64(0)
	if last := ts.last[holding{l.LeaseID, terms.lessee}]; last != nil {
		live, newest = last.over() == nil, last.state().token
		if live && token == 0 || token != 0 && last.first <= token && token <= newest {
			return last, nil
		}
	}
	until := l.Until
	if until.IsZero() {
		until = time.Now().Add(terms.duration)
	}
	t := newTenure(&Lease{LeaseID: l.LeaseID, AttributeValues: l.AttributeValues, Until: until, claim: l.claim}, terms, until)
	if !live || token > newest { // else it is over, as its renewal will show
		ts.begin(t)
	}
	return t, nil
}
