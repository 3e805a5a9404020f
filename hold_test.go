package lease_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
)

// TestLeasingAnewEndsTheOlderTenureAtOnce: what the chaos suite found. Or else the older lease would be
// valid while another lessee holds what the newer one released.
func TestLeasingAnewEndsTheOlderTenureAtOnce(t *testing.T) {
	f := newFixture(t, "a")
	for _, locker := range []*lease.Locker{lease.NewLocker(f.LockStore), lease.NewLocker(&embedder{LockStore: f.LockStore}), lease.NewLocker(newScript("a"))} {
		first, err := locker.ObtainLease(for30s("w1"))
		require.NoError(t, err)
		ctx := first.Context()
		second, err := locker.ObtainLease(for30s("w1"))
		require.NoError(t, err)
		assert.False(t, first.Valid())
		assert.Equal(t, lease.LeaseLostError, context.Cause(ctx))
		assert.True(t, second.Valid())
	}
}

func TestReleaseStopsTheHeartbeatAndFreesTheItemAtOnce(t *testing.T) {
	f := newFixture(t, "a")
	locker := lease.NewLocker(f.LockStore)
	l, err := locker.ObtainLease(for30s("w1"))
	require.NoError(t, err)
	beat := make(chan error, 1)
	go func() { beat <- locker.Heartbeat(l, time.Millisecond) }()
	time.Sleep(20 * time.Millisecond) // some renewals under way
	require.NoError(t, locker.ReleaseLease(l))
	assert.NoError(t, <-beat)
	assert.Equal(t, row{"id": str("a"), "LeaseUntil": num(0), "FencingToken": num(1)}, f.get("a"))
	next, err := locker.ObtainLease(for30s("w2"))
	require.NoError(t, err)
	before := f.get("a")
	require.NoError(t, locker.ReleaseLease(l), "released already")
	assert.Equal(t, before, f.get("a"))
	assert.NoError(t, locker.Heartbeat(l, time.Second), "a heartbeat that starts after the release")
	assert.Greater(t, next.FencingToken(), l.FencingToken())
}

func TestReleaseOfALostLeaseLeavesTheNewHolder(t *testing.T) {
	f := newFixture(t, "a")
	locker := lease.NewLocker(f.LockStore)
	l, err := locker.ObtainLease(worker{"w1", 100 * time.Millisecond})
	require.NoError(t, err)
	w2 := locker.WaitUntilLeaseObtained(for30s("w2"), time.Second)
	require.NotNil(t, w2)
	before := f.get("a")
	assert.True(t, locker.ReleaseLease(l) == lease.LeaseLostError)
	assert.Equal(t, lease.LeaseLostError, locker.Heartbeat(l, time.Second))
	assert.Equal(t, before, f.get("a"))
}

func TestReleaseOfALeaseKnownToBeLostSendsNothing(t *testing.T) {
	f := newFixture(t, "a")
	locker := lease.NewLocker(f.LockStore)
	l, err := locker.ObtainLease(worker{"w1", time.Second})
	require.NoError(t, err)
	f.put(f.held("a", "thief", time.Now().Add(time.Minute)))
	require.True(t, locker.Heartbeat(l, time.Millisecond) == lease.LeaseLostError)
	f.reset()
	assert.True(t, locker.ReleaseLease(l) == lease.LeaseLostError)
	assert.Zero(t, f.count())
}

func TestReleaseWaitsForARenewalUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, locker, l := beating(t)
		s.lease = func(string, time.Time) (*lease.Lease, error) {
			time.Sleep(2 * time.Second)
			return &lease.Lease{}, nil
		}
		beat := make(chan error, 1)
		go func() { beat <- locker.Heartbeat(l, 3*time.Second) }()
		time.Sleep(4 * time.Second)
		err := locker.ReleaseLease(l)
		assert.Equal(t, 5*time.Second, time.Since(s.start))
		assert.ErrorIs(t, err, lease.ReleaseUnsupportedError)
		assert.ErrorContains(t, err, `"a"`)
		assert.NoError(t, <-beat)
		assert.False(t, l.Valid())
	})
}

func TestReleaseGivesUpWaitingWhenTheItemIsFreeAnyway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, locker, l := beating(t)
		lifted := make(chan struct{})
		defer close(lifted)
		s.lease = func(string, time.Time) (*lease.Lease, error) { <-lifted; return nil, lease.LeaseNotObtainedError }
		go locker.Heartbeat(l, 3*time.Second)
		time.Sleep(4 * time.Second)
		assert.ErrorIs(t, locker.ReleaseLease(l), context.DeadlineExceeded)
		assert.Equal(t, 9*time.Second, time.Since(s.start))
		assert.False(t, l.Valid())
	})
}

func TestAReleasedItemIsTakenWithinAScanPeriod(t *testing.T) {
	f := newFixture(t, "a")
	locker := lease.NewLocker(f.LockStore)
	l, err := locker.ObtainLease(for30s("w1"))
	require.NoError(t, err)
	taken := make(chan time.Time, 1)
	go func() {
		lease.NewLocker(f.LockStore).WaitUntilLeaseObtained(for30s("w2"), 200*time.Millisecond)
		taken <- time.Now()
	}()
	time.Sleep(50 * time.Millisecond) // the standby has looked
	require.NoError(t, locker.ReleaseLease(l))
	released := time.Now()
	assert.Less(t, (<-taken).Sub(released), 400*time.Millisecond)
}

func TestHold(t *testing.T) {
	boom := errors.New("boom")
	hold := func(t *testing.T, work func(ctx context.Context, l *lease.Lease) error) (*fixture, error) {
		f := newFixture(t, "a")
		return f, lease.NewLocker(f.LockStore).Hold(context.Background(), worker{"w1", time.Second}, work)
	}
	free := func(t *testing.T, f *fixture) {
		t.Helper()
		assert.NotContains(t, f.get("a"), "ProcessID", "it was released")
	}
	t.Run("success is nil and the lease is kept meanwhile", func(t *testing.T) {
		f, err := hold(t, func(ctx context.Context, l *lease.Lease) error {
			time.Sleep(1500 * time.Millisecond) // longer than the lease lasts
			assert.True(t, l.Valid())
			return ctx.Err()
		})
		assert.NoError(t, err)
		free(t, f)
	})
	t.Run("work's error is returned as it is", func(t *testing.T) {
		f, err := hold(t, func(context.Context, *lease.Lease) error { return boom })
		assert.True(t, err == boom)
		free(t, f)
	})
	t.Run("a panic goes on and the lease is released", func(t *testing.T) {
		var f *fixture
		assert.PanicsWithValue(t, "boom", func() {
			f = newFixture(t, "a")
			_ = lease.NewLocker(f.LockStore).Hold(context.Background(), for30s("w1"),
				func(context.Context, *lease.Lease) error { panic("boom") })
		})
		free(t, f)
	})
	t.Run("cancellation keeps the lease until work has returned", func(t *testing.T) {
		f := newFixture(t, "a")
		ctx, cancel := context.WithCancel(context.Background())
		err := lease.NewLocker(f.LockStore).Hold(ctx, for30s("w1"), func(ctx context.Context, l *lease.Lease) error {
			cancel()
			<-ctx.Done()
			assert.True(t, l.Valid())
			return ctx.Err()
		})
		assert.ErrorIs(t, err, context.Canceled)
		assert.NotErrorIs(t, err, lease.LeaseLostError)
		free(t, f)
	})
	t.Run("loss ends the context and is told apart", func(t *testing.T) {
		for _, answer := range []error{nil, context.Canceled, boom} {
			f := newFixture(t, "a")
			err := lease.NewLocker(f.LockStore).Hold(context.Background(), worker{"w1", 2 * time.Second},
				func(ctx context.Context, l *lease.Lease) error {
					f.put(f.held("a", "thief", time.Now().Add(time.Minute)))
					<-ctx.Done()
					assert.Equal(t, lease.LeaseLostError, context.Cause(ctx))
					return answer
				})
			assert.ErrorIs(t, err, lease.LeaseLostError)
			assert.NotErrorIs(t, err, context.Canceled)
			assert.Equal(t, answer == boom, errors.Is(err, boom))
			assert.Equal(t, str("thief"), f.get("a")["ProcessID"])
		}
	})
	t.Run("work may retire its own item", func(t *testing.T) {
		f := newFixture(t, "a")
		err := lease.NewLocker(f.LockStore).Hold(context.Background(), for30s("w1"),
			func(_ context.Context, l *lease.Lease) error { return f.RemoveLease(l) })
		assert.NoError(t, err)
		assert.Nil(t, f.get("a"))
	})
}

func TestHoldWaitsForALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		s.lease = held
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		err := lease.NewLocker(s).Hold(ctx, worker{"w1", 9 * time.Second}, func(context.Context, *lease.Lease) error {
			t.Error("work ran without a lease")
			return nil
		})
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 3*time.Second, s.calls[2].at-s.calls[0].at, "it scans at a third of the duration")
	})
}

func TestHoldHeartbeatsAtAThird(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		err := lease.NewLocker(s).Hold(context.Background(), worker{"w1", 9 * time.Second}, func(context.Context, *lease.Lease) error {
			time.Sleep(10 * time.Second)
			return nil
		})
		assert.NoError(t, err, "that the store can't release is no fault of work")
		assert.Equal(t, []time.Duration{3 * time.Second, 6 * time.Second, 9 * time.Second}, s.beats())
	})
}
