// Package exit has what ends the command: statuses, and errors that have one.
package exit

import "fmt"

// The exit statuses, but for those of the command that hold runs.
const (
	Failed   = 1
	Usage    = 2
	Lost     = 75  // hold lost its lease
	CantHold = 125 // hold could not obtain a lease
	CantRun  = 126 // hold found its command, and could not run it
	NotFound = 127 // hold did not find its command
	OfSignal = 128 // and the number of the signal that ended it
)

// UsageError is a wrong use of a command: the exit status is 2.
type UsageError struct{ text string }

func (e UsageError) Error() string { return e.text }

func Usagef(format string, args ...any) error { return UsageError{fmt.Sprintf(format, args...)} }

// Status ends the program; what there is to say has been said.
type Status int

func (s Status) Error() string { return fmt.Sprint("exit status ", int(s)) }
