package lease

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// constant is a source of random numbers that are all the same.
type constant uint64

func (c constant) Uint64() uint64 { return uint64(c) }

const (
	// least makes random durations as short as they can be. 0 would be refused for ever.
	least constant = 1 << 32
	// greatest makes them as long as they can be, and shuffling changes nothing.
	greatest constant = math.MaxUint64
)

// plannerOf is that of a worker "me" whose leases last 30 seconds: its period is 10.
func plannerOf(most int, random rand.Source) *planner {
	return plannerFor(thirty, most, random)
}

func plannerFor(duration time.Duration, most int, random rand.Source) *planner {
	p := newPlanner(requested{lessee: "me", duration: duration}, most, rand.New(random))
	p.hasSettled = true
	return p
}

// unlimited is one that may hold any number of items.
func unlimited() *planner { return plannerOf(0, greatest) }

func nothingUsed(string) bool { return false }

// played is what a round came to.
type played struct {
	leased    [][]string    // what was to be leased, batch by batch
	givenBack []string      // what was to be given back
	wished    []string      // what was to be wished for
	look      time.Duration // after how long to look again
}

// noteWish notes a wish that was written a while ago, and lasts a while.
func noteWish(p *planner, now time.Time, item LeaseItem) {
	p.wished(now.Add(-10*sec), candidate{LeaseItem: item, wishUntil: now.Add(15 * sec)}, true)
}

// play plays a round to its end. All that the planner wants to lease it gets, but for the
// items that another is faster to lease.
func play(p *planner, now time.Time, items []LeaseItem, lost ...string) (was played) {
	next, _ := p.looked(now, pageOf(slices.Clone(items)), nothingUsed)
	for next.kind != lookAgain {
		var ids []string
		for _, c := range next.items {
			ids = append(ids, c.LeaseID)
			switch {
			case next.kind == makeWishes:
				p.wished(now, c, true)
			case next.kind == leaseItems && slices.Contains(lost, c.LeaseID):
				p.outrun(c.LeaseID)
			case next.kind == leaseItems:
				p.leased(c.LeaseID, c.FencingToken+1)
			}
		}
		switch next.kind {
		case leaseItems:
			was.leased = append(was.leased, ids)
		case giveBack:
			was.givenBack = append(was.givenBack, ids...)
		case makeWishes:
			was.wished = append(was.wished, ids...)
		}
		next = p.next(now, true)
	}
	was.look = next.look.Sub(now)
	return was
}

func TestPlannerBeginsWithNothing(t *testing.T) {
	p := plannerOf(3, greatest)
	assert.Equal(t, 3, p.room())
	assert.Equal(t, 1, p.batch)
	assert.Equal(t, 10*sec, p.period())
	assert.Equal(t, math.MaxInt, unlimited().room())
	assert.Equal(t, time.Duration(1), plannerFor(2, 0, greatest).period(), "never 0")
}

// TestPlannerCountsStuckWorksInItsLimit: they run, until they return.
func TestPlannerCountsStuckWorksInItsLimit(t *testing.T) {
	p := plannerOf(3, greatest)
	p.leased("a", 1)
	p.leased("b", 1)
	p.workEnded(noon, workEnd{leaseID: "a", failed: true, stuck: true, freed: true})
	assert.Equal(t, 1, p.room())
	assert.Len(t, play(p, noon, heldBy("w1", 9)).wished, 1)
	p.stuckReturned(noon, "a")
	assert.Equal(t, 2, p.room())
	p.workEnded(noon, workEnd{leaseID: "b", failed: true})
	assert.Equal(t, 3, p.room())

	p = plannerOf(2, greatest)
	p.leased("a", 1)
	p.workEnded(noon, workEnd{leaseID: "a", failed: true, stuck: true, freed: true})
	p.leased("b", 1)
	items := []LeaseItem{heldItem("w1-0", "w1", 20*sec), heldItem("b", "me", 20*sec)}
	assert.Empty(t, play(p, noon, append(items, heldBy("w1", 9)[1:]...)).wished)
}

// TestPlannerRestsFromAStuckWork: as from one that failed; and for a period more when it has
// returned.
func TestPlannerRestsFromAStuckWork(t *testing.T) {
	p := unlimited()
	p.leased("a", 1)
	rest := p.workEnded(noon, workEnd{leaseID: "a", failed: true, stuck: true, freed: true})
	assert.Equal(t, noon.Add(10*sec), rest.until)
	p.stuckReturned(noon.Add(sec), "a")
	assert.Equal(t, noon.Add(10*sec), p.resting["a"].until, "it rests already")

	p.leased("a", 2)
	rest = p.workEnded(noon, workEnd{leaseID: "a", failed: true, stuck: true, freed: true})
	assert.Equal(t, noon.Add(20*sec), rest.until, "twice as long")
	p.stuckReturned(noon.Add(hour), "a")
	assert.Equal(t, noon.Add(hour+10*sec), p.resting["a"].until)
	assert.Empty(t, p.hung)
}

func TestPlannersRoomIsNeverLessThanNothing(t *testing.T) {
	p := plannerOf(1, greatest)
	p.leased("a", 1)
	assert.Equal(t, 0, p.room())
	p.leased("b", 1)
	assert.Equal(t, 0, p.room())
}

func TestPauseIsOverAtItsEnd(t *testing.T) {
	on := pause{}.steady(noon, sec)
	assert.True(t, on.isOn(noon.Add(sec-1)))
	assert.False(t, on.isOn(noon.Add(sec)))
	assert.False(t, pause{}.isOn(noon))
}

func TestPauseGrowsWithEachFailureWithinBounds(t *testing.T) {
	var p pause
	for _, want := range []time.Duration{10 * sec, 20 * sec, 40 * sec, 50 * sec, 50 * sec} {
		p = p.growing(noon, 10*sec, 50*sec)
		assert.Equal(t, pause{until: noon.Add(want), grown: want}, p)
	}
	p = p.steady(noon, sec)
	assert.Equal(t, pause{until: noon.Add(sec), grown: 50 * sec}, p, "again doesn't make it grow")
	p = pause{}.growing(noon, time.Hour, time.Minute)
	assert.Equal(t, time.Hour, p.grown, "the least counts more than the most")
}

func TestPlannerCountsItemsForWhoIsToHaveThem(t *testing.T) {
	held := heldItem("a", "w1", 20*sec)
	for name, c := range map[string]struct {
		item LeaseItem
		want map[string]int
	}{
		"held":                  {held, map[string]int{"me": 0, "w1": 1}},
		"at its end":            {heldItem("a", "w1", 0), map[string]int{"me": 0, "w1": 1}},
		"ended":                 {heldItem("a", "w1", -1), map[string]int{"me": 0}},
		"released":              {freeItem("a"), map[string]int{"me": 0}},
		"mine":                  {heldItem("a", "me", sec), map[string]int{"me": 1}},
		"wanted by another":     {wantedBy(held, "w2", sec), map[string]int{"me": 0, "w2": 1}},
		"wanted by me":          {wantedBy(held, "me", sec), map[string]int{"me": 1}},
		"wanted by an operator": {wantedBy(held, "", sec), map[string]int{"me": 0}},
		"wanted no more":        {wantedBy(held, "w2", -1), map[string]int{"me": 0, "w1": 1}},
		"wanted too far ahead":  {wantedBy(held, "w2", hour), map[string]int{"me": 0, "w1": 1}},
		"ended, and wanted": {
			wantedBy(heldItem("a", "w1", -1), "w2", sec), map[string]int{"me": 0},
		},
		"mine, wanted by another": {
			wantedBy(heldItem("a", "me", sec), "w2", sec), map[string]int{"me": 0, "w2": 1},
		},
		"kept back after a release": {heldItem("a", "", sec), map[string]int{"me": 0}},
	} {
		assert.Equal(t, c.want, unlimited().count(noon, []LeaseItem{c.item}), name)
	}
	counts := unlimited().count(noon, slices.Concat(heldBy("w1", 3), heldBy("me", 2), freeItems(5)))
	assert.Equal(t, map[string]int{"me": 2, "w1": 3}, counts)
}

func TestPlannerShufflesWhatALookShows(t *testing.T) {
	firsts := make(map[string]bool)
	for seed := range uint64(40) {
		p := plannerOf(0, rand.NewPCG(seed, 1))
		firsts[play(p, noon, freeItems(4)).leased[0][0]] = true
	}
	assert.Len(t, firsts, 4, "each worker begins with another item")
}

func TestRoundLeasesOwnRowsThenFreeOnesThenWishesThenLooks(t *testing.T) {
	p := unlimited()
	items := slices.Concat(heldBy("w1", 9), freeItems(2), heldBy("me", 2))
	was := play(p, noon, items)
	assert.Equal(t, [][]string{{"me-0", "me-1"}, {"free-0"}}, was.leased)
	assert.Len(t, was.wished, 1, "one at each holder at first")
	assert.Len(t, p.working, 3)
	assert.Len(t, p.wishes, 1)
	assert.Equal(t, 2, p.batch, "it has grown once")
}

func TestRoundOfNothingOnlyLooks(t *testing.T) {
	next, _ := unlimited().looked(noon, pageOf(nil), nothingUsed)
	assert.Equal(t, lookAgain, next.kind)
	assert.Equal(t, noon.Add(10*sec+500*ms), next.look)
}

func TestPlannerForgetsTheWishForWhatItHasLeased(t *testing.T) {
	p := unlimited()
	noteWish(p, noon, heldItem("a", "w1", sec))
	noteWish(p, noon, heldItem("b", "w1", sec))
	p.leased("a", 1)
	assert.Contains(t, p.wishes, "b")
	assert.Len(t, p.wishes, 1)
}

func TestPlannerLeavesAnItemAloneForAPeriodAfterAFailedLease(t *testing.T) {
	p := unlimited()
	items := []LeaseItem{freeItem("a")}
	next, _ := p.looked(noon, pageOf(slices.Clone(items)), nothingUsed)
	require.Equal(t, leaseItems, next.kind)
	p.failed(noon, "a")
	assert.Equal(t, lookAgain, p.next(noon, false).kind)
	assert.Empty(t, play(p, noon.Add(10*sec-1), items).leased)
	p.failed(noon, "a")
	assert.Equal(t, [][]string{{"a"}}, play(p, noon.Add(10*sec), items).leased, "it doesn't grow")
}

// looks are the least and the greatest time to the next look.
func looks(setUp func(p *planner), items []LeaseItem) (shortest, longest time.Duration) {
	var at []time.Duration
	for _, random := range []constant{least, greatest} {
		p := plannerOf(0, random)
		setUp(p)
		at = append(at, play(p, noon, items).look)
	}
	return at[0], at[1]
}

// crowd are so many workers with an item each. Together with "me" they are one more.
func crowd(n int) (items []LeaseItem) {
	for i := range n {
		items = append(items, heldBy(fmt.Sprintf("w%d", i), 1)...)
	}
	return items
}

func TestPlannersNextLook(t *testing.T) {
	quiet := func(*planner) {}
	wishing := func(p *planner) { p.wishes["other"] = wishMade{} }
	hasWish := []LeaseItem{wantedBy(heldItem("other", "w1", 20*sec), "me", 20*sec)}
	setWish := func(p *planner) { noteWish(p, noon, heldItem("other", "w1", 20*sec)) }
	hasFree := []LeaseItem{freeItem("a"), freeItem("b")}
	resting := func(p *planner) {
		p.resting["a"] = pause{until: noon.Add(hour)}
		p.resting["b"] = pause{until: noon.Add(hour)}
	}
	for name, c := range map[string]struct {
		setUp             func(p *planner)
		items             []LeaseItem
		shortest, longest time.Duration
	}{
		"after a period, less or more by a twentieth": {
			quiet, heldBy("w1", 1), 9500 * ms, 10500 * ms,
		},
		"a third of one while wishes are out": {setWish, hasWish, 3166666667, 3499999999},
		"a period when all wishes are gone": {
			wishing, heldBy("w1", 1), 9500 * ms, 10500 * ms,
		},
		"soon as it took something": {quiet, hasFree, 316666667, 699999998},
		"soon as it took own rows": {
			quiet, heldBy("me", 1), 316666667, 699999998,
		},
		"soon, wishes or not": {
			setWish, slices.Concat(hasWish, hasFree), 316666667, 699999998,
		},
		"a period when it took nothing": {resting, hasFree, 9500 * ms, 10500 * ms},
		"a fleet of 100":                {quiet, crowd(99), 9500 * ms, 10500 * ms},
		"a fleet of 101":                {quiet, crowd(100), 9595 * ms, 10605 * ms},
		"a fleet of 300":                {quiet, crowd(299), 28500 * ms, 31500 * ms},
		"a fleet of 300, with a wish out": {
			setWish, slices.Concat(hasWish, crowd(299)), 3166666667, 3499999999,
		},
	} {
		shortest, longest := looks(c.setUp, c.items)
		assert.InDelta(t, c.shortest.Seconds(), shortest.Seconds(), 1e-6, name)
		assert.InDelta(t, c.longest.Seconds(), longest.Seconds(), 1e-6, name)
	}
}

// TestPlannersFirstQuietLookIsFollowedByTheNextAtAnyTime: those that have begun together are
// not to look together for ever.
func TestPlannersFirstQuietLookIsFollowedByTheNextAtAnyTime(t *testing.T) {
	begun := func(p *planner) { p.hasSettled = false }
	shortest, longest := looks(begun, heldBy("w1", 1))
	assert.InDelta(t, 4.75, shortest.Seconds(), 1e-6)
	assert.InDelta(t, 10.5, longest.Seconds(), 1e-6)

	p := unlimited()
	begun(p)
	play(p, noon, heldBy("w1", 1))
	assert.True(t, p.hasSettled)
}

func TestPlannerOfALargeFleetLooksAfterAPeriodWhileItemsAreFree(t *testing.T) {
	p := plannerOf(1, greatest)
	p.leased("mine", 1)
	was := play(p, noon, slices.Concat(crowd(299), freeItems(1)))
	assert.Empty(t, was.leased, "it has no room")
	assert.Equal(t, 10500*ms, was.look)
}

func TestPlannersLooksWithLongLeases(t *testing.T) {
	wish := wantedBy(heldItem("a", "w1", 20*sec), "me", 20*sec)
	for name, c := range map[string]struct {
		duration time.Duration
		items    []LeaseItem
		want     time.Duration
	}{
		"wishes are out":                   {time.Hour, []LeaseItem{wish}, 10 * sec},
		"wishes are out, a minute":         {time.Minute, []LeaseItem{wish}, 20 * sec / 3},
		"a minute and a half":              {90 * time.Second, crowd(9), 30 * time.Second},
		"more":                             {91 * time.Second, crowd(9), 30 * time.Second},
		"a day":                            {24 * hour, crowd(9), 30 * time.Second},
		"a fleet of 200, periods of 10 h":  {30 * time.Hour, crowd(199), time.Minute},
		"a fleet of 2000, periods of 10 h": {30 * time.Hour, crowd(1999), 10 * time.Minute},
	} {
		p := plannerFor(c.duration, 0, greatest)
		noteWish(p, noon, heldItem("a", "w1", 20*sec))
		look := play(p, noon, c.items).look
		assert.InDelta(t, c.want.Seconds()*1.05, look.Seconds(), 1e-3, name)
	}
}

func TestPlannerLooksRightAfterTheEndOfALeaseThatWasNotRenewed(t *testing.T) {
	const wait = 10500 * ms
	for name, c := range map[string]struct {
		first, second LeaseItem
		want          time.Duration // after the second look, at noon
	}{
		"not renewed": {
			heldItem("a", "w1", 2*sec), heldItem("a", "w1", 2*sec), 3001 * ms,
		},
		"renewed":          {heldItem("a", "w1", sec), heldItem("a", "w1", 2*sec), wait},
		"leased meanwhile": {freeItem("a"), heldItem("a", "w1", 2*sec), wait},
		"another":          {heldItem("b", "w1", 2*sec), heldItem("a", "w1", 2*sec), wait},
		"its end is now":   {heldItem("a", "w1", 0), heldItem("a", "w1", 0), wait},
		"its end is next":  {heldItem("a", "w1", 1), heldItem("a", "w1", 1), 1001*ms + 1},
		"it ends after that look": {
			heldItem("a", "w1", 9500*ms), heldItem("a", "w1", 9500*ms), wait,
		},
		"it ends before it": {
			heldItem("a", "w1", 9498*ms), heldItem("a", "w1", 9498*ms), 10499 * ms,
		},
		"this worker's": {heldItem("a", "me", 2*sec), heldItem("a", "me", 2*sec), wait},
	} {
		p := unlimited()
		if c.second.LesseeID == "me" {
			p.working["a"] = 7
		}
		play(p, noon.Add(-5*sec), []LeaseItem{c.first})
		was := play(p, noon, []LeaseItem{c.second})
		assert.Equal(t, c.want, was.look, name)
	}
}

func TestPlannerLooksAfterTheFirstOfSeveralEnds(t *testing.T) {
	for random, want := range map[constant]time.Duration{least: 2001 * ms, greatest: 3001 * ms} {
		p := plannerOf(0, random)
		items := []LeaseItem{
			heldItem("a", "w1", 3*sec),
			heldItem("b", "w2", 2*sec),
			heldItem("c", "w3", 4*sec),
		}
		play(p, noon.Add(-5*sec), items)
		assert.Equal(t, want, play(p, noon, items).look)
	}
}

func TestPlannerLooksAgainAfterAFailedLook(t *testing.T) {
	for duration, want := range map[time.Duration]time.Duration{
		30 * ms:          100 * ms,
		3 * sec:          sec,
		thirty:           10 * sec,
		33 * sec:         10 * sec,
		30 * time.Minute: 10 * sec,
	} {
		assert.Equal(t, noon.Add(want), plannerFor(duration, 0, greatest).lookFailed(noon))
	}
}

func TestPlannersRequestsMayTakeASixthOfALeaseWithinBounds(t *testing.T) {
	for duration, want := range map[time.Duration]time.Duration{
		sec:         sec,
		6 * sec:     sec,
		12 * sec:    2 * sec,
		thirty:      5 * sec,
		time.Minute: 5 * sec,
	} {
		assert.Equal(t, want, requestTimeout(duration), "%v", duration)
	}
}

// TestPlannerRestsFromAnItemWhoseWorkHasEnded goes through all ways in which work may end.
func TestPlannerRestsFromAnItemWhoseWorkHasEnded(t *testing.T) {
	for bits := range 1 << 5 {
		end := workEnd{
			leaseID:   "a",
			lasted:    sec,
			toldToEnd: bits&1 > 0,
			wished:    bits&2 > 0,
			failed:    bits&4 > 0,
			lost:      bits&8 > 0,
		}
		isLong := bits&16 > 0
		if isLong {
			end.lasted = hour
		}
		p := unlimited()
		p.leased("a", 1)
		p.leased("b", 1)
		p.resting["a"] = pause{grown: 20 * sec} // It has failed before.
		p.restless = pause{grown: 20 * sec, until: noon.Add(sec)}

		rest := p.workEnded(noon, end)

		what := fmt.Sprintf("%+v", end)
		assert.Equal(t, map[string]int64{"b": 1}, p.working, what)
		assert.Equal(t, wantRest(end, isLong), rest, what)
		assert.Equal(t, wantRestless(end, isLong), p.restless, what)
		if !end.lost {
			assert.Equal(t, rest, p.resting["a"], what)
		}
	}
}

func wantRest(end workEnd, isLong bool) pause {
	isFault := end.failed && !end.toldToEnd
	switch {
	case end.lost:
		return pause{}
	case isFault && isLong:
		return pause{until: noon.Add(10 * sec), grown: 10 * sec}
	case isFault:
		return pause{until: noon.Add(40 * sec), grown: 40 * sec}
	case isLong:
		return pause{until: noon.Add(10 * sec)}
	}
	return pause{until: noon.Add(10 * sec), grown: 20 * sec}
}

func wantRestless(end workEnd, isLong bool) pause {
	isForNothing := end.wished && !end.toldToEnd
	switch {
	case isLong:
		return pause{}
	case isForNothing && !end.lost:
		return pause{until: noon.Add(40 * sec), grown: 40 * sec}
	}
	return pause{grown: 20 * sec, until: noon.Add(sec)}
}

func TestPlannerRestsLongerAfterEachErrorFiveMinutesAtMost(t *testing.T) {
	p := unlimited()
	for _, want := range []time.Duration{
		10 * sec, 20 * sec, 40 * sec, 80 * sec, 160 * sec, 5 * time.Minute, 5 * time.Minute,
	} {
		rest := p.workEnded(noon, workEnd{leaseID: "a", failed: true, wished: true})
		assert.Equal(t, noon.Add(want), rest.until)
		assert.Equal(t, noon.Add(want), p.restless.until)
	}
	rest := p.workEnded(noon, workEnd{leaseID: "b", failed: true})
	assert.Equal(t, noon.Add(10*sec), rest.until, "each item counts by itself")

	ofHours := plannerFor(3*hour, 0, greatest)
	rest = ofHours.workEnded(noon, workEnd{leaseID: "a", failed: true})
	assert.Equal(t, noon.Add(30*sec), rest.until, "half a minute, where a period is longer")
}

func TestWorkIsLongFromAMinuteOrThreeLeasesOn(t *testing.T) {
	for duration, want := range map[time.Duration]time.Duration{
		sec:         time.Minute,
		20 * sec:    time.Minute,
		thirty:      90 * sec,
		time.Minute: 3 * time.Minute,
	} {
		p := plannerFor(duration, 0, greatest)
		assert.False(t, p.isLong(want-1), "%v", duration)
		assert.True(t, p.isLong(want), "%v", duration)
	}
}

func TestPlannerHasNoPartInItemsThatRest(t *testing.T) {
	p := unlimited()
	p.leased("free-0", 1)
	p.workEnded(noon, workEnd{leaseID: "free-0"})
	assert.Empty(t, play(p, noon.Add(10*sec-1), freeItems(1)).leased)
	assert.Equal(t, [][]string{{"free-0"}}, play(p, noon.Add(10*sec), freeItems(1)).leased)
}

func TestPlannerForgetsTheRestOfItemsThatAreGone(t *testing.T) {
	p := unlimited()
	p.workEnded(noon, workEnd{leaseID: "gone", failed: true})
	p.workEnded(noon, workEnd{leaseID: "free-0", failed: true})
	later := noon.Add(time.Minute)
	play(p, later, freeItems(1))
	assert.NotContains(t, p.resting, "gone")
	rest := p.workEnded(later, workEnd{leaseID: "free-0", failed: true})
	assert.Equal(t, 20*sec, rest.grown, "but not that of others, though it is over")
}

func TestPlannerRemembersTheRestOfAnItemThatItWorksOn(t *testing.T) {
	p := unlimited()
	p.workEnded(noon, workEnd{leaseID: "me-0", failed: true})
	p.leased("me-0", 1)
	play(p, noon, heldBy("me", 1))
	rest := p.workEnded(noon, workEnd{leaseID: "me-0", failed: true})
	assert.Equal(t, 20*sec, rest.grown)
}

func TestPlannerCountsWhatItAsksForAsItsOwn(t *testing.T) {
	for _, item := range []LeaseItem{freeItem("a"), heldItem("a", "w1", sec)} {
		p := unlimited()
		p.busy["a"] = true
		assert.Equal(t, 1, p.count(noon, []LeaseItem{item})["me"])
	}
}

func TestPlannerLooksSoonWhereOthersWereFaster(t *testing.T) {
	items := freeItems(9)
	was := play(unlimited(), noon, items, idsOf(items)...)
	assert.Less(t, was.look, sec, "there may be more")
}

func TestPlannerOfUnseenItemsLooksAtItsPace(t *testing.T) {
	items := several("a", 9, unseenItem)
	was := play(unlimited(), noon, items, idsOf(items)...)
	assert.Equal(t, 10500*ms, was.look, "others may have them all")
}

func TestPlannersEarlyLooksAreTwoSecondsApartAtMost(t *testing.T) {
	was := play(plannerFor(24*hour, 0, greatest), noon, freeItems(2))
	assert.LessOrEqual(t, was.look, 2100*ms)
}

func TestPlannerLooksSoonerWhileItCouldHoldMore(t *testing.T) {
	for most, want := range map[int]time.Duration{0: 5250 * ms, 3: 10500 * ms} {
		p := plannerOf(most, greatest)
		items := slices.Concat(worksOn(p, 3), heldBy("w1", 2), freeItems(1))
		was := play(p, noon, items)
		assert.Empty(t, was.leased, "it has its share")
		assert.Equal(t, want, was.look)
	}
}

func TestPlannerOfALongLeaseLooksSoonAfterAnEnd(t *testing.T) {
	p := plannerFor(24*hour, 0, greatest)
	items := []LeaseItem{heldItem("a", "w1", 2*sec)}
	play(p, noon.Add(-5*sec), items)
	assert.Equal(t, 5001*ms, play(p, noon, items).look)
}
