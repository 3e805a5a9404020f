package lease

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestTimeLeftIsTheLesserOfBothClocks(t *testing.T) {
	now := time.Now()
	end := now.Add(10 * time.Second)
	assert.Equal(t, 10*time.Second, timeLeft(now, end))

	// A machine that slept: its monotonic clock stood still. (Times without it have the wall clock only.)
	slept := now.Round(0).Add(time.Minute)
	assert.Equal(t, -50*time.Second, timeLeft(slept, end))
}

func TestTheTimerLooksAtTheWallClockNowAndThen(t *testing.T) {
	long := tenure{margin: time.Hour}
	assert.Equal(t, time.Second, long.nap(10*time.Hour))
	short := tenure{margin: 300 * time.Millisecond}
	assert.Equal(t, 150*time.Millisecond, short.nap(2700*time.Millisecond))
	assert.Equal(t, time.Millisecond, short.nap(time.Millisecond), "to the very end")
}
