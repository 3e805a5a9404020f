package main

import "time"

// sighting is what a look showed of an item.
type sighting struct {
	item
	live bool      // somebody had it at that look
	at   time.Time // when that was, by the database's clock
	look int       // which look it was
}

// changes returns what must have happened to an item between two looks; was is nil if it wasn't
// there.
func changes(was *sighting, is item, now time.Time) []event {
	if was == nil {
		return appeared(is, now)
	}
	if is.why != "" {
		return becameUnusable(was, is)
	}
	if was.why != "" {
		return mended(is, now)
	}
	c := change{was: *was, is: is, now: now}
	return append(c.ofTenure(), c.ofWish()...)
}

// appeared returns the events of an item that wasn't there. Whoever has it has obtained it since.
func appeared(is item, now time.Time) []event {
	events := []event{is.event(registered, event{})}
	switch is.state(now) {
	case unusable:
		events = append(events, is.event(spoiled, event{Why: is.why}))
	case reserved:
		events = append(events, is.tenureEvent(handedOver, ""))
	case held:
		if is.LesseeID != "" {
			events = append(events, obtain(is, "", now)...)
		}
	}
	return events
}

// becameUnusable returns the event of a row that no worker can lease: it is told once.
func becameUnusable(was *sighting, is item) []event {
	if was.why != "" {
		return nil
	}
	return []event{is.event(spoiled, event{Why: is.why})}
}

// mended returns the events of an item that is usable again. What was before nobody knows.
func mended(is item, now time.Time) []event {
	if !is.live(now) {
		return nil
	}
	return obtain(is, "", now)
}

// obtain returns the events of a new tenure, and of its end if that has passed too. from is who had
// the item before.
func obtain(is item, from string, now time.Time) []event {
	events := []event{is.tenureEvent(obtained, from)}
	if !is.live(now) {
		events = append(events, is.tenureEvent(ended, ""))
	}
	return events
}

// change is an item that could be leased at two looks.
type change struct {
	was sighting
	is  item
	now time.Time
}

func (c change) newTenure() bool { return c.is.FencingToken != c.was.FencingToken }

// ofTenure returns what has happened to the item's tenures.
func (c change) ofTenure() []event {
	if c.newTenure() {
		return c.toNewTenure()
	}
	if c.is.LesseeID != c.was.LesseeID {
		return c.toOtherHolder()
	}
	return c.ofSameHolder()
}

// toNewTenure is for another token than before.
func (c change) toNewTenure() []event {
	if c.registeredAnew() {
		return []event{c.is.event(retired, event{}), c.is.event(registered, event{})}
	}

	// The holder came and went between the two looks.
	if c.is.LesseeID == "" {
		return []event{c.is.event(c.givenUp(c.is), event{Token: &c.is.FencingToken})}
	}

	// Who handed it over came and went, too.
	if c.is.state(c.now) == reserved {
		return []event{c.is.tenureEvent(handedOver, "")}
	}
	return c.taken()
}

// registeredAnew tells whether this is another row than at the look before, of the same name. A
// token that a registration has chosen is the time of it.
func (c change) registeredAnew() bool {
	if c.is.unleased {
		return true
	}
	asRegistered := c.is.LesseeID == "" && c.is.LeaseUntil == 0
	return asRegistered && c.is.FencingToken > c.was.at.UnixMilli()
}

// toOtherHolder is for another holder than before, or none, under the same token.
func (c change) toOtherHolder() []event {
	if c.is.LesseeID == "" {
		return c.freed()
	}
	if c.is.state(c.now) == reserved {
		return []event{c.is.tenureEvent(handedOver, c.was.LesseeID)}
	}
	return c.taken()
}

// freed is for a holder that isn't there any more. Where its tenure had ended before, that was
// told.
func (c change) freed() []event {
	if !c.was.live {
		return nil
	}
	e := event{Holder: c.was.LesseeID, Token: &c.is.FencingToken}
	return []event{c.is.event(c.givenUp(c.is), e)}
}

// givenUp tells how a tenure was over in time: whether an operator has ended it.
func (c change) givenUp(tenure item) kind {
	if c.is.forced != nil && *c.is.forced == tenure.FencingToken {
		return freed
	}
	return released
}

// taken is for a tenure that began since: how the one before was over, and whose the item is now. A
// holder that leases its own item anew has it from nobody.
func (c change) taken() []event {
	if c.was.LesseeID == c.is.LesseeID {
		return obtain(c.is, "", c.now)
	}
	return append(c.over(), obtain(c.is, c.was.LesseeID, c.now)...)
}

// over is for the tenure of another holder: how it was over, if that isn't known yet.
func (c change) over() []event {
	if !c.was.live || c.was.LesseeID == "" {
		return nil
	}
	if c.wentToWisher() {
		e := event{Holder: c.is.LesseeID, From: c.was.LesseeID, Token: &c.was.FencingToken}
		return []event{c.is.event(handedOver, e)}
	}
	e := event{Holder: c.was.LesseeID, Token: &c.was.FencingToken}
	if c.inTime() {
		return []event{c.is.event(c.givenUp(c.was.item), e)}
	}
	return []event{c.is.event(ended, e)}
}

// inTime tells whether the lease that was seen would still last: so it was given up.
func (c change) inTime() bool { return c.was.Until.After(c.now) }

// wentToWisher tells whether the next holder, in the next tenure, is who wished for the item. The
// wish may just have ended.
func (c change) wentToWisher() bool {
	toWisher := c.was.WantedBy == c.is.LesseeID && c.was.wished(c.now.Add(-time.Minute))
	next := c.is.FencingToken == c.was.FencingToken+1
	return toWisher && next && c.inTime()
}

// ofSameHolder is for the same token and holder as before, or none.
func (c change) ofSameHolder() []event {
	live := c.is.live(c.now)
	if c.was.live && !live {
		return []event{c.ending()}
	}

	// A worker of the original leases its item anew without counting the token.
	if !c.was.live && live && c.is.LesseeID != "" {
		return obtain(c.is, "", c.now)
	}
	if live && c.is.LeaseUntil > c.was.LeaseUntil {
		return []event{c.is.tenureEvent(renewed, "")}
	}
	return nil
}

// ending is for a lease that has ended, or a reservation that nobody has taken.
func (c change) ending() event {
	e := c.is.tenureEvent(ended, "")
	if c.was.WantedBy == c.was.LesseeID {
		e.WantedBy = &c.was.WantedBy
	}
	return e
}

// ofWish returns the event of a wish that is new.
func (c change) ofWish() []event {
	if !c.holderIsAsked() || c.wishedBefore() {
		return nil
	}
	e := c.is.tenureEvent(wanted, "")
	e.WantedBy = &c.is.WantedBy
	return []event{e}
}

// holderIsAsked tells whether there is a holder that somebody asks for the item.
func (c change) holderIsAsked() bool { return c.is.hasHolder(c.now) && c.is.wanted(c.now) }

// wishedBefore tells whether the same one wished for the item in the same tenure.
func (c change) wishedBefore() bool {
	if c.newTenure() || !c.was.wished(c.now) {
		return false
	}
	return c.was.WantedBy == c.is.WantedBy
}
