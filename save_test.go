package lease_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

func TestSaveAttributesIsOneGuardedRequest(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.put(row{"id": str("a"), "LeaseUntil": num(0), "Old": str("x"), "Kept": str("y")})
	l, err := f.Lease("a", for30s("w"), time.Now().Add(30*time.Second))
	require.NoError(t, err)
	want := f.get("a")
	f.reset()
	saved := row{"Cursor": num(41), "Name": str("a reserved word"), "Old": nil, "a.b-c": str("")}
	require.NoError(t, f.SaveAttributes(t.Context(), l, saved))
	assert.Equal(t, 1, f.count())
	delete(want, "Old")
	want["Cursor"], want["Name"], want["a.b-c"] = num(41), str("a reserved word"), str("")
	want["LeaseUntil"] = num(l.Until.UnixNano() + 1)
	assert.Equal(t, want, f.get("a"))

	f.reset()
	require.NoError(t, f.SaveAttributes(t.Context(), l, nil))
	for _, name := range []string{"id", "ProcessID", "LeaseUntil", "FencingToken", "WantedBy", "WantedUntil", ""} {
		err := f.SaveAttributes(t.Context(), l, row{name: str("x"), "Cursor": num(42)})
		assert.ErrorContains(t, err, fmt.Sprintf("%q", cmp.Or(name, "a")))
	}
	withoutToken := &lease.Lease{LeaseID: "a", Request: for30s("w")}
	assert.ErrorContains(t, f.SaveAttributes(t.Context(), withoutToken, row{"Cursor": num(42)}), "token")
	assert.Zero(t, f.count(), "what can't be good is not sent")

	err = f.SaveAttributes(t.Context(), l, row{"Large": str(strings.Repeat("x", 400<<10))})
	assert.ErrorContains(t, err, `UpdateItem of "a"`)
	assert.False(t, errors.Is(err, lease.LeaseLostError))
	assert.Equal(t, want, f.get("a"))
}

func TestSaveAttributesIsWhereTheNextHolderStarts(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	for i := range int64(3) {
		work := func(ctx context.Context, l *lease.Lease) error {
			if i > 0 {
				assert.Equal(t, num(i), l.AttributeValues["done"])
			}
			return f.SaveAttributes(ctx, l, row{"done": num(i + 1)})
		}
		err := lease.NewLocker(f.LockStore).Hold(t.Context(), for30s(fmt.Sprint("w", i)), work)
		require.NoError(t, err)
	}
}

func TestSaveAttributesOfATenureThatIsOverIsLost(t *testing.T) {
	t.Parallel()
	t.Run("expired", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			i := newImagined(t, 0)
			locker := lease.NewLocker(i.LockStore)
			l, err := locker.ObtainLease(for30s("w"))
			require.NoError(t, err)
			<-l.Context().Done()
			i.reset()
			assert.True(t, locker.SaveAttributes(t.Context(), l, row{"x": num(1)}) == lease.LeaseLostError)
			assert.True(t, i.SaveAttributes(t.Context(), l, row{"x": num(1)}) == lease.LeaseLostError)
			assert.Zero(t, i.count())
			assert.Zero(t, locker.Stats().FailedWrites)
		})
	})
	f := newFixture(t, "a")
	locker := lease.NewLocker(f.LockStore)
	l, err := locker.ObtainLease(for30s("w"))
	require.NoError(t, err)
	require.NoError(t, locker.ReleaseLease(l))
	f.reset()
	assert.True(t, locker.SaveAttributes(t.Context(), l, row{"x": num(1)}) == lease.LeaseLostError)
	assert.True(t, f.SaveAttributes(t.Context(), l, row{"x": num(1)}) == lease.LeaseLostError)
	assert.Zero(t, f.count())

	bare, err := f.Lease("a", for30s("w"), time.Now().Add(30*time.Second))
	require.NoError(t, err)
	_, err = f.Lease("a", for30s("w"), time.Now().Add(40*time.Second))
	require.NoError(t, err)
	err = f.SaveAttributes(t.Context(), bare, row{"x": num(1)})
	assert.True(t, err == lease.LeaseLostError, "there is a newer tenure of the name, got %v", err)
	assert.NotContains(t, f.get("a"), "x")
}

func TestSaveAttributesBeginsNoTenure(t *testing.T) {
	t.Parallel()
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

func TestSaveAttributesOnAStoreThatHasSentNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l, err := f.Lease("a", for30s("w"), time.Now().Add(30*time.Second))
	require.NoError(t, err)
	fresh, m := f.through(nil), &meter{requests: make(map[string]int)}
	m.attach(fresh.DynamoDB)
	require.NoError(t, fresh.SaveAttributes(t.Context(), l, nil))
	assert.ErrorContains(t, fresh.SaveAttributes(t.Context(), l, row{"ProcessID": str("x")}), "ProcessID")
	assert.Zero(t, m.count())
	literal := &lease.Lease{LeaseID: "a", Request: for30s("w"), AttributeValues: row{"FencingToken": num(1)}}
	other := f.through(nil)
	require.NoError(t, other.SaveAttributes(t.Context(), literal, row{"x": num(1)}))
	require.NoError(t, other.SaveAttributes(t.Context(), literal, row{"x": nil}))
	many := make(row)
	for i := range 250 {
		many[fmt.Sprintf("an attribute with a name of its own, number %d", i)] = num(int64(i))
	}
	require.NoError(t, fresh.SaveAttributes(t.Context(), l, many))
	assert.Equal(t, 1, m.count("Scan"), "it compares the time, and so learns it first")
	assert.Equal(t, 2, m.count())
	for name := range many {
		many[name] = nil
	}
	require.NoError(t, fresh.SaveAttributes(t.Context(), l, many))
	assert.Len(t, f.get("a"), 4)
}

func TestSaveAttributesOnAHostThatIsFastLearnsTheTimeFirst(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l, err := f.Lease("a", for30s("w"), time.Now().Add(time.Minute))
	require.NoError(t, err)
	fast := f.through(dated(5 * time.Minute))
	require.NoError(t, fast.SaveAttributes(t.Context(), l, row{"x": num(1)}))
	assert.Equal(t, num(1), f.get("a")["x"])
}

func TestSaveAttributesOnAStoreOfTwoMethodsIsUnsupported(t *testing.T) {
	t.Parallel()
	locker := lease.NewLocker(plainStore{leasetest.NewStore("a")})
	l, err := locker.ObtainLease(for30s("w"))
	require.NoError(t, err)
	assert.ErrorIs(t, locker.SaveAttributes(t.Context(), l, row{"x": num(1)}), errors.ErrUnsupported)
	assert.True(t, l.Valid())
	assert.Error(t, locker.SaveAttributes(t.Context(), nil, nil))
	assert.Error(t, locker.SaveAttributes(nil, l, nil)) //lint:ignore SA1012 what is tested
	assert.Error(t, (&lease.Locker{}).SaveAttributes(t.Context(), l, nil))
}

func TestSaveAttributesWhoseReplyIsLostIsSentAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l, err := f.Lease("a", for30s("w"), time.Now().Add(30*time.Second))
	require.NoError(t, err)
	s, m := f.metered(lossy("UpdateItem"))
	require.NoError(t, s.SaveAttributes(t.Context(), l, row{"x": num(1)}))
	assert.Equal(t, 2, m.count())
	assert.Equal(t, num(1), f.get("a")["x"])
}

func TestSaveAttributesThatArrivesLateUndoesNoLaterOne(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	store, late := f.taped()
	l, err := store.Lease("a", for30s("w"), time.Now().Add(30*time.Second)) // 0
	require.NoError(t, err)
	require.NoError(t, store.SaveAttributes(t.Context(), l, row{"x": num(1)})) // 1
	late.replay(t, 1)
	require.NoError(t, store.SaveAttributes(t.Context(), l, row{"x": num(2)})) // 2
	late.replay(t, 1)
	assert.Equal(t, num(2), f.get("a")["x"], "after a later save")
	require.NoError(t, store.ReleaseLease(l))
	late.replay(t, 2)
	_, err = f.Lease("a", for30s("w"), time.Now().Add(time.Minute))
	require.NoError(t, err)
	late.replay(t, 1)
	late.replay(t, 2)
	assert.Equal(t, num(2), f.get("a")["x"])
}

func TestSaveAttributesMovesTheEndToNoneThatAFailedRenewalAskedFor(t *testing.T) {
	t.Parallel()
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

// TestSaveAttributesAfterARenewalWhoseReplyWasLost: the row's end is later than any that a reply
// has shown.
func TestSaveAttributesAfterARenewalWhoseReplyWasLost(t *testing.T) {
	t.Parallel()
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

// A save that a renewal overtakes is not taken for one after a loss.
func TestSaveAttributesBesideRenewals(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l, err := f.Lease("a", for30s("w"), time.Now().Add(30*time.Second))
	require.NoError(t, err)
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for j := range 25 {
				assert.NoError(t, f.SaveAttributes(t.Context(), l, row{fmt.Sprint("x", i): num(int64(j))}))
				assert.NoError(t, f.RenewLease(l, time.Now().Add(30*time.Second)))
			}
		})
	}
	all.Wait()
	for i := range 4 {
		assert.Equal(t, num(24), f.get("a")[fmt.Sprint("x", i)])
	}
}

func TestSaveAttributesBesideARemovalOrAHandover(t *testing.T) {
	t.Parallel()
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
				removal := strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".DeleteItem")
				handover := bytes.Contains(bodyOf(r), []byte(":horizon"))
				if removal || handover {
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

func TestSaveAttributesThatHangsEndsWithTheTenureOrItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		locker := lease.NewLocker(store)
		l, err := locker.ObtainLease(for30s("w"))
		require.NoError(t, err)
		store.SetHang(true)
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("enough"))
		defer cancel()
		err = locker.SaveAttributes(ctx, l, row{"x": num(1)})
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, "enough")
		start := time.Now()
		assert.True(t, locker.SaveAttributes(t.Context(), l, row{"x": num(1)}) == lease.LeaseLostError)
		assert.Equal(t, 26*time.Second, time.Since(start))
		store.SetHang(false)
	})
}

func TestSaveAttributesByTheStoreEndsWithTheLockersTenure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newImagined(t, 10)
		start := time.Now()
		l, err := lease.NewLocker(i.LockStore).ObtainLease(for30s("w"))
		require.NoError(t, err)
		before := i.arrived.Load()
		i.mode.Store("reset")
		context.AfterFunc(l.Context(), func() { i.mode.Store("") })
		assert.True(t, i.SaveAttributes(t.Context(), l, row{"x": num(1)}) == lease.LeaseLostError)
		assert.Equal(t, 27*time.Second, time.Since(start))
		time.Sleep(time.Minute)
		assert.Equal(t, before, i.arrived.Load(), "nothing was written later")
	})
}

func TestSaveAttributesThatTheTenuresEndCutsOffIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		locker := lease.NewLocker(store)
		for _, isOwn := range []bool{false, true} {
			l, err := locker.ObtainLease(for30s("w"))
			require.NoError(t, err)
			ctx := t.Context()
			if isOwn {
				ctx = l.Context()
			}
			store.SetHang(true)
			start := time.Now()
			time.AfterFunc(time.Second, l.Discard)
			err = locker.SaveAttributes(ctx, l, row{"x": num(1)})
			assert.True(t, err == lease.LeaseLostError, "also under the lease's own context, got %v", err)
			assert.Equal(t, time.Second, time.Since(start))
			store.SetHang(false)
		}
	})
}

func TestSaveAttributesThatShowsALossEndsTheTenure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		locker := lease.NewLocker(store)
		l, err := locker.ObtainLease(for30s("w"))
		require.NoError(t, err)
		store.Steal("a", "thief", time.Minute)
		assert.True(t, locker.SaveAttributes(t.Context(), l, row{"x": num(1)}) == lease.LeaseLostError)
		assert.Equal(t, lease.LeaseLostError, context.Cause(l.Context()))
	})
}

// The store is left alone with what was to be saved, which the caller then changes.
func TestSaveAttributesLeavesTheAttributesToTheCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a")
		slow := delayed(store)
		goOn := make(chan struct{})
		slow.save = func() { <-goOn }
		locker := lease.NewLocker(slow)
		l, err := locker.ObtainLease(for30s("w"))
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		saved := row{"x": num(1), "gone": nil}
		assert.ErrorIs(t, locker.SaveAttributes(ctx, l, saved), context.DeadlineExceeded)
		*saved["x"].N = "2"
		saved["y"] = num(3)
		close(goOn)
		synctest.Wait()
		assert.Equal(t, num(1), rowOf(t, store, "a")["x"])
		assert.NotContains(t, rowOf(t, store, "a"), "y")
	})
}

// Work that has been told so by a save must not go on for a moment.
func TestSaveAttributesThatShowsTheLossHasEndedTheWorksContext(t *testing.T) {
	t.Parallel()
	for range 300 {
		store := leasetest.NewStore("a")
		locker := lease.NewLocker(store)
		_ = locker.Hold(t.Context(), for30s("w"), func(ctx context.Context, l *lease.Lease) error {
			store.Steal("a", "other", time.Minute)
			err := locker.SaveAttributes(ctx, l, row{"x": num(1)})
			assert.True(t, err == lease.LeaseLostError)
			assert.True(t, errors.Is(context.Cause(ctx), lease.LeaseLostError), "%v", context.Cause(ctx))
			return nil
		})
	}
}
