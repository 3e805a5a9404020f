package lease

import (
	"math"
	"time"
)

// LeaseItem is what a row shows of a lease item.
type LeaseItem struct {
	LeaseID      string
	LesseeID     string    // the last holder; "" when it was never leased, or was released
	Until        time.Time // when its lease ends or ended, by this host's clock; zero: none
	FencingToken int64     // of the last tenure, or what it was registered with
	LeaseUntil   int64     // the row's: Unix nanoseconds by the database's clock, 0 when it is free
	WantedBy     string    // who asks for it; "" also when an operator asks to free it
	WantedUntil  int64     // until when that counts, as LeaseUntil; 0: nobody asks; -1: senseless
	Weight       float64   // how much of a worker's load it is; 0 counts as 1
	Capacity     float64   // of its holder, next to other workers; 0 counts as 1
	Unusable     bool      // no worker can lease it: an attribute is of a wrong type, say
}

// ItemState is what a lease item is, to whoever looks at it.
type ItemState int

const (
	// ItemFree is an item that anybody may lease: who had it released it, or its lease has
	// ended.
	ItemFree ItemState = iota
	// ItemHeld is one that somebody has. If it has no LesseeID it is kept from all until its
	// end, as an older process of its last holder's name may rely on it.
	ItemHeld
	// ItemWanted is one that somebody has, and that somebody else, or an operator, asks for.
	ItemWanted
	// ItemReserved is one that was handed over to its lessee, which has not leased it yet.
	ItemReserved
	// ItemUnusable is one that nobody can lease, as its row makes no sense.
	ItemUnusable
)

// String returns the state in one word: "free", say.
func (s ItemState) String() string {
	switch s {
	case ItemFree:
		return "free"
	case ItemHeld:
		return "held"
	case ItemWanted:
		return "wanted"
	case ItemReserved:
		return "reserved"
	case ItemUnusable:
		return "unusable"
	}
	return "unknown"
}

// StateAt is [LeaseItem.State] at a time, by this host's clock: now, or when the item was
// looked at.
func (i LeaseItem) StateAt(now time.Time) ItemState {
	if i.Unusable {
		return ItemUnusable
	}
	if i.isFree(now) {
		return ItemFree
	}
	hasHolder := i.LesseeID != ""
	if hasHolder && i.isReserved(now) {
		return ItemReserved
	}
	if i.isWanted(now) {
		return ItemWanted
	}
	return ItemHeld
}

// weight is how much of a worker's load the item is.
func (i LeaseItem) weight() float64 { return positiveOrOne(i.Weight) }

// capacity is its holder's.
func (i LeaseItem) capacity() float64 { return positiveOrOne(i.Capacity) }

// positiveOrOne is a number that makes sense as a weight or a capacity, whatever a row says.
func positiveOrOne(n float64) float64 {
	isSensible := n > 0 && !math.IsInf(n, 1) // NaN is not
	if isSensible {
		return n
	}
	return 1
}

// isFree tells that anybody may lease the item.
func (i LeaseItem) isFree(now time.Time) bool { return i.Until.Before(now) }

// isLeasedTo tells that the item is leased under that name.
func (i LeaseItem) isLeasedTo(lessee string, now time.Time) bool {
	return i.LesseeID == lessee && !i.isFree(now)
}

// after is the first nanosecond after the end that the row shows, of which a fraction isn't
// read.
func (i LeaseItem) after() int64 { return min(i.LeaseUntil, math.MaxInt64-1) + 1 }

// isReserved tells that the item was handed over to its holder, and not leased by it
// yet. That is for people to see, and for planning: no lease may depend on it.
func (i LeaseItem) isReserved(now time.Time) bool {
	// However far ahead the wish ends: the reservation itself may be much shorter.
	return i.WantedBy == i.LesseeID && !i.wishEnd().Before(now)
}

// isHandedOver tells of a row that its holder has not leased yet since it was handed over to
// it: its lease would have removed the wish.
func (i LeaseItem) isHandedOver() bool { return i.WantedUntil > 0 && i.WantedBy == i.LesseeID }

// isWanted tells that somebody's wish for the item counts now.
func (i LeaseItem) isWanted(now time.Time) bool { return !i.wantedUntil(now).IsZero() }

// wantedUntil returns until when somebody wants the item, by this host's clock. It is
// zero if nobody does, or if the wish ends too far ahead to be anything but a slip.
func (i LeaseItem) wantedUntil(now time.Time) time.Time {
	end := i.wishEnd()
	isOver := end.Before(now)
	isSlip := end.Sub(now) > longestWish(i.left(now))
	if isOver || isSlip {
		return time.Time{}
	}
	return end
}

// wishEnd is when the wish for the item ends or ended, by this host's clock; zero: there
// is none.
func (i LeaseItem) wishEnd() time.Time {
	if i.WantedUntil <= 0 {
		return time.Time{}
	}
	return i.Until.Add(time.Duration(i.WantedUntil - i.LeaseUntil))
}

// left is how much longer the item's lease lasts; less than 0 if that has ended.
func (i LeaseItem) left(now time.Time) time.Duration { return i.Until.Sub(now) }

// longestWish is how far ahead a wish may end that counts, for an item whose lease lasts
// so much longer. All reckon it by the row alone, so that they agree.
func longestWish(left time.Duration) time.Duration {
	const most = math.MaxInt64 / 3
	return max(10*time.Minute, 3*min(left, most))
}

// furthestWish is how far ahead a wish may end that is made now. It is to count for as
// long as the holder is alive, also just before that renews.
func (i LeaseItem) furthestWish(now time.Time) time.Duration {
	const most = math.MaxInt64 / 2
	return max(9*time.Minute, 2*min(i.left(now), most))
}
