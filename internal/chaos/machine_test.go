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
	for m.Since(0).Request.Worst == 0 {
		time.Sleep(time.Millisecond)
	}
	assert.GreaterOrEqual(t, m.Since(0).Request.Worst, slow)
	assert.Zero(t, m.Since(0).Process, "what failed doesn't count")
	assert.Zero(t, m.Since(Now()+time.Hour), "what was before doesn't count")
	m.Stop()
}

func TestLatenessAddsUp(t *testing.T) {
	late := Lateness{Goroutine: Late{Worst: 20, Usual: 2}, Request: Late{Worst: 50, Usual: 5}}
	assert.Equal(t, time.Duration(10*70), late.Steps(10))
}

func TestLateKnowsWhatIsUsual(t *testing.T) {
	assert.Zero(t, lateOf(nil))
	assert.Equal(t, Late{Worst: 7, Usual: 7}, lateOf([]time.Duration{7}))
	ten := []time.Duration{5, 9, 1, 3, 4, 2, 6, 8, 7, 100}
	assert.Equal(t, Late{Worst: 100, Usual: 100}, lateOf(ten))
	assert.Equal(t, Late{Worst: 100, Usual: 9}, lateOf(append(ten, 0, 0)))
}
