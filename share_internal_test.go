package lease

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// keeping is a store in full that keeps what it is called with, and leases nothing.
type keeping struct {
	fullStore // is none: nothing else is called
	leases    int
	released  []*Lease
}

func (c *keeping) LeaseAsSeen(
	context.Context, LeaseItem, *Lease, LeaseRequest, time.Time,
) (*Lease, error) {
	c.leases++
	return nil, LeaseNotObtainedError
}

func (c *keeping) ReleaseLeaseWithContext(_ context.Context, l *Lease) error {
	c.released = append(c.released, l)
	return nil
}

// shareOf is a share of a worker of a store.
func shareOf(t *testing.T, store fullStore) *share {
	r, err := checkRequest(lasting(30 * time.Second))
	assert.NoError(t, err)
	locker := NewLocker(failing{})
	locker.store = wholeStore{fullStore: store}
	return &share{locker: locker, request: r, lasting: t.Context()}
}

func TestShareGivesBackWhatIsReservedForIt(t *testing.T) {
	store := &keeping{}
	s := shareOf(t, store)
	reserved := LeaseItem{LeaseID: "a", LesseeID: "w1", FencingToken: 7}
	assert.NoError(t, s.giveBackFor(t.Context(), reserved))
	if assert.Len(t, store.released, 1) {
		assert.Equal(t, "a", store.released[0].LeaseID)
		assert.Equal(t, int64(7), store.released[0].FencingToken())
	}
}

func TestShareLeasesNothingWhenItsContextIsDone(t *testing.T) {
	store := &keeping{}
	s := shareOf(t, store)
	free := candidate{LeaseItem: LeaseItem{LeaseID: "a"}}
	_, err := s.leaseFor(t.Context(), free)
	assert.ErrorIs(t, err, LeaseNotObtainedError)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.leaseFor(ctx, free)
	assert.ErrorIs(t, err, errUnsent)
	assert.Equal(t, 1, store.leases)
}

func TestShareSendsSixteenRequestsAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := shareOf(t, &keeping{})
		s.answers = make(chan sent, 40)
		items := make([]candidate, 40)
		var begun atomic.Int64
		s.send(step{kind: makeWishes, items: items}, func(candidate) (*Lease, error) {
			begun.Add(1)
			time.Sleep(time.Second)
			return nil, LeaseNotObtainedError // is an answer
		})
		for _, want := range []int64{16, 32, 40} {
			synctest.Wait()
			assert.Equal(t, want, begun.Load())
			time.Sleep(time.Second)
		}
		answered := <-s.sending
		assert.True(t, answered.value)
	})
}

func TestShareSendsNoMoreToAStoreThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := shareOf(t, &keeping{})
		s.answers = make(chan sent, 40)
		s.send(step{kind: makeWishes, items: make([]candidate, 40)}, func(candidate) (*Lease, error) {
			return nil, errors.New("no")
		})
		answered := <-s.sending
		assert.False(t, answered.value)
		unsent := 0
		for range 40 {
			if answer := <-s.answers; answer.err == errUnsent {
				unsent++
			}
		}
		assert.Equal(t, 24, unsent)
	})
}

// lateLeases is a store whose leases are answered after a second, unless the context is done by then.
type lateLeases struct{ keeping }

func (l *lateLeases) LeaseAsSeen(
	ctx context.Context, seen LeaseItem, _ *Lease, r LeaseRequest, until time.Time,
) (*Lease, error) {
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return &Lease{LeaseID: seen.LeaseID, Request: r, Until: until}, nil
}

func TestShareReleasesWhatIsLeasedAfterItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &lateLeases{}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		_, err := shareOf(t, store).leaseFor(ctx, candidate{LeaseItem: LeaseItem{LeaseID: "a"}})
		assert.Equal(t, errGivenBack, err)
		assert.Len(t, store.released, 1)
	})
}

func TestShareHasNothingLeftOfWhatItHasGivenBack(t *testing.T) {
	s := shareOf(t, &keeping{})
	s.plan = plannerOf(0, greatest)
	s.plan.unsure("a", noon.Add(time.Hour))
	s.heard(t.Context(), sent{kind: giveBack, candidate: candidate{LeaseItem: LeaseItem{LeaseID: "a"}}})
	left, _ := s.plan.staying(noon)
	assert.Zero(t, left)
}

func TestShareThatIsStoppedWaitsForWhatIsUnderWay(t *testing.T) {
	for name, isSending := range map[string]bool{"a step": true, "nothing": false} {
		synctest.Test(t, func(t *testing.T) {
			s := shareOf(t, &keeping{})
			s.plan = plannerOf(0, greatest)
			noteWish(s.plan, time.Now(), heldItem("a", "w1", sec))
			s.answers = make(chan sent, 1)
			s.timer = time.NewTimer(time.Hour)
			if isSending {
				s.sending = make(chan result[bool])
			}
			var gaveUp atomic.Bool
			s.giveUp = func() { gaveUp.Store(true) }
			s.stop(t.Context())
			synctest.Wait()
			assert.Equal(t, !isSending, s.awaited == 1, "wishes are withdrawn after %s", name)
			assert.False(t, gaveUp.Load())
			time.Sleep(time.Minute)
			assert.True(t, gaveUp.Load())
		})
	}
}

func TestShareBeginsTheWorkOfALeaseThatCameLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := checkRequest(lasting(30 * time.Second))
		assert.NoError(t, err)
		began := false
		s := &share{
			locker:  NewLocker(&counting{}),
			request: r,
			plan:    plannerOf(0, greatest),
			works:   make(map[string]*tenure),
			ended:   make(chan workRun, 1),
			work: func(context.Context, *Lease) error {
				began = true
				return nil
			},
		}
		l, err := s.locker.ObtainItem(t.Context(), "a", lasting(30*time.Second))
		assert.NoError(t, err)
		c := candidate{LeaseItem: LeaseItem{LeaseID: "a"}}
		s.heard(t.Context(), sent{kind: leaseItems, candidate: c, result: result[*Lease]{value: l}})
		assert.Contains(t, s.plan.working, "a", "though no step is under way")
		<-s.ended
		assert.True(t, began)
	})
}

func TestLeaseForWorkIsInUseBeforeTheWorkBegins(t *testing.T) {
	r, err := checkRequest(lasting(30 * time.Second))
	assert.NoError(t, err)
	for purpose, want := range map[purpose]int{forWork: 1, forCaller: 0} {
		l := NewLocker(&counting{})
		got := make(chan result[*Lease], 1)
		a := attempt{seen: LeaseItem{LeaseID: "a"}, unseen: true, request: r, purpose: purpose}
		l.beginLease(t.Context(), a, func(r result[*Lease]) { got <- r })
		_, err := l.heard(a, <-got)
		assert.NoError(t, err)
		uses := 0
		for _, n := range l.tenures.uses {
			uses += n
		}
		assert.Equal(t, want, uses, purpose)
	}
}
