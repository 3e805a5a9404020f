package lease

import (
	"context"
	"math"
	"time"
)

// WantLease asks the holder of an item, as a scan has shown it, to hand it over to that
// lessee, or if that is "" to free it. It obliges nobody, counts until then, and costs one
// write. A wish that ends further ahead than 10 minutes, and than 3 times what is left of
// the row's own lease, counts as none. The error is bare [LeaseNotObtainedError] if the
// row has changed.
func (s *LockStore) WantLease(
	ctx context.Context, seen LeaseItem, wantedBy string, until time.Time,
) error {
	err := s.ready(ctx, checkName("lease ID", seen.LeaseID), checkWisher(wantedBy), checkUntil(until))
	if err != nil {
		return err
	}
	switch seen.LesseeID {
	case "", wantedBy: // It has no holder, or that one wants it already.
		return LeaseNotObtainedError
	}
	now, end, err := s.times(ctx, until)
	if err != nil {
		return err
	}
	got, err := s.update(ctx, write{
		leaseID: seen.LeaseID,
		condition: "#holder = :holder AND (#token = :token OR attribute_not_exists(#token)) AND " +
			"(NOT #wantedUntil BETWEEN :now AND :ever OR #wantedUntil = :seen OR " +
			"NOT attribute_type(#wantedBy, :text))",
		update: "SET #wantedBy = :by, #wantedUntil = :wanted",
		values: attributes{
			":holder": text(seen.LesseeID),
			":token":  number(seen.FencingToken),
			":seen":   number(seen.WantedUntil),
			":by":     text(wantedBy),
			":wanted": number(end),
			":now":    number(now),
			":ever":   number(math.MaxInt64),
			":text":   text("S"),
		},
	})
	if err != nil {
		return err
	}
	if got.verdict == applied {
		return nil
	}
	isAsWished := got.row.WantedBy == wantedBy && got.row.WantedUntil == end
	if isAsWished { // The reply was lost.
		return nil
	}
	return LeaseNotObtainedError
}

// WithdrawWish takes back what [LockStore.WantLease] has written with these arguments, or
// what the holder has made of it since by prolonging it. It returns what the row then
// shows. That there is no such wish any more is fine. It costs one write, or two if the
// wish ends at another time than was written.
//
// The error is bare [LeaseNotObtainedError] if it comes too late, as the LeaseItem shows:
// the item was handed over to that lessee, for whom it stays reserved, or was leased by it.
func (s *LockStore) WithdrawWish(
	ctx context.Context, seen LeaseItem, wantedBy string, until time.Time,
) (LeaseItem, error) {
	err := s.ready(ctx, checkName("lease ID", seen.LeaseID), checkWisher(wantedBy), checkUntil(until))
	if err != nil {
		return LeaseItem{}, err
	}
	_, end, err := s.times(ctx, until)
	if err != nil {
		return LeaseItem{}, err
	}
	got, err := s.withdraw(ctx, seen.LeaseID, wantedBy, end)

	// The holder has prolonged it, or this host's clock is corrected otherwise by now.
	endsOtherwise := got.verdict == refused && got.row.WantedUntil != end
	if endsOtherwise && got.row.isToWithdraw(wantedBy) {
		got, err = s.withdraw(ctx, seen.LeaseID, wantedBy, got.row.WantedUntil)
	}
	if err != nil {
		return LeaseItem{}, err
	}
	item := got.row.LeaseItem
	isThere := got.row.isToWithdraw(wantedBy) // It was prolonged once more.
	isTheirs := wantedBy != "" && item.LesseeID == wantedBy
	if isThere || isTheirs {
		return item, LeaseNotObtainedError
	}
	return item, nil
}

// withdraw removes a wish that ends then, if the item wasn't handed over yet. It is bound
// to that end, so that a late duplicate removes no later wish.
func (s *LockStore) withdraw(
	ctx context.Context, leaseID, wantedBy string, end int64,
) (reply, error) {
	return s.update(ctx, write{
		leaseID:   leaseID,
		condition: "#wantedBy = :by AND #wantedUntil = :wanted AND NOT #holder = :by",
		update:    "REMOVE #wantedBy, #wantedUntil",
		values:    attributes{":by": text(wantedBy), ":wanted": number(end)},
	})
}

// isToWithdraw tells that a row shows that lessee's wish for an item that another has.
func (r row) isToWithdraw(wantedBy string) bool {
	isWish := r.WantedUntil > 0 && r.WantedBy == wantedBy
	return isWish && r.LesseeID != wantedBy
}

// checkWisher checks who wants an item; "" is an operator who wants it freed.
func checkWisher(lesseeID string) error {
	if lesseeID == "" {
		return nil
	}
	return checkName("LesseeID", lesseeID)
}

// HandOverLease is [LockStore.ReleaseLease] that reserves the item until then for the
// lessee that wants it, if one still does: to others that one holds the row, and it
// leases it as its own. It costs one write, or two if nobody wants it any more.
func (s *LockStore) HandOverLease(ctx context.Context, lease *Lease, until time.Time) error {
	mine, err := s.holderOf(ctx, lease)
	if err = s.ready(ctx, err, checkUntil(until)); err != nil {
		return err
	}
	lease.Discard()
	now, end, err := s.times(ctx, until)
	if err != nil {
		return err
	}
	if mine.claim.namesakeUntil >= now { // A namesake may rely on the item.
		return s.ReleaseLeaseWithContext(ctx, lease)
	}
	asked := mine.claim.furthestAsked.Load()
	w := write{
		leaseID: lease.LeaseID,
		condition: ownCondition + " AND #wantedUntil BETWEEN :now AND :horizon " +
			"AND attribute_type(#wantedBy, :text) AND NOT #wantedBy IN (:me, :nobody)",
		update: "SET #holder = #wantedBy, #until = :end REMOVE #capacity",
		values: mine.own(asked),
	}
	w.values[":now"] = number(now)
	w.values[":end"] = number(end)
	w.values[":horizon"] = number(mine.horizon(now, lease))
	w.values[":nobody"] = text("")
	w.values[":text"] = text("S")
	got, err := s.update(ctx, w)
	mine.noteGiving(got)
	if err != nil {
		return err
	}
	switch mine.handover(got, asked) {
	case applied, appliedBefore:
		return nil
	case overtaken:
		return s.HandOverLease(ctx, lease, until)
	}
	return s.ReleaseLeaseWithContext(ctx, lease) // Nobody wants the item any more, or it was lost.
}

// horizon is the furthest end of a wish that counts, in Unix nanoseconds.
func (h holder) horizon(now int64, lease *Lease) int64 {
	left := lease.Request.LeaseDuration()
	if h.claim != unknownClaim {
		left = time.Duration(h.claim.furthestShown.Load() - now)
	}
	return now + min(int64(longestWish(left)), math.MaxInt64-now)
}

// showsHandover tells that a row was handed over, or freed, in this tenure.
func (h holder) showsHandover(found row) bool {
	if !found.isThere() || found.FencingToken != h.token {
		return false
	}
	switch found.LesseeID {
	case h.lessee:
		return false
	case "", found.WantedBy:
		return true
	}
	return false
}

// handover is what a handover came to.
func (h holder) handover(got reply, asked int64) verdict {
	if got.verdict == applied {
		return applied
	}
	if h.showsHandover(got.row) {
		return appliedBefore
	}
	return h.refusal(got.row, asked)
}
