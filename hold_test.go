package lease_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
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

func TestHold(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	fresh := func() (*leasetest.Store, *lease.Locker) {
		store := leasetest.NewStore("a")
		return store, lease.NewLocker(store)
	}
	free := func(t *testing.T, store *leasetest.Store) {
		t.Helper()
		assert.NotContains(t, rowOf(t, store, "a"), "ProcessID", "it was released")
	}
	for name, test := range map[string]func(t *testing.T){
		"success is nil and the lease is kept meanwhile": func(t *testing.T) {
			store, locker := fresh()
			work := func(ctx context.Context, l *lease.Lease) error {
				time.Sleep(1500 * time.Millisecond) // longer than the lease lasts
				assert.True(t, l.Valid())
				return ctx.Err()
			}
			err := locker.Hold(t.Context(), worker{"w1", time.Second}, work)
			assert.NoError(t, err)
			free(t, store)
		},
		"work's error is returned as it is": func(t *testing.T) {
			store, locker := fresh()
			err := locker.Hold(t.Context(), for30s("w1"), func(context.Context, *lease.Lease) error { return boom })
			assert.True(t, err == boom)
			free(t, store)
		},
		"a panic goes on and the lease is released": func(t *testing.T) {
			store, locker := fresh()
			assert.PanicsWithValue(t, "boom", func() {
				_ = locker.Hold(t.Context(), for30s("w1"), func(context.Context, *lease.Lease) error { panic("boom") })
			})
			free(t, store)
		},
		"a panic when it was cancelled releases the lease": func(t *testing.T) {
			store, locker := fresh()
			ctx, cancel := context.WithCancel(t.Context())
			assert.PanicsWithValue(t, "boom", func() {
				_ = locker.Hold(ctx, for30s("w1"), func(context.Context, *lease.Lease) error {
					cancel()
					panic("boom")
				})
			})
			free(t, store)
		},
		"cancellation is told apart from a later wish": func(t *testing.T) {
			store, locker := fresh()
			ctx, cancel := context.WithCancel(t.Context())
			err := locker.Hold(ctx, for30s("w1"), func(ctx context.Context, _ *lease.Lease) error {
				cancel()
				wish(t, store, "a", "w2", time.Minute)
				time.Sleep(15 * time.Second) // a renewal
				return ctx.Err()
			})
			assert.True(t, err == context.Canceled, "got %v", err)
			assert.Equal(t, "w2", store.Holder("a"))
		},
		"an item that nobody wants is released": func(t *testing.T) {
			store, locker := fresh()
			require.NoError(t, locker.Hold(t.Context(), for30s("w1"), func(context.Context, *lease.Lease) error {
				return nil
			}))
			assert.Equal(t, 1, store.Counts().Releases)
			assert.Zero(t, store.Counts().Handovers)
		},
		"its item is no sibling's": func(t *testing.T) {
			_, locker := fresh()
			require.NoError(t, locker.Hold(t.Context(), for30s("w1"), func(_ context.Context, l *lease.Lease) error {
				_, err := locker.ObtainLease(for30s("w1"))
				assert.True(t, err == lease.LeaseNotObtainedError)
				assert.True(t, l.Valid())
				return nil
			}))
			_, err := locker.ObtainLease(for30s("w1"))
			assert.NoError(t, err)
		},
		"cancellation keeps the lease until work has returned": func(t *testing.T) {
			store, locker := fresh()
			ctx, cancel := context.WithCancel(t.Context())
			err := locker.Hold(ctx, for30s("w1"), func(ctx context.Context, l *lease.Lease) error {
				cancel()
				<-ctx.Done()
				time.Sleep(time.Minute) // longer than the lease lasts
				assert.True(t, l.Valid())
				return ctx.Err()
			})
			assert.ErrorIs(t, err, context.Canceled)
			assert.NotErrorIs(t, err, lease.LeaseLostError)
			free(t, store)
		},
		"loss ends the context and is told apart": func(t *testing.T) {
			for _, answer := range []error{nil, context.Canceled, boom} {
				store, locker := fresh()
				err := locker.Hold(t.Context(), for30s("w1"), func(ctx context.Context, l *lease.Lease) error {
					store.Steal("a", "thief", time.Minute)
					<-ctx.Done()
					assert.Equal(t, lease.LeaseLostError, context.Cause(ctx))
					return answer
				})
				assert.ErrorIs(t, err, lease.LeaseLostError)
				assert.NotErrorIs(t, err, context.Canceled)
				assert.Equal(t, answer == boom, errors.Is(err, boom))
				assert.Equal(t, "thief", store.Holder("a"))
			}
		},
		"work may retire its own item": func(t *testing.T) {
			store, locker := fresh()
			err := locker.Hold(t.Context(), for30s("w1"), func(_ context.Context, l *lease.Lease) error {
				return store.RemoveLease(l)
			})
			assert.NoError(t, err)
			_, there := store.Row("a")
			assert.False(t, there)
		},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
	}
}

func TestHoldWaitsForALease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		s.lease = held
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		work := func(context.Context, *lease.Lease) error {
			t.Error("work ran without a lease")
			return nil
		}
		err := lease.NewLocker(s).Hold(ctx, worker{"w1", 9 * time.Second}, work)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 3*time.Second, s.calls[2].at-s.calls[0].at, "it scans at a third of the duration")
	})
}

func TestHoldHeartbeatsAtAThird(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		work := func(context.Context, *lease.Lease) error {
			time.Sleep(10 * time.Second)
			return nil
		}
		err := lease.NewLocker(s).Hold(context.Background(), worker{"w1", 9 * time.Second}, work)
		assert.NoError(t, err, "that the store can't release is no fault of work")
		assert.Equal(t, []time.Duration{3 * time.Second, 6 * time.Second, 9 * time.Second}, s.beats())
	})
}

func TestHoldHeedsAWish(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		answer, want error
		wrapped      bool // want is somewhere in the error, else it is the error
	}{
		"nil":                  {nil, nil, false},
		"the context's error":  {context.Canceled, lease.LeaseWantedError, false},
		"the cause":            {lease.LeaseWantedError, lease.LeaseWantedError, false},
		"an error of its own":  {boom, boom, false},
		"one wrapped in words": {fmt.Errorf("stopped: %w", context.Canceled), context.Canceled, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := leasetest.NewStore("a")
				client := store.NewClient()
				before := 0
				w1 := worker{"w1", 1500 * time.Millisecond}
				work := func(ctx context.Context, l *lease.Lease) error {
					wish(t, store, "a", "w2", 1250*time.Millisecond)
					before = client.Counts().Requests()
					<-ctx.Done()
					assert.LessOrEqual(t, client.Counts().Requests()-before, 1, "the renewal's reply shows the wish")
					assert.True(t, context.Cause(ctx) == lease.LeaseWantedError)
					time.Sleep(1600 * time.Millisecond) // longer than the wish and the lease last
					assert.NoError(t, l.Context().Err())
					assert.True(t, l.Valid())
					assert.Equal(t, "w1", store.Holder("a"), "it is kept until work returns")
					wanted := asSeen(t, store, "a").WantedUntil
					assert.Greater(t, wanted, time.Now().UnixNano(), "the wish is prolonged")
					before = client.Counts().Requests()
					return c.answer
				}
				err := lease.NewLocker(client).Hold(t.Context(), w1, work)
				if c.wrapped {
					assert.ErrorIs(t, err, c.want)
				} else {
					assert.True(t, err == c.want, "got %v", err)
				}
				assert.LessOrEqual(t, client.Counts().Requests()-before, 2, "a handover, perhaps a renewal")
				assert.Equal(t, "w2", store.Holder("a"))
				assert.Equal(t, num(1), rowOf(t, store, "a")["FencingToken"])
			})
		})
	}
}

func TestHoldFreesWhatAnOperatorWants(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		work := func(ctx context.Context, _ *lease.Lease) error {
			wish(t, store, "a", "", 5*time.Minute)
			<-ctx.Done()
			return ctx.Err()
		}
		err := lease.NewLocker(store).Hold(t.Context(), for30s("w1"), work)
		assert.True(t, err == lease.LeaseWantedError, "got %v", err)
		free := row{leasetest.HashKey: str("a"), "LeaseUntil": num(0), "FencingToken": num(1)}
		assert.Equal(t, free, rowOf(t, store, "a"))
	})
}

func TestHoldHeedsNoWishTooFarAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		work := func(ctx context.Context, _ *lease.Lease) error {
			wish(t, store, "a", "w2", time.Hour)
			time.Sleep(49 * time.Minute)
			assert.NoError(t, ctx.Err())
			time.Sleep(2 * time.Minute)
			assert.True(t, context.Cause(ctx) == lease.LeaseWantedError, "by now it makes sense")
			return nil
		}
		err := lease.NewLocker(store).Hold(t.Context(), for30s("w1"), work)
		assert.NoError(t, err)
		assert.Equal(t, "w2", store.Holder("a"))
	})
}

// An operator wants an item freed, some time in the next minutes; a worker that is gone soon wants
// it for itself; it is handed over to that one, and idle for a minute at most.
func TestHoldReservesForNoLongerThanTheWish(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		const d = 1500 * time.Millisecond
		work := func(ctx context.Context, _ *lease.Lease) error {
			wish(t, store, "a", "", 5*time.Minute)
			<-ctx.Done()
			wish(t, store, "a", "gone", d/2)
			return ctx.Err()
		}
		err := lease.NewLocker(store).Hold(t.Context(), worker{"w1", d}, work)
		require.True(t, err == lease.LeaseWantedError, err)
		reserved := asSeen(t, store, "a")
		assert.Equal(t, "gone", reserved.LesseeID)
		assert.LessOrEqual(t, time.Until(reserved.Until).Abs(), time.Minute)
	})
}

func TestHoldOfFourOwnRowsKeepsEach(t *testing.T) {
	t.Parallel()
	for round := range 50 {
		synctest.Test(t, func(t *testing.T) {
			ids := []string{"a", "b", "c", "d"}
			store := leasetest.NewStore(ids...)
			for _, id := range ids {
				store.Steal(id, "w1", time.Minute) // as the process before left them
			}
			locker := lease.NewLocker(delayed(store))
			var inside sync.WaitGroup
			inside.Add(len(ids))
			var mu sync.Mutex
			var got []string
			var all sync.WaitGroup
			for range ids {
				all.Go(func() {
					work := func(ctx context.Context, l *lease.Lease) error {
						mu.Lock()
						got = append(got, l.LeaseID)
						mu.Unlock()
						inside.Done()
						inside.Wait()
						return ctx.Err()
					}
					err := locker.Hold(t.Context(), worker{"w1", 5 * time.Second}, work)
					assert.NoError(t, err)
				})
			}
			all.Wait()
			assert.ElementsMatch(t, ids, got, "round %d", round)
		})
	}
}

func TestHoldLogsBothErrorsOfItsEnd(t *testing.T) {
	logger := record(t)
	synctest.Test(t, func(t *testing.T) {
		s := leasetest.NewStore("a")
		locker := lease.NewLocker(s)
		work := func(ctx context.Context, l *lease.Lease) error {
			s.SetError(leasetest.AccessDeniedError)
			time.Sleep(12 * time.Second) // heartbeat ended by AccessDenied
			s.SetError(nil)
			s.SetError(errors.New("another error of the release"))
			return nil
		}
		_ = locker.Hold(context.Background(), for30s("w"), work)
	})
	assert.Contains(t, logger.text(), "AccessDenied")
	assert.Contains(t, logger.text(), "another error")
}

func TestHoldLogsAFailedReleaseAfterALoss(t *testing.T) {
	logger := record(t)
	synctest.Test(t, func(t *testing.T) {
		s := leasetest.NewStore("a")
		locker := lease.NewLocker(s)
		work := func(ctx context.Context, l *lease.Lease) error {
			s.SetOutage(true)
			<-ctx.Done()
			logger = record(t)
			s.SetOutage(false)
			s.SetError(leasetest.AccessDeniedError)
			return nil
		}
		_ = locker.Hold(context.Background(), for30s("w"), work)
	})
	assert.Contains(t, logger.text(), "AccessDenied")
}

func TestHoldLogsAPanicOnce(t *testing.T) {
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
			_ = locker.Hold(context.Background(), w, untilDone)
		}()
	})
	assert.Len(t, logger.named("Panic"), 1)
}

func TestHoldIsNotHeldUpBeyondTheEndByAFrozenTransport(t *testing.T) {
	t.Parallel()
	five := worker{"w1", 5 * time.Second}
	for _, works := range []time.Duration{3 * time.Second, time.Hour} {
		t.Run(fmt.Sprintf("work would take %v", works), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i, start := newImagined(t, 0), time.Now()
				defer close(i.thaw)
				soon(t, func() {
					work := func(ctx context.Context, _ *lease.Lease) error {
						i.mode.Store("freeze")
						select {
						case <-ctx.Done():
						case <-time.After(works):
						}
						return nil
					}
					err := lease.NewLocker(i.LockStore).Hold(t.Context(), five, work)
					assert.Equal(t, works == time.Hour, errors.Is(err, lease.LeaseLostError), "got %v", err)
				})
				assert.LessOrEqual(t, time.Since(start), five.duration)
			})
		})
	}
}

// No renewal has shown the theft: only the release does.
func TestHoldSaysThatTheItemWasStolenAtTheEnd(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for _, answer := range []error{nil, boom} {
		synctest.Test(t, func(t *testing.T) {
			store := leasetest.NewStore("a")
			work := func(context.Context, *lease.Lease) error {
				store.Steal("a", "thief", time.Minute)
				return answer
			}
			err := lease.NewLocker(store).Hold(t.Context(), for30s("w1"), work)
			assert.ErrorIs(t, err, lease.LeaseLostError)
			assert.Equal(t, answer == boom, errors.Is(err, boom))
			assert.Equal(t, "thief", store.Holder("a"))
		})
	}
}

func TestHoldReservesForHalfAMinuteAtMost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		work := func(ctx context.Context, _ *lease.Lease) error {
			wish(t, store, "a", "w2", 9*time.Minute)
			<-ctx.Done()
			return nil
		}
		require.NoError(t, lease.NewLocker(store).Hold(t.Context(), for30s("w1"), work))
		reserved := asSeen(t, store, "a")
		assert.Equal(t, "w2", reserved.LesseeID)
		assert.Equal(t, 30*time.Second, time.Until(reserved.Until))
	})
}

// Heartbeat ends at such an error. Hold, whose work goes on anyway, tries as long as the lease lasts.
func TestHoldRenewsThroughAnErrorThatPasses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		work := func(ctx context.Context, l *lease.Lease) error {
			store.SetError(leasetest.AccessDeniedError)
			time.Sleep(17 * time.Second)
			store.SetError(nil)
			time.Sleep(time.Minute)
			assert.True(t, l.Valid())
			return ctx.Err()
		}
		assert.NoError(t, lease.NewLocker(store).Hold(t.Context(), for30s("w1"), work))
	})
}

// TestHoldProlongsAWishForAsLongAsItsWorkIsEnding: so that the wisher doesn't ask elsewhere too.
func TestHoldProlongsAWishForAsLongAsItsWorkIsEnding(t *testing.T) {
	t.Parallel()
	for _, duration := range []time.Duration{30 * time.Second, 3 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			store := leasetest.NewStore("a")
			wanted := func() time.Time { return time.Unix(0, asSeen(t, store, "a").WantedUntil) }
			work := func(ctx context.Context, _ *lease.Lease) error {
				wish(t, store, "a", "w2", duration)
				<-ctx.Done()
				for range 60 {
					time.Sleep(time.Minute)
					assert.True(t, wanted().After(time.Now()), "with leases of %v", duration)
				}
				return nil
			}
			assert.NoError(t, lease.NewLocker(store).Hold(t.Context(), worker{"w1", duration}, work))
		})
	}
}

func TestHoldKeepsItsLeaseWhereEachReplyIsLate(t *testing.T) {
	t.Parallel()
	for _, percent := range []int{12, 15, 20, 30} {
		synctest.Test(t, func(t *testing.T) {
			late := 30 * time.Second * time.Duration(percent) / 100
			s := answeredLate(leasetest.NewStore("a"), late)
			s.renewed = func(*lease.Lease) { time.Sleep(late) }
			err := lease.NewLocker(s).Hold(within(t, 10*time.Minute), for30s("w1"),
				func(ctx context.Context, l *lease.Lease) error {
					<-ctx.Done()
					assert.True(t, l.Valid())
					return context.Cause(ctx)
				})
			assert.Equal(t, context.DeadlineExceeded, err, "%d %%", percent)
			time.Sleep(time.Minute)
		})
	}
}

func TestHoldCountsItsFirstRenewalFromWhenItAskedForTheLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var renewals []time.Duration
		start := time.Now()
		s := answeredLate(leasetest.NewStore("a"), 4*time.Second)
		s.renewed = func(*lease.Lease) { renewals = append(renewals, time.Since(start)) }
		_ = lease.NewLocker(s).Hold(within(t, 35*time.Second), for30s("w1"), untilDone)
		assert.Equal(t, []time.Duration{10 * time.Second, 20 * time.Second, 30 * time.Second}, renewals)
	})
}

func TestHoldLogsWhatWasFreedForAnOperatorAsReleased(t *testing.T) {
	for by, want := range map[string]string{"": "Released Lease", "w2": "Handed Over Lease"} {
		synctest.Test(t, func(t *testing.T) {
			logger := record(t)
			store := leasetest.NewStore("a")
			time.AfterFunc(time.Second, func() { wish(t, store, "a", by, time.Minute) })
			_ = lease.NewLocker(store).Hold(t.Context(), for30s("w1"), untilDone)
			got := logger.named(want)
			require.Len(t, got, 1, "by %q", by)
			if by != "" {
				assert.Equal(t, by, got[0].keyvals["wanted_by"])
			}
		})
	}
}

func TestHoldLogsAWishOnce(t *testing.T) {
	logger := record(t)
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		work := func(ctx context.Context, _ *lease.Lease) error {
			wish(t, store, "a", "w2", time.Minute)
			time.Sleep(time.Minute) // six renewals
			return nil
		}
		assert.NoError(t, lease.NewLocker(store).Hold(t.Context(), for30s("w1"), work))
	})
	wanted := logger.named("Lease Wanted")
	require.Len(t, wanted, 1)
	assert.Equal(t, "w2", wanted[0].keyvals["wanted_by"])
}

// leaving is a logger that leaves its goroutine at a renewal.
type leaving struct{ *recorder }

func (l leaving) LogInfoMessage(message string, _ ...interface{}) {
	if message == "Renewed Lease" {
		runtime.Goexit()
	}
}

func TestHoldWhoseHeartbeatLeavesItsGoroutine(t *testing.T) {
	for lasts, isLost := range map[time.Duration]bool{15 * time.Second: false, time.Minute: true} {
		logger := record(t)
		lease.SetLogger(leaving{logger})
		synctest.Test(t, func(t *testing.T) {
			work := func(context.Context, *lease.Lease) error {
				time.Sleep(lasts)
				return nil
			}
			err := lease.NewLocker(leasetest.NewStore("a")).Hold(t.Context(), for30s("w1"), work)
			assert.Equal(t, isLost, errors.Is(err, lease.LeaseLostError))
			assert.Equal(t, isLost, err != nil, "got %v", err)
		})
		assert.Equal(t, !isLost, strings.Contains(logger.text(), "left its goroutine"), logger.text())
	}
}

func TestHoldLogsThatItsStoreCannotRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger := record(t)
		err := lease.NewLocker(newScript("a")).Hold(t.Context(), for30s("w1"),
			func(context.Context, *lease.Lease) error { return nil })
		assert.NoError(t, err)
		assert.Contains(t, logger.text(), lease.ReleaseUnsupportedError.Error())
		assert.Empty(t, logger.named("Outage Over"))
	})
}
