package main

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
)

func TestInitMakesTheTableAndSaysWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.table += "-new"
	r := f.run("init", "-table", f.table, "-key", "mailbox")
	assert.Equal(t, result{stdout: f.table + ": made, with the hash key mailbox\n"}, r)
	out, err := f.ddb.DescribeTable(&dynamodb.DescribeTableInput{TableName: &f.table})
	require.NoError(t, err)
	assert.Equal(t, "PAY_PER_REQUEST", *out.Table.BillingModeSummary.BillingMode)
	assert.Equal(t, "mailbox", *out.Table.KeySchema[0].AttributeName)
	assert.Equal(t, result{stdout: f.table + ": was there already, with the hash key mailbox\n"}, f.run("init", "-table", f.table))
	assertOneLine(t, f.run("init", "-table", f.table, "-key", "other"), 1, `"mailbox"`, `"other"`)
	f.table += "-2"
	assert.Equal(t, result{stdout: f.table + ": made, with the hash key id\n"}, f.run("init", "-table", f.table))
}

func TestAddAndRetireGoOnAfterOneFails(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "b")
	r := f.run("add", "a", "b", "-set", "Server=imap=1", "c", "-set", "Port=993")
	assertOneLine(t, r, 1, "b is registered already")
	assert.Equal(t, "a: added\nc: added\n", r.stdout)
	added := f.row("c")
	assert.Equal(t, str("imap=1"), added["Server"])
	assert.Equal(t, str("993"), added["Port"])
	token, err := strconv.ParseInt(*added["FencingToken"].N, 10, 64)
	require.NoError(t, err)
	assert.InDelta(t, time.Now().UnixMilli(), token, 30_000)
	assert.Equal(t, number(0), added["LeaseUntil"])
	assert.Equal(t, added["FencingToken"], added["FirstToken"])
	assertOneLine(t, f.run("add", "d", "-set", "ProcessID=me"), 1, "ProcessID")
	assertOneLine(t, f.run("add", ""), 1, "empty")

	f.lease("a", "w1", time.Hour)
	f.put(row{"id": str("bad"), "LeaseUntil": str("soon")})
	r = f.run("retire", "a", "missing", "bad", "c")
	assert.Equal(t, 1, r.status)
	assert.Equal(t, "c: retired\n", r.stdout)
	assert.Regexp(t, `\Alease: a is held by w1 with the token \d+, for another \S+: stop its holder, or ask for it by "lease yield", and try again\n`+
		`lease: there is no item missing in table "\S+"\nlease: bad stays, [^\n]*LeaseUntil "" is not a number\): [^\n]*\n\z`, r.stderr)
	assert.Nil(t, f.row("c"))
	assert.NotNil(t, f.row("a"))
}

// work is a shell script that says what it holds, notes the time ten times a second, and ends on SIGTERM with status 7.
func work(file string) []string {
	return []string{"sh", "-c", `trap 'echo "$LEASE_LESSEE: TERM"; exit 7' TERM; echo "$LEASE_LESSEE: $LEASE_ID $LEASE_TOKEN"
		while :; do date +%s%N >>'` + file + `'; sleep 0.1; done`}
}

// hold starts a holder, and waits until its command runs.
func (f *fixture) hold(name string, args ...string) *process {
	f.tb.Helper()
	p := f.start(append([]string{"hold", "-as", name}, args...)...)
	p.stdout.await(f.tb, name+": ")
	return p
}

func TestYieldHandsAnItemOverAndSaysWhoHasItThen(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	ticks := t.TempDir() + "/ticks"
	first := f.hold("w1", append([]string{"-duration", "3s", "--"}, work(ticks)...)...)
	token := f.item("a").FencingToken
	second := f.start(append([]string{"hold", "-as", "w2", "-duration", "3s", "--"}, work(ticks)...)...)
	r := f.run("yield", "a", "-to", "w2", "-wait", "20s")
	assert.Equal(t, result{stdout: fmt.Sprintf("a: asked w1 to hand it over to w2\na: w2 has it, with the token %d\n", token+1)}, r)
	assert.Equal(t, 7, first.wait().status)
	second.stdout.await(t, fmt.Sprintf("w2: a %d\n", token+1))
	assert.Equal(t, result{stdout: fmt.Sprintf("a: w2 has it, with the token %d\n", token+1)}, f.run("yield", "a", "-to", "w2"))

	third := f.start(append([]string{"hold", "-as", "w3", "-duration", "3s", "--"}, work(ticks)...)...)
	r = f.run("yield", "a")
	assert.Equal(t, result{stdout: fmt.Sprintf("a: asked w2 to give it up, for whoever comes\na: w3 has it, with the token %d\n", token+2)}, r)
	assert.Equal(t, 7, second.wait().status)
	require.NoError(t, third.Process.Signal(syscall.SIGTERM))
	assert.Equal(t, 7, third.wait().status)
	assert.Equal(t, result{stdout: "a: nobody holds it\n"}, f.run("yield", "a"))
}

func TestYieldOfAHolderThatHeedsNoWishesFails(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a", "free")
	f.lease("a", "w1", time.Hour)
	began := time.Now()
	r := f.run("yield", "a", "missing", "free", "-wait", "1s")
	assert.Equal(t, 1, r.status)
	assert.Less(t, time.Since(began), 10*time.Second)
	assert.Contains(t, r.stdout, "a: asked w1 to give it up, for whoever comes\n")
	assert.Contains(t, r.stdout, "free: nobody holds it\n")
	assert.Contains(t, r.stderr, "lease: there is no item missing")
	assert.Regexp(t, `(?m)^lease: a was not given up: it is held by w1 with the token \d+`, r.stderr)

	wish := f.item("a")
	assert.Empty(t, wish.WantedBy)
	assert.Equal(t, wish.WantedUntil, wish.LeaseUntil, "its next renewal shows it")
	assert.Equal(t, result{stdout: "a: asked w1 to hand it over to w2\n"}, f.run("yield", "-wait", "0", "a", "-to", "w2"))
	assert.Equal(t, "w2", f.item("a").WantedBy)
}

func TestYieldOfManyItemsWaitsForAllAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.fill(40)
	require.NoError(t, f.WantLease(t.Context(), f.item("item-000007"), "w2", time.Now().Add(2*time.Hour)))
	args := []string{"yield", "-wait", "1s"}
	for n := range 40 {
		args = append(args, fmt.Sprintf("item-%06d", n))
	}
	p := f.start(args...)
	await(t, "all are asked, none before another is waited for", func() bool { return strings.Count(p.stdout.String(), "\n") == 40 })
	assert.Empty(t, p.stderr.String())
	assert.Contains(t, p.stdout.String(), "item-000007: w2 has asked worker-07 for it already\n")
	r := p.wait()
	assert.Equal(t, 1, r.status)
	assert.Equal(t, 40, strings.Count(r.stderr, "was not given up"))
	assert.Equal(t, "w2", f.item("item-000007").WantedBy)
}

func TestYieldWaitsOutAnOutage(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l := f.lease("a", "w1", time.Hour)
	down := f.outage()
	p := f.start("yield", "a", "-wait", "30s")
	p.stdout.await(t, "asked w1")
	down.Store(true)
	p.stderr.await(t, "it asks on")
	require.NoError(t, f.ReleaseLease(l))
	l = f.lease("a", "w2", time.Hour)
	down.Store(false)
	r := p.wait()
	assert.Equal(t, 0, r.status, r.stderr)
	assert.Contains(t, r.stdout, fmt.Sprintf("a: w2 has it, with the token %d\n", l.FencingToken()))
	assert.Equal(t, 1, strings.Count(r.stderr, "\n"))
}

func TestAnAnswerWithoutACodeIsNotOfDynamoDB(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.env = f.through(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusNotFound)
		w.Write([]byte(`{"message":"no Route matched with those values"}`))
		return true
	}, nil)
	assertOneLine(t, f.run("list"), 1, "is no DynamoDB")
}

func TestYieldSaysWhenNobodyOrTheWrongOneHasIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l := f.lease("a", "w1", time.Hour)
	p := f.start("yield", "a", "-to", "w2", "-wait", "20s")
	p.stdout.await(t, "asked w1")
	require.NoError(t, f.ReleaseLease(l))
	f.lease("a", "w3", time.Hour)
	assertOneLine(t, p.wait(), 1, "a went to w3, not to w2")

	l = f.lease("a", "w3", 2*time.Hour)
	p = f.start("yield", "a", "-wait", "2s")
	p.stdout.await(t, "asked w3")
	require.NoError(t, f.ReleaseLease(l))
	r := p.wait()
	assert.Equal(t, 0, r.status)
	assert.Contains(t, r.stdout, "a: w3 gave it up, and nobody has it yet: it is free\n")

	l = f.lease("a", "w3", 2*time.Hour)
	require.NoError(t, f.WantLease(t.Context(), f.item("a"), "w4", time.Now().Add(time.Minute)))
	p = f.start("yield", "a", "-to", "w4", "-wait", "2s")
	p.stdout.await(t, "asked w3")
	require.NoError(t, f.HandOverLease(t.Context(), l, time.Now().Add(time.Minute)))
	r = p.wait()
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.stderr, "lease: a is reserved for w4, which has not taken it yet\n")
	assert.Equal(t, result{stdout: "a: is reserved for w4 already\n"}, f.run("yield", "a", "-to", "w4", "-wait", "0s"))
}

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
	assertOneLine(t, f.run("release", "a", "-token", token, "-yes"), 1, "nothing was released", "is free")
	assert.Equal(t, lease.LeaseLostError, f.RenewLease(l, time.Now().Add(time.Hour)))

	f.put(row{"id": str("old"), "ProcessID": str("w1"), "LeaseUntil": number(time.Now().Add(time.Hour).UnixNano())})
	assertOneLine(t, f.run("release", "old", "-token", "0", "-yes"), 1, "nothing was released", "no token")
}

// TestNothingIsReleasedThatChangesWhileTheOperatorIsAsked: the row changes just before the write.
func TestNothingIsReleasedThatChangesAtTheLastMoment(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l := f.lease("a", "w1", time.Hour)
	var changed atomic.Bool
	env := f.through(nil, func(_ http.ResponseWriter, r *http.Request, _ *http.Response) {
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".GetItem") && changed.CompareAndSwap(false, true) {
			assert.NoError(t, f.ReleaseLease(l))
			_, err := f.Lease("a", lessee{"w2", time.Hour}, time.Now().Add(time.Hour))
			assert.NoError(t, err)
		}
	})
	r := runWith(t, env, "release", "a", "-yes", "-token", strconv.FormatInt(l.FencingToken(), 10))
	assert.Equal(t, 1, r.status)
	assert.Empty(t, r.stdout)
	assert.Contains(t, r.stderr, fmt.Sprintf("lease: nothing was released, as it has changed meanwhile: a is held by w2 with the token %d", l.FencingToken()+1))
	assert.Equal(t, "w2", f.item("a").LesseeID)
}
