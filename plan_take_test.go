package lease

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPlannerTakesOwnRowsUpToItsLimit(t *testing.T) {
	ended := heldItem("ended", "me", -1)
	for name, c := range map[string]struct {
		most  int
		items []LeaseItem
		want  [][]string
	}{
		"all":             {0, heldBy("me", 3), [][]string{{"me-0", "me-1", "me-2"}}},
		"up to the limit": {2, heldBy("me", 3), [][]string{{"me-0", "me-1"}}},
		"beyond the share": {
			0, slices.Concat(heldBy("me", 3), crowd(9)), [][]string{{"me-0", "me-1", "me-2"}},
		},
		"before free ones": {
			2, slices.Concat(freeItems(3), heldBy("me", 2)), [][]string{{"me-0", "me-1"}},
		},
		"one handed over to me": {
			0, []LeaseItem{wantedBy(heldItem("a", "me", sec), "me", sec)}, [][]string{{"a"}},
		},
		"one that another wants": {
			0, []LeaseItem{wantedBy(heldItem("a", "me", sec), "w1", sec)}, [][]string{{"a"}},
		},
		"one that is to be free": {
			0, []LeaseItem{wantedBy(heldItem("a", "me", sec), "", sec)}, [][]string{{"a"}},
		},
		"one that was wanted": {
			0, []LeaseItem{wantedBy(heldItem("a", "me", sec), "w1", -1)}, [][]string{{"a"}},
		},
		"an ended one as free": {
			0, []LeaseItem{ended, heldItem("live", "me", sec)}, [][]string{{"live"}, {"ended"}},
		},
		"at its end":     {0, []LeaseItem{heldItem("a", "me", 0)}, [][]string{{"a"}}},
		"none of others": {0, heldBy("w1", 1), nil},
	} {
		assert.Equal(t, c.want, play(plannerOf(c.most, greatest), noon, c.items).leased, name)
	}
}

func TestPlannerTakesNothingThatIsInUseOrRestsOrThatItWorksOn(t *testing.T) {
	items := []LeaseItem{
		heldItem("used", "me", sec), heldItem("worked", "me", sec), heldItem("rests", "me", sec),
		freeItem("used-too"), freeItem("worked-too"), freeItem("rests-too"),
	}
	p := unlimited()
	p.leased("worked", 1)
	p.leased("worked-too", 1)
	p.failed(noon, "rests")
	p.failed(noon, "rests-too")
	next, _ := p.looked(noon, pageOf(items), func(leaseID string) bool {
		return leaseID == "used" || leaseID == "used-too"
	})
	assert.Equal(t, lookAgain, next.kind)
	assert.Empty(t, p.freeSince, "what it may not take isn't free to it")
}

func TestPlannerTakesFreeItemsInBatchesOfOneTwoFour(t *testing.T) {
	p := unlimited()
	items := freeItems(20)
	for _, want := range []int{1, 2, 4, 8, 5} {
		leased := play(p, noon, items).leased
		assert.Len(t, slices.Concat(leased...), want)
		for _, id := range slices.Concat(leased...) {
			i := slices.Index(idsOf(items), id)
			items[i] = heldItem(id, "me", 20*sec)
		}
	}
}

func TestPlannersBatchGrowsWithWhatItTookAndIsOneAgainAfterARoundForNothing(t *testing.T) {
	p := unlimited()
	play(p, noon, heldBy("me", 1))
	assert.Equal(t, 2, p.batch, "own rows count too")
	play(p, noon, freeItems(9))
	assert.Equal(t, 4, p.batch)
	play(p, noon, freeItems(1), "free-0")
	assert.Equal(t, 1, p.batch, "nothing was had")

	p.batch = 1 << 20
	play(p, noon, []LeaseItem{freeItem("another")})
	assert.Equal(t, 1<<20, p.batch, "it has a bound")
}

func TestPlannerTakesFreeItemsUpToItsShare(t *testing.T) {
	for name, c := range map[string]struct {
		most  int
		mine  int // that it works on
		items []LeaseItem
		want  int
	}{
		"alone: all": {items: freeItems(7), want: 7},
		"an even share": {
			items: slices.Concat(heldBy("w1", 3), freeItems(3)), want: 3,
		},
		"rounded up": {
			items: slices.Concat(heldBy("w1", 2), freeItems(3)), want: 3,
		},
		"no more than that": {
			items: slices.Concat(heldBy("w1", 1), freeItems(3)), want: 2,
		},
		"of three": {
			items: slices.Concat(heldBy("w1", 1), heldBy("w2", 1), freeItems(8)), want: 4,
		},
		"what it has counts": {
			mine: 2, items: slices.Concat(heldBy("w1", 3), freeItems(3)), want: 2,
		},
		"nothing when it has its share": {
			mine: 3, items: slices.Concat(heldBy("w1", 1), freeItems(2)), want: 0,
		},
		"nothing when it has more": {
			mine: 4, items: slices.Concat(heldBy("w1", 1), freeItems(2)), want: 0,
		},
		"within its limit":          {most: 3, items: freeItems(7), want: 3},
		"within what is left of it": {most: 3, mine: 1, items: freeItems(7), want: 2},
		"what others wish for is theirs": {
			items: append(freeItems(3), wantedBy(heldItem("a", "w1", sec), "w2", sec)), want: 2,
		},
		"a wisher counts, a holder isn't": {
			items: append(freeItems(3), wantedBy(heldItem("a", "w1", sec), "me", sec)), want: 3,
		},
	} {
		p := plannerOf(c.most, greatest)
		p.batch = 100
		for _, item := range heldBy("me", c.mine) {
			p.leased(item.LeaseID, 1)
			c.items = append(c.items, item)
		}
		assert.Len(t, slices.Concat(play(p, noon, c.items).leased...), c.want, name)
	}
}

func TestPlannersWishesTakeRoomOfItsLimit(t *testing.T) {
	for room, want := range map[int]int{1: 0, 2: 0, 3: 1, 9: 7} {
		p := plannerOf(room, greatest)
		p.batch = 100
		items := freeItems(30)
		for _, id := range []string{"a", "b"} {
			noteWish(p, noon, heldItem(id, "w1", sec))
			items = append(items, wantedBy(heldItem(id, "w1", sec), "me", sec))
		}
		assert.Len(t, slices.Concat(play(p, noon, items).leased...), want, "a limit of %d", room)
	}
}

// atItsShare is a planner that works on two items of its own, beside a worker with two
// others, and what looks show of them and some free items.
func atItsShare(free ...LeaseItem) (*planner, []LeaseItem) {
	p := unlimited()
	p.leased("mine-0", 1)
	p.leased("mine-1", 1)
	return p, append([]LeaseItem{
		heldItem("mine-0", "me", hour), heldItem("mine-1", "me", hour),
		heldItem("others-0", "w1", hour), heldItem("others-1", "w1", hour),
	}, free...)
}

func leasedAt(p *planner, now time.Time, items []LeaseItem) []string {
	return slices.Concat(play(p, now, items).leased...)
}

func TestPlannerTakesWhatLooksHaveLongShownFreeBeyondItsShare(t *testing.T) {
	for after, want := range map[time.Duration][]string{
		4*sec - 1:   nil,
		4 * sec:     {"a"},
		time.Minute: {"a"},
	} {
		p, items := atItsShare()
		p.leased("mine-2", 1)
		items = append(items, heldItem("mine-2", "me", hour), freeItem("a"))
		assert.Empty(t, leasedAt(p, noon, items), "it has its share")
		assert.Equal(t, want, leasedAt(p, noon.Add(after), items), "after %v", after)
	}
}

func TestPlannerCountsFromTheFirstLookThatShowedAnItemFree(t *testing.T) {
	p, items := atItsShare()
	p.leased("mine-2", 1)
	items = append(items, heldItem("mine-2", "me", hour), freeItem("a"))
	for after := time.Duration(0); after < 4*sec; after += sec {
		assert.Empty(t, leasedAt(p, noon.Add(after), items))
	}
	assert.Equal(t, []string{"a"}, leasedAt(p, noon.Add(4*sec), items))
}

func TestPlannerForgetsSinceWhenAnItemWasFreeWhenItIsNot(t *testing.T) {
	for name, meanwhile := range map[string][]LeaseItem{
		"held": {heldItem("a", "who isn't there any more then", hour)},
		"gone": nil,
	} {
		p, items := atItsShare()
		p.leased("mine-2", 1)
		items = append(items, heldItem("mine-2", "me", hour))
		isFree := append(slices.Clone(items), freeItem("a"))
		play(p, noon, isFree)
		play(p, noon.Add(2*sec), append(slices.Clone(items), meanwhile...))
		assert.NotContains(t, p.freeSince, "a", name)
		assert.Empty(t, leasedAt(p, noon.Add(4*sec), isFree), name)
	}
}

func TestPlannerTakesAtOnceWhatAnotherGaveUpThatAloneHasLess(t *testing.T) {
	for name, c := range map[string]struct {
		last   string // who holds the item before
		w1, w2 int    // what others have then
		want   []string
	}{
		"all others have as much":            {"w1", 2, 3, []string{"a"}},
		"and more":                           {"w1", 1, 4, []string{"a"}},
		"a third has less too":               {"w1", 2, 2, nil},
		"a third alone has less":             {"w1", 4, 1, nil},
		"it hadn't that one":                 {"w2", 2, 3, nil},
		"it was this worker's, and it rests": {"me", 2, 3, nil},
	} {
		p := unlimited()
		items := slices.Concat(heldBy("me", 3), heldBy("w1", c.w1), heldBy("w2", c.w2))
		for _, item := range items[:3] {
			p.leased(item.LeaseID, 1)
		}
		play(p, noon, append(items, heldItem("a", c.last, hour)))
		if c.last == "me" {
			p.workEnded(noon, workEnd{leaseID: "a"})
		}
		assert.Equal(t, c.want, leasedAt(p, noon.Add(sec), append(items, freeItem("a"))), name)
	}
}

func TestPlannerTakesAtOnceOneOfWhatAnotherGaveUp(t *testing.T) {
	p := unlimited()
	for _, item := range heldBy("me", 4) {
		p.leased(item.LeaseID, 1)
	}
	heldByW1 := func(leaseID string) LeaseItem { return heldItem(leaseID, "w1", hour) }
	items := slices.Concat(heldBy("me", 4), heldBy("w1", 1), heldBy("w2", 4))
	play(p, noon, slices.Concat(items, several("a", 3, heldByW1)))
	p.batch = 8
	assert.Len(t, leasedAt(p, noon.Add(sec), slices.Concat(items, several("a", 3, freeItem))), 1)
	assert.Len(t, p.round.free, 3, "each once")
}

func TestPlannerTakesLongFreeItemsFirstAndThenUpToItsShare(t *testing.T) {
	for name, c := range map[string]struct {
		batch, most int
		fresh       int
		want        []string
	}{
		// Of 7 items its share is 4: it has 2, and the 2 that have long been free.
		"no fresh one": {100, 0, 1, []string{"old-0", "old-1"}},
		// Of 14 it is 7.
		"some fresh ones": {
			100, 0, 8, []string{"old-0", "old-1", "free-0", "free-1", "free-2"},
		},
		"a batch at a time":     {1, 0, 8, []string{"old-0"}},
		"no more than its room": {100, 5, 8, []string{"old-0", "old-1", "free-0"}},
	} {
		p, items := atItsShare()
		if c.most > 0 {
			p.most = c.most
		}
		old := []LeaseItem{freeItem("old-0"), freeItem("old-1")}
		p.most, c.most = 2, p.most
		play(p, noon, append(slices.Clone(items), old...)) // It has no room yet.
		p.most = c.most
		p.batch = c.batch
		got := leasedAt(p, noon.Add(8*sec), slices.Concat(items, freeItems(c.fresh), old))
		assert.Equal(t, c.want, got, name)
	}
}

func TestPlannerTakesAllThatHasLongBeenFree(t *testing.T) {
	p, items := atItsShare(freeItems(9)...)
	p.most = 2
	play(p, noon, items)
	p.most = 100
	p.batch = 100
	assert.Len(t, leasedAt(p, noon.Add(8*sec), items), 9)
}

func TestPlannerTriesOthersInPlaceOfWhatItLostThriceInAll(t *testing.T) {
	p := unlimited()
	p.batch = 2
	ids := idsOf(freeItems(9))
	for name, c := range map[string]struct {
		lost []string
		want [][]string
	}{
		"none lost": {nil, [][]string{ids[:2]}},
		"one lost":  {ids[:1], [][]string{ids[:2], ids[2:3]}},
		"then another lost": {
			[]string{"free-0", "free-2"}, [][]string{ids[:2], ids[2:3], ids[3:4]},
		},
		"all lost": {ids, [][]string{ids[:2], ids[2:4], ids[4:6]}},
	} {
		p := unlimited()
		p.batch = 2
		assert.Equal(t, c.want, play(p, noon, freeItems(9), c.lost...).leased, name)
	}
}

func TestPlannerTriesOwnRowsThriceAtMostToo(t *testing.T) {
	p := plannerOf(1, greatest)
	own := heldBy("me", 5)
	was := play(p, noon, own, idsOf(own)...)
	assert.Equal(t, [][]string{{"me-0"}, {"me-1"}, {"me-2"}}, was.leased)
}

func TestPlannerTriesAllUnseenItemsWhileTheStoreAnswers(t *testing.T) {
	items := several("a", 10, unseenItem)
	ids := idsOf(items)
	p := plannerOf(3, greatest)
	was := play(p, noon, items, ids...)
	assert.Equal(t, [][]string{ids[:3], ids[3:6], ids[6:9], ids[9:]}, was.leased)

	p = plannerOf(3, greatest)
	was = play(p, noon, items, "a1")
	assert.Equal(t, [][]string{ids[:3], ids[3:4]}, was.leased, "up to its limit")

	was = play(unlimited(), noon, items)
	assert.Equal(t, [][]string{ids}, was.leased, "at once, if it has none")
}

func TestPlannerTriesUnseenItemsThriceOnAStoreThatFails(t *testing.T) {
	p := plannerOf(3, greatest)
	next, _ := p.looked(noon, pageOf(several("a", 20, unseenItem)), nothingUsed)
	for range 3 {
		assert.Equal(t, leaseItems, next.kind)
		for _, c := range next.items {
			p.failed(noon, c.LeaseID)
		}
		next = p.next(noon, false)
	}
	assert.Equal(t, lookAgain, next.kind)
}

// TestPlannerTriesOthersInPlaceOfALateAnswerWithinItsShare: the late one may be a lease.
func TestPlannerTriesOthersInPlaceOfALateAnswerWithinItsShare(t *testing.T) {
	p := plannerOf(3, greatest)
	p.batch = 2
	next, _ := p.looked(noon, pageOf(freeItems(9)), nothingUsed)
	require.Len(t, next.items, 2)
	p.outrun("free-1")
	next = p.next(noon, true)
	assert.Equal(t, leaseItems, next.kind)
	assert.Len(t, next.items, 2, "a batch of two, and there is room for two more")

	p.leased("free-2", 2)
	p.leased("free-0", 2)
	assert.Equal(t, lookAgain, p.next(noon, true).kind, "the fourth is still to be answered")
	assert.Equal(t, 0, p.room())
}

// TestPlannersLateLeaseIsNoneOfALaterRound: it neither counts there, nor is the item tried
// again meanwhile.
func TestPlannersLateLeaseIsNoneOfALaterRound(t *testing.T) {
	p := unlimited()
	next, _ := p.looked(noon, pageOf(freeItems(1)), nothingUsed)
	require.Equal(t, leaseItems, next.kind)
	assert.Equal(t, lookAgain, p.next(noon, false).kind)

	next, _ = p.looked(noon.Add(5*sec), pageOf(freeItems(3)), nothingUsed)
	require.Equal(t, leaseItems, next.kind)
	assert.NotEqual(t, "free-0", next.items[0].LeaseID)
	p.leased("free-0", 2)
	assert.Equal(t, 0, p.round.taking.got)
	assert.Contains(t, p.working, "free-0")
}

func TestPlannerStopsTakingSeenItemsThatAreLostThoughTheStoreAnswers(t *testing.T) {
	own := takingOf(make([]candidate, 9), 1)
	for range 3 {
		assert.Len(t, own.batch(0, true), 1)
	}
	assert.Empty(t, own.batch(0, true))
}

func TestTakingEndsWithItsCandidates(t *testing.T) {
	some := takingOf(make([]candidate, 3), 5)
	assert.Len(t, some.batch(0, true), 3)
	assert.Empty(t, some.batch(0, true))
	assert.Empty(t, new(taking).batch(0, true))
	none := taking{candidates: make([]candidate, 3), want: -1}
	assert.Empty(t, none.batch(0, true))
}

func TestCandidateSaysThatItWasWishedForAndHandedOver(t *testing.T) {
	p := unlimited()
	noteWish(p, noon, heldItem("a", "w1", sec))
	handedOver := heldItem("a", "me", sec)
	leasedSince := handedOver
	leasedSince.FencingToken++
	for name, c := range map[string]struct {
		item             LeaseItem
		wished, reserved bool
	}{
		"handed over":             {handedOver, true, true},
		"and leased since":        {leasedSince, true, false},
		"still its holder's":      {heldItem("a", "w1", sec), true, false},
		"released":                {freeItem("a"), true, false},
		"own, and not wished for": {heldItem("b", "me", sec), false, false},
	} {
		got := p.candidate(c.item)
		want := candidate{LeaseItem: c.item, wished: c.wished, handedToMe: c.reserved}
		assert.Equal(t, want, got, name)
	}
}

func TestPlannerLeasesWhatHasLongBeenFreeWhateverIsWishedFor(t *testing.T) {
	t.Parallel()
	p := plannerOf(1, greatest)
	items := heldBy("deaf", 3)
	items[0] = wantedBy(items[0], "me", 10*sec)
	noteWish(p, noon, items[0])
	items = append(items, LeaseItem{LeaseID: "free"})
	assert.Empty(t, play(p, noon, items).leased, "its room is for what it wished for")
	was := play(p, noon.Add(4*sec), items)
	assert.Equal(t, [][]string{{"free"}}, was.leased, "who was asked may be deaf")
}

func TestPlannerTriesItemsThatItHasNotSeenOneByOneAtNoGrowingCost(t *testing.T) {
	t.Parallel()
	p := plannerOf(1, greatest)
	seen := page{unseen: true}
	for _, item := range heldBy("w1", 100_000) {
		seen.items = append(seen.items, LeaseItem{LeaseID: item.LeaseID})
	}
	start := time.Now()
	next, _ := p.looked(noon, seen, nothingUsed)
	tried := 0
	for next.kind != lookAgain {
		tried += len(next.items)
		for _, c := range next.items {
			p.outrun(c.LeaseID)
		}
		next = p.next(noon, true)
	}
	assert.Equal(t, 100_000, tried)
	assert.Less(t, time.Since(start), 20*time.Second, "it took a minute when each step went through all")
}

func TestPlannerOfALongLeaseTakesWhatHasBeenFreeForTwelveSeconds(t *testing.T) {
	p := plannerFor(24*hour, 0, greatest)
	items := slices.Concat(worksOn(p, 3), heldBy("w1", 2), freeItems(1))
	for i := range items[:5] {
		items[i].Until = noon.Add(hour)
	}
	assert.Empty(t, leasedAt(p, noon, items))
	assert.Empty(t, leasedAt(p, noon.Add(12*sec-1), items))
	assert.Len(t, leasedAt(p, noon.Add(12*sec), items), 1)
}

// TestPlannerKeepsToItsShareWhereAnswersAreLate: each late answer may be a lease.
func TestPlannerKeepsToItsShareWhereAnswersAreLate(t *testing.T) {
	p := plannerOf(2, greatest)
	p.batch = 2
	next, _ := p.looked(noon, pageOf(freeItems(9)), nothingUsed)
	require.Len(t, next.items, 2)
	p.outrun("free-1")
	assert.Len(t, p.next(noon, true).items, 1)
}

func TestPlannerCountsLateAnswersWhenItWishes(t *testing.T) {
	p := trusting()
	p.batch = 2
	next, _ := p.looked(noon, pageOf(slices.Concat(heldBy("w1", 4), freeItems(2))), nothingUsed)
	require.Equal(t, leaseItems, next.kind)
	next = p.next(noon, false)
	assert.Equal(t, makeWishes, next.kind)
	assert.Len(t, next.items, 1)
}

func TestPlannerCountsNoItemsAsLeftThatRest(t *testing.T) {
	p := unlimited()
	p.looked(noon, pageOf(freeItems(1)), nothingUsed)
	p.failed(noon, "free-0")
	p.next(noon, true)
	assert.Zero(t, p.round.left)
}

func TestPlannerRemembersTheDeafThoughTheyHoldNothing(t *testing.T) {
	p := unlimited()
	p.passOver(noon, "w1")
	play(p, noon, nil)
	assert.True(t, p.heeding["w1"].deaf.isOn(noon))
}

func TestPlannerRemembersWhoHeeds(t *testing.T) {
	p := unlimited()
	p.heeding["w1"] = heeding{granted: 2}
	play(p, noon, heldBy("w1", 1))
	assert.Equal(t, heeding{granted: 2}, p.heeding["w1"])
}

func TestPlannerForgetsHoldersThatAreGone(t *testing.T) {
	p := unlimited()
	p.heeding["w1"] = heeding{granted: 2, deaf: pause{until: noon}}
	play(p, noon, heldBy("w2", 1))
	assert.Empty(t, p.heeding)
}
