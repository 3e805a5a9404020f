package workers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

// Start starts one more worker: this same program with the arguments worker, endpoint, table and its name. The last of its
// events is of the kind "exited", with the error in its text if there was one.
func (f *Fleet) Start(endpoint, table string) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &Process{Name: fmt.Sprintf("worker-%d", len(f.processes)+1), gone: make(chan struct{})}
	p.Cmd = exec.Command(self, "worker", endpoint, table, p.Name)
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
	go func() {
		defer close(p.gone)
		lines := json.NewDecoder(stdout)
		for {
			e := Event{Worker: p.Name}
			if lines.Decode(&e) != nil {
				break
			}
			f.send(e)
		}
		text := ""
		if err := p.Cmd.Wait(); err != nil {
			text = err.Error()
		}
		f.send(Event{At: time.Now(), Worker: p.Name, Kind: "exited", Text: text})
	}()
	return p, nil
}

func (f *Fleet) send(e Event) {
	select {
	case f.Events <- e:
	case <-f.Ctx.Done():
	}
}

// Stop kills the workers and waits until they are gone.
func (f *Fleet) Stop() {
	f.cancel()
	for _, p := range f.processes {
		p.Cmd.Process.Kill()
	}
	for _, p := range f.processes {
		<-p.gone
	}
}

// DropTables deletes a program's tables as far as they were made. It matters on a server that stays.
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
