package lease

import "time"

// What a look shows of a planner's own rows, and what stays leased to it that it doesn't
// use.

// ended is a tenure of this worker whose work has ended.
type ended struct {
	token int64
	freed bool // its row was released
	taken bool // its row was another's
}

// news is what a look has shown of the own rows.
type news struct {
	wanted []LeaseItem // that this worker works on, as others may want them
	// that another process of this worker's name has leased, or another part of this one
	namesakes []LeaseItem
	outside   []LeaseItem // that this worker works on, and has no part in any more
}

// compare compares what a look has shown with what this worker has and had.
func (p *planner) compare(now time.Time, items []LeaseItem) (seen news) {
	before := p.stays
	p.stays = make(map[string]time.Time)
	p.forgetEnded(items)
	for _, item := range items {
		until, stayed := before[item.LeaseID]
		if stayed && p.busy[item.LeaseID] {
			p.stays[item.LeaseID] = until
		}
		isMine := item.isLeasedTo(p.me, now)
		if isMine && !p.busy[item.LeaseID] { // The look may be older than its lease.
			p.compareOwn(item, &seen)
		}
	}
	return seen
}

// worked are those of the items that this worker works on.
func (p *planner) worked(items []LeaseItem) (worked []LeaseItem) {
	for _, item := range items {
		if _, works := p.working[item.LeaseID]; works {
			worked = append(worked, item)
		}
	}
	return worked
}

func (p *planner) compareOwn(item LeaseItem, seen *news) {
	token, works := p.working[item.LeaseID]
	switch {
	case p.isNamesakes(item):
		seen.namesakes = append(seen.namesakes, item)
	case works && item.FencingToken == token:
		seen.wanted = append(seen.wanted, item)
	case !works && !p.isFreed(item):
		p.stays[item.LeaseID] = item.Until
	}
}

// forgetEnded forgets the tenures of items that are there no more.
func (p *planner) forgetEnded(items []LeaseItem) {
	before := p.ended
	p.ended = make(map[string]ended)
	for _, item := range items {
		if end, ok := before[item.LeaseID]; ok {
			p.ended[item.LeaseID] = end
		}
	}
}

// isNamesakes tells of an own row that a later tenure has than this worker's, which it
// works under or which was taken from it.
func (p *planner) isNamesakes(item LeaseItem) bool {
	if item.isHandedOver() { // by who took it from this worker
		return false
	}
	if token, works := p.working[item.LeaseID]; works {
		return token != 0 && item.FencingToken > token
	}
	end := p.ended[item.LeaseID]
	return end.taken && item.FencingToken > end.token
}

// isFreed tells of a row that the look shows as it was before it was released.
func (p *planner) isFreed(item LeaseItem) bool {
	end := p.ended[item.LeaseID]
	return end.freed && item.FencingToken <= end.token
}

// noteEnd notes how the tenure of a work has ended.
func (p *planner) noteEnd(end workEnd) {
	token := p.working[end.leaseID]
	p.ended[end.leaseID] = ended{token: token, freed: end.freed, taken: end.lost && token != 0}
	isLeft := !end.freed && !end.rowEnd.IsZero()
	if isLeft {
		p.stays[end.leaseID] = end.rowEnd
	}
}

// unsure notes that an item may be leased to this worker until then, as the reply of a
// request wasn't heard.
func (p *planner) unsure(leaseID string, until time.Time) {
	p.stays[leaseID] = until
	delete(p.ended, leaseID)
}

// givenBack notes that an item is not reserved for this worker any more.
func (p *planner) givenBack(leaseID string) { delete(p.stays, leaseID) }

// staying returns how many items stay leased to this worker that it doesn't use, and until
// when.
func (p *planner) staying(now time.Time) (n int, last time.Time) {
	for _, until := range p.stays {
		if until.After(now) {
			n++
			last = later(last, until)
		}
	}
	return n, last
}

// leave returns the last step of a worker that ends: it withdraws its wishes, and forgets
// them.
func (p *planner) leave() step {
	last := step{kind: withdrawWishes}
	for _, wish := range p.wishes {
		last.items = append(last.items, wish.candidate())
	}
	clear(p.wishes)
	return last
}
