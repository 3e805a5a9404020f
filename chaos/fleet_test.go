package chaos_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/chaos"
)

// fleet is a number of workers on the items of one table, and their history.
type fleet struct {
	t        *testing.T
	seed     uint64
	endpoint string
	table    *table
	items    []string

	dir     string // of the history
	history *chaos.Recorder
	reader  *chaos.Reader
	checker *chaos.Checker // has the history, as far as it was read

	template worker         // what all workers have in common
	weather  chaos.Options  // what most proxies have in common
	machine  *chaos.Machine // for a fleet that must do things in time
	since    time.Duration  // from when on it must, by chaos.Now
	lease    time.Duration  // that was in force before

	proxies  []*chaos.Proxy
	locals   []*local
	children []*child
	ctx      context.Context // done when the fleet stops
	cancel   context.CancelFunc
	running  sync.WaitGroup
	steady   atomic.Bool // locals that share stay
	double   worker      // has the name of another

	mu      sync.Mutex // guards:
	lessees []string   // of all workers so far
}

// newFleet makes a table with some items, whose attributes of the user's the history then knows.
func newFleet(t *testing.T, endpoint string, seed uint64, items int) *fleet {
	f := &fleet{t: t, seed: seed, endpoint: endpoint, table: newTable(t, endpoint)}
	f.ctx, f.cancel = context.WithCancel(t.Context())
	f.openHistory()
	guards := worker{Table: f.table.name}.guardTable()
	require.NoError(t, lease.NewLockStore(f.table.ddb, guards, "id").EnsureTable())
	for i := range items {
		item := fmt.Sprintf("item-%d", i)
		f.items = append(f.items, item)
		list := &dynamodb.AttributeValue{L: []*dynamodb.AttributeValue{str("ä"), num(-1)}}
		require.NoError(t, f.table.AddLeaseID(item, row{
			"Name":   str("mailbox of " + item),
			"Size":   num(int64(i)),
			"Tags":   {SS: []*string{&item}},
			"Nested": {M: row{"List": list}},
		}))
		f.recordAttributes(chaos.Registered, item)
	}
	return f
}

func (f *fleet) openHistory() {
	dir, err := os.MkdirTemp("", "lease-chaos-")
	require.NoError(f.t, err)
	f.dir = dir
	f.history, err = chaos.NewRecorder(dir, "fleet")
	require.NoError(f.t, err)
	f.reader = chaos.NewReader(dir)
	f.checker = chaos.NewChecker()
}

// readHistory reads what was added to the history, and from it how late replies came.
func (f *fleet) readHistory() {
	require.NoError(f.t, f.reader.Read(func(e chaos.Event) {
		f.checker.Add(e)
		if f.machine != nil && e.Kind == chaos.Obtained {
			f.machine.NoteReply(e.Begin, e.End-e.Begin)
		}
	}))
}

// late tells how late things came since a moment of chaos.Now.
func (f *fleet) late(since time.Duration) chaos.Lateness {
	f.readHistory()
	return f.machine.Since(since)
}

// record records something that is so now.
func (f *fleet) record(e chaos.Event) {
	now := chaos.Now()
	e.Begin = now
	e.End = now
	f.history.Add(e)
}

// fault records a fault.
func (f *fleet) fault(whose, what string) {
	f.record(chaos.Event{Kind: chaos.Fault, Lessee: whose, Note: what})
}

// recordAttributes records which attributes of the user's an item has.
func (f *fleet) recordAttributes(kind chaos.Kind, item string) {
	attributes := f.table.get(item)
	for _, own := range []string{
		"ProcessID", "LeaseUntil", "FencingToken", "WantedBy", "WantedUntil",
		"LeaseWeight", "LeaseCapacity", counter,
	} {
		delete(attributes, own)
	}
	note, err := json.Marshal(attributes)
	require.NoError(f.t, err)
	f.record(chaos.Event{Kind: kind, Item: item, Note: string(note)})
}

// random returns the random numbers of one of the things that happen.
func (f *fleet) random(i int) *rand.Rand { return rand.New(rand.NewPCG(f.seed, uint64(i))) }

// worker makes the next worker and the proxy that it uses.
func (f *fleet) worker(o chaos.Options, w worker) worker {
	n := len(f.proxies)
	how := cmp.Or(w.How, usesLibrary)
	name := fmt.Sprintf("%s-%d", how, n)
	o.Upstream = f.endpoint
	o.Lessee = name
	o.Seed = f.random(n).Uint64()
	o.Record = f.history.Add
	p, err := chaos.NewProxy(o)
	require.NoError(f.t, err)
	f.proxies = append(f.proxies, p)

	w.Name = name
	w.Lessee = cmp.Or(w.Lessee, name)
	w.How = how
	w.Endpoint = p.URL
	w.Guards = p.URL
	if n%2 == 0 {
		w.Guards = f.endpoint
	}
	w.Table = f.table.name
	w.Duration = f.template.Duration
	w.Wait = f.template.Wait
	w.Patience = cmp.Or(w.Patience, f.template.Patience)
	w.Saves = cmp.Or(w.Saves, f.template.Saves)
	w.Retries = n % 3
	w.Seed = o.Seed
	w.History = f.dir
	return w
}

// start runs a worker in this process.
func (f *fleet) start(o chaos.Options, w worker) {
	f.locals = append(f.locals, f.run(f.worker(o, w)))
}

// later makes a worker that is to run in a process of its own.
func (f *fleet) later(o chaos.Options, w worker) *child {
	c := &child{fleet: f, settings: f.worker(o, w)}
	f.children = append(f.children, c)
	return c
}

// child runs a worker in a process of its own.
func (f *fleet) child(o chaos.Options, w worker) {
	require.NoError(f.t, f.later(o, w).spawn())
}

// named notes a lessee's name.
func (f *fleet) named(lessee string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lessees = append(f.lessees, lessee)
}

// anyLessee returns the name of one of the workers, of which some are gone.
func (f *fleet) anyLessee(r *rand.Rand) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lessees[r.IntN(len(f.lessees))]
}

// background does something until the fleet is stopped.
func (f *fleet) background(do func(context.Context)) { f.running.Go(func() { do(f.ctx) }) }

// kill kills a child.
func (f *fleet) kill(c *child) {
	f.fault(c.settings.Name, "SIGKILL")
	if !c.process.lives() {
		f.t.Errorf("%s: %v", c.settings.Name, c.process.stop())
	}
	c.process.kill()
}

// limits returns those that share, and how many items they take.
func (f *fleet) limits() map[string]int {
	limits := make(map[string]int)
	for _, l := range f.locals {
		if l.shares() {
			limits[l.Lessee] = l.Most
		}
	}
	for _, c := range f.children {
		if c.settings.shares() {
			limits[c.process.Lessee] = c.settings.Most
		}
	}
	return limits
}

// stop stops all workers and wants nothing to be left of them but their history.
func (f *fleet) stop() {
	f.cancel()
	for _, l := range f.locals {
		<-l.gone
	}
	for _, c := range f.children {
		f.running.Go(func() {
			if err := c.process.stop(); err != nil {
				f.t.Errorf("%s: %v", c.process.Name, err)
			}
		})
	}
	f.running.Wait()
	for _, p := range f.proxies {
		p.Calm()
		noConns := func() bool { return p.Conns() == 0 }
		assert.Eventually(f.t, noConns, hangs, time.Millisecond, "connections are left")
		assert.NoError(f.t, p.Close())
	}
	for _, item := range f.items {
		f.recordAttributes(chaos.Found, item)
	}
	f.table.transport.CloseIdleConnections()
	assert.NoError(f.t, f.history.Close())
}

// report checks the history as it is.
func (f *fleet) report() chaos.Report {
	f.readHistory()
	return f.checker.Report(f.bounds())
}

// explain fails the test if the report has violations, and else removes the history.
func (f *fleet) explain(report chaos.Report) {
	if len(report.Violations) == 0 {
		os.RemoveAll(f.dir)
		return
	}
	f.t.Errorf("%d violations; the history is in %s", len(report.Violations), f.dir)
	for _, v := range report.Violations {
		f.t.Log(v)
	}
	first := report.Violations[0]
	events, err := chaos.Excerpt(f.dir, first)
	f.t.Logf("the history of the first (%v):", err)
	for _, e := range events[:min(len(events), 200)] {
		f.t.Logf("%+v", e)
	}
}
