package lease

import (
	"maps"
	"time"
)

// outage says when to tell of a store's failures, as a value: when they begin, then at
// intervals, and when they are over.
type outage struct {
	isOn     bool      // the last answer was a failure
	isTold   bool      // its begin was told of, and its end is to be
	since    time.Time // when it began
	lastLine time.Time // when the last failure was told of
	failures int       // since it began
}

// saying is what is to be told.
type saying int

const (
	nothingNew saying = iota
	outageBegins
	outageGoesOn
	outageIsOver
)

// outageInterval is how long after a failure that was told of the next is.
const outageInterval = 10 * time.Second

// failed returns the outage after a failure. One that begins soon after the last one was
// told of is told of later: where some requests fail and others don't, that would be
// without end.
func (o outage) failed(now time.Time) (outage, saying) {
	isSoon := !o.lastLine.IsZero() && now.Sub(o.lastLine) < outageInterval
	isNew := !o.isOn && !isSoon
	if isNew {
		o.since = now
		o.failures = 0
	}
	o.isOn = true
	o.failures++
	if isSoon {
		return o, nothingNew
	}
	o.lastLine = now
	o.isTold = true
	if isNew {
		return o, outageBegins
	}
	return o, outageGoesOn
}

// hung returns the outage while a request isn't answered: that is a failure, if nothing
// was told of before. It is counted when it ends.
func (o outage) hung(now time.Time) (outage, saying) {
	if o.isOn {
		return o, nothingNew
	}
	o, saying := o.failed(now)
	o.failures--
	return o, saying
}

// answered returns the outage after a request that the store has answered.
func (o outage) answered() (outage, saying) {
	isOver := o.isOn && o.isTold
	o.isOn = false
	o.isTold = false
	if isOver {
		return o, outageIsOver
	}
	return o, nothingNew
}

// faults says when to tell of failures that are no outage: no access, say. It has when each
// kind was told of last.
type faults map[string]time.Time

// failed notes a failure, and tells whether to tell of it: each kind at intervals.
func (f faults) failed(now time.Time, kind string) bool {
	maps.DeleteFunc(f, func(_ string, told time.Time) bool {
		return now.Sub(told) >= outageInterval
	})
	if _, isTold := f[kind]; isTold {
		return false
	}
	f[kind] = now
	return true
}
