package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/term"
)

// say writes to stdout.
func say(format string, args ...any) error {
	if len(args) > 0 {
		format = fmt.Sprintf(format, args...)
	}
	_, err := io.WriteString(os.Stdout, format)
	return err
}

// log is how lines are written to stderr.
var log struct {
	sync.Mutex
	timed, json bool // of "lease hold", which runs for long
}

// warn writes a line to stderr.
func warn(format string, args ...any) {
	log.Lock()
	defer log.Unlock()
	text := strings.TrimPrefix(oneLine(fmt.Sprintf(format, args...)), "lease: ")
	now := time.Now().UTC()
	switch {
	case log.json:
		line, _ := json.Marshal(struct {
			Time    time.Time `json:"time"`
			Message string    `json:"message"`
		}{now.Truncate(time.Millisecond), text})
		fmt.Fprintf(os.Stderr, "%s\n", line)
	case log.timed:
		fmt.Fprintln(os.Stderr, now.Format(time.DateTime), "lease:", text)
	default:
		fmt.Fprintln(os.Stderr, "lease:", text)
	}
}

// breaks are what a text of several lines has between its lines.
var breaks = strings.NewReplacer("\r\n", "; ", "\n\t", ": ", "\n", "; ")

// oneLine makes a text one line that no terminal takes for a command.
func oneLine(text string) string {
	text = breaks.Replace(strings.TrimSpace(text))
	return strings.Map(blankControl, strings.TrimSpace(text))
}

func blankControl(r rune) rune {
	if unicode.IsControl(r) {
		return ' '
	}
	return r
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// logger writes the library's events to stderr: for -v.
type logger struct{}

func (logger) LogInfoMessage(message string, keyvals ...interface{}) { logEvent(message, keyvals) }

func (logger) LogErrorMessage(message string, keyvals ...interface{}) { logEvent(message, keyvals) }

func logEvent(message string, keyvals []any) { warn("%s", eventLine(message, keyvals)) }

func eventLine(message string, keyvals []any) string {
	line := message
	for pair := range slices.Chunk(keyvals, 2) {
		if len(pair) < 2 || pair[0] == "stack" || pair[1] == nil {
			continue
		}
		line += fmt.Sprintf(" %v=%q", pair[0], fmt.Sprint(pair[1]))
	}
	return line
}
