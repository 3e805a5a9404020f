package tend

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/intercom/lease"
	"github.com/intercom/lease/cmd/lease/internal/exit"
	"github.com/intercom/lease/cmd/lease/internal/say"
)

// group is the process group of a command.
type group struct {
	id  int
	cmd *exec.Cmd

	// exited is closed when the command itself has ended; what it has started may still run.
	exited chan struct{}

	kill    func(pid int, s syscall.Signal) error // syscall.Kill, but in tests
	tty     bool                                  // it has the terminal
	looked  time.Time                             // when it was looked for what is stopped there
	item    string
	warned  bool // that it has stopped in the background
	foreign bool // it can't be signalled
}

// own are the processes that this one has started, and waits for.
var own = struct {
	sync.Mutex
	pids map[int]bool
}{pids: make(map[int]bool)}

// startOwn starts a process, which gets these files under the numbers that they have here: others
// may be the command's.
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

// start starts the command for an item, in a process group of its own, when the guard knows of
// it. The calling thread must outlive it.
func (k *Keeper) start(l *lease.Lease, env []string) (*group, error) {
	self, err := ownBinary()
	if err != nil {
		return nil, err
	}
	gate, err := newGate()
	if err != nil {
		return nil, err
	}
	defer gate.close()
	g := &group{
		cmd:    k.command(self, gate, env),
		exited: make(chan struct{}),
		kill:   syscall.Kill,
		item:   l.LeaseID,
	}
	if !k.Many {
		g.giveStdin()
	}
	if err := startOwn(g.cmd, gate.theirs...); err != nil {
		return nil, err
	}
	g.id = g.cmd.Process.Pid
	k.guard.know(g.id, time.Now().Add(l.Remaining()))
	go func() {
		waitOwn(g.cmd)
		close(g.exited)
	}()
	if err := gate.open(l); err != nil {
		<-g.exited
		k.guard.drop(g.id)
		g.close()
		return nil, err
	}
	return g, nil
}

// command returns the stub that waits at the gate, and becomes the command.
func (k *Keeper) command(self string, gate *gate, env []string) *exec.Cmd {
	cmd := exec.Command(self)
	cmd.Args = slices.Concat([]string{stubName}, gate.numbers(), []string{k.Path}, k.Args)
	cmd.Env = slices.Concat(os.Environ(), env)
	cmd.Stdout = os.Stdout
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(cmd.SysProcAttr)
	return cmd
}

// giveStdin gives a command that is to start this process's stdin, and the terminal if this process
// has it: then the command may read from it, and Ctrl-C is for the command.
func (g *group) giveStdin() {
	g.cmd.Stdin = os.Stdin
	atTerminal := foregroundGroup() == unix.Getpgrp()
	inPipeline := !say.IsTerminal(os.Stdout) // There may be a pager, which needs the terminal.
	if !atTerminal || inPipeline {
		return
	}
	g.tty = true
	g.cmd.SysProcAttr.Foreground = true
	signal.Ignore(syscall.SIGTTOU) // This process may write to it from the background, then.
}

// foregroundGroup returns the process group that has the terminal, or -1 if stdin is none.
func foregroundGroup() int {
	id, err := unix.IoctlGetInt(0, unix.TIOCGPGRP)
	if err != nil {
		return -1
	}
	return id
}

// signal sends a signal to the whole group.
func (g *group) signal(s syscall.Signal) {
	if g.kill(-g.id, s) != syscall.EPERM || g.foreign {
		return
	}
	g.foreign = true
	say.About{Item: g.item}.Warn(
		"the command for %s can't be signalled: it runs as another user; end it yourself", say.Name(g.item))
}

// over tells whether no process of the group is left.
func (g *group) over() bool {
	select {
	case <-g.exited:
	default:
		return false
	}
	g.bury()
	return errors.Is(g.kill(-g.id, 0), syscall.ESRCH)
}

// bury waits for those of the group that have ended and whose parents have, too: they are this
// process's.
func (g *group) bury() {
	for {
		pid, err := syscall.Wait4(-g.id, nil, syscall.WNOHANG, nil)
		if pid <= 0 && !errors.Is(err, syscall.EINTR) {
			return
		}
	}
}

// endSignal returns the signal that the command has ended of, or 0 if it has exited.
func (g *group) endSignal() syscall.Signal {
	<-g.exited
	s, ok := g.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !s.Signaled() {
		return 0
	}
	return s.Signal()
}

// interrupted tells whether Ctrl-C ended the command, of which this process has heard nothing.
func (g *group) interrupted() bool {
	return g.tty && g.endSignal() == syscall.SIGINT && !signal.Ignored(syscall.SIGINT)
}

// status returns the command's exit status, as a shell has it.
func (g *group) status() int {
	if s := g.endSignal(); s != 0 {
		return exit.OfSignal + int(s)
	}
	return g.cmd.ProcessState.ExitCode()
}

// resume lets a command go on that was stopped at the terminal: no shell has the terminal then, to
// say fg. Of another one that has stopped it tells, once.
func (g *group) resume() {
	if g.warned || !g.isStopped() {
		return
	}
	if g.tty {
		say.About{Item: g.item}.Warn("a command that holds a lease can't be suspended")
		g.signal(syscall.SIGCONT)
		return
	}
	g.warned = true
	say.About{Item: g.item}.Warn("the command for %s has stopped, and holds its lease; "+
		"a command in the background can't read a terminal", say.Name(g.item))
}

// isStopped tells whether the command has stopped; at the terminal, also whether one that it has
// started has, which is looked for now and then.
func (g *group) isStopped() bool {
	if stopped(g.id) {
		return true
	}
	const nowAndThen = 500 * time.Millisecond
	if !g.tty || time.Since(g.looked) < nowAndThen {
		return false
	}
	g.looked = time.Now()
	return stoppedBelow(g.id, g.id)
}

// close takes the terminal back.
func (g *group) close() {
	if g.tty && foregroundGroup() == g.id {
		unix.IoctlSetPointerInt(0, unix.TIOCSPGRP, unix.Getpgrp())
	}
}
