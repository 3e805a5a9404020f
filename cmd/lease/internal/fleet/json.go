package fleet

import (
	"encoding/json"
	"time"

	"github.com/intercom/lease/cmd/lease/internal/say"
)

// JSONItem is a line of "lease list -json".
type JSONItem struct {
	Item        string   `json:"item"`
	State       State    `json:"state"`
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

func (i Item) JSON(now time.Time) JSONItem {
	j := JSONItem{
		Item:      i.LeaseID,
		State:     i.State(now),
		Why:       i.Why,
		Uncertain: i.Maybe,
	}
	if i.Users != "" {
		j.Attributes = json.RawMessage(i.Users)
	}
	if i.Why != "" {
		return j
	}
	if i.Weight != 1 {
		j.Weight = i.Weight
	}
	if i.Capacity != 1 {
		j.Capacity = i.Capacity
	}
	if !i.Tokenless {
		j.Token = &i.FencingToken
	}
	if i.Live(now) {
		seconds := float64(i.Until.Sub(now).Milliseconds()) / 1000
		j.Holder = i.LesseeID
		j.EndsIn = &seconds
		j.Ends = say.DatabaseTime(i.LeaseUntil)
	} else if i.LesseeID != "" && i.LeaseUntil > 0 {
		j.LastHolder = i.LesseeID
		j.Ended = say.DatabaseTime(i.LeaseUntil)
	}
	if i.wanted(now) {
		j.WantedBy = &i.WantedBy
		j.WantedUntil = say.DatabaseTime(i.WantedUntil)
	}
	return j
}
