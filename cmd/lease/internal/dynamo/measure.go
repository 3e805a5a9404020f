package dynamo

import (
	"context"
	"time"

	"github.com/intercom/lease/cmd/lease/internal/fleet"
)

// Measure looks at the table again and again, for that time.
func (c *Client) Measure(ctx context.Context, lasts, every time.Duration) (*fleet.Measurement, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := NewWatcher(c)
	if _, err := w.Look(ctx); err != nil {
		return nil, err
	}
	m := fleet.NewMeasurement()
	began := time.Now()
	m.Look(w.items(), began)
	looks := w.Start(ctx, every)
	for m.Lasted < lasts {
		select {
		case l := <-looks:
			if l.Err != nil {
				return nil, l.Err
			}
			m.Look(l.Items, l.At)
			m.Units = l.Units
			m.Lasted = l.At.Sub(began)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return m, nil
}
