package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// kind is what has happened to an item: one word.
type kind string

const (
	isThere    kind = "state" // nothing: so it was at the first look
	obtained   kind = "obtained"
	renewed    kind = "renewed"
	released   kind = "released"
	freed      kind = "freed" // by force: see release.go
	ended      kind = "ended" // not renewed in time
	handedOver kind = "handed_over"
	wanted     kind = "wanted"
	registered kind = "registered"
	retired    kind = "retired"
	spoiled    kind = "unusable" // its row was changed so that no worker can lease it
)

// moment is Unix nanoseconds of the database's clock.
type moment int64

func (m moment) MarshalText() ([]byte, error) { return []byte(databaseTime(int64(m))), nil }

func (m moment) in(zone *time.Location) time.Time { return time.Unix(0, int64(m)).In(zone) }

// event is something that has happened to an item. In JSON it is a line of "lease watch -json".
type event struct {
	Time  moment `json:"time"` // when it was seen
	Event kind   `json:"event"`
	Item  string `json:"item"`
	State string `json:"state,omitempty"` // one word, of state only

	// Holder is who has the item now; of released, freed, ended and wanted: who had, or has it.
	Holder string `json:"holder,omitempty"`

	From     string  `json:"from,omitempty"` // of obtained and handed_over: who had it before
	Token    *int64  `json:"token,omitempty"`
	Ends     moment  `json:"ends,omitempty"`      // see hasEnd
	WantedBy *string `json:"wanted_by,omitempty"` // "" is whoever comes
	Why      string  `json:"why,omitempty"`       // of unusable
}

// hasEnd tells whether somebody has the item until some time, after an event of this kind.
func (k kind) hasEnd() bool { return k == obtained || k == renewed || k == handedOver }

// isShown tells whether an event is for people: renewals are only with -v.
func (e event) isShown(verbose bool) bool { return e.Event != renewed || verbose }

// event returns an event of this item. There is a token only where the row has one.
func (i item) event(what kind, e event) event {
	e.Event = what
	e.Item = i.LeaseID
	if what.hasEnd() && i.LeaseUntil > 0 {
		e.Ends = moment(i.LeaseUntil)
	}
	if i.tokenless {
		e.Token = nil
	}
	return e
}

// tenureEvent returns an event of the tenure that is, or was last. from is who had the item before.
func (i item) tenureEvent(what kind, from string) event {
	return i.event(what, event{Holder: i.LesseeID, From: from, Token: &i.FencingToken})
}

// stateEvent says how an item is.
func (i item) stateEvent(now time.Time) event {
	e := event{State: oneWord(i.state(now)), Why: i.why}
	if i.why == "" {
		e.Token = &i.FencingToken
	}
	if i.live(now) {
		e.Holder = i.LesseeID
		e.Ends = moment(i.LeaseUntil)
	}
	if i.wanted(now) {
		e.WantedBy = &i.WantedBy
	}
	return i.event(isThere, e)
}

// line is an event as pipes have it.
func (e event) line(zone *time.Location) string {
	at := e.Time.in(zone).Format(time.DateTime)
	text := fmt.Sprintf("%s  %-11s  %s  %s", at, e.Event, show(e.Item), e.details(zone))
	return strings.TrimSpace(text)
}

// details says whom an event is about, and how the item is at the first look.
func (e event) details(zone *time.Location) string {
	parts := []string{e.people()}
	if e.Token != nil && e.Event != wanted {
		parts = append(parts, fmt.Sprint("token ", *e.Token))
	}
	if e.Event == isThere {
		parts = append(parts, e.rest(zone)...)
	}
	parts = slices.DeleteFunc(parts, func(part string) bool { return part == "" })
	return strings.TrimSpace(e.State + "  " + strings.Join(parts, ", "))
}

// rest says until when somebody has an item, and who wants it.
func (e event) rest(zone *time.Location) []string {
	var parts []string
	if e.Ends != 0 {
		parts = append(parts, "until "+e.Ends.in(zone).Format(time.DateTime))
	}
	if e.WantedBy != nil {
		parts = append(parts, "wanted by "+e.wanter())
	}
	return parts
}

func (e event) people() string {
	switch e.Event {
	case isThere:
		return named("by %s", e.Holder) + oneLine(e.Why)
	case obtained:
		return named("by %s", e.Holder) + named(", after %s", e.From)
	case renewed, released:
		return named("by %s", e.Holder)
	case freed:
		return "by force" + named(", from %s", e.Holder)
	case ended:
		return named(e.whatEnded(), e.Holder)
	case handedOver:
		return named("by %s", e.From) + named(" to %s", e.Holder)
	case wanted:
		return "by " + e.wanter() + named(", from %s", e.Holder)
	case spoiled:
		return oneLine(e.Why)
	}
	return ""
}

// named names somebody, if there is somebody to name.
func named(format, name string) string {
	if name == "" {
		return ""
	}
	return fmt.Sprintf(format, show(name))
}

func (e event) whatEnded() string {
	if e.WantedBy != nil {
		return "the reservation for %s, which has not taken it"
	}
	return "the lease of %s"
}

func (e event) wanter() string {
	if *e.WantedBy == "" {
		return "whoever comes"
	}
	return show(*e.WantedBy)
}
