package main

import "fmt"

// kind is what has happened to an item.
type kind string

const (
	obtained   kind = "obtained"
	renewed    kind = "renewed"
	released   kind = "released"
	ended      kind = "ended" // not renewed in time
	handedOver kind = "handed over"
	wanted     kind = "wanted"
	registered kind = "registered"
	retired    kind = "retired"
	spoiled    kind = "unusable" // its row was changed so that no worker can lease it
)

// event is something that has happened to an item. In JSON it is a line of "lease watch -json".
type event struct {
	Time  string `json:"time"` // when it was seen, by the database's clock
	Event kind   `json:"event"`
	Item  string `json:"item"`

	// Holder is who has the item now; of released, ended and wanted: who had, or has it.
	Holder string `json:"holder,omitempty"`

	From     string  `json:"from,omitempty"` // of obtained and handed over: who had it before
	Token    *int64  `json:"token,omitempty"`
	Ends     string  `json:"ends,omitempty"`      // see hasEnd: by the database's clock
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
		e.Ends = databaseTime(i.LeaseUntil)
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

func (e event) String() string {
	line := fmt.Sprintf("%s  %-11s  %s", e.Time, e.Event, show(e.Item)) + e.details()
	if e.Token != nil && e.Event != wanted {
		line += fmt.Sprintf(", token %d", *e.Token)
	}
	return line
}

// details says whom an event is about.
func (e event) details() string {
	switch e.Event {
	case obtained:
		return about("  by %s", e.Holder) + about(", after %s", e.From)
	case renewed, released:
		return about("  by %s", e.Holder)
	case ended:
		return about(e.whatEnded(), e.Holder)
	case handedOver:
		return about("  by %s", e.From) + about(" to %s", e.Holder)
	case wanted:
		return "  by " + e.wanter() + about(", from %s", e.Holder)
	case spoiled:
		return "  " + oneLine(e.Why)
	}
	return ""
}

// about names somebody, if there is somebody to name.
func about(format, name string) string {
	if name == "" {
		return ""
	}
	return fmt.Sprintf(format, show(name))
}

func (e event) whatEnded() string {
	if e.WantedBy != nil {
		return "  the reservation for %s, which has not taken it"
	}
	return "  the lease of %s"
}

func (e event) wanter() string {
	if *e.WantedBy == "" {
		return "whoever comes"
	}
	return show(*e.WantedBy)
}
