package history

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/intercom/lease/cmd/lease/internal/dynamo"
	"github.com/intercom/lease/cmd/lease/internal/fleet"
)

// Holder is who has items, or had some, as the looks show it.
type Holder struct {
	Name     string
	Items    int     // that it has, reserved ones too
	Weight   float64 // of these together
	Capacity float64
	Since    time.Time     // when it was first seen
	Renewed  time.Time     // when it was last seen to renew, or to obtain; zero: not yet
	Lease    time.Duration // how long its leases last, as far as was seen
	Fell     bool          // its leases ended, and it has renewed none since
	Double   time.Time     // when it was last seen to have a namesake
}

// Load is what it carries, next to others.
func (h Holder) Load() float64 { return h.Weight / h.Capacity }

// IsLate tells that it should have renewed by now: workers do in each third of a lease.
func (h Holder) IsLate(now time.Time) bool {
	if h.Items == 0 || h.Lease == 0 {
		return false
	}
	return now.Sub(h.Renewed) > h.Lease/3*2
}

// Sample is what a holder has from a time on, until the next one. That of "" is of the items that
// nobody has.
type Sample struct {
	Holder   string
	At       time.Time
	Items    int
	Load     float64
	Capacity float64
}

func (s Sample) isAs(other Sample) bool {
	other.At = s.At
	return s == other
}

// notes are what is known after a look. They ask nobody: what is to be kept of a look is a change.
type notes struct {
	strips  map[string]*Strip // that last, by item
	holders map[string]*Holder
	samples map[string]Sample // the last ones
	begun   map[string]begun
	looked  bool // there was a look before, by this process
	nextID  int64
}

// begun is what events said of an item since the last look that succeeded.
type begun struct{ over, begin fleet.Kind }

func newNotes() *notes {
	return &notes{
		strips:  make(map[string]*Strip),
		holders: make(map[string]*Holder),
		samples: make(map[string]Sample),
		begun:   make(map[string]begun),
		nextID:  1,
	}
}

// change is what there is to keep of a look.
type change struct {
	strips  map[int64]Strip // as they are now, by ID
	events  []fleet.Event
	samples []Sample
}

// see takes note of a look. Of one that failed only the events count: how items are by now nobody
// has seen.
func (n *notes) see(l dynamo.Look) change {
	c := change{strips: make(map[int64]Strip)}
	for _, e := range l.Events {
		n.hear(e, l.Clock)
		if e.IsShown(false) {
			c.events = append(c.events, e)
		}
	}
	c.events = append(c.events, n.falls(l)...)
	if l.Err != nil {
		return c
	}
	n.noteStrips(l, &c)
	n.noteHolders(l, &c)
	n.looked = true
	clear(n.begun)
	return c
}

// hear notes what an event says of a holder, and why an item is where it is.
func (n *notes) hear(e fleet.Event, now time.Time) {
	b := n.begun[e.Item]
	if endings[e.Event] {
		b.over = e.Event
	}
	if beginnings[e.Event] {
		b.begin = e.Event
	}
	n.begun[e.Item] = b
	shown := e.Event == fleet.Renewed || e.Event == fleet.Obtained
	if !shown || e.Holder == "" {
		return
	}
	h := n.holder(e.Holder, now)
	h.Renewed = now
	h.Fell = false
	h.Lease = max(h.Lease, e.Ends.In(time.UTC).Sub(now))
}

func (n *notes) holder(name string, now time.Time) *Holder {
	if n.holders[name] == nil {
		n.holders[name] = &Holder{Name: name, Since: now, Capacity: 1}
	}
	return n.holders[name]
}

// falls returns an event for each holder of whom a lease has ended while it renewed none. One that
// goes on renewing others has lost that one only.
func (n *notes) falls(l dynamo.Look) (events []fleet.Event) {
	for _, e := range l.Events {
		h := n.holders[e.Holder]
		isLease := e.Event == fleet.Ended && e.WantedBy == nil
		if !isLease || h == nil || h.Fell {
			continue
		}
		isQuiet := h.Lease == 0 || l.Clock.Sub(h.Renewed) > h.Lease/2
		if isQuiet {
			h.Fell = true
			events = append(events, fleet.Event{Time: e.Time, Event: Fell, Holder: h.Name})
		}
	}
	return events
}

// noteStrips notes how each item is, where it isn't as it was.
func (n *notes) noteStrips(l dynamo.Look, c *change) {
	there := make(map[string]bool, len(l.Items))
	for _, i := range l.Items {
		there[i.LeaseID] = true
		n.noteStrip(i, l, c)
	}
	for item, was := range n.strips {
		if !there[item] {
			n.end(was, l.Clock, c)
			delete(n.strips, item)
		}
	}
}

func (n *notes) noteStrip(i fleet.Item, l dynamo.Look, c *change) {
	is := stripOf(i, l.At)
	was := n.strips[i.LeaseID]
	b := n.begun[i.LeaseID]
	if was != nil && was.goesOn(is) {
		// The look before saw a lease as over that it had read as live: the event comes now.
		if was.Why == "" && was.Noted {
			was.Why = b.over
			c.strips[was.ID] = *was
		}
		return
	}
	if n.looked {
		is.follows(was, b.over, b.begin)
	} else if was != nil {
		is.Before = cmp.Or(was.Holder, was.Before)
	}
	if was != nil {
		n.end(was, l.Clock, c)
	}
	is.Began = l.Clock
	n.begin(is, i, c)
}

// begin notes a strip. A lease that has ended says itself whose it was, and when that was.
func (n *notes) begin(is Strip, i fleet.Item, c *change) {
	if is.State == fleet.Free && i.LesseeID != "" {
		is.Before = i.LesseeID
		is.Why = fleet.Ended
		if i.WantedBy == i.LesseeID {
			is.Why = Untaken
		}
	}
	const aTime = int64(time.Millisecond) // Times are kept by the millisecond, and 0 is none.
	isFound := !is.Noted && is.State == fleet.Free && i.LeaseUntil >= aTime
	if isFound {
		is.Began = time.Unix(0, min(i.LeaseUntil, is.Began.UnixNano()))
	}
	is.ID = n.nextID
	n.nextID++
	n.strips[is.Item] = &is
	c.strips[is.ID] = is
}

func (n *notes) end(s *Strip, now time.Time, c *change) {
	over := *s
	over.Ended = now
	c.strips[s.ID] = over
}

// noteHolders notes who has how much, where that has changed, and who has come or gone.
func (n *notes) noteHolders(l dynamo.Look, c *change) {
	sums := n.sums(l)
	for name, h := range n.holders {
		if sums[name] == nil {
			sums[name] = &Holder{Name: name, Capacity: h.Capacity}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		sum := sums[name]
		if name != "" {
			c.events = append(c.events, n.arrivals(*sum, l)...)
		}
		s := Sample{
			Holder: name, At: l.Clock, Items: sum.Items, Load: sum.Load(), Capacity: sum.Capacity,
		}
		last, isKnown := n.samples[name]
		if isKnown && last.isAs(s) {
			continue
		}
		n.samples[name] = s
		c.samples = append(c.samples, s)
	}
	n.forget(l.Clock)
}

// sums are what each has at a look, "" being nobody.
func (n *notes) sums(l dynamo.Look) map[string]*Holder {
	sums := map[string]*Holder{"": {Capacity: 1}}
	for _, i := range l.Items {
		name := ""
		if i.HasHolder(l.At) {
			name = i.LesseeID
		}
		sum := sums[name]
		if sum == nil {
			sum = &Holder{Name: name, Capacity: 1}
			sums[name] = sum
		}
		sum.Items++
		sum.Weight += positiveOrOne(i.Weight)
		if name != "" {
			sum.Capacity = positiveOrOne(i.Capacity)
		}
		n.noteKept(i, l)
	}
	return sums
}

// noteKept notes of whom there are two: an item that is kept from all was released by one that had
// taken it from an older process of its name.
func (n *notes) noteKept(i fleet.Item, l dynamo.Look) {
	isKept := i.Live(l.At) && i.LesseeID == ""
	if !isKept {
		return
	}
	s := n.strips[i.LeaseID]
	if s != nil && n.holders[s.Before] != nil {
		n.holders[s.Before].Double = l.Clock
	}
}

// arrivals returns the events of a holder that has something, and had nothing, or the other way
// round. At a first look nobody knows when it came.
func (n *notes) arrivals(sum Holder, l dynamo.Look) (events []fleet.Event) {
	had := n.samples[sum.Name].Items
	h := n.holder(sum.Name, l.Clock)
	h.Items = sum.Items
	h.Weight = sum.Weight
	h.Capacity = sum.Capacity
	event := fleet.Event{Time: fleet.Moment(l.Clock.UnixNano()), Holder: sum.Name}
	isChange := n.looked && (had == 0) != (sum.Items == 0)
	if !isChange {
		return nil
	}
	if had == 0 {
		event.Event = Joined
		h.Since = l.Clock
		return []fleet.Event{event}
	}
	if h.Fell { // That is told.
		return nil
	}
	event.Event = Left
	return []fleet.Event{event}
}

// forget forgets the holders that have had nothing for long: each process has a name of its own.
func (n *notes) forget(now time.Time) {
	const long = time.Hour
	for name, h := range n.holders {
		isGone := h.Items == 0 && now.Sub(n.samples[name].At) > long
		if isGone {
			delete(n.holders, name)
			delete(n.samples, name)
		}
	}
}

func positiveOrOne(f float64) float64 {
	if f > 0 {
		return f
	}
	return 1
}
