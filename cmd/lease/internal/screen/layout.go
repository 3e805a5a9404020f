package screen

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"charm.land/bubbles/v2/help"
	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/say"
)

func binding(text, what string, names ...string) key.Binding {
	return key.NewBinding(key.WithKeys(names...), key.WithHelp(text, what))
}

// keys are those of the screen, beside those that move.
var keys = struct {
	left, right, other, changed, filter, clear, enter, sort, holders, events, help, suspend, quit,
	interrupt key.Binding
}{
	left:      binding("←/→", "names whole, and sideways", "left"),
	right:     binding("→", "to the right", "right"),
	other:     binding("tab", "move in the events, or the items", "tab"),
	changed:   binding("n", "to the next changed item, or the last", "n"),
	filter:    binding("/", "filter by name, state, holder, or who wants it", "/"),
	clear:     binding("esc", "clear the filter", "esc"),
	enter:     binding("enter", "done", "enter"),
	sort:      binding("s", "sort by name, holder, state, ends, token, or last change", "s"),
	holders:   binding("h", "holders and how many items each has, or the items", "h"),
	events:    binding("e", "more room for events, or less", "e"),
	help:      binding("?", "this help, or the items", "?"),
	suspend:   binding("ctrl+z", "suspend", "ctrl+z"),
	quit:      binding("q", "leave", "q", "Q"),
	interrupt: binding("ctrl+c", "leave", "ctrl+c"),
}

const shortHelp = "? help  / filter  s sort  n next changed  h holders  e events  q leave"

func (s screen) View() tea.View {
	v := tea.NewView(strings.Join(s.lines(), "\n"))
	v.AltScreen = true
	return v
}

// lines lays the screen out: its head, the lists or the help, and what keys are for.
func (s screen) lines() []string {
	lines := s.head()
	if s.help {
		lines = append(lines, s.helpLines()...)
	} else {
		lines = append(lines, s.panes()...)
	}
	last := s.height - 1
	for len(lines) < last {
		lines = append(lines, "")
	}
	lines = append(lines[:max(0, last)], s.foot())
	for n, line := range lines {
		lines[n] = say.Cut(line, s.width)
	}
	return lines
}

// head says what is shown, and of when.
func (s screen) head() []string {
	lines := []string{bold.Render(say.Shorten(s.Where, s.width))}
	if s.isOld() {
		for line := range strings.Lines(ansi.Wrap(s.warning(), s.width, "")) {
			lines = append(lines, bold.Render(strings.TrimSpace(line)))
		}
	} else {
		at := s.at.In(s.Zone)
		lines = append(lines, fmt.Sprintf("%s, looks each %v for %.1f read units; holders: %d",
			at.Format(time.DateTime+" MST"), s.Every, s.units, len(s.sum.Holders)))
	}
	return append(lines, s.sum.String())
}

// warning says why what is shown is old.
func (s screen) warning() string {
	age := say.Duration(s.now.Sub(s.at))
	if s.failure != "" {
		return "LOOKING FAILS, shown is what was " + age + " ago: " + s.failure
	}
	return "NO ANSWER YET, shown is what was " + age + " ago"
}

// foot is the last line.
func (s screen) foot() string {
	if s.filter.Focused() {
		return s.filter.View()
	}
	return shortHelp
}

func (s screen) helpLines() []string {
	h := help.New()
	h.Styles = help.Styles{}
	text := h.FullHelpView([][]key.Binding{{
		moves.LineUp, moves.LineDown, moves.PageUp, moves.PageDown, moves.GotoTop, moves.GotoBottom,
		keys.left, keys.other, keys.changed, keys.filter, keys.clear, keys.sort, keys.holders,
		keys.events, keys.help, keys.suspend, keys.quit,
	}})
	marks := fmt.Sprintf("* has changed in the last %v; ", s.mark)
	return strings.Split(text+"\n"+marks+"free? was released, or never leased.", "\n")
}

// arrange shares the room among the lists: events have what the items leave, and a third at least,
// or two.
func (s screen) arrange() screen {
	const titles = 2 // of a list
	const foot = 1
	room := s.height - len(s.head()) - titles - foot
	events := 0
	if len(s.events) > 0 && room > 1 {
		room-- // their title
		share := room / 3
		if s.moreEvents {
			share *= 2
		}
		events = min(len(s.events), max(share, room-s.listPane().count))
	}
	s.itemsAt = s.itemsAt.fit(len(s.listed), room-events)
	s.holdersAt = s.holdersAt.fit(len(s.listedSum.Holders), room-events)
	s.eventsAt = s.eventsAt.fit(len(s.events), events)
	return s
}

// panes are the lists: of items, or holders, and of events.
func (s screen) panes() []string {
	list := s.listPane()
	lines := append([]string{s.title(list, s.what())}, list.lines(s.width, !s.inEvents)...)
	events := s.eventPane()
	if events.page == 0 {
		return lines
	}
	lines = append(lines, s.title(events, "events"))
	return append(lines, events.lines(s.width, s.inEvents)[1:]...)
}

// title is a line above a list: which part of it is shown.
func (s screen) title(p pane, what string) string {
	const rule = "──"
	shown := "0"
	if last := min(p.top+p.page, p.count); last > p.top {
		shown = fmt.Sprintf("%d to %d", p.top+1, last)
	}
	text := fmt.Sprintf("%s %s of %d %s ", rule, shown, p.count, what)
	const least = 2 * narrow // of a name is of use
	room := s.width - ansi.StringWidth(text) - 1
	if name := p.shortened(s.width); name != "" && room >= least {
		text += say.Shorten(name, room) + " "
	}
	return text + strings.Repeat("─", max(0, s.width-ansi.StringWidth(text)))
}

// what says what is listed, and how.
func (s screen) what() string {
	what := "items by " + orders[s.order]
	if s.byHolder {
		what = "holders"
	}
	if text := s.filter.Value(); text != "" {
		what += fmt.Sprintf(", filter %s", say.Name(text))
	}
	return what
}

func (s screen) listPane() pane {
	if s.byHolder {
		return s.holderPane()
	}
	return s.itemPane()
}

func (s screen) itemPane() pane {
	return pane{
		scroll:  s.itemsAt,
		header:  fleet.Header,
		weights: []int{3, 0, 3, 0, 0, 2},
		count:   len(s.listed),
		cells:   func(n int) []string { return s.listed[n].NarrowColumns(s.shownAt()) },
		marked:  func(n int) bool { return s.isMarked(s.listed[n]) },
	}
}

func (s screen) holderPane() pane {
	holders := s.listedSum.Ranking()
	return pane{
		scroll:  s.holdersAt,
		header:  []string{"ITEMS", "HOLDER"},
		weights: []int{0, 1},
		count:   len(holders),
		cells: func(n int) []string {
			return []string{strconv.Itoa(s.listedSum.Holders[holders[n]]), say.Name(holders[n])}
		},
		marked: func(int) bool { return false },
	}
}

func (s screen) eventPane() pane {
	return pane{
		scroll:  s.eventsAt,
		header:  make([]string, 4),
		weights: []int{0, 0, 2, 3},
		texts:   true,
		count:   len(s.events),
		cells: func(n int) []string {
			e := s.events[n]
			at := e.Time.In(s.Zone).Format(time.TimeOnly)
			return []string{at, string(e.Event), say.Name(e.Item), e.Details(s.Zone)}
		},
		marked: func(int) bool { return false },
	}
}
