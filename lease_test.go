package lease_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
)

// obtained returns a lease of 10 s of a two-method store, obtained just now.
func obtained(t *testing.T) *lease.Lease {
	t.Helper()
	l, err := lease.NewLocker(newScript("a")).ObtainLease(worker{"w1", 10 * time.Second})
	require.NoError(t, err)
	return l
}

func TestALeaseEndsATenthBeforeItsRowDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := obtained(t)
		ctx := l.Context()
		time.Sleep(9*time.Second - 1)
		synctest.Wait()
		assert.NoError(t, ctx.Err())
		assert.True(t, l.Valid())
		assert.Equal(t, time.Duration(1), l.Remaining())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		assert.Error(t, ctx.Err())
		assert.Equal(t, lease.LeaseExpiredError, context.Cause(ctx))
		assert.False(t, l.Valid())
		assert.Zero(t, l.Remaining())
	})
}

func TestCopiesShareTheTenure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := obtained(t)
		other := *l
		assert.True(t, l.Context() == other.Context())
		locker := lease.NewLocker(newScript("a"))
		assert.ErrorIs(t, locker.ReleaseLease(&other), lease.ReleaseUnsupportedError)
		assert.False(t, l.Valid())
		assert.Equal(t, lease.LeaseReleasedError, context.Cause(l.Context()))
		assert.ErrorIs(t, locker.ReleaseLease(l), lease.ReleaseUnsupportedError, "it is still leased")
	})
}

func TestALiteralAnswersFromUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := lease.Lease{LeaseID: "a", Until: time.Now().Add(10 * time.Second), AttributeValues: row{"FencingToken": num(3)}}
		ctx := l.Context()
		time.Sleep(10*time.Second - 1)
		synctest.Wait()
		assert.True(t, l.Valid())
		assert.Equal(t, time.Duration(1), l.Remaining())
		assert.NoError(t, ctx.Err())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		assert.False(t, l.Valid())
		assert.Zero(t, l.Remaining())
		assert.Equal(t, lease.LeaseExpiredError, context.Cause(ctx))
		assert.Equal(t, int64(3), l.FencingToken())
	})
	var none *lease.Lease
	assert.False(t, none.Valid())
	assert.Zero(t, none.FencingToken())
	assert.Error(t, none.Context().Err())
	assert.False(t, (&lease.Lease{}).Valid())
}
