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
	err   error // what is wrong with the store, so that nothing can be sent

	mu      sync.Mutex // guards what follows, and every transition of a tenure
	tenures tenures
	stats   LockerStats

	manyPages atomic.Bool // the table had more than one full page when it was last seen
	allHeld   atomic.Bool // the last pass over the items obtained nothing
}

// NewLocker returns a Locker on a store: a [LockStore], or any value with its methods
// Lease and ListLeaseIDs. What is wrong with the store (it is nil, say) is the error of
// every method.
//
// A store is used in full if it has ScanLeaseItemsWithContext, LeaseWithContext,
// LeaseAsSeen, RenewLeaseItem, ReleaseLeaseWithContext, WantLease, HandOverLease and
// SaveAttributes, and not from a store that it embeds: that would pass its own Lease
// by. Of any other the two methods are used: its IDs are tried in its order; a lease is
// renewed by leasing it again; no item can be released or wanted; and a call that hangs
// is left alone when its caller's context is done.
func NewLocker(s lockerStore) *Locker {
	l := &Locker{tenures: newTenures()}
	l.store, l.err = storeOf(s)
	return l
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

// lease tries to lease an item. The error is LeaseNotObtainedError, too, if this Locker
// uses it. A lease that was obtained for work stays in use: who gets it calls hold, which
// ends that.
func (l *Locker) lease(ctx context.Context, a attempt) (*Lease, error) {
	h := holding{leaseID: a.seen.LeaseID, lessee: a.request.lessee}
	usage, last := l.use(h)
	staysInUse := false
	defer func() { // also after a panic of the store
		if !staysInUse {
			l.unuse(h)
		}
	}()
	if !a.allows(usage) {
		return nil, LeaseNotObtainedError
	}
	if last != nil && a.predecessor == nil {
		a.predecessor = last.lease()
	}
	got, err := l.sendLease(ctx, a)
	if err != nil {
		return nil, err
	}
	logInfo("Obtained Lease",
		"lessee_id", h.lessee, "lease_id", h.leaseID, "fencing_token", got.FencingToken())
	staysInUse = a.purpose == forWork
	return got, nil
}

// sendLease sends the request, and begins the tenure.
func (l *Locker) sendLease(ctx context.Context, a attempt) (*Lease, error) {
	duration := a.request.duration
	until := time.Now().Add(duration)
	patience := duration - margin(duration) // A later reply is of no use to anyone.
	granted, err := await(ctx, l.store.patience(patience), func(ctx context.Context) (*Lease, error) {
		return l.store.LeaseAsSeen(ctx, a.seen, a.predecessor, a.request, until)
	})
	if err != nil {
		l.countWrite(ctx, err)
		if says(ctx, err, LeaseNotObtainedError) && !a.unseen {
			l.count(func(s *LockerStats) { s.RacesLost++ })
		}
		return nil, err
	}
	got, err := complete(granted, a.seen.LeaseID, a.request, until)
	if err != nil {
		return nil, err
	}
	t := l.obtained(got, a, until)
	if t.over() != nil {
		return nil, fmt.Errorf("lease: the lease of %q, of %v, was over when it was obtained",
			got.LeaseID, duration)
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
	const least = 10 * time.Second // A connection may hang.
	const most = 30 * time.Second
	patience := min(max(request.duration, least), most)
	got, err := await(ctx, l.store.patience(patience), func(ctx context.Context) (page, error) {
		return l.store.scan(ctx, after, limit)
	})
	l.countLook(ctx, err)
	if err != nil {
		return page{}, err
	}
	return got, nil
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
	err = awaitError(both, l.store.patience(left), func(ctx context.Context) error {
		return l.store.SaveAttributes(ctx, t.lease(), *kept)
	})
	l.countWrite(both, err)
	if err == nil {
		return nil
	}
	if t.over() != nil || says(ctx, err, LeaseLostError) {
		t.happen(event{kind: lossSeen})
		return LeaseLostError
	}
	return err
}
