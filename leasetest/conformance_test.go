package leasetest_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
	"github.com/intercom/lease/leasetest"
)

func newMemory(_ *testing.T, leaseIDs ...string) leasetest.StoreInterface {
	return leasetest.NewStore(leaseIDs...)
}

func TestMemoryStoreConforms(t *testing.T) {
	leasetest.TestStore(t, newMemory, synctest.Test)
}

func TestMemoryStoreConformsPageByPage(t *testing.T) {
	leasetest.TestStore(t, func(_ *testing.T, leaseIDs ...string) leasetest.StoreInterface {
		s := leasetest.NewStore(leaseIDs...)
		s.SetPageSize(3)
		return s
	}, synctest.Test)
}

func TestMemoryStoreConformsInRealTime(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: left out, it sleeps")
	}
	leasetest.TestStore(t, newMemory)
}

var tables atomic.Int64

func TestLockStoreConforms(t *testing.T) {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	client := ddblocal.ForTest(t).Client(&aws.Config{HTTPClient: &http.Client{Transport: transport}})
	leasetest.TestStore(t, func(t *testing.T, leaseIDs ...string) leasetest.StoreInterface {
		table := fmt.Sprintf("conformance-%d-%d", time.Now().UnixNano(), tables.Add(1))
		store := lease.NewLockStore(client, table, "id")
		require.NoError(t, store.EnsureTable())
		t.Cleanup(func() {
			_, err := client.DeleteTable(&dynamodb.DeleteTableInput{TableName: &table})
			assert.NoError(t, err)
		})
		for _, id := range leaseIDs {
			require.NoError(t, store.AddLeaseID(id, nil))
		}
		return store
	})
}

// broken is a Store of which some methods break a promise. It doesn't embed the Store: a Locker
// would then use two methods only.
type broken struct {
	lists
	Store   *leasetest.Store
	lease   func(ctx context.Context, id string, r lease.LeaseRequest, until time.Time) (*lease.Lease, error)
	asSeen  func(ctx context.Context, seen lease.LeaseItem, older *lease.Lease, r lease.LeaseRequest, until time.Time) (*lease.Lease, error)
	renew   func(l *lease.Lease, until time.Time) error
	release func(l *lease.Lease) error
	retire  func(l *lease.Lease) error
	remove  func(id string) error
	add     func(id string, attributes map[string]*dynamodb.AttributeValue) error
	scan    func(after string) ([]lease.LeaseItem, string, error)

	renewItem func(l *lease.Lease, until, wanted time.Time) (lease.LeaseItem, error)
	want      func(seen lease.LeaseItem, by string, until time.Time) error
	handOver  func(l *lease.Lease, until time.Time) error
	save      func(l *lease.Lease, attributes map[string]*dynamodb.AttributeValue) error
}

// lists are the methods that no mutant changes.
type lists interface {
	ListLeaseIDs() ([]string, error)
	ListLeaseIDsWithContext(ctx context.Context) ([]string, error)
	AddLeaseIDWithContext(ctx context.Context, leaseID string, attributes map[string]*dynamodb.AttributeValue) error
	RemoveLeaseIDWithContext(ctx context.Context, leaseID string) error
	RemoveLeaseWithContext(ctx context.Context, l *lease.Lease) error
}

func (b *broken) RenewLeaseItem(ctx context.Context, l *lease.Lease, until, wanted time.Time) (lease.LeaseItem, error) {
	switch {
	case b.renew != nil:
		return lease.LeaseItem{}, b.RenewLeaseWithContext(ctx, l, until)
	case b.renewItem == nil || ctx == nil || ctx.Err() != nil || l == nil || until.IsZero():
		return b.Store.RenewLeaseItem(ctx, l, until, wanted)
	}
	return b.renewItem(l, until, wanted)
}

func (b *broken) WantLease(ctx context.Context, seen lease.LeaseItem, by string, until time.Time) error {
	if b.want == nil || ctx == nil || ctx.Err() != nil || until.IsZero() {
		return b.Store.WantLease(ctx, seen, by, until)
	}
	return b.want(seen, by, until)
}

func (b *broken) HandOverLease(ctx context.Context, l *lease.Lease, until time.Time) error {
	if b.handOver == nil || ctx == nil || ctx.Err() != nil || l == nil || l.Request == nil || until.IsZero() {
		return b.Store.HandOverLease(ctx, l, until)
	}
	return b.handOver(l, until)
}

func (b *broken) SaveAttributes(ctx context.Context, l *lease.Lease, attributes map[string]*dynamodb.AttributeValue) error {
	if b.save == nil || ctx == nil || ctx.Err() != nil || l == nil {
		return b.Store.SaveAttributes(ctx, l, attributes)
	}
	return b.save(l, attributes)
}

// saves makes a mutant that changes what is saved, and by which lease.
func saves(change func(b *broken, l *lease.Lease, attributes map[string]*dynamodb.AttributeValue) *lease.Lease) func(b *broken) {
	return func(b *broken) {
		b.save = func(l *lease.Lease, attributes map[string]*dynamodb.AttributeValue) error {
			attributes = maps.Clone(attributes)
			l = change(b, l, attributes)
			return b.Store.SaveAttributes(background, l, attributes)
		}
	}
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

// give makes an item one that a lessee holds until then by that token, and nobody wants.
func (b *broken) give(id, lessee string, token int64, until time.Time) {
	b.Store.Retire(id)
	_ = b.Store.AddLeaseID(id, tokenAttribute(token-1))
	_, _ = b.Store.Lease(id, for30s(lessee), until)
}

// handsOver makes a mutant that does something to the row of an own lease before it hands that
// over; if that returns true, instead.
func handsOver(before func(b *broken, l *lease.Lease, row lease.LeaseItem, until time.Time) bool) func(b *broken) {
	return func(b *broken) {
		b.handOver = func(l *lease.Lease, until time.Time) error {
			row := b.now(l.LeaseID)
			if row.LesseeID == l.Request.LesseeID() && row.FencingToken == l.FencingToken() && before(b, l, row, until) {
				return nil
			}
			return b.Store.HandOverLease(background, l, until)
		}
	}
}

// wants makes a mutant that wishes for another item than was seen. now is what there is.
func wants(change func(seen, now lease.LeaseItem) lease.LeaseItem) func(b *broken) {
	return func(b *broken) {
		b.want = func(seen lease.LeaseItem, by string, until time.Time) error {
			return b.Store.WantLease(background, change(seen, b.now(seen.LeaseID)), by, until)
		}
	}
}

// renewsItem makes a mutant of RenewLeaseItem.
func renewsItem(renew func(b *broken, l *lease.Lease, until, wanted time.Time) (lease.LeaseItem, error)) func(b *broken) {
	return func(b *broken) {
		b.renewItem = func(l *lease.Lease, until, wanted time.Time) (lease.LeaseItem, error) {
			return renew(b, l, until, wanted)
		}
	}
}

var background = context.Background()

func newBroken(leaseIDs ...string) *broken {
	s := leasetest.NewStore(leaseIDs...)
	return &broken{lists: s, Store: s}
}

func (b *broken) LeaseWithContext(ctx context.Context, id string, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
	if b.lease == nil || r == nil || reflect.ValueOf(r).Kind() == reflect.Pointer {
		return b.Store.LeaseWithContext(ctx, id, r, until)
	}
	return b.lease(ctx, id, r, until)
}

func (b *broken) Lease(id string, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
	return b.LeaseWithContext(context.Background(), id, r, until)
}

func (b *broken) LeaseAsSeen(ctx context.Context, seen lease.LeaseItem, older *lease.Lease, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
	switch {
	case b.lease != nil:
		return b.LeaseWithContext(ctx, seen.LeaseID, r, until)
	case b.asSeen == nil || ctx == nil || r == nil || reflect.ValueOf(r).Kind() == reflect.Pointer:
		return b.Store.LeaseAsSeen(ctx, seen, older, r, until)
	}
	return b.asSeen(ctx, seen, older, r, until)
}

func (b *broken) RenewLeaseWithContext(ctx context.Context, l *lease.Lease, until time.Time) error {
	if b.renew == nil || ctx == nil || l == nil {
		return b.Store.RenewLeaseWithContext(ctx, l, until)
	}
	return b.renew(l, until)
}

func (b *broken) RenewLease(l *lease.Lease, until time.Time) error {
	return b.RenewLeaseWithContext(context.Background(), l, until)
}

func (b *broken) ReleaseLeaseWithContext(ctx context.Context, l *lease.Lease) error {
	if b.release == nil || ctx == nil || l == nil || l.Request == nil {
		return b.Store.ReleaseLeaseWithContext(ctx, l)
	}
	return b.release(l)
}

func (b *broken) ReleaseLease(l *lease.Lease) error {
	return b.ReleaseLeaseWithContext(context.Background(), l)
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

func (b *broken) AddLeaseID(id string, attributes map[string]*dynamodb.AttributeValue) error {
	if b.add == nil {
		return b.Store.AddLeaseID(id, attributes)
	}
	return b.add(id, attributes)
}

func (b *broken) ScanLeaseItemsWithContext(ctx context.Context, after string, limit int) ([]lease.LeaseItem, string, error) {
	if b.scan == nil || ctx == nil || ctx.Err() != nil {
		return b.Store.ScanLeaseItemsWithContext(ctx, after, limit)
	}
	return b.scan(after)
}

func (b *broken) ScanLeaseItems(after string, limit int) ([]lease.LeaseItem, string, error) {
	return b.ScanLeaseItemsWithContext(context.Background(), after, limit)
}

func (b *broken) until(id string) time.Time {
	row, _ := b.Store.Row(id)
	n, _ := strconv.ParseInt(*row["LeaseUntil"].N, 10, 64)
	return time.Unix(0, n)
}

// untenured returns a lease of the same token that has no tenure.
func untenured(l *lease.Lease) *lease.Lease { return withToken(l, l.FencingToken()) }

func withToken(l *lease.Lease, token int64) *lease.Lease {
	return &lease.Lease{LeaseID: l.LeaseID, Request: l.Request, AttributeValues: tokenAttribute(token)}
}

func tokenAttribute(token int64) map[string]*dynamodb.AttributeValue {
	return map[string]*dynamodb.AttributeValue{"FencingToken": {N: aws.String(strconv.FormatInt(token, 10))}}
}

// These are broken in one way, by which they break more than one promise.

func leasesUnbound(b *broken) {
	b.asSeen = func(ctx context.Context, seen lease.LeaseItem, _ *lease.Lease, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
		return b.Store.LeaseWithContext(ctx, seen.LeaseID, r, until)
	}
}

func remembersNothing(b *broken) {
	b.asSeen = func(ctx context.Context, seen lease.LeaseItem, _ *lease.Lease, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
		older := withToken(&lease.Lease{LeaseID: seen.LeaseID, Request: r}, seen.FencingToken)
		return b.Store.LeaseAsSeen(ctx, seen, older, r, until)
	}
}

func remembersItsOwn(b *broken) {
	b.asSeen = func(ctx context.Context, seen lease.LeaseItem, _ *lease.Lease, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
		return b.Store.LeaseAsSeen(ctx, seen, nil, r, until)
	}
}

func retiresOnly(b *broken) {
	b.retire = func(l *lease.Lease) error { return b.Store.RemoveLease(untenured(l)) }
}

func startsTokensAt41(b *broken) {
	b.add = func(id string, attributes map[string]*dynamodb.AttributeValue) error {
		if attributes == nil {
			attributes = tokenAttribute(41)
		}
		return b.Store.AddLeaseID(id, attributes)
	}
}

// mutants are ways to break a store, with the promise that each breaks.
var mutants = map[string]struct {
	breaks string
	mutate func(b *broken)
}{
	"takes what is held": {"a held item is not obtained by another lessee", func(b *broken) {
		b.lease = func(ctx context.Context, id string, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
			if _, ok := b.Store.Row(id); ok && b.Store.Holder(id) != r.LesseeID() {
				b.Store.Steal(id, "nobody", 0)
				time.Sleep(time.Nanosecond)
			}
			return b.Store.LeaseWithContext(ctx, id, r, until)
		}
	}},
	"wraps the sentinel": {"a held item is not obtained by another lessee", func(b *broken) {
		b.lease = func(ctx context.Context, id string, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
			l, err := b.Store.LeaseWithContext(ctx, id, r, until)
			if err != nil {
				err = fmt.Errorf("lease of %q: %w", id, err)
			}
			return l, err
		}
	}},
	"creates rows": {"an item that is not registered is not obtained", func(b *broken) {
		b.lease = func(ctx context.Context, id string, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
			_ = b.Store.AddLeaseID(id, nil)
			return b.Store.LeaseWithContext(ctx, id, r, until)
		}
	}},
	"takes an item early": {"an ended lease can be taken, but never before its end", func(b *broken) {
		b.lease = func(ctx context.Context, id string, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
			if _, ok := b.Store.Row(id); ok && time.Until(b.until(id)) < 50*time.Millisecond {
				b.Store.Steal(id, "nobody", 0)
				time.Sleep(time.Nanosecond)
			}
			return b.Store.LeaseWithContext(ctx, id, r, until)
		}
	}},
	"never lets go": {"an ended lease can be taken", func(b *broken) {
		b.lease = func(ctx context.Context, id string, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
			l, err := b.Store.LeaseWithContext(ctx, id, r, until.Add(time.Hour))
			if err == nil {
				l.Until = until
			}
			return l, err
		}
	}},
	"checks, then acts": {"of many lessees at once, never two hold an item", func(b *broken) {
		b.lease = func(ctx context.Context, id string, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
			if _, ok := b.Store.Row(id); !ok || b.Store.Holder(id) != "" {
				return nil, lease.LeaseNotObtainedError
			}
			time.Sleep(time.Millisecond)
			b.Store.Steal(id, r.LesseeID(), time.Until(until))
			row, _ := b.Store.Row(id)
			return &lease.Lease{LeaseID: id, Request: r, Until: until, AttributeValues: row}, nil
		}
	}},
	"takes what is held, as seen": {"LeaseAsSeen obtains what is free, and nothing that is another's", func(b *broken) {
		b.asSeen = func(ctx context.Context, seen lease.LeaseItem, _ *lease.Lease, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
			if _, ok := b.Store.Row(seen.LeaseID); ok && b.Store.Holder(seen.LeaseID) != r.LesseeID() {
				b.Store.Steal(seen.LeaseID, r.LesseeID(), time.Minute)
			}
			return b.Store.LeaseWithContext(ctx, seen.LeaseID, r, until)
		}
	}},
	"shortens what was seen":      {"LeaseAsSeen of an own live row begins a tenure, and never moves the end back", leasesUnbound},
	"leases unbound":              {"a namesake's Locker gets the row, the older one loses it, and others wait", leasesUnbound},
	"remembers nothing":           {"until the end that LeaseAsSeen saw, the item stays with its lessee", remembersNothing},
	"forgets the namesake":        {"a namesake's Locker gets the row, the older one loses it, and others wait", remembersNothing},
	"remembers its own":           {"LeaseAsSeen of what the predecessor left has nothing new to remember", remembersItsOwn},
	"takes itself for a namesake": {"a Locker that obtains its own item again frees it by one release", remembersItsOwn},
	"forgets in the second step": {"what the predecessor remembers, LeaseAsSeen of what it left remembers too", func(b *broken) {
		b.asSeen = func(ctx context.Context, seen lease.LeaseItem, older *lease.Lease, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
			if older != nil && older.FencingToken() == seen.FencingToken {
				return b.Store.LeaseWithContext(ctx, seen.LeaseID, r, until)
			}
			return b.Store.LeaseAsSeen(ctx, seen, older, r, until)
		}
	}},
	"refuses what has changed": {"LeaseAsSeen of an own live row that has changed since leases it as it is now", func(b *broken) {
		b.asSeen = func(ctx context.Context, seen lease.LeaseItem, older *lease.Lease, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
			if _, ok := b.Store.Row(seen.LeaseID); ok && b.until(seen.LeaseID).UnixNano() != seen.LeaseUntil {
				return nil, lease.LeaseNotObtainedError
			}
			return b.Store.LeaseAsSeen(ctx, seen, older, r, until)
		}
	}},
	"shortens what has changed": {"LeaseAsSeen of an own live row that has changed since leases it as it is now", func(b *broken) {
		b.asSeen = func(ctx context.Context, seen lease.LeaseItem, older *lease.Lease, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
			if _, ok := b.Store.Row(seen.LeaseID); ok && b.until(seen.LeaseID).UnixNano() != seen.LeaseUntil {
				return b.Store.LeaseWithContext(ctx, seen.LeaseID, r, until)
			}
			return b.Store.LeaseAsSeen(ctx, seen, older, r, until)
		}
	}},
	"rests once": {"until the end that LeaseAsSeen saw, the item stays with its lessee", func(b *broken) {
		b.release = func(l *lease.Lease) error {
			if b.Store.Holder(l.LeaseID) == "" {
				return lease.LeaseLostError
			}
			return b.Store.ReleaseLease(l)
		}
	}},
	"ignores contexts": {"a context that is done is honoured", func(b *broken) {
		b.lease = func(ctx context.Context, id string, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
			if ctx != nil {
				ctx = context.WithoutCancel(ctx)
			}
			return b.Store.LeaseWithContext(ctx, id, r, until)
		}
	}},
	"accepts a long duration": {"bad input is refused", func(b *broken) {
		b.lease = func(ctx context.Context, id string, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
			if r.LeaseDuration() > 100*365*24*time.Hour {
				r = for30s(r.LesseeID())
			}
			return b.Store.LeaseWithContext(ctx, id, r, until)
		}
	}},
	"accepts any duration": {"bad input is refused", func(b *broken) {
		b.lease = func(ctx context.Context, id string, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
			if r.LeaseDuration() < 0 {
				r = for30s(r.LesseeID())
			}
			return b.Store.LeaseWithContext(ctx, id, r, until)
		}
	}},
	"shares its attributes": {"the user's attributes survive, and are copies", func(b *broken) {
		shared := make(map[string]*dynamodb.AttributeValue)
		b.lease = func(ctx context.Context, id string, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
			l, err := b.Store.LeaseWithContext(ctx, id, r, until)
			if err == nil {
				maps.Copy(l.AttributeValues, shared)
				shared["text"] = l.AttributeValues["text"]
			}
			return l, err
		}
	}},
	"renews without the token": {"an older tenure touches nothing of a newer one of its own lessee", func(b *broken) {
		b.renew = func(l *lease.Lease, until time.Time) error {
			return b.Store.RenewLease(&lease.Lease{LeaseID: l.LeaseID, Request: l.Request}, until)
		}
	}},
	"renews back": {"a late renewal never moves the end back", func(b *broken) {
		b.renew = func(l *lease.Lease, until time.Time) error {
			if row, ok := b.Store.Row(l.LeaseID); ok && l.Request != nil && row["ProcessID"] != nil && until.Before(b.until(l.LeaseID)) {
				b.Store.Steal(l.LeaseID, l.Request.LesseeID(), time.Until(until))
			}
			return b.Store.RenewLease(l, until)
		}
	}},
	"says it renewed": {"a renewal moves the end", func(b *broken) {
		b.renew = func(*lease.Lease, time.Time) error { return nil }
	}},
	"releases without the token": {"an older tenure touches nothing of a newer one of its own lessee", func(b *broken) {
		b.release = func(l *lease.Lease) error {
			row, _ := b.Store.Row(l.LeaseID)
			return b.Store.ReleaseLease(&lease.Lease{LeaseID: l.LeaseID, Request: l.Request, AttributeValues: row})
		}
	}},
	"forgets the token": {"tokens grow", func(b *broken) {
		b.release = func(l *lease.Lease) error {
			b.Store.Retire(l.LeaseID)
			return b.Store.AddLeaseID(l.LeaseID, tokenAttribute(0))
		}
	}},
	"releases once": {"a release frees the item at once, and may be repeated", func(b *broken) {
		b.release = func(l *lease.Lease) error {
			if row, ok := b.Store.Row(l.LeaseID); ok && row["ProcessID"] == nil {
				return lease.LeaseLostError
			}
			return b.Store.ReleaseLease(l)
		}
	}},
	"says it released": {"a release frees the item at once", func(b *broken) {
		b.release = func(*lease.Lease) error { return nil }
	}},
	"releases the row only": {"a release or a removal ends a Locker's lease in this process", func(b *broken) {
		b.release = func(l *lease.Lease) error { return b.Store.ReleaseLease(untenured(l)) }
	}},
	"retires the row only":      {"a release or a removal ends a Locker's lease in this process", retiresOnly},
	"loses what it has retired": {"work that removes its own item inside of Hold is fine", retiresOnly},
	"retires what is held": {"an item that someone holds is retired by its holder only", func(b *broken) {
		b.remove = func(id string) error { b.Store.Retire(id); return nil }
	}},
	"registers twice": {"an item is registered once", func(b *broken) {
		b.add = func(id string, attributes map[string]*dynamodb.AttributeValue) error {
			if attributes == nil {
				b.Store.Retire(id)
			}
			return b.Store.AddLeaseID(id, attributes)
		}
	}},
	"starts all tokens at 41": {"a registered item's token starts at the time in Unix milliseconds", startsTokensAt41},
	"repeats tokens":          {"an item that is retired and registered anew never repeats a token", startsTokensAt41},
	"starts tokens itself": {"a registered item's token starts at the time in Unix milliseconds, or where its attributes say", func(b *broken) {
		b.add = func(id string, attributes map[string]*dynamodb.AttributeValue) error {
			err := b.Store.AddLeaseID(id, attributes)
			if err != nil || attributes["FencingToken"] == nil {
				return err
			}
			b.Store.Retire(id)
			return b.Store.AddLeaseID(id, nil)
		}
	}},
	"accepts any token": {"an item is registered once", func(b *broken) {
		b.add = func(id string, attributes map[string]*dynamodb.AttributeValue) error {
			if token := attributes["FencingToken"]; token != nil && token.N != nil {
				attributes = nil
			}
			return b.Store.AddLeaseID(id, attributes)
		}
	}},
	"hides who wants it": {"RenewLeaseItem shows the row", renewsItem(func(b *broken, l *lease.Lease, until, wanted time.Time) (lease.LeaseItem, error) {
		got, err := b.Store.RenewLeaseItem(background, l, until, wanted)
		got.WantedBy, got.WantedUntil = "", 0
		return got, err
	})},
	"shows the row as it was": {"RenewLeaseItem shows the row", renewsItem(func(b *broken, l *lease.Lease, until, wanted time.Time) (lease.LeaseItem, error) {
		before := b.now(l.LeaseID)
		_, err := b.Store.RenewLeaseItem(background, l, until, wanted)
		return before, err
	})},
	"shows who wanted it only": {"RenewLeaseItem shows the row", renewsItem(func(b *broken, l *lease.Lease, until, wanted time.Time) (lease.LeaseItem, error) {
		got, err := b.Store.RenewLeaseItem(background, l, until, wanted)
		if got.WantedBy == "" {
			got.WantedUntil = 0
		}
		return got, err
	})},
	"prolongs no wish": {"RenewLeaseItem prolongs a wish", renewsItem(func(b *broken, l *lease.Lease, until, _ time.Time) (lease.LeaseItem, error) {
		return b.Store.RenewLeaseItem(background, l, until, time.Time{})
	})},
	"prolongs a lessee's wish only": {"RenewLeaseItem prolongs a wish", renewsItem(func(b *broken, l *lease.Lease, until, wanted time.Time) (lease.LeaseItem, error) {
		if b.now(l.LeaseID).WantedBy == "" {
			wanted = time.Time{}
		}
		return b.Store.RenewLeaseItem(background, l, until, wanted)
	})},
	"loses what nobody wants": {"RenewLeaseItem renews as well where there is no wish to prolong", renewsItem(func(b *broken, l *lease.Lease, until, wanted time.Time) (lease.LeaseItem, error) {
		if !wanted.IsZero() && b.now(l.LeaseID).WantedUntil == 0 {
			return lease.LeaseItem{}, lease.LeaseLostError
		}
		return b.Store.RenewLeaseItem(background, l, until, wanted)
	})},
	"makes a wish": {"RenewLeaseItem renews as well where there is no wish to prolong", renewsItem(func(b *broken, l *lease.Lease, until, wanted time.Time) (lease.LeaseItem, error) {
		if seen := b.now(l.LeaseID); !wanted.IsZero() && seen.WantedUntil == 0 {
			_ = b.Store.WantLease(background, seen, "", wanted)
		}
		return b.Store.RenewLeaseItem(background, l, until, wanted)
	})},
	"says it wished": {"a wish shows in a scan", func(b *broken) {
		b.want = func(lease.LeaseItem, string, time.Time) error { return nil }
	}},
	"never levels out": {"two Lockers share the items by HoldShare", func(b *broken) {
		b.want = func(lease.LeaseItem, string, time.Time) error { return nil }
	}},
	"hears the first wish only": {"a wish shows in a scan, may replace another", func(b *broken) {
		b.want = func(seen lease.LeaseItem, by string, until time.Time) error {
			if seen.WantedUntil != 0 {
				return lease.LeaseNotObtainedError
			}
			return b.Store.WantLease(background, seen, by, until)
		}
	}},
	"takes no operator's wish": {"a wish shows in a scan, may replace another", func(b *broken) {
		b.want = func(seen lease.LeaseItem, by string, until time.Time) error {
			if by == "" {
				return lease.LeaseNotObtainedError
			}
			return b.Store.WantLease(background, seen, by, until)
		}
	}},
	"wishes by force": {"a wish shows in a scan, may replace another, and changes nothing else", func(b *broken) {
		b.want = func(seen lease.LeaseItem, by string, until time.Time) error {
			if by == "" || seen.LesseeID == "" || b.now(seen.LeaseID).FencingToken != seen.FencingToken {
				return b.Store.WantLease(background, seen, by, until)
			}
			b.give(seen.LeaseID, by, seen.FencingToken, until)
			return nil
		}
	}},
	"wishes of any holder": {"a wish for what isn't as it was seen is refused", wants(func(seen, now lease.LeaseItem) lease.LeaseItem {
		if seen.LesseeID != "" {
			seen.LesseeID = now.LesseeID
		}
		return seen
	})},
	"wishes through tenures": {"a wish for what isn't as it was seen is refused", wants(func(seen, now lease.LeaseItem) lease.LeaseItem {
		seen.FencingToken = now.FencingToken
		return seen
	})},
	"wishes through wishes": {"a wish for what isn't as it was seen is refused", wants(func(seen, now lease.LeaseItem) lease.LeaseItem {
		seen.WantedUntil = now.WantedUntil
		return seen
	})},
	"wraps a refused wish": {"a wish for what isn't as it was seen is refused: bare", func(b *broken) {
		b.want = func(seen lease.LeaseItem, by string, until time.Time) error {
			if err := b.Store.WantLease(background, seen, by, until); err != nil {
				return fmt.Errorf("wish for %q: %w", seen.LeaseID, err)
			}
			return nil
		}
	}},
	"creates rows to wish for": {"a wish for what isn't as it was seen is refused", func(b *broken) {
		b.want = func(seen lease.LeaseItem, by string, until time.Time) error {
			if seen.LeaseID != "" {
				_ = b.Store.AddLeaseID(seen.LeaseID, nil)
			}
			return b.Store.WantLease(background, seen, by, until)
		}
	}},
	"keeps a wish when it leases": {"a lease and a release remove the wish", func(b *broken) {
		b.lease = func(ctx context.Context, id string, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
			was := b.now(id)
			l, err := b.Store.LeaseWithContext(ctx, id, r, until)
			if err == nil && was.WantedUntil != 0 {
				_ = b.Store.WantLease(background, b.now(id), was.WantedBy, time.Unix(0, was.WantedUntil))
			}
			return l, err
		}
	}},
	"keeps a wish when it releases": {"a lease and a release remove the wish", func(b *broken) {
		kept := make(map[string]lease.LeaseItem)
		b.release = func(l *lease.Lease) error {
			was := b.now(l.LeaseID)
			err := b.Store.ReleaseLease(l)
			if err == nil && was.WantedUntil != 0 {
				kept[l.LeaseID] = was
			}
			return err
		}
		b.scan = func(after string) ([]lease.LeaseItem, string, error) {
			items, next, err := b.Store.ScanLeaseItems(after, 0)
			for i, item := range items {
				if was := kept[item.LeaseID]; item.LesseeID == "" {
					items[i].WantedBy, items[i].WantedUntil = was.WantedBy, was.WantedUntil
				}
			}
			return items, next, err
		}
	}},
	"removes nothing": {"SaveAttributes sets and removes attributes", saves(func(_ *broken, l *lease.Lease, attributes map[string]*dynamodb.AttributeValue) *lease.Lease {
		maps.DeleteFunc(attributes, func(_ string, value *dynamodb.AttributeValue) bool { return value == nil })
		return l
	})},
	"saves of any tenure": {"SaveAttributes saves nothing when the lease is over", saves(func(b *broken, l *lease.Lease, _ map[string]*dynamodb.AttributeValue) *lease.Lease {
		if row := b.now(l.LeaseID); row.LesseeID == l.Request.LesseeID() {
			return withToken(l, row.FencingToken)
		}
		return l
	})},
	"saves of any lessee": {"SaveAttributes saves nothing when the lease is over", saves(func(b *broken, l *lease.Lease, _ map[string]*dynamodb.AttributeValue) *lease.Lease {
		row := b.now(l.LeaseID)
		return withToken(&lease.Lease{LeaseID: l.LeaseID, Request: for30s(row.LesseeID)}, row.FencingToken)
	})},
	"saves in silence": {"SaveAttributes saves nothing when the lease is over: bare", func(b *broken) {
		b.save = func(l *lease.Lease, attributes map[string]*dynamodb.AttributeValue) error {
			if err := b.Store.SaveAttributes(background, l, attributes); err != lease.LeaseLostError {
				return err
			}
			return nil
		}
	}},
	"saves once": {"SaveAttributes sets and removes attributes", func(b *broken) {
		again := false
		b.save = func(l *lease.Lease, attributes map[string]*dynamodb.AttributeValue) error {
			if again {
				return nil
			}
			again = true
			return b.Store.SaveAttributes(background, l, attributes)
		}
	}},
	"saves an older lease's": {"a Locker saves attributes under the lease that it holds", func(b *broken) {
		b.save = func(l *lease.Lease, attributes map[string]*dynamodb.AttributeValue) error {
			if row := b.now(l.LeaseID); row.LesseeID == l.Request.LesseeID() && l.Context().Err() == nil {
				l = withToken(l, row.FencingToken)
			}
			return b.Store.SaveAttributes(background, l, attributes)
		}
	}},
	"releases only": {"a handover reserves the item for who wants it", handsOver(func(b *broken, l *lease.Lease, _ lease.LeaseItem, _ time.Time) bool {
		return b.Store.ReleaseLease(l) == nil
	})},
	"begins a tenure for another": {"a handover reserves the item for who wants it, and keeps token", handsOver(func(b *broken, l *lease.Lease, row lease.LeaseItem, until time.Time) bool {
		if row.WantedBy != "" {
			b.give(l.LeaseID, row.WantedBy, row.FencingToken+1, until)
		}
		return row.WantedBy != ""
	})},
	"removes the wish that it fulfils": {"a handover reserves the item for who wants it, and keeps token and wish", handsOver(func(b *broken, l *lease.Lease, row lease.LeaseItem, until time.Time) bool {
		if row.WantedBy != "" {
			b.give(l.LeaseID, row.WantedBy, row.FencingToken, until)
		}
		return row.WantedBy != ""
	})},
	"reserves for an hour": {"a handover reserves the item for who wants it", func(b *broken) {
		b.handOver = func(l *lease.Lease, until time.Time) error {
			return b.Store.HandOverLease(background, l, until.Add(time.Hour))
		}
	}},
	"hands over to who was first": {"a handover is to who wants the item at that moment", func(b *broken) {
		first := make(map[int64]string) // by token
		b.want = func(seen lease.LeaseItem, by string, until time.Time) error {
			if seen.WantedUntil == 0 {
				first[seen.FencingToken] = by
			}
			return b.Store.WantLease(background, seen, by, until)
		}
		b.handOver = func(l *lease.Lease, until time.Time) error {
			if row := b.now(l.LeaseID); row.LesseeID == l.Request.LesseeID() && row.FencingToken == l.FencingToken() && first[row.FencingToken] != "" {
				b.give(l.LeaseID, first[row.FencingToken], row.FencingToken, until)
				return nil
			}
			return b.Store.HandOverLease(background, l, until)
		}
	}},
	"keeps what nobody wants": {"a handover to nobody, or to the holder itself, is a release", handsOver(func(_ *broken, _ *lease.Lease, row lease.LeaseItem, _ time.Time) bool {
		return row.WantedUntil == 0
	})},
	"keeps what an operator wants": {"a handover to nobody, or to the holder itself, is a release", handsOver(func(_ *broken, _ *lease.Lease, row lease.LeaseItem, _ time.Time) bool {
		return row.WantedUntil != 0 && row.WantedBy == ""
	})},
	"hands over to the past": {"a handover to nobody, or to the holder itself, is a release", handsOver(func(b *broken, l *lease.Lease, row lease.LeaseItem, until time.Time) bool {
		if row.WantedUntil < time.Now().UnixNano() {
			_, _ = b.Store.RenewLeaseItem(background, untenured(l), time.Now(), until)
		}
		return false
	})},
	"hands over to itself": {"a handover to nobody, or to the holder itself, is a release", handsOver(func(_ *broken, _ *lease.Lease, row lease.LeaseItem, _ time.Time) bool {
		return row.WantedBy == row.LesseeID
	})},
	"hands over to the far future": {"a handover heeds no wish that is too far ahead, and frees the item", handsOver(func(b *broken, l *lease.Lease, row lease.LeaseItem, until time.Time) bool {
		if row.WantedUntil > until.UnixNano() {
			_, _ = b.Store.RenewLeaseItem(background, untenured(l), time.Now(), until)
		}
		return false
	})},
	"looks ahead for 10 minutes": {"a handover heeds no wish that is too far ahead", handsOver(func(b *broken, l *lease.Lease, row lease.LeaseItem, _ time.Time) bool {
		return row.WantedUntil > time.Now().Add(10*time.Minute).UnixNano() && b.Store.ReleaseLease(l) == nil
	})},
	"looks ahead for ten periods": {"a handover heeds no wish that is too far ahead", handsOver(func(b *broken, l *lease.Lease, row lease.LeaseItem, _ time.Time) bool {
		return row.WantedUntil > time.Now().Add(10*(l.Request.LeaseDuration()/3)).UnixNano() && b.Store.ReleaseLease(l) == nil
	})},
	"hands over once": {"a handover may be repeated", func(b *broken) {
		b.handOver = func(l *lease.Lease, until time.Time) error {
			if row := b.now(l.LeaseID); row.LesseeID != l.Request.LesseeID() {
				return lease.LeaseLostError
			}
			return b.Store.HandOverLease(background, l, until)
		}
	}},
	"prolongs a reservation": {"a handover may be repeated", func(b *broken) {
		b.handOver = func(l *lease.Lease, until time.Time) error {
			if row := b.now(l.LeaseID); row.LesseeID != "" && row.LesseeID != l.Request.LesseeID() && row.FencingToken == l.FencingToken() {
				b.give(l.LeaseID, row.LesseeID, row.FencingToken, until)
			}
			return b.Store.HandOverLease(background, l, until)
		}
	}},
	"hands over what is lost": {"a handover may be repeated, but not when the lease is lost", func(b *broken) {
		b.handOver = func(l *lease.Lease, until time.Time) error {
			if err := b.Store.HandOverLease(background, l, until); err != lease.LeaseLostError {
				return err
			}
			return nil
		}
	}},
	"hands over without the token": {"a handover may be repeated, but not when the lease is lost", func(b *broken) {
		b.handOver = func(l *lease.Lease, until time.Time) error {
			return b.Store.HandOverLease(background, withToken(l, b.now(l.LeaseID).FencingToken), until)
		}
	}},
	"hands over past a namesake": {"a handover before the end that a namesake relies on is a release", func(b *broken) {
		remembers := make(map[int64]bool) // by token
		b.asSeen = func(ctx context.Context, seen lease.LeaseItem, older *lease.Lease, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
			l, err := b.Store.LeaseAsSeen(ctx, seen, older, r, until)
			if err == nil && seen.LesseeID == r.LesseeID() {
				remembers[l.FencingToken()] = true
			}
			return l, err
		}
		handsOver(func(b *broken, l *lease.Lease, row lease.LeaseItem, until time.Time) bool {
			if row.WantedBy == "" || !remembers[row.FencingToken] {
				return false
			}
			b.give(l.LeaseID, row.WantedBy, row.FencingToken, until)
			return true
		})(b)
	}},
	"frees what a namesake is past": {"a handover after the end that a namesake relied on reserves the item", func(b *broken) {
		remembers := make(map[int64]bool) // by token
		b.asSeen = func(ctx context.Context, seen lease.LeaseItem, older *lease.Lease, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
			l, err := b.Store.LeaseAsSeen(ctx, seen, older, r, until)
			if err == nil && seen.LesseeID == r.LesseeID() {
				remembers[l.FencingToken()] = true
			}
			return l, err
		}
		handsOver(func(b *broken, l *lease.Lease, row lease.LeaseItem, _ time.Time) bool {
			return remembers[row.FencingToken] && b.Store.ReleaseLease(l) == nil
		})(b)
	}},
	"hands the row over only": {"a release or a removal ends a Locker's lease in this process", func(b *broken) {
		b.handOver = func(l *lease.Lease, until time.Time) error {
			return b.Store.HandOverLease(background, untenured(l), until)
		}
	}},
	"scans from anything": {"bad input is refused", func(b *broken) {
		b.scan = func(after string) ([]lease.LeaseItem, string, error) {
			return b.Store.ScanLeaseItems(strings.ToValidUTF8(after, "?"), 0)
		}
	}},
	"hides the tenure": {"listing and scanning show every item once, and who holds it", func(b *broken) {
		b.scan = func(after string) ([]lease.LeaseItem, string, error) {
			items, next, err := b.Store.ScanLeaseItems(after, 0)
			for i := range items {
				items[i].FencingToken, items[i].LeaseUntil = 0, 0
			}
			return items, next, err
		}
	}},
	"always scans from the start": {"a scan goes on after any string", func(b *broken) {
		b.scan = func(string) ([]lease.LeaseItem, string, error) { return b.Store.ScanLeaseItems("", 0) }
	}},
	"hides the holder": {"listing and scanning show every item once, and who holds it", func(b *broken) {
		b.scan = func(after string) ([]lease.LeaseItem, string, error) {
			items, next, err := b.Store.ScanLeaseItems(after, 0)
			for i := range items {
				items[i].LesseeID = ""
			}
			return items, next, err
		}
	}},
}

// TestABrokenStoreThatIsWholeConforms: what a mutant fails for is its mutation.
func TestABrokenStoreThatIsWholeConforms(t *testing.T) {
	leasetest.TestStore(t, func(_ *testing.T, leaseIDs ...string) leasetest.StoreInterface {
		return newBroken(leaseIDs...)
	}, synctest.Test)
}

const mutantsEnv = "LEASETEST_MUTANTS"

// TestMutants fails: it is run by TestTheSuiteCatchesEveryMutant, in a process of its own.
func TestMutants(t *testing.T) {
	if os.Getenv(mutantsEnv) == "" {
		t.SkipNow()
	}
	for name, mutant := range mutants {
		t.Run(name, func(t *testing.T) {
			leasetest.TestStore(t, func(_ *testing.T, leaseIDs ...string) leasetest.StoreInterface {
				b := newBroken(leaseIDs...)
				mutant.mutate(b)
				return b
			}, synctest.Test)
		})
	}
}

func TestTheSuiteCatchesEveryMutant(t *testing.T) {
	child := exec.Command(os.Args[0], "-test.run=^TestMutants$", "-test.short")
	child.Env = append(os.Environ(), mutantsEnv+"=1")
	out, err := child.CombinedOutput()
	require.Error(t, err)
	require.NotContains(t, string(out), "panic:")
	spaces := strings.NewReplacer("_", " ")
	for name, mutant := range mutants {
		want := "--- FAIL: TestMutants/" + name + "/" + mutant.breaks
		assert.True(t, strings.Contains(spaces.Replace(string(out)), want), "no %q", want)
	}
}
