package lease

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// ofToken is an item with that token.
func ofToken(item LeaseItem, token int64) LeaseItem {
	item.FencingToken = token
	return item
}

func TestPlannerFindsNamesakesByLaterTokens(t *testing.T) {
	mine := heldItem("a", "me", sec)
	works := func(p *planner) { p.leased("a", 7) }
	wasTaken := func(p *planner) {
		works(p)
		p.workEnded(noon, workEnd{leaseID: "a", lost: true})
	}
	handed := ofToken(wantedBy(mine, "me", sec), 8)
	longHanded := ofToken(wantedBy(mine, "me", -1), 8)
	for name, c := range map[string]struct {
		before func(p *planner)
		item   LeaseItem
		want   bool
	}{
		"of an item that it works on":                          {works, ofToken(mine, 8), true},
		"not by its own token":                                 {works, ofToken(mine, 7), false},
		"not by an older look":                                 {works, ofToken(mine, 6), false},
		"not of another's":                                     {works, ofToken(heldItem("a", "w1", sec), 8), false},
		"not of one that has ended":                            {works, ofToken(heldItem("a", "me", -1), 8), false},
		"of an item that was taken from it":                    {wasTaken, ofToken(mine, 8), true},
		"not of one that it may try to get back":               {wasTaken, ofToken(mine, 7), false},
		"not of one that was handed over to it by who took it": {wasTaken, handed, false},
		"nor when the wish for that is over":                   {wasTaken, longHanded, false},
		"not of one that it never had":                         {func(*planner) {}, ofToken(mine, 8), false},
		"not of one that it released": {func(p *planner) {
			works(p)
			p.workEnded(noon, workEnd{leaseID: "a", freed: true})
		}, ofToken(mine, 8), false},
		"not of one whose token it doesn't know": {
			func(p *planner) { p.leased("a", 0) }, ofToken(mine, 8), false,
		},
		"not while a lease of its own is not answered": {func(p *planner) {
			wasTaken(p)
			p.busy["a"] = true
		}, ofToken(mine, 8), false},
		"not after one whose answer was not heard": {func(p *planner) {
			wasTaken(p)
			p.failed(noon, "a")
		}, ofToken(mine, 8), false},
		"not after it has leased it anew": {func(p *planner) {
			wasTaken(p)
			p.leased("a", 8)
		}, ofToken(mine, 8), false},
	} {
		p := unlimited()
		c.before(p)
		_, own := p.looked(noon, pageOf([]LeaseItem{c.item}), nothingUsed)
		assert.Equal(t, c.want, len(own.namesakes) > 0, name)
	}
}

func TestPlannerShowsWhoWantsWhatItWorksOn(t *testing.T) {
	p := unlimited()
	p.leased("a", 1)
	p.leased("b", 2)
	items := []LeaseItem{
		wantedBy(heldItem("a", "me", sec), "w1", sec),
		wantedBy(heldItem("b", "me", sec), "w1", sec), // as it was before it was leased
		wantedBy(heldItem("c", "me", sec), "w1", sec),
		wantedBy(heldItem("d", "w2", sec), "w1", sec),
	}
	_, own := p.looked(noon, pageOf(items), nothingUsed)
	assert.Equal(t, []string{"a"}, idsOf(own.wanted))
}

func TestPlannerKnowsNothingOfRowsThatWereNotSeen(t *testing.T) {
	p := unlimited()
	p.leased("a", 1)
	seen := pageOf([]LeaseItem{ofToken(heldItem("a", "me", sec), 2)})
	seen.unseen = true
	_, own := p.looked(noon, seen, nothingUsed)
	assert.Zero(t, own)
}

func TestPlannerSaysWhatStaysLeasedToIt(t *testing.T) {
	end := noon.Add(20 * sec)
	mine := heldItem("a", "me", 20*sec)
	shows := func(p *planner, item LeaseItem) { p.compare(noon, []LeaseItem{item}) }
	works := func(p *planner) { p.leased("a", 1) }
	for name, c := range map[string]struct {
		happen func(p *planner)
		want   time.Time // zero: nothing
	}{
		"nothing":                      {func(*planner) {}, time.Time{}},
		"a row of before its restart":  {func(p *planner) { shows(p, mine) }, end},
		"no other's":                   {func(p *planner) { shows(p, heldItem("a", "w1", sec)) }, time.Time{}},
		"no row that has ended":        {func(p *planner) { shows(p, heldItem("a", "me", -1)) }, time.Time{}},
		"nothing that it works on":     {func(p *planner) { shows(p, mine); works(p) }, time.Time{}},
		"nor what it works on already": {func(p *planner) { works(p); shows(p, mine) }, time.Time{}},
		"what it couldn't release": {func(p *planner) {
			works(p)
			p.workEnded(noon, workEnd{leaseID: "a", rowEnd: end})
		}, end},
		"nothing that it could": {func(p *planner) {
			works(p)
			p.workEnded(noon, workEnd{leaseID: "a", freed: true, rowEnd: end})
		}, time.Time{}},
		"nor if a look shows that row as it was before": {func(p *planner) {
			works(p)
			p.workEnded(noon, workEnd{leaseID: "a", freed: true, rowEnd: end})
			shows(p, mine)
		}, time.Time{}},
		"nothing that was lost": {func(p *planner) {
			works(p)
			p.workEnded(noon, workEnd{leaseID: "a", lost: true})
		}, time.Time{}},
		"what it no longer relied on, but couldn't release": {func(p *planner) {
			works(p)
			p.workEnded(noon, workEnd{leaseID: "a", lost: true, rowEnd: end})
		}, end},
		"what may have been leased": {func(p *planner) { p.failed(noon, "a") }, noon.Add(thirty)},
		"not if a look shows that it wasn't": {func(p *planner) {
			p.failed(noon, "a")
			shows(p, freeItem("a"))
		}, time.Time{}},
		"also while it is tried again": {func(p *planner) {
			p.failed(noon, "a")
			p.busy["a"] = true
			shows(p, freeItem("a"))
		}, noon.Add(thirty)},
		"nothing that it has given back": {func(p *planner) {
			shows(p, mine)
			p.givenBack("a")
		}, time.Time{}},
	} {
		p := unlimited()
		c.happen(p)
		n, until := p.staying(noon)
		assert.Equal(t, !c.want.IsZero(), n == 1, name)
		assert.Equal(t, c.want, until, name)
		n, _ = p.staying(noon.Add(thirty))
		assert.Zero(t, n, "%s: all has ended then", name)
	}
}

func TestPlannerThatLeavesWithdrawsItsWishes(t *testing.T) {
	p := unlimited()
	assert.Empty(t, p.leave().items)
	was := play(p, noon, heldBy("w1", 4))
	last := p.leave()
	assert.Equal(t, withdrawWishes, last.kind)
	assert.Len(t, last.items, 1)
	assert.Equal(t, was.wished[0], last.items[0].LeaseID)
	assert.Equal(t, noon.Add(25*sec), last.items[0].wishUntil, "as it was written")
	assert.Empty(t, p.leave().items, "once")
}

func TestPlannerGivesBackWhatWasHandedOverAndIsOfNoUse(t *testing.T) {
	handed := func(p *planner) []LeaseItem {
		noteWish(p, noon, heldItem("a", "w1", 20*sec))
		return []LeaseItem{wantedBy(heldItem("a", "me", 20*sec), "me", 20*sec)}
	}
	p := plannerOf(1, greatest)
	p.leased("other", 1)
	assert.Equal(t, []string{"a"}, play(p, noon, handed(p)).givenBack, "it has no room")
	assert.Empty(t, p.wishes)

	p = unlimited()
	p.resting["a"] = pause{until: noon.Add(sec)}
	assert.Equal(t, []string{"a"}, play(p, noon, handed(p)).givenBack, "it rests from it")

	p = unlimited()
	next, _ := p.looked(noon, pageOf(handed(p)), func(id string) bool { return id == "a" })
	assert.Equal(t, giveBack, next.kind, "its work hangs here")

	p = unlimited()
	assert.Empty(t, play(p, noon, handed(p)).givenBack, "it leases it")

	p = plannerOf(1, greatest)
	p.leased("other", 1)
	assert.Empty(t, play(p, noon, heldBy("me", 1)).givenBack, "an older process may rely on it")
}

func TestPlannerCountsTheDeadForNobody(t *testing.T) {
	p := unlimited()
	items := []LeaseItem{heldItem("a", "w1", -1), heldItem("b", "w1", sec), heldItem("c", "w2", sec)}
	p.looked(noon, pageOf(items), nothingUsed)
	assert.Equal(t, map[string]int{"me": 0, "w2": 1}, p.round.counts)
	assert.Empty(t, p.wishable(noon).of["w1"])

	p = unlimited()
	p.looked(noon, pageOf([]LeaseItem{heldItem("a", "me", -1), heldItem("b", "w1", sec)}), nothingUsed)
	assert.Equal(t, 1, p.round.counts["w1"], "its own end is no death")
	p.looked(noon, pageOf([]LeaseItem{freeItem("a"), heldItem("b", "w1", sec)}), nothingUsed)
	assert.Equal(t, 1, p.round.counts["w1"], "nor is a release")
	p = unlimited()
	p.looked(noon, pageOf([]LeaseItem{wantedBy(heldItem("a", "w2", sec), "w1", sec),
		heldItem("b", "w1", -1)}), nothingUsed)
	want := map[string]int{"me": 0}
	assert.Equal(t, want, p.round.counts, "what is on its way to a dead one is nobody's")
	p = unlimited()
	p.looked(noon, pageOf([]LeaseItem{{LeaseID: "a", LesseeID: "w1"}, heldItem("b", "w1", sec)}), nothingUsed)
	assert.Equal(t, 1, p.round.counts["w1"], "a row without an end shows no death")
}

func TestPlannerIsNotDeadByALeaseOfItsOwnThatHasEnded(t *testing.T) {
	p := unlimited()
	p.looked(noon, pageOf([]LeaseItem{heldItem("a", "me", -1), heldItem("b", "me", sec)}), nothingUsed)
	assert.Equal(t, 1, p.round.counts["me"])
}

func TestPlannerGivesBackOnlyWhatItHasNoRoomFor(t *testing.T) {
	p := plannerOf(1, greatest)
	var items []LeaseItem
	for _, id := range idsOf(heldBy("me", 5)) {
		noteWish(p, noon, heldItem(id, "w1", 20*sec))
		items = append(items, wantedBy(heldItem(id, "me", 20*sec), "me", 20*sec))
	}
	assert.Empty(t, play(p, noon, items, idsOf(items)...).givenBack, "it may lease another yet")
}

func TestPlannerSaysThatARowStaysThatWasLeasedSince(t *testing.T) {
	p := unlimited()
	p.leased("a", 1)
	p.workEnded(noon, workEnd{leaseID: "a", freed: true})
	p.compare(noon, []LeaseItem{ofToken(heldItem("a", "me", sec), 2)})
	n, _ := p.staying(noon)
	assert.Equal(t, 1, n)
}

func TestPlannerForgetsTheEndsOfItemsThatAreGone(t *testing.T) {
	p := unlimited()
	for _, id := range []string{"a", "b"} {
		p.leased(id, 1)
		p.workEnded(noon, workEnd{leaseID: id, freed: true})
	}
	p.compare(noon, []LeaseItem{freeItem("b")})
	assert.Equal(t, map[string]ended{"b": {token: 1, freed: true}}, p.ended)
}

func TestPlannerOfAnUnknownTokenHasNoNamesake(t *testing.T) {
	p := unlimited()
	p.leased("a", 0)
	p.workEnded(noon, workEnd{leaseID: "a", lost: true})
	own := p.compare(noon, []LeaseItem{ofToken(heldItem("a", "me", sec), 8)})
	assert.Empty(t, own.namesakes)
}

func TestPlannerSaysUntilWhenTheLastStays(t *testing.T) {
	p := unlimited()
	for i := range 20 {
		p.unsure(string(rune('a'+i)), noon.Add(time.Duration(i)*sec))
	}
	for range 20 { // in any order
		n, last := p.staying(noon)
		assert.Equal(t, 19, n)
		assert.Equal(t, noon.Add(19*sec), last)
	}
}
