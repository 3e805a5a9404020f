package leasetest_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
	"github.com/intercom/lease/leasetest"
)

func TestMain(m *testing.M) {
	lease.SetLogger(nil)
	ddblocal.SideBySide(8)
	ddblocal.Main(m)
}

// for30s is a lessee that wants leases of 30 s.
type for30s string

func (w for30s) LesseeID() string             { return string(w) }
func (w for30s) LeaseDuration() time.Duration { return 30 * time.Second }

var tables atomic.Int64

// newTable makes a table on DynamoDB, which is deleted when the test is over.
func newTable(
	t *testing.T, client *dynamodb.DynamoDB, hashKey string,
) (store *lease.LockStore, name string) {
	t.Helper()
	name = fmt.Sprintf("leasetest-%d-%d", time.Now().UnixNano(), tables.Add(1))
	store = lease.NewLockStore(client, name, hashKey)
	require.NoError(t, store.EnsureTable())
	t.Cleanup(func() {
		_, err := client.DeleteTable(&dynamodb.DeleteTableInput{TableName: &name})
		assert.NoError(t, err)
	})
	return store, name
}

// bubble is a test inside of a synctest bubble, on a store with the free item a, which starts
// at 0 s.
type bubble struct {
	*testing.T
	*leasetest.Store
	locker *lease.Locker
	start  time.Time
}

func inBubble(t *testing.T, test func(b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := leasetest.NewStore("a")
		test(&bubble{T: t, Store: s, locker: lease.NewLocker(s), start: time.Now()})
	})
}

func (b *bubble) sleepUntil(d time.Duration) { time.Sleep(d - time.Since(b.start)) }

func (b *bubble) at(d time.Duration) {
	b.Helper()
	assert.Equal(b, d, time.Since(b.start))
}

func (b *bubble) obtain(id string) *lease.Lease {
	b.Helper()
	l, err := b.locker.ObtainLease(for30s(id))
	require.NoError(b, err)
	return l
}

// beat heartbeats a lease every 10 s.
func (b *bubble) beat(l *lease.Lease) chan error {
	done := make(chan error, 1)
	go func() { done <- b.locker.Heartbeat(l, 10*time.Second) }()
	return done
}
