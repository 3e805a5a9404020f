package lease_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

// What a hostile user found.

func TestAShortenedDurationNeverShortensARowThatIsRenewedByLeasing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		locker := lease.NewLocker(struct{ *leasetest.Store }{store})
		r := newMutable("w1", time.Minute)
		l, err := locker.ObtainLease(r)
		require.NoError(t, err)
		r.duration.Store(int64(10 * time.Second))
		ctx, cancel := context.WithCancel(t.Context())
		go locker.HeartbeatWithContext(ctx, l, 20*time.Second)
		for range 200 {
			time.Sleep(time.Second)
			other, err := lease.NewLocker(store).ObtainLease(for30s("w2"))
			require.False(t, err == nil && l.Valid() && other.Valid(), "two holders")
			require.Error(t, err)
		}
		cancel()
	})
}

// hanging is a store of two methods on which every renewal of "a" hangs.
type hanging struct{ leased atomic.Int32 }

func (h *hanging) ListLeaseIDs() ([]string, error) { return []string{"a", "b"}, nil }

func (h *hanging) Lease(id string, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
	if id == "a" && h.leased.Add(1) > 1 {
		select {}
	}
	return &lease.Lease{LeaseID: id, Request: r, Until: until}, nil
}

func TestAHungCallKeepsNobodyFromOtherItems(t *testing.T) {
	locker := lease.NewLocker(&hanging{})
	w := worker{"w1", 300 * time.Millisecond}
	err := locker.Hold(context.Background(), w, func(ctx context.Context, _ *lease.Lease) error { <-ctx.Done(); return nil })
	assert.ErrorIs(t, err, lease.LeaseLostError)
	l, err := locker.WaitUntilLeaseObtainedWithContext(within(t, 10*time.Second), w, 100*time.Millisecond)
	require.NoError(t, err)
	assert.Equal(t, "b", l.LeaseID)
}

func TestRegisteringAnewOnAWrongClockNeverRepeatsAToken(t *testing.T) {
	f := newFixture(t)
	last := int64(0)
	for range 2 { // the process is started anew
		s := f.through(dated(-time.Minute))
		require.NoError(t, s.AddLeaseID("a", nil))
		l, err := lease.NewLocker(s).ObtainLease(for30s("w1"))
		require.NoError(t, err)
		assert.Greater(t, l.FencingToken(), last)
		last = l.FencingToken()
		require.NoError(t, s.RemoveLease(l))
		time.Sleep(2100 * time.Millisecond) // as exact as a Date header is, twice
	}
}

func TestALiteralThatWasReleasedIsNotRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		locker := lease.NewLocker(s)
		l := &lease.Lease{LeaseID: "a", Request: for30s("w1")}
		assert.ErrorIs(t, locker.ReleaseLease(l), lease.ReleaseUnsupportedError)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		assert.NoError(t, locker.HeartbeatWithContext(ctx, l, 10*time.Second))
		assert.Empty(t, s.calls)
	})
}

func TestAnIDThatIsListedTwiceIsTriedOnce(t *testing.T) {
	s := newScript("a", "a", "b", "a")
	s.lease = held
	_, err := lease.NewLocker(s).ObtainLease(for30s("w1"))
	assert.True(t, err == lease.LeaseNotObtainedError)
	assert.Len(t, s.calls, 3)
}

func TestASecondReleaseAfterAFailedOneSaysThatTheItemIsLost(t *testing.T) {
	f := newFixture(t, "a")
	locker, fault := f.faulty(0)
	l, err := locker.ObtainLease(worker{"w1", 2 * time.Second})
	require.NoError(t, err)
	fault.mode.Store("throttle")
	require.Error(t, locker.ReleaseLease(l))
	require.NotNil(t, lease.NewLocker(f.LockStore).WaitUntilLeaseObtained(for30s("w2"), 500*time.Millisecond))
	fault.mode.Store("")
	assert.True(t, locker.ReleaseLease(l) == lease.LeaseLostError)
}

func TestALostReplyOfAnObtainLeavesNoEndBehind(t *testing.T) {
	f := newFixture(t, "a")
	locker := lease.NewLocker(f.through(lossy("UpdateItem")))
	l, err := locker.ObtainLease(for30s("w1"))
	require.NoError(t, err)
	assert.Equal(t, int64(2), l.FencingToken(), "the SDK wrote twice")
	require.NoError(t, locker.ReleaseLease(l))
	assert.Equal(t, num(0), f.get("a")["LeaseUntil"])
}

func TestADurationThatHangsEndsTheHeartbeatWithTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		forever := make(chan struct{})
		defer close(forever)
		var hangs atomic.Bool
		r := &changing{"w1", func() time.Duration {
			if hangs.Load() {
				<-forever
			}
			return 30 * time.Second
		}}
		locker := lease.NewLocker(leasetest.NewStore("a"))
		l, err := locker.ObtainLease(r)
		require.NoError(t, err)
		hangs.Store(true)
		assert.ErrorIs(t, locker.Heartbeat(l, 10*time.Second), lease.LeaseLostError)
		assert.Equal(t, 27*time.Second, time.Since(l.Until.Add(-30*time.Second)))
	})
}

func TestAFailedReleaseNamesTheEndThatThirdPartiesWaitFor(t *testing.T) {
	f := newFixture(t, "a")
	older, err := lease.NewLocker(f.LockStore).ObtainLease(worker{"w1", time.Hour})
	require.NoError(t, err)
	locker, fault := f.faulty(0)
	l, err := locker.ObtainLease(worker{"w1", 30 * time.Second})
	require.NoError(t, err)
	fault.mode.Store("hang")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	assert.ErrorContains(t, locker.ReleaseLeaseWithContext(ctx, l), older.Until.Round(0).Format("15:04:05"))
}
