package leasetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"
	"unicode/utf8"

	"github.com/intercom/lease"
)

// Store is a store in memory with the methods of [lease.LockStore]: they judge and write as those do,
// return the same errors, and are safe for concurrent use. The switches (SetHang, Steal and the like)
// make it fail as a real one may. Make one by [NewStore].
//
// A call blocks only while [Store.SetHang] is on. Nothing but time.Now is asked for the time, and no
// goroutine is started, so that a Store works inside of a [testing/synctest] bubble.
//
// A Store is one host's client of its rows: [Store.NewClient] makes that of another host. A type that embeds
// a Store, to change its Lease, is used by a Locker as a store of two methods, see [lease.NewLocker].
//
// The Leases that it returns are bare, as a LockStore's are: only a [lease.Locker] gives a lease a tenure.
type Store struct {
	*table
	faults // guarded by table.mu
}

// NewStore returns a store with a free item of each lease ID. It panics if one is no valid ID or comes
// twice. The items have no token yet, so that their tenures get 1, 2, 3 and so on; those of
// [Store.AddLeaseID] start at the time.
func NewStore(leaseIDs ...string) *Store {
	s := &Store{table: &table{retired: make(map[string]int64)}}
	for _, id := range leaseIDs {
		if err := s.add(id, 0, nil); err != nil {
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
	if err := checkLeasing(ctx, leaseID, request, until); err != nil {
		return nil, err
	}
	lessee := request.LesseeID()
	var got *lease.Lease
	err := s.send(ctx, &s.counts.Leases, func(now int64) error {
		r := s.find(leaseID)
		if !r.isFor(lessee, now) {
			return lease.LeaseNotObtainedError
		}
		r.begin(lessee, s.end(until), 0)
		got = &lease.Lease{LeaseID: leaseID, AttributeValues: r.attributes(), Request: request, Until: until}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return got, nil
}

// LeaseAsSeen is [lease.LockStore.LeaseAsSeen]. It counts as one of [Counts.Leases], or as two if the row
// has changed since.
func (s *Store) LeaseAsSeen(ctx context.Context, seen lease.LeaseItem, older *lease.Lease, request lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
	if err := checkLeasing(ctx, seen.LeaseID, request, until); err != nil {
		return nil, err
	}
	got, err := s.leaseAsSeen(ctx, &seen, older, request, until)
	if err == errChanged {
		got, err = s.leaseAsSeen(ctx, &seen, older, request, until)
	}
	if err == errChanged {
		err = lease.LeaseNotObtainedError
	}
	if err != nil {
		return nil, err
	}
	return got, nil
}

// errChanged is the result of a write that was refused because the lessee's own row isn't as it was seen.
var errChanged = errors.New("leasetest: the row has changed")

// leaseAsSeen sends one write. With errChanged it updates what was seen.
func (s *Store) leaseAsSeen(ctx context.Context, seen *lease.LeaseItem, older *lease.Lease, request lease.LeaseRequest, until time.Time) (got *lease.Lease, err error) {
	lessee := request.LesseeID()
	err = s.send(ctx, &s.counts.Leases, func(now int64) error {
		r := s.find(seen.LeaseID)
		if !r.isFor(lessee, now) {
			return lease.LeaseNotObtainedError
		}
		if r.until >= now && (r.token != seen.FencingToken || r.until != seen.LeaseUntil) {
			*seen = s.item(r)
			return errChanged
		}
		end, remembered := s.end(until), int64(0)
		if r.holder == lessee && r.until >= now {
			end, remembered = max(end, r.until), r.until
			if r.isOf(lessee, older) { // Nobody has leased it since.
				remembered = r.older
			}
		}
		r.begin(lessee, end, remembered)
		got = &lease.Lease{LeaseID: r.id, AttributeValues: r.attributes(), Request: request, Until: until}
		return nil
	})
	return got, err
}

// RenewLease is [lease.LockStore.RenewLease].
func (s *Store) RenewLease(l *lease.Lease, until time.Time) error {
	return s.RenewLeaseWithContext(context.Background(), l, until)
}

// RenewLeaseWithContext is [lease.LockStore.RenewLeaseWithContext].
func (s *Store) RenewLeaseWithContext(ctx context.Context, l *lease.Lease, until time.Time) error {
	_, err := s.RenewLeaseItem(ctx, l, until, time.Time{})
	return err
}

// RenewLeaseItem is [lease.LockStore.RenewLeaseItem].
func (s *Store) RenewLeaseItem(ctx context.Context, l *lease.Lease, until, wanted time.Time) (item lease.LeaseItem, err error) {
	if err := cmp.Or(checkContext(ctx), checkLease(l), checkUntil(until)); err != nil {
		return item, err
	}
	if l.FencingToken() == 0 {
		_, err := s.LeaseWithContext(ctx, l.LeaseID, l.Request, until)
		if err == lease.LeaseNotObtainedError {
			err = lease.LeaseLostError
		}
		return item, err
	}
	lessee := l.Request.LesseeID()
	err = s.send(ctx, &s.counts.Renewals, func(int64) error {
		r := s.find(l.LeaseID)
		if !r.isOf(lessee, l) {
			return lease.LeaseLostError
		}
		if !wanted.IsZero() && r.wished != (wished{}) {
			r.wished.until = s.end(wanted)
		}
		end := max(s.end(until), r.older)
		item = s.item(r)
		if r.until > end {
			return errAlready
		}
		r.until = end
		item = s.item(r)
		return nil
	})
	return item, err
}

// WantLease is [lease.LockStore.WantLease].
func (s *Store) WantLease(ctx context.Context, seen lease.LeaseItem, by string, until time.Time) error {
	err := cmp.Or(checkContext(ctx), checkName("lease ID", seen.LeaseID), checkName("LesseeID", cmp.Or(by, "-")), checkUntil(until))
	switch {
	case err != nil:
		return err
	case seen.LesseeID == "" || seen.LesseeID == by:
		return lease.LeaseNotObtainedError
	}
	return s.send(ctx, &s.counts.Wishes, func(now int64) error {
		r, next := s.find(seen.LeaseID), wished{by, s.end(until)}
		switch {
		case r == nil || r.holder != seen.LesseeID || r.token != seen.FencingToken:
			return lease.LeaseNotObtainedError
		case r.wished.until == seen.WantedUntil || r.wished.until < now:
			r.wished = next
			return nil
		case r.wished == next:
			return errAlready
		}
		return lease.LeaseNotObtainedError
	})
}

// HandOverLease is [lease.LockStore.HandOverLease].
func (s *Store) HandOverLease(ctx context.Context, l *lease.Lease, until time.Time) error {
	if err := cmp.Or(checkContext(ctx), checkLease(l), checkUntil(until)); err != nil {
		return err
	}
	l.Discard()
	lessee := l.Request.LesseeID()
	horizon := max(10*(l.Request.LeaseDuration()/3), 10*time.Minute).Nanoseconds()
	return s.send(ctx, &s.counts.Handovers, func(now int64) error {
		r := s.find(l.LeaseID)
		switch {
		case r.isOf(lessee, l) && r.wished.by != "" && r.wished.by != lessee &&
			r.wished.until >= now && r.wished.until <= now+horizon && r.older < now:
			r.holder, r.until = r.wished.by, s.end(until)
			return nil
		case r.isOf(lessee, l):
			r.release()
			return nil
		case r != nil && r.token == l.FencingToken():
			return errAlready
		}
		return lease.LeaseLostError
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
	l.Discard()
	lessee := l.Request.LesseeID()
	return s.send(ctx, &s.counts.Releases, func(int64) error {
		r := s.find(l.LeaseID)
		switch {
		case r.isOf(lessee, l):
			r.release()
			return nil
		case r.isOf("", l):
			return errAlready
		}
		return lease.LeaseLostError
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
	if after != "" {
		if err := checkName("place to scan from", after); err != nil {
			return nil, "", err
		}
	}
	err = s.send(ctx, &s.counts.Scans, func(int64) error {
		rest := s.after(after)
		for _, most := range []int{s.pageSize, limit} {
			if most > 0 && most < len(rest) {
				rest = rest[:most]
				next = rest[most-1].id
			}
		}
		items = make([]lease.LeaseItem, 0, len(rest))
		for _, r := range rest {
			items = append(items, s.item(r))
		}
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	return items, next, nil
}

// item returns what a scan shows of a row.
func (s *Store) item(r *row) lease.LeaseItem {
	item := lease.LeaseItem{LeaseID: r.id, LesseeID: r.holder, FencingToken: r.token, LeaseUntil: r.until,
		WantedBy: r.wished.by, WantedUntil: r.wished.until}
	if r.until > 0 {
		item.Until = time.Unix(0, r.until).Add(-s.skew)
	}
	return item
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
	const most = 100 * 365 * 24 * time.Hour
	switch duration := request.LeaseDuration(); {
	case duration <= 0:
		return fmt.Errorf("leasetest: LeaseDuration is %v; want more than 0", duration)
	case duration > most:
		return fmt.Errorf("leasetest: LeaseDuration is %v; want at most 100 years, as a lease's end lies between 1970 and 2262", duration)
	}
	return nil
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

func checkLeasing(ctx context.Context, leaseID string, request lease.LeaseRequest, until time.Time) error {
	return cmp.Or(checkContext(ctx), checkName("lease ID", leaseID), checkRequest(request), checkUntil(until))
}
