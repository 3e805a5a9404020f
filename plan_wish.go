package lease

import "time"

// Which items a round wishes for, and what becomes of wishes.

// wish chooses what to wish for: items of who is to have most, as long as that is at
// least two more than this worker is to have, with the free items that were left.
func (p *planner) wish(now time.Time, left int) (wanted []candidate) {
	if p.restless.isOn(now) {
		return nil
	}
	counts := p.round.counts
	owners, of := p.wishable(now)
	for counts[p.me] < p.most {
		richest := ""
		for _, owner := range owners {
			if len(of[owner]) > 0 && counts[owner] > counts[richest] {
				richest = owner
			}
		}
		if counts[richest] < counts[p.me]+left+2 {
			break
		}
		wanted = append(wanted, candidate{LeaseItem: of[richest][0]})
		of[richest] = of[richest][1:]
		counts[richest]--
		counts[p.me]++
	}
	return wanted
}

// wishable returns the items that may be wished for by who is to have them: first those
// that are on their way there, as they move in any case. The owners are in random
// order, as the items are.
func (p *planner) wishable(now time.Time) (owners []string, of map[string][]LeaseItem) {
	of = make(map[string][]LeaseItem)
	atHome := make(map[string][]LeaseItem)
	for _, item := range p.round.items {
		if !p.mayWishFor(now, item) {
			continue
		}
		owner := p.heir(now, item)
		if len(of[owner])+len(atHome[owner]) == 0 {
			owners = append(owners, owner)
		}
		if owner == item.LesseeID {
			atHome[owner] = append(atHome[owner], item)
		} else {
			of[owner] = append(of[owner], item)
		}
	}
	for _, owner := range owners {
		of[owner] = append(of[owner], atHome[owner]...)
	}
	return owners, of
}

// mayWishFor tells of an item that another worker is to have, and that one holds who
// heeds wishes.
func (p *planner) mayWishFor(now time.Time, item LeaseItem) bool {
	owner := p.heir(now, item)
	if owner == "" || owner == p.me {
		return false
	}
	if item.LesseeID == "" || item.LesseeID == p.me {
		return false
	}
	if item.isReserved(now, p.duration) || p.resting[item.LeaseID].isOn(now) {
		return false
	}
	return !p.deaf[item.LesseeID].isOn(now)
}

// wishUntil returns until when a wish for an item is to count.
func (p *planner) wishUntil(now time.Time, item LeaseItem) time.Time {
	const most = 9 * time.Minute // More would count as a slip.
	lasts := wishDuration(p.duration)

	// Its holder renews by the end of its lease, and learns of the wish then.
	if left := item.Until.Sub(now); left > p.duration {
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
	wishPending               // its holder has it still, and the wish counts
	wishGranted               // it was handed over to this worker
	wishUnheard               // its holder has it still, and the wish is over
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
	if item.isWanted(now, p.duration) {
		return wishPending
	}
	return wishUnheard
}
