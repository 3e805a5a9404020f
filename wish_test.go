package lease_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
	"github.com/intercom/lease/leasetest"
)

// metered is f.through with a meter of its own.
func (f *fixture) metered(wrap func(http.RoundTripper) http.RoundTripper) (*lease.LockStore, *meter) {
	s, m := f.through(wrap), &meter{requests: make(map[string]int)}
	m.attach(s.DynamoDB)
	_, err := s.ListLeaseIDs() // learns the clock
	require.NoError(f.tb, err)
	m.reset()
	return s, m
}

// wanted leases "a" to w1 for a minute, lets w2 wish for it, and returns the lease and the wish's end.
func (f *fixture) wanted() (*lease.Lease, time.Time) {
	f.tb.Helper()
	l, err := f.Lease("a", worker{"w1", time.Minute}, time.Now().Add(time.Minute))
	require.NoError(f.tb, err)
	until := time.Now().Add(40 * time.Second)
	require.NoError(f.tb, f.WantLease(context.Background(), f.seen(), "w2", until))
	return l, until
}

func TestAWishIsTwoAttributesAndOneRequest(t *testing.T) {
	f := newFixture(t, "a")
	l, err := f.Lease("a", for30s("w1"), time.Now().Add(30*time.Second))
	require.NoError(t, err)
	want, seen, until := f.get("a"), f.seen(), time.Now().Add(25*time.Second)
	f.reset()
	require.NoError(t, f.WantLease(t.Context(), seen, "w2", until))
	assert.Equal(t, 1, f.count())
	want["WantedBy"], want["WantedUntil"] = str("w2"), num(until.UnixNano())
	assert.Equal(t, want, f.get("a"))
	assert.True(t, f.WantLease(t.Context(), seen, "w3", until) == lease.LeaseNotObtainedError, "it has a wish by now")
	assert.Equal(t, want, f.get("a"))

	seen = f.seen()
	assert.Equal(t, "w2", seen.WantedBy)
	assert.Equal(t, until.UnixNano(), seen.WantedUntil)
	require.NoError(t, f.WantLease(t.Context(), seen, "", until))
	want["WantedBy"] = str("")
	assert.Equal(t, want, f.get("a"))

	f.reset()
	for _, free := range []lease.LeaseItem{{LeaseID: "a"}, {LeaseID: "a", LesseeID: "w2", FencingToken: 1}} {
		assert.True(t, f.WantLease(t.Context(), free, "w2", until) == lease.LeaseNotObtainedError)
	}
	assert.Zero(t, f.count(), "what is known to fail is not sent")
	require.NoError(t, f.ReleaseLease(l))
	assert.Equal(t, row{"id": str("a"), "LeaseUntil": num(0), "FencingToken": num(1)}, f.get("a"))
}

func TestAWishForARowOfTheOriginals(t *testing.T) {
	f := newFixture(t)
	f.put(row{"id": str("a"), "LeaseUntil": num(0)})
	require.NoError(t, f.original("a", "old", time.Now().Add(time.Minute)))
	until := time.Now().Add(25 * time.Second)
	require.NoError(t, f.WantLease(t.Context(), f.seen(), "w2", until))
	require.NoError(t, f.original("a", "old", time.Now().Add(2*time.Minute)), "it ignores the wish")
	assert.Equal(t, str("w2"), f.get("a")["WantedBy"])
}

func TestARenewalThatProlongsAWishIsOneRequest(t *testing.T) {
	f := newFixture(t, "a")
	l, wanted := f.wanted()
	f.reset()
	until := time.Now().Add(time.Minute)
	item, err := f.RenewLeaseItem(t.Context(), l, until, wanted.Add(time.Second))
	require.NoError(t, err)
	assert.Equal(t, 1, f.count())
	assert.Equal(t, f.seen(), item)
	assert.Equal(t, wanted.Add(time.Second).UnixNano(), item.WantedUntil)

	l, err = f.Lease("a", worker{"w1", time.Minute}, time.Now().Add(time.Minute)) // which removes the wish
	require.NoError(t, err)
	f.reset()
	until = time.Now().Add(time.Minute)
	item, err = f.RenewLeaseItem(t.Context(), l, until, wanted)
	require.NoError(t, err)
	assert.Equal(t, 2, f.count(), "once more without the wish")
	assert.Zero(t, item.WantedUntil)
	assert.Equal(t, num(until.UnixNano()), f.get("a")["LeaseUntil"])
	assert.NotContains(t, f.get("a"), "WantedUntil")
}

func TestAHandoverIsOneRequest(t *testing.T) {
	f := newFixture(t, "a")
	l, wanted := f.wanted()
	f.reset()
	until := time.Now().Add(20 * time.Second)
	require.NoError(t, f.HandOverLease(t.Context(), l, until))
	assert.Equal(t, 1, f.count())
	assert.Equal(t, row{"id": str("a"), "FencingToken": num(1), "ProcessID": str("w2"), "LeaseUntil": num(until.UnixNano()),
		"WantedBy": str("w2"), "WantedUntil": num(wanted.UnixNano())}, f.get("a"))
	require.Error(t, f.original("a", "old", time.Now().Add(time.Minute)), "to the original the row is held")
	f.reset()
	require.NoError(t, f.HandOverLease(t.Context(), l, until))
	assert.Equal(t, 1, f.count(), "again")

	l, err := f.LeaseAsSeen(t.Context(), f.seen(), nil, for30s("w2"), time.Now().Add(30*time.Second))
	require.NoError(t, err)
	assert.Equal(t, int64(2), l.FencingToken())
	assert.NotContains(t, f.get("a"), "WantedUntil")
	l, err = f.Lease("a", for30s("w2"), time.Now().Add(time.Minute)) // remembers no older process
	require.NoError(t, err)
	f.reset()
	require.NoError(t, f.HandOverLease(t.Context(), l, until))
	assert.Equal(t, 2, f.count(), "nobody wants it: a release")
	assert.Equal(t, row{"id": str("a"), "LeaseUntil": num(0), "FencingToken": num(3)}, f.get("a"))
}

func TestAHandoverBeforeAnOlderProcessIsPastIsOneRelease(t *testing.T) {
	f := newFixture(t, "a")
	older, err := f.Lease("a", for30s("w1"), time.Now().Add(time.Minute))
	require.NoError(t, err)
	l, err := f.store().LeaseAsSeen(t.Context(), f.seen(), nil, for30s("w1"), time.Now().Add(30*time.Second))
	require.NoError(t, err)
	require.NoError(t, f.WantLease(t.Context(), f.seen(), "w2", time.Now().Add(25*time.Second)))
	f.reset()
	require.NoError(t, f.HandOverLease(t.Context(), l, time.Now().Add(20*time.Second)))
	assert.Equal(t, 1, f.count())
	assert.Equal(t, row{"id": str("a"), "LeaseUntil": num(older.Until.UnixNano()), "FencingToken": num(2)}, f.get("a"))
}

func TestALostReplyOfAWishARenewalOrAHandoverCostsNothing(t *testing.T) {
	f := newFixture(t, "a")
	until := time.Now().Add(30 * time.Second)
	l, err := f.Lease("a", for30s("w1"), until)
	require.NoError(t, err)

	s, m := f.metered(lossy("UpdateItem"))
	require.NoError(t, s.WantLease(t.Context(), f.seen(), "w2", until))
	assert.Equal(t, 2, m.count(), "the SDK's retry is refused, and shows that the wish was made")
	assert.Equal(t, str("w2"), f.get("a")["WantedBy"])

	s, m = f.metered(lossy("UpdateItem"))
	until = until.Add(time.Second)
	item, err := s.RenewLeaseItem(t.Context(), l, until, until)
	require.NoError(t, err)
	assert.Equal(t, 2, m.count())
	assert.Equal(t, f.seen(), item)
	assert.Equal(t, num(until.UnixNano()), f.get("a")["WantedUntil"])

	s, m = f.metered(lossy("UpdateItem"))
	require.NoError(t, s.HandOverLease(t.Context(), l, until))
	assert.Equal(t, 2, m.count())
	assert.Equal(t, str("w2"), f.get("a")["ProcessID"])

	l, err = f.Lease("a", for30s("w2"), until.Add(time.Second))
	require.NoError(t, err)
	for _, lost := range [][]int{{1}, {2}, {1, 3}} {
		s, m = f.metered(lossy("UpdateItem", lost...))
		require.NoError(t, s.HandOverLease(t.Context(), l, until), "lost %v", lost)
		assert.Equal(t, row{"id": str("a"), "LeaseUntil": num(0), "FencingToken": f.get("a")["FencingToken"]}, f.get("a"))
		assert.LessOrEqual(t, m.count(), 4)
		l, err = f.Lease("a", for30s("w2"), until.Add(time.Second))
		require.NoError(t, err)
	}

	_, err = f.Lease("a", for30s("w2"), until.Add(2*time.Second))
	require.NoError(t, err)
	s, m = f.metered(lossy("UpdateItem"))
	_, err = s.RenewLeaseItem(t.Context(), l, until.Add(time.Hour), until)
	assert.True(t, err == lease.LeaseLostError, "got %v", err)
	assert.LessOrEqual(t, m.count(), 2)
}

func TestWishesAndHandoversThatArriveLateChangeNothing(t *testing.T) {
	f := newFixture(t, "a")
	var late *tape
	store := f.through(func(next http.RoundTripper) http.RoundTripper { late = &tape{next: next}; return late })
	_, err := store.ListLeaseIDs() // learns the clock
	require.NoError(t, err)
	late.sent, late.bodys = nil, nil
	start := time.Now()
	unchanged := func(what string, numbers ...int) {
		t.Helper()
		for _, n := range numbers {
			before := f.get("a")
			late.replay(t, n)
			assert.Equal(t, before, f.get("a"), "%s: %d", what, n)
		}
	}
	l, err := store.Lease("a", for30s("w1"), start.Add(30*time.Second)) // 0
	require.NoError(t, err)
	require.NoError(t, store.WantLease(t.Context(), f.seen(), "w2", start.Add(25*time.Second))) // 1
	unchanged("the wish again", 0, 1)
	_, err = store.RenewLeaseItem(t.Context(), l, start.Add(40*time.Second), start.Add(35*time.Second)) // 2
	require.NoError(t, err)
	unchanged("after a renewal", 0, 1, 2)
	require.NoError(t, store.WantLease(t.Context(), f.seen(), "w3", start.Add(26*time.Second))) // 3
	unchanged("the wish that was replaced", 0, 1, 3)
	require.NoError(t, store.HandOverLease(t.Context(), l, start.Add(45*time.Second))) // 4
	unchanged("after a handover", 0, 1, 2, 3, 4)
	next, err := f.Lease("a", for30s("w3"), start.Add(50*time.Second))
	require.NoError(t, err)
	unchanged("after the next tenure has begun", 0, 1, 2, 3, 4)
	require.NoError(t, f.WantLease(t.Context(), f.seen(), "w1", start.Add(25*time.Second)))
	unchanged("when that is wanted", 0, 1, 2, 3, 4)
	require.NoError(t, f.HandOverLease(t.Context(), next, start.Add(55*time.Second))) // w1 is the holder again
	unchanged("when the item is reserved for the first holder", 0, 1, 2, 3, 4)
	_, err = f.Lease("a", for30s("w1"), start.Add(60*time.Second))
	require.NoError(t, err)
	unchanged("when the first holder has it again", 1, 2, 3, 4)
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

func TestHoldShareRefusesWhatNoWaitingMakesGood(t *testing.T) {
	f := newFixture(t, "a")
	good := lease.NewLocker(f.LockStore)
	misfit := newFixtureOn(t, ddblocal.ForTest(t).Endpoint, "id")
	misfit.createTable("other:S")
	denied := leasetest.NewStore("a")
	denied.SetError(leasetest.AccessDeniedError)
	work := func(context.Context, *lease.Lease) error { t.Error("work ran"); return nil }
	f.reset()
	for says, call := range map[string]func() error{
		"most is -1":            func() error { return good.HoldShare(t.Context(), for30s("w1"), -1, work) },
		"work":                  func() error { return good.HoldShare(t.Context(), for30s("w1"), 0, nil) },
		"context is nil":        func() error { return good.HoldShare(nil, for30s("w1"), 0, work) }, //lint:ignore SA1012 what is tested
		"LeaseRequest is nil":   func() error { return good.HoldShare(t.Context(), nil, 0, work) },
		"LesseeID is empty":     func() error { return good.HoldShare(t.Context(), for30s(""), 0, work) },
		"LeaseDuration is 0s":   func() error { return good.HoldShare(t.Context(), worker{"w1", 0}, 0, work) },
		"no store":              func() error { return lease.NewLocker(nil).HoldShare(t.Context(), for30s("w1"), 0, work) },
		"NewLocker":             func() error { return (&lease.Locker{}).HoldShare(t.Context(), for30s("w1"), 0, work) },
		`hash key "other"`:      func() error { return lease.NewLocker(misfit.LockStore).HoldShare(t.Context(), for30s("w1"), 0, work) },
		"AccessDeniedException": func() error { return lease.NewLocker(denied).HoldShare(t.Context(), for30s("w1"), 0, work) },
		"SetupLockStoreGlobal": func() error {
			return lease.NewLocker((*lease.LockStore)(nil)).HoldShare(t.Context(), for30s("w1"), 0, work)
		},
		"DynamoDB is nil, or was": func() error { return lease.NewLocker(&lease.LockStore{}).HoldShare(t.Context(), for30s("w1"), 0, work) },
	} {
		soon(t, func() { assert.ErrorContains(t, call(), says) })
	}
	assert.Zero(t, f.count())
}

// sharing runs HoldShare. stop ends it, and returns how it returned.
func sharing(locker *lease.Locker, r lease.LeaseRequest, most int, work func(context.Context, *lease.Lease) error) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- locker.HoldShare(ctx, r, most, work) }()
	return func() error { cancel(); return <-stopped }
}

// untilDone is work that lasts until it shall not.
func untilDone(ctx context.Context, _ *lease.Lease) error { <-ctx.Done(); return ctx.Err() }

func TestHoldShareWaitsOutAnOutageOfTheFirstLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a", "b")
		store.OutageFor(time.Minute)
		stop := sharing(lease.NewLocker(store), for30s("w1"), 0, untilDone)
		time.Sleep(time.Minute + 15*time.Second)
		assert.Equal(t, "w1", store.Holder("a"))
		assert.Equal(t, "w1", store.Holder("b"))
		store.SetError(leasetest.AccessDeniedError) // later looks wait out all
		time.Sleep(15 * time.Second)
		store.SetError(nil)
		time.Sleep(time.Minute)
		assert.Equal(t, "w1", store.Holder("a"))
		assert.ErrorIs(t, stop(), context.Canceled)
		assert.Empty(t, store.Holder("a")+store.Holder("b"))
	})
}

func TestHoldShareOfADoneContextSendsNothing(t *testing.T) {
	store := leasetest.NewStore("a")
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	soon(t, func() {
		err := lease.NewLocker(store).HoldShare(ctx, for30s("w1"), 0, untilDone)
		assert.True(t, err == cause, "got %v", err)
	})
	assert.Zero(t, store.Counts().Requests())
}

func TestHoldShareOfTinyLeasesDoesNotSpin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, outage := range []bool{false, true} {
			store := leasetest.NewStore("a")
			store.Steal("a", "other", time.Hour)
			store.SetOutage(outage)
			stop := sharing(lease.NewLocker(store), worker{"w1", time.Millisecond}, 0, untilDone)
			time.Sleep(time.Second)
			require.Error(t, stop())
			assert.Less(t, store.Counts().Scans, 150, "Hold looks each 10 ms at most; outage: %t", outage)
		}
	})
}

func TestHoldShareOnATwoMethodStoreTakesWhatIsFreeUpToTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a", "b", "c", "d", "e")
		s.lease = func(id string, until time.Time) (*lease.Lease, error) {
			if id == "b" {
				return held(id, until)
			}
			return &lease.Lease{LeaseID: id, Until: until}, nil
		}
		var mu sync.Mutex
		at := make(map[string]int)
		stop := sharing(lease.NewLocker(s), for30s("w1"), 3, func(ctx context.Context, l *lease.Lease) error {
			mu.Lock()
			at[l.LeaseID]++
			mu.Unlock()
			return untilDone(ctx, l)
		})
		time.Sleep(10 * time.Minute)
		mu.Lock()
		assert.Len(t, at, 3)
		for id, n := range at {
			assert.Equal(t, 1, n, id)
		}
		mu.Unlock()
		err := stop()
		assert.ErrorIs(t, err, context.Canceled)
		assert.ErrorContains(t, err, `3 items of "w1" stay leased until`)
	})
}

func TestHoldShareKeepsToItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a", "b", "c", "d", "e")
		var now, most atomic.Int32
		stop := sharing(lease.NewLocker(store), for30s("w1"), 2, func(ctx context.Context, l *lease.Lease) error {
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			return untilDone(ctx, l)
		})
		time.Sleep(10 * time.Minute)
		assert.Equal(t, int32(2), now.Load())
		require.ErrorIs(t, stop(), context.Canceled)
		assert.Equal(t, int32(2), most.Load())
	})
}

func TestAPanicOfWorkGoesThroughHoldShareWhenTheOthersHaveReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a", "b", "c")
		var working atomic.Int32
		assert.PanicsWithValue(t, "boom", func() {
			_ = lease.NewLocker(store).HoldShare(t.Context(), for30s("w1"), 0, func(ctx context.Context, l *lease.Lease) error {
				working.Add(1)
				defer working.Add(-1)
				if l.LeaseID == "b" {
					time.Sleep(time.Minute)
					panic("boom")
				}
				<-ctx.Done()
				time.Sleep(2 * time.Second)
				return ctx.Err()
			})
		})
		assert.Zero(t, working.Load())
		for _, id := range []string{"a", "b", "c"} {
			assert.Empty(t, store.Holder(id), id)
		}
	})
}

func TestWorkThatReturnsAtOnceCoolsDown(t *testing.T) {
	for name, c := range map[string]struct {
		err         error
		least, most int32 // tries in an hour
	}{
		"nil":                {nil, 300, 400}, // a third of 30 s each
		"an error":           {errors.New("boom"), 12, 30},
		"LeaseWantedError":   {lease.LeaseWantedError, 12, 30}, // nobody wants it
		"a lost lease's":     {lease.LeaseLostError, 12, 400},
		"a wrapped loss":     {fmt.Errorf("of another: %w", lease.LeaseLostError), 12, 400},
		"a context's":        {context.Canceled, 12, 400},
		"an expired lease's": {lease.LeaseExpiredError, 12, 400},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := leasetest.NewStore("a", "b")
				var tries atomic.Int32
				stop := sharing(lease.NewLocker(store), for30s("w1"), 0, func(ctx context.Context, l *lease.Lease) error {
					if l.LeaseID == "b" {
						return untilDone(ctx, l)
					}
					tries.Add(1)
					return c.err
				})
				time.Sleep(time.Hour)
				assert.Equal(t, "w1", store.Holder("b"))
				require.ErrorIs(t, stop(), context.Canceled)
				assert.GreaterOrEqual(t, tries.Load(), c.least)
				assert.LessOrEqual(t, tries.Load(), c.most)
			})
		})
	}
}

// TestAWorkerWishesForNothingThatItRestsFrom: it would be handed over, and then stay idle until the reservation ends.
func TestAWorkerWishesForNothingThatItRestsFrom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a", "b")
		var working atomic.Int32
		good := sharing(lease.NewLocker(store.NewClient()), for30s("good"), 0, func(ctx context.Context, l *lease.Lease) error {
			working.Add(1)
			defer working.Add(-1)
			return untilDone(ctx, l)
		})
		time.Sleep(time.Minute)
		require.Equal(t, int32(2), working.Load())
		bad := sharing(lease.NewLocker(store.NewClient()), for30s("bad"), 0, func(context.Context, *lease.Lease) error {
			return errors.New("this host is broken")
		})
		idle := 0
		for range 3600 {
			time.Sleep(time.Second)
			idle += 2 - int(working.Load())
		}
		assert.Less(t, idle, 10*60, "seconds in an hour that one of the two items had no work")
		require.ErrorIs(t, bad(), context.Canceled)
		require.ErrorIs(t, good(), context.Canceled)
	})
}

func TestItemsThatCouldNotBeReleasedAreNamed(t *testing.T) {
	for name, c := range map[string]struct {
		fail func(s *leasetest.Store)
		most time.Duration
	}{
		"outage": {func(s *leasetest.Store) { s.SetOutage(true) }, time.Second},
		"hang":   {func(s *leasetest.Store) { s.SetHang(true) }, 10 * time.Second},
		"denied": {func(s *leasetest.Store) { s.SetError(leasetest.AccessDeniedError) }, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ids []string
				for i := range 200 {
					ids = append(ids, fmt.Sprintf("item-%d", i))
				}
				store := leasetest.NewStore(ids...)
				client := store.NewClient()
				stop := sharing(lease.NewLocker(client), worker{"w1", time.Minute}, 0, untilDone)
				time.Sleep(50 * time.Second)
				c.fail(client)
				start := time.Now()
				err := stop()
				assert.LessOrEqual(t, time.Since(start), c.most)
				assert.ErrorIs(t, err, context.Canceled)
				require.ErrorContains(t, err, `200 items of "w1" stay leased until `)
				last := time.Time{}
				items, _, err2 := store.ScanLeaseItems("", 0)
				require.NoError(t, err2)
				for _, item := range items {
					if item.Until.After(last) {
						last = item.Until
					}
				}
				assert.ErrorContains(t, err, last.Round(0).String())
				client.SetHang(false)
			})
		})
	}
}

func TestWorkThatRepeatsALossDoesNotHideThatItsItemStaysLeased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		stop := sharing(lease.NewLocker(store), for30s("w1"), 0, func(ctx context.Context, _ *lease.Lease) error {
			<-ctx.Done()
			return fmt.Errorf("of another lease: %w", lease.LeaseLostError)
		})
		time.Sleep(5 * time.Second)
		store.SetOutage(true)
		assert.ErrorContains(t, stop(), `1 items of "w1" stay leased until`)
	})
}

func TestWorkThatLeavesItsGoroutineIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger := record(t)
		store := leasetest.NewStore("a")
		stop := sharing(lease.NewLocker(store), for30s("w1"), 0, func(context.Context, *lease.Lease) error {
			runtime.Goexit()
			return nil
		})
		time.Sleep(5 * time.Second)
		require.ErrorIs(t, stop(), context.Canceled)
		ended := logger.named("Work Ended")
		require.Len(t, ended, 1)
		assert.ErrorContains(t, ended[0].keyvals["error"].(error), "work left its goroutine")
		assert.Empty(t, store.Holder("a"))
	})
}

// Two workers on a real table, one of which joins, and one leaves.
func TestSharesOnDynamoDB(t *testing.T) {
	f := newFixture(t, "a", "b", "c", "d")
	count := func(name string) (n int) {
		items, _, err := f.ScanLeaseItems("", 0)
		require.NoError(t, err)
		for _, item := range items {
			if item.LesseeID == name && item.Until.After(time.Now()) {
				n++
			}
		}
		return n
	}
	eventually := func(w1, w2 int) {
		t.Helper()
		require.Eventually(t, func() bool { return count("w1") == w1 && count("w2") == w2 }, 20*time.Second, 20*time.Millisecond)
	}
	first := sharing(lease.NewLocker(f.store()), worker{"w1", 3 * time.Second}, 0, untilDone)
	eventually(4, 0)
	second := sharing(lease.NewLocker(f.store()), worker{"w2", 3 * time.Second}, 0, untilDone)
	eventually(2, 2)
	require.ErrorIs(t, first(), context.Canceled)
	eventually(0, 4)
	require.ErrorIs(t, second(), context.Canceled)
	eventually(0, 0)
	for _, id := range []string{"a", "b", "c", "d"} {
		assert.NotContains(t, f.get(id), "WantedBy")
	}
}
