package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

const listHelp = `Usage: lease list [-held | -free | -holder LESSEE] [-json]

Shows all items of a table: state (held, free, reserved, never leased,
unusable and why), holder, when the lease ends, the fencing token, and who
wants it. At the end it counts the items of each holder. It reads the whole
table once: half a read unit for each 4 KB.

  -held           only items that are held or reserved
  -free           only items that are free, never leased too
  -holder LESSEE  only what LESSEE holds, or is reserved for it
  -json           one object a line; the last line has the counts

Reserved: handed over, and not yet taken by whom it was handed to.
"free (never leased?)": it was released, or nobody has leased it yet.

  -table T, -key K, -region R, -endpoint URL, -v: see "lease -h"

Example: lease list -table mailboxes -holder host-1:4711
`

func list(a *app, flags *flag.FlagSet) func(ctx context.Context, args []string) error {
	onlyHeld := flags.Bool("held", false, "")
	onlyFree := flags.Bool("free", false, "")
	holder := flags.String("holder", "", "")
	asJSON := flags.Bool("json", false, "")
	return func(ctx context.Context, args []string) error {
		byHolder := false
		flags.Visit(func(f *flag.Flag) { byHolder = byHolder || f.Name == "holder" })
		switch {
		case len(args) > 0:
			return usagef("list takes no arguments, and got %q", args)
		case *onlyHeld && *onlyFree || byHolder && (*onlyHeld || *onlyFree):
			return usagef("give one of -held, -free and -holder")
		}
		c, err := a.open(ctx, fewRetries)
		if err != nil {
			return err
		}
		wanted := func(i item, now time.Time) bool {
			switch live := i.live(now); {
			case *onlyHeld:
				return live
			case *onlyFree:
				return !live && i.why == ""
			case byHolder:
				return live && i.LesseeID == *holder
			}
			return true
		}
		stdout := bufio.NewWriter(os.Stdout)
		var out lister = &textLister{w: stdout}
		if *asJSON {
			out = newJSONLister(stdout)
		}
		sum := counts{Holders: make(map[string]int)}
		sum.Pages, sum.ReadUnits, err = c.scan(ctx, false, func(page []item) error {
			now := time.Now()
			page = slices.DeleteFunc(page, func(i item) bool { return !wanted(i, now) })
			for _, i := range page {
				sum.add(i, now)
			}
			out.page(page, now)
			return stdout.Flush()
		})
		if err != nil {
			return err
		}
		out.end(sum)
		return stdout.Flush()
	}
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

func (c *counts) add(i item, now time.Time) {
	c.Items++
	switch i.state(now) {
	case held:
		c.Held++
	case reserved:
		c.Reserved++
	case free:
		c.Free++
	case neverLeased:
		c.NeverLeased++
	case unusable:
		c.Unusable++
	}
	if i.live(now) && i.LesseeID != "" {
		c.Holders[i.LesseeID]++
	}
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
	names := make([]string, 0, len(c.Holders))
	for name := range c.Holders {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(c.Holders[b]-c.Holders[a], strings.Compare(a, b)) })
	return names
}

// lister writes the pages as they come.
type lister interface {
	page(items []item, now time.Time)
	end(sum counts)
}

// columns lays out lines. A column is as wide as what it has had so far, within reason: there is no other page to look at.
type columns struct{ widths []int }

var header = []string{"ITEM", "STATE", "HOLDER", "ENDS IN", "TOKEN", "WANTED BY"}

func (i item) columns(now time.Time) []string {
	cells := []string{show(i.LeaseID), string(i.state(now)), "-", "-", "-", cmp.Or(i.wanter(now), "-")}
	switch {
	case i.why != "":
		return append(cells, oneLine(i.why))
	case i.live(now):
		if cells[3] = short(i.Until.Sub(now)); i.LesseeID != "" { // It was released by one that has a namesake.
			cells[2] = show(i.LesseeID)
		}
	case i.maybe:
		cells[1] = "free (never leased?)"
	}
	if !i.tokenless {
		cells[4] = fmt.Sprint(i.FencingToken)
	}
	return cells
}

func (c *columns) fit(lines ...[]string) {
	const widest = 48
	for _, cells := range lines {
		for n, cell := range cells[:len(header)] {
			if len(c.widths) <= n {
				c.widths = append(c.widths, 0)
			}
			c.widths[n] = max(c.widths[n], min(utf8.RuneCountInString(cell), widest))
		}
	}
}

func (c *columns) line(cells []string) string {
	var b strings.Builder
	for n, cell := range cells {
		if n > 0 {
			b.WriteString("  ")
		}
		b.WriteString(cell)
		if n < len(cells)-1 {
			b.WriteString(strings.Repeat(" ", max(0, c.widths[n]-utf8.RuneCountInString(cell))))
		}
	}
	return b.String()
}

type textLister struct {
	w *bufio.Writer
	columns
	begun bool
}

func (t *textLister) page(items []item, now time.Time) {
	lines := make([][]string, 0, len(items)+1)
	if !t.begun && len(items) > 0 {
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

func (t *textLister) end(sum counts) {
	if len(sum.Holders) > 0 {
		fmt.Fprintln(t.w, "\nITEMS  HOLDER")
		for _, name := range sum.ranking() {
			fmt.Fprintf(t.w, "%5d  %s\n", sum.Holders[name], show(name))
		}
	}
	if t.begun {
		fmt.Fprintln(t.w)
	}
	fmt.Fprintf(t.w, "%s (%.1f read units)\n", &sum, sum.ReadUnits)
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
	LastHolder  string   `json:"last_holder,omitempty"`  // when its lease has ended, not if it was released
	Ended       string   `json:"ended,omitempty"`        // when that was
	Uncertain   bool     `json:"maybe_never_leased,omitempty"`
	Why         string   `json:"why,omitempty"` // why it is unusable
}

func (i item) json(now time.Time) jsonItem {
	j := jsonItem{Item: i.LeaseID, State: i.state(now), Why: i.why, Uncertain: i.maybe}
	if i.why != "" {
		return j
	}
	if !i.tokenless {
		j.Token = &i.FencingToken
	}
	switch {
	case i.live(now):
		seconds := float64(i.Until.Sub(now).Milliseconds()) / 1000
		j.Holder, j.EndsIn, j.Ends = i.LesseeID, &seconds, databaseTime(i.LeaseUntil)
	case i.LesseeID != "" && i.LeaseUntil > 0:
		j.LastHolder, j.Ended = i.LesseeID, databaseTime(i.LeaseUntil)
	}
	if i.wished(now) && j.State != reserved {
		j.WantedBy, j.WantedUntil = &i.WantedBy, databaseTime(i.WantedUntil)
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

func (j jsonLister) end(sum counts) { j.Encode(&sum) }
