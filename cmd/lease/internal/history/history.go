// Package history keeps what looks at a table have shown: how each item was and since when, what
// has happened, and who had how much. It is kept in SQLite, in memory or in a file, for a time, and
// within a size.
//
// Reading it: notes.go and strip.go decide what there is to keep of a look, thin.go what to drop;
// write.go and read.go are the requests.
package history

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/intercom/lease/cmd/lease/internal/dynamo"
	"github.com/intercom/lease/cmd/lease/internal/fleet"
)

// Options are what a history is of, and how much it keeps.
type Options struct {
	File  string        // "" is in memory
	Place string        // which table it is about
	Keep  time.Duration // how long
	Most  int64         // bytes; 0 is 64 MB in memory, and 256 MB in a file
	Every time.Duration // how often there is a look

	Prices fleet.Prices
}

// most is how large it may be.
func (o Options) most() int64 {
	const inMemory, inFile = 64 << 20, 256 << 20
	if o.Most > 0 {
		return o.Most
	}
	if o.File == "" {
		return inMemory
	}
	return inFile
}

// Present is what the last look has shown. It doesn't change.
type Present struct {
	First    time.Time // when the first look was of those that are kept
	Clock    time.Time // of the last look that succeeded, by the database's clock
	Host     time.Time // the same by this host's
	Items    []Current // by name
	Holders  []Holder  // those that have items, or had some of late; those first seen first
	Counts   fleet.Counts
	Units    float64 // of a look
	Looks    int     // by this process; those that failed too
	Failed   int
	Spent    float64 // units, for all looks
	Failure  string  // why the last one failed; "" if it didn't
	Unkept   string  // why it can't be kept; "" if it can
	Bill     fleet.Bill
	Billed   time.Duration      // what time the bill is reckoned from
	Happened map[fleet.Kind]int // since this process began
}

// Current is an item and how long it has been as it is.
type Current struct {
	fleet.Item
	Strip Strip
}

// History is what was seen of a table. Its methods may be called from any goroutine.
type History struct {
	Options
	db      *sql.DB
	present atomic.Pointer[Present]

	mu      sync.Mutex // for whoever writes
	notes   *notes
	meter   meter
	names   names
	pending change // what isn't written yet
	span    span
	thinned time.Time // when
	sum     Present   // what is counted up
}

// Open opens a history, with what was kept before.
func Open(ctx context.Context, o Options) (*History, error) {
	db, err := connect(ctx, o.File, o.Place)
	if err != nil {
		return nil, err
	}
	h := &History{Options: o, db: db, notes: newNotes(), pending: newChange()}
	h.sum.Happened = make(map[fleet.Kind]int)
	h.present.Store(&Present{})
	if err := h.load(ctx); err != nil {
		db.Close()
		return nil, explain(o.File, err)
	}
	return h, nil
}

func (h *History) Close() error { return h.db.Close() }

// Present is what the last look has shown.
func (h *History) Present() *Present { return h.present.Load() }

// Note keeps what a look has shown. failure says why it failed, if it did. What can't be written is
// written with a later look.
func (h *History) Note(ctx context.Context, l dynamo.Look, failure string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pending.add(h.notes.see(l))
	h.count(l)
	h.sum.Failure = failure
	var bill *fleet.Bill
	if l.Err == nil {
		bill = h.meter.read(l, h.Prices)
		h.span.extend(l, h.Every)
	}
	err := h.write(ctx, l.Clock, bill)
	if err == nil {
		err = h.thin(ctx, l.Clock)
	}
	h.sum.Unkept = ""
	if err != nil {
		err = explain(h.File, err)
		h.sum.Unkept = err.Error()
	}
	h.publish(l)
	return err
}

func (h *History) count(l dynamo.Look) {
	if h.sum.First.IsZero() {
		h.sum.First = l.Clock
	}
	h.sum.Looks++
	for _, e := range l.Events {
		h.sum.Happened[e.Event]++
	}
	if l.Err != nil {
		h.sum.Failed++
		return
	}
	h.sum.Spent += l.Units
	h.sum.Units = l.Units
}

// publish makes what is known now the present.
func (h *History) publish(l dynamo.Look) {
	p := h.sum
	p.Happened = make(map[fleet.Kind]int)
	for kind, n := range h.sum.Happened {
		p.Happened[kind] = n
	}
	last := h.present.Load()
	if l.Err != nil {
		p.Clock, p.Host = last.Clock, last.Host
		p.Items, p.Holders, p.Counts = last.Items, last.Holders, last.Counts
		p.Bill, p.Billed = last.Bill, last.Billed
		h.present.Store(&p)
		return
	}
	p.Clock = l.Clock
	p.Host = l.At
	p.Bill, p.Billed = h.meter.bill(h.Prices)
	counts := fleet.NewCounts()
	counts.Add(l.Items, l.At)
	p.Counts = *counts
	p.Items = make([]Current, len(l.Items))
	for n, i := range l.Items {
		p.Items[n] = Current{Item: i, Strip: *h.notes.strips[i.LeaseID]}
	}
	for _, holder := range h.notes.holders {
		p.Holders = append(p.Holders, *holder)
	}
	slices.SortFunc(p.Holders, func(a, b Holder) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Name, b.Name))
	})
	h.present.Store(&p)
}

// Find returns an item as it is now.
func (p *Present) Find(name string) (Current, bool) {
	n, found := slices.BinarySearchFunc(p.Items, name, func(c Current, name string) int {
		return cmp.Compare(c.LeaseID, name)
	})
	if !found {
		return Current{}, false
	}
	return p.Items[n], true
}
