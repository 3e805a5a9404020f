// Package chaos has what the chaos suite of package lease is made of: a proxy that puts faults
// between the SDK and DynamoDB, an append-only history of what the workers of many processes
// saw, and the checker that holds the history against the guarantees.
package chaos

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Kind says what an event of the history tells.
type Kind string

// What happened. Item, Lessee and Tenure are set where they make sense.
const (
	Registered Kind = "registered" // the item has the user attributes in Note
	Found      Kind = "found"      // at the end, the item had the user attributes in Note
	Obtained   Kind = "obtained"   // a tenure with that Token, by a write first sent at Begin
	Valid      Kind = "valid"      // the holder was told that the tenure is valid
	Over       Kind = "over"       // the holder was told that it is not
	Renewed    Kind = "renewed"    // the tenure, by a write first sent at Begin
	Weighed    Kind = "weighed"    // a renewal of the tenure wrote what the item weighs
	Released   Kind = "released"   // the row
	Freeing    Kind = "freeing"    // the release or handover of the tenure is sent after End
	HandedOver Kind = "handedover" // the row, to whoever wanted it
	Saved      Kind = "saved"      // the number in Note, to the row, by a write first sent at Begin
	Resumed    Kind = "resumed"    // the tenure begins with the number in Note, found in the row
	Working    Kind = "working"    // work on the item went on, and relied on the tenure
	InClass    Kind = "inclass"    // Lessee takes part in Item, and in no item without such an event
	Sharing    Kind = "sharing"    // from End on Lessee shares, up to Token items; 0: no limit
	Accepted   Kind = "accepted"   // a guarded write of the tenure, first sent at Begin
	Refused    Kind = "refused"    // a guarded write of the tenure
	Fault      Kind = "fault"      // of the kind in Note, to Lessee
	Calm       Kind = "calm"       // from now on there are no faults
)

// Event is one line of the history. What it tells of was so at some moment between Begin and
// End, by the clock of [Now].
type Event struct {
	Kind   Kind          `json:"kind"`
	Begin  time.Duration `json:"begin"`
	End    time.Duration `json:"end"`
	Item   string        `json:"item,omitempty"`
	Lessee string        `json:"lessee,omitempty"`
	Tenure string        `json:"tenure,omitempty"` // unique in the history
	Token  int64         `json:"token,omitempty"`  // 0 for a tenure of the original library
	Note   string        `json:"note,omitempty"`
}

// Recorder appends events to a file. An event is in the file when Add returns: nothing that was
// added is lost when the process is killed.
type Recorder struct {
	mu   sync.Mutex
	file *os.File
}

// NewRecorder returns a recorder that appends to the file of that name in a history's directory.
func NewRecorder(dir, name string) (*Recorder, error) {
	file, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	return &Recorder{file: file}, err
}

// Add appends an event. It panics if it can't: a history with holes proves nothing.
func (r *Recorder) Add(e Event) {
	line, err := json.Marshal(e)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		_, err = r.file.Write(append(line, '\n'))
	}
	if err != nil {
		panic(fmt.Sprintf("chaos: can't record %+v: %v", e, err))
	}
}

// Close closes the file.
func (r *Recorder) Close() error { return r.file.Close() }

// Read passes all events of the history in a directory to a function.
func Read(dir string, add func(Event)) error { return NewReader(dir).Read(add) }

// Reader reads a history that grows.
type Reader struct {
	dir  string
	read map[string]int64 // how much of each file
}

// NewReader returns a reader that has read nothing yet of the history in a directory.
func NewReader(dir string) *Reader { return &Reader{dir: dir, read: make(map[string]int64)} }

// Read passes all events that it hasn't read yet to a function, file by file. An incomplete
// last line of a file is left: it is still being written, or its process was killed in the
// middle of it.
func (r *Reader) Read(add func(Event)) error {
	names, err := filepath.Glob(filepath.Join(r.dir, "*"))
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := r.readFile(name, add); err != nil {
			return fmt.Errorf("chaos: %s: %w", name, err)
		}
	}
	return nil
}

func (r *Reader) readFile(name string, add func(Event)) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Seek(r.read[name], io.SeekStart); err != nil {
		return err
	}
	for lines := bufio.NewReader(file); ; {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("%q: %w", line, err)
		}
		add(e)
		r.read[name] += int64(len(line))
	}
}

// Excerpt returns what the history in a directory tells about a violation, in order of time:
// all events of the item and all faults, of Valid and Working only the first and the last of
// each tenure.
func Excerpt(dir string, v Violation) ([]Event, error) {
	var events []Event
	first, last := make(map[[2]string]Event), make(map[[2]string]Event) // by tenure and kind
	err := Read(dir, func(e Event) {
		concerns := e.Item == v.Item || e.Kind == Fault
		if !concerns || e.End < v.From || e.Begin > v.To {
			return
		}
		key := [2]string{e.Tenure, string(e.Kind)}
		switch {
		case e.Kind != Valid && e.Kind != Working:
			events = append(events, e)
		case first[key].Kind == "":
			first[key] = e
		default:
			last[key] = e
		}
	})
	events = slices.AppendSeq(events, maps.Values(first))
	events = slices.AppendSeq(events, maps.Values(last))
	slices.SortFunc(events, func(a, b Event) int { return int(a.Begin - b.Begin) })
	return events, err
}
