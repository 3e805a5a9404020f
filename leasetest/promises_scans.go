package leasetest

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/intercom/lease"
)

var scanPromises = []promise{
	{
		says:  "listing and scanning show every item once, and who holds it",
		items: many,
		test:  listed,
	},
	{
		says:  "a scan goes on after any string, in an order of its own",
		items: many,
		test:  scannedFromAnywhere,
	},
}

func listed(c *conformance) {
	holders := make(map[string]string)
	tokens := make(map[string]int64) // of the held ones
	for i, id := range many {
		holders[id] = ""
		if i%3 != 0 {
			continue
		}
		holder := fmt.Sprintf("w%d", i)
		l, err := c.Lease(id, terms{holder, long}, fromNow(long))
		if err != nil {
			c.Fatal(err)
		}
		holders[id] = holder
		tokens[id] = l.FencingToken()
	}

	shown := make(map[string]string)
	for _, item := range c.scan("") {
		shown[item.LeaseID] += item.LesseeID // An item that comes twice has a holder of two names.
		free := item.LesseeID == ""
		c.equal("Until is zero", item.Until.IsZero(), free)
		c.equal("LeaseUntil is 0", item.LeaseUntil == 0, free)
		if !free {
			c.equal("a held item's FencingToken", item.FencingToken, tokens[item.LeaseID])
		}
	}
	c.equal("holders in a scan", shown, holders)

	ids, err := c.ListLeaseIDs()
	c.noError("ListLeaseIDs", err)
	slices.Sort(ids)
	c.equal("ListLeaseIDs", ids, slices.Sorted(slices.Values(many)))
}

func scannedFromAnywhere(c *conformance) {
	all := c.scan("")
	for i, item := range all {
		rest := c.scan(item.LeaseID)
		c.equal("a scan after "+item.LeaseID, leaseIDs(rest), leaseIDs(all[i+1:]))
	}
	for range 20 {
		after := fmt.Sprintf("no item %x", rand.Uint64())
		rest := c.scan(after)
		end := all[len(all)-len(rest):]
		c.equal("a scan after "+after, leaseIDs(rest), leaseIDs(end))
	}
}

func leaseIDs(items []lease.LeaseItem) []string {
	ids := []string{}
	for _, item := range items {
		ids = append(ids, item.LeaseID)
	}
	return ids
}
