package lease_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
)

var (
	throttled = awserr.NewRequestFailure(awserr.New("ProvisionedThroughputExceededException", "slow down", nil), 400, "r1")
	denied    = awserr.NewRequestFailure(awserr.New("AccessDeniedException", "no", nil), 400, "r2")
)

// beats returns when Lease was called, after the first call of it, which obtained.
func (s *script) beats() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	var at []time.Duration
	for _, c := range s.calls {
		if c.id != "" {
			at = append(at, c.at)
		}
	}
	return at[1:]
}

// beating obtains a lease of 9 s from a script and returns both.
func beating(t *testing.T) (*script, *lease.Locker, *lease.Lease) {
	t.Helper()
	s := newScript("a")
	locker := lease.NewLocker(s)
	l, err := locker.ObtainLease(worker{"w1", 9 * time.Second})
	require.NoError(t, err)
	return s, locker, l
}

func TestHeartbeatRenewsEveryHeartbeatDuration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger := record(t)
		s, locker, l := beating(t)
		ctx, cancel := context.WithTimeout(context.Background(), 13*time.Second)
		defer cancel()
		err := locker.HeartbeatWithContext(ctx, l, 3*time.Second)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, []time.Duration{3 * time.Second, 6 * time.Second, 9 * time.Second, 12 * time.Second}, s.beats())
		assert.True(t, l.Valid(), "the tenure goes on when the heartbeat is stopped")
		assert.Equal(t, 7100*time.Millisecond, l.Remaining())
		assert.Len(t, logger.named("Renewed Lease"), 4)
		assert.Equal(t, "w1", logger.named("Renewed Lease")[0].keyvals["lessee_id"])
		assert.Equal(t, "a", logger.named("Obtained Lease")[0].keyvals["lease_id"])
	})
}

func TestATooLongHeartbeatDurationLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger := record(t)
		s, locker, l := beating(t)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		assert.ErrorIs(t, locker.HeartbeatWithContext(ctx, l, time.Hour), context.DeadlineExceeded)
		assert.Equal(t, []time.Duration{6 * time.Second, 12 * time.Second, 18 * time.Second}, s.beats())
		assert.Len(t, logger.named("Heartbeat Shortened"), 1)
	})
}

func TestAHeartbeatThatStartsLateRenewsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, locker, l := beating(t)
		time.Sleep(5 * time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		assert.ErrorIs(t, locker.HeartbeatWithContext(ctx, l, 3*time.Second), context.DeadlineExceeded)
		assert.Equal(t, []time.Duration{6 * time.Second, 9 * time.Second}, s.beats())
	})
}

func TestAHeartbeatOfATakenItemIsLostBare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, locker, l := beating(t)
		s.lease = held
		assert.True(t, locker.Heartbeat(l, 3*time.Second) == lease.LeaseLostError)
		assert.Equal(t, 3*time.Second, time.Since(s.start))
		assert.Equal(t, lease.LeaseLostError, context.Cause(l.Context()))
		assert.True(t, locker.Heartbeat(l, 3*time.Second) == lease.LeaseLostError, "and again, at once")
		assert.Len(t, s.beats(), 1)
	})
}

func TestOtherErrorsEndAHeartbeatAtOnce(t *testing.T) {
	for _, other := range []error{denied, errors.New("boom")} {
		synctest.Test(t, func(t *testing.T) {
			s, locker, l := beating(t)
			s.lease = func(string, time.Time) (*lease.Lease, error) { return nil, other }
			assert.True(t, locker.Heartbeat(l, 3*time.Second) == other)
			assert.Equal(t, 3*time.Second, time.Since(s.start))
			assert.True(t, l.Valid())
			<-l.Context().Done()
			assert.Equal(t, 8100*time.Millisecond, time.Since(s.start))
		})
	}
}

func TestTransientErrorsAreRetriedUntilTheyPass(t *testing.T) {
	for _, passing := range []error{throttled, awserr.New("RequestError", "send request failed", &net.OpError{Op: "dial", Err: errors.New("refused")}),
		awserr.NewRequestFailure(awserr.New("InternalServerError", "oops", nil), 500, "r"),
		awserr.NewRequestFailure(awserr.New(dynamodb.ErrCodeTransactionConflictException, "busy", nil), 400, "r"),
		awserr.New("RequestError", "send request failed", &net.OpError{Op: "read", Err: syscall.ECONNRESET}),
		awserr.New("SerializationError", "mid-body", &net.OpError{Op: "read", Err: syscall.ECONNRESET}),
		&net.OpError{Op: "read", Err: errors.New("reset")}, context.DeadlineExceeded} {
		synctest.Test(t, func(t *testing.T) {
			logger := record(t)
			s, locker, l := beating(t)
			s.lease = func(string, time.Time) (*lease.Lease, error) {
				if at := time.Since(s.start); at < 6*time.Second {
					return nil, passing
				}
				return &lease.Lease{}, nil
			}
			ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
			defer cancel()
			assert.ErrorIs(t, locker.HeartbeatWithContext(ctx, l, 3*time.Second), context.DeadlineExceeded)
			assert.True(t, l.Valid())
			tries := s.beats()
			assert.Greater(t, len(tries), 4)
			assert.Less(t, len(tries), 20, "with backoff")
			assert.Len(t, logger.named("AWS Error"), len(tries)-1)
		})
	}
}

func TestAnOutageThatOutlastsTheTenureIsLostWithItsCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, locker, l := beating(t)
		s.lease = func(string, time.Time) (*lease.Lease, error) { return nil, throttled }
		err := locker.Heartbeat(l, 3*time.Second)
		assert.Equal(t, 8100*time.Millisecond, time.Since(s.start), "at the end of the tenure, at once")
		assert.ErrorIs(t, err, lease.LeaseLostError)
		var cause awserr.Error
		require.ErrorAs(t, err, &cause)
		assert.Equal(t, "ProvisionedThroughputExceededException", cause.Code())
		assert.Equal(t, lease.LeaseExpiredError, context.Cause(l.Context()))
		assert.Less(t, len(s.beats()), 60)
	})
}

func TestAHungStoreWithoutContextsEndsTheHeartbeatInTime(t *testing.T) {
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

func TestAHangLeavesTimeForAtLeastTwoMoreTries(t *testing.T) {
	for _, hangs := range []int32{1, 2, 1000} {
		synctest.Test(t, func(t *testing.T) {
			s := &scanScript{script: newScript(), pages: [][]lease.LeaseItem{{item("a", "", 0)}}}
			s.renewed = func(ctx context.Context) error {
				if int32(len(s.beats())) > hangs {
					return nil
				}
				<-ctx.Done()
				return ctx.Err()
			}
			locker := lease.NewLocker(s)
			l, err := locker.ObtainLease(worker{"w1", 9 * time.Second})
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			err = locker.HeartbeatWithContext(ctx, l, 3*time.Second)
			if hangs < 3 {
				assert.ErrorIs(t, err, context.DeadlineExceeded)
				assert.True(t, l.Valid())
				assert.Equal(t, 4700*time.Millisecond, s.beats()[1].Truncate(100*time.Millisecond), "a third of 5.1 s after 3 s")
				return
			}
			assert.ErrorIs(t, err, lease.LeaseLostError)
			assert.Equal(t, 8100*time.Millisecond, time.Since(s.start))
			assert.GreaterOrEqual(t, len(s.beats()), 3)
			assert.Less(t, len(s.beats()), 40)
		})
	}
}

func TestAHeartbeatOfALiteral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		l := &lease.Lease{LeaseID: "a", Request: worker{"w1", 9 * time.Second}}
		_, _ = s.Lease("a", l.Request, time.Time{})
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		assert.ErrorIs(t, lease.NewLocker(s).HeartbeatWithContext(ctx, l, 4*time.Second), context.DeadlineExceeded)
		assert.Equal(t, []time.Duration{4 * time.Second, 8 * time.Second}, s.beats())
	})
}

// switched is a transport that can be told to misbehave.
type switched struct {
	next http.RoundTripper
	mode atomic.Value // "", "hang", "hang once", "freeze", "freeze once", "throttle"
	thaw chan struct{}
}

func (s *switched) RoundTrip(r *http.Request) (*http.Response, error) {
	mode, _ := s.mode.Load().(string)
	switch mode {
	case "hang once":
		s.mode.Store("")
		fallthrough
	case "hang":
		<-r.Context().Done()
		return nil, r.Context().Err()
	case "freeze once":
		s.mode.Store("")
		fallthrough
	case "freeze": // doesn't heed its context
		<-s.thaw
		return nil, errors.New("the test is over")
	case "throttle":
		return &http.Response{StatusCode: 400, Header: http.Header{}, Body: jsonBody(
			`{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"slow down"}`)}, nil
	}
	return s.next.RoundTrip(r)
}

// faulty returns a locker on the fixture's table, through a switch, with that many SDK retries.
func (f *fixture) faulty(retries int) (*lease.Locker, *switched) {
	fault := &switched{thaw: make(chan struct{})}
	f.tb.Cleanup(func() { close(fault.thaw) })
	ddb, _ := newClient(f.tb, f.ddb.Endpoint, func(next http.RoundTripper) http.RoundTripper {
		fault.next = next
		return fault
	}, &aws.Config{MaxRetries: aws.Int(retries)})
	return lease.NewLocker(lease.NewLockStore(ddb, f.table, f.key)), fault
}

func TestRequestsThatAreNeverAnsweredEndTheTenureBeforeTheRow(t *testing.T) {
	for how, retries := range map[string]int{"hang": 0, "hang ": 10, "freeze": 10} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, "a")
			locker, fault := f.faulty(retries)
			l, err := locker.ObtainLease(worker{"w1", 3 * time.Second})
			require.NoError(t, err)
			time.AfterFunc(1200*time.Millisecond, func() { fault.mode.Store(strings.TrimSpace(how)) })
			err = locker.Heartbeat(l, time.Second)
			returned := time.Now()
			assert.ErrorIs(t, err, lease.LeaseLostError)
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.Error(t, l.Context().Err())
			rowEnd := time.Unix(0, mustInt(t, f.get("a")["LeaseUntil"]))
			assert.True(t, returned.Before(rowEnd), "%v before", rowEnd.Sub(returned))
		})
	}
}

func TestThrottlingForTwoSecondsCostsNoLeaseOfSix(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	locker, fault := f.faulty(0)
	l, err := locker.ObtainLease(worker{"w1", 6 * time.Second})
	require.NoError(t, err)
	time.AfterFunc(1900*time.Millisecond, func() { fault.mode.Store("throttle") })
	time.AfterFunc(3900*time.Millisecond, func() { fault.mode.Store("") })
	err = locker.HeartbeatWithContext(within(t, 6500*time.Millisecond), l, 2*time.Second)
	assert.NotErrorIs(t, err, lease.LeaseLostError)
	assert.True(t, l.Valid())
}

func TestOneConnectionThatHangsCostsNoLease(t *testing.T) {
	for _, how := range []string{"hang once", "freeze once"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, "a")
			locker, fault := f.faulty(3)
			l, err := locker.ObtainLease(worker{"w1", 3 * time.Second})
			require.NoError(t, err)
			fault.mode.Store(how)
			err = locker.HeartbeatWithContext(within(t, 4*time.Second), l, time.Second)
			assert.NotErrorIs(t, err, lease.LeaseLostError)
			assert.True(t, l.Valid())
		})
	}
}
