package leasetest

import (
	"time"

	"github.com/intercom/lease"
)

var leasingPromises = []promise{
	{
		says:  "a free item is obtained, and the lease shows its row",
		items: one,
		test:  obtained,
	},
	{
		says:  "a held item is not obtained by another lessee: bare LeaseNotObtainedError and no lease",
		items: one,
		test:  heldIsNotObtained,
	},
	{
		says:  "a held item is obtained by its holder, also with an earlier end, as a new tenure",
		items: one,
		test:  ownIsObtained,
	},
	{
		says:  "an item that is not registered is not obtained, nor created",
		items: one,
		test:  unregistered,
	},
	{
		says:  "an ended lease can be taken, but never before its end",
		items: one,
		test:  takenAfterItsEnd,
	},
	{
		says:  "a renewal moves the end, and keeps the token",
		items: one,
		test:  renewed,
	},
	{
		says:  "a late renewal never moves the end back",
		items: one,
		test:  neverBack,
	},
	{
		says:  "a renewal of a lease without a token leases anew",
		items: one,
		test:  renewedWithoutToken,
	},
	{
		says:  "tokens grow through takeovers, namesakes, releases and ends of leases",
		items: one,
		test:  tokensGrow,
	},
	{
		says:  "an older tenure touches nothing of another lessee's",
		items: one,
		test:  func(c *conformance) { olderTenure(c, "w2") },
	},
	{
		says:  "an older tenure touches nothing of a newer one of its own lessee",
		items: one,
		test:  func(c *conformance) { olderTenure(c, "w1") },
	},
	{
		says:  "a release frees the item at once, and may be repeated",
		items: one,
		test:  released,
	},
	{
		says:  "the lease of a retired item is lost",
		items: one,
		test:  retiredIsLost,
	},
}

func obtained(c *conformance) {
	c.shows("", time.Time{})
	until := fromNow(long)
	l, err := c.Lease(item, terms{"w1", long}, until)
	if err != nil {
		c.Fatal(err)
	}
	c.equal("LeaseID", l.LeaseID, item)
	c.equal("Request", l.Request, lease.LeaseRequest(terms{"w1", long}))
	c.equal("FencingToken is over 0", l.FencingToken() > 0, true)
	c.equal("Until is what was asked for", l.Until.Equal(until), true)
	c.equal("Valid", l.Valid(), true)
	c.equal("ProcessID", l.AttributeValues[holderAttribute], text("w1"))
	c.equal("LeaseUntil", l.AttributeValues[untilAttribute], number(until.UnixNano()))
	c.equal("FencingToken's attribute", l.AttributeValues[tokenAttribute], number(l.FencingToken()))
	c.equal("FencingToken in a scan", c.row().FencingToken, l.FencingToken())
	c.shows("w1", until)
}

func heldIsNotObtained(c *conformance) {
	l := c.obtain("w1")
	c.refuse("w2")
	c.shows("w1", l.Until)
	c.renew("by the holder", l, l.Until)
}

func ownIsObtained(c *conformance) {
	last := c.obtain("w1")
	for _, d := range []time.Duration{time.Hour, time.Second} {
		l := c.obtainFor("w1", d)
		c.equal("FencingToken is greater", l.FencingToken() > last.FencingToken(), true)
		c.shows("w1", l.Until)
		last = l
	}
}

func unregistered(c *conformance) {
	if err := c.RemoveLeaseID(item); err != nil {
		c.Fatal(err)
	}
	c.refuse("w1")
	l := &lease.Lease{LeaseID: item, Request: terms{"w1", long}}
	c.bareLost("RenewLease", c.RenewLease(l, fromNow(long)))
	c.bareLost("ReleaseLease", c.ReleaseLease(l))
	items, err := c.ListLeaseIDs()
	c.equal("ListLeaseIDs of an empty store", items, []string{})
	c.noError("ListLeaseIDs", err)
	c.showsNoItem()
}

func takenAfterItsEnd(c *conformance) {
	l := c.obtainFor("w1", brief)
	c.takeOver("w2", l.Until)
}

func renewed(c *conformance) {
	l := c.obtainFor("w1", brief)
	until := fromNow(2 * brief)
	c.renew("", l, until)
	c.shows("w1", until)
	sleepPast(l.Until)
	next := c.takeOver("w2", until)
	c.equal("FencingToken of the next tenure", next.FencingToken(), l.FencingToken()+1)
}

func neverBack(c *conformance) {
	l := c.obtain("w1")
	until := fromNow(time.Hour)
	c.renew("", l, until)
	c.renew("to an earlier end, later", l, l.Until)
	c.shows("w1", until)
}

func renewedWithoutToken(c *conformance) {
	c.obtain("w1")
	literal := &lease.Lease{LeaseID: item, Request: terms{"w1", long}}
	until := fromNow(time.Hour)
	c.renew("of a literal", literal, until)
	c.shows("w1", until)
	literal.Request = terms{"w2", long}
	c.bareLost("RenewLease by another lessee", c.RenewLease(literal, until.Add(time.Hour)))
	c.shows("w1", until)
}

func tokensGrow(c *conformance) {
	first := c.obtain("w1").FencingToken()
	l := c.obtain("w1")
	c.equal("token of the namesake", l.FencingToken(), first+1)
	c.release("", l)
	l = c.obtainFor("w1", brief)
	c.equal("token after a release", l.FencingToken(), first+2)
	next := c.takeOver("w2", l.Until)
	c.equal("token after the end", next.FencingToken(), first+3)
}

func olderTenure(c *conformance, newer string) {
	older := c.obtainFor("w1", brief)
	sleepPast(older.Until)
	l := c.takeOver(newer, older.Until)
	c.bareLost("the older one's RenewLease", c.RenewLease(older, fromNow(time.Hour)))
	c.bareLost("the older one's ReleaseLease", c.ReleaseLease(older))
	c.bareLost("the older one's RemoveLease", c.RemoveLease(older))
	c.shows(newer, l.Until)
	until := fromNow(time.Hour)
	c.renew("by the newer one", l, until)
	c.shows(newer, until)
	c.release("by the newer one", l)
	c.bareLost("the older one's ReleaseLease after that", c.ReleaseLease(older))
}

func released(c *conformance) {
	l := c.obtain("w1")
	c.release("", l)
	c.shows("", time.Time{})
	c.release("again", l)
	c.bareLost("RenewLease of a released lease", c.RenewLease(l, fromNow(time.Hour)))
	c.bareLost("RemoveLease of a released lease", c.RemoveLease(l))
	next := c.obtain("w2")
	c.bareLost("ReleaseLease of a lease that is another's", c.ReleaseLease(l))
	c.shows("w2", next.Until)
}

func retiredIsLost(c *conformance) {
	l := c.obtain("w1")
	c.noError("RemoveLease", c.RemoveLease(l))
	c.noError("RemoveLease again", c.RemoveLease(l))
	c.bareLost("RenewLease", c.RenewLease(l, fromNow(time.Hour)))
	c.bareLost("ReleaseLease", c.ReleaseLease(l))
	c.refuse("w1")
	c.showsNoItem()
}
