package lease

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Which items a round wishes for.

// wish chooses what to wish for: items of who is to have most, as long as those are at
// least two more than this worker would have with the free items that are left.
func (p *planner) wish(now time.Time, left int) (chosen []candidate) {
	if p.restless.isOn(now) {
		return nil
	}
	counts := maps.Clone(p.round.counts)
	wishable := p.wishable(now)
	for counts[p.me] < p.limit() {
		richest, found := wishable.richest(counts)
		isLevel := counts[richest] < counts[p.me]+left+2
		if !found || isLevel {
			break
		}
		item := wishable.takeOf(richest)
		chosen = append(chosen, candidate{LeaseItem: item, wishUntil: wishUntil(now, item, p.duration)})
		counts[richest]--
		counts[p.me]++
	}
	return chosen
}

// wishable are the items that may be wished for.
type wishable struct {
	heirs   []string               // in random order, as the items are
	of      map[string][]LeaseItem // by their heirs: first those that are on the move
	allowed map[string]int         // how many more wishes a holder is to get
}

// richest returns who is to have most, among those of whom something may be wished for.
func (w wishable) richest(counts map[string]int) (richest string, found bool) {
	for _, heir := range w.heirs {
		if _, ok := w.first(heir); !ok {
			continue
		}
		if !found || counts[heir] > counts[richest] {
			richest = heir
			found = true
		}
	}
	return richest, found
}

// first returns the first item of an heir whose holder is to get one more wish.
func (w wishable) first(heir string) (first LeaseItem, ok bool) {
	items := w.of[heir]
	for len(items) > 0 && w.allowed[items[0].LesseeID] <= 0 {
		items = items[1:]
	}
	w.of[heir] = items
	if len(items) == 0 {
		return LeaseItem{}, false
	}
	return items[0], true
}

// takeOf takes the first item of an heir.
func (w wishable) takeOf(heir string) LeaseItem {
	item := w.of[heir][0]
	w.of[heir] = w.of[heir][1:]
	w.allowed[item.LesseeID]--
	return item
}

// wishable returns the items that may be wished for.
func (p *planner) wishable(now time.Time) wishable {
	w := wishable{of: make(map[string][]LeaseItem), allowed: make(map[string]int)}
	for _, item := range p.round.items {
		heir := p.heir(now, item)
		if !p.mayWishFor(item, heir, now) {
			continue
		}
		if len(w.of[heir]) == 0 {
			w.heirs = append(w.heirs, heir)
		}
		w.of[heir] = append(w.of[heir], item)
		if _, ok := w.allowed[item.LesseeID]; !ok {
			w.allowed[item.LesseeID] = p.allowance(now, item.LesseeID)
		}
	}
	for heir, items := range w.of {
		slices.SortStableFunc(items, func(a, b LeaseItem) int {
			return cmp.Compare(settled(a, heir, now), settled(b, heir, now))
		})
	}
	return w
}

// settled says how little an item of an heir is on the move.
func settled(item LeaseItem, heir string, now time.Time) int {
	if item.LesseeID != heir {
		return 0 // It moves in any case.
	}
	if item.isReserved(now) {
		return 2 // It has just moved.
	}
	return 1
}

// mayWishFor tells of an item that another worker holds, and is to have.
func (p *planner) mayWishFor(item LeaseItem, heir string, now time.Time) bool {
	isOfNoUse := p.round.used[item.LeaseID] || p.resting[item.LeaseID].isOn(now)
	if isOfNoUse {
		return false
	}
	return p.isOther(heir) && p.isOther(item.LesseeID)
}

// wishUntil returns until when a wish for an item is to count, of a worker whose leases last
// so long.
func wishUntil(now time.Time, item LeaseItem, duration time.Duration) time.Time {
	lasts := wishDuration(duration)

	// Its holder renews by the end of its lease, and learns of the wish then.
	if left := item.left(now); left > duration {
		lasts = left
	}
	return now.Add(min(lasts, item.furthestWish(now)))
}
