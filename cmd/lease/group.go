package main

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/intercom/lease"
)

// group is the process group of a command.
type group struct {
	id      int
	cmd     *exec.Cmd
	exited  chan struct{} // closed when the command itself has ended; what it has started may still run
	tty     bool          // it has the terminal
	item    string
	warned  bool // that it has stopped in the background
	foreign bool // it can't be signalled
}

// own are the processes that this one has started, and waits for.
var own = struct {
	sync.Mutex
	pids map[int]bool
}{pids: make(map[int]bool)}

// startOwn starts a process, which gets these files under the numbers that they have here: others may be the command's.
func startOwn(cmd *exec.Cmd, files ...*os.File) error {
	own.Lock()
	defer own.Unlock()
	for _, f := range files {
		unix.FcntlInt(f.Fd(), unix.F_SETFD, 0)
	}
	err := cmd.Start()
	for _, f := range files {
		f.Close()
	}
	if err == nil {
		own.pids[cmd.Process.Pid] = true
	}
	return err
}

func waitOwn(cmd *exec.Cmd) {
	cmd.Wait()
	own.Lock()
	defer own.Unlock()
	delete(own.pids, cmd.Process.Pid)
}

// start starts the command for an item, in a process group of its own, when the guard knows of it. The calling thread must
// outlive it.
func (h *holder) start(l *lease.Lease) (*group, error) {
	self, err := ownBinary()
	if err != nil {
		return nil, err
	}
	gate, err := newGate()
	if err != nil {
		return nil, err
	}
	defer gate.close()
	cmd := exec.Command(self)
	cmd.Args = append(append([]string{stubName}, gate.numbers()...), append([]string{h.path}, h.args...)...)
	cmd.Env = append(os.Environ(), "LEASE_ID="+l.LeaseID, "LEASE_TOKEN="+strconv.FormatInt(l.FencingToken(), 10), "LEASE_LESSEE="+h.as.name)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	g := &group{cmd: cmd, exited: make(chan struct{}), item: l.LeaseID}
	if !h.share {
		cmd.Stdin = os.Stdin
		foreground, err := unix.IoctlGetInt(0, unix.TIOCGPGRP)
		if err == nil && foreground == unix.Getpgrp() && isTerminal(os.Stdout) { // else there may be a pager, which needs it
			g.tty = true // It may read from the terminal, and Ctrl-C is for it.
			cmd.SysProcAttr.Foreground = true
			signal.Ignore(syscall.SIGTTOU) // This process may write to it from the background, then.
		}
	}
	dieWithParent(cmd.SysProcAttr)
	if err := startOwn(cmd, gate.theirs...); err != nil {
		return nil, err
	}
	g.id = cmd.Process.Pid
	h.guard.know(g.id, time.Now().Add(l.Remaining()))
	go func() {
		waitOwn(cmd)
		close(g.exited)
	}()
	if err := gate.open(l); err != nil {
		<-g.exited
		h.guard.drop(g.id)
		g.close()
		return nil, err
	}
	return g, nil
}

// signal sends a signal to the whole group.
func (g *group) signal(s syscall.Signal) {
	if syscall.Kill(-g.id, s) == syscall.EPERM && !g.foreign {
		g.foreign = true
		warn("the command for %s can't be signalled: it runs as another user; end it yourself", show(g.item))
	}
}

// over tells whether no process of the group is left. Those whose parents have ended are this process's to bury.
func (g *group) over() bool {
	select {
	case <-g.exited:
	default:
		return false
	}
	for {
		if pid, err := syscall.Wait4(-g.id, nil, syscall.WNOHANG, nil); pid <= 0 && !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	return errors.Is(syscall.Kill(-g.id, 0), syscall.ESRCH)
}

// interrupted tells whether Ctrl-C ended the command, of which this process has heard nothing.
func (g *group) interrupted() bool {
	s, ok := g.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && g.tty && s.Signaled() && s.Signal() == syscall.SIGINT && !signal.Ignored(syscall.SIGINT)
}

// status returns the command's exit status, as a shell has it.
func (g *group) status() int {
	<-g.exited
	if s, ok := g.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return 128 + int(s.Signal())
	}
	return g.cmd.ProcessState.ExitCode()
}

// resume lets a command go on that was stopped at the terminal: no shell has the terminal then, to say fg. Of another one that
// has stopped it tells.
func (g *group) resume() {
	switch {
	case !g.tty && g.warned || !stopped(g.id):
	case g.tty:
		warn("a command that holds a lease can't be suspended")
		g.signal(syscall.SIGCONT)
	default:
		g.warned = true
		warn("the command for %s has stopped, and holds its lease; a command in the background can't read a terminal", show(g.item))
	}
}

// close takes the terminal back.
func (g *group) close() {
	if foreground, err := unix.IoctlGetInt(0, unix.TIOCGPGRP); g.tty && err == nil && foreground == g.id {
		unix.IoctlSetPointerInt(0, unix.TIOCSPGRP, unix.Getpgrp())
	}
}
