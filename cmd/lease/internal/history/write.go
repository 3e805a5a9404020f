package history

import (
	"context"
	"database/sql"
	"time"

	"github.com/intercom/lease/cmd/lease/internal/fleet"
)

func newChange() change { return change{strips: make(map[int64]Strip)} }

// add adds what is to be kept of a later look. If nothing can be written for long the oldest events
// and samples are given up.
func (c *change) add(later change) {
	const most = 100_000
	for id, s := range later.strips {
		c.strips[id] = s
	}
	c.events = append(c.events, later.events...)
	c.samples = append(c.samples, later.samples...)
	c.events = c.events[max(0, len(c.events)-most):]
	c.samples = c.samples[max(0, len(c.samples)-most):]
}

// names are the numbers that names have in the database: they stand there once.
type names struct {
	ids  map[string]int64
	news []string // that aren't written yet
	next int64
}

func (n *names) id(name string) int64 {
	id, isKnown := n.ids[name]
	if isKnown {
		return id
	}
	id = n.next
	n.next++
	n.ids[name] = id
	n.news = append(n.news, name)
	return id
}

// write writes what isn't written yet, all or nothing.
func (h *History) write(ctx context.Context, now time.Time, bill *fleet.Bill) error {
	tx, err := h.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	w := &writer{ctx: ctx, tx: tx, names: &h.names}
	w.strips(h.pending.strips)
	w.events(h.pending.events)
	w.samples(h.pending.samples)
	w.span(h.span)
	if bill != nil {
		w.bill(*bill, now, h.sum.Units/h.Every.Seconds())
	}
	w.newNames()
	if w.err != nil {
		return w.err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	h.pending = newChange()
	h.names.news = nil
	return nil
}

// writer writes in a transaction. After an error it does nothing any more.
type writer struct {
	ctx   context.Context
	tx    *sql.Tx
	names *names
	err   error
}

// each prepares a statement and executes it so many times, with these arguments.
func (w *writer) each(statement string, times int, args func(n int) []any) {
	if w.err != nil || times == 0 {
		return
	}
	s, err := w.tx.PrepareContext(w.ctx, statement)
	if err != nil {
		w.err = err
		return
	}
	defer s.Close()
	for n := range times {
		if _, err := s.ExecContext(w.ctx, args(n)...); err != nil {
			w.err = err
			return
		}
	}
}

func (w *writer) strips(all map[int64]Strip) {
	ids := make([]int64, 0, len(all))
	for id := range all {
		ids = append(ids, id)
	}
	const insert = "INSERT OR REPLACE INTO strip VALUES (?,?,?,?,?,?,?,?,?,?)"
	w.each(insert, len(ids), func(n int) []any {
		s := all[ids[n]]
		return []any{
			s.ID, w.names.id(s.Item), milli(s.Began), milli(s.Ended), string(s.State),
			w.names.id(s.Holder), s.Token, string(s.Why), w.names.id(s.Before), s.Noted,
		}
	})
}

func (w *writer) events(all []fleet.Event) {
	const insert = `INSERT INTO event (at, kind, item, holder, origin, token, wanted_by, why)
		VALUES (?,?,?,?,?,?,?,?)`
	w.each(insert, len(all), func(n int) []any {
		e := all[n]
		var wantedBy, token any
		if e.WantedBy != nil {
			wantedBy = w.names.id(*e.WantedBy)
		}
		if e.Token != nil {
			token = *e.Token
		}
		return []any{
			int64(e.Time) / int64(time.Millisecond), string(e.Event), w.names.id(e.Item),
			w.names.id(e.Holder), w.names.id(e.From), token, wantedBy, e.Why,
		}
	})
}

func (w *writer) samples(all []Sample) {
	w.each("INSERT OR REPLACE INTO sample VALUES (?,?,?,?,?)", len(all), func(n int) []any {
		s := all[n]
		return []any{w.names.id(s.Holder), milli(s.At), s.Items, s.Load, s.Capacity}
	})
}

func (w *writer) span(s span) {
	if s.began.IsZero() {
		return
	}
	w.each("INSERT OR REPLACE INTO span VALUES (?,?,?,?)", 1, func(int) []any {
		return []any{milli(s.began), milli(s.ended), s.looks, s.units}
	})
}

func (w *writer) bill(b fleet.Bill, now time.Time, looks float64) {
	w.each("INSERT OR REPLACE INTO cost VALUES (?,?,?,?,?,?)", 1, func(int) []any {
		return []any{milli(now), b.Items, b.Workers, b.WritesASecond, b.ReadsASecond, looks}
	})
}

// newNames comes last: by then all are known.
func (w *writer) newNames() {
	w.each("INSERT OR REPLACE INTO name VALUES (?,?)", len(w.names.news), func(n int) []any {
		name := w.names.news[n]
		return []any{w.names.ids[name], name}
	})
}

// milli is a time as it is kept: Unix milliseconds; 0 is none.
func milli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func ofMilli(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
