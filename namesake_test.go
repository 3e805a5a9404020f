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

func TestNamesakeKeepsWhatThePausedOneReliesOn(t *testing.T) {
	t.Parallel()
	for name, duration := range map[string]time.Duration{
		"a shorter lease": 10 * time.Second,
		"a longer lease":  100 * time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, "a")
			paused, newer := lease.NewLocker(f.store()), lease.NewLocker(f.store())
			older, err := paused.ObtainLease(for30s("w1"))
			require.NoError(t, err)
			end := f.ends(t)
			l, err := newer.ObtainLease(worker{"w1", duration})
			require.NoError(t, err)
			assert.False(t, f.ends(t).Before(end), "the row's end is not moved back")
			assert.Less(t, l.Remaining(), duration, "the lease is no longer than was asked for")
			require.NoError(t, f.RenewLease(l, time.Now().Add(duration)))
			assert.False(t, f.ends(t).Before(end), "nor by renewals")

			require.NoError(t, newer.ReleaseLease(l))
			free := row{"id": str("a"), "LeaseUntil": num(end.UnixNano()), "FencingToken": num(2)}
			assert.Equal(t, free, f.get("a"))
			require.NoError(t, newer.ReleaseLease(l), "released already")
			require.NoError(t, f.ReleaseLease(l), "released already")
			assert.Equal(t, free, f.get("a"))
			assert.True(t, f.RenewLease(older, time.Now().Add(time.Minute)) == lease.LeaseLostError)
			third := lease.NewLocker(f.store())
			_, err = third.ObtainLease(for30s("w2"))
			assert.True(t, err == lease.LeaseNotObtainedError, "third parties don't get it, got %v", err)
			assert.Error(t, f.original("a", "old", time.Now().Add(time.Minute)), "nor does the original")

			f.pass("a")
			l, err = third.ObtainLease(for30s("w2"))
			require.NoError(t, err)
			assert.Equal(t, int64(3), l.FencingToken())
			assert.True(t, paused.ReleaseLease(older) == lease.LeaseLostError)
			assert.Equal(t, str("w2"), f.get("a")["ProcessID"])
		})
		t.Run(name+", in time", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := leasetest.NewStore("a")
				paused, newer := lease.NewLocker(store), lease.NewLocker(store)
				older, err := paused.ObtainLease(for30s("w1"))
				require.NoError(t, err)
				end := time.Now().Add(30 * time.Second)
				l, err := newer.ObtainLease(worker{"w1", duration})
				require.NoError(t, err)
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				err = newer.HeartbeatWithContext(ctx, l, 3*time.Second)
				assert.ErrorIs(t, err, context.DeadlineExceeded)
				assert.False(t, asSeen(t, store, "a").Until.Before(end), "the row's end is not moved back")

				require.NoError(t, newer.ReleaseLease(l))
				assert.Equal(t, num(end.UnixNano()), rowOf(t, store, "a")["LeaseUntil"])
				assert.True(t, older.Valid())
				third := lease.NewLocker(store).WaitUntilLeaseObtained(for30s("w2"), time.Second)
				require.NotNil(t, third)
				assert.True(t, time.Now().After(end), "%v too soon", time.Until(end))
				assert.Equal(t, int64(3), third.FencingToken())
				assert.False(t, older.Valid())
			})
		})
	}
}

func TestNamesakeThatWasPausedLosesAtItsNextRenewal(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	paused, newer := lease.NewLocker(f.store()), lease.NewLocker(f.store())
	older, err := paused.ObtainLease(for30s("w1"))
	require.NoError(t, err)
	l, err := newer.ObtainLease(for30s("w1"))
	require.NoError(t, err)
	assert.True(t, paused.Heartbeat(older, time.Millisecond) == lease.LeaseLostError)
	assert.False(t, older.Valid())
	err = newer.HeartbeatWithContext(within(t, 50*time.Millisecond), l, 10*time.Millisecond)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.True(t, l.Valid())
}

func TestNamesakesEndIsRememberedByTheNextTenureToo(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	_, err := lease.NewLocker(f.store()).ObtainLease(worker{"w1", time.Hour}) // and paused
	require.NoError(t, err)
	end := f.ends(t)
	newer := lease.NewLocker(f.store())
	for range 3 {
		_, err := newer.ObtainLease(worker{"w1", 2 * time.Hour})
		require.NoError(t, err)
		assert.True(t, f.ends(t).After(end))
	}
	l, err := newer.ObtainLease(worker{"w1", time.Minute})
	require.NoError(t, err)
	require.NoError(t, newer.ReleaseLease(l))
	free := row{"id": str("a"), "LeaseUntil": num(end.UnixNano()), "FencingToken": num(5)}
	assert.Equal(t, free, f.get("a"), "until the paused one's end, not until that of the newer ones")
}

func TestNamesakesEndIsNotThatOfTheLockersOwnOlderTenure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		locker := lease.NewLocker(store)
		for range 3 {
			l, err := locker.ObtainLease(for30s("w1"))
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 55*time.Millisecond)
			err = locker.HeartbeatWithContext(ctx, l, 10*time.Millisecond)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			cancel()
		}
		assert.Equal(t, 15, store.Counts().Renewals)
		l, err := locker.ObtainLease(for30s("w1"))
		require.NoError(t, err)
		require.NoError(t, locker.ReleaseLease(l))
		free := row{leasetest.HashKey: str("a"), "LeaseUntil": num(0), "FencingToken": num(4)}
		assert.Equal(t, free, rowOf(t, store, "a"))
		_, err = lease.NewLocker(store).ObtainLease(for30s("w2"))
		assert.NoError(t, err)
	})
}

func TestNamesakesLeaseIsNotTakenForOneWhoseReplyWasLost(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	until := time.Now().Add(30 * time.Second)
	first, err := f.Lease("a", for30s("host:1"), until)
	require.NoError(t, err)
	second, err := f.Lease("a", for30s("host:1"), until) // the very same end
	require.NoError(t, err)
	assert.Greater(t, second.FencingToken(), first.FencingToken())
}

// TestNamesakeThatIsAnOriginalKeepsItsLease: after a rollback.
func TestNamesakeThatIsAnOriginalKeepsItsLease(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	locker := lease.NewLocker(f.LockStore)
	for name, late := range map[string]func(l *lease.Lease) error{
		"ReleaseLease":             locker.ReleaseLease,
		"the store's ReleaseLease": f.ReleaseLease,
		"the store's RemoveLease":  f.RemoveLease,
	} {
		t.Run(name, func(t *testing.T) {
			l, err := locker.ObtainLease(for30s("w1"))
			require.NoError(t, err)
			require.NoError(t, f.RenewLease(l, time.Now().Add(31*time.Second)))
			require.NoError(t, f.original("a", "w1", time.Now().Add(40*time.Second)))
			before := f.get("a")
			assert.True(t, late(l) == lease.LeaseLostError)
			assert.Equal(t, before, f.get("a"))
			require.NoError(t, f.original("a", "w1", time.Now().Add(-time.Second)))
		})
	}
}

func TestNamesakesRowSeenTooEarlyCostsOneMoreWrite(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	older, err := f.Lease("a", for30s("w1"), time.Now().Add(30*time.Second))
	require.NoError(t, err)
	stale := f.seen()
	require.NoError(t, f.RenewLease(older, time.Now().Add(time.Minute)))
	end := f.ends(t)
	store := f.store()
	_, err = store.ListLeaseIDs() // learns the clock
	require.NoError(t, err)

	f.reset()
	l, err := store.LeaseAsSeen(context.Background(), stale, nil, for30s("w1"), time.Now().Add(30*time.Second))
	require.NoError(t, err)
	assert.Equal(t, 2, f.count("UpdateItem"))
	assert.Equal(t, 2, f.count())
	assert.Equal(t, 1, f.refusals())
	assert.Equal(t, int64(2), l.FencingToken())
	assert.True(t, end.Equal(f.ends(t)))
	require.NoError(t, store.ReleaseLease(l))
	assert.True(t, end.Equal(f.ends(t)), "it remembers the end that the refusal showed")

	f.put(f.held("a", "other", time.Now().Add(time.Minute)))
	f.reset()
	_, err = store.LeaseAsSeen(context.Background(), stale, nil, for30s("w1"), time.Now().Add(30*time.Second))
	assert.True(t, err == lease.LeaseNotObtainedError, "got %v", err)
	assert.Equal(t, 1, f.count(), "it has become another's")

	f.put(row{"id": str("a"), "LeaseUntil": num(0), "FencingToken": num(2)})
	f.reset()
	_, err = store.LeaseAsSeen(context.Background(), stale, nil, for30s("w1"), time.Now().Add(30*time.Second))
	require.NoError(t, err)
	assert.Equal(t, 2, f.count(), "it has become free: nothing is remembered of what was seen")
}

func TestNamesakesLeaseThatArrivesTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	older, err := f.Lease("a", for30s("w1"), time.Now().Add(30*time.Second))
	require.NoError(t, err)
	stale := f.seen()
	require.NoError(t, f.RenewLease(older, time.Now().Add(40*time.Second)))
	end := f.ends(t)
	store, late := f.taped()
	unchanged := func(what string) {
		t.Helper()
		before := f.get("a")
		late.replay(t, 0) // was refused
		late.replay(t, 1)
		assert.Equal(t, before, f.get("a"), what)
	}
	l, err := store.LeaseAsSeen(context.Background(), stale, nil, for30s("w1"), time.Now().Add(30*time.Second))
	require.NoError(t, err)
	require.Len(t, late.sent, 2)
	unchanged("after the lease")
	require.NoError(t, store.RenewLease(l, time.Now().Add(time.Minute)))
	unchanged("after a renewal")
	again, err := store.LeaseAsSeen(context.Background(), f.seen(), l, for30s("w1"), time.Now().Add(30*time.Second))
	require.NoError(t, err)
	unchanged("after a newer tenure")
	require.NoError(t, store.ReleaseLease(again))
	assert.True(t, end.Equal(f.ends(t)))
	unchanged("after the release, which keeps others out")
	f.put(f.held("a", "w2", time.Now().Add(time.Minute)))
	unchanged("after another's lease")
}

// An original of the name renews by leasing, and leaves the token as it is.
func TestNamesakeThatIsAnOriginalIsRememberedByTheNextTenure(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	locker := lease.NewLocker(f.LockStore)
	_, err := locker.ObtainLease(for30s("w1"))
	require.NoError(t, err)
	require.NoError(t, f.original("a", "w1", time.Now().Add(time.Hour)))
	end := f.ends(t)
	l, err := locker.ObtainLease(for30s("w1"))
	require.NoError(t, err)
	assert.True(t, end.Equal(f.ends(t)), "its lease is not shortened")
	require.NoError(t, locker.ReleaseLease(l))
	free := row{"id": str("a"), "LeaseUntil": num(end.UnixNano()), "FencingToken": num(2)}
	assert.Equal(t, free, f.get("a"), "others get the item when the original has given it up")
}

func TestNamesakesEndIsNotThatOfAnOlderTenureAmongMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		locker := lease.NewLocker(store)
		older, err := locker.ObtainLease(for30s("w1"))
		require.NoError(t, err)
		older.Discard()
		for _, id := range ids(100) {
			require.NoError(t, store.AddLeaseID(id, nil))
			l, err := locker.ObtainLease(for30s("w2"))
			require.NoError(t, err)
			require.NoError(t, locker.ReleaseLease(l))
			require.NoError(t, store.RemoveLeaseID(id))
		}
		l, err := locker.ObtainLease(for30s("w1"))
		require.NoError(t, err)
		require.NoError(t, locker.ReleaseLease(l))
		assert.Equal(t, num(0), rowOf(t, store, "a")["LeaseUntil"])
	})
}

// The end that was seen is no namesake's if the row was released since.
func TestNamesakesEndIsForgottenWhereItsRowWasReleasedSinceItWasSeen(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(f *fixture, older *lease.Lease){
		"released": func(f *fixture, older *lease.Lease) { assert.NoError(f.tb, f.ReleaseLease(older)) },
		"ended":    func(f *fixture, _ *lease.Lease) { f.pass("a") },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, "a")
			older, err := f.Lease("a", for30s("w1"), time.Now().Add(time.Hour))
			require.NoError(t, err)
			stale := f.seen()
			change(f, older)
			store, m := f.metered(nil)
			until := time.Now().Add(30 * time.Second)
			l, err := store.LeaseAsSeen(t.Context(), stale, nil, for30s("w1"), until)
			require.NoError(t, err)
			assert.Equal(t, num(until.UnixNano()), f.get("a")["LeaseUntil"])
			assert.Equal(t, 2, m.count(), "once as it was seen, and once as the refusal shows it")
			require.NoError(t, store.ReleaseLease(l))
			assert.Equal(t, num(0), f.get("a")["LeaseUntil"], "the next has it at once")
		})
	}
}
