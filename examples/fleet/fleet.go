package main

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/intercom/lease/internal/workers"
)

// fleet is what the parent knows of the worker processes. Only the parent's main goroutine uses it.
type fleet struct {
	*workers.Fleet
	endpoint, table string

	processes []*process
	tenures   []*tenure // all that there were, in the order in which they were reported
	wrote     int       // writes that the guard took
	notes     []note

	began, over time.Time
	held        int // how many mailboxes were held when it was over
	line        int // the next line of the table: its second
	noted       int // how many notes, and tenures, the lines so far have shown
	shown       int
	fault       error
}

// note is something that happened, as the table shows it, and if it begins a scene the picture too.
type note struct {
	at    time.Time
	text  string
	scene bool
}

// process is a worker process.
type process struct {
	*workers.Process
	running bool
	killed  time.Time // when it was sent SIGKILL
	asked   bool      // to stop, by SIGTERM
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

// tenure is a time in which a worker held a mailbox.
type tenure struct {
	item    string
	by      *process
	token   int64
	from    time.Time
	until   time.Time // zero as long as it goes on
	cause   cause     // of its end
	relied  time.Time // when the worker last asked Valid and was told true
	refused bool      // the guard has refused a write
}

func newFleet(ctx context.Context, endpoint, table string) *fleet {
	return &fleet{Fleet: workers.NewFleet(ctx), endpoint: endpoint, table: table}
}

// start starts one more worker.
func (f *fleet) start() error {
	p, err := f.Start(f.endpoint, f.table)
	if err == nil {
		f.processes = append(f.processes, &process{Process: p, running: true})
	}
	return err
}

// kill ends a worker at once. From then on its mailboxes have no holder, though their rows still name it.
func (f *fleet) kill(p *process) error {
	err := p.Cmd.Process.Kill()
	p.running, p.killed = false, time.Now()
	for _, t := range f.tenures {
		t.endKilled()
	}
	return err
}

func (t *tenure) endKilled() {
	if t.until.IsZero() && !t.by.killed.IsZero() {
		t.until, t.cause = t.by.killed, sigkill
	}
}

// terminate tells a worker to stop.
func (f *fleet) terminate(p *process) error {
	p.asked = true
	return p.Cmd.Process.Signal(syscall.SIGTERM)
}

// await takes in the workers' reports, and prints a line each second, until that is enough.
func (f *fleet) await(enough func() bool) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !enough() {
		select {
		case e := <-f.Events:
			f.take(e)
		case <-tick.C:
		case <-f.Ctx.Done():
			return context.Cause(f.Ctx)
		}
		if f.fault != nil {
			return f.fault
		}
		if f.over.IsZero() && time.Since(f.began) >= time.Duration(f.line)*time.Second {
			f.print()
		}
	}
	return nil
}

// take notes a report.
func (f *fleet) take(e workers.Event) {
	p := f.process(e.Worker)
	var t *tenure
	for _, known := range f.tenures {
		if known.by == p && known.item == e.Item && known.token == e.Token {
			t = known
		}
	}
	switch e.Kind {
	case "began":
		t = &tenure{item: e.Item, by: p, token: e.Token, from: e.At, relied: e.At}
		t.endKilled() // It was still in the pipe.
		f.tenures = append(f.tenures, t)
	case "wrote":
		f.wrote++
		t.relied = e.At
	case "refused":
		t.relied, t.refused = e.At, true
	case "ended":
		t.until, t.cause = e.At, cause(e.Text)
	case "log":
		f.say("%s: %s", p.Name, e.Text)
	case "exited":
		p.running = false
		if e.Text != "" && p.killed.IsZero() || e.Text == "" && !p.asked {
			f.fault = fmt.Errorf("%s exited: %s", p.Name, e.Text)
		}
	}
}

func (f *fleet) process(name string) *process {
	for _, p := range f.processes {
		if p.Name == name {
			return p
		}
	}
	panic("no process " + name)
}

func (f *fleet) running() (n int) {
	for _, p := range f.processes {
		if p.running {
			n++
		}
	}
	return n
}

// holds counts the mailboxes that a process holds now.
func (f *fleet) holds(p *process) (n int) {
	for _, t := range f.tenures {
		if t.by == p && t.until.IsZero() {
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

// level tells whether all mailboxes are held, and no two processes' shares differ by more than one.
func (f *fleet) level() bool {
	least, most := mailboxes, 0
	for _, p := range f.processes {
		if p.running && !p.asked {
			least, most = min(least, f.holds(p)), max(most, f.holds(p))
		} else if f.holds(p) > 0 {
			return false
		}
	}
	return f.nobody() == 0 && most-least <= 1
}

// say notes what happened, for the next line of the table.
func (f *fleet) say(format string, args ...any) {
	text := strings.Join(strings.Fields(fmt.Sprintf(format, args...)), " ") // The SDK's errors have many lines.
	f.notes = append(f.notes, note{at: time.Now(), text: text})
}

func (f *fleet) scene(text string) { f.notes = append(f.notes, note{time.Now(), text, true}) }

func (f *fleet) header() {
	fmt.Println("  s  worker-1  worker-2  worker-3  worker-4  nobody  moved  what happened")
}

// print prints a line of the table: who holds how many, and what happened since the last line.
func (f *fleet) print() {
	line := fmt.Sprintf("%3d", f.line)
	for i := range 4 {
		if i < len(f.processes) && (f.processes[i].running || f.holds(f.processes[i]) > 0) {
			line += fmt.Sprintf("%10d", f.holds(f.processes[i]))
		} else {
			line += "         -"
		}
	}
	moved := 0
	for i, t := range f.tenures[f.shown:] {
		if f.before(f.shown+i, t) != nil {
			moved++
		}
	}
	line += fmt.Sprintf("%8d%7d  ", f.nobody(), moved)
	for i, n := range f.notes[f.noted:] {
		if i > 0 {
			line += "; "
		}
		line += n.text
	}
	fmt.Println(strings.TrimRight(line, " "))
	f.line, f.noted, f.shown = f.line+1, len(f.notes), len(f.tenures)
}

// before returns the mailbox's tenure before one, of those reported before it; nil if that is the first.
func (f *fleet) before(i int, t *tenure) (last *tenure) {
	for _, other := range f.tenures[:i] {
		if other.item == t.item && (last == nil || other.token > last.token) {
			last = other
		}
	}
	return last
}
