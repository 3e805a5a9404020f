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

// broken is a Store of which some methods break a promise.
type broken struct {
	*leasetest.Store
	lease   func(ctx context.Context, id string, r lease.LeaseRequest, until time.Time) (*lease.Lease, error)
	renew   func(l *lease.Lease, until time.Time) error
	release func(l *lease.Lease) error
	remove  func(id string) error
	add     func(id string) error
	scan    func(after string) ([]lease.LeaseItem, string, error)
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

func (b *broken) RenewLease(l *lease.Lease, until time.Time) error {
	if b.renew == nil || l == nil {
		return b.Store.RenewLease(l, until)
	}
	return b.renew(l, until)
}

func (b *broken) ReleaseLease(l *lease.Lease) error {
	if b.release == nil || l == nil || l.Request == nil {
		return b.Store.ReleaseLease(l)
	}
	return b.release(l)
}

func (b *broken) RemoveLeaseID(id string) error {
	if b.remove == nil {
		return b.Store.RemoveLeaseID(id)
	}
	return b.remove(id)
}

func (b *broken) AddLeaseID(id string, attributes map[string]*dynamodb.AttributeValue) error {
	if b.add == nil || attributes != nil {
		return b.Store.AddLeaseID(id, attributes)
	}
	return b.add(id)
}

func (b *broken) ScanLeaseItems(after string, limit int) ([]lease.LeaseItem, string, error) {
	if b.scan == nil {
		return b.Store.ScanLeaseItems(after, 0)
	}
	return b.scan(after)
}

func (b *broken) until(id string) time.Time {
	row, _ := b.Row(id)
	n, _ := strconv.ParseInt(*row["LeaseUntil"].N, 10, 64)
	return time.Unix(0, n)
}

// mutants are ways to break a store, with the promise that each breaks.
var mutants = map[string]struct {
	breaks string
	mutate func(b *broken)
}{
	"takes what is held": {"a held item is not obtained by another lessee", func(b *broken) {
		b.lease = func(ctx context.Context, id string, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
			if _, ok := b.Row(id); ok && b.Holder(id) != r.LesseeID() {
				b.Steal(id, "nobody", 0)
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
			if _, ok := b.Row(id); ok && time.Until(b.until(id)) < 50*time.Millisecond {
				b.Steal(id, "nobody", 0)
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
			if _, ok := b.Row(id); !ok || b.Holder(id) != "" {
				return nil, lease.LeaseNotObtainedError
			}
			time.Sleep(time.Millisecond)
			b.Steal(id, r.LesseeID(), time.Until(until))
			row, _ := b.Row(id)
			return &lease.Lease{LeaseID: id, Request: r, Until: until, AttributeValues: row}, nil
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
			if row, ok := b.Row(l.LeaseID); ok && l.Request != nil && row["ProcessID"] != nil && until.Before(b.until(l.LeaseID)) {
				b.Steal(l.LeaseID, l.Request.LesseeID(), time.Until(until))
			}
			return b.Store.RenewLease(l, until)
		}
	}},
	"says it renewed": {"a renewal moves the end", func(b *broken) {
		b.renew = func(*lease.Lease, time.Time) error { return nil }
	}},
	"releases without the token": {"an older tenure touches nothing of a newer one of its own lessee", func(b *broken) {
		b.release = func(l *lease.Lease) error {
			row, _ := b.Row(l.LeaseID)
			return b.Store.ReleaseLease(&lease.Lease{LeaseID: l.LeaseID, Request: l.Request, AttributeValues: row})
		}
	}},
	"forgets the token": {"tokens grow", func(b *broken) {
		b.release = func(l *lease.Lease) error {
			b.Retire(l.LeaseID)
			return b.Store.AddLeaseID(l.LeaseID, nil)
		}
	}},
	"releases once": {"a release frees the item at once, and may be repeated", func(b *broken) {
		b.release = func(l *lease.Lease) error {
			if row, ok := b.Row(l.LeaseID); ok && row["ProcessID"] == nil {
				return lease.LeaseLostError
			}
			return b.Store.ReleaseLease(l)
		}
	}},
	"says it released": {"a release frees the item at once", func(b *broken) {
		b.release = func(*lease.Lease) error { return nil }
	}},
	"retires what is held": {"an item that someone holds is retired by its holder only", func(b *broken) {
		b.remove = func(id string) error { b.Retire(id); return nil }
	}},
	"registers twice": {"an item is registered once", func(b *broken) {
		b.add = func(id string) error { b.Retire(id); return b.Store.AddLeaseID(id, nil) }
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

const mutantsEnv = "LEASETEST_MUTANTS"

// TestMutants fails: it is run by TestTheSuiteCatchesEveryMutant, in a process of its own.
func TestMutants(t *testing.T) {
	if os.Getenv(mutantsEnv) == "" {
		t.SkipNow()
	}
	for name, mutant := range mutants {
		t.Run(name, func(t *testing.T) {
			leasetest.TestStore(t, func(_ *testing.T, leaseIDs ...string) leasetest.StoreInterface {
				b := &broken{Store: leasetest.NewStore(leaseIDs...)}
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
