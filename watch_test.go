package lease

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// watchStep is something that happens to a watch, so long after noon.
type watchStep struct {
	at  time.Duration
	did func(w watch, now time.Time) watch
}

func promises(within time.Duration) func(watch, time.Time) watch {
	return func(w watch, now time.Time) watch { return w.promised(now, within) }
}

func isTold(w watch, now time.Time) watch { return w.toldToEnd(now) }

// stuckAfter lets steps happen to a watch, which is asked at its times, or, while the process
// stands still, when that goes on. It returns when after noon the work is stuck, and why; 0
// if it isn't within an hour.
func stuckAfter(w watch, pauses map[time.Duration]time.Duration, steps ...watchStep) (time.Duration, limit) {
	now := noon
	for range 10_000 {
		if !now.Before(noon.Add(hour)) {
			break
		}
		next := noon.Add(hour)
		if !w.next.IsZero() {
			next = w.next
		}
		isStep := len(steps) > 0 && !noon.Add(steps[0].at).After(next)
		if isStep {
			next = noon.Add(steps[0].at)
		}
		now = next
		for at, lasts := range pauses {
			isIn := !now.Before(noon.Add(at)) && now.Before(noon.Add(at+lasts))
			if isIn {
				now = noon.Add(at + lasts)
			}
		}
		if isStep {
			w = steps[0].did(w, now)
			steps = steps[1:]
			continue
		}
		if w.next.IsZero() {
			break
		}
		is, met := w.asked(now)
		if met.kind != noLimit {
			return now.Sub(noon), met
		}
		w = is
	}
	return 0, limit{}
}

func TestWatchSaysWhenAWorkIsStuck(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		patience time.Duration
		steps    []watchStep
		want     time.Duration // 0: never
		kind     limitKind
	}{
		"promised nothing":     {0, nil, 0, noLimit},
		"told, for ever":       {0, []watchStep{{0, isTold}}, 0, noLimit},
		"not told":             {10 * sec, nil, 0, noLimit},
		"told":                 {10 * sec, []watchStep{{5 * sec, isTold}}, 15 * sec, thePatience},
		"a promise":            {0, []watchStep{{sec, promises(10 * sec)}}, 11 * sec, aPromise},
		"a short promise":      {0, []watchStep{{sec, promises(ms)}}, sec + ms, aPromise},
		"the longest promise":  {0, []watchStep{{sec, promises(math.MaxInt64)}}, 0, noLimit},
		"a promise taken back": {0, []watchStep{{0, promises(10 * sec)}, {9 * sec, promises(0)}}, 0, noLimit},
		"a promise kept": {
			0, []watchStep{{0, promises(10 * sec)}, {9 * sec, promises(10 * sec)}}, 19 * sec, aPromise,
		},
		"a longer promise": {
			0, []watchStep{{0, promises(10 * sec)}, {9 * sec, promises(30 * sec)}}, 39 * sec, aPromise,
		},
		"a shorter promise": {
			0, []watchStep{{0, promises(hour)}, {9 * sec, promises(30 * sec)}}, 39 * sec, aPromise,
		},
		"a promise that ends before the patience": {
			time.Minute, []watchStep{{0, promises(30 * sec)}, {sec, isTold}}, 30 * sec, aPromise,
		},
		"a patience that ends before the promise": {
			10 * sec, []watchStep{{0, promises(30 * sec)}, {sec, isTold}}, 11 * sec, thePatience,
		},
		"a promise, told for ever": {
			0, []watchStep{{0, promises(30 * sec)}, {sec, isTold}}, 30 * sec, aPromise,
		},
		"a promise buys no patience": {
			10 * sec, []watchStep{{0, isTold}, {9 * sec, promises(30 * sec)}}, 10 * sec, thePatience,
		},
	} {
		got, at := stuckAfter(watch{patience: c.patience}, nil, c.steps...)
		assert.Equal(t, c.want, got, name)
		assert.Equal(t, c.kind, at.kind, name)
	}
}

// TestWatchCountsTheTimeInWhichTheProcessRuns: a pause breaks no promise, wherever it comes.
func TestWatchCountsTheTimeInWhichTheProcessRuns(t *testing.T) {
	t.Parallel()
	const within = 10 * sec
	beats := func(every time.Duration) (steps []watchStep) {
		for at := time.Duration(0); at < time.Minute; at += every {
			steps = append(steps, watchStep{at, promises(within)})
		}
		return append(steps, watchStep{time.Minute, promises(0)})
	}
	for begin := ms; begin < 30*sec; begin += 333 * ms {
		for _, lasts := range []time.Duration{20 * ms, 2 * sec, 9 * sec, 11 * sec, 5 * time.Minute} {
			pause := map[time.Duration]time.Duration{begin: lasts}

			// Work calls again 8 s after it has: what it misses is less than a second.
			steps := beats(8 * sec)
			for i := range steps {
				if steps[i].at > begin {
					steps[i].at += lasts
				}
			}
			got, _ := stuckAfter(watch{}, pause, steps...)
			assert.Zero(t, got, "a pause of %v after %v", lasts, begin)

			// Work that hangs is found, that much later at the most.
			got, _ = stuckAfter(watch{}, pause, watchStep{0, promises(within)})
			isPaused := begin < within
			if !isPaused {
				lasts = 0
			}
			assert.GreaterOrEqual(t, got, within)
			assert.LessOrEqual(t, got, within+lasts, "a pause of %v after %v", lasts, begin)
			assert.GreaterOrEqual(t, got, within+lasts-sec, "a pause of %v after %v", lasts, begin)

			got, _ = stuckAfter(watch{patience: within}, pause, watchStep{0, isTold})
			assert.LessOrEqual(t, got, within+lasts)
			assert.GreaterOrEqual(t, got, within+lasts-sec)
		}
	}
}

func TestWatchIsMovedOnByNoMoreThanItIsLate(t *testing.T) {
	t.Parallel()
	w := watch{}.promised(noon, 10*sec)
	assert.Equal(t, noon.Add(sec), w.next)
	late, met := w.asked(noon.Add(4 * sec))
	assert.Equal(t, noLimit, met.kind)
	assert.Equal(t, noon.Add(3*sec), late.heard)
	assert.Equal(t, noon.Add(5*sec), late.next)

	// It is heard of before the watch is asked: that is not in the future.
	heard := w.promised(noon.Add(4*sec), 10*sec)
	assert.Equal(t, noon.Add(4*sec), heard.heard)
	told := watch{patience: sec}.toldToEnd(noon)
	assert.Equal(t, noon.Add(100*ms), told.next)
	told = told.promised(noon.Add(5*sec), time.Minute)
	assert.Equal(t, noon.Add(4900*ms), told.told)
}

func TestWatchIsAskedOftenEnoughToSeePauses(t *testing.T) {
	t.Parallel()
	for lasts, want := range map[time.Duration]time.Duration{
		ms:       ms,
		30 * ms:  10 * ms,
		sec:      100 * ms,
		20 * sec: sec,
		hour:     sec,
	} {
		w := watch{}.promised(noon, lasts)
		assert.Equal(t, want, w.next.Sub(noon), lasts)
	}
}

func TestLimitSaysWhatWasMissed(t *testing.T) {
	t.Parallel()
	promise := limit{kind: aPromise, lasts: time.Minute}
	patience := limit{kind: thePatience, lasts: 10 * sec}
	assert.Equal(t, "no progress within 1m0s, as promised", promise.String())
	assert.Equal(t, "no return within 10s after its context was done", patience.String())
}
