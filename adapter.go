package lease

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// adapter gives a store of two methods the rest. Renewing is leasing again; nothing can
// be released, wished for or saved; and of an item it only knows that it is there.
// Nothing can end a call of such a store: the next one for the same item and lessee
// waits for its turn.
type adapter struct {
	two   lockerStore
	turns sync.Map // holding → turn
}

// turn is that of the calls for one holding. It has a value in it while a call is under
// way.
type turn chan struct{}

func (t turn) over() { <-t }

func (a *adapter) turnOf(h holding) turn {
	t, _ := a.turns.LoadOrStore(h, make(turn, 1))
	return t.(turn)
}

// take waits for the turn.
func (a *adapter) take(ctx context.Context, h holding) (turn, error) {
	t := a.turnOf(h)
	if ctx.Err() != nil { // A select may take its turn all the same.
		return nil, contextError(ctx)
	}
	select {
	case t <- struct{}{}:
		return t, nil
	case <-ctx.Done():
		return nil, contextError(ctx)
	}
}

// patience is endless: the reply to a call that was given up would be lost, and the
// next one would have to wait for it all the same.
func (a *adapter) patience(time.Duration) time.Duration { return endless }

// scan returns each ID once, in the store's order.
func (a *adapter) scan(context.Context, string, int) (page, error) {
	ids, err := a.two.ListLeaseIDs()
	listed := make(map[string]bool, len(ids))
	var items []LeaseItem
	for _, id := range ids {
		if !listed[id] {
			items = append(items, LeaseItem{LeaseID: id})
		}
		listed[id] = true
	}
	return page{items: items, unseen: true}, err
}

func (a *adapter) lookFor(ctx context.Context, _, after string) (page, error) {
	return a.scan(ctx, after, 0)
}

func (a *adapter) isBlind() bool { return true }

func (a *adapter) LeaseWithContext(
	ctx context.Context, leaseID string, request LeaseRequest, until time.Time,
) (*Lease, error) {
	turn, err := a.take(ctx, holding{leaseID: leaseID, lessee: request.LesseeID()})
	if err != nil {
		return nil, err
	}
	defer turn.over()
	got, err := a.two.Lease(leaseID, request.(requested).original, until)
	if err != nil {
		return nil, err
	}
	if got == nil {
		return nil, nil // which the Locker names
	}
	kept := *got // The store may change its own.
	return &kept, nil
}

// LeaseAsSeen tries no item for which a call still hangs.
func (a *adapter) LeaseAsSeen(
	ctx context.Context, seen LeaseItem, _ *Lease, request LeaseRequest, until time.Time,
) (*Lease, error) {
	if len(a.turnOf(holding{leaseID: seen.LeaseID, lessee: request.LesseeID()})) > 0 {
		return nil, LeaseNotObtainedError
	}
	return a.LeaseWithContext(ctx, seen.LeaseID, request, until)
}

func (a *adapter) renew(
	ctx context.Context, lease *Lease, request requested, until, _ time.Time,
) (*Lease, LeaseItem, error) {
	got, err := a.LeaseWithContext(ctx, lease.LeaseID, request, until)
	return got, LeaseItem{}, err
}

func (a *adapter) ReleaseLeaseWithContext(ctx context.Context, lease *Lease) error {
	h := holding{leaseID: lease.LeaseID, lessee: lease.Request.LesseeID()}
	turn, err := a.take(ctx, h) // not while a renewal is under way
	if err != nil {
		return err
	}
	turn.over()
	return fmt.Errorf("%w: the store %T can't free an item", ReleaseUnsupportedError, a.two)
}

// HandOverLease releases: nobody can have wished for the item.
func (a *adapter) HandOverLease(ctx context.Context, lease *Lease, _ time.Time) error {
	return a.ReleaseLeaseWithContext(ctx, lease)
}

func (a *adapter) WantLease(context.Context, LeaseItem, string, time.Time) error {
	return a.unsupported("note wishes")
}

// WithdrawWish has nothing to withdraw.
func (a *adapter) WithdrawWish(
	_ context.Context, seen LeaseItem, _ string, _ time.Time,
) (LeaseItem, error) {
	return seen, nil
}

func (a *adapter) SaveAttributes(context.Context, *Lease, attributes) error {
	return a.unsupported("save attributes")
}

func (a *adapter) unsupported(what string) error {
	return fmt.Errorf("lease: the store %T can't %s: %w", a.two, what, errors.ErrUnsupported)
}
