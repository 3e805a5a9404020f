package say

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// Shorten leaves out the middle of a text that is too wide.
func Shorten(text string, width int) string {
	whole := ansi.StringWidth(text)
	if whole <= width {
		return text
	}
	head := width / 2
	tail := width - head - 1
	end := ansi.TruncateLeft(text, whole-tail, "")
	if ansi.StringWidth(end) > tail { // Half of a wide character doesn't go.
		end = ansi.TruncateLeft(text, whole-tail+1, "")
	}
	return ansi.Truncate(text, head, "") + "…" + end
}

// Name returns a name as it is, or quoted where a reader or a terminal could take it for something
// else.
func Name(name string) string {
	if misleads(name) || strings.ContainsFunc(name, isOdd) {
		return strconv.Quote(name)
	}
	return name
}

// misleads tells whether a name looks like nothing, like several words, or like a quoted one.
func misleads(name string) bool {
	if name == "" || name == "-" {
		return true
	}
	if name != strings.TrimSpace(name) || strings.Contains(name, "  ") {
		return true
	}
	return strings.HasPrefix(name, `"`)
}

func isOdd(r rune) bool { return !strconv.IsPrint(r) || r == utf8.RuneError }

// Duration writes a duration for people.
func Duration(d time.Duration) string {
	if d >= 48*time.Hour {
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
	if d >= time.Minute {
		return d.Round(time.Second).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

// DatabaseTime writes Unix nanoseconds of the database's clock.
func DatabaseTime(nanoseconds int64) string {
	return time.Unix(0, nanoseconds).UTC().Format("2006-01-02T15:04:05.000Z")
}

// Cut cuts a line where the screen ends.
func Cut(line string, width int) string { return ansi.Truncate(line, width, "…") }

func Items(n int) string {
	if n == 1 {
		return "1 item"
	}
	return fmt.Sprint(n, " items")
}
