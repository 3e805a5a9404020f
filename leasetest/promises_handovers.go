package leasetest

import (
	"time"

	"github.com/intercom/lease"
)

var handoverPromises = []promise{
	{
		says:  "a handover reserves the item for who wants it, and keeps token and wish",
		items: one,
		test:  handedOver,
	},
	{
		says:  "a handover is to who wants the item at that moment",
		items: one,
		test:  handedOverNow,
	},
	{
		says:  "a handover to nobody, or to the holder itself, is a release",
		items: one,
		test:  handedOverWithoutAWish,
	},
	{
		says:  "a handover heeds no wish that is too far ahead, and frees the item",
		items: one,
		test:  wantedTooLong,
	},
	{
		says:  "a handover may be repeated, but not when the lease is lost: bare LeaseLostError",
		items: one,
		test:  handedOverAgain,
	},
	{
		says:  "a handover before the end that a namesake relies on is a release",
		items: one,
		test:  handedOverPastANamesake,
	},
	{
		says:  "a handover after the end that a namesake relied on reserves the item",
		items: one,
		test:  handedOverAfterANamesake,
	},
}

// handOver is HandOverLease that must succeed.
func (c *conformance) handOver(l *lease.Lease, until time.Time) {
	c.Helper()
	c.noError("HandOverLease", c.HandOverLease(c.Context(), l, until))
}

func handedOver(c *conformance) {
	l := c.obtain("w1")
	until := fromNow(long)
	wanted := fromNow(long).Add(time.Second)
	c.want("w2", wanted)
	c.handOver(l, until)
	c.shows("w2", until)
	c.showsWish("w2", wanted)
	c.equal("FencingToken of the reservation", c.row().FencingToken, l.FencingToken())
	lost := c.RenewLease(l, fromNow(time.Hour))
	c.bareLost("RenewLease of a lease that was handed over", lost)
	c.refuse("w3")
	c.refuse("w1")
	next := c.obtainAsSeen(c.row(), nil, "w2", long)
	c.equal("FencingToken of who wanted it", next.FencingToken(), l.FencingToken()+1)
	c.showsWish("", time.Time{})

	c.handOver(c.obtain("w2"), until) // The lease has removed the wish.
	c.shows("", time.Time{})

	// Of one who has died, a reservation ends as a lease does.
	l = c.obtain("w2")
	c.want("w3", wanted)
	until = fromNow(brief)
	c.handOver(l, until)
	c.shows("w3", until)
	c.takeOver("w1", until)
}

func handedOverNow(c *conformance) {
	l := c.obtain("w1")
	wanted := fromNow(long)
	c.want("w2", wanted)
	c.want("w3", wanted)
	c.handOver(l, wanted)
	c.shows("w3", wanted)
	c.showsWish("w3", wanted)
}

// handOverFrees is a handover that must be a release.
func (c *conformance) handOverFrees(what string, l *lease.Lease) {
	c.Helper()
	c.handOver(l, fromNow(long))
	c.shows("", time.Time{})
	if c.Failed() {
		c.Fatalf("a handover of an item %s is no release", what)
	}
	c.showsWish("", time.Time{})
}

func handedOverWithoutAWish(c *conformance) {
	c.handOverFrees("that nobody wants", c.obtain("w1"))

	l := c.obtain("w1")
	c.want("", fromNow(long))
	c.handOverFrees("that an operator wants freed", l)

	l = c.obtain("w1")
	wanted := fromNow(brief)
	c.want("w2", wanted)
	sleepPast(wanted)
	c.handOverFrees("that somebody wanted", l)

	l = c.obtain("w1")
	c.want("w2", fromNow(long))
	c.handOver(l, fromNow(long))
	reserved := &lease.Lease{
		LeaseID:         item,
		Request:         terms{"w2", long},
		AttributeValues: l.AttributeValues,
	}
	c.handOverFrees("that the holder itself wants", reserved)
}

func wantedTooLong(c *conformance) {
	for _, left := range []time.Duration{time.Minute, time.Hour} {
		threeLeases := 3 * left
		farthest := max(threeLeases, 10*time.Minute)
		obtain := func() *lease.Lease {
			l := c.obtainFor("w1", 30*time.Second)
			c.renew("to another end than it asked for first", l, fromNow(left))
			return l
		}

		// A machine may stall meanwhile, but not for minutes.
		l := obtain()
		c.want("w2", fromNow(farthest+2*time.Minute))
		c.handOver(l, fromNow(long))
		c.shows("", time.Time{})

		l = obtain()
		c.want("w2", fromNow(farthest-2*time.Minute))
		until := fromNow(long)
		c.handOver(l, until)
		c.shows("w2", until)
		c.release("by w2", c.obtain("w2"))
	}
}

// handOverIsLost is HandOverLease that must not succeed, and change nothing.
func (c *conformance) handOverIsLost(what string, l *lease.Lease) {
	c.Helper()
	before := c.scan("")
	c.bareLost("HandOverLease "+what, c.HandOverLease(c.Context(), l, fromNow(long)))
	c.equal("what a scan shows after HandOverLease "+what, c.scan(""), before)
}

func handedOverAgain(c *conformance) {
	l := c.obtain("w1")
	until := fromNow(long)
	c.want("w2", until)
	c.handOver(l, until)
	before := c.row()
	c.handOver(l, until)
	c.handOver(l, until.Add(time.Hour))
	c.equal("what a scan shows after a second handover", c.row(), before)

	next := c.obtain("w2")
	c.handOverIsLost("of what another has", l)
	c.want("w3", until)
	newer := c.obtain("w2")
	c.handOverIsLost("of an older tenure", next)
	c.want("w3", until)
	c.handOverIsLost("of an older tenure that is wanted", next)

	c.release("", newer)
	c.handOver(newer, until)
	c.shows("", time.Time{})
	c.noError("RemoveLease", c.RemoveLease(c.obtain("w2")))
	c.handOverIsLost("of a retired item", newer)
}

func handedOverPastANamesake(c *conformance) {
	namesake := c.obtainFor("w1", brief)
	l := c.obtainAsSeen(c.row(), nil, "w1", long)
	c.want("w2", fromNow(long))
	c.handOver(l, fromNow(long))
	next := c.takeOver("w2", namesake.Until)
	c.release("by w2", next)

	namesake = c.obtainFor("w1", long)
	l = c.obtainAsSeen(c.row(), nil, "w1", time.Hour)
	c.want("w2", fromNow(long))
	c.handOver(l, fromNow(long))
	c.shows("", namesake.Until)
	c.showsWish("", time.Time{})
	c.refuse("w2")
}

func handedOverAfterANamesake(c *conformance) {
	namesake := c.obtainFor("w1", brief)
	l := c.obtainAsSeen(c.row(), nil, "w1", long)
	until := fromNow(long)
	c.want("w2", until)
	sleepPast(namesake.Until)
	c.handOver(l, until)
	c.shows("w2", until)
}
