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
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
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
	sharers  []chaosWorker // of this process
	ctx      context.Context
	cancel   context.CancelFunc
	running  sync.WaitGroup

	steady            atomic.Bool // those of this process that share stay
	others            context.Context
	leave             context.CancelFunc // ends the workers of this process that don't share
	leaving           sync.WaitGroup
	heldSoon, levelIn time.Duration // after only those that share are left

	mu      sync.Mutex // guards:
	lessees []string   // of all workers so far
}

// newFleet makes a table with some items, whose attributes of the user's the history then knows.
func newFleet(t *testing.T, endpoint string, seed uint64, items int) *fleet {
	dir, err := os.MkdirTemp("", "lease-chaos-")
	require.NoError(t, err)
	f := &fleet{t: t, seed: seed, endpoint: endpoint, dir: dir, table: newFixtureOn(t, endpoint, "id")}
	f.ctx, f.cancel = context.WithCancel(t.Context())
	f.others, f.leave = context.WithCancel(f.ctx)
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
	for _, own := range []string{"ProcessID", "LeaseUntil", "FencingToken", "WantedBy", "WantedUntil", chaosCounter} {
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
	made.Most, made.Restarted, made.steady = w.Most, w.Restarted, &f.steady
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
	f.named(w.Lessee)
	if w.shares() {
		f.sharers = append(f.sharers, w)
		f.background(func(ctx context.Context) { assert.NoError(f.t, w.run(ctx)) })
	} else {
		f.leaving.Go(func() { assert.NoError(f.t, w.run(f.others)) })
	}
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

// child runs a worker in a process of its own.
func (f *fleet) child(o chaos.Options, w chaosWorker) {
	f.later(o, w)
	require.NoError(f.t, f.children[len(f.children)-1].spawn())
}

// later makes a worker that is to run in a process of its own.
func (f *fleet) later(o chaos.Options, w chaosWorker) {
	f.children = append(f.children, &childWorker{fleet: f, worker: f.worker(o, w)})
}

// fault records a fault.
func (f *fleet) fault(whose, what string) {
	f.history.Add(chaos.Event{Kind: chaos.Fault, Begin: chaos.Now(), End: chaos.Now(), Lessee: whose, Note: what})
}

// kill kills a child, if it was started.
func (f *fleet) kill(c *childWorker) {
	if c.cmd == nil {
		return
	}
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

// torment ends, kills and stops a child from time to time. At the end it runs.
func (f *fleet) torment(ctx context.Context, c *childWorker, r *rand.Rand) {
	for pause(ctx, r, time.Second, 5*time.Second) {
		switch n := r.IntN(4); {
		case n == 0 && c.cmd != nil:
			f.fault(c.worker.Name, "SIGTERM")
			c.signal(syscall.SIGTERM)
			select {
			case <-c.gone:
			case <-time.After(2 * f.template.Duration): // as whoever ends processes does when that takes too long
				c.signal(syscall.SIGKILL)
				<-c.gone
			}
			fallthrough
		case n <= 1:
			if n == 1 || c.cmd == nil {
				f.kill(c)
			}
			pause(ctx, r, 0, time.Second)
			if err := c.spawn(); err != nil {
				f.t.Errorf("starting a worker again: %v", err)
				return
			}
		case c.cmd != nil:
			f.fault(c.worker.Name, "SIGSTOP and SIGCONT")
			c.signal(syscall.SIGSTOP)
			pause(ctx, r, 0, 3*f.template.Duration)
			c.signal(syscall.SIGCONT)
		}
	}
}

// operate is an operator that writes wishes at random, most of which make sense.
func (f *fleet) operate(ctx context.Context, r *rand.Rand) {
	for pause(ctx, r, 10*time.Millisecond, 100*time.Millisecond) {
		now, d := time.Now(), f.template.Duration
		by, until := str(f.anyLessee(r)), num(now.Add(time.Duration(r.Int64N(int64(d)))).UnixNano())
		switch r.IntN(10) {
		case 0, 1:
			by, until = str(""), num(now.Add(time.Duration(r.Int64N(int64(5*time.Minute)))).UnixNano())
		case 2:
			by = str("nobody knows")
		case 3:
			by = nil
		case 4:
			by = num(7)
		case 5:
			until = []*dynamodb.AttributeValue{nil, str("soon"), num(0), num(now.UnixNano() - 1), num(now.Add(1e5 * time.Hour).UnixNano())}[r.IntN(5)]
		}
		f.wish(ctx, f.items[r.IntN(len(f.items))], by, until)
	}
}

// wish writes a wish as an operator might; nil removes the attribute. It may fail.
func (f *fleet) wish(ctx context.Context, item string, by, until *dynamodb.AttributeValue) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	in := &dynamodb.UpdateItemInput{TableName: &f.table.table, Key: row{"id": str(item)}, ConditionExpression: aws.String("attribute_exists(id)")}
	var set, remove []string
	attributes := row{"WantedBy": by, "WantedUntil": until}
	for name, value := range attributes {
		if value == nil {
			remove = append(remove, name)
			continue
		}
		set = append(set, name+" = :"+name)
		if in.ExpressionAttributeValues == nil {
			in.ExpressionAttributeValues = row{}
		}
		in.ExpressionAttributeValues[":"+name] = value
	}
	var update []string
	if set != nil {
		update = append(update, "SET "+strings.Join(set, ", "))
	}
	if remove != nil {
		update = append(update, "REMOVE "+strings.Join(remove, ", "))
	}
	in.UpdateExpression = aws.String(strings.Join(update, " "))
	f.fault("operator", "wish of an operator")
	f.table.ddb.UpdateItemWithContext(ctx, in)
}

// alone stops or kills all workers but those that share, restarts one of these, and records that now only they are left.
func (f *fleet) alone() {
	restart := true
	for i, c := range f.children {
		switch {
		case !c.worker.shares() && i%2 == 0:
			assert.NoError(f.t, c.stop(20*time.Second))
		case !c.worker.shares() || restart:
			f.kill(c)
			restart = restart && !c.worker.shares()
		}
	}
	f.leave()
	f.leaving.Wait()
	f.children = slices.DeleteFunc(f.children, func(c *childWorker) bool { return !c.worker.shares() })
	for _, c := range f.children {
		if c.signal(syscall.Signal(0)) != nil {
			require.NoError(f.t, c.spawn())
		}
	}
	f.onlySharing()
}

// onlySharing records that from now on there are only those that share.
func (f *fleet) onlySharing() {
	now := chaos.Now()
	for lessee, most := range f.limits() {
		f.history.Add(chaos.Event{Kind: chaos.Sharing, Begin: now, End: now, Lessee: lessee, Token: int64(most)})
	}
}

// limits returns those that share, and how many items they take.
func (f *fleet) limits() map[string]int {
	limits := make(map[string]int)
	for _, w := range f.sharers {
		limits[w.Lessee] = w.Most
	}
	for _, c := range f.children {
		if c.worker.shares() {
			limits[c.lessee] = c.worker.Most
		}
	}
	return limits
}

// awaitLevel waits until the table has been level for a period, or for as long as that may take: ten periods, and what the
// machine needs as things are.
func (f *fleet) awaitLevel() {
	period := f.template.Duration / 3
	limits := f.limits()
	var slowest time.Duration
	level := time.Time{}
	for start := time.Now(); ; {
		slack := time.Second + 10*slowest
		f.heldSoon, f.levelIn = f.template.Duration+period+slack, 10*period+slack
		if time.Since(start) > f.levelIn+period || !level.IsZero() && time.Since(level) > period {
			return
		}
		asked := time.Now()
		time.Sleep(10 * time.Millisecond)
		counts := f.holders()
		slowest = max(slowest, time.Since(asked)-10*time.Millisecond)
		switch is := counts != nil && chaos.Level(counts, limits); {
		case !is:
			level = time.Time{}
		case level.IsZero():
			level = time.Now()
		}
	}
}

// holders returns how many items each worker holds, as the table says; nil if some have no holder.
func (f *fleet) holders() map[string]int {
	items, _, err := f.table.ScanLeaseItems("", 0)
	counts, held := make(map[string]int), 0
	for _, item := range items {
		if item.LesseeID != "" && item.Until.After(time.Now()) && (item.WantedBy != item.LesseeID || item.WantedUntil == 0) {
			counts[item.LesseeID]++
			held++
		}
	}
	if err != nil || held < len(f.items) {
		return nil
	}
	return counts
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
	f.leaving.Wait()
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
	checker.HeldWithin, checker.LevelWithin = f.heldSoon, f.levelIn
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
	fleet   *fleet
	worker  chaosWorker
	started int
	lessee  string // at the last

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
	if w.Seed += uint64(c.started); !w.Restarted {
		w.Lessee = w.Name
	}
	c.lessee = w.Lessee
	c.fleet.named(c.lessee)
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
