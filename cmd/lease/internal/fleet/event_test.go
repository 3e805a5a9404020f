package fleet_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/fleet/fleettest"
)

func TestStateOfAnItemIsALineAndAnObject(t *testing.T) {
	t.Parallel()
	never := fleettest.FreeItem(5)
	never.Unleased = true
	bare := fleettest.HeldItem("w1", 0)
	bare.Tokenless = true
	for _, test := range []struct {
		is         fleet.Item
		text, json string
	}{
		{fleettest.HeldItem("w1", 5), "held  by w1, token 5, until 2026-01-02 14:00:20",
			`"state":"held","holder":"w1","token":5,"ends":"2026-01-02T12:00:20.000Z"`},
		{fleettest.WishedItem("w1", 5, "", time.Minute), "held  by w1, token 5, until 2026-01-02 14:00:20, wanted by whoever comes",
			`"state":"held","holder":"w1","token":5,"ends":"2026-01-02T12:00:20.000Z","wanted_by":""`},
		{fleettest.ReservedItem("w2", 5), "reserved  by w2, token 5, until 2026-01-02 14:00:20",
			`"state":"reserved","holder":"w2","token":5,"ends":"2026-01-02T12:00:20.000Z"`},
		{bare, "held  by w1, until 2026-01-02 14:00:20", `"state":"held","holder":"w1","ends":"2026-01-02T12:00:20.000Z"`},
		{fleettest.FreeItem(5), "free  token 5", `"state":"free","token":5`},
		{never, "never_leased  token 5", `"state":"never_leased","token":5`},
		{fleettest.UnusableItem(), "unusable  odd", `"state":"unusable","why":"odd"`},
	} {
		e := test.is.StateEvent(fleettest.Noon)
		e.Time = fleet.Moment(fleettest.Noon.UnixNano())
		assert.Equal(t, "2026-01-02 14:00:00  state        a  "+test.text, e.Line(time.FixedZone("", 2*60*60)))
		object, err := json.Marshal(e)
		require.NoError(t, err)
		assert.Equal(t, `{"time":"2026-01-02T12:00:00.000Z","event":"state","item":"a",`+test.json+`}`, string(object))
	}
}
