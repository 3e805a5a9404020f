package lease_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

// TestStatsAreWhatTheStoreCounted: a Locker's numbers are those of the requests that it sent,
// through outages, lost replies, thefts and wishes.
func TestStatsAreWhatTheStoreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := leasetest.NewStore(ids(20)...)
		store := shared.NewClient()
		locker := lease.NewLocker(store)
		stop := sharing(locker, for30s("w"), 0, untilDone)
		failed, losses := 0, 0 // releases that failed, renewals that showed a loss
		check := func(when string) {
			t.Helper()
			synctest.Wait()
			stats, counts := locker.Stats(), store.Counts()
			assert.EqualValues(t, counts.Scans, stats.Looks+stats.FailedLooks, "%s: looks", when)
			assert.EqualValues(t, counts.Leases, stats.Obtained+stats.RacesLost, "%s: leases", when)
			assert.EqualValues(t, counts.Releases-failed, stats.Released, "%s: releases", when)
			assert.EqualValues(t, counts.Handovers, stats.HandedOver, "%s: handovers", when)
			assert.EqualValues(t, counts.Renewals-losses, stats.Renewed+stats.FailedRenewals, "%s: renewals", when)
			held := 0
			for _, id := range ids(20) {
				if shared.Holder(id) == "w" {
					held++
				}
			}
			assert.Equal(t, held, stats.Held, "%s: held", when)
			assert.Len(t, locker.Leases(), stats.Held, when)
			gone := stats.Released + stats.HandedOver + stats.Lost + stats.Expired
			assert.EqualValues(t, stats.Held, stats.Obtained-gone, "%s: what became of them", when)
		}
		time.Sleep(time.Minute)
		check("in peace")
		stats := locker.Stats()
		assert.Equal(t, 20, stats.Held)
		assert.EqualValues(t, store.Counts().Renewals, stats.Renewed)
		assert.Zero(t, stats.FailedRenewals+stats.FailedLooks+stats.Lost+stats.Expired)
		assert.Greater(t, stats.LeastRemaining, 10*time.Second)
		assert.LessOrEqual(t, time.Since(stats.LastRenewal), time.Second*10)
		assert.LessOrEqual(t, time.Since(stats.LastLook), time.Second*11)

		store.OutageFor(12 * time.Second)
		time.Sleep(time.Minute)
		stats = locker.Stats()
		check("after a short outage")
		assert.Positive(t, stats.FailedRenewals)
		assert.EqualValues(t, store.Counts().Faulty, stats.FailedRenewals+stats.FailedLooks)
		assert.Less(t, stats.LeastRemaining, 16*time.Second)
		assert.Zero(t, stats.Lost+stats.Expired)

		store.SetLoseReplies(true)
		time.Sleep(11 * time.Second)
		store.SetLoseReplies(false)
		assert.Greater(t, locker.Stats().FailedRenewals, stats.FailedRenewals)
		time.Sleep(time.Minute)
		check("after lost replies")
		assert.Zero(t, locker.Stats().Lost+locker.Stats().Expired)

		shared.Steal("item-0", "thief", time.Hour)
		shared.Retire("item-1")
		wish(t, shared, "item-2", "other", time.Minute)
		time.Sleep(15 * time.Second)
		stats, losses = locker.Stats(), 2
		check("after a theft, a retirement and a wish")
		assert.EqualValues(t, 2, stats.Lost)
		assert.EqualValues(t, 1, stats.HandedOver)
		assert.Equal(t, 17, stats.Held)

		store.SetOutage(true)
		time.Sleep(40 * time.Second)
		assert.Zero(t, locker.Stats().Held)
		assert.EqualValues(t, 17, locker.Stats().Expired)
		assert.Empty(t, locker.Leases())
		store.SetOutage(false)
		failed = int(locker.Stats().FailedWrites)
		assert.Equal(t, 17, failed)
		time.Sleep(time.Minute)
		check("after a long outage")
		assert.True(t, stop() == context.Canceled)
		check("at the end")
		assert.Zero(t, locker.Stats().Held)
	})
}

func TestStatsOfWaitingAndOfHandovers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		locker, other := lease.NewLocker(store), lease.NewLocker(store)
		held, err := other.ObtainLease(for30s("o"))
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		finish := make(chan struct{})
		done := make(chan error, 1)
		go func() {
			work := func(ctx context.Context, _ *lease.Lease) error {
				<-ctx.Done()
				<-finish
				return nil
			}
			done <- locker.Hold(ctx, for30s("w"), work)
		}()
		time.Sleep(time.Second)
		assert.Equal(t, 1, locker.Stats().Waiting)
		assert.Zero(t, locker.Stats().Held)
		require.NoError(t, other.ReleaseLease(held))
		time.Sleep(20 * time.Second)
		assert.Zero(t, locker.Stats().Waiting)
		assert.Equal(t, 1, locker.Stats().Held)
		wish(t, store, "a", "o", time.Minute)
		time.Sleep(11 * time.Second)
		assert.Equal(t, 1, locker.Stats().InHandover)
		close(finish)
		require.NoError(t, <-done)
		assert.Zero(t, locker.Stats().InHandover)
		assert.EqualValues(t, 1, locker.Stats().HandedOver)
		assert.Zero(t, locker.Stats().Released)
	})
}

func TestStatsOfARaceThatIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		hook := func(context.Context, lease.LeaseItem) error {
			store.Steal("a", "faster", time.Minute)
			return nil
		}
		locker := lease.NewLocker(&hooked{to: store, hook: hook})
		_, err := locker.ObtainLease(for30s("w"))
		assert.True(t, err == lease.LeaseNotObtainedError)
		assert.EqualValues(t, 1, locker.Stats().RacesLost)
		assert.Zero(t, locker.Stats().Obtained)
	})
}

func TestStatsOfAStoreOfTwoMethodsShowNoRaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		store.Steal("a", "other", time.Hour)
		locker := lease.NewLocker(plainStore{store})
		for range 3 {
			_, err := locker.ObtainLease(for30s("w"))
			assert.True(t, err == lease.LeaseNotObtainedError)
		}
		assert.Zero(t, locker.Stats().RacesLost, "nobody raced")
	})
}

// TestStatsOfWhatHeartbeatsLeave: a loss that only the release shows, a wish that Heartbeat
// doesn't heed, an item that is leased anew, writes that fail, and an older lease of an item that
// is held.
func TestStatsOfWhatHeartbeatsLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		locker := lease.NewLocker(store)
		obtain := func() *lease.Lease {
			l, err := locker.ObtainLease(for30s("w"))
			require.NoError(t, err)
			return l
		}
		stolen := obtain()
		store.Steal("a", "thief", time.Second)
		for range 2 {
			assert.True(t, locker.ReleaseLease(stolen) == lease.LeaseLostError)
		}
		assert.EqualValues(t, 1, locker.Stats().Lost)
		time.Sleep(2 * time.Second)

		l := obtain()
		go locker.Heartbeat(l, 10*time.Second)
		wish(t, store, "a", "other", 20*time.Second)
		time.Sleep(15 * time.Second)
		assert.Zero(t, locker.Stats().InHandover, "nobody hands it over")
		older := &lease.Lease{LeaseID: "a", Request: for30s("w"), Until: time.Now().Add(time.Minute),
			AttributeValues: row{"FencingToken": num(l.FencingToken() - 1)}}
		assert.True(t, locker.Heartbeat(older, time.Second) == lease.LeaseLostError)
		assert.Equal(t, 1, locker.Stats().Held)
		store.SetOutage(true)
		assert.Error(t, locker.SaveAttributes(t.Context(), l, row{"x": num(1)}))
		assert.Error(t, locker.ReleaseLease(l))
		store.SetOutage(false)
		require.NoError(t, locker.ReleaseLease(l))
		stats := locker.Stats()
		assert.Equal(t, lease.LockerStats{Obtained: 2, Renewed: 1, Released: 1, Lost: 1, Looks: 2, FailedWrites: 2,
			LastLook: stats.LastLook, LastRenewal: stats.LastRenewal, LeastRemaining: 17 * time.Second}, stats)

		synctest.Wait() // The Heartbeat has returned.
		l = obtain()
		again := obtain()
		assert.False(t, l.Valid())
		stats = locker.Stats()
		assert.Equal(t, 1, stats.Held)
		assert.EqualValues(t, 2, stats.Lost)
		require.NoError(t, locker.ReleaseLease(again))
	})
}

func TestStatsOfARenewalBesideAReleaseShowNoFailedOne(t *testing.T) {
	t.Parallel()
	store := leasetest.NewStore("a")
	for range 50 {
		hook := func(context.Context, lease.LeaseItem) error { return nil }
		locker := lease.NewLocker(&hooked{to: store, hook: hook, renewed: (*lease.Lease).Discard})
		l, err := locker.ObtainLease(for30s("w"))
		require.NoError(t, err)
		assert.NoError(t, locker.Heartbeat(l, time.Millisecond))
		assert.Zero(t, locker.Stats().FailedRenewals)
		require.NoError(t, store.ReleaseLease(l))
	}
}

func TestStatsTakeNoAllocation(t *testing.T) {
	locker := lease.NewLocker(leasetest.NewStore(ids(100)...))
	for range 100 {
		_, err := locker.ObtainLease(worker{"w", time.Hour})
		require.NoError(t, err)
	}
	assert.Zero(t, testing.AllocsPerRun(100, func() { locker.Stats() }))
	assert.Equal(t, 100, locker.Stats().Held)
}

func TestLockerLeasesAreThoseHeldNow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("b", "a", "c")
		require.NoError(t, store.AddLeaseID("d", row{"Name": str("d's")}))
		locker := lease.NewLocker(store)
		var all []*lease.Lease
		for range 4 {
			l, err := locker.ObtainLease(for30s("w"))
			require.NoError(t, err)
			all = append(all, l)
		}
		for _, l := range all {
			if l.LeaseID == "b" {
				require.NoError(t, locker.ReleaseLease(l))
			}
		}
		time.Sleep(time.Second)
		got := locker.Leases()
		require.Len(t, got, 3)
		for i, id := range []string{"a", "c", "d"} {
			assert.Equal(t, id, got[i].LeaseID)
			assert.Equal(t, for30s("w"), got[i].Request)
			assert.True(t, got[i].Valid())
			assert.WithinDuration(t, time.Now().Add(29*time.Second), got[i].Until, time.Millisecond)
		}
		assert.Equal(t, str("d's"), got[2].AttributeValues["Name"])
		got[2].AttributeValues["Name"] = nil
		assert.Equal(t, str("d's"), locker.Leases()[2].AttributeValues["Name"], "they are copies")
		require.NoError(t, locker.ReleaseLease(got[0]), "they are leases of this Locker")
		for _, l := range all {
			assert.Equal(t, l.LeaseID == "c" || l.LeaseID == "d", l.Valid())
		}
		assert.Len(t, locker.Leases(), 2)
		time.Sleep(time.Minute)
		assert.Empty(t, locker.Leases())
		assert.Empty(t, (*lease.Locker)(nil).Leases())
		assert.Zero(t, (&lease.Locker{}).Stats())
	})
}

func BenchmarkStatsOf1000Leases(b *testing.B) {
	locker := lease.NewLocker(leasetest.NewStore(ids(1000)...))
	for range 1000 {
		_, err := locker.ObtainLease(worker{"w", time.Hour})
		require.NoError(b, err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if locker.Stats().Held != 1000 {
			b.Fatal(locker.Stats())
		}
	}
}

func TestStatsOfALeaseThatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hook := func(context.Context, lease.LeaseItem) error { return throttled }
		locker := lease.NewLocker(&hooked{to: leasetest.NewStore("a"), hook: hook})
		_, err := locker.ObtainLease(for30s("w"))
		assert.ErrorIs(t, err, throttled)
		assert.EqualValues(t, 1, locker.Stats().FailedWrites)
		assert.Zero(t, locker.Stats().RacesLost)
	})
}
