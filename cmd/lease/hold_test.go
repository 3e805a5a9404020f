package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/cmd/lease/internal/dynamo"
	"github.com/intercom/lease/cmd/lease/internal/exit"
	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/say"
	"github.com/intercom/lease/cmd/lease/internal/tend"
)

func TestHoldRunsACommandAndHasItsStatus(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	r := f.run("hold", "-as", "w 1", "sh", "-c", `echo "$LEASE_ID $LEASE_TOKEN $LEASE_LESSEE $1"; echo oops >&2; exit 3`, "-", "-x")
	assert.Equal(t, result{fmt.Sprintf("a %d w 1 -x\n", f.item("a").FencingToken), "oops\n", 3}, r)
	assert.Empty(t, f.item("a").LesseeID, "it was released")
	assert.Equal(t, result{status: 0}, f.run("hold", "-as", "w1", "--", "true"))
	assert.Equal(t, result{status: 128 + 10}, f.run("hold", "-as", "w1", "--", "sh", "-c", "kill -USR1 $$"))
	assert.Equal(t, result{status: 75}, f.run("hold", "-as", "w1", "sh", "-c", "exit 75"))
	assertOneLine(t, f.run("hold", "-as", "w1", "no-such-command"), 127, "no-such-command")
	assertOneLine(t, f.run("hold", "-as", "w1", "/no/such/command"), 127, "/no/such/command")
	assertOneLine(t, f.run("hold", "-as", "w1", "/etc/passwd"), 126, "/etc/passwd", "permission denied")
	assertOneLine(t, f.run("hold", "-as", "w1", "/etc"), 126, "/etc")
	script := filepath.Join(t.TempDir(), "script")
	require.NoError(t, os.WriteFile(script, []byte("#!/no/such/shell\n"), 0o755))
	assertOneLine(t, f.run("hold", "-as", "w1", script), 127, "script")
	assert.Empty(t, f.item("a").LesseeID, "it was released")
}

func TestHoldPassesStdinOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	p := f.prepare("hold", "-as", "w1", "cat")
	p.Stdin = strings.NewReader("hello\n")
	p.begin()
	assert.Equal(t, result{stdout: "hello\n"}, p.wait())
}

func TestHoldPassesOtherDescriptorsOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	p := f.prepare("hold")
	p.Path, p.Args = "/bin/sh", []string{"sh", "-c", `"$0" hold -as w1 -- sh -c 'cat <&3; cat <&4' 3<"$1" 4<"$1"`, binary(t), filepath.Join(t.TempDir(), "file")}
	require.NoError(t, os.WriteFile(p.Args[4], []byte("read\n"), 0o600))
	p.begin()
	r := p.wait()
	assert.Equal(t, 0, r.status, r.stderr)
	assert.Equal(t, "read\nread\n", r.stdout)
}

func TestHoldOfAnItemWhoseNameNoEnvironmentCanHave(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a\x00b")
	assertOneLine(t, f.run("hold", "-as", "w1", "true"), 125, `"a\x00b"`, "name")
	assert.Empty(t, f.item("a\x00b").LesseeID, "it was released")
}

func TestHoldWaitsForAnItemAndCanBeStoppedMeanwhile(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l := f.lease("a", "w1", time.Hour)
	stopped := f.start("hold", "-as", "w2", "echo", "w2: never")
	waits := f.start("hold", "-as", "w3", "-duration", "20s", "echo", "w3: at last")
	await(t, "both have started their guards", func() bool { return len(children(stopped.Process.Pid)) == 1 && len(children(waits.Process.Pid)) == 1 })
	require.NoError(t, stopped.Process.Signal(syscall.SIGTERM))
	assert.Equal(t, result{status: 128 + 15}, stopped.wait())
	require.NoError(t, f.ReleaseLease(l))
	r := waits.wait()
	assert.Equal(t, 0, r.status)
	assert.Equal(t, "w3: at last\n", r.stdout)
}

func TestHoldToldToStopWaitsForTheWholeGroupAndThenReleases(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	dir := t.TempDir()
	// The shell ends at once, and what it has started when it may.
	p := f.hold("w1", "-duration", "20s", "sh", "-c", `cd `+dir+`
		(trap 'until [ -e may ]; do sleep 0.05; done; echo >done; exit' TERM; echo >ready; while :; do sleep 0.05; done) &
		until [ -e ready ]; do sleep 0.05; done; echo "w1: runs"; wait`)
	before := f.item("a").LeaseUntil
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	await(t, "the lease is renewed meanwhile", func() bool { return f.item("a").LeaseUntil > before })
	require.Equal(t, "w1", f.item("a").LesseeID)
	require.NoError(t, os.WriteFile(dir+"/may", nil, 0o600))
	assert.Equal(t, 128+15, p.wait().status)
	assert.True(t, tend.Exists(dir+"/done"))
	assert.Empty(t, f.item("a").LesseeID)
}

func TestHoldKillsADeafCommandAtAnotherSignal(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	p := f.hold("w1", "sh", "-c", `trap '' TERM; echo "w1: deaf"; while :; do sleep 0.05; done`)
	require.NoError(t, p.Process.Signal(syscall.SIGINT))
	assert.Equal(t, "w1", f.item("a").LesseeID)
	await(t, "another signal kills it", func() bool { return p.Process.Signal(syscall.SIGTERM) != nil })
	assert.Equal(t, 128+9, p.wait().status)
	assert.Empty(t, f.item("a").LesseeID)
}

func TestHoldEndsWhatItsCommandLeavesBeforeTheRelease(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	dir := t.TempDir()
	r := f.run("hold", "-as", "w1", "sh", "-c", `cd `+dir+`; echo $$ >group
		(trap '' TERM; echo >ready; while :; do sleep 0.05; done) >/dev/null 2>&1 &
		until [ -e ready ]; do sleep 0.05; done; exit 4`)
	assert.Equal(t, result{status: 4}, r)
	text, err := os.ReadFile(dir + "/group")
	require.NoError(t, err)
	group, err := strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	assert.False(t, alive(group))
	assert.Empty(t, f.item("a").LesseeID)
}

func TestHoldEndsItsCommandWhenItsLeaseIsTakenAway(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	late := measureLateness(t)
	p := f.hold("w1", append([]string{"-duration", "20s"}, work(t.TempDir()+"/ticks")...)...)
	r := f.run("release", "a", "-yes", "-token", strconv.FormatInt(f.item("a").FencingToken, 10))
	require.Equal(t, 0, r.status, r.stderr)
	f.lease("a", "thief", time.Hour)
	r = p.wait()
	assert.Equal(t, 75, r.status)
	assert.Contains(t, r.stderr, " lease: the lease of a was lost, and its command was ended\n")
	assert.Equal(t, "thief", f.item("a").LesseeID)
	if late() < 50*time.Millisecond { // It has a second.
		assert.Contains(t, r.stdout, "w1: TERM\n", "it could clean up")
	}
}

func TestHoldSaysInJSONWhatALineIsAbout(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	p := f.hold("w1", "-json", "-duration", "20s", "sh", "-c", `echo "w1: runs"; sleep 600`)
	token := f.item("a").FencingToken
	row := f.row("a")
	row["ProcessID"] = str("thief")
	row["FencingToken"] = fleet.Number(token + 1)
	row["LeaseUntil"] = fleet.Number(time.Now().Add(time.Hour).UnixNano())
	row[fleet.ForcedAttribute] = fleet.Number(token)
	f.put(row) // All in one: it may renew at any time.
	r := p.wait()
	assert.Equal(t, 75, r.status)
	var said []say.About
	for line := range strings.Lines(r.stderr) {
		var s struct {
			Time    time.Time
			Message string
			say.About
		}
		require.NoError(t, json.Unmarshal([]byte(line), &s), line)
		assert.NotZero(t, s.Time, line)
		assert.NotEmpty(t, s.Message, line)
		said = append(said, s.About)
	}
	assert.Equal(t, []say.About{
		{Item: "a", Cause: "was lost"},
		{Item: "a"}, // freed by force
		{Item: "a", Holder: "thief", Token: token + 1},
	}, said)
}

func TestHoldKillsADeafCommandWhenItsLeaseIsTakenAway(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	p := f.hold("w1", "-duration", "20s", "sh", "-c", `trap '' TERM; echo "w1: deaf"; while :; do sleep 0.05; done`)
	groups := groupsOf(p)
	require.NoError(t, f.run("release", "a", "-yes", "-token", strconv.FormatInt(f.item("a").FencingToken, 10)).err())
	assert.Equal(t, 75, p.wait().status)
	awaitEnded(t, groups...)
}

func TestHoldUnderNohupStays(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	may := filepath.Join(t.TempDir(), "may")
	p := f.prepare("hold")
	p.Path = "/bin/sh"
	p.Args = []string{"sh", "-c", `trap '' HUP
		exec "$0" hold -as w1 -- sh -c 'echo "w1: runs"; until [ -e "$1" ]; do sleep 0.05; done; exit 6' - "$1"`, binary(t), may}
	p.begin()
	p.stdout.await(t, "w1: runs")
	require.NoError(t, p.Process.Signal(syscall.SIGHUP))
	require.NoError(t, os.WriteFile(may, nil, 0o600))
	assert.Equal(t, 6, p.wait().status)
}

func TestHoldBuriesWhatItsCommandsLeave(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere they aren't adopted")
	}
	f := newFixture(t, "a")
	p := f.hold("w1", "-most", "1", "sh", "-c", `for i in 1 2 3; do (setsid sleep 0.5 &); done; echo "w1: runs"; sleep 100`)
	await(t, "they have ended and are buried", func() bool {
		left := 0
		for _, child := range children(p.Process.Pid) {
			if text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child)); strings.Contains(string(text), ") Z ") {
				left++
			}
		}
		return left == 0 && len(children(p.Process.Pid)) == 2
	})
}

func TestHoldOfOneItemTellsItsAttributes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.put(fleet.Row{"id": str("a")})
	f.put(fleet.Row{"id": str("b"), "Server": str("imap"), "Port": fleet.Number(993), "Old": {BOOL: aws.Bool(false)}, "None": {NULL: aws.Bool(true)},
		"Tags": {SS: aws.StringSlice([]string{"x"})}, "Sizes": {NS: aws.StringSlice([]string{"12345678901234567890"})},
		"More": {M: fleet.Row{"Empty": {L: []*dynamodb.AttributeValue{}}}}, "Bytes": {B: []byte("hi")}, "LeaseWeight": fleet.Number(2)})
	r := f.run("hold", "-item", "b", "sh", "-c", `echo "$LEASE_ID $LEASE_ATTRIBUTES"`)
	assert.Equal(t, result{stdout: `b {"Bytes":"aGk=","More":{"Empty":[]},"None":null,"Old":false,"Port":993,` +
		`"Server":"imap","Sizes":[12345678901234567890],"Tags":["x"]}` + "\n"}, r)
	assertOneLine(t, f.run("hold", "-item", "c", "true"), 125, "no item c")
}

func TestHoldOfWhatIsNotToBeHad(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a", "b")
	f.lease("a", "w1", time.Hour)
	assertOneLine(t, f.run("hold", "-item", "a", "-try", "true"), 75, "a is held by w1")
	r := f.run("hold", "-item", "a", "-wait", "1500ms", "true")
	assert.Equal(t, 75, r.status)
	assert.Contains(t, r.stderr, "a is held by w1")
	assert.Equal(t, result{stdout: "b\n"}, f.run("hold", "-try", "sh", "-c", "echo $LEASE_ID"), "any other")
	assert.Equal(t, result{stdout: "b\n"}, f.run("hold", "-item", "b", "-try", "sh", "-c", "sleep 2; echo $LEASE_ID"))
	f.lease("b", "w2", time.Hour)
	assertOneLine(t, f.run("hold", "-try", "true"), 75, "2 items: 2 held")
}

func TestHoldLingersAfterSuccess(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	assert.Equal(t, 3, f.run("hold", "-item", "a", "-linger", "1h", "sh", "-c", "exit 3").status)
	assert.Empty(t, f.item("a").LesseeID, "after a failure it is free")
	assert.Equal(t, result{}, f.run("hold", "-as", "host-1", "-item", "a", "-linger", "1h", "true"))
	assert.Equal(t, "host-1", f.item("a").LesseeID)
	assert.Greater(t, time.Until(f.item("a").Until), 50*time.Minute)
	assertOneLine(t, f.run("hold", "-item", "a", "-linger", "1h", "-try", "true"), 75, "held by host-1")
}

func TestHoldSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a", "b")
	f.lease("a", "w1", time.Hour)
	f.lease("b", "w1", time.Hour)
	any, one, none := f.start("hold", "true"), f.start("hold", "-json", "-item", "b", "true"), newFixture(t).start("hold", "true")
	any.stderr.await(t, "lease: waiting: 2 items: 2 held, 0 reserved, 0 free")
	one.stderr.await(t, `"message":"waiting: b is held by w1 with the token`)
	one.stderr.await(t, `"item":"b"`)
	none.stderr.await(t, "has no items: register some")
	assert.Regexp(t, `^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d lease: waiting`, any.stderr.String())
	for _, p := range []*process{any, one, none} {
		require.NoError(t, p.Process.Signal(syscall.SIGTERM))
		assert.Equal(t, 128+15, p.wait().status)
	}
}

func TestHoldSaysWhyItWaitsInAnOutage(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	f.env = f.through(func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("X-Amzn-Requestid", "1")
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, `{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"out of order"}`)
		return true
	}, nil)
	p := f.start("hold", "-as", "w1", "true")
	p.stderr.await(t, "lease: waiting: dynamodb:DescribeTable on table")
	p.stderr.await(t, "out of order")
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	assert.Equal(t, 128+15, p.wait().status)
}

func TestHoldThatBeginsInAnOutageWaitsItOut(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	down := f.outage()
	down.Store(true)
	var running []*process
	for _, flags := range [][]string{nil, {"-wait", "5m"}} {
		p := f.start(slices.Concat([]string{"hold"}, flags, []string{"echo", "works"})...)
		p.stderr.await(t, " lease: waiting: no answer from http://")
		running = append(running, p)
	}
	down.Store(false)
	for _, p := range running {
		r := p.wait()
		assert.Equal(t, "works\n", r.stdout)
		assert.Equal(t, 0, r.status, r.stderr)
	}
	down.Store(true)
	r := f.run("hold", "-try", "true")
	assert.Equal(t, exit.CantHold, r.status, r.stderr)
}

func TestHoldSaysNothingOfARenewalWhoseTenureIsOver(t *testing.T) {
	t.Parallel()
	var told []string
	var abouts []say.About
	a := &app{}
	a.Client.Store(new(dynamo.Client))
	n := &news{
		holder: &holder{app: a},
		tell: func(about say.About, format string, args ...any) {
			told = append(told, fmt.Sprintf(format, args...))
			abouts = append(abouts, about)
		},
	}
	n.phase.Store(working)
	at := time.Now()
	hear := func(kind lease.EventKind, id string) {
		n.hear(lease.Event{Kind: kind, At: at, LeaseID: id, Err: errors.New("no")})
		at = at.Add(time.Second)
	}
	hear(lease.EventRenewalFailed, "a")
	hear(lease.EventRenewalFailed, "a")
	hear(lease.EventRenewed, "a")
	for _, over := range []lease.EventKind{lease.EventGivenUp, lease.EventLost, lease.EventExpired, lease.EventStuck} {
		hear(lease.EventRenewalFailed, "b")
		hear(over, "b")
		hear(lease.EventRenewed, "b")
	}
	for _, id := range []string{"a", "b"} {
		hear(lease.EventRenewalFailed, id)
	}
	hear(lease.EventRenewed, "b")
	hear(lease.EventRenewed, "a")
	const fails = "the renewal of b fails: no"
	assert.Equal(t, []string{
		"the renewal of a fails: no", "renewals work again, after 2s", fails, fails, fails, fails,
		"the renewal of a fails: no", "renewals work again, after 3s",
	}, told)
	assert.Equal(t, []say.About{{Item: "a", Cause: "no"}, {Lasted: 2}, {Item: "b", Cause: "no"}}, abouts[:3])
}

func TestHoldSaysWhenRenewalsFailWhyAndWhenThatIsOver(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	var refused atomic.Bool
	f.env = f.through(func(w http.ResponseWriter, r *http.Request) bool {
		if refused.Load() {
			w.Header().Set("X-Amzn-Requestid", "1")
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"__type":"com.amazonaws.dynamodb.v20120810#ExpiredTokenException","message":"The security token is expired"}`)
		}
		return refused.Load()
	}, nil)
	p := f.hold("w1", "-duration", "30s", "sh", "-c", `echo "w1: runs"; while :; do sleep 0.05; done`)
	refused.Store(true)
	p.stderr.await(t, "the renewal of a fails: AWS refuses the credentials: renew them")
	refused.Store(false)
	p.stderr.await(t, "renewals work again, after ")
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	assert.Equal(t, 128+15, p.wait().status)
	assert.NotContains(t, p.stderr.String(), "lost")
}

func TestHoldEndsACommandWhoseWatchdogIsSilent(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	began := time.Now()
	self, err := os.Executable()
	require.NoError(t, err)
	// What says that it goes on takes a moment to start, on a busy machine some seconds.
	r := f.run("hold", "-watchdog", "10s", "sh", "-c", `trap 'echo TERM; exit 0' TERM
		for i in 1 2 3; do "$0" WATCHDOG=1; sleep 4; done; echo "$WATCHDOG_USEC"; while :; do sleep 0.05; done`, self)
	assert.Equal(t, 1, r.status)
	assert.Equal(t, "10000000\nTERM\n", r.stdout)
	assert.Contains(t, r.stderr, "the command for a has not said for 10s that it goes on, and is ended")
	assert.Greater(t, time.Since(began), 18*time.Second)
	assert.Empty(t, f.item("a").LesseeID)

	r = f.run("hold", "-watchdog", "1s", "-patience", "100ms", "sh", "-c", `trap '' TERM; while :; do sleep 0.05; done`)
	assert.Equal(t, 128+9, r.status)
	r = f.run("hold", "-watchdog", "1h", "sh", "-c", `"$0" WATCHDOG=trigger; sleep 100`, self)
	assert.Equal(t, 128+15, r.status)
}

func TestHoldMostTakesPartInSomeItems(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a-1", "a-2/inbox", "b-1")
	p := f.start("hold", "-most", "0", "-items", "a-*", "-capacity", "2", "sh", "-c", `echo "$LEASE_ID"; sleep 100`)
	await(t, "it has two", func() bool { return strings.Count(p.stdout.String(), "a-") == 2 })
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	assert.Equal(t, 0, p.wait().status)
	assert.NotContains(t, p.stdout.String(), "b-1")
}

func TestHoldMostRunsACommandForEachItemOfItsShare(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a", "b", "c", "d")
	ticks := filepath.Join(t.TempDir(), "ticks")
	first := f.start(append([]string{"hold", "-as", "w1", "-most", "3", "-duration", "20s"}, work(ticks)...)...)
	count := func(p *process, text string) int { return strings.Count(p.stdout.String(), text) }
	await(t, "it has three", func() bool { return count(first, "w1: ") == 3 })
	second := f.start(append([]string{"hold", "-as", "w2", "-most", "0", "-duration", "20s"}, work(ticks)...)...)
	await(t, "they have two each", func() bool { return count(first, "TERM") == 1 && count(second, "w2: ") == 2 })
	require.NoError(t, first.Process.Signal(syscall.SIGTERM))
	r := first.wait()
	assert.Equal(t, 0, r.status, r.stderr)
	assert.Equal(t, 3, count(first, "w1: TERM"))
	await(t, "the other has all", func() bool { return count(second, "w2: ") == 4 })
	groups := groupsOf(second)
	assert.Len(t, groups, 4)
	require.NoError(t, second.Process.Kill())
	<-second.ended
	awaitEnded(t, groups...)
}

func TestHoldMostSaysWhichCommandsFail(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	p := f.start("hold", "-as", "w1", "-most", "1", "sh", "-c", "exit 3")
	p.stderr.await(t, "lease: the command for a ended with status 3\n")
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	assert.Equal(t, 0, p.wait().status)
}

func TestHoldGivesItsCommandTheTerminal(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	x := f.onTerminal(80, 24, "hold", "-as", "w1", "sh", "-c", `read -r line; echo "got <$line>"; exit 5`)
	x.press("hello\r")
	assert.Equal(t, 5, x.end())
	x.shown.await(t, "got <hello>")

	x = f.onTerminal(80, 24, "hold", "-as", "w1", "sh", "-c", `echo ready; while :; do sleep 0.05; done`)
	x.shown.await(t, "ready")
	x.press("\x1a") // Ctrl-Z
	x.shown.await(t, "can't be suspended")
	x.press("\x03")
	assert.Equal(t, -2, x.end(), "it ends of SIGINT itself")
	assert.Empty(t, f.item("a").LesseeID)

	p := f.prepare("hold")
	path, err := exec.LookPath("sh")
	require.NoError(t, err)
	p.Path, p.Args = path, []string{"sh", "-c", `"$0" hold -as w1 -- sh -c 'echo ready; while :; do sleep 0.05; done'; echo goes on`, binary(t)}
	x = f.startOnTerminal(80, 24, p)
	x.shown.await(t, "ready")
	x.press("\x03")
	x.wait()
	assert.NotContains(t, x.shown.String(), "goes on", "the script around it ends as well")

	for _, shell := range [][]string{{"sh", "-c"}, {"bash", "--norc", "--noprofile", "-i", "-c"}} { // one leaves the terminal to whom it starts
		p := f.prepare("hold")
		path, err := exec.LookPath(shell[0])
		require.NoError(t, err)
		p.Path, p.Args = path, append(shell, `"$0" hold -as w1 true; read -r line; echo "shell got <$line>"`, binary(t))
		x = f.startOnTerminal(80, 24, p)
		x.press("hello\r")
		assert.Equal(t, 0, x.wait().status)
		x.shown.await(t, "shell got <hello>")
	}
}

// A shell that is stopped while it starts a program stands still, but for that program.
func TestHoldOnATerminalResumesWhatStoppedAlone(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere it isn't found")
	}
	f := newFixture(t, "a")
	x := f.onTerminal(80, 24, "hold", "-as", "w1", "sh", "-c", `sh -c 'sh -c "kill -STOP \$\$"; true'; echo "goes on"`)
	x.shown.await(t, "can't be suspended")
	x.shown.await(t, "goes on")
	assert.Equal(t, 0, x.end())
}

// A pager in the pipeline keeps the terminal.
func TestHoldInAPipelineLeavesTheTerminalToOthers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	p := f.prepare("hold")
	path, err := exec.LookPath("sh")
	require.NoError(t, err)
	p.Path, p.Args = path, []string{"sh", "-c", `"$0" hold -as w1 -- sh -c 'echo one; sleep 1' | { read -r x; read -r line </dev/tty; echo "pager got <$x> <$line>"; }`, binary(t)}
	x := f.startOnTerminal(80, 24, p)
	x.press("hello\r")
	assert.Equal(t, 0, x.end())
	x.shown.await(t, "pager got <one> <hello>")
}

var rounds = flag.Int("rounds", 3, "of TestHoldOfManyHostsCronRunsAJobOnce")

// TestHoldOfManyHostsCronRunsAJobOnce: three hosts start the same job, up to 2 s apart.
func TestHoldOfManyHostsCronRunsAJobOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "job")
	file := filepath.Join(t.TempDir(), "runs")
	for round := range *rounds {
		late := measureLateness(t)
		var hosts []*process
		for host := range 3 {
			if host > 0 {
				time.Sleep(rand.N(time.Second))
			}
			hosts = append(hosts, f.start("hold", "-item", "job", "-try", "-linger", "5s", "sh", "-c", "echo >>"+file))
		}
		statuses := make(map[int]int)
		for _, p := range hosts {
			statuses[p.wait().status]++
		}
		runs, err := os.ReadFile(file)
		require.NoError(t, err)
		if late() < time.Second { // Else they may have been more than the 5 s apart.
			assert.Len(t, runs, round+1)
			assert.Equal(t, map[int]int{0: 1, 75: 2}, statuses)
		}
		require.NoError(t, os.WriteFile(file, bytes.Repeat([]byte("\n"), round+1), 0o600))
		await(t, "it is free", func() bool { return !f.item("job").Until.After(time.Now()) })
	}
}
