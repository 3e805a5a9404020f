package lease

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// LeaseRequest says who wants a lease and for how long. One that has a method
// LeaseCapacity() float64, too, says how much load its worker carries next to others, from
// 1e-9 to 1e9: a lease writes that into the row, for others to see. Any other counts as 1.
type LeaseRequest interface {
	// LesseeID names the lessee: UTF-8, 1 to 2048 bytes, the same in all requests of
	// one worker, and of no other.
	LesseeID() string
	// LeaseDuration is how long a lease lasts: from 1 millisecond to 100 years, and
	// better 20 seconds or more. Each renewal asks for it again.
	LeaseDuration() time.Duration
}

// Lease is one tenure of one lessee on one item. The fields are the caller's. Copies of
// a [Locker]'s Lease share its tenure. A Lease of a [LockStore], or a literal, is bare:
// its methods answer from its fields. The methods are safe for concurrent use.
type Lease struct {
	// LeaseID is the hash key value of the row.
	LeaseID string
	// AttributeValues are the attributes of the row, as they were when it was obtained.
	AttributeValues map[string]*dynamodb.AttributeValue
	// Request is what it was obtained with.
	Request LeaseRequest
	// Until is when it expires, as set when it was obtained: renewals don't move it.
	Until time.Time

	// Inside, a Lease leads to its tenure (tenure.go), which copies share; that has a
	// term (term.go), which is how it stands now, and the bare Lease that the store has
	// granted last, in which a LockStore keeps its claim (claim.go).
	tenure *tenure // nil in a bare Lease
	claim  *claim  // nil in a Lease that isn't a LockStore's
}

// Context returns a context that is done at the end of the tenure, before another
// lessee can hold the item. Its [context.Cause] is then [LeaseExpiredError],
// [LeaseLostError], [LeaseReleasedError] or [LeaseStuckError]. All calls return the same
// context, those of a Locker's Lease on its copies too. That of a bare Lease is done a tenth of its
// Request's LeaseDuration before Until.
func (l *Lease) Context() context.Context {
	if l.isBare() {
		return bareContextOf(l)
	}
	l.tenure.check()
	return l.tenure.ctx
}

// Valid tells whether the holder may rely on the lease now. After a pause the answer is
// stale: see [Lease.FencingToken].
func (l *Lease) Valid() bool { return l.Remaining() > 0 }

// Remaining returns how much longer the holder may rely on the lease if no renewal
// moves its end; zero when it is over.
func (l *Lease) Remaining() time.Duration {
	if l.isBare() {
		return max(0, timeLeft(time.Now(), l.bareEnd()))
	}
	return l.tenure.left()
}

// FencingToken returns the number of this tenure, greater than that of every earlier
// one of the item: a resource can refuse a lower one than it has seen. It is 0 when the
// store gives none, and grows where renewing is leasing anew. A bare Lease has it from
// its AttributeValues.
func (l *Lease) FencingToken() int64 {
	if l == nil {
		return 0
	}
	if l.tenure != nil {
		return l.tenure.state().token
	}
	token, _ := parseToken(l.AttributeValues[tokenAttribute])
	return token
}

// SetWeight says how much of a worker's load the item is, as its work measures it: as often as
// it does, from any goroutine. An item without a weight weighs 1. It costs no request and
// blocks for none: the Locker keeps a moving average, which goes a fifth of the way to what was
// said last with each renewal, from the row's weight on. A renewal writes it into the row's
// LeaseWeight if it differs from that by more than half, one way or the other. There it stays
// when the lease is over; what was said goes with the tenure.
//
// Less than 0.01, also 0, counts as 0.01, and more than 1e9 as that. What is no number, or
// infinite, or less than 0 is logged, once for a lease, and ignored. On a bare Lease it does
// nothing, and on a store of two methods nothing is written.
func (l *Lease) SetWeight(weight float64) {
	if !l.isBare() {
		l.tenure.weigh(weight)
	}
}

// WeightToWrite returns the weight that a renewal of a Locker's lease is to write as the row's
// LeaseWeight; ok is false if it is to write none, as always for a bare Lease. It is for stores,
// whose RenewLeaseItem asks it, and changes nothing: it is the LeaseItem that they return which
// says what the row weighs by then.
func (l *Lease) WeightToWrite() (weight float64, ok bool) {
	if l.isBare() {
		return 0, false
	}
	return l.tenure.weightToWrite()
}

// Discard ends a Locker's lease in this process, without a request, as a release does: its
// context is done with [LeaseReleasedError], and its Heartbeat returns nil. It is for
// stores, which do so before they free or delete the row. On a bare Lease it does nothing.
func (l *Lease) Discard() {
	if !l.isBare() {
		l.tenure.happen(fact{kind: discardCalled})
	}
}

// Progress promises that the work under the lease calls Progress again within that time. If
// it doesn't it is stuck: that is logged, its context ends with [LeaseStuckError], and its
// item is released, or handed over to who wants it, while the work may hang on. Each call
// replaces the promise before, and 0 or less takes it back. It binds work that was told to
// end, too. Time in which the process stands still doesn't count: a pause breaks no promise
// (but the lease may end in it).
//
// It is for work of [Locker.Hold] and [Locker.HoldShare]: on other leases, and when their
// work has returned or is stuck, it does nothing. Less than a millisecond is logged once,
// and ignored. It sends no request, and takes a microsecond: call it wherever work gets on.
func (l *Lease) Progress(within time.Duration) {
	if l.isBare() {
		return
	}
	if w := l.tenure.watcher.Load(); w != nil {
		w.promise(within)
	}
}

func (l *Lease) isBare() bool { return l == nil || l.tenure == nil }

// granted returns the lease as the store has granted it last: itself, if it is bare.
func (l *Lease) granted() *Lease {
	if l.isBare() {
		return l
	}
	return l.tenure.state().granted
}

// whileHeld returns a context that is done with ctx, and with the lease's tenure, if it
// has one.
func (l *Lease) whileHeld(ctx context.Context) (context.Context, context.CancelFunc) {
	if l.isBare() {
		return ctx, func() {}
	}
	return within(ctx, l.tenure.ctx)
}

// isOver tells that the lease has a tenure, which is over.
func (l *Lease) isOver() bool { return !l.isBare() && l.tenure.over() != nil }

// bareEnd is until when the holder of a bare Lease may rely on it.
func (l *Lease) bareEnd() time.Time {
	if l == nil {
		return time.Time{}
	}
	if isNil(l.Request) {
		return l.Until
	}
	duration := max(0, l.Request.LeaseDuration())
	return l.Until.Add(-margin(duration))
}

// within returns a context that is done with ctx, and with other, of which it then has
// the cause.
func within(ctx, other context.Context) (context.Context, context.CancelFunc) {
	both, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(other, func() { cancel(context.Cause(other)) })
	return both, func() {
		stop()
		cancel(nil)
	}
}
