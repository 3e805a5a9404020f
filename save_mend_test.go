package lease_test

import (
	"bytes"
	"context"
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

// What a hostile user found in saves and stats.

func TestASaveMovesTheEndToNoneThatAFailedRenewalAskedFor(t *testing.T) {
	f := newFixture(t, "a")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	l, err := f.Lease("a", for30s("w"), time.Now().Add(30*time.Second))
	require.NoError(t, err)
	assert.ErrorIs(t, f.RenewLeaseWithContext(cancelled, l, time.Now().Add(10*time.Hour)), context.Canceled)
	require.NoError(t, f.SaveAttributes(t.Context(), l, row{"x": num(1)}))
	assert.Equal(t, num(l.Until.UnixNano()+1), f.get("a")["LeaseUntil"])
	require.NoError(t, f.ReleaseLease(l))

	l, err = f.Lease("a", worker{"w", time.Second}, time.Now().Add(time.Second))
	require.NoError(t, err)
	assert.ErrorIs(t, f.RenewLeaseWithContext(cancelled, l, time.Now().Add(time.Hour)), context.Canceled)
	time.Sleep(time.Until(l.Until) + 20*time.Millisecond)
	assert.True(t, f.SaveAttributes(t.Context(), l, row{"x": num(2)}) == lease.LeaseLostError)
	_, err = f.Lease("a", for30s("other"), time.Now().Add(30*time.Second))
	assert.NoError(t, err, "the item is free")
}

// TestASaveAfterARenewalWhoseReplyWasLost: the row's end is later than any that a reply has shown.
func TestASaveAfterARenewalWhoseReplyWasLost(t *testing.T) {
	f := newFixture(t, "a")
	l, err := f.Lease("a", for30s("w"), time.Now().Add(30*time.Second))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	s := f.through(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			renewal := bytes.Contains(bodyOf(r), []byte(`"SET #until = :until"`))
			resp, err := next.RoundTrip(r)
			if renewal {
				cancel()
				return nil, io.ErrUnexpectedEOF
			}
			return resp, err
		})
	})
	later := time.Now().Add(time.Hour)
	assert.Error(t, s.RenewLeaseWithContext(ctx, l, later))
	require.NoError(t, f.SaveAttributes(t.Context(), l, row{"x": num(1)}))
	assert.Equal(t, num(later.UnixNano()+1), f.get("a")["LeaseUntil"])
}

func TestTheContextOfAnotherLeaseThatIsLostIsNoLoss(t *testing.T) {
	lease.SetLogger(nil)
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a", "b")
		locker := lease.NewLocker(store)
		obtain := func() *lease.Lease {
			l, err := locker.ObtainLease(worker{"w", time.Hour})
			require.NoError(t, err)
			return l
		}
		lost, kept := obtain(), obtain()
		store.Steal(lost.LeaseID, "thief", time.Hour)
		assert.ErrorIs(t, locker.Heartbeat(lost, time.Second), lease.LeaseLostError)
		for name, call := range map[string]func() error{
			"SaveAttributes": func() error { return locker.SaveAttributes(lost.Context(), kept, row{"x": num(1)}) },
			"Heartbeat":      func() error { return locker.HeartbeatWithContext(lost.Context(), kept, time.Second) },
			"a hanging Heartbeat": func() error {
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(3*time.Second, func() { cancel(lease.LeaseExpiredError) })
				store.SetHang(true)
				defer store.SetHang(false)
				return locker.HeartbeatWithContext(ctx, kept, 2*time.Second)
			},
		} {
			err := call()
			assert.False(t, err == nil || err == lease.LeaseLostError, "%s: %v", name, err)
			assert.True(t, kept.Valid(), name)
			assert.EqualValues(t, 1, locker.Stats().Lost, name)
		}
		assert.False(t, locker.ReleaseLeaseWithContext(lost.Context(), kept) == lease.LeaseLostError)
		assert.NoError(t, locker.ReleaseLease(kept), "it was not lost")
		assert.EqualValues(t, 1, locker.Stats().Lost)
	})
}

func TestASaveByTheStoreEndsWithTheLockersTenure(t *testing.T) {
	f := newFixture(t, "a")
	var down atomic.Bool
	s := f.through(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			if down.Load() {
				return nil, io.ErrUnexpectedEOF
			}
			return next.RoundTrip(r)
		})
	})
	l, err := lease.NewLocker(s).ObtainLease(worker{"w", time.Second})
	require.NoError(t, err)
	down.Store(true)
	context.AfterFunc(l.Context(), func() { down.Store(false) })
	assert.True(t, s.SaveAttributes(t.Context(), l, row{"x": num(1)}) == lease.LeaseLostError)
	assert.NotContains(t, f.get("a"), "x")
}

func TestTheAttributesAreTheCallersAgainAfterASave(t *testing.T) { // -race sees it
	store := leasetest.NewStore("a")
	locker := lease.NewLocker(store)
	l, err := locker.ObtainLease(for30s("w"))
	require.NoError(t, err)
	saved := row{"x": num(0), "gone": nil}
	for i := range int64(500) {
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		_ = locker.SaveAttributes(ctx, l, saved)
		*saved["x"].N = strings.Repeat("1", int(i%9+1))
		saved["y"] = num(i)
	}
}

func TestASaveBesideARemovalOrAHandover(t *testing.T) {
	for name, end := range map[string]func(s *lease.LockStore, l *lease.Lease) error{
		"RemoveLease": func(s *lease.LockStore, l *lease.Lease) error { return s.RemoveLease(l) },
		"HandOverLease": func(s *lease.LockStore, l *lease.Lease) error {
			return s.HandOverLease(t.Context(), l, time.Now().Add(time.Minute))
		},
	} {
		f := newFixture(t, "a")
		arrived, goOn := make(chan struct{}), make(chan struct{})
		var once sync.Once
		s := f.through(func(next http.RoundTripper) http.RoundTripper {
			return roundTrip(func(r *http.Request) (*http.Response, error) {
				if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".DeleteItem") || bytes.Contains(bodyOf(r), []byte(":horizon")) {
					once.Do(func() { close(arrived); <-goOn })
				}
				return next.RoundTrip(r)
			})
		})
		l, err := s.Lease("a", for30s("w"), time.Now().Add(30*time.Second))
		require.NoError(t, err)
		items, _, err := f.ScanLeaseItems("", 0)
		require.NoError(t, err)
		require.NoError(t, f.WantLease(t.Context(), items[0], "other", time.Now().Add(time.Minute)))
		done := make(chan error)
		go func() { done <- end(s, l) }()
		<-arrived
		require.NoError(t, s.SaveAttributes(t.Context(), l, row{"x": num(1)}), name)
		close(goOn)
		assert.NoError(t, <-done, name)
		if name == "HandOverLease" {
			assert.Equal(t, str("other"), f.get("a")["ProcessID"], "reserved for who wants it")
		} else {
			assert.Empty(t, f.get("a"))
		}
	}
}

func TestASaveBeginsNoTenure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		locker, other := lease.NewLocker(store), lease.NewLocker(store)
		theirs, err := other.ObtainLease(for30s("w"))
		require.NoError(t, err)
		for _, l := range []*lease.Lease{{LeaseID: "a", Request: for30s("w")}, theirs} {
			assert.ErrorContains(t, locker.SaveAttributes(t.Context(), l, row{"x": num(1)}), `lease of "a"`)
			assert.Equal(t, lease.LockerStats{}, locker.Stats())
		}
	})
}

func TestASaveThatItsTenuresEndCutsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		locker := lease.NewLocker(store)
		l, err := locker.ObtainLease(for30s("w"))
		require.NoError(t, err)
		store.SetHang(true)
		time.AfterFunc(time.Second, l.Discard)
		assert.True(t, locker.SaveAttributes(l.Context(), l, row{"x": num(1)}) == lease.LeaseLostError, "also under the lease's own context")
	})
}

func TestStatsOfAStoreOfTwoMethods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		store.Steal("a", "other", time.Hour)
		locker := lease.NewLocker(plainStore{store})
		for range 3 {
			_, err := locker.ObtainLease(for30s("w"))
			assert.True(t, err == lease.LeaseNotObtainedError)
		}
		assert.Zero(t, locker.Stats().RacesLost, "nobody raced")
	})
}

func TestARenewalBesideAReleaseIsNoFailedOne(t *testing.T) {
	store := leasetest.NewStore("a")
	for range 50 {
		locker := lease.NewLocker(&hooked{to: store, hook: func(context.Context, lease.LeaseItem) error { return nil }, renewed: (*lease.Lease).Discard})
		l, err := locker.ObtainLease(for30s("w"))
		require.NoError(t, err)
		assert.NoError(t, locker.Heartbeat(l, time.Millisecond))
		assert.Zero(t, locker.Stats().FailedRenewals)
		require.NoError(t, store.ReleaseLease(l))
	}
}

func bodyOf(r *http.Request) []byte {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body
}
