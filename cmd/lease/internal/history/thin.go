package history

import (
	"context"
	"time"
)

// How what was seen is thinned out as it gets older.
const (
	allFor     = time.Hour      // samples are all kept, and then one of each minute
	minutesFor = 24 * time.Hour // and after that one of each ten; wishes are dropped
)

// thin drops what is too old or too much, once a minute.
func (h *History) thin(ctx context.Context, now time.Time) error {
	if now.Sub(h.thinned) < time.Minute {
		return nil
	}
	if err := h.drop(ctx, now.Add(-h.Keep)); err != nil {
		return err
	}
	if err := h.thinSamples(ctx, now); err != nil {
		return err
	}
	if err := h.fit(ctx, now); err != nil {
		return err
	}
	h.thinned = now
	return nil
}

// drop drops what was over before a time. What a holder had last before it stays: it counts from
// then on.
func (h *History) drop(ctx context.Context, before time.Time) error {
	at := milli(before)
	for _, statement := range []string{
		"DELETE FROM strip WHERE ended > 0 AND ended < ?1",
		"DELETE FROM event WHERE at < ?1",
		"DELETE FROM span WHERE ended < ?1",
		"DELETE FROM cost WHERE at < ?1",
		"DELETE FROM sample WHERE at < ?1 AND EXISTS (SELECT 1 FROM sample later" +
			" WHERE later.holder = sample.holder AND later.at > sample.at AND later.at <= ?1)",
		"DELETE FROM sample WHERE at < ?1 AND items = 0",
	} {
		if _, err := h.db.ExecContext(ctx, statement, at); err != nil {
			return err
		}
	}
	return h.dropNames(ctx)
}

// dropNames drops the names that nothing has any more.
func (h *History) dropNames(ctx context.Context) error {
	const statement = `DELETE FROM name WHERE id NOT IN (
		SELECT item FROM strip UNION SELECT holder FROM strip UNION SELECT before FROM strip
		UNION SELECT item FROM event UNION SELECT holder FROM event UNION SELECT origin FROM event
		UNION SELECT wanted_by FROM event WHERE wanted_by IS NOT NULL
		UNION SELECT holder FROM sample)`
	const spare = 2 // so many times as many names as items: then it is worth it
	most := spare*len(h.notes.strips) + 200
	if len(h.names.ids) < most {
		return nil
	}
	if _, err := h.db.ExecContext(ctx, statement); err != nil {
		return err
	}
	return h.loadNames(ctx)
}

// thinSamples leaves the last sample of each minute, and of each ten, where they are old.
func (h *History) thinSamples(ctx context.Context, now time.Time) error {
	for _, t := range []struct{ older, step time.Duration }{
		{allFor, time.Minute},
		{minutesFor, 10 * time.Minute},
	} {
		// What was old before is thinned out already.
		from := h.thinned.Add(-t.older - t.step)
		if h.thinned.IsZero() {
			from = time.Time{}
		}
		if err := h.thinBetween(ctx, from, now.Add(-t.older), t.step); err != nil {
			return err
		}
	}
	_, err := h.db.ExecContext(ctx, "DELETE FROM event WHERE kind = 'wanted' AND at < ?",
		milli(now.Add(-minutesFor)))
	return err
}

func (h *History) thinBetween(ctx context.Context, from, to time.Time, step time.Duration) error {
	const statement = `DELETE FROM sample WHERE at >= ?1 AND at < ?2 / ?3 * ?3 AND EXISTS (
		SELECT 1 FROM sample later WHERE later.holder = sample.holder
		AND later.at > sample.at AND later.at < (sample.at / ?3 + 1) * ?3)`
	_, err := h.db.ExecContext(ctx, statement, milli(from), milli(to), step.Milliseconds())
	return err
}

// fit drops the oldest of what is kept, by tenths of its time, until it isn't too large.
func (h *History) fit(ctx context.Context, now time.Time) error {
	const tenths = 10
	oldest, err := h.oldest(ctx)
	if err != nil {
		return err
	}
	for n := 1; n <= tenths; n++ {
		size, err := h.size(ctx)
		if err != nil || size <= h.most() {
			return err
		}
		if err := h.drop(ctx, cutoff(oldest, now, n, tenths)); err != nil {
			return err
		}
	}
	return nil
}

// cutoff is the end of the first n of so many parts of a time.
func cutoff(from, to time.Time, n, parts int) time.Time {
	return from.Add(to.Sub(from) / time.Duration(parts) * time.Duration(n))
}

// size is how many bytes are in use.
func (h *History) size(ctx context.Context) (bytes int64, err error) {
	const query = `SELECT (page_count - freelist_count) * page_size
		FROM pragma_page_count, pragma_freelist_count, pragma_page_size`
	err = h.db.QueryRowContext(ctx, query).Scan(&bytes)
	return bytes, err
}

// oldest is when the first of what is kept was seen.
func (h *History) oldest(ctx context.Context) (time.Time, error) {
	const query = `SELECT min(coalesce((SELECT min(at) FROM event), ?1),
		coalesce((SELECT min(ended) FROM strip WHERE ended > 0), ?1),
		coalesce((SELECT min(began) FROM span), ?1))`
	var ms int64
	err := h.db.QueryRowContext(ctx, query, milli(time.Now())).Scan(&ms)
	return ofMilli(ms), err
}
