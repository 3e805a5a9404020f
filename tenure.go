package lease

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// tenure is what all copies of a Locker's lease share.
type tenure struct {
	holding
	terms      terms
	attributes attributes // as they were when it was obtained
	stats      *stats
	counted    counted // guarded by stats.mu
	first      int64   // the token that it began with
	ctx        context.Context
	cancel     context.CancelCauseFunc
	work       context.Context // done when ctx is, or when the item is wanted
	want       context.CancelCauseFunc
	wish       atomic.Pointer[wish] // nil until the item is wanted
	discarded  atomic.Bool          // it was Discard that ended it
	released   atomic.Bool          // the row was freed
	lost       atomic.Bool          // a release found it to be another's
	mu         sync.Mutex           // of extend
	now        atomic.Pointer[state]
}

type holding struct{ leaseID, lessee string }
type wish struct{ since, until time.Time }

type state struct {
	token    int64
	claim    *claim
	duration time.Duration // what was asked for
	end      time.Time     // the holder may rely on the lease until here; carries the monotonic clock
}

// rowEnd is when the row says that the lease ends, by this host's clock.
func (s state) rowEnd() time.Time { return s.end.Add(margin(s.duration)) }

// stateOf returns the state after a store was asked for that end. More than was asked for is not believed.
func stateOf(got *Lease, duration time.Duration, asked time.Time) state {
	if got.Until.Before(asked) {
		asked = got.Until
	}
	now := time.Now()
	token, claim := got.held()
	return state{token, claim, duration, now.Add(asked.Sub(now) - margin(duration))}
}

// newTenure begins a tenure, and ends the one before of its holding. It counts as so many obtained. l.tenures.mu is held.
func (l *Locker) newTenure(got *Lease, terms terms, asked time.Time, obtained int64) *tenure {
	now := stateOf(got, terms.duration, asked)
	t := &tenure{holding: holding{got.LeaseID, terms.lessee}, terms: terms, attributes: maps.Clone(got.AttributeValues), stats: &l.stats, first: now.token}
	t.now.Store(&now)
	t.ctx, t.cancel = context.WithCancelCause(context.Background())
	t.work, t.want = context.WithCancelCause(t.ctx)
	l.tenures.replace(t)
	l.stats.note(func(now *LockerStats) { now.Held++; now.Obtained += obtained })
	t.tick()
	return t
}

// tick sleeps no longer than half the margin or a second: the timer knows nothing of a machine's sleep.
func (t *tenure) tick() {
	if left := t.expire(); left > 0 {
		time.AfterFunc(min(left, max(margin(t.state().duration)/2, time.Millisecond), time.Second), t.tick)
	}
}

// expire ends the tenure if its time is up, and returns how much is left of it.
func (t *tenure) expire() time.Duration {
	left := timeLeft(time.Now(), t.state().end)
	if left <= 0 {
		t.end(LeaseExpiredError)
	}
	if t.ctx.Err() != nil {
		return 0
	}
	return left
}

// finish ends the tenure for the given cause, and reports false if it was over already.
func (t *tenure) finish(cause error) bool {
	defer t.end(cause)
	return t.expire() > 0
}

func (t *tenure) end(cause error) {
	t.cancel(cause)
	t.stats.over(t, context.Cause(t.ctx))
}

// extend takes over what a renewal got, if the tenure isn't over. Only where less was granted the end is moved back.
func (t *tenure) extend(got *Lease, duration time.Duration, asked time.Time) bool {
	if t.expire() == 0 {
		return false
	}
	t.mu.Lock()
	now, next := t.state(), stateOf(got, duration, asked)
	if !next.end.After(now.end) && !got.Until.Before(asked) {
		next.end, next.duration = now.end, now.duration
	}
	if next.token < now.token { // The replies came in another order than the writes.
		next.token, next.claim = now.token, now.claim
	}
	t.now.Store(&next)
	t.mu.Unlock()
	return t.expire() > 0
}

func (t *tenure) over() error {
	t.expire()
	return context.Cause(t.ctx)
}

func within(ctx, other context.Context) (context.Context, context.CancelFunc) {
	both, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(other, func() { cancel(context.Cause(other)) })
	return both, func() { stop(); cancel(nil) }
}

// yield ends the work on an item that a renewal has shown to be wanted, whoever wants it.
func (t *tenure) yield(item LeaseItem) {
	until, first := item.wanted(t.state().duration), t.wish.Load()
	switch {
	case until.IsZero() || item.WantedBy == t.lessee:
		return
	case item.WantedBy == "":
		until = time.Time{} // There is nobody to keep it for.
	}
	t.wish.Store(&wish{cmp.Or(first, &wish{since: time.Now()}).since, until})
	if first == nil {
		if t.terms.keep {
			t.stats.wanted(t)
		}
		t.want(LeaseWantedError)
		logInfo("Lease Wanted", "lessee_id", t.lessee, "lease_id", t.leaseID, "wanted_by", item.WantedBy)
	}
}

// yields tells that Hold's or HoldShare's item is wanted.
func (t *tenure) yields() bool { return t.terms.keep && t.wish.Load() != nil }

// prolonged returns until when somebody's wish is to count while Hold's work takes its time to return, up to 3 minutes, then zero.
func (t *tenure) prolonged() (until time.Time) {
	d := t.state().duration
	if w := t.wish.Load(); t.yields() && !w.until.IsZero() && time.Since(w.since) < max(10*(d/3), 3*time.Minute) {
		until = later(w.until, time.Now().Add(d/6*5))
	}
	return until
}

func (t *tenure) state() state       { return *t.now.Load() }
func later(a, b time.Time) time.Time { return slices.MaxFunc([]time.Time{a, b}, time.Time.Compare) }

func (t *tenure) lease() *Lease { return &Lease{LeaseID: t.leaseID, Request: t.terms, tenure: t} }

// tenures are those of one Locker. It is safe for concurrent use.
type tenures struct {
	mu      sync.Mutex
	last    map[holding]*tenure // the last one of each holding: a newer one ends it
	uses    map[holding]int     // by Heartbeats and Holds, and by what is just obtaining it
	sweepAt int                 // at how many entries to forget those that are over
}

// use notes n more uses, and returns how many there are, and the last tenure or nil.
func (ts *tenures) use(h holding, n int) (uses int, last *Lease) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.uses[h] += n; ts.uses[h] == 0 {
		delete(ts.uses, h)
	}
	if t := ts.last[h]; t != nil {
		last = t.lease()
	}
	return ts.uses[h], last
}

// replace notes a new tenure and ends the one before. ts.mu is held.
func (ts *tenures) replace(t *tenure) {
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

// tenureOf returns a lease's tenure: of a bare Lease that which this Locker has with its token, or a new one if it is to begin,
// or nil. The error is LeaseLostError if a later tenure has followed on a bare Lease.
func (l *Locker) tenureOf(ctx context.Context, lease *Lease, begin bool) (*tenure, error) {
	if err := l.check(ctx); err != nil {
		return nil, err
	}
	if lease != nil && lease.tenure != nil {
		return lease.tenure, nil
	}
	terms, err := checkLease(lease)
	if err != nil {
		return nil, err
	}
	l.tenures.mu.Lock()
	defer l.tenures.mu.Unlock()
	bare, token := *lease, lease.FencingToken()
	if last := l.tenures.last[holding{bare.LeaseID, terms.lessee}]; last != nil {
		over, newest := last.over(), last.state().token
		released := bare.Until.IsZero() && over == LeaseReleasedError
		switch {
		case token == 0 && (over == nil || released), token != 0 && last.first <= token && token <= newest:
			return last, nil
		case over == nil && token <= newest:
			return nil, LeaseLostError
		}
	}
	if !begin {
		return nil, nil
	}
	if bare.Until.IsZero() { // as if it had been obtained just now
		bare.Until = time.Now().Add(terms.duration)
	}
	return l.newTenure(&bare, terms, bare.Until, 0), nil
}
