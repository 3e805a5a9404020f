package lease

import "time"

// pulse says when to renew, as a value: at intervals, and after failures in growing pauses.
type pulse struct {
	every   time.Duration // from the begin of one renewal to that of the next
	begun   time.Time     // when the last one was begun
	failing bool          // it failed
	pause   time.Duration // after a failure, at most: the next one is twice as long
	least   time.Duration // the shortest pause
	most    time.Duration // the longest

	took       time.Duration // how long the last reply was waited for
	tookBefore time.Duration // and the one before
	waited     time.Duration // for how long the last try was to wait, if it failed
}

// newPulse is that of a lease that lasts so long, and whose reply was waited for so long.
// Its first renewal is due then.
func newPulse(due time.Time, every, duration, took time.Duration) pulse {
	p := pulse{
		every: every,
		least: max(10*time.Millisecond, duration/300),
		most:  max(time.Second, duration/6),
	}
	return p.succeeded(due.Add(-every), took)
}

// next returns when to renew. random returns a duration from 0 up to its argument.
func (p pulse) next(now time.Time, t term, random func(time.Duration) time.Duration) time.Time {
	if p.failing {
		return now.Add(p.pause/2 + random(p.pause/2))
	}
	return p.begun.Add(min(p.every, p.latest(t)))
}

// latest returns how long after the begin of the last renewal the next is begun at the
// latest.
func (p pulse) latest(t term) time.Duration {
	row := t.rowEnd().Sub(p.begun)

	// A third of what is left leaves time for further tries, also where a lease is older
	// than its Heartbeat; and a whole period, where less was granted than asked for.
	twoThirds := row / 3 * 2
	periodBefore := row - t.period()

	// But a store that grants little isn't asked more often than this.
	floor := t.end.Sub(p.begun) / 4
	return min(twoThirds, max(periodBefore, floor))
}

// patience returns for how long to wait for the reply to a renewal, when so much is left
// of the lease: so that two more tries may follow. But where replies are slow that would
// be in vain: it is half as much again as the last replies took, and no less than the
// last try had.
func (p pulse) patience(left time.Duration) time.Duration {
	slowest := max(p.took, p.tookBefore)
	asSlow := slowest / 2 * 3
	return min(left, max(left/3, asSlow, p.waited))
}

// succeeded returns the pulse after a renewal that was begun then, and took so long.
func (p pulse) succeeded(begun time.Time, took time.Duration) pulse {
	p.begun = begun
	p.failing = false
	p.pause = p.least
	p.tookBefore = p.took
	p.took = took
	p.waited = 0
	return p
}

// failed returns the pulse after a renewal that failed, for which it was to wait so long,
// when so much is left of the lease.
func (p pulse) failed(waited, left time.Duration) pulse {
	p.failing = true
	p.waited = waited
	short := max(left/4, p.least)
	p.pause = min(2*p.pause, p.most, short)
	return p
}
