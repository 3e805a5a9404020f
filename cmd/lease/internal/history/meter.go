package history

import (
	"time"

	"github.com/intercom/lease/cmd/lease/internal/dynamo"
	"github.com/intercom/lease/cmd/lease/internal/fleet"
)

// meter reckons what the fleet costs, anew for each minute.
type meter struct {
	now  *fleet.Measurement
	last fleet.Bill // of the last whole minute
	of   time.Duration
}

// read counts what a look shows, and returns the bill of a minute that is whole with it.
func (m *meter) read(l dynamo.Look, prices fleet.Prices) *fleet.Bill {
	if m.now == nil {
		m.begin(l)
		return nil
	}
	m.now.Look(l.Items, l.At, l.Units)
	if m.now.Lasted < time.Minute {
		return nil
	}
	m.last = m.now.Bill(prices)
	m.of = m.now.Lasted
	m.begin(l)
	return &m.last
}

func (m *meter) begin(l dynamo.Look) {
	m.now = fleet.NewMeasurement()
	m.now.Look(l.Items, l.At, l.Units)
}

// bill is that of the last whole minute, or what there is of the first one.
func (m *meter) bill(prices fleet.Prices) (fleet.Bill, time.Duration) {
	isFirst := m.of == 0 && m.now.Lasted > 0
	if isFirst {
		return m.now.Bill(prices), m.now.Lasted
	}
	return m.last, m.of
}

// span is a time in which there were looks.
type span struct {
	began, ended time.Time
	looks        int
	units        float64
}

// extend adds a look. One that comes late begins another span: what was between nobody knows.
func (s *span) extend(l dynamo.Look, every time.Duration) {
	isLate := s.began.IsZero() || l.Clock.Sub(s.ended) > mostBetween(every)
	if isLate {
		*s = span{began: l.Clock}
	}
	s.ended = l.Clock
	s.looks++
	s.units += l.Units
}

// mostBetween is how long after a look the next one still tells what was between.
func mostBetween(every time.Duration) time.Duration { return max(3*every, 10*time.Second) }
