package lease_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

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

func TestHeartbeatShortensATooLongDuration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger := record(t)
		s, locker, l := beating(t)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		assert.ErrorIs(t, locker.HeartbeatWithContext(ctx, l, time.Hour), context.DeadlineExceeded)
		assert.Equal(t, []time.Duration{6 * time.Second, 12 * time.Second, 18 * time.Second}, s.beats())
		assert.Len(t, logger.named("Heartbeat Shortened"), 1)

		assert.Error(t, locker.HeartbeatWithContext(ctx, l, 6*time.Second))
		assert.Len(t, logger.named("Heartbeat Shortened"), 1, "two thirds are as they should be")
	})
}

func TestHeartbeatEndsAtOnceWithTheRelease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		locker := lease.NewLocker(store)
		l, err := locker.ObtainLease(for30s("w1"))
		require.NoError(t, err)
		start := time.Now()
		time.AfterFunc(time.Second, func() { assert.NoError(t, locker.ReleaseLease(l)) })
		assert.NoError(t, locker.Heartbeat(l, 10*time.Second))
		assert.Equal(t, time.Second, time.Since(start))
	})
}

// TestHeartbeatUsesNothingOnceTheItemWasReleased: it may take a moment to return.
func TestHeartbeatUsesNothingOnceTheItemWasReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		locker := lease.NewLocker(leasetest.NewStore("a"))
		for range 100 {
			l, err := locker.ObtainLease(for30s("w1"))
			require.NoError(t, err)
			ended := make(chan error, 1)
			go func() { ended <- locker.Heartbeat(l, 10*time.Second) }()
			synctest.Wait()
			require.NoError(t, locker.ReleaseLease(l))
			next, err := locker.ObtainLease(for30s("w1"))
			require.NoError(t, err)
			require.NoError(t, <-ended)
			require.NoError(t, locker.ReleaseLease(next))
		}
	})
}

func TestHeartbeatCountsFromTheBeginOfARenewal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, locker, l := beating(t)
		s.lease = func(string, time.Time) (*lease.Lease, error) {
			time.Sleep(time.Second)
			return &lease.Lease{}, nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		assert.ErrorIs(t, locker.HeartbeatWithContext(ctx, l, 3*time.Second), context.DeadlineExceeded)
		assert.Equal(t, []time.Duration{3 * time.Second, 6 * time.Second, 9 * time.Second}, s.beats())
	})
}

func TestHeartbeatForgetsAnOutageThatHasPassed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, locker, l := beating(t)
		s.lease = func(string, time.Time) (*lease.Lease, error) {
			switch len(s.beats()) {
			case 1:
				return nil, throttled
			case 2:
				return &lease.Lease{}, nil
			}
			return &lease.Lease{Until: time.Now()}, nil // It is over.
		}
		assert.True(t, locker.Heartbeat(l, 3*time.Second) == lease.LeaseLostError)
		assert.Len(t, s.beats(), 3)
	})
}

func TestHeartbeatOfACallerLeavesWishesAsTheyAre(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		locker := lease.NewLocker(store)
		l, err := locker.ObtainLease(for30s("w1"))
		require.NoError(t, err)
		wish(t, store, "a", "w2", 25*time.Second)
		wanted := asSeen(t, store, "a").WantedUntil
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		assert.ErrorIs(t, locker.HeartbeatWithContext(ctx, l, 10*time.Second), context.DeadlineExceeded)
		assert.Equal(t, wanted, asSeen(t, store, "a").WantedUntil, "nobody is to hand it over")
	})
}

func TestHeartbeatThatStartsLateRenewsInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, locker, l := beating(t)
		time.Sleep(5 * time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		assert.ErrorIs(t, locker.HeartbeatWithContext(ctx, l, 3*time.Second), context.DeadlineExceeded)
		assert.Equal(t, []time.Duration{6 * time.Second, 9 * time.Second}, s.beats())
	})
}

func TestHeartbeatRenewsALiteral(t *testing.T) {
	t.Parallel()
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

func TestHeartbeatOfALiteralLearnsItsToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		locker := lease.NewLocker(store)
		_, err := store.Lease("a", for30s("w1"), time.Now().Add(30*time.Second))
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		literal := &lease.Lease{LeaseID: "a", Request: for30s("w1")}
		assert.ErrorIs(t, locker.HeartbeatWithContext(ctx, literal, 10*time.Second), context.DeadlineExceeded)
		require.Len(t, locker.Leases(), 1)
		assert.Equal(t, int64(2), locker.Leases()[0].FencingToken(), "it was leased anew")
	})
}

func TestHeartbeatRenewsNoLiteralThatWasReleased(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		locker := lease.NewLocker(s)
		l := &lease.Lease{LeaseID: "a", Request: for30s("w1")}
		assert.ErrorIs(t, locker.ReleaseLease(l), lease.ReleaseUnsupportedError)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		assert.NoError(t, locker.HeartbeatWithContext(ctx, l, 10*time.Second))
		assert.Empty(t, s.calls)
	})
}

func TestHeartbeatEndsWhenTheItemWasStolen(t *testing.T) {
	t.Parallel()
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

func TestHeartbeatEndsAtOnceAtOtherErrors(t *testing.T) {
	t.Parallel()
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

func TestHeartbeatNamesTheAttributeForWhichARenewalIsRefused(t *testing.T) {
	t.Parallel()
	for attribute, wrong := range map[string]*dynamodb.AttributeValue{
		"LeaseUntil": str("soon"), "FencingToken": str("one"), "ProcessID": num(7),
	} {
		t.Run(attribute, func(t *testing.T) {
			f := newFixture(t, "a")
			locker := lease.NewLocker(f.LockStore)
			l, err := locker.ObtainLease(for30s("w1"))
			require.NoError(t, err)
			spoilt := f.get("a")
			spoilt[attribute] = wrong
			f.put(spoilt)
			renewal := f.RenewLease(l, time.Now().Add(time.Minute))
			beat := locker.Heartbeat(l, time.Millisecond)
			for _, err := range []error{renewal, beat} {
				assert.ErrorContains(t, err, attribute)
				assert.ErrorContains(t, err, `"a"`)
				assert.NotErrorIs(t, err, lease.LeaseLostError)
			}
			assert.True(t, l.Valid(), "it ends by itself")
			assert.Equal(t, spoilt, f.get("a"))
		})
	}
}

func TestHeartbeatRetriesTransientErrorsUntilTheyPass(t *testing.T) {
	netError := func(op string, err error) error { return &net.OpError{Op: op, Err: err} }
	refused := netError("dial", errors.New("refused"))
	reset := netError("read", syscall.ECONNRESET)
	answer := func(code string, status int) error {
		return awserr.NewRequestFailure(awserr.New(code, "oops", nil), status, "r")
	}
	for _, passing := range []error{
		throttled,
		answer("InternalServerError", 500),
		answer(dynamodb.ErrCodeTransactionConflictException, 400),
		awserr.New("RequestError", "send request failed", refused),
		awserr.New("RequestError", "send request failed", reset),
		awserr.New("SerializationError", "mid-body", reset),
		netError("read", errors.New("reset")),
		context.DeadlineExceeded,
	} {
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
			assert.Len(t, logger.named("AWS Error"), 1, "the outage's begin")
			assert.Len(t, logger.named("Outage Over"), 1)
		})
	}
}

func TestHeartbeatOutlastsThrottling(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newImagined(t, 0)
		locker := lease.NewLocker(i.LockStore)
		l, err := locker.ObtainLease(worker{"w1", 6 * time.Second})
		require.NoError(t, err)
		time.AfterFunc(1900*time.Millisecond, func() { i.mode.Store("throttle") })
		time.AfterFunc(3900*time.Millisecond, func() { i.mode.Store("") })
		ctx, cancel := context.WithTimeout(t.Context(), 6500*time.Millisecond)
		defer cancel()
		err = locker.HeartbeatWithContext(ctx, l, 2*time.Second)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.NotErrorIs(t, err, lease.LeaseLostError)
		assert.True(t, l.Valid())
	})
}

func TestHeartbeatOutlastsOneConnectionThatHangs(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"hang once", "freeze once"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := newImagined(t, 3)
				defer close(i.thaw)
				locker := lease.NewLocker(i.LockStore)
				l, err := locker.ObtainLease(worker{"w1", 3 * time.Second})
				require.NoError(t, err)
				i.mode.Store(how)
				ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
				defer cancel()
				err = locker.HeartbeatWithContext(ctx, l, time.Second)
				assert.ErrorIs(t, err, context.DeadlineExceeded)
				assert.NotErrorIs(t, err, lease.LeaseLostError)
				assert.True(t, l.Valid())
			})
		})
	}
}

func TestHeartbeatHasTimeForTwoMoreTriesAfterAHang(t *testing.T) {
	t.Parallel()
	for _, hangs := range []int32{1, 2, 1000} {
		synctest.Test(t, func(t *testing.T) {
			s := onePage(item("a", "", 0))
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

func TestHeartbeatNamesTheCauseOfAnOutageThatOutlastsTheTenure(t *testing.T) {
	t.Parallel()
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

func TestHeartbeatThatIsNeverAnsweredEndsBeforeTheRow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		how     string
		retries int
	}{{"hang", 0}, {"hang", 10}, {"freeze", 10}} {
		t.Run(fmt.Sprintf("%s, %d retries", c.how, c.retries), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := newImagined(t, c.retries)
				defer close(i.thaw)
				locker := lease.NewLocker(i.LockStore)
				l, err := locker.ObtainLease(worker{"w1", 3 * time.Second})
				require.NoError(t, err)
				time.AfterFunc(1200*time.Millisecond, func() { i.mode.Store(c.how) })
				err = locker.Heartbeat(l, time.Second)
				assert.ErrorIs(t, err, lease.LeaseLostError)
				assertUnanswered(t, err, `the renewal of "a" in table "leases"`)
				assert.Error(t, l.Context().Err())
				rowEnd := time.Unix(0, i.end.Load())
				assert.Equal(t, 300*time.Millisecond, time.Until(rowEnd), "the margin")
			})
		})
	}
}

func TestHeartbeatTakesARenewalThatComesTooLateForALoss(t *testing.T) {
	for range 200 { // The end and the reply come at the same time, and either may be first.
		synctest.Test(t, func(t *testing.T) {
			logger := record(t)
			s, locker, l := beating(t)
			tries := 0
			s.lease = func(string, time.Time) (*lease.Lease, error) {
				if tries++; tries < 3 {
					return nil, throttled
				}
				time.Sleep(8100*time.Millisecond - time.Since(s.start))
				return &lease.Lease{}, nil
			}
			err := locker.Heartbeat(l, 3*time.Second)
			require.ErrorIs(t, err, lease.LeaseLostError)
			require.ErrorIs(t, err, throttled, "why it wasn't renewed before")
			require.Empty(t, logger.named("Renewed Lease"))
			require.Equal(t, 8100*time.Millisecond, time.Since(s.start))
			synctest.Wait()
		})
	}
}

func TestHeartbeatHeedsAChangedDurationFromTheNextRenewalOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		locker := lease.NewLocker(s)
		r := newMutable("w1", 9*time.Second)
		l, err := locker.ObtainLease(r)
		require.NoError(t, err)
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		go locker.HeartbeatWithContext(ctx, l, 3*time.Second)
		time.Sleep(time.Second)
		r.duration.Store(int64(30 * time.Second))
		assert.Equal(t, 7100*time.Millisecond, l.Remaining())
		time.Sleep(2*time.Second + 1)
		assert.Equal(t, 27*time.Second-1, l.Remaining(), "30 s less a tenth of that")
	})
}

func TestHeartbeatOfAShortenedDurationIsInTimeAndNotAllTheTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, r := newScript("a"), newMutable("w1", 30*time.Second)
		s.lease = func(id string, until time.Time) (*lease.Lease, error) {
			if len(s.calls) > 100 {
				return nil, lease.LeaseNotObtainedError
			}
			return &lease.Lease{LeaseID: id, Request: r, Until: until}, nil
		}
		locker := lease.NewLocker(s)
		l, err := locker.ObtainLease(r)
		require.NoError(t, err)
		r.duration.Store(int64(3 * time.Second))
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		assert.ErrorIs(t, locker.HeartbeatWithContext(ctx, l, time.Second), context.DeadlineExceeded)
		assert.LessOrEqual(t, len(s.beats()), 61)
		assert.True(t, l.Valid())
		assert.LessOrEqual(t, l.Remaining(), 2700*time.Millisecond)
	})
}

func TestHeartbeatOfADurationThatBecomesTinyDoesNotSpin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := leasetest.NewStore("a")
		locker := lease.NewLocker(s)
		r := newMutable("w", 3*time.Second)
		l, err := locker.ObtainLease(r)
		require.NoError(t, err)
		r.duration.Store(30) // 30 ns
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		assert.Error(t, locker.HeartbeatWithContext(ctx, l, time.Second))
		assert.Less(t, s.Counts().Renewals, 300)
	})
}

func TestHeartbeatOfADurationThatGrowsTooLongDoesNotSpin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		locker := lease.NewLocker(s)
		r := newMutable("w1", 6*time.Second)
		l, err := locker.ObtainLease(r)
		require.NoError(t, err)
		r.duration.Store(int64(9 * time.Second))
		time.AfterFunc(4*time.Second, func() { r.duration.Store(1 << 62) })
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		assert.ErrorIs(t, locker.HeartbeatWithContext(ctx, l, 3*time.Second), context.DeadlineExceeded)
		assert.Len(t, s.beats(), 3)
		assert.Equal(t, 7100*time.Millisecond, l.Remaining(), "the duration that it had last")
	})
}

func TestHeartbeatWhoseDurationHangsEndsWithTheLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		forever := make(chan struct{})
		defer close(forever)
		var hangs atomic.Bool
		r := &changing{"w1", func() time.Duration {
			if hangs.Load() {
				<-forever
			}
			return 30 * time.Second
		}}
		locker := lease.NewLocker(leasetest.NewStore("a"))
		l, err := locker.ObtainLease(r)
		require.NoError(t, err)
		hangs.Store(true)
		assert.ErrorIs(t, locker.Heartbeat(l, 10*time.Second), lease.LeaseLostError)
		assert.Equal(t, 27*time.Second, time.Since(l.Until.Add(-30*time.Second)))
	})
}

func TestHeartbeatPanicsInItsCallersGoroutine(t *testing.T) {
	t.Parallel()
	boom := func() { panic("boom") }
	for _, who := range []string{"store", "request"} {
		begin := func() (*script, *lease.Locker, *spoilsport) {
			s, request := newScript("a"), &spoilsport{do: boom}
			if who == "store" {
				request.do = func() {}
				s.lease = func(id string, until time.Time) (*lease.Lease, error) {
					if len(s.beats()) > 0 {
						boom()
					}
					return &lease.Lease{LeaseID: id, Request: request, Until: until}, nil
				}
			}
			return s, lease.NewLocker(s), request
		}
		t.Run(who+", Heartbeat", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, locker, request := begin()
				l, err := locker.ObtainLease(request)
				require.NoError(t, err)
				request.spoilt.Store(true)
				assert.PanicsWithValue(t, "boom", func() { _ = locker.Heartbeat(l, 3*time.Second) })
				<-l.Context().Done() // The lease ends by itself.
			})
		})
		t.Run(who+", Hold", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, locker, request := begin()
				worked := false
				assert.PanicsWithValue(t, "boom", func() {
					work := func(ctx context.Context, _ *lease.Lease) error {
						request.spoilt.Store(true)
						<-ctx.Done()
						worked = true
						return nil
					}
					_ = locker.Hold(context.Background(), request, work)
				})
				assert.True(t, worked, "work has returned")
				assert.LessOrEqual(t, time.Since(s.start), 9*time.Second)
			})
		})
	}
	t.Run("and one in obtaining", func(t *testing.T) {
		s := newScript("a")
		s.lease = func(string, time.Time) (*lease.Lease, error) { panic("boom") }
		assert.PanicsWithValue(t, "boom", func() { _, _ = lease.NewLocker(s).ObtainLease(for30s("w1")) })
		s.ids = func() ([]string, error) { panic("bang") }
		assert.PanicsWithValue(t, "bang", func() { _, _ = lease.NewLocker(s).ObtainLease(for30s("w1")) })
	})
}

func TestHeartbeatTriesAgainSoonAfterEachRenewal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		locker := lease.NewLocker(s)
		l, err := locker.ObtainLease(for30s("w1"))
		require.NoError(t, err)
		var failures []time.Duration
		s.lease = func(string, time.Time) (*lease.Lease, error) {
			at := time.Since(s.start)
			long := at < 20*time.Second
			again := at > 25*time.Second && at < 40*time.Second
			if long || again {
				failures = append(failures, at)
				return nil, throttled
			}
			return &lease.Lease{}, nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		assert.ErrorIs(t, locker.HeartbeatWithContext(ctx, l, 10*time.Second), context.DeadlineExceeded)
		i := slices.IndexFunc(failures, func(at time.Duration) bool { return at > 25*time.Second })
		require.Greater(t, i, 3, "tries until it was renewed")
		require.Greater(t, len(failures), i+1)
		assert.Greater(t, failures[i-1]-failures[i-2], time.Second, "they came less and less often")
		assert.LessOrEqual(t, failures[i+1]-failures[i], time.Second, "after a renewal the next error is a first one")
	})
}

func TestHeartbeatReadsNothingThatIsTheCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		locker := lease.NewLocker(store)
		l, err := locker.ObtainLease(for30s("w1"))
		require.NoError(t, err)
		l.AttributeValues["FencingToken"] = num(99)
		beat := make(chan error, 1)
		go func() { beat <- locker.Heartbeat(l, 10*time.Second) }()
		time.Sleep(time.Minute)
		assert.True(t, l.Valid())
		assert.Equal(t, int64(1), l.FencingToken())
		require.NoError(t, locker.ReleaseLease(l))
		assert.NoError(t, <-beat)
	})
}

func TestHeartbeatGoesOnWhereCredentialsCannotBeHadForAMoment(t *testing.T) {
	t.Parallel()
	timeout := awserr.NewRequestFailure(awserr.New("UnknownError", "", nil), http.StatusRequestTimeout, "")
	for name, moment := range map[string]error{
		"no provider has any":            awserr.New("NoCredentialProviders", "no valid providers in chain", nil),
		"the metadata service is away":   awserr.New("EC2RoleRequestError", "no EC2 instance role found", nil),
		"the container's one is away":    awserr.New("CredentialsEndpointError", "failed to load credentials", nil),
		"the token is not there":         awserr.New("WebIdentityErr", "unable to read file", nil),
		"a process fails":                awserr.New("ProcessProviderExecutionError", "error in credential_process", nil),
		"the file is being written":      awserr.New("SharedCredsLoad", "failed to load shared credentials file", nil),
		"the request took too long, 408": timeout,
	} {
		synctest.Test(t, func(t *testing.T) {
			store := leasetest.NewStore("a")
			locker := lease.NewLocker(store)
			l, err := locker.ObtainLease(for30s("w1"))
			require.NoError(t, err)
			store.SetError(moment)
			time.AfterFunc(20*time.Second, func() { store.SetError(nil) })
			err = locker.HeartbeatWithContext(within(t, time.Minute), l, 10*time.Second)
			assert.ErrorIs(t, err, context.DeadlineExceeded, name)
			assert.True(t, l.Valid(), name)
		})
	}
}

func TestHeartbeatRenewsEveryHeartbeatDurationHoweverLateTheRepliesAre(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var replies []time.Duration
		store := &hooked{to: leasetest.NewStore("a"), renewed: func(*lease.Lease) {
			time.Sleep(2 * time.Second)
			replies = append(replies, time.Since(start))
		}}
		locker := lease.NewLocker(store)
		l, err := locker.ObtainLease(for30s("w1"))
		require.NoError(t, err)
		err = locker.HeartbeatWithContext(within(t, 35*time.Second), l, 10*time.Second)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, []time.Duration{12 * time.Second, 22 * time.Second, 32 * time.Second}, replies)
	})
}
