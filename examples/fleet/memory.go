package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/workers"
	"github.com/intercom/lease/leasetest"
)

// memory is an engine in this one process: its workers are goroutines, each with a client of
// its own to one store in memory.
type memory struct {
	ctx     context.Context // done when it is closed, too
	cancel  context.CancelFunc
	store   *leasetest.Store
	guard   memoryGuard
	reports chan workers.Event
	threads []*thread
	running sync.WaitGroup
}

// newMemory makes the library silent: what it would log is of workers that were killed.
func newMemory(ctx context.Context) *memory {
	lease.SetLogger(nil)
	e := &memory{reports: make(chan workers.Event, 100)}
	e.ctx, e.cancel = context.WithCancel(ctx)
	return e
}

func (e *memory) prepare(_ context.Context, mailboxes []string) (string, error) {
	e.store = leasetest.NewStore(mailboxes...)
	const stage = "In memory: %d mailboxes; workers are goroutines, " +
		"SIGKILL makes one hang for good, SIGTERM ends its context"
	return fmt.Sprintf(stage, len(mailboxes)), nil
}

func (e *memory) start(name string) (process, error) {
	terminated, terminate := context.WithCancel(e.ctx)
	t := &thread{engine: e, name: name, client: e.store.NewClient(), terminate: terminate}
	e.threads = append(e.threads, t)
	e.running.Go(func() { t.run(terminated) })
	return t, nil
}

func (e *memory) events() <-chan workers.Event { return e.reports }

// close lets those that were killed go on, to their end.
func (e *memory) close() error {
	e.cancel()
	for _, t := range e.threads {
		t.client.SetHang(false)
	}
	e.running.Wait()
	return nil
}

// thread is a worker that is a goroutine. It is the worker's guard, too.
type thread struct {
	engine    *memory
	name      string
	client    *leasetest.Store
	terminate context.CancelFunc
	killed    atomic.Bool
}

func (t *thread) run(terminated context.Context) {
	w := &worker{name: t.name, locker: lease.NewLocker(t.client), guard: t, report: t.report}
	exited := workers.Event{Kind: "exited"}
	if err := w.run(terminated); err != nil {
		exited.Text = err.Error()
	}
	t.report(exited)
}

// Kill makes the worker do and say nothing any more that others could see. Its leases stay.
func (t *thread) Kill() error {
	t.killed.Store(true)
	t.client.SetHang(true)
	return nil
}

// Terminate ends the worker's context.
func (t *thread) Terminate() error {
	t.terminate()
	return nil
}

// report reports to the fleet's owner, if the worker lives.
func (t *thread) report(e workers.Event) {
	if t.killed.Load() {
		return
	}
	e.Worker = t.name
	select {
	case t.engine.reports <- e:
	case <-t.engine.ctx.Done():
	}
}

// write writes to the guard, if the worker lives; else it hangs.
func (t *thread) write(ctx context.Context, l *lease.Lease) error {
	if t.killed.Load() {
		<-ctx.Done()
		return context.Cause(ctx)
	}
	return t.engine.guard.write(ctx, l)
}

// memoryGuard is a guard in memory. Its zero value has taken no write yet.
type memoryGuard struct {
	mu   sync.Mutex
	last map[string]written // the last write to each mailbox
}

type written struct {
	by    string
	token int64
}

func (g *memoryGuard) write(_ context.Context, l *lease.Lease) error {
	now := written{by: l.Request.LesseeID(), token: l.FencingToken()}
	g.mu.Lock()
	defer g.mu.Unlock()
	last := g.last[l.LeaseID]
	if now.token < last.token || now.token == last.token && now.by != last.by {
		return errRefused
	}
	if g.last == nil {
		g.last = make(map[string]written)
	}
	g.last[l.LeaseID] = now
	return nil
}
