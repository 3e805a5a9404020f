package lease

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// lockerStore is what a [Locker] needs of a store: two methods as [LockStore] documents them.
type lockerStore interface {
	Lease(leaseID string, request LeaseRequest, until time.Time) (*Lease, error)
	ListLeaseIDs() ([]string, error)
}

// store is everything that a Locker asks of a store. [LockStore] documents the methods.
type store interface {
	ScanLeaseItemsWithContext(ctx context.Context, after string, limit int) (items []LeaseItem, next string, err error)
	LeaseWithContext(ctx context.Context, leaseID string, request LeaseRequest, until time.Time) (*Lease, error)
	LeaseAsSeen(ctx context.Context, seen LeaseItem, older *Lease, request LeaseRequest, until time.Time) (*Lease, error)
	RenewLeaseItem(ctx context.Context, lease *Lease, until, wanted time.Time) (LeaseItem, error)
	ReleaseLeaseWithContext(ctx context.Context, lease *Lease) error
	WantLease(ctx context.Context, seen LeaseItem, wantedBy string, until time.Time) error
	HandOverLease(ctx context.Context, lease *Lease, until time.Time) error
	SaveAttributes(ctx context.Context, lease *Lease, attributes map[string]*dynamodb.AttributeValue) error
}

func embedsStore(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	full := reflect.TypeFor[store]()
	return t.Kind() == reflect.Struct && slices.ContainsFunc(reflect.VisibleFields(t), func(f reflect.StructField) bool {
		return len(f.Index) == 1 && f.Anonymous && (f.Type.Implements(full) || reflect.PointerTo(f.Type).Implements(full))
	})
}

// adapter gives a store of two methods the rest, but for renewing, which is leasing again, and for wishes. Nothing can
// end a call of such a store: the next one of the same item and lessee waits for it.
type adapter struct {
	store // nil: for the methods that are never called
	two   lockerStore
	turns sync.Map // holding → chan struct{}, which holds a value while a call is under way
}

func (a *adapter) ScanLeaseItemsWithContext(context.Context, string, int) ([]LeaseItem, string, error) {
	ids, err := a.two.ListLeaseIDs()
	items := make([]LeaseItem, len(ids))
	for i, id := range ids {
		items[i].LeaseID = id
	}
	return items, "", err
}

func (a *adapter) LeaseWithContext(ctx context.Context, leaseID string, request LeaseRequest, until time.Time) (*Lease, error) {
	turn, err := a.turn(ctx, leaseID, request)
	if err != nil {
		return nil, err
	}
	defer func() { <-turn }()
	got, err := a.two.Lease(leaseID, request.(terms).request, until)
	if got == nil || err != nil {
		return nil, err
	}
	kept := *got // The store may change its own.
	return &kept, nil
}

// LeaseAsSeen tries no item for which a call still hangs.
func (a *adapter) LeaseAsSeen(ctx context.Context, seen LeaseItem, _ *Lease, request LeaseRequest, until time.Time) (*Lease, error) {
	if turn, ok := a.turns.Load(holding{seen.LeaseID, request.LesseeID()}); ok && len(turn.(chan struct{})) > 0 {
		return nil, LeaseNotObtainedError
	}
	return a.LeaseWithContext(ctx, seen.LeaseID, request, until)
}

func (a *adapter) ReleaseLeaseWithContext(ctx context.Context, lease *Lease) error {
	turn, err := a.turn(ctx, lease.LeaseID, lease.Request) // not while a renewal is under way
	if err != nil {
		return err
	}
	<-turn
	return fmt.Errorf("%w: the store %T can't free an item", ReleaseUnsupportedError, a.two)
}

func (a *adapter) turn(ctx context.Context, leaseID string, request LeaseRequest) (chan struct{}, error) {
	turn, _ := a.turns.LoadOrStore(holding{leaseID, request.LesseeID()}, make(chan struct{}, 1))
	if ctx.Err() != nil { // A select may take its turn all the same.
		return nil, contextError(ctx)
	}
	select {
	case turn.(chan struct{}) <- struct{}{}:
		return turn.(chan struct{}), nil
	case <-ctx.Done():
		return nil, contextError(ctx)
	}
}
