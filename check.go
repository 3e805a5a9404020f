package lease

import (
	"errors"
	"fmt"
	"reflect"
	"time"
	"unicode/utf8"
)

// requested is what a [LeaseRequest] asked for at one moment, found good. It is a
// LeaseRequest that doesn't change.
type requested struct {
	original LeaseRequest // the caller's
	lessee   string
	duration time.Duration
}

func (r requested) LesseeID() string             { return r.lessee }
func (r requested) LeaseDuration() time.Duration { return r.duration }

// period is a third of the lease: the time from look to look, and from renewal to renewal.
func (r requested) period() time.Duration { return max(r.duration/3, 1) }

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
	if duration > 0 && duration <= longestDuration {
		return nil
	}
	return fmt.Errorf("lease: LeaseDuration is %v; want more than 0, and at most 100 years: "+
		"an end lies between 1970 and 2262", duration)
}

// checkName checks a hash key's value or a LesseeID, by the bounds of DynamoDB's
// documentation.
func checkName(what, name string) error {
	const longest = 2048 // bytes
	if name == "" {
		return fmt.Errorf("lease: the %s is empty", what)
	}
	if !utf8.ValidString(name) {
		return fmt.Errorf("lease: the %s %q is not valid UTF-8", what, name)
	}
	if len(name) > longest {
		return fmt.Errorf("lease: the %s %q… has %d bytes; DynamoDB takes at most %d",
			what, name[:32], len(name), longest)
	}
	return nil
}

func checkUntil(until time.Time) error {
	year := until.UTC().Year()
	if year < 1970 || year >= 2262 {
		return fmt.Errorf("lease: the lease's end %v is not between 1970 and 2262", until.Round(0))
	}
	return nil
}

// checkLease checks a Lease that a caller gives, and returns what it was obtained with.
func checkLease(l *Lease) (requested, error) {
	if l == nil {
		return requested{}, errors.New("lease: the Lease is nil")
	}
	r, err := checkRequest(l.Request)
	if nameErr := checkName("lease ID", l.LeaseID); nameErr != nil {
		return r, nameErr
	}
	return r, err
}

// firstOf returns the first error that there is.
func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func isNil(v any) bool {
	if v == nil {
		return true
	}
	r := reflect.ValueOf(v)
	if r.Kind() != reflect.Pointer {
		return false
	}
	return r.IsNil()
}
