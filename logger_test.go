package lease_test

import (
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
