package leaseprom

import (
	"fmt"
	"time"

	"github.com/intercom/lease"
)

// watch judges a Locker by its Stats, as probe after probe sees them. It asks no clock, and
// relies on no events: those may be late, behind an observer of somebody else's.
type watch struct {
	stuckFor time.Duration
	lookAge  time.Duration // 0: any

	last       lease.LockerStats
	lastAt     time.Time // of the last probe
	isCutOff   bool      // requests have failed, and none has succeeded since
	isBlind    bool      // looks have failed, and none has succeeded since
	stuckSince time.Time // zero: nothing is stuck, or nobody can tell as it is cut off
}

// verdict is the answer to a probe.
type verdict struct {
	isGood bool
	reason string // one line
}

func good(format string, args ...any) verdict {
	return verdict{isGood: true, reason: fmt.Sprintf("ok: "+format, args...)}
}

func bad(format string, args ...any) verdict {
	return verdict{reason: fmt.Sprintf(format, args...)}
}

// newWatch begins with the Stats as they are.
func newWatch(o HandlerOptions, now time.Time, s lease.LockerStats) *watch {
	return &watch{stuckFor: o.StuckFor, lookAge: o.LookAge, last: s, lastAt: now}
}

// follow takes in what a probe finds.
func (w *watch) follow(now time.Time, s lease.LockerStats) {
	w.isCutOff = fails(w.isCutOff, answers(s)-answers(w.last), failures(s)-failures(w.last))
	w.isBlind = fails(w.isBlind, s.Looks-w.last.Looks, s.FailedLooks-w.last.FailedLooks)
	w.stuckSince = w.stuckFrom(now, s)
	w.last = s
	w.lastAt = now
}

// fails tells whether requests fail, from how many have succeeded and failed since it was last
// known. Where both have, they succeed as often as not.
func fails(failed bool, successes, failures int64) bool {
	if successes > 0 {
		return false
	}
	return failed || failures > 0
}

func answers(s lease.LockerStats) int64 {
	return s.Looks + s.Obtained + s.Renewed + s.Released + s.HandedOver
}

func failures(s lease.LockerStats) int64 {
	return s.FailedLooks + s.FailedRenewals + s.FailedWrites
}

// stuckFrom returns since when works are known to go on without a lease. The time of an outage
// doesn't count: a work may hang on that very outage, in all processes at once. Nor does time
// that no probe has seen.
func (w *watch) stuckFrom(now time.Time, s lease.LockerStats) time.Time {
	if s.Stuck == 0 {
		return time.Time{}
	}
	hasFailed := failures(s) > failures(w.last)
	isOutage := w.isCutOff && hasFailed
	isUnseen := now.Sub(w.lastAt) > w.stuckFor
	isNew := w.stuckSince.IsZero()
	if isOutage || isUnseen || isNew {
		return now
	}
	return w.stuckSince
}

// health says whether a restart would mend what is wrong.
func (w *watch) health() verdict {
	stuck := w.last.Stuck
	if stuck == 0 {
		return good("%d leases are held, %d works run", w.last.Held, w.last.Working)
	}
	works := fmt.Sprintf("%d of %d works go on without a lease", stuck, w.last.Working)
	if w.isCutOff {
		works += " while requests fail"
	}
	lasts := w.lastAt.Sub(w.stuckSince)
	if lasts < w.stuckFor {
		return good("%s, which counts from %v on", works, w.stuckFor)
	}
	return bad("%s, for %v: they hang, or don't heed their contexts", works, round(lasts))
}

// readiness says whether looks succeed.
func (w *watch) readiness(failure string) verdict {
	s := w.last
	if s.Looks == 0 {
		return bad("no look at the table has succeeded yet%s", failure)
	}
	age := "some time"
	if !s.LastLook.IsZero() {
		age = round(w.lastAt.Sub(s.LastLook)).String()
	}
	if w.isBlind {
		return bad("looks fail; the last good one at the table was %s ago%s", age, failure)
	}
	isOld := w.lookAge > 0 && w.lastAt.Sub(s.LastLook) > w.lookAge
	if isOld {
		return bad("the last look at the table was %s ago; want at most %v", age, w.lookAge)
	}
	return good("the last look at the table was %s ago", age)
}

func round(d time.Duration) time.Duration { return d.Round(time.Second) }
