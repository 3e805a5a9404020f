package lease

import (
	"context"
	"math"
	"sync/atomic"
	"time"
)

// claim is what a LockStore has asked for in one tenure and been shown of it: times in Unix
// nanoseconds of the database's clock. Copies of a Lease share it.
type claim struct {
	namesakeUntil int64        // until when a namesake may rely on the item; 0: there is none
	furthestAsked atomic.Int64 // the furthest end that was asked for
	furthestShown atomic.Int64 // the furthest end that a reply has shown
	mayBeGiven    atomic.Bool  // a request that gives the item away wasn't answered

	furthestWeighed atomic.Int64 // the furthest end that was asked for with a weight to write
}

// unknownClaim is that of a Lease of which the LockStore knows nothing: it may have
// asked for any end.
var unknownClaim = func() *claim {
	c := &claim{}
	c.furthestAsked.Store(math.MaxInt64)
	return c
}()

// ask notes that an end is asked for, and returns which: that one, or until when a namesake
// may rely on the item, if that is later.
func (c *claim) ask(end int64) int64 {
	end = max(end, c.namesakeUntil)
	raise(&c.furthestAsked, end)
	return end
}

// askToWeigh is ask by a renewal that writes a weight. Its end is later than any that was shown,
// or asked for with a weight, by a nanosecond if need be, where the row's end is to stay. So a
// late duplicate of an earlier one is refused, and undoes nothing; and a row that has this very
// end has this weight.
func (c *claim) askToWeigh(end int64) int64 {
	if c == unknownClaim {
		return end
	}
	end = c.ask(max(end, c.furthestShown.Load()+1))
	for {
		last := c.furthestWeighed.Load()
		end = max(end, last+1)
		if c.furthestWeighed.CompareAndSwap(last, end) {
			return c.ask(end)
		}
	}
}

func (c *claim) show(end int64) { raise(&c.furthestShown, end) }

func raise(end *atomic.Int64, to int64) {
	for {
		now := end.Load()
		if now >= to || end.CompareAndSwap(now, to) {
			return
		}
	}
}

// holder is one tenure as the LockStore knows it.
type holder struct {
	lessee   string
	token    int64
	duration time.Duration
	claim    *claim
}

// holderOf returns the tenure of a Lease that a caller gives, or what is wrong with that.
func (s *LockStore) holderOf(ctx context.Context, lease *Lease) (holder, error) {
	request, err := checkLease(lease)
	if storeErr := s.check(ctx); storeErr != nil {
		return holder{}, storeErr
	}
	if err != nil {
		return holder{}, err
	}
	return holder{
		lessee:   request.lessee,
		token:    lease.FencingToken(),
		duration: request.duration,
		claim:    lease.claimed(),
	}, nil
}

// claimed returns the claim of a lease.
func (l *Lease) claimed() *claim {
	granted := l.granted()
	if granted != nil && granted.claim != nil {
		return granted.claim
	}
	return unknownClaim
}

// keptUntil is until when the row is kept from others after a release: a namesake may
// rely on it.
func (l *Lease) keptUntil() time.Time { return time.Unix(0, l.claimed().namesakeUntil) }

// madeUpPredecessor stands for the handover that left the row as it was seen: nobody has
// leased it since, so that no namesake relies on it.
func madeUpPredecessor(seen LeaseItem, request requested) *Lease {
	c := &claim{}
	c.ask(seen.LeaseUntil)
	return &Lease{
		LeaseID:         seen.LeaseID,
		AttributeValues: attributes{tokenAttribute: number(seen.FencingToken)},
		Request:         request,
		claim:           c,
	}
}

// holds tells that a row shows this tenure.
func (h holder) holds(r row) bool { return r.LesseeID == h.lessee && r.FencingToken == h.token }

// refusal is what the refusal of a write of this tenure's means, which asked for that end.
func (h holder) refusal(found row, asked int64) verdict {
	if !h.holds(found) {
		return refused
	}
	end := found.LeaseUntil
	isOwn := end > asked && end <= h.claim.furthestAsked.Load()
	if !isOwn {
		return refused
	}
	h.claim.show(end)
	return overtaken
}

// noteGiving notes that a try of a request that gives the item away wasn't answered.
func (h holder) noteGiving(got reply) {
	isUnsure := got.verdict == unanswered || got.resent
	if isUnsure && h.claim != unknownClaim {
		h.claim.mayBeGiven.Store(true)
	}
}

// isGivenIn tells that a row which refuses to be given away was given away before, at a
// time that the database's clock has not reached yet: who has it now can't have it from
// its end. The margin is for whose clocks are off. One of the own name needs no end.
func (h holder) isGivenIn(found row, now int64) bool {
	if !h.claim.mayBeGiven.Load() || found.LesseeID == h.lessee {
		return false
	}
	earliest := h.claim.furthestShown.Load() - int64(margin(h.duration))
	return now < earliest
}

// hadGiven tells that a refusal proves that the item was given away before, by a request
// whose reply was lost.
func (s *LockStore) hadGiven(mine holder, found row) bool {
	_, now, isKnown := s.clock.times(time.Now())
	return isKnown && mine.isGivenIn(found, now)
}

// lost logs who has the item.
func (h holder) lost(leaseID string, found row) error {
	logError("Lease Lost", "lessee_id", h.lessee, "lease_id", leaseID, "fencing_token", h.token,
		"holder", found.LesseeID, "holder_fencing_token", found.FencingToken)
	return LeaseLostError
}

// own returns the values of the condition that the tenure holds the row, whose end is
// at most that.
func (h holder) own(until int64) attributes {
	return attributes{":me": text(h.lessee), ":token": number(h.token), ":until": number(until)}
}

// ownCondition needs the end too: workers of the original don't touch the token, and no
// renewal is to undo a later one.
const ownCondition = "#holder = :me AND #token = :token AND #until <= :until"
