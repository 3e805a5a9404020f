package lease

import "time"

// Event is something that has happened in a [Locker], as its observers are told.
type Event struct {
	Kind EventKind
	// At is when it happened, or was found out.
	At time.Time
	// LeaseID is the item; "" of a look at all items.
	LeaseID string
	// LesseeID is who has, asked or looked.
	LesseeID string
	// FencingToken is the tenure's; 0 of what is no tenure's.
	FencingToken int64
	// WantedBy is who asks for the item, or was given it: of EventWanted and EventHandedOver.
	// It is "" if that is an operator, who asks to free it for whoever comes.
	WantedBy string
	// Err is why: the store's error, of what has failed; [LeaseLostError], [LeaseExpiredError]
	// or [LeaseStuckError], of a tenure that ended so; or [LeaseIDUnknownError], of a look at
	// an item that isn't there; else nil.
	Err error
	// Request is what was asked of the store, in words: "lease", "renewal", "release",
	// "handover", "save", "wish", "scan" or "read", say. It is "" of what comes of no request
	// of its own: EventWanted, EventGivenUp, EventLost, EventExpired and EventStuck.
	Request string
	// Took is how long that request took; 0 if there is none.
	Took time.Duration
}

// EventKind says what has happened.
type EventKind int

const (
	// EventObtained begins a tenure. (That of a bare Lease which a Locker is given, to
	// heartbeat it, was obtained elsewhere: it has the other events only.)
	EventObtained EventKind = iota + 1
	// EventRenewed is a renewal that was granted.
	EventRenewed
	// EventRenewalFailed is one that failed, but showed no loss. It is tried again if there
	// is time.
	EventRenewalFailed
	// EventWanted says that somebody asks for the item: the work of a Hold is told to end.
	EventWanted
	// EventGivenUp ends a tenure: its holder is about to release the item, or has used the
	// store's own methods. EventReleased or EventHandedOver follows when the row is free, or
	// EventWriteFailed, or EventLost if the item turns out to be another's.
	EventGivenUp
	// EventReleased says that the row was freed, of a tenure that is over.
	EventReleased
	// EventHandedOver says that it was reserved for who asked for it, or freed if that is an
	// operator.
	EventHandedOver
	// EventLost ends a tenure: the item is another's or was retired, or this Locker has leased
	// it anew.
	EventLost
	// EventExpired ends a tenure: its time was up.
	EventExpired
	// EventStuck ends a tenure whose work is stuck, see [LeaseStuckError], if it wasn't over.
	EventStuck
	// EventLooked is a look at the items, page by page, or at one item.
	EventLooked
	// EventLookFailed is one that failed.
	EventLookFailed
	// EventWriteFailed is a write that failed, but for renewals and for what a row refuses.
	EventWriteFailed
)

var eventKinds = [...]string{
	EventObtained:      "obtained",
	EventRenewed:       "renewed",
	EventRenewalFailed: "renewal failed",
	EventWanted:        "wanted",
	EventGivenUp:       "given up",
	EventReleased:      "released",
	EventHandedOver:    "handed over",
	EventLost:          "lost",
	EventExpired:       "expired",
	EventStuck:         "stuck",
	EventLooked:        "looked",
	EventLookFailed:    "look failed",
	EventWriteFailed:   "write failed",
}

// String returns the kind in a word or two: "renewal failed", say.
func (k EventKind) String() string {
	isKnown := k > 0 && int(k) < len(eventKinds)
	if isKnown {
		return eventKinds[k]
	}
	return "unknown"
}

// transitions are what observers are told of a fact that has made of a tenure what it is.
func transitions(f fact, was, is term) (kinds []EventKind) {
	if f.kind == renewed && is.live() {
		kinds = append(kinds, EventRenewed)
	}
	if was.phase == held && is.phase == wanted {
		kinds = append(kinds, EventWanted)
	}
	ends := was.live() && !is.live()
	if ends {
		kinds = append(kinds, is.endKind())
	}
	isStuckLate := f.kind == workStuck && !is.stuck
	if isStuckLate {
		kinds = append(kinds, EventStuck)
	}
	if was.fate != is.fate {
		kinds = is.appendFate(kinds)
	}
	return kinds
}

// endKind is what observers are told of a tenure that has ended so.
func (t term) endKind() EventKind {
	if t.stuck {
		return EventStuck
	}
	switch t.phase {
	case lost:
		return EventLost
	case expired:
		return EventExpired
	}
	return EventGivenUp
}

// appendFate appends what observers are told of the row that was released so.
func (t term) appendFate(kinds []EventKind) []EventKind {
	switch t.fate {
	case freed:
		return append(kinds, EventReleased)
	case handedOver:
		return append(kinds, EventHandedOver)
	}
	if t.phase == released { // else they were told already that its time was up
		return append(kinds, EventLost)
	}
	return kinds
}

// as returns the event as one of that kind, in a tenure.
func (e Event) as(kind EventKind, f fact, is term) Event {
	e.Kind = kind
	switch kind {
	case EventRenewed:
		e.Request = "renewal"
		e.Took = f.took
	case EventReleased:
		e.Request = "release"
		e.Took = f.took
	case EventHandedOver:
		e.Request = "handover"
		e.Took = f.took
		e.WantedBy = is.wish.by
	case EventWanted:
		e.WantedBy = is.wish.by
	case EventLost:
		e.Err = LeaseLostError
	case EventExpired:
		e.Err = LeaseExpiredError
	case EventStuck:
		e.Err = LeaseStuckError
	}
	return e
}
