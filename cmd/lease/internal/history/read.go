package history

import (
	"context"
	"database/sql"
	"time"

	"github.com/intercom/lease/cmd/lease/internal/fleet"
)

// each calls a function with each row of a query.
func (h *History) each(
	ctx context.Context, query string, args []any, row func(*sql.Rows) error,
) error {
	rows, err := h.db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// load reads what was kept before: names, how the items were last, and who had how much.
func (h *History) load(ctx context.Context) error {
	if err := h.loadNames(ctx); err != nil {
		return err
	}
	err := h.each(ctx, selectStrips+" WHERE strip.ended = 0", nil, func(r *sql.Rows) error {
		s, err := scanStrip(r)
		h.notes.strips[s.Item] = &s
		return err
	})
	if err != nil {
		return err
	}
	const last = selectSamples + ` WHERE sample.at = (
		SELECT max(at) FROM sample later WHERE later.holder = sample.holder)`
	err = h.each(ctx, last, nil, func(r *sql.Rows) error {
		s, err := scanSample(r)
		h.notes.samples[s.Holder] = s
		if s.Items > 0 && s.Holder != "" {
			h.notes.holder(s.Holder, s.At).Capacity = s.Capacity
		}
		return err
	})
	if err != nil {
		return err
	}
	const ends = `SELECT coalesce(max(id), 0) + 1,
		(SELECT coalesce(min(began), 0) FROM span) FROM strip`
	var first int64
	err = h.db.QueryRowContext(ctx, ends).Scan(&h.notes.nextID, &first)
	h.sum.First = ofMilli(first)
	return err
}

func (h *History) loadNames(ctx context.Context) error {
	h.names = names{ids: make(map[string]int64), next: 1}
	return h.each(ctx, "SELECT id, name FROM name", nil, func(r *sql.Rows) error {
		var id int64
		var name string
		err := r.Scan(&id, &name)
		h.names.ids[name] = id
		h.names.next = max(h.names.next, id+1)
		return err
	})
}

const selectStrips = `SELECT strip.id, item.name, strip.began, strip.ended, strip.state,
	holder.name, strip.token, strip.why, before.name, strip.noted FROM strip
	JOIN name item ON item.id = strip.item JOIN name holder ON holder.id = strip.holder
	JOIN name before ON before.id = strip.before`

func scanStrip(r *sql.Rows) (s Strip, err error) {
	var began, ended int64
	err = r.Scan(
		&s.ID, &s.Item, &began, &ended, &s.State, &s.Holder, &s.Token, &s.Why, &s.Before, &s.Noted,
	)
	s.Began = ofMilli(began)
	s.Ended = ofMilli(ended)
	return s, err
}

// Strips returns how an item was between two times, oldest first.
func (h *History) Strips(ctx context.Context, item string, from, to time.Time) ([]Strip, error) {
	const where = ` WHERE strip.item = (SELECT id FROM name WHERE name = ?)
		AND strip.began <= ? AND (strip.ended = 0 OR strip.ended >= ?) ORDER BY strip.began`
	return h.readStrips(ctx, selectStrips+where, item, milli(to), milli(from))
}

// Tenures returns how an item was, newest first, so many at most.
func (h *History) Tenures(ctx context.Context, item string, most int) ([]Strip, error) {
	const where = ` WHERE strip.item = (SELECT id FROM name WHERE name = ?)
		ORDER BY strip.began DESC, strip.id DESC LIMIT ?`
	return h.readStrips(ctx, selectStrips+where, item, most)
}

func (h *History) readStrips(ctx context.Context, query string, args ...any) ([]Strip, error) {
	var all []Strip
	err := h.each(ctx, query, args, func(r *sql.Rows) error {
		s, err := scanStrip(r)
		all = append(all, s)
		return err
	})
	return all, err
}

const selectSamples = `SELECT name.name, sample.at, sample.items, sample.load, sample.capacity
	FROM sample JOIN name ON name.id = sample.holder`

func scanSample(r *sql.Rows) (s Sample, err error) {
	var at int64
	err = r.Scan(&s.Holder, &at, &s.Items, &s.Load, &s.Capacity)
	s.At = ofMilli(at)
	return s, err
}

// Samples returns who had how much between two times: what each had at the first, and what has
// changed since, oldest first.
func (h *History) Samples(ctx context.Context, from, to time.Time) (all []Sample, err error) {
	const first = `WITH first AS (
		SELECT holder, max(at) AS at FROM sample WHERE at <= ?1 GROUP BY holder) `
	const where = ` LEFT JOIN first ON first.holder = sample.holder
		WHERE sample.at <= ?2 AND sample.at >= coalesce(first.at, ?1) ORDER BY sample.at, name.name`
	query := first + selectSamples + where
	err = h.each(ctx, query, []any{milli(from), milli(to)}, func(r *sql.Rows) error {
		s, err := scanSample(r)
		all = append(all, s)
		return err
	})
	return all, err
}

const selectEvents = `SELECT event.at, event.kind, item.name, holder.name, origin.name, event.token,
	wisher.name, event.why FROM event JOIN name item ON item.id = event.item
	JOIN name holder ON holder.id = event.holder JOIN name origin ON origin.id = event.origin
	LEFT JOIN name wisher ON wisher.id = event.wanted_by`

func (h *History) readEvents(
	ctx context.Context, query string, args ...any,
) ([]fleet.Event, error) {
	all := []fleet.Event{}
	err := h.each(ctx, query, args, func(r *sql.Rows) error {
		var e fleet.Event
		var at int64
		err := r.Scan(&at, &e.Event, &e.Item, &e.Holder, &e.From, &e.Token, &e.WantedBy, &e.Why)
		e.Time = fleet.Moment(at * int64(time.Millisecond))
		all = append(all, e)
		return err
	})
	return all, err
}

// Events returns what has happened between two times, newest first, so many at most.
func (h *History) Events(ctx context.Context, from, to time.Time, most int) ([]fleet.Event, error) {
	const where = ` WHERE event.at >= ? AND event.at <= ?
		ORDER BY event.at DESC, event.id DESC LIMIT ?`
	return h.readEvents(ctx, selectEvents+where, milli(from), milli(to), most)
}

// EventsOf returns what has happened to an item, newest first, so many at most.
func (h *History) EventsOf(ctx context.Context, item string, most int) ([]fleet.Event, error) {
	const where = ` WHERE event.item = (SELECT id FROM name WHERE name = ?)
		ORDER BY event.at DESC, event.id DESC LIMIT ?`
	return h.readEvents(ctx, selectEvents+where, item, most)
}

// Arrivals returns who has come, gone or fallen between two times, oldest first: the latest
// thousand.
func (h *History) Arrivals(ctx context.Context, from, to time.Time) ([]fleet.Event, error) {
	const where = ` WHERE event.id IN (SELECT id FROM event WHERE at >= ? AND at <= ?
		AND kind IN ('joined', 'left', 'fell') ORDER BY at DESC LIMIT 1000)
		ORDER BY event.at, event.id`
	return h.readEvents(ctx, selectEvents+where, milli(from), milli(to))
}

// Moves counts the items that were obtained, in each of so many parts of a time.
func (h *History) Moves(ctx context.Context, from, to time.Time, parts int) ([]int, error) {
	const query = `SELECT min((at - ?1) * ?3 / (?2 - ?1), ?3 - 1), count(*) FROM event
		WHERE kind = 'obtained' AND at >= ?1 AND at <= ?2 GROUP BY 1`
	moves := make([]int, parts)
	err := h.each(ctx, query, []any{milli(from), milli(to), parts}, func(r *sql.Rows) error {
		var part, n int
		err := r.Scan(&part, &n)
		moves[part] = n
		return err
	})
	return moves, err
}

// Churn is how much has come to a holder and gone from it.
type Churn struct {
	Obtained int
	Given    int // handed over, released, or freed by force
	Lost     int // not renewed in time
}

// Churns returns them by holder, since a time.
func (h *History) Churns(ctx context.Context, since time.Time) (map[string]Churn, error) {
	const query = `SELECT name.name, obtained, given, lost FROM (
		SELECT CASE kind WHEN 'handed_over' THEN origin ELSE holder END AS who,
			sum(kind = 'obtained') AS obtained,
			sum(kind IN ('handed_over', 'released', 'freed')) AS given,
			sum(kind = 'ended' AND wanted_by IS NULL) AS lost
		FROM event WHERE at >= ? GROUP BY 1
		) JOIN name ON name.id = who`
	churns := make(map[string]Churn)
	err := h.each(ctx, query, []any{milli(since)}, func(r *sql.Rows) error {
		var name string
		var c Churn
		err := r.Scan(&name, &c.Obtained, &c.Given, &c.Lost)
		churns[name] = c
		return err
	})
	return churns, err
}

// Span is a time in which there were looks.
type Span struct{ Began, Ended time.Time }

// Spans returns when there were looks, between two times, oldest first.
func (h *History) Spans(ctx context.Context, from, to time.Time) (all []Span, err error) {
	const query = "SELECT began, ended FROM span WHERE began <= ? AND ended >= ? ORDER BY began"
	err = h.each(ctx, query, []any{milli(to), milli(from)}, func(r *sql.Rows) error {
		var began, ended int64
		err := r.Scan(&began, &ended)
		all = append(all, Span{ofMilli(began), ofMilli(ended)})
		return err
	})
	return all, err
}

// Cost is what a minute came to: units a second.
type Cost struct {
	At                   time.Time
	Items, Workers       int
	Writes, Reads, Looks float64
}

// Costs returns what was reckoned between two times, oldest first.
func (h *History) Costs(ctx context.Context, from, to time.Time) (all []Cost, err error) {
	const query = `SELECT at, items, workers, writes, reads, looks FROM cost
		WHERE at >= ? AND at <= ? ORDER BY at`
	err = h.each(ctx, query, []any{milli(from), milli(to)}, func(r *sql.Rows) error {
		var c Cost
		var at int64
		err := r.Scan(&at, &c.Items, &c.Workers, &c.Writes, &c.Reads, &c.Looks)
		c.At = ofMilli(at)
		all = append(all, c)
		return err
	})
	return all, err
}
