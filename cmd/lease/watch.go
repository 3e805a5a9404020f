package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/intercom/lease"
)

const watchHelp = `Usage: lease watch [-every 2s] [-json] [-v]

Shows what changes, as it does. It reads the whole table at each look, at one
read unit for each 4 KB. What comes and goes between two looks is not seen.

On a terminal: a screen with all items, the changed ones marked, and the
latest events. Arrows, j, k, space and b scroll; q or Ctrl-C leaves.

Elsewhere, or with -json: one event a line: obtained, renewed (with -v),
released, ended, handed over, wanted, registered, retired, unusable. The
first look prints nothing on stdout.

  -every 2s  time from one look to the next
  -json      one event a line, as an object
  -v         renewals too

  -table T, -key K, -region R, -endpoint URL: see "lease -h"

Example: lease watch -table mailboxes -every 1s
`

func watch(a *app, flags *flag.FlagSet) func(ctx context.Context, args []string) error {
	every := flags.Duration("every", 2*time.Second, "")
	asJSON := flags.Bool("json", false, "")
	return func(ctx context.Context, args []string) error {
		switch {
		case len(args) > 0:
			return usagef("watch takes no arguments, and got %q", args)
		case *every < 50*time.Millisecond:
			return usagef("-every is %v; want 50ms or more", *every)
		}
		lease.SetLogger(nil) // There may be a screen; and -v is for renewals.
		c, err := a.open(ctx, fewRetries)
		if err != nil {
			return err
		}
		w := &watcher{client: c, seen: make(map[string]*sighting)}
		if _, err := w.look(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		looks := w.start(ctx, *every)
		if isTerminal(os.Stdout) && !*asJSON && os.Getenv("TERM") != "dumb" {
			err = watchScreen(ctx, a, c, looks, *every)
		} else {
			warn("watching %s of table %q, with a look each %v", items(len(w.seen)), c.table, *every)
			err = watchLines(ctx, a, looks, *asJSON)
		}
		if ctx.Err() != nil { // That is how one leaves it.
			return nil
		}
		return err
	}
}

// look is what a look has found.
type look struct {
	items  []item // by name
	events []event
	at     time.Time
	err    error
}

// start looks again and again until ctx is done. It sends what was found already first. The watcher is its own from then on.
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
		send(look{items: w.items(), at: time.Now()})
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for learned := time.Now(); ctx.Err() == nil; {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
			var l look
			if time.Since(learned) > time.Minute {
				l.err, learned = w.learnClock(ctx), time.Now()
			}
			if l.err == nil {
				l.events, l.err = w.look(ctx)
			}
			l.items, l.at = w.items(), time.Now()
			send(l)
		}
	}()
	return looks
}

// fatal is an error after which there are no more looks.
type fatal struct{ error }

// watchLines prints the events until ctx is done, or nobody reads them.
func watchLines(ctx context.Context, a *app, looks <-chan look, asJSON bool) error {
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	last := ""
	for {
		var l look
		select {
		case l = <-looks:
		case <-ctx.Done():
			return nil
		}
		failure := ""
		if _, over := l.err.(fatal); over {
			return l.err
		} else if l.err != nil && ctx.Err() == nil {
			if failure = a.explain(l.err); failure != last {
				warn("%s; it looks again", failure)
			}
		}
		last = failure
		for _, e := range l.events {
			if e.Event == renewed && !a.verbose {
				continue
			}
			var err error
			if asJSON {
				err = out.Encode(e)
			} else {
				err = say("%s\n", e)
			}
			if err != nil {
				return err
			}
		}
		if unread(os.Stdout) {
			return nil
		}
	}
}

// unread tells whether nobody reads a pipe any more: else that is learned only when there is something to write.
func unread(f *os.File) bool {
	fds := []unix.PollFd{{Fd: int32(f.Fd())}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0 && fds[0].Revents&(unix.POLLERR|unix.POLLNVAL) != 0
}

// watchScreen draws a screen until ctx is done or somebody wants to leave, and leaves the terminal as it was.
func watchScreen(ctx context.Context, a *app, c *client, looks <-chan look, every time.Duration) error {
	s, err := openScreen(os.Stdin, os.Stdout)
	if err != nil {
		return err
	}
	defer s.close()
	v := &view{title: fmt.Sprintf("table %s, each %v", show(c.table), every), changed: make(map[string]time.Time), mark: max(5*time.Second, 2*every)}
	select {
	case l := <-looks: // what was found already
		v.take(l, a)
	case <-ctx.Done():
		return nil
	}
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		s.draw(v.lines)
		select {
		case <-ctx.Done():
			return nil
		case <-second.C:
		case <-s.resized:
		case <-s.resumed:
			if err := s.enter(); err != nil {
				return err
			}
		case key, ok := <-s.keys:
			if !ok {
				s.keys = nil // There is nobody to press one.
			} else if v.press(key) {
				return nil
			}
		case l := <-looks:
			if _, over := l.err.(fatal); over {
				return l.err
			}
			v.take(l, a)
		}
	}
}

// view is what the screen shows.
type view struct {
	title   string
	mark    time.Duration // for how long a change is marked
	items   []item
	at      time.Time // of the last look that succeeded
	failure string
	changed map[string]time.Time
	events  []event // the latest ones, oldest first
	top     int     // the first item that is shown
	page    int     // how many are shown
}

const latestEvents = 5

func (v *view) take(l look, a *app) {
	v.failure = ""
	if l.err != nil {
		v.failure = oneLine(a.explain(l.err))
	} else {
		v.at = l.at
	}
	v.items = l.items
	for _, e := range l.events {
		if e.Event == renewed && !a.verbose {
			continue
		}
		v.changed[e.Item] = l.at
		v.events = append(v.events, e)
	}
	v.events = slices.Clone(v.events[max(0, len(v.events)-latestEvents):])
	for id, at := range v.changed {
		if time.Since(at) > v.mark {
			delete(v.changed, id)
		}
	}
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

// lines lays the view out on a screen of that height.
func (v *view) lines(height int) []line {
	now := time.Now()
	shownAt, status, old := now, "lease watch  "+v.title+"  q leaves", ""
	if v.failure != "" {
		old = "LOOKING FAILS, shown is what was %s ago: " + v.failure
	} else if now.Sub(v.at) > v.mark {
		old = "NO ANSWER YET, shown is what was %s ago"
	}
	if old != "" { // What was held then may be held still.
		shownAt, status = v.at, strings.Replace(old, "%s", short(now.Sub(v.at)), 1)
	}
	sum := counts{Holders: make(map[string]int)}
	for _, i := range v.items {
		sum.add(i, shownAt)
	}
	lines := []line{{text: status, bold: old != ""}, {text: fmt.Sprintf("%s; holders: %d", &sum, len(sum.Holders))}, {}}
	tail := []line{}
	if room := min(latestEvents, (height-len(lines)-1)/3); room > 0 && len(v.events) > 0 {
		tail = append(tail, line{})
		for _, e := range v.events[max(0, len(v.events)-room):] {
			tail = append(tail, line{text: e.String()})
		}
	}
	v.page = max(1, height-len(lines)-len(tail)-2) // the header, and how much more there is
	v.top = max(0, min(v.top, len(v.items)-v.page))
	shown := v.items[v.top:min(len(v.items), v.top+v.page)]
	cells := [][]string{header}
	for _, i := range shown {
		cells = append(cells, i.columns(shownAt))
	}
	var c columns
	c.fit(cells...)
	for n, row := range cells {
		marked := n > 0 && now.Sub(v.changed[shown[n-1].LeaseID]) < v.mark
		prefix := "  "
		if marked {
			prefix = "* "
		}
		lines = append(lines, line{text: prefix + c.line(row), bold: marked})
	}
	if len(shown) < len(v.items) {
		lines = append(lines, line{text: fmt.Sprintf("  %d to %d of %d items", v.top+1, v.top+len(shown), len(v.items))})
	}
	return append(lines, tail...)
}
