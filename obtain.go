package lease

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"time"
)

const (
	minErrorWait      = 100 * time.Millisecond // after an error of the store
	maxRacesLost      = 3                      // after so many lost races a page counts as stale
	firstLook         = 1024                   // rows of a pass's first page while one may be free: a full one costs more
	maxStrike         = 50 * time.Millisecond  // after a lease's end, at random: a crowd doesn't strike at once
	minLookTime       = 10 * time.Second       // a scan may take so long, or a lease's duration: a connection may hang
	maxLookTime       = 30 * time.Second       // but no longer
	defaultWaitPeriod = time.Second            // for one that is not positive
	minWaitPeriod     = 10 * time.Millisecond  // for a shorter one
)

// ObtainLease leases any one of the store's items to the request's lessee: own ones first, then free ones at random, and last
// those that it holds through this Locker, but none with a running Heartbeat or Hold: goroutines that share a LesseeID get
// different items. It costs one Scan, of at most 1024 rows and 1 MB, and one write; more where races are lost or pages are
// all held. The error is bare [LeaseNotObtainedError] if every item is held. Any other of the store ends the search.
func (l *Locker) ObtainLease(request LeaseRequest) (*Lease, error) {
	return l.ObtainLeaseWithContext(always, request)
}

// ObtainLeaseWithContext is [Locker.ObtainLease] until ctx is done: then its error wraps the context's.
func (l *Locker) ObtainLeaseWithContext(ctx context.Context, request LeaseRequest) (*Lease, error) {
	terms, err := checkRequest(request)
	if err = cmp.Or(l.check(ctx), err); err != nil {
		return nil, err
	}
	p := l.obtain(ctx, terms, 0)
	return p.got, p.err
}

// WaitUntilLeaseObtained is [Locker.ObtainLease] until it succeeds: it looks every waitPeriod (0 counts as a second, less
// than 10 ms as that), and once more when the first lease that it saw ends. Errors are logged and waited out, indefinitely;
// where no waiting would make good (a bad request, no store, a misfit table), that is logged, and the Lease is nil.
func (l *Locker) WaitUntilLeaseObtained(request LeaseRequest, waitPeriod time.Duration) *Lease {
	lease, err := l.WaitUntilLeaseObtainedWithContext(always, request, waitPeriod)
	if err != nil {
		logError("Lease Request Refused", "error", err)
	}
	return lease
}

// WaitUntilLeaseObtainedWithContext is [Locker.WaitUntilLeaseObtained] until ctx is done: then its error wraps the context's.
func (l *Locker) WaitUntilLeaseObtainedWithContext(ctx context.Context, request LeaseRequest, waitPeriod time.Duration) (*Lease, error) {
	terms, err := checkRequest(request)
	if err = cmp.Or(l.check(ctx), err); err != nil {
		return nil, err
	}
	if waitPeriod <= 0 {
		logInfo("Wait Period Replaced", "lessee_id", terms.lessee, "wait_period", waitPeriod, "used", defaultWaitPeriod)
		waitPeriod = defaultWaitPeriod
	}
	l.stats.note(func(now *LockerStats) { now.Waiting++ })
	defer l.stats.note(func(now *LockerStats) { now.Waiting-- })
	for {
		p := l.obtain(ctx, terms, waitPeriod)
		if p.err == nil || errors.As(p.err, new(setupError)) {
			return p.got, p.err
		}
		least := minWaitPeriod
		if p.err != LeaseNotObtainedError {
			least = minErrorWait
		}
		next := time.Now().Add(max(waitPeriod, least))
		if ctx.Err() == nil {
			logFailure(p.err)
			if lease := p.takeover(ctx, next); lease != nil {
				return lease, nil
			}
		}
		if !sleepUntil(ctx, next) {
			return nil, fmt.Errorf("lease: gave up obtaining a lease for %q: %w", terms.lessee, contextError(ctx))
		}
	}
}

func sleepUntil(ctx context.Context, then time.Time) bool {
	both, cancel := context.WithDeadline(ctx, then)
	defer cancel()
	<-both.Done()
	if end, ok := ctx.Deadline(); ok && !time.Now().Before(end) {
		<-ctx.Done() // Where both end at once, nothing is begun that would be given up at once.
	}
	return ctx.Err() == nil
}

// pass is one look at all items, page by page, with a try at each item that is to be had.
type pass struct {
	*Locker
	terms   terms
	horizon time.Time
	limit   int             // how many rows the next page is to have; 0 for a full one
	tried   map[[2]any]bool // by item and end: not again on the word of the same stale read
	idle    []LeaseItem     // own items with a live tenure of this Locker that aren't in use: tried last
	ending  []LeaseItem     // held items whose leases end before the horizon
	got     *Lease
	err     error // LeaseNotObtainedError until the pass is over
}

func (l *Locker) obtain(ctx context.Context, terms terms, within time.Duration) *pass {
	p := &pass{Locker: l, terms: terms, horizon: time.Now().Add(within), tried: make(map[[2]any]bool), err: LeaseNotObtainedError}
	if !l.crowded.Load() {
		p.limit = firstLook
	}
	if p.walk(ctx); p.err == LeaseNotObtainedError {
		p.try(ctx, p.idle, len(p.idle)+1, true)
	}
	l.crowded.Store(p.got == nil)
	return p
}

// walk reads the pages until the pass is over: of many from a random place on, as not all are to read the same held ones first.
func (p *pass) walk(ctx context.Context) {
	var first, items []LeaseItem
	var left, landed string
	isThere := func(item LeaseItem) bool { return item.LeaseID == landed }
	if !p.manyPages.Load() {
		if first, left = p.page(ctx, ""); left == "" || p.err != LeaseNotObtainedError {
			return
		}
	}
	for _, after := range []string{rand.Text(), left} {
		for more := true; more; more = after != "" {
			items, after = p.page(ctx, after)
			if p.err != LeaseNotObtainedError || slices.ContainsFunc(items, isThere) {
				return
			}
			if landed == "" && len(items) > 0 {
				landed = items[0].LeaseID
			}
		}
		if slices.ContainsFunc(first, isThere) {
			return // The walk has seen all that comes after the first page.
		}
	}
}

// page reads the page after a place and tries what is to be had on it, again when it has lost races.
func (p *pass) page(ctx context.Context, after string) ([]LeaseItem, string) {
	for {
		limit, races := p.limit, maxRacesLost
		p.limit = 0
		items, next, err := p.scan(ctx, p.terms, after, limit)
		if err != nil {
			p.err = err
			return nil, ""
		}
		switch {
		case p.adapted:
			races = len(items) + 1 // There is nothing more to see.
		case limit > 0 && next != "":
			races = 1 // There are more rows, and a crowd is after these few.
		}
		if next != "" && limit == 0 || next == "" && after == "" {
			p.manyPages.Store(next != "")
		}
		if stale := p.try(ctx, p.choose(items), races, false); !stale {
			return items, next
		}
	}
}

// choose returns what is to be tried, in order. Of an adapter's items it is only known that they are there.
func (p *pass) choose(items []LeaseItem) []LeaseItem {
	var own, free []LeaseItem
	now := time.Now()
	for _, item := range items {
		uses, last := p.tenures.use(holding{item.LeaseID, p.terms.lessee}, 0)
		switch {
		case uses > 0:
		case last.Valid() && (item.LesseeID == p.terms.lessee || item.Until.Before(now)):
			p.idle = append(p.idle, item)
		case item.LesseeID == p.terms.lessee:
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

// try tries items until the pass is over, or so many races were lost that what was seen is stale.
func (p *pass) try(ctx context.Context, items []LeaseItem, races int, evenIdle bool) (stale bool) {
	for _, item := range items {
		sighting := [2]any{item.LeaseID, item.LeaseUntil}
		if p.tried[sighting] && !evenIdle {
			continue // A store of two methods may list an ID twice.
		}
		p.tried[sighting] = true
		switch lease, err := p.lease(ctx, item, nil, p.terms, evenIdle); {
		case says(ctx, err, LeaseNotObtainedError):
			races--
		case errors.As(err, new(rowError)) || errorCode(err) == "ValidationException": // of a row that is too large, say
			logFailure(err, "lease_id", item.LeaseID)
		default:
			p.got, p.err = lease, err
			return false
		}
		if races == 0 {
			return true
		}
	}
	return false
}

// takeover waits for the first lease that ends before the next look, and tries an item whose lease has ended by then.
func (p *pass) takeover(ctx context.Context, next time.Time) *Lease {
	if len(p.ending) == 0 {
		return nil
	}
	first := slices.MinFunc(p.ending, func(a, b LeaseItem) int { return a.Until.Compare(b.Until) })
	strike := first.Until.Add(time.Millisecond + mathrand.N(maxStrike))
	if !strike.Before(next) || !sleepUntil(ctx, strike) {
		return nil
	}
	ended := slices.DeleteFunc(p.ending, func(item LeaseItem) bool { return !item.Until.Before(strike) })
	lease, err := p.lease(ctx, ended[mathrand.IntN(len(ended))], nil, p.terms, false)
	if ctx.Err() == nil {
		logFailure(err)
	}
	return lease
}
