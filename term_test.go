package lease

import (
	"fmt"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
)

// slept returns the time as it reads after the machine slept for d: the wall clock went on, the
// monotonic clock stood still. No API makes such a time; it lies in the second word of a
// [time.Time].
func slept(t time.Time, d time.Duration) time.Time {
	t = t.Add(d)
	(*struct {
		wall      uint64
		monotonic int64
	})(unsafe.Pointer(&t)).monotonic -= int64(d)
	return t
}

// Slept is slept for the tests from without.
var Slept = slept

func TestTimeLeftIsTheLesserOfBothClocks(t *testing.T) {
	now := time.Now()
	end := now.Add(10 * time.Second)
	assert.Equal(t, 10*time.Second, timeLeft(now, end))
	hasSlept := slept(now, time.Minute)
	wasSetBack := slept(now, -time.Minute)
	assert.Equal(t, 10*time.Second, end.Sub(hasSlept), "the monotonic clock alone is deceived")
	assert.Equal(t, -50*time.Second, timeLeft(hasSlept, end), "a machine that slept")
	assert.Equal(t, 10*time.Second, timeLeft(wasSetBack, end), "a wall clock that was set back")
}

// thirty is a lease's duration in these tests: its margin is 3 s, its period 10 s.
const thirty = 30 * sec

// grantUntil is the grant of what was asked for: a lease that ends so long after noon.
func grantUntil(left time.Duration) grant {
	until := noon.Add(left)
	return grant{token: 7, duration: thirty, asked: until, until: until}
}

// termAt is a tenure of 30 seconds from noon on, in that phase and fate.
func termAt(phase phase, fate fate) term {
	is := newTerm(grantUntil(thirty), noon)
	is.phase = phase
	is.fate = fate
	if phase == wanted {
		is.wish = wish{by: "w2", since: noon, until: noon.Add(25 * sec)}
	}
	return is
}

func TestGrantIsReliedOnUntilItsEndLessTheMargin(t *testing.T) {
	for name, c := range map[string]struct {
		asked, until time.Duration // after noon
		want         time.Duration
		isShort      bool
	}{
		"as asked for":               {asked: thirty, until: thirty, want: 27 * sec},
		"a nanosecond less":          {thirty, thirty - 1, 27*sec - 1, true},
		"less":                       {thirty, 20 * sec, 17 * sec, true},
		"more, which isn't believed": {asked: thirty, until: time.Hour, want: 27 * sec},
		"nothing":                    {asked: thirty, until: -sec, want: -4 * sec, isShort: true},
	} {
		g := grant{duration: thirty, asked: noon.Add(c.asked), until: noon.Add(c.until)}
		assert.Equal(t, noon.Add(c.want), g.end(noon), name)
		assert.Equal(t, c.isShort, g.isShort(), name)
	}
	assert.Equal(t, 3*sec, margin(thirty))
	assert.Equal(t, time.Duration(1), margin(19))
}

func TestGrantEndsByBothClocksWhateverTheStoreSays(t *testing.T) {
	now := time.Now()
	until := now.Add(thirty).Round(0) // A store's times have no monotonic clock.
	end := grant{duration: thirty, asked: until, until: until}.end(now)
	assert.Equal(t, 27*sec, timeLeft(now, end))
	later := slept(now.Add(10*sec), -time.Hour)
	assert.Equal(t, 17*sec, timeLeft(later, end), "the wall clock was set back")
}

func TestTermBeginsWithItsGrant(t *testing.T) {
	is := newTerm(grantUntil(thirty), noon)
	assert.Equal(t, term{token: 7, duration: thirty, end: noon.Add(27 * sec)}, is)
	assert.True(t, is.live())
	assert.NoError(t, is.cause())
	assert.False(t, is.isWanted())
	assert.False(t, is.isFreed())
}

var (
	allPhases = []phase{held, wanted, expired, lost, released}
	allFates  = []fate{notFreed, freed, handedOver, taken}
	allFacts  = []factKind{
		timePassed, renewed, wishSeen, noWishSeen, lossSeen, givenUp, workStuck, discardCalled,
		rowFreed, rowHandedOver, rowTaken,
	}
)

// TestTermAfterEachEventInEachPhaseAndFate is the whole table of transitions.
func TestTermAfterEachEventInEachPhaseAndFate(t *testing.T) {
	for _, phase := range allPhases {
		for _, fate := range allFates {
			for _, kind := range allFacts {
				was := termAt(phase, fate)
				f := fact{kind: kind, at: noon.Add(sec), grant: grantUntil(31 * sec)}
				is := was.after(f)
				what := fmt.Sprintf("phase %d, fate %d, fact %d", phase, fate, kind)
				assert.Equal(t, wantPhase(was, kind), is.phase, what)
				assert.Equal(t, wantFate(was, kind), is.fate, what)
				assert.Equal(t, was.live() && kind == discardCalled, is.discarded, what)
				assert.Equal(t, was.live() && kind == workStuck, is.stuck, what)
				assert.Equal(t, was.live() && kind == renewed, is.end != was.end, what)
				assert.Equal(t, was.live() && kind == wishSeen, is.wish != was.wish, what)
			}
		}
	}
}

// wantPhase is that after a fact. One that is over stays as it is.
func wantPhase(was term, kind factKind) phase {
	next := map[factKind]phase{
		wishSeen:      wanted,
		lossSeen:      lost,
		givenUp:       released,
		workStuck:     released,
		discardCalled: released,
	}
	is, changes := next[kind]
	if changes && (was.phase == held || was.phase == wanted) {
		return is
	}
	return was.phase
}

// wantFate is that after a fact. What the row's last write came to counts in any phase.
func wantFate(was term, kind factKind) fate {
	next := map[factKind]fate{rowFreed: freed, rowHandedOver: handedOver, rowTaken: taken}
	if is, changes := next[kind]; changes {
		return is
	}
	return was.fate
}

// TestTermIsExpiredAtItsEndWhateverHappensThen: no fact revives it, or says that it ended
// otherwise.
func TestTermIsExpiredAtItsEndWhateverHappensThen(t *testing.T) {
	for _, phase := range []phase{held, wanted} {
		for _, kind := range allFacts {
			f := fact{kind: kind, grant: grantUntil(time.Hour)}
			was := termAt(phase, notFreed)
			f.at = was.end.Add(-1)
			assert.Equal(t, kind == lossSeen, was.after(f).phase == lost, "fact %d", kind)
			assert.NotEqual(t, expired, was.after(f).phase, "fact %d", kind)
			for _, at := range []time.Time{was.end, was.end.Add(1), was.end.Add(time.Hour)} {
				f.at = at
				is := was.after(f)
				assert.Equal(t, expired, is.phase, "fact %d at %v", kind, at)
				assert.Equal(t, was.end, is.end, "fact %d at %v", kind, at)
			}
		}
	}
}

func TestTermExpiresByTheClockThatIsFurther(t *testing.T) {
	now := time.Now()
	until := now.Add(thirty)
	is := newTerm(grant{duration: thirty, asked: until, until: until}, now)
	const lasts = 27 * sec
	for name, c := range map[string]struct {
		at   time.Time
		want phase
	}{
		"both before the end":               {now.Add(lasts - 1), held},
		"both at the end":                   {now.Add(lasts), expired},
		"slept until before the end":        {slept(now, lasts-1), held},
		"slept to the end":                  {slept(now, lasts), expired},
		"set back, the monotonic before":    {slept(now.Add(lasts-1), -time.Hour), held},
		"set back, the monotonic at an end": {slept(now.Add(lasts), -time.Hour), expired},
	} {
		assert.Equal(t, c.want, is.at(c.at).phase, name)
		assert.Equal(t, c.want == held, is.left(c.at) > 0, name)
	}
}

func TestTermsPhaseIsNeverLeftAgainByTime(t *testing.T) {
	for _, phase := range []phase{expired, lost, released} {
		assert.Equal(t, phase, termAt(phase, notFreed).at(noon.Add(time.Hour)).phase)
	}
}

func TestTermIsExtendedByWhatARenewalGrants(t *testing.T) {
	for name, c := range map[string]struct {
		duration     time.Duration
		asked, until time.Duration
		wantEnd      time.Duration
		wantDuration time.Duration
	}{
		"later":                         {thirty, 40 * sec, 40 * sec, 37 * sec, thirty},
		"later, of another length":      {20 * sec, 40 * sec, 40 * sec, 38 * sec, 20 * sec},
		"more than was asked for":       {thirty, 40 * sec, time.Hour, 37 * sec, thirty},
		"earlier: a reply out of order": {20 * sec, 20 * sec, 20 * sec, 27 * sec, thirty},
		"equal, of another length":      {20 * sec, 29 * sec, 29 * sec, 27 * sec, thirty},
		"a nanosecond later":            {20 * sec, 29*sec + 1, 29*sec + 1, 27*sec + 1, 20 * sec},
		"short, but later":              {20 * sec, 60 * sec, 50 * sec, 48 * sec, 20 * sec},
		"short, and earlier":            {20 * sec, 60 * sec, 12 * sec, 10 * sec, 20 * sec},
	} {
		g := grant{duration: c.duration, asked: noon.Add(c.asked), until: noon.Add(c.until)}
		f := fact{kind: renewed, at: noon.Add(sec), grant: g}
		is := termAt(held, notFreed).after(f)
		assert.Equal(t, noon.Add(c.wantEnd), is.end, name)
		assert.Equal(t, c.wantDuration, is.duration, name)
		assert.Equal(t, held, is.phase, name)
	}
}

func TestTermIsExpiredByAGrantThatIsOver(t *testing.T) {
	at := noon.Add(10 * sec)
	for left, want := range map[time.Duration]phase{
		3 * sec:    expired,
		3*sec + 1:  held,
		-time.Hour: expired,
	} {
		g := grant{token: 8, duration: thirty, asked: at.Add(thirty), until: at.Add(left)}
		is := termAt(held, notFreed).after(fact{kind: renewed, at: at, grant: g})
		assert.Equal(t, want, is.phase, "%v were granted", left)
	}
}

func TestTermsTokenNeverFalls(t *testing.T) {
	for token, want := range map[int64]int64{0: 7, 6: 7, 7: 7, 8: 8} {
		g := grantUntil(40 * sec)
		g.token = token
		is := termAt(held, notFreed).after(fact{kind: renewed, at: noon, grant: g})
		assert.Equal(t, want, is.token)
	}
}

func TestTermRemembersSinceWhenItIsWantedAndByWhomLast(t *testing.T) {
	first := wish{by: "w2", until: noon.Add(20 * sec)}
	is := termAt(held, notFreed)
	is = is.after(fact{kind: wishSeen, at: noon.Add(sec), wish: first})
	assert.Equal(t, wish{by: "w2", since: noon.Add(sec), until: first.until}, is.wish)
	assert.True(t, is.isWanted())

	second := wish{by: "", until: noon.Add(10 * sec)}
	is = is.after(fact{kind: wishSeen, at: noon.Add(2 * sec), wish: second})
	assert.Equal(t, wish{by: "", since: noon.Add(sec), until: second.until}, is.wish)
	assert.Equal(t, wanted, is.phase)

	is = is.after(fact{kind: givenUp, at: noon.Add(3 * sec)})
	assert.True(t, is.isWanted(), "it is handed over then")
}

func TestTermHeedsAWishOnlyWhenTheWisherCanHaveTheItem(t *testing.T) {
	wishUntil := func(left time.Duration) fact {
		return fact{kind: wishSeen, at: noon.Add(left), wish: wish{by: "w2", until: noon.Add(left + sec)}}
	}
	g := grantUntil(thirty)
	g.namesakeUntil = noon.Add(20 * sec)
	is := newTerm(g, noon)
	is = is.after(wishUntil(19 * sec))
	assert.Equal(t, held, is.phase)
	assert.Equal(t, noon.Add(44*sec), is.prolonged(noon.Add(19*sec)), "it asks nowhere else")
	forgot := is.after(fact{kind: noWishSeen, at: noon.Add(19 * sec)})
	assert.Zero(t, forgot.prolonged(noon.Add(19*sec)), "it has gone")
	assert.Equal(t, held, forgot.phase)
	assert.Equal(t, wanted, is.after(wishUntil(20*sec)).phase)

	operators := fact{kind: wishSeen, at: noon, wish: wish{until: noon.Add(thirty)}}
	assert.Equal(t, wanted, newTerm(g, noon).after(operators).phase, "it is for no other worker")
}

func TestTermForgetsNoWishThatItHeeds(t *testing.T) {
	was := termAt(wanted, notFreed)
	is := was.after(fact{kind: noWishSeen, at: noon.Add(sec)})
	assert.Equal(t, was, is)
}

func TestTermSaysWhatItsPhaseAndFateMean(t *testing.T) {
	causes := map[phase]error{
		expired:  LeaseExpiredError,
		lost:     LeaseLostError,
		released: LeaseReleasedError,
	}
	for _, phase := range allPhases {
		is := termAt(phase, notFreed)
		isLive := phase == held || phase == wanted
		assert.Equal(t, causes[phase], is.cause())
		assert.Equal(t, isLive, is.live())
		assert.Equal(t, isLive, is.left(noon) > 0)
		assert.Equal(t, phase == wanted, is.isWanted())
	}
	stuck := termAt(held, notFreed).after(fact{kind: workStuck, at: noon})
	assert.Equal(t, LeaseStuckError, stuck.cause())
	for _, fate := range allFates {
		isFreed := fate == freed || fate == handedOver
		assert.Equal(t, isFreed, termAt(released, fate).isFreed())
	}
}

// After its work has ended, only what this worker has released itself is its own to rest from; and
// what it has retired, if the work says that this didn't go well.
func TestTermIsGoneUnlessItsHolderReleasedIt(t *testing.T) {
	for _, phase := range allPhases {
		for _, fate := range allFates {
			isOwn := phase == released && fate != taken
			assert.Equal(t, !isOwn, termAt(phase, fate).isGone(false), "%v %v", phase, fate)
			assert.Equal(t, !isOwn, termAt(phase, fate).isGone(true), "%v %v", phase, fate)
		}
	}
	retired := termAt(held, notFreed).after(fact{kind: discardCalled, at: noon})
	assert.True(t, retired.isGone(false))
	assert.False(t, retired.isGone(true))
}

func TestTermSaysWhatIsLeftAndWhenItsRowEnds(t *testing.T) {
	is := termAt(held, notFreed)
	assert.Equal(t, 26*sec, is.left(noon.Add(sec)))
	assert.Zero(t, is.left(noon.Add(time.Hour)), "never less than nothing")
	assert.Zero(t, termAt(released, notFreed).left(noon))
	assert.Equal(t, noon.Add(thirty), is.rowEnd())
	assert.Equal(t, 10*sec, is.period())
}

func TestTermsRenewalNeverMovesTheRowsEndBack(t *testing.T) {
	is := termAt(held, notFreed)
	at := noon.Add(10 * sec)
	assert.Equal(t, noon.Add(40*sec), is.renewedUntil(at, thirty))
	assert.Equal(t, noon.Add(30*sec+1), is.renewedUntil(at, 20*sec+1))
	assert.Equal(t, noon.Add(30*sec), is.renewedUntil(at, 20*sec))
	assert.Equal(t, noon.Add(30*sec), is.renewedUntil(at, sec))
}

func TestTermProlongsAWishWhileItsWorkTakesItsTime(t *testing.T) {
	of := func(duration time.Duration, w wish) term {
		is := termAt(wanted, notFreed)
		is.duration = duration
		is.wish = w
		return is
	}
	known := wish{by: "w2", since: noon, until: noon.Add(25 * sec)}
	long := wish{by: "w2", since: noon, until: noon.Add(time.Hour)}
	operators := wish{since: noon, until: noon.Add(25 * sec)}
	for name, c := range map[string]struct {
		term term
		at   time.Duration
		want time.Time
	}{
		"at first":                 {of(thirty, known), 0, noon.Add(25 * sec)},
		"later":                    {of(thirty, known), 10 * sec, noon.Add(35 * sec)},
		"one that lasts longer":    {of(thirty, long), 10 * sec, noon.Add(time.Hour)},
		"much later":               {of(thirty, known), hour, noon.Add(hour + 25*sec)},
		"of a long lease":          {of(hour, known), 24 * hour, noon.Add(24*hour + 50*time.Minute)},
		"for nobody in particular": {term: of(thirty, operators), at: sec},
	} {
		assert.Equal(t, c.want, c.term.prolonged(noon.Add(c.at)), name)
	}
}

func TestTermReservesForAsLongAsTheWishWithinBounds(t *testing.T) {
	of := func(duration time.Duration, by string, left time.Duration) term {
		is := termAt(released, notFreed)
		is.duration = duration
		is.wish = wish{by: by, since: noon, until: noon.Add(left)}
		return is
	}
	for name, c := range map[string]struct {
		term term
		want time.Duration
	}{
		"as long as the wish":               {of(thirty, "w2", 25*sec), 25 * sec},
		"a period at least":                 {of(thirty, "w2", sec), 10 * sec},
		"30 seconds at most":                {of(thirty, "w2", time.Hour), 30 * sec},
		"also of a long lease":              {of(24*hour, "w2", 20*hour), 30 * sec},
		"also where the wish is over":       {of(24*hour, "w2", sec), 30 * sec},
		"an operator's wish":                {of(thirty, "", 25*sec), 10 * sec},
		"an operator's, of very short ones": {of(3*sec, "", time.Hour), sec},
	} {
		assert.Equal(t, noon.Add(c.want), c.term.reservedUntil(noon), name)
	}
}

func TestWishesLastTwoAndAHalfPeriods(t *testing.T) {
	assert.Equal(t, 25*sec, wishDuration(thirty))
}

func TestLaterIsTheLaterOfTwoTimes(t *testing.T) {
	assert.Equal(t, noon.Add(1), later(noon, noon.Add(1)))
	assert.Equal(t, noon.Add(1), later(noon.Add(1), noon))
}
