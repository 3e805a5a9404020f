// Package say writes to people: lines on stdout and stderr, and names and times in them.
package say

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Printf writes to stdout.
func Printf(format string, args ...any) error {
	if len(args) > 0 {
		format = fmt.Sprintf(format, args...)
	}
	_, err := io.WriteString(os.Stdout, format)
	return err
}

// Log is how lines are written to stderr.
var Log struct {
	sync.Mutex
	Timed, JSON bool // of "lease hold", which runs for long
}

// Warn writes a line to stderr.
func Warn(format string, args ...any) {
	Log.Lock()
	defer Log.Unlock()
	text := strings.TrimPrefix(Line(fmt.Sprintf(format, args...)), "lease: ")
	now := time.Now().UTC()
	switch {
	case Log.JSON:
		line, _ := json.Marshal(struct {
			Time    time.Time `json:"time"`
			Message string    `json:"message"`
		}{now.Truncate(time.Millisecond), text})
		fmt.Fprintf(os.Stderr, "%s\n", line)
	case Log.Timed:
		fmt.Fprintln(os.Stderr, now.Format(time.DateTime), "lease:", text)
	default:
		fmt.Fprintln(os.Stderr, "lease:", text)
	}
}

// breaks are what a text of several lines has between its lines.
var breaks = strings.NewReplacer("\r\n", "; ", "\n\t", ": ", "\n", "; ")

// Line makes a text one line that no terminal takes for a command.
func Line(text string) string {
	text = breaks.Replace(strings.TrimSpace(text))
	return strings.Map(blankControl, strings.TrimSpace(text))
}

func blankControl(r rune) rune {
	if unicode.IsControl(r) {
		return ' '
	}
	return r
}

// Width is how wide the terminal is that stdout is; without bounds where it is none.
func Width() int {
	width, _, err := term.GetSize(int(os.Stdout.Fd()))
	if err != nil || width == 0 {
		return math.MaxInt
	}
	return width
}

func IsTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// Logger writes the library's events to stderr: for -v.
type Logger struct{}

func (Logger) LogInfoMessage(message string, keyvals ...interface{}) { LogEvent(message, keyvals) }

func (Logger) LogErrorMessage(message string, keyvals ...interface{}) { LogEvent(message, keyvals) }

func LogEvent(message string, keyvals []any) { Warn("%s", EventLine(message, keyvals)) }

func EventLine(message string, keyvals []any) string {
	line := message
	for pair := range slices.Chunk(keyvals, 2) {
		if len(pair) < 2 || pair[0] == "stack" || pair[1] == nil {
			continue
		}
		line += fmt.Sprintf(" %v=%q", pair[0], fmt.Sprint(pair[1]))
	}
	return line
}

// IsUnread tells whether nobody reads a pipe any more: else that is learned only when there is
// something to write.
func IsUnread(f *os.File) bool {
	fds := []unix.PollFd{{Fd: int32(f.Fd())}}
	n, err := unix.Poll(fds, 0)
	if err != nil || n == 0 {
		return false
	}
	return fds[0].Revents&(unix.POLLERR|unix.POLLNVAL) != 0
}

// WhileWaiting says what is waited for: soon, and then now and then, until ctx is done or nothing
// is waited for any more, which is "".
func WhileWaiting(ctx context.Context, what func() string) {
	const soon, nowAndThen = 3 * time.Second, 30 * time.Second
	timer := time.NewTimer(soon)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		text := what()
		if text == "" {
			return
		}
		Warn("waiting: %s", text)
		timer.Reset(nowAndThen)
	}
}
