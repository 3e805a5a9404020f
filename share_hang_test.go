package lease_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

// noReply is a store on which requests that lease one item get no reply. It doesn't embed one: NewLocker is to take it whole.
type noReply struct {
	to   *leasetest.Store
	item string
}

func (s *noReply) LeaseAsSeen(ctx context.Context, seen lease.LeaseItem, older *lease.Lease, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
	if seen.LeaseID == s.item {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.to.LeaseAsSeen(ctx, seen, older, r, until)
}

func (s *noReply) Lease(id string, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
	return s.to.Lease(id, r, until)
}
func (s *noReply) LeaseWithContext(ctx context.Context, id string, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
	return s.to.LeaseWithContext(ctx, id, r, until)
}
func (s *noReply) ListLeaseIDs() ([]string, error) { return s.to.ListLeaseIDs() }
func (s *noReply) ScanLeaseItemsWithContext(ctx context.Context, after string, limit int) ([]lease.LeaseItem, string, error) {
	return s.to.ScanLeaseItemsWithContext(ctx, after, limit)
}
func (s *noReply) RenewLeaseItem(ctx context.Context, l *lease.Lease, until, wanted time.Time) (lease.LeaseItem, error) {
	return s.to.RenewLeaseItem(ctx, l, until, wanted)
}
func (s *noReply) ReleaseLeaseWithContext(ctx context.Context, l *lease.Lease) error {
	return s.to.ReleaseLeaseWithContext(ctx, l)
}
func (s *noReply) WantLease(ctx context.Context, seen lease.LeaseItem, by string, until time.Time) error {
	return s.to.WantLease(ctx, seen, by, until)
}
func (s *noReply) HandOverLease(ctx context.Context, l *lease.Lease, until time.Time) error {
	return s.to.HandOverLease(ctx, l, until)
}

// TestShareOneRequestHangs: an item whose request gets no reply does not keep the others of its batch from their work.
func TestShareOneRequestHangs(t *testing.T) {
	lease.SetLogger(nil)
	for _, d := range []time.Duration{6 * time.Second, 30 * time.Second} {
		t.Run(d.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &noReply{leasetest.NewStore("a", "b", "c", "d", "e", "f", "g", "h"), "a"}
				ctx, cancel := context.WithTimeout(t.Context(), 2*d)
				defer cancel()
				start, lost, slowest := time.Now(), 0, time.Duration(0)
				seen, mu := make(map[string]bool), sync.Mutex{}
				w := &sharer{name: "w", duration: d}
				ends := make(chan error, 100)
				err := lease.NewLocker(store).HoldShare(ctx, w, 0, func(ctx context.Context, l *lease.Lease) error {
					mu.Lock()
					if !seen[l.LeaseID] {
						seen[l.LeaseID] = true
						slowest = max(slowest, time.Since(start))
					}
					mu.Unlock()
					<-ctx.Done()
					ends <- context.Cause(ctx)
					return ctx.Err()
				})
				assert.ErrorIs(t, err, context.DeadlineExceeded)
				close(ends)
				for err := range ends {
					if errors.Is(err, lease.LeaseExpiredError) || errors.Is(err, lease.LeaseLostError) {
						lost++
					}
				}
				assert.Len(t, seen, 7)
				assert.Less(t, slowest, d/4, "when the last of the others began")
				assert.Zero(t, lost, "leases ended before their first renewal")
			})
		})
	}
}
