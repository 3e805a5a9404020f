package leasetest

import (
	"time"

	"github.com/aws/aws-sdk-go/aws"
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

	weight   *dynamodb.AttributeValue // nil for no such attribute
	capacity float64                  // the holder's; 0 for no such attribute

	// namesakeUntil is until when a namesake of the holder may rely on the item; 0 if there is
	// none.
	namesakeUntil int64

	// granted is the token of the Lease that began the tenure, and grantee its lessee, by which
	// it is told from a literal. It knows which ends it asked for and was shown, as a LockStore's
	// does.
	granted *dynamodb.AttributeValue
	grantee string
	asked   int64 // the furthest end that it asked for
	shown   int64 // the furthest end that it was shown
	weighed int64 // the furthest end that it asked for with a weight to write
}

// wish says who wants a row, and until when; its zero value is none.
type wish struct {
	by    string // "" for an operator
	until int64
}

// tenure names the tenure that a lease belongs to.
type tenure struct {
	lessee   string
	token    int64
	duration time.Duration
	mark     *dynamodb.AttributeValue // the Lease's token; nil if a Locker keeps that
}

func tenureOf(l *lease.Lease) tenure {
	t := tenure{
		lessee:   l.Request.LesseeID(),
		token:    l.FencingToken(),
		duration: l.Request.LeaseDuration(),
	}
	if !isLockers(l) {
		t.mark = l.AttributeValues[tokenAttribute]
	}
	return t
}

// predecessorOf names the tenure of a lease that its lessee has or had, if there is one.
func predecessorOf(l *lease.Lease) tenure {
	if l == nil || isNil(l.Request) {
		return tenure{token: -1} // no row's
	}
	return tenureOf(l)
}

// isLockers tells whether a Locker has given the lease a tenure: its token is there then
// without its attributes.
func isLockers(l *lease.Lease) bool {
	bare := *l
	bare.AttributeValues = nil
	return bare.FencingToken() != 0
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

// isLiterals tells whether a Lease of the row's tenure was made by hand.
func (r *row) isLiterals(t tenure) bool {
	isGranted := t.mark == r.granted && t.lessee == r.grantee
	return t.mark != nil && !isGranted
}

// yieldsTo tells whether that tenure may release the row, hand it over or delete it: its end is
// no later than the Lease knows. A literal knows nothing, and may have asked for any.
func (r *row) yieldsTo(t tenure) bool {
	return r.isOf(t) && (r.isLiterals(t) || r.until <= r.asked)
}

// isAsSeen tells whether the holder, the tenure and the end are still those that were seen.
func (r *row) isAsSeen(seen lease.LeaseItem) bool {
	if r.holder != seen.LesseeID {
		return false
	}
	return r.token == seen.FencingToken && r.until == seen.LeaseUntil
}

// isWanted tells whether there is a wish, live or not.
func (r *row) isWanted() bool { return r.wish != wish{} }

// isWantedBeside tells whether another than the lessee wants the row.
func (r *row) isWantedBeside(lessee string, now int64) bool {
	return r.isWanted() && r.wish.by != lessee && r.wish.until >= now
}

// farthestWish is how far ahead a wish may end that a handover by that tenure heeds.
func (r *row) farthestWish(t tenure, now int64) int64 {
	left := r.shown - now
	if r.isLiterals(t) {
		left = t.duration.Nanoseconds()
	}
	const most = 1<<63 - 1
	return max((10 * time.Minute).Nanoseconds(), 3*min(left, most/3))
}

// isToBeKept tells whether a namesake may rely on the row when that tenure gives it away.
func (r *row) isToBeKept(t tenure, now int64) bool { return r.keptUntil(t) >= now }

// keptUntil is until when a namesake may rely on the row, as that tenure knows.
func (r *row) keptUntil(t tenure) int64 {
	if r.isLiterals(t) {
		return 0
	}
	return r.namesakeUntil
}

// canBeReserved tells whether the row's holder may hand it over: to a wisher whose wish counts.
func (r *row) canBeReserved(t tenure, now int64) bool {
	if !r.yieldsTo(t) {
		return false
	}
	wisher := r.wish.by
	if wisher == "" || wisher == r.holder {
		return false
	}
	return r.wish.until >= now && r.wish.until-now <= r.farthestWish(t, now)
}

// lease begins a tenure if the row is the lessee's to lease.
func (r *row) lease(lessee string, end, now int64) outcome {
	if !r.isFor(lessee, now) {
		return refused
	}

	// Another's wish for what the lessee has stays.
	isOwn := r.holder == lessee && r.isLive(now)
	if !isOwn || !r.isWantedBeside(lessee, now) {
		r.wish = wish{}
	}
	r.begin(lessee, end, 0)
	return applied
}

// leaseAsSeen is lease of a row as it was seen.
func (r *row) leaseAsSeen(
	lessee string, seen lease.LeaseItem, predecessor tenure, end, now int64,
) outcome {
	wasOwn := seen.LesseeID == lessee && seen.LeaseUntil >= now
	if wasOwn {
		return r.leaseOwn(seen, predecessor, end, now)
	}
	if !r.isLive(now) && r.until <= seen.LeaseUntil {
		r.wish = wish{}
		r.begin(lessee, end, 0)
		return applied
	}
	wasTheirs := seen.LesseeID == lessee && !r.isLive(now)
	if r.holder == lessee || wasTheirs {
		return notAsSeen
	}
	return refused // Somebody has it, or has had it since.
}

// leaseOwn is leaseAsSeen of a live row that was seen to be the lessee's own. It keeps its end
// if that is later. The new tenure remembers that end, as a namesake may rely on it.
func (r *row) leaseOwn(
	seen lease.LeaseItem, predecessor tenure, end, now int64,
) outcome {
	lessee := seen.LesseeID
	if !r.isAsSeen(seen) {
		if r.isFor(lessee, now) {
			return notAsSeen
		}
		return refused
	}
	wasWanted := seen.WantedUntil >= now && seen.WantedBy != lessee
	if !wasWanted {
		if r.isWantedBeside(lessee, now) {
			return notAsSeen
		}
		r.wish = wish{}
	}

	namesakeUntil := r.until
	if r.isAsLeftBy(predecessor) {
		// No namesake has leased it since: there is no more to remember than before.
		namesakeUntil = r.keptUntil(predecessor)
	}
	r.begin(lessee, max(end, r.until), namesakeUntil)
	return applied
}

// isAsLeftBy tells whether a tenure of this process has left the row as it is. A literal is taken
// for what a Locker makes up of a row that was handed over to it. (A LockStore knows those.)
func (r *row) isAsLeftBy(predecessor tenure) bool {
	if r.token != predecessor.token {
		return false
	}
	return r.isLiterals(predecessor) || r.until == r.asked
}

// begin begins a tenure.
func (r *row) begin(lessee string, until, namesakeUntil int64) {
	r.holder = lessee
	r.token++
	r.until = until
	r.namesakeUntil = namesakeUntil
	r.capacity = 0
	r.granted = nil
	r.asked = until
	r.shown = until
	r.weighed = 0
}

// grant writes the capacity of the worker whose tenure has begun, unless that is 1, and shows
// the row to the Lease.
func (r *row) grant(l *lease.Lease, capacity float64) {
	if capacity != 1 {
		r.capacity = capacity
	}
	l.AttributeValues = r.attributes()
	r.granted = l.AttributeValues[tokenAttribute]
	r.grantee = r.holder
}

// ask notes that the tenure's Lease asks for an end, unless that is a literal.
func (r *row) ask(t tenure, end int64) {
	if !r.isLiterals(t) {
		r.asked = max(r.asked, end)
	}
}

// show notes that the tenure's Lease is shown the end, unless that is a literal.
func (r *row) show(t tenure) {
	if !r.isLiterals(t) {
		r.shown = max(r.shown, r.until)
	}
}

// renewal is what a renewal is to do.
type renewal struct {
	end     int64
	wishEnd int64   // 0: the wish stays as it is
	weight  float64 // 0: so does the weight
}

// renew moves the end on, never back, and the end of the wish, if there is one, to another, if
// that is given. With a weight, the end is beyond all that were shown, or asked for with one, as
// a LockStore's is.
func (r *row) renew(t tenure, to renewal) outcome {
	if !r.isOf(t) {
		return refused
	}
	end := max(to.end, r.keptUntil(t))
	if to.weight != 0 {
		end = max(end, r.shown+1, r.weighed+1)
		r.weighed = end
	}
	r.ask(t, end)
	if end < r.until {
		r.show(t)
		return overtaken
	}
	r.until = end
	r.show(t)
	if to.wishEnd != 0 && r.isWanted() {
		r.wish.until = to.wishEnd
	}
	if to.weight != 0 {
		r.weight = decimal(to.weight)
	}
	return applied
}

// want replaces the wish that was seen, if the holder and the tenure are as seen too.
func (r *row) want(seen lease.LeaseItem, next wish, now int64) outcome {
	isTheirs := r.isOf(tenure{lessee: seen.LesseeID, token: seen.FencingToken})
	wishIsAsSeen := r.wish.until == seen.WantedUntil
	wishIsOver := r.wish.until < now
	if isTheirs && (wishIsAsSeen || wishIsOver) {
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
	if r.isToBeKept(t, now) {
		return r.release(t)
	}
	if r.canBeReserved(t, now) {
		// The wish stays, so that people see a reservation.
		r.holder = r.wish.by
		r.until = reservedUntil
		r.capacity = 0
		return applied
	}
	if r.isReservedBy(t) {
		return appliedBefore
	}
	return r.release(t)
}

// isReservedBy tells whether that tenure has handed the row over.
func (r *row) isReservedBy(t tenure) bool {
	if r.token != t.token || r.holder == t.lessee {
		return false
	}
	return r.isWanted() && r.holder == r.wish.by
}

// release frees the row. Others may lease it once a namesake has given it up.
func (r *row) release(t tenure) outcome {
	if r.yieldsTo(t) {
		r.until = r.keptUntil(t)
		r.holder = ""
		r.namesakeUntil = 0
		r.capacity = 0
		r.wish = wish{}
		return applied
	}
	if r.isOf(tenure{lessee: "", token: t.token}) {
		return appliedBefore
	}
	return refused
}

// save sets the user's attributes, and removes those whose value is nil.
func (r *row) save(t tenure, attributes map[string]*dynamodb.AttributeValue, now int64) outcome {
	if !r.isOf(t) {
		return refused
	}
	if !r.isLiterals(t) && !r.moveForSave(now) {
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

// moveForSave moves the end on by a nanosecond, beyond all that was shown before, as a LockStore
// does, and tells whether the Lease may save.
func (r *row) moveForSave(now int64) bool {
	if r.shown < now {
		return false
	}
	r.shown++
	end := max(r.shown, r.namesakeUntil)
	r.asked = max(r.asked, end)
	if r.until > r.asked {
		return false
	}
	if r.until > end { // A later write of the same tenure has moved it.
		r.shown = r.until + 1
		end = r.shown
	}
	r.until = end
	r.asked = max(r.asked, end)
	return true
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
	if r.weight != nil {
		all[weightAttribute] = &dynamodb.AttributeValue{N: aws.String(*r.weight.N)}
	}
	if r.capacity != 0 {
		all[capacityAttribute] = decimal(r.capacity)
	}
	return all
}

// weighs is how much of a worker's load the item is.
func (r *row) weighs() float64 {
	if r.weight == nil {
		return 1
	}
	weight, _ := rational(*r.weight.N).Float64() // which was checked
	return weight
}
