package leasetest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
)

// StoreInterface is a store with all that a [lease.Locker] uses and what registers and retires
// items. [lease.LockStore] documents what each method must do; its errors are named there.
type StoreInterface interface {
	Lease(
		leaseID string, request lease.LeaseRequest, until time.Time,
	) (*lease.Lease, error)
	LeaseWithContext(
		ctx context.Context, leaseID string, request lease.LeaseRequest, until time.Time,
	) (*lease.Lease, error)
	LeaseAsSeen(
		ctx context.Context, seen lease.LeaseItem, predecessor *lease.Lease,
		request lease.LeaseRequest, until time.Time,
	) (*lease.Lease, error)

	RenewLease(l *lease.Lease, until time.Time) error
	RenewLeaseWithContext(ctx context.Context, l *lease.Lease, until time.Time) error
	RenewLeaseItem(
		ctx context.Context, l *lease.Lease, until, wanted time.Time,
	) (lease.LeaseItem, error)
	WantLease(
		ctx context.Context, seen lease.LeaseItem, wantedBy string, until time.Time,
	) error
	WithdrawWish(
		ctx context.Context, seen lease.LeaseItem, wantedBy string, until time.Time,
	) (lease.LeaseItem, error)
	HandOverLease(ctx context.Context, l *lease.Lease, until time.Time) error
	SaveAttributes(
		ctx context.Context, l *lease.Lease, attributes map[string]*dynamodb.AttributeValue,
	) error
	ReleaseLease(l *lease.Lease) error
	ReleaseLeaseWithContext(ctx context.Context, l *lease.Lease) error

	ListLeaseIDs() ([]string, error)
	ListLeaseIDsWithContext(ctx context.Context) ([]string, error)
	ScanLeaseItems(
		after string, limit int,
	) (items []lease.LeaseItem, next string, err error)
	ScanLeaseItemsWithContext(
		ctx context.Context, after string, limit int,
	) (items []lease.LeaseItem, next string, err error)

	AddLeaseID(leaseID string, attributes map[string]*dynamodb.AttributeValue) error
	AddLeaseIDWithContext(
		ctx context.Context, leaseID string, attributes map[string]*dynamodb.AttributeValue,
	) error
	RemoveLeaseID(leaseID string) error
	RemoveLeaseIDWithContext(ctx context.Context, leaseID string) error
	RemoveLease(l *lease.Lease) error
	RemoveLeaseWithContext(ctx context.Context, l *lease.Lease) error
}

var (
	_ StoreInterface = (*lease.LockStore)(nil)
	_ StoreInterface = (*Store)(nil)
)

// TestStore tests that a store does what [lease.LockStore] documents. newStore returns a store
// with a free item of each lease ID and nothing else, for the given test only; it may register
// a cleanup.
//
// Each promise is a parallel sub-test, named after it. Together they take some seconds, most of
// which they sleep. A sub-test runs inside of the function in, if one is given: in
// [testing/synctest.Test] a store that does no I/O takes no time at all.
func TestStore(
	t *testing.T,
	newStore func(t *testing.T, leaseIDs ...string) StoreInterface,
	in ...func(t *testing.T, test func(t *testing.T)),
) {
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

// promise is one sub-test: what a store promises, the items to start with, and the test of it.
type promise struct {
	says  string
	items []string
	test  func(c *conformance)
}

var promises = slices.Concat(
	leasingPromises,
	registryPromises,
	scanPromises,
	inputPromises,
	namesakePromises,
	wishPromises,
	handoverPromises,
	savePromises,
	weightPromises,
	lockerPromises,
)

// The items that sub-tests start with.
var (
	one  = numbered(1)
	five = numbered(5)
	many = numbered(40)
)

// numbered returns the lease IDs item-0, item-1 and so on.
func numbered(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("item-%d", i)
	}
	return ids
}

const item = "item-0"
