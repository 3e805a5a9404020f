package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

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
	Time     string  `json:"time"` // when it was seen, by the database's clock
	Event    kind    `json:"event"`
	Item     string  `json:"item"`
	Holder   string  `json:"holder,omitempty"` // who has the item now; of released, ended and wanted: who had, or has it
	From     string  `json:"from,omitempty"`   // of obtained and handed over: who had it before
	Token    *int64  `json:"token,omitempty"`
	Ends     string  `json:"ends,omitempty"`      // of obtained, renewed, handed over: by the database's clock
	WantedBy *string `json:"wanted_by,omitempty"` // "" is whoever comes
	Why      string  `json:"why,omitempty"`       // of unusable
}

func (e event) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %-11s  %s", e.Time, e.Event, show(e.Item))
	who := func(format, name string) {
		if name != "" {
			fmt.Fprintf(&b, format, show(name))
		}
	}
	switch e.Event {
	case obtained:
		who("  by %s", e.Holder)
		who(", after %s", e.From)
	case renewed, released:
		who("  by %s", e.Holder)
	case ended:
		if e.WantedBy != nil {
			who("  the reservation for %s, which has not taken it", e.Holder)
		} else {
			who("  the lease of %s", e.Holder)
		}
	case handedOver:
		who("  by %s", e.From)
		who(" to %s", e.Holder)
	case wanted:
		by := "whoever comes"
		if *e.WantedBy != "" {
			by = show(*e.WantedBy)
		}
		fmt.Fprintf(&b, "  by %s", by)
		who(", from %s", e.Holder)
	case spoiled:
		fmt.Fprintf(&b, "  %s", oneLine(e.Why))
	}
	if e.Token != nil && e.Event != wanted {
		fmt.Fprintf(&b, ", token %d", *e.Token)
	}
	return b.String()
}

// watcher knows how the items were at its last look.
type watcher struct {
	*client
	seen  map[string]*sighting
	count int // of looks
}

type sighting struct {
	item
	live bool      // somebody had it at that look
	at   time.Time // when that was, by the database's clock
	look int       // which look it was
}

// look reads the table, and returns what has happened since the look before, also if it fails after some pages. The first
// look only takes note: nobody knows when what it sees has happened.
func (w *watcher) look(ctx context.Context) (events []event, err error) {
	defer func() {
		now := databaseTime(w.now().UnixNano())
		for n := range events {
			events[n].Time = now
		}
	}()
	w.count++
	_, _, err = w.scan(ctx, true, func(page []item) error {
		for _, i := range page {
			now := time.Now()
			was := w.seen[i.LeaseID]
			if w.count > 1 {
				events = append(events, w.compare(was, i, now)...)
			}
			w.seen[i.LeaseID] = &sighting{i, i.live(now), w.now(), w.count}
		}
		return nil
	})
	if err != nil {
		return events, err
	}
	for id, was := range w.seen {
		if was.look < w.count {
			events = append(events, event{Event: retired, Item: id})
			delete(w.seen, id)
		}
	}
	return events, nil
}

// compare returns what must have happened to an item between two looks; was is nil if it wasn't there.
func (w *watcher) compare(was *sighting, i item, now time.Time) (events []event) {
	is := i.state(now)
	note := func(k kind, e event) {
		e.Event, e.Item = k, i.LeaseID
		if (k == obtained || k == renewed || k == handedOver) && i.LeaseUntil > 0 {
			e.Ends = databaseTime(i.LeaseUntil)
		}
		if i.tokenless {
			e.Token = nil
		}
		events = append(events, e)
	}
	obtain := func(from string) {
		note(obtained, event{Holder: i.LesseeID, From: from, Token: &i.FencingToken})
		if !i.live(now) {
			note(ended, event{Holder: i.LesseeID, Token: &i.FencingToken})
		}
	}
	if was == nil {
		note(registered, event{})
		was = &sighting{item: item{LeaseItem: i.LeaseItem}, live: i.live(now)}
		switch {
		case is == held && i.LesseeID != "":
			obtain("")
		case is == reserved:
			was.LesseeID = "" // so that the handover is seen
		}
	}
	if i.why != "" {
		if was.why == "" {
			note(spoiled, event{Why: i.why})
		}
		return events
	} else if was.why != "" {
		was = &sighting{item: i, live: i.live(now)}
		if was.live {
			obtain("")
		}
	}

	newTenure := i.FencingToken != was.FencingToken
	lost := ended // how the tenure before was over
	if was.Until.After(now) {
		lost = released
	}
	switch had := was.LesseeID; {
	case newTenure && (i.unleased || i.LesseeID == "" && i.LeaseUntil == 0 && i.FencingToken > was.at.UnixMilli()): // a time of registration
		note(retired, event{})
		note(registered, event{})
	case newTenure && i.LesseeID == "": // It came and went.
		note(released, event{Token: &i.FencingToken})
	case newTenure && is == reserved:
		note(handedOver, event{Holder: i.LesseeID, Token: &i.FencingToken})
	case newTenure || i.LesseeID != had && i.LesseeID != "" && is != reserved:
		switch {
		case !was.live || had == i.LesseeID || had == "":
		case lost == released && was.WantedBy == i.LesseeID && was.wishUntil().After(now.Add(-time.Minute)) && i.FencingToken == was.FencingToken+1:
			note(handedOver, event{Holder: i.LesseeID, From: had, Token: &was.FencingToken})
		default:
			note(lost, event{Holder: had, Token: &was.FencingToken})
		}
		from := had
		if had == i.LesseeID {
			from = ""
		}
		obtain(from)
	case i.LesseeID == "" && had != "":
		if was.live {
			note(released, event{Holder: had, Token: &i.FencingToken})
		}
	case is == reserved && had != i.LesseeID:
		note(handedOver, event{Holder: i.LesseeID, From: had, Token: &i.FencingToken})
	case was.live && !i.live(now) && was.WantedBy == had: // It was reserved, and nobody took it.
		note(ended, event{Holder: had, Token: &i.FencingToken, WantedBy: &was.WantedBy})
	case was.live && !i.live(now):
		note(ended, event{Holder: i.LesseeID, Token: &i.FencingToken})
	case !was.live && i.live(now) && had == i.LesseeID && had != "": // a worker of the original, which counts no tokens
		obtain("")
	case i.LeaseUntil > was.LeaseUntil && i.live(now):
		note(renewed, event{Holder: i.LesseeID, Token: &i.FencingToken})
	}
	if is == held && i.LesseeID != "" && i.wished(now) && (newTenure || !was.wished(now) || was.WantedBy != i.WantedBy) {
		note(wanted, event{Holder: i.LesseeID, WantedBy: &i.WantedBy, Token: &i.FencingToken})
	}
	return events
}

// items returns the items of the last look, by name.
func (w *watcher) items() []item {
	items := make([]item, 0, len(w.seen))
	for _, s := range w.seen {
		items = append(items, s.item)
	}
	slices.SortFunc(items, func(a, b item) int { return cmp.Compare(a.LeaseID, b.LeaseID) })
	return items
}
