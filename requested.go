package lease

import (
	"errors"
	"fmt"
	"time"
)

// requested is what a [LeaseRequest] asked for at one moment, found good. It is a
// LeaseRequest that doesn't change.
type requested struct {
	original LeaseRequest // the caller's
	lessee   string
	duration time.Duration
	capacity float64 // of the worker, next to others; 0 counts as 1
}

func (r requested) LesseeID() string             { return r.lessee }
func (r requested) LeaseDuration() time.Duration { return r.duration }
func (r requested) LeaseCapacity() float64       { return positiveOrOne(r.capacity) }

// capacious is a LeaseRequest that says how much load its worker carries next to others, which
// a lease then writes into the row. It need not: a worker counts as 1.
type capacious interface {
	LeaseRequest
	LeaseCapacity() float64
}

// period is a third of the lease: the time from look to look, and from renewal to renewal.
func (r requested) period() time.Duration { return max(r.duration/3, 1) }

// shortestDuration is where a number without a unit is told from a duration: 30 is 30
// nanoseconds.
const shortestDuration = time.Millisecond

// longestDuration keeps a lease's end between 1970 and 2262, where Unix nanoseconds
// have 64 bits.
const longestDuration = 100 * 365 * 24 * time.Hour

func checkRequest(request LeaseRequest) (requested, error) {
	if r, isChecked := request.(requested); isChecked {
		return r, nil
	}
	if isNil(request) {
		return requested{}, errors.New("lease: the LeaseRequest is nil")
	}
	r := requested{original: request, lessee: request.LesseeID(), duration: request.LeaseDuration()}
	if err := checkName("LesseeID", r.lessee); err != nil {
		return r, err
	}
	if err := checkDuration(r.duration); err != nil {
		return r, err
	}
	says, isSaid := request.(capacious)
	if !isSaid {
		return r, nil
	}
	r.capacity = says.LeaseCapacity()
	return r, checkCapacity("LeaseCapacity", r.capacity)
}

func checkCapacity(name string, capacity float64) error {
	const least = 1e-9
	const most = 1e9
	isWithin := capacity >= least && capacity <= most // NaN is not
	if isWithin {
		return nil
	}
	return fmt.Errorf("lease: %s is %v; want a number from %v to %v, as 1 is the usual",
		name, capacity, least, most)
}

func checkDuration(duration time.Duration) error {
	if duration < shortestDuration {
		return fmt.Errorf("lease: LeaseDuration is %v; want a millisecond or more", duration)
	}
	if duration > longestDuration {
		return fmt.Errorf("lease: LeaseDuration is %v; want at most 100 years: "+
			"an end lies between 1970 and 2262", duration)
	}
	return nil
}
