package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"net/http"
	"os/exec"
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
)

func TestWatchOnATerminalShowsATakeover(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a", "b")
	f.lease("a", "w1", time.Hour)
	f.lease("b", "w3", time.Hour)
	x := f.onTerminal(120, 24, "watch", "-every", "100ms")
	_, marked := x.line(`^  a +held +w1 `)
	assert.False(t, marked)
	f.expire("a")
	x.line(`  ended +a  the lease of w1, token \d+$`)
	second := f.hold("w2", work(t.TempDir()+"/ticks")...)
	x.awaitMarked(`^\* a +held +w2 `)
	x.line(`  obtained +a  by w2, after w1, token \d+$`)
	assert.Contains(t, second.stdout.String(), "w2: a")
	_, marked = x.line(`^  a +held +w2 `)
	assert.False(t, marked, "a while later")
	x.line(`^2 items: 2 held, .*; holders: 2$`)

	x.press("q")
	assert.Equal(t, 0, x.end())
	assert.True(t, strings.HasPrefix(x.shown.String(), "\x1b[?1049h\x1b[?25l"), "%.50q", x.shown.String())
	await(t, "the screen is left", func() bool { return strings.HasSuffix(x.shown.String(), "\x1b[?25h\x1b[?1049l") })
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
			x.line(`^  a `)
			leave(x)
			assert.Equal(t, 0, x.end())
			await(t, "the screen is left", func() bool { return strings.HasSuffix(x.shown.String(), "\x1b[?1049l") })
		})
	}
}

func TestWatchFollowsTheWindowsSize(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.fill(50)
	x := f.onTerminal(80, 24, "watch", "-every", "200ms")
	height := func() int {
		lines, _ := x.screen()
		return len(lines)
	}
	x.line(`^  item-000000 `)
	x.line(`^  1 to 19 of 50 items$`)
	x.resize(40, 10)
	x.line(`^  1 to 5 of 50 items$`)
	lines, _ := x.screen()
	for _, line := range lines {
		assert.LessOrEqual(t, len(line), 40, line)
	}
	x.press(" jj\x1b[Ak")
	x.line(`^  6 to 10 of 50 items$`)
	x.press("G")
	x.line(`^  46 to 50 of 50 items$`)
	x.press("g")
	x.line(`^  1 to 5 of 50 items$`)
	for _, size := range [][2]uint16{{1, 1}, {3, 2}, {500, 300}, {5, 4}} {
		x.resize(size[0], size[1])
		await(t, "it fits", func() bool { lines, _ := x.screen(); return height() <= int(size[1]) && len(lines[0]) <= int(size[0]) })
	}
	x.resize(0, 0)
	x.line(`^  1 to 19 of 50 items$`)
	x.press("q")
	assert.Equal(t, 0, x.end())
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
		{func() { require.NoError(t, f.HandOverLease(t.Context(), l, time.Now().Add(time.Minute))) }, "handed over "},
		{func() { l = f.lease("a", "w2", time.Hour) }, "obtained     a  by w2"},
		{func() { require.NoError(t, f.ReleaseLease(l)) }, "released "},
	}...)), "\n")
	want := []string{`registered   b`, `obtained     a  by w1, token \d+`, `wanted       a  by w2, from w1`, `handed over  a  by w1 to w2, token \d+`,
		`obtained     a  by w2, token \d+`, `released     a  by w2, token \d+`}
	require.Len(t, lines, len(want))
	for n, line := range lines {
		assert.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z  `+want[n]+`$`, line)
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
	var kinds []kind
	for s := bufio.NewScanner(strings.NewReader(out)); s.Scan(); {
		var e event
		d := json.NewDecoder(strings.NewReader(s.Text()))
		d.DisallowUnknownFields()
		require.NoError(t, d.Decode(&e))
		kinds = append(kinds, e.Event)
		assert.Equal(t, "b", e.Item)
		at, err := time.Parse(time.RFC3339, e.Time)
		require.NoError(t, err)
		assert.WithinRange(t, at, began.Add(-2*time.Second), time.Now().Add(2*time.Second))
	}
	assert.Equal(t, []kind{obtained, ended, retired}, kinds)
}

func TestWatchPrintsRenewalsOnlyWhenVerbose(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l := f.lease("a", "w1", time.Hour)
	renew := func() { require.NoError(t, f.RenewLease(l, time.Now().Add(2*time.Hour))) }
	assert.Regexp(t, `^\S+  renewed      a  by w1, token `, f.events([]string{"-v"}, happening{renew, "renewed "}))
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
	f.fill(pageRows + 500)
	c := &client{ddb: f.ddb, LockStore: f.LockStore, table: f.table, key: "id"}
	w := &watcher{client: c, seen: make(map[string]*sighting)}
	_, err := w.look(t.Context())
	require.NoError(t, err)
	first := ""
	_, err = c.scan(t.Context(), true, func(page []item) error {
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
	w.ddb = &dynamodb.DynamoDB{Client: &failing}
	events, err := w.look(t.Context())
	assert.ErrorContains(t, err, "AccessDenied")
	require.Len(t, events, 1)
	assert.Equal(t, wanted, events[0].Event)
	assert.NotEmpty(t, events[0].Time)
	w.ddb = f.ddb
	events, err = w.look(t.Context())
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
