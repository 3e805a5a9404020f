package lease

import (
	"math"
	"time"
)

// LeaseItem is what a row shows of a lease item.
type LeaseItem struct {
	LeaseID      string
	LesseeID     string    // the last holder; "" when it was never leased, or was released
	Until        time.Time // when its lease ends or ended, by this host's clock; zero: none
	FencingToken int64     // of the last tenure, or what it was registered with
	LeaseUntil   int64     // the row's: Unix nanoseconds by the database's clock, 0 when it is free
	WantedBy     string    // who asks for it; "" also when an operator asks to free it
	WantedUntil  int64     // until when that counts, as LeaseUntil; 0: nobody asks; -1: senseless
}

// isFree tells that anybody may lease the item.
func (i LeaseItem) isFree(now time.Time) bool { return i.Until.Before(now) }

// after is the first nanosecond after the end that the row shows, of which a fraction isn't
// read.
func (i LeaseItem) after() int64 { return min(i.LeaseUntil, math.MaxInt64-1) + 1 }

// isReserved tells that the item was handed over to its holder, and not leased by it
// yet. That is for people to see, and for planning: no lease may depend on it.
func (i LeaseItem) isReserved(now time.Time, duration time.Duration) bool {
	return i.WantedBy == i.LesseeID && i.isWanted(now, duration)
}

// isWanted tells that somebody's wish for the item counts now, for one whose leases
// last so long.
func (i LeaseItem) isWanted(now time.Time, duration time.Duration) bool {
	return !i.wantedUntil(now, duration).IsZero()
}

// wantedUntil returns until when somebody wants the item, by this host's clock. It is
// zero if nobody does, or if the wish ends too far ahead to be anything but a slip.
func (i LeaseItem) wantedUntil(now time.Time, duration time.Duration) time.Time {
	if i.WantedUntil <= 0 {
		return time.Time{}
	}
	until := i.Until.Add(time.Duration(i.WantedUntil - i.LeaseUntil))
	if until.Before(now) || until.Sub(now) > longestWish(duration) {
		return time.Time{}
	}
	return until
}

// longestWish is how far ahead a wish may end, for one whose leases last so long.
func longestWish(duration time.Duration) time.Duration {
	return max(10*(duration/3), 10*time.Minute)
}
