package leasetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

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
	{
		says:  "one item is read as it is at that moment, if it is registered",
		items: five,
		test:  readAlone,
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

func readAlone(c *conformance) {
	store, hasGet := c.StoreInterface.(itemGetter)
	if !hasGet {
		c.Skipf("the store %T has no GetLeaseItem", c.StoreInterface)
	}
	get := func() lease.LeaseItem {
		c.Helper()
		got, err := store.GetLeaseItem(c.Context(), item)
		c.noError("GetLeaseItem", err)
		return got
	}
	c.equal("the state of a free item", get().State(), lease.ItemFree)
	until := fromNow(long)
	l := c.obtain("w1")
	c.equal("the state of a held item", get().State(), lease.ItemHeld)
	c.noError("WantLease", c.WantLease(c.Context(), get(), "w2", until))
	c.equal("the state of a wanted item", get().State(), lease.ItemWanted)
	for _, scanned := range c.scan("") {
		if scanned.LeaseID == item {
			c.equal("GetLeaseItem", get(), scanned)
		}
	}
	c.noError("HandOverLease", c.HandOverLease(c.Context(), l, until))
	c.equal("the state of a reserved item", get().State(), lease.ItemReserved)

	notThere(c, store, "item-none")
	c.noError("RemoveLeaseID", c.RemoveLeaseID("item-1"))
	notThere(c, store, "item-1")
	badReads(c, store)
}

// notThere checks what is said of an item that isn't registered.
func notThere(c *conformance, store itemGetter, id string) {
	c.Helper()
	got, err := store.GetLeaseItem(c.Context(), id)
	isNamed := errors.Is(err, lease.LeaseIDUnknownError) && strings.Contains(err.Error(), id)
	if !isNamed {
		c.Errorf("GetLeaseItem(%q) = %v; want LeaseIDUnknownError, and the ID", id, err)
	}
	c.equal("an item that isn't registered", got, lease.LeaseItem{})
}

// badReads calls GetLeaseItem with what it must refuse.
func badReads(c *conformance, store itemGetter) {
	var none context.Context
	for _, bad := range []struct {
		ctx  context.Context
		id   string
		says string
	}{
		{c.Context(), "", "lease ID empty"},
		{c.Context(), notUTF8, "lease ID " + saysNotUTF8},
		{c.Context(), tooLong, "lease ID 2049"},
		{none, item, "context is nil"},
	} {
		_, err := store.GetLeaseItem(bad.ctx, bad.id)
		if (refusal{err, bad.says}).missing() != "" {
			c.Errorf("GetLeaseItem(%q) = %v; want an error that says %s", bad.id, err, bad.says)
		}
	}
	over, cancel := context.WithCancel(c.Context())
	cancel()
	_, err := store.GetLeaseItem(over, item)
	if !errors.Is(err, context.Canceled) {
		c.Errorf("GetLeaseItem with a cancelled context = %v; want context.Canceled", err)
	}
}

func leaseIDs(items []lease.LeaseItem) []string {
	ids := []string{}
	for _, item := range items {
		ids = append(ids, item.LeaseID)
	}
	return ids
}
