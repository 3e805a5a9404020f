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

	// Capacity is how much load it carries next to others: one of 2 is to have twice what
	// one of 1 has. It is from 1e-9 to 1e9; 0: what the LeaseRequest says, if it has a
	// method LeaseCapacity, else 1.
	Capacity float64

	// Items tells which items it takes part in; nil: in all. Of others it leases none, wishes
	// for none, and counts none as anybody's. HoldShare asks at each look for each item, in
	// its own goroutine, so Items must soon return. The answers may change: the work on an
	// item that no longer belongs ends with [LeaseWantedError], and the item is released.
	Items func(leaseID string) bool

	// Patience is how long a work may take to return when its context is done, for whatever
	// reason; 0: for ever. One that takes longer is stuck, see [LeaseStuckError].
	Patience time.Duration
}

// check tells what is wrong with the options.
func (o ShareOptions) check() error {
	if o.Most < 0 {
		return fmt.Errorf("lease: most is %d; want the number of items to hold, or 0 for no limit", o.Most)
	}
	isPatience := o.Patience == 0 || o.Patience >= shortestDuration
	if !isPatience {
		return fmt.Errorf("lease: Patience is %v; want how long a work may take to return, "+
			"a millisecond or more, or 0 for ever", o.Patience)
	}
	if o.Capacity == 0 {
		return nil
	}
	return checkCapacity("Capacity", o.Capacity)
}
