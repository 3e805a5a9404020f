package lease

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// weighing returns the item with a weight.
func (i LeaseItem) weighing(weight float64) LeaseItem {
	i.Weight = weight
	return i
}

// ofCapacity returns the item with what its row says of its holder's capacity.
func (i LeaseItem) ofCapacity(capacity float64) LeaseItem {
	i.Capacity = capacity
	return i
}

func TestLoadIsLessByMoreThanRoundingErrors(t *testing.T) {
	sum := 0.0
	for range 10 {
		sum += 0.1
	}
	assert.NotEqual(t, 1.0, sum)
	assert.False(t, isLess(sum, 1))
	assert.False(t, isLess(1, sum))
	assert.True(t, isLess(1, 1.0001))
	assert.False(t, isLess(0, 0))
	assert.True(t, isLess(0, 1e-300))
}

func TestPlannersLoadsAreWeightsOverCapacities(t *testing.T) {
	p := unlimited()
	p.capacity = 4
	items := []LeaseItem{
		heldItem("a", "w1", 20*sec).weighing(6).ofCapacity(3),
		heldItem("b", "w1", 20*sec).ofCapacity(9),
		heldItem("c", "w2", 20*sec).weighing(5),
		heldItem("d", "me", 20*sec).weighing(2),
		freeItem("e").weighing(9),
		wantedBy(heldItem("f", "w3", 20*sec).ofCapacity(8), "w3", 20*sec),
	}
	p.looked(noon, pageOf(slices.Clone(items)), nothingUsed)
	l := p.round.loads
	assert.Equal(t, map[string]float64{"me": 2, "w1": 7, "w2": 5, "w3": 1}, l.weights)
	assert.Equal(t, 24.0, l.total)
	assert.Equal(t, 7.0/3, l.of("w1"), "the least that its rows say")
	assert.Equal(t, 5.0, l.of("w2"), "1, as its row says none")
	assert.Equal(t, 0.5, l.of("me"))
	assert.Equal(t, 1.0, l.of("w3"), "it has not leased the row that was reserved for it")
	assert.InDelta(t, 24.0/9, l.mean(), 1e-9)
	assert.False(t, l.areCounts)
}

func TestPlannerTakesByItsCapacity(t *testing.T) {
	for capacity, want := range map[float64]int{1: 10, 2: 20, 0.5: 6} {
		p := unlimited()
		p.capacity = capacity
		p.batch = 100
		var items []LeaseItem
		for i := range 20 {
			items = append(items, freeItem(fmt.Sprint("free-", i)))
		}
		items = append(items, heldBy("w1", 10)...)
		if capacity == 1 {
			items = items[10:]
		}
		if capacity == 0.5 {
			items = items[12:]
		}
		was := play(p, noon, items)
		assert.Equal(t, want, len(slices.Concat(was.leased...)), "a capacity of %v", capacity)
	}
}

func TestPlannerTakesTheHeaviestFirst(t *testing.T) {
	p := unlimited()
	items := []LeaseItem{
		freeItem("a"),
		freeItem("b").weighing(5),
		freeItem("c").weighing(0.5),
		heldItem("d", "w1", 20*sec).weighing(50),
	}
	var leased []string
	for i := range 3 {
		leased = append(leased, slices.Concat(play(p, noon.Add(time.Duration(i)*sec), items).leased...)...)
		items = slices.DeleteFunc(items, func(item LeaseItem) bool { return slices.Contains(leased, item.LeaseID) })
	}
	assert.Equal(t, []string{"b", "a", "c"}, leased)
}

func TestPlannerWishesForWhatLevels(t *testing.T) {
	held := func(weights ...float64) (items []LeaseItem) {
		for i, weight := range weights {
			items = append(items, heldItem(fmt.Sprint("w1-", i), "w1", 20*sec).weighing(weight))
		}
		return items
	}
	for name, c := range map[string]struct {
		mine  float64
		items []LeaseItem
		want  []string
	}{
		"the one that makes the greater load least": {1, held(9, 6, 1), []string{"w1-0"}},
		"not the heaviest, which is too much":       {8, held(9, 4, 1), []string{"w1-1"}},
		"not the first that helps":                  {4, held(9, 5, 1), []string{"w1-1"}},
		"none, as any would make it worse":          {8, held(9), nil},
		"one of those that weigh the same":          {0.1, held(0.2, 0.2), []string{"w1-0"}},
	} {
		p := unlimited()
		mine := heldItem("mine", "me", 20*sec).weighing(c.mine)
		p.leased("mine", mine.FencingToken)
		assert.Equal(t, c.want, play(p, noon, append(c.items, mine)).wished, name)
	}
}

// TestPlannerWishesForNothingWhereLoadsAreNearlyLevel: to be exact would take many moves of
// small items.
func TestPlannerWishesForNothingWhereLoadsAreNearlyLevel(t *testing.T) {
	for mine, want := range map[float64]int{95: 0, 92: 1} {
		items := []LeaseItem{heldItem("mine", "me", 20*sec).weighing(mine)}
		for i := range 4 {
			heavy := heldItem(fmt.Sprint("heavy-", i), "w1", 20*sec).weighing(24)
			light := heldItem(fmt.Sprint("light-", i), "w1", 20*sec).weighing(0.5)
			items = append(items, heavy, light)
		}
		p := unlimited()
		p.leased("mine", items[0].FencingToken)
		assert.Len(t, play(p, noon, items).wished, want, "98 beside %v", mine)
	}
}

func TestPlannerGivesBackWhatIsOutsideOfItsClass(t *testing.T) {
	p := unlimited()
	noteWish(p, noon, heldItem("a", "w1", 20*sec))
	handed := wantedBy(heldItem("a", "me", 20*sec), "me", 20*sec)
	other := heldItem("b", "w1", 20*sec)
	seen := page{items: []LeaseItem{other}, outside: []LeaseItem{handed, freeItem("c")}}
	next, _ := p.looked(noon, seen, nothingUsed)
	assert.Equal(t, giveBack, next.kind)
	assert.Equal(t, "a", next.items[0].LeaseID)
	assert.Len(t, next.items, 1)
	assert.Equal(t, map[string]int{"me": 0, "w1": 1}, p.round.counts)
	assert.Empty(t, p.round.free)
}

func TestPlannerWithdrawsWishesOutsideOfItsClass(t *testing.T) {
	p := unlimited()
	items := append(heldBy("w1", 3), heldBy("w2", 3)...)
	was := play(p, noon, items)
	assert.Len(t, was.wished, 2)
	var seen page
	for _, item := range items {
		if item.LeaseID == was.wished[0] {
			seen.outside = append(seen.outside, wantedBy(item, "me", 25*sec))
		} else {
			seen.items = append(seen.items, item)
		}
	}
	next, _ := p.looked(noon.Add(sec/100), seen, nothingUsed)
	assert.Equal(t, withdrawWishes, next.kind)
	assert.Len(t, next.items, 1)
	assert.Equal(t, was.wished[0], next.items[0].LeaseID)
	assert.Equal(t, noon.Add(25*sec), next.items[0].wishUntil, "as it was written")
	assert.NotContains(t, p.wishes, was.wished[0])
	assert.Contains(t, p.wishes, was.wished[1], "that is in its class still")
	next = p.next(noon.Add(sec/100), true)
	assert.NotEqual(t, withdrawWishes, next.kind, "once")
}

func TestPlannerGivesUpWhatIsOutsideOfItsClass(t *testing.T) {
	p := unlimited()
	p.leased("a", 1)
	p.leased("b", 1)
	seen := page{
		items:   []LeaseItem{heldItem("a", "me", 20*sec)},
		outside: []LeaseItem{heldItem("b", "me", 20*sec), heldItem("c", "w1", 20*sec)},
	}
	_, own := p.looked(noon, seen, nothingUsed)
	assert.Len(t, own.outside, 1)
	assert.Equal(t, "b", own.outside[0].LeaseID)
}

// passedOn follows an item that each of these holds at one look.
func passedOn(t *travels, from time.Time, workers map[string]int, holders ...string) {
	for i, holder := range holders {
		t.follow(from.Add(time.Duration(i)), workers, []LeaseItem{heldItem("a", holder, hour)})
	}
}

func TestTravelsAreCountedForAnHourWhileWorkersAreTheSame(t *testing.T) {
	two := map[string]int{"me": 1, "w1": 2}
	a := LeaseItem{LeaseID: "a"}
	begun := func() *travels {
		trip := &travels{}
		passedOn(trip, noon, two, "w1", "me", "w1", "", "w1")
		return trip
	}
	trip := begun()
	assert.False(t, trip.isWorn(a), "twice")
	passedOn(trip, noon.Add(hour-sec), map[string]int{"me": 4, "w1": 9}, "me")
	assert.True(t, trip.isWorn(a), "whatever they have")
	passedOn(trip, noon.Add(hour-1), two, "me")
	assert.True(t, trip.isWorn(a))
	passedOn(trip, noon.Add(hour), two, "w1")
	assert.False(t, trip.isWorn(a), "an hour is over")
	passedOn(trip, noon.Add(hour+sec), two, "me", "w1", "me")
	assert.True(t, trip.isWorn(a), "it counts on from there")
	trip.follow(noon.Add(hour+2*sec), two, nil)
	passedOn(trip, noon.Add(hour+3*sec), two, "w1")
	assert.False(t, trip.isWorn(a), "it was retired, and is another")

	for name, workers := range map[string]map[string]int{
		"one has gone":      {"me": 1},
		"one has come":      {"me": 1, "w1": 2, "w2": 0},
		"one is another's":  {"me": 1, "w2": 2},
		"all are different": {"w3": 1, "w2": 2},
	} {
		trip := begun()
		passedOn(trip, noon.Add(2*sec), workers, "me")
		assert.False(t, trip.isWorn(a), name)
	}
}

// TestPlannerLeavesWhatMovesToAndFro: but where all weigh the same, nothing does.
func TestPlannerLeavesWhatMovesToAndFro(t *testing.T) {
	for _, weight := range []float64{1, 2} {
		p := unlimited()
		items := heldBy("w1", 9)
		items[0].Weight = weight
		workers := map[string]int{"me": 0, "w1": 9}
		for i, holder := range []string{"w1", "me", "w1", "me"} {
			for j := range items {
				items[j].LesseeID = holder
			}
			p.travels.follow(noon.Add(time.Duration(i)), workers, items)
		}
		for j := range items {
			items[j].LesseeID = "w1"
		}
		was := play(p, noon.Add(sec), items)
		assert.Equal(t, weight == 1, len(was.wished) > 0, "the first weighs %v", weight)
	}
}

func BenchmarkPlanALook(b *testing.B) {
	for _, size := range []struct{ workers, items int }{{10, 1000}, {1000, 10000}} {
		b.Run(fmt.Sprintf("%d workers × %d items", size.workers, size.items), func(b *testing.B) {
			random := rand.New(rand.NewPCG(1, 2))
			var items []LeaseItem
			for i := range size.items {
				holder := fmt.Sprint("w", 1+i%(size.workers-1))
				item := heldItem(fmt.Sprint("item-", i), holder, 20*sec)
				items = append(items, item.weighing(random.ExpFloat64()+0.01))
			}
			p := plannerOf(0, random)
			for b.Loop() {
				clear(p.wishes)
				p.looked(noon, pageOf(items), nothingUsed)
				for p.next(noon, true).kind != lookAgain {
				}
			}
		})
	}
}
