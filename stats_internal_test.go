package lease

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/stretchr/testify/assert"
)

// followed is what a fact changes in the counts, of a tenure a second after it began.
func followed(purpose purpose, was term, kind factKind) LockerStats {
	f := fact{kind: kind, at: noon.Add(sec), grant: grantUntil(31 * sec)}
	var s LockerStats
	s.follow(purpose, f, was, was.after(f))
	return s
}

func TestStatsCountEachTransitionOnce(t *testing.T) {
	renewal := LockerStats{Renewed: 1, LastRenewal: noon.Add(sec), LeastRemaining: 26 * sec}
	for name, c := range map[string]struct {
		was  term
		kind factKind
		want LockerStats
	}{
		"nothing":                  {termAt(held, notFreed), timePassed, LockerStats{}},
		"renewed":                  {termAt(held, notFreed), renewed, renewal},
		"renewed while wanted":     {termAt(wanted, notFreed), renewed, renewal},
		"renewed when it was over": {termAt(lost, notFreed), renewed, LockerStats{}},
		"lost": {
			termAt(held, notFreed), lossSeen, LockerStats{Held: -1, Lost: 1},
		},
		"lost when it was over":  {termAt(expired, notFreed), lossSeen, LockerStats{}},
		"given up":               {termAt(held, notFreed), givenUp, LockerStats{Held: -1}},
		"given up again":         {termAt(released, notFreed), givenUp, LockerStats{}},
		"stuck":                  {termAt(held, notFreed), workStuck, LockerStats{Held: -1, Stucks: 1}},
		"stuck when it was over": {termAt(lost, notFreed), workStuck, LockerStats{Stucks: 1}},
		"given away":             {termAt(held, notFreed), discardCalled, LockerStats{Held: -1}},
		"released": {
			termAt(released, notFreed), rowFreed, LockerStats{Released: 1},
		},
		"released again":         {termAt(released, freed), rowFreed, LockerStats{}},
		"released after its end": {termAt(expired, notFreed), rowFreed, LockerStats{Released: 1}},
		"handed over": {
			termAt(released, notFreed), rowHandedOver, LockerStats{HandedOver: 1},
		},
		"handed over again":   {termAt(released, handedOver), rowHandedOver, LockerStats{}},
		"taken":               {termAt(released, notFreed), rowTaken, LockerStats{Lost: 1}},
		"taken, again":        {termAt(released, taken), rowTaken, LockerStats{}},
		"taken after its end": {termAt(expired, notFreed), rowTaken, LockerStats{}},
	} {
		assert.Equal(t, c.want, followed(forCaller, c.was, c.kind), name)
		isWanted := c.was.phase == wanted
		if !isWanted {
			assert.Equal(t, c.want, followed(forWork, c.was, c.kind), "%s, for work", name)
		}
	}
}

func TestStatsCountALeaseThatExpires(t *testing.T) {
	for _, kind := range allFacts {
		if kind == rowFreed || kind == rowHandedOver || kind == rowTaken {
			continue
		}
		was := termAt(held, notFreed)
		f := fact{kind: kind, at: was.end, grant: grantUntil(hour)}
		var s LockerStats
		s.follow(forCaller, f, was, was.after(f))
		want := LockerStats{Held: -1, Expired: 1}
		if kind == workStuck {
			want.Stucks = 1
		}
		assert.Equal(t, want, s, "fact %d", kind)
	}
}

func TestStatsCountARenewalThatGrantsNothingAsAnExpiry(t *testing.T) {
	was := termAt(held, notFreed)
	g := grant{duration: thirty, asked: noon.Add(thirty), until: noon}
	f := fact{kind: renewed, at: noon.Add(sec), grant: g}
	var s LockerStats
	s.follow(forCaller, f, was, was.after(f))
	assert.Equal(t, LockerStats{Held: -1, Expired: 1}, s)
}

func TestStatsCountWorkThatIsToEndAsInHandover(t *testing.T) {
	isHeld := termAt(held, notFreed)
	isWanted := termAt(wanted, notFreed)
	assert.Equal(t, 1, followed(forWork, isHeld, wishSeen).InHandover)
	assert.Equal(t, 0, followed(forWork, isWanted, wishSeen).InHandover, "it is counted already")
	assert.Equal(t, 0, followed(forWork, isWanted, renewed).InHandover)
	for _, kind := range []factKind{lossSeen, givenUp, workStuck, discardCalled} {
		assert.Equal(t, -1, followed(forWork, isWanted, kind).InHandover, "fact %d", kind)
		assert.Equal(t, 0, followed(forWork, isHeld, kind).InHandover, "fact %d", kind)
	}
	assert.Equal(t, 0, followed(forCaller, isHeld, wishSeen).InHandover, "no work ends")
	assert.Equal(t, 0, followed(forCaller, isWanted, givenUp).InHandover)
}

// TestStatsCountWorksThatHoldNothing: from when their tenure is over, or they began without one,
// till they return. Nobody here is to work on their items meanwhile, under whatever name.
func TestStatsCountWorksThatHoldNothing(t *testing.T) {
	l := &Locker{tenures: newTenures()}
	counts := func(working, stuck int, usage usage) {
		t.Helper()
		assert.Equal(t, working, l.Stats().Working)
		assert.Equal(t, stuck, l.Stats().Stuck)
		assert.Equal(t, usage, l.usage(holding{leaseID: "a", lessee: "another"}))
	}
	first := tenureIn(l, "a", hour)
	_, cancel := first.beginWork(always)
	defer cancel()
	counts(1, 0, unheld)
	first.happen(fact{kind: wishSeen, wish: wish{by: "w2", until: time.Now().Add(hour)}})
	counts(1, 0, unheld)
	first.happen(fact{kind: lossSeen})
	first.happen(fact{kind: lossSeen})
	counts(1, 1, inUse)
	second := tenureIn(l, "b", hour)
	_, cancel = second.beginWork(always)
	defer cancel()
	second.endWork()
	second.happen(fact{kind: givenUp})
	counts(1, 1, inUse)
	first.endWork()
	counts(0, 0, unheld)
	assert.Empty(t, l.tenures.leaseless)
	_, cancel = second.beginWork(always)
	defer cancel()
	assert.Equal(t, 1, l.Stats().Stuck)
}

func TestStatsKeepTheLeastThatWasLeftAtARenewal(t *testing.T) {
	var s LockerStats
	s.renewed(noon, 5*sec)
	s.renewed(noon.Add(sec), 7*sec)
	assert.Equal(t, 5*sec, s.LeastRemaining)
	s.renewed(noon.Add(2*sec), 4*sec)
	want := LockerStats{Renewed: 3, LastRenewal: noon.Add(2 * sec), LeastRemaining: 4 * sec}
	assert.Equal(t, want, s)
}

func TestStatsCountNoAnswerAsAFailure(t *testing.T) {
	for _, answer := range []error{
		LeaseLostError, LeaseExpiredError, LeaseNotObtainedError, ReleaseUnsupportedError,
		errors.ErrUnsupported, fmt.Errorf("wrapped: %w", LeaseLostError),
	} {
		assert.True(t, isVerdict(answer), "%v", answer)
	}
	assert.False(t, isVerdict(errors.New("out of order")))
	assert.False(t, isVerdict(LeaseHeldError))
}

func TestStatsCountFailuresThatWereNotGivenUp(t *testing.T) {
	done, cancel := context.WithCancel(context.Background())
	cancel()
	failure := errors.New("out of order")
	var l Locker
	l.countWrite(always, scan, nil)
	l.countWrite(always, scan, LeaseLostError)
	l.countWrite(done, scan, failure)
	l.countLook(done, scan, failure)
	assert.Zero(t, l.Stats())
	l.countWrite(always, scan, failure)
	l.countLook(always, scan, failure)
	assert.Equal(t, LockerStats{FailedWrites: 1, FailedLooks: 1}, l.Stats())
	l.countLook(done, scan, nil)
	assert.Equal(t, int64(1), l.Stats().Looks, "it was answered")
	assert.NotZero(t, l.Stats().LastLook)
}

func TestStatsCountFailedRenewalsOfLeasesThatAreNotLost(t *testing.T) {
	done, cancel := context.WithCancel(context.Background())
	cancel()
	failure := errors.New("out of order")
	for name, c := range map[string]struct {
		ctx  context.Context
		kind factKind
		err  error
		want int64
	}{
		"failed":                    {always, timePassed, failure, 1},
		"failed, then lost":         {always, lossSeen, failure, 1},
		"showed a loss":             {always, lossSeen, LeaseLostError, 0},
		"released meanwhile":        {always, givenUp, failure, 0},
		"given up with its context": {done, timePassed, failure, 0},
	} {
		l := &Locker{tenures: newTenures()}
		held := tenureIn(l, "a", hour)
		held.happen(fact{kind: c.kind})
		l.countFailedRenewal(c.ctx, held, scan, c.err)
		assert.Equal(t, c.want, l.Stats().FailedRenewals, name)
	}
	l := &Locker{tenures: newTenures()}
	l.countFailedRenewal(done, tenureIn(l, "a", 1), scan, failure)
	assert.Equal(t, int64(1), l.Stats().FailedRenewals, "its time was up")
}

// failing is a store of two methods whose leases fail, of items that it lists twice.
type failing struct{ err error }

func (failing) ListLeaseIDs() ([]string, error) { return []string{"a", "b", "a"}, nil }

func (f failing) Lease(string, LeaseRequest, time.Time) (*Lease, error) { return nil, f.err }

func TestStatsCountLeasesThatFailAsFailedWrites(t *testing.T) {
	SetLogger(nil)
	for err, want := range map[error]int64{errors.New("no"): 1, LeaseNotObtainedError: 0} {
		l := NewLocker(failing{err})
		_, got := l.ObtainItem(t.Context(), "a", lasting(30*time.Second))
		assert.ErrorIs(t, got, err)
		assert.Equal(t, want, l.Stats().FailedWrites, err)
	}
}

func TestAdapterScansEachIDOnce(t *testing.T) {
	got, err := (&adapter{two: failing{}}).scan(t.Context(), "", 0)
	assert.NoError(t, err)
	assert.Equal(t, []LeaseItem{{LeaseID: "a"}, {LeaseID: "b"}}, got.items)
}

func TestSuccessThatShowsNothingMayBeShownByAnotherTry(t *testing.T) {
	store := NewLockStore(nil, "boxes", "id")
	req := &request.Request{Operation: &request.Operation{Name: "UpdateItem"}}
	assert.True(t, mayPass(store.showsNothing(t.Context(), req, "a")))
}

func TestWhatIsDoneWithAnotherContextHasItsCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		other, end := context.WithCancelCause(t.Context())
		both, stop := within(t.Context(), other)
		defer stop()
		end(errors.New("why"))
		synctest.Wait()
		assert.EqualError(t, context.Cause(both), "why")
	})
}

func TestLeaseIsWaitedForNoLongerThanItWouldLast(t *testing.T) {
	for duration, want := range map[time.Duration]time.Duration{
		5 * sec: 4500 * ms, 10 * sec: 9 * sec, 20 * sec: 18 * sec, 60 * sec: 30 * sec,
	} {
		assert.Equal(t, want, leasePatience(duration), duration)
	}
}
