package leasetest

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
)

var savePromises = []promise{
	{
		says: "SaveAttributes sets and removes attributes of the user's, and nothing else",
		test: saved,
	},
	{
		says:  "SaveAttributes saves nothing when the lease is over: bare LeaseLostError",
		items: one,
		test:  savedUnderTheLease,
	},
	{
		says:  "a Locker saves attributes under the lease that it holds, and learns of its loss",
		items: one,
		test:  savedByLocker,
	},
}

// save is SaveAttributes that must succeed.
func (c *conformance) save(l *lease.Lease, attributes map[string]*dynamodb.AttributeValue) {
	c.Helper()
	c.noError("SaveAttributes", c.SaveAttributes(c.Context(), l, attributes))
}

func saved(c *conformance) {
	c.noError("AddLeaseID", c.AddLeaseID(item, map[string]*dynamodb.AttributeValue{
		"kept":    text("k"),
		"removed": text("r"),
	}))
	l := c.obtain("w1")

	given := userAttributes()
	given["removed"] = nil
	given["Name"] = text("a reserved word")
	given["lease-id.x"] = text("with a dash and a dot")
	c.save(l, given)
	*given["text"].S = "changed" // too late
	c.save(l, map[string]*dynamodb.AttributeValue{"counter": number(7), "never there": nil})
	c.save(l, map[string]*dynamodb.AttributeValue{"counter": number(8)})
	c.save(l, nil)

	end := c.row().Until
	if end.Before(l.Until) || end.After(l.Until.Add(time.Millisecond)) {
		c.Errorf("after saves the lease ends at %v; want %v, or a moment later", end, l.Until)
	}
	c.equal("FencingToken in a scan", c.row().FencingToken, l.FencingToken())
	c.renew("after a save", l, fromNow(time.Hour))
	c.save(l, map[string]*dynamodb.AttributeValue{"after a renewal": number(1)})
	c.release("", l)

	want := userAttributes()
	want["kept"] = text("k")
	want["Name"] = text("a reserved word")
	want["lease-id.x"] = text("with a dash and a dot")
	want["counter"] = number(8)
	want["after a renewal"] = number(1)
	got := c.obtain("w2").AttributeValues
	for name, value := range want {
		c.equal("attribute "+name, got[name], value)
	}
	for _, name := range []string{"removed", "never there"} {
		if value, ok := got[name]; ok {
			c.Errorf("attribute %s is %v; want it removed", name, value)
		}
	}
}

// saveIsLost is SaveAttributes that must not succeed.
func (c *conformance) saveIsLost(what string, l *lease.Lease) {
	c.Helper()
	late := map[string]*dynamodb.AttributeValue{"late": text(what)}
	c.bareLost("SaveAttributes "+what, c.SaveAttributes(c.Context(), l, late))
}

func savedUnderTheLease(c *conformance) {
	freed := c.obtain("w1")
	c.release("", freed)
	c.saveIsLost("after a release", freed)
	c.saveIsLost("when the tenure's time is up, before the row's end", c.expired("w1"))

	older := c.obtain("w1")
	newer := c.obtain("w1")
	c.saveIsLost("by an older tenure of the same lessee", older)
	c.want("w2", fromNow(long))
	c.handOver(newer, fromNow(long))
	c.saveIsLost("after a handover", newer)

	other := c.obtain("w2")
	c.saveIsLost("when another holds the item", newer)
	c.save(other, map[string]*dynamodb.AttributeValue{"mine": text("w2")})
	short := c.obtainFor("w2", brief)
	last := c.takeOver("w3", short.Until)
	c.saveIsLost("after a takeover", short)
	if value, ok := last.AttributeValues["late"]; ok {
		c.Errorf("the next holder finds a late save: %v", value)
	}
	c.equal("what the next holder finds", last.AttributeValues["mine"], text("w2"))

	c.noError("RemoveLease", c.RemoveLease(last))
	c.saveIsLost("of a retired item", last)
	c.showsNoItem() // A save would have created one.
}

// expired returns a Locker's lease whose time is up.
func (c *conformance) expired(lessee string) *lease.Lease {
	c.Helper()
	locker := lease.NewLocker(c.StoreInterface)
	for d := time.Second; ; d *= 4 {
		l, err := locker.ObtainLeaseWithContext(c.Context(), terms{lessee, d})
		if err == nil {
			<-l.Context().Done()
			return l
		}

		// On a machine that stalls, a short one may be over when it is obtained.
		if d > time.Minute {
			c.Fatalf("ObtainLease by %s, for %v: %v", lessee, d, err)
		}
	}
}

// savedByLocker: the same by a Locker, whose tenure a refused save ends.
func savedByLocker(c *conformance) {
	locker := lease.NewLocker(c.StoreInterface)
	save := func(l *lease.Lease, counter int64) error {
		attributes := map[string]*dynamodb.AttributeValue{"counter": number(counter)}
		return locker.SaveAttributes(c.Context(), l, attributes)
	}
	l := c.obtainBy(locker, terms{"w1", long})
	c.noError("SaveAttributes by the Locker", save(l, 1))
	namesake := c.obtain("w1")
	c.equal("what a namesake finds", namesake.AttributeValues["counter"], number(1))
	c.bareLost("SaveAttributes by the Locker that has lost the item", save(l, 2))
	if cause := context.Cause(l.Context()); !errors.Is(cause, lease.LeaseLostError) {
		c.Errorf("the cause of the lease's context is %v; want LeaseLostError", cause)
	}
	c.equal("what is there now", c.obtain("w1").AttributeValues["counter"], number(1))
}
