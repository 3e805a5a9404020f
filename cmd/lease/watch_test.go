package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease/cmd/lease/internal/dynamo"
	"github.com/intercom/lease/cmd/lease/internal/fleet"
)

func TestWatchOnATerminalShowsATakeover(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a", "b")
	f.lease("a", "w1", time.Hour)
	f.lease("b", "w3", time.Hour)
	x := f.onTerminal(120, 24, "watch", "-every", "100ms")
	x.line(`^>  ?a +held +w1 `)
	f.expire("a")
	x.line(` ended +a  the lease of w1, token \d+$`)
	second := f.hold("w2", work(t.TempDir()+"/ticks")...)
	x.line(`^>[* ]a +held +w2 `)
	x.line(` obtained +a  by w2, after w1, token \d+$`)
	assert.Contains(t, second.stdout.String(), "w2: a")
	x.line(`^2 items: 2 held, `)
	x.line(`holders: 2$`)
	x.line(`^> a +held +w2 `) // It is marked no longer.

	x.press("q")
	assert.Equal(t, 0, x.end())
	x.isAsBefore()
}

func TestWatchLeavesTheTerminalAsItWas(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	for name, leave := range map[string]func(x *terminal){
		"Ctrl-C":  func(x *terminal) { x.press("\x03") },
		"SIGTERM": func(x *terminal) { x.Process.Signal(syscall.SIGTERM) },
		"SIGHUP":  func(x *terminal) { x.Process.Signal(syscall.SIGHUP) },
		"SIGINT":  func(x *terminal) { x.Process.Signal(syscall.SIGINT) },
	} {
		t.Run(name, func(t *testing.T) {
			x := f.onTerminal(80, 24, "watch")
			x.tb = t
			x.line(`^> a `)
			leave(x)
			assert.Equal(t, 0, x.end())
			x.isAsBefore()
		})
	}
}

func TestWatchFollowsTheWindowsSize(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.fill(50)
	x := f.onTerminal(80, 24, "watch", "-every", "200ms")
	x.line(`^> item-000000 `)
	x.line(`^── 1 to 18 of 50 items by name ─`)
	x.resize(40, 10)
	x.line(`^── 1 to 4 of 50 items by name ─`)
	x.press(" jj\x1b[Ak")
	x.line(`^> item…004 `)
	x.press("G")
	x.line(`^── 47 to 50 of 50 items by name ─`)
	x.press("g")
	x.line(`^── 1 to 4 of 50 items by name ─`)
	for _, size := range [][2]uint16{{1, 1}, {3, 2}, {500, 300}, {5, 4}} {
		x.resize(size[0], size[1])
	}
	x.resize(60, 12)
	x.line(`^── 1 to 6 of 50 items by name ─`)
	x.resize(0, 0) // It isn't known.
	x.line(`^── 1 to 18 of 50 items by name ─`)
	x.press("q")
	assert.Equal(t, 0, x.end())
}

// TestWatchIsSuspendedAndResumed: Ctrl-Z gives the terminal back to the shell, and fg the screen to watch. Where no shell is,
// Ctrl-Z does nothing: nobody could resume it.
func TestWatchIsSuspendedAndResumed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	p := f.prepare()
	p.Path = "/bin/bash"
	p.Args = []string{"bash", "--norc", "--noprofile", "-i"}
	p.Env = append(p.Env, "PS1=prompt: ", "LEASE="+binary(t))
	x := f.startOnTerminal(80, 24, p)
	x.shown.await(t, "prompt: ")
	x.press("$LEASE watch -every 100ms\n")
	x.line(`^> a `)
	x.press("\x1a")
	x.shown.await(t, "Stopped")
	await(t, "the screen is the shell's", func() bool { return !x.emulator.IsAltScreen() })
	x.press("fg\n")
	await(t, "the screen is there again", x.emulator.IsAltScreen)
	x.line(`^> a `)
	x.press("q")
	x.isAsBefore()
	x.press("echo left $?\n")
	x.shown.await(t, "left 0")
	x.press("exit\n")
	x.wait()

	alone := f.onTerminal(80, 24, "watch", "-every", "100ms")
	alone.line(`^> a `)
	alone.press("\x1ah")
	alone.line(`of 0 holders ─`)
	alone.press("q")
	assert.Equal(t, 0, alone.end())
}

// happening is something that happens, and what the line has that tells of it.
type happening struct {
	do   func()
	line string
}

// events starts "lease watch", lets things happen, one after the other is seen, and returns what it printed.
func (f *fixture) events(args []string, happen ...happening) string {
	f.tb.Helper()
	p := f.start(append([]string{"watch", "-every", "50ms"}, args...)...)
	p.stderr.await(f.tb, "watching ")
	p.stdout.await(f.tb, "state")
	for _, h := range happen {
		h.do()
		p.stdout.await(f.tb, h.line)
	}
	require.NoError(f.tb, p.Process.Signal(syscall.SIGINT))
	r := p.wait()
	assert.Equal(f.tb, 0, r.status)
	return r.stdout
}

func TestWatchPrintsAnEventALine(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a", "c")
	l := f.lease("c", "w1", time.Hour)
	lines := strings.Split(strings.TrimSpace(f.events(nil, []happening{
		{func() { require.NoError(t, f.AddLeaseID("b", nil)) }, "registered "},
		{func() { l = f.lease("a", "w1", time.Hour) }, "by w1, token"},
		{func() { f.want("a", "w2") }, "wanted "},
		{func() { require.NoError(t, f.HandOverLease(t.Context(), l, time.Now().Add(time.Minute))) }, "handed_over "},
		{func() { l = f.lease("a", "w2", time.Hour) }, "obtained     a  by w2"},
		{func() { require.NoError(t, f.ReleaseLease(l)) }, "released "},
		{func() { l = f.lease("a", "w3", time.Hour) }, "obtained     a  by w3"},
		{func() {
			require.Equal(t, 0, f.run("release", "a", "-yes", "-token", strconv.FormatInt(l.FencingToken(), 10)).status)
		}, "freed "},
		{func() { l = f.lease("a", "w4", time.Hour) }, "obtained     a  by w4"},
		{func() { require.NoError(t, f.ReleaseLease(l)) }, "released     a  by w4"},
	}...)), "\n")
	want := []string{
		`state        a  free  token \d+`, `state        c  held  by w1, token \d+, until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d`,
		`registered   b`, `obtained     a  by w1, token \d+`, `wanted       a  by w2, from w1`, `handed_over  a  by w1 to w2, token \d+`,
		`obtained     a  by w2, token \d+`, `released     a  by w2, token \d+`, `obtained     a  by w3, token \d+`,
		`freed        a  by force, from w3, token \d+`, `obtained     a  by w4, token \d+`, `released     a  by w4, token \d+`,
	}
	require.Len(t, lines, len(want))
	for n, line := range lines {
		assert.Regexp(t, `^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  `+want[n]+`$`, line)
	}
}

func TestWatchPrintsEventsAsJSON(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a", "b")
	began := time.Now()
	out := f.events([]string{"-json"}, []happening{
		{func() { f.lease("b", "w3", time.Hour) }, `"obtained"`},
		{func() { f.expire("b") }, `"ended"`},
		{func() { require.NoError(t, f.RemoveLeaseID("b")) }, `"retired"`},
	}...)
	var kinds []fleet.Kind
	for s := bufio.NewScanner(strings.NewReader(out)); s.Scan(); {
		var e struct {
			fleet.Event
			Time  string      `json:"time"`
			Ends  string      `json:"ends"`
			State fleet.State `json:"state"`
		}
		d := json.NewDecoder(strings.NewReader(s.Text()))
		d.DisallowUnknownFields()
		require.NoError(t, d.Decode(&e))
		kinds = append(kinds, e.Event.Event)
		if e.Event.Event == fleet.IsThere {
			assert.Equal(t, fleet.Free, e.State)
			continue
		}
		assert.Equal(t, "b", e.Item)
		assert.Equal(t, e.Event.Event == fleet.Obtained, e.Ends != "")
		at, err := time.Parse(time.RFC3339, e.Time)
		require.NoError(t, err)
		assert.WithinRange(t, at, began.Add(-2*time.Second), time.Now().Add(2*time.Second))
	}
	assert.Equal(t, []fleet.Kind{fleet.IsThere, fleet.IsThere, fleet.Obtained, fleet.Ended, fleet.Retired}, kinds)
}

func TestWatchPrintsRenewalsOnlyWhenVerbose(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l := f.lease("a", "w1", time.Hour)
	renew := func() { require.NoError(t, f.RenewLease(l, time.Now().Add(2*time.Hour))) }
	assert.Regexp(t, `\n\S+ \S+  renewed      a  by w1, token `, f.events([]string{"-v"}, happening{renew, "renewed "}))
	both := func() {
		renew()
		require.NoError(t, f.AddLeaseID("b", nil))
	}
	assert.NotContains(t, f.events(nil, happening{both, "registered "}), "renewed")
}

func TestWatchGoesOnAfterAnErrorAndSaysSoOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	var down atomic.Bool
	var refused atomic.Int64
	f.env = f.through(func(w http.ResponseWriter, _ *http.Request) bool {
		if down.Load() {
			refused.Add(1)
			w.WriteHeader(http.StatusBadRequest)
			w.Write([]byte(`{"__type":"x#AccessDeniedException","Message":"no"}`))
		}
		return down.Load()
	}, nil)
	p := f.start("watch", "-every", "50ms")
	p.stderr.await(t, "watching 1 item ")
	down.Store(true)
	p.stderr.await(t, "no permission for dynamodb:Scan")
	before := refused.Load()
	await(t, "it fails again and again", func() bool { return refused.Load() > before+3 })
	down.Store(false)
	f.lease("a", "w1", time.Hour)
	p.stdout.await(t, "obtained     a  by w1")
	assert.Equal(t, 1, strings.Count(p.stderr.String(), "dynamodb:Scan"))
}

func TestWatchFailingOnALaterPageHasSeenTheFirst(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.fill(dynamo.PageRows + 500)
	c := &dynamo.Client{DDB: f.ddb, LockStore: f.LockStore, Table: f.table, Key: "id"}
	w := &dynamo.Watcher{Client: c, Seen: make(map[string]*fleet.Sighting)}
	_, err := w.Look(t.Context())
	require.NoError(t, err)
	first := ""
	_, err = c.Scan(t.Context(), true, func(page []fleet.Item) error {
		first = page[0].LeaseID
		return errors.New("enough")
	})
	require.EqualError(t, err, "enough")
	f.want(first, "w2")

	failing := *f.ddb.Client
	failing.Handlers = f.ddb.Handlers.Copy()
	pages := 0
	failing.Handlers.Send.PushFront(func(r *request.Request) {
		if pages++; pages == 2 {
			r.Error = awserr.New("AccessDeniedException", "no", nil)
		}
	})
	w.DDB = &dynamodb.DynamoDB{Client: &failing}
	events, err := w.Look(t.Context())
	assert.ErrorContains(t, err, "AccessDenied")
	require.Len(t, events, 1)
	assert.Equal(t, fleet.Wanted, events[0].Event)
	assert.NotEmpty(t, events[0].Time)
	w.DDB = f.ddb
	events, err = w.Look(t.Context())
	require.NoError(t, err)
	assert.Empty(t, events)
}

func TestWatchEndsWhenNobodyReadsIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	cmd := exec.Command("sh", "-c", `"$0" watch -every 50ms | true`, binary(t))
	cmd.Env = f.env
	done := make(chan error, 1)
	go func() { done <- cmd.Run() }()
	select {
	case err := <-done:
		assert.NoError(t, err)
	case <-time.After(hang):
		cmd.Process.Kill()
		require.Fail(t, "it goes on")
	}
}
