package screen

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/intercom/lease/cmd/lease/internal/dynamo"
	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/fleet/fleettest"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
)

var update = flag.Bool("update", false, "write testdata/screens anew: look at what has changed in them")

// onScreen is a screen in a test.
type onScreen struct {
	screen
	left bool // somebody has left it
}

func newOnScreen(width, height int, items ...fleet.Item) *onScreen {
	s := newScreen(Options{Every: 2 * time.Second, Zone: time.UTC})
	s.Where = "mailboxes  eu-west-1  https://dynamodb.eu-west-1.amazonaws.com"
	s.Explain = error.Error
	x := &onScreen{screen: s}
	x.send(tea.WindowSizeMsg{Width: width, Height: height})
	x.look(0, items)
	return x
}

func (x *onScreen) send(msg tea.Msg) {
	next, cmd := x.Update(msg)
	x.screen = next.(screen)
	if _, isKey := msg.(tea.KeyPressMsg); !isKey || cmd == nil {
		return
	}
	_, x.left = cmd().(tea.QuitMsg)
}

// look is a look that succeeds, so long after noon.
func (x *onScreen) look(after time.Duration, items []fleet.Item, events ...fleet.Event) {
	for n := range events {
		events[n].Time = fleet.Moment(fleettest.Noon.Add(after).UnixNano())
	}
	x.send(dynamo.Look{Items: items, Events: events, At: fleettest.Noon.Add(after), Units: 12.5})
}

var keyNames = map[string]tea.Key{
	"up": {Code: tea.KeyUp}, "down": {Code: tea.KeyDown}, "left": {Code: tea.KeyLeft}, "right": {Code: tea.KeyRight},
	"pgup": {Code: tea.KeyPgUp}, "pgdown": {Code: tea.KeyPgDown}, "home": {Code: tea.KeyHome}, "end": {Code: tea.KeyEnd},
	"space": {Code: tea.KeySpace, Text: " "}, "tab": {Code: tea.KeyTab}, "esc": {Code: tea.KeyEscape}, "enter": {Code: tea.KeyEnter},
	"ctrl+c": {Code: 'c', Mod: tea.ModCtrl}, "ctrl+v": {Code: 'v', Mod: tea.ModCtrl}, "ctrl+z": {Code: 'z', Mod: tea.ModCtrl},
}

func (x *onScreen) press(names ...string) {
	for _, name := range names {
		k, ok := keyNames[name]
		if !ok {
			k = tea.Key{Code: []rune(name)[0], Text: name}
		}
		x.send(tea.KeyPressMsg(k))
	}
}

// text returns the lines without their looks. They fit the screen.
func (x *onScreen) text(t *testing.T) []string {
	t.Helper()
	lines := strings.Split(x.View().Content, "\n")
	assert.LessOrEqual(t, len(lines), max(1, x.height))
	for n, line := range lines {
		assert.LessOrEqual(t, ansi.StringWidth(line), x.width, line)
		lines[n] = strings.TrimRight(ansi.Strip(line), " ")
	}
	return lines
}

// under returns the line with the cursor.
func (x *onScreen) under(t *testing.T) string {
	t.Helper()
	for _, line := range x.text(t) {
		if strings.HasPrefix(line, ">") {
			return line
		}
	}
	return ""
}

// night is a table with all that there can be.
func night() (items []fleet.Item, events []fleet.Event) {
	at := func(name, holder string, token int64, left time.Duration) fleet.Item {
		end := fleettest.Noon.Add(left)
		return fleet.Item{LeaseItem: lease.LeaseItem{LeaseID: name, LesseeID: holder, FencingToken: token, Until: end, LeaseUntil: end.UnixNano()}}
	}
	wish := func(i fleet.Item, by string) fleet.Item {
		i.WantedBy = by
		i.WantedUntil = i.LeaseUntil
		return i
	}
	spoiled := at("mailbox-00012", "", 0, 0)
	spoiled.Unusable = true
	spoiled.Why = `LeaseUntil "soon" is not a number`
	never := fleet.Item{LeaseItem: lease.LeaseItem{LeaseID: "mailbox-00013", FencingToken: 1767225600005}, Unleased: true}
	maybe := fleet.Item{LeaseItem: lease.LeaseItem{LeaseID: "mailbox-00014", FencingToken: 1767225600005}, Maybe: true}
	items = []fleet.Item{
		at("a", "w1", 5, 20*time.Second),
		at("mailbox-00001.eu-west-1.customers.example.com/inbox/2026", "ip-10-0-12-7.eu-west-1.compute.internal:4711", 1767225600002, 24*time.Second),
		wish(at("mailbox-00002", "host-1:4711", 1767225600002, 21*time.Second), "host-2:4711"),
		wish(at("mailbox-00003", "host-2:4711", 1767225600017, 18*time.Second), "host-2:4711"),
		at("mailbox-00004", "host-1:4711", 1767225600021, -time.Minute),
		wish(at("mailbox-00005", "host-3:12", 1767225600021, 3*time.Hour), ""),
		spoiled, never, maybe,
		at("\x1b[2J\x07evil\nname", "w1", 7, time.Second),
		at("郵便受け郵便受け郵便受け郵便受け郵便受け", "宿主-一", 8, 29*time.Second),
	}
	token := int64(1767225600002)
	wanter := ""
	events = []fleet.Event{
		{Event: fleet.Obtained, Item: "mailbox-00002", Holder: "host-1:4711", From: "ip-10-0-12-7.eu-west-1.compute.internal:4711", Token: &token},
		{Event: fleet.Renewed, Item: "mailbox-00003", Holder: "host-2:4711"},
		{Event: fleet.HandedOver, Item: "mailbox-00003", From: "host-1:4711", Holder: "host-2:4711", Token: &token},
		{Event: fleet.Freed, Item: "mailbox-00004", Holder: "host-1:4711", Token: &token},
		{Event: fleet.Wanted, Item: "mailbox-00005", Holder: "host-3:12", WantedBy: &wanter},
		{Event: fleet.Kind("unusable"), Item: "mailbox-00012", Why: spoiled.Why},
	}
	return items, events
}

// many are items of which each of 20 workers holds as many.
func many(count int) []fleet.Item {
	items := make([]fleet.Item, count)
	for n := range items {
		end := fleettest.Noon.Add(time.Duration(n%30) * time.Second)
		items[n] = fleet.Item{LeaseItem: lease.LeaseItem{
			LeaseID:      fmt.Sprintf("mailbox-%05d", n),
			LesseeID:     fmt.Sprintf("host-%02d:4711", n%20),
			FencingToken: 1767225600000 + int64(n),
			Until:        end,
			LeaseUntil:   end.UnixNano(),
		}}
	}
	return items
}

func nightOnScreen(width, height int) *onScreen {
	items, events := night()
	x := newOnScreen(width, height, items...)
	x.look(2*time.Second, items, events...)
	return x
}

func TestScreensLookLikeTheirFiles(t *testing.T) {
	t.Parallel()
	items, events := night()
	outage := dynamo.Look{Items: items, At: fleettest.Noon.Add(3 * time.Minute), Err: errors.New(`no answer from https://dynamodb.eu-west-1.amazonaws.com: ` +
		`check -endpoint, -region and the network (dial tcp: lookup dynamodb.eu-west-1.amazonaws.com on 10.0.0.2:53: server misbehaving)`)}
	for name, show := range map[string]func() *onScreen{
		"80x24":  func() *onScreen { return nightOnScreen(80, 24) },
		"200x70": func() *onScreen { return nightOnScreen(200, 70) },
		"resized": func() *onScreen {
			x := nightOnScreen(200, 70)
			x.send(tea.WindowSizeMsg{Width: 50, Height: 16})
			return x
		},
		"first-look": func() *onScreen { return newOnScreen(80, 24, items...) },
		"empty":      func() *onScreen { return newOnScreen(80, 24) },
		"outage": func() *onScreen {
			x := nightOnScreen(80, 24)
			x.send(outage)
			return x
		},
		"no-answer": func() *onScreen {
			x := nightOnScreen(80, 24)
			x.send(second(fleettest.Noon.Add(20 * time.Second)))
			return x
		},
		"help": func() *onScreen {
			x := nightOnScreen(80, 24)
			x.press("?")
			return x
		},
		"filter-written": func() *onScreen {
			x := nightOnScreen(80, 24)
			x.press("/", "H", "o", "s", "t", "-", "1")
			return x
		},
		"filter": func() *onScreen {
			x := newOnScreen(80, 24, many(5000)...)
			x.press("/", "h", "o", "s", "t", "-", "1", "7", "enter")
			return x
		},
		"holders": func() *onScreen {
			x := newOnScreen(80, 24, many(5000)...)
			x.press("h", "down")
			return x
		},
		"sideways": func() *onScreen {
			x := nightOnScreen(80, 24)
			x.press("down", "right", "right", "right")
			return x
		},
		"by-end": func() *onScreen {
			x := nightOnScreen(80, 24)
			x.press("s", "s", "s")
			return x
		},
		"more-events": func() *onScreen {
			x := newOnScreen(80, 24, many(5000)...)
			for n := range 20 {
				x.look(time.Duration(n)*time.Second, many(5000), events...)
			}
			x.press("e", "tab", "up", "up")
			return x
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := strings.Join(show().text(t), "\n") + "\n"
			file := filepath.Join("testdata", "screens", name+".txt")
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.Equal(t, string(want), text)
		})
	}
}

func TestScreenThatIsOldSaysSoAndFreesNothing(t *testing.T) {
	t.Parallel()
	x := newOnScreen(80, 24, fleettest.HeldItem("w1", 5)) // for 20 s
	x.send(second(fleettest.Noon.Add(21 * time.Second)))
	assert.Equal(t, "NO ANSWER YET, shown is what was 21s ago", x.text(t)[1])
	assert.Regexp(t, `^> a +held +w1 `, x.under(t))
	x.send(dynamo.Look{Items: x.items, At: fleettest.Noon.Add(22 * time.Second), Err: errors.New("no answer")})
	assert.Equal(t, "LOOKING FAILS, shown is what was 22s ago: no answer", x.text(t)[1])
	assert.Contains(t, x.text(t)[2], "1 held, 0 reserved, 0 free")
	x.look(23*time.Second, x.items)
	assert.Contains(t, x.text(t)[2], "0 held, 0 reserved, 1 free")
}

func TestScreenEndsOfAFatalError(t *testing.T) {
	t.Parallel()
	x := newOnScreen(80, 24)
	end := dynamo.Fatal{Cause: errors.New("panic")}
	x.send(dynamo.Look{Err: end})
	assert.Equal(t, error(end), x.fatal)
	next, cmd := x.Update(dynamo.Look{Err: end})
	assert.Equal(t, tea.QuitMsg{}, cmd())
	assert.Equal(t, error(end), next.(screen).fatal)
}

func TestScreenIsLeft(t *testing.T) {
	t.Parallel()
	for _, keys := range [][]string{{"q"}, {"Q"}, {"ctrl+c"}, {"?", "q"}, {"/", "q", "ctrl+c"}, {"/", "q", "enter", "q"}} {
		x := newOnScreen(80, 24)
		x.press(keys...)
		assert.True(t, x.left, keys)
	}
	x := newOnScreen(80, 24)
	x.press("/", "q", "ctrl+v", "x")
	assert.False(t, x.left)
	assert.Equal(t, "qx", x.filter.Value())
}

func TestScreenScrolls(t *testing.T) {
	t.Parallel()
	x := newOnScreen(80, 24, many(50)...) // 18 at a time
	for _, test := range []struct{ keys, under, title string }{
		{"down", "mailbox-00001", "1 to 18 "}, {"j", "mailbox-00002", "1 to 18 "}, {"space", "mailbox-00020", "4 to 21 "},
		{"pgdown", "mailbox-00038", "22 to 39 "}, {"f", "mailbox-00049", "33 to 50 "}, {"j", "mailbox-00049", "33 to 50 "},
		{"up", "mailbox-00048", "33 to 50 "}, {"k", "mailbox-00047", "33 to 50 "}, {"b", "mailbox-00029", "30 to 47 "},
		{"pgup", "mailbox-00011", "12 to 29 "}, {"home", "mailbox-00000", "1 to 18 "}, {"up", "mailbox-00000", "1 to 18 "},
		{"G", "mailbox-00049", "33 to 50 "}, {"g", "mailbox-00000", "1 to 18 "}, {"end", "mailbox-00049", "33 to 50 "}, {"x", "mailbox-00049", "33 to 50 "},
	} {
		x.press(test.keys)
		assert.Contains(t, x.under(t), "> "+test.under, test.keys)
		assert.Contains(t, x.text(t)[3], "── "+test.title+"of 50 items", test.keys)
	}
}

func TestScreenIsMovedSidewaysUntilNothingIsHidden(t *testing.T) {
	t.Parallel()
	x := nightOnScreen(80, 24)
	x.press("down")
	fits := x.under(t)
	for range 30 {
		x.press("right")
	}
	assert.Regexp(t, `^> ….*:4711 +22s +1767225600002 +-$`, x.under(t))
	x.press("left")
	for range 30 {
		x.press("left")
	}
	assert.Equal(t, fits, x.under(t))
	x.press("right")
	assert.Contains(t, x.under(t), "> mailbox-00001.eu-west-1.customers.example.com/inbox/2026  held")
}

func TestScreenMarksWhatHasChangedForAWhileAndFindsIt(t *testing.T) {
	t.Parallel()
	items := many(5000)
	x := newOnScreen(80, 24, items...)
	x.press("n")
	assert.Contains(t, x.under(t), "mailbox-00000", "nothing has changed")
	event := func(n int, what fleet.Kind) fleet.Event { return fleet.Event{Event: what, Item: items[n].LeaseID} }
	x.look(time.Second, items, event(100, fleet.Obtained), event(101, fleet.Renewed), event(4000, fleet.Ended))
	for _, want := range []string{">*mailbox-00100", ">*mailbox-04000", ">*mailbox-00100"} {
		x.press("n")
		assert.Contains(t, x.under(t), want)
	}
	x.look(2*time.Second, items, event(300, fleet.Released))
	x.look(30*time.Second, items)
	assert.Contains(t, x.under(t), "> mailbox-00100", "it is marked no longer")
	x.press("n")
	assert.Contains(t, x.under(t), "> mailbox-00300", "that changed last")

	x.press("s", "s", "s", "s", "s")
	assert.Contains(t, x.text(t)[3], "by last change")
	for n, want := range []string{"00300", "00100", "04000", "00000"} {
		assert.Contains(t, x.text(t)[5+n], "mailbox-"+want)
	}

	// What changes comes to the top, and the cursor stays there.
	x.look(31*time.Second, items, event(7, fleet.Obtained))
	assert.Contains(t, x.under(t), ">*mailbox-00007")
	x.Verbose = true
	x.look(32*time.Second, items, event(8, fleet.Renewed))
	assert.Contains(t, x.under(t), ">*mailbox-00008")
}

func TestScreenSorts(t *testing.T) {
	t.Parallel()
	x := nightOnScreen(200, 70)
	for _, test := range []struct{ order, first, last string }{
		{"holder", "mailbox-00002", `"\x1b`}, {"state", "mailbox-00012", "mailbox-00013"}, {"ends", "mailbox-00003", `"\x1b`},
		{"token", "mailbox-00012", "mailbox-00005"}, {"last change", "mailbox-00002", "郵便受け"}, {"name", "a", "郵便受け"},
	} {
		x.press("s")
		text := x.text(t)
		assert.Contains(t, text[3], "by "+test.order)
		assert.Equal(t, test.first, strings.Fields(text[5][2:])[0], test.order)
		assert.Contains(t, text[15], test.last, test.order)
	}
}

func TestScreenKeepsTheCursorOnItsItem(t *testing.T) {
	t.Parallel()
	items := many(50)
	x := newOnScreen(80, 24, items...)
	x.press("down", "down", "down")
	x.look(time.Second, append(many(1), items[2:]...))
	assert.Contains(t, x.under(t), "mailbox-00003")
	x.press("/", "0", "3", "enter")
	assert.Contains(t, x.under(t), "mailbox-00003")
	x.press("esc")
	assert.Contains(t, x.text(t)[3], "of 49 items by name ─")
	x.press("/", "n", "o", "n", "e")
	assert.Contains(t, x.text(t)[3], "0 of 0 items")
	x.press("n", "down", "esc")
	assert.Contains(t, x.text(t)[3], "of 49 items by name ─")
}

func TestScreenFiltersByWhatItShows(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"MAILBOX-0000": 5, "reserved": 1, "host-2": 2, "anyone": 1, "evil": 1, "一": 1, "w1": 1, "never": 1, "": 11} {
		x := nightOnScreen(80, 24)
		x.press("/")
		for _, r := range text {
			x.press(string(r))
		}
		x.press("enter", "h", "h")
		assert.Len(t, x.listed, want, text)
		assert.Contains(t, x.text(t)[2], "11 items: ")
	}
}

func TestScreenListsTheHoldersOfWhatIsListed(t *testing.T) {
	t.Parallel()
	x := nightOnScreen(80, 24)
	x.press("/")
	for _, r := range "mailbox" {
		x.press(string(r))
	}
	x.press("enter", "h", "G")
	assert.Contains(t, x.text(t)[3], "── 1 to 4 of 4 holders, filter mailbox ─")
	assert.Regexp(t, `^> 1 +ip-10-0-12-7\.eu-west-1\.compute\.internal:4711$`, x.under(t))
	x.press("?")
	assert.NotContains(t, strings.Join(x.text(t), "\n"), "ip-10")
	x.press("esc")
	assert.Contains(t, x.text(t)[3], "4 holders, filter mailbox ─", "the help is left first")
	x.press("esc", "h")
	assert.Contains(t, x.text(t)[3], "of 11 items by name ─")
}

func TestScreenFollowsTheEventsUnlessSomebodyReadsThem(t *testing.T) {
	t.Parallel()
	x := newOnScreen(80, 24, many(50)...)
	seen := 0
	more := func(count int) {
		var events []fleet.Event
		for range count {
			events = append(events, fleet.Event{Event: fleet.Registered, Item: fmt.Sprint("e", seen)})
			seen++
		}
		x.look(time.Duration(seen)*time.Second, many(50), events...)
	}
	more(20)
	x.press("tab")
	assert.Contains(t, x.under(t), "e19")
	more(1)
	assert.Contains(t, x.under(t), "e20")
	x.press("pgup")
	assert.Contains(t, x.under(t), "e15")
	more(5)
	assert.Contains(t, x.under(t), "e15")
	more(mostEvents - 20)
	assert.Len(t, x.events, mostEvents)
	assert.Contains(t, x.under(t), "e15")
	x.press("e")
	assert.Contains(t, x.under(t), "e15")
	more(100)
	assert.Len(t, x.events, mostEvents)
	assert.Contains(t, x.under(t), "e106", "the oldest that is left")
	x.press("n")
	assert.Contains(t, x.under(t), "mailbox")
}

func TestScreenIsAValue(t *testing.T) {
	t.Parallel()
	x := nightOnScreen(80, 24)
	before := x.screen
	text := x.text(t)
	x.press("/", "h", "enter", "s", "e", "tab", "up", "tab", "down", "n", "right")
	x.look(9*time.Second, many(7), fleet.Event{Event: fleet.Retired, Item: "a"})
	assert.NotEqual(t, text, x.text(t))
	x.screen = before
	assert.Equal(t, text, x.text(t))
}

func TestScreenFitsWhateverTheSize(t *testing.T) {
	t.Parallel()
	for _, keys := range [][]string{nil, {"h"}, {"?"}, {"/"}, {"right", "right"}, {"e", "tab"}} {
		x := nightOnScreen(80, 24)
		x.press(keys...)
		for _, size := range [][2]int{{0, 0}, {1, 1}, {3, 2}, {500, 300}, {5, 4}, {20, 7}, {1, 50}, {200, 1}} {
			x.send(tea.WindowSizeMsg{Width: size[0], Height: size[1]})
			x.text(t)
		}
	}
}

func TestScreenShowsTimesOfItsZone(t *testing.T) {
	t.Parallel()
	x := nightOnScreen(80, 24)
	assert.Contains(t, x.text(t)[1], "2026-01-02 12:00:02 UTC")
	x.Zone = time.Local
	want := fleettest.Noon.Add(2 * time.Second).Local()
	assert.Contains(t, x.text(t)[1], want.Format("2006-01-02 15:04:05 "))
	assert.Contains(t, strings.Join(x.text(t), "\n"), "  "+want.Format("15:04:05")+"  obtained ")
}

// BenchmarkWatchScreen is a look at 5,000 items, of which some have changed, and a second that goes by.
func BenchmarkWatchScreen(b *testing.B) {
	items := many(5000)
	x := newOnScreen(80, 24, items...)
	for _, order := range []string{"name", "holder"} {
		b.Run("by "+order, func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				n++
				changed := fleet.Event{Event: fleet.Obtained, Item: items[n%5000].LeaseID, Holder: "host-1"}
				x.look(time.Duration(n)*time.Second, items, changed)
				_ = x.View()
				x.send(second(fleettest.Noon.Add(time.Duration(n) * time.Second)))
				_ = x.View()
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(n), "ms/look")
		})
		x.press("s")
	}
}

func TestScreenHasTheNameUnderTheCursorWhole(t *testing.T) {
	t.Parallel()
	const name = "mailbox-00001.eu-west-1.customers.example.com/inbox/2026"
	x := nightOnScreen(120, 24)
	assert.NotContains(t, strings.Join(x.text(t), "\n"), name)
	x.press("down")
	assert.Contains(t, x.text(t)[3], " items by name "+name+" ─")
	x = nightOnScreen(60, 24)
	x.press("down")
	assert.Contains(t, x.text(t)[3], " items by name mailbox-00001.…om/inbox/2026")
}
