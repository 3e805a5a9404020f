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

// watching is what the flags of watch say.
type watching struct {
	every time.Duration
	json  bool
	local bool
}

func (a *app) watch() *cobra.Command {
	var f watching
	c := a.command(cobra.Command{
		Use:     "watch [-every 2s] [-json] [-local] [-v]",
		Short:   "what changes, as it does",
		Long:    watchHelp,
		Example: "lease watch -table mailboxes -every 1s",
	}, func(ctx context.Context, args []string) error {
		if len(args) > 0 {
			return usagef("watch takes no arguments, and got %q", args)
		}
		if f.every < 50*time.Millisecond {
			return usagef("-every is %v; want 50ms or more", f.every)
		}
		lease.SetLogger(nil) // There may be a screen; and -v is for renewals.
		client, err := a.open(ctx, fewRetries)
		if err != nil {
			return err
		}
		err = a.watchTable(ctx, client, f)
		if ctx.Err() != nil { // That is how one leaves it.
			return nil
		}
		return err
	})
	c.Flags().DurationVar(&f.every, "every", 2*time.Second, "look each `D`, else 2s")
	c.Flags().BoolVar(&f.json, "json", false, "one event a line, as an object")
	c.Flags().BoolVar(&f.local, "local", false, "times are of this host's zone, else UTC")
	return c
}

const watchHelp = `Shows what changes, as it does. It reads the whole table at each look, at one
read unit for each 4 KB. What comes and goes between two looks is not seen.

On a terminal: a screen with all items, the changed ones marked, and the
latest events. "?" lists the keys; q or Ctrl-C leaves.

Elsewhere, or with -json: one event a line. First each item as it is (state);
then obtained, renewed (with -v), released, freed (by force), ended,
handed_over, wanted, registered, retired, unusable.`

// zone is where its times are.
func (f watching) zone() *time.Location {
	if f.local {
		return time.Local
	}
	return time.UTC
}

func (a *app) watchTable(ctx context.Context, c *client, f watching) error {
	w := &watcher{client: c, seen: make(map[string]*sighting)}
	if _, err := w.look(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	if hasScreen() && !f.json {
		return a.watchScreen(ctx, w, f)
	}
	warn("watching %s of table %q, with a look each %v", items(len(w.seen)), c.table, f.every)
	p := &eventPrinter{app: a, print: printText(f.zone())}
	if f.json {
		p.print = printJSON(os.Stdout)
	}
	if err := p.events(w.states()); err != nil {
		return err
	}
	return p.run(ctx, w.start(ctx, f.every))
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
	count int     // of looks
	units float64 // read units of the last look
}

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

// eventPrinter prints the events of looks.
type eventPrinter struct {
	*app
	print func(e event) error
	told  string // what is said to go wrong; "" if nothing does
}

func printText(zone *time.Location) func(e event) error {
	return func(e event) error { return say("%s\n", e.line(zone)) }
}

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
