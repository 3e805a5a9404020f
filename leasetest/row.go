package leasetest

import (
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
)

// row is an item's row. Its methods decide what becomes of a write, as the conditions of
// LockStore's requests do: they are told the time, and they lock, count and lose nothing.
//
// All times are Unix nanoseconds.
type row struct {
	id     string
	place  place
	holder string // "" for no such attribute
	until  int64  // 0 when it was released or registered
	token  int64  // 0 for no such attribute
	wish   wish
	users  map[string]*dynamodb.AttributeValue

	// namesakeUntil is until when a namesake of the holder may rely on the item; 0 if there is
	// none.
	namesakeUntil int64
}

// wish says who wants a row, and until when; its zero value is none.
type wish struct {
	by    string // "" for an operator
	until int64
}

// tenure names the tenure that a lease belongs to.
type tenure struct {
	lessee string
	token  int64
}

func tenureOf(l *lease.Lease) tenure {
	return tenure{lessee: l.Request.LesseeID(), token: l.FencingToken()}
}

// outcome is what a write came to.
type outcome int

const (
	applied       outcome = iota
	appliedBefore         // refused: it had been applied, and the reply to that was lost
	overtaken             // refused: a later write of the same tenure had been applied
	notAsSeen             // refused: the lessee's own row has changed since it was seen
	refused               // refused for another reason
)

// orElse returns nil if what the write was to do is done, now or before, and else the error.
func (o outcome) orElse(err error) error {
	switch o {
	case applied, appliedBefore, overtaken:
		return nil
	}
	return err
}

// isLive tells whether the row's lease has not ended. At its very end it hasn't.
func (r *row) isLive(now int64) bool { return r.until >= now }

// isFor tells whether the lessee may lease the row.
func (r *row) isFor(lessee string, now int64) bool {
	return r.holder == lessee || !r.isLive(now)
}

// isOf tells whether the row is held by that tenure.
func (r *row) isOf(t tenure) bool {
	return r.holder == t.lessee && r.token == t.token
}

// isAsSeen tells whether the tenure and the end are still those that were seen.
func (r *row) isAsSeen(seen lease.LeaseItem) bool {
	return r.token == seen.FencingToken && r.until == seen.LeaseUntil
}

// isWanted tells whether there is a wish, live or not.
func (r *row) isWanted() bool { return r.wish != wish{} }

// farthestWish is how far ahead a wish may end that a handover heeds.
func (r *row) farthestWish(now int64) int64 {
	left := r.until - now
	const most = 1<<63 - 1
	return max((10 * time.Minute).Nanoseconds(), 3*min(left, most/3))
}

// canBeReserved tells whether the row's holder may hand it over: to a wisher whose wish counts,
// and when no namesake of the holder may rely on it.
func (r *row) canBeReserved(now int64) bool {
	wisher := r.wish.by
	if wisher == "" || wisher == r.holder {
		return false
	}
	if r.wish.until < now || r.wish.until-now > r.farthestWish(now) {
		return false
	}
	return r.namesakeUntil < now
}

// lease begins a tenure if the row is the lessee's to lease.
func (r *row) lease(lessee string, end, now int64) outcome {
	if !r.isFor(lessee, now) {
		return refused
	}
	r.dropWish(lessee, now)
	r.begin(lessee, end, 0)
	return applied
}

// leaseAsSeen is lease, but a row that has ended must have done so no later than it was seen
// to, and an own live row must be as it was seen, and keeps its end if that is later. The new tenure remembers that end, as a namesake may rely on it.
func (r *row) leaseAsSeen(
	lessee string, seen lease.LeaseItem, predecessor *lease.Lease, end, now int64,
) outcome {
	if !r.isFor(lessee, now) {
		return refused
	}
	if !r.isLive(now) {
		if r.holder != lessee && r.until > seen.LeaseUntil {
			return refused // Somebody has had it since.
		}
		r.wish = wish{}
		r.begin(lessee, end, 0)
		return applied
	}
	if !r.isAsSeen(seen) {
		return notAsSeen
	}

	namesakeUntil := r.until
	if r.token == predecessor.FencingToken() {
		// No namesake has leased it since: there is no more to remember than before.
		namesakeUntil = r.namesakeUntil
	}
	r.dropWish(lessee, now)
	r.begin(lessee, max(end, r.until), namesakeUntil)
	return applied
}

// dropWish removes the wish when a lessee leases the row; but not another's that hasn't ended,
// for a row that the lessee has.
func (r *row) dropWish(lessee string, now int64) {
	isOwn := r.holder == lessee && r.isLive(now)
	isAnothers := r.wish.by != lessee && r.wish.until >= now
	if isOwn && isAnothers {
		return
	}
	r.wish = wish{}
}

// begin begins a tenure.
func (r *row) begin(lessee string, until, namesakeUntil int64) {
	r.holder = lessee
	r.until = until
	r.namesakeUntil = namesakeUntil
	r.token++
}

// renew moves the end on, never back.
func (r *row) renew(t tenure, end int64) outcome {
	if !r.isOf(t) {
		return refused
	}
	end = max(end, r.namesakeUntil)
	if end < r.until {
		return overtaken
	}
	r.until = end
	return applied
}

// prolongWish moves the end of the wish, if the row is held by that tenure and there is a wish.
func (r *row) prolongWish(t tenure, end int64) {
	if r.isOf(t) && r.isWanted() {
		r.wish.until = end
	}
}

// want replaces the wish that was seen, if the holder and the tenure are as seen too.
func (r *row) want(seen lease.LeaseItem, next wish, now int64) outcome {
	if !r.isOf(tenure{lessee: seen.LesseeID, token: seen.FencingToken}) {
		return refused
	}
	wishIsAsSeen := r.wish.until == seen.WantedUntil
	wishIsOver := r.wish.until < now
	if wishIsAsSeen || wishIsOver {
		r.wish = next
		return applied
	}
	if r.wish == next {
		return appliedBefore
	}
	return refused
}

// withdraw removes a wish. Another's, or none, is fine, and so is a row that the wisher has.
func (r *row) withdraw(w wish) outcome {
	isThere := r.isWanted() && r.wish.by == w.by && r.holder != w.by
	if !isThere {
		return refused
	}
	if r.wish != w {
		return notAsSeen
	}
	r.wish = wish{}
	return applied
}

// handOver reserves the row for its wisher, or frees it where that can't be.
func (r *row) handOver(t tenure, reservedUntil, now int64) outcome {
	if !r.isOf(t) {
		if r.token == t.token {
			return appliedBefore // It is reserved or free, and nobody has leased it since.
		}
		return refused
	}
	if r.canBeReserved(now) {
		// The wish stays, so that people see a reservation.
		r.holder = r.wish.by
		r.until = reservedUntil
		return applied
	}
	r.free()
	return applied
}

// release frees the row.
func (r *row) release(t tenure) outcome {
	if r.isOf(t) {
		r.free()
		return applied
	}
	if r.isOf(tenure{lessee: "", token: t.token}) {
		return appliedBefore
	}
	return refused
}

// free removes the holder. Others may lease the row once a namesake has given it up.
func (r *row) free() {
	r.holder = ""
	r.until = r.namesakeUntil
	r.namesakeUntil = 0
	r.wish = wish{}
}

// save sets the user's attributes, and removes those whose value is nil.
func (r *row) save(t tenure, attributes map[string]*dynamodb.AttributeValue, now int64) outcome {
	if !r.isOf(t) || !r.isLive(now) {
		return refused
	}
	for name, value := range copyOf(attributes) {
		if attributes[name] == nil {
			delete(r.users, name)
		} else {
			r.users[name] = value
		}
	}
	return applied
}

// attributes returns the row as DynamoDB would.
func (r *row) attributes() map[string]*dynamodb.AttributeValue {
	all := copyOf(r.users)
	all[HashKey] = text(r.id)
	all[untilAttribute] = number(r.until)
	if r.holder != "" {
		all[holderAttribute] = text(r.holder)
	}
	if r.token != 0 {
		all[tokenAttribute] = number(r.token)
	}
	if r.isWanted() {
		all[wantedBy] = text(r.wish.by)
		all[wantedUntil] = number(r.wish.until)
	}
	return all
}
