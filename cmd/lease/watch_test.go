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

	"github.com/intercom/lease"
)

// events starts "lease watch", lets things happen, one after the other is seen, and returns what it printed.
func (f *fixture) events(args []string, happen ...func()) string {
	f.tb.Helper()
	p := f.start(append([]string{"watch", "-every", "50ms"}, args...)...)
	p.stderr.await(f.tb, "watching ")
	for _, h := range happen {
		before := strings.Count(p.stdout.String(), "\n")
		h()
		await(f.tb, "an event is seen", func() bool { return strings.Count(p.stdout.String(), "\n") > before })
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
	happen := []func(){
		func() { require.NoError(t, f.AddLeaseID("b", nil)) },
		func() { l = f.lease("a", "w1", time.Hour) },
		func() { require.NoError(t, f.WantLease(t.Context(), f.item("a"), "w2", time.Now().Add(time.Minute))) },
		func() { require.NoError(t, f.HandOverLease(t.Context(), l, time.Now().Add(time.Minute))) },
		func() { l = f.lease("a", "w2", time.Hour) },
		func() { require.NoError(t, f.ReleaseLease(l)) },
		func() { f.lease("b", "w3", 2*time.Second) },
		func() {}, // its end
		func() { require.NoError(t, f.RemoveLeaseID("b")) },
	}
	lines := strings.Split(strings.TrimSpace(f.events(nil, happen[:6]...)), "\n")
	want := []string{`registered   b`, `obtained     a  by w1, token \d+`, `wanted       a  by w2, from w1`, `handed over  a  by w1 to w2, token \d+`,
		`obtained     a  by w2, token \d+`, `released     a  by w2, token \d+`}
	require.Len(t, lines, len(want))
	for n, line := range lines {
		assert.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z  `+want[n]+`$`, line)
	}

	out := f.events([]string{"-json"}, happen[6:]...)
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
		assert.Less(t, time.Since(at).Abs(), 30*time.Second)
	}
	assert.Equal(t, []kind{obtained, ended, retired}, kinds)

	renew := func() { require.NoError(t, f.RenewLease(l, time.Now().Add(2*time.Hour))) }
	l = f.lease("a", "w1", time.Hour)
	assert.Regexp(t, `^\S+  renewed      a  by w1, token `, f.events([]string{"-v"}, renew))
	both := func() { renew(); happen[0]() }
	assert.NotContains(t, f.events(nil, both), "renewed")
}

func TestWatchGoesOnAfterAnErrorAndSaysSoOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	var down atomic.Bool
	f.env = f.through(func(w http.ResponseWriter, _ *http.Request) bool {
		if down.Load() {
			w.WriteHeader(http.StatusBadRequest)
			w.Write([]byte(`{"__type":"x#AccessDeniedException","Message":"no"}`))
		}
		return down.Load()
	}, nil)
	p := f.start("watch", "-every", "50ms")
	p.stderr.await(t, "watching 1 item ")
	down.Store(true)
	p.stderr.await(t, "no permission for dynamodb:Scan")
	time.Sleep(300 * time.Millisecond)
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
	require.NoError(t, f.WantLease(t.Context(), f.item(first), "w2", time.Now().Add(time.Minute)))

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

func TestAScreenThatIsOldSaysSoAndFreesNothing(t *testing.T) {
	t.Parallel()
	looked := time.Now().Add(-10 * time.Second)
	held := item{LeaseItem: lease.LeaseItem{LeaseID: "a", LesseeID: "w1", FencingToken: 1, Until: looked.Add(time.Second), LeaseUntil: looked.Add(time.Second).UnixNano()}}
	v := &view{title: "t", mark: 5 * time.Second, items: []item{held}, at: looked}
	lines := v.lines(24, time.Now())
	assert.Contains(t, lines[0].text, "NO ANSWER YET, shown is what was 10s ago")
	assert.Contains(t, lines[1].text, "1 held, 0 reserved, 0 free")
	v.at = time.Now()
	assert.Contains(t, v.lines(24, time.Now())[1].text, "0 held, 0 reserved, 1 free")
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
	case <-time.After(20 * time.Second):
		cmd.Process.Kill()
		require.Fail(t, "it goes on")
	}
}
