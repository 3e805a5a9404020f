package lease

import (
	"context"
	"reflect"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// lockerStore is what a [Locker] needs of a store: two methods as [LockStore] documents
// them.
type lockerStore interface {
	Lease(leaseID string, request LeaseRequest, until time.Time) (*Lease, error)
	ListLeaseIDs() ([]string, error)
}

// fullStore has all the methods that a Locker can use. [LockStore] documents them.
type fullStore interface {
	ScanLeaseItemsWithContext(
		ctx context.Context, after string, limit int,
	) (items []LeaseItem, next string, err error)
	LeaseWithContext(
		ctx context.Context, leaseID string, request LeaseRequest, until time.Time,
	) (*Lease, error)
	LeaseAsSeen(
		ctx context.Context, seen LeaseItem, predecessor *Lease, request LeaseRequest, until time.Time,
	) (*Lease, error)
	RenewLeaseItem(ctx context.Context, lease *Lease, until, wanted time.Time) (LeaseItem, error)
	ReleaseLeaseWithContext(ctx context.Context, lease *Lease) error
	WantLease(ctx context.Context, seen LeaseItem, wantedBy string, until time.Time) error
	WithdrawWish(
		ctx context.Context, seen LeaseItem, wantedBy string, until time.Time,
	) (LeaseItem, error)
	HandOverLease(ctx context.Context, lease *Lease, until time.Time) error
	SaveAttributes(ctx context.Context, lease *Lease, attributes map[string]*dynamodb.AttributeValue) error
}

// itemStore is what a full store may have beside: [LockStore.GetLeaseItem].
type itemStore interface {
	GetLeaseItem(ctx context.Context, leaseID string) (LeaseItem, error)
}

// store is what a Locker asks, whatever store it was given: a full one as it is, or any
// other through an adapter. Nobody else asks what a store can do.
type store interface {
	LeaseAsSeen(
		ctx context.Context, seen LeaseItem, predecessor *Lease, request LeaseRequest, until time.Time,
	) (*Lease, error)
	ReleaseLeaseWithContext(ctx context.Context, lease *Lease) error
	WantLease(ctx context.Context, seen LeaseItem, wantedBy string, until time.Time) error
	WithdrawWish(
		ctx context.Context, seen LeaseItem, wantedBy string, until time.Time,
	) (LeaseItem, error)
	HandOverLease(ctx context.Context, lease *Lease, until time.Time) error
	SaveAttributes(ctx context.Context, lease *Lease, attributes attributes) error

	// scan returns a page of the items.
	scan(ctx context.Context, after string, limit int) (page, error)
	// lookFor returns a page, of the items after a place, that has the item if it is among
	// those: a page of it alone, where the store can read one item.
	lookFor(ctx context.Context, leaseID, after string) (page, error)
	// isBlind tells that the store shows nothing of its items but that they are there.
	isBlind() bool
	// renew renews the lease of a tenure, and returns it as it is then, and what the
	// row shows.
	renew(
		ctx context.Context, lease *Lease, request requested, until, wanted time.Time,
	) (*Lease, LeaseItem, error)
	// patience returns for how long to wait for a call's reply, where most is what
	// makes sense.
	patience(most time.Duration) time.Duration
}

// page is what a scan has shown.
type page struct {
	items   []LeaseItem
	outside []LeaseItem // those in which the worker has no part that looks
	next    string      // where to go on; "" at the table's end
	unseen  bool        // nothing is known of the items but that they are there
}

// all are the items in which the worker has a part, and the others.
func (p page) all() []LeaseItem {
	if len(p.outside) == 0 {
		return p.items
	}
	return slices.Concat(p.items, p.outside)
}

// storeOf returns a caller's store as one that a Locker can use, or what is wrong with it.
func storeOf(s lockerStore) (store, error) {
	if s == nil {
		return nil, setupf("lease: the Locker has no store")
	}
	if own, isOwn := s.(*LockStore); isOwn {
		return wholeStore{fullStore: own, one: own}, own.check(always)
	}
	if isNil(s) {
		return nil, setupf("lease: the Locker's store is a nil %T", s)
	}
	if full, isFull := s.(fullStore); isFull && isOfOneType(reflect.TypeOf(s)) {
		return wholeStore{fullStore: full, one: itemStoreOf(s)}, nil
	}
	return &adapter{two: s}, nil
}

// itemStoreOf returns a full store as one that can read one item; nil if it can't.
func itemStoreOf(s lockerStore) itemStore {
	one, canGet := s.(itemStore)
	if canGet && getsByItself(reflect.TypeOf(s)) {
		return one
	}
	return nil
}

// wholeStore is a store that is used in full.
type wholeStore struct {
	fullStore
	one itemStore // nil if it can't read one item
}

func (s wholeStore) scan(ctx context.Context, after string, limit int) (page, error) {
	items, next, err := s.ScanLeaseItemsWithContext(ctx, after, limit)
	return page{items: items, next: next}, err
}

func (s wholeStore) lookFor(ctx context.Context, leaseID, after string) (page, error) {
	if s.one == nil {
		return s.scan(ctx, after, 0)
	}
	item, err := s.one.GetLeaseItem(ctx, leaseID)
	if err != nil {
		return page{}, err
	}
	return page{items: []LeaseItem{item}}, nil
}

func (s wholeStore) isBlind() bool { return false }

func (s wholeStore) renew(
	ctx context.Context, lease *Lease, request requested, until, wanted time.Time,
) (*Lease, LeaseItem, error) {
	token := lease.FencingToken()
	if token == 0 { // Only leasing anew shows the token of a literal.
		got, err := s.LeaseWithContext(ctx, lease.LeaseID, request, until)
		return got, LeaseItem{}, err
	}
	item, err := s.RenewLeaseItem(ctx, lease, until, wanted)
	renewed := *lease.granted()
	renewed.Until = until
	renewed.AttributeValues = attributes{tokenAttribute: number(token)}
	return &renewed, item, err
}

func (s wholeStore) patience(most time.Duration) time.Duration { return most }
