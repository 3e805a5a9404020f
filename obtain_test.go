package lease_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

func TestObtainLeaseAsksForItsDurationFromNow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		l, err := lease.NewLocker(s).ObtainLease(for30s("w1"))
		require.NoError(t, err)
		assert.Equal(t, time.Now().Add(30*time.Second), l.Until)
		assert.Equal(t, 27*time.Second, l.Remaining())
		assert.Zero(t, l.FencingToken())
	})
}

func TestObtainLeaseHandsOutNoLeaseThatIsOver(t *testing.T) {
	t.Parallel()
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

func TestObtainLeaseSendsNothingThatIsKnownToFail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := onePage(item("a", "other", time.Second), item("b", "other", time.Hour))
		_, err := lease.NewLocker(s).ObtainLease(for30s("w1"))
		assert.True(t, err == lease.LeaseNotObtainedError)
		assert.Equal(t, []call{{0, ""}}, s.calls)
	})
}

func TestObtainLeaseTriesNoItemThatIsAnothersByNow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := leasetest.NewStore("a")
		locker := lease.NewLocker(s)
		_, err := locker.ObtainLease(for30s("w"))
		require.NoError(t, err)
		s.Steal("a", "o", time.Hour)
		for range 5 {
			locker.ObtainLease(for30s("w"))
		}
		assert.Zero(t, s.Counts().Refused)
	})
}

func TestObtainLeaseTriesOwnItemsFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := onePage(item("a", "", 0), item("b", "", 0), item("mine", "w1", time.Hour), item("c", "", 0))
		l, err := lease.NewLocker(s).ObtainLease(for30s("w1"))
		require.NoError(t, err)
		assert.Equal(t, "mine", l.LeaseID)
		assert.Len(t, s.calls, 2)
	})
}

func TestObtainLeaseOfARestartedWorkerTakesItsOwnRowFirst(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a", "b", "c")
	f.put(f.held("mine", "w1", time.Now().Add(time.Minute)))
	locker := lease.NewLocker(f.LockStore)
	l, err := locker.ObtainLease(for30s("w1"))
	require.NoError(t, err)
	assert.Equal(t, "mine", l.LeaseID)
	l, err = locker.ObtainLease(for30s("w1"))
	require.NoError(t, err)
	assert.NotEqual(t, "mine", l.LeaseID, "its heartbeat may be about to start")
}

func TestObtainLeaseTriesFreeItemsInRandomOrder(t *testing.T) {
	t.Parallel()
	first := make(map[string]int)
	for range 200 {
		s := onePage(item("a", "", 0), item("b", "gone", -1), item("c", "", 0))
		l, err := lease.NewLocker(s).ObtainLease(for30s("w1"))
		require.NoError(t, err)
		first[l.LeaseID]++
	}
	assert.Len(t, first, 3)
}

func TestObtainLeaseLooksAgainAfterAFewLostRaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var free []lease.LeaseItem
		for i := range 50 {
			free = append(free, item(fmt.Sprint("item", i), "", 0))
		}
		s := onePage(free...)
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

func TestObtainLeaseSeesEachOfManyPagesOnceAndStopsAtSuccess(t *testing.T) {
	t.Parallel()
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

func TestObtainLeaseReadsAShortFirstPageUntilNothingIsFree(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := onePage(item("a", "", 0), item("b", "", 0))
		s.pages = append(s.pages, []lease.LeaseItem{item("c", "other", time.Hour)})
		s.lands = 1
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

func TestObtainLeaseThatLandsOnTheFirstPageEndsAtTheLast(t *testing.T) {
	t.Parallel()
	s := &scanScript{script: newScript()}
	for i := range 3 {
		s.pages = append(s.pages, []lease.LeaseItem{item(fmt.Sprint("p", i), "other", time.Hour)})
	}
	_, err := lease.NewLocker(s).ObtainLease(for30s("w1"))
	assert.True(t, err == lease.LeaseNotObtainedError)
	require.Len(t, s.scans, 4)
	assert.Equal(t, []string{"1", "2"}, s.scans[2:])
}

func TestObtainLeaseReadsFewPagesWhileFreeRowsAreEverywhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore(ids(40)...)
		store.SetPageSize(3)
		client := store.NewClient()
		obtain := func(i int) error { // as a process of its own, which remembers nothing
			_, err := lease.NewLocker(client).ObtainLease(for30s(fmt.Sprint("w", i)))
			return err
		}
		for i := range 20 {
			require.NoError(t, obtain(i))
		}
		assert.LessOrEqual(t, client.Counts().Scans, 20*3, "half of them are held at the end")
		assert.Equal(t, 20, client.Counts().Leases)
		for i := 20; i < 40; i++ {
			require.NoError(t, obtain(i), "every free row is found")
		}
		assert.True(t, obtain(40) == lease.LeaseNotObtainedError)
	})
}

// Here the original sends 5,150 requests: it lists all IDs, and tries one after the other.
func TestObtainLeaseCostsTwoRequests(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const n = 100
	f.rows(n, 10, 0, 0)
	got := make(map[string]bool)
	for i := range n {
		// Each lessee is a process of its own: nothing is remembered.
		l, err := lease.NewLocker(f.store()).ObtainLease(worker{fmt.Sprint("w", i), 10 * time.Minute})
		require.NoError(t, err)
		got[l.LeaseID] = true
	}
	assert.Len(t, got, n)
	assert.LessOrEqual(t, f.count(), 2*n+2)
	assert.Zero(t, f.refusals())
}

func TestObtainLeaseOfACrowdCostsAFewRequestsEach(t *testing.T) {
	t.Parallel()
	// crowd has n lessees obtain n items at once, each with a store of its own.
	crowd := func(t *testing.T, n int, store func() pairOfMethods) {
		var mu sync.Mutex
		holders := make(map[string]string)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				lessee := worker{fmt.Sprint("w", i), 10 * time.Minute}
				l := lease.NewLocker(store()).WaitUntilLeaseObtained(lessee, 50*time.Millisecond)
				mu.Lock()
				defer mu.Unlock()
				assert.Empty(t, holders[l.LeaseID], "two holders of %s", l.LeaseID)
				holders[l.LeaseID] = lessee.id
			})
		}
		wg.Wait()
		assert.Len(t, holders, n)
	}
	t.Run("in memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			const n = 200
			client := leasetest.NewStore(ids(n)...).NewClient()
			crowd(t, n, func() pairOfMethods { return delayed(client) })
			assert.LessOrEqual(t, client.Counts().Requests(), 4*n)
			t.Logf("%d requests, %d of them refused", client.Counts().Requests(), client.Counts().Refused)
		})
	})
	t.Run("on DynamoDB", func(t *testing.T) {
		f := newFixture(t)
		f.rows(50, 10, 0, 0)
		crowd(t, 50, func() pairOfMethods { return f.store() })
	})
}

// TestObtainLeaseAnewEndsTheOlderTenureAtOnce: what the chaos suite found. Or else the older lease
// would be valid while another lessee holds what the newer one released.
func TestObtainLeaseAnewEndsTheOlderTenureAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	for _, store := range []pairOfMethods{f.LockStore, &embedder{LockStore: f.LockStore}, newScript("a")} {
		locker := lease.NewLocker(store)
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

func TestObtainLeaseAnewWithoutAHeartbeatGetsTheRowBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	f.put(f.held("b", "other", time.Now().Add(time.Minute)))
	for _, store := range []pairOfMethods{f.LockStore, &embedder{LockStore: f.store()}} {
		locker := lease.NewLocker(store)
		first, err := locker.ObtainLease(for30s("w1"))
		require.NoError(t, err)
		second, err := locker.ObtainLease(for30s("w1"))
		require.NoError(t, err)
		assert.Equal(t, "a", second.LeaseID)
		assert.Greater(t, second.FencingToken(), first.FencingToken())
		assert.False(t, first.Valid())
		require.NoError(t, f.ReleaseLease(second))
	}
	locker := lease.NewLocker(f.store())
	_, err := locker.ObtainLease(for30s("w1"))
	require.NoError(t, err)
	f.reset()
	_, err = locker.ObtainLease(for30s("w1"))
	require.NoError(t, err)
	assert.Equal(t, 2, f.count(), "a look and a write")
}

// TestObtainLeaseTriesLastWhatASiblingObtainedMeanwhile: after the look that showed it free, or
// during a write that then was refused.
func TestObtainLeaseTriesLastWhatASiblingObtainedMeanwhile(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"Scan", "UpdateItem"} {
		t.Run("during "+operation, func(t *testing.T) {
			f := newFixture(t)
			var meanwhile func(id string)
			interrupt := func(r *request.Request) {
				if do := meanwhile; do != nil && r.Operation.Name == operation {
					id := ""
					if in, ok := r.Params.(*dynamodb.UpdateItemInput); ok {
						id = *in.Key["id"].S
					}
					meanwhile = nil
					do(id)
				}
			}
			if operation == "Scan" {
				f.ddb.Handlers.Complete.PushBack(interrupt)
			} else {
				f.ddb.Handlers.Send.PushFront(interrupt)
			}
			for range 20 {
				for _, id := range []string{"a", "b", "c"} {
					f.put(row{"id": str(id), "LeaseUntil": num(0)})
				}
				locker := lease.NewLocker(f.LockStore)
				var sibling *lease.Lease
				meanwhile = func(id string) {
					if id != "" {
						f.put(f.held(id, "other", time.Now().Add(time.Minute)))
					}
					var err error
					sibling, err = locker.ObtainLease(for30s("w1"))
					require.NoError(t, err)
				}
				l, err := locker.ObtainLease(for30s("w1"))
				require.NoError(t, err)
				if !assert.NotEqual(t, sibling.LeaseID, l.LeaseID, "there was another free one") {
					return
				}
				assert.True(t, sibling.Valid())
			}
		})
	}
}

func TestObtainLeaseTakesNoRowThatASiblingReleases(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a", "b", "c")
	locker := lease.NewLocker(f.LockStore)
	var lost, released atomic.Int64
	var wg sync.WaitGroup
	for range 3 { // as many as items: nobody needs to take what another has just obtained
		wg.Go(func() {
			for range 30 {
				l, err := locker.ObtainLease(worker{"w", time.Hour})
				if err != nil {
					time.Sleep(time.Millisecond)
					continue
				}
				done := make(chan error)
				go func() { done <- locker.Heartbeat(l, 10*time.Second) }()
				time.Sleep(3 * time.Millisecond)
				released.Add(1)
				if l.Valid() && locker.ReleaseLease(l) == lease.LeaseLostError {
					lost.Add(1)
				}
				<-done
			}
		})
	}
	wg.Wait()
	assert.Positive(t, released.Load())
	assert.Zero(t, lost.Load())
}

func TestObtainLeaseInTenGoroutinesOfOneNameGetsTenItems(t *testing.T) {
	logger := record(t)
	synctest.Test(t, func(t *testing.T) {
		client := leasetest.NewStore(ids(10)...).NewClient()
		locker := lease.NewLocker(delayed(client))
		w1 := worker{"w1", 6 * time.Second}
		ctx, stop := context.WithTimeout(t.Context(), 4*time.Second)
		defer stop()
		var mu sync.Mutex
		var got []string
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				for ctx.Err() == nil {
					l, err := locker.WaitUntilLeaseObtainedWithContext(ctx, w1, 100*time.Millisecond)
					if err != nil {
						return
					}
					mu.Lock()
					got = append(got, l.LeaseID)
					mu.Unlock()
					err = locker.HeartbeatWithContext(ctx, l, time.Second)
					if ctx.Err() == nil {
						t.Errorf("%s was lost: %v", l.LeaseID, err)
					}
				}
			})
		}
		time.Sleep(2 * time.Second)
		l, err := locker.ObtainLease(w1)
		assert.True(t, err == lease.LeaseNotObtainedError, "an eleventh got %v", l)
		all.Wait()
		assert.ElementsMatch(t, ids(10), got)
		assert.Len(t, logger.named("Obtained Lease"), 10)
		assert.LessOrEqual(t, client.Counts().Requests(), 33+10*4+1, "obtains, renewals, and the eleventh's look")
		t.Logf("%d requests, %d of them refused", client.Counts().Requests(), client.Counts().Refused)
	})
}

func TestObtainLeaseWhoseReplyWasLostLeavesNoEndBehind(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	locker := lease.NewLocker(f.through(lossy("UpdateItem")))
	l, err := locker.ObtainLease(for30s("w1"))
	require.NoError(t, err)
	assert.Equal(t, int64(2), l.FencingToken(), "the SDK wrote twice")
	require.NoError(t, locker.ReleaseLease(l))
	assert.Equal(t, num(0), f.get("a")["LeaseUntil"])
}

func TestObtainLeaseGivesUpARequestWhoseReplyWouldBeOfNoUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hook := func(ctx context.Context, _ lease.LeaseItem) error {
			<-ctx.Done()
			return ctx.Err()
		}
		start := time.Now()
		_, err := lease.NewLocker(&hooked{to: leasetest.NewStore("a"), hook: hook}).ObtainLease(for30s("w1"))
		assertUnanswered(t, err, `the lease of "a" in the store *lease_test.hooked was not answered within 27s`)
		assert.Equal(t, 27*time.Second, time.Since(start))
	})
}

// A look may take long, as a table may be large, but not for ever, as a connection may hang.
func TestObtainLeaseGivesUpALookThatHangs(t *testing.T) {
	t.Parallel()
	for duration, most := range map[time.Duration]time.Duration{
		time.Second:      10 * time.Second,
		20 * time.Second: 20 * time.Second,
		time.Hour:        30 * time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			store := leasetest.NewStore("a")
			store.SetHang(true)
			start := time.Now()
			_, err := lease.NewLocker(store).ObtainLease(worker{"w1", duration})
			assertUnanswered(t, err, "the scan of the store *leasetest.Store")
			assert.Equal(t, most, time.Since(start), "with leases of %v", duration)
		})
	}
}

func TestObtainLeaseThatIsGivenUpWhileItsWriteIsUnderWayFreesTheItem(t *testing.T) {
	t.Parallel()
	obtain := map[string]func(context.Context, *lease.Locker) error{
		"ObtainLease": func(ctx context.Context, l *lease.Locker) error {
			_, err := l.ObtainLeaseWithContext(ctx, for30s("w1"))
			return err
		},
		"WaitUntilLeaseObtained": func(ctx context.Context, l *lease.Locker) error {
			_, err := l.WaitUntilLeaseObtainedWithContext(ctx, for30s("w1"), time.Second)
			return err
		},
		"Hold": func(ctx context.Context, l *lease.Locker) error {
			return l.Hold(ctx, for30s("w1"), untilDone)
		},
	}
	for name, obtain := range obtain {
		synctest.Test(t, func(t *testing.T) {
			store := leasetest.NewStore("a")
			locker := lease.NewLocker(answeredLate(store, 5*time.Second))
			start := time.Now()
			err := obtain(within(t, 2*time.Second), locker)
			assert.ErrorIs(t, err, context.DeadlineExceeded, name)
			assert.LessOrEqual(t, time.Since(start), 3*time.Second, name)
			assert.Equal(t, "w1", asSeen(t, store, "a").LesseeID, "%s: the write is under way", name)

			time.Sleep(4 * time.Second)
			assert.Empty(t, asSeen(t, store, "a").LesseeID, name)
			assert.Zero(t, locker.Stats().Held, name)
			_, err = lease.NewLocker(store).ObtainLease(for30s("w2"))
			assert.NoError(t, err, name)
		})
	}
}

// The process may end when Hold returns.
func TestHoldThatIsGivenUpWaitsASecondForTheAnswerToItsWrite(t *testing.T) {
	t.Parallel()
	for late, want := range map[time.Duration]time.Duration{
		2500 * time.Millisecond: 2500 * time.Millisecond,
		time.Minute:             3 * time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			store := leasetest.NewStore("a")
			start := time.Now()
			err := lease.NewLocker(answeredLate(store, late)).Hold(within(t, 2*time.Second), for30s("w1"), untilDone)
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.Equal(t, want, time.Since(start))
			assert.Equal(t, late > want, asSeen(t, store, "a").LesseeID == "w1")
			time.Sleep(time.Minute)
		})
	}
}

func TestObtainLeaseTriesTheNextItemWhenAWriteHangs(t *testing.T) {
	t.Parallel()
	for duration, most := range map[time.Duration]time.Duration{
		20 * time.Second: 18 * time.Second,
		24 * time.Hour:   30 * time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			store := leasetest.NewStore("a", "b")
			var first atomic.Pointer[string]
			s := &hooked{to: store, hook: func(ctx context.Context, seen lease.LeaseItem) error {
				if !first.CompareAndSwap(nil, &seen.LeaseID) {
					return nil
				}
				select {
				case <-time.After(40 * time.Second):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}}
			start := time.Now()
			locker := lease.NewLocker(s)
			l, err := locker.ObtainLease(worker{"w1", duration})
			require.NoError(t, err)
			hangs := *first.Load()
			assert.NotEqual(t, hangs, l.LeaseID)
			assert.Equal(t, most, time.Since(start))
			assert.EqualValues(t, 1, locker.Stats().FailedWrites)

			time.Sleep(time.Minute) // The late write is applied, if at all, and undone.
			assert.Empty(t, asSeen(t, store, hangs).LesseeID)
			assert.LessOrEqual(t, locker.Stats().Held, 1)
		})
	}
}

// answeredLater is a store in memory that applies leases at once, and answers so much later,
// unless the context is done by then.
func answeredLater(s *leasetest.Store, late time.Duration) *hooked {
	return &hooked{to: s, hook: func(ctx context.Context, _ lease.LeaseItem) error {
		select {
		case <-time.After(late):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}}
}

func TestObtainLeaseThatIsGivenUpReturnsAtOnceAndLeavesTheItemToTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		locker := lease.NewLocker(answeredLater(leasetest.NewStore("a"), 5*time.Second))
		start := time.Now()
		_, err := locker.ObtainLeaseWithContext(within(t, 2*time.Second), for30s("w1"))
		assert.ErrorContains(t, err, `the lease of "a" in the store *lease_test.hooked was given up`)
		assert.Equal(t, 2*time.Second, time.Since(start))
		_, err = locker.ObtainLease(for30s("w1"))
		assert.True(t, err == lease.LeaseNotObtainedError, "the item is busy, got %v", err)

		time.Sleep(4 * time.Second)
		assert.EqualValues(t, 1, locker.Stats().Obtained, "the write hasn't ended with its caller")
		assert.EqualValues(t, 1, locker.Stats().Released)
		l, err := locker.ObtainLease(for30s("w1"))
		require.NoError(t, err)
		assert.Equal(t, int64(2), l.FencingToken())
	})
}

func TestObtainLeaseEndsAWriteThatHangsAfterAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := answeredLater(leasetest.NewStore("a"), time.Hour)
		locker := lease.NewLocker(s)
		_, err := locker.ObtainLease(worker{"w1", 24 * time.Hour})
		assertUnanswered(t, err, `the lease of "a"`)
		time.Sleep(29 * time.Second)
		_, err = locker.ObtainLease(worker{"w1", 24 * time.Hour})
		assert.True(t, err == lease.LeaseNotObtainedError, "the item is busy, got %v", err)
		synctest.Wait()
		s.hook = nil
		time.Sleep(2 * time.Second)
		_, err = locker.ObtainLease(worker{"w1", 24 * time.Hour})
		assert.NoError(t, err)
		assert.EqualValues(t, 1, locker.Stats().FailedWrites, "it is one write")
	})
}

func TestObtainLeaseGivesUpWhereEveryWriteHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		locker := lease.NewLocker(answeredLater(leasetest.NewStore(ids(20)...), time.Hour))
		start := time.Now()
		_, err := locker.ObtainLease(worker{"w1", 24 * time.Hour})
		assertUnanswered(t, err, "the lease of ")
		assert.Equal(t, 90*time.Second, time.Since(start))
		time.Sleep(time.Minute)
	})
}

func TestObtainLeaseSaysThatAWriteHangsThoughTheOtherItemsAreHeld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a", "b")
		_, err := store.Lease("b", for30s("other"), time.Now().Add(time.Hour))
		require.NoError(t, err)
		_, err = lease.NewLocker(answeredLater(store, time.Hour)).ObtainLease(for30s("w1"))
		assertUnanswered(t, err, `the lease of "a"`)
	})
}
