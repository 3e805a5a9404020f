package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/intercom/lease/internal/workers"
)

// fleet is what is known of the workers. Only the main goroutine uses it.
type fleet struct {
	engine engine
	out    io.Writer

	members []*member
	tenures []*tenure // all that there were, in the order in which they were reported
	wrote   int       // writes that the guard took
	began   time.Time
	over    time.Time // when the last scene had ended, and all were to stop
	held    int       // how many mailboxes were held then

	notes []note
	lines lines
}

// member is a worker.
type member struct {
	process
	name    string
	running bool
	killed  time.Time // when it was ended at once
	asked   bool      // to stop
}

// tenure is a time in which a worker held a mailbox.
type tenure struct {
	item    string
	by      *member
	token   int64
	from    time.Time
	until   time.Time // zero as long as it goes on
	cause   cause     // of its end
	relied  time.Time // when the worker last asked Valid and was told true
	refused bool      // the guard has refused a write
	defied  bool      // and that while the worker relied on the lease
}

// cause is why a mailbox lost its holder.
type cause string

const (
	start    cause = "start" // it had none yet
	handover cause = "handover"
	sigkill  cause = "SIGKILL"
	sigterm  cause = "SIGTERM"
	loss     cause = "loss" // the lease was lost, or had ended
)

func newFleet(e engine, out io.Writer) *fleet { return &fleet{engine: e, out: out} }

// start starts one more worker.
func (f *fleet) start() error {
	name := fmt.Sprintf("worker-%d", len(f.members)+1)
	p, err := f.engine.start(name)
	if err != nil {
		return err
	}
	f.members = append(f.members, &member{process: p, name: name, running: true})
	return nil
}

// kill ends a worker at once. From then on its mailboxes have no holder, though their rows
// name it.
func (f *fleet) kill(m *member) error {
	if err := m.Kill(); err != nil {
		return err
	}
	m.running = false
	m.killed = time.Now()
	for _, t := range f.tenures {
		t.endIfKilled()
	}
	return nil
}

// endIfKilled ends a tenure that goes on although its worker was killed.
func (t *tenure) endIfKilled() {
	if t.until.IsZero() && !t.by.killed.IsZero() {
		t.until = t.by.killed
		t.cause = sigkill
	}
}

// terminate tells a worker to stop.
func (f *fleet) terminate(m *member) error {
	m.asked = true
	return m.Terminate()
}

// await takes in the workers' reports, and prints a line each second, until that is enough.
func (f *fleet) await(ctx context.Context, enough func() bool) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		f.printDue()
		if enough() {
			return nil
		}
		select {
		case e := <-f.engine.events():
			if ctx.Err() != nil { // It may have made the workers end.
				return context.Cause(ctx)
			}
			if err := f.take(e); err != nil {
				return err
			}
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// take notes a report. The error says that a worker ended unasked, or badly.
func (f *fleet) take(e workers.Event) error {
	m := f.member(e.Worker)
	switch e.Kind {
	case "log":
		f.say("%s: %s", m.name, e.Text)
	case "exited":
		return m.exited(e.Text)
	case "began":
		f.begin(m, e)
	default:
		f.proceed(f.tenure(m, e), e)
	}
	return nil
}

// exited notes that a worker has ended, and returns an error if it should not have, or not so.
func (m *member) exited(text string) error {
	m.running = false
	if !m.killed.IsZero() {
		return nil
	}
	if text != "" || !m.asked {
		return fmt.Errorf("%s exited: %s", m.name, text)
	}
	return nil
}

// begin notes a tenure that has begun.
func (f *fleet) begin(m *member, e workers.Event) {
	t := &tenure{item: e.Item, by: m, token: e.Token, from: e.At, relied: e.At}
	t.endIfKilled() // The report was still on its way.
	f.tenures = append(f.tenures, t)
}

// proceed notes what happened in a tenure.
func (f *fleet) proceed(t *tenure, e workers.Event) {
	switch e.Kind {
	case "wrote":
		f.wrote++
		t.relied = e.At
	case "late":
		t.refused = true
		t.relied = e.At
	case "refused":
		t.refused = true
		t.defied = true
		t.relied = e.At
	case "ended":
		t.until = e.At
		t.cause = cause(e.Text)
	default:
		panic("no report " + e.Kind)
	}
}

func (f *fleet) member(name string) *member {
	for _, m := range f.members {
		if m.name == name {
			return m
		}
	}
	panic("no worker " + name)
}

// tenure returns the one that a report of a worker is about.
func (f *fleet) tenure(m *member, e workers.Event) *tenure {
	for _, t := range f.tenures {
		if t.by == m && t.item == e.Item && t.token == e.Token {
			return t
		}
	}
	panic(fmt.Sprintf("no tenure of %s with the token %d by %s", e.Item, e.Token, m.name))
}

// running counts the workers that run.
func (f *fleet) running() int {
	n := 0
	for _, m := range f.members {
		if m.running {
			n++
		}
	}
	return n
}

// holds counts the mailboxes that a worker holds now.
func (f *fleet) holds(m *member) int {
	n := 0
	for _, t := range f.tenures {
		if t.by == m && t.until.IsZero() {
			n++
		}
	}
	return n
}

// nobody counts the mailboxes that nobody holds now.
func (f *fleet) nobody() int {
	held := make(map[string]bool)
	for _, t := range f.tenures {
		if t.until.IsZero() {
			held[t.item] = true
		}
	}
	return mailboxes - len(held)
}

// level tells whether all mailboxes are held, and no two workers' shares differ by more than one.
func (f *fleet) level() bool {
	least := mailboxes
	most := 0
	for _, m := range f.members {
		holds := f.holds(m)
		if m.running && !m.asked {
			least = min(least, holds)
			most = max(most, holds)
		} else if holds > 0 {
			return false
		}
	}
	return f.nobody() == 0 && most-least <= 1
}

// before returns the mailbox's tenure before f.tenures[i], of those reported earlier; nil if
// that is the first.
func (f *fleet) before(i int) *tenure {
	var last *tenure
	for _, t := range f.tenures[:i] {
		if t.item == f.tenures[i].item && (last == nil || t.token > last.token) {
			last = t
		}
	}
	return last
}
