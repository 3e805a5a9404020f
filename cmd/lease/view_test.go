package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/intercom/lease"
)

func TestViewThatIsOldSaysSoAndFreesNothing(t *testing.T) {
	t.Parallel()
	looked := time.Now().Add(-10 * time.Second)
	held := item{LeaseItem: lease.LeaseItem{LeaseID: "a", LesseeID: "w1", FencingToken: 1, Until: looked.Add(time.Second), LeaseUntil: looked.Add(time.Second).UnixNano()}}
	v := &view{title: "t", mark: 5 * time.Second, items: []item{held}, at: looked}
	lines := v.lines(24, time.Now())
	assert.Contains(t, lines[0].text, "NO ANSWER YET, shown is what was 10s ago")
	assert.Contains(t, lines[1].text, "1 held, 0 reserved, 0 free")
	v.at = time.Now()
	assert.Contains(t, v.lines(24, time.Now())[1].text, "0 held, 0 reserved, 1 free")
}

func TestViewScrollsAndMarksWhatHasChanged(t *testing.T) {
	t.Parallel()
	var items []item
	for n := range 30 {
		i := heldItem("w1", 5)
		i.LeaseID = fmt.Sprintf("item-%02d", n)
		items = append(items, i)
	}
	v := &view{title: "t", mark: 5 * time.Second, changed: make(map[string]time.Time)}
	v.take(look{items: items, at: noon, events: []event{
		{Event: obtained, Item: "item-01", Holder: "w1"},
		{Event: renewed, Item: "item-02", Holder: "w1"},
	}}, "")
	const height = 16 // status, counts, header, 9 items, how many there are, an event, and two blank lines
	text := func(now time.Time) (all []string) {
		for _, l := range v.lines(height, now) {
			all = append(all, strings.TrimSpace(l.text))
		}
		return all
	}
	shown := text(noon)
	assert.Len(t, shown, height)
	assert.Equal(t, "lease watch  t  q leaves", shown[0])
	assert.Equal(t, "30 items: 30 held, 0 reserved, 0 free, 0 never leased, 0 unusable; holders: 1", shown[1])
	assert.Regexp(t, `^ITEM +STATE +HOLDER +ENDS IN +TOKEN +WANTED BY$`, shown[3])
	assert.Regexp(t, `^item-00 +held +w1 +20s +5 +-$`, shown[4])
	assert.Regexp(t, `^\* item-01 `, shown[5])
	assert.Regexp(t, `^item-02 `, shown[6], "a renewal is shown with -v only")
	assert.Equal(t, "1 to 9 of 30 items", shown[13])
	assert.Contains(t, shown[15], "obtained     item-01  by w1")

	for _, test := range []struct{ key, first string }{
		{"j", "item-01"}, {" ", "item-10"}, {"\x1b[A", "item-09"}, {"b", "item-00"}, {"k", "item-00"}, {"G", "item-21"}, {"x", "item-21"}, {"g", "item-00"},
	} {
		assert.False(t, v.press(test.key))
		assert.Regexp(t, `^(\* )?`+test.first+` `, text(noon)[4], test.key)
	}
	for _, key := range []string{"q", "Q", "\x03"} {
		assert.True(t, v.press(key))
	}

	v.take(look{items: items, at: noon.Add(6 * time.Second)}, "")
	assert.Regexp(t, `^item-01 `, text(noon.Add(6 * time.Second))[5], "it is marked no longer")
	v.take(look{items: items, at: noon.Add(7 * time.Second)}, "no answer")
	assert.Equal(t, "LOOKING FAILS, shown is what was 2s ago: no answer", text(noon.Add(8 * time.Second))[0])
}

func TestViewKeepsTheLatestEvents(t *testing.T) {
	t.Parallel()
	v := &view{changed: make(map[string]time.Time)}
	for n := range 7 {
		v.take(look{at: noon, events: []event{{Event: registered, Item: fmt.Sprint(n)}}}, "")
	}
	var kept []string
	for _, e := range v.events {
		kept = append(kept, e.Item)
	}
	assert.Equal(t, []string{"2", "3", "4", "5", "6"}, kept)
}
