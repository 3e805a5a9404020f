package dynamo

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/intercom/lease/cmd/lease/internal/fleet"
)

// Watcher knows how the items were at its last look.
type Watcher struct {
	*Client
	Seen  map[string]*fleet.Sighting
	count int     // of looks
	units float64 // read units of the last look
}

func NewWatcher(c *Client) *Watcher {
	return &Watcher{Client: c, Seen: make(map[string]*fleet.Sighting)}
}

// Look reads the table, and returns what has happened since the look before, also if it fails after
// some pages. The first look only takes note: nobody knows when what it sees has happened.
func (w *Watcher) Look(ctx context.Context) ([]fleet.Event, error) {
	events, err := w.scanChanges(ctx)
	now := fleet.Moment(w.now().UnixNano())
	for n := range events {
		events[n].Time = now
	}
	return events, err
}

func (w *Watcher) scanChanges(ctx context.Context) ([]fleet.Event, error) {
	var events []fleet.Event
	w.count++
	cost, err := w.Scan(ctx, true, func(page []fleet.Item) error {
		for _, i := range page {
			events = append(events, w.see(i)...)
		}
		return nil
	})
	if err != nil {
		return events, err
	}
	w.units = cost.Units
	return append(events, w.forgetRetired()...), nil
}

// see takes note of an item, and returns what has happened to it.
func (w *Watcher) see(i fleet.Item) []fleet.Event {
	now := time.Now()
	was := w.Seen[i.LeaseID]
	w.Seen[i.LeaseID] = &fleet.Sighting{Item: i, Live: i.Live(now), At: w.now(), Look: w.count}
	if w.count == 1 {
		return nil
	}
	return fleet.Changes(was, i, now)
}

// forgetRetired returns the events of the items that a whole look has not seen.
func (w *Watcher) forgetRetired() []fleet.Event {
	var events []fleet.Event
	for id, was := range w.Seen {
		if was.Look < w.count {
			events = append(events, fleet.Event{Event: fleet.Retired, Item: id})
			delete(w.Seen, id)
		}
	}
	return events
}

// Items returns the items of the last look, by name.
func (w *Watcher) items() []fleet.Item {
	items := make([]fleet.Item, 0, len(w.Seen))
	for _, s := range w.Seen {
		items = append(items, s.Item)
	}
	slices.SortFunc(items, func(a, b fleet.Item) int { return cmp.Compare(a.LeaseID, b.LeaseID) })
	return items
}

// States says how the items were at the last look.
func (w *Watcher) States() []fleet.Event {
	var events []fleet.Event
	for _, i := range w.items() {
		e := i.StateEvent(time.Now())
		e.Time = fleet.Moment(w.now().UnixNano())
		events = append(events, e)
	}
	return events
}

// Look is what a look has found.
type Look struct {
	Items  []fleet.Item // by name
	Events []fleet.Event
	At     time.Time
	Clock  time.Time // the same by the database's clock
	Units  float64
	Err    error
}

// Found returns what was found so far.
func (w *Watcher) Found() Look {
	return Look{Items: w.items(), At: time.Now(), Clock: w.now(), Units: w.units}
}

// Fatal is an error after which there are no more looks.
type Fatal struct{ Cause error }

func (f Fatal) Error() string { return f.Cause.Error() }

func (f Fatal) Unwrap() error { return f.Cause }

// Start looks again and again until ctx is done. The watcher is its own from then on.
func (w *Watcher) Start(ctx context.Context, every time.Duration) <-chan Look {
	looks := make(chan Look)
	send := func(l Look) {
		select {
		case looks <- l:
		case <-ctx.Done():
		}
	}
	go func() {
		defer func() {
			if p := recover(); p != nil { // Whoever reads it has a terminal to restore.
				send(Look{Err: Fatal{Cause: fmt.Errorf("panic: %v", p)}})
			}
		}()
		w.lookEach(ctx, every, send)
	}()
	return looks
}

// Each calls f with each of the looks that a watcher has started, until f returns false or an error,
// there are no more looks, which is an error, or ctx is done.
func Each(ctx context.Context, looks <-chan Look, f func(l Look) (goesOn bool, err error)) error {
	for goesOn := true; goesOn; {
		select {
		case l := <-looks:
			if _, over := l.Err.(Fatal); over {
				return l.Err
			}
			var err error
			if goesOn, err = f(l); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

func (w *Watcher) lookEach(ctx context.Context, every time.Duration, send func(Look)) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	learned := time.Now()
	for ctx.Err() == nil {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		var events []fleet.Event
		var err error
		if time.Since(learned) > time.Minute {
			err = w.learnClock(ctx)
			learned = time.Now()
		}
		if err == nil {
			events, err = w.Look(ctx)
		}
		l := w.Found()
		l.Events = events
		l.Err = err
		send(l)
	}
}
