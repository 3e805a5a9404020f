package lease_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/intercom/lease"
)

// script is a store with the two documented methods only. It keeps the calls, and answers by its
// functions, or else leases everything.
type script struct {
	mu    sync.Mutex
	start time.Time
	ids   func() ([]string, error)
	lease func(id string, until time.Time) (*lease.Lease, error)
	calls []call
}

// call is one call of a script: of Lease, or of ListLeaseIDs where the ID is empty.
type call struct {
	at time.Duration
	id string
}

func newScript(ids ...string) *script {
	return &script{start: time.Now(), ids: func() ([]string, error) { return ids, nil }}
}

func (s *script) called(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, call{time.Since(s.start), id})
}

func (s *script) Lease(id string, request lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
	s.called(id)
	if s.lease != nil {
		return s.lease(id, until)
	}
	return &lease.Lease{LeaseID: id, Request: request, Until: until}, nil
}

func (s *script) ListLeaseIDs() ([]string, error) {
	s.called("")
	return s.ids()
}

func held(string, time.Time) (*lease.Lease, error) { return nil, lease.LeaseNotObtainedError }

func TestATwoMethodStoresIDsAreTriedInItsOrderOnceEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript("c", "a", "b")
		s.lease = held
		l, err := lease.NewLocker(s).ObtainLease(for30s("w1"))
		assert.Nil(t, l)
		assert.True(t, err == lease.LeaseNotObtainedError)
		assert.Equal(t, []call{{0, ""}, {0, "c"}, {0, "a"}, {0, "b"}}, s.calls)
	})
}

func TestAnUnexpectedErrorEndsThePass(t *testing.T) {
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

func TestALeaseIsAskedForUntilItsDurationFromNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		l, err := lease.NewLocker(s).ObtainLease(for30s("w1"))
		require.NoError(t, err)
		assert.Equal(t, time.Now().Add(30*time.Second), l.Until)
		assert.Equal(t, 27*time.Second, l.Remaining())
		assert.Zero(t, l.FencingToken())
	})
}

func TestAStoresLeaseIsLeftAsItWas(t *testing.T) {
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

func TestALeaseThatIsOverWhenItIsObtainedIsNotHandedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		s.lease = func(id string, until time.Time) (*lease.Lease, error) {
			time.Sleep(28 * time.Second)
			return &lease.Lease{LeaseID: id, Until: until}, nil
		}
		l, err := lease.NewLocker(s).ObtainLease(for30s("w1"))
		assert.Nil(t, l)
		assert.ErrorContains(t, err, "was over when it was obtained")
	})
}

func TestWaitingScansEveryWaitPeriod(t *testing.T) {
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

func TestErrorsWhileWaitingAreLoggedAndNeverHot(t *testing.T) {
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
			l, err := lease.NewLocker(s).WaitUntilLeaseObtainedWithContext(ctx, for30s("w1"), c.waitPeriod)
			assert.Nil(t, l)
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.Len(t, s.calls, 10)
			assert.Len(t, logger.named("AWS Error"), before+10)
		})
	}
}

func TestNotObtainingWithoutAWaitPeriodIsNotHotEither(t *testing.T) {
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

func TestACancelledWaitEndsAtOnceWithTheCause(t *testing.T) {
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

// scanScript is a store that shows who holds what, in pages.
type scanScript struct {
	*script
	pages  [][]lease.LeaseItem
	lands  int // the page that follows a random place
	scans  []string
	limits []int

	renewed func(ctx context.Context) error // after a renewal
}

// LeaseWithContext is how a lease without a token is renewed.
func (s *scanScript) LeaseWithContext(ctx context.Context, id string, request lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
	l, err := s.Lease(id, request, until)
	if err == nil && s.renewed != nil {
		err = s.renewed(ctx)
	}
	return l, err
}

func (s *scanScript) LeaseAsSeen(_ context.Context, seen lease.LeaseItem, _ *lease.Lease, request lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
	return s.Lease(seen.LeaseID, request, until)
}

func (s *scanScript) RenewLeaseItem(context.Context, *lease.Lease, time.Time, time.Time) (lease.LeaseItem, error) {
	return lease.LeaseItem{}, nil
}

func (s *scanScript) WantLease(context.Context, lease.LeaseItem, string, time.Time) error { return nil }

func (s *scanScript) HandOverLease(context.Context, *lease.Lease, time.Time) error { return nil }
func (s *scanScript) SaveAttributes(context.Context, *lease.Lease, map[string]*dynamodb.AttributeValue) error {
	return nil
}

func (s *scanScript) ReleaseLeaseWithContext(context.Context, *lease.Lease) error { return nil }

func (s *scanScript) ScanLeaseItemsWithContext(_ context.Context, after string, limit int) ([]lease.LeaseItem, string, error) {
	s.called("")
	s.scans = append(s.scans, after)
	s.limits = append(s.limits, limit)
	for i := range s.pages {
		// Page i follows the place "i"; any longer string is a random place.
		if after == "" && i == 0 || after == fmt.Sprint(i) || len(after) > 1 && i == s.lands {
			next := ""
			if i+1 < len(s.pages) {
				next = fmt.Sprint(i + 1)
			}
			return s.pages[i], next, nil
		}
	}
	return nil, "", nil
}

func item(id, lessee string, ends time.Duration) lease.LeaseItem {
	i := lease.LeaseItem{LeaseID: id, LesseeID: lessee}
	if ends != 0 {
		i.Until = time.Now().Add(ends)
	}
	return i
}

func TestWhatIsKnownToFailIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scanScript{script: newScript(), pages: [][]lease.LeaseItem{{item("a", "other", time.Second), item("b", "other", time.Hour)}}}
		_, err := lease.NewLocker(s).ObtainLease(for30s("w1"))
		assert.True(t, err == lease.LeaseNotObtainedError)
		assert.Equal(t, []call{{0, ""}}, s.calls)
	})
}

func TestOwnItemsComeFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scanScript{script: newScript(), pages: [][]lease.LeaseItem{{item("a", "", 0), item("b", "", 0), item("mine", "w1", time.Hour), item("c", "", 0)}}}
		l, err := lease.NewLocker(s).ObtainLease(for30s("w1"))
		require.NoError(t, err)
		assert.Equal(t, "mine", l.LeaseID)
		assert.Len(t, s.calls, 2)
	})
}

func TestFreeItemsAreTriedInRandomOrder(t *testing.T) {
	first := make(map[string]int)
	for range 200 {
		s := &scanScript{script: newScript(), pages: [][]lease.LeaseItem{{item("a", "", 0), item("b", "gone", -1), item("c", "", 0)}}}
		l, err := lease.NewLocker(s).ObtainLease(for30s("w1"))
		require.NoError(t, err)
		first[l.LeaseID]++
	}
	assert.Len(t, first, 3)
}

func TestAfterAFewLostRacesItLooksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var free []lease.LeaseItem
		for i := range 50 {
			free = append(free, item(fmt.Sprint("item", i), "", 0))
		}
		s := &scanScript{script: newScript(), pages: [][]lease.LeaseItem{free}}
		s.lease = held
		_, err := lease.NewLocker(s).ObtainLease(for30s("w1"))
		assert.True(t, err == lease.LeaseNotObtainedError)
		scans, writes := 0, make(map[string]int)
		for _, c := range s.calls {
			if c.id == "" {
				scans++
			} else {
				writes[c.id]++
			}
		}
		assert.Equal(t, 50/3+1, scans)
		for id, n := range writes {
			assert.Equal(t, 1, n, "%s was tried again on the word of the same stale read", id)
		}
	})
}

func TestAWalkOfManyPagesSeesEachOnceAndStopsAtSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scanScript{script: newScript(), lands: 3}
		for i := range 7 {
			s.pages = append(s.pages, []lease.LeaseItem{item(fmt.Sprint("p", i), "other", time.Hour)})
		}
		locker := lease.NewLocker(s)
		_, err := locker.ObtainLease(for30s("w1"))
		assert.True(t, err == lease.LeaseNotObtainedError)
		require.Len(t, s.scans, 8)
		assert.Len(t, s.scans[1], 26, "a random place")
		s.scans[1] = "random"
		// The first page; from the middle to the end; from where it left off to the middle.
		assert.Equal(t, []string{"", "random", "4", "5", "6", "1", "2", "3"}, s.scans)

		s.scans = nil
		_, err = locker.ObtainLease(for30s("w1"))
		assert.True(t, err == lease.LeaseNotObtainedError)
		assert.Len(t, s.scans[0], 26, "by now it knows that there are many pages")
		assert.Len(t, s.scans, 8)

		s.scans = nil
		s.pages[5] = []lease.LeaseItem{item("free", "", 0)}
		l, err := locker.ObtainLease(for30s("w1"))
		require.NoError(t, err)
		assert.Equal(t, "free", l.LeaseID)
		assert.Len(t, s.scans, 3)
	})
}

func TestTheFirstPageOfALookIsShortUntilNothingIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scanScript{script: newScript(), pages: [][]lease.LeaseItem{{item("a", "", 0), item("b", "", 0)}, {item("c", "other", time.Hour)}}, lands: 1}
		locker := lease.NewLocker(s)
		s.lease = func(id string, until time.Time) (*lease.Lease, error) {
			s.lease = nil
			return held(id, until)
		}
		_, err := locker.ObtainLease(for30s("w1"))
		require.NoError(t, err)
		assert.Equal(t, []int{1024, 0}, s.limits, "a race lost on a short page calls for a full one")
		assert.Len(t, s.beats(), 1)

		s.pages[0] = s.pages[1]
		s.limits = nil
		_, err = locker.ObtainLease(for30s("w1"))
		assert.True(t, err == lease.LeaseNotObtainedError)
		_, err = locker.ObtainLease(for30s("w1"))
		assert.True(t, err == lease.LeaseNotObtainedError)
		assert.Equal(t, []int{1024, 0, 0, 0}, s.limits, "a standby's looks are of full pages")
	})
}

func TestAWalkThatLandsOnTheFirstPageEndsAtTheLast(t *testing.T) {
	s := &scanScript{script: newScript()}
	for i := range 3 {
		s.pages = append(s.pages, []lease.LeaseItem{item(fmt.Sprint("p", i), "other", time.Hour)})
	}
	_, err := lease.NewLocker(s).ObtainLease(for30s("w1"))
	assert.True(t, err == lease.LeaseNotObtainedError)
	require.Len(t, s.scans, 4)
	assert.Equal(t, []string{"1", "2"}, s.scans[2:])
}

func TestWaitingWakesAtTheFirstEndSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scanScript{script: newScript()}
		s.pages = [][]lease.LeaseItem{{item("late", "other", 50*time.Second), item("soon", "other", 20*time.Second), item("never", "other", time.Hour)}}
		l := lease.NewLocker(s).WaitUntilLeaseObtained(for30s("w1"), time.Minute)
		require.NotNil(t, l)
		require.Len(t, s.calls, 2)
		assert.Equal(t, "soon", s.calls[1].id)
		assert.Greater(t, s.calls[1].at, 20*time.Second)
		assert.LessOrEqual(t, s.calls[1].at, 20*time.Second+51*time.Millisecond)
	})
}

func TestAWakeThatObtainsNothingIsOneWriteAndTheScansGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scanScript{script: newScript()}
		s.lease = held
		s.pages = [][]lease.LeaseItem{{item("a", "other", time.Second), item("b", "other", 2*time.Second), item("c", "other", 3*time.Second)}}
		ctx, cancel := context.WithTimeout(context.Background(), 11*time.Second)
		defer cancel()
		_, err := lease.NewLocker(s).WaitUntilLeaseObtainedWithContext(ctx, for30s("w1"), 10*time.Second)
		require.Error(t, err)
		require.Len(t, s.calls, 7, "one write before the second scan")
		assert.Equal(t, "a", s.calls[1].id)
		assert.Equal(t, call{10 * time.Second, ""}, s.calls[2])
	})
}

func TestACrowdOfStandbysDoesNotStrikeAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := make(map[time.Duration]bool)
		var mu sync.Mutex
		var wg sync.WaitGroup
		start := time.Now()
		for range 20 {
			s := &scanScript{script: newScript(), pages: [][]lease.LeaseItem{{item("a", "other", time.Second)}}}
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

// embedder is a store of the caller's that embeds ours and has its own Lease.
type embedder struct {
	*lease.LockStore
	leased int
}

func (e *embedder) Lease(id string, request lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
	e.leased++
	return e.LockStore.Lease(id, request, until)
}

func TestAStoreThatEmbedsOursKeepsItsOwnLease(t *testing.T) {
	f := newFixture(t, "a")
	e := &embedder{LockStore: f.LockStore}
	locker := lease.NewLocker(e)
	f.put(row{"id": str("bad"), "LeaseUntil": str("soon")}) // stops nobody
	l, err := locker.ObtainLease(worker{"w1", 600 * time.Millisecond})
	require.NoError(t, err)
	assert.Equal(t, "a", l.LeaseID)
	e.leased = 1
	err = locker.HeartbeatWithContext(within(t, 250*time.Millisecond), l, 100*time.Millisecond)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Equal(t, 3, e.leased, "renewals too")
}

// TestCostOfObtaining: the counts of the issue. The original sends 20,300 requests here.
func TestCostOfObtaining(t *testing.T) {
	f := newFixture(t)
	var rows []row
	for i := range 200 {
		rows = append(rows, padded(fmt.Sprint("item", i), 10))
	}
	f.fill(rows)
	got := make(map[string]bool)
	for i := range 200 {
		// Each lessee is a process of its own: nothing is remembered.
		store := lease.NewLockStore(f.ddb, f.table, f.key)
		l, err := lease.NewLocker(store).ObtainLease(for30s(fmt.Sprint("w", i)))
		require.NoError(t, err)
		got[l.LeaseID] = true
	}
	assert.Len(t, got, 200)
	assert.LessOrEqual(t, f.count(), 402)
	assert.Zero(t, f.refusals())
}

func TestCostOfACrowd(t *testing.T) {
	f := newFixture(t)
	var rows []row
	for i := range 200 {
		rows = append(rows, padded(fmt.Sprint("item", i), 10))
	}
	f.fill(rows)
	var mu sync.Mutex
	holders := make(map[string]string)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			lessee := worker{fmt.Sprint("w", i), 10 * time.Minute}
			store := lease.NewLockStore(f.ddb, f.table, f.key)
			l := lease.NewLocker(store).WaitUntilLeaseObtained(lessee, 50*time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			assert.Empty(t, holders[l.LeaseID], "two holders of %s", l.LeaseID)
			holders[l.LeaseID] = lessee.id
		})
	}
	wg.Wait()
	assert.Len(t, holders, 200)
	assert.LessOrEqual(t, f.count(), 4*200)
	t.Logf("%.2f requests a lessee, %d failed writes", float64(f.count())/200, f.refusals())
}

func TestCostOfAStandby(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var rows []row
	for i := range 200 {
		rows = append(rows, f.held(fmt.Sprint("item", i), "other", time.Now().Add(time.Minute)))
	}
	f.fill(rows)
	_, err := lease.NewLocker(f.LockStore).WaitUntilLeaseObtainedWithContext(within(t, 5*time.Second), for30s("w1"), 500*time.Millisecond)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.LessOrEqual(t, f.count(), 13)
	assert.GreaterOrEqual(t, f.count(), 4)
	assert.Zero(t, f.count("UpdateItem"))
}

func TestPagesReadAreFewWhileFreeRowsAreEverywhere(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var rows []row
	for i := range 40 { // 2 or 3 a page
		rows = append(rows, padded(fmt.Sprint("item", i), 350*1024))
	}
	for _, r := range rows { // A batch would be over 16 MB.
		f.put(r)
	}
	f.reset()
	for i := range 20 {
		_, err := lease.NewLocker(lease.NewLockStore(f.ddb, f.table, f.key)).ObtainLease(for30s(fmt.Sprint("w", i)))
		require.NoError(t, err)
	}
	assert.LessOrEqual(t, f.count("Scan"), 20*3, "half of them are held at the end")
	assert.Equal(t, 20, f.count("UpdateItem"))
	for i := 20; i < 40; i++ {
		_, err := lease.NewLocker(lease.NewLockStore(f.ddb, f.table, f.key)).ObtainLease(for30s(fmt.Sprint("w", i)))
		require.NoError(t, err, "every free row is found")
	}
	_, err := lease.NewLocker(f.LockStore).ObtainLease(for30s("late"))
	assert.True(t, err == lease.LeaseNotObtainedError)
}

func TestTakeoverComesSoonAfterTheEndAndNeverBefore(t *testing.T) {
	t.Parallel()
	const n = 15
	delays := make([]time.Duration, n)
	var wg sync.WaitGroup
	for i := range n {
		// A table each, so that each standby has one dead holder to wait for.
		g := newFixture(t)
		end := time.Now().Add(700*time.Millisecond + time.Duration(i)*50*time.Millisecond)
		g.put(g.held("a", "dead", end))
		wg.Go(func() {
			l := lease.NewLocker(g.LockStore).WaitUntilLeaseObtained(for30s("w1"), time.Second)
			delays[i] = time.Since(end)
			assert.NotNil(t, l)
		})
	}
	wg.Wait()
	for _, d := range delays {
		assert.Positive(t, d)
	}
	assert.Less(t, median(delays), 100*time.Millisecond)
	t.Logf("median %v", median(delays))
}

func TestNoGoroutineIsLeft(t *testing.T) {
	f := newFixture(t, "a")
	f.transport.DisableKeepAlives = true
	f.transport.CloseIdleConnections()
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	locker := lease.NewLocker(f.LockStore)
	l, err := locker.ObtainLease(for30s("w1"))
	require.NoError(t, err)
	_, err = locker.WaitUntilLeaseObtainedWithContext(within(t, 30*time.Millisecond), for30s("w2"), time.Second)
	require.Error(t, err)
	require.Error(t, locker.HeartbeatWithContext(within(t, 30*time.Millisecond), l, 10*time.Millisecond))
	require.NoError(t, locker.ReleaseLease(l))
	require.NoError(t, locker.Hold(context.Background(), for30s("w1"), func(context.Context, *lease.Lease) error { return nil }))
}
