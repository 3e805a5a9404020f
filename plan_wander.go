package lease

import "time"

// What moves to and fro, as workers reckon otherwise: those of a version that counts items
// see no weights, so that what levels loads for the one is out of level for the other.

// travels are those of items: how often each got a new tenure since the workers were the same.
type travels struct {
	since   time.Time
	workers map[string]int   // who was there
	from    map[string]int64 // the tokens then, by the items
}

const (
	mostTravels = 3
	longestStay = time.Hour
)

// follow notes where items are, anew if workers have come or gone since, or for long none has.
func (t *travels) follow(now time.Time, workers map[string]int, items []LeaseItem) {
	isOld := now.Sub(t.since) >= longestStay
	if isOld || !haveSameKeys(workers, t.workers) {
		*t = travels{since: now, workers: workers, from: make(map[string]int64)}
	}
	for _, item := range items {
		if _, isKnown := t.from[item.LeaseID]; !isKnown {
			t.from[item.LeaseID] = item.FencingToken
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
func (t *travels) isWorn(item LeaseItem) bool {
	return item.FencingToken >= t.from[item.LeaseID]+mostTravels
}
