package lease

import "time"

// term is one tenure's time and phase, as a value: it says until when the holder may
// rely on the lease, and what has become of it. Its methods ask no clock and change
// nothing. The Locker keeps what they return.
type term struct {
	phase     phase
	discarded bool // it was ended by the store's own methods, which free or delete the row
	stuck     bool // it was given up as its work was stuck
	fate      fate
	token     int64         // the fencing token: it grows where renewing is leasing anew
	duration  time.Duration // what the grant that counts was asked for
	// the holder may rely on the lease until here; carries the monotonic clock
	end  time.Time
	wish wish // of somebody else, for the item
	// until when a namesake may rely on the item: nobody else can have it before
	namesakeUntil time.Time
}

// phase is where a tenure stands. One that is over stays as it is.
type phase int

const (
	held     phase = iota
	wanted         // held, but its work is to end, as somebody else wants the item
	expired        // over: its time was up
	lost           // over: the item is another's, or was retired
	released       // over: its holder gave it up
)

// fate is what a release by the Locker has shown of the row.
type fate int

const (
	notFreed   fate = iota
	freed           // it was released
	handedOver      // it was released, reserved for who wanted it
	taken           // it turned out to be another's
)

// wish is that of somebody else for a held item.
type wish struct {
	by    string    // who wants it; "" if nobody in particular, but an operator wants it freed
	since time.Time // when the first one was heeded; zero: none was
	until time.Time // when the last one ends
}

// grant is what a store has answered to a lease or a renewal.
type grant struct {
	token    int64
	duration time.Duration // what was asked for
	asked    time.Time     // the end that was asked for
	until    time.Time     // the end that the store says

	namesakeUntil time.Time // of a lease: until when a namesake may rely on the item
}

// isShort tells that the store has granted less than it was asked for.
func (g grant) isShort() bool { return g.until.Before(g.asked) }

// end returns until when the holder may rely on the grant. More than was asked for
// isn't believed.
func (g grant) end(now time.Time) time.Time {
	until := g.asked
	if g.isShort() {
		until = g.until
	}
	return now.Add(until.Sub(now) - margin(g.duration))
}

// margin is how long before its row's end a holder stops relying on its lease: how far
// clocks may be apart.
func margin(duration time.Duration) time.Duration { return duration / 10 }

// timeLeft counts by the monotonic and by the wall clock, and returns what is less: the one
// stands still while a machine sleeps, the other can be set back.
func timeLeft(now, end time.Time) time.Duration {
	monotonic := end.Sub(now)
	wall := end.Round(0).Sub(now.Round(0))
	return min(monotonic, wall)
}

// newTerm is a tenure that begins with that grant.
func newTerm(g grant, now time.Time) term {
	return term{
		token:         g.token,
		duration:      g.duration,
		end:           g.end(now),
		namesakeUntil: g.namesakeUntil,
	}
}

// fact is what comes to pass for a tenure, or what a reply has shown of it.
type fact struct {
	kind  factKind
	at    time.Time
	grant grant         // of a renewal
	wish  wish          // without since
	took  time.Duration // how long its request took, of a renewal, a release or a handover
}

type factKind int

const (
	timePassed factKind = iota
	renewed             // a renewal was granted
	wishSeen            // a reply has shown somebody's wish for the item
	noWishSeen          // a reply has shown none
	// a reply has shown that the tenure is over, or another of the Locker's has followed
	lossSeen
	givenUp       // by its holder, who is about to release it
	workStuck     // it is given up, about to be released, while its work may hang on
	discardCalled // by its holder, to the store's own methods
	rowFreed      // its release was applied
	rowHandedOver // its handover was applied
	rowTaken      // its release or handover was refused: the row is another's
)

// after returns the tenure after a fact. All that ever changes in a tenure changes here.
func (t term) after(f fact) term {
	t = t.at(f.at)
	switch f.kind {
	case rowFreed:
		t.fate = freed
	case rowHandedOver:
		t.fate = handedOver
	case rowTaken:
		t.fate = taken
	default:
		if t.live() {
			t = t.afterLive(f).at(f.at)
		}
	}
	return t
}

func (t term) afterLive(f fact) term {
	switch f.kind {
	case renewed:
		return t.extended(f.grant, f.at)
	case wishSeen:
		return t.wished(f.wish, f.at)
	case noWishSeen:
		return t.unwished()
	case lossSeen:
		t.phase = lost
	case givenUp:
		t.phase = released
	case workStuck:
		t.phase = released
		t.stuck = true
	case discardCalled:
		t.phase = released
		t.discarded = true
	}
	return t
}

// at returns the tenure at that time: expired, if its time is up.
func (t term) at(now time.Time) term {
	if t.live() && timeLeft(now, t.end) <= 0 {
		t.phase = expired
	}
	return t
}

// extended takes over what a renewal was granted. Only where less was granted than
// asked for, the end is moved back.
func (t term) extended(g grant, now time.Time) term {
	end := g.end(now)
	if g.isShort() || end.After(t.end) {
		t.end = end
		t.duration = g.duration
	}

	// Replies may come in another order than their writes were applied.
	t.token = max(t.token, g.token)
	return t
}

// wished notes a wish: the first, or the same or another one later. As long as its wisher
// couldn't have the item, as a namesake may rely on it, the work goes on: the wish is
// prolonged, and heeded later.
func (t term) wished(w wish, now time.Time) term {
	isEarly := now.Before(t.namesakeUntil) && w.by != ""
	if isEarly && t.phase == held {
		t.wish = w
		return t
	}
	w.since = t.wish.since
	if t.phase == held {
		w.since = now
	}
	t.phase = wanted
	t.wish = w
	return t
}

// unwished forgets a wish that wasn't heeded yet.
func (t term) unwished() term {
	if t.phase == held {
		t.wish = wish{}
	}
	return t
}

// live tells that the tenure wasn't over when the term was made.
func (t term) live() bool { return t.phase == held || t.phase == wanted }

// left returns how much longer the holder may rely on the lease.
func (t term) left(now time.Time) time.Duration {
	if !t.live() {
		return 0
	}
	return max(0, timeLeft(now, t.end))
}

// rowEnd is when the row says that the lease ends, by this host's clock.
func (t term) rowEnd() time.Time { return t.end.Add(margin(t.duration)) }

// isWanted tells that somebody wanted the item while it was held.
func (t term) isWanted() bool { return !t.wish.since.IsZero() }

// isGone tells, after a work has ended, that its item isn't this worker's to rest from: it
// was lost or expired, or it was retired by work that returned no error.
func (t term) isGone(workFailed bool) bool {
	if t.phase != released || t.fate == taken {
		return true
	}
	return t.discarded && !workFailed
}

// isFreed tells that the row was released, one way or the other.
func (t term) isFreed() bool { return t.fate == freed || t.fate == handedOver }

// cause returns why the tenure is over; nil while it isn't.
func (t term) cause() error {
	if t.stuck {
		return LeaseStuckError
	}
	switch t.phase {
	case expired:
		return LeaseExpiredError
	case lost:
		return LeaseLostError
	case released:
		return LeaseReleasedError
	}
	return nil
}

// period is a third of the lease: the usual time from one renewal to the next.
func (t term) period() time.Duration { return t.duration / 3 }

// renewedUntil returns which end a renewal asks for. A shorter duration than before
// doesn't move the row's end back: others rely on it, where renewing is leasing anew.
func (t term) renewedUntil(now time.Time, duration time.Duration) time.Time {
	return later(now.Add(duration), t.rowEnd())
}

// prolonged returns until when somebody's wish is to count while it can't be granted, as the
// holder's work takes its time to return, say: so that it doesn't ask elsewhere too. It is zero
// when nobody in particular wants the item.
func (t term) prolonged(now time.Time) time.Time {
	if t.wish.by == "" {
		return time.Time{}
	}
	return later(t.wish.until, now.Add(wishDuration(t.duration)))
}

// reservedUntil returns for how long to keep an item that is handed over: as long as
// the wish lasts, within bounds. When it comes to that, the wish may be another's.
func (t term) reservedUntil(now time.Time) time.Time {
	// A wisher looks every 20 seconds at least. If it has gone, the item is without work.
	const most = 30 * time.Second
	reserved := t.period()
	if t.wish.by != "" {
		reserved = max(reserved, t.wish.until.Sub(now))
	}
	return now.Add(min(reserved, most))
}

// wishDuration is how long a wish lasts of one whose leases last so long: two and a
// half periods.
func wishDuration(duration time.Duration) time.Duration { return duration / 6 * 5 }

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
