package history

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/intercom/lease"
	"github.com/intercom/lease/cmd/lease/internal/dynamo"
	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/history/historytest"
)

const second = time.Second

var (
	held     = historytest.Held
	reserved = historytest.Reserved
	free     = historytest.Free
)

// text is a strip in a line: when it began and ended after noon, and all else.
func text(s Strip) string {
	at := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return t.Sub(historytest.Noon).String()
	}
	return fmt.Sprintf("%s %s %s %s/%d %s<%s", at(s.Began), at(s.Ended), s.State, s.Holder, s.Token, s.Why, s.Before)
}

func TestNotesOfAnItemSayFromWhenToWhenWhoHadItAndWhy(t *testing.T) {
	t.Parallel()
	forced := free("a", 5)
	forced.Forced = &forced.FencingToken
	spoiled := fleet.Item{Why: "odd", Tokenless: true}
	spoiled.LeaseID = "a"
	spoiled.Unusable = true
	for name, test := range map[string]struct {
		looks []fleet.Item // each 10 seconds after the one before
		want  []string
	}{
		"renewed": {[]fleet.Item{held("a", "w1", 5, 0), held("a", "w1", 5, 10*second)},
			[]string{"0s - held w1/5 <"}},
		"released, and taken": {[]fleet.Item{held("a", "w1", 5, 0), free("a", 5), held("a", "w2", 6, 20*second)},
			[]string{"0s 10s held w1/5 <", "10s 20s free /5 released<w1", "20s - held w2/6 obtained<w1"}},
		"released, and taken between two looks": {[]fleet.Item{held("a", "w1", 5, 0), held("a", "w2", 6, 10*second)},
			[]string{"0s 10s held w1/5 <", "10s - held w2/6 released<w1"}},
		"handed over": {[]fleet.Item{held("a", "w1", 5, 0), reserved("a", "w2", 5, 10*second), held("a", "w2", 6, 20*second)},
			[]string{"0s 10s held w1/5 <", "10s 20s reserved w2/5 handed_over<w1", "20s - held w2/6 handed_over<w1"}},
		"freed by force": {[]fleet.Item{held("a", "w1", 5, 0), forced},
			[]string{"0s 10s held w1/5 <", "10s - free /5 freed<w1"}},
		"ended": {[]fleet.Item{held("a", "w1", 5, -25*second), held("a", "w1", 5, -25*second)},
			[]string{"0s 10s held w1/5 <", "10s - free /5 ended<w1"}},
		"ended before the first look": {[]fleet.Item{held("a", "w1", 5, -40*second)},
			[]string{"-10s - free /5 ended<w1"}},
		"reserved, and not taken": {[]fleet.Item{held("a", "w1", 5, 0), reserved("a", "w2", 5, -15*second), reserved("a", "w2", 5, -15*second)},
			[]string{"0s 10s held w1/5 <", "10s 20s reserved w2/5 handed_over<w1", "20s - free /5 untaken<w2"}},
		"released, and kept for an older process of its name": {[]fleet.Item{held("a", "w1", 5, 0), held("a", "", 5, -15*second), held("a", "", 5, -15*second)},
			[]string{"0s 10s held w1/5 <", "10s 20s held /5 released<w1", "20s - free /5 released<w1"}},
		"ended at the beginning of time": {[]fleet.Item{{LeaseItem: lease.LeaseItem{LeaseID: "a", LesseeID: "w1", FencingToken: 5, LeaseUntil: 1, Until: time.Unix(0, 1)}}},
			[]string{"0s - free /5 ended<w1"}},
		"spoiled": {[]fleet.Item{held("a", "w1", 5, 0), spoiled},
			[]string{"0s 10s held w1/5 <", "10s - unusable /0 <w1"}},
	} {
		n, looks := newNotes(), historytest.NewLooks()
		strips := make(map[int64]Strip)
		for _, i := range test.looks {
			for id, s := range n.see(looks.Look(10*second*time.Duration(min(1, looks.Seen())), i)).strips {
				strips[id] = s
			}
		}
		var got []string
		for id := int64(1); id < n.nextID; id++ {
			got = append(got, text(strips[id]))
		}
		assert.Equal(t, test.want, got, name)
	}
}

// happened are the events of holders, in a look.
func happened(c change) (all []string) {
	for _, e := range c.events {
		if e.Item == "" {
			all = append(all, string(e.Event)+" "+e.Holder)
		}
	}
	return all
}

func TestNotesSayWhoComesLeavesAndFalls(t *testing.T) {
	t.Parallel()
	n, looks := newNotes(), historytest.NewLooks()
	see := func(after time.Duration, items ...fleet.Item) []string {
		return happened(n.see(looks.Look(after, items...)))
	}
	assert.Empty(t, see(0, held("a", "w1", 1, 0), free("b", 1), free("c", 1)), "at the first look nobody knows")
	assert.Equal(t, []string{"joined w2"}, see(5*second, held("a", "w1", 1, 5*second), held("b", "w2", 2, 5*second), free("c", 1)))
	assert.Empty(t, see(5*second, held("a", "w1", 1, 10*second), held("b", "w2", 2, 10*second), held("c", "w2", 2, 10*second)))
	assert.False(t, n.holders["w2"].IsLate(looks.Now.Add(15*second)))
	assert.True(t, n.holders["w2"].IsLate(looks.Now.Add(21*second)), "it renews none since")
	assert.Equal(t, []string{"fell w2"}, see(31*second, held("a", "w1", 1, 40*second), held("b", "w2", 2, 10*second), held("c", "w2", 2, 10*second)))
	assert.Equal(t, []string{"joined w2"}, see(4*second, held("a", "w1", 1, 40*second), held("b", "w2", 3, 44*second), held("c", "w2", 2, 10*second)), "it was only cut off")
	assert.Equal(t, []string{"left w1"}, see(second, free("a", 1), held("b", "w2", 3, 44*second), free("c", 2)))
}

func TestNotesOfOneLeaseThatEndsAreNoFallOfWhoRenewsOthers(t *testing.T) {
	t.Parallel()
	n, looks := newNotes(), historytest.NewLooks()
	n.see(looks.Look(0, held("a", "w1", 1, 0), held("b", "w1", 1, 0)))
	n.see(looks.Look(20*second, held("a", "w1", 1, 20*second), held("b", "w1", 1, 0)))
	c := n.see(looks.Look(11*second, held("a", "w1", 1, 30*second), held("b", "w1", 1, 0)))
	assert.Empty(t, happened(c))
	assert.Equal(t, fleet.Ended, n.strips["b"].Why)
}

func TestNotesOfHoldersHaveTheirLoadsAndWhatNobodyHas(t *testing.T) {
	t.Parallel()
	heavy := held("a", "w1", 1, 0)
	heavy.Weight = 6
	heavy.Capacity = 2
	n, looks := newNotes(), historytest.NewLooks()
	c := n.see(looks.Look(0, heavy, held("b", "w2", 1, 0), free("c", 1)))
	at := historytest.Noon
	want := []Sample{{"", at, 1, 1, 1}, {"w1", at, 1, 3, 2}, {"w2", at, 1, 1, 1}}
	assert.Equal(t, want, c.samples)
	c = n.see(looks.Look(second, heavy, held("b", "w2", 1, 0), held("c", "w2", 2, 0)))
	at = at.Add(second)
	assert.Equal(t, []Sample{{"", at, 0, 0, 1}, {"w2", at, 2, 2, 1}}, c.samples, "only what has changed")
}

func TestNotesSeeTwoProcessesOfOneName(t *testing.T) {
	t.Parallel()
	n, looks := newNotes(), historytest.NewLooks()
	n.see(looks.Look(0, held("a", "w1", 5, 0)))
	n.see(looks.Look(second, held("a", "", 5, 0))) // kept until the older process' lease is over
	assert.Equal(t, looks.Now, n.holders["w1"].Double)
}

func TestNotesOfALookThatFailedAreItsEventsOnly(t *testing.T) {
	t.Parallel()
	n, looks := newNotes(), historytest.NewLooks()
	n.see(looks.Look(0, held("a", "w1", 5, 0), held("b", "w1", 5, 0)))
	failed := looks.Look(second, free("a", 5), held("b", "w1", 5, 0))
	failed.Err = assert.AnError
	failed.Items = nil // as if all had been retired
	c := n.see(failed)
	assert.Len(t, c.events, 1)
	assert.Empty(t, c.strips)
	c = n.see(looks.Look(second, free("a", 5), held("b", "w1", 5, 0)))
	assert.Len(t, c.strips, 2)
	assert.Equal(t, fleet.Released, n.strips["a"].Why, "it was told before")
}

func TestNotesForgetWhoHasHadNothingForLong(t *testing.T) {
	t.Parallel()
	n, looks := newNotes(), historytest.NewLooks()
	n.see(looks.Look(0, held("a", "w1", 5, 0)))
	n.see(looks.Look(second, free("a", 5)))
	n.see(looks.Look(59*time.Minute, free("a", 5)))
	assert.Contains(t, n.holders, "w1")
	n.see(looks.Look(2*time.Minute, free("a", 5)))
	assert.NotContains(t, n.holders, "w1")
}

func TestSpanEndsWhereALookComesLate(t *testing.T) {
	t.Parallel()
	var s span
	at := func(seconds int) dynamo.Look {
		return dynamo.Look{Clock: historytest.Noon.Add(time.Duration(seconds) * second), Units: 2}
	}
	for _, seconds := range []int{0, 5, 15} {
		s.extend(at(seconds), 5*second)
	}
	assert.Equal(t, span{began: at(0).Clock, ended: at(15).Clock, looks: 3, units: 6}, s)
	s.extend(at(31), 5*second)
	assert.Equal(t, span{began: at(31).Clock, ended: at(31).Clock, looks: 1, units: 2}, s)
}
