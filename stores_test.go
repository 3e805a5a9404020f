package lease_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

// mutable is a LeaseRequest that changes.
type mutable struct {
	id       atomic.Value
	duration atomic.Int64
}

func (m *mutable) LesseeID() string { return m.id.Load().(string) }

func (m *mutable) LeaseDuration() time.Duration { return time.Duration(m.duration.Load()) }

func newMutable(id string, d time.Duration) *mutable {
	m := &mutable{}
	m.id.Store(id)
	m.duration.Store(int64(d))
	return m
}

// changing is a request whose duration is asked of a function.
type changing struct {
	id string
	f  func() time.Duration
}

func (c *changing) LesseeID() string { return c.id }

func (c *changing) LeaseDuration() time.Duration { return c.f() }

// spacious is a LeaseRequest that says its worker's capacity.
type spacious struct {
	lease.LeaseRequest
	capacity float64
}

func (s spacious) LeaseCapacity() float64 { return s.capacity }

// spoilsport is a LeaseRequest that does something in LeaseDuration once it is spoilt.
type spoilsport struct {
	spoilt atomic.Bool
	do     func()
}

func (s *spoilsport) LesseeID() string { return "w1" }

func (s *spoilsport) LeaseDuration() time.Duration {
	if s.spoilt.Load() {
		s.do()
	}
	return 9 * time.Second
}

// script is a store with the two documented methods only. It keeps the calls, and answers by its
// functions, or else leases everything.
type script struct {
	mu    sync.Mutex
	start time.Time
	ids   func() ([]string, error)
	lease func(id string, until time.Time) (*lease.Lease, error)
	calls []call
}

// beats returns when Lease was called, after the first call of it, which obtained.
func (s *script) beats() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	var at []time.Duration
	for _, c := range s.calls {
		if c.id != "" {
			at = append(at, c.at)
		}
	}
	return at[1:]
}

func (s *script) called(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, call{time.Since(s.start), id})
}

func (s *script) Lease(id string, request lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
	s.called(id)
	if s.lease != nil {
		return s.lease(id, until)
	}
	return &lease.Lease{LeaseID: id, Request: request, Until: until}, nil
}

func (s *script) ListLeaseIDs() ([]string, error) {
	s.called("")
	return s.ids()
}

// call is one call of a script: of Lease, or of ListLeaseIDs where the ID is empty.
type call struct {
	at time.Duration
	id string
}

func newScript(ids ...string) *script {
	return &script{start: time.Now(), ids: func() ([]string, error) { return ids, nil }}
}

func held(string, time.Time) (*lease.Lease, error) { return nil, lease.LeaseNotObtainedError }

// beating obtains a lease of 9 s from a script and returns both.
func beating(t *testing.T) (*script, *lease.Locker, *lease.Lease) {
	t.Helper()
	s := newScript("a")
	locker := lease.NewLocker(s)
	l, err := locker.ObtainLease(worker{"w1", 9 * time.Second})
	require.NoError(t, err)
	return s, locker, l
}

var (
	throttled = awserr.NewRequestFailure(awserr.New("ProvisionedThroughputExceededException", "slow down", nil), 400, "r1")
	denied    = awserr.NewRequestFailure(awserr.New("AccessDeniedException", "no", nil), 400, "r2")
)

// scanScript is a store that shows who holds what, in pages.
type scanScript struct {
	*script
	pages  [][]lease.LeaseItem
	lands  int // the page that follows a random place
	scans  []string
	limits []int

	renewed func(ctx context.Context) error // after a renewal
}

// LeaseWithContext is how a lease without a token is renewed.
func (s *scanScript) LeaseWithContext(ctx context.Context, id string, request lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
	l, err := s.Lease(id, request, until)
	if err == nil && s.renewed != nil {
		err = s.renewed(ctx)
	}
	return l, err
}

func (s *scanScript) LeaseAsSeen(_ context.Context, seen lease.LeaseItem, _ *lease.Lease, request lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
	return s.Lease(seen.LeaseID, request, until)
}

func (s *scanScript) RenewLeaseItem(context.Context, *lease.Lease, time.Time, time.Time) (lease.LeaseItem, error) {
	return lease.LeaseItem{}, nil
}

func (s *scanScript) WantLease(context.Context, lease.LeaseItem, string, time.Time) error { return nil }

func (s *scanScript) WithdrawWish(
	_ context.Context, seen lease.LeaseItem, _ string, _ time.Time,
) (lease.LeaseItem, error) {
	return seen, nil
}

func (s *scanScript) HandOverLease(context.Context, *lease.Lease, time.Time) error { return nil }

func (s *scanScript) SaveAttributes(context.Context, *lease.Lease, map[string]*dynamodb.AttributeValue) error {
	return nil
}

func (s *scanScript) ReleaseLeaseWithContext(context.Context, *lease.Lease) error { return nil }

func (s *scanScript) ScanLeaseItemsWithContext(_ context.Context, after string, limit int) ([]lease.LeaseItem, string, error) {
	s.called("")
	s.scans = append(s.scans, after)
	s.limits = append(s.limits, limit)
	for i := range s.pages {
		// Page i follows the place "i"; any longer string is a random place.
		if after == "" && i == 0 || after == fmt.Sprint(i) || len(after) > 1 && i == s.lands {
			next := ""
			if i+1 < len(s.pages) {
				next = fmt.Sprint(i + 1)
			}
			return s.pages[i], next, nil
		}
	}
	return nil, "", nil
}

// onePage is a store that shows those items, on one page.
func onePage(items ...lease.LeaseItem) *scanScript {
	return &scanScript{script: newScript(), pages: [][]lease.LeaseItem{items}}
}

func item(id, lessee string, ends time.Duration) lease.LeaseItem {
	i := lease.LeaseItem{LeaseID: id, LesseeID: lessee}
	if ends != 0 {
		i.Until = time.Now().Add(ends)
	}
	return i
}

// hooked is a store with a hook before each request that leases an item. It doesn't embed one:
// NewLocker is to take it whole.
type hooked struct {
	to      *leasetest.Store
	hook    func(ctx context.Context, seen lease.LeaseItem) error // nil for nothing
	applied func(ctx context.Context, seen lease.LeaseItem)       // the same, after the write
	want    func(ctx context.Context) error                       // before a wish; nil for nothing
	renewed func(l *lease.Lease)                                  // nil for nothing
	wished  func(ctx context.Context) error                       // after a wish; nil for nothing
	release func()                                                // before a release; nil for nothing
	save    func()                                                // before a save, which its context doesn't end; nil for nothing
	show    func(item *lease.LeaseItem)                           // changes what an item is shown as; nil for nothing
}

// shown returns an item as it is shown.
func (s *hooked) shown(item lease.LeaseItem) lease.LeaseItem {
	if s.show != nil {
		s.show(&item)
	}
	return item
}

func (s *hooked) LeaseAsSeen(ctx context.Context, seen lease.LeaseItem, older *lease.Lease, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
	if s.hook != nil {
		if err := s.hook(ctx, seen); err != nil {
			return nil, err
		}
	}
	if s.applied != nil {
		defer s.applied(ctx, seen)
	}
	return s.to.LeaseAsSeen(ctx, seen, older, r, until)
}

func (s *hooked) Lease(id string, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
	return s.to.Lease(id, r, until)
}

func (s *hooked) LeaseWithContext(ctx context.Context, id string, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
	return s.to.LeaseWithContext(ctx, id, r, until)
}

func (s *hooked) ListLeaseIDs() ([]string, error) { return s.to.ListLeaseIDs() }

func (s *hooked) ScanLeaseItemsWithContext(ctx context.Context, after string, limit int) ([]lease.LeaseItem, string, error) {
	items, next, err := s.to.ScanLeaseItemsWithContext(ctx, after, limit)
	for i := range items {
		items[i] = s.shown(items[i])
	}
	return items, next, err
}

func (s *hooked) RenewLeaseItem(ctx context.Context, l *lease.Lease, until, wanted time.Time) (lease.LeaseItem, error) {
	if s.renewed != nil {
		defer s.renewed(l)
	}
	item, err := s.to.RenewLeaseItem(ctx, l, until, wanted)
	return s.shown(item), err
}

func (s *hooked) ReleaseLeaseWithContext(ctx context.Context, l *lease.Lease) error {
	if s.release != nil {
		s.release()
	}
	return s.to.ReleaseLeaseWithContext(ctx, l)
}

func (s *hooked) WantLease(ctx context.Context, seen lease.LeaseItem, by string, until time.Time) error {
	if s.want != nil {
		if err := s.want(ctx); err != nil {
			return err
		}
	}
	err := s.to.WantLease(ctx, seen, by, until)
	if s.wished != nil && err == nil {
		return s.wished(ctx)
	}
	return err
}

func (s *hooked) WithdrawWish(
	ctx context.Context, seen lease.LeaseItem, by string, until time.Time,
) (lease.LeaseItem, error) {
	item, err := s.to.WithdrawWish(ctx, seen, by, until)
	return s.shown(item), err
}

func (s *hooked) HandOverLease(ctx context.Context, l *lease.Lease, until time.Time) error {
	return s.to.HandOverLease(ctx, l, until)
}

func (s *hooked) SaveAttributes(ctx context.Context, l *lease.Lease, attributes map[string]*dynamodb.AttributeValue) error {
	if s.save != nil {
		s.save()
		ctx = context.WithoutCancel(ctx)
	}
	return s.to.SaveAttributes(ctx, l, attributes)
}

// pairOfMethods is what NewLocker wants of a store.
type pairOfMethods interface {
	Lease(leaseID string, request lease.LeaseRequest, until time.Time) (*lease.Lease, error)
	ListLeaseIDs() ([]string, error)
}

// plainStore is a store of which no more is seen than NewLocker asks for.
type plainStore struct{ pairOfMethods }

// listed is a store of two methods that lists 1,000 IDs whatever happens.
type listed struct{ plainStore }

func (l *listed) ListLeaseIDs() (ids []string, err error) {
	for i := range 1000 {
		ids = append(ids, fmt.Sprint(i))
	}
	return ids, nil
}

// embedder is a store of the caller's that embeds ours and has its own Lease. Beyond its limit,
// that is an error.
type embedder struct {
	*lease.LockStore
	limit  int64 // 0 for none
	leased atomic.Int64
}

var errEnough = errors.New("enough")

func (e *embedder) Lease(id string, request lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
	if n := e.leased.Add(1); e.limit > 0 && n > e.limit {
		return nil, errEnough
	}
	return e.LockStore.Lease(id, request, until)
}

// asSeen returns an item as a scan shows it.
func asSeen(t *testing.T, s *leasetest.Store, id string) (found lease.LeaseItem) {
	t.Helper()
	items, _, err := s.ScanLeaseItems("", 0)
	require.NoError(t, err)
	for _, i := range items {
		if i.LeaseID == id {
			found = i
		}
	}
	return found
}

// work is what is done under a lease.
type work = func(ctx context.Context, l *lease.Lease) error

// sharing runs HoldShare. stop ends it, and returns how it returned.
func sharing(locker *lease.Locker, r lease.LeaseRequest, most int, work work) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- locker.HoldShare(ctx, r, most, work) }()
	return sync.OnceValue(func() error {
		cancel()
		return <-stopped
	})
}

// untilDone is work that lasts until it shall not.
func untilDone(ctx context.Context, _ *lease.Lease) error { <-ctx.Done(); return ctx.Err() }

// rowOf returns an item's row in a store in memory.
func rowOf(t *testing.T, s *leasetest.Store, id string) row {
	t.Helper()
	r, ok := s.Row(id)
	require.True(t, ok)
	return r
}

// delayed is a store in memory whose requests that lease take some milliseconds, at random: they
// overtake each other.
func delayed(s *leasetest.Store) *hooked {
	return &hooked{to: s, hook: func(context.Context, lease.LeaseItem) error {
		time.Sleep(time.Millisecond + rand.N(10*time.Millisecond))
		return nil
	}}
}

// wish has somebody wish for an item in a store in memory, until then.
func wish(t *testing.T, s *leasetest.Store, id, by string, until time.Duration) {
	t.Helper()
	require.NoError(t, s.WantLease(t.Context(), asSeen(t, s, id), by, time.Now().Add(until)))
}

// answeredLate is a store in memory that applies leases at once, and answers so much later,
// whatever becomes of the context.
func answeredLate(s *leasetest.Store, late time.Duration) *hooked {
	return &hooked{to: s, applied: func(context.Context, lease.LeaseItem) { time.Sleep(late) }}
}
