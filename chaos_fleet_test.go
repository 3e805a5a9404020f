package lease_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/chaos"
	"github.com/intercom/lease/internal/ddblocal"
)

// fleet is a number of workers on the items of one table, and their history.
type fleet struct {
	t        *testing.T
	seed     uint64
	endpoint string
	dir      string // of the history
	history  *chaos.Recorder
	table    *fixture
	items    []string

	template chaosWorker   // what all workers have in common
	weather  chaos.Options // what most proxies have in common

	proxies  []*chaos.Proxy
	children []*childWorker
	ctx      context.Context
	cancel   context.CancelFunc
	running  sync.WaitGroup
}

// newFleet makes a table with some items, whose attributes of the user's the history then knows.
func newFleet(t *testing.T, endpoint string, seed uint64, items int) *fleet {
	dir, err := os.MkdirTemp("", "lease-chaos-")
	require.NoError(t, err)
	f := &fleet{t: t, seed: seed, endpoint: endpoint, dir: dir, table: newFixtureOn(t, endpoint, "id")}
	f.ctx, f.cancel = context.WithCancel(t.Context())
	f.history, err = chaos.NewRecorder(dir, "fleet")
	require.NoError(t, err)
	require.NoError(t, f.table.EnsureTable())
	require.NoError(t, lease.NewLockStore(f.table.ddb, chaosWorker{Table: f.table.table}.guardTable(), "id").EnsureTable())
	for i := range items {
		item := fmt.Sprintf("item-%d", i)
		f.items = append(f.items, item)
		attributes := row{"Name": str("mailbox of " + item), "Size": num(int64(i)), "Tags": {SS: []*string{&item}},
			"Nested": {M: row{"List": {L: []*dynamodb.AttributeValue{str("ä"), num(-1)}}}}}
		require.NoError(t, f.table.AddLeaseID(item, attributes))
		f.recordAttributes(chaos.Registered, item)
	}
	return f
}

// recordAttributes records which attributes of the user's an item has.
func (f *fleet) recordAttributes(kind chaos.Kind, item string) {
	attributes := f.table.get(item)
	for _, own := range []string{"ProcessID", "LeaseUntil", "FencingToken"} {
		delete(attributes, own)
	}
	note, err := json.Marshal(attributes)
	require.NoError(f.t, err)
	f.history.Add(chaos.Event{Kind: kind, Begin: chaos.Now(), End: chaos.Now(), Item: item, Note: string(note)})
}

// random returns the random numbers of one of the things that happen.
func (f *fleet) random(i int) *rand.Rand { return rand.New(rand.NewPCG(f.seed, uint64(i))) }

// worker makes the next worker and the proxy that it uses.
func (f *fleet) worker(o chaos.Options, w chaosWorker) chaosWorker {
	n := len(f.proxies)
	name := fmt.Sprintf("%s-%d", cmpOr(w.How, usesLibrary), n)
	o.Upstream, o.Lessee, o.Seed, o.Record = f.endpoint, name, f.random(n).Uint64(), f.history.Add
	p, err := chaos.NewProxy(o)
	require.NoError(f.t, err)
	f.proxies = append(f.proxies, p)

	made := f.template
	made.Name, made.Lessee, made.How, made.ClockError = name, cmpOr(w.Lessee, name), cmpOr(w.How, usesLibrary), w.ClockError
	made.Endpoint, made.Guards, made.Table = p.URL, p.URL, f.table.table
	if n%2 == 0 {
		made.Guards = f.endpoint
	}
	if w.Patience > 0 {
		made.Patience = w.Patience
	}
	made.Retries, made.Seed, made.History = n%3, o.Seed, f.dir
	return made
}

func cmpOr(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// start runs a worker in this process.
func (f *fleet) start(o chaos.Options, w chaosWorker) {
	w = f.worker(o, w)
	f.background(func(ctx context.Context) { assert.NoError(f.t, w.run(ctx)) })
}

// background does something until the fleet is stopped.
func (f *fleet) background(do func(context.Context)) { f.running.Go(func() { do(f.ctx) }) }

// child runs a worker in a process of its own.
func (f *fleet) child(o chaos.Options, w chaosWorker) {
	c := &childWorker{worker: f.worker(o, w)}
	f.children = append(f.children, c)
	require.NoError(f.t, c.spawn())
}

// fault records a fault.
func (f *fleet) fault(whose, what string) {
	f.history.Add(chaos.Event{Kind: chaos.Fault, Begin: chaos.Now(), End: chaos.Now(), Lessee: whose, Note: what})
}

// kill kills a child.
func (f *fleet) kill(c *childWorker) {
	f.fault(c.worker.Name, "SIGKILL")
	if c.signal(syscall.SIGKILL) != nil {
		f.t.Errorf("%s ended by itself", c.worker.Name)
	}
	<-c.gone
}

// recover waits for as long as it may take until every item is held again: one lease, one wait of
// Hold's, and what the machine needs for a second's and ten requests' worth of work as things are.
func (f *fleet) recover() time.Duration {
	var slowest time.Duration
	for start := time.Now(); ; {
		may := f.template.Duration + f.template.Duration/3 + time.Second + 10*slowest
		if time.Since(start) > may {
			return may
		}
		asked := time.Now()
		time.Sleep(10 * time.Millisecond)
		f.table.get(f.items[0])
		slowest = max(slowest, time.Since(asked)-10*time.Millisecond)
	}
}

// darken puts a proxy into a black hole from time to time.
func (f *fleet) darken(ctx context.Context, p *chaos.Proxy, r *rand.Rand) {
	for pause(ctx, r, 4*time.Second, 12*time.Second) {
		p.Dark(time.Duration(r.Int64N(int64(2 * f.template.Duration))))
	}
}

// torment kills and stops a child from time to time. At the end it runs.
func (f *fleet) torment(ctx context.Context, c *childWorker, r *rand.Rand) {
	for pause(ctx, r, time.Second, 5*time.Second) {
		if r.IntN(2) == 0 {
			f.kill(c)
			pause(ctx, r, 0, time.Second)
			if err := c.spawn(); err != nil {
				f.t.Errorf("starting a worker again: %v", err)
				return
			}
		} else {
			f.fault(c.worker.Name, "SIGSTOP and SIGCONT")
			c.signal(syscall.SIGSTOP)
			pause(ctx, r, 0, 3*f.template.Duration)
			c.signal(syscall.SIGCONT)
		}
	}
}

// pause blocks for a random time, or until ctx is done: then it returns false.
func pause(ctx context.Context, r *rand.Rand, least, most time.Duration) bool {
	select {
	case <-time.After(least + time.Duration(r.Int64N(int64(most-least)))):
		return true
	case <-ctx.Done():
		return false
	}
}

// stop stops all workers and wants nothing to be left of them but their history.
func (f *fleet) stop() {
	f.cancel()
	for _, c := range f.children {
		f.running.Go(func() {
			if err := c.stop(20 * time.Second); err != nil {
				f.t.Errorf("%s: %v", c.worker.Name, err)
			}
		})
	}
	f.running.Wait()
	for _, p := range f.proxies {
		p.Calm()
		assert.Eventually(f.t, func() bool { return p.Conns() == 0 }, 10*time.Second, time.Millisecond, "connections are left")
		assert.NoError(f.t, p.Close())
	}
	for _, item := range f.items {
		f.recordAttributes(chaos.Found, item)
	}
	f.table.transport.CloseIdleConnections()
	assert.NoError(f.t, f.history.Close())
}

// report checks the history as it is.
func (f *fleet) report(recovery time.Duration) chaos.Report {
	checker := chaos.NewChecker()
	require.NoError(f.t, chaos.Read(f.dir, checker.Add))
	return checker.Report(recovery)
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

// childWorker is a worker in a process of its own, and then in the next one.
type childWorker struct {
	worker  chaosWorker
	started int

	cmd    *exec.Cmd
	stdin  interface{ Close() error }
	output strings.Builder
	gone   chan struct{}
	err    error // of the process, when it is gone
}

// spawn starts a process for the worker. It is another worker each time, by its name.
func (c *childWorker) spawn() error {
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	c.started++
	w := c.worker
	w.Name = fmt.Sprintf("%s.%d", w.Name, c.started)
	w.Lessee, w.Seed = w.Name, w.Seed+uint64(c.started)
	config, err := json.Marshal(w)
	if err != nil {
		return err
	}
	c.cmd = exec.Command(binary, "-test.run=^$") // Should TestMain not know that it is a child, it must not test.
	c.cmd.Env = append(os.Environ(), chaosEnv+"="+string(config))
	c.cmd.Stdout, c.cmd.Stderr = &c.output, &c.output
	// In a group of its own, a child that is stopped when this process dies is ended by the kernel.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return err
	}
	if err := c.cmd.Start(); err != nil {
		return err
	}
	c.gone = make(chan struct{})
	go func(cmd *exec.Cmd, gone chan struct{}) {
		c.err = cmd.Wait()
		close(gone)
	}(c.cmd, c.gone)
	return nil
}

// signal sends a signal; the error says that the process has ended.
func (c *childWorker) signal(s syscall.Signal) error { return c.cmd.Process.Signal(s) }

// stop blocks until the process has ended well, or else kills it.
func (c *childWorker) stop(within time.Duration) error {
	if c.signal(syscall.Signal(0)) != nil {
		return fmt.Errorf("the worker ended by itself: %s", c.output.String())
	}
	c.stdin.Close()
	select {
	case <-c.gone:
	case <-time.After(within):
		c.signal(syscall.SIGKILL)
		<-c.gone
		return errors.New("the worker did not stop")
	}
	if c.err != nil {
		return fmt.Errorf("%w: %s", c.err, c.output.String())
	}
	return nil
}

// port returns the port of a server.
func port(t *testing.T, server *ddblocal.Server) (n int) {
	_, err := fmt.Sscanf(filepath.Base(server.Endpoint), "127.0.0.1:%d", &n)
	require.NoError(t, err)
	return n
}
