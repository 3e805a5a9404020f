package leasetest

import (
	"time"

	"github.com/intercom/lease"
)

var wishPromises = []promise{
	{
		says:  "RenewLeaseItem shows the row: holder, token, end, and who wants the item",
		items: one,
		test:  renewalShowsTheRow,
	},
	{
		says:  "RenewLeaseItem prolongs a wish",
		items: one,
		test:  wishProlonged,
	},
	{
		says:  "RenewLeaseItem renews as well where there is no wish to prolong",
		items: one,
		test:  noWishToProlong,
	},
	{
		says:  "a wish shows in a scan, may replace another, and changes nothing else",
		items: one,
		test:  wanted,
	},
	{
		says:  "a wish for what isn't as it was seen is refused: bare LeaseNotObtainedError",
		items: one,
		test:  wantedAsSeen,
	},
	{
		says:  "a lease and a release remove the wish",
		items: one,
		test:  wishesEnd,
	},
	{
		says:  "a lease of the lessee's own item keeps another's wish",
		items: one,
		test:  wishesStay,
	},
	{
		says:  "WithdrawWish removes the wish, also one that was prolonged, and shows the row",
		items: one,
		test:  withdrawn,
	},
	{
		says:  "WithdrawWish removes no other wish, and none is fine",
		items: one,
		test:  withdrawnBefore,
	},
	{
		says:  "WithdrawWish after the handover is refused: bare LeaseNotObtainedError, and it shows the row",
		items: one,
		test:  withdrawnTooLate,
	},
}

// want asks for the item as a scan shows it.
func (c *conformance) want(by string, until time.Time) {
	c.Helper()
	c.noError("WantLease by "+by, c.WantLease(c.Context(), c.row(), by, until))
	c.showsWish(by, until)
}

// refuseWish is WantLease that must not succeed, and change nothing.
func (c *conformance) refuseWish(what string, seen lease.LeaseItem, by string) {
	c.Helper()
	before := c.scan("")
	err := c.WantLease(c.Context(), seen, by, fromNow(long))
	if err != lease.LeaseNotObtainedError {
		c.Errorf("WantLease of %s = %v; want bare LeaseNotObtainedError", what, err)
	}
	c.equal("what a scan shows after WantLease of "+what, c.scan(""), before)
}

// renewItem is RenewLeaseItem that must succeed, and show the row as a scan does.
func (c *conformance) renewItem(l *lease.Lease, until, wanted time.Time) lease.LeaseItem {
	c.Helper()
	got, err := c.RenewLeaseItem(c.Context(), l, until, wanted)
	c.noError("RenewLeaseItem", err)
	c.equal("what the renewal shows", got, c.row())
	return got
}

func renewalShowsTheRow(c *conformance) {
	l := c.obtain("w1")
	until := fromNow(time.Hour)
	got := c.renewItem(l, until, time.Time{})
	c.equal("FencingToken", got.FencingToken, l.FencingToken())
	c.shows("w1", until)
	for _, by := range []string{"w2", ""} {
		c.want(by, until)
		c.renewItem(l, until.Add(time.Hour), time.Time{})
		c.showsWish(by, until)
	}
}

func wishProlonged(c *conformance) {
	l := c.obtain("w1")
	until := fromNow(time.Hour)
	for _, by := range []string{"w2", ""} {
		until = until.Add(time.Minute)
		c.want(by, until)
		prolonged := until.Add(time.Second)
		c.renewItem(l, until, prolonged)
		c.showsWish(by, prolonged)
	}
}

func noWishToProlong(c *conformance) {
	l := c.obtain("w1")
	until := fromNow(time.Hour)
	for range 2 { // also to the same end
		c.renewItem(l, until, until)
		c.shows("w1", until)
		c.showsWish("", time.Time{})
	}
}

func wanted(c *conformance) {
	l := c.obtain("w1")
	soon := fromNow(long)
	c.want("w2", soon)
	c.want("w2", soon.Add(1))
	seen := c.row()
	c.want("w3", soon)
	again := c.WantLease(c.Context(), seen, "w3", soon)
	c.noError("WantLease again, as its reply was lost", again)
	c.showsWish("w3", soon)

	c.want("w4", fromNow(-time.Second))
	afterPast := c.WantLease(c.Context(), seen, "", soon)
	c.noError("WantLease as it was before a wish that is past", afterPast)

	c.want("w2", soon)
	c.shows("w1", l.Until)
	c.equal("FencingToken in a scan", c.row().FencingToken, l.FencingToken())
	c.refuse("w2")
	c.renew("by the holder", l, fromNow(time.Hour))
}

func wantedAsSeen(c *conformance) {
	soon := fromNow(long)
	unregistered := lease.LeaseItem{LeaseID: "new", LesseeID: "w1", FencingToken: 1}
	c.refuseWish("a free item", c.row(), "w2")
	c.refuseWish("an item that is not registered", unregistered, "w2")
	l := c.obtain("w1")
	c.refuseWish("one's own item", c.row(), "w1")

	seen := c.row()
	c.want("w2", soon)
	c.refuseWish("an item that is wanted meanwhile", seen, "w3")
	seen = c.row()
	c.want("w2", soon.Add(1))
	c.refuseWish("an item whose wish was prolonged", seen, "w3")

	seen = c.row()
	c.handOver(l, soon)
	c.refuseWish("an item that has another holder, by the same token", seen, "w3")
	c.obtain("w2")
	seen = c.row()
	c.obtain("w2")
	c.refuseWish("a tenure that is over", seen, "w3")
	seen = c.row()
	c.noError("RemoveLease", c.RemoveLease(c.obtain("w2")))
	c.refuseWish("a retired item", seen, "w3")
}

func wishesEnd(c *conformance) {
	until := fromNow(time.Hour)
	l := c.obtain("w1")
	c.want("w2", until)
	c.release("", l)
	c.showsWish("", time.Time{})
	l = c.obtainFor("w1", brief)
	c.want("w2", until)
	c.takeOver("w3", l.Until)
	c.showsWish("", time.Time{})

	l = c.obtainFor("w3", brief)
	c.want("w2", until)
	sleepPast(l.Until.Add(clockError))
	c.obtainAsSeen(c.row(), nil, "w3", long)
	c.showsWish("", time.Time{})

	over := fromNow(brief)
	c.want("w2", over)
	sleepPast(over.Add(clockError))
	c.obtain("w3")
	c.showsWish("", time.Time{})
}

func wishesStay(c *conformance) {
	c.obtain("w1")
	for _, by := range []string{"w2", ""} {
		until := fromNow(long)
		c.want(by, until)
		seen := c.row()
		l := c.obtain("w1")
		c.equal("FencingToken", l.FencingToken(), seen.FencingToken+1)
		c.showsWish(by, until)
		c.obtainAsSeen(c.row(), nil, "w1", long)
		c.showsWish(by, until)
		c.obtainAsSeen(seen, nil, "w1", long)
		c.showsWish(by, until)
	}
}

// withdraw is WithdrawWish that must succeed, and show the row as a scan does.
func (c *conformance) withdraw(by string, until time.Time) {
	c.Helper()
	got, err := c.WithdrawWish(c.Context(), lease.LeaseItem{LeaseID: item}, by, until)
	c.noError("WithdrawWish by "+by, err)
	c.equal("what WithdrawWish shows", got, c.row())
}

func withdrawn(c *conformance) {
	l := c.obtain("w1")
	until := fromNow(long)
	for _, by := range []string{"w2", ""} {
		c.want(by, until)
		c.withdraw(by, until)
		c.showsWish("", time.Time{})
		c.want(by, until)
		c.renewItem(l, fromNow(time.Hour), until.Add(time.Minute))
		c.withdraw(by, until)
		c.showsWish("", time.Time{})
	}
	c.want("w2", until)
	again := c.obtain("w1")
	c.withdraw("w2", until) // in another tenure than it was made in
	c.showsWish("", time.Time{})
	c.shows("w1", again.Until)
	c.release("", again)
}

func withdrawnBefore(c *conformance) {
	until := fromNow(long)
	l := c.obtain("w1")
	c.withdraw("w2", until)
	c.withdraw("", until)
	c.want("w3", until)
	c.withdraw("w2", until)
	c.withdraw("", until)
	c.showsWish("w3", until)
	c.shows("w1", l.Until)
}

func withdrawnTooLate(c *conformance) {
	until := fromNow(long)
	l := c.obtain("w1")
	c.want("w2", until)
	c.handOver(l, until)
	for range 2 {
		before := c.row()
		got, err := c.WithdrawWish(c.Context(), lease.LeaseItem{LeaseID: item}, "w2", until)
		if err != lease.LeaseNotObtainedError {
			c.Errorf("WithdrawWish of a wish that was granted = %v; want bare LeaseNotObtainedError", err)
		}
		c.equal("what WithdrawWish shows", got, before)
		c.equal("what a scan shows", c.row(), before)
		c.obtain("w2")
	}
}
