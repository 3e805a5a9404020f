package lease_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
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

// What reviewers found.

// changing is a request whose duration is asked of a function.
type changing struct {
	id string
	f  func() time.Duration
}

func (c *changing) LesseeID() string             { return c.id }
func (c *changing) LeaseDuration() time.Duration { return c.f() }

func TestADurationThatBecomesTinySpinsNoHeartbeat(t *testing.T) {
	s := leasetest.NewStore("a")
	locker := lease.NewLocker(s)
	r := newMutable("w", 3*time.Second)
	l, err := locker.ObtainLease(r)
	require.NoError(t, err)
	r.duration.Store(30) // 30 ns
	locker.HeartbeatWithContext(within(t, 2*time.Second), l, time.Second)
	assert.Less(t, s.Counts().Renewals, 300)
}

func TestASiblingTakesNoRowThatIsBeingReleased(t *testing.T) {
	f := newFixture(t, "a", "b", "c")
	locker := lease.NewLocker(f.LockStore)
	var lost, released atomic.Int64
	var wg sync.WaitGroup
	for range 3 { // as many as items: nobody needs to take what another has just obtained
		wg.Go(func() {
			for range 30 {
				l, err := locker.ObtainLease(for30s("w"))
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

// outlived obtains a lease of 30 s whose next LeaseDuration takes that long, on a store of two methods, and runs its
// Heartbeat until the lease has ended. Then it calls after. It does so 20 times: there was a coin to toss.
func outlived(t *testing.T, takes time.Duration, after func(t *testing.T, s *leasetest.Store, locker *lease.Locker, r lease.LeaseRequest)) {
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

func TestARenewalThatComesAfterTheEndIsNotSent(t *testing.T) {
	outlived(t, time.Minute, func(t *testing.T, s *leasetest.Store, _ *lease.Locker, _ lease.LeaseRequest) {
		before := s.Counts().Leases
		time.Sleep(2 * time.Minute)
		assert.Equal(t, before, s.Counts().Leases, "leased long after the tenure's end")
	})
}

func TestALateRenewalLeavesANewerTenureItsToken(t *testing.T) {
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

func TestBothErrorsOfTheEndOfAHoldAreLogged(t *testing.T) {
	logger := record(t)
	synctest.Test(t, func(t *testing.T) {
		s := leasetest.NewStore("a")
		locker := lease.NewLocker(s)
		_ = locker.Hold(context.Background(), for30s("w"), func(ctx context.Context, l *lease.Lease) error {
			s.SetError(leasetest.AccessDeniedError)
			time.Sleep(12 * time.Second) // heartbeat ended by AccessDenied
			s.SetError(nil)
			s.SetError(errors.New("another error of the release"))
			return nil
		})
	})
	assert.Contains(t, logger.text(), "AccessDenied")
	assert.Contains(t, logger.text(), "another error")
}

func TestAFailedReleaseAfterALossIsLogged(t *testing.T) {
	logger := record(t)
	synctest.Test(t, func(t *testing.T) {
		s := leasetest.NewStore("a")
		locker := lease.NewLocker(s)
		_ = locker.Hold(context.Background(), for30s("w"), func(ctx context.Context, l *lease.Lease) error {
			s.SetOutage(true)
			<-ctx.Done()
			logger = record(t)
			s.SetOutage(false)
			s.SetError(leasetest.AccessDeniedError)
			return nil
		})
	})
	assert.Contains(t, logger.text(), "AccessDenied")
}

func TestAPanicUnderHoldIsLoggedOnce(t *testing.T) {
	logger := record(t)
	synctest.Test(t, func(t *testing.T) {
		s := leasetest.NewStore("a")
		locker := lease.NewLocker(s)
		var n atomic.Int64
		w := &changing{"w", func() time.Duration {
			if n.Add(1) > 1 {
				panic("boom")
			}
			return 30 * time.Second
		}}
		func() {
			defer func() { assert.Equal(t, "boom", recover()) }()
			locker.Hold(context.Background(), w, func(ctx context.Context, l *lease.Lease) error { <-ctx.Done(); return nil })
		}()
	})
	assert.Len(t, logger.named("Panic"), 1)
}

func TestAReleaseThatCrossesARenewalFreesTheItem(t *testing.T) {
	f := newFixture(t, "a")
	locker := lease.NewLocker(f.LockStore)
	lost := 0
	for i := range 250 {
		l, err := locker.ObtainLease(for30s("w"))
		if err != nil {
			t.Log(i, err)
			break
		}
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

func TestAReleaseThatIsOvertakenByARenewalIsSentAgain(t *testing.T) {
	f := newFixture(t, "a")
	built, renewed := make(chan struct{}), make(chan struct{})
	var releases atomic.Int32
	s := f.through(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(q *http.Request) (*http.Response, error) {
			body, err := io.ReadAll(q.Body)
			q.Body = io.NopCloser(bytes.NewReader(body))
			if err == nil && strings.Contains(string(body), "REMOVE #holder") && releases.Add(1) == 1 {
				close(built)
				<-renewed
			}
			return next.RoundTrip(q)
		})
	})
	l, err := s.Lease("a", for30s("w"), time.Now().Add(30*time.Second))
	require.NoError(t, err)
	released := make(chan error)
	go func() { released <- s.ReleaseLease(l) }()
	<-built
	assert.NoError(t, s.RenewLease(l, time.Now().Add(time.Minute)))
	close(renewed)
	assert.NoError(t, <-released)
	assert.Equal(t, int32(2), releases.Load())
	assert.NotContains(t, f.get("a"), "ProcessID")
}

func TestAWaitThatIsGivenUpLogsNoError(t *testing.T) {
	logger := record(t)
	synctest.Test(t, func(t *testing.T) {
		s := leasetest.NewStore("a")
		_, err := lease.NewLocker(s.NewClient()).ObtainLease(worker{"o", 30 * time.Second})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			time.Sleep(29 * time.Second)
			s.SetHang(true)
			time.Sleep(3 * time.Second)
			cancel()
		}()
		_, err = lease.NewLocker(s).WaitUntilLeaseObtainedWithContext(ctx, for30s("w"), 40*time.Second)
		assert.ErrorIs(t, err, context.Canceled)
	})
	assert.NotContains(t, logger.text(), "canceled")
}

func TestAReleaseAfterAnEndedOwnRowWritesZero(t *testing.T) {
	f := newFixture(t, "a")
	r := f.held("a", "w", time.Now().Add(-time.Hour))
	f.put(r)
	locker := lease.NewLocker(f.LockStore)
	l, err := locker.ObtainLease(for30s("w"))
	require.NoError(t, err)
	require.NoError(t, locker.ReleaseLease(l))
	assert.Equal(t, "0", *f.get("a")["LeaseUntil"].N)
}

func TestAnItemThatIsAnothersIsNotTriedAgain(t *testing.T) {
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
