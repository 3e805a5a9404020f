package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
)

func TestCostIsOfWhatWasWrittenAndOfTheWorkersLooks(t *testing.T) {
	t.Parallel()
	at := time.Now()
	leased := func(id, by string, token int64, renewed time.Duration) item {
		until := at.Add(renewed + 30*time.Second)
		return item{LeaseItem: lease.LeaseItem{LeaseID: id, LesseeID: by, FencingToken: token, Until: until, LeaseUntil: until.UnixNano()}}
	}
	m := &measurement{seen: make(map[string]item), units: 4, lasted: 20 * time.Second}
	for n := range 3 {
		moved := leased("moves", "w1", 1, 0)
		if n == 2 {
			moved = leased("moves", "w2", 2, 20*time.Second)
		}
		renewed := leased("a", "w1", 7, time.Duration(n)*10*time.Second)
		m.look([]item{renewed, moved, {LeaseItem: lease.LeaseItem{LeaseID: "free"}}}, at)
	}
	assert.Equal(t, 10*time.Second, m.period())
	b := m.bill(1, 0.5)
	assert.Equal(t, bill{Items: 3, Workers: 2, WritesASecond: 3. / 20, ReadsASecond: 2. / 10 * 2,
		Writes: 3. / 20 * 730 * 3600 / 1e6, Reads: 0.4 * 730 * 3600 * 0.5 / 1e6, WritePrice: 1, ReadPrice: 0.5}, b)
	assert.Contains(t, b.String(), "3 items, 2 workers\n0.15 write units a second: $0.39 a month\n")
	assert.Contains(t, b.String(), "as of "+pricesOf)
	assert.Zero(t, (&measurement{lasted: time.Second}).bill(1, 1).ReadsASecond, "nobody renews")
}

func TestCostOfATable(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a", "b")
	f.start(append([]string{"hold", "-as", "w1", "-duration", "3s"}, work(t.TempDir()+"/ticks")...)...).stdout.await(t, "w1: ")
	r := f.run("cost", "-for", "4s", "-every", "500ms", "-json")
	require.Equal(t, 0, r.status, r.stderr)
	var b bill
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &b))
	assert.Equal(t, 2, b.Items)
	assert.Equal(t, 1, b.Workers)
	assert.Positive(t, b.Writes)
	assert.Positive(t, b.Reads)
	assertOneLine(t, f.run("cost", "-for", "1s"), 2, "-for")
}
