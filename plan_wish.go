package lease

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Which items a round wishes for.

// wish chooses what to wish for: items of the most loaded, as long as a move to this worker
// makes the greater of the two loads less. The free items that are left count as its own.
func (p *planner) wish(now time.Time) (chosen []candidate) {
	if p.restless.isOn(now) {
		return nil
	}
	w := p.wishable(now)
	w.loads.weights[p.me] += p.round.leftover
	for w.counts[p.me] < p.limit() {
		heir, at, found := w.next()
		if !found {
			break
		}
		item := w.take(heir, at)
		chosen = append(chosen, candidate{LeaseItem: item, wishUntil: wishUntil(now, item, p.duration)})
	}
	return chosen
}

// wishable are the items that may be wished for.
type wishable struct {
	me      string
	counts  map[string]int        // as they would be with what was chosen
	loads   loads                 // likewise
	heirs   []string              // in random order, as the items are
	of      map[string][]prospect // by their heirs: first those that are on the move, then the heaviest
	allowed map[string]int        // how many more wishes a holder is to get
}

// prospect is an item that may be wished for.
type prospect struct {
	*LeaseItem
	settled int // how little it is on the move
}

// next returns what to wish for next: which of whose items. That is one of the most loaded
// of whom something may be wished for that makes things better.
func (w wishable) next() (heir string, at int, found bool) {
	for _, other := range w.heirs {
		isMore := !found || isLess(w.loads.of(heir), w.loads.of(other))
		if !isMore || !w.isFar(other) {
			continue
		}
		if best, isBetter := w.best(other); isBetter {
			heir = other
			at = best
			found = true
		}
	}
	return heir, at, found
}

// isFar tells that an heir's load is greater than this worker's by a twentieth, or by two of
// its average items. Less is level enough: to be exact would take many moves of small items.
// Of items that all weigh the same, each move that helps is worth it.
func (w wishable) isFar(heir string) bool {
	theirs := w.loads.of(heir)
	average := theirs / float64(w.counts[heir])
	far := min(theirs/20, 2*average)
	return !isLess(theirs, w.loads.of(w.me)+far)
}

// best returns which of an heir's items makes the greater of its load and this worker's
// least, of those first that are on the move; found is false if none makes it less.
func (w wishable) best(heir string) (best int, found bool) {
	items := w.of[heir]
	least := w.loads.of(heir)
	for i, c := range items {
		isBehind := found && c.settled > items[best].settled
		if isBehind {
			break
		}
		theirs, mine := w.loads.moved(c.weight(), heir, w.me)
		greater := max(theirs, mine)
		if w.allowed[c.LesseeID] > 0 && isLess(greater, least) {
			best = i
			found = true
			least = greater
		}
		isPast := mine <= theirs // What is lighter leaves it more.
		if found && isPast {
			break
		}
	}
	return best, found
}

// take takes an item of an heir.
func (w wishable) take(heir string, at int) LeaseItem {
	items := w.of[heir]
	taken := items[at]
	copy(items[1:at+1], items[:at])
	w.of[heir] = items[1:]
	w.allowed[taken.LesseeID]--
	w.counts[heir]--
	w.counts[w.me]++
	w.loads.move(taken.weight(), heir, w.me)
	return *taken.LeaseItem
}

// wishable returns the items that may be wished for.
func (p *planner) wishable(now time.Time) wishable {
	w := wishable{
		me:      p.me,
		counts:  maps.Clone(p.round.counts),
		loads:   p.round.loads.copied(),
		of:      make(map[string][]prospect),
		allowed: make(map[string]int),
	}
	for i := range p.round.items {
		item := &p.round.items[i]
		heir := p.heir(now, *item)
		if !p.mayWishFor(*item, heir, now) {
			continue
		}
		if len(w.of[heir]) == 0 {
			w.heirs = append(w.heirs, heir)
		}
		w.of[heir] = append(w.of[heir], prospect{item, settled(*item, heir, now)})
		if _, ok := w.allowed[item.LesseeID]; !ok {
			w.allowed[item.LesseeID] = p.allowance(now, item.LesseeID)
		}
	}
	for _, items := range w.of {
		slices.SortStableFunc(items, func(a, b prospect) int {
			return cmp.Or(cmp.Compare(a.settled, b.settled), cmp.Compare(b.weight(), a.weight()))
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
	if !p.round.loads.areCounts && p.travels.isWorn(item) {
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
