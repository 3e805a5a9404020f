package leasetest

import (
	"context"
	"time"

	"github.com/intercom/lease"
)

// Store is a store in memory with the methods of [lease.LockStore]: they judge and write as
// those do, return the same errors, and are safe for concurrent use. The switches (SetHang,
// Steal and the like) make it fail as a real one may. Make one by [NewStore].
//
// A call blocks only while [Store.SetHang] is on. Nothing but time.Now is asked for the time,
// and no goroutine is started, so that a Store works inside of a [testing/synctest] bubble.
//
// A Store is one host's client of its rows: [Store.NewClient] makes that of another host. A
// type that embeds a Store, to change its Lease, is used by a Locker as a store of two methods,
// see [lease.NewLocker].
//
// The Leases that it returns are bare, as a LockStore's are: only a [lease.Locker] gives a
// lease a tenure.
type Store struct {
	*table
	faults // guarded by table.mu
}

// NewStore returns a store with a free item of each lease ID. It panics if one is no valid ID
// or comes twice. The items have no token yet, so that their tenures get 1, 2, 3 and so on;
// those of [Store.AddLeaseID] start at the time.
func NewStore(leaseIDs ...string) *Store {
	s := &Store{table: &table{retired: make(map[string]int64), given: make(map[giving]int64)}}
	for _, id := range leaseIDs {
		if err := checkName("lease ID", id); err != nil {
			panic(err)
		}
		if s.add(id, 0, nil) == refused {
			panic(existsError(id))
		}
	}
	return s
}

// Lease is [lease.LockStore.Lease].
func (s *Store) Lease(
	leaseID string, request lease.LeaseRequest, until time.Time,
) (*lease.Lease, error) {
	return s.LeaseWithContext(context.Background(), leaseID, request, until)
}

// LeaseWithContext is [lease.LockStore.LeaseWithContext].
func (s *Store) LeaseWithContext(
	ctx context.Context, leaseID string, request lease.LeaseRequest, until time.Time,
) (*lease.Lease, error) {
	if err := checkLeasing(ctx, leaseID, request, until); err != nil {
		return nil, err
	}
	lessee := request.LesseeID()
	capacity := capacityOf(request)

	got := &lease.Lease{LeaseID: leaseID, Request: request, Until: until}
	result, err := s.write(ctx, &s.counts.Leases, leaseID, func(r *row, now int64) outcome {
		result := r.lease(lessee, s.hostTime(until), now)
		if result == applied {
			r.grant(got, capacity)
		}
		return result
	})
	return orNotObtained(got, result, err)
}

// LeaseAsSeen is [lease.LockStore.LeaseAsSeen]. It counts as one of [Counts.Leases], or as two
// if the row has changed since.
func (s *Store) LeaseAsSeen(
	ctx context.Context, seen lease.LeaseItem, predecessor *lease.Lease,
	request lease.LeaseRequest, until time.Time,
) (*lease.Lease, error) {
	if err := checkLeasing(ctx, seen.LeaseID, request, until); err != nil {
		return nil, err
	}
	lessee := request.LesseeID()
	capacity := capacityOf(request)

	before := predecessorOf(predecessor)
	got := &lease.Lease{LeaseID: seen.LeaseID, Request: request, Until: until}
	try := func() (outcome, error) {
		return s.write(ctx, &s.counts.Leases, seen.LeaseID, func(r *row, now int64) outcome {
			result := r.leaseAsSeen(lessee, seen, before, s.hostTime(until), now)
			seen = s.item(r)
			if result == applied {
				r.grant(got, capacity)
			}
			return result
		})
	}
	result, err := try()
	if result == notAsSeen {
		result, err = try() // as the refusal shows it
	}
	return orNotObtained(got, result, err)
}

// orNotObtained returns the lease if the write by which it was to be obtained was applied.
func orNotObtained(got *lease.Lease, result outcome, err error) (*lease.Lease, error) {
	if err != nil {
		return nil, err
	}
	if result != applied {
		return nil, lease.LeaseNotObtainedError
	}
	return got, nil
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
func (s *Store) RenewLeaseItem(
	ctx context.Context, l *lease.Lease, until, wanted time.Time,
) (lease.LeaseItem, error) {
	if err := checkMoving(ctx, l, until); err != nil {
		return lease.LeaseItem{}, err
	}
	if l.FencingToken() == 0 {
		return lease.LeaseItem{}, s.renewByLeasing(ctx, l, until)
	}
	t := tenureOf(l)

	var to renewal
	if !wanted.IsZero() {
		to.wishEnd = s.hostTime(wanted)
	}
	if weight, isToWrite := l.WeightToWrite(); isToWrite {
		to.weight = weight
	}

	var item lease.LeaseItem
	result, err := s.write(ctx, &s.counts.Renewals, l.LeaseID, func(r *row, _ int64) outcome {
		to.end = s.hostTime(until)
		result := r.renew(t, to)
		if result != refused {
			item = s.item(r)
		}
		return result
	})
	if err != nil {
		return item, err
	}
	return item, result.orElse(lease.LeaseLostError)
}

// renewByLeasing renews a lease without a token: by leasing its item anew.
func (s *Store) renewByLeasing(ctx context.Context, l *lease.Lease, until time.Time) error {
	_, err := s.LeaseWithContext(ctx, l.LeaseID, l.Request, until)
	if err == lease.LeaseNotObtainedError {
		return lease.LeaseLostError
	}
	return err
}

// ReleaseLease is [lease.LockStore.ReleaseLease].
func (s *Store) ReleaseLease(l *lease.Lease) error {
	return s.ReleaseLeaseWithContext(context.Background(), l)
}

// ReleaseLeaseWithContext is [lease.LockStore.ReleaseLeaseWithContext].
func (s *Store) ReleaseLeaseWithContext(ctx context.Context, l *lease.Lease) error {
	if err := checkTenure(ctx, l); err != nil {
		return err
	}
	l.Discard()
	t := tenureOf(l)

	return s.give(ctx, &s.counts.Releases, l, func(r *row, _ int64) outcome {
		return r.release(t)
	})
}
