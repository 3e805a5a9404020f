package lease

import (
	"strconv"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
)

// slept returns the time as it reads after the machine slept for d: the wall clock went on, the
// monotonic clock stood still. No API makes such a time; it lies in the second word of a [time.Time].
func slept(t time.Time, d time.Duration) time.Time {
	t = t.Add(d)
	(*struct {
		wall      uint64
		monotonic int64
	})(unsafe.Pointer(&t)).monotonic -= int64(d)
	return t
}

func TestTimeLeftIsTheLesserOfBothClocks(t *testing.T) {
	now := time.Now()
	end := now.Add(10 * time.Second)
	assert.Equal(t, 10*time.Second, timeLeft(now, end))
	assert.Equal(t, 10*time.Second, end.Sub(slept(now, time.Minute)), "the monotonic clock alone is deceived")
	assert.Equal(t, -50*time.Second, timeLeft(slept(now, time.Minute), end), "a machine that slept")
	assert.Equal(t, 10*time.Second, timeLeft(slept(now, -time.Minute), end), "a wall clock that was set back")
}

func TestATenureWhoseTimeIsUpIsNotRevived(t *testing.T) {
	now := time.Now()
	tenure := newTenure(1, now.Add(time.Hour), time.Hour)
	tenure.timer.Stop() // as if the process was paused, and the renewal's reply came first
	tenure.end = now
	assert.False(t, tenure.extend(now.Add(2*time.Hour)))
	assert.Zero(t, tenure.check())
	assert.Equal(t, LeaseExpiredError, tenure.over())
	assert.False(t, tenure.extend(now.Add(2*time.Hour)))
}

func TestTheGreaterTokenIsTheLaterTenure(t *testing.T) {
	var ts tenures
	until := time.Now().Add(time.Hour)
	first, second, other := newTenure(1, until, time.Hour), newTenure(2, until, time.Hour), newTenure(1, until, time.Hour)
	ts.begin("a", "w1", second)
	ts.begin("a", "w1", first) // whose reply came later
	ts.begin("b", "w1", other)
	assert.Equal(t, LeaseLostError, first.over())
	assert.NoError(t, second.over())
	assert.NoError(t, other.over())

	second.finish(LeaseReleasedError)
	again := newTenure(1, until, time.Hour) // of an item that was retired and registered anew
	ts.begin("a", "w1", again)
	assert.NoError(t, again.over())
}

func TestTenuresThatAreOverAreForgotten(t *testing.T) {
	var ts tenures
	for i := range 1000 {
		tenure := newTenure(1, time.Now().Add(time.Hour), time.Hour)
		ts.begin(strconv.Itoa(i), "w1", tenure)
		tenure.finish(LeaseReleasedError)
	}
	assert.LessOrEqual(t, len(ts.last), 17)
}

func TestTheTimerLooksAtTheWallClockNowAndThen(t *testing.T) {
	long := tenure{margin: time.Hour}
	assert.Equal(t, time.Second, long.nap(10*time.Hour))
	short := tenure{margin: 300 * time.Millisecond}
	assert.Equal(t, 150*time.Millisecond, short.nap(2700*time.Millisecond))
	assert.Equal(t, time.Millisecond, short.nap(time.Millisecond), "to the very end")
}
