package lease_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

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
