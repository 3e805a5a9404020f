package chaos

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Bounds say how soon what is to happen must have happened. They are for liveness alone: what
// may never happen has no bounds.
type Bounds struct {
	Recovery time.Duration // from the end of the faults until every item was held

	// When only those that share are left: for how long an item may have no holder, and how
	// soon all must be level.
	Gap, Level time.Duration
}

// Checker takes the events of a history, in any order.
type Checker struct {
	tenures    map[string]*tenure
	registered map[string]Event
	found      map[string]string
	faults     map[string]int
	calm       time.Duration
	classes    map[string]map[string]bool // the items of each lessee that has a class
	sharers    map[string]int             // those that share, and their limits
	alone      time.Duration              // from when on there are no others
}

// NewChecker returns a checker of an empty history.
func NewChecker() *Checker {
	return &Checker{
		tenures:    make(map[string]*tenure),
		registered: make(map[string]Event),
		found:      make(map[string]string),
		faults:     make(map[string]int),
		calm:       never,
		classes:    make(map[string]map[string]bool),
		sharers:    make(map[string]int),
		alone:      -never,
	}
}

// Add takes an event.
func (c *Checker) Add(e Event) {
	switch e.Kind {
	case Registered:
		c.registered[e.Item] = e
	case Found:
		c.found[e.Item] = e.Note
	case Fault:
		c.faults[e.Note]++
	case Calm:
		c.calm = e.End
	case Sharing:
		c.addSharer(e)
	case InClass:
		c.addToClass(e.Lessee, e.Item)
	default:
		if c.tenures[e.Tenure] == nil {
			c.tenures[e.Tenure] = newTenure()
		}
		c.tenures[e.Tenure].add(e)
	}
}

// addToClass takes an item of a lessee's class.
func (c *Checker) addToClass(lessee, item string) {
	if c.classes[lessee] == nil {
		c.classes[lessee] = make(map[string]bool)
	}
	c.classes[lessee][item] = true
}

// addSharer takes one of those that share. Those count that were the last to be left, all at
// one time.
func (c *Checker) addSharer(e Event) {
	if e.End < c.alone {
		return
	}
	if e.End > c.alone {
		clear(c.sharers)
		c.alone = e.End
	}
	c.sharers[e.Lessee] = int(e.Token)
}

// Report holds what was added against the rules. More may be added afterwards.
func (c *Checker) Report(within Bounds) Report {
	r := c.count()
	items := c.byItem()
	for _, item := range sortedKeys(items) {
		r.countItem(items[item])
		c.checkItem(&r, item, items[item], within)
	}
	if len(c.sharers) > 0 {
		r.Shared = true
		r.SharedLevel = c.checkLevel(&r, items, within.Level)
	}
	return r
}

// count counts what has to do with no item, or with any.
func (c *Checker) count() Report {
	r := Report{Faults: maps.Clone(c.faults), Gap: make(map[string]time.Duration)}
	for _, t := range c.tenures {
		r.Accepted += t.accepted
		r.Refused += t.refused
		r.Saves += len(t.saves)
	}
	return r
}

// byItem returns each item's tenures, by the time they were obtained.
func (c *Checker) byItem() map[string][]*tenure {
	items := make(map[string][]*tenure)
	for item := range c.registered {
		items[item] = nil
	}
	for _, t := range c.tenures {
		if t.obtained > 0 { // else its process was killed before it could say so
			items[t.Item] = append(items[t.Item], t)
		}
	}
	for _, tenures := range items {
		slices.SortFunc(tenures, func(a, b *tenure) int { return cmp.Compare(a.End, b.End) })
	}
	return items
}

// countItem counts what happened to an item.
func (r *Report) countItem(tenures []*tenure) {
	r.Tenures += len(tenures)
	for i, t := range tenures {
		r.Renewals += t.renewals
		r.Weights += t.weights
		r.Releases += t.releases
		r.Handovers += t.handovers
		if i > 0 && tenures[i-1].Lessee != t.Lessee && tenures[i-1].releases == 0 {
			r.Takeovers++
		}
	}
	seen := bySight(tenures)
	for i, t := range seen {
		if i > 0 && t.validFrom > seen[i-1].validTo {
			r.Gap[t.Item] = max(r.Gap[t.Item], t.validFrom-seen[i-1].validTo)
		}
	}
}

// bySight returns the tenures that were seen valid, by when that was first so, as if each had been
// so at least for as long as those before it.
func bySight(tenures []*tenure) []tenure {
	var seen []tenure
	for _, t := range tenures {
		if t.wasSeen() {
			seen = append(seen, *t)
		}
	}
	slices.SortFunc(seen, func(a, b tenure) int { return cmp.Compare(a.validFrom, b.validFrom) })
	for i := 1; i < len(seen); i++ {
		seen[i].validTo = max(seen[i].validTo, seen[i-1].validTo)
	}
	return seen
}

// checkItem checks all that must be so of one item.
func (c *Checker) checkItem(r *Report, item string, tenures []*tenure, within Bounds) {
	for i, t := range tenures {
		r.checkTenure(t)
		c.checkClass(r, t)
		for _, other := range tenures[:i] {
			r.checkBoth(other, t)
			if other.End <= t.Begin {
				r.checkOrder(other, t)
			}
		}
	}
	if e, ok := c.registered[item]; ok && c.found[item] != e.Note {
		r.violate(LostAttribute, item, e.Begin, never,
			"registered with %q, found %q", e.Note, c.found[item])
	}
	if c.calm < never {
		r.checkHeld(item, tenures, c.calm, within.Recovery)
	}
	if len(c.sharers) > 0 {
		r.checkGaps(item, tenures, c.alone, c.end(), within.Gap)
	}
}

// end is the last moment at which anybody held anything.
func (c *Checker) end() time.Duration {
	end := -never
	for _, t := range c.tenures {
		end = max(end, t.validTo)
	}
	return end
}

// checkTenure checks what must be so of a single tenure.
func (r *Report) checkTenure(t *tenure) {
	if t.obtained > 1 {
		r.violate(Tokens, t.Item, t.Begin, t.End, "%s was obtained %d times", t, t.obtained)
	}
	if t.over <= t.validTo {
		r.violate(Revived, t.Item, t.Begin, t.validTo,
			"%s was over at %v and valid at %v", t, t.over, t.validTo)
	}
	if last := max(t.validTo, t.worked); t.freed <= last {
		r.violate(Overwork, t.Item, t.Begin, last,
			"%s was given away after %v; it was valid at %v, and work went on at %v",
			t, t.freed, t.validTo, t.worked)
	}
}

// checkClass checks that a tenure is of an item in which its lessee takes part.
func (c *Checker) checkClass(r *Report, t *tenure) {
	class, hasClass := c.classes[t.Lessee]
	if !hasClass {
		return
	}
	r.InClass++
	if !class[t.Item] {
		r.violate(OutsideClass, t.Item, t.Begin, t.End,
			"%s; its lessee takes part in %q only", t, sortedKeys(class))
	}
}

// checkBoth checks what must be so of two tenures of an item, in whatever order they were obtained.
func (r *Report) checkBoth(a, b *tenure) {
	from, to := stretch(a, b)
	overlap := b.validFrom <= a.validTo && a.validFrom <= b.validTo
	if overlap && a.Lessee != b.Lessee {
		r.violate(Overlap, b.Item, from, to, "%s was valid from %v to %v, %s from %v to %v",
			a, a.validFrom, a.validTo, b, b.validFrom, b.validTo)
	}
	if a.Token == b.Token && b.Token != 0 {
		r.violate(Tokens, b.Item, from, to, "%s and %s have the same token", a, b)
	}
}

// checkOrder checks what must be so of two tenures of which one is older.
func (r *Report) checkOrder(older, newer *tenure) {
	item := newer.Item
	from, to := stretch(older, newer)
	if older.Token > newer.Token && newer.Token != 0 {
		r.violate(Tokens, item, from, to, "%s is older than %s", older, newer)
	}
	if older.renewed >= newer.End {
		r.violate(StaleRenewal, item, from, max(to, older.renewed),
			"%s was renewed at %v; it is older than %s", older, older.renewed, newer)
	}
	if older.lastAccepted >= newer.firstAccepted {
		r.violate(StaleWrite, item, from, max(to, older.lastAccepted),
			"a write of %s was accepted at %v, after one at %v of %s",
			older, older.lastAccepted, newer.firstAccepted, newer)
	}
	for _, save := range older.saves {
		r.checkSave(save, older, newer)
	}
}

// checkSave checks what must be so of a number that the older of two tenures saved.
func (r *Report) checkSave(save Event, older, newer *tenure) {
	from, to := stretch(older, newer)
	hasLooked := newer.resumed >= 0
	if hasLooked && save.End <= newer.Begin && number(save) > newer.resumed {
		r.violate(LostSave, newer.Item, from, to, "%s began with %d, but %s had saved %s by %v",
			newer, newer.resumed, older, save.Note, save.End)
	}
	if save.Begin >= newer.End {
		r.violate(StaleSave, newer.Item, from, max(to, save.End),
			"%s saved %s at %v; it is older than %s", older, save.Note, save.Begin, newer)
	}
}

// stretch returns from when to when the history has to do with two tenures.
func stretch(a, b *tenure) (from, to time.Duration) {
	return min(a.Begin, b.Begin), max(a.validTo, b.validTo, a.End, b.End)
}

// checkHeld checks how long after the faults an item was seen held.
func (r *Report) checkHeld(item string, tenures []*tenure, since, within time.Duration) {
	held := never
	for _, t := range tenures {
		if t.validTo >= since {
			held = min(held, max(t.validFrom, since))
		}
	}
	took := never
	if held < never {
		took = held - since
	}
	r.Recovery = max(r.Recovery, took)
	if took > within {
		r.violate(NotHeld, item, since, held,
			"the faults ended at %v; want a holder %v later", since, within)
	}
}

// checkGaps checks for how long nobody held an item, from one time to another.
func (r *Report) checkGaps(item string, tenures []*tenure, since, until, within time.Duration) {
	check := func(from, to time.Duration) {
		r.SharedGap = max(r.SharedGap, to-from)
		if to-from > within {
			r.violate(NotHeld, item, from, to,
				"nobody held it for %v when only those that share were left, since %v; "+
					"want at most %v", to-from, since, within)
		}
	}
	last := since
	for _, t := range bySight(tenures) {
		check(last, t.validFrom)
		last = max(last, t.validTo)
	}
	check(last, until)
}

// checkLevel returns how long after all but those that share had left all items were seen held by
// them, and level.
func (c *Checker) checkLevel(
	r *Report, items map[string][]*tenure, within time.Duration,
) time.Duration {
	var counts map[string]int
	for _, moment := range c.momentsAlone(items) {
		counts = holders(items, moment)
		held := 0
		for _, n := range counts {
			held += n
		}
		if held < len(items) || !Level(counts, c.sharers) {
			continue
		}
		if took := moment - c.alone; took <= within {
			return took
		}
		break
	}
	r.violate(NotLevel, "", c.alone, never,
		"all but those that share had left at %v; want them level %v later; "+
			"at the last there were %v", c.alone, within, counts)
	return never
}

// momentsAlone returns when all but those that share had left, and when an item was held anew
// since.
func (c *Checker) momentsAlone(items map[string][]*tenure) []time.Duration {
	moments := []time.Duration{c.alone}
	for _, tenures := range items {
		for _, t := range tenures {
			if t.validFrom > c.alone && t.validFrom < never {
				moments = append(moments, t.validFrom)
			}
		}
	}
	slices.Sort(moments)
	return moments
}

// holders returns how many items each lessee held at a moment.
func holders(items map[string][]*tenure, moment time.Duration) map[string]int {
	counts := make(map[string]int)
	for _, tenures := range items {
		i := slices.IndexFunc(tenures, func(t *tenure) bool { return t.validAt(moment) })
		if i >= 0 {
			counts[tenures[i].Lessee]++
		}
	}
	return counts
}

// Level tells whether workers with these limits (0 for none) hold as many items as the others,
// but for one, or as they can, and nobody else holds any.
func Level(counts, limits map[string]int) bool {
	for lessee, n := range counts {
		if _, shares := limits[lessee]; !shares && n > 0 {
			return false
		}
		for other, limit := range limits {
			couldTake := limit == 0 || counts[other] < limit
			if couldTake && n > counts[other]+1 {
				return false
			}
		}
	}
	return true
}
