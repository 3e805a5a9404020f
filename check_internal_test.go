package lease

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestInputLeaseNeedsAnItemAndARequest(t *testing.T) {
	request := requested{lessee: "w1", duration: time.Hour}
	for says, l := range map[string]*Lease{
		"the Lease is nil":     nil,
		"lease ID is empty":    {Request: request},
		"LeaseRequest is nil":  {LeaseID: "a"},
		"LeaseDuration is 0s;": {LeaseID: "a", Request: lasting(0)},
	} {
		_, err := checkLease(l)
		assert.ErrorContains(t, err, says)
	}
	got, err := checkLease(&Lease{LeaseID: "a", Request: request})
	assert.NoError(t, err)
	assert.Equal(t, request, got)
}

// lasting is a request of "w1" for leases that last so long.
type lasting time.Duration

func (l lasting) LesseeID() string { return "w1" }

func (l lasting) LeaseDuration() time.Duration { return time.Duration(l) }

func TestInputRequestHasAPeriod(t *testing.T) {
	for duration, want := range map[time.Duration]time.Duration{1: 1, 2: 1, 3: 1, 6: 2, 30 * sec: 10 * sec} {
		assert.Equal(t, want, requested{duration: duration}.period())
	}
}

func TestInputRequestHasACapacity(t *testing.T) {
	for capacity, want := range map[float64]float64{0: 1, 1: 1, 0.5: 0.5, 4: 4} {
		assert.Equal(t, want, requested{capacity: capacity}.LeaseCapacity())
	}
	got, err := checkRequest(lasting(time.Hour))
	assert.NoError(t, err)
	assert.Equal(t, 1.0, got.LeaseCapacity())
}

func TestInputStoreThatIsNoGoodIsFoundOutAtOnce(t *testing.T) {
	for says, store := range map[string]lockerStore{
		"has no store":         nil,
		"the LockStore is nil": (*LockStore)(nil),
		"DynamoDB is nil":      &LockStore{},
		"is a nil":             (*counting)(nil),
	} {
		_, err := storeOf(store)
		assert.ErrorContains(t, err, says)
	}
}
