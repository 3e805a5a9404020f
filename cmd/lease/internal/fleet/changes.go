package fleet

import "time"

// Sighting is what a look showed of an item.
type Sighting struct {
	Item
	Live bool      // somebody had it at that look
	At   time.Time // when that was, by the database's clock
	Look int       // which look it was
}

// Changes returns what must have happened to an item between two looks; was is nil if it wasn't
// there.
func Changes(was *Sighting, is Item, now time.Time) []Event {
	if was == nil {
		return appeared(is, now)
	}
	if is.Why != "" {
		return becameUnusable(was, is)
	}
	if was.Why != "" {
		return mended(is, now)
	}
	c := change{was: *was, is: is, now: now}
	return append(c.ofTenure(), c.ofWish()...)
}

// appeared returns the events of an item that wasn't there. Whoever has it has obtained it since.
func appeared(is Item, now time.Time) []Event {
	events := []Event{is.event(Registered, Event{})}
	switch is.State(now) {
	case Unusable:
		events = append(events, is.event(spoiled, Event{Why: is.Why}))
	case Reserved:
		events = append(events, is.tenureEvent(HandedOver, ""))
	case Held:
		if is.LesseeID != "" {
			events = append(events, obtain(is, "", now)...)
		}
	}
	return events
}

// becameUnusable returns the event of a row that no worker can lease: it is told once.
func becameUnusable(was *Sighting, is Item) []Event {
	if was.Why != "" {
		return nil
	}
	return []Event{is.event(spoiled, Event{Why: is.Why})}
}

// mended returns the events of an item that is usable again. What was before nobody knows.
func mended(is Item, now time.Time) []Event {
	if !is.Live(now) {
		return nil
	}
	return obtain(is, "", now)
}

// obtain returns the events of a new tenure, and of its end if that has passed too. from is who had
// the item before.
func obtain(is Item, from string, now time.Time) []Event {
	events := []Event{is.tenureEvent(Obtained, from)}
	if !is.Live(now) {
		events = append(events, is.tenureEvent(Ended, ""))
	}
	return events
}

// change is an item that could be leased at two looks.
type change struct {
	was Sighting
	is  Item
	now time.Time
}

func (c change) newTenure() bool { return c.is.FencingToken != c.was.FencingToken }

// ofTenure returns what has happened to the item's tenures.
func (c change) ofTenure() []Event {
	if c.newTenure() {
		return c.toNewTenure()
	}
	if c.is.LesseeID != c.was.LesseeID {
		return c.toOtherHolder()
	}
	return c.ofSameHolder()
}

// toNewTenure is for another token than before.
func (c change) toNewTenure() []Event {
	if c.registeredAnew() {
		return []Event{c.is.event(Retired, Event{}), c.is.event(Registered, Event{})}
	}

	// The holder came and went between the two looks.
	if c.is.LesseeID == "" {
		return []Event{c.is.event(c.givenUp(c.is), Event{Token: &c.is.FencingToken})}
	}

	// Who handed it over came and went, too.
	if c.is.State(c.now) == Reserved {
		return []Event{c.is.tenureEvent(HandedOver, "")}
	}
	return c.taken()
}

// registeredAnew tells whether this is another row than at the look before, of the same name. A
// token that a registration has chosen is the time of it.
func (c change) registeredAnew() bool {
	if c.is.Unleased {
		return true
	}
	asRegistered := c.is.LesseeID == "" && c.is.LeaseUntil == 0
	return asRegistered && c.is.FencingToken > c.was.At.UnixMilli()
}

// toOtherHolder is for another holder than before, or none, under the same token.
func (c change) toOtherHolder() []Event {
	if c.is.LesseeID == "" {
		return c.freed()
	}
	if c.is.State(c.now) == Reserved {
		return []Event{c.is.tenureEvent(HandedOver, c.was.LesseeID)}
	}
	return c.taken()
}

// freed is for a holder that isn't there any more. Where its tenure had ended before, that was
// told.
func (c change) freed() []Event {
	if !c.was.Live {
		return nil
	}
	e := Event{Holder: c.was.LesseeID, Token: &c.is.FencingToken}
	return []Event{c.is.event(c.givenUp(c.is), e)}
}

// givenUp tells how a tenure was over in time: whether an operator has ended it.
func (c change) givenUp(tenure Item) Kind {
	if c.is.Forced != nil && *c.is.Forced == tenure.FencingToken {
		return Freed
	}
	return Released
}

// taken is for a tenure that began since: how the one before was over, and whose the item is now. A
// holder that leases its own item anew has it from nobody.
func (c change) taken() []Event {
	if c.was.LesseeID == c.is.LesseeID {
		return obtain(c.is, "", c.now)
	}
	return append(c.over(), obtain(c.is, c.was.LesseeID, c.now)...)
}

// over is for the tenure of another holder: how it was over, if that isn't known yet.
func (c change) over() []Event {
	if !c.was.Live || c.was.LesseeID == "" {
		return nil
	}
	if c.wentToWisher() {
		e := Event{Holder: c.is.LesseeID, From: c.was.LesseeID, Token: &c.was.FencingToken}
		return []Event{c.is.event(HandedOver, e)}
	}
	e := Event{Holder: c.was.LesseeID, Token: &c.was.FencingToken}
	if c.inTime() {
		return []Event{c.is.event(c.givenUp(c.was.Item), e)}
	}
	return []Event{c.is.event(Ended, e)}
}

// inTime tells whether the lease that was seen would still last: so it was given up.
func (c change) inTime() bool { return c.was.Until.After(c.now) }

// wentToWisher tells whether the next holder, in the next tenure, is who wished for the item. The
// wish may just have ended.
func (c change) wentToWisher() bool {
	toWisher := c.was.WantedBy == c.is.LesseeID && c.was.Wished(c.now.Add(-time.Minute))
	next := c.is.FencingToken == c.was.FencingToken+1
	return toWisher && next && c.inTime()
}

// ofSameHolder is for the same token and holder as before, or none.
func (c change) ofSameHolder() []Event {
	live := c.is.Live(c.now)
	if c.was.Live && !live {
		return []Event{c.ending()}
	}

	// A worker of the original leases its item anew without counting the token.
	if !c.was.Live && live && c.is.LesseeID != "" {
		return obtain(c.is, "", c.now)
	}
	if live && c.is.LeaseUntil > c.was.LeaseUntil {
		return []Event{c.is.tenureEvent(Renewed, "")}
	}
	return nil
}

// ending is for a lease that has ended, or a reservation that nobody has taken.
func (c change) ending() Event {
	e := c.is.tenureEvent(Ended, "")
	if c.was.WantedBy == c.was.LesseeID {
		e.WantedBy = &c.was.WantedBy
	}
	return e
}

// ofWish returns the event of a wish that is new.
func (c change) ofWish() []Event {
	if !c.holderIsAsked() || c.wishedBefore() {
		return nil
	}
	e := c.is.tenureEvent(Wanted, "")
	e.WantedBy = &c.is.WantedBy
	return []Event{e}
}

// holderIsAsked tells whether there is a holder that somebody asks for the item.
func (c change) holderIsAsked() bool { return c.is.HasHolder(c.now) && c.is.wanted(c.now) }

// wishedBefore tells whether the same one wished for the item in the same tenure.
func (c change) wishedBefore() bool {
	if c.newTenure() || !c.was.Wished(c.now) {
		return false
	}
	return c.was.WantedBy == c.is.WantedBy
}
