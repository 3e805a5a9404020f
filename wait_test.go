package lease_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

func TestWaitUntilLeaseObtainedLooksEachWaitPeriod(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		s.lease = func(id string, until time.Time) (*lease.Lease, error) {
			if time.Since(s.start) < 5*time.Second {
				return nil, lease.LeaseNotObtainedError
			}
			return &lease.Lease{LeaseID: id, Until: until}, nil
		}
		l := lease.NewLocker(s).WaitUntilLeaseObtained(for30s("w1"), 2*time.Second)
		require.NotNil(t, l)
		assert.Equal(t, []call{{0, ""}, {0, "a"}, {2 * time.Second, ""}, {2 * time.Second, "a"},
			{4 * time.Second, ""}, {4 * time.Second, "a"}, {6 * time.Second, ""}, {6 * time.Second, "a"}}, s.calls)
	})
}

func TestWaitUntilLeaseObtainedWaitsTenMillisecondsAtLeast(t *testing.T) {
	t.Parallel()
	for _, period := range []time.Duration{1, 10 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			s := newScript("a")
			s.lease = held
			ctx, cancel := context.WithTimeout(context.Background(), time.Second-1)
			defer cancel()
			_, err := lease.NewLocker(s).WaitUntilLeaseObtainedWithContext(ctx, for30s("w1"), period)
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.Len(t, s.calls, 2*100)
		})
	}
}

func TestWaitUntilLeaseObtainedWithoutAWaitPeriodIsNotHot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		s.lease = held
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second-1)
		defer cancel()
		_, err := lease.NewLocker(s).WaitUntilLeaseObtainedWithContext(ctx, for30s("w1"), 0)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Len(t, s.calls, 20)
	})
}

func TestWaitUntilLeaseObtainedLogsErrorsAndIsNeverHot(t *testing.T) {
	logger := record(t)
	for _, c := range []struct{ waitPeriod, between time.Duration }{
		{2 * time.Second, 2 * time.Second}, {time.Nanosecond, 100 * time.Millisecond},
		{0, time.Second}, {-time.Hour, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newScript()
			s.ids = func() ([]string, error) { return nil, errors.New("boom") }
			ctx, cancel := context.WithTimeout(context.Background(), 10*c.between-1)
			defer cancel()
			before := len(logger.named("AWS Error"))
			start := time.Now()
			l, err := lease.NewLocker(s).WaitUntilLeaseObtainedWithContext(ctx, for30s("w1"), c.waitPeriod)
			assert.Nil(t, l)
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.Len(t, s.calls, 10)
			intervals := int(time.Since(start) / (10 * time.Second))
			assert.Len(t, logger.named("AWS Error"), before+1+intervals)
		})
	}
}

func TestWaitUntilLeaseObtainedLogsEachErrorOnce(t *testing.T) {
	for _, mode := range []string{"throttle", "hang"} {
		for _, kind := range []string{"LockStore", "embedder", "two methods"} {
			if mode == "hang" && kind != "LockStore" {
				continue // It waits for the call.
			}
			t.Run(mode+" "+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					logger := record(t)
					i := newImagined(t, 0)
					i.mode.Store(mode)
					locker := lease.NewLocker(i.LockStore)
					switch kind {
					case "embedder":
						locker = lease.NewLocker(&embedder{LockStore: i.LockStore})
					case "two methods":
						locker = lease.NewLocker(plainStore{i.LockStore})
					}
					ctx, cancel := context.WithTimeout(context.Background(), 59*time.Second)
					defer cancel()
					_, err := locker.WaitUntilLeaseObtainedWithContext(ctx, worker{"w1", time.Second}, 2*time.Second)
					assert.ErrorIs(t, err, context.DeadlineExceeded)
					assert.GreaterOrEqual(t, i.count("Scan"), 5)
					want := i.count("Scan") // The LockStore logs each, where it isn't the Locker's own.
					if kind == "LockStore" {
						want = 6 // in a minute
					}
					assert.InDelta(t, want, len(logger.named("AWS Error")), 1)
				})
			})
		}
	}
}

func TestWaitUntilLeaseObtainedEndsAtOnceWithTheCause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		s.lease = held
		why := errors.New("shutting down")
		ctx, cancel := context.WithCancelCause(context.Background())
		time.AfterFunc(90*time.Second, func() { cancel(why) })
		l, err := lease.NewLocker(s).WaitUntilLeaseObtainedWithContext(ctx, for30s("w1"), time.Hour)
		assert.Nil(t, l)
		assert.ErrorIs(t, err, why)
		assert.Equal(t, 90*time.Second, time.Since(s.start))
		_, err = lease.NewLocker(s).ObtainLeaseWithContext(ctx, for30s("w1"))
		assert.ErrorIs(t, err, why)
	})
}

func TestWaitUntilLeaseObtainedThatIsGivenUpLogsNoError(t *testing.T) {
	logger := record(t)
	synctest.Test(t, func(t *testing.T) {
		s := leasetest.NewStore("a")
		_, err := lease.NewLocker(s.NewClient()).ObtainLease(worker{"o", 30 * time.Second})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			time.Sleep(29 * time.Second)
			s.SetHang(true)
			time.Sleep(3 * time.Second)
			cancel()
		}()
		_, err = lease.NewLocker(s).WaitUntilLeaseObtainedWithContext(ctx, for30s("w"), 40*time.Second)
		assert.ErrorIs(t, err, context.Canceled)
		s.SetHang(false) // The write that was given up is still watched.
	})
	assert.NotContains(t, logger.text(), "canceled")
}

func TestWaitUntilLeaseObtainedWakesAtTheFirstEndSeen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := onePage(item("late", "other", 50*time.Second), item("soon", "other", 20*time.Second), item("never", "other", time.Hour))
		l := lease.NewLocker(s).WaitUntilLeaseObtained(for30s("w1"), time.Minute)
		require.NotNil(t, l)
		require.Len(t, s.calls, 2)
		assert.Equal(t, "soon", s.calls[1].id)
		assert.Greater(t, s.calls[1].at, 20*time.Second)
		assert.LessOrEqual(t, s.calls[1].at, 20*time.Second+51*time.Millisecond)
	})
}

func TestWaitUntilLeaseObtainedGoesOnAfterAWakeThatObtainsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := onePage(item("a", "other", time.Second), item("b", "other", 2*time.Second), item("c", "other", 3*time.Second))
		s.lease = held
		ctx, cancel := context.WithTimeout(context.Background(), 11*time.Second)
		defer cancel()
		_, err := lease.NewLocker(s).WaitUntilLeaseObtainedWithContext(ctx, for30s("w1"), 10*time.Second)
		require.Error(t, err)
		require.Len(t, s.calls, 7, "one write before the second scan")
		assert.Equal(t, "a", s.calls[1].id)
		assert.Equal(t, call{10 * time.Second, ""}, s.calls[2])
	})
}

func TestWaitUntilLeaseObtainedInACrowdDoesNotStrikeAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		seen := make(map[time.Duration]bool)
		var mu sync.Mutex
		var wg sync.WaitGroup
		start := time.Now()
		for range 20 {
			s := onePage(item("a", "other", time.Second))
			s.lease = func(id string, until time.Time) (*lease.Lease, error) {
				mu.Lock()
				defer mu.Unlock()
				seen[time.Since(start)] = true
				return &lease.Lease{LeaseID: id, Until: until}, nil
			}
			wg.Go(func() { lease.NewLocker(s).WaitUntilLeaseObtained(for30s("w1"), time.Minute) })
		}
		wg.Wait()
		assert.Greater(t, len(seen), 15)
	})
}

func TestWaitUntilLeaseObtainedTakesOverSoonAfterTheEndAndNeverBefore(t *testing.T) {
	t.Parallel()
	for i := range 15 {
		synctest.Test(t, func(t *testing.T) {
			left := 700*time.Millisecond + time.Duration(i)*50*time.Millisecond
			store := leasetest.NewStore("a")
			store.Steal("a", "dead", left)
			start := time.Now()
			l := lease.NewLocker(store).WaitUntilLeaseObtained(for30s("w1"), time.Second)
			require.NotNil(t, l)
			assert.Greater(t, time.Since(start), left)
			assert.LessOrEqual(t, time.Since(start), left+51*time.Millisecond)
		})
	}
	t.Run("on DynamoDB", func(t *testing.T) {
		f := newFixture(t)
		end := time.Now().Add(500 * time.Millisecond)
		f.put(f.held("a", "dead", end))
		l := lease.NewLocker(f.LockStore).WaitUntilLeaseObtained(for30s("w1"), time.Second)
		assert.True(t, time.Now().After(end))
		assert.NotNil(t, l)
		assert.Equal(t, str("w1"), f.get("a")["ProcessID"])
	})
}

func TestWaitUntilLeaseObtainedTakesAReleasedItemAtItsNextLook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		locker := lease.NewLocker(store)
		l, err := locker.ObtainLease(for30s("w1"))
		require.NoError(t, err)
		taken := make(chan time.Time, 1)
		go func() {
			lease.NewLocker(store).WaitUntilLeaseObtained(for30s("w2"), 200*time.Millisecond)
			taken <- time.Now()
		}()
		time.Sleep(50 * time.Millisecond) // the standby has looked
		require.NoError(t, locker.ReleaseLease(l))
		released := time.Now()
		assert.Equal(t, 150*time.Millisecond, (<-taken).Sub(released))
		assert.Equal(t, "w2", store.Holder("a"))
	})
}

func TestWaitUntilLeaseObtainedCostsALookEachPeriod(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore(ids(200)...)
		for _, id := range ids(200) {
			store.Steal(id, "other", time.Minute)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second-1)
		defer cancel()
		client := store.NewClient()
		_, err := lease.NewLocker(client).WaitUntilLeaseObtainedWithContext(ctx, for30s("w1"), 500*time.Millisecond)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 10, client.Counts().Scans)
		assert.Zero(t, client.Counts().Writes())
	})
}

func TestWaitUntilLeaseObtainedLooksInTimeThoughALeaseEndsJustBefore(t *testing.T) {
	t.Parallel()
	for range 30 {
		synctest.Test(t, func(t *testing.T) {
			store := leasetest.NewStore("a")
			store.Steal("a", "dead", 990*time.Millisecond)
			start := time.Now()
			require.NotNil(t, lease.NewLocker(store).WaitUntilLeaseObtained(for30s("w1"), time.Second))
			assert.LessOrEqual(t, time.Since(start), time.Second)
		})
	}
}

func TestWaitUntilLeaseObtainedLogsTheErrorOfItsStrike(t *testing.T) {
	logger := record(t)
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		store.Steal("a", "dead", time.Second)
		time.AfterFunc(500*time.Millisecond, func() { store.OutageFor(5 * time.Second) })
		require.NotNil(t, lease.NewLocker(store).WaitUntilLeaseObtained(for30s("w1"), 10*time.Second))
	})
	assert.Len(t, logger.named("AWS Error"), 1)
}

func TestWaitUntilLeaseObtainedThatIsGivenUpInALookLogsNoError(t *testing.T) {
	logger := record(t)
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		store.SetHang(true)
		defer store.SetHang(false)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := lease.NewLocker(store).WaitUntilLeaseObtainedWithContext(ctx, for30s("w1"), time.Second)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
	})
	assert.Empty(t, logger.text())
}
