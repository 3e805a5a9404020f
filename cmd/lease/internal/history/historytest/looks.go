// Package historytest makes looks at a table that there isn't, for tests.
package historytest

import (
	"time"

	"github.com/intercom/lease"
	"github.com/intercom/lease/cmd/lease/internal/dynamo"
	"github.com/intercom/lease/cmd/lease/internal/fleet"
)

// Noon is when the first look is.
var Noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// Lease is how long leases last.
const Lease = 30 * time.Second

// Looks make looks at items, with the events that a watcher would have found.
type Looks struct {
	Now   time.Time
	seen  map[string]*fleet.Sighting
	count int
}

// NewLooks returns looks of which the first is at noon.
func NewLooks() *Looks { return &Looks{Now: Noon, seen: make(map[string]*fleet.Sighting)} }

// Anew are looks of another process: it has seen nothing yet.
func (l *Looks) Anew() { l.seen, l.count = make(map[string]*fleet.Sighting), 0 }

// Look is what a look shows after that time. The items are to be sorted by name.
func (l *Looks) Look(after time.Duration, items ...fleet.Item) dynamo.Look {
	l.Now = l.Now.Add(after)
	l.count++
	look := dynamo.Look{Items: items, At: l.Now, Clock: l.Now, Units: 2}
	for _, i := range items {
		if l.count > 1 {
			look.Events = append(look.Events, fleet.Changes(l.seen[i.LeaseID], i, l.Now)...)
		}
		l.seen[i.LeaseID] = &fleet.Sighting{Item: i, Live: i.Live(l.Now), At: l.Now, Look: l.count}
	}
	for id, was := range l.seen {
		if was.Look < l.count {
			look.Events = append(look.Events, fleet.Event{Event: fleet.Retired, Item: id})
			delete(l.seen, id)
		}
	}
	for n := range look.Events {
		look.Events[n].Time = fleet.Moment(l.Now.UnixNano())
	}
	return look
}

// Held is an item whose holder has renewed at that time after noon.
func Held(id, holder string, token int64, renewed time.Duration) fleet.Item {
	end := Noon.Add(renewed + Lease)
	return fleet.Item{LeaseItem: lease.LeaseItem{
		LeaseID: id, LesseeID: holder, FencingToken: token, Until: end, LeaseUntil: end.UnixNano(),
	}}
}

// Reserved is an item that was handed over at that time, to whom it is reserved for.
func Reserved(id, holder string, token int64, at time.Duration) fleet.Item {
	i := Held(id, holder, token, at)
	i.WantedBy = holder
	i.WantedUntil = i.LeaseUntil
	return i
}

// Free is an item that was released.
func Free(id string, token int64) fleet.Item {
	return fleet.Item{LeaseItem: lease.LeaseItem{LeaseID: id, FencingToken: token}}
}

// Seen is how many looks there were.
func (l *Looks) Seen() int { return l.count }
