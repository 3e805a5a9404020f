package page

import (
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/history"
	"github.com/intercom/lease/cmd/lease/internal/history/historytest"
)

var noon = historytest.Noon

// hour is a window that begins at noon.
var hour = window{From: noon, To: noon.Add(time.Hour)}

func TestWindowIsWhatTheQueryAsksFor(t *testing.T) {
	t.Parallel()
	first := noon.Add(-4 * time.Minute)
	for query, want := range map[string]window{
		"":                                    {From: first, To: noon, Last: 4 * time.Minute},
		"last=6h":                             {From: noon.Add(-6 * time.Hour), To: noon, Last: 6 * time.Hour},
		"from=1767355200000&to=1767358800000": {From: noon, To: noon.Add(time.Hour)},
	} {
		q, err := url.ParseQuery(query)
		assert.NoError(t, err)
		w, err := parseWindow(q, first, noon)
		assert.NoError(t, err, query)
		assert.Equal(t, want, w, query)
	}
	q := url.Values{}
	w, err := parseWindow(q, noon.Add(-time.Second), noon)
	assert.NoError(t, err)
	assert.Equal(t, time.Minute, w.Last, "at least a minute")
	for query, words := range map[string]string{
		"last=x": `last is "x"`, "last=1s": "want 10s to", "last=-1h": "want 10s to", "last=": `last is ""`,
		"from=1": `to is ""`, "from=x&to=1": `from is "x"`, "from=5&to=4": "want 10s", "from=-1&to=9": `from is "-1"`,
		"from=0&to=99999999999999": "want 10s", "from=99999999999999999&to=1": "from is",
	} {
		q, err := url.ParseQuery(query)
		assert.NoError(t, err)
		_, err = parseWindow(q, first, noon)
		assert.ErrorContains(t, err, words, query)
	}
}

func TestWindowTicksAreFewAndInside(t *testing.T) {
	t.Parallel()
	for length := least; length < widest; length = length * 17 / 10 {
		w := window{From: noon.Add(time.Millisecond), To: noon.Add(length)}
		ticks := w.ticks(100, 9)
		assert.LessOrEqual(t, len(ticks), 14, length)
		assert.NotEmpty(t, ticks, length)
		for _, tick := range ticks {
			assert.True(t, tick.At > 0 && tick.At < 98, "%v: %v", length, tick)
		}
	}
}

func TestSeriesHaveWhatEachHadAtTheEndOfEachColumn(t *testing.T) {
	t.Parallel()
	column := time.Hour / columns
	all := seriesOf([]history.Sample{
		{Holder: "", At: noon.Add(-time.Minute), Items: 2, Load: 2},
		{Holder: "w1", At: noon.Add(-time.Minute), Items: 4, Load: 9},
		{Holder: "gone", At: noon.Add(-time.Minute)},
		{Holder: "w2", At: noon.Add(10 * column), Items: 3, Load: 1},
		{Holder: "w1", At: noon.Add(10*column + time.Second), Items: 1, Load: 2},
		{Holder: "w1", At: noon.Add(time.Hour), Items: 7, Load: 8},
	}, hour, false)
	arrange(all, make(palette).number)
	assert.Equal(t, []string{"w1", "w2", ""}, []string{all[0].Holder, all[1].Holder, all[2].Holder}, "nobody is last")
	w1, w2 := all[0].Values, all[1].Values
	assert.Equal(t, []float64{4, 4, 1, 1, 7}, []float64{w1[0], w1[9], w1[10], w1[columns-2], w1[columns-1]})
	assert.Equal(t, []float64{0, 3, 3}, []float64{w2[8], w2[9], w2[columns-1]})
	byLoad := seriesOf([]history.Sample{{Holder: "w1", At: noon, Items: 4, Load: 9}}, hour, true)
	assert.Equal(t, 9.0, byLoad[0].Values[0])
}

func TestPictureStacksTheBandsAndNamesThoseWithRoom(t *testing.T) {
	t.Parallel()
	series := seriesOf([]history.Sample{
		{Holder: "w1", At: noon, Items: 100}, {Holder: "w2", At: noon, Items: 1},
		{Holder: "w2", At: noon.Add(30 * time.Minute), Items: 0},
	}, hour, false)
	p := draw(hour, series, []int{0, 3}, make(palette).of)
	assert.Equal(t, []string{"0", "60", "120"}, []string{p.YTicks[0].Text, p.YTicks[1].Text, p.YTicks[2].Text})
	assert.Equal(t, "M40 86H860V286H40Z", p.Bands[0].Path)
	assert.Equal(t, 186.0, p.Bands[0].Label)
	assert.Equal(t, "M40 84H448V86H860V86H40Z", p.Bands[1].Path, "up to where it has left")
	assert.Zero(t, p.Bands[1].Label, "there is no room")
	assert.Equal(t, 3, p.Most)
	assert.Len(t, p.Moves, 1)
	assert.NotPanics(t, func() { draw(hour, nil, nil, make(palette).of) })
}

func TestMarksOfOneTimeAreOneAndTextsHaveRoom(t *testing.T) {
	t.Parallel()
	at := func(minutes int, kind fleet.Kind, holder string) fleet.Event {
		return fleet.Event{Time: fleet.Moment(noon.Add(time.Duration(minutes) * time.Minute).UnixNano()), Event: kind, Holder: holder}
	}
	marks := marksOf([]fleet.Event{
		at(0, history.Joined, "w1"), at(0, history.Joined, "w2"), at(0, history.Fell, "w3"), at(1, history.Left, "w4"),
		at(2, history.Fell, "\u202eodd"), at(60, history.Joined, "the last one"),
	}, hour)
	texts := make([]string, len(marks))
	for n, m := range marks {
		texts[n] = m.Text
	}
	assert.Equal(t, []string{"▲ 2 joined", "✕ w3", "▽ w4", `✕ "\u202eodd"`, "▲ the last one"}, texts)
	assert.Equal(t, []float64{13, 26, 39, 0}, []float64{marks[0].Y, marks[1].Y, marks[2].Y, marks[3].Y}, "the fourth has no room")
	assert.Equal(t, "12:00:00  w1 joined\n12:00:00  w2 joined", marks[0].Title)
}

func TestGapsAreTheTimesBetweenLooks(t *testing.T) {
	t.Parallel()
	minute := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }
	live := window{From: noon, To: minute(60), Last: time.Hour}
	gaps := func(w window, spans ...history.Span) (all [][2]int) {
		for _, g := range gapsOf(spans, w) {
			all = append(all, [2]int{int(g.From.In(time.UTC).Sub(noon).Minutes()), int(g.To.In(time.UTC).Sub(noon).Minutes())})
		}
		return all
	}
	assert.Equal(t, [][2]int{{0, 60}}, gaps(hour))
	assert.Empty(t, gaps(hour, history.Span{Began: minute(-5), Ended: minute(90)}))
	assert.Equal(t, [][2]int{{0, 10}, {20, 30}, {40, 60}}, gaps(hour, history.Span{Began: minute(10), Ended: minute(20)}, history.Span{Began: minute(30), Ended: minute(40)}))
	assert.Equal(t, [][2]int{{0, 10}}, gaps(live, history.Span{Began: minute(10), Ended: minute(58)}), "the next look is to come")
}

func TestPaletteHasAPaintForEach(t *testing.T) {
	t.Parallel()
	p := make(palette)
	seen := make(map[paint]bool)
	for n := range colours * textures {
		seen[p.of(string(rune('a'+n)))] = true
	}
	assert.Len(t, seen, colours*textures)
	assert.Equal(t, paint{}, p.of("a"), "it stays")
}

func TestNiceTopIsRoundAndNotLess(t *testing.T) {
	t.Parallel()
	for most, want := range map[float64]float64{0: 1, 1: 1, 24: 30, 101: 120, 0.03: 0.03, 5000: 5000, 5001: 5000, 5100: 6000} {
		assert.InDelta(t, want, niceTop(most), 1e-9, most)
	}
}

func TestCostLinesHaveALevelForEachMinute(t *testing.T) {
	t.Parallel()
	minute := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }
	lines, ticks := costLines([]history.Cost{
		{At: minute(1), Writes: 2, Reads: 1}, {At: minute(2), Writes: 4, Reads: 1}, {At: minute(30), Writes: 4, Reads: 1, Looks: 1},
	}, hour)
	assert.Equal(t, "M40 166H53.7L53.7 46H67.3M436.3 46H450", lines[0].Path)
	assert.Equal(t, "4", ticks[2].Text)
	assert.Equal(t, lines[1].Y-14, lines[2].Y, "names aren't written over each other")
	lines, _ = costLines(nil, hour)
	assert.Empty(t, lines)
}

func TestPagesOfALongTimeAskSeldom(t *testing.T) {
	t.Parallel()
	s := shown{view: &view{Server: &Server{Every: 2 * time.Second}}}
	for length, want := range map[time.Duration]time.Duration{
		0: 2 * time.Second, 15 * time.Minute: 2 * time.Second, time.Hour: 8 * time.Second, 24 * time.Hour: 30 * time.Second,
	} {
		s.window = endingNow(length, noon)
		assert.Equal(t, want, s.Refresh())
	}
}
