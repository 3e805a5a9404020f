// Package fleettest has items in each state, for tests.
package fleettest

import (
	"time"

	"github.com/intercom/lease"
	"github.com/intercom/lease/cmd/lease/internal/fleet"
)

// The items that a look may show, at the time noon.
var Noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func HeldItem(holder string, token int64) fleet.Item {
	end := Noon.Add(20 * time.Second)
	return fleet.Item{LeaseItem: lease.LeaseItem{
		LeaseID:      "a",
		LesseeID:     holder,
		FencingToken: token,
		Until:        end,
		LeaseUntil:   end.UnixNano(),
	}}
}

func WishedItem(holder string, token int64, by string, left time.Duration) fleet.Item {
	i := HeldItem(holder, token)
	i.WantedBy = by
	i.WantedUntil = Noon.Add(left).UnixNano()
	return i
}

func ReservedItem(holder string, token int64) fleet.Item {
	return WishedItem(holder, token, holder, time.Minute)
}

func FreeItem(token int64) fleet.Item {
	return fleet.Item{LeaseItem: lease.LeaseItem{LeaseID: "a", FencingToken: token}}
}

func UnusableItem() fleet.Item {
	return fleet.Item{LeaseItem: lease.LeaseItem{LeaseID: "a", Unusable: true}, Why: "odd"}
}
