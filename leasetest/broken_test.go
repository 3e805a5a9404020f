package leasetest_test

import (
	"context"
	"maps"
	"reflect"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

type attributeValues = map[string]*dynamodb.AttributeValue

var background = context.Background()

// broken is a Store of which some methods break a promise: those whose function is set. It doesn't
// embed the Store: a Locker would then use two methods only.
type broken struct {
	lists
	Store *leasetest.Store

	lease     func(c leaseCall) (*lease.Lease, error)
	asSeen    func(c asSeenCall) (*lease.Lease, error)
	renew     func(l *lease.Lease, until time.Time) error
	renewItem func(l *lease.Lease, until, wanted time.Time) (lease.LeaseItem, error)
	release   func(l *lease.Lease) error
	want      func(seen lease.LeaseItem, by string, until time.Time) error
	withdraw  func(w withdrawal) (lease.LeaseItem, error)
	handOver  func(l *lease.Lease, until time.Time) error
	save      func(l *lease.Lease, attributes attributeValues) error
	scan      func(after string) ([]lease.LeaseItem, string, error)
	get       func(id string) (lease.LeaseItem, error)
	add       func(id string, attributes attributeValues) error
	retire    func(l *lease.Lease) error
	remove    func(id string) error
}

func newBroken(leaseIDs ...string) *broken {
	s := leasetest.NewStore(leaseIDs...)
	return &broken{lists: s, Store: s}
}

// lists are the methods that no mutant changes.
type lists interface {
	ListLeaseIDs() ([]string, error)
	ListLeaseIDsWithContext(ctx context.Context) ([]string, error)
	AddLeaseIDWithContext(ctx context.Context, leaseID string, attributes attributeValues) error
	RemoveLeaseIDWithContext(ctx context.Context, leaseID string) error
	RemoveLeaseWithContext(ctx context.Context, l *lease.Lease) error
}

// leaseCall is a call of LeaseWithContext.
type leaseCall struct {
	ctx     context.Context
	id      string
	request lease.LeaseRequest
	until   time.Time
}

func (c leaseCall) on(s *leasetest.Store) (*lease.Lease, error) {
	return s.LeaseWithContext(c.ctx, c.id, c.request, c.until)
}

// hasNilRequest tells whether only the Store knows what to say of the request.
func (c leaseCall) hasNilRequest() bool {
	return c.request == nil || reflect.ValueOf(c.request).Kind() == reflect.Pointer
}

// asSeenCall is a call of LeaseAsSeen.
type asSeenCall struct {
	leaseCall
	seen        lease.LeaseItem
	predecessor *lease.Lease
}

func (c asSeenCall) on(s *leasetest.Store) (*lease.Lease, error) {
	return s.LeaseAsSeen(c.ctx, c.seen, c.predecessor, c.request, c.until)
}

// unbound is the call that forgets what was seen.
func (c asSeenCall) unbound() leaseCall { return c.leaseCall }

// isOver tells whether only the Store knows what to say of the context.
func isOver(ctx context.Context) bool { return ctx == nil || ctx.Err() != nil }

func (b *broken) LeaseWithContext(
	ctx context.Context, id string, r lease.LeaseRequest, until time.Time,
) (*lease.Lease, error) {
	c := leaseCall{ctx, id, r, until}
	if b.lease == nil || c.hasNilRequest() {
		return c.on(b.Store)
	}
	return b.lease(c)
}

func (b *broken) Lease(
	id string, r lease.LeaseRequest, until time.Time,
) (*lease.Lease, error) {
	return b.LeaseWithContext(background, id, r, until)
}

func (b *broken) LeaseAsSeen(
	ctx context.Context, seen lease.LeaseItem, predecessor *lease.Lease,
	r lease.LeaseRequest, until time.Time,
) (*lease.Lease, error) {
	if b.lease != nil {
		return b.LeaseWithContext(ctx, seen.LeaseID, r, until)
	}
	c := asSeenCall{leaseCall{ctx, seen.LeaseID, r, until}, seen, predecessor}
	if b.asSeen == nil || ctx == nil || c.hasNilRequest() {
		return c.on(b.Store)
	}
	return b.asSeen(c)
}

func (b *broken) RenewLeaseWithContext(
	ctx context.Context, l *lease.Lease, until time.Time,
) error {
	if b.renew == nil || ctx == nil || l == nil {
		return b.Store.RenewLeaseWithContext(ctx, l, until)
	}
	return b.renew(l, until)
}

func (b *broken) RenewLease(l *lease.Lease, until time.Time) error {
	return b.RenewLeaseWithContext(background, l, until)
}

func (b *broken) RenewLeaseItem(
	ctx context.Context, l *lease.Lease, until, wanted time.Time,
) (lease.LeaseItem, error) {
	if b.renew != nil {
		return lease.LeaseItem{}, b.RenewLeaseWithContext(ctx, l, until)
	}
	if b.renewItem == nil || isOver(ctx) || l == nil || until.IsZero() {
		return b.Store.RenewLeaseItem(ctx, l, until, wanted)
	}
	return b.renewItem(l, until, wanted)
}

func (b *broken) WantLease(
	ctx context.Context, seen lease.LeaseItem, by string, until time.Time,
) error {
	if b.want == nil || isOver(ctx) || until.IsZero() {
		return b.Store.WantLease(ctx, seen, by, until)
	}
	return b.want(seen, by, until)
}

// withdrawal is a call of WithdrawWish.
type withdrawal struct {
	seen  lease.LeaseItem
	by    string
	until time.Time
}

func (w withdrawal) on(s *leasetest.Store) (lease.LeaseItem, error) {
	return s.WithdrawWish(background, w.seen, w.by, w.until)
}

func (b *broken) WithdrawWish(
	ctx context.Context, seen lease.LeaseItem, by string, until time.Time,
) (lease.LeaseItem, error) {
	if b.withdraw == nil || isOver(ctx) || seen.LeaseID == "" || until.IsZero() {
		return b.Store.WithdrawWish(ctx, seen, by, until)
	}
	return b.withdraw(withdrawal{seen, by, until})
}

func (b *broken) HandOverLease(ctx context.Context, l *lease.Lease, until time.Time) error {
	isBad := l == nil || l.Request == nil || until.IsZero()
	if b.handOver == nil || isOver(ctx) || isBad {
		return b.Store.HandOverLease(ctx, l, until)
	}
	return b.handOver(l, until)
}

func (b *broken) SaveAttributes(
	ctx context.Context, l *lease.Lease, attributes attributeValues,
) error {
	if b.save == nil || isOver(ctx) || l == nil {
		return b.Store.SaveAttributes(ctx, l, attributes)
	}
	return b.save(l, attributes)
}

func (b *broken) ReleaseLeaseWithContext(ctx context.Context, l *lease.Lease) error {
	if b.release == nil || ctx == nil || l == nil || l.Request == nil {
		return b.Store.ReleaseLeaseWithContext(ctx, l)
	}
	return b.release(l)
}

func (b *broken) ReleaseLease(l *lease.Lease) error {
	return b.ReleaseLeaseWithContext(background, l)
}

func (b *broken) RemoveLease(l *lease.Lease) error {
	if b.retire == nil || l == nil {
		return b.Store.RemoveLease(l)
	}
	return b.retire(l)
}

func (b *broken) RemoveLeaseID(id string) error {
	if b.remove == nil {
		return b.Store.RemoveLeaseID(id)
	}
	return b.remove(id)
}

func (b *broken) AddLeaseID(id string, attributes attributeValues) error {
	if b.add == nil {
		return b.Store.AddLeaseID(id, attributes)
	}
	return b.add(id, attributes)
}

func (b *broken) ScanLeaseItemsWithContext(
	ctx context.Context, after string, limit int,
) ([]lease.LeaseItem, string, error) {
	if b.scan == nil || isOver(ctx) {
		return b.Store.ScanLeaseItemsWithContext(ctx, after, limit)
	}
	return b.scan(after)
}

func (b *broken) ScanLeaseItems(
	after string, limit int,
) ([]lease.LeaseItem, string, error) {
	return b.ScanLeaseItemsWithContext(background, after, limit)
}

func (b *broken) GetLeaseItem(ctx context.Context, id string) (lease.LeaseItem, error) {
	if b.get == nil || isOver(ctx) {
		return b.Store.GetLeaseItem(ctx, id)
	}
	return b.get(id)
}

// now returns what a scan shows of an item; the zero LeaseItem if there is none.
func (b *broken) now(id string) lease.LeaseItem {
	items, _, _ := b.Store.ScanLeaseItems("", 0)
	for _, item := range items {
		if item.LeaseID == id {
			return item
		}
	}
	return lease.LeaseItem{}
}

// isThere tells whether the item is registered.
func (b *broken) isThere(id string) bool {
	_, ok := b.Store.Row(id)
	return ok
}

// isOf tells whether the item is held by the lease's tenure.
func (b *broken) isOf(l *lease.Lease) bool {
	row := b.now(l.LeaseID)
	return row.LesseeID == l.Request.LesseeID() && row.FencingToken == l.FencingToken()
}

// give makes an item one that a lessee holds until then by that token, and nobody wants.
func (b *broken) give(id, lessee string, token int64, until time.Time) {
	b.Store.Retire(id)
	_ = b.Store.AddLeaseID(id, tokenAttribute(token-1))
	_, _ = b.Store.Lease(id, for30s(lessee), until)
}

// free makes an item one that anybody may lease a moment later.
func (b *broken) free(id string) {
	b.Store.Steal(id, "nobody", 0)
	time.Sleep(time.Nanosecond)
}

// untenured returns a lease of the same token that has no tenure.
func untenured(l *lease.Lease) *lease.Lease { return withToken(l, l.FencingToken()) }

func withToken(l *lease.Lease, token int64) *lease.Lease {
	return &lease.Lease{
		LeaseID:         l.LeaseID,
		Request:         l.Request,
		AttributeValues: tokenAttribute(token),
	}
}

func tokenAttribute(token int64) attributeValues {
	return attributeValues{"FencingToken": {N: aws.String(strconv.FormatInt(token, 10))}}
}

// leases makes a mutant of Lease, and of LeaseAsSeen, which then forgets what was seen.
func leases(mutant func(b *broken, c leaseCall) (*lease.Lease, error)) func(b *broken) {
	return func(b *broken) {
		b.lease = func(c leaseCall) (*lease.Lease, error) { return mutant(b, c) }
	}
}

// leasesAsSeen makes a mutant of LeaseAsSeen.
func leasesAsSeen(mutant func(b *broken, c asSeenCall) (*lease.Lease, error)) func(b *broken) {
	return func(b *broken) {
		b.asSeen = func(c asSeenCall) (*lease.Lease, error) { return mutant(b, c) }
	}
}

// saves makes a mutant that changes what is saved, and by which lease.
func saves(
	change func(b *broken, l *lease.Lease, attributes attributeValues) *lease.Lease,
) func(b *broken) {
	return func(b *broken) {
		b.save = func(l *lease.Lease, attributes attributeValues) error {
			attributes = maps.Clone(attributes)
			l = change(b, l, attributes)
			return b.Store.SaveAttributes(background, l, attributes)
		}
	}
}

// handover is a call of HandOverLease by the tenure that has the row.
type handover struct {
	l     *lease.Lease
	row   lease.LeaseItem
	until time.Time
}

// handsOver makes a mutant that does something to the row before it hands that over; if that
// returns true, instead.
func handsOver(before func(b *broken, h handover) bool) func(b *broken) {
	return func(b *broken) {
		b.handOver = func(l *lease.Lease, until time.Time) error {
			h := handover{l: l, row: b.now(l.LeaseID), until: until}
			if b.isOf(l) && before(b, h) {
				return nil
			}
			return b.Store.HandOverLease(background, l, until)
		}
	}
}

// withdraws makes a mutant of WithdrawWish.
func withdraws(mutant func(b *broken, w withdrawal) (lease.LeaseItem, error)) func(b *broken) {
	return func(b *broken) {
		b.withdraw = func(w withdrawal) (lease.LeaseItem, error) { return mutant(b, w) }
	}
}

// wants makes a mutant that wishes for another item than was seen. now is what there is.
func wants(change func(seen, now lease.LeaseItem) lease.LeaseItem) func(b *broken) {
	return func(b *broken) {
		b.want = func(seen lease.LeaseItem, by string, until time.Time) error {
			seen = change(seen, b.now(seen.LeaseID))
			return b.Store.WantLease(background, seen, by, until)
		}
	}
}

// renewal is a call of RenewLeaseItem.
type renewal struct {
	l             *lease.Lease
	until, wanted time.Time
}

func (r renewal) on(s *leasetest.Store) (lease.LeaseItem, error) {
	return s.RenewLeaseItem(background, r.l, r.until, r.wanted)
}

// renewsItem makes a mutant of RenewLeaseItem.
func renewsItem(mutant func(b *broken, r renewal) (lease.LeaseItem, error)) func(b *broken) {
	return func(b *broken) {
		b.renewItem = func(l *lease.Lease, until, wanted time.Time) (lease.LeaseItem, error) {
			return mutant(b, renewal{l, until, wanted})
		}
	}
}

// remembersNamesakes makes a mutant that handsOver, with the tokens of the tenures that LeaseAsSeen
// began of an own row.
func remembersNamesakes(before func(b *broken, h handover) bool) func(b *broken) {
	return func(b *broken) {
		remembers := make(map[int64]bool)
		b.asSeen = func(c asSeenCall) (*lease.Lease, error) {
			l, err := c.on(b.Store)
			if err == nil && c.seen.LesseeID == c.request.LesseeID() {
				remembers[l.FencingToken()] = true
			}
			return l, err
		}
		handsOver(func(b *broken, h handover) bool {
			return remembers[h.row.FencingToken] && before(b, h)
		})(b)
	}
}
