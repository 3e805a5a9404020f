package lease

import (
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// noon is now, in the tests of what asks no clock.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// heldItem is an item whose lease ends so long after noon.
func heldItem(leaseID, holder string, left time.Duration) LeaseItem {
	until := noon.Add(left)
	return LeaseItem{
		LeaseID:      leaseID,
		LesseeID:     holder,
		FencingToken: 1,
		Until:        until,
		LeaseUntil:   until.UnixNano(),
	}
}

// freeItem is one that was released.
func freeItem(leaseID string) LeaseItem { return LeaseItem{LeaseID: leaseID, FencingToken: 1} }

// unseenItem is one of a store of two methods: it shows no more than that it is there.
func unseenItem(leaseID string) LeaseItem { return LeaseItem{LeaseID: leaseID} }

// pageOf is a page of items. It is of a store of two methods if they show no token.
func pageOf(items []LeaseItem) page {
	isUnseen := len(items) > 0 && items[0].FencingToken == 0
	return page{items: items, unseen: isUnseen}
}

// wantedBy is the item with a wish that ends so long after noon.
func wantedBy(item LeaseItem, by string, left time.Duration) LeaseItem {
	item.WantedBy = by
	item.WantedUntil = noon.Add(left).UnixNano()
	return item
}

// several are n items, which are named after the prefix.
func several(prefix string, n int, one func(leaseID string) LeaseItem) (items []LeaseItem) {
	for i := range n {
		items = append(items, one(prefix+strconv.Itoa(i)))
	}
	return items
}

// heldBy are n items that a worker holds for 20 seconds more.
func heldBy(holder string, n int) []LeaseItem {
	return several(holder+"-", n, func(leaseID string) LeaseItem {
		return heldItem(leaseID, holder, 20*sec)
	})
}

// freeItems are n items that were released.
func freeItems(n int) []LeaseItem { return several("free-", n, freeItem) }

func idsOf(items []LeaseItem) (ids []string) {
	for _, item := range items {
		ids = append(ids, item.LeaseID)
	}
	return ids
}

func TestItemIsFreeAfterItsEndAndNotAtIt(t *testing.T) {
	item := heldItem("a", "w1", 0)
	assert.False(t, item.isFree(noon.Add(-1)))
	assert.False(t, item.isFree(noon))
	assert.True(t, item.isFree(noon.Add(1)))
	assert.True(t, freeItem("a").isFree(noon), "released")
	assert.True(t, unseenItem("a").isFree(noon), "unseen")
}

func TestItemIsWantedAsLongAsAWishCounts(t *testing.T) {
	held := heldItem("a", "w1", 20*sec)
	withUntil := func(wantedUntil int64) LeaseItem {
		item := held
		item.WantedBy = "w2"
		item.WantedUntil = wantedUntil
		return item
	}
	long := heldItem("a", "w1", 20*time.Minute)
	for name, c := range map[string]struct {
		item LeaseItem
		want bool
	}{
		"no wish":                            {item: held},
		"a wish":                             {item: wantedBy(held, "w2", 25*sec), want: true},
		"an operator's":                      {item: wantedBy(held, "", 25*sec), want: true},
		"its last moment":                    {item: wantedBy(held, "w2", 0), want: true},
		"over":                               {item: wantedBy(held, "w2", -1)},
		"ten minutes ahead":                  {item: wantedBy(held, "w2", 10*time.Minute), want: true},
		"more than ten minutes ahead":        {item: wantedBy(held, "w2", 10*time.Minute+1)},
		"senseless":                          {item: withUntil(-1)},
		"zero":                               {item: withUntil(0)},
		"three of the lease ahead":           {item: wantedBy(long, "w2", time.Hour), want: true},
		"more than three of the lease ahead": {item: wantedBy(long, "w2", time.Hour+1)},
		"of a free item":                     {item: wantedBy(freeItem("a"), "w2", sec)},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.want, c.item.isWanted(noon))
			assert.Equal(t, !c.want, c.item.wantedUntil(noon).IsZero())
		})
	}
}

func TestItemSaysByThisHostsClockUntilWhenItIsWanted(t *testing.T) {
	const ahead = time.Minute // the database's clock
	item := wantedBy(heldItem("a", "w1", 20*sec), "w2", 25*sec)
	item.LeaseUntil += int64(ahead)
	item.WantedUntil += int64(ahead)
	assert.Equal(t, noon.Add(25*sec), item.wantedUntil(noon))
}

func TestItemIsReservedWhenItsHolderWantsIt(t *testing.T) {
	held := heldItem("a", "w1", 20*sec)
	assert.True(t, wantedBy(held, "w1", 0).isReserved(noon))
	assert.True(t, wantedBy(held, "w1", 24*time.Hour).isReserved(noon), "a wish of long leases")
	assert.False(t, wantedBy(held, "w1", -1).isReserved(noon), "its wish is over")
	assert.False(t, wantedBy(held, "w2", sec).isReserved(noon), "another's")
	assert.False(t, held.isReserved(noon), "no wish")
	assert.False(t, freeItem("a").isReserved(noon), "nobody's")
}

func TestItemsStateIsWhatItsRowIs(t *testing.T) {
	held := heldItem("a", "w1", 20*sec)
	unusable := held
	unusable.Unusable = true
	for name, c := range map[string]struct {
		item LeaseItem
		want ItemState
	}{
		"released":                       {freeItem("a"), ItemFree},
		"never leased":                   {LeaseItem{LeaseID: "a"}, ItemFree},
		"held":                           {held, ItemHeld},
		"held, at its end":               {heldItem("a", "w1", 0), ItemHeld},
		"held until a moment ago":        {heldItem("a", "w1", -1), ItemFree},
		"kept for nobody":                {heldItem("a", "", sec), ItemHeld},
		"wanted":                         {wantedBy(held, "w2", 0), ItemWanted},
		"wanted by an operator":          {wantedBy(held, "", sec), ItemWanted},
		"wanted until a moment ago":      {wantedBy(held, "w2", -1), ItemHeld},
		"wanted too far ahead":           {wantedBy(held, "w2", time.Hour), ItemHeld},
		"wanted, and free by now":        {wantedBy(heldItem("a", "w1", -1), "w2", sec), ItemFree},
		"reserved":                       {wantedBy(held, "w1", sec), ItemReserved},
		"reserved, by a far wish":        {wantedBy(held, "w1", time.Hour), ItemReserved},
		"reserved until a moment ago":    {wantedBy(heldItem("a", "w1", -1), "w1", sec), ItemFree},
		"leased by whom it was reserved": {wantedBy(held, "w1", -1), ItemHeld},
		"nobody's, and an operator's":    {wantedBy(heldItem("a", "", sec), "", sec), ItemWanted},
		"unusable":                       {unusable, ItemUnusable},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, c.want, c.item.StateAt(noon)) })
	}
	assert.Equal(t, ItemFree, held.State(), "noon is past")
}

func TestItemStatesHaveNames(t *testing.T) {
	for state, want := range []string{"free", "held", "wanted", "reserved", "unusable", "unknown"} {
		assert.Equal(t, want, ItemState(state).String())
	}
}

func TestHorizonOfWishesIsTenMinutesOrThreeOfTheRowsOwnLease(t *testing.T) {
	for left, want := range map[time.Duration]time.Duration{
		-time.Hour:            10 * time.Minute,
		sec:                   10 * time.Minute,
		200 * sec:             10 * time.Minute,
		200*sec + 1:           10*time.Minute + 3,
		24 * time.Hour:        72 * time.Hour,
		math.MaxInt64:         math.MaxInt64 / 3 * 3,
		math.MaxInt64 / 2 * 1: math.MaxInt64 / 3 * 3,
	} {
		assert.Equal(t, want, longestWish(left), "%v are left", left)
	}
}

// TestWishThatIsMadeNowCountsUntilTheHolderRenews: a holder renews after a third of its lease.
func TestWishThatIsMadeNowCountsUntilTheHolderRenews(t *testing.T) {
	for _, lasts := range []time.Duration{sec, thirty, 15 * time.Minute, hour, 24 * hour} {
		item := heldItem("a", "w1", lasts)
		item = wantedBy(item, "w2", item.furthestWish(noon))
		assert.True(t, item.isWanted(noon))
		assert.True(t, item.isWanted(noon.Add(lasts/3)), "a lease of %v", lasts)
	}
	endless := LeaseItem{LeaseID: "a", Until: noon.Add(math.MaxInt64)}
	assert.Positive(t, endless.furthestWish(noon))
}

func TestItemsEndIsBeforeTheNextNanosecond(t *testing.T) {
	for until, want := range map[int64]int64{0: 1, 41: 42, math.MaxInt64: math.MaxInt64} {
		assert.Equal(t, want, LeaseItem{LeaseUntil: until}.after())
	}
}
