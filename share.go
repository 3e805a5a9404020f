package lease

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go/aws/request"
)

// atOnce is a timer's time. Many of 0 side by side crash the race detector of Go 1.26 in synctest bubbles.
const atOnce = time.Nanosecond

// HoldShare keeps this worker at its fair share of all lease items, at most `most` at once (0: no limit), and runs work for
// each in a goroutine of its own, until ctx is done. What it is short of it wishes for, and who has more hands it over. Call it
// once for a LesseeID. It looks every third of the lease's duration, more often while items move, less in fleets of over 100.
// On a store of two methods it takes what is free. work must stop when its context is done: see [Locker.Hold]. An item whose work
// returns unasked is released, and rests here for a third of the lease's duration, or after errors with backoff up to 5 minutes
// (or that third); that is logged, as are errors of the store, which are waited out. HoldShare blocks until all works have
// returned and their items are released, in 10 seconds at most. It returns the cause of ctx, wrapped if items stay leased; or at
// once what is wrong with an argument, or with the store until the first look succeeds. A panic goes through it.
func (l *Locker) HoldShare(ctx context.Context, request LeaseRequest, most int, work func(ctx context.Context, lease *Lease) error) error {
	terms, err := checkRequest(request)
	switch err = cmp.Or(l.check(ctx), err); {
	case err != nil:
		return err
	case most < 0:
		return fmt.Errorf("lease: most is %d; want the number of items to hold, or 0 for no limit", most)
	case work == nil:
		return errors.New("lease: the work to hold a share for is nil")
	}
	terms.keep = true
	ctx, cancel := context.WithCancel(ctx)
	s := &share{Locker: l, terms: terms, period: max(terms.duration/3, 1), most: cmp.Or(most, math.MaxInt), work: work, batch: 1,
		patience: min(max(time.Second, terms.duration/6), 5*time.Second), ended: make(chan func()),
		held: make(map[string]bool), resting: make(map[string]pause), deaf: make(map[string]pause)}
	defer func() { // also when a work has panicked
		cancel()
		go func() { s.works.Wait(); close(s.ended) }()
		for range s.ended {
		}
	}()
	for timer, done, first := time.After(atOnce), ctx.Done(), true; done != nil || len(s.held) > 0; {
		select {
		case rest := <-s.ended:
			rest()
		case <-done:
			timer, done = nil, nil
		case <-timer:
			next, err := s.look(ctx)
			if err != nil && first && !transient(err) && ctx.Err() == nil {
				return err
			} else if ctx.Err() == nil {
				logFailure(err, "lessee_id", terms.lessee)
			}
			timer, first = time.After(max(minWaitPeriod, time.Until(next))), first && err != nil
		}
	}
	if s.stay > 0 {
		return fmt.Errorf("lease: %d items of %q stay leased until %v: %w", s.stay, terms.lessee, s.until.Round(0), contextError(ctx))
	}
	return context.Cause(ctx)
}

// share is one HoldShare. All of it belongs to the goroutine that called it; works only send that they have ended.
type share struct {
	*Locker
	terms            terms
	period, patience time.Duration // patience with a write, as that holds up the looks
	most             int
	work             func(ctx context.Context, lease *Lease) error
	works            sync.WaitGroup
	ended            chan func() // what to do about a work that has ended
	held             map[string]bool
	resting          map[string]pause     // items whose work has returned unasked
	deaf             map[string]pause     // holders that let a wish run out; and oneself, while work soon ends on what was wished for
	free             map[string]time.Time // since when the looks have shown an item free
	ends             map[string]int64     // of the leases at the last look
	wishes           map[string]LeaseItem // as they were when this worker wished for them
	batch            int                  // how many free items the next look may take
	stay             int                  // how many items could not be released
	until            time.Time            // until when they stay leased
}

type pause struct {
	until time.Time
	last  time.Duration
}

func (p pause) on() bool { return p.until.After(time.Now()) }

// longer returns the pause from now on after one more failure: twice the last one, within bounds.
func (p pause) longer(least, most time.Duration) pause {
	p.last = max(least, min(2*p.last, most))
	return pause{time.Now().Add(p.last), p.last}
}

// rest leaves an item to others for a while whose work has ended, unless it was lost, or ctx is done.
func (s *share) rest(ctx context.Context, t *tenure, began time.Time, wished bool, result func() error) {
	id, retired := t.leaseID, t.discarded.Load()
	delete(s.held, id)
	err, after := result(), pause{time.Now().Add(s.period), s.resting[id].last}
	asked, lasted := ctx.Err() != nil || t.wish.Load() != nil, time.Since(began) >= max(time.Minute, 3*s.terms.duration)
	if lasted {
		after.last = 0
		delete(s.deaf, t.lessee)
	}
	switch {
	case t.lost.Load() || t.over() != LeaseReleasedError || retired && err == nil:
		if t.over() == LeaseExpiredError || s.adapted { // else the store has logged it
			logError("Lease Lost", "lessee_id", s.terms.lessee, "lease_id", id, "error", err)
		}
		return
	case !asked && err != nil:
		after = after.longer(s.period, 5*time.Minute)
		fallthrough
	case !asked || !(err == nil || errors.Is(err, LeaseWantedError) || errors.Is(err, context.Canceled) ||
		errors.Is(err, context.Cause(ctx)) || errorCode(err) == request.CanceledErrorCode):
		logError("Work Ended", "lessee_id", s.terms.lessee, "lease_id", id, "error", err, "rests", time.Until(after.until))
	}
	if wished && !asked && !lasted { // Others could have gone on with it.
		s.deaf[t.lessee] = s.deaf[t.lessee].longer(s.period, 5*time.Minute)
	}
	if end := later(t.state().rowEnd(), time.Unix(0, t.state().claim.older)); ctx.Err() != nil && !t.released.Load() && !retired && end.After(time.Now()) {
		s.stay, s.until = s.stay+1, later(s.until, end)
	}
	s.resting[id] = after
}

// look scans all items once, takes, wishes, and returns when to look again.
func (s *share) look(ctx context.Context) (next time.Time, err error) {
	var items []LeaseItem
	for after, more := "", true; more; more = after != "" {
		page, following, err := s.scan(ctx, s.terms, after, 0)
		if err != nil {
			return time.Now().Add(min(max(s.period, minErrorWait), 10*time.Second)), err
		}
		items, after = append(items, page...), following
	}
	mathrand.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
	s.listen(items)
	counts := s.count(items)
	took, left := s.take(ctx, items, counts)
	s.wish(ctx, items, counts, left)
	return s.next(items, len(counts), took), nil
}

// next tells when to look again: soon while items move, when a foreign lease ends unrenewed, and rarely in large, quiet fleets.
func (s *share) next(items []LeaseItem, workers int, took bool) time.Time {
	d, ends := s.period, make(map[string]int64)
	switch {
	case took:
		d = d/30 + mathrand.N(d/30+1)
	case len(s.wishes) > 0:
		d = min(d/3, 20*time.Second) // Others' leases may be much shorter.
	case workers > 100 && len(s.free) == 0:
		d = max(d, min(d, time.Hour)/100*time.Duration(workers))
	}
	next := time.Now().Add(d - d/20 + mathrand.N(d/10+1))
	for _, item := range items {
		ends[item.LeaseID] = item.LeaseUntil
		if end := item.Until.Add(time.Millisecond + mathrand.N(s.period/10+1)); item.LesseeID != s.terms.lessee &&
			item.LeaseUntil == s.ends[item.LeaseID] && item.Until.After(time.Now()) && end.Before(next) {
			next = end
		}
	}
	s.ends = ends
	return next
}

// owner tells who is to have an item: who wants it, else who holds it; nobody if it is free, or to be freed.
func (s *share) owner(item LeaseItem) string {
	switch {
	case item.Until.Before(time.Now()):
		return ""
	case !item.wanted(s.terms.duration).IsZero():
		return item.WantedBy
	}
	return item.LesseeID
}

// count counts the items that each worker is to have, with oneself among the workers.
func (s *share) count(items []LeaseItem) map[string]int {
	counts := map[string]int{s.terms.lessee: 0}
	for _, item := range items {
		counts[s.owner(item)]++
	}
	delete(counts, "")
	return counts
}

// take leases own items, then free ones up to the share, in growing batches, and beyond it those that have long been free.
func (s *share) take(ctx context.Context, items []LeaseItem, counts map[string]int) (took bool, left int) {
	var own, free, old []LeaseItem
	now, since, resting, me := time.Now(), make(map[string]time.Time), make(map[string]pause), s.terms.lessee
	for _, item := range items {
		id := item.LeaseID
		resting[id] = s.resting[id] // those of items that are there no more are forgotten
		uses, _ := s.tenures.use(holding{id, me}, 0)
		switch {
		case s.held[id] || uses > 0 || s.resting[id].on():
		case item.Until.Before(now):
			since[id] = cmp.Or(s.free[id], now)
			if now.Sub(since[id]) >= s.period/5*4 {
				old = append(old, item)
			} else {
				free = append(free, item)
			}
		case item.LesseeID == me && s.owner(item) == me:
			own = append(own, item)
		}
	}
	s.free, s.resting = since, resting
	room := max(0, s.most-len(s.held))
	got := s.lease(ctx, own, room)
	share := (len(items) + len(counts) - 1) / len(counts)
	n := min(s.batch, len(old)+max(0, min(len(free), share-counts[me]-len(old))))
	if s.adapted { // which shows nothing of others
		n = len(old) + len(free)
	}
	n = s.lease(ctx, append(old, free...), min(n, room-got-len(s.wishes)))
	counts[me] += n
	s.batch = max(1, min(2*s.batch*min(got+n, 1), 1<<20)) // doubled as long as there is something to take
	return got+n > 0, len(old) + len(free) - n
}

// lease leases up to n of the items, and starts their work. In place of those that others took first it tries others, twice.
func (s *share) lease(ctx context.Context, items []LeaseItem, n int) (got int) {
	for tries, ok := 0, true; (tries < 3 || ok && s.adapted) && got < n && len(items) > 0; tries++ {
		now := items[:min(n-got, len(items))]
		items = items[len(now):]
		ok = s.each(s.terms.lessee, now, func(item LeaseItem) error {
			if ctx.Err() != nil {
				return LeaseNotObtainedError
			}
			writes, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.patience) // What was written isn't left behind.
			defer cancel()
			lease, err := s.Locker.lease(writes, item, s.known(item), s.terms, false)
			if err == nil {
				_, wished := s.wishes[item.LeaseID]
				t, began := lease.tenure, time.Now() // work may change the lease
				end := begin(func() error { return s.hold(ctx, lease, mathrand.N(s.period)+1, s.work) }, true)
				s.works.Go(func() {
					result := <-end
					s.ended <- func() { s.rest(ctx, t, began, wished, result) }
				})
			}
			return err
		}, func(item LeaseItem, err error) {
			if err == nil {
				got++
				s.held[item.LeaseID] = true
				delete(s.wishes, item.LeaseID)
			} else if !errors.Is(err, LeaseNotObtainedError) {
				s.resting[item.LeaseID] = pause{time.Now().Add(s.period), s.resting[item.LeaseID].last}
			}
		})
	}
	return got
}

// known returns the lease that a reservation amounts to: as this worker saw its token with another holder, no namesake has it.
func (s *share) known(item LeaseItem) *Lease {
	if asked, ok := s.wishes[item.LeaseID]; !ok || asked.FencingToken != item.FencingToken || item.LesseeID != s.terms.lessee {
		return nil
	}
	c := &claim{}
	c.ask(item.LeaseUntil)
	return &Lease{LeaseID: item.LeaseID, AttributeValues: attributes{tokenAttribute: number(item.FencingToken)}, Request: s.terms, claim: c}
}

// listen finds out what became of the wishes. A holder that let one run out is passed over, for longer each time.
func (s *share) listen(items []LeaseItem) {
	asked := s.wishes
	s.wishes = make(map[string]LeaseItem)
	for _, item := range items {
		was, ok := asked[item.LeaseID]
		switch holder := was.LesseeID; {
		case !ok || item.FencingToken != was.FencingToken: // leased by another
		case item.LesseeID == s.terms.lessee && item.Until.After(time.Now()):
			s.wishes[item.LeaseID] = was
			delete(s.deaf, holder)
		case item.LesseeID != holder || item.WantedBy != s.terms.lessee: // released, or wanted by another
		case !item.wanted(s.terms.duration).IsZero():
			s.wishes[item.LeaseID] = was
		case !s.deaf[holder].on():
			s.deaf[holder] = s.deaf[holder].longer(8*s.period, 64*s.period)
		}
	}
}

// wish asks for items of who is to have most, those on their way to it first, while that is two more than oneself with those left.
func (s *share) wish(ctx context.Context, items []LeaseItem, counts map[string]int, left int) {
	me, of := s.terms.lessee, make(map[string][]LeaseItem)
	for _, onTheWay := range []bool{true, false} {
		for _, item := range items {
			owner, holder := s.owner(item), item.LesseeID
			reserved := item.WantedBy == holder && !item.wanted(s.terms.duration).IsZero()
			if owner != "" && owner != me && holder != "" && holder != me && onTheWay == (owner != holder) &&
				!reserved && !s.deaf[holder].on() && !s.resting[item.LeaseID].on() {
				of[owner] = append(of[owner], item)
			}
		}
	}
	var wanted []LeaseItem
	for counts[me] < s.most && !s.deaf[me].on() {
		richest := ""
		for lessee, items := range of {
			if len(items) > 0 && counts[lessee] > counts[richest] {
				richest = lessee
			}
		}
		if counts[richest] < counts[me]+left+2 {
			break
		}
		wanted = append(wanted, of[richest][0])
		of[richest] = of[richest][1:]
		counts[richest]--
		counts[me]++
	}
	s.each(me, wanted, func(item LeaseItem) error {
		lasts := s.terms.duration / 6 * 5
		if left := time.Until(item.Until); left > s.terms.duration {
			lasts = left // Its holder's leases are longer: it renews by then.
		}
		until := time.Now().Add(min(lasts, 9*time.Minute)) // More would count as a slip.
		return s.stats.wrote(ctx, s.await(ctx, s.patience, func(ctx context.Context) error { return s.store.WantLease(ctx, item, me, until) }))
	}, func(item LeaseItem, _ error) { s.wishes[item.LeaseID] = item }) // Whether it was written, the next look shows.
}
