package lease

import "time"

// Which items a round leases: own rows, then free ones.

// classify returns the own rows that the look has shown, and notes its free items: those
// that have long been free come first. What is at rest, in use or worked on is neither.
func (p *planner) classify(now time.Time, inUse func(leaseID string) bool) (own []candidate) {
	r := &p.round
	freeSince := make(map[string]time.Time)
	var fresh []candidate
	for _, item := range r.items {
		isUsed := p.working[item.LeaseID] || inUse(item.LeaseID)
		if isUsed || p.resting[item.LeaseID].isOn(now) {
			continue
		}
		c := p.candidate(item)
		if !item.isFree(now) {
			if p.isOwn(now, item) {
				own = append(own, c)
			}
			continue
		}
		since := p.sinceFree(now, item)
		freeSince[item.LeaseID] = since
		if p.isLongFree(now, since) {
			r.free = append(r.free, c)
		} else {
			fresh = append(fresh, c)
		}
	}
	p.freeSince = freeSince
	r.longFree = len(r.free)
	r.free = append(r.free, fresh...)
	return own
}

// forget forgets what is remembered of items that are there no more.
func (p *planner) forget(items []LeaseItem) {
	resting := make(map[string]pause)
	for _, item := range items {
		if rest, ok := p.resting[item.LeaseID]; ok {
			resting[item.LeaseID] = rest
		}
	}
	p.resting = resting
}

// sinceFree tells since when looks have shown an item free that is free now.
func (p *planner) sinceFree(now time.Time, item LeaseItem) time.Time {
	if since, ok := p.freeSince[item.LeaseID]; ok {
		return since
	}
	return now
}

// isOwn tells of a row that says that this worker holds it, and is to keep it.
func (p *planner) isOwn(now time.Time, item LeaseItem) bool {
	return item.LesseeID == p.me && p.heir(now, item) == p.me
}

// isLongFree tells that an item is anybody's, beyond the share too: others may be at
// their limits.
func (p *planner) isLongFree(now, since time.Time) bool {
	return now.Sub(since) >= p.period()/5*4
}

func (p *planner) candidate(item LeaseItem) candidate {
	wish, wished := p.wishes[item.LeaseID]
	isSameTenure := wished && wish.FencingToken == item.FencingToken
	return candidate{
		LeaseItem:  item,
		unseen:     p.round.unseen,
		wished:     wished,
		handedToMe: isSameTenure && item.LesseeID == p.me,
	}
}

// takeFree decides how many free items to lease: up to this worker's share of all, and
// those that have long been free beyond it; in batches that grow, so that workers that
// start together get even shares. Where looks show nothing of others it takes what it
// can.
func (p *planner) takeFree() taking {
	r := &p.round
	free := len(r.free)
	room := p.room() - len(p.wishes)
	if r.unseen {
		return taking{candidates: r.free, want: min(free, room)}
	}
	share := divideUp(len(r.items), len(r.counts))
	mine := r.counts[p.me] + r.longFree // with all that have long been free
	fresh := min(free-r.longFree, max(0, share-mine))
	return taking{candidates: r.free, want: min(r.longFree+fresh, p.batch, room)}
}

func divideUp(n, by int) int { return (n + by - 1) / by }

// endTaking counts what was leased, and returns how many free items are left.
func (p *planner) endTaking() (left int) {
	const largestBatch = 1 << 20
	r := &p.round
	r.counts[p.me] += r.taking.got
	r.took = r.took || r.taking.got > 0
	if r.took {
		p.batch = min(2*p.batch, largestBatch)
	} else {
		p.batch = 1
	}
	return len(r.free) - r.taking.got
}

// taking is the leasing of some of the candidates, batch after batch: in place of items
// that others took first, others are tried.
type taking struct {
	candidates []candidate // not tried yet
	want       int
	got        int
	batches    int
}

// batch returns which candidates to lease now: none when the taking is at its end.
func (t *taking) batch(storeAnswers bool) []candidate {
	const mostBatches = 3
	n := min(t.want-t.got, len(t.candidates))
	if n <= 0 {
		return nil
	}

	// Of items that were not seen most may be held: they are all tried, while the store
	// answers.
	goesOn := storeAnswers && t.candidates[0].unseen
	if t.batches >= mostBatches && !goesOn {
		return nil
	}
	batch := t.candidates[:n]
	t.candidates = t.candidates[n:]
	t.batches++
	return batch
}
