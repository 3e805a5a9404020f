package page

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/history"
	"github.com/intercom/lease/cmd/lease/internal/say"
)

// stripWidth and stripHeight are those of an item's strip, in its own units.
const stripWidth, stripHeight = 600.0, 14.0

// wholeWidth is that of a strip's axis, in hundredths: its texts don't grow and shrink with it.
const wholeWidth = 100.0

// segment is a part of a strip.
type segment struct {
	bar
	Class   string // held, reserved or idle
	Paint   paint
	Texture bool // it has one
}

// segments lays out how an item was in a window. What is too narrow to be seen is left out, but for
// gaps.
func segments(strips []history.Strip, w window, colours func(string) paint) (all []segment) {
	const seen = 0.4
	gapsEnd := -1.0 // where the last gap that is drawn ends
	for _, s := range strips {
		end := w.To
		if !s.Ended.IsZero() {
			end = s.Ended
		}
		x := w.place(s.Began, stripWidth)
		wide := w.place(end, stripWidth) - x
		isGap := s.State != fleet.Held || s.Holder == nobody
		if wide < seen && !isGap {
			continue
		}
		if isGap && x+wide <= gapsEnd { // It lies in one that is drawn.
			continue
		}
		g := segment{Class: classOf(s)}
		g.bar = bar{X: x, Width: max(wide, 1), Height: stripHeight, Title: stripText(s, end.In(w.zone()))}
		if isGap {
			gapsEnd = x + g.Width
		}
		if g.Class != "idle" {
			g.Paint = colours(s.Holder)
			g.Texture = g.Paint.Texture > 0
		}
		all = append(all, g)
	}
	return all
}

func classOf(s history.Strip) string {
	switch {
	case s.State == fleet.Reserved:
		return "reserved"
	case s.State == fleet.Held && s.Holder != nobody:
		return "held"
	}
	return "idle"
}

// stripText says how an item was, from when to when, and why.
func stripText(s history.Strip, end time.Time) string {
	from := s.Began.In(end.Location()).Format(time.TimeOnly)
	to := end.Format(time.TimeOnly)
	text := fmt.Sprintf("%s to %s: %s", from, to, stateText(s))
	if why := reason(s); why != "" {
		text += "; " + why
	}
	return text
}

func stateText(s history.Strip) string {
	switch s.State {
	case fleet.Held:
		if s.Holder == nobody {
			return "kept from all, as an older process of its last holder's name may rely on it"
		}
		return "held by " + say.Name(s.Holder)
	case fleet.Reserved:
		return "reserved for " + say.Name(s.Holder)
	}
	return string(s.State)
}

// reason says why an item has come to be as it is; "" where nobody saw it.
func reason(s history.Strip) string {
	from := ""
	if s.Before != "" {
		from = " by " + say.Name(s.Before)
	}
	switch s.Why {
	case fleet.HandedOver:
		return "handed over" + from
	case fleet.Released:
		return "released" + from
	case fleet.Freed:
		return "freed by force" + strings.Replace(from, " by ", " from ", 1)
	case history.Untaken:
		return "reserved, and not taken" + from
	case fleet.Ended:
		return "not renewed in time" + from
	case fleet.Obtained:
		return "taken as it was free" + strings.Replace(from, " by ", "; before: ", 1)
	case fleet.Registered:
		return "registered"
	}
	if s.Noted {
		return ""
	}
	return "so since the first look, or a time without looks"
}

// itemOrders are what items may be sorted by; those that are equal are by name.
var itemOrders = map[string]func(a, b history.Current) int{
	"moved": func(a, b history.Current) int { return b.Strip.Began.Compare(a.Strip.Began) },
	"name":  func(a, b history.Current) int { return 0 },
	"holder": func(a, b history.Current) int {
		return cmp.Compare(a.Strip.Holder, b.Strip.Holder)
	},
	"gaps": func(a, b history.Current) int {
		return cmp.Or(cmp.Compare(isBusy(a), isBusy(b)), a.Strip.Began.Compare(b.Strip.Began))
	},
}

// sortTexts are the orders as people read them.
var sortTexts = map[string]string{
	"moved": "moved last", "gaps": "idle longest", "holder": "holder", "name": "name",
}

func isBusy(c history.Current) int {
	if classOf(c.Strip) == "held" {
		return 1
	}
	return 0
}

// choose returns the items that have a text in their name, state, holder or wisher, sorted.
func choose(
	items []history.Current, filter, order string, now time.Time,
) ([]history.Current, error) {
	var chosen []history.Current
	compare := itemOrders[order]
	if compare == nil {
		return nil, fmt.Errorf("sort is %q; want moved, name, holder or gaps", order)
	}
	filter = strings.ToLower(filter)
	for _, c := range items {
		if has(c, filter, now) {
			chosen = append(chosen, c)
		}
	}
	slices.SortStableFunc(chosen, compare)
	return chosen, nil
}

func has(c history.Current, filter string, now time.Time) bool {
	if filter == "" {
		return true
	}
	texts := []string{
		c.LeaseID, say.Name(c.LeaseID), string(c.State(now)), c.Strip.Holder, c.Strip.Before,
		c.Wanter(now),
	}
	return slices.ContainsFunc(texts, func(text string) bool {
		return strings.Contains(strings.ToLower(text), filter)
	})
}

// pageOf returns a page of so many rows, from 1 on, and how many pages there are.
func pageOf[T any](all []T, page, size int) (rows []T, pages int) {
	pages = max(1, (len(all)+size-1)/size)
	page = min(max(page, 1), pages)
	first := (page - 1) * size
	return all[first:min(first+size, len(all))], pages
}
