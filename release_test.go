package lease_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

func TestReleaseStopsTheHeartbeatAndFreesTheItem(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	locker := lease.NewLocker(f.LockStore)
	l, err := locker.ObtainLease(for30s("w1"))
	require.NoError(t, err)
	beat := make(chan error, 1)
	go func() { beat <- locker.Heartbeat(l, time.Millisecond) }()
	eventually(t, "some renewals", func() bool { return f.count("UpdateItem") > 3 })
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

func TestReleaseEndsTheTenureFirst(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	locker := lease.NewLocker(f.LockStore)
	r := newMutable("w1", 30*time.Second)
	l, err := locker.ObtainLease(r)
	require.NoError(t, err)
	r.duration.Store(0)
	assert.ErrorIs(t, locker.ReleaseLeaseWithContext(ctx, l), context.Canceled)
	assert.False(t, l.Valid(), "whatever becomes of the row")
	require.NoError(t, locker.ReleaseLease(l))
	assert.NotContains(t, f.get("a"), "ProcessID")
}

func TestReleaseOfALostLeaseLeavesTheNewHolder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		locker := lease.NewLocker(store)
		l, err := locker.ObtainLease(worker{"w1", 100 * time.Millisecond})
		require.NoError(t, err)
		w2 := locker.WaitUntilLeaseObtained(for30s("w2"), time.Second)
		require.NotNil(t, w2)
		before := rowOf(t, store, "a")
		assert.True(t, locker.ReleaseLease(l) == lease.LeaseLostError)
		assert.Equal(t, lease.LeaseLostError, locker.Heartbeat(l, time.Second))
		assert.Equal(t, before, rowOf(t, store, "a"))
	})
}

func TestReleaseOfALeaseKnownToBeLostSendsNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	locker := lease.NewLocker(f.LockStore)
	l, err := locker.ObtainLease(for30s("w1"))
	require.NoError(t, err)
	f.put(f.held("a", "thief", time.Now().Add(time.Minute)))
	require.True(t, locker.Heartbeat(l, time.Millisecond) == lease.LeaseLostError)
	f.reset()
	assert.True(t, locker.ReleaseLease(l) == lease.LeaseLostError)
	assert.Zero(t, f.count())
}

func TestReleaseAfterAFailedOneSaysThatTheItemIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		client := store.NewClient()
		locker := lease.NewLocker(client)
		l, err := locker.ObtainLease(worker{"w1", 2 * time.Second})
		require.NoError(t, err)
		client.SetError(throttled)
		require.Error(t, locker.ReleaseLease(l))
		require.NotNil(t, lease.NewLocker(store).WaitUntilLeaseObtained(for30s("w2"), 500*time.Millisecond))
		client.SetError(nil)
		assert.True(t, locker.ReleaseLease(l) == lease.LeaseLostError)
	})
}

func TestReleaseWaitsForARenewalUnderWay(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, locker, l := beating(t)
		lifted := make(chan struct{})
		defer close(lifted)
		s.lease = func(string, time.Time) (*lease.Lease, error) { <-lifted; return nil, lease.LeaseNotObtainedError }
		go locker.Heartbeat(l, 3*time.Second)
		time.Sleep(4 * time.Second)
		assertUnanswered(t, locker.ReleaseLease(l), "the release of \"a\" in ")
		assert.Equal(t, 9*time.Second, time.Since(s.start))
		assert.False(t, l.Valid())
	})
}

func TestReleaseThatCrossesARenewalFreesTheItem(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	locker := lease.NewLocker(f.LockStore)
	lost := 0
	for i := range 100 {
		l, err := locker.ObtainLease(worker{"w", time.Hour})
		require.NoError(t, err, i)
		done := make(chan error)
		for range 3 {
			go func() { done <- locker.Heartbeat(l, time.Millisecond) }()
		}
		time.Sleep(5*time.Millisecond + time.Duration(i%50)*40*time.Microsecond)
		if err := locker.ReleaseLease(l); err != nil {
			lost++
			t.Log(i, err, f.get("a"))
		}
		<-done
		<-done
		<-done
	}
	assert.Zero(t, lost)
}

func TestReleaseTakesTenSecondsAtMost(t *testing.T) {
	for _, mode := range []string{"hang", "freeze"} {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := newImagined(t, 0)
				defer close(i.thaw)
				locker := lease.NewLocker(i.LockStore)
				l, err := locker.ObtainLease(worker{"w1", time.Hour})
				require.NoError(t, err)
				ends := l.Until.Round(0).Format("15:04:05")
				time.Sleep(time.Minute)
				i.mode.Store(mode)
				start := time.Now()
				soon(t, func() {
					err := locker.ReleaseLease(l)
					assertUnanswered(t, err, "the release of \"a\" in ")
					assert.ErrorContains(t, err, ends)
				})
				assert.Equal(t, 10*time.Second, time.Since(start))
			})
		})
		t.Run(mode+", Hold", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				logger := record(t)
				i := newImagined(t, 0)
				defer close(i.thaw)
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				var start time.Time
				var ends string
				soon(t, func() {
					work := func(leased context.Context, l *lease.Lease) error {
						ends = l.Until.Round(0).Format("15:04:05")
						i.mode.Store(mode)
						start = time.Now()
						cancel()
						<-leased.Done()
						return leased.Err()
					}
					err := lease.NewLocker(i.LockStore).Hold(ctx, worker{"w1", time.Hour}, work)
					assert.True(t, err == context.Canceled, "got %v", err)
				})
				assert.Equal(t, 10*time.Second, time.Since(start))
				errs := logger.named("AWS Error")
				require.Len(t, errs, 1)
				assert.Contains(t, fmt.Sprint(errs[0].keyvals), ends, "it says until when the row stays leased")
			})
		})
	}
}

func TestReleaseIsNotHeldUpBeyondTheEndByAFrozenTransport(t *testing.T) {
	t.Parallel()
	five := worker{"w1", 5 * time.Second}
	freeze := func(t *testing.T) (imagined, *lease.Locker, *lease.Lease, time.Time) {
		i, start := newImagined(t, 0), time.Now()
		locker := lease.NewLocker(i.LockStore)
		l, err := locker.ObtainLease(five)
		require.NoError(t, err)
		i.mode.Store("freeze")
		return i, locker, l, start
	}
	t.Run("at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			i, locker, l, start := freeze(t)
			defer close(i.thaw)
			time.Sleep(time.Second)
			soon(t, func() { assertUnanswered(t, locker.ReleaseLease(l), "the release of \"a\" in ") })
			assert.LessOrEqual(t, time.Since(start), five.duration)
			assert.False(t, l.Valid())
		})
	})
	t.Run("during a renewal", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			i, locker, l, start := freeze(t)
			defer close(i.thaw)
			beat := make(chan error, 1)
			go func() { beat <- locker.Heartbeat(l, time.Second) }()
			time.Sleep(1500 * time.Millisecond)
			soon(t, func() { assertUnanswered(t, locker.ReleaseLease(l), "the release of \"a\" in ") })
			assert.LessOrEqual(t, time.Since(start), five.duration)
			soon(t, func() { assert.NoError(t, <-beat) })
		})
	})
}

func TestReleaseThatFailsNamesTheEndThatThirdPartiesWaitFor(t *testing.T) {
	t.Parallel()
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

func TestReleaseAfterAnEndedOwnRowWritesZero(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	r := f.held("a", "w", time.Now().Add(-time.Hour))
	f.put(r)
	locker := lease.NewLocker(f.LockStore)
	l, err := locker.ObtainLease(for30s("w"))
	require.NoError(t, err)
	require.NoError(t, locker.ReleaseLease(l))
	assert.Equal(t, "0", *f.get("a")["LeaseUntil"].N)
}

func TestReleaseOfARequestOrLeaseThatChangedFreesTheItem(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(r *mutable, l *lease.Lease){
		"a duration of 0":      func(r *mutable, _ *lease.Lease) { r.duration.Store(0) },
		"a negative duration":  func(r *mutable, _ *lease.Lease) { r.duration.Store(-1) },
		"another lessee":       func(r *mutable, _ *lease.Lease) { r.id.Store("somebody else") },
		"no lessee":            func(r *mutable, _ *lease.Lease) { r.id.Store("") },
		"no request":           func(_ *mutable, l *lease.Lease) { l.Request = nil },
		"a typed nil":          func(_ *mutable, l *lease.Lease) { l.Request = (*worker)(nil) },
		"an empty lease":       func(_ *mutable, l *lease.Lease) { *l = lease.Lease{} },
		"another item":         func(_ *mutable, l *lease.Lease) { l.LeaseID = "b" },
		"attributes of others": func(_ *mutable, l *lease.Lease) { l.AttributeValues = row{"FencingToken": str("x")} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				free := row{leasetest.HashKey: str("a"), "LeaseUntil": num(0), "FencingToken": num(1)}
				store := leasetest.NewStore("a")
				r := newMutable("w1", 900*time.Millisecond)
				work := func(ctx context.Context, l *lease.Lease) error {
					change(r, l)
					time.Sleep(1500 * time.Millisecond) // some renewals
					return ctx.Err()
				}
				err := lease.NewLocker(store).Hold(t.Context(), r, work)
				assert.NoError(t, err, "it was kept until then")
				assert.Equal(t, free, rowOf(t, store, "a"))

				locker := lease.NewLocker(store)
				r = newMutable("w1", 30*time.Second)
				l, err := locker.ObtainLease(r)
				require.NoError(t, err)
				ctx, wiped := l.Context(), name == "an empty lease"
				change(r, l)
				if wiped {
					return // It is a literal by now.
				}
				assert.NoError(t, locker.ReleaseLease(l))
				assert.Error(t, ctx.Err())
				assert.NotContains(t, rowOf(t, store, "a"), "ProcessID")
			})
		})
	}
}

func TestReleaseAfterTheEndTakesASecondAtMost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newImagined(t, 0)
		locker := lease.NewLocker(i.LockStore)
		l, err := locker.ObtainLease(for30s("w1"))
		require.NoError(t, err)
		time.Sleep(31 * time.Second)
		i.mode.Store("hang")
		start := time.Now()
		assertUnanswered(t, locker.ReleaseLease(l), "the release of \"a\" in ")
		assert.Equal(t, time.Second, time.Since(start), "nobody waits for the item any more")
	})
}

func TestReleaseIsSentOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		locker := lease.NewLocker(store)
		l, err := locker.ObtainLease(for30s("w1"))
		require.NoError(t, err)
		for range 2 {
			assert.NoError(t, locker.ReleaseLease(l))
		}
		assert.Equal(t, 1, store.Counts().Releases)
	})
}
