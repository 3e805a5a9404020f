package page

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/history"
)

// view is what a request is for: it is shown as a page, or as JSON.
type view struct {
	*Server
	ctx     context.Context
	query   url.Values
	window  window
	present *history.Present
}

// newView reads what all requests have in common.
func (s *Server) newView(r *http.Request) (*view, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, badRequest{fmt.Errorf("the query can't be read: %w", err)}
	}
	v := &view{Server: s, ctx: r.Context(), query: query, present: s.History.Present()}
	w, err := parseWindow(v.query, v.present.First, v.present.Clock.In(s.Zone))
	if err != nil {
		return nil, badRequest{err}
	}
	v.window = w
	if w.IsLive() {
		v.window.Now = v.NowText()
	}
	return v, nil
}

// NowText is what the end of a window is that goes along with the time.
func (v *view) NowText() string {
	isStale := v.present.Failure != "" || v.IsOld()
	if isStale {
		return "the last look"
	}
	return "now"
}

// asOf says how old an answer is: programs don't see the page's alerts.
type asOf struct {
	Looked  fleet.Moment `json:"looked"`            // when the last look was that succeeded
	Failure string       `json:"failure,omitempty"` // why later ones failed
}

func (v *view) asOf() asOf {
	return asOf{Looked: fleet.Moment(v.present.Clock.UnixNano()), Failure: v.present.Failure}
}

// badRequest is an error of whoever asks, notFound one of an item that nobody knows.
type (
	badRequest struct{ error }
	notFound   struct{ error }
)

// now is when the last look was: by that clock leases last or are over.
func (v *view) now() time.Time { return v.present.Host }

// fleetView is who holds how much over time.
type fleetView struct {
	asOf
	From    fleet.Moment   `json:"from"`
	To      fleet.Moment   `json:"to"`
	By      string         `json:"by"` // items, or load
	Times   []fleet.Moment `json:"times"`
	Clocks  []string       `json:"clocks"`  // the same as the page writes them
	Holders []series       `json:"holders"` // the value at each of the times; "" is nobody
	Moves   []int          `json:"moves"`   // items that were obtained until each of the times
	Marks   []fleet.Event  `json:"marks"`
	Gaps    []gap          `json:"gaps"`
	Events  []fleet.Event  `json:"events"` // the latest, newest first

	Picture picture `json:"-"`
	Summary summary `json:"-"`
}

func (v *view) fleet() (any, error) {
	f := fleetView{asOf: v.asOf(), By: cmp.Or(v.query.Get("by"), "items")}
	f.From = fleet.Moment(v.window.From.UnixNano())
	f.To = fleet.Moment(v.window.To.UnixNano())
	if f.By != "items" && f.By != "load" {
		return nil, badRequest{fmt.Errorf("by is %q; want items, or load", f.By)}
	}
	samples, err := v.History.Samples(v.ctx, v.window.From, v.window.To)
	if err != nil {
		return nil, err
	}
	if f.Marks, err = v.History.Arrivals(v.ctx, v.window.From, v.window.To); err != nil {
		return nil, err
	}
	if f.Moves, err = v.History.Moves(v.ctx, v.window.From, v.window.To, columns); err != nil {
		return nil, err
	}
	if f.Events, err = v.History.Events(v.ctx, v.window.From, v.window.To, 30); err != nil {
		return nil, err
	}
	if f.Gaps, err = v.gaps(); err != nil {
		return nil, err
	}
	for n := range columns {
		at := v.window.at(n, columns)
		f.Times = append(f.Times, fleet.Moment(at.UnixNano()))
		f.Clocks = append(f.Clocks, at.Format("15:04:05 MST"))
	}
	f.Holders = seriesOf(samples, v.window, f.By == "load")
	arrange(f.Holders, v.number)
	f.Picture = draw(v.window, f.Holders, f.Moves, v.paint)
	const high = movesTop + movesHeight - plotTop
	f.Picture.Gaps = gapBars(f.Gaps, v.window, plotLeft, plotWidth, plotTop, high)
	f.Picture.Marks = marksOf(f.Marks, v.window)
	f.Summary = v.summary()
	return f, nil
}

func (v *view) gaps() ([]gap, error) {
	spans, err := v.History.Spans(v.ctx, v.window.From, v.window.To)
	return gapsOf(spans, v.window), err
}

// tableColumns are those of the table behind the picture: the window's end, and some times before.
const tableColumns = 8

// tableColumn is which column of the picture a column of the table is of.
func tableColumn(n int) int { return (n+1)*columns/tableColumns - 1 }

func (f fleetView) TableTimes() (times []fleet.Moment) {
	for n := range tableColumns {
		times = append(times, f.Times[tableColumn(n)])
	}
	return times
}

// tableRow is what a holder had at these times.
type tableRow struct {
	Holder string
	Cells  []string
}

func (f fleetView) TableRows() (rows []tableRow) {
	for _, s := range f.Holders {
		row := tableRow{Holder: s.Holder}
		for n := range tableColumns {
			row.Cells = append(row.Cells, f.cell(s, tableColumn(n)))
		}
		rows = append(rows, row)
	}
	return rows
}

// cell is what a holder had at the end of a column, if anybody looked.
func (f fleetView) cell(s series, column int) string {
	at := f.Times[column]
	for _, g := range f.Gaps {
		if g.From < at && at < g.To {
			return "not looked"
		}
	}
	return short(s.Values[column])
}

// TableMoves are how many items were obtained up to each of these times, since the one before.
func (f fleetView) TableMoves() []int {
	sums := make([]int, tableColumns)
	n := 0
	for column, moves := range f.Moves {
		if column > tableColumn(n) {
			n++
		}
		sums[n] += moves
	}
	return sums
}

// summary is the fleet in a few figures.
type summary struct {
	fleet.Counts
	Workers int
	Idle    int           // items that nobody works on
	Longest time.Duration // for which one of these is idle
	Least   float64       // load of a worker
	Most    float64
	Late    []string // that should have renewed by now
	Doubles []string
}

func (v *view) summary() summary {
	s := summary{Counts: v.present.Counts}
	for _, h := range v.present.Holders {
		s.count(h, v.present.Clock)
	}
	for _, c := range v.present.Items {
		if classOf(c.Strip) != "idle" {
			continue
		}
		s.Idle++
		s.Longest = max(s.Longest, c.Strip.Lasted(v.present.Clock))
	}
	return s
}

func (s *summary) count(h history.Holder, now time.Time) {
	if isDouble(h, now) {
		s.Doubles = append(s.Doubles, h.Name)
	}
	if h.Items == 0 {
		return
	}
	if s.Workers == 0 || h.Load() < s.Least {
		s.Least = h.Load()
	}
	s.Most = max(s.Most, h.Load())
	s.Workers++
	if h.IsLate(now) {
		s.Late = append(s.Late, h.Name)
	}
}

// number is the place of a holder among all, see palette.
func (s *Server) number(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.palette.number(name)
}

func (s *Server) paint(name string) paint {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.palette.of(name)
}
