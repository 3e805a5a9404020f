package main

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/cmd/lease/internal/dynamo"
	"github.com/intercom/lease/cmd/lease/internal/fleet"
)

func TestReleaseIsBoundToWhatTheOperatorSaw(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l := f.lease("a", "w1", time.Hour)
	token := strconv.FormatInt(l.FencingToken(), 10)
	before := f.row("a")
	r := f.run("release", "a", "-token", strconv.FormatInt(l.FencingToken()-1, 10), "-yes")
	assertOneLine(t, r, 1, "nothing was released", "is held by w1 with the token "+token)
	assertOneLine(t, f.run("release", "a", "-token", token, "-holder", "w2", "-yes"), 1, "nothing was released", "w1")
	assertOneLine(t, f.run("release", "b", "-token", token, "-yes"), 1, "no item b")
	assertOneLine(t, f.run("release", "a", "-token", token), 2, "-yes")
	assert.Equal(t, before, f.row("a"))

	r = f.run("release", "-yes", "a", "-token", token, "-holder", "w1")
	assert.Equal(t, 0, r.status)
	assert.Equal(t, "a: released; w1 had it, with the token "+token+"\n", r.stdout)
	assert.Regexp(t, `\Alease: a is held by w1 [^\n]*\nlease: This frees it by force\. w1 learns of that with its next renewal; `+
		`until then it and the next holder may both work on it\.\n\z`, r.stderr)
	assert.Empty(t, f.item("a").LesseeID)
	assert.Zero(t, f.item("a").LeaseUntil)
	assert.Equal(t, token, *f.row("a")["ForcedToken"].N)
	assertOneLine(t, f.run("release", "a", "-token", token, "-yes"), 1, "nothing was released", "is free")
	assert.Equal(t, lease.LeaseLostError, f.RenewLease(l, time.Now().Add(time.Hour)))

	f.put(fleet.Row{"id": str("old"), "ProcessID": str("w1"), "LeaseUntil": fleet.Number(time.Now().Add(time.Hour).UnixNano())})
	assertOneLine(t, f.run("release", "old", "-token", "0", "-yes"), 1, "nothing was released", "no token")
}

// TestNothingIsReleasedThatChangesWhileTheOperatorIsAsked: the row changes just before the write.
func TestReleaseFreesNothingThatChangesAtTheLastMoment(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l := f.lease("a", "w1", time.Hour)
	var changed atomic.Bool
	env := f.through(nil, func(_ http.ResponseWriter, r *http.Request, _ *http.Response) {
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".GetItem") && changed.CompareAndSwap(false, true) {
			assert.NoError(t, f.ReleaseLease(l))
			_, err := f.Lease("a", dynamo.Lessee{Name: "w2", Duration: time.Hour}, time.Now().Add(time.Hour))
			assert.NoError(t, err)
		}
	})
	r := runWith(t, env, "release", "a", "-yes", "-token", strconv.FormatInt(l.FencingToken(), 10))
	assert.Equal(t, 1, r.status)
	assert.Empty(t, r.stdout)
	assert.Contains(t, r.stderr, fmt.Sprintf("lease: nothing was released, as it has changed meanwhile: a is held by w2 with the token %d", l.FencingToken()+1))
	assert.Equal(t, "w2", f.item("a").LesseeID)
}

func TestReleaseAsksOnATerminal(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	token := strconv.FormatInt(f.lease("a", "w1", time.Hour).FencingToken(), 10)
	x := f.onTerminal(80, 24, "release", "a", "-token", token)
	x.shown.await(t, "Release it? [y/N] ")
	assert.Contains(t, x.shown.String(), "until then it and the next holder may both work on it")
	x.press("\r")
	assert.Equal(t, 1, x.end())
	x.shown.await(t, "lease: nothing was released\r\n")
	assert.Equal(t, "w1", f.item("a").LesseeID)

	x = f.onTerminal(80, 24, "release", "a", "-token", token)
	x.shown.await(t, "[y/N] ")
	x.press("\x03")
	assert.Equal(t, 128+2, x.end())
	assert.Equal(t, "w1", f.item("a").LesseeID)

	x = f.onTerminal(80, 24, "release", "a", "-token", token)
	x.shown.await(t, "[y/N] ")
	x.press("y\r")
	assert.Equal(t, 0, x.end())
	x.shown.await(t, "a: released; w1 had it")
	assert.Empty(t, f.item("a").LesseeID)
}

func TestReleaseDoesNothingIfTheRowChangesWhileItAsks(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l := f.lease("a", "w1", time.Hour)
	x := f.onTerminal(80, 24, "release", "a", "-token", strconv.FormatInt(l.FencingToken(), 10))
	x.shown.await(t, "[y/N] ")
	require.NoError(t, f.ReleaseLease(l))
	f.lease("a", "w2", time.Hour)
	x.press("y\r")
	assert.Equal(t, 1, x.end())
	x.shown.await(t, "it has changed meanwhile: a is held by w2")
	assert.Equal(t, "w2", f.item("a").LesseeID)
}
