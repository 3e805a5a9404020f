package lease

import (
	"cmp"
	"slices"
	"time"
)

// Which items a round leases: own rows, then free ones.

// classify notes the own rows that the look has shown, whoever wants them, and its free
// items: those that it takes beyond its share too come first. What is worked on is neither, and what
// is in use or at rest is only given back, if it is reserved.
func (p *planner) classify(now time.Time, inUse func(leaseID string) bool) {
	r := &p.round
	freeSince := make(map[string]time.Time)
	var fresh []candidate
	for _, item := range r.items {
		if p.isTaken(item.LeaseID) {
			continue
		}
		if inUse(item.LeaseID) {
			r.used[item.LeaseID] = true
		}
		c := p.candidate(item)
		isOfNoUse := r.used[item.LeaseID] || p.resting[item.LeaseID].isOn(now)
		if !item.isFree(now) {
			p.noteOwn(c, isOfNoUse)
			continue
		}
		if isOfNoUse {
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
	sortHeaviestFirst(r.free)
	sortHeaviestFirst(fresh)
	if i := p.nextOf(fresh); i >= 0 {
		r.free = append(r.free, fresh[i])
		fresh = slices.Delete(fresh, i, i+1)
	}
	r.beyond = len(r.free)
	r.free = append(r.free, fresh...)
}

// nextOf returns which of the free items this worker takes beyond its share at once, -1 if none:
// one that another has given up, if no third one could take it with less load.
func (p *planner) nextOf(free []candidate) int {
	lighter := p.onlyLighter()
	if lighter == "" {
		return -1
	}
	return slices.IndexFunc(free, func(c candidate) bool { return p.travels.last[c.LeaseID] == lighter })
}

// onlyLighter is the only other worker whose load is less than this one's; "" if there is none,
// or more than one.
func (p *planner) onlyLighter() (only string) {
	r := &p.round
	for other := range r.counts {
		isLighter := isLess(r.loads.of(other), r.loads.of(p.me))
		if !isLighter {
			continue
		}
		if only != "" {
			return ""
		}
		only = other
	}
	return only
}

// sortHeaviestFirst leaves those that weigh the same in random order.
func sortHeaviestFirst(candidates []candidate) {
	slices.SortStableFunc(candidates, func(a, b candidate) int {
		return cmp.Compare(b.weight(), a.weight())
	})
}

// classifyOutside notes the live rows of this worker in which it has no part: those are only
// given back, if they are reserved. Its wishes for others are to be withdrawn.
func (p *planner) classifyOutside(now time.Time, outside []LeaseItem) {
	for _, item := range outside {
		wish, isWished := p.wishes[item.LeaseID]
		if isWished && !wish.granted {
			p.round.unwanted = append(p.round.unwanted, wish.candidate())
			delete(p.wishes, item.LeaseID)
		}
		isIdle := !p.isTaken(item.LeaseID)
		if isIdle && item.isLeasedTo(p.me, now) {
			p.round.useless = append(p.round.useless, p.candidate(item))
		}
	}
}

// isTaken tells of an item that this worker has, or may have in a moment.
func (p *planner) isTaken(leaseID string) bool {
	_, works := p.working[leaseID]
	return works || p.busy[leaseID]
}

// noteOwn notes a live row that says that this worker holds it.
func (p *planner) noteOwn(c candidate, isOfNoUse bool) {
	if c.LesseeID != p.me {
		return
	}
	if isOfNoUse {
		p.round.useless = append(p.round.useless, c)
	} else {
		p.round.own = append(p.round.own, c)
	}
}

// forget forgets what is remembered of items and holders that are there no more.
func (p *planner) forget(now time.Time, items []LeaseItem) {
	resting := make(map[string]pause)
	heeding := make(map[string]heeding)
	for _, item := range items {
		if rest, ok := p.resting[item.LeaseID]; ok {
			resting[item.LeaseID] = rest
		}
		if heeds, ok := p.heeding[item.LesseeID]; ok {
			heeding[item.LesseeID] = heeds
		}
	}
	for holder, heeds := range p.heeding {
		if heeds.deaf.isOn(now) {
			heeding[holder] = heeds
		}
	}
	p.resting = resting
	p.heeding = heeding
}

// sinceFree tells since when looks have shown an item free that is free now.
func (p *planner) sinceFree(now time.Time, item LeaseItem) time.Time {
	if since, ok := p.freeSince[item.LeaseID]; ok {
		return since
	}
	return now
}

// isLongFree tells that an item is anybody's, beyond the share too: others may be at
// their limits.
func (p *planner) isLongFree(now, since time.Time) bool {
	return now.Sub(since) >= p.pace()/5*2
}

func (p *planner) candidate(item LeaseItem) candidate {
	wish, wished := p.wishes[item.LeaseID]
	isSameTenure := wished && wish.item.FencingToken == item.FencingToken
	return candidate{
		LeaseItem:  item,
		unseen:     p.round.unseen,
		wished:     wished,
		handedToMe: isSameTenure && item.LesseeID == p.me,
	}
}

// endTakingOwn returns which own rows to give back: those that were handed over to this
// worker, and that it can't use. Of others an older process of its name may make use.
func (p *planner) endTakingOwn() []candidate {
	useless := p.round.useless
	if p.room() == 0 {
		useless = append(useless, p.round.taking.candidates...)
	}
	var back []candidate
	for _, c := range useless {
		if c.handedToMe {
			back = append(back, c)
			delete(p.wishes, c.LeaseID)
		}
	}
	return back
}

// takeFree decides how many free items to lease: the heaviest first, while this worker's
// load is under the mean, and beyond it those that have long been free and one that is next;
// in batches that grow, so that workers that start together get even shares. Where looks show nothing of
// others it takes what it can.
func (p *planner) takeFree() taking {
	r := &p.round
	if r.unseen {
		return takingOf(r.free, min(len(r.free), p.room()))
	}

	// Room is kept for what was wished for. But who heeds no wish keeps no item free.
	kept := p.room() - len(p.wishes)
	room := max(kept, min(r.beyond, p.room()))
	t := takingOf(r.free, min(r.beyond+p.freshShare(), room))
	t.want = min(t.want, p.batch)
	return t
}

// freshShare is how many of those that it doesn't take beyond its share bring this worker, with
// all that it does, to the mean of the fleet.
func (p *planner) freshShare() (n int) {
	r := &p.round
	weight := r.loads.weights[p.me]
	for _, c := range r.free[:r.beyond] {
		weight += c.weight()
	}
	mean := r.loads.mean()
	for _, c := range r.free[r.beyond:] {
		if !isLess(weight/p.capacity, mean) {
			break
		}
		weight += c.weight()
		n++
	}
	return n
}

// endTakingFree counts what was leased, or may be in a moment.
func (p *planner) endTakingFree(now time.Time) {
	const largestBatch = 1 << 20
	r := &p.round
	late, lateWeight := p.late()
	got := r.taking.got + late
	r.counts[p.me] += got
	r.loads.weights[p.me] += r.taking.gotWeight + lateWeight
	r.left, r.leftover = p.countLeft(now)
	r.outrun = r.taking.outrun > 0 && !r.unseen
	r.took = r.took || got > 0
	if r.took {
		p.batch = min(2*p.batch, largestBatch)
	} else {
		p.batch = 1
	}
}

// countLeft counts the free items that were not leased, but for those that are at rest.
func (p *planner) countLeft(now time.Time) (left int, weight float64) {
	for _, c := range p.round.free {
		isLeft := !c.unseen && !p.isTaken(c.LeaseID)
		if isLeft && !p.resting[c.LeaseID].isOn(now) {
			left++
			weight += c.weight()
		}
	}
	return left, weight
}

// taking is the leasing of some of the candidates, batch after batch: in place of items
// that others took first, others are tried.
type taking struct {
	candidates []candidate        // not tried yet
	want       int                // how many to lease
	most       int                // how many it may come to, with those whose answers are late
	asked      map[string]float64 // what those weigh that were tried
	got        int
	gotWeight  float64
	outrun     int
	batches    int
}

func takingOf(candidates []candidate, want int) taking {
	return taking{candidates: candidates, want: want, most: want, asked: make(map[string]float64)}
}

// late is how many answers of the taking have not come yet, and what their items weigh.
func (p *planner) late() (n int, weight float64) {
	for leaseID := range p.busy {
		if asked, isAsked := p.round.taking.asked[leaseID]; isAsked {
			n++
			weight += asked
		}
	}
	return n, weight
}

// nextBatch returns which candidates to lease now: none when the taking is at its end.
func (p *planner) nextBatch(storeAnswers bool) []candidate {
	late, _ := p.late()
	batch := p.round.taking.batch(late, storeAnswers)
	p.ask(batch)
	return batch
}

// batch returns the next candidates, when so many answers are late.
func (t *taking) batch(late int, storeAnswers bool) []candidate {
	const mostBatches = 3
	n := min(t.want-t.got, t.most-t.got-late, len(t.candidates))
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

// ask notes that the answers to the requests for these are awaited.
func (p *planner) ask(batch []candidate) {
	for _, c := range batch {
		p.round.taking.asked[c.LeaseID] = c.weight()
		p.busy[c.LeaseID] = true
	}
}
