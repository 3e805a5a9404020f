package lease

import (
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

func TestTheTimerLooksAtTheWallClockNowAndThen(t *testing.T) {
	long := tenure{margin: time.Hour}
	assert.Equal(t, time.Second, long.nap(10*time.Hour))
	short := tenure{margin: 300 * time.Millisecond}
	assert.Equal(t, 150*time.Millisecond, short.nap(2700*time.Millisecond))
	assert.Equal(t, time.Millisecond, short.nap(time.Millisecond), "to the very end")
}
