package leasetest

import (
	"cmp"
	"context"
	"time"

	"github.com/intercom/lease"
)

// ListLeaseIDs is [lease.LockStore.ListLeaseIDs].
func (s *Store) ListLeaseIDs() ([]string, error) {
	return s.ListLeaseIDsWithContext(context.Background())
}

// ListLeaseIDsWithContext is [lease.LockStore.ListLeaseIDsWithContext].
func (s *Store) ListLeaseIDsWithContext(ctx context.Context) ([]string, error) {
	ids := []string{}
	after := ""
	for {
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

// ScanLeaseItems is [lease.LockStore.ScanLeaseItems]. The order is that of a hash of the lease
// IDs: the same in every run. The size of a page is [Store.SetPageSize]'s.
func (s *Store) ScanLeaseItems(
	after string, limit int,
) (items []lease.LeaseItem, next string, err error) {
	return s.ScanLeaseItemsWithContext(context.Background(), after, limit)
}

// ScanLeaseItemsWithContext is [lease.LockStore.ScanLeaseItemsWithContext].
func (s *Store) ScanLeaseItemsWithContext(
	ctx context.Context, after string, limit int,
) (items []lease.LeaseItem, next string, err error) {
	if err := checkScan(ctx, after); err != nil {
		return nil, "", err
	}
	_, err = s.send(ctx, &s.counts.Scans, func(int64) outcome {
		items, next = s.page(after, limit)
		return applied
	})
	if err != nil {
		return nil, "", err
	}
	return items, next, nil
}

func checkScan(ctx context.Context, after string) error {
	if err := checkContext(ctx); err != nil {
		return err
	}
	if after == "" {
		return nil
	}
	return checkName("place to scan from", after)
}

// page returns the items of a page, and where the next one starts; "" if there is none.
func (s *Store) page(after string, limit int) (items []lease.LeaseItem, next string) {
	rows := s.after(after)
	for _, most := range []int{s.pageSize, limit} {
		isBound := most > 0
		if isBound && most < len(rows) {
			rows = rows[:most]
			next = rows[most-1].id
		}
	}
	items = make([]lease.LeaseItem, 0, len(rows))
	for _, r := range rows {
		items = append(items, s.item(r))
	}
	return items, next
}

// item returns what a scan shows of a row.
func (s *Store) item(r *row) lease.LeaseItem {
	item := lease.LeaseItem{
		LeaseID:      r.id,
		LesseeID:     r.holder,
		FencingToken: r.token,
		LeaseUntil:   r.until,
		WantedBy:     r.wish.by,
		WantedUntil:  r.wish.until,
		Weight:       r.weighs(),
		Capacity:     cmp.Or(r.capacity, 1),
	}
	if r.until > 0 {
		item.Until = time.Unix(0, r.until).Add(-s.skew)
	}
	return item
}
