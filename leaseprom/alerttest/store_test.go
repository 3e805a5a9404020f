package alerttest

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

// distant is a client of a store over a network: each reply takes its time, so that workers
// meet at one item, and requests have durations to show.
type distant struct {
	client      *leasetest.Store
	latency     time.Duration
	deniesSaves atomic.Bool
}

func (d *distant) Lease(
	leaseID string, request lease.LeaseRequest, until time.Time,
) (*lease.Lease, error) {
	return d.LeaseWithContext(context.Background(), leaseID, request, until)
}

func (d *distant) LeaseWithContext(
	ctx context.Context, leaseID string, request lease.LeaseRequest, until time.Time,
) (*lease.Lease, error) {
	time.Sleep(d.latency)
	return d.client.LeaseWithContext(ctx, leaseID, request, until)
}

func (d *distant) LeaseAsSeen(
	ctx context.Context, seen lease.LeaseItem, predecessor *lease.Lease,
	request lease.LeaseRequest, until time.Time,
) (*lease.Lease, error) {
	time.Sleep(d.latency)
	return d.client.LeaseAsSeen(ctx, seen, predecessor, request, until)
}

func (d *distant) RenewLeaseItem(
	ctx context.Context, l *lease.Lease, until, wanted time.Time,
) (lease.LeaseItem, error) {
	time.Sleep(d.latency)
	return d.client.RenewLeaseItem(ctx, l, until, wanted)
}

func (d *distant) ReleaseLeaseWithContext(ctx context.Context, l *lease.Lease) error {
	time.Sleep(d.latency)
	return d.client.ReleaseLeaseWithContext(ctx, l)
}

func (d *distant) WantLease(
	ctx context.Context, seen lease.LeaseItem, by string, until time.Time,
) error {
	time.Sleep(d.latency)
	return d.client.WantLease(ctx, seen, by, until)
}

func (d *distant) WithdrawWish(
	ctx context.Context, seen lease.LeaseItem, by string, until time.Time,
) (lease.LeaseItem, error) {
	time.Sleep(d.latency)
	return d.client.WithdrawWish(ctx, seen, by, until)
}

func (d *distant) HandOverLease(ctx context.Context, l *lease.Lease, until time.Time) error {
	time.Sleep(d.latency)
	return d.client.HandOverLease(ctx, l, until)
}

func (d *distant) SaveAttributes(
	ctx context.Context, l *lease.Lease, attributes map[string]*dynamodb.AttributeValue,
) error {
	time.Sleep(d.latency)
	if d.deniesSaves.Load() {
		return leasetest.AccessDeniedError
	}
	return d.client.SaveAttributes(ctx, l, attributes)
}

func (d *distant) ListLeaseIDs() ([]string, error) { return d.client.ListLeaseIDs() }

func (d *distant) ScanLeaseItemsWithContext(
	ctx context.Context, after string, limit int,
) (items []lease.LeaseItem, next string, err error) {
	time.Sleep(d.latency)
	return d.client.ScanLeaseItemsWithContext(ctx, after, limit)
}
