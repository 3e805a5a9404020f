package lease_test

import (
	"context"
	"math"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

// obtained returns a lease of 10 s of a two-method store, obtained just now.
func obtained(t *testing.T) *lease.Lease {
	t.Helper()
	l, err := lease.NewLocker(newScript("a")).ObtainLease(worker{"w1", 10 * time.Second})
	require.NoError(t, err)
	return l
}

func TestLeaseEndsATenthBeforeItsRowDoes(t *testing.T) {
	t.Parallel()
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

func TestLeaseCopiesShareTheTenure(t *testing.T) {
	t.Parallel()
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

func TestLeaseThatIsALiteralAnswersFromUntil(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := lease.Lease{
			LeaseID:         "a",
			Until:           time.Now().Add(10 * time.Second),
			AttributeValues: row{"FencingToken": num(3)},
		}
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
		time.Sleep(time.Hour)
		assert.Zero(t, l.Remaining())
	})
	var none *lease.Lease
	assert.False(t, none.Valid())
	assert.Zero(t, none.FencingToken())
	assert.Error(t, none.Context().Err())
	assert.False(t, (&lease.Lease{}).Valid())
}

func TestLeaseThatIsALiteralHasOneContext(t *testing.T) {
	l := &lease.Lease{LeaseID: "a", Request: for30s("w1"), Until: time.Now().Add(time.Hour)}
	first := l.Context()
	inUse := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := inUse()
	for range 20_000 {
		if l.Context() != first {
			t.Fatal("another context")
		}
	}
	assert.Less(t, inUse()-before, int64(1<<20))
	runtime.KeepAlive(l)
}

func TestLeaseRequestOfOver100YearsIsRefused(t *testing.T) {
	t.Parallel()
	const years = 100 * 365 * 24 * time.Hour
	f := newFixture(t, "a")
	locker := lease.NewLocker(f.LockStore)
	for _, d := range []time.Duration{years + 1, 1 << 62, math.MaxInt64} {
		for _, call := range []func() error{
			func() error { _, err := locker.ObtainLease(worker{"w1", d}); return err },
			func() error {
				_, err := locker.WaitUntilLeaseObtainedWithContext(within(t, aWhile), worker{"w1", d}, time.Second)
				return err
			},
			func() error { _, err := f.Lease("a", worker{"w1", d}, time.Now().Add(time.Minute)); return err },
			func() error {
				l := &lease.Lease{LeaseID: "a", Request: worker{"w1", d}}
				return locker.HeartbeatWithContext(within(t, aWhile), l, time.Millisecond)
			},
		} {
			assert.ErrorContains(t, call(), "100 years")
		}
	}
	assert.Zero(t, f.count())
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		locker := lease.NewLocker(s)
		l, err := locker.ObtainLease(worker{"w1", years})
		require.NoError(t, err)
		assert.Equal(t, years/10*9, l.Remaining())
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		assert.ErrorIs(t, locker.HeartbeatWithContext(ctx, l, 3*time.Second), context.DeadlineExceeded)
		assert.Len(t, s.beats(), 3)
	})
}

// weighs returns what the row of "a" says of the item's weight; "" for nothing.
func weighs(t *testing.T, store *leasetest.Store) string {
	t.Helper()
	weight := rowOf(t, store, "a")["LeaseWeight"]
	if weight == nil {
		return ""
	}
	return *weight.N
}

// weighing runs work under leases of 30 seconds, which are renewed each 10.
func weighing(t *testing.T, store *leasetest.Store, work func(l *lease.Lease)) {
	t.Helper()
	err := lease.NewLocker(store).Hold(t.Context(), for30s("w1"), func(_ context.Context, l *lease.Lease) error {
		work(l)
		return nil
	})
	assert.NoError(t, err)
}

func TestLeaseSetWeightIsWrittenWithRenewalsAndStaysWithTheItem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		var written []string
		weighing(t, store, func(l *lease.Lease) {
			time.Sleep(time.Second)
			for range 4 {
				for weight := range 31 { // The last one counts.
					l.SetWeight(float64(weight))
				}
				time.Sleep(10 * time.Second)
				written = append(written, weighs(t, store))
			}
		})
		assert.Equal(t, []string{"6.8", "11.44", "11.44", "18.12"}, written)
		assert.Equal(t, leasetest.Counts{Scans: 1, Leases: 1, Renewals: 4, Releases: 1}, store.Counts())
		assert.Equal(t, "18.12", weighs(t, store), "after the release")

		weighing(t, store, func(l *lease.Lease) {
			time.Sleep(11 * time.Second)
			assert.Equal(t, "18.12", weighs(t, store), "nothing was measured in this tenure")
		})
		weighing(t, store, func(l *lease.Lease) {
			l.SetWeight(68.12) // an average that begins with 1 would be less
			time.Sleep(11 * time.Second)
			assert.Equal(t, "28.12", weighs(t, store))
		})
	})
}

func TestLeaseSetWeightGoesNoFurtherByRenewalsThatFail(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(s *leasetest.Store, on bool){
		"an outage":    (*leasetest.Store).SetOutage,
		"lost replies": (*leasetest.Store).SetLoseReplies,
	} {
		synctest.Test(t, func(t *testing.T) {
			store := leasetest.NewStore("a")
			weighing(t, store, func(l *lease.Lease) {
				l.SetWeight(30)
				time.Sleep(5 * time.Second)
				fail(store, true)
				time.Sleep(10 * time.Second)
				assert.Greater(t, store.Counts().Faulty, 3, name)
				fail(store, false)
				l.SetWeight(29) // What was under way may have been applied, and counts no more.
				time.Sleep(5 * time.Second)
				assert.Equal(t, "6.6", weighs(t, store), name)
			})
		})
	}
}

func TestLeaseSetWeightThatMakesNoSenseIsLoggedOnceAndIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger := record(t)
		store := leasetest.NewStore("a")
		weighing(t, store, func(l *lease.Lease) {
			for _, weight := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, math.NaN()} {
				l.SetWeight(weight)
			}
			time.Sleep(11 * time.Second)
			assert.Equal(t, "", weighs(t, store))
			l.SetWeight(30)
			l.SetWeight(math.NaN())
			time.Sleep(10 * time.Second)
			assert.Equal(t, "6.8", weighs(t, store), "what was said before counts")
		})
		logged := logger.named("Lease Weight Ignored")
		require.Len(t, logged, 1)
		want := map[string]interface{}{"lessee_id": "w1", "lease_id": "a", "weight": "NaN"}
		assert.Equal(t, want, logged[0].keyvals)
		assert.Equal(t, "error", logged[0].level)
	})
}

func TestLeaseSetWeightOfABareLeaseDoesNothing(t *testing.T) {
	logger := record(t)
	store := leasetest.NewStore("a")
	bare, err := store.Lease("a", for30s("w1"), time.Now().Add(time.Minute))
	require.NoError(t, err)
	for _, l := range []*lease.Lease{nil, {}, bare} {
		l.SetWeight(30)
		l.SetWeight(math.NaN())
		weight, isToWrite := l.WeightToWrite()
		assert.False(t, isToWrite)
		assert.Zero(t, weight)
	}
	require.NoError(t, store.RenewLease(bare, time.Now().Add(2*time.Minute)))
	assert.Equal(t, "", weighs(t, store))
	assert.Empty(t, logger.events)
}

func TestLeaseSetWeightOnAStoreOfTwoMethodsIsWrittenNowhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		locker := lease.NewLocker(plainStore{store})
		l, err := locker.ObtainLease(for30s("w1"))
		require.NoError(t, err)
		l.SetWeight(30)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		assert.ErrorIs(t, locker.HeartbeatWithContext(ctx, l, 10*time.Second), context.DeadlineExceeded)
		assert.Equal(t, "", weighs(t, store))
		assert.True(t, l.Valid())
	})
}

func TestLeaseSetWeightMayBeCalledFromAnywhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		weighing(t, store, func(l *lease.Lease) {
			var all sync.WaitGroup
			for i := range 8 {
				other := *l
				all.Go(func() {
					for range 100 {
						other.SetWeight(float64(100 + i))
						time.Sleep(time.Second)
					}
				})
			}
			all.Wait()
			item := asSeen(t, store, "a")
			assert.InDelta(t, 80, item.Weight, 28)
		})
	})
}

func TestLeaseShowsTheCapacityOfItsRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a", "b")
		locker := lease.NewLocker(store)
		l, err := locker.ObtainLease(spacious{for30s("w1"), 2.5})
		require.NoError(t, err)
		assert.Equal(t, 2.5, asSeen(t, store, l.LeaseID).Capacity)
		require.NoError(t, locker.ReleaseLease(l))
		assert.Equal(t, 1.0, asSeen(t, store, l.LeaseID).Capacity)

		stop := sharing(locker, spacious{for30s("w1"), 0.5}, 0, untilDone)
		time.Sleep(time.Minute)
		assert.Equal(t, 0.5, asSeen(t, store, "a").Capacity)
		assert.Equal(t, 0.5, asSeen(t, store, "b").Capacity)
		assert.ErrorIs(t, stop(), context.Canceled)
		assert.NotContains(t, rowOf(t, store, "a"), "LeaseCapacity")
	})
}
