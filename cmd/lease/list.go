package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// filter says which items are listed.
type filter struct {
	held, free bool
	byHolder   bool
	holder     string
}

func (f filter) check() error {
	given := 0
	for _, is := range []bool{f.held, f.free, f.byHolder} {
		if is {
			given++
		}
	}
	if given > 1 {
		return usagef("give one of -held, -free and -holder")
	}
	return nil
}

func (f filter) wants(i item, now time.Time) bool {
	live := i.live(now)
	switch {
	case f.held:
		return live
	case f.free:
		return !live && i.why == ""
	case f.byHolder:
		return live && i.LesseeID == f.holder
	}
	return true
}

// of returns those items that are listed. It overwrites the page.
func (f filter) of(page []item, now time.Time) []item {
	unwanted := func(i item) bool { return !f.wants(i, now) }
	return slices.DeleteFunc(page, unwanted)
}

func (a *app) list() *cobra.Command {
	var f filter
	var asJSON bool
	var c *cobra.Command
	c = a.command(cobra.Command{
		Use:     "list [-held | -free | -holder LESSEE] [-json]",
		Short:   "who holds what",
		Long:    listHelp,
		Example: "lease list -table mailboxes -holder host-1:4711",
	}, func(ctx context.Context, args []string) error {
		if len(args) > 0 {
			return usagef("list takes no arguments, and got %q", args)
		}
		f.byHolder = isGiven(c, "holder")
		if err := f.check(); err != nil {
			return err
		}
		client, err := a.open(ctx, fewRetries)
		if err != nil {
			return err
		}
		stdout := bufio.NewWriter(os.Stdout)
		if asJSON {
			return client.list(ctx, f, stdout, newJSONLister(stdout))
		}
		return client.list(ctx, f, stdout, &textLister{w: stdout})
	})
	flags := c.Flags()
	flags.BoolVar(&f.held, "held", false, "only items that are held or reserved")
	flags.BoolVar(&f.free, "free", false, "only items that are free, never leased too")
	flags.StringVar(&f.holder, "holder", "", "only what `LESSEE` holds, or is reserved for it")
	flags.BoolVar(&asJSON, "json", false, "one object a line; the last line has the counts")
	return c
}

const listHelp = `Shows all items of a table: state (held, free, reserved, never leased,
unusable and why), holder, when the lease ends, the fencing token, and who
wants it. At the end it counts the items of each holder. It reads the whole
table once: half a read unit for each 4 KB.

Reserved: handed over, and not yet taken by whom it was handed to.
"free (never leased?)": it was released, or nobody has leased it yet.`

// list writes the items page by page, and forgets them.
func (c *client) list(ctx context.Context, f filter, stdout *bufio.Writer, out lister) error {
	sum := newCounts()
	cost, err := c.scan(ctx, false, func(page []item) error {
		now := time.Now()
		listed := f.of(page, now)
		sum.add(listed, now)
		out.page(listed, now)
		return stdout.Flush()
	})
	if err != nil {
		return err
	}
	sum.Pages = cost.pages
	sum.ReadUnits = cost.units
	out.end(sum)
	return stdout.Flush()
}

// counts are those of the items that were listed.
type counts struct {
	Items       int            `json:"items"`
	Held        int            `json:"held"`
	Reserved    int            `json:"reserved"`
	Free        int            `json:"free"`
	NeverLeased int            `json:"never_leased"`
	Unusable    int            `json:"unusable"`
	Holders     map[string]int `json:"holders"`
	Pages       int            `json:"pages"`
	ReadUnits   float64        `json:"read_units"`
}

func newCounts() *counts { return &counts{Holders: make(map[string]int)} }

func (c *counts) add(items []item, now time.Time) {
	for _, i := range items {
		c.Items++
		*c.of(i.state(now))++
		if i.hasHolder(now) {
			c.Holders[i.LesseeID]++
		}
	}
}

// of returns the count of the items in a state.
func (c *counts) of(s state) *int {
	switch s {
	case held:
		return &c.Held
	case reserved:
		return &c.Reserved
	case neverLeased:
		return &c.NeverLeased
	case unusable:
		return &c.Unusable
	}
	return &c.Free
}

func (c *counts) String() string {
	return fmt.Sprintf("%s: %d held, %d reserved, %d free, %d never leased, %d unusable",
		items(c.Items), c.Held, c.Reserved, c.Free, c.NeverLeased, c.Unusable)
}

func items(n int) string {
	if n == 1 {
		return "1 item"
	}
	return fmt.Sprint(n, " items")
}

// ranking returns the holders, those with the most items first.
func (c *counts) ranking() []string {
	return slices.SortedFunc(maps.Keys(c.Holders), func(a, b string) int {
		byCount := cmp.Compare(c.Holders[b], c.Holders[a])
		byName := cmp.Compare(a, b)
		return cmp.Or(byCount, byName)
	})
}

// lister writes the pages as they come.
type lister interface {
	page(items []item, now time.Time)
	end(sum *counts)
}

// columns lays out lines. A column is as wide as what it has had so far, within reason: there is no
// other page to look at.
type columns struct{ widths []int }

const widestColumn = 48

var header = []string{"ITEM", "STATE", "HOLDER", "ENDS IN", "TOKEN", "WANTED BY"}

// columns returns the cells of an item's line: one for each of the header, and why it is unusable.
func (i item) columns(now time.Time) []string {
	state := string(i.state(now))
	if i.maybe {
		state = "free (never leased?)"
	}
	holder := "-"
	if i.hasHolder(now) {
		holder = show(i.LesseeID)
	}
	endsIn := "-"
	if i.live(now) {
		endsIn = short(i.Until.Sub(now))
	}
	token := "-"
	if i.why == "" && !i.tokenless {
		token = fmt.Sprint(i.FencingToken)
	}
	wanter := cmp.Or(i.wanter(now), "-")
	cells := []string{show(i.LeaseID), state, holder, endsIn, token, wanter}
	if i.why != "" {
		cells = append(cells, oneLine(i.why))
	}
	return cells
}

func (c *columns) fit(lines ...[]string) {
	if c.widths == nil {
		c.widths = make([]int, len(header))
	}
	for _, cells := range lines {
		for n := range header {
			width := min(utf8.RuneCountInString(cells[n]), widestColumn)
			c.widths[n] = max(c.widths[n], width)
		}
	}
}

// line puts the cells below those of other lines. The last one needs no room after it.
func (c *columns) line(cells []string) string {
	var b strings.Builder
	last := len(cells) - 1
	for n, cell := range cells[:last] {
		room := c.widths[n] - utf8.RuneCountInString(cell)
		b.WriteString(cell)
		b.WriteString(strings.Repeat(" ", max(0, room)))
		b.WriteString("  ")
	}
	b.WriteString(cells[last])
	return b.String()
}

type textLister struct {
	w *bufio.Writer
	columns
	begun bool
}

func (t *textLister) page(items []item, now time.Time) {
	if len(items) == 0 {
		return
	}
	var lines [][]string
	if !t.begun {
		t.begun = true
		lines = append(lines, header)
	}
	for _, i := range items {
		lines = append(lines, i.columns(now))
	}
	t.fit(lines...)
	for _, cells := range lines {
		fmt.Fprintln(t.w, t.line(cells))
	}
}

func (t *textLister) end(sum *counts) {
	if len(sum.Holders) > 0 {
		fmt.Fprintln(t.w, "\nITEMS  HOLDER")
		for _, name := range sum.ranking() {
			fmt.Fprintf(t.w, "%5d  %s\n", sum.Holders[name], show(name))
		}
	}
	if t.begun {
		fmt.Fprintln(t.w)
	}
	fmt.Fprintf(t.w, "%s (%.1f read units)\n", sum, sum.ReadUnits)
}

// jsonItem is a line of "lease list -json".
type jsonItem struct {
	Item        string   `json:"item"`
	State       state    `json:"state"`
	Holder      string   `json:"holder,omitempty"`       // while held or reserved
	EndsIn      *float64 `json:"ends_in,omitempty"`      // seconds
	Ends        string   `json:"ends,omitempty"`         // by the database's clock
	Token       *int64   `json:"token,omitempty"`        // not of a row without one
	WantedBy    *string  `json:"wanted_by,omitempty"`    // "" for whoever comes
	WantedUntil string   `json:"wanted_until,omitempty"` // by the database's clock
	LastHolder  string   `json:"last_holder,omitempty"`  // whose lease has ended; none if released
	Ended       string   `json:"ended,omitempty"`        // when that was
	Uncertain   bool     `json:"maybe_never_leased,omitempty"`
	Why         string   `json:"why,omitempty"` // why it is unusable
}

func (i item) json(now time.Time) jsonItem {
	j := jsonItem{
		Item:      i.LeaseID,
		State:     i.state(now),
		Why:       i.why,
		Uncertain: i.maybe,
	}
	if i.why != "" {
		return j
	}
	if !i.tokenless {
		j.Token = &i.FencingToken
	}
	if i.live(now) {
		seconds := float64(i.Until.Sub(now).Milliseconds()) / 1000
		j.Holder = i.LesseeID
		j.EndsIn = &seconds
		j.Ends = databaseTime(i.LeaseUntil)
	} else if i.LesseeID != "" && i.LeaseUntil > 0 {
		j.LastHolder = i.LesseeID
		j.Ended = databaseTime(i.LeaseUntil)
	}
	if i.wanted(now) {
		j.WantedBy = &i.WantedBy
		j.WantedUntil = databaseTime(i.WantedUntil)
	}
	return j
}

type jsonLister struct{ *json.Encoder }

func newJSONLister(w *bufio.Writer) jsonLister {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return jsonLister{e}
}

func (j jsonLister) page(items []item, now time.Time) {
	for _, i := range items {
		j.Encode(i.json(now))
	}
}

func (j jsonLister) end(sum *counts) { j.Encode(sum) }
