package lease_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
)

// The errors are large beside what a busy machine may be late: a reply that is late teaches the
// clock less exactly. How exactly is shown in clock_test.go.
func TestLockStoreClockThatIsWrongIsCorrected(t *testing.T) {
	for _, hostError := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(hostError.String(), func(t *testing.T) {
			logger := record(t)
			f := newFixture(t)
			server := func() time.Time { return time.Now().Add(-hostError) }
			f.put(f.held("live", "other", server().Add(10*time.Minute)))
			f.put(f.held("ended", "other", server().Add(-10*time.Minute)))
			f.put(f.held("free", "", time.Unix(0, 0)))

			// Also in the very first request, which knows nothing yet.
			store := f.through(dated(hostError))
			_, err := store.Lease("live", for30s("w1"), time.Now().Add(30*time.Second))
			assert.True(t, err == lease.LeaseNotObtainedError, "got %v", err)
			for _, id := range []string{"ended", "free"} {
				store = f.through(dated(hostError))
				until := time.Now().Add(30 * time.Second)
				l, err := store.Lease(id, for30s("w1"), until)
				require.NoError(t, err)
				written := func(until time.Time) {
					t.Helper()
					end := time.Unix(0, mustInt(t, f.get(id)["LeaseUntil"]))
					assert.WithinDuration(t, until.Add(-hostError), end, time.Minute)
				}
				written(until)
				assert.LessOrEqual(t, l.Remaining(), 27*time.Second)
				assert.Positive(t, l.Remaining())
				until = time.Now().Add(10 * time.Minute)
				require.NoError(t, store.RenewLease(l, until))
				written(until)
				if hostError < 0 { // A row that ends too late harms nobody; one that ends too soon would.
					until = time.Now().Add(20 * time.Minute)
					require.NoError(t, f.through(dated(hostError)).RenewLease(l, until))
					written(until)
				}
			}
			locker := lease.NewLocker(f.through(dated(hostError)))
			_, err = locker.ObtainLease(for30s("w2"))
			assert.True(t, err == lease.LeaseNotObtainedError, "got %v", err)

			require.NotEmpty(t, logger.named("Clock Corrected"))
			measured := logger.named("Clock Corrected")[0].keyvals["clock_error"].(time.Duration)
			assert.InDelta(t, hostError.Seconds(), measured.Seconds(), 60)
		})
	}
}

func TestLockStoreClockWithinASecondIsNotCorrected(t *testing.T) {
	for _, hostError := range []time.Duration{900 * time.Millisecond, -900 * time.Millisecond, 0} {
		logger := record(t)
		f := newFixture(t, "a")
		store := f.through(dated(hostError))
		until := time.Now().Add(30 * time.Second)
		l, err := store.Lease("a", for30s("w1"), until)
		require.NoError(t, err)
		assert.Equal(t, num(until.UnixNano()), f.get("a")["LeaseUntil"])
		for i := range 20 {
			until = until.Add(time.Duration(i))
			require.NoError(t, store.RenewLease(l, until))
			require.Equal(t, num(until.UnixNano()), f.get("a")["LeaseUntil"])
		}
		assert.Empty(t, logger.named("Clock Corrected"))
	}
}

func TestLockStoreClockStandsWithoutADate(t *testing.T) {
	t.Parallel()
	for _, header := range []string{"", "yesterday", "Thu, 01 Jan 1970 00:00:00 GMT"} {
		f := newFixture(t)
		f.put(f.held("live", "other", time.Now().Add(10*time.Minute)))
		f.put(f.held("ended", "other", time.Now().Add(-10*time.Minute)))
		store := f.through(func(next http.RoundTripper) http.RoundTripper {
			return roundTrip(func(r *http.Request) (*http.Response, error) {
				resp, err := next.RoundTrip(r)
				if err == nil {
					resp.Header.Set("Date", header)
				}
				return resp, err
			})
		})
		until := time.Now().Add(10 * time.Minute)
		_, err := store.Lease("ended", for30s("w1"), until)
		require.NoError(t, err)
		assert.Equal(t, num(until.UnixNano()), f.get("ended")["LeaseUntil"])
		_, err = store.Lease("live", for30s("w1"), until)
		assert.True(t, err == lease.LeaseNotObtainedError)
		f.put(f.held("ended", "other", time.Now().Add(-10*time.Minute)))
		assert.NoError(t, store.RemoveLeaseID("ended"))
		assert.ErrorIs(t, store.RemoveLeaseID("live"), lease.LeaseHeldError)
	}
}

func TestLockStoreClockOfOneWrongDateMakesNoSecondHolder(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.put(f.held("a", "other", time.Now().Add(30*time.Minute)))
	f.put(f.held("b", "other", time.Now().Add(30*time.Minute)))
	before := f.get("a")
	store, wrong := f.misdated()
	locker := lease.NewLocker(store)
	for range 3 {
		_, err := locker.ObtainLease(for30s("w1"))
		require.True(t, err == lease.LeaseNotObtainedError)
	}
	wrong.Store(int64(time.Hour))
	l, err := locker.ObtainLease(for30s("w1"))
	assert.True(t, err == lease.LeaseNotObtainedError, "it obtained %v (%v)", l, err)
	for _, ahead := range []time.Duration{0, time.Hour} { // They take turns, so no second one says the same.
		wrong.Store(int64(ahead))
		_, err = store.ListLeaseIDs()
		require.NoError(t, err)
	}
	_, err = store.Lease("a", for30s("w1"), time.Now().Add(30*time.Second))
	assert.True(t, err == lease.LeaseNotObtainedError, "got %v", err)
	assert.ErrorIs(t, store.RemoveLeaseID("a"), lease.LeaseHeldError)
	assert.Equal(t, before, f.get("a"))
}

func TestLockStoreClockOfAWrongDateCountsIfOthersRowsAreThenLongerHeld(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.put(f.held("a", "other", time.Now().Add(-20*time.Minute)))
	store, wrong := f.misdated()
	locker := lease.NewLocker(store)
	_, err := store.ListLeaseIDs()
	require.NoError(t, err)
	wrong.Store(-int64(time.Hour))
	_, err = locker.ObtainLease(for30s("w1"))
	assert.True(t, err == lease.LeaseNotObtainedError, "got %v", err)
	l, err := locker.ObtainLease(for30s("w1")) // whose Scan's reply agrees with the first
	require.NoError(t, err)
	assert.Equal(t, num(l.Until.UnixNano()), f.get("a")["LeaseUntil"])
}

func TestLockStoreClockForWritingIsTheEarlierAfterOneWrongDate(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a", "b")
	for id, ahead := range map[string]time.Duration{"a": time.Hour, "b": -time.Hour} {
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

func TestLockStoreClockOfTwoRepliesOfOneMindIsBelieved(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	store, wrong := f.misdated()
	_, err := store.ListLeaseIDs()
	require.NoError(t, err)
	for range 2 {
		wrong.Store(int64(time.Hour))
		_, err := store.ListLeaseIDs()
		require.NoError(t, err)
	}
	until := time.Now().Add(30 * time.Second)
	_, err = store.Lease("a", for30s("w1"), until)
	require.NoError(t, err)
	written := time.Unix(0, mustInt(t, f.get("a")["LeaseUntil"]))
	assert.WithinDuration(t, until.Add(time.Hour), written, time.Minute)
}

func TestLockStoreClockLearnsNothingOfARequestWithoutAReply(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newImagined(t, 0)
		until := time.Now().Add(30 * time.Second)
		i.mode.Store("reset")
		_, err := i.Lease("a", for30s("w1"), until)
		require.Error(t, err)
		i.mode.Store("")
		i.reset()
		_, err = i.Lease("a", for30s("w1"), until)
		require.NoError(t, err)
		assert.Equal(t, 1, i.count("Scan"), "to learn the time")
	})
}

func TestLockStoreClockMakesNothingOfASlowReply(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &wire{before: func(wireRequest) { time.Sleep(5 * time.Second) }} // and then it looks at its clock
		s := w.store(t)
		slow := s.DynamoDB.Client.Config.HTTPClient.Transport
		s.DynamoDB.Client.Config.HTTPClient.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			resp, err := slow.RoundTrip(r)
			time.Sleep(5 * time.Second)
			return resp, err
		})
		until := time.Now().Add(30 * time.Second)
		_, err := s.Lease("alice", for30s("w1"), until)
		require.NoError(t, err)
		assert.Equal(t, fmt.Sprint(until.UnixNano()), w.last().ExpressionAttributeValues[":until"]["N"])
	})
}

// stepped returns a store on the fixture's table, of a host whose clock has become so wrong by a
// step while its first request was under way, which is over.
func (f *fixture) stepped(hostError time.Duration) (*lease.LockStore, *meter) {
	f.tb.Helper()
	store, m := f.through(dated(hostError)), &meter{requests: make(map[string]int)}
	m.attach(store.DynamoDB)
	var isOver atomic.Bool
	store.Handlers.Complete.PushBack(func(r *request.Request) {
		if !isOver.Swap(true) {
			r.AttemptTime = lease.Slept(r.AttemptTime, -hostError)
		}
	})
	_, err := store.ListLeaseIDs()
	require.NoError(f.tb, err)
	m.reset()
	return store, m
}

func TestLockStoreClockIsLearntAgainAfterAStepDuringARequest(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, hostError := range []time.Duration{5 * time.Minute, -5 * time.Minute} {
		f := newFixture(t, "free", "mine", "given")
		server := func() time.Time { return time.Now().Add(-hostError) }
		in1m := func() time.Time { return time.Now().Add(time.Minute) }
		f.put(f.held("live", "other", server().Add(2*time.Minute)))
		sane := f.through(dated(hostError))
		mine, err := sane.Lease("mine", worker{"w1", time.Minute}, in1m())
		require.NoError(t, err)
		given, err := sane.Lease("given", worker{"w1", time.Minute}, in1m())
		require.NoError(t, err)
		seen := lease.LeaseItem{LeaseID: "live", LesseeID: "other", LeaseUntil: mustInt(t, f.get("live")["LeaseUntil"])}
		ends := func(id, attribute string) {
			t.Helper()
			end := time.Unix(0, mustInt(t, f.get(id)[attribute]))
			assert.WithinDuration(t, server().Add(time.Minute), end, 30*time.Second, id)
		}
		for _, c := range []struct {
			name string
			call func(*lease.LockStore)
		}{
			{"Lease of a live one", func(s *lease.LockStore) {
				_, err := s.Lease("live", for30s("w1"), in1m())
				assert.True(t, err == lease.LeaseNotObtainedError, "got %v", err)
			}},
			{"Lease", func(s *lease.LockStore) {
				_, err := s.Lease("free", for30s("w1"), in1m())
				assert.NoError(t, err)
				ends("free", "LeaseUntil")
			}},
			{"LeaseAsSeen", func(s *lease.LockStore) {
				_, err := s.LeaseAsSeen(ctx, seen, nil, for30s("w1"), in1m())
				assert.True(t, err == lease.LeaseNotObtainedError, "got %v", err)
			}},
			{"SaveAttributes", func(s *lease.LockStore) {
				assert.NoError(t, s.SaveAttributes(ctx, mine, row{"x": num(1)}))
			}},
			{"RenewLease", func(s *lease.LockStore) {
				assert.NoError(t, s.RenewLease(mine, in1m()))
				ends("mine", "LeaseUntil")
			}},
			{"WantLease", func(s *lease.LockStore) {
				assert.NoError(t, s.WantLease(ctx, seen, "w1", in1m()))
				ends("live", "WantedUntil")
			}},
			{"WithdrawWish", func(s *lease.LockStore) {
				_, err := s.WithdrawWish(ctx, seen, "w1", in1m())
				assert.NoError(t, err)
				assert.NotContains(t, f.get("live"), "WantedUntil")
			}},
			{"HandOverLease", func(s *lease.LockStore) {
				seen, err := sane.ParseLeaseItem(f.get("given"))
				require.NoError(t, err)
				require.NoError(t, sane.WantLease(ctx, seen, "w2", in1m()))
				assert.NoError(t, s.HandOverLease(ctx, given, in1m()))
				assert.Equal(t, str("w2"), f.get("given")["ProcessID"])
				ends("given", "LeaseUntil")
			}},
			{"AddLeaseID", func(s *lease.LockStore) {
				assert.NoError(t, s.AddLeaseID("new", nil))
				token := time.UnixMilli(mustInt(t, f.get("new")["FencingToken"]))
				assert.WithinDuration(t, server(), token, 30*time.Second)
			}},
			{"RemoveLeaseID", func(s *lease.LockStore) {
				assert.ErrorIs(t, s.RemoveLeaseID("live"), lease.LeaseHeldError)
			}},
		} {
			store, m := f.stepped(hostError)
			c.call(store)
			assert.Equal(t, 1, m.count("Scan"), "%s on a host that is %v ahead", c.name, hostError)
			assert.LessOrEqual(t, m.count(), 3, c.name)
		}
	}
}

// A page whose request spans a step is read by the clock that the next reply teaches.
func TestLockStoreClockIsLearntForAPageThatSpansAStep(t *testing.T) {
	t.Parallel()
	const hostError = 5 * time.Minute
	f := newFixture(t)
	f.put(f.held("live", "other", time.Now().Add(-hostError).Add(2*time.Minute)))
	store := f.through(dated(hostError))
	var isOver atomic.Bool
	store.Handlers.Complete.PushBack(func(r *request.Request) {
		if !isOver.Swap(true) {
			r.AttemptTime = lease.Slept(r.AttemptTime, -hostError)
		}
	})
	items, _, err := store.ScanLeaseItems("", 0)
	require.NoError(t, err)
	require.Len(t, items, 1)
	assert.WithinDuration(t, time.Now().Add(2*time.Minute), items[0].Until, 30*time.Second)
}

func TestLockStoreClockThatIsSteppedDuringEachRequestIsAnError(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	store := f.through(nil)
	store.Handlers.Complete.PushBack(func(r *request.Request) {
		r.AttemptTime = lease.Slept(r.AttemptTime, time.Minute)
	})
	_, err := store.Lease("a", for30s("w1"), time.Now().Add(30*time.Second))
	assert.ErrorContains(t, err, "clock")
	assert.ErrorContains(t, err, f.table)
	assert.NotContains(t, f.get("a"), "ProcessID")
}

// A lease whose first try spans a step, and is to be sent once more, learns in between.
func TestLockStoreClockIsLearntBetweenTheTriesOfALease(t *testing.T) {
	t.Parallel()
	const hostError = -5 * time.Minute
	f := newFixture(t)
	f.put(f.held("a", "w1", time.Now().Add(-hostError).Add(time.Hour)))
	store, m := f.stepped(hostError)
	var isOver atomic.Bool
	store.Handlers.Complete.PushBack(func(r *request.Request) {
		if r.Operation.Name == "UpdateItem" && !isOver.Swap(true) {
			r.AttemptTime = lease.Slept(r.AttemptTime, -hostError)
		}
	})
	_, err := store.Lease("a", for30s("w1"), time.Now().Add(time.Minute)) // shortens it
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now().Add(-hostError).Add(time.Minute), f.ends(t), 30*time.Second)
	assert.Equal(t, 1, m.count("Scan"))
	assert.Equal(t, 2, m.count("UpdateItem"))
}

// A proxy's answer has no request ID of DynamoDB's, and a Date of another clock.
func TestLockStoreClockIsNotThatOfAProxy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ before, answers int }{
		"as the first reply": {0, 1},
		"twice":              {1, 2},
		"often":              {1, 10},
	} {
		f := newFixture(t)
		f.put(f.held("live", "other", time.Now().Add(5*time.Minute)))
		var left atomic.Int32
		ddb, _ := newClient(t, f.ddb.Endpoint, func(next http.RoundTripper) http.RoundTripper {
			return roundTrip(func(r *http.Request) (*http.Response, error) {
				if left.Add(-1) < 0 {
					return next.RoundTrip(r)
				}
				fast := time.Now().Add(10 * time.Minute).UTC().Format(http.TimeFormat)
				return &http.Response{
					StatusCode: http.StatusServiceUnavailable,
					Header:     http.Header{"Date": {fast}},
					Body:       jsonBody("no server is available"),
				}, nil
			})
		}, &aws.Config{MaxRetries: aws.Int(0)})
		store := lease.NewLockStore(ddb, f.table, f.key)
		for range c.before {
			_, err := store.ListLeaseIDs()
			require.NoError(t, err)
		}
		left.Store(int32(c.answers))
		for range c.answers {
			_, err := store.ListLeaseIDs()
			require.Error(t, err)
		}
		_, err := store.Lease("live", for30s("w1"), time.Now().Add(30*time.Second))
		assert.True(t, err == lease.LeaseNotObtainedError, "%s: got %v", name, err)
		assert.ErrorIs(t, store.RemoveLeaseID("live"), lease.LeaseHeldError, name)
	}
}

// What imitates DynamoDB and gives no request IDs teaches nothing; the host's clock stands.
func TestLockStoreClockStandsWithoutRequestIDs(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	store, m := f.metered(func(next http.RoundTripper) http.RoundTripper {
		return dated(time.Hour)(roundTrip(func(r *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if err == nil {
				resp.Header.Del("X-Amzn-Requestid")
			}
			return resp, err
		}))
	})
	until := time.Now().Add(30 * time.Second)
	_, err := store.Lease("a", for30s("w1"), until)
	require.NoError(t, err)
	assert.Equal(t, num(until.UnixNano()), f.get("a")["LeaseUntil"])
	assert.Equal(t, 1, m.count(), "no write is preceded by a scan for that")
}

// A takeover is bound to the end that was seen: who holds the item since is out of reach, however
// wrong a clock is.
func TestLockStoreTakeoverIsBoundToTheEndThatWasSeen(t *testing.T) {
	t.Parallel()
	now := time.Now()
	at := func(d time.Duration) *int64 {
		end := now.Add(d).UnixNano()
		return &end
	}
	for name, c := range map[string]struct {
		row   row
		taken bool
	}{
		"as it was seen":           {row{"ProcessID": str("w2"), "LeaseUntil": num(*at(-2 * time.Second))}, true},
		"with a fraction":          {row{"ProcessID": str("w2"), "LeaseUntil": {N: aws.String(strings.TrimSpace(*num(*at(-2 * time.Second)).N) + ".5")}}, true},
		"released since":           {row{"LeaseUntil": num(0)}, true},
		"without an end":           {row{}, true},
		"renewed, and ended since": {row{"ProcessID": str("w2"), "LeaseUntil": num(*at(-time.Second))}, false},
		"renewed":                  {row{"ProcessID": str("w2"), "LeaseUntil": num(*at(time.Minute))}, false},
		"own, ended later":         {row{"ProcessID": str("w1"), "LeaseUntil": num(*at(-time.Second))}, true},
	} {
		f := newFixture(t)
		r := c.row
		r["id"] = str("a")
		r["FencingToken"] = num(7)
		f.put(r)
		seen := lease.LeaseItem{LeaseID: "a", LesseeID: "w2", FencingToken: 7, LeaseUntil: *at(-2 * time.Second)}
		_, err := f.LeaseAsSeen(t.Context(), seen, nil, for30s("w1"), time.Now().Add(30*time.Second))
		if c.taken {
			assert.NoError(t, err, name)
		} else {
			assert.True(t, err == lease.LeaseNotObtainedError, "%s: got %v", name, err)
		}
	}
}
