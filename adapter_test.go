package lease_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

func TestAdapterTriesIDsInTheStoresOrderOnceEach(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("c", "a", "b")
		s.lease = held
		l, err := lease.NewLocker(s).ObtainLease(for30s("w1"))
		assert.Nil(t, l)
		assert.True(t, err == lease.LeaseNotObtainedError)
		assert.Equal(t, []call{{0, ""}, {0, "c"}, {0, "a"}, {0, "b"}}, s.calls)
	})
}

func TestAdapterTriesAnIDThatIsListedTwiceOnce(t *testing.T) {
	t.Parallel()
	s := newScript("a", "a", "b", "a")
	s.lease = held
	_, err := lease.NewLocker(s).ObtainLease(for30s("w1"))
	assert.True(t, err == lease.LeaseNotObtainedError)
	assert.Len(t, s.calls, 3)
}

func TestAdapterEndsThePassAtAnUnexpectedError(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	s := newScript("a", "b", "c")
	s.lease = func(id string, until time.Time) (*lease.Lease, error) {
		if id == "b" {
			return nil, boom
		}
		return held(id, until)
	}
	l, err := lease.NewLocker(s).ObtainLease(for30s("w1"))
	assert.Nil(t, l)
	assert.True(t, err == boom)
	assert.Len(t, s.calls, 3)

	s.ids = func() ([]string, error) { return nil, boom }
	_, err = lease.NewLocker(s).ObtainLease(for30s("w1"))
	assert.True(t, err == boom)

	s = newScript("a")
	s.lease = func(string, time.Time) (*lease.Lease, error) { return nil, nil }
	l, err = lease.NewLocker(s).ObtainLease(for30s("w1"))
	assert.Nil(t, l)
	assert.ErrorContains(t, err, `neither a lease of "a" nor an error`)
}

func TestAdapterLeavesTheStoresLeaseAsItWas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kept := &lease.Lease{LeaseID: "a", Request: for30s("w1"), Until: time.Now().Add(30 * time.Second),
			AttributeValues: row{"FencingToken": num(4)}}
		s := newScript("a")
		s.lease = func(string, time.Time) (*lease.Lease, error) { return kept, nil }
		first, err := lease.NewLocker(s).ObtainLease(for30s("w1"))
		require.NoError(t, err)
		assert.Equal(t, int64(4), first.FencingToken())
		time.Sleep(28 * time.Second)
		assert.False(t, first.Valid())
		assert.Equal(t, for30s("w1"), kept.Request)
		second, err := lease.NewLocker(s).ObtainLease(worker{"w1", 10 * time.Second})
		require.NoError(t, err)
		assert.True(t, second.Valid())
		assert.False(t, first.Valid(), "a lease that is over stays so")
	})
}

func TestAdapterHonoursAShorterGrantOfARenewal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, locker, l := beating(t) // 9 s
		s.lease = func(id string, _ time.Time) (*lease.Lease, error) {
			return &lease.Lease{LeaseID: id, Until: time.Now().Add(5 * time.Second)}, nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), 3500*time.Millisecond)
		defer cancel()
		assert.ErrorIs(t, locker.HeartbeatWithContext(ctx, l, 3*time.Second), context.DeadlineExceeded)
		assert.Equal(t, 3600*time.Millisecond, l.Remaining(), "5 s after 3 s, less the margin of 0.9 s and half a second")
		<-l.Context().Done()
		assert.Equal(t, 7100*time.Millisecond, time.Since(s.start))
	})
}

func TestAdapterRenewsShorterGrantsInTimeAndNotAllTheTime(t *testing.T) {
	t.Parallel()
	for _, grant := range []time.Duration{5 * time.Second, 2 * time.Second} { // of 9 s
		synctest.Test(t, func(t *testing.T) {
			s := newScript("a")
			s.lease = func(id string, _ time.Time) (*lease.Lease, error) {
				if len(s.calls) > 1000 {
					return nil, lease.LeaseNotObtainedError
				}
				return &lease.Lease{LeaseID: id, Request: worker{"w1", 9 * time.Second}, Until: time.Now().Add(grant)}, nil
			}
			locker := lease.NewLocker(s)
			l, err := locker.ObtainLease(worker{"w1", 9 * time.Second})
			require.NoError(t, err)
			assert.Equal(t, grant-900*time.Millisecond, l.Remaining())
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			assert.ErrorIs(t, locker.HeartbeatWithContext(ctx, l, 3*time.Second), context.DeadlineExceeded)
			assert.True(t, l.Valid())
			assert.LessOrEqual(t, len(s.beats()), 300)
		})
	}
}

func TestAdapterIgnoresALongerGrant(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		s.lease = func(id string, _ time.Time) (*lease.Lease, error) {
			return &lease.Lease{LeaseID: id, Request: worker{"w1", 9 * time.Second}, Until: time.Now().Add(time.Hour)}, nil
		}
		locker := lease.NewLocker(s)
		l, err := locker.ObtainLease(worker{"w1", 9 * time.Second})
		require.NoError(t, err)
		assert.Equal(t, 8100*time.Millisecond, l.Remaining())
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second+1)
		defer cancel()
		assert.ErrorIs(t, locker.HeartbeatWithContext(ctx, l, 3*time.Second), context.DeadlineExceeded)
		assert.Equal(t, 8100*time.Millisecond-1, l.Remaining())
	})
}

func TestAdapterTakesARenewalThatGrantsNothingForALoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger := record(t)
		s, locker, l := beating(t)
		s.lease = func(string, time.Time) (*lease.Lease, error) { return &lease.Lease{Until: time.Now()}, nil }
		assert.ErrorIs(t, locker.Heartbeat(l, 3*time.Second), lease.LeaseLostError)
		assert.Equal(t, 3*time.Second, time.Since(s.start))
		assert.Empty(t, logger.named("Renewed Lease"))
		assert.False(t, l.Valid())
	})
}

func TestAdapterTakesARenewalThatReturnsNothingForAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, locker, l := beating(t)
		s.lease = func(string, time.Time) (*lease.Lease, error) { return nil, nil }
		err := locker.Heartbeat(l, 3*time.Second)
		assert.ErrorContains(t, err, `neither a lease of "a" nor an error`)
		assert.Equal(t, 5100*time.Millisecond, l.Remaining(), "it isn't renewed")
	})
}

// afterwards is what a test does when a tenure on that store has ended.
type afterwards func(t *testing.T, s *leasetest.Store, locker *lease.Locker, r lease.LeaseRequest)

// outlived obtains a lease of 30 s whose next LeaseDuration takes that long, on a store of two
// methods, and runs its Heartbeat until the lease has ended. Then it calls after. It does so 20
// times: there was a coin to toss.
func outlived(t *testing.T, takes time.Duration, after afterwards) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			s := leasetest.NewStore("a")
			locker := lease.NewLocker(struct{ *leasetest.Store }{s})
			var hangs atomic.Bool
			r := &changing{"w", func() time.Duration {
				if hangs.Swap(false) {
					time.Sleep(takes)
				}
				return 30 * time.Second
			}}
			l, err := locker.ObtainLease(r)
			require.NoError(t, err)
			hangs.Store(true)
			assert.Error(t, locker.Heartbeat(l, 10*time.Second))
			after(t, s, locker, r)
		})
	}
}

func TestAdapterSendsNoRenewalAfterTheEnd(t *testing.T) {
	t.Parallel()
	outlived(t, time.Minute, func(t *testing.T, s *leasetest.Store, _ *lease.Locker, _ lease.LeaseRequest) {
		before := s.Counts().Leases
		time.Sleep(2 * time.Minute)
		assert.Equal(t, before, s.Counts().Leases, "leased long after the tenure's end")
	})
}

func TestAdapterRenewalThatIsLateLeavesANewerTenureItsToken(t *testing.T) {
	t.Parallel()
	outlived(t, 40*time.Second, func(t *testing.T, s *leasetest.Store, locker *lease.Locker, r lease.LeaseRequest) {
		time.Sleep(4 * time.Second) // 31 s
		l, err := locker.ObtainLease(r)
		require.NoError(t, err)
		time.Sleep(20 * time.Second) // 51 s
		require.True(t, l.Valid())
		row, _ := s.Row("a")
		assert.Equal(t, "2", *row["FencingToken"].N)
		assert.Equal(t, int64(2), l.FencingToken())
	})
}

func TestAdapterShortensNoRowForAShortenedDuration(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		locker := lease.NewLocker(struct{ *leasetest.Store }{store})
		r := newMutable("w1", time.Minute)
		l, err := locker.ObtainLease(r)
		require.NoError(t, err)
		r.duration.Store(int64(10 * time.Second))
		ctx, cancel := context.WithCancel(t.Context())
		go locker.HeartbeatWithContext(ctx, l, 20*time.Second)
		last := int64(0)
		for range 200 {
			time.Sleep(time.Second)
			end := mustInt(t, rowOf(t, store, "a")["LeaseUntil"])
			require.GreaterOrEqual(t, end, last, "the row's end is moved back")
			last = end
			other, err := lease.NewLocker(store).ObtainLease(for30s("w2"))
			require.False(t, err == nil && l.Valid() && other.Valid(), "two holders")
			require.Error(t, err)
		}
		cancel()
	})
}

func TestAdapterTokenFollowsRenewalsThatLeaseAnew(t *testing.T) {
	t.Parallel()
	const renewals = 3
	t.Run("an embedder", func(t *testing.T) {
		f := newFixture(t, "a")
		e := &embedder{LockStore: f.LockStore, limit: 1 + renewals}
		locker := lease.NewLocker(e)
		l, err := locker.ObtainLease(for30s("w1"))
		require.NoError(t, err)
		copied := *l
		require.True(t, locker.Heartbeat(l, 10*time.Millisecond) == errEnough)
		assert.Equal(t, int64(1+renewals), l.FencingToken())
		assert.Equal(t, int64(1+renewals), copied.FencingToken())
		assert.Equal(t, num(l.FencingToken()), f.get("a")["FencingToken"])
		assert.NoError(t, e.ReleaseLease(&copied))
		assert.Equal(t, row{"id": str("a"), "LeaseUntil": num(0), "FencingToken": num(l.FencingToken())}, f.get("a"))
		assert.False(t, l.Valid())
	})
	t.Run("a literal", func(t *testing.T) {
		f := newFixture(t, "a")
		locker := lease.NewLocker(f.LockStore)
		l := &lease.Lease{LeaseID: "a", Request: for30s("w1")}
		_, err := f.Lease(l.LeaseID, l.Request, time.Now().Add(30*time.Second))
		require.NoError(t, err)
		beat := make(chan error, 1)
		go func() { beat <- locker.Heartbeat(l, 10*time.Millisecond) }()
		eventually(t, "some renewals", func() bool { return f.count("UpdateItem") > renewals })
		assert.NoError(t, locker.ReleaseLease(l))
		assert.NoError(t, <-beat)
		assert.NotContains(t, f.get("a"), "ProcessID")
	})
	t.Run("a wrapper of two methods", func(t *testing.T) {
		f := newFixture(t, "a")
		locker := lease.NewLocker(plainStore{&embedder{LockStore: f.LockStore, limit: 1 + renewals}})
		l, err := locker.ObtainLease(for30s("w1"))
		require.NoError(t, err)
		require.True(t, locker.Heartbeat(l, 10*time.Millisecond) == errEnough)
		assert.Equal(t, int64(1+renewals), l.FencingToken())
		assert.Equal(t, num(l.FencingToken()), f.get("a")["FencingToken"])
		assert.NoError(t, f.ReleaseLease(l))
		assert.NotContains(t, f.get("a"), "ProcessID")
	})
}

func TestAdapterTakesAStoreThatLeavesItsGoroutineForAnError(t *testing.T) {
	t.Parallel()
	t.Run("Heartbeat", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, locker, l := beating(t)
			s.lease = func(string, time.Time) (*lease.Lease, error) { runtime.Goexit(); return nil, nil }
			err := locker.Heartbeat(l, 3*time.Second)
			assert.Error(t, err)
			assert.NotErrorIs(t, err, lease.LeaseLostError)
			assert.Equal(t, 3*time.Second, time.Since(s.start))
		})
	})
	t.Run("Hold", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			locker := lease.NewLocker(newScript("a"))
			request := &spoilsport{do: runtime.Goexit}
			work := func(ctx context.Context, _ *lease.Lease) error {
				request.spoilt.Store(true)
				<-ctx.Done()
				return nil
			}
			err := locker.Hold(context.Background(), request, work)
			assert.ErrorIs(t, err, lease.LeaseLostError)
		})
	})
	t.Run("ObtainLease", func(t *testing.T) {
		s := newScript("a")
		s.lease = func(string, time.Time) (*lease.Lease, error) { runtime.Goexit(); return nil, nil }
		soon(t, func() {
			l, err := lease.NewLocker(s).ObtainLease(for30s("w1"))
			assert.Nil(t, l)
			assert.Error(t, err)
		})
	})
}

func TestAdapterOfAHungStoreHoldsUpNoContext(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"Lease", "ListLeaseIDs"} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScript("a")
				lifted := make(chan struct{})
				defer close(lifted)
				if method == "Lease" {
					s.lease = func(string, time.Time) (*lease.Lease, error) { <-lifted; return &lease.Lease{}, nil }
				} else {
					s.ids = func() ([]string, error) { <-lifted; return nil, nil }
				}
				locker := lease.NewLocker(s)
				for _, call := range []func(ctx context.Context) (*lease.Lease, error){
					func(ctx context.Context) (*lease.Lease, error) {
						return locker.ObtainLeaseWithContext(ctx, for30s("w1"))
					},
					func(ctx context.Context) (*lease.Lease, error) {
						return locker.WaitUntilLeaseObtainedWithContext(ctx, for30s("w1"), time.Second)
					},
				} {
					start := time.Now()
					ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
					soon(t, func() {
						l, err := call(ctx)
						assert.Nil(t, l)
						assert.ErrorIs(t, err, context.DeadlineExceeded)
					})
					assert.Equal(t, 5*time.Second, time.Since(start))
					cancel()
				}
			})
		})
	}
}

func TestAdapterOfAHungStoreEndsTheHeartbeatInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, locker, l := beating(t)
		lifted := make(chan struct{})
		s.lease = func(string, time.Time) (*lease.Lease, error) { <-lifted; return &lease.Lease{}, nil }
		err := locker.Heartbeat(l, 3*time.Second)
		assert.ErrorIs(t, err, lease.LeaseLostError)
		assert.Equal(t, 8100*time.Millisecond, time.Since(s.start))
		assert.Len(t, s.beats(), 1, "no second call beside the one that hangs")
		close(lifted)
		synctest.Wait()
		assert.False(t, l.Valid(), "a reply that comes too late revives nothing")
	})
}

// hanging is a store of two methods on which every renewal of "a" hangs until that is lifted.
type hanging struct {
	leased atomic.Int32
	lifted chan struct{}
}

func (h *hanging) ListLeaseIDs() ([]string, error) { return []string{"a", "b"}, nil }

func (h *hanging) Lease(id string, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
	if id == "a" && h.leased.Add(1) > 1 {
		<-h.lifted
	}
	return &lease.Lease{LeaseID: id, Request: r, Until: until}, nil
}

func TestAdapterOfAHungCallKeepsNobodyFromOtherItems(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &hanging{lifted: make(chan struct{})}
		defer close(store.lifted)
		locker := lease.NewLocker(store)
		work := func(ctx context.Context, _ *lease.Lease) error {
			<-ctx.Done()
			return nil
		}
		err := locker.Hold(t.Context(), for30s("w1"), work)
		assert.ErrorIs(t, err, lease.LeaseLostError)
		start := time.Now()
		l := locker.WaitUntilLeaseObtained(for30s("w1"), time.Second)
		require.NotNil(t, l)
		assert.Equal(t, "b", l.LeaseID)
		assert.LessOrEqual(t, time.Since(start), 10*time.Second)
	})
}

func TestAdapterOfAnEmbedderLogsErrorsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger := record(t)
		i := newImagined(t, 0)
		locker := lease.NewLocker(&embedder{LockStore: i.LockStore})
		i.mode.Store("throttle")
		_, err := locker.ObtainLease(worker{"w1", 9 * time.Second})
		require.Error(t, err)
		assert.Len(t, logger.named("AWS Error"), 1, "the look's")

		i.mode.Store("")
		l, err := locker.ObtainLease(worker{"w1", 9 * time.Second})
		require.NoError(t, err)
		i.reset()
		i.mode.Store("throttle")
		assert.ErrorIs(t, locker.Heartbeat(l, 3*time.Second), lease.LeaseLostError)
		assert.Greater(t, i.count(), 3)
		assert.Len(t, logger.named("AWS Error"), 1+i.count(), "the renewals'")
	})
}

func TestAdapterSaysAtEachReleaseThatItCannot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, locker, l := beating(t)
		ends := l.Until.Round(0).Format("15:04:05")
		for range 2 {
			err := locker.ReleaseLease(l)
			assert.ErrorIs(t, err, lease.ReleaseUnsupportedError)
			assert.ErrorContains(t, err, `"a"`)
			assert.ErrorContains(t, err, ends, "when the item will be free")
			assert.NotContains(t, err.Error(), "adapter")
			assert.NotContains(t, err.Error(), "struct")
			time.Sleep(time.Second)
		}
		assert.Len(t, s.beats(), 0)
		assert.False(t, l.Valid())
	})
	synctest.Test(t, func(t *testing.T) {
		locker := lease.NewLocker(plainStore{newScript("a")})
		l, err := locker.ObtainLease(for30s("w1"))
		require.NoError(t, err)
		ends := l.Until.Round(0).Format("15:04:05")
		require.ErrorIs(t, locker.ReleaseLease(l), lease.ReleaseUnsupportedError)
		time.Sleep(31 * time.Second)
		if err := locker.ReleaseLease(l); err != nil { // It isn't held any more.
			assert.NotRegexp(t, "(stays leased until|ends at).*"+ends, err.Error(), "that is past")
		}
	})
}

func TestAdapterHoldsAnIDThatIsListedTwiceOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		script := newScript("a", "a", "b", "a")
		var working sync.Map
		var works atomic.Int32
		stop := sharing(lease.NewLocker(script), for30s("w"), 0, func(ctx context.Context, l *lease.Lease) error {
			works.Add(1)
			_, isTwice := working.LoadOrStore(l.LeaseID, true)
			assert.False(t, isTwice, l.LeaseID)
			return untilDone(ctx, l)
		})
		time.Sleep(time.Second)
		assert.ErrorIs(t, stop(), context.Canceled)
		assert.Equal(t, int32(2), works.Load())
	})
}

// asked is a store of two methods that keeps the request of the last call.
type asked struct{ request lease.LeaseRequest }

func (a *asked) ListLeaseIDs() ([]string, error) { return []string{"a"}, nil }

func (a *asked) Lease(id string, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
	a.request = r
	return &lease.Lease{LeaseID: id, Until: until}, nil
}

func TestAdapterGivesItsStoreTheCallersRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &asked{}
		locker := lease.NewLocker(store)
		l, err := locker.ObtainLease(for30s("w1"))
		require.NoError(t, err)
		assert.Equal(t, for30s("w1"), store.request)
		store.request = nil
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		assert.Error(t, locker.HeartbeatWithContext(ctx, l, 10*time.Second))
		assert.Equal(t, for30s("w1"), store.request)
	})
}

func TestAdapterOfAHungStoreSendsNothingForOneThatHasGivenUpItsTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, locker, l := beating(t)
		lifted := make(chan struct{})
		s.lease = func(string, time.Time) (*lease.Lease, error) { <-lifted; return &lease.Lease{}, nil }
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() { assert.Error(t, locker.HeartbeatWithContext(ctx, l, 3*time.Second)) })
		}
		both.Wait()
		close(lifted)
		synctest.Wait()
		assert.Len(t, s.beats(), 1)
	})
}

// A call that is given up would have to be waited for all the same.
func TestAdapterWaitsForAStoreThatIsSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		s.ids = func() ([]string, error) {
			time.Sleep(time.Minute)
			return []string{"a"}, nil
		}
		l, err := lease.NewLocker(s).ObtainLease(for30s("w1"))
		require.NoError(t, err)
		assert.True(t, l.Valid())
		assert.Equal(t, time.Minute, time.Since(s.start))
	})
}
