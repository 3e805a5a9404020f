package lease

import "time"

// What a planner leaves alone for a while: items whose work has ended, and holders that heed no wish.

// pause is a time for which something is left alone.
type pause struct {
	until time.Time
	grown time.Duration // how long the last one was that grew; 0: none did
}

func (p pause) isOn(now time.Time) bool { return p.until.After(now) }

// steady returns a pause from now on that lasts so long, and leaves alone how it grows.
func (p pause) steady(now time.Time, lasts time.Duration) pause {
	p.until = now.Add(lasts)
	return p
}

// growing returns a pause from now on that is twice as long as the last one that grew,
// within bounds.
func (p pause) growing(now time.Time, least, most time.Duration) pause {
	doubled := min(2*p.grown, most)
	p.grown = max(least, doubled)
	p.until = now.Add(p.grown)
	return p
}

// workEnd is how the work on an item came to its end.
type workEnd struct {
	leaseID   string
	lasted    time.Duration
	toldToEnd bool      // to end: as the item is wanted, or this worker is to stop
	wished    bool      // this worker had wished for the item
	failed    bool      // the work returned an error
	lost      bool      // the item was lost or retired
	freed     bool      // the item was released
	rowEnd    time.Time // until when its row stays leased otherwise; zero: it isn't this worker's
}

// workEnded leaves an item to others for a while whose work has ended, unless it was lost.
func (p *planner) workEnded(now time.Time, end workEnd) (rest pause) {
	p.noteEnd(end)
	delete(p.working, end.leaseID)
	p.noteRestless(now, end)
	if end.lost {
		return pause{}
	}
	rest = p.restAfter(now, end)
	p.resting[end.leaseID] = rest
	return rest
}

const longestRest = 5 * time.Minute

func (p *planner) restAfter(now time.Time, end workEnd) pause {
	rest := p.resting[end.leaseID]
	if p.isLong(end.lasted) {
		rest.grown = 0
	}
	if end.failed && !end.toldToEnd {
		return rest.growing(now, p.pace(), longestRest)
	}
	return rest.steady(now, p.pace())
}

// noteRestless has the worker wish for nothing for a while, if its work soon ended on what
// it had wished for: others could have gone on with that.
func (p *planner) noteRestless(now time.Time, end workEnd) {
	if p.isLong(end.lasted) {
		p.restless = pause{}
		return
	}
	endedByItself := !end.toldToEnd && !end.lost
	if end.wished && endedByItself {
		p.restless = p.restless.growing(now, p.pace(), longestRest)
	}
}

// isLong tells of work that doesn't end soon.
func (p *planner) isLong(lasted time.Duration) bool {
	return lasted >= max(time.Minute, 9*p.pace())
}
