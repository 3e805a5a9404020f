package main

import (
	"fmt"
	"strings"
	"time"
)

// note is something that happened, as the table shows it, and if it begins a scene the picture
// too.
type note struct {
	at    time.Time
	text  string
	scene bool
}

// lines says what the table has shown so far: how many lines, notes and tenures.
type lines struct {
	printed int // a line each second
	notes   int
	tenures int
}

// columns is how many workers the table has room for.
const columns = 4

// say notes what happened, for the next line of the table.
func (f *fleet) say(format string, args ...any) {
	words := strings.Fields(fmt.Sprintf(format, args...)) // The SDK's errors have many lines.
	f.notes = append(f.notes, note{at: time.Now(), text: strings.Join(words, " ")})
}

// sayScene notes that a scene begins.
func (f *fleet) sayScene(title string) {
	f.notes = append(f.notes, note{at: time.Now(), text: title, scene: true})
}

func (f *fleet) printHeader() {
	header := "  s  worker-1  worker-2  worker-3  worker-4  nobody  moved  what happened"
	fmt.Fprintln(f.out, header)
}

// printDue prints the lines of the table for which it is time. There are no more when it is over.
func (f *fleet) printDue() {
	for f.over.IsZero() && time.Since(f.began) >= time.Duration(f.lines.printed)*time.Second {
		f.printLine()
	}
}

// printLine prints who holds how many, and what happened since the last line.
func (f *fleet) printLine() {
	line := fmt.Sprintf("%3d", f.lines.printed)
	for i := range columns {
		line += fmt.Sprintf("%10s", f.shownOf(i))
	}
	line += fmt.Sprintf("%8d%7d  %s", f.nobody(), f.newMoves(), f.newNotes())
	fmt.Fprintln(f.out, strings.TrimRight(line, " "))

	f.lines.printed++
	f.lines.notes = len(f.notes)
	f.lines.tenures = len(f.tenures)
}

// shownOf returns how many mailboxes the i-th worker holds, and a dash if it isn't there, or
// no more.
func (f *fleet) shownOf(i int) string {
	if i >= len(f.members) {
		return "-"
	}
	m := f.members[i]
	holds := f.holds(m)
	if !m.running && holds == 0 {
		return "-"
	}
	return fmt.Sprint(holds)
}

// newMoves counts the moves since the last line.
func (f *fleet) newMoves() int {
	moved := 0
	for i := f.lines.tenures; i < len(f.tenures); i++ {
		if f.before(i) != nil {
			moved++
		}
	}
	return moved
}

// newNotes returns the notes since the last line.
func (f *fleet) newNotes() string {
	var texts []string
	for _, n := range f.notes[f.lines.notes:] {
		texts = append(texts, n.text)
	}
	return strings.Join(texts, "; ")
}
