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
