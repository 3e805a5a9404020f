package page

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/history"
	"github.com/intercom/lease/cmd/lease/internal/history/historytest"
)

func TestSegmentsShowWhoHadAnItemAndTheGaps(t *testing.T) {
	t.Parallel()
	minute := func(n float64) time.Time { return noon.Add(time.Duration(n * float64(time.Minute))) }
	strips := []history.Strip{
		{Began: minute(-5), Ended: minute(10), State: fleet.Held, Holder: "w1"},
		{Began: minute(10), Ended: minute(10.01), State: fleet.Reserved, Holder: "w2", Why: fleet.HandedOver, Before: "w1", Noted: true},
		{Began: minute(10.01), Ended: minute(10.02), State: fleet.Held, Holder: "w2"},
		{Began: minute(10.02), Ended: minute(20), State: fleet.Held},
		{Began: minute(20), State: fleet.Free, Why: fleet.Ended, Before: "w2", Noted: true},
	}
	var got []string
	for _, s := range segments(strips, hour, make(palette).of) {
		got = append(got, fmt.Sprintf("%s %.0f+%.0f %s", s.Class, s.X, s.Width, s.Title))
	}
	assert.Equal(t, []string{
		"held 0+100 11:55:00 to 12:10:00: held by w1; so since the first look, or a time without looks",
		"reserved 100+1 12:10:00 to 12:10:00: reserved for w2; handed over by w1",
		"idle 100+100 12:10:01 to 12:20:00: kept from all, as an older process of its last holder's name may rely on it; so since the first look, or a time without looks",
		"idle 200+400 12:20:00 to 13:00:00: free; not renewed in time by w2",
	}, got)
}

func TestSegmentsOfAnItemThatFlapsAreBounded(t *testing.T) {
	t.Parallel()
	var strips []history.Strip
	for n := range 3600 {
		at := noon.Add(time.Duration(n) * time.Second)
		s := history.Strip{Began: at, Ended: at.Add(time.Second), State: fleet.Free}
		if n%2 == 0 {
			s.State, s.Holder = fleet.Held, "w1"
		}
		strips = append(strips, s)
	}
	all := segments(strips, hour, func(string) paint { return paint{} })
	assert.LessOrEqual(t, len(all), int(stripWidth)+1)
	assert.GreaterOrEqual(t, all[len(all)-1].X, stripWidth-2, "up to the end")
}

func TestReasonSaysWhyAnItemMoved(t *testing.T) {
	t.Parallel()
	for kind, want := range map[fleet.Kind]string{
		fleet.HandedOver: "handed over by w1", fleet.Released: "released by w1", fleet.Freed: "freed by force from w1",
		fleet.Ended: "not renewed in time by w1", fleet.Obtained: "taken as it was free; before: w1",
		fleet.Registered: "registered", history.Untaken: "reserved, and not taken by w1", "": "",
	} {
		assert.Equal(t, want, reason(history.Strip{Why: kind, Before: "w1", Noted: true}))
	}
	assert.Equal(t, "released", reason(history.Strip{Why: fleet.Released}))
}

// current is an item as it is now, for so long.
func current(i fleet.Item, s history.Strip, lasts time.Duration) history.Current {
	s.State = i.State(noon)
	s.Began = noon.Add(-lasts)
	return history.Current{Item: i, Strip: s}
}

func TestExplanationSaysWhyAnItemIsFree(t *testing.T) {
	t.Parallel()
	free := historytest.Free("a", 5)
	never := free
	never.Unleased = true
	odd := fleet.Item{Why: "LeaseUntil \"soon\" is not a number"}
	odd.Unusable = true
	wanted := historytest.Held("a", "w1", 5, 0)
	wanted.WantedBy = "w2"
	wanted.WantedUntil = wanted.LeaseUntil
	for _, test := range []struct {
		is      fleet.Item
		strip   history.Strip
		workers int
		want    string
	}{
		{free, history.Strip{Why: fleet.Ended, Before: "w1"}, 0, "It is free, as w1 did not renew its lease, which ended 1m0s ago: it died, hung, or was cut off. No worker holds anything now: none may be running."},
		{free, history.Strip{Why: history.Untaken, Before: "w2"}, 0, "It is free, as w2 did not take it, for whom it was reserved until 1m0s ago. No"},
		{free, history.Strip{Why: fleet.Released, Before: "w1"}, 1, "It is free, as w1 released it 1m0s ago. 1 worker is at work, and doesn't take it: it may be at its limit, or look for other items."},
		{free, history.Strip{Why: fleet.Freed, Before: "w1"}, 3, "It is free, as an operator freed it by force 1m0s ago; before, w1 had it. 3 workers are at work, and none takes it: they may be at their limits, or look for other items."},
		{free, history.Strip{Why: fleet.Registered}, 0, "It is free since it was registered 1m0s ago. No"},
		{free, history.Strip{Before: "w1"}, 0, "It is free; before, w1 had it, and how that was over nobody saw. No"},
		{free, history.Strip{}, 0, "It is free since before it was first looked at, 1m0s ago, and its row doesn't say why. No"},
		{never, history.Strip{}, 0, "It is free, and nobody has ever leased it. No"},
		{odd, history.Strip{}, 1, `No worker can lease it: LeaseUntil "soon" is not a number.`},
		{wanted, history.Strip{Holder: "w1"}, 1, "It is held by w1 with the token 5, for another 30s. w2 asks for it."},
	} {
		s := situation{Current: current(test.is, test.strip, time.Minute), clock: noon, host: noon, workers: test.workers}
		assert.Contains(t, s.explain(), test.want)
	}
	s := situation{Current: current(free, history.Strip{Why: fleet.Released}, time.Second), clock: noon, host: noon, workers: 2}
	assert.Contains(t, s.explain(), "2 workers are at work: one may take it soon.")
}

func TestItemsAreChosenSortedAndPaged(t *testing.T) {
	t.Parallel()
	all := []history.Current{
		current(historytest.Held("Box-1", "w1", 5, 0), history.Strip{Holder: "w1"}, 3*time.Second),
		current(historytest.Free("box-2", 5), history.Strip{Before: "w9"}, time.Second),
		current(historytest.Held("c", "w0", 5, 0), history.Strip{Holder: "w0"}, 2*time.Second),
		current(historytest.Free("d", 5), history.Strip{}, 9*time.Second),
	}
	names := func(filter, order string) (names []string) {
		chosen, err := choose(all, filter, order, noon)
		assert.NoError(t, err)
		for _, c := range chosen {
			names = append(names, c.LeaseID)
		}
		return names
	}
	assert.Equal(t, []string{"box-2", "c", "Box-1", "d"}, names("", "moved"))
	assert.Equal(t, []string{"d", "box-2", "Box-1", "c"}, names("", "gaps"))
	assert.Equal(t, []string{"Box-1", "box-2"}, names("BOX", "name"))
	assert.Equal(t, []string{"box-2", "d"}, names("free", "name"))
	assert.Equal(t, []string{"box-2"}, names("w9", "name"))
	assert.Equal(t, []string{"box-2", "d", "c", "Box-1"}, names("", "holder"))
	_, err := choose(all, "", "size", noon)
	assert.ErrorContains(t, err, `sort is "size"`)

	for _, test := range []struct {
		page  int
		rows  []int
		pages int
	}{{1, []int{1, 2}, 3}, {3, []int{5}, 3}, {9, []int{5}, 3}, {0, []int{1, 2}, 3}} {
		rows, pages := pageOf([]int{1, 2, 3, 4, 5}, test.page, 2)
		assert.Equal(t, test.rows, rows)
		assert.Equal(t, test.pages, pages)
	}
	rows, pages := pageOf([]int{}, 1, 2)
	assert.Empty(t, rows)
	assert.Equal(t, 1, pages)
}

func TestHoldersThatNeedLookingAfterComeFirst(t *testing.T) {
	t.Parallel()
	live := func(name string, items int) history.Holder {
		return history.Holder{Name: name, Items: items, Weight: float64(items), Capacity: 1, Renewed: noon, Lease: 30 * time.Second}
	}
	late, double, gone, large := live("late", 1), live("double", 1), live("gone", 0), live("large", 8)
	late.Renewed = noon.Add(-21 * time.Second)
	double.Double = noon.Add(-time.Minute)
	gone.Fell = true
	large.Capacity = 2
	v := holdersOf([]history.Holder{gone, live("w1", 3), large, late, double}, map[string]history.Churn{"w1": {Obtained: 2, Given: 1, Lost: 3}}, noon)
	var names []string
	for _, h := range v.Holders {
		names = append(names, h.Holder)
	}
	assert.Equal(t, []string{"double", "late", "large", "w1", "gone"}, names)
	assert.Equal(t, 13.0/5, v.Mean)
	assert.Equal(t, 65.0, v.MeanAt)
	assert.Equal(t, []float64{4, 100}, []float64{v.Holders[2].Load, v.Holders[2].Share})
	assert.Equal(t, []int{2, 1, 3}, []int{v.Holders[3].Obtained, v.Holders[3].Given, v.Holders[3].Lost})
	double.Double = noon.Add(-time.Hour)
	assert.False(t, isDouble(double, noon), "that was long ago")
	v = holdersOf(nil, nil, noon)
	assert.NotNil(t, v.Holders)
}

func TestIdleItemsAreTheLongestFirstAndByTheirLastHolders(t *testing.T) {
	t.Parallel()
	idle := idleItems([]history.Current{
		current(historytest.Held("a", "w1", 5, 0), history.Strip{Holder: "w1"}, time.Hour),
		current(historytest.Free("b", 5), history.Strip{Before: "w2"}, time.Second),
		current(historytest.Free("c", 5), history.Strip{Before: "w2"}, time.Minute),
		current(historytest.Free("d", 5), history.Strip{}, time.Hour),
	})
	assert.Equal(t, []string{"d", "c", "b"}, []string{idle[0].LeaseID, idle[1].LeaseID, idle[2].LeaseID})
	assert.Equal(t, []lastHolder{{"w2", 2, 60, time.Minute}, {"", 1, 3600, time.Hour}}, lastHolders(idle, noon))
}
