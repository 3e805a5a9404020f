package fleet

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/intercom/lease/cmd/lease/internal/say"
)

var Header = []string{"ITEM", "STATE", "HOLDER", "ENDS IN", "TOKEN", "WANTED BY"}

// Columns returns the cells of an item's line: one for each of the header.
func (i Item) Columns(now time.Time) []string {
	state := string(i.State(now))
	if i.Maybe {
		state = "free (never leased?)"
	}
	holder := "-"
	if i.HasHolder(now) {
		holder = say.Name(i.LesseeID)
	}
	endsIn := "-"
	if i.Live(now) {
		endsIn = say.Duration(i.Until.Sub(now))
	}
	token := "-"
	if i.Why == "" && !i.Tokenless {
		token = fmt.Sprint(i.FencingToken)
	}
	wanter := cmp.Or(i.Wanter(now), "-")
	return []string{say.Name(i.LeaseID), state, holder, endsIn, token, wanter}
}

// OneWord is a state in one word.
func OneWord(s State) string { return strings.ReplaceAll(string(s), " ", "_") }

// Note says why nobody works on an item, as far as its row tells.
func (i Item) Note(now time.Time) string {
	if i.Why != "" {
		return say.Line(i.Why)
	}
	isEnded := !i.Live(now) && i.LesseeID != ""
	if isEnded {
		return fmt.Sprintf("the lease of %s ended %s ago", say.Name(i.LesseeID), say.Duration(now.Sub(i.Until)))
	}
	return ""
}

// NarrowColumns are an item's columns without what takes much room. Nobody wants an item that is
// unusable: so there is room to say why it is.
func (i Item) NarrowColumns(now time.Time) []string {
	cells := i.Columns(now)
	if i.Maybe {
		cells[1] = "free?"
	}
	if i.Why != "" {
		cells[len(Header)-1] = say.Line(i.Why)
	}
	return cells
}
