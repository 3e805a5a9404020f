package lease_test

import (
	"expvar"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

// A worker that is traced, audited and counted by what its Locker tells.
func ExampleLocker_Observe() {
	ddb := dynamodb.New(session.Must(session.NewSession()))
	locker := lease.NewLocker(lease.NewLockStore(ddb, "mailboxes", "mailbox"))
	locker.Observe(audit(os.Stdout))
	locker.Observe(count(expvar.NewMap("lease_events"), expvar.NewMap("lease_seconds")))
	locker.Observe(trace(startSpan))
	// and from here on as ever: locker.HoldShare(…)
}

// audit returns an observer that writes a line for each transition of a tenure: who had what, from when to when, and why
// no longer.
func audit(to io.Writer) func(lease.Event) {
	return func(e lease.Event) {
		if e.Kind == lease.EventLooked || e.Kind == lease.EventRenewed {
			return // too many, and nothing has changed hands
		}
		at := e.At.UTC().Format(time.RFC3339)
		fmt.Fprintf(to, "%s %s: item %q, token %d, by %q", at, e.Kind, e.LeaseID, e.FencingToken, e.LesseeID)
		if e.Err != nil {
			fmt.Fprintf(to, ": %v", e.Err)
		}
		fmt.Fprintln(to)
	}
}

// count returns an observer that counts the events of each kind, and adds up how long requests took.
func count(events, seconds *expvar.Map) func(lease.Event) {
	return func(e lease.Event) {
		events.Add(e.Kind.String(), 1)
		if e.Request != "" {
			seconds.AddFloat(e.Request, e.Took.Seconds())
		}
	}
}

// span is one of a tracer's: OpenTelemetry's trace.Span, say.
type span interface {
	AddEvent(name string, at time.Time)
	End(why error, at time.Time)
}

// trace returns an observer that makes a span of each tenure, from when it was obtained to its end. Events come one at a
// time, so it needs no mutex.
func trace(start func(name string, at time.Time) span) func(lease.Event) {
	type tenure struct {
		leaseID string
		token   int64
	}
	spans := make(map[tenure]span)
	return func(e lease.Event) {
		of := tenure{e.LeaseID, e.FencingToken}
		if e.Kind == lease.EventObtained {
			spans[of] = start(fmt.Sprintf("%s #%d", e.LeaseID, e.FencingToken), e.At)
		}
		s := spans[of]
		if s == nil {
			return // a look, or what comes after the tenure's end
		}
		s.AddEvent(e.Kind.String(), e.At)
		switch e.Kind {
		case lease.EventGivenUp, lease.EventLost, lease.EventExpired, lease.EventStuck:
			s.End(e.Err, e.At)
			delete(spans, of)
		}
	}
}

// startSpan starts a span that is printed when it ends.
func startSpan(name string, at time.Time) span { return &printed{to: os.Stdout, name: name, began: at} }

// printed is a span that is printed when it ends.
type printed struct {
	to     io.Writer
	name   string
	began  time.Time
	events []string
}

func (p *printed) AddEvent(name string, at time.Time) {
	p.events = append(p.events, fmt.Sprintf("%s after %v", name, at.Sub(p.began)))
}

func (p *printed) End(why error, at time.Time) {
	fmt.Fprintf(p.to, "%s lasted %v: %s: %v\n", p.name, at.Sub(p.began), strings.Join(p.events, ", "), why)
}

// lost holds an item for a while, until it is stolen, and then for a while in peace.
func lost(t *testing.T, observe func(lease.Event)) {
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("alice")
		locker := lease.NewLocker(store)
		locker.Observe(observe)
		l, err := locker.ObtainItem(t.Context(), "alice", for30s("w1"))
		require.NoError(t, err)
		time.AfterFunc(15*time.Second, func() { store.Steal("alice", "w2", time.Second) })
		require.Equal(t, lease.LeaseLostError, locker.Heartbeat(l, 10*time.Second))
		l, err = locker.ObtainItem(t.Context(), "alice", for30s("w1"))
		require.NoError(t, err)
		time.Sleep(5 * time.Second)
		require.NoError(t, locker.ReleaseLease(l))
		synctest.Wait()
	})
}

func TestObserverThatAudits(t *testing.T) {
	var lines strings.Builder
	lost(t, audit(&lines))
	assert.Equal(t, `2000-01-01T00:00:00Z obtained: item "alice", token 1, by "w1"
2000-01-01T00:00:20Z lost: item "alice", token 1, by "w1": Lease Lost
2000-01-01T00:00:20Z obtained: item "alice", token 3, by "w1"
2000-01-01T00:00:25Z given up: item "alice", token 3, by "w1"
2000-01-01T00:00:25Z released: item "alice", token 3, by "w1"
`, lines.String())
}

func TestObserverThatCounts(t *testing.T) {
	events := new(expvar.Map)
	seconds := new(expvar.Map)
	lost(t, count(events, seconds))
	assert.JSONEq(t, `{"looked": 2, "obtained": 2, "renewed": 1, "lost": 1, "given up": 1, "released": 1}`,
		events.String())
	assert.JSONEq(t, `{"read": 0, "lease": 0, "renewal": 0, "release": 0}`, seconds.String())
}

func TestObserverThatTraces(t *testing.T) {
	var lines strings.Builder
	lost(t, trace(func(name string, at time.Time) span { return &printed{to: &lines, name: name, began: at} }))
	assert.Equal(t, `alice #1 lasted 20s: obtained after 0s, renewed after 10s, lost after 20s: Lease Lost
alice #3 lasted 5s: obtained after 0s, given up after 5s: <nil>
`, lines.String())
}
