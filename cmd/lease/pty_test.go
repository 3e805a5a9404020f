package main

import (
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/term"
)

// terminal is a pseudo-terminal with the command on it, as its session's leader.
type terminal struct {
	*process
	us, theirs *os.File
	before     *term.State
	shown      output // all that was written to it
}

// onTerminal runs the command on a terminal of that size.
func (f *fixture) onTerminal(columns, rows uint16, args ...string) *terminal {
	f.tb.Helper()
	return f.startOnTerminal(columns, rows, f.prepare(args...))
}

func (f *fixture) startOnTerminal(columns, rows uint16, p *process) *terminal {
	f.tb.Helper()
	us, theirs, err := pty.Open()
	require.NoError(f.tb, err)
	x := &terminal{process: p, us: us, theirs: theirs}
	x.resize(columns, rows)
	x.before, err = term.GetState(int(theirs.Fd()))
	require.NoError(f.tb, err)
	x.Stdin, x.Cmd.Stdout, x.Cmd.Stderr = theirs, theirs, theirs
	x.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	x.begin()
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := us.Read(buffer)
			x.shown.Write(buffer[:n])
			if err != nil {
				return
			}
		}
	}()
	f.tb.Cleanup(func() {
		if f.tb.Failed() {
			f.tb.Logf("terminal: %q", x.shown.String())
		}
		theirs.Close()
		us.Close()
	})
	return x
}

func (x *terminal) resize(columns, rows uint16) {
	require.NoError(x.tb, pty.Setsize(x.us, &pty.Winsize{Cols: columns, Rows: rows}))
}

func (x *terminal) press(keys string) {
	x.tb.Helper()
	_, err := x.us.WriteString(keys)
	require.NoError(x.tb, err)
}

// end waits until the command has ended, and checks that the terminal is as it was.
func (x *terminal) end() int {
	x.tb.Helper()
	status := x.wait().status
	after, err := term.GetState(int(x.theirs.Fd()))
	require.NoError(x.tb, err)
	assert.True(x.tb, reflect.DeepEqual(x.before, after), "the terminal's settings are as they were")
	return status
}

var control = regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`)

// screen returns the lines of the screen that was drawn last, and which of them are marked.
func (x *terminal) screen() (lines []string, marked map[string]bool) {
	frames := strings.Split(x.shown.String(), "\x1b[H")
	if len(frames) < 3 {
		return nil, nil
	}
	marked = make(map[string]bool)
	for _, line := range strings.Split(frames[len(frames)-2], "\r\n") { // The last one may not be whole yet.
		text := control.ReplaceAllString(line, "")
		lines = append(lines, text)
		marked[text] = strings.Contains(line, "\x1b[1m")
	}
	return lines, marked
}

// line waits until the screen has a line like that, and returns it.
func (x *terminal) line(pattern string) (text string, marked bool) {
	x.tb.Helper()
	like := regexp.MustCompile(pattern)
	await(x.tb, "the screen has a line like "+pattern, func() bool {
		lines, marks := x.screen()
		for _, line := range lines {
			if like.MatchString(line) {
				text, marked = line, marks[line]
				return true
			}
		}
		return false
	})
	return text, marked
}

func TestWatchOnATerminalShowsATakeover(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a", "b")
	first := f.hold("w1", append([]string{"-duration", "2s"}, work(t.TempDir()+"/ticks")...)...)
	x := f.onTerminal(120, 24, "watch", "-every", "100ms")
	text, marked := x.line(`^  ([ab]) +held +w1 `)
	assert.False(t, marked)
	item := strings.Fields(text)[0]
	other := map[string]string{"a": "b", "b": "a"}[item]
	f.lease(other, "w3", time.Hour) // so that there is only one to take over
	second := f.start(append([]string{"hold", "-as", "w2", "-duration", "2s"}, work(t.TempDir()+"/ticks")...)...)
	require.NoError(t, first.Process.Kill())
	_, marked = x.line(`^\* ` + item + ` +held +w2 `)
	assert.True(t, marked)
	x.line(`  ended +` + item + `  the lease of w1, token \d+$`)
	x.line(`  obtained +` + item + `  by w2, after w1, token \d+$`)
	second.stdout.await(t, "w2: "+item)
	_, marked = x.line(`^  ` + item + ` +held +w2 `)
	assert.False(t, marked, "a while later")
	x.line(`^2 items: 2 held, .*; holders: 2$`)

	x.press("q")
	assert.Equal(t, 0, x.end())
	assert.True(t, strings.HasPrefix(x.shown.String(), "\x1b[?1049h\x1b[?25l"), "%.50q", x.shown.String())
	await(t, "the screen is left", func() bool { return strings.HasSuffix(x.shown.String(), "\x1b[?25h\x1b[?1049l") })
}

func TestWatchLeavesTheTerminalAsItWas(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	for name, leave := range map[string]func(x *terminal){
		"Ctrl-C":  func(x *terminal) { x.press("\x03") },
		"SIGTERM": func(x *terminal) { x.Process.Signal(syscall.SIGTERM) },
		"SIGHUP":  func(x *terminal) { x.Process.Signal(syscall.SIGHUP) },
		"SIGINT":  func(x *terminal) { x.Process.Signal(syscall.SIGINT) },
	} {
		t.Run(name, func(t *testing.T) {
			x := f.onTerminal(80, 24, "watch")
			x.tb = t
			x.line(`^  a `)
			leave(x)
			assert.Equal(t, 0, x.end())
			await(t, "the screen is left", func() bool { return strings.HasSuffix(x.shown.String(), "\x1b[?1049l") })
		})
	}
}

func TestWatchFollowsTheWindowsSize(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.fill(50)
	x := f.onTerminal(80, 24, "watch", "-every", "200ms")
	height := func() int {
		lines, _ := x.screen()
		return len(lines)
	}
	x.line(`^  item-000000 `)
	x.line(`^  1 to 19 of 50 items$`)
	x.resize(40, 10)
	x.line(`^  1 to 5 of 50 items$`)
	lines, _ := x.screen()
	for _, line := range lines {
		assert.LessOrEqual(t, len(line), 40, line)
	}
	x.press(" jj\x1b[Ak")
	x.line(`^  6 to 10 of 50 items$`)
	x.press("G")
	x.line(`^  46 to 50 of 50 items$`)
	x.press("g")
	x.line(`^  1 to 5 of 50 items$`)
	for _, size := range [][2]uint16{{1, 1}, {3, 2}, {500, 300}, {5, 4}} {
		x.resize(size[0], size[1])
		await(t, "it fits", func() bool { lines, _ := x.screen(); return height() <= int(size[1]) && len(lines[0]) <= int(size[0]) })
	}
	x.resize(0, 0)
	x.line(`^  1 to 19 of 50 items$`)
	x.press("q")
	assert.Equal(t, 0, x.end())
}

func TestReleaseAsksOnATerminal(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	token := strconv.FormatInt(f.lease("a", "w1", time.Hour).FencingToken(), 10)
	x := f.onTerminal(80, 24, "release", "a", "-token", token)
	x.shown.await(t, "Release it? [y/N] ")
	assert.Contains(t, x.shown.String(), "until then it and the next holder may both work on it")
	x.press("\r")
	assert.Equal(t, 1, x.end())
	x.shown.await(t, "lease: nothing was released\r\n")
	assert.Equal(t, "w1", f.item("a").LesseeID)

	x = f.onTerminal(80, 24, "release", "a", "-token", token)
	x.shown.await(t, "[y/N] ")
	x.press("\x03")
	assert.Equal(t, 128+2, x.end())
	assert.Equal(t, "w1", f.item("a").LesseeID)

	x = f.onTerminal(80, 24, "release", "a", "-token", token)
	x.shown.await(t, "[y/N] ")
	x.press("y\r")
	assert.Equal(t, 0, x.end())
	x.shown.await(t, "a: released; w1 had it")
	assert.Empty(t, f.item("a").LesseeID)
}

func TestReleaseDoesNothingIfTheRowChangesWhileItAsks(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l := f.lease("a", "w1", time.Hour)
	x := f.onTerminal(80, 24, "release", "a", "-token", strconv.FormatInt(l.FencingToken(), 10))
	x.shown.await(t, "[y/N] ")
	require.NoError(t, f.ReleaseLease(l))
	f.lease("a", "w2", time.Hour)
	x.press("y\r")
	assert.Equal(t, 1, x.end())
	x.shown.await(t, "it has changed meanwhile: a is held by w2")
	assert.Equal(t, "w2", f.item("a").LesseeID)
}

func TestHoldGivesItsCommandTheTerminal(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	x := f.onTerminal(80, 24, "hold", "-as", "w1", "sh", "-c", `read -r line; echo "got <$line>"; exit 5`)
	x.press("hello\r")
	assert.Equal(t, 5, x.end())
	x.shown.await(t, "got <hello>")

	x = f.onTerminal(80, 24, "hold", "-as", "w1", "sh", "-c", `echo ready; while :; do sleep 0.05; done`)
	x.shown.await(t, "ready")
	x.press("\x1a") // Ctrl-Z
	x.shown.await(t, "can't be suspended")
	x.press("\x03")
	assert.Equal(t, -2, x.end(), "it ends of SIGINT itself")
	assert.Empty(t, f.item("a").LesseeID)

	p := f.prepare("hold")
	path, err := exec.LookPath("sh")
	require.NoError(t, err)
	p.Path, p.Args = path, []string{"sh", "-c", `"$0" hold -as w1 -- sh -c 'echo ready; while :; do sleep 0.05; done'; echo goes on`, binary(t)}
	x = f.startOnTerminal(80, 24, p)
	x.shown.await(t, "ready")
	x.press("\x03")
	x.wait()
	assert.NotContains(t, x.shown.String(), "goes on", "the script around it ends as well")

	for _, shell := range [][]string{{"sh", "-c"}, {"bash", "--norc", "--noprofile", "-i", "-c"}} { // one leaves the terminal to whom it starts
		p := f.prepare("hold")
		path, err := exec.LookPath(shell[0])
		require.NoError(t, err)
		p.Path, p.Args = path, append(shell, `"$0" hold -as w1 true; read -r line; echo "shell got <$line>"`, binary(t))
		x = f.startOnTerminal(80, 24, p)
		x.press("hello\r")
		assert.Equal(t, 0, x.wait().status)
		x.shown.await(t, "shell got <hello>")
	}
}

// A pager in the pipeline keeps the terminal.
func TestHoldInAPipelineLeavesTheTerminalToOthers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	p := f.prepare("hold")
	path, err := exec.LookPath("sh")
	require.NoError(t, err)
	p.Path, p.Args = path, []string{"sh", "-c", `"$0" hold -as w1 -- sh -c 'echo one; sleep 1' | { read -r x; read -r line </dev/tty; echo "pager got <$x> <$line>"; }`, binary(t)}
	x := f.startOnTerminal(80, 24, p)
	x.press("hello\r")
	assert.Equal(t, 0, x.end())
	x.shown.await(t, "pager got <one> <hello>")
}

// TestAnOperatorsNight is what the command is for, on one terminal: who has what, a holder that is killed, and how the item
// goes on.
func TestAnOperatorsNight(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	ticks := t.TempDir() + "/ticks"
	first := f.onTerminal(100, 30, append([]string{"hold", "-as", "w1", "-duration", "2s"}, work(ticks)...)...)
	first.shown.await(t, "w1: a")
	list := func() string {
		x := f.onTerminal(100, 30, "list")
		assert.Equal(t, 0, x.end())
		x.shown.await(t, "read units")
		return x.shown.String()
	}
	assert.Regexp(t, `\ba +held +w1 `, list())
	await(t, "it works", func() bool { text, _ := os.ReadFile(ticks); return len(text) > 0 })
	second := f.start(append([]string{"hold", "-as", "w2", "-duration", "2s"}, work(ticks)...)...)
	require.NoError(t, first.Process.Kill())
	killed := time.Now()
	first.wait()
	assertNoTicksAfter(t, ticks, killed)
	second.stdout.await(t, "w2: a")
	assert.Regexp(t, `\ba +held +w2 `, list())
	x := f.onTerminal(100, 30, "yield", "a", "-wait", "2s")
	assert.Equal(t, 0, x.end())
	x.shown.await(t, "a: w2 gave it up, and nobody has it yet")
	assert.Equal(t, 7, second.wait().status)
	assert.Regexp(t, `\ba +free`, list())
}
