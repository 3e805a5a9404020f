package lease

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"sync"
	"time"
)

// lockerStore is what a [Locker] needs of a store.
//
// Lease acquires the item for the request's lessee until then, or renews it; its error is
// LeaseNotObtainedError when someone else holds it. ListLeaseIDs returns the items.
type lockerStore interface {
	Lease(leaseID string, request LeaseRequest, until time.Time) (*Lease, error)
	ListLeaseIDs() ([]string, error)
}

// store is everything that a Locker asks of a store. [LockStore] documents the methods.
type store interface {
	ScanLeaseItemsWithContext(ctx context.Context, after string, limit int) (items []LeaseItem, next string, err error)
	LeaseWithContext(ctx context.Context, leaseID string, request LeaseRequest, until time.Time) (*Lease, error)
	LeaseAsSeen(ctx context.Context, seen LeaseItem, older *Lease, request LeaseRequest, until time.Time) (*Lease, error)
	RenewLeaseWithContext(ctx context.Context, lease *Lease, until time.Time) error
	ReleaseLeaseWithContext(ctx context.Context, lease *Lease) error
}

// newStore returns a store as a Locker uses it, and whether that is the adapter.
func newStore(s lockerStore) (_ store, adapted bool, err error) {
	v := reflect.ValueOf(s)
	full, isFull := s.(store)
	own, isOwn := s.(*LockStore)
	switch {
	case s == nil:
		return nil, false, setupf("lease: the Locker has no store")
	case isOwn:
		return own, false, own.check(context.Background())
	case v.Kind() == reflect.Pointer && v.IsNil():
		return nil, false, setupf("lease: the Locker's store is a nil %T", s)
	case isFull && !embedsStore(v.Type()):
		return full, false, nil
	}
	return &adapter{two: s}, true, nil
}

// embedsStore tells whether a type gets its methods from a store that it embeds.
func embedsStore(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	full := reflect.TypeFor[store]()
	for i := 0; t.Kind() == reflect.Struct && i < t.NumField(); i++ {
		f := t.Field(i)
		if f.Anonymous && (f.Type.Implements(full) || reflect.PointerTo(f.Type).Implements(full)) {
			return true
		}
	}
	return false
}

// adapter gives a store of two methods the rest, but for renewing, which is leasing again. Nothing can end a
// call of such a store: the next one of the same item and lessee waits for it.
type adapter struct {
	store // nil: for the method that is never called
	two   lockerStore
	turns sync.Map // holding → chan struct{}, which holds a value while a call is under way
}

// ScanLeaseItemsWithContext returns the IDs, of which nothing more is known.
func (a *adapter) ScanLeaseItemsWithContext(context.Context, string, int) ([]LeaseItem, string, error) {
	ids, err := a.two.ListLeaseIDs()
	items := make([]LeaseItem, len(ids))
	for i, id := range ids {
		items[i].LeaseID = id
	}
	return items, "", err
}

func (a *adapter) LeaseWithContext(ctx context.Context, leaseID string, request LeaseRequest, until time.Time) (*Lease, error) {
	release, err := a.turn(ctx, leaseID, request)
	if err != nil {
		return nil, err
	}
	defer release()
	return a.two.Lease(leaseID, request.(terms).request, until)
}

func (a *adapter) LeaseAsSeen(ctx context.Context, seen LeaseItem, _ *Lease, request LeaseRequest, until time.Time) (*Lease, error) {
	return a.LeaseWithContext(ctx, seen.LeaseID, request, until)
}

func (a *adapter) ReleaseLeaseWithContext(ctx context.Context, lease *Lease) error {
	release, err := a.turn(ctx, lease.LeaseID, lease.Request) // not while a renewal is under way
	if err != nil {
		return err
	}
	defer release()
	return fmt.Errorf("%w: the store %T can't free an item", ReleaseUnsupportedError, a.two)
}

func (a *adapter) turn(ctx context.Context, leaseID string, request LeaseRequest) (release func(), err error) {
	turn, _ := a.turns.LoadOrStore(holding{leaseID, request.LesseeID()}, make(chan struct{}, 1))
	select {
	case turn.(chan struct{}) <- struct{}{}:
		return func() { <-turn.(chan struct{}) }, nil
	case <-ctx.Done():
		return nil, contextError(ctx)
	}
}

// await returns what f returns, or contextError as soon as ctx is done: f, which may be anyone's code, then
// goes on alone, and what it returns is dropped.
func await[T any](ctx context.Context, f func() (T, error)) (none T, _ error) {
	if ctx.Err() == nil {
		select {
		case end := <-begin(f):
			return end()
		case <-ctx.Done():
		}
	}
	return none, contextError(ctx)
}

// begin starts f in a goroutine. It sends a function that returns what f returned or panics as it did: a
// panic comes out in the goroutine of who asked for f. It is logged, too, as perhaps nobody receives.
func begin[T any](f func() (T, error)) <-chan func() (T, error) {
	done := make(chan func() (T, error), 1)
	go func() {
		var v T
		err := errors.New("lease: a method of the store or the request left its goroutine")
		defer func() {
			p := recover()
			if p != nil {
				logError("Panic", "value", p, "stack", string(debug.Stack()))
			}
			done <- func() (T, error) {
				if p != nil {
					panic(p)
				}
				return v, err
			}
		}()
		v, err = f()
	}()
	return done
}
