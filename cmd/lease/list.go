package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"charm.land/lipgloss/v2/table"
	"github.com/spf13/cobra"

	"github.com/intercom/lease/cmd/lease/internal/cli"
	"github.com/intercom/lease/cmd/lease/internal/dynamo"
	"github.com/intercom/lease/cmd/lease/internal/exit"
	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/say"
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
	flags.StringSliceVar(&l.states, "state", nil, "only items in these states, `S`: held, reserved, free, "+
		"never_leased, unusable")
	flags.StringVar(&l.holder, "holder", "", "only what `LESSEE` holds, or is reserved for it")
	flags.StringVar(&l.sort, "sort", "name", "sort by `COLUMN`: name, state, holder, ends, token or weight")
	flags.BoolVar(&l.wide, "wide", false, "weights, capacities and the items' own attributes too")
	flags.BoolVar(&l.json, "json", false, "one object a line; the last line has the counts")
	c.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(stateWords, cobra.ShellCompDirectiveNoFileComp))
	c.RegisterFlagCompletionFunc("sort", cobra.FixedCompletions(
		slices.Sorted(maps.Keys(fleet.Orders)), cobra.ShellCompDirectiveNoFileComp))
	return c
}

var stateWords = []string{"held", "reserved", "free", "never_leased", "unusable"}

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
		if !slices.Contains(stateWords, s) {
			return exit.Usagef("-state is %q; want held, reserved, free, never_leased or unusable", s)
		}
	}
	for _, name := range l.names {
		if !fleet.IsPattern(name) {
			return exit.Usagef("%q is no pattern: want box-*, say", name)
		}
	}
	if fleet.Orders[l.sort] == nil {
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

// show shows the items that are asked for.
func (a *app) show(ctx context.Context, c *dynamo.Client, l listing) error {
	listed, cost, missing := a.read(ctx, c, l)
	if cost.Pages == 0 && missing != nil {
		return missing
	}
	now := time.Now()
	key := fleet.Orders[l.sort]
	slices.SortFunc(listed, func(a, b fleet.Item) int {
		return cmp.Or(cmp.Compare(key(a, now), key(b, now)), cmp.Compare(a.LeaseID, b.LeaseID))
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
	if l.wide {
		c = c.WithOwnAttributes()
	}
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
		t := &listed{
			headers: fleet.Header,
			texts:   1,
			weights: []int{3, 0, 3, 0, 0, 2, 0},
			count:   len(items),
			cells: func(n int, isNarrow bool) []string {
				cells := cellsOf(items[n], wide, now)
				if isNarrow {
					cells[1] = items[n].NarrowColumns(now)[1]
				}
				return cells
			},
		}
		if wide {
			t.headers = slices.Concat(t.headers, []string{"WEIGHT", "CAPACITY", "ATTRIBUTES"})
			t.texts++
			t.weights = slices.Concat(t.weights, []int{0, 0, 0})
		}
		t.headers = slices.Concat(t.headers, []string{""})
		t.write(w)
		fmt.Fprintln(w)
	}
	if len(sum.Holders) > 0 {
		fmt.Fprintln(w, "ITEMS  HOLDER")
		for _, name := range sum.Ranking() {
			fmt.Fprintf(w, "%5d  %s\n", sum.Holders[name], say.Name(name))
		}
		fmt.Fprintln(w)
	}
	units := fmt.Sprintf("(%.1f read units)", sum.ReadUnits)
	between := " "
	if len(sum.String())+len(units) >= say.Width() {
		between = "\n"
	}
	fmt.Fprintf(w, "%s%s%s\n", sum, between, units)
}

// listed is a table of rows of cells, the last of which are texts.
type listed struct {
	headers []string
	weights []int // how much room a column has next to others; 0: what it needs
	texts   int
	count   int
	cells   func(row int, isNarrow bool) []string

	isNarrow bool // there is too little room
}

// write writes the table, as wide as a terminal at most: if it is wider, texts have lines of their own.
// Rows are laid out by the thousand: it takes some memory.
func (l *listed) write(w io.Writer) {
	const atOnce = 1000
	const least = 6 // columns for what is shortened
	columns := len(l.headers)
	widths := l.widths()
	terminal := say.Width()
	if say.Sum(widths)-say.Gap > terminal {
		columns -= l.texts
		l.isNarrow = true
		widths = l.widths()[:columns]
		say.Squeeze(widths, l.weights[:columns], least, terminal+say.Gap) // There is no gap after the last one.
	}
	for first := 0; first < l.count; first += atOnce {
		t := newTable(widths)
		if first == 0 {
			t.Headers(l.headers[:columns]...)
		}
		texts := make([][]string, 0, atOnce)
		for row := first; row < min(first+atOnce, l.count); row++ {
			cells := l.cells(row, l.isNarrow)
			texts = append(texts, cells[columns:])
			t.Row(shortenCells(cells[:columns], widths)...)
		}
		lines := strings.Split(strings.TrimSuffix(t.String(), "\n"), "\n")
		for n, line := range lines {
			fmt.Fprintln(w, strings.TrimRight(line, " "))
			if row := n - (len(lines) - len(texts)); row >= 0 {
				writeTexts(w, texts[row], terminal)
			}
		}
	}
}

// widths are those of the columns when nothing is shortened, with the gaps after them.
func (l *listed) widths() []int {
	widths := make([]int, len(l.headers))
	fit := func(cells []string) {
		for n, cell := range cells {
			widths[n] = max(widths[n], lipgloss.Width(cell)+say.Gap)
		}
	}
	fit(l.headers)
	for row := range l.count {
		fit(l.cells(row, l.isNarrow))
	}
	return widths
}

func writeTexts(w io.Writer, texts []string, width int) {
	for _, text := range texts {
		isNothing := text == "" || text == "{}"
		if !isNothing {
			fmt.Fprintln(w, say.Cut("    "+text, width))
		}
	}
}

// shortenCells shortens cells that are too wide.
func shortenCells(cells []string, widths []int) []string {
	for n, cell := range cells {
		cells[n] = say.Shorten(cell, widths[n]-say.Gap)
	}
	return cells
}

func newTable(widths []int) *table.Table {
	return table.New().Border(lipgloss.Border{}).
		BorderTop(false).BorderBottom(false).BorderLeft(false).BorderRight(false).
		BorderColumn(false).BorderHeader(false).Wrap(false).
		StyleFunc(func(_, column int) lipgloss.Style {
			return lipgloss.NewStyle().PaddingRight(say.Gap).Width(widths[column])
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
