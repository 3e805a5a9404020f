package say

import "time"

// Trouble is something that may fail and is tried again and again. It is said once that it fails,
// and once that it works again: causes may differ by a port each time.
type Trouble struct {
	since time.Time // zero while nothing fails
}

// Tell says what a try has come to: why it failed, "" if it didn't.
func (t *Trouble) Tell(what, failure string) {
	isNew := failure != "" && t.since.IsZero()
	isOver := failure == "" && !t.since.IsZero()
	switch {
	case isNew:
		t.since = time.Now()
		Warn("%s fails: %s; it goes on", what, failure)
	case isOver:
		Warn("%s works again, after %s", what, Duration(time.Since(t.since)))
		t.since = time.Time{}
	}
}
