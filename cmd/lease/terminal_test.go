package main

import (
	"io"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/vt"
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
	shown      output           // all that was written to it
	emulator   *vt.SafeEmulator // what it shows
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
	x := &terminal{process: p, us: us, theirs: theirs, emulator: vt.NewSafeEmulator(int(columns), int(rows))}
	x.resize(columns, rows)
	x.before, err = term.GetState(int(theirs.Fd()))
	require.NoError(f.tb, err)
	x.Stdin, x.Cmd.Stdout, x.Cmd.Stderr = theirs, theirs, theirs
	x.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	x.begin()
	go io.Copy(us, x.emulator) // Its answers to what it is asked.
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := us.Read(buffer)
			x.emulator.Write(buffer[:n])
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
		x.emulator.InputPipe().(io.Closer).Close() // Close itself races with Write.
	})
	return x
}

func (x *terminal) resize(columns, rows uint16) {
	if columns > 0 {
		x.emulator.Resize(int(columns), int(rows))
	} else {
		x.emulator.Resize(80, 24)
	}
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

// screen returns the lines that it shows.
func (x *terminal) screen() []string {
	lines := strings.Split(ansi.Strip(x.emulator.Render()), "\n")
	for n, line := range lines {
		lines[n] = strings.TrimRight(line, " \r")
	}
	return lines
}

// line waits until the screen has a line like that.
func (x *terminal) line(pattern string) {
	x.tb.Helper()
	like := regexp.MustCompile(pattern)
	await(x.tb, "the screen has a line like "+pattern, func() bool { return slices.ContainsFunc(x.screen(), like.MatchString) })
}

// isAsBefore waits until what was on the screen before is there again.
func (x *terminal) isAsBefore() {
	x.tb.Helper()
	await(x.tb, "the screen is left, with a cursor", func() bool {
		shown := x.shown.String()
		end := strings.LastIndex(shown, "\x1b[?1049l")
		return end >= 0 && strings.Contains(shown[end:], "\x1b[?25h") && !x.emulator.IsAltScreen()
	})
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
