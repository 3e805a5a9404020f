package lease

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// lookerWith looks at noon, and waits for 10 seconds. Items are in use as their IDs say.
func lookerWith(usages map[string]usage) looker {
	return looker{
		me:         "me",
		now:        noon,
		waitsUntil: noon.Add(10 * sec),
		usage:      func(leaseID string) usage { return usages[leaseID] },
	}
}

func TestChoiceSortsItemsByHolderEndAndUse(t *testing.T) {
	for name, c := range map[string]struct {
		item   LeaseItem
		unheld string // where it is when this Locker doesn't hold it, "" for nowhere
		unused string // where it is when this Locker holds it, and nothing renews it
	}{
		"own":                  {heldItem("a", "me", 20*sec), "own", "unused"},
		"own, ended":           {heldItem("a", "me", -1), "own", "unused"},
		"released":             {freeItem("a"), "free", "unused"},
		"another's":            {heldItem("a", "w1", time.Minute), "", ""},
		"another's, ended":     {heldItem("a", "w1", -1), "free", "unused"},
		"another's at its end": {heldItem("a", "w1", 0), "ending", "ending"},
		"before the horizon":   {heldItem("a", "w1", 10*sec-1), "ending", "ending"},
		"at the horizon":       {heldItem("a", "w1", 10*sec), "", ""},
	} {
		places := map[usage]string{unheld: c.unheld, unrenewed: c.unused, inUse: ""}
		for use, place := range places {
			l := lookerWith(map[string]usage{"a": use})
			got := l.choose(pageOf([]LeaseItem{c.item}))
			assert.Equal(t, place, placeOf(got), "%s, usage %d", name, use)
		}
	}
}

// placeOf tells where the only item is.
func placeOf(c choice) (place string) {
	for kind, items := range map[string][]LeaseItem{
		"own": c.own, "free": c.free, "unused": c.unrenewed, "ending": c.ending,
	} {
		if len(items) > 0 {
			place += kind
		}
	}
	return place
}

func TestChoiceKeepsAllItemsOfAKind(t *testing.T) {
	items := slices.Concat(heldBy("me", 3), freeItems(4), heldBy("w1", 5))
	got := lookerWith(nil).choose(pageOf(items))
	assert.Len(t, got.own, 3)
	assert.Len(t, got.free, 4)
	assert.Empty(t, got.ending)
}

// reverse turns the order round, in place of a shuffle.
func reverse(n int, swap func(i, j int)) {
	for i := range n / 2 {
		swap(i, n-1-i)
	}
}

func TestChoiceIsTriedOwnRowsFirstThenFreeOnesAtRandom(t *testing.T) {
	c := choice{
		own:       heldBy("me", 2),
		free:      freeItems(3),
		unrenewed: heldBy("w9", 1),
		ending:    heldBy("w1", 1),
	}
	want := []string{"me-0", "me-1", "free-2", "free-1", "free-0"}
	assert.Equal(t, want, idsOf(c.inOrder(reverse)))
}

func TestChoiceOfUnseenItemsKeepsTheOrderOfTheStore(t *testing.T) {
	c := lookerWith(nil).choose(pageOf(several("a", 3, unseenItem)))
	assert.Equal(t, []string{"a0", "a1", "a2"}, idsOf(c.inOrder(reverse)))
}

func TestChoiceOfNothingIsEmpty(t *testing.T) {
	assert.Empty(t, choice{}.inOrder(reverse))
}

func TestFirstEndIsTheEarliest(t *testing.T) {
	items := []LeaseItem{
		heldItem("a", "w1", 3*sec),
		heldItem("b", "w1", sec),
		heldItem("c", "w1", 2*sec),
	}
	assert.Equal(t, "b", firstEnd(items).LeaseID)
	assert.Equal(t, "c", firstEnd(items[2:]).LeaseID)
	assert.Equal(t, []string{"b"}, idsOf(endedBy(items, noon.Add(2*sec))), "c ends then")
	assert.Equal(t, []string{"b", "c"}, idsOf(endedBy(items, noon.Add(2*sec+1))))
	assert.Empty(t, endedBy(items, noon))
}
