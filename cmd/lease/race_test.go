//go:build race

package main

// raceEnabled has the command built with the race detector as well.
const raceEnabled = true
