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
	first := w.Found()
	m.Look(first.Items, first.At, first.Units)
	err := Each(ctx, w.Start(ctx, every), func(l Look) (goesOn bool, err error) {
		if l.Err != nil {
			return false, l.Err
		}
		m.Look(l.Items, l.At, l.Units)
		return m.Lasted < lasts, nil
	})
	if err == nil && m.Lasted < lasts {
		err = context.Cause(ctx)
	}
	return m, err
}
