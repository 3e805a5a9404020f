package leasetest_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

func TestStoreOutageThatPassesCostsNoLease(t *testing.T) {
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

func TestStoreOutageThatOutlastsTheTenureIsTheCauseOfTheLoss(t *testing.T) {
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

func TestStoreErrorThatNoRetryMakesGoodEndsAHeartbeatAtOnce(t *testing.T) {
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

func TestStoreHangEndsWithTheContextOrWhenItIsLifted(t *testing.T) {
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

func TestStoreHangEndsATenureInTime(t *testing.T) {
	inBubble(t, func(b *bubble) {
		l := b.obtain("w1")
		b.SetHang(true)
		err := <-b.beat(l)
		b.at(27 * time.Second)
		assert.ErrorIs(b, err, lease.LeaseLostError)
		assert.ErrorContains(t, err, "was not answered within")
	})
}

func TestStoreLosesRepliesOfWhatIsDone(t *testing.T) {
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

func TestStoreLosesRepliesInTheFormOfTheOtherSwitches(t *testing.T) {
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

func TestStoreStealsAnItemThatIsLostAtTheNextRenewal(t *testing.T) {
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

func TestStoreRetiresAnItemThatIsLostAtTheNextRenewal(t *testing.T) {
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

func TestStoreClockThatIsAheadTakesAnItemBeforeItsEnd(t *testing.T) {
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

func TestStoreClockThatIsBehindHasItsItemTaken(t *testing.T) {
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

func TestStoreClientsHaveSwitchesOfTheirOwn(t *testing.T) {
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

func TestStoreSwitchesMayBeUsedAtAnyTime(t *testing.T) {
	inBubble(t, func(b *bubble) {
		var all sync.WaitGroup
		ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
		defer cancel()
		work := func(context.Context, *lease.Lease) error {
			time.Sleep(time.Second)
			return nil
		}
		for i := range 5 {
			all.Go(func() {
				for ctx.Err() == nil {
					_ = b.locker.Hold(ctx, for30s(fmt.Sprint(i)), work)
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

// A release whose reply was lost is no loss, though another has the item by then.
func TestStoreReleaseWhoseReplyWasLostIsNoLoss(t *testing.T) {
	inBubble(t, func(b *bubble) {
		l := b.obtain("w1")
		b.SetLoseReplies(true)
		assert.ErrorIs(b, b.locker.ReleaseLease(l), leasetest.ConnectionError)
		b.SetLoseReplies(false)
		_, err := b.Store.Lease("a", for30s("w2"), time.Now().Add(30*time.Second))
		require.NoError(b, err)
		assert.NoError(b, b.locker.ReleaseLease(l))
		assert.Zero(b, b.locker.Stats().Lost)
	})
	inBubble(t, func(b *bubble) {
		l := b.obtain("w1")
		b.SetLoseReplies(true)
		assert.ErrorIs(b, b.locker.ReleaseLease(l), leasetest.ConnectionError)
		b.SetLoseReplies(false)
		b.Steal("a", "w1", 30*time.Second)
		assert.True(b, b.locker.ReleaseLease(l) == lease.LeaseLostError, "of the own name")
		b.Steal("a", "w2", 30*time.Second)
		b.sleepUntil(28 * time.Second)
		assert.True(b, b.locker.ReleaseLease(l) == lease.LeaseLostError, "at its end")
	})
}
