package main

import (
	"context"
	"time"
)

// measure looks at the table again and again, for that time.
func (c *client) measure(ctx context.Context, lasts, every time.Duration) (*measurement, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := newWatcher(c)
	if _, err := w.look(ctx); err != nil {
		return nil, err
	}
	m := newMeasurement()
	began := time.Now()
	m.look(w.items(), began)
	looks := w.start(ctx, every)
	for m.lasted < lasts {
		select {
		case l := <-looks:
			if l.err != nil {
				return nil, l.err
			}
			m.look(l.items, l.at)
			m.units = l.units
			m.lasted = l.at.Sub(began)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return m, nil
}
