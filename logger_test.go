package lease_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

func TestLoggerMayBeSetAtAnyTime(t *testing.T) {
	f := newFixture(t)
	var wg sync.WaitGroup
	defer wg.Wait()
	for range 4 {
		wg.Go(func() {
			for range 20 {
				lease.SetLogger(&recorder{})
				_ = f.AddLeaseID("", nil)
				_, _ = lease.NewLocker(f.LockStore).ObtainLease(for30s("w"))
				lease.SetLogger(nil)
			}
		})
	}
}

// releasing is a logger that releases a lease when one was released.
type releasing struct {
	locker *lease.Locker
	l      *lease.Lease
	err    error
}

func (r *releasing) LogErrorMessage(string, ...interface{}) {}

func (r *releasing) LogInfoMessage(message string, _ ...interface{}) {
	if message == "Released Lease" {
		r.err = r.locker.ReleaseLease(r.l)
	}
}

func TestLoggerMayReleaseWhatWasReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newImagined(t, 0)
		r := &releasing{locker: lease.NewLocker(i.LockStore)}
		var err error
		r.l, err = r.locker.ObtainLease(for30s("w1"))
		require.NoError(t, err)
		record(t) // for its cleanup
		lease.SetLogger(r)
		start := time.Now()
		assert.NoError(t, r.locker.ReleaseLease(r.l))
		assert.NoError(t, r.err)
		assert.Zero(t, time.Since(start))
	})
}

// panicking is a logger that panics at an information, once.
type panicking struct{ once sync.Once }

func (p *panicking) LogInfoMessage(string, ...interface{}) {
	p.once.Do(func() { panic("logger") })
}

func (p *panicking) LogErrorMessage(string, ...interface{}) {}

func TestLoggerThatPanicsLeavesNoItemInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		record(t) // for its cleanup
		lease.SetLogger(&panicking{})
		locker := lease.NewLocker(leasetest.NewStore("a"))
		assert.PanicsWithValue(t, "logger", func() { locker.Hold(t.Context(), for30s("w1"), untilDone) })
		time.Sleep(time.Minute)
		_, err := locker.ObtainLease(for30s("w1"))
		assert.NoError(t, err)
	})
}

// detailed is a recorder that takes details too.
type detailed struct{ *recorder }

func (d detailed) LogDebugMessage(message string, keyvals ...interface{}) {
	d.log("debug", message, keyvals)
}

// count counts the events of a level.
func (r *recorder) count(level string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.level == level {
			n++
		}
	}
	return n
}

// holdMany holds n items by one Locker until stop is called.
func holdMany(store pairOfMethods, n int) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	locker := lease.NewLocker(store)
	var all sync.WaitGroup
	for range n {
		all.Go(func() { _ = locker.Hold(ctx, for30s("w1"), untilDone) })
	}
	return func() { cancel(); all.Wait() }
}

func TestLoggerIsToldOfAnOutageInAFewLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger := record(t)
		lease.SetLogger(detailed{logger})
		store := leasetest.NewStore(ids(80)...)
		stop := holdMany(store, 80)
		time.Sleep(15 * time.Second)
		before := store.Counts().Faulty
		store.OutageFor(16 * time.Second)
		time.Sleep(time.Minute)
		failed := store.Counts().Faulty - before

		lines := logger.named("AWS Error")
		assert.Greater(t, failed, 80)
		assert.Len(t, lines, failed, "nothing is lost")
		assert.LessOrEqual(t, logger.count("error"), 4)
		begin := slices.IndexFunc(lines, func(e event) bool { return e.level == "error" })
		require.GreaterOrEqual(t, begin, 0)
		assert.Equal(t, "ServiceUnavailable", lines[begin].keyvals["Code"], "the cause")
		goesOn := slices.IndexFunc(lines[begin+1:], func(e event) bool { return e.level == "error" })
		require.GreaterOrEqual(t, goesOn, 0)
		told := lines[begin+1+goesOn].keyvals
		assert.Greater(t, told["failures"], 1)
		assert.GreaterOrEqual(t, told["lasted"], 10*time.Second)
		over := logger.named("Outage Over")
		require.Len(t, over, 1)
		assert.Equal(t, failed, over[0].keyvals["failures"])
		stop()
	})
}

func TestLoggerIsToldOfAnOutageWithinFiveSecondsWhereTheFirstScanHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger := record(t)
		store := leasetest.NewStore("a")
		store.SetHang(true)
		stop := holdMany(store, 1)
		time.Sleep(5 * time.Second)
		require.Len(t, logger.named("AWS Error"), 1)
		assert.Contains(t, logger.text(), "the scan of the store *leasetest.Store was not answered within 4s")
		store.SetHang(false)
		time.Sleep(5 * time.Second)
		assert.Len(t, logger.named("Outage Over"), 1)
		stop()
	})
}

// The SDK tries many times before it says why.
func TestLoggerIsToldTheCauseOfWhatIsNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger := record(t)
		i := newImagined(t, 1000)
		i.mode.Store("reset")
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_, err := lease.NewLocker(i.LockStore).ObtainLeaseWithContext(ctx, for30s("w1"))
		assertUnanswered(t, err, `the scan of table "leases"`)
		assert.ErrorContains(t, err, "unexpected EOF")
		assert.Contains(t, logger.text(), "unexpected EOF")
		assert.LessOrEqual(t, logger.count("error"), 3)
	})
}

func TestLoggerIsToldOfNoEndOfAnOutageByThatOfALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger := record(t)
		store := leasetest.NewStore("a", "b")
		locker := lease.NewLocker(store)
		l, err := locker.ObtainLease(for30s("w1"))
		require.NoError(t, err)
		store.SetHang(true)
		assert.ErrorIs(t, locker.Heartbeat(l, 10*time.Second), lease.LeaseLostError)

		other, cancel := context.WithCancelCause(context.Background())
		time.AfterFunc(5*time.Second, func() { cancel(lease.LeaseLostError) })
		_, err = locker.ObtainLeaseWithContext(other, for30s("w1"))
		assert.ErrorIs(t, err, lease.LeaseLostError)
		time.Sleep(time.Minute)
		assert.NotEmpty(t, logger.named("AWS Error"))
		assert.Empty(t, logger.named("Outage Over"))
		store.SetHang(false)
	})
}
