package lease

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Locker obtains and keeps any number of leases of a store. All its methods are safe for concurrent use.
type Locker struct {
	store     store
	adapted   bool  // the store is the adapter
	err       error // what is wrong with the store, so that nothing can be sent
	tenures   tenures
	stats     stats
	manyPages atomic.Bool // the table had more than one full page when it was last seen
	crowded   atomic.Bool // the last pass obtained nothing
}

// NewLocker returns a Locker on a store: a [LockStore], or any value with its methods Lease and ListLeaseIDs. What is wrong
// with the store (it is nil, say) is the error of every method. A store is used in full if it has ScanLeaseItemsWithContext,
// LeaseWithContext, LeaseAsSeen, RenewLeaseItem, ReleaseLeaseWithContext, WantLease, HandOverLease and SaveAttributes, and not from a store
// that it embeds: that would pass its own Lease by. Of any other the two methods are used: its IDs are tried in its order; a
// lease is renewed by leasing it again; no item can be released or wanted; and a call that hangs is left alone when its
// caller's context is done.
func NewLocker(s lockerStore) *Locker {
	l := &Locker{tenures: tenures{last: make(map[holding]*tenure), uses: make(map[holding]int)}}
	own, isOwn := s.(*LockStore)
	full, isFull := s.(store)
	switch {
	case s == nil:
		l.err = setupf("lease: the Locker has no store")
	case isOwn:
		l.store, l.err = own, own.check(context.Background())
	case isNil(s):
		l.err = setupf("lease: the Locker's store is a nil %T", s)
	case isFull && !embedsStore(reflect.TypeOf(s)):
		l.store = full
	default:
		l.store, l.adapted = &adapter{two: s}, true
	}
	return l
}

func (l *Locker) check(ctx context.Context) error {
	switch {
	case l == nil || l.store == nil && l.err == nil:
		return setupf("lease: the Locker has no store; was it made by NewLocker?")
	case l.err == nil && ctx == nil:
		return errors.New("lease: the context is nil")
	}
	return l.err
}

// lease leases an item that is not in use, and, evenIdle, has a live tenure. known has left the row so, or is nil.
func (l *Locker) lease(ctx context.Context, seen LeaseItem, known *Lease, terms terms, evenIdle bool) (lease *Lease, err error) {
	h := holding{seen.LeaseID, terms.lessee}
	uses, last := l.tenures.use(h, 1)
	defer func() {
		if lease == nil || !terms.keep {
			l.tenures.use(h, -1)
		}
	}()
	if uses > 1 || last.Valid() && !evenIdle {
		return nil, LeaseNotObtainedError
	}
	until, most := time.Now().Add(terms.duration), terms.duration-margin(terms.duration) // A later reply is of no use to anyone.
	var got *Lease
	if err := l.stats.wrote(ctx, l.await(ctx, most, func(ctx context.Context) (err error) {
		got, err = l.store.LeaseAsSeen(ctx, seen, cmp.Or(known, last), terms, until)
		return err
	})); err != nil {
		if says(ctx, err, LeaseNotObtainedError) && !l.adapted {
			l.stats.note(func(now *LockerStats) { now.RacesLost++ })
		}
		return nil, err
	}
	if got, err = complete(got, seen.LeaseID, terms, until); err != nil {
		return nil, err
	}
	l.tenures.mu.Lock()
	t := l.newTenure(got, terms, until, 1)
	l.tenures.mu.Unlock()
	if t.over() != nil {
		return nil, fmt.Errorf("lease: the lease of %q, of %v, was over when it was obtained", seen.LeaseID, terms.duration)
	}
	got.tenure = t
	logInfo("Obtained Lease", "lessee_id", terms.lessee, "lease_id", got.LeaseID, "fencing_token", got.FencingToken())
	return got, nil
}

// scan returns a page of the store's items, see [LockStore.ScanLeaseItems], or gives up in time.
func (l *Locker) scan(ctx context.Context, terms terms, after string, limit int) ([]LeaseItem, string, error) {
	items, next := []LeaseItem(nil), ""
	err := l.await(ctx, min(max(terms.duration, minLookTime), maxLookTime), func(ctx context.Context) (err error) {
		items, next, err = l.store.ScanLeaseItemsWithContext(ctx, after, limit)
		return err
	})
	l.stats.note(func(now *LockerStats) {
		switch {
		case err == nil:
			now.Looks++
			now.LastLook = time.Now()
		case ctx.Err() == nil:
			now.FailedLooks++
		}
	})
	if err != nil { // The call may still be under way.
		return nil, "", err
	}
	return items, next, nil
}

// complete fills in what a store left out of a lease, in a copy: the store may keep its own.
func complete(kept *Lease, leaseID string, asked terms, until time.Time) (*Lease, error) {
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

// await returns what f returns, or contextError once ctx or the time is over: f then goes on alone, unread.
func (l *Locker) await(ctx context.Context, most time.Duration, f func(ctx context.Context) error) error {
	if l.adapted {
		most = math.MaxInt64 // Nothing can end a call of such a store.
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	if ctx.Err() == nil {
		select {
		case end := <-begin(func() error { return f(ctx) }, true):
			return end()
		case <-ctx.Done():
		}
	}
	return contextError(ctx)
}

// each calls f for the items, 16 at a time, then done for each of these, and logs the errors, until all of a time failed.
func (l *Locker) each(lessee string, items []LeaseItem, f func(item LeaseItem) error, done func(item LeaseItem, err error)) (ok bool) {
	for wave := range slices.Chunk(items, 16) {
		var all sync.WaitGroup
		results, failed := make([]func() error, len(wave)), true
		for i, item := range wave {
			all.Go(func() { results[i] = <-begin(func() error { return f(item) }, false) })
		}
		all.Wait() // before one may panic
		for i, result := range results {
			err := result()
			done(wave[i], err)
			logFailure(err, "lessee_id", lessee, "lease_id", wave[i].LeaseID)
			failed = failed && err != nil && !errors.Is(err, LeaseNotObtainedError)
		}
		if failed {
			return false
		}
	}
	return true
}

// begin starts f in a goroutine, and sends a function that returns or panics as f did.
func begin(f func() error, log bool) <-chan func() error {
	done := make(chan func() error, 1)
	go func() {
		err := errors.New("lease: a method of the store, the request or the work left its goroutine")
		defer func() {
			p := recover()
			done <- func() error {
				if p != nil {
					panic(p)
				}
				return err
			}
			if p != nil && log { // Perhaps nobody receives it.
				defer func() { _ = recover() }() // The logger may be what panics.
				logError("Panic", "value", p, "stack", string(debug.Stack()))
			}
		}()
		err = f()
	}()
	return done
}
