package fleet_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/fleet/fleettest"
)

func TestItemDescribesItsState(t *testing.T) {
	t.Parallel()
	tokenless := fleettest.HeldItem("w1", 0)
	tokenless.Tokenless = true
	over := fleettest.HeldItem("w1", 5)
	over.Until = fleettest.Noon.Add(-1) // At its end it is still held.
	fresh := fleettest.FreeItem(5)
	fresh.Unleased = true
	for _, test := range []struct {
		is     fleet.Item
		state  fleet.State
		text   string
		wanter string
	}{
		{fleettest.HeldItem("w1", 5), fleet.Held, "is held by w1 with the token 5, for another 20s", ""},
		{tokenless, fleet.Held, "is held by w1 with no token, for another 20s", ""},
		{fleettest.WishedItem("w1", 5, "w2", time.Minute), fleet.Held, "is held by w1 with the token 5, for another 20s", "w2"},
		{fleettest.WishedItem("w1", 5, "", time.Minute), fleet.Held, "is held by w1 with the token 5, for another 20s", "(anyone)"},
		{fleettest.WishedItem("w1", 5, "w2", 0), fleet.Held, "is held by w1 with the token 5, for another 20s", ""},
		{fleettest.ReservedItem("w 2", 5), fleet.Reserved, "is reserved for w 2, for another 20s", ""},
		{fleettest.WishedItem("w2", 5, "w2", -1), fleet.Held, "is held by w2 with the token 5, for another 20s", ""},
		{fleettest.HeldItem("", 5), fleet.Held, "is kept from all for another 20s, as an older process of its last holder's name may rely on it", ""},
		{over, fleet.Free, "is free: the lease of w1 has ended", ""},
		{fleettest.FreeItem(5), fleet.Free, "is free", ""},
		{fresh, fleet.NeverLeased, "is free, and was never leased", ""},
		{fleettest.UnusableItem(), fleet.Unusable, "can't be leased: odd", ""},
	} {
		assert.Equal(t, test.state, test.is.State(fleettest.Noon), test.text)
		assert.Equal(t, test.text, test.is.Describe(fleettest.Noon))
		assert.Equal(t, test.wanter, test.is.Wanter(fleettest.Noon), test.text)
	}
}

func TestPatternsAreOfNamesThatAreNoPaths(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "a/b", true}, {"a*", "a/b/c", true}, {"a?b", "a/b", true}, {"a/*", "a/b", true}, {"a[/]b", "a/b", true},
		{"a", "a/b", false}, {"b*", "a/b", false}, {"a[^/]b", "a/b", false}, {"*\x01", "a/", false}, {"*", "", true},
	} {
		assert.Equal(t, test.want, fleet.Matches(test.pattern, test.name), test)
	}
	assert.True(t, fleet.IsPattern("a[b]*"))
	assert.False(t, fleet.IsPattern("a["))
}
