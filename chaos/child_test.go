package chaos_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// child is a worker in a process of its own, and then in the next one.
type child struct {
	fleet    *fleet
	settings worker
	started  int
	process  *process // the last one; nil before the first
}

// process is a process of a worker.
type process struct {
	worker
	cmd    *exec.Cmd
	stdin  io.Closer
	stdout firstWrite // is written to when the worker begins to work
	stderr bytes.Buffer
	gone   chan struct{}
	err    error // when it is gone
}

// firstWrite is a writer that tells of the first write.
type firstWrite struct {
	once sync.Once
	came chan struct{}
}

func (w *firstWrite) Write(p []byte) (int, error) {
	w.once.Do(func() { close(w.came) })
	return len(p), nil
}

// spawn starts a process for the worker. It is another worker each time, by its name.
func (c *child) spawn() error {
	c.started++
	w := c.settings.again(c.started)
	c.fleet.named(w.Lessee)
	p, err := newProcess(w)
	if err != nil {
		return err
	}
	c.process = p
	return nil
}

// newProcess starts a worker in a process of its own.
func newProcess(w worker) (*process, error) {
	settings, err := json.Marshal(w)
	if err != nil {
		return nil, err
	}
	p := &process{
		worker: w,
		cmd:    as(context.Background(), "worker", string(settings)),
		stdout: firstWrite{came: make(chan struct{})},
		gone:   make(chan struct{}),
	}
	p.cmd.Stdout = &p.stdout
	p.cmd.Stderr = &p.stderr
	// In a group of its own, a child that is stopped when this process dies is ended by the kernel.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.stdin, err = p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.gone)
	}()
	return p, nil
}

// signal sends a signal; the error says that the process has ended.
func (p *process) signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// lives tells whether the process has not ended.
func (p *process) lives() bool { return p.signal(syscall.Signal(0)) == nil }

// kill blocks until the process is gone.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.gone
}

// awaitReady blocks until the worker works.
func (p *process) awaitReady() error {
	select {
	case <-p.stdout.came:
		return nil
	case <-p.gone:
		return p.ended()
	case <-time.After(hangs):
		return errors.New("the worker did not begin to work")
	}
}

// stop blocks until the process has ended well, or else kills it.
func (p *process) stop() error {
	if !p.lives() {
		<-p.gone
		return p.ended()
	}
	p.stdin.Close()
	select {
	case <-p.gone:
	case <-time.After(hangs):
		p.kill()
		return errors.New("the worker did not stop")
	}
	if p.err != nil {
		return p.ended()
	}
	return nil
}

// ended says how a process ended that is gone.
func (p *process) ended() error {
	return fmt.Errorf("the worker ended by itself: %v: %s", p.err, p.stderr.String())
}
