package chaos_test

import (
	"context"
	"errors"
	"time"

	"github.com/stretchr/testify/assert"
)

// local is a worker in this process.
type local struct {
	worker
	settings worker // when it was started first
	started  int
	leave    context.CancelFunc
	working  chan struct{} // closed when it begins to work
	gone     chan struct{} // closed when it has left
}

// run starts a worker in this process. It stays until the fleet stops, or it is told to leave.
func (f *fleet) run(w worker) *local {
	ctx, leave := context.WithCancel(f.ctx)
	l := &local{
		settings: w,
		started:  1,
		leave:    leave,
		working:  make(chan struct{}),
		gone:     make(chan struct{}),
	}
	w.steady = &f.steady
	w.ready = func() { close(l.working) }
	l.worker = w
	f.named(w.Lessee)
	go func() {
		defer close(l.gone)
		assert.NoError(f.t, w.run(ctx))
	}()
	return l
}

// stop blocks until the worker has left.
func (l *local) stop() {
	l.leave()
	<-l.gone
}

// again starts a worker that has left anew, with leases of another duration.
func (l *local) again(f *fleet, lease time.Duration) *local {
	settings := l.settings
	settings.Duration = lease
	next := f.run(settings.again(l.started))
	next.settings = settings
	next.started = l.started + 1
	return next
}

// awaitReady blocks until the worker works.
func (l *local) awaitReady() error {
	select {
	case <-l.working:
		return nil
	case <-l.gone:
		return errors.New("a worker left before it began to work")
	case <-time.After(hangs):
		return errors.New("a worker did not begin to work")
	}
}
