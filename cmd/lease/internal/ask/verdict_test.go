package ask

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/fleet/fleettest"
)

func seenAtNoon(i fleet.Item) sight { return sight{Item: i, found: true, now: fleettest.Noon} }

func TestAskingJudgesWhetherThereIsAHolderToAsk(t *testing.T) {
	t.Parallel()
	asks := verdict{step: stepAsk}
	stands := verdict{step: stepAsked}
	for _, test := range []struct {
		name string
		to   string
		is   fleet.Item
		want verdict
	}{
		{"held", "", fleettest.HeldItem("w1", 5), asks},
		{"held, for another", "w2", fleettest.HeldItem("w1", 5), asks},
		{"had already", "w2", fleettest.HeldItem("w2", 5), done("w2 has it, with the token 5")},
		{"on its way already", "w2", fleettest.ReservedItem("w2", 5), stands},
		{"asked for already", "", fleettest.WishedItem("w1", 5, "", 20*time.Second), stands},
		{"asked for by another already", "", fleettest.WishedItem("w1", 5, "w3", 20*time.Second), stands},
		{"asked for already, for another", "w2", fleettest.WishedItem("w1", 5, "w2", 20*time.Second), stands},
		{"asked for, for yet another", "w2", fleettest.WishedItem("w1", 5, "w3", 20*time.Second), asks},
		{"asked for, but not for long", "", fleettest.WishedItem("w1", 5, "", 19*time.Second), asks},
		{"asked for long ago", "", fleettest.WishedItem("w1", 5, "", -time.Second), asks},
		{"free", "", fleettest.FreeItem(5), done("nobody holds it")},
		{"free, for another", "w2", fleettest.FreeItem(5), failedf("nobody holds a, to hand it over to w2: it is free")},
		{"kept from all", "", fleettest.HeldItem("", 5), done("nobody holds it; it is kept from all for another 20s, " +
			"as an older process of its last holder's name may rely on it")},
		{"unusable", "", fleettest.UnusableItem(), failedf("a can't be leased: odd")},
	} {
		q := &asking{id: "a", to: test.to}
		assert.Equal(t, test.want, q.judgeHolder(seenAtNoon(test.is)), test.name)
	}
}

func TestAskingJudgesWhatHasBecomeOfTheItem(t *testing.T) {
	t.Parallel()
	waits := verdict{step: stepWait}
	asks := verdict{step: stepAsk}
	asked := fleettest.WishedItem("w1", 5, "", 20*time.Second)
	askedTo := fleettest.WishedItem("w1", 5, "w2", 20*time.Second)
	handed := fleettest.ReservedItem("w2", 5)
	for _, test := range []struct {
		name      string
		to        string
		asked, is fleet.Item
		want      verdict // while there is time
		late      verdict // when there is none left
	}{
		{"still held", "", asked, asked, waits,
			failedf("a was not given up: it is held by w1 with the token 5, for another 20s; " +
				"work may take longer, or the holder heeds no wishes")},
		{"still held, for another", "w2", askedTo, askedTo, waits,
			failedf("a was not given up: it is held by w1 with the token 5, for another 20s; " +
				"work may take longer, or the holder heeds no wishes")},
		{"held without a wish", "", asked, fleettest.HeldItem("w1", 5), asks,
			failedf("a was not given up: it is held by w1 with the token 5, for another 20s; " +
				"work may take longer, or the holder heeds no wishes")},
		{"wished for by another", "w2", askedTo, fleettest.WishedItem("w1", 5, "w3", time.Minute), asks,
			failedf("a was not given up: it is held by w1 with the token 5, for another 20s; " +
				"work may take longer, or the holder heeds no wishes")},
		{"free", "", asked, fleettest.FreeItem(5), waits, done("w1 gave it up, and nobody has it yet: it is free")},
		{"free, for another", "w2", askedTo, fleettest.FreeItem(5), waits,
			failedf("a was given up by w1, but w2 has not taken it")},
		{"free, once reserved", "w2", handed, fleettest.FreeItem(5), waits,
			failedf("a was reserved for w2, which has not taken it: it is free")},
		{"kept from all", "", asked, fleettest.HeldItem("", 5), waits,
			donef("w1 gave it up, and nobody has it yet: it %s", fleettest.HeldItem("", 5).Describe(fleettest.Noon))},
		{"reserved", "", asked, fleettest.ReservedItem("w3", 5), waits,
			done("w1 gave it up, and it is reserved for w3, which has not taken it yet")},
		{"reserved, for another", "w2", askedTo, handed, waits,
			failedf("a is reserved for w2, which has not taken it yet")},
		{"reserved still", "w2", handed, handed, waits,
			failedf("a is reserved for w2, which has not taken it yet")},
		{"taken", "", asked, fleettest.HeldItem("w3", 6),
			done("w3 has it, with the token 6"), done("w3 has it, with the token 6")},
		{"taken, by another", "w2", askedTo, fleettest.HeldItem("w2", 6),
			done("w2 has it, with the token 6"), done("w2 has it, with the token 6")},
		{"taken by the wrong one", "w2", askedTo, fleettest.HeldItem("w3", 6),
			failedf("a went to w3, not to w2: it is held by w3 with the token 6, for another 20s"),
			failedf("a went to w3, not to w2: it is held by w3 with the token 6, for another 20s")},
		{"taken again", "", asked, fleettest.HeldItem("w1", 6),
			done("w1 gave it up, and has it again, with the token 6"),
			done("w1 gave it up, and has it again, with the token 6")},
		{"reserved for who was asked, in another tenure", "", asked, fleettest.ReservedItem("w1", 6),
			done("w1 gave it up, and has it again, with the token 6"),
			done("w1 gave it up, and has it again, with the token 6")},
		{"unusable", "", asked, fleettest.UnusableItem(), done("can't be leased: odd"), done("can't be leased: odd")},
	} {
		q := &asking{id: "a", to: test.to}
		q.noteAsked(seenAtNoon(test.asked))
		s := seenAtNoon(test.is)
		q.noteFreed(s)
		assert.Equal(t, test.want, q.judge(s), test.name)
		s.late = true
		assert.Equal(t, test.late, q.judge(s), "%s, late", test.name)
	}
	q := &asking{id: "a"}
	q.noteAsked(seenAtNoon(asked))
	assert.Equal(t, done("was retired"), q.judge(sight{now: fleettest.Noon}))

	q = &asking{id: "a", to: "w2"}
	q.noteAsked(seenAtNoon(handed))
	assert.Equal(t, asks, q.judge(seenAtNoon(fleettest.HeldItem("w2", 6))), "w2 has taken it: asking says so")
}

func TestAskingWatchesAFreedItemForAWhile(t *testing.T) {
	t.Parallel()
	q := &asking{id: "a"}
	q.noteAsked(seenAtNoon(fleettest.HeldItem("w1", 5)))
	for _, test := range []struct {
		after time.Duration
		want  step
	}{
		{0, stepWait},
		{lookAround, stepWait},
		{lookAround + time.Second, stepDone},
	} {
		s := seenAtNoon(fleettest.FreeItem(5))
		s.now = fleettest.Noon.Add(test.after)
		q.noteFreed(s)
		assert.Equal(t, test.want, q.judge(s).step, test.after)
	}
}

func TestAskingSaysWhatItHasAskedFor(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		to    string
		asked fleet.Item
		want  string
	}{
		{"", fleettest.HeldItem("w1", 5), "asked w1 to give it up, for whoever comes"},
		{"", fleettest.WishedItem("w1", 5, "", time.Minute), "asked w1 to give it up, for whoever comes"},
		{"", fleettest.WishedItem("w1", 5, "w3", time.Minute), "w3 has asked w1 for it already"},
		{"w2", fleettest.WishedItem("w1", 5, "w2", time.Minute), "asked w1 to hand it over to w2"},
		{"w2", fleettest.ReservedItem("w2", 5), "is reserved for w2 already"},
	} {
		q := &asking{id: "a", to: test.to}
		q.noteAsked(seenAtNoon(test.asked))
		assert.Equal(t, test.want, q.text())
	}
}

func TestWishLastsAsLongAsTheLease(t *testing.T) {
	t.Parallel()
	s := seenAtNoon(fleettest.HeldItem("w1", 5))
	assert.Equal(t, s.Until, s.endOfWish())
	s.Until = fleettest.Noon.Add(time.Second)
	assert.Equal(t, fleettest.Noon.Add(5*time.Second), s.endOfWish(), "the holder may still renew")
}

func TestAskingJudgesHowToHaveAnItemThatIsToBeRetired(t *testing.T) {
	t.Parallel()
	waits := verdict{step: stepWait}
	asks := verdict{step: stepAsk}
	takes := verdict{step: stepTake}
	stays := failedf("a stays, and is asked for no longer: it is held by w1 with the token 5, for another 20s; " +
		"work may take longer, or the holder heeds no wishes")
	reserved := failedf("a stays, and is asked for no longer: it is reserved for w2, for another 20s; " +
		"work may take longer, or the holder heeds no wishes")
	unreadable := failedf("a stays, as its row doesn't tell whether it is held (odd): mend the row, or delete it by other means")
	for _, test := range []struct {
		name string
		is   fleet.Item
		want verdict // while there is time
		late verdict // when there is none left
	}{
		{"free", fleettest.FreeItem(5), takes, takes},
		{"handed over", fleettest.ReservedItem("me", 5), takes, takes},
		{"leased, and not deleted", fleettest.HeldItem("me", 5), takes, takes},
		{"held", fleettest.HeldItem("w1", 5), asks, stays},
		{"asked for", fleettest.WishedItem("w1", 5, "me", 20*time.Second), waits, stays},
		{"asked for, but not for long", fleettest.WishedItem("w1", 5, "me", 19*time.Second), asks, stays},
		{"asked for by another", fleettest.WishedItem("w1", 5, "w2", 20*time.Second), asks, stays},
		{"handed over to another", fleettest.ReservedItem("w2", 5), asks, reserved},
		{"kept from all", fleettest.HeldItem("", 5), waits, failedf("a stays, and is asked for no longer: it %s; "+
			"work may take longer, or the holder heeds no wishes", fleettest.HeldItem("", 5).Describe(fleettest.Noon))},
		{"unusable", fleettest.UnusableItem(), unreadable, unreadable},
	} {
		q := &asking{id: "a", to: "me"}
		s := seenAtNoon(test.is)
		assert.Equal(t, test.want, q.judgeRetirement(s), test.name)
		q.noteAsked(s)
		assert.Equal(t, test.want, q.judgeRetirement(s), "%s, asked", test.name)
		s.late = true
		assert.Equal(t, test.late, q.judgeRetirement(s), "%s, late", test.name)
	}
	late := seenAtNoon(fleettest.HeldItem("w1", 5))
	late.late = true
	q := &asking{id: "a", to: "me"}
	assert.Equal(t, asks, q.judgeRetirement(late), "it asks once, however late")
	assert.Equal(t, done("was retired"), q.judgeRetirement(sight{now: fleettest.Noon}))
}
