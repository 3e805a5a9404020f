package lease

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Locker obtains and keeps leases of a store. It decides when to send what, sends nothing itself, and owns
// the tenures. All its methods are safe for concurrent use, with any number of leases.
type Locker struct {
	store   store
	adapted bool  // the store is the adapter
	err     error // what is wrong with the store, so that nothing can be sent
	tenures tenures

	manyPages atomic.Bool // the table had more than one full page when it was last seen
	crowded   atomic.Bool // the last pass obtained nothing
}

// NewLocker returns a Locker on a store: a [LockStore], or any value with its methods Lease and
// ListLeaseIDs. It starts nothing. What is wrong with the store (it is nil, say) is the error of every
// method.
//
// A LockStore is used with all it has, and so is a store with its methods ScanLeaseItemsWithContext,
// LeaseWithContext, LeaseAsSeen, RenewLeaseWithContext and ReleaseLeaseWithContext. Of any other store the
// two methods are used: its IDs are tried in its order, once each; a lease is renewed by leasing it again;
// and no item can be released. So is one that embeds such a store: the embedded methods would pass its own
// Lease by.
func NewLocker(store lockerStore) *Locker {
	l := &Locker{tenures: tenures{last: make(map[holding]*tenure), uses: make(map[holding]int)}}
	l.store, l.adapted, l.err = newStore(store)
	return l
}

func (l *Locker) check(ctx context.Context) error {
	if l == nil || l.store == nil && l.err == nil {
		return setupf("lease: the Locker has no store; was it made by NewLocker?")
	}
	return cmp.Or(l.err, checkContext(ctx))
}

func (l *Locker) checkCall(ctx context.Context, request LeaseRequest) (terms, error) {
	if err := l.check(ctx); err != nil {
		return terms{}, err
	}
	return checkRequest(request)
}

// lease leases one item, as it was seen, until a duration from now. It is then in use.
func (l *Locker) lease(ctx context.Context, seen LeaseItem, terms terms) (lease *Lease, err error) {
	h := holding{seen.LeaseID, terms.lessee}
	older, ok := l.tenures.enter(h)
	if !ok {
		return nil, LeaseNotObtainedError
	}
	defer func() {
		if lease == nil {
			l.tenures.leave(h)
		}
	}()
	until := time.Now().Add(terms.duration)
	ctx, cancel := l.limit(ctx, terms.duration-margin(terms.duration)) // A later reply is of no use to anyone.
	defer cancel()
	got, err := l.ask(ctx, seen.LeaseID, terms, until, func() (*Lease, error) {
		return l.store.LeaseAsSeen(ctx, seen, older, terms, until)
	})
	switch {
	case errors.Is(err, LeaseNotObtainedError):
		return nil, LeaseNotObtainedError
	case err != nil:
		return nil, err
	}
	t := newTenure(got, terms, until)
	if t.over() != nil {
		return nil, fmt.Errorf("lease: the lease of %q was over when it was obtained, %v after it was asked for: it lasts %v",
			seen.LeaseID, time.Since(until.Add(-terms.duration)), terms.duration)
	}
	l.tenures.mu.Lock()
	l.tenures.begin(t)
	l.tenures.mu.Unlock()
	got.tenure = t
	logInfo("Obtained Lease", "lessee_id", terms.lessee, "lease_id", got.LeaseID, "fencing_token", got.FencingToken())
	return got, nil
}

// ask calls the store for a lease, and fills in what it left out, in a copy: the store may keep its own.
func (l *Locker) ask(ctx context.Context, leaseID string, asked terms, until time.Time, call func() (*Lease, error)) (*Lease, error) {
	kept, err := await(ctx, call)
	if err != nil {
		return nil, err
	}
	if kept == nil {
		return nil, fmt.Errorf("lease: the store returned neither a lease of %q nor an error", leaseID)
	}
	got := *kept
	got.LeaseID = leaseID
	if _, ours := got.Request.(terms); ours || isNil(got.Request) {
		got.Request = asked.request
	}
	if got.Until.IsZero() {
		got.Until = until
	}
	return &got, nil
}

// limit returns a context for a call of the store that may take so long: any time, where nothing can end it.
func (l *Locker) limit(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc) {
	if l.adapted {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, most)
}

// sleepUntil blocks until then, or until ctx is done, and reports whether it isn't.
func sleepUntil(ctx context.Context, then time.Time) bool {
	timer := time.NewTimer(time.Until(then))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
