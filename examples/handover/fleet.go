package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/workers"
)

// fleet is what the parent knows of the worker processes. Only the parent's main goroutine
// uses it.
type fleet struct {
	*workers.Fleet
	began    time.Time
	patience time.Duration // how long anything may take that must happen

	endpoint, table string
	store           *lease.LockStore
	items           []string

	processes []*process
	tenures   []*tenure          // all that there were, in the order in which they were reported
	holders   map[string]*tenure // the last one of each item
	handovers []handover
}

// process is a worker process.
type process struct {
	*workers.Process
	last map[string]workers.Event // by kind, since it obtained its item
}

// tenure is a time in which a worker relied on an item.
type tenure struct {
	item  string
	by    *process
	token int64
	from  time.Time
	until time.Time // when it last asked Valid and was told true
	steps int       // how many of its writes were accepted
}

func newFleet(ctx context.Context, patience time.Duration) *fleet {
	return &fleet{
		Fleet:    workers.NewFleet(ctx),
		began:    time.Now(),
		patience: patience,
		holders:  make(map[string]*tenure),
	}
}

// startWorker starts one more worker.
func (f *fleet) startWorker() error {
	name := fmt.Sprintf("worker-%d", len(f.processes)+1)
	p, err := f.Start(name, f.endpoint, f.table)
	if err != nil {
		return err
	}
	f.processes = append(f.processes, &process{Process: p, last: make(map[string]workers.Event)})
	f.print(time.Now(), p.Name, "started as process "+strconv.Itoa(p.Cmd.Process.Pid))
	return nil
}

// pause stops a worker until resume is called. A stopped worker can't see that its parent is
// gone; so another process continues it, also when this one is killed.
func (p *process) pause() (resume func(), err error) {
	guard := exec.Command("sh", "-c", `cat; kill -CONT "$1"`, "sh", strconv.Itoa(p.Cmd.Process.Pid))
	guard.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := guard.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := guard.Start(); err != nil {
		return nil, err
	}
	resume = sync.OnceFunc(func() {
		stdin.Close()
		guard.Wait()
	})
	if err := p.Cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		resume()
		return nil, err
	}
	return resume, nil
}

// errTimeout is the error of a wait that was in vain.
var errTimeout = errors.New("in vain")

// await takes in the workers' reports until what they say is enough. It waits for so long at
// most.
func (f *fleet) await(timeout time.Duration, enough func() bool) error {
	deadline := time.After(timeout)
	for !enough() {
		select {
		case e := <-f.Events:
			f.take(e)
		case <-deadline:
			return fmt.Errorf("waited %v %w", timeout, errTimeout)
		case <-f.Ctx.Done():
			return context.Cause(f.Ctx)
		}
	}
	return nil
}

// watch takes in the workers' reports for so long.
func (f *fleet) watch(d time.Duration) error {
	if err := f.await(d, func() bool { return false }); !errors.Is(err, errTimeout) {
		return err
	}
	return nil
}

// take notes a report and prints it.
func (f *fleet) take(e workers.Event) {
	p := f.process(e.Worker)
	switch e.Kind {
	case "obtained":
		p.last = make(map[string]workers.Event)
		t := &tenure{item: e.Item, by: p, token: e.Token, from: e.At, until: e.At}
		f.tenures = append(f.tenures, t)
		f.holders[e.Item] = t
	case "exited":
		e.Text = strings.TrimSuffix("exited: "+e.Text, ": ")
	case "worked":
		t := f.tenure(p, e)
		t.until = e.At
		t.steps++
	case "failed":
		f.tenure(p, e).until = e.At
	}
	p.last[e.Kind] = e
	if e.Text != "" {
		f.print(e.At, e.Worker, e.Text)
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

// tenure returns the one that a report of a worker is about.
func (f *fleet) tenure(p *process, e workers.Event) *tenure {
	for _, t := range f.tenures {
		if t.by == p && t.item == e.Item && t.token == e.Token {
			return t
		}
	}
	panic(fmt.Sprintf("no tenure of %s with the token %d by %s", e.Item, e.Token, p.Name))
}

// print prints a line of the timeline.
func (f *fleet) print(at time.Time, who, text string) {
	text = strings.Join(strings.Fields(text), " ") // The SDK's errors have many lines.
	fmt.Printf("%6.2f s  %-9s  %s\n", at.Sub(f.began).Seconds(), who, text)
}

// say prints a line about what the parent does.
func (f *fleet) say(format string, args ...any) {
	f.print(time.Now(), "parent", fmt.Sprintf(format, args...))
}
