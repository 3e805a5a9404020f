package lease_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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

// lines is a logger that keeps its events.
type lines struct {
	mu    sync.Mutex
	lines []string
}

func logLines(t *testing.T) *lines {
	l := &lines{}
	lease.SetLogger(l)
	t.Cleanup(func() { lease.SetLogger(nil) })
	return l
}

func (l *lines) add(kind, message string, kv []any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, kind+" "+message+" "+fmt.Sprint(kv...))
}

func (l *lines) LogInfoMessage(message string, kv ...any)  { l.add("info", message, kv) }
func (l *lines) LogErrorMessage(message string, kv ...any) { l.add("error", message, kv) }

func TestADurationThatBecomesTinySpinsNoHeartbeat(t *testing.T) {
	s := leasetest.NewStore("a")
	locker := lease.NewLocker(s)
	var d atomic.Int64
	d.Store(int64(3 * time.Second))
	w := &changing{"w", func() time.Duration { return time.Duration(d.Load()) }}
	l, err := locker.ObtainLease(w)
	require.NoError(t, err)
	d.Store(30) // 30 ns
	ctx, c := context.WithTimeout(context.Background(), 2*time.Second)
	defer c()
	locker.HeartbeatWithContext(ctx, l, time.Second)
	assert.Less(t, s.Counts().Renewals, 300)
}

func TestASiblingTakesNoRowThatIsBeingReleased(t *testing.T) {
	f := newFixture(t, "a", "b", "c")
	locker := lease.NewLocker(f.LockStore)
	var lost, n atomic.Int64
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
				n.Add(1)
				if l.Valid() && locker.ReleaseLease(l) == lease.LeaseLostError {
					lost.Add(1)
				}
				<-done
			}
		})
	}
	wg.Wait()
	assert.Zero(t, lost.Load())
}

func TestARenewalThatComesAfterTheEndIsNotSent(t *testing.T) {
	bad := 0
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			s := leasetest.NewStore("a")
			locker := lease.NewLocker(struct{ *leasetest.Store }{s})
			var hang atomic.Bool
			w := &changing{"w", func() time.Duration {
				if hang.Load() {
					time.Sleep(time.Minute)
				}
				return 30 * time.Second
			}}
			l, err := locker.ObtainLease(w)
			require.NoError(t, err)
			hang.Store(true)
			assert.Error(t, locker.Heartbeat(l, 10*time.Second))
			synctest.Wait()
			before := s.Counts().Leases
			time.Sleep(2 * time.Minute)
			if s.Counts().Leases != before {
				bad++
			}
		})
	}
	assert.Zero(t, bad, "of 20: leased long after the tenure's end")
}

func TestALateRenewalLeavesANewerTenureItsToken(t *testing.T) {
	bad := 0
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			s := leasetest.NewStore("a")
			locker := lease.NewLocker(struct{ *leasetest.Store }{s})
			var hang atomic.Bool
			w := &changing{"w", func() time.Duration {
				if hang.Swap(false) {
					time.Sleep(40 * time.Second)
				}
				return 30 * time.Second
			}}
			l, err := locker.ObtainLease(w)
			require.NoError(t, err)
			hang.Store(true)
			locker.Heartbeat(l, 10*time.Second)
			time.Sleep(4 * time.Second) // 31 s
			l2, err := locker.ObtainLease(w)
			require.NoError(t, err)
			time.Sleep(20 * time.Second) // 51 s
			require.True(t, l2.Valid())
			row, _ := s.Row("a")
			if *row["FencingToken"].N != "2" || l2.FencingToken() != 2 {
				bad++
			}
		})
	}
	assert.Zero(t, bad, "of 20: the row's token is not the valid tenure's")
}

func TestBothErrorsOfTheEndOfAHoldAreLogged(t *testing.T) {
	lg := logLines(t)
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
	assert.Contains(t, fmt.Sprint(lg.lines), "AccessDenied")
	assert.Contains(t, fmt.Sprint(lg.lines), "another error")
}

func TestAFailedReleaseAfterALossIsLogged(t *testing.T) {
	lg := logLines(t)
	synctest.Test(t, func(t *testing.T) {
		s := leasetest.NewStore("a")
		locker := lease.NewLocker(s)
		_ = locker.Hold(context.Background(), for30s("w"), func(ctx context.Context, l *lease.Lease) error {
			s.SetOutage(true)
			<-ctx.Done()
			lg.mu.Lock()
			lg.lines = nil
			lg.mu.Unlock()
			s.SetOutage(false)
			s.SetError(leasetest.AccessDeniedError)
			return nil
		})
	})
	assert.Contains(t, strings.Join(lg.lines, "\n"), "AccessDenied")
}

func TestAPanicUnderHoldIsLoggedOnce(t *testing.T) {
	lg := logLines(t)
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
	k := 0
	for _, x := range lg.lines {
		if strings.HasPrefix(x, "error Panic") {
			k++
		}
	}
	assert.Equal(t, 1, k)
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
	s := f.through(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(q *http.Request) (*http.Response, error) {
			b, _ := io.ReadAll(q.Body)
			q = q.Clone(context.Background())
			q.Body = io.NopCloser(bytes.NewReader(b))
			if strings.Contains(string(b), "REMOVE") {
				time.Sleep(400 * time.Millisecond)
			}
			return next.RoundTrip(q)
		})
	})
	locker := lease.NewLocker(s)
	var slow atomic.Bool
	w := &changing{"w", func() time.Duration {
		if slow.Load() {
			time.Sleep(200 * time.Millisecond)
		}
		return 30 * time.Second
	}}
	l, err := locker.ObtainLease(w)
	require.NoError(t, err)
	slow.Store(true)
	go locker.Heartbeat(l, 50*time.Millisecond)
	time.Sleep(100 * time.Millisecond)
	assert.NoError(t, locker.ReleaseLease(l))
	time.Sleep(500 * time.Millisecond)
	assert.Nil(t, f.get("a")["ProcessID"], "the row is still held")
}

func TestAWaitThatIsGivenUpLogsNoError(t *testing.T) {
	lg := logLines(t)
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
	for _, x := range lg.lines {
		assert.NotContains(t, x, "canceled")
	}
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
