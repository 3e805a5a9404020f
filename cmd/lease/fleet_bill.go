package main

import (
	"fmt"
	"slices"
	"time"
)

// The prices of DynamoDB on demand, of us-east-1, in dollars for a million units.
const (
	writePrice = 0.625
	readPrice  = 0.125
	pricesOf   = "November 2024"
)

// measurement is what looks at a table have shown.
type measurement struct {
	seen    map[string]item // at the last look
	items   int
	workers map[string]bool
	writes  int
	periods []time.Duration // from renewal to renewal
	units   float64         // of the last look, consistent
	lasted  time.Duration
}

func newMeasurement() *measurement { return &measurement{seen: make(map[string]item)} }

// look counts what has changed since the look before.
func (m *measurement) look(items []item, now time.Time) {
	m.items = len(items)
	m.workers = make(map[string]bool)
	for _, i := range items {
		if i.hasHolder(now) {
			m.workers[i.LesseeID] = true
		}
		was, wasThere := m.seen[i.LeaseID]
		if wasThere {
			m.compare(was, i)
		}
		m.seen[i.LeaseID] = i
	}
}

func (m *measurement) compare(was, is item) {
	was.Until = is.Until // It moves with this host's clock.
	if is.LeaseItem == was.LeaseItem {
		return
	}
	m.writes++
	isOfTenure := is.FencingToken == was.FencingToken && was.LeaseUntil > 0
	if isOfTenure && is.LeaseUntil > was.LeaseUntil {
		m.periods = append(m.periods, time.Duration(is.LeaseUntil-was.LeaseUntil))
	}
}

// period is the usual time from renewal to renewal.
func (m *measurement) period() time.Duration {
	if len(m.periods) == 0 {
		return 0
	}
	slices.Sort(m.periods)
	return m.periods[len(m.periods)/2]
}

// bill is what a fleet costs.
type bill struct {
	Items         int     `json:"items"`
	Workers       int     `json:"workers"`
	WritesASecond float64 `json:"write_units_per_second"`
	ReadsASecond  float64 `json:"read_units_per_second"`
	Writes        float64 `json:"writes_dollars_per_month"`
	Reads         float64 `json:"reads_dollars_per_month"`
	WritePrice    float64 `json:"write_price_per_million"`
	ReadPrice     float64 `json:"read_price_per_million"`

	ArePricesGiven bool `json:"-"`
}

// bill reckons what a month of that costs. A row is taken to be of a write unit, 1 KB.
func (m *measurement) bill(writePrice, readPrice float64) bill {
	const month, largeFleet = 730 * 3600, 100
	b := bill{
		Items:         m.items,
		Workers:       len(m.workers),
		WritesASecond: float64(m.writes) / m.lasted.Seconds(),
		WritePrice:    writePrice,
		ReadPrice:     readPrice,
	}
	if period := min(m.period(), 30*time.Second); period > 0 {
		looks := float64(min(b.Workers, largeFleet)) / period.Seconds()
		b.ReadsASecond = looks * m.units / 2 // Workers read with eventual consistency.
	}
	b.Writes = b.WritesASecond * month * writePrice / 1e6
	b.Reads = b.ReadsASecond * month * readPrice / 1e6
	return b
}

func (b bill) String() string {
	prices := "on demand, in us-east-1, as of " + pricesOf
	if b.ArePricesGiven {
		prices = "as given"
	}
	return fmt.Sprintf("%s, %d workers\n"+
		"%.2f write units a second: $%.2f a month\n"+
		"%.2f read units a second: $%.2f a month\n"+
		"$%.2f a month together ($%g and $%g for a million units, %s)\n",
		items(b.Items), b.Workers, b.WritesASecond, b.Writes, b.ReadsASecond, b.Reads,
		b.Writes+b.Reads, b.WritePrice, b.ReadPrice, prices)
}
