package lease

import (
	"context"
	"testing"
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
