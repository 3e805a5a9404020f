package main

import (
	"os"
	"reflect"
	"regexp"
	"slices"
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

// frames returns what was drawn so far, but for the last one, which may not be whole yet.
func (x *terminal) frames() []string {
	frames := strings.Split(x.shown.String(), "\x1b[H")
	return frames[1:max(1, len(frames)-1)]
}

// screen returns the lines of the screen that was drawn last, and which of them are marked.
func (x *terminal) screen() (lines []string, marked map[string]bool) {
	frames := x.frames()
	if len(frames) == 0 {
		return nil, nil
	}
	return parseFrame(frames[len(frames)-1])
}

func parseFrame(frame string) (lines []string, marked map[string]bool) {
	marked = make(map[string]bool)
	for _, line := range strings.Split(frame, "\r\n") {
		text := control.ReplaceAllString(line, "")
		lines = append(lines, text)
		marked[text] = strings.Contains(line, "\x1b[1m")
	}
	return lines, marked
}

// awaitMarked waits until a line like that has been marked. It may be no longer.
func (x *terminal) awaitMarked(pattern string) {
	x.tb.Helper()
	like := regexp.MustCompile(pattern)
	await(x.tb, "the screen has had a marked line like "+pattern, func() bool {
		return slices.ContainsFunc(x.frames(), func(frame string) bool {
			lines, marked := parseFrame(frame)
			return slices.ContainsFunc(lines, func(line string) bool { return marked[line] && like.MatchString(line) })
		})
	})
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

// What the command is for, on one terminal: who has what, a holder that is killed, and how the item goes on.
func TestTerminalOfAnOperatorsNight(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	ticks := t.TempDir() + "/ticks"
	first := f.onTerminal(100, 30, append([]string{"hold", "-as", "w1"}, work(ticks)...)...)
	first.shown.await(t, "w1: a")
	list := func() string {
		x := f.onTerminal(100, 30, "list")
		assert.Equal(t, 0, x.end())
		x.shown.await(t, "read units")
		return x.shown.String()
	}
	assert.Regexp(t, `\ba +held +w1 `, list())
	awaitTicks(t, ticks)
	groups := groupsOf(first.process)
	require.NoError(t, first.Process.Kill())
	first.wait()
	awaitEnded(t, groups...)
	f.expire("a")
	second := f.start(append([]string{"hold", "-as", "w2", "-duration", "20s"}, work(ticks)...)...)
	second.stdout.await(t, "w2: a")
	assert.Regexp(t, `\ba +held +w2 `, list())
	x := f.onTerminal(100, 30, "yield", "a", "-wait", "5m")
	await(t, "w2 has given it up", func() bool { return f.item("a").LesseeID == "" })
	f.lease("a", "w3", time.Hour)
	assert.Equal(t, 0, x.end())
	x.shown.await(t, "a: w3 has it")
	assert.Equal(t, 7, second.wait().status)
	assert.Regexp(t, `\ba +held +w3 `, list())
}
