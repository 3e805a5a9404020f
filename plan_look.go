package lease

import "time"

// When a planner looks again.

// nextLook returns when to look again, and remembers the ends of the leases that this
// look has shown.
func (p *planner) nextLook(now time.Time) time.Time {
	wait := p.wait()
	next := now.Add(wait - wait/20 + p.upTo(wait/10))
	ends := make(map[string]int64, len(p.round.items))
	for _, item := range p.round.items {
		ends[item.LeaseID] = item.LeaseUntil
		if !p.isEnding(now, item) {
			continue
		}
		if end := item.Until.Add(time.Millisecond + p.upTo(p.pace()/10)); end.Before(next) {
			next = end
		}
	}
	p.ends = ends
	return next
}

// isEnding tells of another's lease that wasn't renewed since the last look.
func (p *planner) isEnding(now time.Time, item LeaseItem) bool {
	isOthers := item.LesseeID != p.me && item.Until.After(now)
	return isOthers && item.LeaseUntil == p.ends[item.LeaseID]
}

// wait is the usual time to the next look: short while items move, and long in large,
// quiet fleets.
func (p *planner) wait() time.Duration {
	const largeFleet = 100 // workers
	const longestSearch = 2 * time.Second
	workers := p.round.lookers
	wait := p.pace()
	if isQuiet := len(p.freeSince) == 0; isQuiet && workers > largeFleet {
		wait = wait / largeFleet * time.Duration(workers)
	}
	if p.round.left > 0 && p.room() > 0 {
		wait = min(wait, p.pace()/2)
	}
	if len(p.wishes) > 0 {
		wait = min(wait, p.pace()/3)
	}
	if p.round.took || p.round.outrun {
		return min(p.period()/30+p.upTo(p.period()/30), longestSearch)
	}

	// Those that have begun together are not to look together for ever.
	if !p.hasSettled {
		p.hasSettled = true
		wait = wait/2 + p.upTo(wait/2)
	}
	return wait
}

// upTo returns a random duration of at most that.
func (p *planner) upTo(most time.Duration) time.Duration {
	return time.Duration(p.random.Int64N(int64(most) + 1))
}

// lookFailed returns when to look again after a look that failed.
func (p *planner) lookFailed(now time.Time) time.Time {
	const most = 10 * time.Second
	wait := min(max(p.period(), minErrorWait), most)
	return now.Add(wait)
}

// requestTimeout is how long a request to lease or to wish may take of a worker whose
// leases last so long: what is late holds up the looks.
func requestTimeout(duration time.Duration) time.Duration {
	return min(max(time.Second, duration/6), 5*time.Second)
}
