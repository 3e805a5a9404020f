package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

var header = []string{"ITEM", "STATE", "HOLDER", "ENDS IN", "TOKEN", "WANTED BY"}

// columns returns the cells of an item's line: one for each of the header.
func (i item) columns(now time.Time) []string {
	state := string(i.state(now))
	if i.maybe {
		state = "free (never leased?)"
	}
	holder := "-"
	if i.hasHolder(now) {
		holder = show(i.LesseeID)
	}
	endsIn := "-"
	if i.live(now) {
		endsIn = short(i.Until.Sub(now))
	}
	token := "-"
	if i.why == "" && !i.tokenless {
		token = fmt.Sprint(i.FencingToken)
	}
	wanter := cmp.Or(i.wanter(now), "-")
	return []string{show(i.LeaseID), state, holder, endsIn, token, wanter}
}

// oneWord is a state in one word.
func oneWord(s state) string { return strings.ReplaceAll(string(s), " ", "_") }

// note says why nobody works on an item, as far as its row tells.
func (i item) note(now time.Time) string {
	if i.why != "" {
		return oneLine(i.why)
	}
	isEnded := !i.live(now) && i.LesseeID != ""
	if isEnded {
		return fmt.Sprintf("the lease of %s ended %s ago", show(i.LesseeID), short(now.Sub(i.Until)))
	}
	return ""
}

// narrowColumns are an item's columns without what takes much room. Nobody wants an item that is
// unusable: so there is room to say why it is.
func (i item) narrowColumns(now time.Time) []string {
	cells := i.columns(now)
	if i.maybe {
		cells[1] = "free?"
	}
	if i.why != "" {
		cells[len(header)-1] = oneLine(i.why)
	}
	return cells
}
