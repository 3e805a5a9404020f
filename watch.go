package lease

import "time"

// watch says when a work is stuck, as a value: when it hasn't kept a promise to go on, or
// hasn't returned in time after its context was done. It is asked again and again; what it
// is asked late by doesn't count, as the process stood still meanwhile, or had no CPU.
type watch struct {
	patience time.Duration // for how long a work may go on that was told to end; 0: for ever
	within   time.Duration // in which it has promised to be heard of again; 0: in none
	heard    time.Time     // when it has
	told     time.Time     // when its context was done; zero: it isn't
	next     time.Time     // when to ask the watch; zero: never, unless more happens
}

// promised returns the watch after a promise to be heard of again within that time, or to
// none, if it is 0.
func (w watch) promised(now time.Time, within time.Duration) watch {
	w = w.at(now)
	w.within = within
	w.heard = now
	return w.planned(now)
}

// toldToEnd returns the watch after the work's context was done.
func (w watch) toldToEnd(now time.Time) watch {
	w = w.at(now)
	w.told = now
	return w.planned(now)
}

// asked returns the watch after it was asked, and the limit that the work has met by then:
// it is stuck, unless that is none.
func (w watch) asked(now time.Time) (watch, limit) {
	w = w.at(now)
	first := w.first()
	isMet := first.kind != noLimit && !now.Before(first.end())
	if !isMet {
		first = limit{kind: noLimit}
	}
	return w.planned(now), first
}

// at moves on what is counted from by what the watch is asked late.
func (w watch) at(now time.Time) watch {
	late := now.Sub(w.next)
	isLate := !w.next.IsZero() && late > 0
	if !isLate {
		return w
	}
	w.heard = w.heard.Add(late)
	if !w.told.IsZero() {
		w.told = w.told.Add(late)
	}
	return w
}

// planned says when to ask next: at the limit, and often enough before that to see pauses.
func (w watch) planned(now time.Time) watch {
	first := w.first()
	if first.kind == noLimit {
		w.next = time.Time{}
		return w
	}
	w.next = now.Add(first.interval())
	if end := first.end(); end.Before(w.next) {
		w.next = end
	}
	return w
}

// first returns the limit that the work meets first.
func (w watch) first() limit {
	promise := limit{kind: noLimit}
	if w.within > 0 {
		promise = limit{kind: aPromise, lasts: w.within, since: w.heard}
	}
	isLimited := w.patience > 0 && !w.told.IsZero()
	if !isLimited {
		return promise
	}
	patience := limit{kind: thePatience, lasts: w.patience, since: w.told}
	if promise.kind == noLimit || patience.end().Before(promise.end()) {
		return patience
	}
	return promise
}

// limit is one to how long a work may go on, unless it is heard of.
type limit struct {
	kind  limitKind
	lasts time.Duration
	since time.Time
}

type limitKind int

const (
	noLimit     limitKind = iota
	aPromise              // to be heard of again
	thePatience           // with a work whose context is done
)

func (l limit) end() time.Time { return l.since.Add(l.lasts) }

// interval is how often to ask a watch with that limit.
func (l limit) interval() time.Duration {
	const least = 10 * time.Millisecond
	const most = time.Second
	return min(max(l.lasts/10, least), most)
}

// String says what a work has missed that has met the limit.
func (l limit) String() string {
	if l.kind == aPromise {
		return "no progress within " + l.lasts.String() + ", as promised"
	}
	return "no return within " + l.lasts.String() + " after its context was done"
}
