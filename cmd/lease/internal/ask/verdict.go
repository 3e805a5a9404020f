// Package ask asks holders for items, waits for these, and may retire them. verdict.go decides, of
// values alone.
package ask

import (
	"fmt"
	"time"

	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/say"
)

// asking is what the holder of one item is asked for, and what is known of it since.
type asking struct {
	id, to   string     // to "" is whoever comes
	asked    fleet.Item // as it was when its holder was asked
	askedAt  time.Time  // when that was
	freed    time.Time  // when it was first seen free; zero if it never was
	troubled bool       // a look has failed
}

// sight is what a look at the item has shown.
type sight struct {
	fleet.Item
	found bool
	now   time.Time
	late  bool // it is the last look: there is no time to wait any longer
}

// step is what a sight makes of an asking.
type step int

const (
	stepWait   step = iota // for what comes: look again
	stepAsk                // the holder is to be asked
	stepTake               // the item is to be had
	stepAsked              // the holder has been asked
	stepDone               // there is an outcome
	stepFailed             // there is one, and it isn't what was wanted
)

type verdict struct {
	step step
	text string // of an outcome; that of stepFailed names the item
}

func done(text string) verdict { return verdict{step: stepDone, text: text} }

func donef(format string, args ...any) verdict { return done(fmt.Sprintf(format, args...)) }

func failedf(format string, args ...any) verdict {
	return verdict{step: stepFailed, text: fmt.Sprintf(format, args...)}
}

// noteAsked notes whom it has asked, or who was asked already.
func (q *asking) noteAsked(s sight) {
	q.asked = s.Item
	q.askedAt = s.now
}

// noteFreed notes when it first sees that the item is free.
func (q *asking) noteFreed(s sight) {
	if q.freed.IsZero() && !s.Live(s.now) {
		q.freed = s.now
	}
}

// judgeHolder decides whether an item that is there has a holder that is to be asked.
func (q *asking) judgeHolder(s sight) verdict {
	if s.Why != "" {
		return failedf("%s %s", say.Name(q.id), s.Describe(s.now))
	}
	if !s.HasHolder(s.now) {
		return q.judgeNobody(s)
	}
	if s.LesseeID == q.to {
		return q.judgeReceiver(s)
	}
	if q.stands(s) {
		return verdict{step: stepAsked}
	}
	return verdict{step: stepAsk}
}

// stands tells that a wish that does what is asked for stands till the lease's end.
func (q *asking) stands(s sight) bool {
	lasts := !s.WishUntil().Before(s.Until)
	return lasts && q.isWished(s)
}

func (q *asking) judgeNobody(s sight) verdict {
	if q.to != "" {
		return failedf("nobody holds %s, to hand it over to %s: it %s",
			say.Name(q.id), say.Name(q.to), s.Describe(s.now))
	}
	if !s.Live(s.now) {
		return done("nobody holds it")
	}
	return done("nobody holds it; it " + s.Describe(s.now))
}

// judgeReceiver is for an item that is with who is to have it: it may be on its way to that one
// only.
func (q *asking) judgeReceiver(s sight) verdict {
	if s.State(s.now) == fleet.Reserved {
		return verdict{step: stepAsked}
	}
	return donef("%s has it, with the token %d", say.Name(q.to), s.FencingToken)
}

// isWished tells whether a wish stands that does what is asked for. If the item is for whoever
// comes, somebody else's wish frees it too.
func (q *asking) isWished(s sight) bool {
	if !s.Wished(s.now) {
		return false
	}
	return q.to == "" || s.WantedBy == q.to
}

// endOfWish is until when a wish is to count: till the lease's end, as the renewal before that
// shows it to the holder. One that heeds wishes prolongs it while its work takes longer, and a
// reservation is to be no longer than need be.
func (s sight) endOfWish() time.Time {
	soon := s.now.Add(5 * time.Second)
	if s.Until.Before(soon) {
		return soon
	}
	return s.Until
}

// text says what the holder has been asked for.
func (q *asking) text() string {
	holder := say.Name(q.asked.LesseeID)
	switch q.to {
	case q.asked.LesseeID:
		return "is reserved for " + holder + " already"
	case "":
		return q.textForAnyone(holder)
	}
	return "asked " + holder + " to hand it over to " + say.Name(q.to)
}

func (q *asking) textForAnyone(holder string) string {
	wanter := q.asked.Wanter(q.askedAt)
	if q.asked.WantedBy != "" && wanter != "" {
		return wanter + " has asked " + holder + " for it already"
	}
	return "asked " + holder + " to give it up, for whoever comes"
}

// lookAround is how long a freed item is watched for somebody who takes it: workers look every
// third of a lease.
const lookAround = 15 * time.Second

// judge decides what has become of an item whose holder was asked.
func (q *asking) judge(s sight) verdict {
	if !s.found {
		return done("was retired")
	}
	if s.Why != "" {
		return done(s.Describe(s.now))
	}
	if !s.HasHolder(s.now) {
		return q.judgeFreed(s)
	}
	if q.isStill(s) {
		return q.judgeHeld(s)
	}
	if s.State(s.now) == fleet.Reserved && s.LesseeID != q.asked.LesseeID {
		return q.judgeReserved(s)
	}
	return q.judgeTaken(s)
}

// isStill tells whether the holder that was asked is still the one to ask: in the same tenure, or
// as what was reserved for it is its own now.
func (q *asking) isStill(s sight) bool {
	if s.LesseeID != q.asked.LesseeID {
		return false
	}
	if s.FencingToken == q.asked.FencingToken {
		return true
	}
	return q.asked.State(q.askedAt) == fleet.Reserved
}

// judgeFreed is for an item that was given up, and that nobody has yet.
func (q *asking) judgeFreed(s sight) verdict {
	if q.to != "" {
		return q.judgeNotTaken(s)
	}
	seenLong := !q.freed.IsZero() && s.now.Sub(q.freed) > lookAround
	if s.late || seenLong {
		return donef("%s gave it up, and nobody has it yet: it %s",
			say.Name(q.asked.LesseeID), s.Describe(s.now))
	}
	return verdict{step: stepWait}
}

// judgeNotTaken is judgeFreed where somebody in particular is to have the item.
func (q *asking) judgeNotTaken(s sight) verdict {
	if !s.late {
		return verdict{step: stepWait}
	}
	if q.to == q.asked.LesseeID {
		return failedf("%s was reserved for %s, which has not taken it: it %s",
			say.Name(q.id), say.Name(q.to), s.Describe(s.now))
	}
	return failedf("%s was given up by %s, but %s has not taken it",
		say.Name(q.id), say.Name(q.asked.LesseeID), say.Name(q.to))
}

// judgeReserved is for an item that was handed over, and not taken yet.
func (q *asking) judgeReserved(s sight) verdict {
	if !s.late {
		return verdict{step: stepWait}
	}
	if q.to != "" {
		return q.stillReserved(s)
	}
	return donef("%s gave it up, and it is reserved for %s, which has not taken it yet",
		say.Name(q.asked.LesseeID), say.Name(s.LesseeID))
}

func (q *asking) stillReserved(s sight) verdict {
	return failedf("%s is reserved for %s, which has not taken it yet",
		say.Name(q.id), say.Name(s.LesseeID))
}

// judgeHeld is for an item that is still with whom it was asked of.
func (q *asking) judgeHeld(s sight) verdict {
	if !s.late {
		return q.judgeWish(s)
	}
	if s.State(s.now) == fleet.Reserved {
		return q.stillReserved(s)
	}
	return failedf("%s was not given up: it %s; "+
		"work may take longer, or the holder heeds no wishes",
		say.Name(q.id), s.Describe(s.now))
}

// judgeWish decides whether the holder is to be asked again: the wish may be over, or another's.
func (q *asking) judgeWish(s sight) verdict {
	if q.isWished(s) {
		return verdict{step: stepWait}
	}
	return verdict{step: stepAsk}
}

// judgeTaken is for an item that somebody has in another tenure.
func (q *asking) judgeTaken(s sight) verdict {
	holder := say.Name(s.LesseeID)
	if q.to != "" && s.LesseeID != q.to {
		return failedf("%s went to %s, not to %s: it %s",
			say.Name(q.id), holder, say.Name(q.to), s.Describe(s.now))
	}
	if s.LesseeID == q.asked.LesseeID {
		return donef("%s gave it up, and has it again, with the token %d", holder, s.FencingToken)
	}
	return donef("%s has it, with the token %d", holder, s.FencingToken)
}

// judgeRetirement decides how who asks is to have an item itself, to delete it.
func (q *asking) judgeRetirement(s sight) verdict {
	if !s.found {
		return done("was retired")
	}
	if s.Why != "" {
		return verdict{step: stepFailed, text: s.Unreadable()}
	}
	isToHave := !s.Live(s.now) || s.LesseeID == q.to
	if isToHave {
		return verdict{step: stepTake}
	}
	isToAsk := s.HasHolder(s.now) && !q.stands(s)
	mayAsk := !s.late || q.askedAt.IsZero()
	if isToAsk && mayAsk {
		return verdict{step: stepAsk}
	}
	if s.late {
		return failedf("%s stays, and is asked for no longer: it %s; "+
			"work may take longer, or the holder heeds no wishes", say.Name(q.id), s.Describe(s.now))
	}
	return verdict{step: stepWait}
}
