package leasetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
)

var lockerPromises = []promise{
	{
		says:  "of many lessees at once, never two hold an item",
		items: five,
		test:  neverTwo,
	},
	{
		says:  "a Locker holds an item for longer than a lease, and hands it on",
		items: one,
		test:  heldByLocker,
	},
	{
		says:  "a Locker that obtains its own item again frees it by one release",
		items: one,
		test:  obtainedAgain,
	},
	{
		says:  "a Locker obtains one certain item, if nobody has it",
		items: five,
		test:  obtainedByName,
	},
	{
		says:  "a release or a removal ends a Locker's lease in this process at once",
		items: one,
		test:  endedInThisProcess,
	},
	{
		says:  "work that removes its own item inside of Hold is fine",
		items: one,
		test:  removedInsideOfHold,
	},
	{
		says:  "work that is stuck inside of Hold loses its item, and what it saves late is refused",
		items: one,
		test:  stuckInsideOfHold,
	},
	{
		says: "a namesake's Locker gets the row, the older one loses it, " +
			"and others wait for the end it relies on",
		items: one,
		test:  namesakes,
	},
	{
		says:  "two Lockers share the items by HoldShare, and one that leaves leaves them to the other",
		items: five,
		test:  shared,
	},
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

func obtainedByName(c *conformance) {
	locker := lease.NewLocker(c.StoreInterface)
	l, err := locker.ObtainItem(c.Context(), "item-3", terms{"w1", long})
	if err != nil {
		c.Fatalf("ObtainItem = %v; want a lease", err)
	}
	c.equal("LeaseID", l.LeaseID, "item-3")
	_, err = lease.NewLocker(c.StoreInterface).ObtainItem(c.Context(), "item-3", terms{"w2", long})
	if err != lease.LeaseNotObtainedError {
		c.Errorf("ObtainItem of a held item = %v; want bare LeaseNotObtainedError", err)
	}
	_, err = locker.ObtainItem(c.Context(), "item-none", terms{"w1", long})
	if !errors.Is(err, lease.LeaseIDUnknownError) {
		c.Errorf("ObtainItem of an item that isn't registered = %v; want LeaseIDUnknownError", err)
	}
	c.noError("ReleaseLease", locker.ReleaseLease(l))
}

// beat heartbeats a lease often, and for no longer than that lasts: a broken store might renew
// it for good.
func (c *conformance) beat(locker *lease.Locker, l *lease.Lease) error {
	ctx, cancel := context.WithDeadline(c.Context(), l.Until)
	defer cancel()
	return locker.HeartbeatWithContext(ctx, l, 100*time.Millisecond)
}

// tally is what is known of an item's holders.
type tally struct {
	holders   atomic.Int32
	lastToken atomic.Int64
}

func neverTwo(c *conformance) {
	const lessees = 20
	const rounds = 3
	tallies := make(map[string]*tally)
	var tokensBefore int64
	for _, id := range five {
		l, err := c.Lease(id, terms{"first", long}, fromNow(long))
		if err != nil {
			c.Fatal(err)
		}
		c.release("", l)
		tallies[id] = new(tally)
		tallies[id].lastToken.Store(l.FencingToken())
		tokensBefore += l.FencingToken()
	}

	locker := lease.NewLocker(c.StoreInterface)
	var all sync.WaitGroup
	for i := range lessees {
		all.Go(func() {
			for range rounds {
				holdOne(c, locker, fmt.Sprintf("w%d", i), tallies)
			}
		})
	}
	all.Wait()

	var tokensAfter int64
	for _, tally := range tallies {
		tokensAfter += tally.lastToken.Load()
	}
	tenures := tokensAfter - tokensBefore
	c.equal("number of tenures, by the tokens", tenures, int64(lessees*rounds))
}

// holdOne holds any one item for a moment.
func holdOne(c *conformance, locker *lease.Locker, lessee string, tallies map[string]*tally) {
	request := terms{lessee, long}
	l, err := locker.WaitUntilLeaseObtainedWithContext(c.Context(), request, 100*time.Millisecond)
	if err != nil {
		c.Error(err)
		return
	}
	tally := tallies[l.LeaseID]
	if tally == nil {
		c.Errorf("obtained %q, which is no item", l.LeaseID)
		return
	}
	if n := tally.holders.Add(1); n != 1 {
		c.Errorf("%s is held by %d", l.LeaseID, n)
	}
	token := l.FencingToken()
	if before := tally.lastToken.Swap(token); before >= token {
		c.Errorf("%s: token %d after token %d", l.LeaseID, token, before)
	}
	time.Sleep(rand.N(10 * time.Millisecond))
	tally.holders.Add(-1)
	c.noError("ReleaseLease by the Locker", locker.ReleaseLease(l))
}

func heldByLocker(c *conformance) {
	locker := lease.NewLocker(c.StoreInterface)

	// A machine may stall for longer than a lease lasts that a sub-test can wait for. So one
	// that was lost is tried again, with a longer one.
	for d := 3 * time.Second; ; d *= 4 {
		token, err := c.holdPastTheEnd(locker, d)
		if errors.Is(err, lease.LeaseLostError) && d < time.Minute {
			continue
		}
		c.noError("Hold", err)
		c.equal("FencingToken of the next tenure", c.obtain("w2").FencingToken(), token+1)
		return
	}
}

// holdPastTheEnd holds the item until the lease would have ended without renewals, and returns
// its token.
func (c *conformance) holdPastTheEnd(
	locker *lease.Locker, duration time.Duration,
) (token int64, err error) {
	request := terms{"w1", duration}
	err = locker.Hold(c.Context(), request, func(ctx context.Context, l *lease.Lease) error {
		token = l.FencingToken()
		sleepPast(l.Until)
		other, err := c.lease("w2", long)
		if err == nil {
			if l.Valid() {
				c.Errorf("another lessee obtained the item after %v", duration)
			}
			c.release("by the other lessee", other)
		} else if err != lease.LeaseNotObtainedError {
			c.Errorf("Lease by another lessee = %v; want bare LeaseNotObtainedError", err)
		}
		c.equal("FencingToken after renewals", l.FencingToken(), token)
		return context.Cause(ctx)
	})
	return token, err
}

func obtainedAgain(c *conformance) {
	locker := lease.NewLocker(c.StoreInterface)
	request := terms{"w1", long}
	older := c.obtainBy(locker, request)
	l := c.obtainBy(locker, request)
	c.equal("FencingToken of the new tenure", l.FencingToken(), older.FencingToken()+1)
	olderCause := context.Cause(older.Context())
	c.equal("cause of the older one's end", olderCause, lease.LeaseLostError)
	c.bareLost("the older one's ReleaseLease", locker.ReleaseLease(older))
	c.shows("w1", l.Until)
	c.noError("ReleaseLease by the Locker", locker.ReleaseLease(l))
	c.shows("", time.Time{})
	c.obtain("w2")
}

func endedInThisProcess(c *conformance) {
	handOver := func(l *lease.Lease) error {
		return c.HandOverLease(c.Context(), l, fromNow(long))
	}
	c.endsAtOnce("ReleaseLease", c.ReleaseLease)
	c.endsAtOnce("HandOverLease", handOver)
	c.endsAtOnce("RemoveLease", c.RemoveLease)
}

// endsAtOnce checks that a call to the store ends a lease that a Locker heartbeats.
func (c *conformance) endsAtOnce(what string, end func(*lease.Lease) error) {
	c.Helper()
	locker := lease.NewLocker(c.StoreInterface)
	l := c.obtainBy(locker, terms{"w1", long})
	beat := make(chan error)
	go func() { beat <- c.beat(locker, l) }()
	c.noError(what, end(l))
	c.equal("cause of the end", context.Cause(l.Context()), lease.LeaseReleasedError)
	c.noError("Heartbeat", <-beat)
}

func removedInsideOfHold(c *conformance) {
	locker := lease.NewLocker(c.StoreInterface)
	remove := func(_ context.Context, l *lease.Lease) error { return c.RemoveLease(l) }
	c.noError("Hold", locker.Hold(c.Context(), terms{"w1", long}, remove))
	c.showsNoItem()
}

func stuckInsideOfHold(c *conformance) {
	locker := lease.NewLocker(c.StoreInterface)
	work := func(ctx context.Context, l *lease.Lease) error {
		l.Progress(100 * time.Millisecond)
		<-ctx.Done()
		c.equal("cause of the work's end", context.Cause(ctx), lease.LeaseStuckError)
		c.equal("the stuck work's lease is valid", l.Valid(), false)
		next := c.obtainSoon("w2")
		c.equal("FencingToken of the next tenure", next.FencingToken(), l.FencingToken()+1)
		bare := &lease.Lease{
			LeaseID:         l.LeaseID,
			AttributeValues: l.AttributeValues,
			Request:         l.Request,
		}
		late := map[string]*dynamodb.AttributeValue{"Late": number(1)}
		c.bareLost("a late SaveAttributes", c.SaveAttributes(c.Context(), bare, late))
		return nil
	}
	err := locker.Hold(c.Context(), terms{"w1", long}, work)
	if !errors.Is(err, lease.LeaseStuckError) {
		c.Errorf("Hold of stuck work = %v; want LeaseStuckError", err)
	}
}

// obtainSoon leases the item when that is released, which it is about to be.
func (c *conformance) obtainSoon(lessee string) *lease.Lease {
	c.Helper()
	for end := time.Now().Add(long); ; time.Sleep(10 * time.Millisecond) {
		l, err := c.lease(lessee, long)
		if err == nil {
			return l
		}
		isLate := !time.Now().Before(end)
		if isLate || err != lease.LeaseNotObtainedError {
			c.Fatalf("Lease by %s of the item of stuck work: %v", lessee, err)
		}
	}
}

func namesakes(c *conformance) {
	first := lease.NewLocker(c.StoreInterface)
	second := lease.NewLocker(c.StoreInterface)
	older := c.obtainBy(first, terms{"w1", long})
	newer := c.obtainBy(second, terms{"w1", time.Hour})
	c.equal("FencingToken of the newer one", newer.FencingToken(), older.FencingToken()+1)
	c.equal("the newer one is valid", newer.Valid(), true)
	c.bareLost("the older one's Heartbeat", c.beat(first, older))
	c.bareLost("the older one's ReleaseLease", first.ReleaseLease(older))
	c.shows("w1", newer.Until)
	c.refuse("w2")

	c.noError("the newer one's ReleaseLease", second.ReleaseLease(newer))
	c.noError("the newer one's ReleaseLease again", second.ReleaseLease(newer))
	c.shows("", older.Until)
	c.refuse("w2")
}
