package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStateOfAnItemIsALineAndAnObject(t *testing.T) {
	t.Parallel()
	never := freeItem(5)
	never.unleased = true
	bare := heldItem("w1", 0)
	bare.tokenless = true
	for _, test := range []struct {
		is         item
		text, json string
	}{
		{heldItem("w1", 5), "held  by w1, token 5, until 2026-01-02 14:00:20",
			`"state":"held","holder":"w1","token":5,"ends":"2026-01-02T12:00:20.000Z"`},
		{wishedItem("w1", 5, "", time.Minute), "held  by w1, token 5, until 2026-01-02 14:00:20, wanted by whoever comes",
			`"state":"held","holder":"w1","token":5,"ends":"2026-01-02T12:00:20.000Z","wanted_by":""`},
		{reservedItem("w2", 5), "reserved  by w2, token 5, until 2026-01-02 14:00:20",
			`"state":"reserved","holder":"w2","token":5,"ends":"2026-01-02T12:00:20.000Z"`},
		{bare, "held  by w1, until 2026-01-02 14:00:20", `"state":"held","holder":"w1","ends":"2026-01-02T12:00:20.000Z"`},
		{freeItem(5), "free  token 5", `"state":"free","token":5`},
		{never, "never_leased  token 5", `"state":"never_leased","token":5`},
		{unusableItem(), "unusable  odd", `"state":"unusable","why":"odd"`},
	} {
		e := test.is.stateEvent(noon)
		e.Time = moment(noon.UnixNano())
		assert.Equal(t, "2026-01-02 14:00:00  state        a  "+test.text, e.line(time.FixedZone("", 2*60*60)))
		object, err := json.Marshal(e)
		require.NoError(t, err)
		assert.Equal(t, `{"time":"2026-01-02T12:00:00.000Z","event":"state","item":"a",`+test.json+`}`, string(object))
	}
}
