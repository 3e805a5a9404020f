package chaos

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Lateness is how late comes what should come at once.
type Lateness struct {
	Goroutine Late // after its timer
	Request   Late // its reply
	Process   Late // its end, if it has nothing to do
}

// Late is how late one kind of thing comes at the worst, and how late all but a tenth come.
type Late struct{ Worst, Usual time.Duration }

// Steps returns how late something may come that takes n steps, one after the other, if each is as
// late as the worst. In a step a goroutine wakes up, sends a request, and gets the reply.
func (l Lateness) Steps(n int) time.Duration {
	step := l.Goroutine.Worst + l.Request.Worst
	return time.Duration(n) * step
}

func (l Lateness) String() string {
	return fmt.Sprintf("late by: a goroutine %v, a reply %v, a process %v",
		l.Goroutine, l.Request, l.Process)
}

func (l Late) String() string {
	return fmt.Sprintf("%v (usual: %v)",
		l.Worst.Round(time.Millisecond), l.Usual.Round(time.Millisecond))
}

// lateOf returns how late things came, which it sorts.
func lateOf(all []time.Duration) Late {
	if len(all) == 0 {
		return Late{}
	}
	slices.Sort(all)
	return Late{Worst: all[len(all)-1], Usual: all[len(all)*9/10]}
}

// Machine measures how late things come, beside all else that goes on.
type Machine struct {
	stop    context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex // guards:
	measured []measurement
}

// measurement is how late one thing came.
type measurement struct {
	of   kind
	at   time.Duration
	late time.Duration
}

type kind int

const (
	goroutines kind = iota
	replies
	processes
	kinds
)

// How often is measured.
const (
	everyGoroutine = 10 * time.Millisecond
	everyRequest   = 50 * time.Millisecond
	everyProcess   = time.Second
)

// NewMachine starts to measure. request sends a request and waits for its reply, process starts a
// process that ends at once and waits for that; when they fail, nothing is measured.
func NewMachine(request, process func(context.Context) error) *Machine {
	m := &Machine{}
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	m.running.Go(func() {
		for ctx.Err() == nil {
			begin := Now()
			time.Sleep(everyGoroutine)
			m.add(goroutines, Now()-begin-everyGoroutine)
		}
	})
	m.running.Go(func() { m.probe(ctx, replies, everyRequest, request) })
	m.running.Go(func() { m.probe(ctx, processes, everyProcess, process) })
	return m
}

// probe does something from time to time, and measures how long it takes.
func (m *Machine) probe(
	ctx context.Context, of kind, every time.Duration, do func(context.Context) error,
) {
	for ctx.Err() == nil {
		begin := Now()
		if do(ctx) == nil {
			m.add(of, Now()-begin)
		}
		select {
		case <-time.After(every):
		case <-ctx.Done():
		}
	}
}

func (m *Machine) add(of kind, late time.Duration) {
	m.note(measurement{of: of, at: Now(), late: late})
}

// NoteReply notes how late the reply to a request came that was sent at a moment of [Now]: workers
// with much to do may see replies later than who only measures.
func (m *Machine) NoteReply(sent, late time.Duration) {
	m.note(measurement{of: replies, at: sent, late: late})
}

func (m *Machine) note(one measurement) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.measured = append(m.measured, one)
}

// Since returns how late things came since a moment of [Now].
func (m *Machine) Since(moment time.Duration) Lateness {
	m.mu.Lock()
	defer m.mu.Unlock()
	var late [kinds][]time.Duration
	for _, one := range m.measured {
		if one.at >= moment {
			late[one.of] = append(late[one.of], one.late)
		}
	}
	return Lateness{
		Goroutine: lateOf(late[goroutines]),
		Request:   lateOf(late[replies]),
		Process:   lateOf(late[processes]),
	}
}

// Stop ends the measuring, and blocks until nothing of it goes on.
func (m *Machine) Stop() {
	m.stop()
	m.running.Wait()
}
