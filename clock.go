package lease

import (
	"net/http"
	"sync"
	"time"
)

const (
	resolution = time.Second            // of an HTTP Date header: the server's clock was in [Date, Date + resolution)
	absurd     = 24 * time.Hour         // DynamoDB refuses a host that is so far off: such a header is no clock
	stepped    = 100 * time.Millisecond // a wall clock that is so far from the monotonic one was stepped, or the machine slept
	drift      = 5000                   // two clocks drift apart by less than one part in this many
)

// estimate is what Date headers have proved: the server's clock is ahead of this host's by more than lo, less than hi.
type estimate struct {
	lo, hi time.Duration
	at     time.Time // when that was so, by this host's clocks
}

// observe returns the estimate after a reply, and false if the reply contradicts it.
func (e estimate) observe(sent, received, date time.Time) (estimate, bool) {
	seen := estimate{lo: date.Sub(received), hi: date.Add(resolution).Sub(sent), at: received}
	if steppedBetween(sent, received) || seen.lo > absurd || seen.hi < -absurd {
		return e, true
	}
	if e.knows(received) {
		slack := max(0, received.Sub(e.at)) / drift
		seen.lo, seen.hi = max(e.lo-slack, seen.lo), min(e.hi+slack, seen.hi)
	}
	return seen, seen.lo < seen.hi
}

func (e estimate) knows(now time.Time) bool { return !e.at.IsZero() && !steppedBetween(e.at, now) }

// correction returns the bounds of what to add to this host's clock: 0 unless it is proved to be over a second off.
func (e estimate) correction() (least, most time.Duration) {
	if e.lo <= resolution && e.hi >= -resolution {
		return 0, 0
	}
	return e.lo, e.hi
}

func steppedBetween(from, to time.Time) bool {
	wall, monotonic := to.Round(0).Sub(from.Round(0)), to.Sub(from)
	return (wall - monotonic).Abs() > stepped
}

type clock struct {
	mu     sync.Mutex // guards all
	sure   estimate
	doubt  estimate      // what the last reply says if it contradicts sure; else the same
	heard  time.Time     // when the last reply came, whatever its header
	logged time.Duration // the correction that was last logged: the middle
}

// observe takes a reply's Date header. One that contradicts what was proved counts when a second one says the same.
func (c *clock) observe(sent, received time.Time, header string) {
	c.mu.Lock()
	c.heard = received
	if date, err := http.ParseTime(header); err == nil {
		c.learn(sent, received, date)
	}
	least, most := c.sure.correction()
	correction, before := least+(most-least)/2, c.logged
	changed := (correction - before).Abs() >= resolution
	if changed {
		c.logged = correction
	}
	c.mu.Unlock()
	if changed {
		logError("Clock Corrected", "clock_error", -correction, "previous", -before)
	}
}

func (c *clock) learn(sent, received, date time.Time) {
	for _, e := range [...]estimate{c.sure, c.doubt} {
		if seen, ok := e.observe(sent, received, date); ok {
			if seen != c.sure { // else the reply says nothing
				c.sure, c.doubt = seen, seen
			}
			return
		}
	}
	c.doubt, _ = estimate{}.observe(sent, received, date)
}

func (c *clock) known() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return estimate{at: c.heard}.knows(time.Now())
}

// correction returns what to add to this host's clock: the least to compare, the most to write, so that nothing ends early.
func (c *clock) correction() (least, most time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.sure.knows(time.Now()) {
		return 0, 0
	}
	least, most = c.sure.correction()
	doubted, _ := c.doubt.correction()
	return min(least, doubted), most
}

// times returns, in Unix nanoseconds, a moment that the server's clock is past, and what to write for then.
func (c *clock) times(then time.Time) (now, end int64) {
	least, most := c.correction()
	return time.Now().Add(least).UnixNano(), then.Add(most).UnixNano()
}
