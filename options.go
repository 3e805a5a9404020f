package lease

import (
	"fmt"
	"time"
)

// ShareOptions say how a worker shares. The zero value is HoldShare without a limit.
type ShareOptions struct {
	// Most is how many items it works on at once, at most; 0: no limit. Works that are stuck
	// count till they return.
	Most int
	// Patience is how long a work may take to return when its context is done, for whatever
	// reason; 0: for ever. One that takes longer is stuck, see [LeaseStuckError].
	Patience time.Duration
}

// check tells what is wrong with the options.
func (o ShareOptions) check() error {
	if o.Most < 0 {
		return fmt.Errorf("lease: most is %d; want the number of items to hold, or 0 for no limit", o.Most)
	}
	if o.Patience < 0 {
		return fmt.Errorf("lease: Patience is %v; want how long a work may take to return, "+
			"or 0 for ever", o.Patience)
	}
	return nil
}
