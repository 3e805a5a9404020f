package lease

import "time"

// What becomes of wishes, and what a planner makes of who heeds them.

// wishMade is a wish of this worker.
type wishMade struct {
	item    LeaseItem // as it was when it was wished for, but for a later token of its holder's
	at      time.Time // when
	until   time.Time // until when it was to count
	sure    bool      // it was written
	granted bool      // the item was handed over to this worker
}

// candidate is what to withdraw of it.
func (w wishMade) candidate() candidate { return candidate{LeaseItem: w.item, wishUntil: w.until} }

// heeding is how this worker's wishes fared with a holder. One wish at each is out at
// first, and one more with each that it grants: so who heeds none costs one item of the
// reckoning, and who is gone again soon has held up little.
type heeding struct {
	granted int   // how many wishes, since the last one that was not
	deaf    pause // in which nothing is wished of it, as it let a wish run out
}

// wished notes a wish that was written, or may have been.
func (p *planner) wished(now time.Time, c candidate, sure bool) {
	p.wishes[c.LeaseID] = wishMade{item: c.LeaseItem, at: now, until: c.wishUntil, sure: sure}
}

// allowance is how many more wishes a holder is to get.
func (p *planner) allowance(now time.Time, holder string) int {
	heeds := p.heeding[holder]
	if heeds.deaf.isOn(now) {
		return 0
	}
	out := 0
	for _, wish := range p.wishes {
		if wish.item.LesseeID == holder && !wish.granted {
			out++
		}
	}
	return 1 + heeds.granted - out
}

// listen finds out what became of the wishes.
func (p *planner) listen(now time.Time, items []LeaseItem) {
	before := p.wishes
	p.wishes = make(map[string]wishMade)
	for _, item := range items {
		wish, ok := before[item.LeaseID]
		if !ok {
			continue
		}
		switch p.fateOf(now, wish, item) {
		case wishPending:
			if item.WantedBy == p.me { // Its holder may have been restarted: that is a new tenure.
				wish.item.FencingToken = item.FencingToken
			}
			p.wishes[item.LeaseID] = wish
		case wishGranted:
			if !wish.granted {
				p.noteGrant(wish.item.LesseeID)
			}
			wish.granted = true
			p.wishes[item.LeaseID] = wish
		case wishUnheard:
			p.passOver(now, wish.item.LesseeID)
		}
	}
}

func (p *planner) noteGrant(holder string) {
	heeds := p.heeding[holder]
	heeds.granted++
	heeds.deaf = pause{}
	p.heeding[holder] = heeds
}

// passOver notes that a holder let a wish run out: it is passed over, for longer each time.
func (p *planner) passOver(now time.Time, holder string) {
	heeds := p.heeding[holder]
	heeds.granted = 0
	if !heeds.deaf.isOn(now) {
		heeds.deaf = heeds.deaf.growing(now, 8*p.period(), 64*p.period())
	}
	p.heeding[holder] = heeds
}

// wishFate is what became of a wish.
type wishFate int

const (
	wishGone    wishFate = iota // the item is another's or nobody's, or another wants it
	wishPending                 // its holder has it still, and the wish counts
	wishGranted                 // it was handed over to this worker
	wishUnheard                 // its holder has it still, and the wish is over or gone
)

func (p *planner) fateOf(now time.Time, wish wishMade, item LeaseItem) wishFate {
	if item.isFree(now) {
		return wishGone
	}
	if item.LesseeID == p.me {
		return wishGranted
	}
	if item.LesseeID != wish.item.LesseeID {
		return wishGone
	}
	isWanted := item.isWanted(now)
	if isWanted && item.WantedBy == p.me {
		return wishPending
	}
	if isWanted {
		return wishGone
	}
	return p.fateOfMissing(now, wish)
}

// fateOfMissing is that of a wish that the row doesn't show, though the same lessee holds
// the item still, whatever the token: it may renew by leasing anew.
func (p *planner) fateOfMissing(now time.Time, wish wishMade) wishFate {
	// A look may show a row as it was a moment before.
	isYoung := now.Sub(wish.at) < min(time.Second, p.pace()/4)
	if isYoung {
		return wishPending
	}
	if !wish.sure {
		return wishGone
	}
	return wishUnheard
}
