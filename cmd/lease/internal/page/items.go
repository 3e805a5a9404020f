package page

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/history"
	"github.com/intercom/lease/cmd/lease/internal/say"
)

// itemRow is an item and its strip.
type itemRow struct {
	fleet.JSONItem
	Since  string        `json:"since"`
	Before string        `json:"before,omitempty"` // who had it
	Cause  string        `json:"cause,omitempty"`  // why it has moved
	Strips []stripJSON   `json:"strips,omitempty"` // how it was in the window
	Now    history.Strip `json:"-"`
	Ago    time.Duration `json:"-"`
	Text   string        `json:"-"` // why it is as it is

	Segments []segment       `json:"-"`
	Had      []history.Strip `json:"-"` // the latest of the strips, oldest first
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
	asOf
	Items  []itemRow `json:"items"`
	Count  int       `json:"count"` // that the filter leaves
	Page   int       `json:"page"`
	Pages  int       `json:"pages"`
	Sort   string    `json:"sort"`
	Filter string    `json:"filter,omitempty"`

	Gaps  []bar  `json:"-"`
	Ticks []tick `json:"-"`
}

const (
	rowsOfPage  = 40
	rowsOfTable = 20 // of an item, in the table behind the strips
)

func (v *view) items() (any, error) {
	iv := itemsView{asOf: v.asOf(), Filter: v.query.Get("filter"), Items: []itemRow{}}
	iv.Sort = cmp.Or(v.query.Get("sort"), "moved")
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
		row.Had = strips[max(0, len(strips)-rowsOfTable):]
		iv.Items = append(iv.Items, row)
	}
	gaps, err := v.gaps()
	iv.Gaps = gapBars(gaps, v.window, 0, stripWidth, 0, stripHeight)
	axis := v.window
	axis.Now = "" // The next column begins with it.
	iv.Ticks = axis.ticks(wholeWidth, 4)
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
	row := itemRow{
		JSONItem: c.JSON(v.now()), Since: fleetTime(c.Strip.Began), Before: c.Strip.Before,
		Cause: string(c.Strip.Why), Now: c.Strip, Ago: c.Strip.Lasted(v.present.Clock),
		Text: reason(c.Strip),
	}
	if c.Item.Why != "" {
		row.Text = say.Line(c.Item.Why)
	}
	return row
}

// itemView is one item.
type itemView struct {
	asOf
	itemRow
	Retired bool          `json:"retired,omitempty"` // its row isn't there
	Explain string        `json:"explanation"`
	Events  []fleet.Event `json:"events"`
	Problem string        `json:"attributes_problem,omitempty"` // why they can't be read

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
	iv := itemView{asOf: v.asOf(), Current: c, Retired: !isThere, itemRow: v.itemRow(c)}
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
	iv.Ticks = v.window.ticks(wholeWidth, 8)
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
