package leasetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
)

// Store is a store in memory with the methods of [lease.LockStore]: they judge and write as those do,
// return the same errors, and are safe for concurrent use. The switches (SetHang, Steal and the like)
// make it fail as a real one may. Make one by [NewStore].
//
// A call blocks only while [Store.SetHang] is on. Nothing but time.Now is asked for the time, and no
// goroutine is started, so that a Store works inside of a [testing/synctest] bubble.
//
// A Store is one host's client of its rows: [Store.NewClient] makes that of another host.
//
// Only a [lease.Locker] can give a lease a tenure. A lease obtained from the Store directly is
// like a literal: its Context ends at Until, and no renewal moves that. In the same way, RenewLease
// called directly renews, or finds lost, the row only; what the Locker's Heartbeat renews or finds
// lost, it extends or ends.
type Store struct {
	*table
	faults // guarded by table.mu
}

// NewStore returns a store with a free item of each lease ID. It panics if one is no valid ID or comes
// twice.
func NewStore(leaseIDs ...string) *Store {
	s := &Store{table: &table{}}
	for _, id := range leaseIDs {
		if err := s.add(id, nil); err != nil {
			panic(err)
		}
	}
	return s
}

// Lease is [lease.LockStore.Lease].
func (s *Store) Lease(leaseID string, request lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
	return s.LeaseWithContext(context.Background(), leaseID, request, until)
}

// LeaseWithContext is [lease.LockStore.LeaseWithContext].
func (s *Store) LeaseWithContext(ctx context.Context, leaseID string, request lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
	if err := cmp.Or(checkContext(ctx), checkName("lease ID", leaseID), checkRequest(request), checkUntil(until)); err != nil {
		return nil, err
	}
	lessee := request.LesseeID()
	var got *lease.Lease
	err := s.send(ctx, &s.counts.Leases, func(now int64) error {
		r := s.find(leaseID)
		if r == nil || r.until >= now && r.holder != lessee {
			return lease.LeaseNotObtainedError
		}
		r.holder, r.until, r.token = lessee, s.end(until), r.token+1
		got = &lease.Lease{LeaseID: leaseID, AttributeValues: r.attributes(), Request: request, Until: until}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return got, nil
}

// RenewLease is [lease.LockStore.RenewLease], except that it extends no tenure.
func (s *Store) RenewLease(l *lease.Lease, until time.Time) error {
	return s.RenewLeaseWithContext(context.Background(), l, until)
}

// RenewLeaseWithContext is [lease.LockStore.RenewLeaseWithContext], except that it extends no tenure.
func (s *Store) RenewLeaseWithContext(ctx context.Context, l *lease.Lease, until time.Time) error {
	if err := cmp.Or(checkContext(ctx), checkLease(l), checkUntil(until)); err != nil {
		return err
	}
	if l.FencingToken() == 0 {
		_, err := s.LeaseWithContext(ctx, l.LeaseID, l.Request, until)
		if err == lease.LeaseNotObtainedError {
			return lease.LeaseLostError
		}
		return err
	}
	lessee := l.Request.LesseeID()
	return s.send(ctx, &s.counts.Renewals, func(int64) error {
		r, end := s.find(l.LeaseID), s.end(until)
		switch {
		case !r.isOf(lessee, l):
			return lease.LeaseLostError
		case r.until > end:
			return errAlready
		}
		r.until = end
		return nil
	})
}

// ReleaseLease is [lease.LockStore.ReleaseLease].
func (s *Store) ReleaseLease(l *lease.Lease) error {
	return s.ReleaseLeaseWithContext(context.Background(), l)
}

// ReleaseLeaseWithContext is [lease.LockStore.ReleaseLeaseWithContext].
func (s *Store) ReleaseLeaseWithContext(ctx context.Context, l *lease.Lease) error {
	if err := cmp.Or(checkContext(ctx), checkLease(l)); err != nil {
		return err
	}
	endTenure(l)
	lessee := l.Request.LesseeID()
	return s.send(ctx, &s.counts.Releases, func(int64) error {
		r := s.find(l.LeaseID)
		switch {
		case r.isOf(lessee, l):
			r.holder, r.until = "", 0
			return nil
		case r.isOf("", l):
			return errAlready
		}
		return lease.LeaseLostError
	})
}

// AddLeaseID is [lease.LockStore.AddLeaseID].
func (s *Store) AddLeaseID(leaseID string, attributes map[string]*dynamodb.AttributeValue) error {
	return s.AddLeaseIDWithContext(context.Background(), leaseID, attributes)
}

// AddLeaseIDWithContext is [lease.LockStore.AddLeaseIDWithContext].
func (s *Store) AddLeaseIDWithContext(ctx context.Context, leaseID string, attributes map[string]*dynamodb.AttributeValue) error {
	if err := cmp.Or(checkContext(ctx), checkName("lease ID", leaseID)); err != nil {
		return err
	}
	for name, value := range attributes {
		switch name {
		case HashKey, holderAttribute, untilAttribute, tokenAttribute:
			return fmt.Errorf("leasetest: the attribute %q of lease ID %q is the library's to write", name, leaseID)
		case "":
			return fmt.Errorf("leasetest: an attribute of lease ID %q has an empty name", leaseID)
		}
		if value == nil {
			return fmt.Errorf("leasetest: the attribute %q of lease ID %q is nil", name, leaseID)
		}
	}
	return s.send(ctx, &s.counts.Registrations, func(int64) error { return s.add(leaseID, attributes) })
}

// RemoveLeaseID is [lease.LockStore.RemoveLeaseID].
func (s *Store) RemoveLeaseID(leaseID string) error {
	return s.RemoveLeaseIDWithContext(context.Background(), leaseID)
}

// RemoveLeaseIDWithContext is [lease.LockStore.RemoveLeaseIDWithContext].
func (s *Store) RemoveLeaseIDWithContext(ctx context.Context, leaseID string) error {
	if err := cmp.Or(checkContext(ctx), checkName("lease ID", leaseID)); err != nil {
		return err
	}
	return s.send(ctx, &s.counts.Retirements, func(now int64) error {
		if r := s.find(leaseID); r != nil && r.until >= now {
			return fmt.Errorf("leasetest: %w: %q, by %q", lease.LeaseHeldError, leaseID, r.holder)
		}
		s.remove(leaseID)
		return nil
	})
}

// RemoveLease is [lease.LockStore.RemoveLease].
func (s *Store) RemoveLease(l *lease.Lease) error {
	return s.RemoveLeaseWithContext(context.Background(), l)
}

// RemoveLeaseWithContext is [lease.LockStore.RemoveLeaseWithContext].
func (s *Store) RemoveLeaseWithContext(ctx context.Context, l *lease.Lease) error {
	if err := cmp.Or(checkContext(ctx), checkLease(l)); err != nil {
		return err
	}
	endTenure(l)
	lessee := l.Request.LesseeID()
	return s.send(ctx, &s.counts.Retirements, func(int64) error {
		r := s.find(l.LeaseID)
		switch {
		case r == nil:
			return errAlready
		case !r.isOf(lessee, l):
			return lease.LeaseLostError
		}
		s.remove(l.LeaseID)
		return nil
	})
}

// ListLeaseIDs is [lease.LockStore.ListLeaseIDs].
func (s *Store) ListLeaseIDs() ([]string, error) {
	return s.ListLeaseIDsWithContext(context.Background())
}

// ListLeaseIDsWithContext is [lease.LockStore.ListLeaseIDsWithContext].
func (s *Store) ListLeaseIDsWithContext(ctx context.Context) ([]string, error) {
	ids := []string{}
	for after := ""; ; {
		items, next, err := s.ScanLeaseItemsWithContext(ctx, after, 0)
		if err != nil {
			return nil, err
		}
		for _, item := range items {
			ids = append(ids, item.LeaseID)
		}
		if next == "" {
			return ids, nil
		}
		after = next
	}
}

// ScanLeaseItems is [lease.LockStore.ScanLeaseItems]. The order is that of a hash of the lease IDs: the
// same in every run. The size of a page is [Store.SetPageSize]'s.
func (s *Store) ScanLeaseItems(after string, limit int) (items []lease.LeaseItem, next string, err error) {
	return s.ScanLeaseItemsWithContext(context.Background(), after, limit)
}

// ScanLeaseItemsWithContext is [lease.LockStore.ScanLeaseItemsWithContext].
func (s *Store) ScanLeaseItemsWithContext(ctx context.Context, after string, limit int) (items []lease.LeaseItem, next string, err error) {
	if err := checkContext(ctx); err != nil {
		return nil, "", err
	}
	err = s.send(ctx, &s.counts.Scans, func(int64) error {
		rest := s.rows
		if after != "" {
			i, found := s.search(after)
			if found {
				i++
			}
			rest = rest[i:]
		}
		for _, most := range []int{s.pageSize, limit} {
			if most > 0 && most < len(rest) {
				rest = rest[:most]
				next = rest[most-1].id
			}
		}
		items = make([]lease.LeaseItem, 0, len(rest))
		for _, r := range rest {
			item := lease.LeaseItem{LeaseID: r.id, LesseeID: r.holder}
			if r.until > 0 {
				item.Until = time.Unix(0, r.until).Add(-s.skew)
			}
			items = append(items, item)
		}
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	return items, next, nil
}

// endTenure ends the tenure of a lease, as LockStore does before it frees or deletes a row. Only a
// Locker can do that: here one whose store then frees nothing and which waits for no renewal.
func endTenure(l *lease.Lease) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = lease.NewLocker(freesNothing{}).ReleaseLeaseWithContext(ctx, l)
}

type freesNothing struct{ *Store }

func (freesNothing) ReleaseLeaseWithContext(ctx context.Context, _ *lease.Lease) error {
	return context.Cause(ctx)
}

func checkContext(ctx context.Context) error {
	if ctx == nil {
		return errors.New("leasetest: the context is nil")
	}
	return nil
}

func checkName(what, name string) error {
	const most = 2048 // bytes, as in DynamoDB
	switch {
	case name == "":
		return fmt.Errorf("leasetest: the %s is empty", what)
	case !utf8.ValidString(name):
		return fmt.Errorf("leasetest: the %s %q is not valid UTF-8", what, name)
	case len(name) > most:
		return fmt.Errorf("leasetest: the %s %q… has %d bytes; want at most %d", what, name[:32], len(name), most)
	}
	return nil
}

func checkRequest(request lease.LeaseRequest) error {
	if v := reflect.ValueOf(request); request == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		return errors.New("leasetest: the LeaseRequest is nil")
	}
	if err := checkName("LesseeID", request.LesseeID()); err != nil {
		return err
	}
	duration := request.LeaseDuration()
	if duration <= 0 {
		return fmt.Errorf("leasetest: LeaseDuration is %v; want more than 0", duration)
	}
	return checkUntil(time.Now().Add(duration))
}

func checkUntil(until time.Time) error {
	if year := until.UTC().Year(); year < 1970 || year >= 2262 {
		return fmt.Errorf("leasetest: the lease's end %v is not between 1970 and 2262", until.Round(0))
	}
	return nil
}

func checkLease(l *lease.Lease) error {
	if l == nil {
		return errors.New("leasetest: the Lease is nil")
	}
	return cmp.Or(checkName("lease ID", l.LeaseID), checkRequest(l.Request))
}
