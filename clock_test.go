package lease

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

var base = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// exchange is one exchange: when it was sent for and received, and what the header said.
type exchange struct{ sent, received, date time.Duration }

func observed(replies ...exchange) *clock {
	var c clock
	for _, r := range replies {
		c.learn(base.Add(r.sent), base.Add(r.received), base.Add(r.date))
	}
	return &c
}

const (
	ms   = time.Millisecond
	sec  = time.Second
	hour = time.Hour
)

func TestEstimate(t *testing.T) {
	for name, c := range map[string]struct {
		replies []exchange
		want    time.Duration
	}{
		"nothing seen":                       {nil, 0},
		"right":                              {[]exchange{{0, 10 * ms, 0}}, 0},
		"right, at the end of a second":      {[]exchange{{999 * ms, 1001 * ms, 0}}, 0},
		"a second fast, perhaps":             {[]exchange{{1500 * ms, 1510 * ms, 0}}, 0},
		"0.9 s fast, often seen":             {[]exchange{{900 * ms, 901 * ms, 0}, {1899 * ms, 1900 * ms, 0}}, 0},
		"0.9 s slow, often seen":             {[]exchange{{100 * ms, 101 * ms, sec}, {1099 * ms, 1100 * ms, sec}}, 0},
		"a minute fast":                      {[]exchange{{60 * sec, 60*sec + 10*ms, 0}}, -59505 * ms},
		"a minute slow":                      {[]exchange{{0, 10 * ms, 60 * sec}}, 60495 * ms},
		"a minute fast, narrowed down":       {[]exchange{{60 * sec, 60*sec + 10*ms, 0}, {60900 * ms, 60910 * ms, 0}}, -59955 * ms},
		"a slow exchange proves less":        {[]exchange{{0, 90 * sec, 60 * sec}}, 0},
		"a slow exchange after a quick one":  {[]exchange{{0, 10 * ms, 60 * sec}, {sec, 90 * sec, 61 * sec}}, 60495 * ms},
		"one that contradicts":               {[]exchange{{0, 10 * ms, 0}, {sec, sec + 10*ms, 61 * sec}}, 0},
		"two that agree":                     {[]exchange{{0, 10 * ms, 0}, {sec, sec + 10*ms, 61 * sec}, {2 * sec, 2*sec + 10*ms, 62 * sec}}, 60495 * ms},
		"two that don't":                     {[]exchange{{0, 10 * ms, 0}, {sec, sec + 10*ms, 61 * sec}, {2 * sec, 2*sec + 10*ms, -60 * sec}}, 0},
		"one in between":                     {[]exchange{{0, 10 * ms, 0}, {sec, sec + 10*ms, 61 * sec}, {2 * sec, 2*sec + 10*ms, 2 * sec}, {3 * sec, 3*sec + 10*ms, 63 * sec}}, 0},
		"and back":                           {[]exchange{{0, 10 * ms, 60 * sec}, {sec, sec + 10*ms, sec}, {sec, sec + 10*ms, sec}}, 0},
		"years off is not a clock":           {[]exchange{{0, 10 * ms, 10 * 365 * 24 * hour}}, 0},
		"1970 is not a clock":                {[]exchange{{0, 10 * ms, -56 * 365 * 24 * hour}}, 0},
		"absurd after a true one":            {[]exchange{{0, 10 * ms, 60 * sec}, {sec, sec + 10*ms, -1000 * hour}}, 60495 * ms},
		"drift is no contradiction":          {[]exchange{{0, ms, 60 * sec}, {999 * ms, sec, 60 * sec}, {hour, hour + ms, hour + 59900*ms}}, 60 * sec},
		"hours off is a clock":               {[]exchange{{0, 0, 5 * hour}}, 5*hour + 500*ms},
		"an hour in a exchange proves a bit": {[]exchange{{0, hour, 2 * hour}}, 90*60*sec + 500*ms},
	} {
		t.Run(name, func(t *testing.T) {
			least, most := observed(c.replies...).sure.correction()
			assert.InDelta(t, c.want.Seconds(), (least + (most-least)/2).Seconds(), 0.5)
			if c.want == 0 {
				assert.Zero(t, least)
				assert.Zero(t, most)
			}
		})
	}
}

// TestAnUnsureCorrectionHarmsNobody: what the chaos suite found. After a slow exchange, the truth may be
// anywhere in between; what others wrote is compared with the least, ours is written with the most.
func TestAnUnsureCorrectionHarmsNobody(t *testing.T) {
	least, most := observed(exchange{60 * sec, 66 * sec, 0}).sure.correction()
	assert.Equal(t, -66*sec, least)
	assert.Equal(t, -59*sec, most)
}

// TestAHealthyHostIsNeverCorrected: whatever the phase of the server's seconds and the replies' speed.
func TestAHealthyHostIsNeverCorrected(t *testing.T) {
	for offset := -sec; offset <= sec; offset += 10 * ms { // the server's clock is ahead by this
		var c clock
		at := time.Duration(0)
		for i := range 2000 {
			at += time.Duration(i*i%977) * ms
			roundTrip := time.Duration(i*7%50) * ms
			date := (at + roundTrip/2 + offset).Truncate(sec)
			c.learn(base.Add(at), base.Add(at+roundTrip), base.Add(date))
			if least, most := c.sure.correction(); least != 0 || most != 0 {
				t.Fatalf("after %d replies of a server that is %v ahead: corrected by %v to %v", i+1, offset, least, most)
			}
		}
		assert.True(t, c.sure.lo <= offset && offset <= c.sure.hi, "%v in [%v, %v]", offset, c.sure.lo, c.sure.hi)
	}
}

func TestMissingAndMalformedHeadersChangeNothing(t *testing.T) {
	for _, header := range []string{"", "yesterday", "Mon, 99 Foo 2026 25:61:61 GMT", "0", "Thu, 01 Jan 1970 00:00:00 GMT",
		"Fri, 31 Dec 9999 23:59:59 GMT"} {
		var c clock
		c.observe(time.Now(), time.Now(), header)
		least, most := c.correction()
		assert.Zero(t, least)
		assert.Zero(t, most)
		_, _, isKnown := c.times(time.Now())
		assert.True(t, isKnown, "the host's clock stands")

		now := time.Now()
		c.observe(now, now, now.Add(-time.Minute).UTC().Format(http.TimeFormat))
		right, _ := c.correction()
		assert.InDelta(t, -60, right.Seconds(), 1)
		c.observe(now, now, header)
		least, _ = c.correction()
		assert.Equal(t, right, least, header)
	}
	var c clock
	_, _, isKnown := c.times(time.Now())
	assert.False(t, isKnown, "before the first exchange")
}

func TestAStepOfThisHostsClockForgetsThePast(t *testing.T) {
	now := time.Now()
	e, _ := estimate{}.observe(now, now, now.Add(-time.Minute))
	least, most := e.correction()
	assert.InDelta(t, -60, least.Seconds(), 1)
	assert.InDelta(t, -60, most.Seconds(), 1)
	assert.True(t, e.knows(now.Add(time.Hour)))
	later := slept(now.Add(time.Hour), -time.Minute) // set right at last
	assert.False(t, e.knows(later))
	e, _ = e.observe(later, later, later.Round(0))
	assert.True(t, e.knows(later))
	least, most = e.correction()
	assert.Zero(t, least)
	assert.Zero(t, most)

	during := slept(later.Add(time.Second), time.Minute)
	after, ok := e.observe(later, during, during)
	assert.True(t, ok)
	assert.Equal(t, e, after, "a step during a request proves nothing")
}

func TestClockKnowsNothingByAReplyThatSpansAStep(t *testing.T) {
	for _, step := range []time.Duration{5 * time.Minute, -5 * time.Minute} {
		var c clock
		now := time.Now()
		date := now.UTC().Format(http.TimeFormat)
		c.observe(slept(now, -step), now, date)
		_, _, isKnown := c.times(now)
		assert.False(t, isKnown, "what knows must have learned")
		c.observe(now, now, date)
		_, _, isKnown = c.times(now)
		assert.True(t, isKnown)
		c.observe(slept(now, -step), now, date)
		_, _, isKnown = c.times(now)
		assert.True(t, isKnown, "another reply has come since the step")
	}
}

func TestClockForgetsAtAStep(t *testing.T) {
	var c clock
	before := slept(time.Now(), time.Minute)
	c.observe(before, before, before.UTC().Format(http.TimeFormat))
	_, _, isKnown := c.times(time.Now())
	assert.False(t, isKnown)
}

func TestClockAfterAStepIsNotCorrectedByWhatWasKnownBefore(t *testing.T) {
	var c clock
	before := slept(time.Now(), time.Minute) // which is set right now
	c.observe(before, before, before.Add(-time.Minute).UTC().Format(http.TimeFormat))
	least, most := c.correction()
	assert.Zero(t, least)
	assert.Zero(t, most)
}

// TestClockWritesTheEndOfATimeThatWasReadBeforeAStep: how long that time is ahead is what the
// caller meant.
func TestClockWritesTheEndOfATimeThatWasReadBeforeAStep(t *testing.T) {
	for _, step := range []time.Duration{5 * time.Minute, -5 * time.Minute} {
		var c clock
		now := time.Now()
		c.observe(now, now, now.UTC().Format(http.TimeFormat))
		then := slept(now, -step).Add(30 * time.Second)
		_, end, _ := c.times(then)
		assert.InDelta(t, 30, time.Unix(0, end).Sub(now.Round(0)).Seconds(), 1)
	}
	var c clock
	now := time.Now()
	c.observe(now, now, now.UTC().Format(http.TimeFormat))
	readBefore := slept(now, 50*ms).Add(hour) // a clock that is kept in time is no stepped one
	for _, then := range []time.Time{now.Add(hour), now.Add(hour).Round(0), readBefore} {
		_, end, _ := c.times(then)
		assert.Equal(t, then.UnixNano(), end, "to the nanosecond if there was no step")
	}
}

// TestOneWrongDateTeachesNothing: a exchange that contradicts what was proved makes others' rows look longer
// held at most, until a second one says the same.
func TestOneWrongDateTeachesNothing(t *testing.T) {
	for _, wrong := range []time.Duration{time.Minute, -time.Minute} {
		var c clock
		now := time.Now()
		date := func(d time.Duration) string { return now.Add(d).UTC().Format(http.TimeFormat) }
		for range 3 {
			c.observe(now, now, date(0))
		}
		c.observe(now, now, date(wrong))
		least, most := c.correction()
		assert.Zero(t, most, "what is written")
		assert.InDelta(t, min(0, wrong).Seconds(), least.Seconds(), 1, "what is compared")

		c.observe(now, now, date(100*24*time.Hour)) // absurd: says nothing, of the doubt neither
		c.observe(now, now, date(wrong))
		least, most = c.correction()
		assert.InDelta(t, wrong.Seconds(), least.Seconds(), 1)
		assert.InDelta(t, wrong.Seconds(), most.Seconds(), 1)
	}
}

func TestClockCountsUntilThisHostsIsStepped(t *testing.T) {
	now := time.Now()
	minute := estimate{lo: 59 * sec, hi: 60 * sec, at: now}
	c := &clock{sure: minute, doubt: minute, heard: now}
	assert.True(t, c.isKnown(now))
	least, most := c.correction()
	assert.Equal(t, []time.Duration{59 * sec, 60 * sec}, []time.Duration{least, most})

	c.heard = slept(now, time.Minute)
	assert.False(t, c.isKnown(now))
	c.sure.at = slept(now, time.Minute)
	least, most = c.correction()
	assert.Zero(t, least)
	assert.Zero(t, most)
}

func TestClockComparesWithTheLeastAndWritesTheMost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		unsure := estimate{lo: -66 * sec, hi: -59 * sec, at: now}
		s := &LockStore{clock: clock{sure: unsure, doubt: unsure, heard: now}}
		past, end, isKnown := s.clock.times(now.Add(hour))
		assert.True(t, isKnown)
		assert.Equal(t, now.Add(-66*sec).UnixNano(), past)
		assert.Equal(t, now.Add(hour-59*sec).UnixNano(), end)

		ends := now.Add(hour).UnixNano()
		row, err := s.parse("a", attributes{untilAttribute: number(ends)})
		assert.NoError(t, err)
		assert.Equal(t, now.Add(hour+66*sec).UnixNano(), row.Until.UnixNano(), "it may be free later")
	})
}

func TestClockSaysThatItIsCorrectedWhenThatMovesByASecond(t *testing.T) {
	c := &clock{}
	for _, step := range []struct{ lo, logged time.Duration }{
		{0, 0}, {60 * sec, 60 * sec}, {60*sec + 999*ms, 60 * sec}, {61 * sec, 61 * sec}, {60*sec + ms, 61 * sec}, {0, 0},
	} {
		c.sure = estimate{lo: step.lo, hi: step.lo}
		before := c.logged
		now, was := c.noteCorrection()
		assert.Equal(t, before, was)
		assert.Equal(t, step.logged, now)
	}
}
