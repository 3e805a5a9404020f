package lease

import (
	"errors"
	"slices"
	"time"
)

// Observe has an observer told of all that happens in this Locker from now on: each transition
// of a tenure, each look, and each write that fails. What [Locker.Stats] counts has its event,
// but for RacesLost and Namesakes. Of each tenure the events come in order; it is over with the
// first of EventGivenUp, EventLost, EventExpired and EventStuck.
//
// Observers are called one after the other, in a goroutine of their own, outside of all locks:
// one may call the Locker, and one that is slow delays nobody but the observers. So the events
// of a call may come a moment after it has returned. Who is more than 65,536 events behind
// misses the next ones, which is logged. A panic of an observer is not recovered. There may be
// several; each is told of everything, for as long as the Locker lives. A nil one is logged and
// ignored. A Locker that nobody observes spends nothing on it.
func (l *Locker) Observe(observer func(Event)) {
	if l == nil || observer == nil {
		logError("Observer Ignored", "error", errors.New("lease: the Locker or the observer is nil"))
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events.observers = append(slices.Clip(l.events.observers), observer)
}

// mostEvents is how many events are kept for observers that are behind.
const mostEvents = 1 << 16

// events are those of a Locker that its observers are to be told of. Its mutex guards them.
type events struct {
	observers []func(Event) // never changed, but replaced
	queue     []telling
	isTelling bool // a goroutine tells what is queued
	dropped   int  // how many events were not queued, as too many were; since that was logged
}

// telling is an event, and who is to be told of it yet.
type telling struct {
	Event
	observers []func(Event)
}

// note queues an event, if anybody observes. The mutex is held.
func (l *Locker) note(e Event) {
	q := &l.events
	if len(q.observers) == 0 {
		return
	}
	if len(q.queue) == mostEvents {
		if q.dropped == 0 {
			go logError("Observer Too Slow", "events", mostEvents) // The logger is the user's.
		}
		q.dropped++
		return
	}
	q.queue = append(q.queue, telling{Event: e, observers: q.observers})
	if !q.isTelling {
		q.isTelling = true
		go l.tellObservers()
	}
}

// tellObservers calls the observers until nothing is queued.
func (l *Locker) tellObservers() {
	isDone := false
	defer func() {
		if !isDone { // An observer has left its goroutine.
			go l.tellObservers()
		}
	}()
	for !isDone {
		event, observer, dropped := l.nextTelling()
		if dropped > 0 {
			logError("Events Dropped", "events", dropped)
		}
		isDone = observer == nil
		if !isDone {
			observer(event)
		}
	}
}

// nextTelling returns who is to be told of what, or nil if nobody is, and how many events were
// dropped.
func (l *Locker) nextTelling() (event Event, observer func(Event), dropped int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := &l.events
	if len(q.queue) == 0 {
		dropped = q.dropped
		q.dropped = 0
		q.queue = nil
		q.isTelling = false
		return Event{}, nil, dropped
	}
	next := &q.queue[0]
	event = next.Event
	observer = next.observers[0]
	next.observers = next.observers[1:]
	if len(next.observers) == 0 {
		*next = telling{}
		q.queue = q.queue[1:]
	}
	return event, observer, dropped
}

// noteTransition queues what a fact has made of a tenure. The mutex is held.
func (l *Locker) noteTransition(t *tenure, f fact, was, is term) {
	if len(l.events.observers) == 0 {
		return
	}
	e := Event{At: f.at, LeaseID: t.leaseID, LesseeID: t.lessee, FencingToken: is.token}
	for _, kind := range transitions(f, was, is) {
		l.note(e.as(kind, f, is))
	}
}

// noteObtained queues that a tenure was obtained. The mutex is held.
func (l *Locker) noteObtained(t *tenure) {
	l.note(Event{
		Kind:         EventObtained,
		At:           time.Now(),
		LeaseID:      t.leaseID,
		LesseeID:     t.lessee,
		FencingToken: t.firstToken,
		Request:      "lease",
		Took:         t.took,
	})
}

// noteRequest queues what came of a request. The mutex is held.
func (l *Locker) noteRequest(kind EventKind, e errand, err error) {
	l.note(Event{
		Kind:         kind,
		At:           time.Now(),
		LeaseID:      e.leaseID,
		LesseeID:     e.lessee,
		FencingToken: e.token,
		Err:          err,
		Request:      e.deed,
		Took:         time.Since(e.begun),
	})
}
