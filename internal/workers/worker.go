// Package workers is what the examples that start workers share: how a worker reports to the
// process that started it, and how that one starts and ends workers. It knows nothing of
// leases.
package workers

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Event is what a worker tells the process that started it, as a line of JSON.
type Event struct {
	At     time.Time
	Worker string `json:"-"` // filled in by the reader
	Kind   string // "log" of Errors, "exited" of Fleet; others are the program's
	Item   string `json:",omitempty"`
	Token  int64  `json:",omitempty"`
	OK     bool   `json:",omitempty"` // it is as it must be
	Text   string `json:",omitempty"`
}

var reporting sync.Mutex

// Report sends an event. One without a time is of now.
func Report(e Event) {
	reporting.Lock()
	defer reporting.Unlock()
	if e.At.IsZero() {
		e.At = time.Now()
	}
	json.NewEncoder(os.Stdout).Encode(e)
}

// Errors is a lease.LeaseLogger: it makes the library's errors events.
type Errors struct{}

// LogInfoMessage drops it.
func (Errors) LogInfoMessage(string, ...interface{}) {}

// LogErrorMessage reports it.
func (Errors) LogErrorMessage(message string, keyvals ...interface{}) {
	text := "logged: " + message
	for i := 0; i+1 < len(keyvals); i += 2 {
		text += fmt.Sprintf(" %v=%v", keyvals[i], keyvals[i+1])
	}
	Report(Event{Kind: "log", Text: text})
}

// ExitWithParent ends this process when the one at the other end of its stdin is gone.
func ExitWithParent() {
	io.Copy(io.Discard, os.Stdin)
	os.Exit(1)
}
