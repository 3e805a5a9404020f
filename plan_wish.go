package lease

import (
	"maps"
	"time"
)

// Which items a round wishes for, and what becomes of wishes.

// wish chooses what to wish for: items of who is to have most, as long as those are at
// least two more than this worker would have with the free items that are left.
func (p *planner) wish(now time.Time, left int) (chosen []candidate) {
	if p.restless.isOn(now) {
		return nil
	}
	counts := maps.Clone(p.round.counts)
	heirs, of := p.wishable(now)
	for counts[p.me] < p.most {
		richest, found := richestOf(heirs, of, counts)
		isLevel := counts[richest] < counts[p.me]+left+2
		if !found || isLevel {
			break
		}
		chosen = append(chosen, candidate{LeaseItem: of[richest][0]})
		of[richest] = of[richest][1:]
		counts[richest]--
		counts[p.me]++
	}
	return chosen
}

// richestOf returns who is to have most, among those of whom something may be wished for.
func richestOf(heirs []string, of map[string][]LeaseItem, counts map[string]int) (richest string, found bool) {
	for _, heir := range heirs {
		if len(of[heir]) == 0 {
			continue
		}
		if !found || counts[heir] > counts[richest] {
			richest = heir
			found = true
		}
	}
	return richest, found
}

// wishable returns the items that may be wished for, by their heirs: first those that are
// on their way to them, as they move in any case. The heirs are in random order, as the
// items are.
func (p *planner) wishable(now time.Time) (heirs []string, of map[string][]LeaseItem) {
	of = make(map[string][]LeaseItem)
	atHome := make(map[string][]LeaseItem)
	for _, item := range p.round.items {
		if !p.mayWishFor(now, item) {
			continue
		}
		heir := p.heir(now, item)
		if len(of[heir])+len(atHome[heir]) == 0 {
			heirs = append(heirs, heir)
		}
		if heir == item.LesseeID {
			atHome[heir] = append(atHome[heir], item)
		} else {
			of[heir] = append(of[heir], item)
		}
	}
	for _, heir := range heirs {
		of[heir] = append(of[heir], atHome[heir]...)
	}
	return heirs, of
}

// mayWishFor tells of an item whose heir is another worker, and whose holder heeds wishes.
func (p *planner) mayWishFor(now time.Time, item LeaseItem) bool {
	heir := p.heir(now, item)
	if heir == "" || heir == p.me {
		return false
	}
	if item.LesseeID == "" || item.LesseeID == p.me {
		return false
	}
	if item.isReserved(now) || p.resting[item.LeaseID].isOn(now) {
		return false
	}
	return !p.deaf[item.LesseeID].isOn(now)
}

// wishUntil returns until when a wish for an item is to count, of a worker whose leases last
// so long.
func wishUntil(now time.Time, item LeaseItem, duration time.Duration) time.Time {
	most := item.furthestWish(now) // More would count as a slip.
	lasts := wishDuration(duration)

	// Its holder renews by the end of its lease, and learns of the wish then.
	if left := item.Until.Sub(now); left > duration {
		lasts = left
	}
	return now.Add(min(lasts, most))
}

// listen finds out what became of the wishes. A holder that let one run out is deaf: it
// is passed over, for longer each time.
func (p *planner) listen(now time.Time, items []LeaseItem) {
	before := p.wishes
	p.wishes = make(map[string]LeaseItem)
	for _, item := range items {
		wish, ok := before[item.LeaseID]
		if !ok {
			continue
		}
		switch p.fateOf(now, wish, item) {
		case wishGranted:
			p.wishes[item.LeaseID] = wish
			delete(p.deaf, wish.LesseeID)
		case wishPending:
			p.wishes[item.LeaseID] = wish
		case wishUnheard:
			p.passOver(now, wish.LesseeID)
		}
	}
}

func (p *planner) passOver(now time.Time, holder string) {
	if deaf := p.deaf[holder]; !deaf.isOn(now) {
		p.deaf[holder] = deaf.growing(now, 8*p.period(), 64*p.period())
	}
}

// wishFate is what became of a wish.
type wishFate int

const (
	wishGone    wishFate = iota // the item was released or leased by another, or another wants it
	wishPending                 // its holder has it still, and the wish counts
	wishGranted                 // it was handed over to this worker
	wishUnheard                 // its holder has it still, and the wish is over
)

func (p *planner) fateOf(now time.Time, wish, item LeaseItem) wishFate {
	isSameTenure := item.FencingToken == wish.FencingToken
	if !isSameTenure {
		return wishGone
	}
	if item.LesseeID == p.me && !item.isFree(now) {
		return wishGranted
	}
	isAsWished := item.LesseeID == wish.LesseeID && item.WantedBy == p.me
	if !isAsWished {
		return wishGone
	}
	if item.isWanted(now) {
		return wishPending
	}
	return wishUnheard
}
