package lease

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// tenureIn is a tenure of a Locker that begins now.
func tenureIn(l *Locker, leaseID string, d time.Duration) *tenure {
	until := time.Now().Add(d)
	a := attempt{request: requested{lessee: "w1", duration: d}}
	return l.obtained(&Lease{LeaseID: leaseID, Until: until}, a, until)
}

func TestTenureWhoseTimeIsUpIsNotRevived(t *testing.T) {
	tenure := tenureIn(&Locker{tenures: newTenures()}, "a", time.Hour)
	now := tenure.state() // as if the process was paused, and the renewal's reply came first
	now.end = time.Now()
	tenure.current.Store(&now)
	later := time.Now().Add(2 * time.Hour)
	for range 2 {
		is := tenure.extend(grant{duration: time.Hour, asked: later, until: later}, sec, &Lease{})
		assert.Equal(t, expired, is.phase)
		assert.Zero(t, tenure.left())
		assert.Equal(t, LeaseExpiredError, tenure.over())
	}
	assert.Equal(t, int64(1), tenure.owner.Stats().Expired)
	assert.Zero(t, tenure.owner.Stats().Renewed)
}

func TestTenuresThatAreOverAreForgotten(t *testing.T) {
	l := &Locker{tenures: newTenures()}
	for i := range 1000 {
		tenureIn(l, strconv.Itoa(i), time.Nanosecond).happen(fact{kind: givenUp})
	}
	assert.LessOrEqual(t, len(l.tenures.last), 17)
}

// tokened is a Lease as a store grants it.
func tokened(token int64) *Lease {
	return &Lease{AttributeValues: attributes{tokenAttribute: number(token)}}
}

func TestTenureKeepsWhatWasGrantedLast(t *testing.T) {
	t.Parallel()
	tenure := tenureIn(&Locker{tenures: newTenures()}, "a", time.Hour)
	until := time.Now().Add(time.Hour)
	last, late := tokened(3), tokened(2)
	tenure.extend(grant{token: 3, duration: time.Hour, asked: until, until: until}, sec, last)
	tenure.extend(grant{token: 2, duration: time.Hour, asked: until, until: until}, sec, late)
	assert.Same(t, last, tenure.state().granted)
	assert.Equal(t, int64(3), tenure.state().token)
}

func TestTenureHeedsOthersWishesOnly(t *testing.T) {
	t.Parallel()
	for by, isHeeded := range map[string]bool{"w1": false, "w2": true, "": true} {
		tenure := tenureIn(&Locker{tenures: newTenures()}, "a", time.Hour)
		item := LeaseItem{LesseeID: "w1", WantedBy: by, LeaseUntil: 1, WantedUntil: 1}
		item.Until = time.Now().Add(time.Minute)
		tenure.heed(item)
		assert.Equal(t, isHeeded, tenure.state().isWanted(), "%q", by)
	}
}

func TestTenureKnowsItsLeasesByTheirTokens(t *testing.T) {
	t.Parallel()
	tenure := tenureIn(&Locker{tenures: newTenures()}, "a", time.Hour)
	now := tenure.state()
	now.token = 5
	tenure.firstToken = 3
	tenure.current.Store(&now)
	for token, want := range map[int64]acquaintance{
		2: superseded, 3: known, 4: known, 5: known, 6: stranger,
	} {
		assert.Equal(t, want, tenure.acquaintance(tokened(token)), token)
	}
	tenure.happen(fact{kind: givenUp})
	for token, want := range map[int64]acquaintance{2: stranger, 3: known, 5: known, 6: stranger} {
		assert.Equal(t, want, tenure.acquaintance(tokened(token)), token)
	}
}

func TestTenureKnowsALiteralByItsEnd(t *testing.T) {
	t.Parallel()
	literal := &Lease{}
	withEnd := &Lease{Until: time.Now().Add(time.Hour)}
	tenure := tenureIn(&Locker{tenures: newTenures()}, "a", time.Hour)
	assert.Equal(t, known, tenure.acquaintance(literal))
	assert.Equal(t, known, tenure.acquaintance(withEnd))
	tenure.happen(fact{kind: givenUp})
	assert.Equal(t, known, tenure.acquaintance(literal), "it may be released again")
	assert.Equal(t, stranger, tenure.acquaintance(withEnd), "it was leased again")
}

// counting is a store of two methods that grants everything, and counts.
type counting struct{ leased int }

func (c *counting) ListLeaseIDs() ([]string, error) { return []string{"a"}, nil }

func (c *counting) Lease(id string, r LeaseRequest, until time.Time) (*Lease, error) {
	c.leased++
	return &Lease{LeaseID: id, Request: r, Until: until}, nil
}

// The machine has slept: a renewal is due, and the time is up, but no timer has told that yet.
func TestTenureWhoseTimeIsUpIsNotRenewed(t *testing.T) {
	t.Parallel()
	for range 20 { // What ends the tenure may be faster than what renews it.
		synctest.Test(t, func(t *testing.T) {
			store := &counting{}
			l := NewLocker(store)
			tenure := tenureIn(l, "a", 9*time.Second)
			time.AfterFunc(3*time.Second-time.Millisecond, func() {
				now := tenure.state()
				now.end = time.Now().Add(time.Millisecond)
				tenure.current.Store(&now)
			})
			err := l.heartbeat(t.Context(), tenure, time.Now().Add(3*time.Second), 3*time.Second)
			assert.Equal(t, LeaseLostError, err)
			assert.Zero(t, store.leased)
		})
	}
}
