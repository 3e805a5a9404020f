package fleet_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/intercom/lease"
	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/fleet/fleettest"
)

// TestChangesAreEvents: what a row showed at two looks a second apart, and what must have happened between them.
func TestChangesAreEvents(t *testing.T) {
	t.Parallel()
	now := time.Now()
	second := now.Add(-time.Second) // the look before
	at := func(holder string, token int64, left time.Duration) fleet.Item {
		end := now.Add(left)
		return fleet.Item{LeaseItem: lease.LeaseItem{LeaseID: "a", LesseeID: holder, FencingToken: token, Until: end, LeaseUntil: end.UnixNano()}}
	}
	wishFor := func(i fleet.Item, by string, left time.Duration) fleet.Item {
		i.WantedBy = by
		i.WantedUntil = now.Add(left).UnixNano()
		return i
	}
	wish := func(i fleet.Item, by string) fleet.Item { return wishFor(i, by, time.Minute) }
	freed := func(token int64) fleet.Item {
		return fleet.Item{LeaseItem: lease.LeaseItem{LeaseID: "a", FencingToken: token}}
	}
	fresh := func(token int64) fleet.Item {
		i := freed(token)
		i.Unleased = true
		return i
	}
	forced := func(i fleet.Item, token int64) fleet.Item {
		i.Forced = &token
		return i
	}
	bad := fleettest.UnusableItem()
	const left, over = 20 * time.Second, -time.Millisecond
	for _, test := range []struct {
		name   string
		was    *fleet.Item
		is     fleet.Item
		events string
	}{
		{"nothing", ptr(at("w1", 5, left)), at("w1", 5, left), ""},
		{"nothing at a free one", ptr(freed(5)), freed(5), ""},
		{"registration", nil, fresh(5), "registered"},
		{"registration and lease", nil, at("w1", 5, left), "registered; obtained by w1 5"},
		{"a lease", ptr(fresh(5)), at("w1", 6, left), "obtained by w1 6"},
		{"a lease after a release", ptr(freed(5)), at("w1", 6, left), "obtained by w1 6"},
		{"a renewal", ptr(at("w1", 5, left)), at("w1", 5, left+time.Second), "renewed by w1 5"},
		{"a release", ptr(at("w1", 5, left)), freed(5), "released by w1 5"},
		{"a release by force", ptr(at("w1", 5, left)), forced(freed(5), 5), "freed by w1 5"},
		{"a release by force and a lease", ptr(at("w1", 5, left)), forced(at("w2", 6, left), 5), "freed by w1 5; obtained by w2 from w1 6"},
		{"a release by force between two looks", ptr(freed(5)), forced(freed(6), 6), "freed 6"},
		{"a release after one by force", ptr(forced(at("w2", 6, left), 5)), forced(freed(6), 5), "released by w2 6"},
		{"the end after a mark that came too late", ptr(at("w1", 5, over)), forced(at("w2", 6, left), 5), "ended by w1 5; obtained by w2 from w1 6"},
		{"the end", ptr(at("w1", 5, over)), at("w1", 5, over), "ended by w1 5"},
		{"long after the end", ptr(at("w1", 5, -time.Hour)), at("w1", 5, -time.Hour), ""},
		{"a takeover", ptr(at("w1", 5, over)), at("w2", 6, left), "ended by w1 5; obtained by w2 from w1 6"},
		{"a takeover after the end was seen", ptr(at("w1", 5, -time.Minute)), at("w2", 6, left), "obtained by w2 from w1 6"},
		{"a release and a lease", ptr(at("w1", 5, left)), at("w2", 6, left), "released by w1 5; obtained by w2 from w1 6"},
		{"a restart", ptr(at("w1", 5, left)), at("w1", 6, left), "obtained by w1 6"},
		{"a wish", ptr(at("w1", 5, left)), wish(at("w1", 5, left), "w2"), "wanted by w1 5 for w2"},
		{"an operator's wish", ptr(at("w1", 5, left)), wish(at("w1", 5, left), ""), "wanted by w1 5 for "},
		{"another's wish", ptr(wish(at("w1", 5, left), "w2")), wish(at("w1", 5, left), "w3"), "wanted by w1 5 for w3"},
		{"the same wish", ptr(wish(at("w1", 5, left), "w2")), wish(at("w1", 5, left), "w2"), ""},
		{"a handover", ptr(wish(at("w1", 5, left), "w2")), wish(at("w2", 5, left), "w2"), "handed_over by w2 from w1 5"},
		{"what follows a handover", ptr(wish(at("w2", 5, left), "w2")), at("w2", 6, left), "obtained by w2 6"},
		{"a handover and what follows", ptr(wish(at("w1", 5, left), "w2")), at("w2", 6, left),
			"handed_over by w2 from w1 5; obtained by w2 from w1 6"},
		{"a handover to who wished a moment ago, and what follows", ptr(wishFor(at("w1", 5, left), "w2", -30*time.Second)), at("w2", 6, left),
			"handed_over by w2 from w1 5; obtained by w2 from w1 6"},
		{"a release and a lease by who wished long ago", ptr(wishFor(at("w1", 5, left), "w2", -time.Hour)), at("w2", 6, left),
			"released by w1 5; obtained by w2 from w1 6"},
		{"a release and a later lease by who wished", ptr(wish(at("w1", 5, left), "w2")), at("w2", 7, left),
			"released by w1 5; obtained by w2 from w1 7"},
		{"a lease by who wished, after the end", ptr(wish(at("w1", 5, over), "w2")), at("w2", 6, left),
			"ended by w1 5; obtained by w2 from w1 6"},
		{"a reservation that ends", ptr(wish(at("w2", 5, over), "w2")), wish(at("w2", 5, over), "w2"), "ended by w2 5 for w2"},
		{"a release and then a handover", ptr(freed(5)), wish(at("w2", 6, left), "w2"), "handed_over by w2 6"},
		{"a tenure between two looks", ptr(freed(5)), freed(6), "released 6"},
		{"a short tenure between two looks", ptr(freed(5)), at("w1", 6, over), "obtained by w1 6; ended by w1 6"},
		{"retired and registered anew", ptr(at("w1", 5, left)), fresh(900), "retired; registered"},
		{"retired and registered anew by AddLeaseID", ptr(at("w1", 5, left)), freed(now.UnixMilli()), "retired; registered"},
		{"a worker of the original", ptr(at("w1", 5, over)), at("w2", 5, left), "ended by w1 5; obtained by w2 from w1 5"},
		{"a worker of the original that comes back", ptr(at("w1", 5, -time.Minute)), at("w1", 5, left), "obtained by w1 5"},
		{"a spoiled row", ptr(freed(5)), bad, "unusable"},
		{"a spoiled row still", &bad, bad, ""},
		{"a mended row", &bad, at("w1", 5, left), "obtained by w1 5"},
		{"a mended free row", &bad, freed(5), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var was *fleet.Sighting
			if test.was != nil {
				was = &fleet.Sighting{Item: *test.was, Live: test.was.Live(second), At: second}
			}
			var got []string
			for _, e := range fleet.Changes(was, test.is, now) {
				s := string(e.Event)
				if e.Holder != "" {
					s += " by " + e.Holder
				}
				if e.From != "" {
					s += " from " + e.From
				}
				if e.Token != nil {
					s += fmt.Sprint(" ", *e.Token)
				}
				if e.WantedBy != nil {
					s += " for " + *e.WantedBy
				}
				got = append(got, s)
				assert.NotPanics(t, func() { _ = e.Line(time.UTC) })
			}
			assert.Equal(t, test.events, strings.Join(got, "; "))
		})
	}
}

func ptr(i fleet.Item) *fleet.Item { return &i }
