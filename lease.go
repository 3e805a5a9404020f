package lease

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
	"weak"

	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// LeaseRequest says who wants a lease and for how long.
type LeaseRequest interface {
	// LesseeID names the lessee. It must be the same in every request of one worker and differ
	// between workers: whoever has the name holds the lease. UTF-8, 1 to 2048 bytes.
	LesseeID() string

	// LeaseDuration is how long the lease lasts from when it is obtained or renewed: over zero, and at
	// most 100 years. A Heartbeat asks for it again at each renewal.
	LeaseDuration() time.Duration
}

// Lease is one tenure of one lessee on one item. The fields are the caller's, and nothing in this
// package writes them after the lease was handed out. The methods are safe for concurrent use.
//
// A Lease of a [Locker] has a tenure, which its copies share: what ends or renews one ends or renews
// all. A Lease of a [LockStore], and one built as a literal, is bare: its methods answer from its
// fields as they are at that moment.
type Lease struct {
	LeaseID         string                              // hash key value of the row
	AttributeValues map[string]*dynamodb.AttributeValue // attributes of the row, as they were when it was obtained
	Request         LeaseRequest                        // what it was obtained with
	Until           time.Time                           // when it expires, as set when it was obtained; renewals don't move it

	tenure *tenure // nil in a bare Lease
	claim  *claim  // nil where the Lease is not of a LockStore
}

// claim is what a LockStore has asked for in one tenure, in Unix nanoseconds of the database's clock. The
// copies of a Lease share it.
type claim struct {
	older    int64        // until when an older process of the same name may rely on the item; 0 if there is none
	furthest atomic.Int64 // the furthest end that was asked for
}

// ask returns what to ask for to get that end: no less than an older process may rely on.
func (c *claim) ask(end int64) int64 {
	end = max(end, c.older)
	for f := c.furthest.Load(); f < end && !c.furthest.CompareAndSwap(f, end); f = c.furthest.Load() {
	}
	return end
}

// Context returns a context that is done no later than the moment another lessee could hold the
// item: at the end of the tenure, see the package documentation. Its [context.Cause] is then
// [LeaseExpiredError], [LeaseLostError] or [LeaseReleasedError]. Renewals move the end; a lease
// whose time is up never comes back. All calls return the same context; it holds no goroutine.
//
// The context of a bare Lease is done a tenth of its Request's LeaseDuration before Until.
func (l *Lease) Context() context.Context {
	if l != nil && l.tenure != nil {
		l.tenure.expire()
		return l.tenure.ctx
	}
	key := bareKey{weak.Make(l), l.bareEnd()}
	ctx, cancel := context.WithDeadlineCause(context.Background(), key.end, LeaseExpiredError)
	if first, loaded := bareContexts.LoadOrStore(key, ctx); loaded {
		cancel()
		return first.(context.Context)
	}
	context.AfterFunc(ctx, func() { cancel(); bareContexts.Delete(key) })
	return ctx
}

// bareContexts are the contexts of the bare Leases that haven't ended.
var bareContexts sync.Map

type bareKey struct {
	lease weak.Pointer[Lease]
	end   time.Time
}

// bareEnd is until when the holder of a bare Lease may rely on it.
func (l *Lease) bareEnd() time.Time {
	if l == nil {
		return time.Time{}
	}
	if isNil(l.Request) {
		return l.Until
	}
	return l.Until.Add(-margin(max(0, l.Request.LeaseDuration())))
}

// Valid tells whether the holder may rely on the lease at this moment. It sends no request, and a
// process that was paused, even between this call and the next line, can't rely on the answer: see
// [Lease.FencingToken] for that.
func (l *Lease) Valid() bool { return l.Remaining() > 0 }

// Remaining returns how much longer the holder may rely on the lease if no renewal moves its end;
// zero when it is over. It sends no request.
func (l *Lease) Remaining() time.Duration {
	if l != nil && l.tenure != nil {
		return l.tenure.expire()
	}
	return max(0, timeLeft(time.Now(), l.bareEnd()))
}

// FencingToken returns the number of this tenure: greater than that of every earlier tenure of the
// item, so that a resource that remembers the greatest one it saw can refuse a late holder. It is 0
// when the store gives none. Where a store renews by leasing anew, it grows with each renewal.
func (l *Lease) FencingToken() int64 {
	token, _ := l.held()
	return token
}

// held returns the tenure's token and claim, as the last renewal left them.
func (l *Lease) held() (token int64, c *claim) {
	switch {
	case l == nil:
		return 0, nil
	case l.tenure != nil:
		now := l.tenure.state()
		return now.token, now.claim
	}
	token, _ = parseToken(l.AttributeValues[tokenAttribute])
	return token, l.claim
}

// Discard ends the lease in this process at once, without a request: its Context is done with the cause
// [LeaseReleasedError], and its Heartbeat returns nil. The item stays leased until its end. A store
// calls it before it frees or deletes the row, so that nobody relies on a lease whose item is free. A
// bare Lease, which has nothing but its fields, is left as it is.
func (l *Lease) Discard() {
	if l != nil && l.tenure != nil {
		l.tenure.finish(LeaseReleasedError)
		l.tenure.mu.Lock()
		defer l.tenure.mu.Unlock()
		l.tenure.now.discarded = true
	}
}

// margin is the part of a lease's duration by which its holder stops relying on it before others
// may take the item, and so how far the clocks of two hosts may be apart.
func margin(duration time.Duration) time.Duration { return duration / 10 }

// timeLeft returns the time from now to end by the monotonic clock or by the wall clock, whichever
// is less: the one stands still while a machine sleeps, the other can be set back.
func timeLeft(now, end time.Time) time.Duration {
	return min(end.Sub(now), end.Round(0).Sub(now.Round(0)))
}

// terms are what a LeaseRequest asked for at one moment, found good: a LeaseRequest that doesn't change.
type terms struct {
	request  LeaseRequest // the caller's
	lessee   string
	duration time.Duration
}

func (t terms) LesseeID() string             { return t.lessee }
func (t terms) LeaseDuration() time.Duration { return t.duration }

func isNil(request LeaseRequest) bool {
	v := reflect.ValueOf(request)
	return request == nil || v.Kind() == reflect.Pointer && v.IsNil()
}

func checkRequest(request LeaseRequest) (terms, error) {
	if isNil(request) {
		return terms{}, errors.New("lease: the LeaseRequest is nil")
	}
	t := terms{request: request, lessee: request.LesseeID(), duration: request.LeaseDuration()}
	if err := checkName("LesseeID", t.lessee); err != nil {
		return terms{}, err
	}
	return t, checkDuration(t.duration)
}

func checkDuration(d time.Duration) error {
	switch {
	case d <= 0:
		return fmt.Errorf("lease: LeaseDuration is %v; want more than 0", d)
	case d > 100*365*24*time.Hour:
		return fmt.Errorf("lease: LeaseDuration is %v; want at most 100 years, as a lease's end lies between 1970 and 2262", d)
	}
	return nil
}

// checkName checks a hash key's value or a LesseeID, by the bounds of DynamoDB's documentation.
func checkName(what, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("lease: the %s is empty", what)
	case !utf8.ValidString(name):
		return fmt.Errorf("lease: the %s %q is not valid UTF-8", what, name)
	case len(name) > 2048:
		return fmt.Errorf("lease: the %s %q… has %d bytes; DynamoDB takes at most 2048", what, name[:32], len(name))
	}
	return nil
}

// checkUntil checks that an end fits into the row's Unix nanoseconds, with room for a correction.
func checkUntil(until time.Time) error {
	if year := until.UTC().Year(); year < 1970 || year >= 2262 {
		return fmt.Errorf("lease: the lease's end %v is not between 1970 and 2262", until.Round(0))
	}
	return nil
}

// checkLease tells what is wrong with a bare Lease, and returns the terms it was obtained with.
func checkLease(l *Lease) (terms, error) {
	if l == nil {
		return terms{}, errors.New("lease: the Lease is nil")
	}
	if err := checkName("lease ID", l.LeaseID); err != nil {
		return terms{}, err
	}
	return checkRequest(l.Request)
}

func checkContext(ctx context.Context) error {
	if ctx == nil {
		return errors.New("lease: the context is nil")
	}
	return nil
}
