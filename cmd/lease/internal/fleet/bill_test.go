package fleet_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/intercom/lease"
	"github.com/intercom/lease/cmd/lease/internal/fleet"
)

func TestCostIsOfWhatWasWrittenAndOfTheWorkersLooks(t *testing.T) {
	t.Parallel()
	at := time.Now()
	leased := func(id, by string, token int64, renewed time.Duration) fleet.Item {
		until := at.Add(renewed + 30*time.Second)
		return fleet.Item{LeaseItem: lease.LeaseItem{LeaseID: id, LesseeID: by, FencingToken: token, Until: until, LeaseUntil: until.UnixNano()}}
	}
	m := fleet.NewMeasurement()
	for n := range 3 {
		moved := leased("moves", "w1", 1, 0)
		if n == 2 {
			moved = leased("moves", "w2", 2, 20*time.Second)
		}
		after := time.Duration(n) * 10 * time.Second
		renewed := leased("a", "w1", 7, after)
		m.Look([]fleet.Item{renewed, moved, {LeaseItem: lease.LeaseItem{LeaseID: "free"}}}, at.Add(after), 4)
	}
	assert.Equal(t, 10*time.Second, m.Period())
	b := m.Bill(fleet.Prices{Write: 1, Read: 0.5})
	assert.Equal(t, fleet.Bill{Items: 3, Workers: 2, WritesASecond: 3. / 20, ReadsASecond: 2. / 10 * 2,
		Writes: 3. / 20 * 730 * 3600 / 1e6, Reads: 0.4 * 730 * 3600 * 0.5 / 1e6, Prices: fleet.Prices{Write: 1, Read: 0.5}}, b)
	sent, err := json.Marshal(b)
	assert.NoError(t, err)
	assert.Contains(t, string(sent), `,"write_price_per_million":1,"read_price_per_million":0.5}`)
	assert.Contains(t, b.String(), "3 items, 2 workers\n0.15 write units a second: $0.39 a month\n")
	assert.Contains(t, b.String(), "as of "+fleet.PricesOf)
	assert.Contains(t, m.Bill(fleet.Prices{Write: 1, Read: 0.5, AreGiven: true}).String(), "($1 and $0.5 for a million units, as given)")
	assert.Zero(t, (&fleet.Measurement{Lasted: time.Second}).Bill(fleet.Prices{}).ReadsASecond, "nobody renews")
}

func TestPricesAreNumbersOfDollars(t *testing.T) {
	t.Parallel()
	assert.True(t, fleet.Prices{Write: 0.7}.AreNumbers())
	for _, bad := range []float64{-1, math.NaN(), math.Inf(1)} {
		assert.False(t, fleet.Prices{Write: bad}.AreNumbers())
		assert.False(t, fleet.Prices{Read: bad}.AreNumbers())
	}
}
