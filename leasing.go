package lease

import (
	"context"
	"math"
	"time"
)

// leasing is a lease that is asked for. What it minds, and why, is told in docs/protocol.md,
// under Namesakes and A lost reply.
type leasing struct {
	request requested
	leaseID string
	until   time.Time

	// seen is the row as it was seen: an own live one is leased only as it was. If nothing
	// was seen, an own live row is leased if that moves its end on.
	seen *LeaseItem

	// mindsNamesakes says that a namesake may rely on the end that was seen. It needs seen.
	mindsNamesakes bool

	// predecessor is a tenure of this process, with its token: where it has left the row as
	// it was seen, that is no namesake's.
	predecessor      *claim
	predecessorToken int64
}

func (s *LockStore) lease(ctx context.Context, request LeaseRequest, l leasing) (*Lease, error) {
	r, err := checkRequest(request)
	if err = s.ready(ctx, checkName("lease ID", l.leaseID), err, checkUntil(l.until)); err != nil {
		return nil, err
	}
	l.request = r
	lease, got, err := s.tryLease(ctx, &l)
	if err == nil && l.isToBeTriedAgain(got) {
		found := got.row.LeaseItem
		l.seen = &found // Once more, as the refusal shows it.
		lease, got, err = s.tryLease(ctx, &l)
	}
	if err != nil {
		return nil, err
	}
	if got.verdict == refused {
		return nil, LeaseNotObtainedError
	}
	return lease, nil
}

// isToBeTriedAgain tells of a refusal that shows the lessee's own row, or that what was seen
// as that is free by now.
func (l *leasing) isToBeTriedAgain(got reply) bool {
	if got.verdict != refused {
		return false
	}
	if got.row.LesseeID == l.request.lessee {
		return true
	}
	wasOwn := l.seen != nil && l.seen.LesseeID == l.request.lessee
	isFree := got.row.isThere() && got.row.isFree(time.Now())
	return wasOwn && isFree
}

// tryLease sends one write.
func (s *LockStore) tryLease(ctx context.Context, l *leasing) (*Lease, reply, error) {
	now, end, err := s.times(ctx, l.until)
	if err != nil {
		return nil, reply{}, err
	}
	claim := l.claim(now)
	if l.isOwn(now) { // Its end is never moved back under whoever relies on it.
		end = max(end, l.seen.LeaseUntil)
	}
	end = claim.ask(end)
	got, err := s.update(ctx, l.write(now, end))
	if err != nil {
		return nil, got, err
	}
	if got.verdict == refused {
		l.noteLostReply(got, claim, end)
		return nil, got, nil
	}
	claim.show(got.row.LeaseUntil)
	return &Lease{
		LeaseID:         l.leaseID,
		AttributeValues: got.row.attributes,
		Request:         l.request.original,
		Until:           l.until,
		claim:           claim,
	}, got, nil
}

// write returns the request. What was seen as the lessee's own is leased only as that, as
// the claim remembers its end. What was seen as anybody else's is leased only if it ended
// by then: whoever has it since is out of reach, however wrong a clock is.
func (l *leasing) write(now, end int64) write {
	w := write{
		leaseID: l.leaseID,
		values: attributes{
			":me":    text(l.request.lessee),
			":until": number(end),
			":zero":  number(0),
			":one":   number(1),
		},
		holder: l.request.lessee,
	}
	updates := updatesOfOne
	if capacity := l.request.LeaseCapacity(); capacity != 1 {
		updates = updatesOfCapacity
		w.values[":capacity"] = decimal(capacity)
	}
	w.update = updates.unwished
	if l.isOwnLive(now) {
		l.asOwn(&w, updates, now)
		return w
	}
	w.values[":now"] = number(now)
	if l.seen != nil {
		w.condition = leaseEndedCondition
		w.values[":seenAfter"] = number(l.seen.after())
		return w
	}
	w.condition = leaseCondition
	w.addWishValues()
	return w
}

// asOwn makes a write that of a live row which was seen to be the lessee's own.
func (l *leasing) asOwn(w *write, updates leaseUpdates, now int64) {
	w.values[":seenUntil"] = number(l.seen.LeaseUntil)
	w.values[":seenToken"] = number(l.seen.FencingToken)
	if l.isWantedElsewhere(now) {
		// The wish stays: one that vanishes looks as if the holder heeded none.
		w.condition = leaseWantedCondition
		w.update = updates.wished
		return
	}
	w.condition = leaseOwnCondition
	w.values[":now"] = number(now)
	w.addWishValues()
}

// addWishValues adds the constants of notWanted.
func (w *write) addWishValues() {
	w.values[":ever"] = number(math.MaxInt64)
	w.values[":text"] = text("S")
}

// isWantedElsewhere tells that the row was seen to be wanted by another.
func (l *leasing) isWantedElsewhere(now int64) bool {
	return l.seen.WantedUntil >= now && l.seen.WantedBy != l.request.lessee
}

// leaseUpdates are what a lease makes of a row.
type leaseUpdates struct {
	unwished string // it removes a wish
	wished   string // it leaves another's
}

// A worker whose capacity is 1 removes what the holder before may have left, as one does that
// knows of no capacities, or that ended without a release.
var (
	updatesOfOne = leaseUpdates{
		unwished: leaseUpdate + " REMOVE #wantedBy, #wantedUntil, #capacity",
		wished:   leaseUpdate + " REMOVE #capacity",
	}
	updatesOfCapacity = leaseUpdates{
		unwished: leaseUpdate + ", #capacity = :capacity REMOVE #wantedBy, #wantedUntil",
		wished:   leaseUpdate + ", #capacity = :capacity",
	}
)

const (
	leaseUpdate = "SET #holder = :me, #until = :until, #token = if_not_exists(#token, :zero) + :one"

	// of a row of which nothing was seen
	leaseCondition = "attribute_exists(#key) AND (attribute_not_exists(#until) OR #until < :now OR " +
		"(#holder = :me AND #until < :until AND " + notWanted + "))"

	// of a row whose lease has ended, no later than it was seen to end
	leaseEndedCondition = "attribute_exists(#key) AND (attribute_not_exists(#until) OR " +
		"(#until < :now AND #until < :seenAfter))"

	// of the lessee's own live row, as it was seen: wanted by another, and not
	leaseWantedCondition = "#holder = :me AND #until = :seenUntil AND " +
		"(#token = :seenToken OR attribute_not_exists(#token))"
	leaseOwnCondition = leaseWantedCondition + " AND " + notWanted

	// notWanted tells that nobody else's wish would be removed.
	notWanted = "(#wantedBy = :me OR NOT attribute_type(#wantedBy, :text) OR " +
		"NOT #wantedUntil BETWEEN :now AND :ever)"
)

// claim returns that of the tenure which is to begin. It remembers until when a
// namesake may rely on the row that was seen.
func (l *leasing) claim(now int64) *claim {
	c := &claim{}
	if !l.isOwn(now) {
		return c
	}
	c.namesakeUntil = l.seen.LeaseUntil
	if l.isAsLeft() {
		c.namesakeUntil = l.predecessor.namesakeUntil
	}
	return c
}

// isOwn tells that a live row of the lessee's name was seen, on which a namesake may rely.
func (l *leasing) isOwn(now int64) bool { return l.mindsNamesakes && l.isOwnLive(now) }

// isOwnLive tells that a live row of the lessee's name was seen.
func (l *leasing) isOwnLive(now int64) bool {
	if l.seen == nil {
		return false
	}
	return l.seen.LesseeID == l.request.lessee && l.seen.LeaseUntil >= now
}

// isAsLeft tells that the row is exactly as this process's own predecessor has left it.
func (l *leasing) isAsLeft() bool {
	if l.seen.FencingToken != l.predecessorToken {
		return false
	}
	return l.seen.LeaseUntil == l.predecessor.furthestAsked.Load()
}

// noteLostReply notes that the refusal shows what this very call has written, so that its
// second try doesn't take that for a namesake's.
func (l *leasing) noteLostReply(got reply, c *claim, end int64) {
	if !got.resent || got.row.LesseeID != l.request.lessee {
		return
	}
	if got.row.LeaseUntil == end {
		l.predecessor = c
		l.predecessorToken = got.row.FencingToken
	}
}
