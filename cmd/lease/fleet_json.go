package main

import (
	"encoding/json"
	"time"
)

// jsonItem is a line of "lease list -json".
type jsonItem struct {
	Item        string   `json:"item"`
	State       state    `json:"state"`
	Holder      string   `json:"holder,omitempty"`       // while held or reserved
	EndsIn      *float64 `json:"ends_in,omitempty"`      // seconds
	Ends        string   `json:"ends,omitempty"`         // by the database's clock
	Token       *int64   `json:"token,omitempty"`        // not of a row without one
	WantedBy    *string  `json:"wanted_by,omitempty"`    // "" for whoever comes
	WantedUntil string   `json:"wanted_until,omitempty"` // by the database's clock
	Weight      float64  `json:"weight,omitempty"`       // where it isn't 1
	Capacity    float64  `json:"capacity,omitempty"`     // likewise
	LastHolder  string   `json:"last_holder,omitempty"`  // whose lease has ended; none if released
	Ended       string   `json:"ended,omitempty"`        // when that was
	Uncertain   bool     `json:"maybe_never_leased,omitempty"`
	Why         string   `json:"why,omitempty"` // why it is unusable

	Attributes json.RawMessage `json:"attributes,omitempty"` // the item's own, with -wide
}

func (i item) json(now time.Time) jsonItem {
	j := jsonItem{
		Item:      i.LeaseID,
		State:     i.state(now),
		Why:       i.why,
		Uncertain: i.maybe,
	}
	if i.users != "" {
		j.Attributes = json.RawMessage(i.users)
	}
	if i.why != "" {
		return j
	}
	if i.Weight != 1 {
		j.Weight = i.Weight
	}
	if i.Capacity != 1 {
		j.Capacity = i.Capacity
	}
	if !i.tokenless {
		j.Token = &i.FencingToken
	}
	if i.live(now) {
		seconds := float64(i.Until.Sub(now).Milliseconds()) / 1000
		j.Holder = i.LesseeID
		j.EndsIn = &seconds
		j.Ends = databaseTime(i.LeaseUntil)
	} else if i.LesseeID != "" && i.LeaseUntil > 0 {
		j.LastHolder = i.LesseeID
		j.Ended = databaseTime(i.LeaseUntil)
	}
	if i.wanted(now) {
		j.WantedBy = &i.WantedBy
		j.WantedUntil = databaseTime(i.WantedUntil)
	}
	return j
}
