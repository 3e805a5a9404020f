package leasetest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
	"github.com/intercom/lease/leasetest"
)

func TestMain(m *testing.M) {
	lease.SetLogger(nil)
	ddblocal.Main(m)
}

// for30s is a lessee that wants leases of 30 s.
type for30s string

func (w for30s) LesseeID() string             { return string(w) }
func (w for30s) LeaseDuration() time.Duration { return 30 * time.Second }

// bubble is a test inside of a synctest bubble, on a store with the free item a, which starts
// at 0 s.
type bubble struct {
	*testing.T
	*leasetest.Store
	locker *lease.Locker
	start  time.Time
}

func inBubble(t *testing.T, test func(b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := leasetest.NewStore("a")
		test(&bubble{T: t, Store: s, locker: lease.NewLocker(s), start: time.Now()})
	})
}

func (b *bubble) sleepUntil(d time.Duration) { time.Sleep(d - time.Since(b.start)) }

func (b *bubble) at(d time.Duration) {
	b.Helper()
	assert.Equal(b, d, time.Since(b.start))
}

func (b *bubble) obtain(id string) *lease.Lease {
	b.Helper()
	l, err := b.locker.ObtainLease(for30s(id))
	require.NoError(b, err)
	return l
}

// beat heartbeats a lease every 10 s.
func (b *bubble) beat(l *lease.Lease) chan error {
	done := make(chan error, 1)
	go func() { done <- b.locker.Heartbeat(l, 10*time.Second) }()
	return done
}

func TestAnOutageThatPassesCostsNoLease(t *testing.T) {
	inBubble(t, func(b *bubble) {
		l := b.obtain("w1")
		beat := b.beat(l)
		b.OutageFor(25 * time.Second)
		b.sleepUntil(25 * time.Second)
		assert.Equal(b, 0, b.Counts().Renewals-b.Counts().Faulty)
		b.sleepUntil(100 * time.Second)
		assert.True(b, l.Valid())
		assert.Equal(b, "w1", b.Holder("a"))
		require.NoError(b, b.locker.ReleaseLease(l))
		assert.NoError(b, <-beat)
	})
}

func TestAnOutageThatOutlastsTheTenureIsTheCauseOfTheLoss(t *testing.T) {
	inBubble(t, func(b *bubble) {
		l := b.obtain("w1")
		b.SetOutage(true)
		err := <-b.beat(l)
		b.at(27 * time.Second)
		assert.ErrorIs(b, err, lease.LeaseLostError)
		assert.ErrorIs(b, err, leasetest.OutageError)
		var failure awserr.RequestFailure
		require.ErrorAs(b, err, &failure)
		assert.Equal(b, 503, failure.StatusCode())
		_, err = b.locker.ObtainLease(for30s("w2"))
		assert.Equal(b, leasetest.OutageError, err)
		b.SetOutage(false)
		_, err = b.locker.ObtainLease(for30s("w2"))
		assert.Equal(b, lease.LeaseNotObtainedError, err)
	})
}

func TestAnErrorThatNoRetryMakesGoodEndsAHeartbeatAtOnce(t *testing.T) {
	inBubble(t, func(b *bubble) {
		l := b.obtain("w1")
		b.SetError(leasetest.AccessDeniedError)
		assert.Equal(b, leasetest.AccessDeniedError, <-b.beat(l))
		b.at(10 * time.Second)
		assert.True(b, l.Valid())
		b.SetError(nil)
		assert.NoError(b, b.locker.ReleaseLease(l))
	})
}

func TestAHangEndsWithTheContextOrWhenItIsLifted(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.SetHang(true)
		b.SetHang(true) // again
		ctx, cancel := context.WithTimeoutCause(b.Context(), 3*time.Second, errors.New("enough"))
		defer cancel()
		_, err := b.LeaseWithContext(ctx, "a", for30s("w1"), time.Now().Add(time.Minute))
		b.at(3 * time.Second)
		assert.ErrorIs(b, err, context.Cause(ctx))
		var sdk awserr.Error
		require.ErrorAs(b, err, &sdk)
		assert.Equal(b, "RequestCanceled", sdk.Code())
		assert.Empty(b, b.Holder("a"))

		go func() { time.Sleep(4 * time.Second); b.SetHang(false) }()
		_, err = b.Lease("a", for30s("w2"), time.Now().Add(time.Minute))
		b.at(7 * time.Second)
		assert.NoError(b, err)
		assert.Equal(b, "w2", b.Holder("a"))
		_, err = b.Lease("a", for30s("w2"), time.Now().Add(time.Minute))
		b.at(7 * time.Second)
		assert.NoError(b, err)
		assert.Equal(b, leasetest.Counts{Leases: 3, Faulty: 1}, b.Counts())
	})
}

func TestAHangEndsATenureInTime(t *testing.T) {
	inBubble(t, func(b *bubble) {
		l := b.obtain("w1")
		b.SetHang(true)
		err := <-b.beat(l)
		b.at(27 * time.Second)
		assert.ErrorIs(b, err, lease.LeaseLostError)
		assert.ErrorIs(b, err, context.DeadlineExceeded)
	})
}

func TestWhatLostItsReplyIsDone(t *testing.T) {
	inBubble(t, func(b *bubble) {
		b.SetLoseReplies(true)
		until := time.Now().Add(30 * time.Second)
		l, err := b.Lease("a", for30s("w1"), until)
		assert.Equal(b, leasetest.ConnectionError, err)
		assert.Nil(b, l)
		assert.Equal(b, "w1", b.Holder("a"))
		assert.Equal(b, leasetest.ConnectionError, b.AddLeaseID("b", nil))
		_, ok := b.Row("b")
		assert.True(b, ok)

		b.SetLoseReplies(false)
		l = b.obtain("w1")
		beat := b.beat(l)
		b.SetLoseReplies(true)
		b.sleepUntil(15 * time.Second)
		b.SetLoseReplies(false)
		b.sleepUntil(28 * time.Second)
		assert.True(b, l.Valid(), "the Heartbeat tried again")
		require.NoError(b, b.locker.ReleaseLease(l))
		assert.NoError(b, <-beat)
	})
}

func TestLostRepliesTakeTheFormOfTheOtherSwitches(t *testing.T) {
	inBubble(t, func(b *bubble) {
		l := b.obtain("w1")
		b.SetLoseReplies(true)
		b.SetOutage(true)
		assert.Equal(b, leasetest.OutageError, b.RenewLease(l, time.Now().Add(time.Hour)))
		b.sleepUntil(time.Hour)
		assert.Equal(b, "w1", b.Holder("a"))

		b.SetHang(true)
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		assert.ErrorIs(b, b.ReleaseLeaseWithContext(ctx, l), context.DeadlineExceeded)
		b.at(time.Hour + time.Second)
		assert.Empty(b, b.Holder("a"))
	})
}

func TestAStolenItemIsLostAtTheNextRenewal(t *testing.T) {
	inBubble(t, func(b *bubble) {
		l := b.obtain("w1")
		beat := b.beat(l)
		b.sleepUntil(time.Second)
		b.Steal("a", "w2", time.Minute)
		assert.Equal(b, "w2", b.Holder("a"))
		assert.True(b, l.Valid(), "w1 can't know yet")
		assert.True(b, <-beat == lease.LeaseLostError)
		b.at(10 * time.Second)
		assert.True(b, b.locker.ReleaseLease(l) == lease.LeaseLostError)
		next := b.locker.WaitUntilLeaseObtained(for30s("w1"), time.Second)
		assert.Equal(b, int64(3), next.FencingToken())
		assert.Greater(b, time.Since(b.start), 61*time.Second)
		assert.Less(b, time.Since(b.start), 61*time.Second+100*time.Millisecond)
		assert.Panics(b, func() { b.Steal("nothing", "w2", time.Minute) })
	})
}

func TestARetiredItemIsLostAtTheNextRenewal(t *testing.T) {
	inBubble(t, func(b *bubble) {
		beat := b.beat(b.obtain("w1"))
		b.Retire("a")
		b.Retire("a") // again
		assert.True(b, <-beat == lease.LeaseLostError)
		b.at(10 * time.Second)
		_, ok := b.Row("a")
		assert.False(b, ok)
		assert.Empty(b, b.Holder("a"))
	})
}

func TestAClockThatIsAheadTakesAnItemBeforeItsEnd(t *testing.T) {
	inBubble(t, func(b *bubble) {
		l := b.obtain("w1")
		wrong := b.NewClient()
		wrong.SetClockSkew(20 * time.Second)
		items, _, err := wrong.ScanLeaseItems("", 0)
		require.NoError(b, err)
		assert.True(b, items[0].Until.Equal(b.start.Add(10*time.Second)))
		locker := lease.NewLocker(wrong)
		_, err = locker.ObtainLease(for30s("w2"))
		assert.Equal(b, lease.LeaseNotObtainedError, err)
		b.sleepUntil(10 * time.Second)
		_, err = wrong.Lease("a", for30s("w2"), time.Now().Add(time.Minute))
		assert.Equal(b, lease.LeaseNotObtainedError, err, "at the very end")
		b.sleepUntil(10*time.Second + 1)
		stolen, err := locker.ObtainLease(for30s("w2"))
		require.NoError(b, err)
		assert.True(b, l.Valid() && stolen.Valid(), "two tenures, as nothing corrected the clock")
		assert.Equal(b, 27*time.Second, stolen.Remaining())
		b.sleepUntil(60*time.Second + 1) // 20 s after the end that w2 asked for
		assert.Equal(b, "w2", b.Holder("a"))
		b.sleepUntil(60*time.Second + 2)
		assert.Empty(b, b.Holder("a"))
	})
}

func TestAClockThatIsBehindHasItsItemTaken(t *testing.T) {
	inBubble(t, func(b *bubble) {
		wrong := b.NewClient()
		wrong.SetClockSkew(-20 * time.Second)
		l, err := lease.NewLocker(wrong).ObtainLease(for30s("w1"))
		require.NoError(b, err)
		b.sleepUntil(10*time.Second + 1)
		b.obtain("w2")
		assert.True(b, l.Valid())
		b.sleepUntil(50 * time.Second) // w2's lease ends at 40 s; the clock shows 30 s
		_, err = wrong.Lease("a", for30s("w1"), time.Now().Add(time.Minute))
		assert.Equal(b, lease.LeaseNotObtainedError, err)
		assert.ErrorIs(b, wrong.RemoveLeaseID("a"), lease.LeaseHeldError)
	})
}

func TestClientsHaveSwitchesOfTheirOwn(t *testing.T) {
	inBubble(t, func(b *bubble) {
		l := b.obtain("w1")
		other := b.NewClient()
		b.SetOutage(true)
		beat := b.beat(l)
		next := lease.NewLocker(other).WaitUntilLeaseObtained(for30s("w2"), time.Minute)
		assert.False(b, l.Valid())
		assert.ErrorIs(b, <-beat, leasetest.OutageError)
		assert.Equal(b, int64(2), next.FencingToken())
		assert.Zero(b, other.Counts().Faulty)
		assert.NotZero(b, b.Counts().Faulty)
	})
}

func TestCounts(t *testing.T) {
	s := leasetest.NewStore("a")
	assert.Zero(t, s.Counts())
	l, err := s.Lease("a", for30s("w1"), time.Now().Add(time.Minute))
	require.NoError(t, err)
	_, err = s.Lease("a", for30s("w2"), time.Now().Add(time.Minute))
	require.Error(t, err)
	_, err = s.Lease("", nil, time.Time{})
	require.Error(t, err, "not sent")
	require.NoError(t, s.RenewLease(l, time.Now().Add(time.Hour)))
	require.NoError(t, s.RenewLease(l, time.Now()), "refused, but fine")
	require.NoError(t, s.AddLeaseID("b", nil))
	require.Error(t, s.AddLeaseID("b", nil))
	require.NoError(t, s.RemoveLeaseID("b"))
	s.SetPageSize(1)
	_, err = s.ListLeaseIDs()
	require.NoError(t, err)
	s.SetOutage(true)
	require.Error(t, s.ReleaseLease(l))
	s.SetOutage(false)
	require.NoError(t, s.ReleaseLease(l))
	got := s.Counts()
	assert.Equal(t, leasetest.Counts{Scans: 1, Leases: 2, Renewals: 2, Releases: 2, Registrations: 2, Retirements: 1,
		Refused: 3, Faulty: 1}, got)
	assert.Equal(t, 9, got.Writes())
	assert.Equal(t, 10, got.Requests())
}

func TestALeaseAsSeenCountsAsALease(t *testing.T) {
	s := leasetest.NewStore("a")
	lease30s := func(seen lease.LeaseItem, lessee for30s) (*lease.Lease, error) {
		return s.LeaseAsSeen(t.Context(), seen, nil, lessee, time.Now().Add(30*time.Second))
	}
	free := lease.LeaseItem{LeaseID: "a"}
	_, err := lease30s(free, "w1")
	require.NoError(t, err)
	assert.Equal(t, leasetest.Counts{Leases: 1}, s.Counts())
	_, err = lease30s(free, "w2")
	require.Equal(t, lease.LeaseNotObtainedError, err)
	assert.Equal(t, leasetest.Counts{Leases: 2, Refused: 1}, s.Counts())
	_, err = lease30s(free, "w1")
	require.NoError(t, err)
	assert.Equal(t, leasetest.Counts{Leases: 4, Refused: 2}, s.Counts(), "once more, as the refusal shows it")
	_, err = lease30s(lease.LeaseItem{}, "w1")
	require.Error(t, err, "not sent")
	s.SetOutage(true)
	_, err = lease30s(free, "w1")
	require.Equal(t, leasetest.OutageError, err)
	assert.Equal(t, leasetest.Counts{Leases: 5, Refused: 2, Faulty: 1}, s.Counts())
}

func TestALeaseOfTheStoreIsBare(t *testing.T) {
	inBubble(t, func(b *bubble) {
		l, err := b.Lease("a", for30s("w1"), b.start.Add(30*time.Second))
		require.NoError(b, err)
		require.NoError(b, b.RenewLease(l, b.start.Add(time.Hour)))
		<-l.Context().Done()
		b.at(27 * time.Second)
		assert.Equal(b, lease.LeaseExpiredError, context.Cause(l.Context()))
		assert.False(b, l.Valid())
		assert.Equal(b, "w1", b.Holder("a"))
		require.NoError(b, b.ReleaseLease(l))
		assert.Empty(b, b.Holder("a"))
	})
}

// counting is a Store with a Lease of its own.
type counting struct {
	*leasetest.Store
	asked chan time.Time // the ends
}

func (c *counting) Lease(id string, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
	c.asked <- until
	return c.Store.Lease(id, r, until)
}

func TestATypeThatEmbedsAStoreIsUsedByItsOwnLease(t *testing.T) {
	inBubble(t, func(b *bubble) {
		own := &counting{b.Store, make(chan time.Time, 10)}
		b.locker = lease.NewLocker(own)
		l := b.obtain("w1")
		assert.Equal(b, int64(1), l.FencingToken())
		beat := b.beat(l)
		b.sleepUntil(25 * time.Second)
		for _, end := range []time.Duration{30, 40, 50} {
			assert.True(b, b.start.Add(end*time.Second).Equal(<-own.asked))
		}
		assert.Empty(b, own.asked)
		assert.Equal(b, int64(3), l.FencingToken(), "a renewal leases anew")
		assert.Equal(b, leasetest.Counts{Scans: 1, Leases: 3}, b.Counts())
		assert.ErrorIs(b, b.locker.ReleaseLease(l), lease.ReleaseUnsupportedError)
		assert.NoError(b, <-beat)
		assert.Equal(b, "w1", b.Holder("a"))
	})
}

func TestPages(t *testing.T) {
	var ids []string
	for i := range 10 {
		ids = append(ids, fmt.Sprintf("item-%d", i))
	}
	s := leasetest.NewStore(ids...)
	s.SetPageSize(3)
	var sizes []int
	for after := ""; ; {
		items, next, err := s.ScanLeaseItems(after, 0)
		require.NoError(t, err)
		sizes = append(sizes, len(items))
		if next == "" {
			break
		}
		after = next
	}
	assert.Equal(t, []int{3, 3, 3, 1}, sizes)
	for _, id := range ids[1:] {
		s.Steal(id, "other", time.Minute)
	}
	l, err := lease.NewLocker(s).ObtainLease(for30s("w1"))
	require.NoError(t, err)
	assert.Equal(t, ids[0], l.LeaseID)
}

func TestRowsAreCopies(t *testing.T) {
	s := leasetest.NewStore()
	given := map[string]*dynamodb.AttributeValue{"colour": {S: aws.String("blue")}, "FencingToken": {N: aws.String("41")}}
	require.NoError(t, s.AddLeaseID("a", given))
	*given["colour"].S = "red"
	want := map[string]*dynamodb.AttributeValue{leasetest.HashKey: {S: aws.String("a")},
		"LeaseUntil": {N: aws.String("0")}, "FencingToken": {N: aws.String("41")}, "colour": {S: aws.String("blue")}}
	row, ok := s.Row("a")
	assert.True(t, ok)
	assert.Equal(t, want, row)
	*row["colour"].S = "red"
	row, _ = s.Row("a")
	assert.Equal(t, want, row)
	assert.Error(t, s.AddLeaseID("b", map[string]*dynamodb.AttributeValue{leasetest.HashKey: {S: aws.String("a")}}))
	assert.Panics(t, func() { leasetest.NewStore("a", "a") })
	assert.Panics(t, func() { leasetest.NewStore("") })
}

func TestTokens(t *testing.T) {
	inBubble(t, func(b *bubble) {
		next := func(s *leasetest.Store) int64 {
			b.Helper()
			l, err := s.Lease("a", for30s("w1"), time.Now().Add(time.Minute))
			require.NoError(b, err)
			return l.FencingToken()
		}
		row, _ := b.Row("a")
		assert.NotContains(b, row, "FencingToken")
		assert.Equal(b, []int64{1, 2, 3}, []int64{next(b.Store), next(b.Store), next(b.Store)})
		b.Retire("a")
		require.NoError(b, b.AddLeaseID("a", nil))
		now := time.Now().UnixMilli()
		row, _ = b.Row("a")
		assert.Equal(b, fmt.Sprint(now), *row["FencingToken"].N)
		assert.Equal(b, now+1, next(b.Store))

		late := b.NewClient()
		late.SetClockSkew(-time.Minute)
		b.Retire("a")
		require.NoError(b, late.AddLeaseID("a", nil), "at the same moment, by a clock that is late")
		assert.Equal(b, now+2, next(late), "no token comes again")
		require.NoError(b, late.AddLeaseID("b", nil))
		row, _ = b.Row("b")
		assert.Equal(b, fmt.Sprint(now-60_000), *row["FencingToken"].N)
	})
}

func TestReleaseAndRemovalEndTheTenure(t *testing.T) {
	for name, end := range map[string]func(*leasetest.Store, *lease.Lease) error{
		"release": (*leasetest.Store).ReleaseLease, "removal": (*leasetest.Store).RemoveLease,
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bubble) {
				l := b.obtain("w1")
				beat := b.beat(l)
				b.sleepUntil(time.Second)
				b.SetOutage(true)
				require.Error(b, end(b.Store, l))
				assert.Equal(b, lease.LeaseReleasedError, context.Cause(l.Context()), "whether it is sent or not")
				assert.NoError(b, <-beat)
				b.at(time.Second)
				b.SetOutage(false)
				require.NoError(b, end(b.Store, l))
				assert.Empty(b, b.Holder("a"))
			})
		})
	}
}

func TestSwitchesMayBeUsedAtAnyTime(t *testing.T) {
	inBubble(t, func(b *bubble) {
		var all sync.WaitGroup
		ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
		defer cancel()
		for i := range 5 {
			all.Go(func() {
				for ctx.Err() == nil {
					_ = b.locker.Hold(ctx, for30s(fmt.Sprint(i)), func(ctx context.Context, _ *lease.Lease) error {
						time.Sleep(time.Second)
						return nil
					})
				}
			})
		}
		for i := 0; ctx.Err() == nil; i++ {
			on := i%2 == 0
			b.SetHang(on)
			b.SetLoseReplies(on)
			b.SetOutage(i%3 == 0)
			b.SetClockSkew(time.Duration(i%5) * time.Second)
			b.SetPageSize(i % 2)
			b.Steal("a", "thief", time.Second)
			_, _ = b.Row("a")
			time.Sleep(300 * time.Millisecond)
		}
		b.SetHang(false)
		all.Wait()
		assert.NotZero(b, b.Counts().Faulty)
	})
}

// TestDocShowsTheExample: each function in the package's documentation is in example_test.go or
// conformance_test.go, to the letter.
func TestDocShowsTheExample(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	var source strings.Builder
	for _, name := range []string{"example_test.go", "conformance_test.go"} {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		source.Write(text)
	}
	blocks := regexp.MustCompile(`(?m)^//\tfunc .*\n(//(\t.*)?\n)+?//\t}\n`).FindAllString(string(doc), -1)
	require.Len(t, blocks, 2)
	for _, block := range blocks {
		code := regexp.MustCompile(`(?m)^//\t?`).ReplaceAllString(block, "")
		assert.Contains(t, source.String(), strings.TrimRight(code, "\n"))
	}
}
