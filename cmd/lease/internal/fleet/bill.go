package fleet

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/intercom/lease/cmd/lease/internal/say"
)

// The prices of DynamoDB on demand, of us-east-1, in dollars for a million units.
const (
	WritePrice = 0.625
	ReadPrice  = 0.125
	PricesOf   = "November 2024"
)

// Prices are dollars for a million units.
type Prices struct {
	Write    float64 `json:"write_price_per_million"`
	Read     float64 `json:"read_price_per_million"`
	AreGiven bool    `json:"-"` // by whoever asks, and not those above
}

// AreNumbers tells whether one can reckon with them.
func (p Prices) AreNumbers() bool {
	isPrice := func(f float64) bool { return f >= 0 && !math.IsInf(f, 1) }
	return isPrice(p.Write) && isPrice(p.Read)
}

// Origin says where they are from.
func (p Prices) Origin() string {
	if p.AreGiven {
		return "as given"
	}
	return "on demand, in us-east-1, as of " + PricesOf
}

// Measurement is what looks at a table have shown.
type Measurement struct {
	seen    map[string]Item // at the last look
	items   int
	workers map[string]bool
	writes  int
	periods []time.Duration // from renewal to renewal
	units   float64         // of the last look, consistent
	began   time.Time       // with the first look
	Lasted  time.Duration   // till the last one
}

func NewMeasurement() *Measurement { return &Measurement{seen: make(map[string]Item)} }

// Look counts what has changed since the look before.
func (m *Measurement) Look(items []Item, now time.Time, units float64) {
	if m.began.IsZero() {
		m.began = now
	}
	m.Lasted = now.Sub(m.began)
	m.units = units
	m.items = len(items)
	m.workers = make(map[string]bool)
	for _, i := range items {
		if i.HasHolder(now) {
			m.workers[i.LesseeID] = true
		}
		was, wasThere := m.seen[i.LeaseID]
		if wasThere {
			m.compare(was, i)
		}
		m.seen[i.LeaseID] = i
	}
}

func (m *Measurement) compare(was, is Item) {
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

// Period is the usual time from renewal to renewal.
func (m *Measurement) Period() time.Duration {
	if len(m.periods) == 0 {
		return 0
	}
	slices.Sort(m.periods)
	return m.periods[len(m.periods)/2]
}

// Bill is what a fleet costs.
type Bill struct {
	Items         int     `json:"items"`
	Workers       int     `json:"workers"`
	WritesASecond float64 `json:"write_units_per_second"`
	ReadsASecond  float64 `json:"read_units_per_second"`
	Writes        float64 `json:"writes_dollars_per_month"`
	Reads         float64 `json:"reads_dollars_per_month"`
	Prices
}

// Bill reckons what a month of that costs. A row is taken to be of a write unit, 1 KB.
func (m *Measurement) Bill(prices Prices) Bill {
	const largeFleet = 100
	b := Bill{
		Items:         m.items,
		Workers:       len(m.workers),
		WritesASecond: float64(m.writes) / m.Lasted.Seconds(),
		Prices:        prices,
	}
	if period := min(m.Period(), 30*time.Second); period > 0 {
		looks := float64(min(b.Workers, largeFleet)) / period.Seconds()
		b.ReadsASecond = looks * m.units / 2 // Workers read with eventual consistency.
	}
	b.Writes = DollarsAMonth(b.WritesASecond, prices.Write)
	b.Reads = DollarsAMonth(b.ReadsASecond, prices.Read)
	return b
}

// DollarsAMonth is what units a second come to, at a price for a million.
func DollarsAMonth(unitsASecond, price float64) float64 {
	const month = 730 * 3600
	return unitsASecond * month * price / 1e6
}

func (b Bill) String() string {
	return fmt.Sprintf("%s, %d workers\n"+
		"%.2f write units a second: $%.2f a month\n"+
		"%.2f read units a second: $%.2f a month\n"+
		"$%.2f a month together ($%g and $%g for a million units, %s)\n",
		say.Items(b.Items), b.Workers, b.WritesASecond, b.Writes, b.ReadsASecond, b.Reads,
		b.Writes+b.Reads, b.Write, b.Read, b.Origin())
}
