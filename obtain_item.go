package lease

import (
	"context"
	"fmt"
	"time"
)

// What is asked for one certain item: a lock by name.

// ObtainItem leases that item to the request's lessee, now or not at all. The error is bare
// [LeaseNotObtainedError] if somebody else holds it, or this Locker does: a lease that it
// has under the same LesseeID must be released, or end, before. It wraps
// [LeaseIDUnknownError] if no such item is registered.
//
// It costs one strongly consistent read, see [LockStore.GetLeaseItem], and one write if that
// shows that the item is to be had. A store that isn't a LockStore, and has no GetLeaseItem,
// is scanned for the item; one of two methods is not read at all, and knows no unregistered
// items. It blocks until the replies, 30 seconds for each at most, or until ctx is done: then
// the error wraps ctx's, and a write that was applied all the same is undone. Any other error
// is the store's.
func (l *Locker) ObtainItem(
	ctx context.Context, leaseID string, request LeaseRequest,
) (*Lease, error) {
	r, err := l.checkedItem(ctx, leaseID, request)
	if err != nil {
		return nil, err
	}
	lease, _, err := l.tryItem(ctx, leaseID, r, forCaller)
	return lease, err
}

func (l *Locker) checkedItem(
	ctx context.Context, leaseID string, request LeaseRequest,
) (requested, error) {
	r, err := l.checked(ctx, request)
	return r, firstOf(err, checkName("lease ID", leaseID))
}

// shown is what a look shows of one item.
type shown struct {
	LeaseItem
	unseen bool // nothing is known of it but its ID
}

// tryItem looks at an item, and leases it if that shows that it is to be had. What it has
// seen of another's item is returned beside the error.
func (l *Locker) tryItem(
	ctx context.Context, leaseID string, r requested, purpose purpose,
) (*Lease, shown, error) {
	// One that isn't renewed is another goroutine's too, whose Heartbeat may be about to start.
	isOurs := l.usage(holding{leaseID: leaseID, lessee: r.lessee}) != unheld
	if isOurs {
		return nil, shown{}, LeaseNotObtainedError
	}
	seen, err := l.find(ctx, r, leaseID)
	if err != nil {
		return nil, shown{}, err
	}
	if !seen.isFor(r.lessee, time.Now()) {
		return nil, seen, LeaseNotObtainedError
	}
	lease, err := l.lease(ctx, attempt{
		seen:    seen.LeaseItem,
		unseen:  seen.unseen,
		request: r,
		purpose: purpose,
	})
	if says(ctx, err, LeaseNotObtainedError) {
		return nil, shown{}, LeaseNotObtainedError
	}
	return lease, shown{}, err
}

// find returns what a look shows of an item, or an error that wraps LeaseIDUnknownError. Of
// one in a store that shows nothing, no more than its ID is known.
func (l *Locker) find(ctx context.Context, r requested, leaseID string) (shown, error) {
	if l.store.isBlind() {
		return shown{LeaseItem: LeaseItem{LeaseID: leaseID}, unseen: true}, nil
	}
	after := ""
	for {
		seen, err := l.lookFor(ctx, r, leaseID, after)
		if err != nil {
			return shown{}, err
		}
		for _, item := range seen.items {
			if item.LeaseID == leaseID {
				return shown{LeaseItem: item}, nil
			}
		}
		if seen.next == "" {
			return shown{}, fmt.Errorf("lease: %w: %q in %s", LeaseIDUnknownError, leaseID, l.where)
		}
		after = seen.next
	}
}

// lookFor returns a page that has the item if it is among those after a place, or gives up in
// time.
func (l *Locker) lookFor(
	ctx context.Context, r requested, leaseID, after string,
) (page, error) {
	patience := l.store.patience(scanPatience(r.duration))
	e := l.errand("read", leaseID, r.lessee)
	got, err := ask(ctx, l, e, patience, func(ctx context.Context) (page, error) {
		return l.store.lookFor(ctx, leaseID, after)
	})
	l.countLook(ctx, e, err)
	if err != nil {
		return page{}, err
	}
	return got, nil
}
