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
	capacity float64 // 0: 1
}

func (r requested) LesseeID() string             { return r.lessee }
func (r requested) LeaseDuration() time.Duration { return r.duration }

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
	return r, checkDuration(r.duration)
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
