package lease

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// wishedIn returns what looks show of items once a planner's wishes for them were written.
func wishedIn(p *planner, items []LeaseItem) []LeaseItem {
	shown := slices.Clone(items)
	for i, item := range shown {
		if _, isWished := p.wishes[item.LeaseID]; isWished {
			shown[i] = wantedBy(item, "me", 25*sec)
		}
	}
	return shown
}

// grantedIn returns what looks show of items once a planner's wishes for them were granted.
func grantedIn(p *planner, items []LeaseItem) []LeaseItem {
	shown := slices.Clone(items)
	for i, item := range shown {
		if _, isWished := p.wishes[item.LeaseID]; isWished {
			shown[i] = wantedBy(heldItem(item.LeaseID, "me", 20*sec), "me", 20*sec)
		}
	}
	return shown
}

func TestPlannerWishesForOneItemOfEachHolderAtFirst(t *testing.T) {
	p := unlimited()
	of1 := heldBy("w1", 9)
	assert.Len(t, play(p, noon, of1).wished, 1)
	of1 = wishedIn(p, of1)
	assert.Empty(t, play(p, noon.Add(sec), of1).wished, "it isn't granted yet")

	both := slices.Concat(of1, heldBy("w2", 9))
	assert.Equal(t, []string{"w2-0"}, play(p, noon.Add(2*sec), both).wished)
	assert.Empty(t, play(p, noon.Add(3*sec), wishedIn(p, both)).wished)
}

func TestPlannerWishesForOneMoreWithEachGrant(t *testing.T) {
	p := unlimited()
	items := heldBy("w1", 30)
	for _, want := range []int{1, 2, 4, 8} {
		assert.Len(t, play(p, noon, items).wished, want)
		items = grantedIn(p, items)
	}

	p = unlimited()
	items = heldBy("w1", 30)
	wished := play(p, noon, items).wished
	items = grantedIn(p, items)
	assert.Len(t, play(p, noon, items, wished...).wished, 2, "though it isn't leased yet")
}

func TestPlannerCountsAGrantOnce(t *testing.T) {
	p := unlimited()
	item := heldItem("a", "w1", 20*sec)
	noteWish(p, noon, item)
	for range 3 {
		p.listen(noon, grantedIn(p, []LeaseItem{item}))
	}
	assert.Equal(t, 1, p.heeding["w1"].granted)
}

func TestPlannerWishesForOneItemAgainAfterOneThatRanOut(t *testing.T) {
	p := trusting()
	p.passOver(noon, "w1")
	later := noon.Add(80 * sec)
	items := several("w1-", 9, func(id string) LeaseItem { return heldItem(id, "w1", hour) })
	assert.Len(t, play(p, later, items).wished, 1)
}

func TestPlannerAsksTheNextWhereTheRichestIsDeaf(t *testing.T) {
	p := unlimited()
	p.passOver(noon, "w1")
	items := slices.Concat(heldBy("w1", 9), heldBy("w2", 3))
	assert.Equal(t, []string{"w2-0"}, play(p, noon, items).wished)
}

// TestPlannerHearsNothingOfAWishThatIsYoung: a look may show a row as it was a moment before.
func TestPlannerHearsNothingOfAWishThatIsYoung(t *testing.T) {
	item := heldItem("a", "w1", 20*sec)
	for duration, young := range map[time.Duration]time.Duration{
		6 * sec:   500 * ms,
		thirty:    sec,
		24 * hour: sec,
	} {
		p := plannerFor(duration, 0, greatest)
		for age, want := range map[time.Duration]wishFate{young - 1: wishPending, young: wishUnheard} {
			made := wishMade{item: item, at: noon.Add(-age), sure: true}
			assert.Equal(t, want, p.fateOf(noon, made, item), "%v, leases of %v", age, duration)
		}
	}
}

func TestPlannerHearsNothingOfAWishThatWasNotWritten(t *testing.T) {
	item := heldItem("a", "w1", 20*sec)
	made := wishMade{item: item, at: noon.Add(-10 * sec)}
	assert.Equal(t, wishGone, unlimited().fateOf(noon, made, item))
}
