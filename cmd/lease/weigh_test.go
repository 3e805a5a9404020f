package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease/cmd/lease/internal/exit"
	"github.com/intercom/lease/cmd/lease/internal/fleet"
)

func TestAddAndWeighSetWeights(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "plain")
	require.NoError(t, f.run("add", "heavy", "-weight", "20.5", "-set", "Server=imap").err())
	assert.Equal(t, 20.5, f.item("heavy").Weight)
	assert.Equal(t, result{stdout: "heavy: weighs 3 now; it was 20.5\n"}, f.run("weigh", "heavy", "3"))
	assert.Equal(t, 3., f.item("heavy").Weight)
	assert.Equal(t, str("imap"), f.row("heavy")["Server"])
	assert.Equal(t, result{stdout: "plain: weighs 0.001 now; it had no weight, which counts as 1\n"}, f.run("weigh", "plain", "1e-3"))
	assert.Equal(t, 0.001, f.item("plain").Weight)
	assertOneLine(t, f.run("weigh", "missing", "2"), 1, "no item missing")
	assert.Nil(t, f.row("missing"))
}

func TestWeightIsAFiniteNumberAboveZero(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]weight{
		"2.5": 2.5, "1e9": 1e9, "0": 0, "-1": 0, "NaN": 0, "inf": 0, "1e999": 0, "": 0, "heavy": 0,
	} {
		var w weight
		err := w.Set(text)
		assert.Equal(t, want, w, text)
		assert.Equal(t, want == 0, err != nil, text)
	}
	assert.Equal(t, fleet.Number(20), weight(20).value())
}

func TestWeighTellsAWeightBelowZeroFromAFlag(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	for _, text := range []string{"-2", "-2.5", "-1e3", "-inf"} {
		want := `the weight is "` + text + `"; want a number above 0`
		assertOneLine(t, f.run("weigh", "a", text), exit.Usage, want)
	}
	assertOneLine(t, f.run("weigh", "a", "-x"), exit.Usage, "unknown flag: -x;")
	assertOneLine(t, f.run("list", "-2"), exit.Usage, "unknown flag: -2;")
	assert.Equal(t, 1., f.item("a").Weight)
}
