package workers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// Fleet is worker processes and their reports. One goroutine uses it.
type Fleet struct {
	Ctx       context.Context // done when it is stopped, too
	Events    chan Event
	cancel    context.CancelFunc
	processes []*Process
}

// Process is a worker process.
type Process struct {
	Name string
	Cmd  *exec.Cmd
	gone chan struct{} // closed when it has ended
}

// NewFleet returns a fleet without workers.
func NewFleet(ctx context.Context) *Fleet {
	f := &Fleet{Events: make(chan Event, 100)}
	f.Ctx, f.cancel = context.WithCancel(ctx)
	return f
}

// Start starts one more worker: this same program with the arguments worker, endpoint, table
// and name. The last of its events is of the kind "exited", with the error in its text if
// there was one.
func (f *Fleet) Start(name, endpoint, table string) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &Process{Name: name, gone: make(chan struct{})}
	p.Cmd = exec.Command(self, "worker", endpoint, table, name)
	p.Cmd.Stderr = os.Stderr
	p.Cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the parent to act on.
	if _, err := p.Cmd.StdinPipe(); err != nil {            // It ends when this process does.
		return nil, err
	}
	stdout, err := p.Cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.Cmd.Start(); err != nil {
		return nil, err
	}
	f.processes = append(f.processes, p)
	go f.follow(p, stdout)
	return p, nil
}

// follow sends a worker's reports until it has ended, and that it has.
func (f *Fleet) follow(p *Process, stdout io.Reader) {
	defer close(p.gone)
	lines := json.NewDecoder(stdout)
	for {
		e := Event{Worker: p.Name}
		if lines.Decode(&e) != nil {
			break
		}
		f.send(e)
	}
	exited := Event{Worker: p.Name, Kind: "exited"}
	if err := p.Cmd.Wait(); err != nil {
		exited.Text = err.Error()
	}
	exited.At = time.Now()
	f.send(exited)
}

func (f *Fleet) send(e Event) {
	select {
	case f.Events <- e:
	case <-f.Ctx.Done():
	}
}

// Kill ends a worker at once.
func (p *Process) Kill() error { return p.Cmd.Process.Kill() }

// Terminate tells a worker to stop.
func (p *Process) Terminate() error { return p.Cmd.Process.Signal(syscall.SIGTERM) }

// Stop kills the workers and waits until they are gone.
func (f *Fleet) Stop() {
	f.cancel()
	for _, p := range f.processes {
		p.Kill()
	}
	for _, p := range f.processes {
		<-p.gone
	}
}

// DropTables deletes a program's tables as far as they were made. It matters on a server that
// stays.
func DropTables(program string, ddb *dynamodb.DynamoDB, tables ...string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, table := range tables {
		_, err := ddb.DeleteTableWithContext(ctx, &dynamodb.DeleteTableInput{TableName: &table})
		var missing *dynamodb.ResourceNotFoundException
		if err != nil && !errors.As(err, &missing) {
			fmt.Fprintf(os.Stderr, "%s: the table %s stays: %v\n", program, table, err)
		}
	}
}
