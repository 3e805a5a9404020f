package fleet

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Orders are by what items can be sorted, as keys in the order of texts; those that are equal are by
// name. What an item doesn't have comes last.
var Orders = map[string]func(i Item, now time.Time) string{
	"name":   func(Item, time.Time) string { return "" },
	"holder": Item.holderKey,
	"state":  Item.stateKey,
	"ends":   Item.endKey,
	"token":  func(i Item, _ time.Time) string { return Digits(i.FencingToken) },
	"weight": func(i Item, _ time.Time) string { return Digits(math.MaxInt64 - int64(min(i.Weight, 1e9)*1e6)) },
}

// AtLast is the key of what comes last.
const AtLast = "\U0010ffff"

// Digits are in the order of the numbers.
func Digits(n int64) string { return fmt.Sprintf("%020d", n) }

func (i Item) holderKey(now time.Time) string {
	if !i.HasHolder(now) {
		return AtLast
	}
	return i.LesseeID
}

// stateKey has first what somebody may have to look after.
func (i Item) stateKey(now time.Time) string {
	states := []State{Unusable, Reserved, Held, Free, NeverLeased}
	return Digits(int64(slices.Index(states, i.State(now))))
}

func (i Item) endKey(now time.Time) string {
	if !i.Live(now) {
		return AtLast
	}
	return Digits(i.LeaseUntil)
}
