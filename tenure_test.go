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

// tenureOf is a tenure that begins now.
func tenureOf(leaseID string, d time.Duration) *tenure {
	return tenureIn(&Locker{tenures: tenures{last: make(map[holding]*tenure)}}, leaseID, d)
}

func tenureIn(l *Locker, leaseID string, d time.Duration) *tenure {
	until := time.Now().Add(d)
	return l.newTenure(&Lease{LeaseID: leaseID, Until: until}, terms{lessee: "w1", duration: d}, until, 1)
}

func TestATenureWhoseTimeIsUpIsNotRevived(t *testing.T) {
	tenure := tenureOf("a", time.Hour)
	now := tenure.state() // as if the process was paused, and the renewal's reply came first
	now.end = time.Now()
	tenure.now.Store(&now)
	later := time.Now().Add(2 * time.Hour)
	assert.False(t, tenure.extend(&Lease{Until: later}, time.Hour, later))
	assert.Zero(t, tenure.expire())
	assert.Equal(t, LeaseExpiredError, tenure.over())
	assert.False(t, tenure.extend(&Lease{Until: later}, time.Hour, later))
}

func TestTenuresThatAreOverAreForgotten(t *testing.T) {
	l := &Locker{tenures: tenures{last: make(map[holding]*tenure)}}
	for i := range 1000 {
		tenureIn(l, strconv.Itoa(i), time.Nanosecond).finish(LeaseReleasedError)
	}
	assert.LessOrEqual(t, len(l.tenures.last), 17)
}
