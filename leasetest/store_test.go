package leasetest_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

func TestStoreReturnsBareLeases(t *testing.T) {
	inBubble(t, func(b *bubble) {
		l, err := b.Lease("a", for30s("w1"), b.start.Add(30*time.Second))
		require.NoError(b, err)
		require.NoError(b, b.RenewLease(l, b.start.Add(time.Hour)))
		<-l.Context().Done()
		b.at(27 * time.Second)
		assert.Equal(b, lease.LeaseExpiredError, context.Cause(l.Context()))
		assert.False(b, l.Valid())
		assert.Equal(b, "w1", b.Holder("a"))
		require.NoError(b, b.ReleaseLease(l))
		assert.Empty(b, b.Holder("a"))
	})
}

// counting is a Store with a Lease of its own.
type counting struct {
	*leasetest.Store
	asked chan time.Time // the ends
}

func (c *counting) Lease(id string, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
	c.asked <- until
	return c.Store.Lease(id, r, until)
}

func TestStoreThatIsEmbeddedIsUsedByTheTypesOwnLease(t *testing.T) {
	inBubble(t, func(b *bubble) {
		own := &counting{b.Store, make(chan time.Time, 10)}
		b.locker = lease.NewLocker(own)
		l := b.obtain("w1")
		assert.Equal(b, int64(1), l.FencingToken())
		beat := b.beat(l)
		b.sleepUntil(25 * time.Second)
		for _, end := range []time.Duration{30, 40, 50} {
			assert.True(b, b.start.Add(end*time.Second).Equal(<-own.asked))
		}
		assert.Empty(b, own.asked)
		assert.Equal(b, int64(3), l.FencingToken(), "a renewal leases anew")
		assert.Equal(b, leasetest.Counts{Scans: 1, Leases: 3}, b.Counts())
		assert.ErrorIs(b, b.locker.ReleaseLease(l), lease.ReleaseUnsupportedError)
		assert.NoError(b, <-beat)
		assert.Equal(b, "w1", b.Holder("a"))
	})
}

func TestStoreEndsTheTenureByReleaseAndRemoval(t *testing.T) {
	for name, end := range map[string]func(*leasetest.Store, *lease.Lease) error{
		"release": (*leasetest.Store).ReleaseLease, "removal": (*leasetest.Store).RemoveLease,
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bubble) {
				l := b.obtain("w1")
				beat := b.beat(l)
				b.sleepUntil(time.Second)
				b.SetOutage(true)
				require.Error(b, end(b.Store, l))
				cause := context.Cause(l.Context())
				assert.Equal(b, lease.LeaseReleasedError, cause, "whether it is sent or not")
				assert.NoError(b, <-beat)
				b.at(time.Second)
				b.SetOutage(false)
				require.NoError(b, end(b.Store, l))
				assert.Empty(b, b.Holder("a"))
			})
		})
	}
}
