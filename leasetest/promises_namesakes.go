package leasetest

import (
	"time"

	"github.com/intercom/lease"
)

var namesakePromises = []promise{
	{
		says:  "LeaseAsSeen obtains what is free, and nothing that is another's",
		items: one,
		test:  freeAsSeen,
	},
	{
		says:  "LeaseAsSeen of an own live row begins a tenure, and never moves the end back",
		items: one,
		test:  ownAsSeen,
	},
	{
		says:  "LeaseAsSeen of an own live row that has changed since leases it as it is now",
		items: one,
		test:  changedSinceSeen,
	},
	{
		says:  "until the end that LeaseAsSeen saw, the item stays with its lessee, released or not",
		items: one,
		test:  seenEndIsKept,
	},
	{
		says:  "LeaseAsSeen of what the predecessor left has nothing new to remember",
		items: one,
		test:  nothingNewToRemember,
	},
	{
		says:  "what the predecessor remembers, LeaseAsSeen of what it left remembers too",
		items: one,
		test:  rememberedOn,
	},
}

func freeAsSeen(c *conformance) {
	free := c.row()
	l := c.obtainAsSeen(free, nil, "w1", long)
	c.shows("w1", l.Until)
	c.refuseAsSeen(free, "w2")
	c.refuseAsSeen(c.row(), "w2")
	c.refuseAsSeen(lease.LeaseItem{LeaseID: "new"}, "w1")
	c.row() // nothing was created
	c.release("", l)
	next := c.obtainAsSeen(free, nil, "w2", long)
	c.equal("FencingToken of the next tenure", next.FencingToken(), l.FencingToken()+1)
	c.shows("w2", next.Until)
}

func ownAsSeen(c *conformance) {
	older := c.obtainFor("w1", time.Hour)
	l := c.obtainAsSeen(c.row(), nil, "w1", long)
	c.equal("FencingToken of the new tenure", l.FencingToken(), older.FencingToken()+1)
	c.equal("FencingToken in a scan", c.row().FencingToken, l.FencingToken())
	c.shows("w1", older.Until)
	c.bareLost("the older one's RenewLease", c.RenewLease(older, fromNow(2*time.Hour)))
	c.renew("to an earlier end", l, fromNow(long))
	c.shows("w1", older.Until)
	until := fromNow(2 * time.Hour)
	c.renew("to a later end", l, until)
	c.shows("w1", until)
	l = c.obtainAsSeen(c.row(), l, "w1", 3*time.Hour)
	c.shows("w1", l.Until)
	c.obtainAsSeen(c.row(), l, "w1", long) // as its predecessor left it
	c.shows("w1", l.Until)
}

func changedSinceSeen(c *conformance) {
	free := c.row()
	namesake := c.obtainFor("w1", time.Hour)
	c.obtainAsSeen(free, nil, "w1", long)
	c.shows("w1", namesake.Until)

	seen := c.row()
	namesake = c.obtainFor("w1", 2*time.Hour) // a new token
	c.obtainAsSeen(seen, nil, "w1", long)
	c.shows("w1", namesake.Until)

	namesake = c.obtain("w1")
	seen = c.row()
	until := fromNow(3 * time.Hour)
	c.renew("", namesake, until) // a new end
	l := c.obtainAsSeen(seen, nil, "w1", long)
	c.shows("w1", until)
	c.release("", l)
	c.shows("", until)
}

func seenEndIsKept(c *conformance) {
	namesake := c.obtainFor("w1", brief)
	l := c.obtainAsSeen(c.row(), nil, "w1", long)
	c.release("", l)
	next := c.takeOver("w2", namesake.Until)
	c.equal("FencingToken of the next tenure", next.FencingToken(), l.FencingToken()+1)
	c.bareLost("ReleaseLease of a lease that is another's", c.ReleaseLease(l))
	c.shows("w2", next.Until)
	c.release("by w2", next)

	namesake = c.obtainFor("w1", long)
	l = c.obtainAsSeen(c.row(), nil, "w1", time.Hour)
	c.release("", l)
	c.shows("", namesake.Until)
	c.release("again", l)
	c.shows("", namesake.Until)
	c.bareLost("RenewLease of a released lease", c.RenewLease(l, fromNow(time.Hour)))
	c.refuse("w2")
}

func nothingNewToRemember(c *conformance) {
	predecessor := c.obtainAsSeen(c.row(), nil, "w1", long)
	c.renew("", predecessor, fromNow(time.Hour))
	l := c.obtainAsSeen(c.row(), predecessor, "w1", long)
	c.equal("FencingToken of the new tenure", l.FencingToken(), predecessor.FencingToken()+1)
	c.release("", l)
	c.shows("", time.Time{})
	c.obtain("w2")
}

func rememberedOn(c *conformance) {
	namesake := c.obtainFor("w1", long)
	predecessor := c.obtainAsSeen(c.row(), nil, "w1", time.Hour)
	l := c.obtainAsSeen(c.row(), predecessor, "w1", time.Hour)
	c.release("", l)
	c.shows("", namesake.Until)
	c.refuse("w2")
}
