package lease

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// told runs what happens at which second to an outage, f for a failure, h for a request that
// hangs, and a for an answer, and returns what is told of each.
func told(events string, seconds ...int) (all []saying) {
	var o outage
	for i, second := range seconds {
		now := noon.Add(time.Duration(second) * sec)
		var s saying
		switch events[i] {
		case 'f':
			o, s = o.failed(now)
		case 'h':
			o, s = o.hung(now)
		case 'a':
			o, s = o.answered()
		}
		all = append(all, s)
	}
	return all
}

func TestOutageIsToldOfAtItsBeginAtIntervalsAndAtItsEnd(t *testing.T) {
	const quiet, begins, goesOn, over = nothingNew, outageBegins, outageGoesOn, outageIsOver
	assert.Equal(t, []saying{quiet, quiet}, told("aa", 0, 100), "without failures")
	assert.Equal(t, []saying{begins, quiet, goesOn, quiet, goesOn, over, quiet},
		told("fffffaa", 0, 9, 10, 19, 20, 21, 22))
	assert.Equal(t, []saying{begins, over, quiet, quiet, begins, over},
		told("fafafa", 0, 1, 2, 3, 11, 12), "some requests fail, and others don't")
	assert.Equal(t, []saying{begins, over, quiet, goesOn, over},
		told("faffa", 0, 1, 2, 12, 13), "one that begins soon after another")
	assert.Equal(t, []saying{begins, quiet, quiet, goesOn, over}, told("hhffa", 0, 9, 9, 10, 11))
	assert.Equal(t, []saying{begins, quiet}, told("fh", 0, 20), "what hangs is no news then")
}

func TestOutageCountsItsFailures(t *testing.T) {
	var o outage
	o, _ = o.hung(noon)
	assert.Zero(t, o.failures, "it hasn't failed yet")
	for second := range 15 {
		o, _ = o.failed(noon.Add(time.Duration(second) * sec))
	}
	assert.Equal(t, 15, o.failures)
	assert.Equal(t, noon, o.since)
	o, _ = o.answered()
	assert.Equal(t, 15, o.failures, "to be told of")
	o, _ = o.failed(noon.Add(time.Minute))
	assert.Equal(t, 1, o.failures, "of the next")
	assert.Equal(t, noon.Add(time.Minute), o.since)
	o, _ = o.answered()
	o, _ = o.failed(noon.Add(time.Minute + 2*sec))
	assert.Equal(t, 2, o.failures, "of one that goes on soon")
	assert.Equal(t, noon.Add(time.Minute), o.since)
}

func TestFaultsAreToldOfByTheirKindAtIntervals(t *testing.T) {
	f := make(faults)
	assert.True(t, f.failed(noon, "no access"))
	assert.False(t, f.failed(noon.Add(9*sec), "no access"))
	assert.True(t, f.failed(noon.Add(9*sec), "invalid"))
	assert.True(t, f.failed(noon.Add(10*sec), "no access"))
	assert.False(t, f.failed(noon.Add(10*sec), "invalid"))
	assert.True(t, f.failed(noon.Add(time.Hour), "one more"))
	assert.Len(t, f, 1, "what is old is forgotten")
}
