package lease

import "fmt"

// ShareOptions say how a worker shares. The zero value is HoldShare without a limit.
type ShareOptions struct {
	// Most is how many items it works on at once, at most; 0: no limit.
	Most int

	// Capacity is how much load it carries next to others: one of 2 is to have twice what
	// one of 1 has. Any unit will do that all workers use; 0 counts as 1, and so does a
	// worker that says none.
	Capacity float64

	// Items tells which items it takes part in; nil: in all. Of others it leases none, wishes
	// for none, and counts none as anybody's. HoldShare asks at each look for each item, in
	// its own goroutine, so Items must soon return. The answers may change: the work on an
	// item that no longer belongs ends with [LeaseWantedError], and the item is released.
	Items func(leaseID string) bool
}

// check tells what is wrong with the options.
func (o ShareOptions) check() error {
	if o.Most < 0 {
		return fmt.Errorf("lease: most is %d; want the number of items to hold, or 0 for no limit", o.Most)
	}
	return checkCapacity(o.Capacity)
}

// checkCapacity bounds a capacity by what DynamoDB's numbers can say, with room for sums.
func checkCapacity(capacity float64) error {
	const least = 1e-100
	const most = 1e100
	isInBounds := least <= capacity && capacity <= most // NaN is not
	if capacity == 0 || isInBounds {
		return nil
	}
	return fmt.Errorf("lease: Capacity is %v; want how much load the worker carries next to "+
		"others, from %v to %v, or 0 for 1", capacity, least, most)
}
