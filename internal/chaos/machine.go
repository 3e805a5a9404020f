package chaos

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Lateness is how late comes, at the worst, what should come at once.
type Lateness struct {
	Goroutine time.Duration // after its timer
	Request   time.Duration // its reply
	Process   time.Duration // its end, if it has nothing to do
}

// Steps returns how late something comes at the worst that takes n steps, one after the other.
// In a step a goroutine wakes up, sends a request, and gets the reply.
func (l Lateness) Steps(n int) time.Duration {
	step := l.Goroutine + l.Request
	return time.Duration(n) * step
}

func (l Lateness) String() string {
	round := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
	return fmt.Sprintf("a goroutine %v, a reply %v, a process %v late",
		round(l.Goroutine), round(l.Request), round(l.Process))
}

func (l Lateness) worse(other Lateness) Lateness {
	return Lateness{
		Goroutine: max(l.Goroutine, other.Goroutine),
		Request:   max(l.Request, other.Request),
		Process:   max(l.Process, other.Process),
	}
}

// Machine measures how late things come, beside all else that goes on.
type Machine struct {
	stop    context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex // guards:
	measured []measurement
}

// measurement is one, of one kind. They are in order of their ends.
type measurement struct {
	end  time.Duration
	late Lateness
}

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
			m.add(Lateness{Goroutine: Now() - begin - everyGoroutine})
		}
	})
	m.running.Go(func() {
		m.probe(ctx, everyRequest, request, func(d time.Duration) Lateness {
			return Lateness{Request: d}
		})
	})
	m.running.Go(func() {
		m.probe(ctx, everyProcess, process, func(d time.Duration) Lateness {
			return Lateness{Process: d}
		})
	})
	return m
}

// probe does something from time to time, and adds how long it took.
func (m *Machine) probe(
	ctx context.Context, every time.Duration, do func(context.Context) error,
	as func(time.Duration) Lateness,
) {
	for ctx.Err() == nil {
		begin := Now()
		if do(ctx) == nil {
			m.add(as(Now() - begin))
		}
		select {
		case <-time.After(every):
		case <-ctx.Done():
		}
	}
}

func (m *Machine) add(late Lateness) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.measured = append(m.measured, measurement{Now(), late})
}

// Worst returns the worst of what has been measured since a moment of [Now].
func (m *Machine) Worst(since time.Duration) Lateness {
	m.mu.Lock()
	defer m.mu.Unlock()
	var worst Lateness
	for i := len(m.measured) - 1; i >= 0 && m.measured[i].end >= since; i-- {
		worst = worst.worse(m.measured[i].late)
	}
	return worst
}

// Stop ends the measuring, and blocks until nothing of it goes on.
func (m *Machine) Stop() {
	m.stop()
	m.running.Wait()
}
