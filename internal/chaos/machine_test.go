package chaos

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestMachineKnowsTheWorst(t *testing.T) {
	const slow = 30 * time.Millisecond
	requests := make(chan time.Duration, 2)
	requests <- slow
	requests <- 0
	request := func(ctx context.Context) error {
		select {
		case d := <-requests:
			time.Sleep(d)
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	failed := make(chan bool)
	process := func(context.Context) error {
		time.Sleep(slow)
		failed <- true
		return errors.New("there are no processes")
	}
	m := NewMachine(request, process)
	<-failed
	for m.Worst(0).Request == 0 {
		time.Sleep(time.Millisecond)
	}
	assert.GreaterOrEqual(t, m.Worst(0).Request, slow)
	assert.Zero(t, m.Worst(0).Process, "what failed doesn't count")
	assert.Zero(t, m.Worst(Now()+time.Hour), "what was before doesn't count")
	m.Stop()
}

func TestLatenessAddsUp(t *testing.T) {
	late := Lateness{Goroutine: 2, Request: 5, Process: 9}
	assert.Equal(t, time.Duration(21), late.Steps(3))
	assert.Equal(t, Lateness{Goroutine: 4, Request: 5, Process: 9}, late.worse(Lateness{Goroutine: 4}))
}
