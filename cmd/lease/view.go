package main

import (
	"fmt"
	"slices"
	"time"
)

// view is what the screen of watch shows.
type view struct {
	title   string
	verbose bool
	mark    time.Duration // for how long a change is marked
	items   []item
	at      time.Time // of the last look that succeeded
	failure string    // of the last look; "" if it succeeded
	changed map[string]time.Time
	events  []event // the latest ones, oldest first
	top     int     // the first item that is shown
	page    int     // how many are shown
}

const latestEvents = 5

// take takes what a look has found, and what is to be said if it failed.
func (v *view) take(l look, failure string) {
	v.failure = failure
	if failure == "" {
		v.at = l.at
	}
	v.items = l.items
	for _, e := range l.events {
		if e.isShown(v.verbose) {
			v.changed[e.Item] = l.at
			v.events = append(v.events, e)
		}
	}
	v.events = slices.Clone(lastOf(v.events, latestEvents))
	for id, at := range v.changed {
		if l.at.Sub(at) > v.mark {
			delete(v.changed, id)
		}
	}
}

func lastOf(events []event, most int) []event {
	return events[max(0, len(events)-most):]
}

// press does what a key is for, and tells whether to leave.
func (v *view) press(key string) (leave bool) {
	switch key {
	case "q", "Q", "\x03":
		return true
	case "\x1b[A", "\x1bOA", "k":
		v.top--
	case "\x1b[B", "\x1bOB", "j":
		v.top++
	case "\x1b[5~", "b":
		v.top -= v.page
	case "\x1b[6~", " ":
		v.top += v.page
	case "\x1b[H", "\x1bOH", "g":
		v.top = 0
	case "\x1b[F", "\x1bOF", "G":
		v.top = len(v.items)
	}
	return false
}

// lines lays the view out on a screen of that height: status and counts, the items that fit, and
// the latest events.
func (v *view) lines(height int, now time.Time) []line {
	status := v.status(now)

	// What was held at an old look may be held still.
	shownAt := now
	if status.bold {
		shownAt = v.at
	}
	sum := newCounts()
	sum.add(v.items, shownAt)
	counted := line{text: fmt.Sprintf("%s; holders: %d", sum, len(sum.Holders))}

	top := []line{status, counted, {}}
	tail := v.tail((height - len(top) - 1) / 3)
	const headerAndRest = 2 // the line of the header, and that of how much more there is
	v.scroll(height - len(top) - len(tail) - headerAndRest)
	return slices.Concat(top, v.table(now, shownAt), tail)
}

// status is the first line. It is bold if what is shown is old.
func (v *view) status(now time.Time) line {
	age := short(now.Sub(v.at))
	if v.failure != "" {
		return line{
			text: "LOOKING FAILS, shown is what was " + age + " ago: " + v.failure,
			bold: true,
		}
	}
	if now.Sub(v.at) > v.mark {
		return line{text: "NO ANSWER YET, shown is what was " + age + " ago", bold: true}
	}
	return line{text: "lease watch  " + v.title + "  q leaves"}
}

// tail are the lines of the latest events, for which there is so much room.
func (v *view) tail(room int) []line {
	if room <= 0 || len(v.events) == 0 {
		return nil
	}
	lines := []line{{}}
	for _, e := range lastOf(v.events, room) {
		lines = append(lines, line{text: e.String()})
	}
	return lines
}

// scroll moves the shown items so that they are as many as there is room for.
func (v *view) scroll(room int) {
	v.page = max(1, room)
	lowest := len(v.items) - v.page
	v.top = max(0, min(v.top, lowest))
}

func (v *view) table(now, shownAt time.Time) []line {
	end := min(len(v.items), v.top+v.page)
	shown := v.items[v.top:end]
	cells := [][]string{header}
	for _, i := range shown {
		cells = append(cells, i.columns(shownAt))
	}
	var c columns
	c.fit(cells...)
	lines := []line{{text: "  " + c.line(header)}}
	for n, i := range shown {
		text := c.line(cells[n+1])
		if now.Sub(v.changed[i.LeaseID]) < v.mark {
			lines = append(lines, line{text: "* " + text, bold: true})
		} else {
			lines = append(lines, line{text: "  " + text})
		}
	}
	if len(shown) < len(v.items) {
		rest := fmt.Sprintf("  %d to %d of %d items", v.top+1, end, len(v.items))
		lines = append(lines, line{text: rest})
	}
	return lines
}
