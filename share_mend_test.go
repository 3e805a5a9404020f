package lease_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
	"github.com/intercom/lease/internal/race"
	"github.com/intercom/lease/leasetest"
)

// hooked is a store with a hook before each request that leases an item. It doesn't embed one: NewLocker is to take it whole.
type hooked struct {
	to      *leasetest.Store
	hook    func(ctx context.Context, seen lease.LeaseItem) error
	renewed func(l *lease.Lease) // nil for nothing
}

func (s *hooked) LeaseAsSeen(ctx context.Context, seen lease.LeaseItem, older *lease.Lease, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
	if err := s.hook(ctx, seen); err != nil {
		return nil, err
	}
	return s.to.LeaseAsSeen(ctx, seen, older, r, until)
}
func (s *hooked) Lease(id string, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
	return s.to.Lease(id, r, until)
}
func (s *hooked) LeaseWithContext(ctx context.Context, id string, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
	return s.to.LeaseWithContext(ctx, id, r, until)
}
func (s *hooked) ListLeaseIDs() ([]string, error) { return s.to.ListLeaseIDs() }
func (s *hooked) ScanLeaseItemsWithContext(ctx context.Context, after string, limit int) ([]lease.LeaseItem, string, error) {
	return s.to.ScanLeaseItemsWithContext(ctx, after, limit)
}
func (s *hooked) RenewLeaseItem(ctx context.Context, l *lease.Lease, until, wanted time.Time) (lease.LeaseItem, error) {
	if s.renewed != nil {
		defer s.renewed(l)
	}
	return s.to.RenewLeaseItem(ctx, l, until, wanted)
}
func (s *hooked) ReleaseLeaseWithContext(ctx context.Context, l *lease.Lease) error {
	return s.to.ReleaseLeaseWithContext(ctx, l)
}
func (s *hooked) WantLease(ctx context.Context, seen lease.LeaseItem, by string, until time.Time) error {
	return s.to.WantLease(ctx, seen, by, until)
}
func (s *hooked) HandOverLease(ctx context.Context, l *lease.Lease, until time.Time) error {
	return s.to.HandOverLease(ctx, l, until)
}
func (s *hooked) SaveAttributes(ctx context.Context, l *lease.Lease, attributes map[string]*dynamodb.AttributeValue) error {
	return s.to.SaveAttributes(ctx, l, attributes)
}

// plainStore is what NewLocker asks for, and no more.
type plainStore struct{ s *leasetest.Store }

func (t plainStore) Lease(id string, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
	return t.s.Lease(id, r, until)
}
func (t plainStore) ListLeaseIDs() ([]string, error) { return t.s.ListLeaseIDs() }

// asSeen returns an item as a scan shows it.
func asSeen(t *testing.T, s *leasetest.Store, id string) (found lease.LeaseItem) {
	t.Helper()
	items, _, err := s.ScanLeaseItems("", 0)
	require.NoError(t, err)
	for _, i := range items {
		if i.LeaseID == id {
			found = i
		}
	}
	return found
}

// TestShareOneRequestHangs: an item whose request gets no reply does not keep the others of its batch from their work.
func TestShareOneRequestHangs(t *testing.T) {
	lease.SetLogger(nil)
	for _, d := range []time.Duration{6 * time.Second, 30 * time.Second} {
		t.Run(d.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &hooked{to: leasetest.NewStore("a", "b", "c", "d", "e", "f", "g", "h"), hook: func(ctx context.Context, seen lease.LeaseItem) error {
					if seen.LeaseID != "a" {
						return nil
					}
					<-ctx.Done()
					return ctx.Err()
				}}
				start, began, causes := time.Now(), make(chan time.Duration, 100), make(chan error, 100)
				stop := sharing(lease.NewLocker(store), worker{"w", d}, 0, func(ctx context.Context, l *lease.Lease) error {
					began <- time.Since(start)
					<-ctx.Done()
					causes <- context.Cause(ctx)
					return ctx.Err()
				})
				time.Sleep(d / 4)
				assert.Len(t, began, 7, "those that work by then")
				time.Sleep(2 * d)
				assert.Len(t, began, 7, "none has begun again")
				assert.ErrorIs(t, stop(), context.Canceled)
				for range 7 {
					assert.True(t, <-causes == context.Canceled, "all were renewed")
				}
			})
		})
	}
}

func TestShareAReservationThatNobodyCanUseIsPastSoon(t *testing.T) {
	simulate(t, 2, func(f *simulation) {
		f.returns = 0
		w0 := f.start("w0")
		f.until("held", time.Minute, f.held)
		time.Sleep(time.Minute)
		w1 := f.start("w1", func(w *sharer) { w.most = 1 })
		f.until("wished", time.Minute, func() bool { return w1.client.Counts().Wishes > 0 })
		w1.client.SetHang(true)
		f.until("handed over", time.Minute, func() bool { return w0.client.Counts().Handovers > 0 })
		f.leave(w0)
		time.Sleep(2 * time.Minute)
		w1.client.SetHang(false)
		f.until("at work", 2*shareD, func() bool { of, _ := f.counts(); return of["w1"] == 1 })
		time.Sleep(time.Minute)
		before := w1.client.Counts()
		time.Sleep(time.Hour)
		after := w1.client.Counts()
		assert.LessOrEqual(f, after.Scans-before.Scans, 378, "no wish is out any more")
		assert.Equal(f, before.Wishes, after.Wishes)
	})
}

func TestAPanicOfTheStoreEndsAllWorks(t *testing.T) {
	lease.SetLogger(nil)
	synctest.Test(t, func(t *testing.T) {
		store := &hooked{to: leasetest.NewStore("a", "b", "c", "d", "e", "f", "g", "h"), hook: func(_ context.Context, seen lease.LeaseItem) error {
			if seen.LeaseID == "a" {
				panic("store")
			}
			return nil
		}}
		var running atomic.Int32
		assert.PanicsWithValue(t, "store", func() {
			lease.NewLocker(store).HoldShare(t.Context(), for30s("w"), 0, func(ctx context.Context, _ *lease.Lease) error {
				running.Add(1)
				defer running.Add(-1)
				<-ctx.Done()
				time.Sleep(time.Second)
				return nil
			})
		})
		assert.Zero(t, running.Load(), "works that HoldShare left behind")
		for _, id := range []string{"b", "c", "d", "e", "f", "g", "h"} {
			assert.Empty(t, store.to.Holder(id))
		}
	})
}

func TestAPanicOfAWorkIsLoggedWithItsStack(t *testing.T) {
	logger := record(t)
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a", "b")
		assert.Panics(t, func() {
			lease.NewLocker(store).HoldShare(t.Context(), for30s("w"), 0, func(ctx context.Context, l *lease.Lease) error {
				if l.LeaseID == "a" {
					workThatPanics()
				}
				<-ctx.Done()
				return nil
			})
		})
		assert.Empty(t, store.Holder("a"))
		assert.Empty(t, store.Holder("b"))
	})
	assert.Contains(t, logger.text(), "workThatPanics")
}

func workThatPanics() { panic("work") }

func TestHoldShareReturnsSoonInTheMidstOfALook(t *testing.T) {
	lease.SetLogger(nil)
	for _, d := range []time.Duration{2 * time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			s := leasetest.NewStore()
			for i := range 1000 {
				id := fmt.Sprint(i)
				require.NoError(t, s.AddLeaseID(id, nil))
				_, err := s.Lease(id, for30s("w"), time.Now().Add(30*time.Second))
				require.NoError(t, err)
			}
			var sent atomic.Int32
			stop := sharing(lease.NewLocker(&hooked{to: s, hook: func(ctx context.Context, _ lease.LeaseItem) error {
				sent.Add(1)
				select {
				case <-time.After(d):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}}), for30s("w"), 0, untilDone)
			time.Sleep(time.Second)
			before, start := sent.Load(), time.Now()
			assert.ErrorIs(t, stop(), context.Canceled)
			assert.Equal(t, before, sent.Load(), "no request was begun after that")
			assert.LessOrEqual(t, time.Since(start), 5*time.Second)
		})
	}
}

func TestShareWorkThatChangesItsLease(t *testing.T) {
	lease.SetLogger(nil)
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a", "b")
		stop := sharing(lease.NewLocker(store), for30s("w"), 0, func(ctx context.Context, l *lease.Lease) error {
			*l = lease.Lease{}
			return untilDone(ctx, l)
		})
		time.Sleep(time.Minute)
		assert.Equal(t, "w", store.Holder("a"))
		assert.Equal(t, "w", store.Holder("b"))
		assert.True(t, stop() == context.Canceled)
		assert.Empty(t, store.Holder("a"))
		assert.Empty(t, store.Holder("b"))
	})
}

func TestShareItemsThatAreLostOrRetired(t *testing.T) {
	logger := record(t)
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("stolen", "removed", "retired")
		causes := make(chan string, 3)
		stop := sharing(lease.NewLocker(store), for30s("w"), 0, func(ctx context.Context, l *lease.Lease) error {
			if l.LeaseID == "removed" {
				assert.NoError(t, store.RemoveLease(l))
				return nil // done for good
			}
			<-ctx.Done()
			causes <- fmt.Sprint(l.LeaseID, " ", context.Cause(ctx))
			return ctx.Err()
		})
		time.Sleep(time.Minute)
		store.Steal("stolen", "thief", time.Hour)
		store.Retire("retired")
		time.Sleep(time.Minute)
		assert.ElementsMatch(t, []string{"stolen Lease Lost", "retired Lease Lost"}, []string{<-causes, <-causes})
		assert.True(t, stop() == context.Canceled)
		assert.Equal(t, "thief", store.Holder("stolen"))
	})
	assert.NotContains(t, logger.text(), "Work Ended")
}

func TestShareAWorkerThatAlwaysFails(t *testing.T) {
	simulate(t, 40, func(f *simulation) {
		f.startAll(3, 0)
		f.until("level", time.Minute, f.level)
		var runs atomic.Int32
		broken := f.start("broken", func(w *sharer) {
			w.work = func(context.Context, *lease.Lease) error { runs.Add(1); return errors.New("disk full") }
		})
		time.Sleep(2 * time.Hour)
		runs.Store(0)
		before := broken.client.Counts()
		time.Sleep(time.Hour)
		_, nobody := f.counts()
		after := broken.client.Counts()
		f.Logf("%d runs an hour, %d wishes", runs.Load(), after.Wishes-before.Wishes)
		assert.LessOrEqual(f, nobody, 8, "the others have what it can't keep")
		assert.LessOrEqual(f, runs.Load(), int32(500), "each item rests for 5 minutes after each")
		assert.LessOrEqual(f, after.Wishes-before.Wishes, 500)
	})
}

// In large fleets all looks together cost less than the renewals of what they look at, however many lease ends they see.
func TestShareLargeFleetsLookRarely(t *testing.T) {
	if race.Enabled() {
		t.Skip("with -race it takes long, and finds no other races")
	}
	simulate(t, 300, func(f *simulation) {
		f.startAll(300, 0)
		f.until("held", 5*time.Minute, f.held)
		time.Sleep(3 * time.Minute)
		before := f.requests()
		time.Sleep(10 * time.Minute)
		after := f.requests()
		scans := float64(after.Scans-before.Scans) / 300 / 60
		f.Logf("%.2f scans a worker a period", scans)
		assert.LessOrEqual(f, scans, 0.37)
		f.kill(f.workers["w0"])
		f.until("held again", 2*shareD, f.held)
	})
}

func TestShareForeignShortLeasesCostNoLooks(t *testing.T) {
	if race.Enabled() {
		t.Skip("with -race it takes long, and finds no other races")
	}
	for _, d := range []time.Duration{time.Minute, 3 * time.Second, 300 * time.Millisecond} {
		simulate(t, 100, func(f *simulation) {
			f.returns = 0
			f.start("short", func(w *sharer) { w.duration = d })
			long := f.start("long", func(w *sharer) { w.duration = time.Minute })
			time.Sleep(2 * time.Minute)
			before := long.client.Counts()
			time.Sleep(5 * time.Minute)
			assert.LessOrEqual(f, long.client.Counts().Scans-before.Scans, 17, "in 15 periods, beside leases of %v", d)
		})
	}
}

func TestShareAnOperatorsReservationBeyondTheLimitEnds(t *testing.T) {
	simulate(t, 4, func(f *simulation) {
		f.returns = 0
		f.start("x", func(w *sharer) { w.most = 1 })
		time.Sleep(5 * time.Second)
		f.start("y")
		f.until("held", time.Minute, f.held)
		time.Sleep(time.Minute)
		items, _, err := f.store.ScanLeaseItems("", 0)
		require.NoError(f, err)
		for _, i := range items {
			if i.LesseeID == "y" {
				require.NoError(f, f.store.WantLease(f.Context(), i, "x", time.Now().Add(9*time.Minute)))
				break
			}
		}
		f.until("free", time.Minute, func() bool { return !f.held() })
		f.until("held", time.Minute+3*shareP, f.held)
	})
}

// The item is kept for nobody any longer than who is to have it then has asked.
func TestAnOperatorsLongWishMakesNoLongReservation(t *testing.T) {
	lease.SetLogger(nil)
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		stop := sharing(lease.NewLocker(store), for30s("w"), 0, func(ctx context.Context, _ *lease.Lease) error {
			<-ctx.Done()
			time.Sleep(25 * time.Second)
			return nil
		})
		time.Sleep(time.Minute)
		require.NoError(t, store.WantLease(t.Context(), asSeen(t, store, "a"), "", time.Now().Add(5*time.Minute)))
		time.Sleep(20 * time.Second) // The holder has seen it.
		require.NoError(t, store.WantLease(t.Context(), asSeen(t, store, "a"), "dead", time.Now().Add(20*time.Second)))
		for store.Holder("a") == "w" {
			time.Sleep(100 * time.Millisecond)
		}
		assert.Equal(t, "dead", store.Holder("a"))
		assert.LessOrEqual(t, time.Until(asSeen(t, store, "a").Until), 25*time.Second)
		assert.True(t, stop() == context.Canceled)
	})
}

func TestShareErrorsThatWrapTheContextsAreNoErrors(t *testing.T) {
	logger := record(t)
	simulate(t, 2, func(f *simulation) {
		lease.SetLogger(logger)
		wrap := func(w *sharer) {
			w.work = func(ctx context.Context, _ *lease.Lease) error {
				<-ctx.Done()
				return fmt.Errorf("poll: %w", ctx.Err())
			}
		}
		w0 := f.start("w0", wrap)
		time.Sleep(time.Minute)
		w1 := f.start("w1", wrap)
		time.Sleep(time.Minute)
		assert.True(f, f.leave(w1) == context.Canceled)
		assert.True(f, f.leave(w0) == context.Canceled)
	})
	assert.NotContains(t, logger.text(), "Work Ended")
}

// TestShareAQueue: items are registered, worked on once, and retired: nothing of them is left behind.
func TestShareAQueue(t *testing.T) {
	lease.SetLogger(nil)
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore()
		var done atomic.Int32
		stop := sharing(lease.NewLocker(store), for30s("w"), 0, func(_ context.Context, l *lease.Lease) error {
			done.Add(1)
			return store.RemoveLease(l)
		})
		for i := range 500 {
			require.NoError(t, store.AddLeaseID(fmt.Sprint(i), nil))
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		ids, err := store.ListLeaseIDs()
		require.NoError(t, err)
		assert.Empty(t, ids)
		assert.Equal(t, int32(500), done.Load())
		assert.True(t, stop() == context.Canceled)
	})
}

func TestShareOnAStoreOfTwoMethods(t *testing.T) {
	lease.SetLogger(nil)
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore()
		for i := range 100 {
			id := fmt.Sprint(i)
			require.NoError(t, store.AddLeaseID(id, nil))
			if i != 37 && i != 73 {
				store.Steal(id, "other", 100*time.Hour)
			}
		}
		var running atomic.Int32
		stop := sharing(lease.NewLocker(plainStore{store}), for30s("w"), 0, func(ctx context.Context, l *lease.Lease) error {
			running.Add(1)
			defer running.Add(-1)
			return untilDone(ctx, l)
		})
		time.Sleep(time.Minute)
		assert.Equal(t, int32(2), running.Load())
		assert.Equal(t, "w", store.Holder("37"))
		before := store.Counts().Refused
		time.Sleep(10 * time.Minute)
		assert.LessOrEqual(t, store.Counts().Refused-before, 98*66, "a look tries each once")
		err := stop()
		assert.ErrorIs(t, err, context.Canceled)
		assert.ErrorContains(t, err, "2 items of \"w\" stay leased until")
	})
}

// From here on: what a hostile user found.

func TestShareAnErrorThatPassesEndsNoRenewals(t *testing.T) {
	lease.SetLogger(nil)
	synctest.Test(t, func(t *testing.T) {
		s := leasetest.NewStore()
		for i := range 100 {
			require.NoError(t, s.AddLeaseID(fmt.Sprint(i), nil))
		}
		var lost atomic.Int32
		stop := sharing(lease.NewLocker(s), for30s("w"), 0, func(ctx context.Context, _ *lease.Lease) error {
			<-ctx.Done()
			if context.Cause(ctx) != context.Canceled {
				lost.Add(1)
			}
			return ctx.Err()
		})
		time.Sleep(time.Minute)
		s.SetError(leasetest.AccessDeniedError)
		time.Sleep(12 * time.Second)
		s.SetError(nil)
		time.Sleep(time.Minute)
		assert.True(t, stop() == context.Canceled)
		assert.Zero(t, lost.Load())
	})
}

func TestShareAnErrorOfTheFirstLookIsSoonPast(t *testing.T) {
	lease.SetLogger(nil)
	synctest.Test(t, func(t *testing.T) {
		s := leasetest.NewStore("a")
		s.OutageFor(time.Second)
		stop := sharing(lease.NewLocker(s), worker{"w", time.Hour}, 0, untilDone)
		time.Sleep(time.Minute)
		assert.Equal(t, "w", s.Holder("a"))
		assert.True(t, stop() == context.Canceled)

		s.OutageFor(time.Second)
		denied := make(chan error, 1)
		go func() { denied <- lease.NewLocker(s).HoldShare(context.Background(), for30s("w"), 0, untilDone) }()
		synctest.Wait()
		s.SetError(leasetest.AccessDeniedError)
		assert.ErrorContains(t, <-denied, "AccessDenied", "the first look that is answered")
	})
}

func TestSharePoisonedItemsKeepNobodyFromOthers(t *testing.T) {
	simulate(t, 12, func(f *simulation) {
		poison := func(w *sharer) {
			w.work = func(ctx context.Context, l *lease.Lease) error {
				if n, _ := strconv.Atoi(strings.TrimPrefix(l.LeaseID, "item-")); n >= 6 {
					return errors.New("poison")
				}
				return w.deliver(ctx, l)
			}
		}
		f.start("w0", poison)
		time.Sleep(10 * time.Minute)
		f.start("w1", poison)
		f.until("even", 5*time.Minute, func() bool { of, _ := f.counts(); return of["w0"] == 3 && of["w1"] == 3 })
		f.moved()
		time.Sleep(time.Hour)
		assert.LessOrEqual(f, f.moved(), 4)
	})
}

func TestShareWorkThatEndsAtOncePullsAtOthersRarely(t *testing.T) {
	simulate(t, 20, func(f *simulation) {
		f.start("w0")
		f.until("held", time.Minute, f.held)
		ends := f.start("ends", func(w *sharer) { w.work = func(context.Context, *lease.Lease) error { return nil } })
		time.Sleep(20 * time.Minute)
		before := ends.client.Counts().Wishes
		time.Sleep(time.Hour)
		assert.LessOrEqual(f, ends.client.Counts().Wishes-before, 150)
	})
}

func TestShareLeasesOfVeryDifferentLengths(t *testing.T) {
	for _, d := range [][2]time.Duration{{30 * time.Second, 2 * time.Hour}, {30 * time.Second, 15 * time.Minute}, {15 * time.Minute, 30 * time.Second}} {
		simulate(t, 10, func(f *simulation) {
			f.returns = 0
			f.start("w0", func(w *sharer) { w.duration = d[0] })
			f.until("held", 5*time.Minute, f.held)
			time.Sleep(time.Minute)
			f.start("w1", func(w *sharer) { w.duration = d[1] })
			f.until("level", 30*time.Minute, f.level)
			f.moved()
			time.Sleep(time.Hour)
			assert.Zero(f, f.moved(), "leases of %v", d)
		})
	}
}

func TestShareCancelErrorsOfTheSDKAreNoFailures(t *testing.T) {
	logger := record(t)
	simulate(t, 10, func(f *simulation) {
		lease.SetLogger(logger)
		cancelled := func(w *sharer) {
			w.work = func(ctx context.Context, _ *lease.Lease) error {
				<-ctx.Done()
				return awserr.New(request.CanceledErrorCode, "request context canceled", ctx.Err())
			}
		}
		w0 := f.start("w0", cancelled)
		time.Sleep(time.Minute)
		f.leave(f.start("w1", cancelled))
		f.leave(w0)
	})
	assert.NotContains(t, logger.text(), "Work Ended")
}

func TestShareOfAWorkerWithASlowStore(t *testing.T) {
	lease.SetLogger(nil)
	synctest.Test(t, func(t *testing.T) {
		s := leasetest.NewStore("a", "b", "c", "d")
		var running atomic.Int32
		slow := &hooked{to: s, hook: func(ctx context.Context, _ lease.LeaseItem) error {
			select {
			case <-time.After(3 * time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}
		stop := sharing(lease.NewLocker(slow), for30s("w"), 0, func(ctx context.Context, l *lease.Lease) error {
			running.Add(1)
			return untilDone(ctx, l)
		})
		time.Sleep(time.Minute)
		assert.Equal(t, int32(4), running.Load())
		assert.True(t, stop() == context.Canceled)
	})
}

func TestAShareOfAStoreThatFailsAsksItRarely(t *testing.T) {
	lease.SetLogger(nil)
	synctest.Test(t, func(t *testing.T) {
		s := leasetest.NewStore()
		for i := range 1000 {
			require.NoError(t, s.AddLeaseID(fmt.Sprint(i), nil))
		}
		s.SetError(leasetest.OutageError)
		calls := &listed{plainStore{s}, s}
		stop := sharing(lease.NewLocker(calls), for30s("w"), 10, untilDone)
		time.Sleep(time.Minute)
		assert.LessOrEqual(t, s.Counts().Leases, 250, "30 a look")
		assert.True(t, stop() == context.Canceled)
	})
}

// listed is a store of two methods that lists its IDs whatever happens.
type listed struct {
	plainStore
	of *leasetest.Store
}

func (l *listed) ListLeaseIDs() (ids []string, err error) {
	for i := range 1000 {
		ids = append(ids, fmt.Sprint(i))
	}
	return ids, nil
}

func TestARenewalOfARowWithoutAnEndIsRefused(t *testing.T) {
	f := newFixture(t, "a")
	l, err := f.Lease("a", for30s("w1"), time.Now().Add(30*time.Second))
	require.NoError(t, err)
	r := f.get("a")
	delete(r, "LeaseUntil")
	f.put(r)
	f.reset()
	_, err = f.RenewLeaseItem(t.Context(), l, time.Now().Add(30*time.Second), time.Time{})
	assert.True(t, err == lease.LeaseLostError)
	assert.Equal(t, 1, f.count())
}

func TestAHandoverOfWhatTheOriginalTookIsALoss(t *testing.T) {
	f := newFixture(t, "a")
	l, err := f.Lease("a", worker{"w1", time.Minute}, time.Now().Add(time.Minute))
	require.NoError(t, err)
	r := f.get("a")
	r["ProcessID"] = str("original")
	f.put(r)
	assert.True(t, f.HandOverLease(t.Context(), l, time.Now().Add(time.Minute)) == lease.LeaseLostError)
	assert.Equal(t, str("original"), f.get("a")["ProcessID"])
}

func TestHoldShareMayMeetAMisfitTableLater(t *testing.T) {
	misfit := newFixtureOn(t, ddblocal.ForTest(t).Endpoint, "id")
	misfit.createTable("other:S")
	var sent atomic.Int32
	s := misfit.through(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			if sent.Add(1) == 1 {
				return nil, io.ErrUnexpectedEOF
			}
			return next.RoundTrip(r)
		})
	})
	s.DynamoDB.Config.MaxRetries = aws.Int(0)
	soon(t, func() {
		assert.ErrorContains(t, lease.NewLocker(s).HoldShare(t.Context(), worker{"w", time.Second}, 0, untilDone), `hash key "other"`)
	})
}
