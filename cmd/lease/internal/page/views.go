package page

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
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
	v := &view{Server: s, ctx: r.Context(), query: r.URL.Query(), present: s.History.Present()}
	w, err := parseWindow(v.query, v.present.First, v.present.Clock)
	if err != nil {
		return nil, badRequest{err}
	}
	v.window = w
	return v, nil
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
	From    fleet.Moment   `json:"from"`
	To      fleet.Moment   `json:"to"`
	By      string         `json:"by"` // items, or load
	Times   []fleet.Moment `json:"times"`
	Holders []series       `json:"holders"` // the value at each of the times; "" is nobody
	Moves   []int          `json:"moves"`   // items that were obtained until each of the times
	Marks   []fleet.Event  `json:"marks"`
	Gaps    []gap          `json:"gaps"`
	Events  []fleet.Event  `json:"events"` // the latest, newest first

	Picture picture `json:"-"`
	Summary summary `json:"-"`
}

func (v *view) fleet() (any, error) {
	f := fleetView{By: cmp.Or(v.query.Get("by"), "items")}
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
		f.Times = append(f.Times, fleet.Moment(v.window.at(n, columns).UnixNano()))
	}
	f.Holders = seriesOf(samples, v.window, f.By == "load")
	arrange(f.Holders, v.number)
	f.Picture = draw(v.window, f.Holders, f.Moves, v.paint)
	f.Picture.Gaps = gapBars(f.Gaps, v.window, plotLeft, plotWidth, plotTop, movesTop+movesHeight-plotTop)
	f.Picture.Marks = marksOf(f.Marks, v.window)
	f.Summary = v.summary()
	return f, nil
}

func (v *view) gaps() ([]gap, error) {
	spans, err := v.History.Spans(v.ctx, v.window.From, v.window.To)
	return gapsOf(spans, v.window), err
}

// Table is the holders' values at the window's end, and at some times before it.
func (f fleetView) Table() (times []fleet.Moment, rows []series) {
	const shown = 8
	for n := range shown {
		times = append(times, f.Times[(n+1)*columns/shown-1])
	}
	for _, s := range f.Holders {
		row := series{Holder: s.Holder}
		for n := range shown {
			row.Values = append(row.Values, s.Values[(n+1)*columns/shown-1])
		}
		rows = append(rows, row)
	}
	return times, rows
}

// TableTimes and TableRows are the two, for templates.
func (f fleetView) TableTimes() []fleet.Moment { times, _ := f.Table(); return times }
func (f fleetView) TableRows() []series        { _, rows := f.Table(); return rows }

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

// isDouble tells whether two processes were seen under one name, of late.
func isDouble(h history.Holder, now time.Time) bool {
	const ofLate = 10 * time.Minute
	return !h.Double.IsZero() && now.Sub(h.Double) < ofLate
}

// holderRow is a holder as the view of them has it.
type holderRow struct {
	Holder   string   `json:"holder"`
	Items    int      `json:"items"`
	Weight   float64  `json:"weight"`
	Capacity float64  `json:"capacity"`
	Load     float64  `json:"load"`
	Obtained int      `json:"obtained"` // in the window
	Given    int      `json:"given"`
	Lost     int      `json:"lost"`
	Renewed  *float64 `json:"renewed_seconds_ago,omitempty"`
	Lease    float64  `json:"lease_seconds,omitempty"`
	Since    string   `json:"since"`
	Late     bool     `json:"late,omitempty"`
	Double   bool     `json:"double,omitempty"`
	Gone     bool     `json:"gone,omitempty"` // it has nothing now
	Fell     bool     `json:"fell,omitempty"`

	Share float64       `json:"-"` // of the greatest load, in hundredths
	Ago   time.Duration `json:"-"`
	Began time.Time     `json:"-"`
}

type holdersView struct {
	Holders []holderRow `json:"holders"`
	Mean    float64     `json:"mean_load"`
	MeanAt  float64     `json:"-"`
}

func (v *view) holders() (any, error) {
	churns, err := v.History.Churns(v.ctx, v.window.From)
	if err != nil {
		return nil, err
	}
	return holdersOf(v.present.Holders, churns, v.present.Clock), nil
}

// holdersOf lists holders: those that need looking after first, then by load.
func holdersOf(all []history.Holder, churns map[string]history.Churn, now time.Time) holdersView {
	v := holdersView{Holders: []holderRow{}}
	most, weight, capacity := 0.0, 0.0, 0.0
	for _, h := range all {
		v.Holders = append(v.Holders, rowOf(h, churns[h.Name], now))
		if h.Items > 0 {
			most = max(most, h.Load())
			weight += h.Weight
			capacity += h.Capacity
		}
	}
	if capacity > 0 {
		v.Mean = weight / capacity
		v.MeanAt = 100 * v.Mean / most
	}
	for n := range v.Holders {
		if most > 0 {
			v.Holders[n].Share = 100 * v.Holders[n].Load / most
		}
	}
	slices.SortStableFunc(v.Holders, func(a, b holderRow) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(b.Load, a.Load), cmp.Compare(a.Holder, b.Holder))
	})
	return v
}

// rank is lower for those that need looking after.
func (r holderRow) rank() int {
	switch {
	case r.Double:
		return 0
	case r.Late:
		return 1
	case r.Gone:
		return 3
	}
	return 2
}

func rowOf(h history.Holder, c history.Churn, now time.Time) holderRow {
	r := holderRow{
		Holder: h.Name, Items: h.Items, Weight: h.Weight, Capacity: h.Capacity, Load: h.Load(),
		Obtained: c.Obtained, Given: c.Given, Lost: c.Lost, Lease: h.Lease.Round(time.Second).Seconds(),
		Late: h.IsLate(now), Double: isDouble(h, now), Gone: h.Items == 0, Fell: h.Fell,
		Since: fleetTime(h.Since), Began: h.Since,
	}
	if !h.Renewed.IsZero() {
		r.Ago = now.Sub(h.Renewed)
		seconds := r.Ago.Seconds()
		r.Renewed = &seconds
	}
	return r
}

// itemRow is an item and its strip.
type itemRow struct {
	fleet.JsonItem
	Since  string        `json:"since"`
	Before string        `json:"before,omitempty"` // who had it
	Cause  string        `json:"cause,omitempty"`  // why it has moved
	Strips []stripJSON   `json:"strips,omitempty"` // how it was in the window
	Now    history.Strip `json:"-"`
	Ago    time.Duration `json:"-"`
	Text   string        `json:"-"`

	Segments []segment `json:"-"`
}

type stripJSON struct {
	From   string      `json:"from"`
	To     string      `json:"to,omitempty"`
	State  fleet.State `json:"state"`
	Holder string      `json:"holder,omitempty"`
	Token  int64       `json:"token,omitempty"`
	Cause  string      `json:"cause,omitempty"`
	Before string      `json:"before,omitempty"`
}

func stripsJSON(strips []history.Strip) (all []stripJSON) {
	for _, s := range strips {
		j := stripJSON{
			From: fleetTime(s.Began), State: s.State, Holder: s.Holder, Token: s.Token,
			Cause: string(s.Why), Before: s.Before,
		}
		if !s.Ended.IsZero() {
			j.To = fleetTime(s.Ended)
		}
		all = append(all, j)
	}
	return all
}

type itemsView struct {
	Items  []itemRow `json:"items"`
	Count  int       `json:"count"` // that the filter leaves
	Page   int       `json:"page"`
	Pages  int       `json:"pages"`
	Sort   string    `json:"sort"`
	Filter string    `json:"filter,omitempty"`

	Gaps  []bar  `json:"-"`
	Ticks []tick `json:"-"`
}

const rowsOfPage = 40

func (v *view) items() (any, error) {
	iv := itemsView{Filter: v.query.Get("filter"), Sort: cmp.Or(v.query.Get("sort"), "moved"), Items: []itemRow{}}
	chosen, err := choose(v.present.Items, iv.Filter, iv.Sort, v.now())
	if err != nil {
		return nil, badRequest{err}
	}
	if iv.Page, err = v.pageNumber(); err != nil {
		return nil, err
	}
	iv.Count = len(chosen)
	rows, pages := pageOf(chosen, iv.Page, rowsOfPage)
	iv.Pages = pages
	iv.Page = min(iv.Page, pages)
	for _, c := range rows {
		strips, err := v.History.Strips(v.ctx, c.LeaseID, v.window.From, v.window.To)
		if err != nil {
			return nil, err
		}
		row := v.itemRow(c)
		row.Strips = stripsJSON(strips)
		row.Segments = segments(strips, v.window, v.paint)
		iv.Items = append(iv.Items, row)
	}
	gaps, err := v.gaps()
	iv.Gaps = gapBars(gaps, v.window, 0, stripWidth, 0, stripHeight)
	iv.Ticks = v.window.ticks(stripWidth, 5)
	return iv, err
}

func (v *view) pageNumber() (int, error) {
	text := v.query.Get("page")
	if text == "" {
		return 1, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, badRequest{fmt.Errorf("page is %q; want a number from 1 on", text)}
	}
	return n, nil
}

func (v *view) itemRow(c history.Current) itemRow {
	return itemRow{
		JsonItem: c.JSON(v.now()), Since: fleetTime(c.Strip.Began), Before: c.Strip.Before,
		Cause: string(c.Strip.Why), Now: c.Strip, Ago: c.Strip.Lasted(v.present.Clock), Text: reason(c.Strip),
	}
}

// itemView is one item.
type itemView struct {
	itemRow
	Retired bool          `json:"retired,omitempty"` // its row isn't there
	Explain string        `json:"explanation"`
	Events  []fleet.Event `json:"events"`
	Problem string        `json:"attributes_problem,omitempty"` // why its own attributes aren't shown

	Tenures []history.Strip `json:"-"`
	Gaps    []bar           `json:"-"`
	Ticks   []tick          `json:"-"`
	Current history.Current `json:"-"`
}

func (v *view) item() (any, error) {
	const most = 200
	name := v.query.Get("name")
	if name == "" {
		return nil, badRequest{fmt.Errorf("no item: want name=ITEM")}
	}
	c, isThere := v.present.Find(name)
	iv := itemView{Current: c, Retired: !isThere, itemRow: v.itemRow(c)}
	var err error
	if iv.Tenures, err = v.History.Tenures(v.ctx, name, most); err != nil {
		return nil, err
	}
	if iv.Events, err = v.History.EventsOf(v.ctx, name, most); err != nil {
		return nil, err
	}
	if !isThere && len(iv.Tenures) == 0 {
		return nil, notFound{fmt.Errorf("there is no item %q, and none was seen", name)}
	}
	strips, err := v.History.Strips(v.ctx, name, v.window.From, v.window.To)
	if err != nil {
		return nil, err
	}
	gaps, err := v.gaps()
	iv.Strips = stripsJSON(strips)
	iv.Segments = segments(strips, v.window, v.paint)
	iv.Gaps = gapBars(gaps, v.window, 0, stripWidth, 0, stripHeight)
	iv.Ticks = v.window.ticks(stripWidth, 8)
	v.describe(&iv, name)
	return iv, err
}

// describe says how an item is now.
func (v *view) describe(iv *itemView, name string) {
	if iv.Retired {
		iv.Item = name
		iv.Explain = "It is retired: its row isn't there any more."
		return
	}
	iv.Explain = situation{
		Current: iv.Current, clock: v.present.Clock, host: v.now(), workers: v.summary().Workers,
	}.explain()
	users, err := v.attributes.get(v.ctx, name)
	if err != nil {
		iv.Problem = v.Explain(err)
		return
	}
	if users != "" {
		iv.Attributes = json.RawMessage(users)
	}
}

// freeView is what nobody works on.
type freeView struct {
	Items   []itemRow    `json:"items"` // idle for longest first
	Count   int          `json:"count"`
	Page    int          `json:"page"`
	Pages   int          `json:"pages"`
	Holders []lastHolder `json:"last_holders"` // those that left most first
	Workers int          `json:"workers"`
}

// lastHolder is a holder and how much of what it had nobody has now.
type lastHolder struct {
	Holder  string        `json:"last_holder"`
	Items   int           `json:"items"`
	Longest float64       `json:"longest_seconds"`
	For     time.Duration `json:"-"`
}

func (v *view) free() (any, error) {
	const rows = 200
	page, err := v.pageNumber()
	if err != nil {
		return nil, err
	}
	idle := idleItems(v.present.Items)
	fv := freeView{Items: []itemRow{}, Count: len(idle), Holders: lastHolders(idle, v.present.Clock), Workers: v.summary().Workers}
	shown, pages := pageOf(idle, page, rows)
	fv.Page, fv.Pages = min(page, pages), pages
	for _, c := range shown {
		fv.Items = append(fv.Items, v.itemRow(c))
	}
	return fv, nil
}

// idleItems are those that nobody works on, the ones that are so for longest first.
func idleItems(items []history.Current) (idle []history.Current) {
	for _, c := range items {
		if classOf(c.Strip) == "idle" {
			idle = append(idle, c)
		}
	}
	slices.SortStableFunc(idle, func(a, b history.Current) int { return a.Strip.Began.Compare(b.Strip.Began) })
	return idle
}

func lastHolders(idle []history.Current, now time.Time) []lastHolder {
	all := []lastHolder{}
	index := make(map[string]int)
	for _, c := range idle {
		n, isKnown := index[c.Strip.Before]
		if !isKnown {
			n = len(all)
			index[c.Strip.Before] = n
			longest := c.Strip.Lasted(now) // They come by that.
			all = append(all, lastHolder{Holder: c.Strip.Before, For: longest, Longest: longest.Seconds()})
		}
		all[n].Items++
	}
	slices.SortStableFunc(all, func(a, b lastHolder) int { return cmp.Compare(b.Items, a.Items) })
	return all
}

// costView is what the fleet costs.
type costView struct {
	fleet.Bill
	Seconds float64     `json:"measured_for_seconds"`
	Looks   float64     `json:"page_read_units_per_second"` // what this page's own looks take
	Dollars float64     `json:"page_dollars_per_month"`
	Minutes []costPoint `json:"minutes"`

	Lines  []costLine `json:"-"`
	XTicks []tick     `json:"-"`
	YTicks []tick     `json:"-"`
	Gaps   []bar      `json:"-"`
}

type costPoint struct {
	At      string  `json:"at"`
	Items   int     `json:"items"`
	Workers int     `json:"workers"`
	Writes  float64 `json:"write_units_per_second"`
	Reads   float64 `json:"read_units_per_second"`
	Looks   float64 `json:"page_read_units_per_second"`
	Month   float64 `json:"dollars_per_month"`
}

const (
	secondsOfMonth = 730 * 3600
	costStep       = time.Minute // from one reckoning to the next
)

func (v *view) cost() (any, error) {
	cv := costView{Bill: v.present.Bill, Seconds: v.present.Billed.Seconds(), Minutes: []costPoint{}}
	cv.Looks = v.present.Units / v.Every.Seconds()
	cv.Dollars = cv.Looks * secondsOfMonth * fleet.ReadPrice / 1e6
	costs, err := v.History.Costs(v.ctx, v.window.From, v.window.To)
	if err != nil {
		return nil, err
	}
	for _, c := range costs {
		dollars := (c.Writes*fleet.WritePrice + c.Reads*fleet.ReadPrice) * secondsOfMonth / 1e6
		cv.Minutes = append(cv.Minutes, costPoint{
			fleetTime(c.At), c.Items, c.Workers, c.Writes, c.Reads, c.Looks, dollars,
		})
	}
	gaps, err := v.gaps()
	cv.Gaps = gapBars(gaps, v.window, plotLeft, plotWidth, plotTop, plotHeight)
	cv.Lines, cv.YTicks = costLines(costs, v.window)
	cv.XTicks = v.window.ticks(plotWidth, 9)
	return cv, err
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
