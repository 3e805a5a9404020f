package main

import (
	"os"
	"reflect"
	"regexp"
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

// TestTerminalOfAnOperatorsNight is what the command is for, on one terminal: who has what, a holder that is killed, and how the item
// goes on.
func TestTerminalOfAnOperatorsNight(t *testing.T) {
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
