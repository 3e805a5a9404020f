package leasetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/intercom/lease"
)

func freeAsSeen(c *conformance) {
	free := c.row()
	l := c.obtainAsSeen(free, nil, "w1", time.Minute)
	c.shows("w1", l.Until)
	c.refuseAsSeen(free, "w2")
	c.refuseAsSeen(c.row(), "w2")
	c.refuseAsSeen(lease.LeaseItem{LeaseID: "new"}, "w1")
	c.row() // nothing was created
	c.noError("ReleaseLease", c.ReleaseLease(l))
	next := c.obtainAsSeen(free, nil, "w2", time.Minute)
	c.equal("FencingToken of the next tenure", next.FencingToken(), l.FencingToken()+1)
	c.shows("w2", next.Until)
}

func ownAsSeen(c *conformance) {
	older := c.obtainFor("w1", time.Hour)
	l := c.obtainAsSeen(c.row(), nil, "w1", time.Minute)
	c.equal("FencingToken of the new tenure", l.FencingToken(), older.FencingToken()+1)
	c.equal("FencingToken in a scan", c.row().FencingToken, l.FencingToken())
	c.shows("w1", older.Until)
	c.bareLost("the older one's RenewLease", c.RenewLease(older, time.Now().Add(2*time.Hour)))
	c.noError("a renewal to an earlier end", c.RenewLease(l, time.Now().Add(time.Minute)))
	c.shows("w1", older.Until)
	until := time.Now().Add(2 * time.Hour)
	c.noError("a renewal to a later end", c.RenewLease(l, until))
	c.shows("w1", until)
	l = c.obtainAsSeen(c.row(), l, "w1", 3*time.Hour)
	c.shows("w1", l.Until)
}

func changedSinceSeen(c *conformance) {
	seen := c.row() // free
	older := c.obtainFor("w1", time.Hour)
	c.obtainAsSeen(seen, nil, "w1", time.Minute)
	c.shows("w1", older.Until)

	seen = c.row()
	older = c.obtainFor("w1", 2*time.Hour) // a new token
	c.obtainAsSeen(seen, nil, "w1", time.Minute)
	c.shows("w1", older.Until)

	older = c.obtain("w1")
	seen = c.row()
	until := time.Now().Add(3 * time.Hour)
	c.noError("RenewLease", c.RenewLease(older, until)) // a new end
	l := c.obtainAsSeen(seen, nil, "w1", time.Minute)
	c.shows("w1", until)
	c.noError("ReleaseLease", c.ReleaseLease(l))
	c.shows("", until)
}

func seenEndIsKept(c *conformance) {
	older := c.obtainFor("w1", 500*time.Millisecond)
	l := c.obtainAsSeen(c.row(), nil, "w1", time.Minute)
	c.noError("ReleaseLease", c.ReleaseLease(l))
	c.shows("", older.Until)
	c.noError("ReleaseLease again", c.ReleaseLease(l))
	c.shows("", older.Until)
	c.bareLost("RenewLease of a released lease", c.RenewLease(l, time.Now().Add(time.Hour)))
	next := c.takeOver("w2", older.Until)
	c.equal("FencingToken of the next tenure", next.FencingToken(), l.FencingToken()+1)
	c.bareLost("ReleaseLease of a lease that is another's", c.ReleaseLease(l))
	c.shows("w2", next.Until)
}

func nothingNewToRemember(c *conformance) {
	older := c.obtainAsSeen(c.row(), nil, "w1", time.Minute)
	c.noError("RenewLease", c.RenewLease(older, time.Now().Add(time.Hour)))
	l := c.obtainAsSeen(c.row(), older, "w1", time.Minute)
	c.equal("FencingToken of the new tenure", l.FencingToken(), older.FencingToken()+1)
	c.noError("ReleaseLease", c.ReleaseLease(l))
	c.shows("", time.Time{})
	c.obtain("w2")
}

func rememberedOn(c *conformance) {
	namesake := c.obtainFor("w1", 500*time.Millisecond)
	older := c.obtainAsSeen(c.row(), nil, "w1", time.Minute)
	l := c.obtainAsSeen(c.row(), older, "w1", time.Minute)
	c.noError("ReleaseLease", c.ReleaseLease(l))
	c.shows("", namesake.Until)
	c.takeOver("w2", namesake.Until)
}

func neverTwo(c *conformance) {
	const lessees, rounds = 20, 3
	holders := make(map[string]*atomic.Int32)
	last := make(map[string]*atomic.Int64) // tokens
	started := int64(0)
	for _, id := range five {
		holders[id], last[id] = new(atomic.Int32), new(atomic.Int64)
		l, err := c.Lease(id, terms{"first", time.Minute}, time.Now().Add(time.Minute))
		if err != nil {
			c.Fatal(err)
		}
		c.noError("ReleaseLease", c.ReleaseLease(l))
		last[id].Store(l.FencingToken())
		started += l.FencingToken()
	}
	locker := lease.NewLocker(c.StoreInterface)
	var all sync.WaitGroup
	for i := range lessees {
		all.Go(func() {
			for range rounds {
				holdOne(c, locker, fmt.Sprintf("w%d", i), holders, last)
			}
		})
	}
	all.Wait()
	total := -started
	for _, token := range last {
		total += token.Load()
	}
	c.equal("number of tenures, by the tokens", total, int64(lessees*rounds))
}

// holdOne holds any one item for a moment. holders are how many hold each item, and last its last token.
func holdOne(c *conformance, locker *lease.Locker, lessee string, holders map[string]*atomic.Int32, last map[string]*atomic.Int64) {
	l, err := locker.WaitUntilLeaseObtainedWithContext(c.Context(), terms{lessee, time.Minute}, 100*time.Millisecond)
	if err != nil {
		c.Error(err)
		return
	}
	if holders[l.LeaseID] == nil {
		c.Errorf("obtained %q, which is no item", l.LeaseID)
		return
	}
	if n := holders[l.LeaseID].Add(1); n != 1 {
		c.Errorf("%s is held by %d", l.LeaseID, n)
	}
	if before := last[l.LeaseID].Swap(l.FencingToken()); before >= l.FencingToken() {
		c.Errorf("%s: token %d after token %d", l.LeaseID, l.FencingToken(), before)
	}
	time.Sleep(rand.N(10 * time.Millisecond))
	holders[l.LeaseID].Add(-1)
	c.noError("ReleaseLease", locker.ReleaseLease(l))
}

func heldByLocker(c *conformance) {
	locker, token := lease.NewLocker(c.StoreInterface), int64(0)
	err := locker.Hold(c.Context(), terms{"w1", 3 * time.Second}, func(ctx context.Context, l *lease.Lease) error {
		token = l.FencingToken()
		time.Sleep(4 * time.Second)
		c.refuse("w2")
		c.equal("FencingToken after renewals", l.FencingToken(), token)
		return context.Cause(ctx)
	})
	c.noError("Hold", err)
	c.equal("FencingToken of the next tenure", c.obtain("w2").FencingToken(), token+1)
}

// obtainBy obtains the item through a Locker.
func (c *conformance) obtainBy(locker *lease.Locker, request terms) *lease.Lease {
	c.Helper()
	l, err := locker.ObtainLeaseWithContext(c.Context(), request)
	if err != nil {
		c.Fatalf("ObtainLease by %s: %v", request.lessee, err)
	}
	return l
}

// beat heartbeats a lease for no longer than that lasts: a broken store might renew it for good.
func (c *conformance) beat(locker *lease.Locker, l *lease.Lease) error {
	ctx, cancel := context.WithDeadline(c.Context(), l.Until)
	defer cancel()
	return locker.HeartbeatWithContext(ctx, l, l.Request.LeaseDuration()/3)
}

func obtainedAgain(c *conformance) {
	locker, request := lease.NewLocker(c.StoreInterface), terms{"w1", time.Minute}
	older := c.obtainBy(locker, request)
	l := c.obtainBy(locker, request)
	c.equal("FencingToken of the new tenure", l.FencingToken(), older.FencingToken()+1)
	c.equal("cause of the older one's end", context.Cause(older.Context()), lease.LeaseLostError)
	c.bareLost("the older one's ReleaseLease", locker.ReleaseLease(older))
	c.shows("w1", l.Until)
	c.noError("ReleaseLease", locker.ReleaseLease(l))
	c.shows("", time.Time{})
	c.obtain("w2")
}

func endedInThisProcess(c *conformance) {
	for what, end := range map[string]func(*lease.Lease) error{"RemoveLease": c.RemoveLease, "ReleaseLease": c.ReleaseLease,
		"HandOverLease": func(l *lease.Lease) error { return c.HandOverLease(c.Context(), l, time.Now().Add(time.Minute)) }} {
		locker := lease.NewLocker(c.StoreInterface)
		l := c.obtainBy(locker, terms{"w1", 6 * time.Second})
		beat := make(chan error)
		go func() { beat <- c.beat(locker, l) }()
		c.noError(what, end(l))
		c.equal("cause of the end", context.Cause(l.Context()), lease.LeaseReleasedError)
		c.noError("Heartbeat", <-beat)
		if what == "RemoveLease" {
			c.noError("AddLeaseID", c.AddLeaseID(item, nil))
		}
	}
}

func removedInsideOfHold(c *conformance) {
	locker := lease.NewLocker(c.StoreInterface)
	err := locker.Hold(c.Context(), terms{"w1", time.Minute}, func(_ context.Context, l *lease.Lease) error {
		return c.RemoveLease(l)
	})
	c.noError("Hold", err)
	c.equal("a scan shows", len(c.scan("")), 0)
}

func namesakes(c *conformance) {
	first, second := lease.NewLocker(c.StoreInterface), lease.NewLocker(c.StoreInterface)
	older := c.obtainBy(first, terms{"w1", 1500 * time.Millisecond})
	newer := c.obtainBy(second, terms{"w1", time.Minute})
	c.equal("FencingToken of the newer one", newer.FencingToken(), older.FencingToken()+1)
	c.equal("the newer one is valid", newer.Valid(), true)
	c.bareLost("the older one's Heartbeat", c.beat(first, older))
	c.bareLost("the older one's ReleaseLease", first.ReleaseLease(older))
	c.shows("w1", newer.Until)
	c.refuse("w2")
	c.noError("the newer one's ReleaseLease", second.ReleaseLease(newer))
	c.noError("the newer one's ReleaseLease again", second.ReleaseLease(newer))
	c.takeOver("w2", older.Until)
}
