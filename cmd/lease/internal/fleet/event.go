package fleet

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/intercom/lease/cmd/lease/internal/say"
)

// Kind is what has happened to an item: one word.
type Kind string

const (
	IsThere    Kind = "state" // nothing: so it was at the first look
	Obtained   Kind = "obtained"
	Renewed    Kind = "renewed"
	Released   Kind = "released"
	Freed      Kind = "freed" // by force: see release.go
	Ended      Kind = "ended" // not renewed in time
	HandedOver Kind = "handed_over"
	Wanted     Kind = "wanted"
	Registered Kind = "registered"
	Retired    Kind = "retired"
	spoiled    Kind = "unusable" // its row was changed so that no worker can lease it
)

// Moment is Unix nanoseconds of the database's clock.
type Moment int64

func (m Moment) MarshalText() ([]byte, error) { return []byte(say.DatabaseTime(int64(m))), nil }

func (m Moment) In(zone *time.Location) time.Time { return time.Unix(0, int64(m)).In(zone) }

// Event is something that has happened to an item. In JSON it is a line of "lease watch -json".
type Event struct {
	Time  Moment `json:"time"` // when it was seen
	Event Kind   `json:"event"`
	Item  string `json:"item"`
	State string `json:"state,omitempty"` // one word, of state only

	// Holder is who has the item now; of released, freed, ended and wanted: who had, or has it.
	Holder string `json:"holder,omitempty"`

	From     string  `json:"from,omitempty"` // of obtained and handed_over: who had it before
	Token    *int64  `json:"token,omitempty"`
	Ends     Moment  `json:"ends,omitempty"`      // see hasEnd
	WantedBy *string `json:"wanted_by,omitempty"` // "" is whoever comes
	Why      string  `json:"why,omitempty"`       // of unusable
}

// hasEnd tells whether somebody has the item until some time, after an event of this kind.
func (k Kind) hasEnd() bool { return k == Obtained || k == Renewed || k == HandedOver }

// IsShown tells whether an event is for people: renewals are only with -v.
func (e Event) IsShown(verbose bool) bool { return e.Event != Renewed || verbose }

// Event returns an event of this item. There is a token only where the row has one.
func (i Item) event(what Kind, e Event) Event {
	e.Event = what
	e.Item = i.LeaseID
	if what.hasEnd() && i.LeaseUntil > 0 {
		e.Ends = Moment(i.LeaseUntil)
	}
	if i.Tokenless {
		e.Token = nil
	}
	return e
}

// tenureEvent returns an event of the tenure that is, or was last. from is who had the item before.
func (i Item) tenureEvent(what Kind, from string) Event {
	return i.event(what, Event{Holder: i.LesseeID, From: from, Token: &i.FencingToken})
}

// StateEvent says how an item is.
func (i Item) StateEvent(now time.Time) Event {
	e := Event{State: OneWord(i.State(now)), Why: i.Why}
	if i.Why == "" {
		e.Token = &i.FencingToken
	}
	if i.Live(now) {
		e.Holder = i.LesseeID
		e.Ends = Moment(i.LeaseUntil)
	}
	if i.wanted(now) {
		e.WantedBy = &i.WantedBy
	}
	return i.event(IsThere, e)
}

// Line is an event as pipes have it.
func (e Event) Line(zone *time.Location) string {
	at := e.Time.In(zone).Format(time.DateTime)
	text := fmt.Sprintf("%s  %-11s  %s  %s", at, e.Event, say.Name(e.Item), e.Details(zone))
	return strings.TrimSpace(text)
}

// Details says whom an event is about, and how the item is at the first look.
func (e Event) Details(zone *time.Location) string {
	parts := []string{e.people()}
	if e.Token != nil && e.Event != Wanted {
		parts = append(parts, fmt.Sprint("token ", *e.Token))
	}
	if e.Event == IsThere {
		parts = append(parts, e.rest(zone)...)
	}
	parts = slices.DeleteFunc(parts, func(part string) bool { return part == "" })
	return strings.TrimSpace(e.State + "  " + strings.Join(parts, ", "))
}

// rest says until when somebody has an item, and who wants it.
func (e Event) rest(zone *time.Location) []string {
	var parts []string
	if e.Ends != 0 {
		parts = append(parts, "until "+e.Ends.In(zone).Format(time.DateTime))
	}
	if e.WantedBy != nil {
		parts = append(parts, "wanted by "+e.wanter())
	}
	return parts
}

func (e Event) people() string {
	switch e.Event {
	case IsThere:
		return named("by %s", e.Holder) + say.Line(e.Why)
	case Obtained:
		return named("by %s", e.Holder) + named(", after %s", e.From)
	case Renewed, Released:
		return named("by %s", e.Holder)
	case Freed:
		return "by force" + named(", from %s", e.Holder)
	case Ended:
		return named(e.whatEnded(), e.Holder)
	case HandedOver:
		return named("by %s", e.From) + named(" to %s", e.Holder)
	case Wanted:
		return "by " + e.wanter() + named(", from %s", e.Holder)
	case spoiled:
		return say.Line(e.Why)
	}
	return ""
}

// named names somebody, if there is somebody to name.
func named(format, name string) string {
	if name == "" {
		return ""
	}
	return fmt.Sprintf(format, say.Name(name))
}

func (e Event) whatEnded() string {
	if e.WantedBy != nil {
		return "the reservation for %s, which has not taken it"
	}
	return "the lease of %s"
}

func (e Event) wanter() string { return Wisher(*e.WantedBy) }

// Wisher names who wishes for an item: an operator's wish is for whoever comes.
func Wisher(name string) string {
	if name == "" {
		return "whoever comes"
	}
	return say.Name(name)
}
