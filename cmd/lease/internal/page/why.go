package page

import (
	"fmt"
	"time"

	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/history"
	"github.com/intercom/lease/cmd/lease/internal/say"
)

// situation is what there is to know of an item, to say why it is as it is.
type situation struct {
	history.Current
	clock   time.Time // of the look, by the database's clock
	host    time.Time // the same by this host's
	workers int       // that hold something
}

// explain says in a sentence or two why nobody has an item, or who has it.
func (s situation) explain() string {
	switch s.State(s.host) {
	case fleet.Unusable:
		return "No worker can lease it: " + say.Line(s.Why) + "."
	case fleet.Held, fleet.Reserved:
		return "It " + s.Describe(s.host) + "." + s.wish()
	case fleet.NeverLeased:
		return "It is free, and nobody has ever leased it." + s.nobodyCame()
	}
	return s.whyFree() + s.nobodyCame()
}

func (s situation) wish() string {
	wanter := s.Wanter(s.host)
	if wanter == "" {
		return ""
	}
	return fmt.Sprintf(" %s asks for it.", wanter)
}

// whyFree says how its last tenure was over.
func (s situation) whyFree() string {
	since := say.Duration(s.clock.Sub(s.Strip.Began)) + " ago"
	by := "its holder"
	if s.Strip.Before != "" {
		by = say.Name(s.Strip.Before)
	}
	switch s.Strip.Why {
	case fleet.Ended:
		return fmt.Sprintf("It is free, as %s did not renew its lease, which ended %s: "+
			"it died, hung, or was cut off.", by, since)
	case history.Untaken:
		return fmt.Sprintf("It is free, as %s did not take it, for whom it was reserved "+
			"until %s.", by, since)
	case fleet.Released:
		return fmt.Sprintf("It is free, as %s released it %s.", by, since)
	case fleet.Freed:
		return fmt.Sprintf("It is free, as an operator freed it by force %s; "+
			"before, %s had it.", since, by)
	case fleet.Registered:
		return fmt.Sprintf("It is free since it was registered %s.", since)
	}
	if s.Strip.Before != "" {
		return fmt.Sprintf("It is free; before, %s had it, and how that was over nobody saw.", by)
	}
	return fmt.Sprintf("It is free since before it was first looked at, %s, "+
		"and its row doesn't say why.", since)
}

// nobodyCame says why it may be that nobody has taken it since.
func (s situation) nobodyCame() string {
	if s.workers == 0 {
		return " No worker holds anything now: none may be running."
	}
	const soon = 30 * time.Second
	isRecent := s.clock.Sub(s.Strip.Began) < soon
	switch {
	case isRecent && s.workers == 1:
		return " 1 worker is at work, and may take it soon."
	case isRecent:
		return fmt.Sprintf(" %d workers are at work: one may take it soon.", s.workers)
	case s.workers == 1:
		return " 1 worker is at work, and doesn't take it: it may be at its limit, " +
			"or look for other items."
	}
	return fmt.Sprintf(" %d workers are at work, and none takes it: they may be at their limits, "+
		"or look for other items.", s.workers)
}
