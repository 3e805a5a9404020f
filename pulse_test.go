package lease

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestPulseRenewsAtIntervalsTheFirstTimeWhenItIsToldTo(t *testing.T) {
	is := termAt(held, notFreed)
	for first, want := range map[time.Duration]time.Duration{
		10 * sec: 10 * sec,
		sec:      sec,
		1:        1,
	} {
		p := newPulse(noon.Add(first), 10*sec, thirty, 0)
		assert.Equal(t, noon.Add(want), p.next(noon, is, fullJitter))
	}
	begun := noon.Add(10 * sec)
	renewal := fact{kind: renewed, at: begun, grant: grantUntil(40 * sec)}
	is = is.after(renewal)
	p := newPulse(noon.Add(10*sec), 10*sec, thirty, 0).succeeded(begun, ms)
	assert.Equal(t, noon.Add(20*sec), p.next(begun, is, fullJitter))
}

func TestPulseRenewsAfterTwoThirdsOfWhatIsLeftAtTheLatest(t *testing.T) {
	for name, c := range map[string]struct {
		begun time.Duration // after the lease began
		want  time.Duration // after begun
	}{
		"of a new lease":          {0, 20 * sec},
		"of one that is older":    {15 * sec, 10 * sec / 2},
		"of one about to end":     {24 * sec, 750 * ms},
		"of one whose end is now": {27 * sec, 0},
	} {
		p := pulse{every: time.Hour, begun: noon.Add(c.begun)}
		next := p.next(noon, termAt(held, notFreed), noJitter)
		assert.Equal(t, noon.Add(c.begun+c.want), next, name)
	}
}

// TestPulseOfALeaseThatHasBecomeShorter: its row still ends when it was to end before.
func TestPulseOfALeaseThatHasBecomeShorter(t *testing.T) {
	is := termAt(held, notFreed)
	is.duration = 3 * sec
	is.end = noon.Add(thirty - margin(is.duration))
	p := pulse{every: hour, begun: noon}
	assert.Equal(t, noon.Add(20*sec), p.next(noon, is, noJitter), "two thirds of 30 s")
}

func TestPulseOfAShortGrantIsUnhurried(t *testing.T) {
	is := termAt(held, notFreed)
	p := pulse{every: 10 * sec, begun: noon}
	for granted, want := range map[time.Duration]time.Duration{
		30 * sec: 10 * sec,
		20 * sec: 10 * sec,
		15 * sec: 5 * sec,
		13 * sec: 3 * sec,
		12 * sec: 2250 * ms, // a quarter of the 9 s that may be relied on
		4 * sec:  250 * ms,
	} {
		is.end = noon.Add(granted - margin(thirty))
		assert.Equal(t, noon.Add(want), p.next(noon, is, noJitter), "%v were granted", granted)
	}
}

func TestPulsesPausesGrowWithinBounds(t *testing.T) {
	at := noon.Add(10 * sec)
	is := termAt(held, notFreed)
	p := newPulse(noon.Add(10*sec), 10*sec, thirty, 0)
	for _, want := range []time.Duration{
		200 * ms, 400 * ms, 800 * ms, 1600 * ms,
		3200 * ms, 5 * sec, 5 * sec,
	} {
		p = p.failed(0, time.Minute)
		assert.Equal(t, at.Add(want/2), p.next(at, is, noJitter))
		assert.Equal(t, at.Add(want), p.next(at, is, fullJitter))
	}
	fresh := p.succeeded(at, ms).failed(0, time.Minute)
	assert.Equal(t, at.Add(200*ms), fresh.next(at, is, fullJitter), "they grow anew")

	p = p.failed(0, 8*sec)
	assert.Equal(t, at.Add(2*sec), p.next(at, is, fullJitter), "a quarter of what is left")
	p = p.failed(0, 0)
	assert.Equal(t, at.Add(100*ms), p.next(at, is, fullJitter), "but no less than the least")

	p = p.succeeded(at, ms)
	is = is.extended(grantUntil(40*sec), at)
	assert.Equal(t, noon.Add(20*sec), p.next(at, is, fullJitter))
}

func TestPulsesPausesHaveBoundsByTheLeasesDuration(t *testing.T) {
	for duration, want := range map[time.Duration]pulse{
		sec:         {least: 10 * ms, most: sec},
		3 * sec:     {least: 10 * ms, most: sec},
		6 * sec:     {least: 20 * ms, most: sec},
		time.Minute: {least: 200 * ms, most: 10 * sec},
	} {
		p := newPulse(noon.Add(sec), sec, duration, 0)
		assert.Equal(t, want.least, p.least, "%v", duration)
		assert.Equal(t, want.most, p.most, "%v", duration)
	}
}

// TestPulseCountsFromTheBeginOfTheLastRenewal: only a pause counts from when it has failed.
func TestPulseCountsFromTheBeginOfTheLastRenewal(t *testing.T) {
	begun := noon.Add(10 * sec)
	answered := begun.Add(4 * sec)
	is := termAt(held, notFreed).extended(grantUntil(40*sec), answered)
	p := newPulse(noon.Add(10*sec), 10*sec, thirty, 0)
	assert.Equal(t, begun.Add(10*sec), p.succeeded(begun, ms).next(answered, is, fullJitter))
	failed := p.failed(0, time.Minute)
	assert.Equal(t, answered.Add(200*ms), failed.next(answered, is, fullJitter))
}

func TestPulseLeavesTimeForTwoMoreTries(t *testing.T) {
	p := newPulse(noon.Add(10*sec), 10*sec, thirty, ms)
	assert.Equal(t, 6*sec, p.patience(18*sec))
	assert.Zero(t, p.patience(0))
}

func TestPulseIsAsPatientAsTheLastRepliesWereSlow(t *testing.T) {
	p := newPulse(noon.Add(10*sec), 10*sec, thirty, 4*sec)
	assert.Equal(t, 6*sec, p.patience(12*sec), "half as much again")
	assert.Equal(t, 5*sec, p.patience(5*sec), "but not longer than the lease")
	p = p.succeeded(noon, ms)
	assert.Equal(t, 6*sec, p.patience(12*sec), "of the last two")
	p = p.succeeded(noon, ms)
	assert.Equal(t, 4*sec, p.patience(12*sec))
}

func TestPulseIsNoLessPatientWithEachTry(t *testing.T) {
	p := newPulse(noon.Add(10*sec), 10*sec, thirty, ms).failed(6*sec, 12*sec)
	assert.Equal(t, 6*sec, p.patience(12*sec))
	assert.Equal(t, 4*sec, p.succeeded(noon, ms).patience(12*sec))
}

// noJitter and fullJitter are the bounds of random durations.
func noJitter(time.Duration) time.Duration        { return 0 }
func fullJitter(most time.Duration) time.Duration { return most }
