package lease

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go/aws/awsutil"
	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// Locker obtains and keeps any number of leases of a store. All its methods are safe for
// concurrent use.
type Locker struct {
	store store
	where string // the store, in words
	err   error  // what is wrong with the store, so that nothing can be sent

	mu      sync.Mutex // guards what follows, and every transition of a tenure
	tenures tenures
	stats   LockerStats
	events  events

	manyPages atomic.Bool // the table had more than one full page when it was last seen
	allHeld   atomic.Bool // the last pass over the items obtained nothing

	reports reports
}

// NewLocker returns a Locker on a store: a [LockStore], or any value with its methods
// Lease and ListLeaseIDs. What is wrong with the store (it is nil, say) is the error of
// every method.
//
// A store is used in full if it has ScanLeaseItemsWithContext, LeaseWithContext,
// LeaseAsSeen, RenewLeaseItem, ReleaseLeaseWithContext, WantLease, WithdrawWish,
// HandOverLease and SaveAttributes, and not from a store that it embeds: that would pass its own Lease
// by. If it has GetLeaseItem too, that is how ObtainItem and HoldItem look at one item; else by
// scans. Of any other the two methods are used: its IDs are tried in its order; a lease is
// renewed by leasing it again; no item can be released or wanted; and a call that hangs
// is left alone when its caller's context is done.
func NewLocker(s lockerStore) *Locker {
	l := &Locker{tenures: newTenures(), reports: reports{faults: make(faults)}}
	l.store, l.err = storeOf(s)
	l.where = whereOf(s)
	return l
}

// whereOf names a store.
func whereOf(s lockerStore) string {
	if own, isOwn := s.(*LockStore); isOwn && own != nil {
		return fmt.Sprintf("table %q", own.table)
	}
	return fmt.Sprintf("the store %T", s)
}

var errNotMade = setupf("lease: the Locker has no store; was it made by NewLocker?")

func (l *Locker) check(ctx context.Context) error {
	if l == nil {
		return errNotMade
	}
	if l.err != nil {
		return l.err
	}
	if l.store == nil {
		return errNotMade
	}
	if ctx == nil {
		return errors.New("lease: the context is nil")
	}
	return nil
}

// checked returns what the request asks for, or what is wrong with the Locker or with it.
func (l *Locker) checked(ctx context.Context, request LeaseRequest) (requested, error) {
	r, err := checkRequest(request)
	if setupErr := l.check(ctx); setupErr != nil {
		return r, setupErr
	}
	return r, err
}

// attempt is one try to lease an item.
type attempt struct {
	seen          LeaseItem
	unseen        bool // nothing is known of it but that it is there
	request       requested
	purpose       purpose
	predecessor   *Lease // that left the row as it was seen; nil: the last one of this Locker
	evenUnrenewed bool   // also if this Locker has a live tenure of it, which then ends

	unanswered *sync.Once // what is counted and logged if no answer comes; begins as nil
}

// allows tells that the attempt may be made on an item of which this Locker makes that use.
func (a attempt) allows(usage usage) bool {
	switch usage {
	case inUse:
		return false
	case unrenewed:
		return a.evenUnrenewed
	}
	return true
}

// namesakeUntil is until when a namesake may rely on the row as it was seen; zero: none does.
func (a attempt) namesakeUntil(now time.Time) time.Time {
	if !a.seen.isLeasedTo(a.request.lessee, now) {
		return time.Time{}
	}
	// A Lease that is none, and one without a token, know nothing of the row.
	if a.predecessor.FencingToken() != a.seen.FencingToken {
		return a.seen.Until
	}
	if a.predecessor.isBare() {
		return time.Time{}
	}
	return a.predecessor.tenure.state().namesakeUntil
}

// lease tries to lease an item, and waits for the answer: until ctx is done, or for as long
// as for a scan's. The error is LeaseNotObtainedError, too, if this Locker uses the item.
//
// A write that was given up so is still watched: a lease that it has obtained all the same
// is released. One for work is waited for a second longer, as the process may end then.
//
// A lease that was obtained for work stays in use: who gets it calls hold, which ends that.
func (l *Locker) lease(ctx context.Context, a attempt) (*Lease, error) {
	e := l.errand("lease", a.seen.LeaseID, a.request.lessee)
	if ctx.Err() != nil {
		return nil, e.abandoned(contextError(ctx))
	}
	a.unanswered = &sync.Once{}
	lasting, tries := withTries(context.WithoutCancel(ctx))
	answer := make(chan result[*Lease])
	givenUp := make(chan struct{})
	settled := make(chan struct{})
	l.beginLease(lasting, a, func(late result[*Lease]) {
		defer close(settled)
		select {
		case answer <- late:
		case <-givenUp:
			l.giveBack(late)
		}
	})
	patience := leasePatience(a.request.duration)
	if patience >= leaseLife(a.request.duration) {
		const moment = 100 * time.Millisecond // The write ends by itself, if the store heeds that.
		patience += moment
	}
	patience = l.store.patience(patience)
	timed, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case r := <-answer:
		return l.heard(a, r)
	case <-timed.Done():
		close(givenUp)
	}
	if ctx.Err() == nil {
		return nil, l.unanswered(a, e, e.unanswered(patience, tries))
	}
	if a.purpose == forWork {
		waitAtMost(time.Second, settled)
	}
	return nil, e.abandoned(contextError(ctx))
}

// unanswered counts and tells, once for an attempt, that it wasn't answered.
func (l *Locker) unanswered(a attempt, e errand, err error) error {
	a.unanswered.Do(func() {
		l.countWrite(always, e, err)
		l.failed(e, err)
	})
	return err
}

// heard returns the answer to a lease as the caller's.
func (l *Locker) heard(a attempt, r result[*Lease]) (*Lease, error) {
	if r.value != nil && a.purpose == forCaller {
		l.unuse(r.value.tenure.holding)
	}
	return r.returned()
}

// leasePatience is for how long to wait for the answer to a lease of that duration: not so
// long that nothing would be left of it.
func leasePatience(duration time.Duration) time.Duration {
	return min(scanPatience(duration), duration-margin(duration))
}

// leaseLife is how long the write of a lease of that duration may go on, whoever waits for
// its answer: then the item can be tried anew.
func leaseLife(duration time.Duration) time.Duration {
	const most = time.Minute
	return min(most, duration-margin(duration)) // A later answer is of no use to anyone.
}

// giveBack releases a lease that nobody waits for any more, and that is in use.
func (l *Locker) giveBack(late result[*Lease]) {
	if late.value == nil {
		late.logPanic()
		return
	}
	t := late.value.tenure
	defer l.unuse(t.holding)
	_ = l.release(always, t) // which tells of it
}

// beginLease begins to lease an item, and returns at once. The write goes on until ctx is
// done, or for its leaseLife. deliver is called once, in another goroutine, with what came
// of it, whenever that is. Until then the item is in use. A lease stays in use: who gets it
// calls hold or giveBack, which end that, or unuse.
func (l *Locker) beginLease(ctx context.Context, a attempt, deliver func(result[*Lease])) {
	h := holding{leaseID: a.seen.LeaseID, lessee: a.request.lessee}
	usage, last := l.use(h)
	if last != nil && a.predecessor == nil {
		a.predecessor = last.lease()
	}
	if a.unanswered == nil {
		a.unanswered = &sync.Once{}
	}
	e := l.errand("lease", h.leaseID, h.lessee)
	life := l.store.patience(leaseLife(a.request.duration))
	ctx, tries := withTries(ctx)
	lasting, cancel := context.WithTimeout(ctx, life)
	send := func() (*Lease, error) {
		if !a.allows(usage) {
			return nil, LeaseNotObtainedError
		}
		got, err := l.sendLease(lasting, a)
		isOver := err != nil && lasting.Err() != nil && ctx.Err() == nil
		if isOver {
			err = l.unanswered(a, e, e.unanswered(life, tries))
		}
		return got, err
	}
	start(send, func(r result[*Lease]) {
		cancel()
		if r.value == nil {
			l.unuse(h)
		}
		deliver(r)
	})
}

// sendLease sends the request, and begins the tenure.
func (l *Locker) sendLease(ctx context.Context, a attempt) (*Lease, error) {
	begun := time.Now()
	until := begun.Add(a.request.duration)
	e := l.errand("lease", a.seen.LeaseID, a.request.lessee)
	got, err := reported(ctx, l, e, func(ctx context.Context) (*Lease, error) {
		granted, err := l.store.LeaseAsSeen(ctx, a.seen, a.predecessor, a.request, until)
		if err != nil {
			return nil, err
		}
		return complete(granted, a.seen.LeaseID, a.request, until)
	})
	if err != nil {
		l.countWrite(ctx, e, err)
		if errors.Is(err, LeaseNotObtainedError) && !a.unseen {
			l.count(func(s *LockerStats) { s.RacesLost++ })
		}
		return nil, err
	}
	t := l.obtained(got, a, begun)
	logInfo("Obtained Lease",
		"lessee_id", t.lessee, "lease_id", t.leaseID, "fencing_token", got.FencingToken())
	if t.over() != nil {
		err := fmt.Errorf("lease: the lease of %q, of %v, was over when it was obtained",
			got.LeaseID, a.request.duration)
		l.failed(e, err)
		return nil, err
	}
	lease := *got // What the tenure keeps is not the caller's.
	lease.tenure = t
	return &lease, nil
}

// complete fills in what a store left out of a lease, in a copy: the store may keep its
// own.
func complete(granted *Lease, leaseID string, request requested, until time.Time) (*Lease, error) {
	if granted == nil {
		return nil, fmt.Errorf("lease: the store returned neither a lease of %q nor an error", leaseID)
	}
	got := *granted
	got.LeaseID = leaseID
	_, isOurs := got.Request.(requested)
	if isOurs || isNil(got.Request) {
		got.Request = request.original
	}
	if got.Until.IsZero() {
		got.Until = until
	}
	return &got, nil
}

// scan returns a page of the store's items, see [LockStore.ScanLeaseItems], or gives up
// in time.
func (l *Locker) scan(
	ctx context.Context, request requested, after string, limit int,
) (page, error) {
	patience := l.store.patience(scanPatience(request.duration))
	e := l.errand("scan", "", request.lessee)
	got, err := ask(ctx, l, e, patience, func(ctx context.Context) (page, error) {
		return l.store.scan(ctx, after, limit)
	})
	l.countLook(ctx, e, err)
	if err != nil {
		return page{}, err
	}
	return got, nil
}

// scanPatience is for how long to wait for a scan's answer, of one whose leases last so long.
func scanPatience(duration time.Duration) time.Duration {
	const least = 10 * time.Second // A connection may hang.
	const most = 30 * time.Second
	return min(max(duration, least), most)
}

// SaveAttributes is [LockStore.SaveAttributes] for a lease that this Locker holds. It
// blocks until the reply, or ctx or the tenure ends: then with LeaseLostError. A loss
// that it shows ends the tenure. Work that is told to stop still has its lease: it
// saves what it has done by a context that isn't done, [context.WithoutCancel] of its
// own, say. The attributes are the caller's again when it returns. The error wraps
// [errors.ErrUnsupported] on a store of two methods.
func (l *Locker) SaveAttributes(
	ctx context.Context, lease *Lease, attributes map[string]*dynamodb.AttributeValue,
) error {
	t, err := l.heldTenureOf(ctx, lease)
	if err != nil {
		return err
	}
	kept := awsutil.CopyOf(&attributes).(*map[string]*dynamodb.AttributeValue)
	left := t.left()
	if left == 0 {
		return LeaseLostError
	}
	both, cancel := within(ctx, t.ctx)
	defer cancel()
	e := l.errandOf("save", t)
	err = askError(both, l, e, l.store.patience(left), func(ctx context.Context) error {
		return l.store.SaveAttributes(ctx, t.lease(), *kept)
	})
	l.countWrite(both, e, err)
	if err == nil {
		return nil
	}
	if t.over() != nil || says(ctx, err, LeaseLostError) {
		t.happen(fact{kind: lossSeen})
		return LeaseLostError
	}
	return err
}
