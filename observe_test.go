package lease_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

// diary is an observer that keeps what it is told.
type diary struct {
	mu     sync.Mutex
	events []lease.Event
}

func observing(locker *lease.Locker) *diary {
	d := &diary{}
	locker.Observe(func(e lease.Event) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.events = append(d.events, e)
	})
	return d
}

// all returns what it was told, once all is told. It is for synctest's bubbles.
func (d *diary) all() []lease.Event {
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.events
}

// kinds are those of the events, but of looks.
func (d *diary) kinds() string {
	var all []string
	for _, e := range d.all() {
		if e.Kind != lease.EventLooked {
			all = append(all, e.Kind.String())
		}
	}
	return strings.Join(all, ", ")
}

// of returns the events of a kind.
func (d *diary) of(kind lease.EventKind) (some []lease.Event) {
	for _, e := range d.all() {
		if e.Kind == kind {
			some = append(some, e)
		}
	}
	return some
}

// first returns the first event of a kind, which must be there.
func (d *diary) first(t *testing.T, kind lease.EventKind) lease.Event {
	t.Helper()
	some := d.of(kind)
	require.NotEmpty(t, some, kind)
	return some[0]
}

// observed runs a test of a Locker on a store in memory of the item "a", in imagined time.
func observed(t *testing.T, test func(t *testing.T, store *leasetest.Store, locker *lease.Locker, d *diary)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		locker := lease.NewLocker(store)
		test(t, store, locker, observing(locker))
	})
}

// TestObserveTellsOfATenureFromItsBeginToItsEnd: for each way in which one ends.
func TestObserveTellsOfATenureFromItsBeginToItsEnd(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		want string
		work func(ctx context.Context, s *leasetest.Store, l *lease.Lease) error
	}{
		"its work returns": {
			"obtained, renewed, given up, released",
			func(context.Context, *leasetest.Store, *lease.Lease) error { time.Sleep(15 * time.Second); return boom },
		},
		"it is handed over": {
			"obtained, renewed, wanted, given up, handed over",
			func(ctx context.Context, s *leasetest.Store, _ *lease.Lease) error {
				wish(t, s, "a", "w2", time.Minute)
				<-ctx.Done()
				return nil
			},
		},
		"it is lost": {
			"obtained, lost",
			func(ctx context.Context, s *leasetest.Store, _ *lease.Lease) error {
				s.Steal("a", "w2", time.Minute)
				<-ctx.Done()
				return nil
			},
		},
		"a failed renewal is tried again": {
			"obtained, renewal failed, renewed, given up, released",
			func(_ context.Context, s *leasetest.Store, _ *lease.Lease) error {
				s.OutageFor(10*time.Second + time.Millisecond)
				time.Sleep(15 * time.Second)
				return nil
			},
		},
		"it is retired": {
			"obtained, given up",
			func(_ context.Context, s *leasetest.Store, l *lease.Lease) error { return s.RemoveLease(l) },
		},
		"its work is stuck": {
			"obtained, stuck, released",
			func(_ context.Context, _ *leasetest.Store, l *lease.Lease) error {
				l.Progress(5 * time.Second)
				time.Sleep(time.Minute)
				return nil
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			observed(t, func(t *testing.T, store *leasetest.Store, locker *lease.Locker, d *diary) {
				_ = locker.Hold(t.Context(), for30s("w1"), func(ctx context.Context, l *lease.Lease) error {
					return c.work(ctx, store, l)
				})
				assert.Equal(t, c.want, d.kinds())
				for _, e := range d.all()[1:] { // The first is a look.
					assert.Equal(t, "a", e.LeaseID, e.Kind)
					assert.Equal(t, "w1", e.LesseeID, e.Kind)
					assert.Equal(t, int64(1), e.FencingToken, e.Kind)
				}
			})
		})
	}
}

func TestObserveTellsOfATenureThatEndsInAnOutage(t *testing.T) {
	t.Parallel()
	observed(t, func(t *testing.T, store *leasetest.Store, locker *lease.Locker, d *diary) {
		_ = locker.Hold(t.Context(), for30s("w1"), func(ctx context.Context, _ *lease.Lease) error {
			store.SetOutage(true)
			<-ctx.Done()
			return nil
		})
		assert.True(t, strings.HasSuffix(d.kinds(), "expired, write failed"), d.kinds())
		assert.Greater(t, len(d.of(lease.EventRenewalFailed)), 2)
		failed := d.first(t, lease.EventRenewalFailed)
		assert.Equal(t, leasetest.OutageError, failed.Err)
		assert.Equal(t, "renewal", failed.Request)
		expired := d.first(t, lease.EventExpired)
		assert.Equal(t, lease.LeaseExpiredError, expired.Err)
		assert.Empty(t, expired.Request)
		write := d.first(t, lease.EventWriteFailed)
		assert.Equal(t, "release", write.Request)
		assert.ErrorIs(t, write.Err, leasetest.OutageError)
		assert.Equal(t, int64(1), write.FencingToken)
	})
}

func TestObserveTellsWhenAndHowLongARequestTook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		locker := lease.NewLocker(answeredLate(leasetest.NewStore("a"), 2*time.Second))
		d := observing(locker)
		l, err := locker.ObtainItem(t.Context(), "a", for30s("w1"))
		require.NoError(t, err)
		require.NoError(t, locker.ReleaseLease(l))
		want := []lease.Event{
			{Kind: lease.EventLooked, At: start, LeaseID: "a", LesseeID: "w1", Request: "read"},
			{Kind: lease.EventObtained, At: start.Add(2 * time.Second), LeaseID: "a", LesseeID: "w1", FencingToken: 1,
				Request: "lease", Took: 2 * time.Second},
			{Kind: lease.EventGivenUp, At: start.Add(2 * time.Second), LeaseID: "a", LesseeID: "w1", FencingToken: 1},
			{Kind: lease.EventReleased, At: start.Add(2 * time.Second), LeaseID: "a", LesseeID: "w1", FencingToken: 1,
				Request: "release"},
		}
		assert.Equal(t, want, d.all())
	})
}

func TestObserveTellsWhoWantsAnItemAndGetsIt(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"w2", ""} {
		observed(t, func(t *testing.T, store *leasetest.Store, locker *lease.Locker, d *diary) {
			_ = locker.HoldItem(t.Context(), "a", for30s("w1"), func(ctx context.Context, _ *lease.Lease) error {
				wish(t, store, "a", by, time.Minute)
				<-ctx.Done()
				return ctx.Err()
			})
			for _, kind := range []lease.EventKind{lease.EventWanted, lease.EventHandedOver} {
				require.Len(t, d.of(kind), 1)
				assert.Equal(t, by, d.first(t, kind).WantedBy)
			}
		})
	}
}

// TestObserveTellsOfTheTenureBeforeFirst: one that this Locker leases anew ends.
func TestObserveTellsOfTheTenureBeforeFirst(t *testing.T) {
	t.Parallel()
	observed(t, func(t *testing.T, _ *leasetest.Store, locker *lease.Locker, d *diary) {
		for range 2 {
			_, err := locker.ObtainLease(for30s("w1"))
			require.NoError(t, err)
		}
		assert.Equal(t, "obtained, lost, obtained", d.kinds())
		assert.Equal(t, int64(1), d.first(t, lease.EventLost).FencingToken)
	})
}

func TestObserveTellsOfLooks(t *testing.T) {
	t.Parallel()
	observed(t, func(t *testing.T, store *leasetest.Store, locker *lease.Locker, d *diary) {
		_, err := locker.ObtainItem(t.Context(), "b", for30s("w1"))
		require.ErrorIs(t, err, lease.LeaseIDUnknownError)
		store.SetOutage(true)
		_, err = locker.ObtainLease(for30s("w1"))
		require.Error(t, err)
		assert.Equal(t, "look failed", d.kinds())
		looked := d.first(t, lease.EventLooked)
		assert.Equal(t, "b", looked.LeaseID)
		assert.ErrorIs(t, looked.Err, lease.LeaseIDUnknownError)
		failed := d.first(t, lease.EventLookFailed)
		assert.Empty(t, failed.LeaseID)
		assert.Equal(t, "scan", failed.Request)
		assert.Equal(t, leasetest.OutageError, failed.Err)
	})
}

// TestObserverMayReleaseWhatItIsToldOf: it is called outside of all locks.
func TestObserverMayReleaseWhatItIsToldOf(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		locker := lease.NewLocker(store)
		locker.Observe(func(e lease.Event) {
			if e.Kind != lease.EventObtained {
				return
			}
			for _, l := range locker.Leases() {
				assert.NoError(t, locker.ReleaseLease(l))
			}
		})
		l, err := locker.ObtainLease(for30s("w1"))
		require.NoError(t, err)
		<-l.Context().Done()
		synctest.Wait()
		assert.Empty(t, store.Holder("a"))
	})
}

// TestObserveTellsOfWhatStatsCount: whatever happens to a fleet that shares, holds and obtains,
// with outages, thefts, wishes and works that hang.
func TestObserveTellsOfWhatStatsCount(t *testing.T) {
	t.Parallel()
	for round := range 5 {
		seed := uint64(time.Now().UnixNano()) + uint64(round)
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { observeFleet(t, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

func observeFleet(t *testing.T, random *rand.Rand) {
	items := ids(12)
	store := leasetest.NewStore(items...)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	var clients []*leasetest.Store
	var lockers []*lease.Locker
	var diaries []*diary
	seeds := make(chan uint64, 1000)
	for range cap(seeds) {
		seeds <- random.Uint64()
	}
	work := func(ctx context.Context, l *lease.Lease) error {
		return misbehave(ctx, l, rand.New(rand.NewPCG(<-seeds, 0)))
	}
	for i := range 3 {
		client := store.NewClient()
		locker := lease.NewLocker(client)
		clients = append(clients, client)
		lockers = append(lockers, locker)
		diaries = append(diaries, observing(locker))
		me := for30s(fmt.Sprint("w", i))
		options := lease.ShareOptions{Most: 5, Patience: 20 * time.Second}
		all.Go(func() { _ = locker.HoldShareWith(ctx, me, options, work) })
		all.Go(func() {
			for ctx.Err() == nil {
				_ = locker.HoldItem(ctx, "item-0", me, work)
				time.Sleep(time.Second)
			}
		})
	}
	for range 200 {
		disturb(t, random, store, clients[random.IntN(len(clients))], items)
		time.Sleep(time.Duration(random.IntN(10)) * time.Second)
	}
	cancel()
	all.Wait()
	time.Sleep(time.Hour) // All that is left ends.
	for i, d := range diaries {
		d.assertCounted(t, lockers[i].Stats())
	}
}

// misbehave is work that ends in several ways, or hangs.
func misbehave(ctx context.Context, l *lease.Lease, random *rand.Rand) error {
	switch random.IntN(5) {
	case 0:
		l.Progress(10 * time.Second)
		time.Sleep(time.Minute)
	case 1:
		time.Sleep(time.Duration(random.IntN(60)) * time.Second)
		return errors.New("boom")
	case 2:
		<-ctx.Done()
		time.Sleep(time.Duration(random.IntN(60)) * time.Second)
	}
	<-ctx.Done()
	return ctx.Err()
}

// disturb has something happen to a client, or to an item.
func disturb(t *testing.T, random *rand.Rand, store, client *leasetest.Store, items []string) {
	id := items[random.IntN(len(items))]
	switch random.IntN(6) {
	case 0:
		client.OutageFor(time.Duration(random.IntN(60)) * time.Second)
	case 1:
		store.Steal(id, "thief", time.Duration(random.IntN(30))*time.Second)
	case 2:
		if seen := asSeen(t, store, id); seen.LesseeID != "" {
			_ = store.WantLease(t.Context(), seen, "", time.Now().Add(time.Minute))
		}
	case 3:
		client.SetLoseReplies(true)
		time.Sleep(time.Duration(random.IntN(15)) * time.Second)
		client.SetLoseReplies(false)
	case 4:
		client.SetHang(true)
		time.Sleep(time.Duration(random.IntN(60)) * time.Second)
		client.SetHang(false)
	}
}

// assertCounted asserts that it was told of what was counted, of each tenure in order.
func (d *diary) assertCounted(t *testing.T, stats lease.LockerStats) {
	t.Helper()
	told := make(map[lease.EventKind]int64)
	for _, e := range d.all() {
		told[e.Kind]++
	}
	want := map[lease.EventKind]int64{
		lease.EventObtained:      stats.Obtained,
		lease.EventRenewed:       stats.Renewed,
		lease.EventRenewalFailed: stats.FailedRenewals,
		lease.EventReleased:      stats.Released,
		lease.EventHandedOver:    stats.HandedOver,
		lease.EventLost:          stats.Lost,
		lease.EventExpired:       stats.Expired,
		lease.EventStuck:         stats.Stucks,
		lease.EventLooked:        stats.Looks,
		lease.EventLookFailed:    stats.FailedLooks,
		lease.EventWriteFailed:   stats.FailedWrites,
	}
	for kind, n := range want {
		assert.Equal(t, n, told[kind], kind)
	}
	assert.Zero(t, stats.Held)
	d.assertInOrder(t)
}

// assertInOrder asserts that each tenure is obtained once, first, and has one end.
func (d *diary) assertInOrder(t *testing.T) {
	t.Helper()
	type tenure struct {
		leaseID string
		token   int64
	}
	began := make(map[tenure]bool)
	over := make(map[tenure]bool)
	last := time.Time{}
	for _, e := range d.all() {
		of := tenure{e.LeaseID, e.FencingToken}
		assert.False(t, e.At.Before(last), "%v", e)
		last = e.At
		switch e.Kind {
		case lease.EventObtained:
			assert.False(t, began[of], "%v", e)
			began[of] = true
		case lease.EventRenewed, lease.EventWanted:
			assert.True(t, began[of] && !over[of], "%v", e)
		case lease.EventGivenUp, lease.EventExpired:
			assert.True(t, began[of] && !over[of], "%v", e)
			over[of] = true
		case lease.EventLost, lease.EventStuck:
			assert.True(t, began[of], "%v", e)
			over[of] = true
		case lease.EventReleased, lease.EventHandedOver:
			assert.True(t, over[of], "%v", e)
		}
	}
	assert.Equal(t, began, over)
	assert.NotEmpty(t, began)
}
