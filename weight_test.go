package lease

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// weighingsOf returns what the renewals write of an item whose work says these weights, one
// before each of them; 0 where a renewal writes none. All renewals are applied.
func weighingsOf(row float64, said ...float64) (written []float64) {
	w := weighing{row: row}
	for _, weight := range said {
		w = w.heard(weight)
		toWrite, _ := w.toWrite()
		written = append(written, toWrite)
		if toWrite != 0 {
			w.row = toWrite
		}
		w = w.renewed(w.row)
	}
	return written
}

func TestWeighingIsWrittenWhenItsAverageDiffersByHalf(t *testing.T) {
	for name, c := range map[string]struct {
		row     float64
		said    []float64
		written []float64
	}{
		"a fifth of the way each time":  {1, []float64{30, 30, 30, 30}, []float64{6.8, 11.44, 0, 18.12}},
		"what the row says":             {7, []float64{7, 7}, []float64{0, 0}},
		"half as much again is near":    {1, []float64{3.5}, []float64{0}},
		"more than half as much again":  {1, []float64{3.6}, []float64{1.52}},
		"two thirds is near":            {3, []float64{0, 3}, []float64{0, 0}},
		"less than two thirds":          {3, []float64{0, 0}, []float64{0, 1.924}},
		"one peak":                      {1, []float64{3.4, 1, 1}, []float64{0, 0, 0}},
		"noise of a fifth":              {5, []float64{6, 4, 6, 6, 4, 4, 6, 6, 6}, make([]float64, 9)},
		"nothing to do is light":        {0.02, []float64{0, 0, 0, 0}, []float64{0, 0, 0, 0}},
		"and nothing less":              {0.02, make([]float64, 5), []float64{0, 0, 0, 0, 0.01328}},
		"a row beyond all that is said": {1e120, []float64{1}, []float64{8e8}},
		"a row below":                   {1e-120, []float64{0.01}, []float64{0.01}},
		"four digits":                   {1, []float64{1234567}, []float64{246900}},
	} {
		assert.Equal(t, c.written, weighingsOf(c.row, c.said...), name)
	}
}

func TestWeighingSaysTheSameUntilARenewalIsAnswered(t *testing.T) {
	w := weighing{row: 1}
	_, isMeasured := w.toWrite()
	assert.False(t, isMeasured, "nothing was said")
	assert.Equal(t, weighing{row: 4}, w.renewed(4), "nothing was said")

	w = w.renewed(4).heard(9)
	assert.Equal(t, 5.0, w.next(), "the average begins with the row's weight as it is by now")
	_, isMeasured = w.toWrite()
	assert.False(t, isMeasured)
	w = w.heard(29)
	for range 3 { // as a failed renewal is sent again
		weight, isMeasured := w.toWrite()
		assert.True(t, isMeasured)
		assert.Equal(t, 9.0, weight, "what was said last counts")
	}

	// The renewal was overtaken, so that it hasn't written its weight.
	w = w.renewed(4)
	weight, isMeasured := w.toWrite()
	assert.True(t, isMeasured)
	assert.Equal(t, 13.0, weight)

	// An operator has written what is near to that.
	_, isMeasured = w.renewed(12).toWrite()
	assert.False(t, isMeasured)
}

func TestWeighingStaysWithinItsBounds(t *testing.T) {
	for _, weight := range []float64{0, 1e-300, 0.01, 1, 1e9, math.MaxFloat64} {
		assert.True(t, isMeasure(weight), weight)
		w := weighing{row: 1}.heard(weight)
		for range 200 {
			w = w.renewed(1)
		}
		assert.InEpsilon(t, min(max(weight, 0.01), 1e9), w.average, 1e-9, weight)
	}
	for _, weight := range []float64{-1e-300, -1, math.NaN(), math.Inf(1), math.Inf(-1)} {
		assert.False(t, isMeasure(weight), weight)
	}
}

func TestFourDigitsHasNoMore(t *testing.T) {
	for n, want := range map[float64]float64{
		0.01: 0.01, 0.0123456: 0.01235, 0.99995: 1, 1: 1, 1.0 / 3: 0.3333, 20.8: 20.8, 999.96: 1000,
		1000: 1000, 12344.9: 12340, 99995: 100000, 1e9: 1e9, 123456789: 123500000,
	} {
		assert.Equal(t, want, fourDigits(n), n)
	}
	for range 10_000 {
		n := math.Pow(10, 11*rand.Float64()-2)
		rounded := fourDigits(n)
		written := *decimal(rounded).N
		require.InEpsilon(t, n, rounded, 0.5001e-3, n)
		digits := strings.Trim(strings.ReplaceAll(written, ".", ""), "0")
		require.LessOrEqual(t, len(digits), 4, "%s for %v", written, n)
		read, err := strconv.ParseFloat(written, 64)
		require.NoError(t, err)
		require.Equal(t, rounded, read)
	}
}
