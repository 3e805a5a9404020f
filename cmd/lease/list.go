package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"charm.land/lipgloss/v2/table"
	"github.com/intercom/lease/cmd/lease/internal/cli"
	"github.com/intercom/lease/cmd/lease/internal/dynamo"
	"github.com/intercom/lease/cmd/lease/internal/exit"
	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/say"
	"github.com/intercom/lease/cmd/lease/internal/screen"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// listing is what the flags of list say.
type listing struct {
	held, free bool
	states     []string
	byHolder   bool
	holder     string
	sort       string
	wide, json bool
	names      []string // items, or patterns
}

func (a *app) list() *cobra.Command {
	var l listing
	var c *cobra.Command
	c = a.command(cobra.Command{
		Use:     "list [ITEM | PATTERN]... [-state S,S] [-holder LESSEE] [-wide]",
		Short:   "who holds what",
		Long:    listHelp,
		Example: "lease list -table mailboxes 'box-1*' -state free,unusable -wide",
	}, func(ctx context.Context, names []string) error {
		l.names = names
		l.byHolder = cli.IsGiven(c, "holder")
		if err := l.check(); err != nil {
			return err
		}
		client, err := a.Open(ctx, dynamo.FewRetries)
		if err != nil {
			return err
		}
		return a.show(ctx, client, l)
	})
	flags := c.Flags()
	flags.BoolVar(&l.held, "held", false, "only items that are held or reserved")
	flags.BoolVar(&l.free, "free", false, "only items that are free, never leased too")
	flags.StringSliceVar(&l.states, "state", nil, "only items in these states, `S`: held, reserved, free,\n"+
		"never_leased, unusable")
	flags.StringVar(&l.holder, "holder", "", "only what `LESSEE` holds, or is reserved for it")
	flags.StringVar(&l.sort, "sort", "name", "sort by `COLUMN`: name, state, holder, ends, token or weight")
	flags.BoolVar(&l.wide, "wide", false, "weights, capacities and the items' own attributes too")
	flags.BoolVar(&l.json, "json", false, "one object a line; the last line has the counts")
	return c
}

const listHelp = `Shows items: state, holder, when the lease ends, the fencing token, who wants
it; of free ones whose lease ended and when, of unusable ones why. At the end
it counts the items of each holder. It reads the whole table, at half a read
unit for each 4 KB, unless all arguments are items.

Reserved: handed over, and not yet taken by whom it was handed to.`

func (l *listing) check() error {
	given := 0
	for _, is := range []bool{l.held, l.free, len(l.states) > 0} {
		if is {
			given++
		}
	}
	if given > 1 {
		return exit.Usagef("give one of -held, -free and -state")
	}
	if l.held {
		l.states = []string{string(fleet.Held), string(fleet.Reserved)}
	}
	if l.free {
		l.states = []string{string(fleet.Free), fleet.OneWord(fleet.NeverLeased)}
	}
	for _, s := range l.states {
		if !slices.Contains([]string{"held", "reserved", "free", "never_leased", "unusable"}, s) {
			return exit.Usagef("-state is %q; want held, reserved, free, never_leased or unusable", s)
		}
	}
	for _, name := range l.names {
		if !fleet.IsPattern(name) {
			return exit.Usagef("%q is no pattern: want box-*, say", name)
		}
	}
	if sortings[l.sort] == nil {
		return exit.Usagef("-sort is %q; want name, state, holder, ends, token or weight", l.sort)
	}
	return nil
}

func (l *listing) wants(i fleet.Item, now time.Time) bool {
	if l.byHolder && (!i.Live(now) || i.LesseeID != l.holder) {
		return false
	}
	if len(l.states) > 0 && !slices.Contains(l.states, fleet.OneWord(i.State(now))) {
		return false
	}
	return len(l.names) == 0 || slices.ContainsFunc(l.names, i.IsCalled)
}

// sortings are what items can be sorted by; those that are equal are by name.
var sortings = map[string]func(a, b fleet.Item) int{
	"name":   func(a, b fleet.Item) int { return 0 },
	"state":  func(a, b fleet.Item) int { return cmp.Compare(a.State(time.Now()), b.State(time.Now())) },
	"holder": func(a, b fleet.Item) int { return cmp.Compare(a.LesseeID, b.LesseeID) },
	"ends":   func(a, b fleet.Item) int { return cmp.Compare(a.LeaseUntil, b.LeaseUntil) },
	"token":  func(a, b fleet.Item) int { return cmp.Compare(a.FencingToken, b.FencingToken) },
	"weight": func(a, b fleet.Item) int { return cmp.Compare(b.Weight, a.Weight) },
}

// show shows the items that are asked for.
func (a *app) show(ctx context.Context, c *dynamo.Client, l listing) error {
	listed, cost, missing := a.read(ctx, c, l)
	if cost.Pages == 0 && missing != nil {
		return missing
	}
	now := time.Now()
	slices.SortFunc(listed, func(a, b fleet.Item) int {
		return cmp.Or(sortings[l.sort](a, b), cmp.Compare(a.LeaseID, b.LeaseID))
	})
	sum := fleet.NewCounts()
	sum.Add(listed, now)
	sum.Pages = cost.Pages
	sum.ReadUnits = cost.Units
	stdout := bufio.NewWriter(os.Stdout)
	if l.json {
		writeJSON(stdout, listed, sum, now)
	} else {
		writeText(stdout, listed, sum, l.wide, now)
	}
	return errors.Join(stdout.Flush(), missing)
}

// read reads the items that are asked for: each alone, if all are named. Of those it reports which
// aren't there.
func (a *app) read(ctx context.Context, c *dynamo.Client, l listing) (listed []fleet.Item, sum dynamo.Cost, err error) {
	see := func(page []fleet.Item) error {
		for _, i := range page {
			if l.wants(i, time.Now()) {
				listed = append(listed, i)
			}
		}
		return nil
	}
	c.Wide = l.wide
	debug.SetGCPercent(30) // It has all items in memory, to sort them.
	if !l.namesItems() {
		sum, err = c.Scan(ctx, false, see)
		return listed, sum, err
	}
	err = a.each(ctx, l.names, func(id string) error {
		i, err := c.Find(ctx, id)
		if err == nil {
			see([]fleet.Item{i})
		}
		return err
	})
	return listed, dynamo.Cost{Pages: len(l.names), Units: float64(len(l.names))}, err
}

// namesItems tells that items are named, and nothing else asked for.
func (l *listing) namesItems() bool {
	isPattern := func(name string) bool { return strings.ContainsAny(name, `*?[\`) }
	return len(l.names) > 0 && !slices.ContainsFunc(l.names, isPattern)
}

// cellsOf returns the cells of an item's line.
func cellsOf(i fleet.Item, wide bool, now time.Time) []string {
	cells := i.Columns(now)
	if !say.IsTerminal(os.Stdout) {
		cells[1] = fleet.OneWord(i.State(now)) // for awk
	}
	if wide {
		cells = append(cells, fmt.Sprint(i.Weight), fmt.Sprint(i.Capacity), i.Users)
	}
	return append(cells, i.Note(now))
}

func writeText(w io.Writer, items []fleet.Item, sum *fleet.Counts, wide bool, now time.Time) {
	if len(items) > 0 {
		headers := slices.Clone(fleet.Header)
		if wide {
			headers = append(headers, "WEIGHT", "CAPACITY", "ATTRIBUTES")
		}
		cells := func(n int) []string { return cellsOf(items[n], wide, now) }
		writeTable(w, append(headers, ""), len(items), cells)
		fmt.Fprintln(w)
	}
	if len(sum.Holders) > 0 {
		fmt.Fprintln(w, "ITEMS  HOLDER")
		for _, name := range sum.Ranking() {
			fmt.Fprintf(w, "%5d  %s\n", sum.Holders[name], say.Name(name))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "%s (%.1f read units)\n", sum, sum.ReadUnits)
}

// writeTable writes rows of cells under their headers, as wide as a terminal at most. Rows are laid
// out by the thousand: it takes some memory.
func writeTable(w io.Writer, headers []string, rows int, cells func(row int) []string) {
	const atOnce = 1000
	widths := make([]int, len(headers)) // with the gaps after them
	fit := func(cells []string) {
		for n, cell := range cells {
			widths[n] = max(widths[n], lipgloss.Width(cell)+screen.Gap)
		}
	}
	fit(headers)
	for row := range rows {
		fit(cells(row))
	}
	terminal, _, err := term.GetSize(int(os.Stdout.Fd()))
	if err == nil {
		alike := slices.Repeat([]int{1}, len(widths))
		screen.Squeeze(widths, alike, terminal+screen.Gap) // There is no gap after the last one.
	}
	for first := 0; first < rows; first += atOnce {
		t := newTable(widths)
		if first == 0 {
			t.Headers(headers...)
		}
		for row := first; row < min(first+atOnce, rows); row++ {
			t.Row(cutCells(cells(row), widths)...)
		}
		for line := range strings.Lines(t.String()) {
			fmt.Fprintln(w, strings.TrimRight(line, " \n"))
		}
	}
}

// cutCells shortens cells that are too wide.
func cutCells(cells []string, widths []int) []string {
	for n, cell := range cells {
		cells[n] = say.Cut(cell, widths[n]-screen.Gap)
	}
	return cells
}

func newTable(widths []int) *table.Table {
	return table.New().Border(lipgloss.Border{}).
		BorderTop(false).BorderBottom(false).BorderLeft(false).BorderRight(false).
		BorderColumn(false).BorderHeader(false).Wrap(false).
		StyleFunc(func(_, column int) lipgloss.Style {
			return lipgloss.NewStyle().PaddingRight(screen.Gap).Width(widths[column])
		})
}

func writeJSON(w io.Writer, items []fleet.Item, sum *fleet.Counts, now time.Time) {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	for _, i := range items {
		e.Encode(i.JSON(now))
	}
	e.Encode(sum)
}
