package lease

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"time"
)

const (
	maxRacesLost      = 3                      // after so many lost races a page counts as stale
	firstLook         = 1024                   // rows of a pass's first page while one may be free: a full one costs more
	maxStrike         = 50 * time.Millisecond  // after a lease's end, at random: a crowd doesn't strike at once
	minLookTime       = 10 * time.Second       // a look may take so long, or a lease's duration: a connection may hang
	defaultWaitPeriod = time.Second            // for one that is not positive
	minWaitPeriod     = 10 * time.Millisecond  // for a shorter one
	minErrorWait      = 100 * time.Millisecond // after an error of the store
)

// ObtainLease leases any one of the store's items to the request's lessee and returns its tenure.
//
// On a [LockStore] it scans who holds what and writes only to items that look free or are the lessee's own:
// own ones of a page first, free ones at random, and last those that the lessee holds through this Locker.
// One with a running Heartbeat or Hold of this Locker is left alone: goroutines that share a LesseeID get
// different items. An obtain costs one Scan, of at most 1024 rows and 1 MB, and one write; more of both
// where races are lost, and more Scans if the first pages of a larger table are all held.
//
// The error is bare [LeaseNotObtainedError], and the Lease nil, if every item is held. Any other
// error of the store ends the search and is returned. It blocks for as long as the requests take.
func (l *Locker) ObtainLease(request LeaseRequest) (*Lease, error) {
	return l.ObtainLeaseWithContext(context.Background(), request)
}

// ObtainLeaseWithContext is [Locker.ObtainLease] with a context. When ctx is done it returns at once
// with an error that wraps the context's.
func (l *Locker) ObtainLeaseWithContext(ctx context.Context, request LeaseRequest) (*Lease, error) {
	terms, err := l.checkCall(ctx, request)
	if err != nil {
		return nil, err
	}
	lease, _, err := l.obtain(ctx, terms, 0)
	return l.unused(lease), err
}

// unused hands a lease out: until its Heartbeat starts, it isn't in use.
func (l *Locker) unused(lease *Lease) *Lease {
	if lease != nil {
		l.tenures.leave(lease.tenure.holding)
	}
	return lease
}

// WaitUntilLeaseObtained is [Locker.ObtainLease] until it succeeds: it looks every waitPeriod, and
// in between it sleeps, until the earliest end of a lease that it saw; then it tries that item once.
// Errors are logged and waited out. A waitPeriod that is not positive counts as a second, and one under
// 10 ms as 10 ms.
//
// It blocks indefinitely, except for what no waiting would make good: a bad request, a nil store, a table
// that can't hold lease items. That is logged, and it returns nil.
func (l *Locker) WaitUntilLeaseObtained(request LeaseRequest, waitPeriod time.Duration) *Lease {
	lease, err := l.WaitUntilLeaseObtainedWithContext(context.Background(), request, waitPeriod)
	if err != nil {
		logError("Lease Request Refused", "error", err)
	}
	return lease
}

// WaitUntilLeaseObtainedWithContext is [Locker.WaitUntilLeaseObtained] with a context. It returns
// either a lease or an error: at once that of what no waiting would make good, or one that wraps the
// context's when ctx is done.
func (l *Locker) WaitUntilLeaseObtainedWithContext(ctx context.Context, request LeaseRequest, waitPeriod time.Duration) (*Lease, error) {
	terms, err := l.checkCall(ctx, request)
	if err != nil {
		return nil, err
	}
	if waitPeriod <= 0 {
		logInfo("Wait Period Replaced", "lessee_id", terms.lessee, "wait_period", waitPeriod, "used", defaultWaitPeriod)
		waitPeriod = defaultWaitPeriod
	}
	lease, err := l.wait(ctx, terms, waitPeriod)
	return l.unused(lease), err
}

// wait obtains a lease, which is in use.
func (l *Locker) wait(ctx context.Context, terms terms, waitPeriod time.Duration) (*Lease, error) {
	waitPeriod = max(waitPeriod, minWaitPeriod)
	for {
		lease, ending, err := l.obtain(ctx, terms, waitPeriod)
		switch {
		case err == nil || errors.As(err, new(setupError)):
			return lease, err
		case ctx.Err() != nil:
			return nil, terms.gaveUp(ctx)
		}
		logFailure(err)
		next := time.Now().Add(waitPeriod)
		if err != LeaseNotObtainedError {
			next = time.Now().Add(max(waitPeriod, minErrorWait))
		}
		if lease := l.takeover(ctx, terms, ending, next); lease != nil {
			return lease, nil
		}
		if !sleepUntil(ctx, next) {
			return nil, terms.gaveUp(ctx)
		}
	}
}

// gaveUp is the error of a search that ended because ctx is done.
func (t terms) gaveUp(ctx context.Context) error {
	return fmt.Errorf("lease: gave up obtaining a lease for %q: %w", t.lessee, contextError(ctx))
}

// takeover waits for the first of the leases that end before the next look, and tries to obtain one
// that has ended by then.
func (l *Locker) takeover(ctx context.Context, terms terms, ending []LeaseItem, next time.Time) *Lease {
	if len(ending) == 0 {
		return nil
	}
	first := slices.MinFunc(ending, func(a, b LeaseItem) int { return a.Until.Compare(b.Until) })
	strike := first.Until.Add(time.Millisecond + mathrand.N(maxStrike))
	if !strike.Before(next) || !sleepUntil(ctx, strike) {
		return nil
	}
	ended := slices.DeleteFunc(ending, func(item LeaseItem) bool { return !item.Until.Before(time.Now()) })
	if len(ended) == 0 {
		return nil // This host's clock was set back meanwhile.
	}
	lease, err := l.lease(ctx, ended[mathrand.IntN(len(ended))], terms)
	if err != nil {
		logFailure(err)
	}
	return lease
}

// obtain makes one pass over the items, and obtains a lease, which is in use. If it obtains none, it
// returns the items whose leases end within the given time.
func (l *Locker) obtain(ctx context.Context, terms terms, within time.Duration) (*Lease, []LeaseItem, error) {
	p := pass{Locker: l, terms: terms, horizon: time.Now().Add(within), tried: make(map[sighting]bool)}
	if !l.crowded.Load() {
		p.limit = firstLook
	}
	lease, err := p.run(ctx)
	if lease == nil && err == nil {
		lease, _, err = p.try(ctx, p.idle, len(p.idle)+1)
	}
	if lease == nil && err == nil {
		err = LeaseNotObtainedError
	}
	l.crowded.Store(lease == nil)
	return lease, p.ending, err
}

// pass is one look at all items, page by page, with a try at each item that is to be had.
type pass struct {
	*Locker
	terms   terms
	horizon time.Time
	limit   int // how many rows the next page is to have; 0 for a full one

	tried  map[sighting]bool
	idle   []LeaseItem // own items with a live tenure of this Locker that isn't in use
	ending []LeaseItem // held items whose leases end before the horizon
}

// sighting is an item as it was seen: what was tried isn't tried again on the word of the same stale read.
type sighting struct {
	leaseID string
	until   time.Time
}

// run walks the pages until something is obtained. A table of one page is read from its start. In a
// larger one everybody who started there would read the same held pages first; so the walk jumps to
// a random place and goes round: from there to the end, then from the start, or where it had left
// off, to where it had landed.
func (p *pass) run(ctx context.Context) (lease *Lease, err error) {
	var first []LeaseItem
	var left, landed string
	if !p.manyPages.Load() {
		if lease, first, left, err = p.page(ctx, ""); lease != nil || err != nil || left == "" {
			return lease, err
		}
	}
	for _, after := range []string{rand.Text(), left} {
		for more := true; more; more = after != "" {
			lease, seen, next, err := p.page(ctx, after)
			if lease != nil || err != nil || landed != "" && has(seen, landed) {
				return lease, err
			}
			if landed == "" && len(seen) > 0 {
				landed = seen[0].LeaseID
			}
			after = next
		}
		if has(first, landed) {
			break // The walk has seen all that comes after the first page.
		}
	}
	return nil, nil
}

func has(items []LeaseItem, leaseID string) bool {
	return slices.ContainsFunc(items, func(item LeaseItem) bool { return item.LeaseID == leaseID })
}

// page reads the page after a place and tries what is to be had on it. When it has lost races it reads the
// page again: others are after these items.
func (p *pass) page(ctx context.Context, after string) (lease *Lease, items []LeaseItem, next string, err error) {
	for stale := true; stale; {
		short := p.limit > 0
		if items, next, err = p.look(ctx, after); err != nil {
			return nil, nil, "", err
		}
		races := maxRacesLost
		switch {
		case p.adapted:
			races = len(items) + 1 // There is nothing more to see.
		case short && next != "":
			races = 1 // There are more rows, and a crowd is after these few.
		}
		if lease, stale, err = p.try(ctx, p.choose(items), races); lease != nil || err != nil {
			return lease, nil, "", err
		}
	}
	return nil, items, next, nil
}

// look reads one page, and notes whether the table has more than one.
func (p *pass) look(ctx context.Context, after string) (items []LeaseItem, next string, err error) {
	ctx, cancel := p.Locker.limit(ctx, max(p.terms.duration, minLookTime))
	defer cancel()
	limit := p.limit
	p.limit = 0
	type page struct {
		items []LeaseItem
		next  string
	}
	seen, err := await(ctx, func() (seen page, err error) {
		seen.items, seen.next, err = p.store.ScanLeaseItemsWithContext(ctx, after, limit)
		return seen, err
	})
	switch {
	case err != nil:
	case seen.next != "" && limit == 0:
		p.manyPages.Store(true)
	case seen.next == "" && after == "":
		p.manyPages.Store(false)
	}
	return seen.items, seen.next, err
}

// choose returns the items of a page that are to be tried, in order. Of an adapter's it is only known that
// they are there.
func (p *pass) choose(items []LeaseItem) []LeaseItem {
	var own, free []LeaseItem
	now := time.Now()
	for _, item := range items {
		inUse, live := p.tenures.state(holding{item.LeaseID, p.terms.lessee})
		mine := item.LesseeID == p.terms.lessee
		switch {
		case inUse || p.tried[sighting{item.LeaseID, item.Until}]:
		case live && (mine || p.adapted):
			p.idle = append(p.idle, item)
		case mine:
			own = append(own, item)
		case item.Until.Before(now):
			free = append(free, item)
		case item.Until.Before(p.horizon):
			p.ending = append(p.ending, item)
		}
	}
	if !p.adapted {
		mathrand.Shuffle(len(free), func(i, j int) { free[i], free[j] = free[j], free[i] })
	}
	return append(own, free...)
}

// try tries items until one is obtained, or so many races were lost that what was seen is stale.
func (p *pass) try(ctx context.Context, items []LeaseItem, races int) (lease *Lease, stale bool, err error) {
	for _, item := range items {
		p.tried[sighting{item.LeaseID, item.Until}] = true
		switch lease, err := p.lease(ctx, item, p.terms); {
		case err == nil:
			return lease, false, nil
		case err == LeaseNotObtainedError:
			races--
		case unusable(err):
			logFailure(err, "lease_id", item.LeaseID)
		default:
			return nil, false, err
		}
		if races == 0 {
			return nil, true, nil
		}
	}
	return nil, false, nil
}
