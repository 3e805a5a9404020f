package leasetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
)

// SaveAttributes is [lease.LockStore.SaveAttributes].
func (s *Store) SaveAttributes(ctx context.Context, l *lease.Lease, attributes map[string]*dynamodb.AttributeValue) error {
	if err := cmp.Or(checkContext(ctx), checkLease(l)); err != nil {
		return err
	}
	for name := range attributes {
		if err := checkAttributeName(l.LeaseID, name); err != nil {
			return err
		}
	}
	asBare := *l // Only of a Locker's lease the fields don't say when it is over.
	asBare.Until = time.Now().Add(2 * l.Request.LeaseDuration())
	switch {
	case l.FencingToken() == 0:
		return fmt.Errorf("leasetest: the lease of %q has no fencing token to save attributes under", l.LeaseID)
	case !asBare.Valid():
		return lease.LeaseLostError
	case len(attributes) == 0:
		return nil
	}
	lessee := l.Request.LesseeID()
	return s.send(ctx, &s.counts.Saves, func(now int64) error {
		r := s.find(l.LeaseID)
		if !r.isOf(lessee, l) || r.until < now {
			return lease.LeaseLostError
		}
		for name, value := range copyOf(attributes) {
			if attributes[name] == nil {
				delete(r.users, name)
			} else {
				r.users[name] = value
			}
		}
		return nil
	})
}

func textValue(s string) *dynamodb.AttributeValue { return &dynamodb.AttributeValue{S: aws.String(s)} }

// save is SaveAttributes that must succeed.
func (c *conformance) save(l *lease.Lease, attributes map[string]*dynamodb.AttributeValue) {
	c.Helper()
	c.noError("SaveAttributes", c.SaveAttributes(c.Context(), l, attributes))
}

func saved(c *conformance) {
	c.noError("AddLeaseID", c.AddLeaseID(item, map[string]*dynamodb.AttributeValue{"kept": textValue("k"), "removed": textValue("r")}))
	l := c.obtain("w1")
	want := userAttributes()
	given := userAttributes()
	given["removed"] = nil
	given["Name"] = textValue("a reserved word")
	given["lease-id.x"] = textValue("with a dash and a dot")
	c.save(l, given)
	*given["text"].S = "changed" // too late
	c.save(l, map[string]*dynamodb.AttributeValue{"counter": number(7), "never there": nil})
	c.save(l, map[string]*dynamodb.AttributeValue{"counter": number(8)})
	c.save(l, nil)
	if end := c.row().Until; end.Before(l.Until) || end.After(l.Until.Add(time.Millisecond)) {
		c.Errorf("after saves the lease ends at %v; want %v, or a moment later", end, l.Until)
	}
	c.equal("FencingToken in a scan", c.row().FencingToken, l.FencingToken())
	c.noError("RenewLease after a save", c.RenewLease(l, time.Now().Add(time.Hour)))
	c.save(l, map[string]*dynamodb.AttributeValue{"after a renewal": number(1)})
	c.noError("ReleaseLease", c.ReleaseLease(l))
	got := c.obtain("w2").AttributeValues
	want["kept"], want["counter"], want["after a renewal"] = textValue("k"), number(8), number(1)
	want["Name"], want["lease-id.x"] = textValue("a reserved word"), textValue("with a dash and a dot")
	for name, value := range want {
		c.equal("attribute "+name, got[name], value)
	}
	for _, name := range []string{"removed", "never there"} {
		if value, ok := got[name]; ok {
			c.Errorf("attribute %s is %v; want it removed", name, value)
		}
	}
}

func savedUnderTheLease(c *conformance) {
	save := func(what string, l *lease.Lease) {
		c.Helper()
		c.bareLost("SaveAttributes "+what, c.SaveAttributes(c.Context(), l, map[string]*dynamodb.AttributeValue{"late": textValue(what)}))
	}
	released := c.obtain("w1")
	c.noError("ReleaseLease", c.ReleaseLease(released))
	save("after a release", released)
	expired := c.obtainBy(lease.NewLocker(c.StoreInterface), terms{"w1", time.Second})
	<-expired.Context().Done()
	save("when the tenure's time is up, before the row's end", expired)
	older := c.obtain("w1")
	newer := c.obtain("w1")
	save("by an older tenure of the same lessee", older)
	c.want("w2", time.Now().Add(time.Minute))
	c.handOver(newer, time.Now().Add(time.Minute))
	save("after a handover", newer)
	other := c.obtain("w2")
	save("when another holds the item", newer)
	c.save(other, map[string]*dynamodb.AttributeValue{"mine": textValue("w2")})
	short := c.obtainFor("w2", 200*time.Millisecond)
	last := c.takeOver("w3", short.Until)
	save("after a takeover", short)
	if value, ok := last.AttributeValues["late"]; ok {
		c.Errorf("the next holder finds a late save: %v", value)
	}
	c.equal("what the next holder finds", last.AttributeValues["mine"], textValue("w2"))
	c.noError("RemoveLease", c.RemoveLease(last))
	save("of a retired item", last)
	if ids, err := c.ListLeaseIDs(); err != nil || len(ids) > 0 {
		c.Errorf("ListLeaseIDs = %v, %v; want no item: a save has created one", ids, err)
	}
}

// savedByLocker: the same by a Locker, whose tenure a refused save ends.
func savedByLocker(c *conformance) {
	locker := lease.NewLocker(c.StoreInterface)
	l := c.obtainBy(locker, terms{"w1", time.Minute})
	c.noError("SaveAttributes by the Locker", locker.SaveAttributes(c.Context(), l, map[string]*dynamodb.AttributeValue{"counter": number(1)}))
	second := c.obtain("w1") // of another process of the name
	c.equal("what that finds", second.AttributeValues["counter"], number(1))
	err := locker.SaveAttributes(c.Context(), l, map[string]*dynamodb.AttributeValue{"counter": number(2)})
	c.bareLost("SaveAttributes by the Locker that has lost the item", err)
	if cause := context.Cause(l.Context()); !errors.Is(cause, lease.LeaseLostError) {
		c.Errorf("the cause of the lease's context is %v; want LeaseLostError", cause)
	}
	c.equal("what is there now", c.obtain("w1").AttributeValues["counter"], number(1))
}
