package tend

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"

	"github.com/intercom/lease"
	"github.com/intercom/lease/cmd/lease/internal/exit"
)

// stubName is what a process is called that becomes a command when its gate opens. Till then
// nothing of the command runs.
const stubName = "lease-stub"

func init() {
	// The death of the parent is told to the first thread, and to the command if that one
	// executes it.
	if os.Args[0] == stubName {
		runtime.LockOSThread()
	}
}

// gate is what a stub waits at: it reads a byte from the one pipe, and writes to the other why the
// command can't be run.
type gate struct {
	theirs []*os.File // closed here when the stub is started
	enter  *os.File
	why    *os.File
}

func newGate() (*gate, error) {
	enter, ours, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	why, theirs, err := os.Pipe()
	if err != nil {
		enter.Close()
		ours.Close()
		return nil, err
	}
	return &gate{theirs: []*os.File{enter, theirs}, enter: ours, why: why}, nil
}

// numbers are those of the stub's files.
func (g *gate) numbers() (numbers []string) {
	for _, f := range g.theirs {
		numbers = append(numbers, strconv.Itoa(int(f.Fd())))
	}
	return numbers
}

// open lets the stub become the command, unless the tenure is over.
func (g *gate) open(l *lease.Lease) error {
	if !l.Valid() {
		g.enter.Close()
		return errors.New("the lease was over before the command began")
	}
	fmt.Fprint(g.enter, "\n")
	why, err := io.ReadAll(g.why) // It ends when the command has begun.
	if n, failed := strconv.Atoi(string(why)); failed == nil {
		return syscall.Errno(n)
	}
	return err
}

func (g *gate) close() {
	g.enter.Close()
	g.why.Close()
}

// runStub is the whole of a stub: its arguments are the numbers of its files, the command's path,
// and the command's own. It doesn't return.
func runStub() {
	enter, _ := strconv.Atoi(os.Args[1])
	why, _ := strconv.Atoi(os.Args[2])
	if !gateOpens(enter) {
		os.Exit(exit.CantHold)
	}
	syscall.CloseOnExec(enter)
	syscall.CloseOnExec(why)

	// What "lease hold" ignores isn't ignored by the command.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGTTOU)
	err := syscall.Exec(os.Args[3], os.Args[4:], os.Environ())
	var errno syscall.Errno
	if errors.As(err, &errno) {
		syscall.Write(why, []byte(strconv.Itoa(int(errno))))
	}
	os.Exit(exit.CantRun)
}

// gateOpens waits at the gate. If nobody opens it any more, it returns false.
func gateOpens(enter int) bool {
	var b [1]byte
	for {
		n, err := syscall.Read(enter, b[:])
		if err != syscall.EINTR {
			return n > 0 && err == nil
		}
	}
}
