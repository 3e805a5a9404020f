package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/intercom/lease"
)

func (a *app) watch() *cobra.Command {
	var every time.Duration
	var asJSON bool
	c := a.command(cobra.Command{
		Use:     "watch [-every 2s] [-json] [-v]",
		Short:   "what changes, as it does",
		Long:    watchHelp,
		Example: "lease watch -table mailboxes -every 1s",
	}, func(ctx context.Context, args []string) error {
		if len(args) > 0 {
			return usagef("watch takes no arguments, and got %q", args)
		}
		if every < 50*time.Millisecond {
			return usagef("-every is %v; want 50ms or more", every)
		}
		lease.SetLogger(nil) // There may be a screen; and -v is for renewals.
		client, err := a.open(ctx, fewRetries)
		if err != nil {
			return err
		}
		err = a.watchTable(ctx, client, every, asJSON)
		if ctx.Err() != nil { // That is how one leaves it.
			return nil
		}
		return err
	})
	c.Flags().DurationVar(&every, "every", 2*time.Second, "look each `D`, else 2s")
	c.Flags().BoolVar(&asJSON, "json", false, "one event a line, as an object")
	return c
}

const watchHelp = `Shows what changes, as it does. It reads the whole table at each look, at one
read unit for each 4 KB. What comes and goes between two looks is not seen.

On a terminal: a screen with all items, the changed ones marked, and the
latest events. Arrows, j, k, space and b scroll; q or Ctrl-C leaves.

Elsewhere, or with -json: one event a line: obtained, renewed (with -v),
released, ended, handed over, wanted, registered, retired, unusable. The
first look prints nothing on stdout.`

func (a *app) watchTable(ctx context.Context, c *client, every time.Duration, asJSON bool) error {
	w := &watcher{client: c, seen: make(map[string]*sighting)}
	if _, err := w.look(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	count := len(w.seen)
	looks := w.start(ctx, every)
	if hasScreen() && !asJSON {
		return a.watchScreen(ctx, looks, every)
	}
	warn("watching %s of table %q, with a look each %v", items(count), c.table, every)
	p := &eventPrinter{app: a, print: printText}
	if asJSON {
		p.print = printJSON(os.Stdout)
	}
	return p.run(ctx, looks)
}

// explanation is what to say about the error of a look; "" if there is none.
func (a *app) explanation(err error) string {
	if err == nil {
		return ""
	}
	return a.explain(err)
}

func hasScreen() bool { return isTerminal(os.Stdout) && os.Getenv("TERM") != "dumb" }

// watcher knows how the items were at its last look.
type watcher struct {
	*client
	seen  map[string]*sighting
	count int // of looks
}

// look reads the table, and returns what has happened since the look before, also if it fails after
// some pages. The first look only takes note: nobody knows when what it sees has happened.
func (w *watcher) look(ctx context.Context) ([]event, error) {
	events, err := w.scanChanges(ctx)
	now := databaseTime(w.now().UnixNano())
	for n := range events {
		events[n].Time = now
	}
	return events, err
}

func (w *watcher) scanChanges(ctx context.Context) ([]event, error) {
	var events []event
	w.count++
	_, err := w.scan(ctx, true, func(page []item) error {
		for _, i := range page {
			events = append(events, w.see(i)...)
		}
		return nil
	})
	if err != nil {
		return events, err
	}
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

// look is what a look has found.
type look struct {
	items  []item // by name
	events []event
	at     time.Time
	err    error
}

// fatal is an error after which there are no more looks.
type fatal struct{ error }

// start looks again and again until ctx is done. It sends what was found already first. The watcher
// is its own from then on.
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
	send(look{items: w.items(), at: time.Now()})
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	learned := time.Now()
	for ctx.Err() == nil {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		var l look
		if time.Since(learned) > time.Minute {
			l.err = w.learnClock(ctx)
			learned = time.Now()
		}
		if l.err == nil {
			l.events, l.err = w.look(ctx)
		}
		l.items = w.items()
		l.at = time.Now()
		send(l)
	}
}

// eventPrinter prints the events of looks.
type eventPrinter struct {
	*app
	print func(e event) error
	told  string // what is said to go wrong; "" if nothing does
}

func printText(e event) error { return say("%s\n", e) }

func printJSON(w io.Writer) func(e event) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	return func(e event) error { return out.Encode(e) }
}

// run prints the events until ctx is done, or nobody reads them.
func (p *eventPrinter) run(ctx context.Context, looks <-chan look) error {
	for {
		var l look
		select {
		case l = <-looks:
		case <-ctx.Done():
			return nil
		}
		if _, over := l.err.(fatal); over {
			return l.err
		}
		if ctx.Err() == nil {
			p.tell(l.err)
		}
		if err := p.events(l.events); err != nil {
			return err
		}
		if unread(os.Stdout) {
			return nil
		}
	}
}

// tell says what goes wrong, once.
func (p *eventPrinter) tell(err error) {
	failure := p.explanation(err)
	if failure != "" && failure != p.told {
		warn("%s; it looks again", failure)
	}
	p.told = failure
}

func (p *eventPrinter) events(events []event) error {
	for _, e := range events {
		if !e.isShown(p.verbose) {
			continue
		}
		if err := p.print(e); err != nil {
			return err
		}
	}
	return nil
}

// unread tells whether nobody reads a pipe any more: else that is learned only when there is
// something to write.
func unread(f *os.File) bool {
	fds := []unix.PollFd{{Fd: int32(f.Fd())}}
	n, err := unix.Poll(fds, 0)
	if err != nil || n == 0 {
		return false
	}
	return fds[0].Revents&(unix.POLLERR|unix.POLLNVAL) != 0
}

// watchScreen draws a screen until ctx is done or somebody wants to leave, and leaves the
// terminal as it was.
func (a *app) watchScreen(ctx context.Context, looks <-chan look, every time.Duration) error {
	s, err := openScreen(os.Stdin, os.Stdout)
	if err != nil {
		return err
	}
	defer s.close()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	d := &display{
		app:    a,
		screen: s,
		looks:  looks,
		second: second.C,
		view: view{
			title:   fmt.Sprintf("table %s, each %v", show(a.table), every),
			verbose: a.verbose,
			mark:    max(5*time.Second, 2*every),
			changed: make(map[string]time.Time),
		},
	}
	return d.run(ctx)
}

// display is a screen that shows the looks as they come.
type display struct {
	*app
	screen *screen
	view   view
	looks  <-chan look
	second <-chan time.Time // times go by
}

func (d *display) run(ctx context.Context) error {
	select {
	case l := <-d.looks: // what was found already
		d.take(l)
	case <-ctx.Done():
		return nil
	}
	for {
		d.screen.draw(func(height int) []line { return d.view.lines(height, time.Now()) })
		leave, err := d.await(ctx)
		if leave || err != nil {
			return err
		}
	}
}

// await waits for something to show, and tells whether to leave.
func (d *display) await(ctx context.Context) (leave bool, err error) {
	select {
	case <-ctx.Done():
		return true, nil
	case <-d.second:
	case <-d.screen.resized:
	case <-d.screen.resumed:
		return false, d.screen.enter()
	case key, ok := <-d.screen.keys:
		if !ok { // There is nobody to press one.
			d.screen.keys = nil
			return false, nil
		}
		return d.view.press(key), nil
	case l := <-d.looks:
		if _, over := l.err.(fatal); over {
			return true, l.err
		}
		d.take(l)
	}
	return false, nil
}

func (d *display) take(l look) { d.view.take(l, oneLine(d.explanation(l.err))) }
