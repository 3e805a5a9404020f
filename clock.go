package lease

import (
	"net/http"
	"sync"
	"time"
)

const (
	// resolution is that of an HTTP Date header: the server's clock was in
	// [Date, Date + resolution).
	resolution = time.Second
	// absurd is a header by which this host would be so far off that DynamoDB refuses
	// it: such a header is no clock.
	absurd = 24 * time.Hour
	// stepped is how far a wall clock is from the monotonic one when it was stepped, or
	// the machine slept.
	stepped = 100 * time.Millisecond
	// drift is one part in how many two clocks drift apart, at most.
	drift = 5000
)

// estimate is what Date headers have proved: the server's clock is ahead of this host's
// by more than lo, less than hi.
type estimate struct {
	lo, hi time.Duration
	at     time.Time // when that was so, by this host's clocks
}

// observe returns the estimate after a reply, and false if the reply contradicts it.
func (e estimate) observe(sent, received, date time.Time) (estimate, bool) {
	seen := estimate{
		lo: date.Sub(received),
		hi: date.Add(resolution).Sub(sent),
		at: received,
	}
	if seen.isAbsurd() || steppedBetween(sent, received) {
		return e, true
	}
	if e.knows(received) {
		slack := max(0, received.Sub(e.at)) / drift
		seen.lo = max(e.lo-slack, seen.lo)
		seen.hi = min(e.hi+slack, seen.hi)
	}
	return seen, seen.lo < seen.hi
}

func (e estimate) isAbsurd() bool { return e.lo > absurd || e.hi < -absurd }

// knows tells that the estimate holds at that time, by this host's clocks.
func (e estimate) knows(now time.Time) bool {
	if e.at.IsZero() {
		return false
	}
	return !steppedBetween(e.at, now)
}

// correction returns the bounds of what to add to this host's clock: 0 unless it is
// proved to be over a second off.
func (e estimate) correction() (least, most time.Duration) {
	isFine := e.lo <= resolution && e.hi >= -resolution
	if isFine {
		return 0, 0
	}
	return e.lo, e.hi
}

func steppedBetween(from, to time.Time) bool {
	wall := to.Round(0).Sub(from.Round(0))
	monotonic := to.Sub(from)
	return (wall - monotonic).Abs() > stepped
}

type clock struct {
	mu     sync.Mutex // guards all
	sure   estimate
	doubt  estimate      // what the last reply says if it contradicts sure; else the same
	heard  time.Time     // when the last reply came that could teach, whatever its header
	logged time.Duration // the correction that was last logged: the middle
}

// observe takes a reply's Date header. One that contradicts what was proved counts when
// a second one says the same. A reply whose request spanned a step of this host's clock
// says nothing: it doesn't count as heard, so that what is known was learned.
func (c *clock) observe(sent, received time.Time, header string) {
	if steppedBetween(sent, received) {
		return
	}
	c.mu.Lock()
	c.heard = received
	if date, err := http.ParseTime(header); err == nil {
		c.learn(sent, received, date)
	}
	now, before := c.noteCorrection()
	c.mu.Unlock()
	if now != before {
		logError("Clock Corrected", "clock_error", -now, "previous", -before)
	}
}

// noteCorrection returns the correction that is to be logged, which it notes, and the one
// that was. They are the same if nothing is to be said. The mutex is held.
func (c *clock) noteCorrection() (now, before time.Duration) {
	before = c.logged
	least, most := c.sure.correction()
	middle := least + (most-least)/2
	if (middle - before).Abs() >= resolution {
		c.logged = middle
	}
	return c.logged, before
}

// learn takes in what a reply says. One that contradicts what is sure is kept as doubt; the
// next that agrees with the doubt makes that the sure one.
func (c *clock) learn(sent, received, date time.Time) {
	for _, e := range []estimate{c.sure, c.doubt} {
		seen, fits := e.observe(sent, received, date)
		if !fits {
			continue
		}
		if seen != c.sure { // else the reply says nothing
			c.sure = seen
			c.doubt = seen
		}
		return
	}
	c.doubt, _ = estimate{}.observe(sent, received, date)
}

// isKnown tells that a reply was heard since this host's clock was last stepped: so it is
// corrected, or stands.
func (c *clock) isKnown(now time.Time) bool { return estimate{at: c.heard}.knows(now) }

// correction returns what to add to this host's clock: the least to compare, the most
// to write, so that nothing ends early.
func (c *clock) correction() (least, most time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.correctionAt(time.Now())
}

// correctionAt is correction with the mutex held.
func (c *clock) correctionAt(now time.Time) (least, most time.Duration) {
	if !c.sure.knows(now) {
		return 0, 0
	}
	least, most = c.sure.correction()
	doubted, _ := c.doubt.correction()
	return min(least, doubted), most
}

// times returns, in Unix nanoseconds, a moment that the server's clock is past, and
// what to write for then. Neither is known before the first reply,
// nor after a step of this host's clock until the next.
func (c *clock) times(then time.Time) (past, end int64, isKnown bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if !c.isKnown(now) {
		return 0, 0, false
	}
	least, most := c.correctionAt(now)
	return now.Add(least).UnixNano(), asSetAt(now, then).Add(most).UnixNano(), true
}

// asSetAt returns a time as this host's clock has it now, where that was stepped since the
// time was read.
func asSetAt(now, then time.Time) time.Time {
	if steppedBetween(now, then) {
		return now.Add(then.Sub(now))
	}
	return then
}
