// Package say writes to people: lines on stdout and stderr, and names and times in them.
package say

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
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

// About is what a line is about: its fields in JSON. The text says the same.
type About struct {
	Item    string            `json:"item,omitempty"`
	Holder  string            `json:"holder,omitempty"` // who has the item
	Token   int64             `json:"token,omitempty"`  // of that tenure
	Cause   string            `json:"cause,omitempty"`
	Status  int               `json:"status,omitempty"`  // of a command that has failed
	Lasted  float64           `json:"lasted,omitempty"`  // seconds, of what went wrong
	Details map[string]string `json:"details,omitempty"` // of an event of the library's log
}

// Warn writes a line to stderr that is about nothing in particular.
func Warn(format string, args ...any) { About{}.Warn(format, args...) }

// Warn writes a line to stderr.
func (about About) Warn(format string, args ...any) {
	Log.Lock()
	defer Log.Unlock()
	text := strings.TrimPrefix(Line(fmt.Sprintf(format, args...)), "lease: ")
	now := time.Now().UTC()
	switch {
	case Log.JSON:
		line, _ := json.Marshal(struct {
			Time    time.Time `json:"time"`
			Message string    `json:"message"`
			About
		}{now.Truncate(time.Millisecond), text, about})
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

func LogEvent(message string, keyvals []any) {
	AboutEvent(keyvals).Warn("%s", EventLine(message, keyvals))
}

// AboutEvent is what an event of the library's log is about.
func AboutEvent(keyvals []any) About {
	return About{Details: maps.Collect(details(keyvals))}
}

func EventLine(message string, keyvals []any) string {
	line := message
	for name, value := range details(keyvals) {
		line += fmt.Sprintf(" %s=%q", name, value)
	}
	return line
}

// details are the names and values of an event, but for those that fit on no line.
func details(keyvals []any) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for pair := range slices.Chunk(keyvals, 2) {
			if len(pair) < 2 || pair[0] == "stack" || pair[1] == nil {
				continue
			}
			if !yield(fmt.Sprint(pair[0]), fmt.Sprint(pair[1])) {
				return
			}
		}
	}
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
func (about About) WhileWaiting(ctx context.Context, what func() string) {
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
		about.Warn("waiting: %s", text)
		timer.Reset(nowAndThen)
	}
}
