package lease

import (
	"context"
	"math"
	"time"
)

// WantLease asks the holder of an item, as a scan has shown it, to hand it over to that
// lessee, or if that is "" to free it. It obliges nobody, counts until then, but not
// for more than 10 minutes (or 3 of its leases) ahead, and costs one write. The error
// is bare [LeaseNotObtainedError] if the row has changed.
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
			"(NOT #wantedUntil BETWEEN :now AND :ever OR #wantedUntil = :seen)",
		update: "SET #wantedBy = :by, #wantedUntil = :wanted",
		values: attributes{
			":holder": text(seen.LesseeID),
			":token":  number(seen.FencingToken),
			":seen":   number(seen.WantedUntil),
			":by":     text(wantedBy),
			":wanted": number(end),
			":now":    number(now),
			":ever":   number(math.MaxInt64),
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
		update: "SET #holder = #wantedBy, #until = :end",
		values: mine.own(asked),
	}
	w.values[":now"] = number(now)
	w.values[":end"] = number(end)
	w.values[":horizon"] = number(now + int64(longestWish(lease.Request.LeaseDuration())))
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

// showsHandover tells that a row was handed over, or freed, in this tenure.
func (h holder) showsHandover(found row) bool {
	if found.FencingToken != h.token {
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
