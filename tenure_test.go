package lease

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// tenureIn is a tenure of a Locker that begins now.
func tenureIn(l *Locker, leaseID string, d time.Duration) *tenure {
	until := time.Now().Add(d)
	a := attempt{request: requested{lessee: "w1", duration: d}}
	return l.obtained(&Lease{LeaseID: leaseID, Until: until}, a, until)
}

func TestTenureWhoseTimeIsUpIsNotRevived(t *testing.T) {
	tenure := tenureIn(&Locker{tenures: newTenures()}, "a", time.Hour)
	now := tenure.state() // as if the process was paused, and the renewal's reply came first
	now.end = time.Now()
	tenure.current.Store(&now)
	later := time.Now().Add(2 * time.Hour)
	for range 2 {
		is := tenure.extend(grant{duration: time.Hour, asked: later, until: later}, &Lease{})
		assert.Equal(t, expired, is.phase)
		assert.Zero(t, tenure.left())
		assert.Equal(t, LeaseExpiredError, tenure.over())
	}
	assert.Equal(t, int64(1), tenure.owner.Stats().Expired)
	assert.Zero(t, tenure.owner.Stats().Renewed)
}

func TestTenuresThatAreOverAreForgotten(t *testing.T) {
	l := &Locker{tenures: newTenures()}
	for i := range 1000 {
		tenureIn(l, strconv.Itoa(i), time.Nanosecond).happen(event{kind: givenUp})
	}
	assert.LessOrEqual(t, len(l.tenures.last), 17)
}
