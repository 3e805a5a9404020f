package lease

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// LeaseRequest says who wants a lease and for how long.
type LeaseRequest interface {
	// LesseeID names the lessee. It must be the same in every request of one worker and differ
	// between workers: whoever has the name holds the lease. UTF-8, 1 to 2048 bytes.
	LesseeID() string

	// LeaseDuration is how long the lease lasts from when it is obtained or renewed; over zero.
	LeaseDuration() time.Duration
}

// Lease is one tenure of one lessee on one item. Copies share the tenure: what ends or renews one
// ends or renews all. The fields are the caller's and nothing in this package writes them after the
// lease was handed out; the methods are safe for concurrent use.
//
// A Lease that was built as a literal has no tenure. Its methods answer from the fields alone.
type Lease struct {
	LeaseID         string                              // hash key value of the row
	AttributeValues map[string]*dynamodb.AttributeValue // attributes of the row, as they were when it was obtained
	Request         LeaseRequest                        // what it was obtained with
	Until           time.Time                           // when it expires, as set when it was obtained; renewals don't move it

	tenure *tenure
}

// Context returns a context that is done no later than the moment another lessee could hold the
// item: at the end of the tenure, see the package documentation. Its [context.Cause] is then
// [LeaseExpiredError], [LeaseLostError] or [LeaseReleasedError]. Renewals move the end; a lease
// whose time is up never comes back. All calls return the same context; it holds no goroutine.
//
// For a literal, the context is a new one that is done at Until.
func (l *Lease) Context() context.Context {
	if l != nil && l.tenure != nil {
		l.tenure.check()
		return l.tenure.ctx
	}
	var until time.Time
	if l != nil {
		until = l.Until
	}
	ctx, cancel := context.WithDeadlineCause(context.Background(), until, LeaseExpiredError)
	_ = cancel // The deadline cancels it, and nothing earlier could.
	return ctx
}

// Valid tells whether the holder may rely on the lease at this moment. It sends no request, and a
// process that was paused, even between this call and the next line, can't rely on the answer: see
// [Lease.FencingToken] for that.
func (l *Lease) Valid() bool { return l.Remaining() > 0 }

// Remaining returns how much longer the holder may rely on the lease if no renewal moves its end;
// zero when it is over. It sends no request.
func (l *Lease) Remaining() time.Duration {
	switch {
	case l == nil:
		return 0
	case l.tenure != nil:
		return l.tenure.check()
	}
	return max(0, timeLeft(time.Now(), l.Until))
}

// FencingToken returns the number of this tenure: greater than that of every earlier tenure of the
// item, so that a resource that remembers the greatest one it saw can refuse a late holder. It is 0
// when the store gives none.
func (l *Lease) FencingToken() int64 {
	switch {
	case l == nil:
		return 0
	case l.tenure != nil:
		return l.tenure.token
	}
	token, _ := fencingToken(l.AttributeValues)
	return token
}

// fencingToken reads the token off a row's attributes: 0 where there is none.
func fencingToken(row map[string]*dynamodb.AttributeValue) (int64, error) {
	value := row[tokenAttribute]
	if value == nil {
		return 0, nil
	}
	if value.N == nil {
		return 0, fmt.Errorf("%s is not a number", tokenAttribute)
	}
	token, err := strconv.ParseInt(*value.N, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s %s is not a whole number of 64 bits", tokenAttribute, *value.N)
	}
	return token, nil
}

// tenure is the state that all copies of a lease share.
type tenure struct {
	token  int64
	margin time.Duration // how long before until the holder stops relying on it

	ctx    context.Context
	cancel context.CancelCauseFunc

	// writing holds one value while a renewal or release of this tenure is under way, and guards
	// freed: whether the row was freed.
	writing chan struct{}
	freed   bool

	mu    sync.Mutex // guards:
	end   time.Time  // the holder may rely on the lease until here; carries the monotonic clock
	timer *time.Timer
}

// margin is the part of a lease's duration by which its holder stops relying on it before others
// may take the item, and so how far the clocks of two hosts may be apart.
func margin(duration time.Duration) time.Duration { return duration / 10 }

// newTenure starts the tenure of a lease that ends at until, by this host's clock.
func newTenure(token int64, until time.Time, duration time.Duration) *tenure {
	t := &tenure{token: token, margin: margin(duration), writing: make(chan struct{}, 1)}
	t.ctx, t.cancel = context.WithCancelCause(context.Background())
	now := time.Now()
	t.end = now.Add(until.Sub(now) - t.margin)
	t.mu.Lock() // The timer may fire before the assignment is done.
	defer t.mu.Unlock()
	t.timer = time.AfterFunc(t.nap(timeLeft(now, t.end)), t.tick)
	return t
}

// timeLeft returns the time from now to end by the monotonic clock or by the wall clock, whichever
// is less: the one stands still while a machine sleeps, the other can be set back.
func timeLeft(now, end time.Time) time.Duration {
	return min(end.Sub(now), end.Round(0).Sub(now.Round(0)))
}

// nap returns how long the timer may sleep with so much time left: no longer than half the margin
// or a second, so that after a machine's sleep, of which the timer knows nothing, the context ends
// soon.
func (t *tenure) nap(left time.Duration) time.Duration {
	return min(left, max(t.margin/2, time.Millisecond), time.Second)
}

// tick is what the timer does: it ends the tenure or sleeps on, perhaps to an end that was moved.
func (t *tenure) tick() {
	if left := t.check(); left > 0 {
		t.timer.Reset(t.nap(left))
	}
}

// check ends the tenure if its time is up and returns how much is left of it.
func (t *tenure) check() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx.Err() != nil {
		return 0
	}
	left := timeLeft(time.Now(), t.end)
	if left <= 0 {
		t.cancel(LeaseExpiredError)
		t.timer.Stop()
		return 0
	}
	return left
}

// extend moves the end to that of a lease until then. It reports false, and moves nothing, if the
// tenure is over.
func (t *tenure) extend(until time.Time) bool {
	if t.check() == 0 {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if end := now.Add(until.Sub(now) - t.margin); end.After(t.end) {
		t.end = end
	}
	return t.ctx.Err() == nil
}

// finish ends the tenure for the given cause, unless it is over already.
func (t *tenure) finish(cause error) {
	t.check() // An end by time comes first.
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cancel(cause)
	t.timer.Stop()
}

// rowEnd is when the row says that the lease ends, by this host's clock.
func (t *tenure) rowEnd() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.end.Add(t.margin)
}

// over returns why the tenure ended: nil if it hasn't.
func (t *tenure) over() error {
	t.check()
	return context.Cause(t.ctx)
}

// lock waits until no other write of this tenure is under way, or ctx is done.
func (t *tenure) lock(ctx context.Context) error {
	select {
	case t.writing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (t *tenure) unlock() { <-t.writing }

// tenures are the last ones by item and lessee, so that a newer tenure ends the older one. It is safe for
// concurrent use.
type tenures struct {
	mu      sync.Mutex
	last    map[[2]string]*tenure
	sweepAt int // at how many entries to forget those that are over
}

// begin notes a new tenure, and ends the one of the same lessee on the same item with a lower token.
func (ts *tenures) begin(leaseID, lessee string, t *tenure) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if len(ts.last) >= ts.sweepAt {
		maps.DeleteFunc(ts.last, func(_ [2]string, t *tenure) bool { return t.over() != nil })
		ts.sweepAt = 2*len(ts.last) + 16
	}
	if ts.last == nil {
		ts.last = make(map[[2]string]*tenure)
	}
	key := [2]string{leaseID, lessee}
	older := ts.last[key]
	switch {
	case older == nil || older.over() != nil:
	case older.token > t.token: // The replies came in another order than the writes.
		t.finish(LeaseLostError)
		return
	default:
		older.finish(LeaseLostError)
	}
	ts.last[key] = t
}

// The bounds of DynamoDB's documentation for a hash key's value, in bytes.
const maxKeyBytes = 2048

// terms are what a LeaseRequest asks for, read once and found good.
type terms struct {
	request  LeaseRequest
	lessee   string
	duration time.Duration
}

func checkRequest(request LeaseRequest) (terms, error) {
	if v := reflect.ValueOf(request); request == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		return terms{}, errors.New("lease: the LeaseRequest is nil")
	}
	t := terms{request: request, lessee: request.LesseeID(), duration: request.LeaseDuration()}
	if err := checkName("LesseeID", t.lessee); err != nil {
		return terms{}, err
	}
	if t.duration <= 0 {
		return terms{}, fmt.Errorf("lease: LeaseDuration is %v; want more than 0", t.duration)
	}
	return t, checkUntil(time.Now().Add(t.duration))
}

func checkLeaseID(leaseID string) error { return checkName("lease ID", leaseID) }

func checkName(what, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("lease: the %s is empty", what)
	case !utf8.ValidString(name):
		return fmt.Errorf("lease: the %s %q is not valid UTF-8", what, name)
	case len(name) > maxKeyBytes:
		return fmt.Errorf("lease: the %s %q… has %d bytes; DynamoDB takes at most %d", what, name[:32], len(name), maxKeyBytes)
	}
	return nil
}

// latest is the last moment that fits into the row's Unix nanoseconds, with room for a correction.
var latest = time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)

func checkUntil(until time.Time) error {
	if until.Before(time.Unix(0, 0)) || until.After(latest) {
		return fmt.Errorf("lease: the lease's end %v is not between 1970 and 2262", until.Round(0))
	}
	return nil
}

func checkLease(l *Lease) error {
	if l == nil {
		return errors.New("lease: the Lease is nil")
	}
	return checkLeaseID(l.LeaseID)
}
