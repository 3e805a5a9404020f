package page

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/history"
	"github.com/intercom/lease/cmd/lease/internal/say"
)

// The picture of who holds how much, in its own units. Above the bands are the marks, below them
// the moves, and beside them their names.
const (
	pictureWidth  = 1000.0
	pictureHeight = 360.0
	plotLeft      = 40.0
	plotWidth     = 820.0
	plotTop       = 46.0
	plotHeight    = 240.0
	movesTop      = plotTop + plotHeight + 22
	movesHeight   = 36.0
	columns       = 205 // in which a value can change
)

// series is how much a holder had, at the end of each column.
type series struct {
	Holder string    `json:"holder"`
	Values []float64 `json:"values"`
}

// nobody is the holder of what nobody has.
const nobody = ""

// seriesOf reckons them, in the order in which holders come in the samples.
func seriesOf(samples []history.Sample, w window, byLoad bool) []series {
	all := []series{}
	index := make(map[string]int)
	for _, s := range samples {
		n, isKnown := index[s.Holder]
		if !isKnown {
			n = len(all)
			index[s.Holder] = n
			all = append(all, series{Holder: s.Holder, Values: make([]float64, columns)})
		}
		value := float64(s.Items)
		if byLoad {
			value = s.Load
		}
		values := all[n].Values
		for column := firstColumn(w, s.At); column < columns; column++ {
			values[column] = value
		}
	}
	return slices.DeleteFunc(all, series.isNothing)
}

// arrange sorts series as bands are stacked: each holder keeps its place, and what nobody has is on
// top.
func arrange(all []series, number func(string) int) {
	for _, s := range all {
		number(s.Holder) // It is given one now if it has none.
	}
	slices.SortStableFunc(all, func(a, b series) int {
		top := cmp.Compare(isNobody(a.Holder), isNobody(b.Holder))
		return cmp.Or(top, cmp.Compare(number(a.Holder), number(b.Holder)))
	})
}

func (s series) isNothing() bool {
	return !slices.ContainsFunc(s.Values, func(v float64) bool { return v > 0 })
}

func isNobody(name string) int {
	if name == nobody {
		return 1
	}
	return 0
}

// firstColumn is the first whose end is not before a time.
func firstColumn(w window, t time.Time) int {
	share := float64(t.Sub(w.From)) / float64(w.length())
	return max(0, int(math.Ceil(share*columns-1e-9))-1)
}

// picture is what is drawn.
type picture struct {
	Bands  []band
	Gaps   []bar
	Marks  []mark
	Moves  []bar
	XTicks []tick
	YTicks []tick
	Most   int // of the moves of a column
}

// band is what one holder has over time.
type band struct {
	Holder string
	Paint  paint
	Path   string
	Label  float64 // where its name is written; 0: there is no room
	Title  string
}

// bar is a part of a picture.
type bar struct {
	X, Y, Width, Height float64
	Title               string
}

// mark says when somebody came or went.
type mark struct {
	X     float64
	Y     float64 // of its text; 0 where there is no room
	Kind  fleet.Kind
	Sign  string
	Text  string
	Title string
	Left  bool // its text is to the left of its line
}

// draw lays a picture out.
func draw(w window, all []series, moves []int, colours func(string) paint) picture {
	p := picture{XTicks: w.ticks(plotWidth, 9)}
	top := niceTop(highest(all))
	for _, value := range []float64{0, top / 2, top} {
		p.YTicks = append(p.YTicks, tick{At: height(value, top), Text: short(value)})
	}
	low := make([]float64, columns)
	for _, s := range all {
		high := make([]float64, columns)
		for n := range high {
			high[n] = low[n] + s.Values[n]
		}
		p.Bands = append(p.Bands, bandOf(s, low, high, top, colours(s.Holder)))
		low = high
	}
	p.Most = slices.Max(append([]int{1}, moves...))
	for n, count := range moves {
		if count > 0 {
			p.Moves = append(p.Moves, moveBar(w, n, count, p.Most))
		}
	}
	return p
}

func highest(all []series) (most float64) {
	for n := range columns {
		sum := 0.0
		for _, s := range all {
			sum += s.Values[n]
		}
		most = max(most, sum)
	}
	return most
}

// niceTop is a round number that isn't less, for the top of an axis.
func niceTop(most float64) float64 {
	if most <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(most)))
	for _, digit := range []float64{1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10} {
		if digit*power >= most*0.999 {
			return digit * power
		}
	}
	return most
}

func height(value, top float64) float64 { return plotTop + plotHeight*(1-value/top) }

func columnX(n int) float64 { return plotLeft + plotWidth*float64(n)/columns }

func bandOf(s series, low, high []float64, top float64, colour paint) band {
	b := band{Holder: s.Holder, Paint: colour, Path: stepPath(low, high, top)}
	last := columns - 1
	lower, upper := height(low[last], top), height(high[last], top)
	const room = 11 // of a line of text
	if lower-upper >= room {
		b.Label = (lower + upper) / 2
	}
	b.Title = fmt.Sprintf("%s: %s now", holderText(s.Holder), short(s.Values[last]))
	return b
}

// stepPath goes along the upper edge, and back along the lower one.
func stepPath(low, high []float64, top float64) string {
	var path strings.Builder
	fmt.Fprintf(&path, "M%s %s", coordinate(columnX(0)), coordinate(height(high[0], top)))
	for n := 1; n < columns; n++ {
		if high[n] != high[n-1] {
			fmt.Fprintf(&path, "H%sV%s", coordinate(columnX(n)), coordinate(height(high[n], top)))
		}
	}
	right, end := coordinate(columnX(columns)), coordinate(height(low[columns-1], top))
	fmt.Fprintf(&path, "H%sV%s", right, end)
	for n := columns - 1; n > 0; n-- {
		if low[n] != low[n-1] {
			fmt.Fprintf(&path, "H%sV%s", coordinate(columnX(n)), coordinate(height(low[n-1], top)))
		}
	}
	fmt.Fprintf(&path, "H%sZ", coordinate(columnX(0)))
	return path.String()
}

func coordinate(f float64) string { return strconv.FormatFloat(math.Round(f*10)/10, 'f', -1, 64) }

// short writes a number as people read it.
func short(f float64) string {
	const large = 1e9
	if f >= large {
		return strconv.FormatFloat(f, 'g', 3, 64)
	}
	return strconv.FormatFloat(math.Round(f*100)/100, 'f', -1, 64)
}

func holderText(name string) string {
	if name == nobody {
		return "nobody"
	}
	return say.Name(name)
}

func moveBar(w window, n, count, most int) bar {
	high := max(2, movesHeight*float64(count)/float64(most))
	by := w.at(n, columns).Format(time.TimeOnly)
	return bar{
		X: columnX(n), Y: movesTop + movesHeight - high, Width: plotWidth / columns, Height: high,
		Title: fmt.Sprintf("%s obtained by %s", say.Items(count), by),
	}
}

// signs are those of the marks, with what they mean.
var signs = map[fleet.Kind]struct{ sign, text string }{
	history.Joined: {"▲", "joined"},
	history.Left:   {"▽", "left"},
	history.Fell:   {"✕", "stopped renewing"},
}

// marksOf places who came and went. Those of one kind at about one time are one mark; a text that
// has no room beside the others is left out.
func marksOf(events []fleet.Event, w window) []mark {
	const near = 8
	var all []mark
	counts := make(map[int]int) // of who is in a mark, where it is more than one
	for _, e := range events {
		m := markOf(e, w)
		n := len(all) - 1
		isNear := n >= 0 && all[n].Kind == m.Kind && m.X-all[n].X < near
		if !isNear {
			all = append(all, m)
			continue
		}
		counts[n] = max(1, counts[n]) + 1
		all[n].Title += "\n" + m.Title
		all[n].Text = fmt.Sprintf("%s %d %s", m.Sign, counts[n], signs[m.Kind].text)
	}
	placeTexts(all)
	return all
}

func markOf(e fleet.Event, w window) mark {
	const longest = 20
	sign := signs[e.Event]
	at := e.Time.In(w.zone())
	return mark{
		X: plotLeft + w.place(at, plotWidth), Kind: e.Event, Sign: sign.sign,
		Text:  sign.sign + " " + say.Shorten(say.Name(e.Holder), longest),
		Title: fmt.Sprintf("%s  %s %s", at.Format(time.TimeOnly), say.Name(e.Holder), sign.text),
	}
}

// placeTexts writes each text beside its line: in the first of some lanes that has room for it.
func placeTexts(all []mark) {
	const lanes, line, letter = 3, 13.0, 6.6
	var free [lanes]float64 // where each lane has room from
	for n := range all {
		m := &all[n]
		wide := letter * float64(len([]rune(m.Text))+1)
		begins := m.X
		if m.X+wide > pictureWidth {
			m.Left = true
			begins = m.X - wide
		}
		for lane := range free {
			if free[lane] <= begins {
				free[lane] = begins + wide
				m.Y = line * float64(lane+1)
				break
			}
		}
	}
}

// gap is a time in which nobody looked.
type gap struct {
	From fleet.Moment `json:"from"`
	To   fleet.Moment `json:"to"`
}

// gapsOf are the times of a window between the spans of looks.
func gapsOf(spans []history.Span, w window) []gap {
	all := []gap{}
	const shortest = 0.002 // of the window: less can't be seen
	add := func(from, to time.Time) {
		if to.Sub(from).Seconds() > shortest*w.length().Seconds() {
			all = append(all, gap{fleet.Moment(from.UnixNano()), fleet.Moment(to.UnixNano())})
		}
	}
	seen := w.From
	for _, s := range spans {
		add(seen, s.Began)
		if s.Ended.After(seen) {
			seen = s.Ended
		}
	}
	isOver := !w.IsLive() || len(spans) == 0
	if isOver {
		add(seen, w.To)
	}
	return all
}

// gapBars are the gaps as parts of a width.
func gapBars(gaps []gap, w window, left, width, top, high float64) (all []bar) {
	for _, g := range gaps {
		from, to := g.From.In(w.zone()), g.To.In(w.zone())
		x := w.place(from, width)
		all = append(all, bar{
			X: left + x, Y: top, Width: w.place(to, width) - x, Height: high,
			Title: fmt.Sprintf("not looked: %s to %s",
				from.Format(time.TimeOnly), to.Format(time.TimeOnly)),
		})
	}
	return all
}

// paint is how a holder is drawn: a colour, and a texture where there are more holders than
// colours.
type paint struct{ Colour, Texture int }

const colours, textures = 7, 3

// palette gives each holder a paint, which stays.
type palette map[string]int

func (p palette) of(name string) paint {
	n := p.number(name)
	return paint{Colour: n % colours, Texture: n / colours % textures}
}

// number is where a holder stands among all: those seen first come first.
func (p palette) number(name string) int {
	const most = 10_000
	n, isKnown := p[name]
	if isKnown || name == nobody { // Nobody has no colour.
		return n
	}
	if len(p) >= most {
		clear(p)
	}
	n = len(p)
	p[name] = n
	return n
}
