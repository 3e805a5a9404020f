package history

import (
	"cmp"
	"time"

	"github.com/intercom/lease/cmd/lease/internal/fleet"
)

// What has happened to a holder, beside what has happened to items. In an event of these kinds Item
// is empty, and Holder is whom it is about.
const (
	Joined fleet.Kind = "joined" // it had nothing before
	Left   fleet.Kind = "left"   // it has given up all that it had
	Fell   fleet.Kind = "fell"   // it renewed none: it died, hung or was cut off
)

// Untaken is why an item is free that was reserved for somebody who didn't come.
const Untaken fleet.Kind = "untaken"

// Strip is how an item was, from one look to another.
type Strip struct {
	ID     int64
	Item   string
	Began  time.Time
	Ended  time.Time // zero while it lasts
	State  fleet.State
	Holder string // who had it, or for whom it was reserved
	Token  int64  // 0 where there is none
	Why    fleet.Kind
	Before string // who had the item before, as far as is known
	Noted  bool   // it began at a look that had one before: not just as it was found
}

// stripOf is how an item is at a look.
func stripOf(i fleet.Item, now time.Time) Strip {
	s := Strip{Item: i.LeaseID, State: i.State(now)}
	if i.Live(now) {
		s.Holder = i.LesseeID
	}
	if !i.Tokenless {
		s.Token = i.FencingToken
	}
	return s
}

// goesOn tells whether an item is as it was. A token counts with a holder only: who has retired an
// item and registered it anew has moved nobody.
func (s *Strip) goesOn(is Strip) bool {
	return s.State == is.State && s.Holder == is.Holder && s.Token == is.Token
}

// follows completes a strip from the one before, and from how that was over.
func (s *Strip) follows(was *Strip, over, begin fleet.Kind) {
	s.Why = cmp.Or(over, begin)
	s.Noted = true
	if was == nil {
		return
	}
	s.Before = cmp.Or(was.Holder, was.Before)
	wasKept := was.State == fleet.Held && was.Holder == ""
	if wasKept && over == fleet.Ended { // Its holder had given it up before, in order.
		s.Why = fleet.Released
	}
	isTaken := was.State == fleet.Reserved && was.Holder == s.Holder
	if isTaken { // It has come from whoever handed it over.
		s.Before = was.Before
		s.Why = fleet.HandedOver
	}
}

// Lasted is how long it was so, until now if it still is.
func (s Strip) Lasted(now time.Time) time.Duration {
	if s.Ended.IsZero() {
		return now.Sub(s.Began)
	}
	return s.Ended.Sub(s.Began)
}

// endings are what a tenure is over by; beginnings what it may begin with, or a row.
var (
	endings    = kinds(fleet.HandedOver, fleet.Released, fleet.Freed, fleet.Ended)
	beginnings = kinds(fleet.Obtained, fleet.Registered)
)

func kinds(all ...fleet.Kind) map[fleet.Kind]bool {
	set := make(map[fleet.Kind]bool)
	for _, k := range all {
		set[k] = true
	}
	return set
}
