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
	minErrorWait      = 100 * time.Millisecond // after an error of the store
	defaultWaitPeriod = time.Second            // for one that is not positive
	minWaitPeriod     = 10 * time.Millisecond  // for a shorter one
)

// ObtainLease leases any one of the store's items to the request's lessee: own ones
// first, then free ones at random, and last those that it holds through this Locker,
// but none with a running Heartbeat or Hold: goroutines that share a LesseeID get
// different items. It costs one Scan, of at most 1024 rows and 1 MB, and one write;
// more where races are lost or pages are all held. It blocks for as long as the store
// takes: up to 30 seconds for a scan that hangs, and for a write, of which it gives up three
// at most; one that was applied all the same is undone. The error is bare [LeaseNotObtainedError] if every item is held. Any other
// of the store ends the search.
func (l *Locker) ObtainLease(request LeaseRequest) (*Lease, error) {
	return l.ObtainLeaseWithContext(always, request)
}

// ObtainLeaseWithContext is [Locker.ObtainLease] until ctx is done: then its error
// wraps the context's.
func (l *Locker) ObtainLeaseWithContext(ctx context.Context, request LeaseRequest) (*Lease, error) {
	r, err := l.checked(ctx, request)
	if err != nil {
		return nil, err
	}
	p := l.newPass(r, forCaller, 0)
	return p.run(ctx)
}

// WaitUntilLeaseObtained is [Locker.ObtainLease] until it succeeds: it looks every
// waitPeriod (0 counts as a second, less than 10 ms as that), and once more when the
// first lease that it saw ends. Errors are logged and waited out, indefinitely; where
// no waiting would make good (a bad request, no store, a misfit table), that is logged,
// and the Lease is nil.
func (l *Locker) WaitUntilLeaseObtained(request LeaseRequest, waitPeriod time.Duration) *Lease {
	lease, err := l.WaitUntilLeaseObtainedWithContext(always, request, waitPeriod)
	if err != nil {
		logError("Lease Request Refused", "error", err)
	}
	return lease
}

// WaitUntilLeaseObtainedWithContext is [Locker.WaitUntilLeaseObtained] until ctx is
// done: then its error wraps the context's.
func (l *Locker) WaitUntilLeaseObtainedWithContext(
	ctx context.Context, request LeaseRequest, waitPeriod time.Duration,
) (*Lease, error) {
	r, err := l.checked(ctx, request)
	if err != nil {
		return nil, err
	}
	if waitPeriod <= 0 {
		logInfo("Wait Period Replaced", "lessee_id", r.lessee,
			"wait_period", waitPeriod, "used", defaultWaitPeriod)
		waitPeriod = defaultWaitPeriod
	}
	return l.waitUntilObtained(ctx, r, forCaller, waitPeriod)
}

func (l *Locker) waitUntilObtained(
	ctx context.Context, r requested, purpose purpose, waitPeriod time.Duration,
) (*Lease, error) {
	l.count(func(s *LockerStats) { s.Waiting++ })
	defer l.count(func(s *LockerStats) { s.Waiting-- })
	for {
		p := l.newPass(r, purpose, waitPeriod)
		lease, err := p.run(ctx)
		if err == nil {
			return lease, nil
		}
		if isFinal(err) {
			return nil, err
		}
		next := time.Now().Add(waitAfter(err, waitPeriod))
		if ctx.Err() == nil {
			lease, err := p.takeOver(ctx, next)
			if err == nil {
				return lease, nil
			}
		}
		if !sleepUntil(ctx, next) {
			return nil, fmt.Errorf("lease: gave up obtaining a lease for %q: %w", r.lessee, contextError(ctx))
		}
	}
}

// isFinal tells of an error that no waiting makes good.
func isFinal(err error) bool {
	var setup setupError
	return errors.As(err, &setup)
}

// waitAfter is how long to wait after a pass that ended with that error.
func waitAfter(err error, waitPeriod time.Duration) time.Duration {
	if err == LeaseNotObtainedError {
		return max(waitPeriod, minWaitPeriod)
	}
	return max(waitPeriod, minErrorWait)
}

// pass is one look at all items, page by page, with a try at each item that is to be had.
type pass struct {
	locker    *Locker
	looker    looker
	request   requested
	purpose   purpose
	limit     int               // how many rows the next page is to have; 0 for a full one
	tried     map[sighting]bool // not again on the word of the same stale read
	unrenewed []LeaseItem       // own items with a live tenure of this Locker: tried last
	ending    []LeaseItem       // held items whose leases end before the horizon

	unanswered int // how many writes were given up without an answer

	unseen bool // the store shows nothing of its items but that they are there
	isOver bool
	lease  *Lease // what was obtained
	err    error  // what has ended the pass, or LeaseNotObtainedError
}

// sighting is an item as a scan has shown it.
type sighting struct {
	leaseID    string
	leaseUntil int64
}

// newPass returns a pass of one who waits for so long, until the next.
func (l *Locker) newPass(request requested, purpose purpose, waits time.Duration) *pass {
	const firstLook = 1024 // rows, while one of them may be free: a full page costs more
	p := &pass{
		locker:  l,
		looker:  looker{me: request.lessee, waitsUntil: time.Now().Add(waits)},
		request: request,
		purpose: purpose,
		tried:   make(map[sighting]bool),
		err:     LeaseNotObtainedError,
	}
	p.looker.usage = func(leaseID string) usage {
		return l.usage(holding{leaseID: leaseID, lessee: request.lessee})
	}
	if !l.allHeld.Load() {
		p.limit = firstLook
	}
	return p
}

func (p *pass) run(ctx context.Context) (*Lease, error) {
	p.walk(ctx)
	if !p.isOver {
		p.tryUnrenewed(ctx)
	}
	p.locker.allHeld.Store(p.lease == nil)
	return p.lease, p.err
}

func (p *pass) end(lease *Lease, err error) {
	p.isOver = true
	p.lease = lease
	p.err = err
}

// walk reads the pages until the pass is over: the first one alone, if the table is small.
// Of many it reads from a random place to the table's end, and then from the start to that
// place, as not all are to read the same held ones first.
func (p *pass) walk(ctx context.Context) {
	var head page
	if !p.locker.manyPages.Load() {
		head = p.tryPage(ctx, "")
		if p.isOver || head.next == "" {
			return
		}
	}
	landed := p.walkFrom(ctx, rand.Text(), "")
	if p.isOver {
		return
	}
	if head.has(landed) {
		return // That place was on the first page: what was read is all.
	}

	// If nothing was read before, head is empty, and this begins at the table's start. If
	// nothing lies behind the random place, landed is "", and this ends at the table's end.
	p.walkFrom(ctx, head.next, landed)
}

// walkFrom reads pages from a place on, to the table's end or to the page that has that
// item. It returns the first item that it saw, or "".
func (p *pass) walkFrom(ctx context.Context, after, stop string) (landed string) {
	for {
		seen := p.tryPage(ctx, after)
		if p.isOver || seen.has(stop) {
			return landed
		}
		if landed == "" {
			landed = seen.first()
		}
		if seen.next == "" {
			return landed
		}
		after = seen.next
	}
}

// first returns the ID of a page's first item; "" if it has none.
func (p page) first() string {
	for _, item := range p.items {
		return item.LeaseID
	}
	return ""
}

func (p page) has(leaseID string) bool {
	return slices.ContainsFunc(p.items, func(item LeaseItem) bool { return item.LeaseID == leaseID })
}

// tryPage reads the page after a place and tries what is to be had on it; again, when
// so many races were lost that what it saw is stale.
func (p *pass) tryPage(ctx context.Context, after string) page {
	for {
		limit := p.limit
		p.limit = 0
		seen, err := p.locker.scan(ctx, p.request, after, limit)
		if err != nil {
			p.end(nil, err)
			return page{}
		}
		p.noteSize(after, limit, seen)
		p.unseen = seen.unseen
		isStale := p.tryAll(ctx, p.toTry(seen), seen.staleAfter(limit))
		if !isStale {
			return seen
		}
	}
}

// noteSize notes whether the table has many pages, if a page has shown that.
func (p *pass) noteSize(after string, limit int, seen page) {
	isFull := limit == 0 && seen.next != ""
	isAll := after == "" && seen.next == ""
	if isFull || isAll {
		p.locker.manyPages.Store(isFull)
	}
}

// staleAfter is how many races may be lost on a page, of at most limit rows, before it
// counts as stale.
func (p page) staleAfter(limit int) (races int) {
	const usual = 3
	if p.unseen {
		return len(p.items) + 1 // There is nothing more to see.
	}
	if limit > 0 && p.next != "" {
		return 1 // There are more rows, and a crowd is after these few.
	}
	return usual
}

// toTry returns what is to be tried of a page now, and keeps what is to be tried later.
func (p *pass) toTry(seen page) []LeaseItem {
	p.looker.now = time.Now()
	c := p.looker.choose(seen)
	p.unrenewed = append(p.unrenewed, c.unrenewed...)
	p.ending = append(p.ending, c.ending...)
	return c.inOrder(mathrand.Shuffle)
}

// tryAll tries items until the pass is over, or until so many races were lost that what
// was seen is stale.
func (p *pass) tryAll(ctx context.Context, items []LeaseItem, races int) (isStale bool) {
	for _, item := range items {
		if !p.isNew(item) {
			continue // It was lost a moment ago, and is seen as it was.
		}
		isLost := p.try(ctx, attempt{seen: item})
		if p.isOver {
			return false
		}
		if isLost {
			races--
		}
		if races == 0 {
			return true
		}
	}
	return false
}

// isNew tells that an item wasn't tried as it was seen, and notes that it is.
func (p *pass) isNew(item LeaseItem) bool {
	s := sighting{leaseID: item.LeaseID, leaseUntil: item.LeaseUntil}
	isNew := !p.tried[s]
	p.tried[s] = true
	return isNew
}

// tryUnrenewed tries the items that this Locker holds, and doesn't renew.
func (p *pass) tryUnrenewed(ctx context.Context) {
	for _, item := range p.unrenewed {
		p.try(ctx, attempt{seen: item, evenUnrenewed: true})
		if p.isOver {
			return
		}
	}
}

// try tries one item, and tells that another was faster to lease it. The pass is over
// unless that is so, or the row can't be leased by anyone.
func (p *pass) try(ctx context.Context, a attempt) (isLost bool) {
	a.unseen = p.unseen
	a.request = p.request
	a.purpose = p.purpose
	lease, err := p.locker.lease(ctx, a)
	if says(ctx, err, LeaseNotObtainedError) {
		return true
	}
	if isOfRow(err) || p.isPatientWith(err) {
		return false
	}
	p.end(lease, err)
	return false
}

// isPatientWith tells that the pass goes on with the next item, as a write wasn't answered.
// Where several weren't, it is the store that hangs.
func (p *pass) isPatientWith(err error) bool {
	const most = 3
	var unanswered *unansweredError
	if !errors.As(err, &unanswered) {
		return false
	}
	p.unanswered++
	if p.err == LeaseNotObtainedError { // what the pass ends with, if nothing better comes
		p.err = err
	}
	return p.unanswered < most
}

// isOfRow tells of an error that other items need not have: a row is too large, say.
func isOfRow(err error) bool {
	var row rowError
	return errors.As(err, &row) || errorCode(err) == "ValidationException"
}

// takeOver waits for the first lease that ends before the next look, and tries an item
// whose lease has ended by then.
func (p *pass) takeOver(ctx context.Context, next time.Time) (*Lease, error) {
	if len(p.ending) == 0 {
		return nil, LeaseNotObtainedError
	}
	strike := strikeAfter(firstEnd(p.ending).Until)
	isInTime := strike.Before(next) && sleepUntil(ctx, strike)
	if !isInTime {
		return nil, LeaseNotObtainedError
	}
	ended := endedBy(p.ending, strike)
	return p.locker.lease(ctx, attempt{
		seen:    ended[mathrand.IntN(len(ended))],
		request: p.request,
		purpose: p.purpose,
	})
}

// strikeAfter returns when to try an item whose lease ends then. A crowd doesn't strike at once.
func strikeAfter(end time.Time) time.Time {
	const spread = 50 * time.Millisecond
	return end.Add(time.Millisecond + mathrand.N(spread))
}
