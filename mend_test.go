package lease_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
)

// soon fails the test if a call blocks.
func soon(t *testing.T, call func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		call()
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("it blocks")
	}
}

// imagined is a table that isn't there, so that its time may be imagined too: of the one item "a", which
// always looks free, and whose every write succeeds.
type imagined struct {
	*lease.LockStore
	*meter
	*switched
}

func newImagined(t *testing.T) imagined {
	i := imagined{meter: &meter{requests: make(map[string]int)}, switched: &switched{thaw: make(chan struct{})}}
	i.next = roundTrip(func(r *http.Request) (*http.Response, error) {
		body := `{"Attributes":{"id":{"S":"a"},"ProcessID":{"S":"w1"},"LeaseUntil":{"N":"1"},"FencingToken":{"N":"7"}}}`
		switch _, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "."); operation {
		case "Scan":
			body = `{"Items":[{"id":{"S":"a"},"LeaseUntil":{"N":"0"}}]}`
		case "DescribeTable":
			body = `{"Table":{"TableStatus":"CREATING"}}`
		}
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: jsonBody(body)}, nil
	})
	ddb, _ := newClient(t, "http://imagined", func(http.RoundTripper) http.RoundTripper { return i.switched },
		&aws.Config{MaxRetries: aws.Int(0)})
	i.attach(ddb)
	i.LockStore = lease.NewLockStore(ddb, "leases", "id")
	return i
}

// mutable is a LeaseRequest that changes.
type mutable struct {
	id       atomic.Value
	duration atomic.Int64
}

func newMutable(id string, d time.Duration) *mutable {
	m := &mutable{}
	m.id.Store(id)
	m.duration.Store(int64(d))
	return m
}

func (m *mutable) LesseeID() string             { return m.id.Load().(string) }
func (m *mutable) LeaseDuration() time.Duration { return time.Duration(m.duration.Load()) }

// Number 1.

func TestARenewalHonoursAShorterGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, locker, l := beating(t) // 9 s
		s.lease = func(id string, _ time.Time) (*lease.Lease, error) {
			return &lease.Lease{LeaseID: id, Until: time.Now().Add(5 * time.Second)}, nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), 3500*time.Millisecond)
		defer cancel()
		assert.ErrorIs(t, locker.HeartbeatWithContext(ctx, l, 3*time.Second), context.DeadlineExceeded)
		assert.Equal(t, 3600*time.Millisecond, l.Remaining(), "5 s after 3 s, less the margin of 0.9 s and half a second")
		<-l.Context().Done()
		assert.Equal(t, 7100*time.Millisecond, time.Since(s.start))
	})
}

func TestShorterGrantsAreRenewedInTimeAndNotAllTheTime(t *testing.T) {
	for _, grant := range []time.Duration{5 * time.Second, 2 * time.Second} { // of 9 s
		synctest.Test(t, func(t *testing.T) {
			s := newScript("a")
			s.lease = func(id string, _ time.Time) (*lease.Lease, error) {
				if len(s.calls) > 1000 {
					return nil, lease.LeaseNotObtainedError
				}
				return &lease.Lease{LeaseID: id, Request: worker{"w1", 9 * time.Second}, Until: time.Now().Add(grant)}, nil
			}
			locker := lease.NewLocker(s)
			l, err := locker.ObtainLease(worker{"w1", 9 * time.Second})
			require.NoError(t, err)
			assert.Equal(t, grant-900*time.Millisecond, l.Remaining())
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			assert.ErrorIs(t, locker.HeartbeatWithContext(ctx, l, 3*time.Second), context.DeadlineExceeded)
			assert.True(t, l.Valid())
			assert.LessOrEqual(t, len(s.beats()), 300)
		})
	}
}

func TestALongerGrantIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		s.lease = func(id string, _ time.Time) (*lease.Lease, error) {
			return &lease.Lease{LeaseID: id, Request: worker{"w1", 9 * time.Second}, Until: time.Now().Add(time.Hour)}, nil
		}
		locker := lease.NewLocker(s)
		l, err := locker.ObtainLease(worker{"w1", 9 * time.Second})
		require.NoError(t, err)
		assert.Equal(t, 8100*time.Millisecond, l.Remaining())
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second+1)
		defer cancel()
		assert.ErrorIs(t, locker.HeartbeatWithContext(ctx, l, 3*time.Second), context.DeadlineExceeded)
		assert.Equal(t, 8100*time.Millisecond-1, l.Remaining())
	})
}

// Number 2.

func TestAFrozenTransportHoldsUpNobodyBeyondTheEnd(t *testing.T) {
	five := worker{"w1", 5 * time.Second}
	freeze := func(t *testing.T) (imagined, *lease.Locker, *lease.Lease, time.Time) {
		i, start := newImagined(t), time.Now()
		locker := lease.NewLocker(i.LockStore)
		l, err := locker.ObtainLease(five)
		require.NoError(t, err)
		i.mode.Store("freeze")
		return i, locker, l, start
	}
	t.Run("ReleaseLease", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			i, locker, l, start := freeze(t)
			defer close(i.thaw)
			time.Sleep(time.Second)
			soon(t, func() { assert.ErrorIs(t, locker.ReleaseLease(l), context.DeadlineExceeded) })
			assert.LessOrEqual(t, time.Since(start), five.duration)
			assert.False(t, l.Valid())
		})
	})
	t.Run("ReleaseLease during a renewal", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			i, locker, l, start := freeze(t)
			defer close(i.thaw)
			beat := make(chan error, 1)
			go func() { beat <- locker.Heartbeat(l, time.Second) }()
			time.Sleep(1500 * time.Millisecond)
			soon(t, func() { assert.ErrorIs(t, locker.ReleaseLease(l), context.DeadlineExceeded) })
			assert.LessOrEqual(t, time.Since(start), five.duration)
			soon(t, func() { assert.NoError(t, <-beat) })
		})
	})
	for _, works := range []time.Duration{3 * time.Second, time.Hour} {
		t.Run(fmt.Sprintf("Hold whose work would take %v", works), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i, start := newImagined(t), time.Now()
				defer close(i.thaw)
				soon(t, func() {
					err := lease.NewLocker(i.LockStore).Hold(context.Background(), five, func(ctx context.Context, _ *lease.Lease) error {
						i.mode.Store("freeze")
						select {
						case <-ctx.Done():
						case <-time.After(works):
						}
						return nil
					})
					assert.Equal(t, works == time.Hour, errors.Is(err, lease.LeaseLostError), "got %v", err)
				})
				assert.LessOrEqual(t, time.Since(start), five.duration)
			})
		})
	}
}

// Number 3.

func TestTokensGrowOverRetirementAndRegistration(t *testing.T) {
	f := newFixture(t)
	last := int64(0)
	for range 3 {
		require.NoError(t, f.AddLeaseID("a", nil))
		for range 2 {
			l, err := f.Lease("a", for30s("w1"), time.Now())
			require.NoError(t, err)
			assert.Greater(t, l.FencingToken(), last)
			assert.Less(t, l.FencingToken(), int64(1)<<53)
			last = l.FencingToken()
		}
		require.NoError(t, f.RemoveLeaseID("a"))
	}
}

func TestARegistrationMaySetTheToken(t *testing.T) {
	f := newFixture(t)
	require.NoError(t, f.AddLeaseID("a", row{"FencingToken": num(41)}))
	l, err := f.Lease("a", for30s("w1"), time.Now().Add(time.Minute))
	require.NoError(t, err)
	assert.Equal(t, int64(42), l.FencingToken())
	assert.Error(t, f.AddLeaseID("b", row{"FencingToken": str("41")}))
	assert.Nil(t, f.get("b"))
}

func TestAnOlderTenureDoesNotEndTheLeaseOfARegistrationAnew(t *testing.T) {
	f := newFixture(t)
	f.put(row{"id": str("a"), "LeaseUntil": num(0), "FencingToken": num(1000)})
	locker := lease.NewLocker(f.LockStore)
	older, err := locker.ObtainLease(for30s("w1"))
	require.NoError(t, err)
	f.put(row{"id": str("a"), "LeaseUntil": num(0)}) // registered anew, as an operator's script may do it
	newer, err := locker.ObtainLease(for30s("w1"))
	require.NoError(t, err)
	assert.Less(t, newer.FencingToken(), older.FencingToken())
	assert.True(t, newer.Valid())
	assert.False(t, older.Valid())
	assert.Equal(t, lease.LeaseLostError, locker.Heartbeat(older, time.Millisecond))
	assert.Equal(t, lease.LeaseLostError, locker.ReleaseLease(older))
	err = locker.HeartbeatWithContext(within(t, 100*time.Millisecond), newer, 20*time.Millisecond)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.True(t, newer.Valid())
	assert.NoError(t, locker.ReleaseLease(newer))
}

// Number 4.

func TestEnsureTableWrapsTheContextsError(t *testing.T) {
	for mode, waits := range map[string]string{"": "for the table to become active", "hang": "for a reply"} {
		t.Run("while it waits "+waits, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i, why := newImagined(t), errors.New("shutting down")
				i.mode.Store(mode)
				ctx, cancel := context.WithCancelCause(context.Background())
				time.AfterFunc(time.Minute, func() { cancel(why) })
				err := i.EnsureTableWithContext(ctx)
				assert.ErrorIs(t, err, context.Canceled)
				assert.ErrorIs(t, err, why)
			})
		})
	}
}

func TestEveryErrorOfADoneContextWrapsItsErrorAndItsCause(t *testing.T) {
	why := errors.New("shutting down")
	type calls map[string]func(ctx context.Context, l *lease.Lease) error
	of := func(locker *lease.Locker) calls {
		return calls{
			"ObtainLease": func(ctx context.Context, _ *lease.Lease) error {
				_, err := locker.ObtainLeaseWithContext(ctx, for30s("w2"))
				return err
			},
			"WaitUntilLeaseObtained": func(ctx context.Context, _ *lease.Lease) error {
				_, err := locker.WaitUntilLeaseObtainedWithContext(ctx, for30s("w2"), time.Hour)
				return err
			},
			"Hold": func(ctx context.Context, _ *lease.Lease) error {
				return locker.Hold(ctx, for30s("w2"), func(context.Context, *lease.Lease) error { return nil })
			},
			"Heartbeat": func(ctx context.Context, l *lease.Lease) error {
				return locker.HeartbeatWithContext(ctx, l, 10*time.Second)
			},
			"ReleaseLease": func(ctx context.Context, l *lease.Lease) error { return locker.ReleaseLeaseWithContext(ctx, l) },
		}
	}
	check := func(t *testing.T, locker *lease.Locker, all calls, hang func()) {
		for name, call := range all {
			for _, deadline := range []bool{true, false} {
				l, err := locker.ObtainLease(for30s("w1"))
				require.NoError(t, err)
				hang()
				ctx, cancel := context.WithTimeoutCause(context.Background(), time.Second, why)
				want := context.DeadlineExceeded
				if !deadline {
					inner, cancelInner := context.WithCancelCause(ctx)
					time.AfterFunc(time.Second/2, func() { cancelInner(why) })
					ctx, want = inner, context.Canceled
				}
				err = call(ctx, l)
				assert.ErrorIs(t, err, want, name)
				assert.ErrorIs(t, err, why, name)
				err = call(ctx, l) // It is done before.
				if name != "ReleaseLease" || err != nil {
					assert.ErrorIs(t, err, want, name)
					assert.ErrorIs(t, err, why, name)
				}
				cancel()
				hang()
			}
		}
	}
	t.Run("LockStore", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			i := newImagined(t)
			locker := lease.NewLocker(i.LockStore)
			all := of(locker)
			maps.Copy(all, calls{
				"EnsureTable": func(ctx context.Context, _ *lease.Lease) error { return i.EnsureTableWithContext(ctx) },
				"AddLeaseID":  func(ctx context.Context, _ *lease.Lease) error { return i.AddLeaseIDWithContext(ctx, "b", nil) },
				"RemoveLeaseID": func(ctx context.Context, _ *lease.Lease) error {
					return i.RemoveLeaseIDWithContext(ctx, "b")
				},
				"RemoveLease": func(ctx context.Context, l *lease.Lease) error { return i.RemoveLeaseWithContext(ctx, l) },
				"ListLeaseIDs": func(ctx context.Context, _ *lease.Lease) error {
					_, err := i.ListLeaseIDsWithContext(ctx)
					return err
				},
				"ScanLeaseItems": func(ctx context.Context, _ *lease.Lease) error {
					_, _, err := i.ScanLeaseItemsWithContext(ctx, "", 0)
					return err
				},
				"Lease": func(ctx context.Context, _ *lease.Lease) error {
					_, err := i.LeaseWithContext(ctx, "a", for30s("w1"), time.Now().Add(time.Minute))
					return err
				},
				"RenewLease": func(ctx context.Context, l *lease.Lease) error {
					return i.RenewLeaseWithContext(ctx, l, time.Now().Add(time.Minute))
				},
				"store's ReleaseLease": func(ctx context.Context, l *lease.Lease) error { return i.ReleaseLeaseWithContext(ctx, l) },
			})
			hangs := false
			check(t, locker, all, func() {
				hangs = !hangs
				i.mode.Store(map[bool]string{true: "hang", false: ""}[hangs])
			})
		})
	})
	t.Run("two methods", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newScript("a")
			lifted := make(chan struct{})
			hangs := false
			locker := lease.NewLocker(s)
			all := of(locker)
			delete(all, "ReleaseLease") // it can't
			check(t, locker, all, func() {
				if hangs = !hangs; hangs {
					lifted = make(chan struct{})
					s.ids = func() ([]string, error) { <-lifted; return nil, nil }
					s.lease = func(string, time.Time) (*lease.Lease, error) { <-lifted; return nil, lease.LeaseNotObtainedError }
					return
				}
				close(lifted)
				synctest.Wait()
				s.ids, s.lease = func() ([]string, error) { return []string{"a"}, nil }, nil
			})
		})
	})
}

// Number 5.

func TestAWaitPeriodIsAtLeastTenMilliseconds(t *testing.T) {
	for _, period := range []time.Duration{1, 10 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			s := newScript("a")
			s.lease = held
			ctx, cancel := context.WithTimeout(context.Background(), time.Second-1)
			defer cancel()
			_, err := lease.NewLocker(s).WaitUntilLeaseObtainedWithContext(ctx, for30s("w1"), period)
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.Len(t, s.calls, 2*100)
		})
	}
}

func TestTheReadmesLoopsOfHoldPause(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	loops := 0
	for _, block := range regexp.MustCompile("(?s)```go\n.*?```").FindAllString(string(readme), -1) {
		if at := strings.Index(block, "for ctx.Err() == nil {"); at >= 0 && strings.Contains(block[at:], ".Hold(") {
			loops++
			assert.Regexp(t, `time\.(After|Sleep|NewTimer)|pause\(ctx`, block[at:], "work that fails at once makes it spin")
		}
	}
	assert.Positive(t, loops)
}

// Number 6.

func TestARenewalThatComesTooLateIsNoSuccess(t *testing.T) {
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

func TestARenewalThatGrantsNothingIsNoSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger := record(t)
		s, locker, l := beating(t)
		s.lease = func(string, time.Time) (*lease.Lease, error) { return &lease.Lease{Until: time.Now()}, nil }
		assert.ErrorIs(t, locker.Heartbeat(l, 3*time.Second), lease.LeaseLostError)
		assert.Equal(t, 3*time.Second, time.Since(s.start))
		assert.Empty(t, logger.named("Renewed Lease"))
		assert.False(t, l.Valid())
	})
}

// Number 7.

func TestARenewalRefusedForTheRowsFaultNamesTheAttribute(t *testing.T) {
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
			for _, err := range []error{f.RenewLease(l, time.Now().Add(time.Minute)), locker.Heartbeat(l, time.Millisecond)} {
				assert.ErrorContains(t, err, attribute)
				assert.ErrorContains(t, err, `"a"`)
				assert.NotErrorIs(t, err, lease.LeaseLostError)
			}
			assert.True(t, l.Valid(), "it ends by itself")
			assert.Equal(t, spoilt, f.get("a"))
		})
	}
}

// Number 8.

// misdated returns a store on the fixture's table, and what makes the next reply's Date wrong by so much.
func (f *fixture) misdated() (*lease.LockStore, *atomic.Int64) {
	wrong := new(atomic.Int64)
	return f.through(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if err == nil {
				ahead := time.Duration(wrong.Swap(0))
				resp.Header.Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
			}
			return resp, err
		})
	}), wrong
}

func TestOneReplyWithAWrongDateMakesNoSecondHolder(t *testing.T) {
	f := newFixture(t)
	f.put(f.held("a", "other", time.Now().Add(30*time.Second)))
	f.put(f.held("b", "other", time.Now().Add(30*time.Second)))
	before := f.get("a")
	store, wrong := f.misdated()
	locker := lease.NewLocker(store)
	for range 3 {
		_, err := locker.ObtainLease(for30s("w1"))
		require.True(t, err == lease.LeaseNotObtainedError)
	}
	wrong.Store(int64(time.Minute))
	l, err := locker.ObtainLease(for30s("w1"))
	assert.True(t, err == lease.LeaseNotObtainedError, "it obtained %v (%v)", l, err)
	for _, ahead := range []time.Duration{0, time.Minute} { // They take turns, so no second one says the same.
		wrong.Store(int64(ahead))
		_, err = store.ListLeaseIDs()
		require.NoError(t, err)
	}
	_, err = store.Lease("a", for30s("w1"), time.Now().Add(30*time.Second))
	assert.True(t, err == lease.LeaseNotObtainedError, "got %v", err)
	assert.ErrorIs(t, store.RemoveLeaseID("a"), lease.LeaseHeldError)
	assert.Equal(t, before, f.get("a"))
}

func TestAWrongDateCountsForComparingIfOthersRowsAreThenLongerHeld(t *testing.T) {
	f := newFixture(t)
	f.put(f.held("a", "other", time.Now().Add(-20*time.Second)))
	store, wrong := f.misdated()
	locker := lease.NewLocker(store)
	_, err := store.ListLeaseIDs()
	require.NoError(t, err)
	wrong.Store(-int64(time.Minute))
	_, err = locker.ObtainLease(for30s("w1"))
	assert.True(t, err == lease.LeaseNotObtainedError, "got %v", err)
	l, err := locker.ObtainLease(for30s("w1")) // whose Scan's reply agrees with the first
	require.NoError(t, err)
	assert.Equal(t, num(l.Until.UnixNano()), f.get("a")["LeaseUntil"])
}

func TestAfterOneWrongDateTheEarlierClockCountsForWriting(t *testing.T) {
	f := newFixture(t, "a", "b")
	for id, ahead := range map[string]time.Duration{"a": time.Minute, "b": -time.Minute} {
		store, wrong := f.misdated()
		_, err := store.ListLeaseIDs()
		require.NoError(t, err)
		wrong.Store(int64(ahead))
		_, err = store.ListLeaseIDs()
		require.NoError(t, err)
		until := time.Now().Add(30 * time.Second)
		_, err = store.Lease(id, for30s("w1"), until)
		require.NoError(t, err)
		assert.Equal(t, num(until.UnixNano()), f.get(id)["LeaseUntil"])
	}
}

func TestTwoRepliesOfOneMindAreBelieved(t *testing.T) {
	f := newFixture(t, "a")
	store, wrong := f.misdated()
	_, err := store.ListLeaseIDs()
	require.NoError(t, err)
	for range 2 {
		wrong.Store(int64(time.Minute))
		_, err := store.ListLeaseIDs()
		require.NoError(t, err)
	}
	until := time.Now().Add(30 * time.Second)
	_, err = store.Lease("a", for30s("w1"), until)
	require.NoError(t, err)
	written := time.Unix(0, mustInt(t, f.get("a")["LeaseUntil"]))
	assert.InDelta(t, 60, written.Sub(until).Seconds(), 1.5)
}

// Number 9.

func TestWhatNoWaitingMakesGoodIsReturnedAtOnce(t *testing.T) {
	defer func(s *lease.LockStore) { lease.GlobalLockStore = s }(lease.GlobalLockStore)
	lease.GlobalLockStore = nil
	table := func(key string, r row) func(*testing.T) *lease.Locker {
		return func(t *testing.T) *lease.Locker {
			f := newFixtureOn(t, ddblocal.ForTest(t).Endpoint, "id")
			f.createTable(key)
			if r != nil {
				f.put(r)
			}
			return lease.NewLocker(f.LockStore)
		}
	}
	of := func(locker *lease.Locker) func(*testing.T) *lease.Locker {
		return func(*testing.T) *lease.Locker { return locker }
	}
	for name, c := range map[string]struct {
		locker func(*testing.T) *lease.Locker
		says   string
	}{
		"the global store before its setup":       {of(lease.NewLocker(lease.GlobalLockStore)), "SetupLockStoreGlobal"},
		"no store":                                {of(lease.NewLocker(nil)), "store"},
		"a zero Locker":                           {of(&lease.Locker{}), "store"},
		"a zero store":                            {of(lease.NewLocker(&lease.LockStore{})), "DynamoDB is nil"},
		"an embedder of no store":                 {of(lease.NewLocker(&embedder{})), "LockStore is nil"},
		"a hash key of another name":              {table("other:S", row{"other": str("a")}), `"id"`},
		"a hash key of another type":              {table("id:N", row{"id": num(1)}), "type N"},
		"an empty table's key of another name":    {table("other:S", nil), `hash key "other"`},
		"an empty table's hash key of type N":     {table("id:N", nil), "type N"},
		"an embedder of a store that doesn't fit": {func(t *testing.T) *lease.Locker { return embedding(t) }, "type B"},
	} {
		t.Run(name, func(t *testing.T) {
			logger := record(t)
			locker := c.locker(t)
			soon(t, func() {
				assert.Nil(t, locker.WaitUntilLeaseObtained(for30s("w1"), time.Second))
				refused := logger.named("Lease Request Refused")
				require.Len(t, refused, 1)
				assert.Equal(t, "error", refused[0].level)
				assert.ErrorContains(t, refused[0].keyvals["error"].(error), c.says)
			})
			soon(t, func() {
				_, err := locker.ObtainLease(for30s("w1"))
				assert.ErrorContains(t, err, c.says)
				l, err := locker.WaitUntilLeaseObtainedWithContext(context.Background(), for30s("w1"), time.Second)
				assert.Nil(t, l)
				assert.ErrorContains(t, err, c.says)
				err = locker.Hold(context.Background(), for30s("w1"), func(context.Context, *lease.Lease) error { return nil })
				assert.ErrorContains(t, err, c.says)
			})
		})
	}
}

func embedding(t *testing.T) *lease.Locker {
	f := newFixtureOn(t, ddblocal.ForTest(t).Endpoint, "id")
	f.createTable("id:B")
	return lease.NewLocker(&embedder{LockStore: f.LockStore})
}

func TestEveryErrorThatIsWaitedOutIsLoggedByOneLayer(t *testing.T) {
	for _, mode := range []string{"throttle", "hang"} {
		for _, kind := range []string{"LockStore", "embedder", "two methods"} {
			if mode == "hang" && kind != "LockStore" {
				continue // It waits for the call.
			}
			t.Run(mode+" "+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					logger := record(t)
					i := newImagined(t)
					i.mode.Store(mode)
					locker := lease.NewLocker(i.LockStore)
					switch kind {
					case "embedder":
						locker = lease.NewLocker(&embedder{LockStore: i.LockStore})
					case "two methods":
						locker = lease.NewLocker(struct{ pairOfMethods }{i.LockStore})
					}
					ctx, cancel := context.WithTimeout(context.Background(), 59*time.Second)
					defer cancel()
					_, err := locker.WaitUntilLeaseObtainedWithContext(ctx, worker{"w1", time.Second}, 2*time.Second)
					assert.ErrorIs(t, err, context.DeadlineExceeded)
					assert.GreaterOrEqual(t, i.count("Scan"), 5)
					assert.Len(t, logger.named("AWS Error"), i.count("Scan"))
				})
			})
		}
	}
}

// pairOfMethods is what NewLocker wants of a store.
type pairOfMethods interface {
	Lease(leaseID string, request lease.LeaseRequest, until time.Time) (*lease.Lease, error)
	ListLeaseIDs() ([]string, error)
}

// Number 10.

func TestARequestOrLeaseThatChangedIsReleasedAllTheSame(t *testing.T) {
	for name, change := range map[string]func(r *mutable, l *lease.Lease){
		"a duration of 0":      func(r *mutable, _ *lease.Lease) { r.duration.Store(0) },
		"a negative duration":  func(r *mutable, _ *lease.Lease) { r.duration.Store(-1) },
		"another lessee":       func(r *mutable, _ *lease.Lease) { r.id.Store("somebody else") },
		"no lessee":            func(r *mutable, _ *lease.Lease) { r.id.Store("") },
		"no request":           func(_ *mutable, l *lease.Lease) { l.Request = nil },
		"a typed nil":          func(_ *mutable, l *lease.Lease) { l.Request = (*worker)(nil) },
		"an empty lease":       func(_ *mutable, l *lease.Lease) { *l = lease.Lease{} },
		"another item":         func(_ *mutable, l *lease.Lease) { l.LeaseID = "b" },
		"attributes of others": func(_ *mutable, l *lease.Lease) { l.AttributeValues = row{"FencingToken": str("x")} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, "a")
			r := newMutable("w1", 900*time.Millisecond)
			soon(t, func() {
				err := lease.NewLocker(f.LockStore).Hold(context.Background(), r, func(ctx context.Context, l *lease.Lease) error {
					change(r, l)
					time.Sleep(1500 * time.Millisecond) // some renewals
					return ctx.Err()
				})
				assert.NoError(t, err, "it was kept until then")
			})
			assert.Equal(t, row{"id": str("a"), "LeaseUntil": num(0), "FencingToken": num(1)}, f.get("a"))

			locker := lease.NewLocker(f.LockStore)
			r = newMutable("w1", 30*time.Second)
			l, err := locker.ObtainLease(r)
			require.NoError(t, err)
			ctx, wiped := l.Context(), name == "an empty lease"
			change(r, l)
			if wiped {
				return // It is a literal by now.
			}
			assert.NoError(t, locker.ReleaseLease(l))
			assert.Error(t, ctx.Err())
			assert.NotContains(t, f.get("a"), "ProcessID")
		})
	}
}

func TestReleaseEndsTheTenureFirst(t *testing.T) {
	f := newFixture(t, "a")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	locker := lease.NewLocker(f.LockStore)
	r := newMutable("w1", 30*time.Second)
	l, err := locker.ObtainLease(r)
	require.NoError(t, err)
	r.duration.Store(0)
	assert.ErrorIs(t, locker.ReleaseLeaseWithContext(ctx, l), context.Canceled)
	assert.False(t, l.Valid(), "whatever becomes of the row")
	require.NoError(t, locker.ReleaseLease(l))
	assert.NotContains(t, f.get("a"), "ProcessID")
}

func TestAChangedDurationCountsFromTheNextRenewalOnMarginIncluded(t *testing.T) {
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

func TestAShortenedDurationIsHeartbeatenInTimeAndNotAllTheTime(t *testing.T) {
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

// Number 11.

func TestATenuresTokenFollowsRenewalsThatLeaseAnew(t *testing.T) {
	t.Run("an embedder", func(t *testing.T) {
		f := newFixture(t, "a")
		e := &embedder{LockStore: f.LockStore}
		locker := lease.NewLocker(e)
		l, err := locker.ObtainLease(for30s("w1"))
		require.NoError(t, err)
		copied := *l
		require.Error(t, locker.HeartbeatWithContext(within(t, 200*time.Millisecond), l, 50*time.Millisecond))
		require.Greater(t, e.leased, 1)
		assert.Equal(t, int64(e.leased), l.FencingToken())
		assert.Equal(t, int64(e.leased), copied.FencingToken())
		assert.Equal(t, num(l.FencingToken()), f.get("a")["FencingToken"])
		assert.NoError(t, e.ReleaseLease(&copied))
		assert.Equal(t, row{"id": str("a"), "LeaseUntil": num(0), "FencingToken": num(l.FencingToken())}, f.get("a"))
		assert.False(t, l.Valid())
	})
	t.Run("a literal", func(t *testing.T) {
		f := newFixture(t, "a")
		locker := lease.NewLocker(f.LockStore)
		l := &lease.Lease{LeaseID: "a", Request: for30s("w1")}
		_, err := f.Lease(l.LeaseID, l.Request, time.Now().Add(30*time.Second))
		require.NoError(t, err)
		beat := make(chan error, 1)
		go func() { beat <- locker.Heartbeat(l, 50*time.Millisecond) }()
		time.Sleep(200 * time.Millisecond) // some renewals
		assert.NoError(t, locker.ReleaseLease(l))
		assert.NoError(t, <-beat)
		assert.NotContains(t, f.get("a"), "ProcessID")
	})
	t.Run("a wrapper of two methods", func(t *testing.T) {
		f := newFixture(t, "a")
		locker := lease.NewLocker(struct{ pairOfMethods }{f.LockStore})
		l, err := locker.ObtainLease(for30s("w1"))
		require.NoError(t, err)
		require.Error(t, locker.HeartbeatWithContext(within(t, 200*time.Millisecond), l, 50*time.Millisecond))
		assert.Greater(t, l.FencingToken(), int64(1))
		assert.Equal(t, num(l.FencingToken()), f.get("a")["FencingToken"])
		assert.NoError(t, f.ReleaseLease(l))
		assert.NotContains(t, f.get("a"), "ProcessID")
	})
}

// Number 12.

// spoilsport is a LeaseRequest that does something in LeaseDuration once it is spoilt.
type spoilsport struct {
	spoilt atomic.Bool
	do     func()
}

func (s *spoilsport) LesseeID() string { return "w1" }
func (s *spoilsport) LeaseDuration() time.Duration {
	if s.spoilt.Load() {
		s.do()
	}
	return 9 * time.Second
}

func TestAPanicInARenewalComesOutInTheCallersGoroutine(t *testing.T) {
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
					_ = locker.Hold(context.Background(), request, func(ctx context.Context, _ *lease.Lease) error {
						request.spoilt.Store(true)
						<-ctx.Done()
						worked = true
						return nil
					})
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

func TestAStoreThatLeavesItsGoroutineIsAnError(t *testing.T) {
	t.Run("Heartbeat", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, locker, l := beating(t)
			s.lease = func(string, time.Time) (*lease.Lease, error) { runtime.Goexit(); return nil, nil }
			err := locker.Heartbeat(l, 3*time.Second)
			assert.Error(t, err)
			assert.NotErrorIs(t, err, lease.LeaseLostError)
			assert.Equal(t, 3*time.Second, time.Since(s.start))
		})
	})
	t.Run("Hold", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			locker := lease.NewLocker(newScript("a"))
			request := &spoilsport{do: runtime.Goexit}
			err := locker.Hold(context.Background(), request, func(ctx context.Context, _ *lease.Lease) error {
				request.spoilt.Store(true)
				<-ctx.Done()
				return nil
			})
			assert.ErrorIs(t, err, lease.LeaseLostError)
		})
	})
	t.Run("ObtainLease", func(t *testing.T) {
		s := newScript("a")
		s.lease = func(string, time.Time) (*lease.Lease, error) { runtime.Goexit(); return nil, nil }
		soon(t, func() {
			l, err := lease.NewLocker(s).ObtainLease(for30s("w1"))
			assert.Nil(t, l)
			assert.Error(t, err)
		})
	})
}

// Number 13.

func TestADurationOfOver100YearsIsRefused(t *testing.T) {
	const years = 100 * 365 * 24 * time.Hour
	f := newFixture(t, "a")
	locker := lease.NewLocker(f.LockStore)
	for _, d := range []time.Duration{years + 1, 1 << 62, math.MaxInt64} {
		for _, call := range []func() error{
			func() error { _, err := locker.ObtainLease(worker{"w1", d}); return err },
			func() error {
				_, err := locker.WaitUntilLeaseObtainedWithContext(within(t, time.Second), worker{"w1", d}, time.Second)
				return err
			},
			func() error { _, err := f.Lease("a", worker{"w1", d}, time.Now().Add(time.Minute)); return err },
			func() error {
				return locker.HeartbeatWithContext(within(t, time.Second), &lease.Lease{LeaseID: "a", Request: worker{"w1", d}}, time.Millisecond)
			},
		} {
			assert.ErrorContains(t, call(), "100 years")
		}
	}
	assert.Zero(t, f.count())
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		locker := lease.NewLocker(s)
		l, err := locker.ObtainLease(worker{"w1", years})
		require.NoError(t, err)
		assert.Equal(t, years/10*9, l.Remaining())
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		assert.ErrorIs(t, locker.HeartbeatWithContext(ctx, l, 3*time.Second), context.DeadlineExceeded)
		assert.Len(t, s.beats(), 3)
	})
}

func TestADurationThatGrowsTooLongDoesNotMakeAHeartbeatSpin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript("a")
		locker := lease.NewLocker(s)
		r := newMutable("w1", 9*time.Second)
		l, err := locker.ObtainLease(r)
		require.NoError(t, err)
		r.duration.Store(1 << 62)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		assert.ErrorIs(t, locker.HeartbeatWithContext(ctx, l, 3*time.Second), context.DeadlineExceeded)
		assert.Len(t, s.beats(), 3)
		assert.Equal(t, 7100*time.Millisecond, l.Remaining(), "the duration that it had")
	})
}

// Number 15.

func TestARenewalThatReturnsNothingIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, locker, l := beating(t)
		s.lease = func(string, time.Time) (*lease.Lease, error) { return nil, nil }
		err := locker.Heartbeat(l, 3*time.Second)
		assert.ErrorContains(t, err, `neither a lease of "a" nor an error`)
		assert.Equal(t, 5100*time.Millisecond, l.Remaining(), "it isn't renewed")
	})
}

// Number 16.

func TestAReleaseTakesTenSecondsAtMost(t *testing.T) {
	for _, mode := range []string{"hang", "freeze"} {
		t.Run(mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := newImagined(t)
				defer close(i.thaw)
				locker := lease.NewLocker(i.LockStore)
				l, err := locker.ObtainLease(worker{"w1", time.Hour})
				require.NoError(t, err)
				ends := l.Until.Round(0).Format("15:04:05")
				time.Sleep(time.Minute)
				i.mode.Store(mode)
				start := time.Now()
				soon(t, func() {
					err := locker.ReleaseLease(l)
					assert.ErrorIs(t, err, context.DeadlineExceeded)
					assert.ErrorContains(t, err, ends)
				})
				assert.Equal(t, 10*time.Second, time.Since(start))
			})
		})
		t.Run(mode+", Hold", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				logger := record(t)
				i := newImagined(t)
				defer close(i.thaw)
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				var start time.Time
				var ends string
				soon(t, func() {
					err := lease.NewLocker(i.LockStore).Hold(ctx, worker{"w1", time.Hour}, func(leased context.Context, l *lease.Lease) error {
						ends = l.Until.Round(0).Format("15:04:05")
						i.mode.Store(mode)
						start = time.Now()
						cancel()
						<-leased.Done()
						return leased.Err()
					})
					assert.True(t, err == context.Canceled, "got %v", err)
				})
				assert.Equal(t, 10*time.Second, time.Since(start))
				errs := logger.named("AWS Error")
				require.Len(t, errs, 1)
				assert.Contains(t, fmt.Sprint(errs[0].keyvals), ends, "it says until when the row stays leased")
			})
		})
	}
}

// Number 17.

func TestASecondReleaseOfWhatCannotBeReleasedSaysSoToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, locker, l := beating(t)
		ends := l.Until.Round(0).Format("15:04:05")
		for range 2 {
			err := locker.ReleaseLease(l)
			assert.ErrorIs(t, err, lease.ReleaseUnsupportedError)
			assert.ErrorContains(t, err, `"a"`)
			assert.ErrorContains(t, err, ends, "when the item will be free")
			assert.NotContains(t, err.Error(), "adapter")
			assert.NotContains(t, err.Error(), "struct")
			time.Sleep(time.Second)
		}
		assert.Len(t, s.beats(), 0)
		assert.False(t, l.Valid())
	})
	synctest.Test(t, func(t *testing.T) {
		locker := lease.NewLocker(struct{ pairOfMethods }{newScript("a")})
		l, err := locker.ObtainLease(for30s("w1"))
		require.NoError(t, err)
		ends := l.Until.Round(0).Format("15:04:05")
		require.ErrorIs(t, locker.ReleaseLease(l), lease.ReleaseUnsupportedError)
		time.Sleep(31 * time.Second)
		if err := locker.ReleaseLease(l); err != nil { // It isn't held any more.
			assert.NotRegexp(t, "(stays leased until|ends at).*"+ends, err.Error(), "that is past")
		}
	})
}

func TestANilPointerOfAnEmbedderIsAnError(t *testing.T) {
	assert.NotPanics(t, func() {
		locker := lease.NewLocker((*embedder)(nil))
		_, err := locker.ObtainLease(for30s("w1"))
		assert.ErrorContains(t, err, "nil")
		assert.Error(t, locker.ReleaseLease(&lease.Lease{LeaseID: "a", Request: for30s("w1")}))
		_, err = lease.NewLocker((*script)(nil)).ObtainLease(for30s("w1"))
		assert.ErrorContains(t, err, "nil")
	})
}

func TestAClientThatWasNotMadeByNewIsAClearError(t *testing.T) {
	assert.NotPanics(t, func() {
		store := lease.NewLockStore(&dynamodb.DynamoDB{}, "leases", "id")
		_, err := store.ListLeaseIDs()
		assert.ErrorContains(t, err, "dynamodb.New")
		_, err = lease.NewLocker(store).ObtainLease(for30s("w1"))
		assert.ErrorContains(t, err, "dynamodb.New")
	})
}

func TestAStartKeyThatIsNoUTF8SendsNothing(t *testing.T) {
	f := newFixture(t, "a")
	_, _, err := f.ScanLeaseItems("\xff", 0)
	assert.ErrorContains(t, err, "UTF-8")
	assert.Zero(t, f.count())
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

func TestALoggerMayReleaseWhatWasReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newImagined(t)
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

func TestManyContextsOfALiteralTakeNoMemory(t *testing.T) {
	l := &lease.Lease{LeaseID: "a", Request: for30s("w1"), Until: time.Now().Add(time.Hour)}
	first := l.Context()
	inUse := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := inUse()
	for range 100_000 {
		if l.Context() != first {
			t.Fatal("another context")
		}
	}
	assert.Less(t, inUse()-before, int64(1<<20))
	runtime.KeepAlive(l)
}

// Section 1.

func TestTenGoroutinesOfOneNameGetTenItemsAndKeepThem(t *testing.T) {
	logger := record(t)
	var ids []string
	for i := range 10 {
		ids = append(ids, fmt.Sprint("item", i))
	}
	f := newFixture(t, ids...)
	locker := lease.NewLocker(f.LockStore)
	ctx, stop := context.WithTimeout(context.Background(), 4*time.Second)
	defer stop()
	var mu sync.Mutex
	var got []string
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			for ctx.Err() == nil {
				l, err := locker.WaitUntilLeaseObtainedWithContext(ctx, worker{"w1", 6 * time.Second}, 100*time.Millisecond)
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
	l, err := locker.ObtainLease(worker{"w1", 6 * time.Second})
	assert.True(t, err == lease.LeaseNotObtainedError, "an eleventh got %v", l)
	all.Wait()
	assert.ElementsMatch(t, ids, got)
	assert.Len(t, logger.named("Obtained Lease"), 10)
	assert.LessOrEqual(t, f.count(), 33+10*4+1, "obtains, renewals, and the eleventh's look")
	t.Logf("%d requests, %d of them refused", f.count(), f.refusals())
}

func TestFourHoldsOnFourOwnRowsKeepTheirs(t *testing.T) {
	f := newFixture(t)
	for round := range 50 {
		ids := []string{"a", "b", "c", "d"}
		for _, id := range ids {
			f.put(f.held(id, "w1", time.Now().Add(time.Minute))) // as the process before left them
		}
		locker := lease.NewLocker(f.store())
		var inside sync.WaitGroup
		inside.Add(len(ids))
		var mu sync.Mutex
		var got []string
		var all sync.WaitGroup
		for range ids {
			all.Go(func() {
				soon(t, func() {
					err := locker.Hold(context.Background(), worker{"w1", 5 * time.Second}, func(ctx context.Context, l *lease.Lease) error {
						mu.Lock()
						got = append(got, l.LeaseID)
						mu.Unlock()
						inside.Done()
						inside.Wait()
						return ctx.Err()
					})
					assert.NoError(t, err)
				})
			})
		}
		all.Wait()
		if !assert.ElementsMatch(t, ids, got, "round %d", round) {
			return
		}
	}
}

func TestWhoObtainsAnewWithoutAHeartbeatGetsItsRowBack(t *testing.T) {
	f := newFixture(t, "a")
	f.put(f.held("b", "other", time.Now().Add(time.Minute)))
	for _, locker := range []*lease.Locker{lease.NewLocker(f.LockStore), lease.NewLocker(&embedder{LockStore: f.store()})} {
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

func TestARestartedWorkerGetsItsOwnRowsBeforeOthers(t *testing.T) {
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

// TestWhatASiblingObtainedMeanwhileComesLast: after the look that showed it free, or during a write that then
// was refused.
func TestWhatASiblingObtainedMeanwhileComesLast(t *testing.T) {
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

// Section 2.

func TestAnEmbeddersErrorsAreLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger := record(t)
		i := newImagined(t)
		locker := lease.NewLocker(&embedder{LockStore: i.LockStore})
		i.mode.Store("throttle")
		_, err := locker.ObtainLease(worker{"w1", 9 * time.Second})
		require.Error(t, err)
		assert.Len(t, logger.named("AWS Error"), 1, "the look's")

		i.mode.Store("")
		l, err := locker.ObtainLease(worker{"w1", 9 * time.Second})
		require.NoError(t, err)
		i.reset()
		i.mode.Store("throttle")
		assert.ErrorIs(t, locker.Heartbeat(l, 3*time.Second), lease.LeaseLostError)
		assert.Greater(t, i.count(), 3)
		assert.Len(t, logger.named("AWS Error"), 1+i.count(), "the renewals'")
	})
}

func TestAHungStoreOfTwoMethodsHoldsUpNoContext(t *testing.T) {
	for _, method := range []string{"Lease", "ListLeaseIDs"} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScript("a")
				lifted := make(chan struct{})
				defer close(lifted)
				if method == "Lease" {
					s.lease = func(string, time.Time) (*lease.Lease, error) { <-lifted; return &lease.Lease{}, nil }
				} else {
					s.ids = func() ([]string, error) { <-lifted; return nil, nil }
				}
				locker := lease.NewLocker(s)
				for _, call := range []func(ctx context.Context) (*lease.Lease, error){
					func(ctx context.Context) (*lease.Lease, error) {
						return locker.ObtainLeaseWithContext(ctx, for30s("w1"))
					},
					func(ctx context.Context) (*lease.Lease, error) {
						return locker.WaitUntilLeaseObtainedWithContext(ctx, for30s("w1"), time.Second)
					},
				} {
					start := time.Now()
					ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
					soon(t, func() {
						l, err := call(ctx)
						assert.Nil(t, l)
						assert.ErrorIs(t, err, context.DeadlineExceeded)
					})
					assert.Equal(t, 5*time.Second, time.Since(start))
					cancel()
				}
			})
		})
	}
}

// Section 3.

func TestAStoresFirstLeaseOfAnEndedRowIsOneScanAndOneWrite(t *testing.T) {
	f := newFixture(t)
	f.put(f.held("a", "dead", time.Now().Add(-time.Second)))
	f.reset()
	_, err := f.store().Lease("a", for30s("w1"), time.Now().Add(time.Minute))
	require.NoError(t, err)
	assert.Equal(t, 1, f.count("Scan"))
	assert.Equal(t, 1, f.count("UpdateItem"))
	assert.Equal(t, 2, f.count())
	assert.Zero(t, f.refusals())
}

func TestAnEmptyTableThatDoesNotFitSaysSo(t *testing.T) {
	for key, says := range map[string]string{"other:S": `hash key "other"; want "id"`, "id:N": `hash key "id" of type N`, "id:B": `hash key "id" of type B`} {
		t.Run(key, func(t *testing.T) {
			f := newFixtureOn(t, ddblocal.ForTest(t).Endpoint, "id")
			f.createTable(key)
			ids, err := f.ListLeaseIDs()
			assert.ErrorContains(t, err, says)
			assert.Empty(t, ids)
			locker := lease.NewLocker(f.LockStore)
			_, err = locker.ObtainLease(for30s("w1"))
			assert.ErrorContains(t, err, says)
			logger := record(t)
			soon(t, func() { assert.Nil(t, locker.WaitUntilLeaseObtained(for30s("w1"), time.Second)) })
			errs := slices.DeleteFunc(logger.events, func(e event) bool { return e.level != "error" })
			require.Len(t, errs, 1)
			assert.ErrorContains(t, errs[0].keyvals["error"].(error), says)
		})
	}
}

func TestAnEmptyTableThatFitsIsDescribedOnce(t *testing.T) {
	f := newFixture(t)
	for range 3 {
		ids, err := f.ListLeaseIDs()
		require.NoError(t, err)
		assert.Empty(t, ids)
		_, err = lease.NewLocker(f.LockStore).ObtainLease(for30s("w1"))
		assert.True(t, err == lease.LeaseNotObtainedError, "got %v", err)
	}
	assert.Equal(t, 1, f.count("DescribeTable"))
	assert.Equal(t, 7, f.count())
}
