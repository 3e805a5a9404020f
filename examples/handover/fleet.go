package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/intercom/lease"
)

// fleet is what the parent knows of the worker processes. Only the parent's main goroutine uses it.
type fleet struct {
	ctx    context.Context
	cancel context.CancelFunc
	began  time.Time

	endpoint, table string
	store           *lease.LockStore
	items           []string

	events    chan event
	processes []*process
	tenures   []*tenure          // all that there were, in the order in which they were reported
	holders   map[string]*tenure // the last one of each item
	handovers []handover
}

// process is a worker process.
type process struct {
	name string
	cmd  *exec.Cmd
	gone chan struct{}    // closed when it has ended
	last map[string]event // by kind, since it obtained its item
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

func newFleet(ctx context.Context) *fleet {
	f := &fleet{began: time.Now(), events: make(chan event, 100), holders: make(map[string]*tenure)}
	f.ctx, f.cancel = context.WithCancel(ctx)
	return f
}

// startWorker starts one more worker: this same program with other arguments.
func (f *fleet) startWorker() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	p := &process{name: fmt.Sprintf("worker-%d", len(f.processes)+1), gone: make(chan struct{}), last: make(map[string]event)}
	p.cmd = exec.Command(self, "worker", f.endpoint, f.table, p.name)
	p.cmd.Stderr = os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the parent to act on.
	if _, err := p.cmd.StdinPipe(); err != nil {            // It ends when this process does.
		return err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	f.processes = append(f.processes, p)
	f.print(time.Now(), p.name, "started as process "+strconv.Itoa(p.cmd.Process.Pid))
	go func() {
		defer close(p.gone)
		lines := json.NewDecoder(stdout)
		for {
			e := event{Worker: p.name}
			if lines.Decode(&e) != nil {
				break
			}
			f.send(e)
		}
		err := p.cmd.Wait()
		text := "exited"
		if err != nil {
			text += ": " + err.Error()
		}
		f.send(event{At: time.Now(), Worker: p.name, Kind: "exited", Text: text})
	}()
	return nil
}

func (f *fleet) send(e event) {
	select {
	case f.events <- e:
	case <-f.ctx.Done():
	}
}

// stop kills the workers and waits until they are gone.
func (f *fleet) stop() {
	f.cancel()
	for _, p := range f.processes {
		p.cmd.Process.Kill()
	}
	for _, p := range f.processes {
		<-p.gone
	}
}

// pause stops a worker until resume is called. A stopped worker can't see that its parent is gone;
// so another process continues it, also when this one is killed.
func (p *process) pause() (resume func(), err error) {
	guard := exec.Command("sh", "-c", `cat; kill -CONT "$1"`, "sh", strconv.Itoa(p.cmd.Process.Pid))
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
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		resume()
		return nil, err
	}
	return resume, nil
}

// errTimeout is the error of a wait that was in vain.
var errTimeout = errors.New("in vain")

// await takes in the workers' reports until what they say is enough. It waits for so long at most.
func (f *fleet) await(timeout time.Duration, enough func() bool) error {
	deadline := time.After(timeout)
	for !enough() {
		select {
		case e := <-f.events:
			f.take(e)
		case <-deadline:
			return fmt.Errorf("waited %v %w", timeout, errTimeout)
		case <-f.ctx.Done():
			return context.Cause(f.ctx)
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
func (f *fleet) take(e event) {
	p := f.process(e.Worker)
	switch e.Kind {
	case "obtained":
		p.last = make(map[string]event)
		t := &tenure{item: e.Item, by: p, token: e.Token, from: e.At, until: e.At}
		f.tenures, f.holders[e.Item] = append(f.tenures, t), t
	case "worked", "failed":
		for _, t := range f.tenures {
			if t.by == p && t.item == e.Item && t.token == e.Token {
				t.until = e.At
				if e.Kind == "worked" {
					t.steps++
				}
			}
		}
	}
	p.last[e.Kind] = e
	if e.Text != "" {
		f.print(e.At, e.Worker, e.Text)
	}
}

func (f *fleet) process(name string) *process {
	for _, p := range f.processes {
		if p.name == name {
			return p
		}
	}
	panic("no process " + name)
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
