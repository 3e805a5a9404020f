package main

import "fmt"

// The exit statuses, but for those of the command that hold runs.
const (
	statusFailed   = 1
	statusUsage    = 2
	statusLost     = 75  // hold lost its lease
	statusCantHold = 125 // hold could not obtain a lease
	statusCantRun  = 126 // hold found its command, and could not run it
	statusNotFound = 127 // hold did not find its command
	statusSignal   = 128 // and the number of the signal that ended it
)

// usageError is a wrong use of a command: the exit status is 2.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// exitStatus ends the program; what there is to say has been said.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprint("exit status ", int(s)) }
