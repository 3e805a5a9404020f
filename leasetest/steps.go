package leasetest

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/intercom/lease"
)

// Sub-tests may run on a machine that stalls. What must still hold when they look lasts long,
// and an end that they wait for is waited for.
const (
	long  = 5 * time.Minute
	brief = 300 * time.Millisecond

	clockError = 2 * time.Second // of a store that learns its time from a server's Date headers
)

func fromNow(d time.Duration) time.Time { return time.Now().Add(d) }

// sleepPast sleeps until a moment after t.
func sleepPast(t time.Time) { time.Sleep(time.Until(t) + 20*time.Millisecond) }

// terms are a LeaseRequest.
type terms struct {
	lessee   string
	duration time.Duration
}

func (t terms) LesseeID() string             { return t.lessee }
func (t terms) LeaseDuration() time.Duration { return t.duration }

// conformance is one sub-test on a store of its own.
type conformance struct {
	*testing.T
	StoreInterface
}

// lease leases the item for a duration from now.
func (c *conformance) lease(lessee string, d time.Duration) (*lease.Lease, error) {
	return c.Lease(item, terms{lessee, d}, fromNow(d))
}

// obtain is lease for long that must succeed.
func (c *conformance) obtain(lessee string) *lease.Lease {
	c.Helper()
	return c.obtainFor(lessee, long)
}

// obtainFor is lease that must succeed.
func (c *conformance) obtainFor(lessee string, d time.Duration) *lease.Lease {
	c.Helper()
	l, err := c.lease(lessee, d)
	if err != nil || l == nil {
		c.Fatalf("Lease by %s = %v, %v; want a lease", lessee, l, err)
	}
	return l
}

// obtainAsSeen is LeaseAsSeen for a duration from now that must succeed.
func (c *conformance) obtainAsSeen(
	seen lease.LeaseItem, predecessor *lease.Lease, lessee string, d time.Duration,
) *lease.Lease {
	c.Helper()
	l, err := c.LeaseAsSeen(c.Context(), seen, predecessor, terms{lessee, d}, fromNow(d))
	if err != nil || l == nil {
		c.Fatalf("LeaseAsSeen(%v) by %s = %v, %v; want a lease", seen, lessee, l, err)
	}
	return l
}

// refuse is lease that must not succeed.
func (c *conformance) refuse(lessee string) {
	c.Helper()
	l, err := c.lease(lessee, long)
	if l != nil || err != lease.LeaseNotObtainedError {
		c.Errorf("Lease by %s = %v, %v; want nil and bare LeaseNotObtainedError", lessee, l, err)
	}
}

// refuseAsSeen is LeaseAsSeen that must not succeed.
func (c *conformance) refuseAsSeen(seen lease.LeaseItem, lessee string) {
	c.Helper()
	l, err := c.LeaseAsSeen(c.Context(), seen, nil, terms{lessee, long}, fromNow(long))
	if l != nil || err != lease.LeaseNotObtainedError {
		c.Errorf("LeaseAsSeen(%v) by %s = %v, %v; want nil and bare LeaseNotObtainedError",
			seen, lessee, l, err)
	}
}

// takeOver leases the item once the lease of another has ended.
func (c *conformance) takeOver(lessee string, end time.Time) *lease.Lease {
	c.Helper()
	var got *lease.Lease
	c.onceEnded(end, lease.LeaseNotObtainedError, func() (err error) {
		got, err = c.lease(lessee, long)
		return err
	})
	return got
}

// onceEnded calls until that succeeds: not before the end of a lease, and soon after. Until
// then the call fails with the error tooEarly.
func (c *conformance) onceEnded(end time.Time, tooEarly error, call func() error) {
	c.Helper()
	for {
		asked := time.Now()
		err := call()
		if err == nil {
			if left := time.Until(end); left > 0 {
				c.Fatalf("it succeeded %v before the lease ended", left)
			}
			return
		}
		if !errors.Is(err, tooEarly) {
			c.Fatal(err)
		}
		if late := asked.Sub(end); late > clockError {
			c.Fatalf("%v after the lease ended: %v", late, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// scan returns all items after a place, in order.
func (c *conformance) scan(after string) (all []lease.LeaseItem) {
	c.Helper()
	for {
		items, next, err := c.ScanLeaseItems(after, 0)
		if err != nil {
			c.Fatalf("ScanLeaseItems(%q): %v", after, err)
		}
		all = append(all, items...)
		if next == "" {
			return all
		}
		after = next
	}
}

// row returns what a scan shows of the only item.
func (c *conformance) row() lease.LeaseItem {
	c.Helper()
	items := c.scan("")
	if len(items) != 1 {
		c.Fatalf("a scan shows %v; want one item", items)
	}
	return items[0]
}

// shows checks what a scan shows of the only item; a zero time stands for the end of a free
// one.
func (c *conformance) shows(lessee string, until time.Time) {
	c.Helper()
	got := c.row()
	c.equal("LeaseID in a scan", got.LeaseID, item)
	c.equal("LesseeID in a scan", got.LesseeID, lessee)
	c.equal("LeaseUntil in a scan", got.LeaseUntil, unixNano(until))
	if !got.Until.Equal(until) {
		c.Errorf("Until in a scan = %v; want %v", got.Until, until)
	}
	if lessee != "" && got.FencingToken == 0 {
		c.Errorf("a scan shows no FencingToken of %+v", got)
	}
}

// showsWish checks which wish a scan shows; a zero time stands for none.
func (c *conformance) showsWish(by string, until time.Time) {
	c.Helper()
	got := c.row()
	c.equal("WantedBy in a scan", got.WantedBy, by)
	c.equal("WantedUntil in a scan", got.WantedUntil, unixNano(until))
}

// showsNoItem checks that a scan shows an empty store.
func (c *conformance) showsNoItem() {
	c.Helper()
	c.equal("the number of items in a scan", len(c.scan("")), 0)
}

// unixNano is 0 for a zero time.
func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func (c *conformance) noError(what string, err error) {
	c.Helper()
	if err != nil {
		c.Errorf("%s: %v", what, err)
	}
}

// bareLost checks that err is the documented sentinel itself.
func (c *conformance) bareLost(what string, err error) {
	c.Helper()
	if err != lease.LeaseLostError {
		c.Errorf("%s = %v; want bare LeaseLostError", what, err)
	}
}

func (c *conformance) equal(what string, got, want any) {
	c.Helper()
	if !reflect.DeepEqual(got, want) {
		c.Errorf("%s = %v; want %v", what, got, want)
	}
}

// The calls that most sub-tests make, which must succeed.

func (c *conformance) release(what string, l *lease.Lease) {
	c.Helper()
	c.noError("ReleaseLease "+what, c.ReleaseLease(l))
}

func (c *conformance) renew(what string, l *lease.Lease, until time.Time) {
	c.Helper()
	c.noError("RenewLease "+what, c.RenewLease(l, until))
}
