package lease

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// worksOn has a planner work on n items, and returns what looks show of them.
func worksOn(p *planner, n int) []LeaseItem {
	items := heldBy("me", n)
	for _, item := range items {
		p.leased(item.LeaseID, 1)
	}
	return items
}

// trusting is a planner without a limit that "w1" and "w2" have granted many wishes.
func trusting() *planner { return trustingOf(0) }

func trustingOf(most int) *planner {
	p := plannerOf(most, greatest)
	p.heeding["w1"] = heeding{granted: 9}
	p.heeding["w2"] = heeding{granted: 9}
	return p
}

func TestPlannerWishesOnlyWhereADifferenceOfTwoIs(t *testing.T) {
	for name, c := range map[string]struct {
		most   int
		mine   int
		others []LeaseItem
		want   int
	}{
		"none":               {mine: 2, others: heldBy("w1", 2), want: 0},
		"one":                {mine: 2, others: heldBy("w1", 3), want: 0},
		"two":                {mine: 2, others: heldBy("w1", 4), want: 1},
		"three":              {mine: 2, others: heldBy("w1", 5), want: 1},
		"four":               {mine: 2, others: heldBy("w1", 6), want: 2},
		"one, to a newcomer": {mine: 0, others: heldBy("w1", 1), want: 0},
		"two, to a newcomer": {mine: 0, others: heldBy("w1", 2), want: 1},
		"of all others together": {
			mine: 1, others: slices.Concat(heldBy("w1", 2), heldBy("w2", 2)), want: 0,
		},
		"of several, one by one": {
			mine: 0, others: slices.Concat(heldBy("w1", 4), heldBy("w2", 4)), want: 2,
		},
		"of the richest first": {
			mine: 0, others: slices.Concat(heldBy("w1", 2), heldBy("w2", 5)), want: 2,
		},
		"others have less": {mine: 5, others: heldBy("w1", 1), want: 0},
		"at its limit":     {most: 2, mine: 2, others: heldBy("w1", 9), want: 0},
		"up to its limit":  {most: 3, mine: 2, others: heldBy("w1", 9), want: 1},
		"nothing but what may be had": {
			mine: 0, others: slices.Concat(heldBy("w1", 1), heldBy("", 9)), want: 0,
		},
	} {
		p := trustingOf(c.most)
		was := play(p, noon, slices.Concat(worksOn(p, c.mine), c.others))
		assert.Len(t, was.wished, c.want, name)
		assert.Empty(t, was.leased, name)
		assert.Len(t, p.wishes, c.want, name)
	}
}

func TestPlannerCountsFreeItemsThatAreLeftAsItsOwnWhenItWishes(t *testing.T) {
	for free, want := range map[int]int{0: 2, 1: 1, 2: 1, 3: 0, 4: 0} {
		p := trusting()
		p.batch = 0 // It takes none.
		assert.Len(t, play(p, noon, slices.Concat(heldBy("w1", 4), freeItems(free))).wished, want)
	}
}

func TestPlannerCountsWhatItHasJustLeasedWhenItWishes(t *testing.T) {
	free := freeItems(2)
	for name, c := range map[string]struct {
		items []LeaseItem
		lost  []string
		want  int
	}{
		"own rows, once":      {slices.Concat(heldBy("me", 2), heldBy("w1", 4)), nil, 1},
		"free ones":           {slices.Concat(free, heldBy("w1", 4)), nil, 1},
		"also when it didn't": {slices.Concat(free, heldBy("w1", 4)), idsOf(free), 1},
		"the less, the more":  {heldBy("w1", 4), nil, 2},
	} {
		p := trusting()
		p.batch = 2
		assert.Len(t, play(p, noon, c.items, c.lost...).wished, c.want, name)
	}
}

func TestPlannerCountsItsWishes(t *testing.T) {
	p := trusting()
	items := heldBy("w1", 6)
	assert.Len(t, play(p, noon, items).wished, 3)
	for i := range items {
		if _, isWished := p.wishes[items[i].LeaseID]; isWished {
			items[i] = wantedBy(items[i], "me", 25*sec)
		}
	}
	assert.Empty(t, play(p, noon.Add(sec), items).wished)
	assert.Len(t, p.wishes, 3)
}

func TestPlannersWishesLevelTheLoad(t *testing.T) {
	p := trusting()
	p.leased("me-0", 1)
	items := slices.Concat(heldBy("me", 1), heldBy("w1", 7), heldBy("w2", 4), heldBy("w3", 1))
	wished := play(p, noon, items).wished
	counts := map[byte]int{'1': 7, '2': 4}
	for _, id := range wished {
		counts[id[1]]--
	}
	assert.Equal(t, map[byte]int{'1': 4, '2': 4}, counts, "each time at who has most: %v", wished)
}

func TestPlannerWishesAtRandomAmongEquals(t *testing.T) {
	wished := make(map[string]bool)
	for seed := range uint64(60) {
		p := plannerOf(0, rand.NewPCG(seed, 1))
		for _, id := range play(p, noon, slices.Concat(heldBy("w1", 2), heldBy("w2", 2))).wished {
			wished[id] = true
		}
	}
	assert.Len(t, wished, 4)
}

func TestPlannerWishesFirstForItemsThatAreOnTheirWay(t *testing.T) {
	p := unlimited()
	moving := wantedBy(heldItem("moving", "w2", 20*sec), "w1", 20*sec)
	items := slices.Concat(heldBy("w1", 2), []LeaseItem{moving}, heldBy("w2", 2))
	assert.Equal(t, []string{"moving"}, play(p, noon, items).wished, "w1 is to have three")
}

func TestPlannerWishesForWhatIsOnItsWayThenForWhatIsAtHome(t *testing.T) {
	p := unlimited()
	moving := wantedBy(heldItem("moving", "w2", 20*sec), "w1", 20*sec)
	items := slices.Concat(heldBy("w1", 4), []LeaseItem{moving})
	assert.Equal(t, []string{"moving", "w1-0"}, play(p, noon, items).wished)
}

func TestPlannerWishesOnlyForWhatAnotherHoldsThatHeeds(t *testing.T) {
	held := heldItem("a", "w1", 20*sec)
	for name, c := range map[string]struct {
		item LeaseItem
		want bool
	}{
		"held":                    {held, true},
		"on its way to another":   {wantedBy(held, "w2", sec), true},
		"at its end":              {heldItem("a", "w1", 0), true},
		"ended":                   {heldItem("a", "w1", -1), false},
		"released":                {freeItem("a"), false},
		"kept back":               {heldItem("a", "", sec), false},
		"kept back, and wanted":   {wantedBy(heldItem("a", "", sec), "w1", sec), false},
		"mine":                    {heldItem("a", "me", sec), false},
		"mine, wanted by another": {wantedBy(heldItem("a", "me", sec), "w1", sec), false},
		"wanted by me":            {wantedBy(held, "me", sec), false},
		"to be freed":             {wantedBy(held, "", sec), false},
		"reserved for its holder": {wantedBy(held, "w1", sec), true},
		"no longer reserved":      {wantedBy(held, "w1", -1), true},
	} {
		items := several("a", 4, func(leaseID string) LeaseItem {
			item := c.item
			item.LeaseID = leaseID
			return item
		})
		assert.Equal(t, c.want, len(play(unlimited(), noon, items).wished) > 0, name)
	}
}

func TestPlannerWishesForNothingThatItRestsFrom(t *testing.T) {
	p := unlimited()
	p.failed(noon, "w1-0")
	p.failed(noon, "w1-1")
	assert.Empty(t, play(p, noon.Add(10*sec-1), heldBy("w1", 2)).wished)
	assert.Len(t, play(p, noon.Add(10*sec), heldBy("w1", 2)).wished, 1)
}

func TestPlannerWishesForNothingThatIsInUse(t *testing.T) {
	for used, want := range map[string]stepKind{"w1-0": makeWishes, "w1-": lookAgain} {
		next, _ := unlimited().looked(noon, pageOf(heldBy("w1", 2)), func(leaseID string) bool {
			return strings.HasPrefix(leaseID, used)
		})
		assert.Equal(t, want, next.kind, used)
		for _, c := range next.items {
			assert.Equal(t, "w1-1", c.LeaseID)
		}
	}
}

func TestPlannerWishesForNothingThatADeafHolderHas(t *testing.T) {
	p := unlimited()
	p.passOver(noon, "w1")
	assert.Empty(t, play(p, noon, heldBy("w1", 3)).wished)

	items := heldBy("w1", 3)
	for i := range items {
		items[i] = wantedBy(items[i], "w2", sec)
	}
	assert.Empty(t, play(p, noon, items).wished, "though who is to have them isn't deaf")

	items = heldBy("w2", 3)
	for i := range items {
		items[i] = wantedBy(items[i], "w1", sec)
	}
	assert.Len(t, play(p, noon, items).wished, 1, "though who is to have them is")
}

// TestPlannerWishesLastForWhatHasJustMoved: it is leased yet, and then moves again.
func TestPlannerWishesLastForWhatHasJustMoved(t *testing.T) {
	items := heldBy("w1", 3)
	items[0] = wantedBy(items[0], "w1", sec)
	items[1] = wantedBy(items[1], "w1", sec)
	assert.Equal(t, []string{"w1-2"}, play(unlimited(), noon, items).wished)
	items[2] = wantedBy(items[2], "w1", sec)
	assert.Len(t, play(unlimited(), noon, items).wished, 1)
}

func TestPlannerWishesForNoMoreThanMayBeHad(t *testing.T) {
	for _, had := range []int{0, 1, 2} {
		p := trusting()
		items := heldBy("w1", 9)
		for _, item := range items[had:] {
			p.failed(noon, item.LeaseID) // It rests.
		}
		assert.ElementsMatch(t, idsOf(items[:had]), play(p, noon, items).wished)
	}
}

func TestPlannerWishesForNothingWhileItIsRestless(t *testing.T) {
	p := trusting()
	p.workEnded(noon, workEnd{leaseID: "a", wished: true})
	items := several("w1-", 6, func(id string) LeaseItem { return heldItem(id, "w1", hour) })
	assert.Empty(t, play(p, noon.Add(10*sec-1), items).wished)
	assert.Len(t, play(p, noon.Add(10*sec), items).wished, 3)
}

func TestWishLastsTwoAndAHalfPeriodsOrAsLongAsALongLease(t *testing.T) {
	for name, c := range map[string]struct {
		duration time.Duration
		left     time.Duration // of the holder's lease
		want     time.Duration
	}{
		"usually":                        {thirty, 20 * sec, 25 * sec},
		"a lease as long as mine":        {thirty, 30 * sec, 25 * sec},
		"a longer one":                   {thirty, 30*sec + 1, 30*sec + 1},
		"nine minutes":                   {thirty, 9 * time.Minute, 9 * time.Minute},
		"more":                           {thirty, 9*time.Minute + 1, 9*time.Minute + 1},
		"long leases of all":             {24 * hour, 16 * hour, 20 * hour},
		"a longer lease of the holder's": {hour, 24 * hour, 24 * hour},
		"where it would be nine minutes": {648 * sec, sec, 9 * time.Minute},
		"where it would count as a slip": {24 * hour, hour, 2 * hour},
	} {
		until := wishUntil(noon, heldItem("a", "w1", c.left), c.duration)
		assert.Equal(t, noon.Add(c.want), until, name)
	}
}

func TestPlannerFindsOutWhatBecameOfAWish(t *testing.T) {
	wish := heldItem("a", "w1", 20*sec)
	renewed := heldItem("a", "w1", 25*sec)
	anew := func(item LeaseItem) LeaseItem {
		item.FencingToken++
		return item
	}
	const isDeaf = true
	for name, c := range map[string]struct {
		items  []LeaseItem
		answer wishFate
		isOut  bool // the wish still is out
		isDeaf bool
	}{
		"pending": {
			[]LeaseItem{wantedBy(renewed, "me", sec)}, wishPending, true, false,
		},
		"its last moment": {
			[]LeaseItem{wantedBy(renewed, "me", 0)}, wishPending, true, false,
		},
		"granted": {
			[]LeaseItem{wantedBy(heldItem("a", "me", sec), "me", sec)}, wishGranted, true, false,
		},
		"granted, the wish is past": {
			[]LeaseItem{wantedBy(heldItem("a", "me", sec), "me", -1)}, wishGranted, true, false,
		},
		"granted, at its end": {
			[]LeaseItem{heldItem("a", "me", 0)}, wishGranted, true, false,
		},
		"granted, but ended": {
			[]LeaseItem{heldItem("a", "me", -1)}, wishGone, false, false,
		},
		"unheard": {
			[]LeaseItem{wantedBy(renewed, "me", -1)}, wishUnheard, false, isDeaf,
		},
		"unheard, and the lease ended": {
			[]LeaseItem{wantedBy(heldItem("a", "w1", -1), "me", -1)}, wishGone, false, false,
		},
		"replaced by another's": {
			[]LeaseItem{wantedBy(renewed, "w2", sec)}, wishGone, false, false,
		},
		"replaced, and past": {
			[]LeaseItem{wantedBy(renewed, "w2", -1)}, wishUnheard, false, isDeaf,
		},
		"removed by its holder": {[]LeaseItem{renewed}, wishUnheard, false, isDeaf},
		"removed by its holder, who leased anew": {
			[]LeaseItem{anew(renewed)}, wishUnheard, false, isDeaf,
		},
		"released": {[]LeaseItem{freeItem("a")}, wishGone, false, false},
		"handed over to another": {
			[]LeaseItem{wantedBy(heldItem("a", "w2", sec), "w2", sec)}, wishGone, false, false,
		},
		"another's, with the wish": {
			[]LeaseItem{wantedBy(heldItem("a", "w2", sec), "me", -1)}, wishGone, false, false,
		},
		"leased anew by its holder": {
			[]LeaseItem{anew(wantedBy(renewed, "me", -1))}, wishUnheard, false, isDeaf,
		},
		"pending, leased anew by its holder": {
			[]LeaseItem{anew(wantedBy(renewed, "me", sec))}, wishPending, true, false,
		},
		"granted by a holder that had leased anew": {
			[]LeaseItem{anew(heldItem("a", "me", sec))}, wishGranted, true, false,
		},
		"retired": {nil, wishGone, false, false},
	} {
		p := unlimited()
		noteWish(p, noon, wish)
		p.listen(noon, c.items)
		for _, item := range c.items {
			made := wishMade{item: wish, at: noon.Add(-10 * sec), sure: true}
			assert.Equal(t, c.answer, p.fateOf(noon, made, item), name)
		}
		_, isOut := p.wishes["a"]
		assert.Equal(t, c.isOut, isOut, name)
		assert.Equal(t, c.isDeaf, p.heeding["w1"].deaf.isOn(noon), name)
		if isOut {
			want := wish
			if c.answer == wishPending {
				want.FencingToken = c.items[0].FencingToken
			}
			assert.Equal(t, want, p.wishes["a"].item, "%s: as it was when it was wished for", name)
		}
	}
}

func TestPlannerListensForItsOwnWishesOnly(t *testing.T) {
	p := unlimited()
	original := heldItem("b", "me", sec)
	original.FencingToken = 0 // Only the original library has leased it.
	p.listen(noon, []LeaseItem{wantedBy(heldItem("a", "w1", sec), "me", -1), original})
	assert.Empty(t, p.wishes)
	assert.Empty(t, p.heeding)
}

func TestPlannerPassesOverADeafHolderForLongerEachTime(t *testing.T) {
	p := unlimited()
	now := noon
	for _, want := range []time.Duration{80 * sec, 160 * sec, 320 * sec, 640 * sec, 640 * sec} {
		p.passOver(now, "w1")
		assert.True(t, p.heeding["w1"].deaf.isOn(now.Add(want-1)), "for %v", want)
		now = now.Add(want)
		assert.False(t, p.heeding["w1"].deaf.isOn(now), "for %v", want)
	}
	assert.False(t, p.heeding["w2"].deaf.isOn(noon))
}

func TestPlannerCountsWishesThatRunOutTogetherOnce(t *testing.T) {
	p := unlimited()
	var items []LeaseItem
	for _, item := range heldBy("w1", 3) {
		noteWish(p, noon, item)
		items = append(items, wantedBy(item, "me", -1))
	}
	p.listen(noon, items)
	assert.Equal(t, pause{until: noon.Add(80 * sec), grown: 80 * sec}, p.heeding["w1"].deaf)
}

func TestPlannerForgetsThatAHolderWasDeafWhenItGrantsAWish(t *testing.T) {
	p := unlimited()
	p.passOver(noon.Add(-time.Minute), "w1")
	p.passOver(noon.Add(-time.Minute), "w2")
	noteWish(p, noon, heldItem("a", "w1", sec))
	p.listen(noon, []LeaseItem{wantedBy(heldItem("a", "me", sec), "me", sec)})
	assert.Equal(t, heeding{granted: 1}, p.heeding["w1"])
	assert.NotZero(t, p.heeding["w2"].deaf.grown)
}

func TestPlannerLeasesWhatWasHandedOverToItAtItsNextLook(t *testing.T) {
	p := unlimited()
	items := heldBy("w1", 2)
	wished := play(p, noon, items).wished
	assert.Len(t, wished, 1)
	items[0] = wantedBy(heldItem(wished[0], "me", 20*sec), "me", 20*sec)
	items[1] = heldItem("w1-1", "w1", 20*sec)

	next, _ := p.looked(noon.Add(3*sec), pageOf(items), nothingUsed)
	assert.Equal(t, leaseItems, next.kind)
	assert.Len(t, next.items, 1)
	assert.True(t, next.items[0].wished)
	assert.True(t, next.items[0].handedToMe)
	p.leased(wished[0], 1)
	assert.Empty(t, p.wishes)
}

func TestPlannerKnowsAHandoverByAHolderThatWasRestarted(t *testing.T) {
	t.Parallel()
	p := unlimited()
	row := wantedBy(ofToken(heldItem("a", "w1", 20*sec), 7), "me", 15*sec)
	noteWish(p, noon, row)
	row.FencingToken = 8 // It has leased its row anew, and kept the wish.
	p.looked(noon, pageOf([]LeaseItem{row}), nothingUsed)
	row.LesseeID = "me"
	p.looked(noon.Add(sec), pageOf([]LeaseItem{row}), nothingUsed)
	assert.True(t, p.candidate(row).handedToMe, "no namesake has leased it since it was another's")
}

func TestPlannersWishesLeaveRoomWithinItsLimitForWhatItHasJustLeased(t *testing.T) {
	for name, leases := range map[string]func(p *planner, items []LeaseItem) step{
		"answered": func(p *planner, items []LeaseItem) step {
			p.looked(noon, pageOf(items), nothingUsed)
			p.leased("free-0", 1)
			p.leased("free-1", 1)
			return p.next(noon, true)
		},
		"late": func(p *planner, items []LeaseItem) step {
			p.looked(noon, pageOf(items), nothingUsed)
			return p.next(noon, false)
		},
	} {
		p := trustingOf(3)
		p.batch = 2
		next := leases(p, slices.Concat(freeItems(2), heldBy("w1", 9)))
		assert.Equal(t, makeWishes, next.kind, name)
		assert.Len(t, next.items, 1, name)
	}
}
