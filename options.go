package lease

import "fmt"

// ShareOptions say how a worker shares. The zero value is HoldShare without a limit.
type ShareOptions struct {
	// Most is how many items it works on at once, at most; 0: no limit.
	Most int
}

// check tells what is wrong with the options.
func (o ShareOptions) check() error {
	if o.Most < 0 {
		return fmt.Errorf("lease: most is %d; want the number of items to hold, or 0 for no limit", o.Most)
	}
	return nil
}
