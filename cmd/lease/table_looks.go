package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// watcher knows how the items were at its last look.
type watcher struct {
	*client
	seen  map[string]*sighting
	count int     // of looks
	units float64 // read units of the last look
}

func newWatcher(c *client) *watcher { return &watcher{client: c, seen: make(map[string]*sighting)} }

// look reads the table, and returns what has happened since the look before, also if it fails after
// some pages. The first look only takes note: nobody knows when what it sees has happened.
func (w *watcher) look(ctx context.Context) ([]event, error) {
	events, err := w.scanChanges(ctx)
	now := moment(w.now().UnixNano())
	for n := range events {
		events[n].Time = now
	}
	return events, err
}

func (w *watcher) scanChanges(ctx context.Context) ([]event, error) {
	var events []event
	w.count++
	cost, err := w.scan(ctx, true, func(page []item) error {
		for _, i := range page {
			events = append(events, w.see(i)...)
		}
		return nil
	})
	if err != nil {
		return events, err
	}
	w.units = cost.units
	return append(events, w.forgetRetired()...), nil
}

// see takes note of an item, and returns what has happened to it.
func (w *watcher) see(i item) []event {
	now := time.Now()
	was := w.seen[i.LeaseID]
	w.seen[i.LeaseID] = &sighting{item: i, live: i.live(now), at: w.now(), look: w.count}
	if w.count == 1 {
		return nil
	}
	return changes(was, i, now)
}

// forgetRetired returns the events of the items that a whole look has not seen.
func (w *watcher) forgetRetired() []event {
	var events []event
	for id, was := range w.seen {
		if was.look < w.count {
			events = append(events, event{Event: retired, Item: id})
			delete(w.seen, id)
		}
	}
	return events
}

// items returns the items of the last look, by name.
func (w *watcher) items() []item {
	items := make([]item, 0, len(w.seen))
	for _, s := range w.seen {
		items = append(items, s.item)
	}
	slices.SortFunc(items, func(a, b item) int { return cmp.Compare(a.LeaseID, b.LeaseID) })
	return items
}

// states says how the items were at the last look.
func (w *watcher) states() []event {
	var events []event
	for _, i := range w.items() {
		e := i.stateEvent(time.Now())
		e.Time = moment(w.now().UnixNano())
		events = append(events, e)
	}
	return events
}

// look is what a look has found.
type look struct {
	items  []item // by name
	events []event
	at     time.Time
	units  float64
	err    error
}

// found returns what was found so far.
func (w *watcher) found() look { return look{items: w.items(), at: time.Now(), units: w.units} }

// fatal is an error after which there are no more looks.
type fatal struct{ error }

// start looks again and again until ctx is done. The watcher is its own from then on.
func (w *watcher) start(ctx context.Context, every time.Duration) <-chan look {
	looks := make(chan look)
	send := func(l look) {
		select {
		case looks <- l:
		case <-ctx.Done():
		}
	}
	go func() {
		defer func() {
			if p := recover(); p != nil { // Whoever reads it has a terminal to restore.
				send(look{err: fatal{fmt.Errorf("panic: %v", p)}})
			}
		}()
		w.lookEach(ctx, every, send)
	}()
	return looks
}

func (w *watcher) lookEach(ctx context.Context, every time.Duration, send func(look)) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	learned := time.Now()
	for ctx.Err() == nil {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		var events []event
		var err error
		if time.Since(learned) > time.Minute {
			err = w.learnClock(ctx)
			learned = time.Now()
		}
		if err == nil {
			events, err = w.look(ctx)
		}
		l := w.found()
		l.events = events
		l.err = err
		send(l)
	}
}
