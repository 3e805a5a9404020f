package fleet_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/fleet/fleettest"
)

func TestCensusKnowsWhoHasItemsAndWhoAsksForSome(t *testing.T) {
	t.Parallel()
	over := fleettest.HeldItem("w9", 5)
	over.Until = fleettest.Noon.Add(-time.Second)
	c := fleet.NewCensus()
	c.Add([]fleet.Item{fleettest.HeldItem("host-1:4711", 5), fleettest.WishedItem("host-1:4711", 5, "host-2:4711", time.Minute), fleettest.ReservedItem("w3", 5)}, fleettest.Noon)
	c.Add([]fleet.Item{over, fleettest.FreeItem(5), fleettest.UnusableItem(), fleettest.WishedItem("w3", 5, "late", -time.Second), fleettest.WishedItem("w3", 5, "", time.Minute)}, fleettest.Noon)
	assert.Len(t, c.Items["host-1:4711"], 2)
	assert.Len(t, c.Items["w3"], 3)
	for name, near := range map[string]string{
		"host-1:4711": "", "host-2:4711": "", "w3": "",
		"host-3:4711": "; is it host-1:4711? One", "host-2:47111": "; is it host-2:4711? One", "hos-2:471": "; is it host-2:4711? One",
		"host-2:4": " is seen. One", "w9": "; is it w3? One", "late": " is seen. One", "free": " is seen. One",
	} {
		err := c.Refuse(name)
		if near == "" {
			assert.NoError(t, err, name)
			continue
		}
		assert.ErrorContains(t, err, "nothing was asked for: no live worker "+name)
		assert.ErrorContains(t, err, near)
		assert.ErrorContains(t, err, "give -force")
	}
}

func TestDistanceCountsWhatMakesOneNameAnother(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"same", "same", 0}, {"same", "sane", 1}, {"same", "sme", 1},
		{"same", "sames", 1}, {"kitten", "sitting", 3}, {"ab", "ba", 2}, {"ünï", "uni", 2},
	} {
		assert.Equal(t, test.want, fleet.Distance(test.a, test.b), "%s, %s", test.a, test.b)
	}
}
