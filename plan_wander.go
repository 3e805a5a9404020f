package lease

import (
	"cmp"
	"time"
)

// What moves to and fro, as workers reckon otherwise: those of a version that counts items
// see no weights, so that what levels loads for the one is out of level for the other.

// travels are those of items: how often each changed hands while the workers were the same.
type travels struct {
	since   time.Time
	workers map[string]int    // who was there
	last    map[string]string // who held an item last
	moves   map[string]int
}

const (
	mostTravels = 3
	longestStay = time.Hour
)

// follow notes where items are. It counts anew if workers have come or gone since, or when it
// has counted for long. What isn't there any more it forgets.
func (t *travels) follow(now time.Time, workers map[string]int, items []LeaseItem) {
	before := *t
	*t = travels{
		since:   before.since,
		workers: workers,
		last:    make(map[string]string),
		moves:   make(map[string]int),
	}
	isOld := now.Sub(before.since) >= longestStay
	isNew := isOld || !haveSameKeys(workers, before.workers)
	if isNew {
		t.since = now
	}
	for _, item := range items {
		last := before.last[item.LeaseID]
		holder := cmp.Or(item.LesseeID, last)
		t.last[item.LeaseID] = holder
		if isNew {
			continue
		}
		t.moves[item.LeaseID] = before.moves[item.LeaseID]
		hasMoved := last != "" && holder != last
		if hasMoved {
			t.moves[item.LeaseID]++
		}
	}
}

func haveSameKeys(a, b map[string]int) bool {
	if len(a) != len(b) {
		return false
	}
	for key := range a {
		if _, isThere := b[key]; !isThere {
			return false
		}
	}
	return true
}

// isWorn tells of an item that has travelled enough.
func (t *travels) isWorn(item LeaseItem) bool { return t.moves[item.LeaseID] >= mostTravels }
