package lease

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/stretchr/testify/assert"
)

func TestWaitAfterAPassHasBounds(t *testing.T) {
	failure := errors.New("out of order")
	for _, c := range []struct {
		err        error
		waitPeriod time.Duration
		want       time.Duration
	}{
		{LeaseNotObtainedError, sec, sec},
		{LeaseNotObtainedError, 10 * ms, 10 * ms},
		{LeaseNotObtainedError, 1, 10 * ms},
		{failure, sec, sec},
		{failure, 100 * ms, 100 * ms},
		{failure, 10 * ms, 100 * ms},
	} {
		assert.Equal(t, c.want, waitAfter(c.err, c.waitPeriod), "%v, %v", c.err, c.waitPeriod)
	}
}

func TestPageIsStaleAfterSoManyRacesLost(t *testing.T) {
	seen := page{items: freeItems(5)}
	unseen := pageOf(several("a", 5, unseenItem))
	hasMore := page{items: freeItems(5), next: "free-4"}
	assert.Equal(t, 3, seen.staleAfter(0))
	assert.Equal(t, 3, hasMore.staleAfter(0), "of a full page")
	assert.Equal(t, 3, seen.staleAfter(1024), "of all items")
	assert.Equal(t, 1, hasMore.staleAfter(1024), "of the first few")
	assert.Equal(t, 6, unseen.staleAfter(0), "never")
	assert.Equal(t, 3, page{}.staleAfter(0))
}

func TestPassTriesNoItemTwiceAsItWasSeen(t *testing.T) {
	p := &pass{tried: make(map[sighting]bool)}
	assert.True(t, p.isNew(heldItem("a", "w1", 1)))
	assert.False(t, p.isNew(heldItem("a", "w1", 1)))
	assert.True(t, p.isNew(heldItem("a", "w1", 2)), "it has changed")
	assert.True(t, p.isNew(heldItem("b", "w1", 1)))
}

func TestPassNotesWhetherTheTableHasManyPages(t *testing.T) {
	last := page{items: freeItems(1)}
	full := page{items: freeItems(1), next: "free-0"}
	for name, c := range map[string]struct {
		after string
		limit int
		page  page
		was   bool
		want  bool
	}{
		"a full page with more after it": {"", 0, full, false, true},
		"a full one somewhere":           {"x", 0, full, false, true},
		"all":                            {"", 0, last, true, false},
		"all, though limited":            {"", 1024, last, true, false},
		"the first few tell nothing":     {"", 1024, full, false, false},
		"nor that there is one":          {"", 1024, full, true, true},
		"the last page tells nothing":    {"x", 0, last, true, true},
	} {
		p := &pass{locker: &Locker{}}
		p.locker.manyPages.Store(c.was)
		p.noteSize(c.after, c.limit, c.page)
		assert.Equal(t, c.want, p.locker.manyPages.Load(), name)
	}
}

func TestPageKnowsItsItems(t *testing.T) {
	p := page{items: freeItems(2)}
	assert.Equal(t, "free-0", p.first())
	assert.True(t, p.has("free-1"))
	assert.False(t, p.has("free-2"))
	assert.Empty(t, page{}.first())
	assert.False(t, page{}.has(""))
}

func TestPassWalksAFullPageWhereAllWasHeld(t *testing.T) {
	l := &Locker{}
	assert.Equal(t, 1024, l.newPass(requested{lessee: "me"}, forCaller, 0).limit)
	l.allHeld.Store(true)
	assert.Zero(t, l.newPass(requested{lessee: "me"}, forCaller, 0).limit)
}

func TestErrorsThatEndAWaitOrAreOfOneRowAreToldApart(t *testing.T) {
	setup := setupf("no table")
	ofRow := rowError{errors.New("a wrong type")}
	invalid := awserr.New("ValidationException", "too large", nil)
	other := awserr.New("AccessDeniedException", "", nil)
	for _, c := range []struct {
		err            error
		final, isOfRow bool
	}{
		{setup, true, false},
		{fmt.Errorf("wrapped: %w", setup), true, false},
		{ofRow, false, true},
		{fmt.Errorf("wrapped: %w", ofRow), false, true},
		{invalid, false, true},
		{other, false, false},
		{LeaseNotObtainedError, false, false},
		{context.Canceled, false, false},
	} {
		assert.Equal(t, c.final, isFinal(c.err), "%v", c.err)
		assert.Equal(t, c.isOfRow, isOfRow(c.err), "%v", c.err)
	}
}

func TestLeaseIsCompletedByWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	until := time.Now().Add(time.Hour)
	theirs := requested{lessee: "w1", duration: time.Minute}
	request := requested{lessee: "w1", duration: time.Hour, original: theirs}
	stores := &Lease{LeaseID: "b"}
	got, err := complete(stores, "a", request, until)
	assert.NoError(t, err)
	assert.Equal(t, &Lease{LeaseID: "a", Request: theirs, Until: until}, got)
	assert.Equal(t, &Lease{LeaseID: "b"}, stores, "the store may keep its own")
}

func TestAttemptIsMadeOnWhatThisLockerDoesNotUse(t *testing.T) {
	t.Parallel()
	for _, purpose := range []purpose{forCaller, forWork} {
		for _, evenUnrenewed := range []bool{false, true} {
			a := attempt{purpose: purpose, evenUnrenewed: evenUnrenewed}
			assert.True(t, a.allows(unheld))
			assert.Equal(t, evenUnrenewed, a.allows(unrenewed))
			assert.False(t, a.allows(inUse))
		}
	}
}
