package lease

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"sync/atomic"
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

// What a richer store may offer besides. Each is used if the store has it; [LockStore] documents what
// each must do.
type (
	contextStore interface {
		LeaseWithContext(ctx context.Context, leaseID string, request LeaseRequest, until time.Time) (*Lease, error)
		ListLeaseIDsWithContext(ctx context.Context) ([]string, error)
	}
	scanningStore interface {
		contextStore
		ScanLeaseItemsWithContext(ctx context.Context, after string, limit int) (items []LeaseItem, next string, err error)
	}
	renewingStore interface {
		RenewLeaseWithContext(ctx context.Context, lease *Lease, until time.Time) error
	}
	releasingStore interface {
		ReleaseLeaseWithContext(ctx context.Context, lease *Lease) error
	}
)

const (
	// maxRacesLost is after how many lost races a look at the table counts as stale.
	maxRacesLost = 3

	// firstLook is how many rows the first page of a look has, as long as there is reason to hope that
	// one of them is free: a full page of small rows costs ten times as much.
	firstLook = 1024

	// maxStrike is how long after the end of a lease a waiting Locker tries to take it, at the
	// most: the time is random, so that a crowd of them doesn't strike at once.
	maxStrike = 50 * time.Millisecond

	// minScanTime is for how long a scan may go unanswered, or for the lease's duration if that is
	// longer: a connection that hangs must not keep a standby for good.
	minScanTime = 10 * time.Second

	// defaultWaitPeriod takes the place of a waitPeriod that is not positive.
	defaultWaitPeriod = time.Second

	// minErrorWait is how long a waiting Locker lets a store rest that returned an error.
	minErrorWait = 100 * time.Millisecond
)

// Locker obtains and keeps leases of a store. It decides when to send what and sends nothing
// itself. All its methods are safe for concurrent use, with any number of leases.
type Locker struct {
	store     lockerStore
	tenures   tenures     // of leases to which the store gave none
	manyPages atomic.Bool // the table had more than one full page when it was last seen
	crowded   atomic.Bool // the last look obtained nothing
}

// NewLocker returns a Locker on a store: a [LockStore], or any value with its methods Lease and
// ListLeaseIDs. It starts nothing.
//
// What else a store has of LockStore's methods is used as well: the context variants,
// ScanLeaseItemsWithContext, RenewLeaseWithContext and ReleaseLeaseWithContext. A store with the two
// methods only has its IDs tried in the order in which it lists them, once each.
//
// A type that embeds *LockStore counts as one with two methods, as its own Lease may do more than the
// embedded one's, and the embedded methods would pass it by.
func NewLocker(store lockerStore) *Locker {
	if embedded, ok := store.(interface{ self() *LockStore }); ok && store != lockerStore(embedded.self()) {
		store = struct{ lockerStore }{store}
	}
	return &Locker{store: store}
}

// ObtainLease leases any one of the store's items to the request's lessee and returns its tenure.
//
// On a [LockStore] it reads who holds what, page by page from a random place, and writes only to
// items that look free or are the lessee's own: own ones of a page first, the free ones in random
// order. After a few lost races it looks again. An obtain costs one Scan, of at most 1024 rows and
// 1 MB, and one write; in a larger table, some more Scans if the first pages are all held.
//
// The error is bare [LeaseNotObtainedError], and the Lease nil, if every item is held. Any other
// error of the store ends the search and is returned. It blocks for as long as the requests take.
func (l *Locker) ObtainLease(request LeaseRequest) (*Lease, error) {
	return l.ObtainLeaseWithContext(context.Background(), request)
}

// ObtainLeaseWithContext is [Locker.ObtainLease] with a context. When ctx is done it returns at once
// with an error that wraps the context's, if the store takes contexts; after the request under way,
// if not.
func (l *Locker) ObtainLeaseWithContext(ctx context.Context, request LeaseRequest) (*Lease, error) {
	terms, err := l.check(ctx, request)
	if err != nil {
		return nil, err
	}
	lease, _, err := l.obtain(ctx, terms, 0)
	return lease, err
}

// WaitUntilLeaseObtained is [Locker.ObtainLease] until it succeeds: it scans every waitPeriod, and
// in between it sleeps, until the earliest end of a lease that it saw; then it tries that item once.
// Errors are logged and waited out. A waitPeriod that is not positive counts as a second.
//
// It blocks indefinitely, except for a request that no waiting would make good (nil, or with an
// empty LesseeID, say): that is logged, and it returns nil.
func (l *Locker) WaitUntilLeaseObtained(request LeaseRequest, waitPeriod time.Duration) *Lease {
	lease, err := l.WaitUntilLeaseObtainedWithContext(context.Background(), request, waitPeriod)
	if err != nil {
		logError("Lease Request Refused", "error", err)
	}
	return lease
}

// WaitUntilLeaseObtainedWithContext is [Locker.WaitUntilLeaseObtained] with a context. It returns
// either a lease or an error: that of a bad request, at once, or one that wraps the context's when
// ctx is done.
func (l *Locker) WaitUntilLeaseObtainedWithContext(ctx context.Context, request LeaseRequest, waitPeriod time.Duration) (*Lease, error) {
	terms, err := l.check(ctx, request)
	if err != nil {
		return nil, err
	}
	if waitPeriod <= 0 {
		logInfo("Wait Period Replaced", "lessee_id", terms.lessee, "wait_period", waitPeriod, "used", defaultWaitPeriod)
		waitPeriod = defaultWaitPeriod
	}
	for {
		lease, ending, err := l.obtain(ctx, terms, waitPeriod)
		if err == nil {
			return lease, nil
		}
		if ctx.Err() != nil {
			return nil, terms.gaveUp(ctx)
		}
		nextScan := time.Now().Add(l.waitAfter(err, waitPeriod))
		if lease := l.takeover(ctx, terms, ending, nextScan); lease != nil {
			return lease, nil
		}
		if sleepUntil(ctx, nextScan) != nil {
			return nil, terms.gaveUp(ctx)
		}
	}
}

// takeover waits for the first of the leases that end before the next scan, and tries to obtain one
// that has ended by then.
func (l *Locker) takeover(ctx context.Context, terms terms, ending []LeaseItem, nextScan time.Time) *Lease {
	if len(ending) == 0 {
		return nil
	}
	first := slices.MinFunc(ending, func(a, b LeaseItem) int { return a.Until.Compare(b.Until) })
	strike := first.Until.Add(time.Millisecond + mathrand.N(maxStrike))
	if !strike.Before(nextScan) || sleepUntil(ctx, strike) != nil {
		return nil
	}
	ended := slices.DeleteFunc(ending, func(item LeaseItem) bool { return !item.Until.Before(time.Now()) })
	if len(ended) == 0 {
		return nil // This host's clock was set back meanwhile.
	}
	lease, err := l.lease(ctx, ended[mathrand.IntN(len(ended))].LeaseID, terms)
	if err != nil {
		l.waitAfter(err, 0)
		return nil
	}
	return lease
}

// waitAfter logs an error that obtaining met with, if it is one, and returns how long to wait.
func (l *Locker) waitAfter(err error, waitPeriod time.Duration) time.Duration {
	if err == LeaseNotObtainedError {
		return waitPeriod
	}
	l.logFailure(err)
	return max(waitPeriod, minErrorWait)
}

// logFailure logs a store's error, unless the store did.
func (l *Locker) logFailure(err error, keyvals ...interface{}) {
	if _, logged := l.store.(*LockStore); !logged {
		logFailure(err, keyvals...)
	}
}

// obtain makes one pass over the items. If it obtains none, it returns those whose leases end within
// the given time.
func (l *Locker) obtain(ctx context.Context, terms terms, within time.Duration) (*Lease, []LeaseItem, error) {
	store, ok := l.store.(scanningStore)
	if !ok {
		lease, err := l.tryEach(ctx, terms)
		return lease, nil, err
	}
	tried := make(map[LeaseItem]bool) // as they were seen: a stale read isn't tried twice
	for {
		p := pass{locker: l, store: store, terms: terms, horizon: time.Now().Add(within), tried: tried}
		if !l.crowded.Load() {
			p.limit = firstLook
		}
		lease, err := p.run(ctx)
		l.crowded.Store(lease == nil)
		if err != errStale {
			return lease, p.ending, err
		}
	}
}

// tryEach is the pass over a store of which nothing is known but the IDs.
func (l *Locker) tryEach(ctx context.Context, terms terms) (*Lease, error) {
	var ids []string
	var err error
	if store, ok := l.store.(contextStore); ok {
		ids, err = store.ListLeaseIDsWithContext(ctx)
	} else {
		ids, err = l.store.ListLeaseIDs()
	}
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if ctx.Err() != nil {
			return nil, terms.gaveUp(ctx)
		}
		lease, err := l.lease(ctx, id, terms)
		var unusable *rowError // of a store on top of a LockStore
		switch {
		case errors.As(err, &unusable):
			l.logFailure(err)
		case err != LeaseNotObtainedError:
			return lease, err
		}
	}
	return nil, LeaseNotObtainedError
}

// gaveUp is the error of a search that ended because ctx is done.
func (t terms) gaveUp(ctx context.Context) error {
	return fmt.Errorf("lease: gave up obtaining a lease for %q: %w", t.lessee, context.Cause(ctx))
}

// pass is one look at who holds what, page by page, with a try at each item that is to be had.
type pass struct {
	locker  *Locker
	store   scanningStore
	terms   terms
	horizon time.Time
	tried   map[LeaseItem]bool
	limit   int // how many rows the next page is to have; 0 for a full one

	lost   int         // races lost on what this look showed
	ending []LeaseItem // held items whose leases end before the horizon
}

// errStale says that a pass lost so many races that the table should be looked at again.
var errStale = errors.New("lease: too many races lost")

// run walks the pages until something is obtained. A table of one page is read from its start. In a
// larger one everybody who started there would read the same held pages first; so the walk jumps to
// a random place and goes round: from there to the end, then from the start, or where it had left
// off, to where it had landed.
func (p *pass) run(ctx context.Context) (*Lease, error) {
	var firstPage []LeaseItem
	var resume string
	if !p.locker.manyPages.Load() {
		lease, items, next, err := p.page(ctx, "")
		if lease != nil || err != nil {
			return lease, err
		}
		if next == "" {
			return nil, LeaseNotObtainedError
		}
		firstPage, resume = items, next
	}
	lease, landed, err := p.walk(ctx, rand.Text(), "")
	if lease != nil || err != nil {
		return lease, err
	}
	if !contains(firstPage, landed) { // else the walk has seen all that comes after the first page
		lease, _, err = p.walk(ctx, resume, landed)
	}
	if lease == nil && err == nil {
		err = LeaseNotObtainedError
	}
	return lease, err
}

// walk reads the pages after a place, to the end of the table or the page with the item stop, and
// returns the first lease obtained, or else the first item seen.
func (p *pass) walk(ctx context.Context, after, stop string) (lease *Lease, landed string, err error) {
	for {
		lease, items, next, err := p.page(ctx, after)
		if lease != nil || err != nil {
			return lease, "", err
		}
		if landed == "" && len(items) > 0 {
			landed = items[0].LeaseID
		}
		if next == "" || contains(items, stop) {
			return nil, landed, nil
		}
		after = next
	}
}

func contains(items []LeaseItem, leaseID string) bool {
	return slices.ContainsFunc(items, func(item LeaseItem) bool { return item.LeaseID == leaseID })
}

// page reads one page and tries what is to be had on it.
func (p *pass) page(ctx context.Context, after string) (lease *Lease, items []LeaseItem, next string, err error) {
	scanCtx, cancel := context.WithTimeout(ctx, max(p.terms.duration, minScanTime))
	items, next, err = p.store.ScanLeaseItemsWithContext(scanCtx, after, p.limit)
	cancel()
	if err != nil {
		return nil, nil, "", err
	}
	stale := maxRacesLost
	switch {
	case next != "" && p.limit > 0:
		stale = 1 // There are more rows, and a crowd is after these few.
	case next != "":
		p.locker.manyPages.Store(true)
	case after == "":
		p.locker.manyPages.Store(false)
	}
	p.limit = 0
	var own, free []LeaseItem
	now := time.Now()
	for _, item := range items {
		switch {
		case p.tried[item]:
		case item.LesseeID == p.terms.lessee:
			own = append(own, item)
		case item.Until.Before(now):
			free = append(free, item)
		case item.Until.Before(p.horizon):
			p.ending = append(p.ending, item)
		}
	}
	mathrand.Shuffle(len(free), func(i, j int) { free[i], free[j] = free[j], free[i] })
	for _, item := range append(own, free...) {
		lease, err := p.locker.lease(ctx, item.LeaseID, p.terms)
		var unusable *rowError
		switch {
		case err == nil:
			return lease, nil, "", nil
		case err == LeaseNotObtainedError:
			p.lost++
		case errors.As(err, &unusable):
			p.locker.logFailure(err)
		default:
			return nil, nil, "", err
		}
		p.tried[item] = true
		if p.lost >= stale {
			return nil, nil, "", errStale
		}
	}
	return nil, items, next, nil
}

// lease leases one item until a duration from now.
func (l *Locker) lease(ctx context.Context, leaseID string, terms terms) (*Lease, error) {
	until := time.Now().Add(terms.duration)
	var got *Lease
	var err error
	if store, ok := l.store.(contextStore); ok {
		// A reply that comes later than this is of no use to anyone.
		ctx, cancel := context.WithDeadline(ctx, until.Add(-margin(terms.duration)))
		defer cancel()
		got, err = store.LeaseWithContext(ctx, leaseID, terms.request, until)
	} else {
		got, err = l.store.Lease(leaseID, terms.request, until)
	}
	switch {
	case errors.Is(err, LeaseNotObtainedError):
		return nil, LeaseNotObtainedError
	case err != nil:
		return nil, err
	case got == nil:
		return nil, fmt.Errorf("lease: the store returned neither a lease of %q nor an error", leaseID)
	}
	lease := *got // A store that keeps what it returned must not find a tenure in it.
	// A store that renews by leasing anew, on top of a LockStore, would end that one's tenure thereby.
	if _, renews := l.store.(renewingStore); lease.tenure == nil || !renews {
		if !lease.Until.IsZero() && lease.Until.Before(until) {
			until = lease.Until
		}
		lease.tenure = newTenure(lease.FencingToken(), until, terms.duration)
		l.tenures.begin(leaseID, terms.lessee, lease.tenure)
	}
	if !lease.Valid() {
		return nil, fmt.Errorf("lease: the lease of %q was over when it was obtained, %v after it was asked for: it lasts %v",
			leaseID, time.Since(until.Add(-terms.duration)), terms.duration)
	}
	logInfo("Obtained Lease", "lessee_id", terms.lessee, "lease_id", leaseID, "fencing_token", lease.FencingToken())
	return &lease, nil
}

// check tells what is wrong with a call before anything is sent.
func (l *Locker) check(ctx context.Context, request LeaseRequest) (terms, error) {
	if err := l.checkContext(ctx); err != nil {
		return terms{}, err
	}
	return checkRequest(request)
}

func (l *Locker) checkContext(ctx context.Context) error {
	switch {
	case l == nil || l.store == nil:
		return errors.New("lease: the Locker has no store")
	case ctx == nil:
		return errors.New("lease: the context is nil")
	}
	return nil
}

// sleepUntil blocks until then, or until ctx is done: the error is then the context's.
func sleepUntil(ctx context.Context, then time.Time) error {
	timer := time.NewTimer(time.Until(then))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
