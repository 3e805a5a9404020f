package screen

import (
	"strings"

	"charm.land/bubbles/v2/key"
	"charm.land/bubbles/v2/table"
	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/intercom/lease/cmd/lease/internal/say"
)

// scroll is where in a list one is.
type scroll struct {
	at   int // the line with the cursor
	top  int // the first one that is shown
	page int // how many are shown
	side int // how often it was moved sideways
}

// move moves the cursor, in a list of so many lines.
func (s scroll) move(by, count int) scroll {
	s.at = max(0, min(s.at+by, count-1))
	return s
}

// fit shows as many lines as there is room for, with the cursor's among them.
func (s scroll) fit(count, room int) scroll {
	s = s.move(0, count)
	s.page = max(0, room)
	lowest := max(0, count-s.page)
	below := s.at - s.page + 1
	s.top = min(max(s.top, below), s.at, lowest)
	return s
}

// isWhole tells whether nothing is shortened: that is what the first move sideways is for.
func (s scroll) isWhole() bool { return s.side > 0 }

// left is how much is out of sight on the left.
func (s scroll) left() int { return max(0, s.side-1) * sideways }

// pane is a list of lines with cells, some of which are on the screen.
type pane struct {
	scroll
	header  []string
	weights []int // how much room a column has next to others; 0: what it needs
	texts   bool  // are in the last column: they are cut at their ends, not in the middle
	count   int
	cells   func(n int) []string
	marked  func(n int) bool
}

var moves = table.DefaultKeyMap()

const (
	sideways = 8 // columns
	margin   = 2 // for the cursor and the mark
	narrow   = 8 // is no cell made for lack of room
)

// press moves where a key says.
func (p pane) press(k tea.KeyPressMsg, width int) scroll {
	switch {
	case key.Matches(k, moves.LineUp):
		return p.move(-1, p.count)
	case key.Matches(k, moves.LineDown):
		return p.move(1, p.count)
	case key.Matches(k, moves.PageUp):
		return p.move(-p.page, p.count)
	case key.Matches(k, moves.PageDown):
		return p.move(p.page, p.count)
	case key.Matches(k, moves.GotoTop):
		return p.move(-p.count, p.count)
	case key.Matches(k, moves.GotoBottom):
		return p.move(p.count, p.count)
	case key.Matches(k, keys.left):
		p.side = max(0, p.side-1)
	case key.Matches(k, keys.right):
		whole := say.Sum(p.widths(p.rows())) + margin
		if whole-p.left() > width {
			p.side++
		}
	}
	return p.scroll
}

// rows returns the cells that are shown.
func (p pane) rows() []table.Row {
	var rows []table.Row
	for n := p.top; n < min(p.top+p.page, p.count); n++ {
		rows = append(rows, p.cells(n))
	}
	return rows
}

// widths returns how wide the columns are when nothing is shortened.
func (p pane) widths(rows []table.Row) []int {
	widths := make([]int, len(p.header))
	for n, title := range p.header {
		widths[n] = ansi.StringWidth(title) + say.Gap
		for _, row := range rows {
			widths[n] = max(widths[n], ansi.StringWidth(row[n])+say.Gap)
		}
	}
	return widths
}

var (
	bold    = lipgloss.NewStyle().Bold(true)
	reverse = lipgloss.NewStyle().Reverse(true)
)

// layout returns the cells that are shown, and how wide the columns are.
func (p pane) layout(width int) (rows []table.Row, widths []int) {
	rows = p.rows()
	widths = p.widths(rows)
	if !p.isWhole() {
		say.Squeeze(widths, p.weights, narrow, width-margin+say.Gap) // There is no gap after the last one.
	}
	return rows, widths
}

// shortened is the first cell of the cursor's line, if there was too little room for it.
func (p pane) shortened(width int) string {
	rows, widths := p.layout(width)
	n := p.at - p.top
	isShown := !p.texts && n >= 0 && n < len(rows)
	if isShown && ansi.StringWidth(rows[n][0]) > widths[0]-say.Gap {
		return rows[n][0]
	}
	return ""
}

// lines lays the pane out: texts are shortened so that it fits, unless it was moved sideways. Its
// cursor is shown if keys are for it.
func (p pane) lines(width int, focused bool) []string {
	rows, widths := p.layout(width)
	names := len(p.header)
	if p.texts { // The table cuts them.
		names--
	}
	for _, row := range rows {
		for n := range names {
			row[n] = say.Shorten(row[n], widths[n]-say.Gap)
		}
	}
	columns := make([]table.Column, len(widths))
	for n := range widths {
		columns[n] = table.Column{Title: p.header[n], Width: widths[n]}
	}
	t := table.New(
		table.WithColumns(columns),
		table.WithRows(rows),
		table.WithWidth(say.Sum(widths)),
		table.WithStyles(table.Styles{}),
		table.WithHeight(len(rows)+1),
	)
	lines := strings.Split(t.View(), "\n")[:len(rows)+1]
	for n, line := range lines {
		line = ansi.TruncateLeft(strings.TrimRight(line, " "), p.left(), "…")
		lines[n] = p.dress(n-1+p.top, say.Cut(line, width-margin), focused)
	}
	return lines
}

// dress shows what a line is: n is -1 before the first.
func (p pane) dress(n int, line string, focused bool) string {
	if n < p.top {
		return "  " + line
	}
	mark := " "
	marked := p.marked(n)
	if marked {
		mark = "*"
	}
	if focused && n == p.at {
		return ">" + mark + reverse.Bold(marked).Render(line)
	}
	if marked {
		line = bold.Render(line)
	}
	return " " + mark + line
}
