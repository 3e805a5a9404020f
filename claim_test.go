package lease

import (
	"math"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// mine is the tenure of w1 with the token 7, which has asked for the ends up to 100.
func mine() holder {
	c := &claim{}
	c.ask(100)
	return holder{lessee: "w1", token: 7, claim: c}
}

// found is a row as a refusal shows it.
func found(lessee string, token, until int64) row {
	return row{
		LeaseItem:  LeaseItem{LesseeID: lessee, FencingToken: token, LeaseUntil: until},
		attributes: attributes{"id": text("a")},
	}
}

func foundWanted(lessee string, token, until int64, by string) row {
	r := found(lessee, token, until)
	r.WantedBy = by
	return r
}

func refusedBy(r row) reply { return reply{verdict: refused, row: r} }

func TestClaimRemembersTheFurthestEnds(t *testing.T) {
	c := &claim{}
	assert.Equal(t, int64(5), c.ask(5))
	assert.Equal(t, int64(3), c.ask(3), "what is asked for is what is written")
	assert.Equal(t, int64(5), c.furthestAsked.Load())
	assert.Zero(t, c.furthestShown.Load())
	c.show(4)
	c.show(2)
	assert.Equal(t, int64(4), c.furthestShown.Load())
	assert.Equal(t, int64(5), c.furthestAsked.Load())
}

func TestClaimAsksForNoEndBeforeANamesakeHasGivenUp(t *testing.T) {
	c := &claim{namesakeUntil: 10}
	assert.Equal(t, int64(10), c.ask(9))
	assert.Equal(t, int64(10), c.furthestAsked.Load())
	assert.Equal(t, int64(11), c.ask(11))
}

func TestClaimOfALeaseThatNobodyKnowsMayHaveAskedForAnyEnd(t *testing.T) {
	assert.Equal(t, int64(math.MaxInt64), new(Lease).claimed().furthestAsked.Load())
	assert.Equal(t, unknownClaim, (*Lease)(nil).claimed())
	own := &claim{namesakeUntil: 5}
	lease := &Lease{claim: own}
	assert.Same(t, own, lease.claimed())
	assert.Equal(t, time.Unix(0, 5), lease.keptUntil())
}

func TestLeftAsIsALeaseOfTheRowAsItWasSeen(t *testing.T) {
	l := madeUpPredecessor(LeaseItem{LeaseID: "a", FencingToken: 7, LeaseUntil: 100}, requested{lessee: "w1"})
	assert.Equal(t, int64(7), l.FencingToken())
	assert.Equal(t, int64(100), l.claimed().furthestAsked.Load())
	assert.Zero(t, l.claimed().namesakeUntil)
}

func TestHolderHoldsARowOfItsNameAndToken(t *testing.T) {
	assert.True(t, mine().holds(found("w1", 7, 0)))
	assert.False(t, mine().holds(found("w2", 7, 0)))
	assert.False(t, mine().holds(found("w1", 8, 0)))
	assert.False(t, mine().holds(found("w1", 6, 0)))
	assert.False(t, mine().holds(row{}))
}

func TestHoldersOwnConditionIsOfItsNameTokenAndEnd(t *testing.T) {
	want := attributes{":me": text("w1"), ":token": number(7), ":until": number(100)}
	assert.Equal(t, want, mine().own(100))
}

// writes are what a tenure may write, and what that came to, which asked for an end of 50.
var writes = map[string]func(holder, reply) verdict{
	"renewal":    func(h holder, got reply) verdict { return h.renewal(got, 50) },
	"release":    func(h holder, got reply) verdict { return h.release(got, 50) },
	"handover":   func(h holder, got reply) verdict { return h.handover(got, 50) },
	"retirement": func(h holder, got reply) verdict { return h.retirement(got, 50) },
}

func TestHolderSaysWhatItsWriteCameTo(t *testing.T) {
	for name, c := range map[string]struct {
		got                                    reply
		renewal, release, handover, retirement verdict
	}{
		"applied": {reply{verdict: applied, row: found("w1", 7, 50)}, applied, applied, applied, applied},

		"own, earlier: a condition that isn't of the end": {
			refusedBy(found("w1", 7, 49)), refused, refused, refused, refused,
		},
		"own, as asked for": {
			refusedBy(found("w1", 7, 50)), overtaken, refused, refused, refused,
		},
		"own, later": {
			refusedBy(found("w1", 7, 51)), overtaken, overtaken, overtaken, overtaken,
		},
		"own, the furthest end": {
			refusedBy(found("w1", 7, 100)), overtaken, overtaken, overtaken, overtaken,
		},
		"own, further: an original of the name": {
			refusedBy(found("w1", 7, 101)), overtaken, refused, refused, refused,
		},

		"own, a newer tenure":  {refusedBy(found("w1", 8, 60)), refused, refused, refused, refused},
		"own, an older tenure": {refusedBy(found("w1", 6, 60)), refused, refused, refused, refused},
		"another's":            {refusedBy(found("w2", 8, 60)), refused, refused, refused, refused},
		"another's, of the original, with this token": {
			refusedBy(found("w2", 7, 60)), refused, refused, refused, refused,
		},
		"another's, who had wished for it": {
			refusedBy(foundWanted("w2", 8, 60, "w2")), refused, refused, refused, refused,
		},

		"freed":       {refusedBy(found("", 7, 0)), refused, appliedBefore, appliedBefore, refused},
		"freed later": {refusedBy(found("", 8, 0)), refused, refused, refused, refused},
		"handed over": {
			refusedBy(foundWanted("w2", 7, 60, "w2")), refused, refused, appliedBefore, refused,
		},
		"own, wanted by itself": {
			refusedBy(foundWanted("w1", 7, 60, "w1")), overtaken, overtaken, overtaken, overtaken,
		},
		"handed over to one, wanted by another": {
			refusedBy(foundWanted("w2", 7, 60, "w3")), refused, refused, refused, refused,
		},
		"gone": {refusedBy(row{}), refused, refused, refused, appliedBefore},
	} {
		want := map[string]verdict{
			"renewal": c.renewal, "release": c.release,
			"handover": c.handover, "retirement": c.retirement,
		}
		for write, of := range writes {
			assert.Equal(t, want[write], of(mine(), c.got), "%s of one that is %s", write, name)
		}
	}
}

func TestHolderOfATokenlessLeaseTakesARowThatIsGoneForNoRelease(t *testing.T) {
	h := holder{lessee: "w1", claim: unknownClaim}
	assert.Equal(t, refused, h.release(refusedBy(row{}), 50))
	assert.Equal(t, refused, h.handover(refusedBy(row{}), 50))
	assert.Equal(t, appliedBefore, h.release(refusedBy(found("", 0, 0)), 50))
	assert.Equal(t, appliedBefore, h.retirement(refusedBy(row{}), 50))
}

func TestHolderNotesAnEndThatItsRefusalShows(t *testing.T) {
	h := mine()
	h.refusal(found("w1", 7, 101), 50)
	h.refusal(found("w1", 8, 60), 50)
	h.refusal(found("w1", 7, 50), 50)
	assert.Zero(t, h.claim.furthestShown.Load(), "of another, or none that is later")
	h.refusal(found("w1", 7, 60), 50)
	assert.Equal(t, int64(60), h.claim.furthestShown.Load())
}

func TestHolderHasGivenAwayWhatIsFreeOrItsWishersUnderItsToken(t *testing.T) {
	for name, c := range map[string]struct {
		row  row
		want bool
	}{
		"own":                   {foundWanted("w1", 7, 0, "w2"), false},
		"own, wanted by itself": {foundWanted("w1", 7, 0, "w1"), false},
		"free":                  {found("", 7, 0), true},
		"free, another token":   {found("", 8, 0), false},
		"its wisher's":          {foundWanted("w2", 7, 0, "w2"), true},
		"its wisher's, leased":  {foundWanted("w2", 8, 0, "w2"), false},
		"another's":             {foundWanted("w2", 7, 0, "w3"), false},
		"another's, unwanted":   {found("w2", 7, 0), false},
	} {
		assert.Equal(t, c.want, mine().showsHandover(c.row), name)
	}
}

func TestHolderHasGivenAwayWhatRefusesToBeBeforeItsEnd(t *testing.T) {
	const shown, margin = 1000, 30
	unsure := reply{verdict: unanswered}
	resent := reply{verdict: refused, resent: true}
	for name, c := range map[string]struct {
		tried reply
		found row
		now   int64
		want  bool
	}{
		"another has it":              {unsure, found("w2", 8, 2000), shown - margin - 1, true},
		"the SDK has sent it again":   {resent, found("w2", 8, 2000), shown - margin - 1, true},
		"an original has it":          {unsure, found("w2", 7, 2000), 0, true},
		"it was released once more":   {unsure, found("", 8, 0), 0, true},
		"it is retired":               {unsure, row{}, 0, true},
		"at its end, less the margin": {unsure, found("w2", 8, 2000), shown - margin, false},
		"of the own name":             {unsure, found("w1", 8, 2000), 0, false},
		"it was refused":              {refusedBy(found("w2", 8, 2000)), found("w2", 8, 2000), 0, false},
		"it was answered":             {reply{verdict: applied}, found("w2", 8, 2000), 0, false},
	} {
		h := mine()
		h.duration = 10 * margin
		h.claim.show(shown)
		h.noteGiving(c.tried)
		assert.Equal(t, c.want, h.isGivenIn(c.found, c.now), name)
	}
	literal := holder{lessee: "w1", token: 7, claim: unknownClaim}
	literal.noteGiving(unsure)
	assert.False(t, literal.isGivenIn(found("w2", 8, 2000), 0), "its end isn't known")
	assert.False(t, unknownClaim.mayBeGiven.Load())
}

// leasingOf is that of w1's which minds namesakes, after it has seen such a row.
func leasingOf(seen LeaseItem, token int64, predecessor *claim) leasing {
	return leasing{
		request:          requested{lessee: "w1"},
		seen:             &seen,
		mindsNamesakes:   true,
		predecessorToken: token,
		predecessor:      predecessor,
	}
}

func TestLeasingRemembersUntilWhenANamesakeMayRelyOnTheRow(t *testing.T) {
	const now = 50
	left := &claim{namesakeUntil: 3}
	left.ask(100)
	seen := func(lessee string, token, until int64) LeaseItem {
		return found(lessee, token, until).LeaseItem
	}
	careless := leasingOf(seen("w1", 7, 100), 0, unknownClaim)
	careless.mindsNamesakes = false
	unbound := leasing{request: requested{lessee: "w1"}}
	for name, c := range map[string]struct {
		leasing leasing
		want    int64
	}{
		"own, live":                   {leasingOf(seen("w1", 7, 100), 0, unknownClaim), 100},
		"own, at its end":             {leasingOf(seen("w1", 7, now), 0, unknownClaim), now},
		"own, ended":                  {leasingOf(seen("w1", 7, now-1), 0, unknownClaim), 0},
		"another's":                   {leasingOf(seen("w2", 7, 100), 0, unknownClaim), 0},
		"free":                        {leasingOf(seen("", 7, 0), 0, unknownClaim), 0},
		"own, as I left it":           {leasingOf(seen("w1", 7, 100), 7, left), 3},
		"own, of another token":       {leasingOf(seen("w1", 8, 100), 7, left), 100},
		"own, renewed by an original": {leasingOf(seen("w1", 7, 101), 7, left), 101},
		"own, shortened":              {leasingOf(seen("w1", 7, 99), 7, left), 99},
		"called directly":             {careless, 0},
		"called directly, unbound":    {unbound, 0},
	} {
		assert.Equal(t, c.want, c.leasing.claim(now).namesakeUntil, name)
		assert.Zero(t, c.leasing.claim(now).furthestAsked.Load(), name)
	}
}

func TestLeasingNotesThatARefusalShowsItsOwnLostReply(t *testing.T) {
	asked := &claim{}
	asked.ask(100)
	for name, c := range map[string]struct {
		reply reply
		want  bool
	}{
		"sent again":              {reply{row: found("w1", 8, 100), resent: true}, true},
		"sent once":               {reply{row: found("w1", 8, 100)}, false},
		"another end":             {reply{row: found("w1", 8, 99), resent: true}, false},
		"another's, the same end": {reply{row: found("w2", 8, 100), resent: true}, false},
	} {
		l := leasingOf(LeaseItem{}, 7, unknownClaim)
		l.noteLostReply(c.reply, asked, 100)
		if c.want {
			assert.Same(t, asked, l.predecessor, name)
			assert.Equal(t, int64(8), l.predecessorToken, name)
		} else {
			assert.Same(t, unknownClaim, l.predecessor, name)
			assert.Equal(t, int64(7), l.predecessorToken, name)
		}
	}
}

func TestClaimAsksForNoEndTwiceWithAWeight(t *testing.T) {
	c := &claim{namesakeUntil: 10}
	assert.Equal(t, int64(10), c.askToWeigh(5), "a namesake may rely on the item")
	assert.Equal(t, int64(11), c.askToWeigh(5))
	assert.Equal(t, int64(20), c.askToWeigh(20))
	assert.Equal(t, int64(40), c.ask(40))
	assert.Equal(t, int64(21), c.askToWeigh(15), "a renewal without one may be late")
	c.show(30)
	assert.Equal(t, int64(31), c.askToWeigh(30), "the row may have this end")
	assert.Equal(t, int64(40), c.furthestAsked.Load())
	assert.Equal(t, int64(41), c.askToWeigh(41))
	assert.Equal(t, int64(41), c.furthestAsked.Load(), "what may be in the row is known")
	for _, end := range []int64{5, 5, 4} { // one tenure's and another's
		assert.Equal(t, end, unknownClaim.askToWeigh(end), "a lease of which nothing is known")
	}

	var all sync.WaitGroup
	var ends sync.Map
	for range 8 {
		all.Go(func() {
			for range 100 {
				_, isThere := ends.LoadOrStore(c.askToWeigh(50), true)
				assert.False(t, isThere, "two ends are one")
			}
		})
	}
	all.Wait()
}
