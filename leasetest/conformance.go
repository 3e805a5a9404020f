package leasetest

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
)

// StoreInterface is a store with all that a [lease.Locker] uses and what registers and retires items.
// [lease.LockStore] documents what each method must do; its errors are named there.
type StoreInterface interface {
	Lease(leaseID string, request lease.LeaseRequest, until time.Time) (*lease.Lease, error)
	LeaseWithContext(ctx context.Context, leaseID string, request lease.LeaseRequest, until time.Time) (*lease.Lease, error)
	LeaseAsSeen(ctx context.Context, seen lease.LeaseItem, older *lease.Lease, request lease.LeaseRequest, until time.Time) (*lease.Lease, error)
	RenewLease(l *lease.Lease, until time.Time) error
	RenewLeaseWithContext(ctx context.Context, l *lease.Lease, until time.Time) error
	RenewLeaseItem(ctx context.Context, l *lease.Lease, until, wanted time.Time) (lease.LeaseItem, error)
	WantLease(ctx context.Context, seen lease.LeaseItem, wantedBy string, until time.Time) error
	HandOverLease(ctx context.Context, l *lease.Lease, until time.Time) error
	SaveAttributes(ctx context.Context, l *lease.Lease, attributes map[string]*dynamodb.AttributeValue) error
	ReleaseLease(l *lease.Lease) error
	ReleaseLeaseWithContext(ctx context.Context, l *lease.Lease) error

	ListLeaseIDs() ([]string, error)
	ListLeaseIDsWithContext(ctx context.Context) ([]string, error)
	ScanLeaseItems(after string, limit int) (items []lease.LeaseItem, next string, err error)
	ScanLeaseItemsWithContext(ctx context.Context, after string, limit int) (items []lease.LeaseItem, next string, err error)

	AddLeaseID(leaseID string, attributes map[string]*dynamodb.AttributeValue) error
	AddLeaseIDWithContext(ctx context.Context, leaseID string, attributes map[string]*dynamodb.AttributeValue) error
	RemoveLeaseID(leaseID string) error
	RemoveLeaseIDWithContext(ctx context.Context, leaseID string) error
	RemoveLease(l *lease.Lease) error
	RemoveLeaseWithContext(ctx context.Context, l *lease.Lease) error
}

var (
	_ StoreInterface = (*lease.LockStore)(nil)
	_ StoreInterface = (*Store)(nil)
)

// TestStore tests that a store does what [lease.LockStore] documents. newStore returns a store with a
// free item of each lease ID and nothing else, for the given test only; it may register a cleanup.
//
// Each promise is a parallel sub-test, named after it. Together they take some seconds, most of which
// they sleep. A sub-test runs inside of the function in, if one is given: in [testing/synctest.Test] a
// store that does no I/O takes no time at all.
func TestStore(t *testing.T, newStore func(t *testing.T, leaseIDs ...string) StoreInterface, in ...func(t *testing.T, test func(t *testing.T))) {
	for _, promise := range promises {
		t.Run(promise.says, func(t *testing.T) {
			t.Parallel()
			run := func(t *testing.T) {
				promise.test(&conformance{T: t, StoreInterface: newStore(t, promise.items...)})
			}
			for _, in := range in {
				inner := run
				run = func(t *testing.T) { in(t, inner) }
			}
			run(t)
		})
	}
}

var promises = []struct {
	says  string
	items []string
	test  func(c *conformance)
}{
	{"a free item is obtained, and the lease shows its row", one, obtained},
	{"a held item is not obtained by another lessee: bare LeaseNotObtainedError and no lease", one, heldIsNotObtained},
	{"a held item is obtained by its holder, also with an earlier end, as a new tenure", one, ownIsObtained},
	{"an item that is not registered is not obtained, nor created", one, unregistered},
	{"an ended lease can be taken, but never before its end", one, takenAfterItsEnd},
	{"a renewal moves the end, and keeps the token", one, renewed},
	{"a late renewal never moves the end back", one, neverBack},
	{"a renewal of a lease without a token leases anew", one, renewedWithoutToken},
	{"tokens grow through takeovers, namesakes, releases and ends of leases", one, tokensGrow},
	{"an older tenure touches nothing of another lessee's", one, func(c *conformance) { olderTenure(c, "w2") }},
	{"an older tenure touches nothing of a newer one of its own lessee", one, func(c *conformance) { olderTenure(c, "w1") }},
	{"a release frees the item at once, and may be repeated", one, released},
	{"the lease of a retired item is lost", one, retiredIsLost},

	{"the user's attributes survive, and are copies", nil, attributesSurvive},
	{"an item is registered once, without attributes of the library's", one, registeredOnce},
	{"a registered item's token starts at the time in Unix milliseconds, or where its attributes say", nil, tokenStarts},
	{"an item that is retired and registered anew never repeats a token", nil, tokenNeverRepeats},
	{"an item that someone holds is retired by its holder only", one, retiredByItsHolder},
	{"listing and scanning show every item once, and who holds it", many, listed},
	{"a scan goes on after any string, in an order of its own", many, scannedFromAnywhere},
	{"a context that is done is honoured", one, cancelled},
	{"bad input is refused with an error that says what is wrong", one, badInput},

	{"LeaseAsSeen obtains what is free, and nothing that is another's", one, freeAsSeen},
	{"LeaseAsSeen of an own live row begins a tenure, and never moves the end back", one, ownAsSeen},
	{"LeaseAsSeen of an own live row that has changed since leases it as it is now", one, changedSinceSeen},
	{"until the end that LeaseAsSeen saw, the item stays with its lessee, released or not", one, seenEndIsKept},
	{"LeaseAsSeen of what the older lease left has nothing new to remember", one, nothingNewToRemember},
	{"what the older lease remembers, LeaseAsSeen of what it left remembers too", one, rememberedOn},

	{"RenewLeaseItem shows the row: holder, token, end, and who wants the item", one, renewalShowsTheRow},
	{"RenewLeaseItem prolongs a wish", one, wishProlonged},
	{"RenewLeaseItem renews as well where there is no wish to prolong", one, noWishToProlong},
	{"a wish shows in a scan, may replace another, and changes nothing else", one, wanted},
	{"a wish for what isn't as it was seen is refused: bare LeaseNotObtainedError", one, wantedAsSeen},
	{"a lease and a release remove the wish", one, wishesEnd},
	{"a handover reserves the item for who wants it, and keeps token and wish", one, handedOver},
	{"a handover is to who wants the item at that moment", one, handedOverNow},
	{"a handover to nobody, or to the holder itself, is a release", one, handedOverWithoutAWish},
	{"a handover heeds no wish that is too far ahead, and frees the item", one, wantedTooLong},
	{"a handover may be repeated, but not when the lease is lost: bare LeaseLostError", one, handedOverAgain},
	{"a handover before the end that an older process of the name relies on is a release", one, handedOverPastANamesake},
	{"a handover after the end that an older process of the name relied on reserves the item", one, handedOverAfterANamesake},

	{"SaveAttributes sets and removes attributes of the user's, and nothing else", nil, saved},
	{"SaveAttributes saves nothing when the lease is over: bare LeaseLostError", one, savedUnderTheLease},
	{"a Locker saves attributes under the lease that it holds, and learns of its loss", one, savedByLocker},

	{"of many lessees at once, never two hold an item", five, neverTwo},
	{"a Locker holds an item for longer than a lease, and hands it on", one, heldByLocker},
	{"a Locker that obtains its own item again frees it by one release", one, obtainedAgain},
	{"a release or a removal ends a Locker's lease in this process at once", one, endedInThisProcess},
	{"work that removes its own item inside of Hold is fine", one, removedInsideOfHold},
	{"a namesake's Locker gets the row, the older one loses it, and others wait for the end it relies on", one, namesakes},
	{"two Lockers share the items by HoldShare, and one that leaves leaves them to the other", five, shared},
}

var one, five, many = ids(1), ids(5), ids(40)

// ids returns the lease IDs item-0, item-1 and so on.
func ids(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("item-%d", i)
	}
	return ids
}

const item = "item-0"

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
	return c.Lease(item, terms{lessee, d}, time.Now().Add(d))
}

// obtain is lease for a minute that must succeed.
func (c *conformance) obtain(lessee string) *lease.Lease { return c.obtainFor(lessee, time.Minute) }

func (c *conformance) obtainFor(lessee string, d time.Duration) *lease.Lease {
	c.Helper()
	l, err := c.lease(lessee, d)
	if err != nil || l == nil {
		c.Fatalf("Lease by %s = %v, %v; want a lease", lessee, l, err)
	}
	return l
}

// obtainAsSeen is LeaseAsSeen for a duration from now that must succeed.
func (c *conformance) obtainAsSeen(seen lease.LeaseItem, older *lease.Lease, lessee string, d time.Duration) *lease.Lease {
	c.Helper()
	l, err := c.LeaseAsSeen(c.Context(), seen, older, terms{lessee, d}, time.Now().Add(d))
	if err != nil || l == nil {
		c.Fatalf("LeaseAsSeen(%v) by %s = %v, %v; want a lease", seen, lessee, l, err)
	}
	return l
}

// refuseAsSeen is LeaseAsSeen that must not succeed.
func (c *conformance) refuseAsSeen(seen lease.LeaseItem, lessee string) {
	c.Helper()
	l, err := c.LeaseAsSeen(c.Context(), seen, nil, terms{lessee, time.Minute}, time.Now().Add(time.Minute))
	if l != nil || err != lease.LeaseNotObtainedError {
		c.Errorf("LeaseAsSeen(%v) by %s = %v, %v; want nil and bare LeaseNotObtainedError", seen, lessee, l, err)
	}
}

// refuse is lease that must not succeed.
func (c *conformance) refuse(lessee string) {
	c.Helper()
	if l, err := c.lease(lessee, time.Minute); l != nil || err != lease.LeaseNotObtainedError {
		c.Errorf("Lease by %s = %v, %v; want nil and bare LeaseNotObtainedError", lessee, l, err)
	}
}

// scan returns all items, in order.
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

// shows checks what a scan shows of the only item.
func (c *conformance) shows(lessee string, until time.Time) {
	c.Helper()
	got := c.row()
	want := lease.LeaseItem{LeaseID: item, LesseeID: lessee, Until: until, FencingToken: got.FencingToken}
	if !until.IsZero() {
		want.LeaseUntil = until.UnixNano()
	}
	if got.LeaseID != item || got.LesseeID != lessee || !got.Until.Equal(until) || got.LeaseUntil != want.LeaseUntil ||
		lessee != "" && got.FencingToken == 0 {
		c.Errorf("a scan shows %+v; want %+v", got, want)
	}
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
