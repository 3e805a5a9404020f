package lease

import (
	"net/http"
	"sync"
	"time"
)

// An HTTP Date header names a second: the server's clock was in [Date, Date + resolution).
const resolution = time.Second

const (
	absurd  = 24 * time.Hour         // DynamoDB refuses a host that is so far off: such a header is no clock
	stepped = 100 * time.Millisecond // a wall clock that is so far from the monotonic one was stepped, or the machine slept
	drift   = 5000                   // two clocks drift apart by less than one part in this many
)

// estimate is what the replies' Date headers have proved about the server's clock: it is ahead of
// this host's wall clock by more than lo and less than hi. The zero estimate knows nothing.
type estimate struct {
	lo, hi time.Duration
	at     time.Time // when that was so, by this host's clocks; zero when nothing is known
}

// observe returns the estimate after a reply with the given Date that was sent for and received at
// those moments of this host's clock, and false if the reply contradicts it.
func (e estimate) observe(sent, received, date time.Time) (estimate, bool) {
	if steppedBetween(sent, received) {
		return e, true
	}
	seen := estimate{lo: date.Sub(received), hi: date.Add(resolution).Sub(sent), at: received}
	if seen.lo > absurd || seen.hi < -absurd {
		return e, true
	}
	if !e.knows(received) {
		return seen, true
	}
	slack := max(0, received.Sub(e.at)) / drift
	both := estimate{lo: max(e.lo-slack, seen.lo), hi: min(e.hi+slack, seen.hi), at: received}
	return both, both.lo < both.hi
}

// knows tells whether the estimate says anything about the clocks as they are at now.
func (e estimate) knows(now time.Time) bool { return !e.at.IsZero() && !steppedBetween(e.at, now) }

// correction returns the bounds of what to add to this host's clock: both are 0 unless it is proved that the
// clocks are more than the header's resolution apart.
func (e estimate) correction() (least, most time.Duration) {
	if e.at.IsZero() || e.lo <= resolution && e.hi >= -resolution {
		return 0, 0
	}
	return e.lo, e.hi
}

func steppedBetween(from, to time.Time) bool {
	wall, monotonic := to.Round(0).Sub(from.Round(0)), to.Sub(from)
	return (wall - monotonic).Abs() > stepped
}

// clock keeps the estimate of one store. It is safe for concurrent use.
type clock struct {
	mu     sync.Mutex
	sure   estimate
	doubt  estimate      // what the last reply says if it contradicts sure; else zero
	heard  time.Time     // when the last reply came, whatever its header
	logged time.Duration // the correction that was last logged: the middle
}

// observe takes the Date header of a reply. A missing or absurd one changes nothing. One that contradicts
// what earlier replies proved may be wrong itself: it counts when a second one says the same.
func (c *clock) observe(sent, received time.Time, header string) {
	date, err := http.ParseTime(header)
	c.mu.Lock()
	c.heard = received
	if err == nil {
		c.learn(sent, received, date)
	}
	least, most := c.sure.correction()
	correction, before := least+(most-least)/2, c.logged
	changed := (correction-before).Abs() >= resolution || (correction == 0) != (before == 0)
	if changed {
		c.logged = correction
	}
	c.mu.Unlock()
	if changed {
		logError("Clock Corrected", "clock_error", -correction, "previous", -before)
	}
}

func (c *clock) learn(sent, received, date time.Time) {
	if sure, ok := c.sure.observe(sent, received, date); ok {
		c.sure, c.doubt = sure, estimate{}
		return
	}
	if !c.doubt.at.IsZero() {
		if seen, ok := c.doubt.observe(sent, received, date); ok {
			c.sure, c.doubt = seen, estimate{}
			return
		}
	}
	c.doubt, _ = estimate{}.observe(sent, received, date)
}

// known tells whether a reply has come since the start, or since the last step of this host's clock.
func (c *clock) known() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.heard.IsZero() && !steppedBetween(c.heard, time.Now())
}

// correction returns what to add to this host's clock: the least, to compare with what others wrote, so that
// nothing of theirs is taken early, and the most, to write, so that nothing of ours ends early.
func (c *clock) correction() (least, most time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if c.sure.knows(now) {
		least, most = c.sure.correction()
	}
	if c.doubt.knows(now) {
		doubted, _ := c.doubt.correction()
		least = min(least, doubted)
	}
	return least, most
}

// now is a time that the server's clock is past, in Unix nanoseconds.
func (c *clock) now() int64 {
	least, _ := c.correction()
	return time.Now().Add(least).UnixNano()
}

// written is what to write for a time of this host's clock.
func (c *clock) written(t time.Time) int64 {
	_, most := c.correction()
	return t.Add(most).UnixNano()
}
