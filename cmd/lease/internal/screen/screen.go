// Package screen shows looks at a table on a terminal. Reading: screen.go → layout.go → pane.go.
package screen

import (
	"cmp"
	"context"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"charm.land/bubbles/v2/key"
	"charm.land/bubbles/v2/textinput"
	tea "charm.land/bubbletea/v2"
	"golang.org/x/sys/unix"

	"github.com/intercom/lease/cmd/lease/internal/dynamo"
	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/say"
)

// Options are what a screen is to be like.
type Options struct {
	Where   string // table, region and endpoint
	Every   time.Duration
	Zone    *time.Location // of its times
	Verbose bool           // renewals are shown too
	Explain func(error) string
}

// Run shows the looks on the terminal until ctx is done or somebody wants to leave, and
// leaves the terminal as it was.
func Run(ctx context.Context, w *dynamo.Watcher, o Options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := newScreen(o).take(w.Found())
	options := []tea.ProgramOption{tea.WithoutSignalHandler(), tea.WithFilter(withSize)}
	if !say.IsTerminal(os.Stdin) { // There is nobody to press a key.
		options = append(options, tea.WithInput(nil))
	}
	p := tea.NewProgram(s, options...)
	go sendLooks(ctx, w.Start(ctx, o.Every), p)
	last, err := p.Run()
	if err != nil {
		return err
	}
	return last.(screen).fatal
}

// withSize has a terminal that doesn't know its size, as a serial console, be of the usual one.
func withSize(_ tea.Model, msg tea.Msg) tea.Msg {
	if size, ok := msg.(tea.WindowSizeMsg); ok && size.Width*size.Height == 0 {
		return tea.WindowSizeMsg{Width: 80, Height: 24}
	}
	return msg
}

func sendLooks(ctx context.Context, looks <-chan dynamo.Look, p *tea.Program) {
	for {
		select {
		case l := <-looks:
			p.Send(l)
		case <-ctx.Done():
			p.Quit()
			return
		}
	}
}

// screen is what "lease watch" shows on a terminal. It is a value: Update returns the next one, and
// View lays it out.
type screen struct {
	Options
	mark time.Duration // for how long a change is marked

	// What the looks have shown.
	items   []fleet.Item         // by name
	at      time.Time            // of the last look that succeeded
	units   float64              // of that one
	failure string               // of the last look; "" if it succeeded
	fatal   error                // there are no more looks
	changed map[string]time.Time // the last change of those that have changed
	events  []fleet.Event        // the latest ones, oldest first
	sum     *fleet.Counts        // of all items
	now     time.Time

	// What the operator wants to see of it.
	width, height int
	order         int             // of orders
	filter        textinput.Model // is focused while somebody writes
	inEvents      bool            // keys are for the events
	byHolder      bool            // holders are listed, not items
	moreEvents    bool
	help          bool

	// What is listed of it, and where in the lists one is.
	listed                       []*fleet.Item
	listedSum                    *fleet.Counts
	itemsAt, holdersAt, eventsAt scroll
}

// mostEvents are kept.
const mostEvents = 1000

func newScreen(o Options) screen {
	filter := textinput.New()
	filter.Prompt = "filter: "
	filter.KeyMap.Paste.SetEnabled(false) // It would run a program.
	styles := filter.Styles()
	styles.Cursor.Blink = false
	filter.SetStyles(styles)
	return screen{
		Options:   o,
		mark:      max(5*time.Second, 2*o.Every),
		sum:       fleet.NewCounts(),
		filter:    filter,
		listedSum: fleet.NewCounts(),
	}
}

// second tells that time goes by: until leases end, say.
type second time.Time

func nextSecond() tea.Cmd {
	return tea.Tick(time.Second, func(now time.Time) tea.Msg { return second(now) })
}

func (s screen) Init() tea.Cmd { return nextSecond() }

func (s screen) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	var next tea.Cmd
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		s.width = msg.Width
		s.height = msg.Height
	case second:
		s.now = time.Time(msg)
		s = s.list()
		next = nextSecond()
	case dynamo.Look:
		if end, over := msg.Err.(dynamo.Fatal); over {
			s.fatal = end
			return s, tea.Quit
		}
		s = s.take(msg)
	case tea.KeyPressMsg:
		s, next = s.press(msg)
	default:
		s.filter, next = s.filter.Update(msg)
	}
	return s.arrange(), next
}

// take takes what a look has found.
func (s screen) take(l dynamo.Look) screen {
	s.now = l.At
	s.items = l.Items
	s.failure = ""
	if l.Err != nil {
		s.failure = s.Explain(l.Err)
	} else {
		s.at = l.At
		s.units = l.Units
	}
	s.changed = maps.Clone(s.changed)
	if s.changed == nil {
		s.changed = make(map[string]time.Time)
	}
	atEnd := s.eventsAt.at >= len(s.events)-1
	s.events = slices.Clip(s.events)
	for _, e := range l.Events {
		if e.IsShown(s.Verbose) {
			s.changed[e.Item] = l.At
			s.events = append(s.events, e)
		}
	}
	dropped := max(0, len(s.events)-mostEvents)
	s.events = s.events[dropped:]
	s.eventsAt = s.eventsAt.move(-dropped, len(s.events))
	if atEnd {
		s.eventsAt.at = len(s.events) - 1
	}
	return s.list()
}

// isOld tells whether what is shown may be so no longer.
func (s screen) isOld() bool { return s.failure != "" || s.now.Sub(s.at) > s.mark }

// shownAt is the time that is shown: what was held at an old look may be held still.
func (s screen) shownAt() time.Time {
	if s.isOld() {
		return s.at
	}
	return s.now
}

func (s screen) isMarked(i *fleet.Item) bool {
	at, changed := s.changed[i.LeaseID]
	return changed && s.now.Sub(at) < s.mark
}

// orders are by what items are sorted.
var orders = []string{"name", "holder", "state", "ends", "token", lastChange}

const lastChange = "last change"

// key is an item's in the order that is chosen.
func (s screen) key(i *fleet.Item) string {
	if of := fleet.Orders[orders[s.order]]; of != nil {
		return of(*i, s.shownAt())
	}
	at, changed := s.changed[i.LeaseID]
	if !changed {
		return fleet.AtLast
	}
	return fleet.Digits(math.MaxInt64 - at.UnixNano())
}

// list sorts, filters and counts the items. The cursor stays on its item, or at the top.
func (s screen) list() screen {
	under := ""
	if s.itemsAt.at > 0 && s.itemsAt.at < len(s.listed) {
		under = s.listed[s.itemsAt.at].LeaseID
	}
	now := s.shownAt()
	s.sum = fleet.NewCounts()
	s.sum.Add(s.items, now)
	s.listedSum = s.sum
	s.listed = s.sorted(s.filtered())
	if len(s.listed) < len(s.items) {
		s.listedSum = fleet.NewCounts()
		for _, i := range s.listed {
			s.listedSum.Add([]fleet.Item{*i}, now)
		}
	}
	at := slices.IndexFunc(s.listed, func(i *fleet.Item) bool { return i.LeaseID == under })
	if at >= 0 {
		s.itemsAt.at = at
	}
	return s
}

func (s screen) filtered() []*fleet.Item {
	listed := make([]*fleet.Item, 0, len(s.items))
	text := strings.ToLower(s.filter.Value())
	for n := range s.items {
		i := &s.items[n]
		if text == "" || strings.Contains(strings.ToLower(s.words(i)), text) {
			listed = append(listed, i)
		}
	}
	return listed
}

// words are what is shown of an item, and its name as it is.
func (s screen) words(i *fleet.Item) string {
	return i.LeaseID + "\n" + strings.Join(i.NarrowColumns(s.shownAt()), "\n")
}

func (s screen) sorted(listed []*fleet.Item) []*fleet.Item {
	if s.order == 0 { // They are.
		return listed
	}
	keys := make(map[*fleet.Item]string, len(listed))
	for _, i := range listed {
		keys[i] = s.key(i)
	}
	slices.SortStableFunc(listed, func(a, b *fleet.Item) int { return cmp.Compare(keys[a], keys[b]) })
	return listed
}

// press does what a key is for.
func (s screen) press(k tea.KeyPressMsg) (screen, tea.Cmd) {
	if key.Matches(k, keys.interrupt) {
		return s, tea.Quit
	}
	if s.filter.Focused() {
		return s.write(k)
	}
	switch {
	case key.Matches(k, keys.quit):
		return s, tea.Quit
	case key.Matches(k, keys.suspend):
		return s, suspend()
	case key.Matches(k, keys.filter):
		s.help = false
		return s, s.filter.Focus()
	}
	for _, c := range choices {
		if key.Matches(k, c.key) {
			return c.take(s), nil
		}
	}
	return s.scroll(k), nil
}

// suspend gives the terminal back to the shell, if there is one that can resume this program: else
// nobody would.
func suspend() tea.Cmd {
	parent := os.Getppid()
	session, err := unix.Getsid(parent)
	own, _ := unix.Getsid(0)
	group, _ := unix.Getpgid(parent)
	if err != nil || session != own || group == unix.Getpgrp() {
		return nil
	}
	return tea.Suspend
}

// write changes the filter.
func (s screen) write(k tea.KeyPressMsg) (screen, tea.Cmd) {
	var next tea.Cmd
	switch {
	case key.Matches(k, keys.clear):
		s.filter.Blur()
		s.filter.Reset()
	case key.Matches(k, keys.enter):
		s.filter.Blur()
	default:
		s.filter, next = s.filter.Update(k)
	}
	return s.list(), next
}

// choices are keys that change what is shown.
var choices = []struct {
	key  key.Binding
	take func(s screen) screen
}{
	{keys.clear, screen.back},
	{keys.sort, screen.nextOrder},
	{keys.changed, screen.toChanged},
	{keys.holders, func(s screen) screen { s.byHolder = !s.byHolder; return s }},
	{keys.events, func(s screen) screen { s.moreEvents = !s.moreEvents; return s }},
	{keys.other, func(s screen) screen { s.inEvents = !s.inEvents; return s }},
	{keys.help, func(s screen) screen { s.help = !s.help; return s }},
}

// back leaves the help, or clears the filter.
func (s screen) back() screen {
	if s.help {
		s.help = false
		return s
	}
	s.filter.Reset()
	return s.list()
}

func (s screen) nextOrder() screen {
	s.order = (s.order + 1) % len(orders)
	s.itemsAt = scroll{}
	return s.list()
}

// toChanged moves the cursor to the next item that is marked; where none is, to the one that has
// changed last.
func (s screen) toChanged() screen {
	s.inEvents = false
	s.byHolder = false
	count := len(s.listed)
	last := -1
	for n := range count {
		at := (s.itemsAt.at + 1 + n) % count
		i := s.listed[at]
		if s.isMarked(i) {
			s.itemsAt.at = at
			return s
		}
		_, changed := s.changed[i.LeaseID]
		if changed && (last < 0 || s.changed[i.LeaseID].After(s.changed[s.listed[last].LeaseID])) {
			last = at
		}
	}
	if last >= 0 {
		s.itemsAt.at = last
	}
	return s
}

// scroll moves in the list that keys are for.
func (s screen) scroll(k tea.KeyPressMsg) screen {
	switch {
	case s.inEvents:
		s.eventsAt = s.eventPane().press(k, s.width)
	case s.byHolder:
		s.holdersAt = s.holderPane().press(k, s.width)
	default:
		s.itemsAt = s.itemPane().press(k, s.width)
	}
	return s
}
