package lease

import (
	"errors"
	"fmt"
	"reflect"
	"time"
	"unicode/utf8"
)

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
