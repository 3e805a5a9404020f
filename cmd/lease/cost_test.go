package main

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease/cmd/lease/internal/fleet"
)

func TestCostOfATable(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a", "b")
	f.start(append([]string{"hold", "-as", "w1", "-duration", "3s"}, work(t.TempDir()+"/ticks")...)...).stdout.await(t, "w1: ")
	r := f.run("cost", "-for", "4s", "-every", "500ms", "-json")
	require.Equal(t, 0, r.status, r.stderr)
	var b fleet.Bill
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &b))
	assert.Equal(t, 2, b.Items)
	assert.Equal(t, 1, b.Workers)
	assert.Positive(t, b.Writes)
	assert.Positive(t, b.Reads)
	assertOneLine(t, f.run("cost", "-for", "1s"), 2, "-for")
	assertOneLine(t, f.run("cost", "-write-price", "NaN"), 2, "-write-price is NaN")
}
