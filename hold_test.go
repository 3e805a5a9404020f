package lease_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

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

func TestHoldHeedsAWish(t *testing.T) {
	boom := errors.New("boom")
	for name, c := range map[string]struct{ answer, want error }{
		"nil":                  {nil, nil},
		"the context's error":  {context.Canceled, lease.LeaseWantedError},
		"the cause":            {lease.LeaseWantedError, lease.LeaseWantedError},
		"an error of its own":  {boom, boom},
		"one wrapped in words": {fmt.Errorf("stopped: %w", context.Canceled), context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, "a")
			err := lease.NewLocker(f.LockStore).Hold(t.Context(), worker{"w1", 1500 * time.Millisecond}, func(ctx context.Context, l *lease.Lease) error {
				wish := time.Now().Add(1250 * time.Millisecond)
				require.NoError(t, f.WantLease(t.Context(), f.seen(), "w2", wish))
				f.reset()
				<-ctx.Done()
				assert.LessOrEqual(t, f.count(), 1, "the renewal's reply shows the wish")
				assert.True(t, context.Cause(ctx) == lease.LeaseWantedError)
				time.Sleep(1600 * time.Millisecond) // longer than the wish and the lease last
				assert.NoError(t, l.Context().Err())
				assert.True(t, l.Valid())
				assert.Equal(t, str("w1"), f.get("a")["ProcessID"], "it is kept until work returns")
				assert.Greater(t, mustInt(t, f.get("a")["WantedUntil"]), time.Now().UnixNano(), "the wish is prolonged")
				f.reset()
				return c.answer
			})
			if c.want == boom || c.want == nil || c.want == lease.LeaseWantedError {
				assert.True(t, err == c.want, "got %v", err)
			} else {
				assert.ErrorIs(t, err, c.want)
			}
			assert.LessOrEqual(t, f.count(), 2, "a handover, perhaps a renewal")
			assert.Equal(t, str("w2"), f.get("a")["ProcessID"])
			assert.Equal(t, num(1), f.get("a")["FencingToken"])
		})
	}
}

func TestHoldFreesWhatAnOperatorWants(t *testing.T) {
	f := newFixture(t, "a")
	err := lease.NewLocker(f.LockStore).Hold(t.Context(), worker{"w1", time.Second}, func(ctx context.Context, _ *lease.Lease) error {
		require.NoError(t, f.WantLease(t.Context(), f.seen(), "", time.Now().Add(5*time.Minute)))
		<-ctx.Done()
		return ctx.Err()
	})
	assert.True(t, err == lease.LeaseWantedError, "got %v", err)
	assert.Equal(t, row{"id": str("a"), "LeaseUntil": num(0), "FencingToken": num(1)}, f.get("a"))
}

func TestHoldHeedsNoWishTooFarAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		err := lease.NewLocker(store).Hold(t.Context(), for30s("w1"), func(ctx context.Context, _ *lease.Lease) error {
			items, _, err := store.ScanLeaseItems("", 0)
			require.NoError(t, err)
			require.NoError(t, store.WantLease(t.Context(), items[0], "w2", time.Now().Add(time.Hour)))
			time.Sleep(49 * time.Minute)
			assert.NoError(t, ctx.Err())
			time.Sleep(2 * time.Minute)
			assert.True(t, context.Cause(ctx) == lease.LeaseWantedError, "by now it makes sense")
			return nil
		})
		assert.NoError(t, err)
		assert.Equal(t, "w2", store.Holder("a"))
	})
}

// TestHoldReservesForNoLongerThanTheWish: an operator wants an item freed, some time in the next minutes; a worker that is gone
// soon wants it for itself; it is handed over to that one, and idle for a minute at most.
func TestHoldReservesForNoLongerThanTheWish(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	want := func(by string, until time.Duration) {
		_, err := f.ddb.UpdateItem(&dynamodb.UpdateItemInput{TableName: &f.table, Key: row{"id": str("a")},
			UpdateExpression:          aws.String("SET WantedBy = :by, WantedUntil = :until"),
			ExpressionAttributeValues: row{":by": str(by), ":until": num(time.Now().Add(until).UnixNano())}})
		assert.NoError(t, err)
	}
	const d = 1500 * time.Millisecond
	err := lease.NewLocker(f.LockStore).Hold(t.Context(), worker{"w1", d}, func(ctx context.Context, _ *lease.Lease) error {
		want("", 5*time.Minute)
		<-ctx.Done()
		want("gone", d/2)
		return ctx.Err()
	})
	require.True(t, err == lease.LeaseWantedError, err)
	items, _, err := f.ScanLeaseItems("", 0)
	require.NoError(t, err)
	assert.Equal(t, "gone", items[0].LesseeID)
	assert.WithinDuration(t, time.Now(), items[0].Until, time.Minute+time.Second)
}

func TestHoldOfFourOwnRowsKeepsEach(t *testing.T) {
	f := newFixture(t)
	for round := range 50 {
		ids := []string{"a", "b", "c", "d"}
		for _, id := range ids {
			f.put(f.held(id, "w1", time.Now().Add(time.Minute))) // as the process before left them
		}
		locker := lease.NewLocker(f.store())
		var inside sync.WaitGroup
		inside.Add(len(ids))
		var mu sync.Mutex
		var got []string
		var all sync.WaitGroup
		for range ids {
			all.Go(func() {
				soon(t, func() {
					err := locker.Hold(context.Background(), worker{"w1", 5 * time.Second}, func(ctx context.Context, l *lease.Lease) error {
						mu.Lock()
						got = append(got, l.LeaseID)
						mu.Unlock()
						inside.Done()
						inside.Wait()
						return ctx.Err()
					})
					assert.NoError(t, err)
				})
			})
		}
		all.Wait()
		if !assert.ElementsMatch(t, ids, got, "round %d", round) {
			return
		}
	}
}

func TestHoldLogsBothErrorsOfItsEnd(t *testing.T) {
	logger := record(t)
	synctest.Test(t, func(t *testing.T) {
		s := leasetest.NewStore("a")
		locker := lease.NewLocker(s)
		_ = locker.Hold(context.Background(), for30s("w"), func(ctx context.Context, l *lease.Lease) error {
			s.SetError(leasetest.AccessDeniedError)
			time.Sleep(12 * time.Second) // heartbeat ended by AccessDenied
			s.SetError(nil)
			s.SetError(errors.New("another error of the release"))
			return nil
		})
	})
	assert.Contains(t, logger.text(), "AccessDenied")
	assert.Contains(t, logger.text(), "another error")
}

func TestHoldLogsAFailedReleaseAfterALoss(t *testing.T) {
	logger := record(t)
	synctest.Test(t, func(t *testing.T) {
		s := leasetest.NewStore("a")
		locker := lease.NewLocker(s)
		_ = locker.Hold(context.Background(), for30s("w"), func(ctx context.Context, l *lease.Lease) error {
			s.SetOutage(true)
			<-ctx.Done()
			logger = record(t)
			s.SetOutage(false)
			s.SetError(leasetest.AccessDeniedError)
			return nil
		})
	})
	assert.Contains(t, logger.text(), "AccessDenied")
}

func TestHoldLogsAPanicOnce(t *testing.T) {
	logger := record(t)
	synctest.Test(t, func(t *testing.T) {
		s := leasetest.NewStore("a")
		locker := lease.NewLocker(s)
		var n atomic.Int64
		w := &changing{"w", func() time.Duration {
			if n.Add(1) > 1 {
				panic("boom")
			}
			return 30 * time.Second
		}}
		func() {
			defer func() { assert.Equal(t, "boom", recover()) }()
			locker.Hold(context.Background(), w, func(ctx context.Context, l *lease.Lease) error { <-ctx.Done(); return nil })
		}()
	})
	assert.Len(t, logger.named("Panic"), 1)
}
