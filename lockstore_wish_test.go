package lease_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
)

func TestLockStoreWishIsTwoAttributesAndOneRequest(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l, err := f.Lease("a", for30s("w1"), time.Now().Add(30*time.Second))
	require.NoError(t, err)
	want, seen, until := f.get("a"), f.seen(), time.Now().Add(25*time.Second)
	f.reset()
	require.NoError(t, f.WantLease(t.Context(), seen, "w2", until))
	assert.Equal(t, 1, f.count())
	want["WantedBy"], want["WantedUntil"] = str("w2"), num(until.UnixNano())
	assert.Equal(t, want, f.get("a"))
	assert.True(t, f.WantLease(t.Context(), seen, "w3", until) == lease.LeaseNotObtainedError, "it has a wish by now")
	assert.Equal(t, want, f.get("a"))

	seen = f.seen()
	assert.Equal(t, "w2", seen.WantedBy)
	assert.Equal(t, until.UnixNano(), seen.WantedUntil)
	require.NoError(t, f.WantLease(t.Context(), seen, "", until))
	want["WantedBy"] = str("")
	assert.Equal(t, want, f.get("a"))

	f.reset()
	for _, free := range []lease.LeaseItem{{LeaseID: "a"}, {LeaseID: "a", LesseeID: "w2", FencingToken: 1}} {
		assert.True(t, f.WantLease(t.Context(), free, "w2", until) == lease.LeaseNotObtainedError)
	}
	assert.Zero(t, f.count(), "what is known to fail is not sent")
	require.NoError(t, f.ReleaseLease(l))
	assert.Equal(t, row{"id": str("a"), "LeaseUntil": num(0), "FencingToken": num(1)}, f.get("a"))
}

func TestLockStoreWishForARowOfTheOriginals(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.put(row{"id": str("a"), "LeaseUntil": num(0)})
	require.NoError(t, f.original("a", "old", time.Now().Add(time.Minute)))
	until := time.Now().Add(25 * time.Second)
	require.NoError(t, f.WantLease(t.Context(), f.seen(), "w2", until))
	require.NoError(t, f.original("a", "old", time.Now().Add(2*time.Minute)), "it ignores the wish")
	assert.Equal(t, str("w2"), f.get("a")["WantedBy"])
}

// TestLockStoreWishThatMakesNoSenseIsNone: what isn't wished for by anybody can be wished for, and
// leased by its holder.
func TestLockStoreWishThatMakesNoSenseIsNone(t *testing.T) {
	t.Parallel()
	soon := time.Now().Add(25 * time.Second)
	for name, senseless := range map[string]row{
		"an end alone":    {"WantedUntil": num(soon.UnixNano())},
		"by a number":     {"WantedUntil": num(soon.UnixNano()), "WantedBy": num(7)},
		"until a text":    {"WantedUntil": str("soon"), "WantedBy": str("w2")},
		"without an end":  {"WantedBy": str("w2")},
		"until long past": {"WantedUntil": num(-7), "WantedBy": str("w2")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, "a")
			_, err := f.Lease("a", for30s("w1"), time.Now().Add(30*time.Second))
			require.NoError(t, err)
			spoil := func() {
				r := f.get("a")
				delete(r, "WantedBy")
				delete(r, "WantedUntil")
				maps.Copy(r, senseless)
				f.put(r)
			}
			spoil()
			seen := f.seen()
			assert.LessOrEqual(t, seen.WantedUntil, int64(0))
			require.NoError(t, f.WantLease(t.Context(), seen, "w3", soon))
			assert.Equal(t, str("w3"), f.get("a")["WantedBy"])

			spoil()
			f.reset()
			_, err = f.Lease("a", for30s("w1"), time.Now().Add(40*time.Second))
			require.NoError(t, err)
			assert.Equal(t, 1, f.count())
			assert.NotContains(t, f.get("a"), "WantedUntil")

			spoil()
			l, err := f.LeaseAsSeen(t.Context(), f.seen(), nil, for30s("w1"), time.Now().Add(50*time.Second))
			require.NoError(t, err)
			assert.NotContains(t, f.get("a"), "WantedUntil")

			spoil()
			require.NoError(t, f.HandOverLease(t.Context(), l, soon))
			assert.NotContains(t, f.get("a"), "ProcessID", "it is a release")
		})
	}
}

// TestLockStoreLeaseOfAnOwnItemKeepsAnothersWish: a wish that vanishes looks as if its holder heeded
// none. It costs a second write only where the wish wasn't seen.
func TestLockStoreLeaseOfAnOwnItemKeepsAnothersWish(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"w2", ""} {
		t.Run(fmt.Sprintf("by %q", by), func(t *testing.T) {
			f := newFixture(t, "a")
			_, err := f.Lease("a", worker{"w1", time.Minute}, time.Now().Add(time.Minute))
			require.NoError(t, err)
			unwanted := f.seen()
			until := time.Now().Add(40 * time.Second)
			require.NoError(t, f.WantLease(t.Context(), unwanted, by, until))
			keeps := func(what string, requests int, l *lease.Lease, err error) {
				t.Helper()
				require.NoError(t, err, what)
				assert.Equal(t, requests, f.count(), what)
				assert.Equal(t, str(by), f.get("a")["WantedBy"], what)
				assert.Equal(t, num(until.UnixNano()), f.get("a")["WantedUntil"], what)
				assert.Equal(t, num(l.FencingToken()), f.get("a")["FencingToken"], what)
			}
			seen := f.seen()
			f.reset()
			l, err := f.LeaseAsSeen(t.Context(), seen, nil, for30s("w1"), time.Now().Add(2*time.Minute))
			keeps("as seen", 1, l, err)
			f.reset()
			l, err = f.LeaseAsSeen(t.Context(), unwanted, nil, for30s("w1"), time.Now().Add(2*time.Minute))
			keeps("as seen before the wish", 2, l, err)
			f.reset()
			l, err = f.Lease("a", for30s("w1"), time.Now().Add(3*time.Minute))
			keeps("unseen", 2, l, err)
			assert.Equal(t, int64(4), l.FencingToken())

			f.pass("a")
			_, err = f.LeaseAsSeen(t.Context(), f.seen(), nil, for30s("w1"), time.Now().Add(time.Minute))
			require.NoError(t, err)
			assert.NotContains(t, f.get("a"), "WantedUntil", "one's own that has ended is any other row")
		})
	}
}

func TestLockStoreWithdrawalIsOneRequest(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l, wanted := f.wanted()
	seen := f.seen()
	f.reset()
	item, err := f.WithdrawWish(t.Context(), seen, "w2", wanted)
	require.NoError(t, err)
	assert.Equal(t, 1, f.count())
	assert.Equal(t, f.seen(), item)
	assert.NotContains(t, f.get("a"), "WantedBy")
	assert.NotContains(t, f.get("a"), "WantedUntil")
	assert.Equal(t, str("w1"), f.get("a")["ProcessID"])
	f.reset()
	_, err = f.WithdrawWish(t.Context(), seen, "w2", wanted)
	require.NoError(t, err, "again")
	assert.Equal(t, 1, f.count())

	require.NoError(t, f.WantLease(t.Context(), f.seen(), "w2", wanted))
	_, err = f.RenewLeaseItem(t.Context(), l, time.Now().Add(2*time.Minute), wanted.Add(time.Second))
	require.NoError(t, err)
	f.reset()
	item, err = f.WithdrawWish(t.Context(), seen, "w2", wanted)
	require.NoError(t, err)
	assert.Equal(t, 2, f.count(), "once more, as the holder has prolonged it")
	assert.Zero(t, item.WantedUntil)
	assert.NotContains(t, f.get("a"), "WantedUntil")
}

// TestLockStoreLateWithdrawalRemovesNoLaterWish: a duplicate of the request, which is bound to the wish's
// end, arrives after the same lessee wished again.
func TestLockStoreLateWithdrawalRemovesNoLaterWish(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	_, wanted := f.wanted()
	s, tape := f.taped()
	_, err := s.WithdrawWish(t.Context(), f.seen(), "w2", wanted)
	require.NoError(t, err)
	require.Len(t, tape.sent, 1)
	require.NoError(t, f.WantLease(t.Context(), f.seen(), "w2", wanted.Add(time.Second)))
	tape.replay(t, 0)
	assert.Equal(t, str("w2"), f.get("a")["WantedBy"])
}

func TestLockStoreWithdrawalAfterTheHandoverShowsTheReservation(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l, wanted := f.wanted()
	require.NoError(t, f.HandOverLease(t.Context(), l, time.Now().Add(20*time.Second)))
	f.reset()
	item, err := f.WithdrawWish(t.Context(), lease.LeaseItem{LeaseID: "a"}, "w2", wanted)
	assert.True(t, err == lease.LeaseNotObtainedError, "got %v", err)
	assert.Equal(t, 1, f.count())
	assert.Equal(t, f.seen(), item)
	assert.Equal(t, "w2", item.LesseeID)
	assert.NotZero(t, item.WantedUntil, "the wish stays")

	gone, err := f.WithdrawWish(t.Context(), lease.LeaseItem{LeaseID: "retired"}, "w2", wanted)
	require.NoError(t, err)
	assert.Equal(t, lease.LeaseItem{LeaseID: "retired", Weight: 1, Capacity: 1}, gone)
	assert.Nil(t, f.get("retired"), "it makes no row")
}

func TestLockStoreRenewalThatProlongsAWishIsOneRequest(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l, wanted := f.wanted()
	f.reset()
	until := time.Now().Add(time.Minute)
	item, err := f.RenewLeaseItem(t.Context(), l, until, wanted.Add(time.Second))
	require.NoError(t, err)
	assert.Equal(t, 1, f.count())
	assert.Equal(t, f.seen(), item)
	assert.Equal(t, wanted.Add(time.Second).UnixNano(), item.WantedUntil)

	_, err = f.WithdrawWish(t.Context(), item, "w2", wanted)
	require.NoError(t, err)
	f.reset()
	until = time.Now().Add(time.Minute)
	item, err = f.RenewLeaseItem(t.Context(), l, until, wanted)
	require.NoError(t, err)
	assert.Equal(t, 2, f.count(), "once more without the wish")
	assert.Zero(t, item.WantedUntil)
	assert.Equal(t, num(until.UnixNano()), f.get("a")["LeaseUntil"])
	assert.NotContains(t, f.get("a"), "WantedUntil")
}

func TestLockStoreHandoverIsOneRequest(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l, wanted := f.wanted()
	f.reset()
	until := time.Now().Add(20 * time.Second)
	require.NoError(t, f.HandOverLease(t.Context(), l, until))
	assert.Equal(t, 1, f.count())
	assert.Equal(t, row{"id": str("a"), "FencingToken": num(1), "ProcessID": str("w2"), "LeaseUntil": num(until.UnixNano()),
		"WantedBy": str("w2"), "WantedUntil": num(wanted.UnixNano())}, f.get("a"))
	require.Error(t, f.original("a", "old", time.Now().Add(time.Minute)), "to the original the row is held")
	f.reset()
	require.NoError(t, f.HandOverLease(t.Context(), l, until))
	assert.Equal(t, 1, f.count(), "again")

	l, err := f.LeaseAsSeen(t.Context(), f.seen(), nil, for30s("w2"), time.Now().Add(30*time.Second))
	require.NoError(t, err)
	assert.Equal(t, int64(2), l.FencingToken())
	assert.NotContains(t, f.get("a"), "WantedUntil")
	l, err = f.Lease("a", for30s("w2"), time.Now().Add(time.Minute)) // remembers no older process
	require.NoError(t, err)
	f.reset()
	require.NoError(t, f.HandOverLease(t.Context(), l, until))
	assert.Equal(t, 2, f.count(), "nobody wants it: a release")
	assert.Equal(t, row{"id": str("a"), "LeaseUntil": num(0), "FencingToken": num(3)}, f.get("a"))
}

func TestLockStoreHandoverBeforeAnOlderProcessIsPastIsOneRelease(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	older, err := f.Lease("a", for30s("w1"), time.Now().Add(time.Minute))
	require.NoError(t, err)
	l, err := f.store().LeaseAsSeen(t.Context(), f.seen(), nil, for30s("w1"), time.Now().Add(30*time.Second))
	require.NoError(t, err)
	require.NoError(t, f.WantLease(t.Context(), f.seen(), "w2", time.Now().Add(25*time.Second)))
	f.reset()
	require.NoError(t, f.HandOverLease(t.Context(), l, time.Now().Add(20*time.Second)))
	assert.Equal(t, 1, f.count())
	assert.Equal(t, row{"id": str("a"), "LeaseUntil": num(older.Until.UnixNano()), "FencingToken": num(2)}, f.get("a"))
}

func TestLockStoreHandoverIsOneOnceAnOlderProcessIsPast(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		at   time.Duration // of the handover, after the older process's end
		want string
	}{
		"before its end": {-time.Second, "SET #until = :rest REMOVE #holder, #wantedBy, #wantedUntil, #capacity"},
		"at its end":     {0, "SET #until = :rest REMOVE #holder, #wantedBy, #wantedUntil, #capacity"},
		"after its end":  {1, "SET #holder = #wantedBy, #until = :end REMOVE #capacity"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{}
				s := w.store(t)
				end := time.Now().Add(30 * time.Second)
				older := lease.LeaseItem{LeaseID: "alice", LesseeID: "w1", LeaseUntil: end.UnixNano()}
				until := end.Add(time.Minute)
				l, err := s.LeaseAsSeen(t.Context(), older, nil, for30s("w1"), until)
				require.NoError(t, err)
				time.Sleep(time.Until(end) + c.at)
				require.NoError(t, s.HandOverLease(t.Context(), l, until))
				assert.Equal(t, c.want, w.last().UpdateExpression)
			})
		})
	}
}

func TestLockStoreHandoverIsForSomebodysLiveWishOnly(t *testing.T) {
	t.Parallel()
	const long = time.Hour
	for name, c := range map[string]struct {
		lasts  time.Duration // the lease
		by     string
		ends   time.Duration // the wish
		wanted bool
	}{
		"live":                               {30 * time.Second, "w2", 9 * time.Minute, true},
		"over":                               {30 * time.Second, "w2", -time.Second, false},
		"too far ahead":                      {30 * time.Second, "w2", 11 * time.Minute, false},
		"as far ahead as long leases allow":  {long, "w2", 3*long - 2*time.Minute, true},
		"too far ahead of a long lease, too": {long, "w2", 4 * long, false},
		"an operator's":                      {30 * time.Second, "", 9 * time.Minute, false},
		"the holder's own":                   {30 * time.Second, "w1", 9 * time.Minute, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, "a")
			l, err := f.Lease("a", worker{"w1", c.lasts}, time.Now().Add(c.lasts))
			require.NoError(t, err)
			r := f.get("a")
			r["WantedBy"] = str(c.by)
			r["WantedUntil"] = num(time.Now().Add(c.ends).UnixNano())
			f.put(r)
			until := time.Now().Add(time.Minute)
			require.NoError(t, f.HandOverLease(t.Context(), l, until))
			if c.wanted {
				r["ProcessID"] = str(c.by)
				r["LeaseUntil"] = num(until.UnixNano())
				assert.Equal(t, r, f.get("a"))
				return
			}
			free := row{"id": str("a"), "LeaseUntil": num(0), "FencingToken": num(1)}
			assert.Equal(t, free, f.get("a"))
		})
	}
}

func TestLockStoreEndsALockersTenureBeforeItGivesTheRowAway(t *testing.T) {
	t.Parallel()
	for name, give := range map[string]func(s *lease.LockStore, l *lease.Lease) error{
		"REMOVE #holder": (*lease.LockStore).ReleaseLease,
		"#holder = #wantedBy": func(s *lease.LockStore, l *lease.Lease) error {
			return s.HandOverLease(context.Background(), l, time.Now().Add(time.Minute))
		},
		"DeleteItem": (*lease.LockStore).RemoveLease,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{}
				s := w.store(t)
				locker := lease.NewLocker(s)
				l, err := locker.ObtainLease(for30s("w1"))
				require.NoError(t, err)
				beat := make(chan error, 1)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				go func() { beat <- locker.HeartbeatWithContext(ctx, l, 10*time.Second) }()
				time.Sleep(time.Second)

				w.before = func(sent wireRequest) {
					gives := strings.Contains(sent.String(), name)
					assert.True(t, gives, "%s", sent)
					assert.Equal(t, lease.LeaseReleasedError, context.Cause(l.Context()))
					assert.False(t, l.Valid())
				}
				require.NoError(t, give(s, l))
				assert.NoError(t, <-beat)
				w.before = nil
				assert.NoError(t, locker.ReleaseLease(l))
			})
		})
	}
}

func TestLockStoreHandoverOfWhatTheOriginalTookIsALoss(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l, err := f.Lease("a", worker{"w1", time.Minute}, time.Now().Add(time.Minute))
	require.NoError(t, err)
	r := f.get("a")
	r["ProcessID"] = str("original")
	f.put(r)
	assert.True(t, f.HandOverLease(t.Context(), l, time.Now().Add(time.Minute)) == lease.LeaseLostError)
	assert.Equal(t, str("original"), f.get("a")["ProcessID"])
}

func TestLockStoreLosesNothingByALostReplyOfAWishOrAHandover(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	until := time.Now().Add(30 * time.Second)
	l, err := f.Lease("a", for30s("w1"), until)
	require.NoError(t, err)

	s, m := f.metered(lossy("UpdateItem"))
	require.NoError(t, s.WantLease(t.Context(), f.seen(), "w2", until))
	assert.Equal(t, 2, m.count(), "the SDK's retry is refused, and shows that the wish was made")
	assert.Equal(t, str("w2"), f.get("a")["WantedBy"])

	s, m = f.metered(lossy("UpdateItem"))
	until = until.Add(time.Second)
	item, err := s.RenewLeaseItem(t.Context(), l, until, until)
	require.NoError(t, err)
	assert.Equal(t, 2, m.count())
	assert.Equal(t, f.seen(), item)
	assert.Equal(t, num(until.UnixNano()), f.get("a")["WantedUntil"])

	s, m = f.metered(lossy("UpdateItem"))
	require.NoError(t, s.HandOverLease(t.Context(), l, until))
	assert.Equal(t, 2, m.count())
	assert.Equal(t, str("w2"), f.get("a")["ProcessID"])

	l, err = f.Lease("a", for30s("w2"), until.Add(time.Second))
	require.NoError(t, err)
	for _, lost := range [][]int{{1}, {2}, {1, 3}} {
		s, m = f.metered(lossy("UpdateItem", lost...))
		require.NoError(t, s.HandOverLease(t.Context(), l, until), "lost %v", lost)
		assert.Equal(t, row{"id": str("a"), "LeaseUntil": num(0), "FencingToken": f.get("a")["FencingToken"]}, f.get("a"))
		assert.LessOrEqual(t, m.count(), 4)
		l, err = f.Lease("a", for30s("w2"), until.Add(time.Second))
		require.NoError(t, err)
	}

	_, err = f.Lease("a", for30s("w2"), until.Add(2*time.Second))
	require.NoError(t, err)
	s, m = f.metered(lossy("UpdateItem"))
	_, err = s.RenewLeaseItem(t.Context(), l, until.Add(time.Hour), until)
	assert.True(t, err == lease.LeaseLostError, "got %v", err)
	assert.LessOrEqual(t, m.count(), 2)
}

func TestLockStoreWishesAndHandoversThatArriveLateChangeNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	store, late := f.taped()
	start := time.Now()
	unchanged := func(what string, numbers ...int) {
		t.Helper()
		for _, n := range numbers {
			before := f.get("a")
			late.replay(t, n)
			assert.Equal(t, before, f.get("a"), "%s: %d", what, n)
		}
	}
	l, err := store.Lease("a", for30s("w1"), start.Add(30*time.Second)) // 0
	require.NoError(t, err)
	require.NoError(t, store.WantLease(t.Context(), f.seen(), "w2", start.Add(25*time.Second))) // 1
	unchanged("the wish again", 0, 1)
	_, err = store.RenewLeaseItem(t.Context(), l, start.Add(40*time.Second), start.Add(35*time.Second)) // 2
	require.NoError(t, err)
	unchanged("after a renewal", 0, 1, 2)
	require.NoError(t, store.WantLease(t.Context(), f.seen(), "w3", start.Add(26*time.Second))) // 3
	unchanged("the wish that was replaced", 0, 1, 3)
	require.NoError(t, store.HandOverLease(t.Context(), l, start.Add(45*time.Second))) // 4
	unchanged("after a handover", 0, 1, 2, 3, 4)
	next, err := f.Lease("a", for30s("w3"), start.Add(50*time.Second))
	require.NoError(t, err)
	unchanged("after the next tenure has begun", 0, 1, 2, 3, 4)
	require.NoError(t, f.WantLease(t.Context(), f.seen(), "w1", start.Add(25*time.Second)))
	unchanged("when that is wanted", 0, 1, 2, 3, 4)
	require.NoError(t, f.HandOverLease(t.Context(), next, start.Add(55*time.Second))) // w1 is the holder again
	unchanged("when the item is reserved for the first holder", 0, 1, 2, 3, 4)
	_, err = f.Lease("a", for30s("w1"), start.Add(60*time.Second))
	require.NoError(t, err)
	unchanged("when the first holder has it again", 1, 2, 3, 4)
}

func TestLockStoreLeaseOfAnOwnRowRemovesAWishThatIsOver(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	for _, left := range []time.Duration{-time.Minute, time.Minute} {
		wanted := f.held("a", "w1", time.Now().Add(time.Minute))
		wanted["WantedBy"], wanted["WantedUntil"] = str("w2"), num(time.Now().Add(left).UnixNano())
		f.put(wanted)
		_, err := f.LeaseAsSeen(t.Context(), f.seen(), nil, for30s("w1"), time.Now().Add(30*time.Second))
		require.NoError(t, err)
		assert.Equal(t, left > 0, f.get("a")["WantedBy"] != nil, left)
	}
}
