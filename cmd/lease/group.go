package main

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/intercom/lease"
)

// group is the process group of a command.
type group struct {
	id     int
	cmd    *exec.Cmd
	exited chan struct{} // closed when the command itself has ended; what it has started may still run
	tty    bool          // it has the terminal
}

// start starts the command for an item, in a process group of its own. The calling thread must outlive it.
func (h *holder) start(l *lease.Lease) (*group, error) {
	cmd := exec.Command(h.path)
	cmd.Args = h.args
	cmd.Env = append(os.Environ(), "LEASE_ID="+l.LeaseID, "LEASE_TOKEN="+strconv.FormatInt(l.FencingToken(), 10), "LEASE_LESSEE="+h.as.name)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	g := &group{cmd: cmd, exited: make(chan struct{})}
	if !h.share {
		cmd.Stdin = os.Stdin
		if foreground, err := unix.IoctlGetInt(0, unix.TIOCGPGRP); err == nil && foreground == unix.Getpgrp() {
			g.tty = true // It may read from the terminal, and Ctrl-C is for it.
			cmd.SysProcAttr.Foreground = true
		}
	}
	dieWithParent(cmd.SysProcAttr)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	g.id = cmd.Process.Pid
	go func() {
		cmd.Wait()
		close(g.exited)
	}()
	return g, nil
}

// signal sends a signal to the whole group.
func (g *group) signal(s syscall.Signal) { syscall.Kill(-g.id, s) }

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

// status returns the command's exit status, as a shell has it.
func (g *group) status() int {
	<-g.exited
	if s, ok := g.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return 128 + int(s.Signal())
	}
	return g.cmd.ProcessState.ExitCode()
}

// resume lets a command go on that was stopped at the terminal: no shell has the terminal then, to say fg.
func (g *group) resume() {
	if g.tty && stopped(g.id) {
		warn("a command that holds a lease can't be suspended")
		g.signal(syscall.SIGCONT)
	}
}

// close takes the terminal back.
func (g *group) close() {
	if g.tty {
		signal.Ignore(syscall.SIGTTOU) // As it is in the background now, this would stop it.
		unix.IoctlSetPointerInt(0, unix.TIOCSPGRP, unix.Getpgrp())
		signal.Reset(syscall.SIGTTOU)
	}
}
