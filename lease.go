package lease

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
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
	// LesseeID names the lessee: UTF-8, 1 to 2048 bytes, the same in all requests of one worker, and of no other.
	LesseeID() string
	// LeaseDuration is how long a lease lasts: over 0, at most 100 years. Each renewal asks for it again.
	LeaseDuration() time.Duration
}

// Lease is one tenure of one lessee on one item. The fields are the caller's. Copies of a [Locker]'s Lease share its tenure.
// A Lease of a [LockStore], or a literal, is bare: its methods answer from its fields. They are safe for concurrent use.
type Lease struct {
	LeaseID         string                              // hash key value of the row
	AttributeValues map[string]*dynamodb.AttributeValue // attributes of the row, as they were when it was obtained
	Request         LeaseRequest                        // what it was obtained with
	Until           time.Time                           // when it expires, as set when it was obtained; renewals don't move it

	tenure *tenure // nil in a bare Lease
	claim  *claim  // nil in a Lease that isn't a LockStore's
}

// claim is what a LockStore has asked for, in Unix nanoseconds of the database's clock.
type claim struct {
	older    int64        // until when an older process of the same name may rely on the item; 0 if there is none
	furthest atomic.Int64 // the furthest end that was asked for
	shown    atomic.Int64 // the furthest end that a reply has shown
}

// anyClaim is that of a Lease of which nothing is known: it may have asked for any end.
var anyClaim = func() *claim { c := &claim{}; c.ask(math.MaxInt64); return c }()

// ask returns what to ask for to get that end: no less than an older process may rely on.
func (c *claim) ask(end int64) int64 {
	end = max(end, c.older)
	raise(&c.furthest, end)
	return end
}

// overtaken tells that a refusal shows a row which a later write of this tenure has moved on, and notes its end.
func (c *claim) overtaken(mine row, found *row, asked int64) bool {
	own := mine.holds(found) && found.LeaseUntil > asked && found.LeaseUntil <= c.furthest.Load()
	if own {
		raise(&c.shown, found.LeaseUntil)
	}
	return own
}

func raise(end *atomic.Int64, to int64) {
	for now := end.Load(); now < to && !end.CompareAndSwap(now, to); now = end.Load() {
	}
}

// Context returns a context that is done at the end of the tenure, before another lessee can hold the item. Its
// [context.Cause] is then [LeaseExpiredError], [LeaseLostError] or [LeaseReleasedError]. All calls return the same context.
// That of a bare Lease is done a tenth of its Request's LeaseDuration before Until.
func (l *Lease) Context() context.Context {
	if l != nil && l.tenure != nil {
		l.tenure.expire()
		return l.tenure.ctx
	}
	end := l.bareEnd()
	key := [2]any{weak.Make(l), end}
	ctx, cancel := context.WithDeadlineCause(context.Background(), end, LeaseExpiredError)
	if first, loaded := bareContexts.LoadOrStore(key, ctx); loaded {
		cancel()
		return first.(context.Context)
	}
	context.AfterFunc(ctx, func() { cancel(); bareContexts.Delete(key) })
	return ctx
}

var bareContexts sync.Map // the contexts of bare Leases, by Lease and end

func (l *Lease) bareEnd() time.Time {
	switch {
	case l == nil:
		return time.Time{}
	case isNil(l.Request):
		return l.Until
	}
	return l.Until.Add(-margin(max(0, l.Request.LeaseDuration())))
}

// Valid tells whether the holder may rely on the lease now. After a pause the answer is stale: see [Lease.FencingToken].
func (l *Lease) Valid() bool { return l.Remaining() > 0 }

// Remaining returns how much longer the holder may rely on the lease if no renewal moves its end; zero when it is over.
func (l *Lease) Remaining() time.Duration {
	if l != nil && l.tenure != nil {
		return l.tenure.expire()
	}
	return max(0, timeLeft(time.Now(), l.bareEnd()))
}

// FencingToken returns the number of this tenure, greater than that of every earlier one of the item: a resource can
// refuse a lower one than it has seen. It is 0 when the store gives none, and grows where renewing is leasing anew.
func (l *Lease) FencingToken() int64 {
	token, _ := l.held()
	return token
}

func (l *Lease) held() (token int64, c *claim) {
	switch {
	case l == nil:
		return 0, anyClaim
	case l.tenure != nil:
		now := l.tenure.state()
		return now.token, now.claim
	}
	token, _ = parseToken(cmp.Or(l.AttributeValues[tokenAttribute], zero))
	return token, cmp.Or(l.claim, anyClaim)
}

// Discard ends a Locker's lease in this process, without a request: a store does so before it frees or deletes the row.
func (l *Lease) Discard() {
	if l != nil && l.tenure != nil && l.tenure.finish(LeaseReleasedError) {
		l.tenure.discarded.Store(true)
	}
}

// margin is how much earlier than others may take its item a holder stops relying on it: how far clocks may be apart.
func margin(duration time.Duration) time.Duration { return duration / 10 }

// timeLeft counts by the monotonic and the wall clock: one stands still while a machine sleeps, one can be set back.
func timeLeft(a, b time.Time) time.Duration { return min(b.Sub(a), b.Round(0).Sub(a.Round(0))) }

// terms are what a LeaseRequest asked for at one moment, found good: a LeaseRequest that doesn't change.
type terms struct {
	request  LeaseRequest // the caller's
	lessee   string
	duration time.Duration
	keep     bool // it stays in use when it is obtained: for Hold
}

func (t terms) LesseeID() string             { return t.lessee }
func (t terms) LeaseDuration() time.Duration { return t.duration }

func isNil(v any) bool {
	r := reflect.ValueOf(v)
	return v == nil || r.Kind() == reflect.Pointer && r.IsNil()
}

func checkRequest(request LeaseRequest) (terms, error) {
	if t, checked := request.(terms); checked {
		return t, nil
	} else if isNil(request) {
		return t, errors.New("lease: the LeaseRequest is nil")
	}
	t := terms{request: request, lessee: request.LesseeID(), duration: request.LeaseDuration()}
	return t, cmp.Or(checkName("LesseeID", t.lessee), checkDuration(t.duration))
}

func checkDuration(d time.Duration) error {
	if d <= 0 || d > 100*365*24*time.Hour {
		return fmt.Errorf("lease: LeaseDuration is %v; want more than 0, and at most 100 years: an end lies between 1970 and 2262", d)
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

func checkUntil(until time.Time) error {
	if year := until.UTC().Year(); year < 1970 || year >= 2262 {
		return fmt.Errorf("lease: the lease's end %v is not between 1970 and 2262", until.Round(0))
	}
	return nil
}

func checkLease(l *Lease) (terms, error) {
	if l == nil {
		return terms{}, errors.New("lease: the Lease is nil")
	}
	t, err := checkRequest(l.Request)
	return t, cmp.Or(checkName("lease ID", l.LeaseID), err)
}
