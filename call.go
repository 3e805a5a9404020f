package lease

import (
	"context"
	"errors"
	"math"
	"runtime/debug"
	"time"
)

// What the caller gave (a store, a request, a work) may block for ever, panic, or leave its
// goroutine. So it is called in a goroutine of its own, which sends what came of it.

// result is how a call ended.
type result[T any] struct {
	value    T
	err      error
	panicked any    // what it panicked with; nil if it didn't
	stack    []byte // where
}

var errLeft = errors.New("lease: a method of the store, the request or the work left its goroutine")

// start calls f in a goroutine, and there calls deliver with the result.
func start[T any](f func() (T, error), deliver func(result[T])) {
	go func() {
		r := result[T]{err: errLeft}
		defer func() {
			if r.panicked = recover(); r.panicked != nil {
				r.stack = debug.Stack()
			}
			deliver(r)
		}()
		r.value, r.err = f()
	}()
}

// async calls f in a goroutine. The result may be left unread.
func async[T any](f func() (T, error)) <-chan result[T] {
	done := make(chan result[T], 1)
	start(f, func(r result[T]) { done <- r })
	return done
}

// returned returns or panics as the call did.
func (r result[T]) returned() (T, error) {
	if r.panicked != nil {
		panic(r.panicked)
	}
	return r.value, r.err
}

// logPanic logs a panic, if the call ended by one.
func (r result[T]) logPanic() {
	if r.panicked == nil {
		return
	}
	defer func() { _ = recover() }() // The logger may be what panics.
	logError("Panic", "value", r.panicked, "stack", string(r.stack))
}

// endless is the patience of who waits until its context is done.
const endless = time.Duration(math.MaxInt64)

// await returns what f returns, or the context's error once ctx is done or patience is
// over: f then goes on alone, and what it returns is not read.
func await[T any](
	ctx context.Context, patience time.Duration, f func(ctx context.Context) (T, error),
) (T, error) {
	var none T
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if ctx.Err() != nil {
		return none, contextError(ctx)
	}
	done := make(chan result[T], 1)
	start(func() (T, error) { return f(ctx) }, func(r result[T]) {
		done <- r
		r.logPanic() // Perhaps nobody reads the result.
	})
	select {
	case r := <-done:
		return r.returned()
	case <-ctx.Done():
		return none, contextError(ctx)
	}
}

// nothing is the value of a call that returns an error only.
type nothing struct{}

// sleepUntil sleeps until then, or until ctx is done. It reports whether ctx isn't done.
func sleepUntil(ctx context.Context, then time.Time) bool {
	both, cancel := context.WithDeadline(ctx, then)
	defer cancel()
	<-both.Done()

	// Where both end at once, nothing is begun that would be given up at once.
	if end, hasEnd := ctx.Deadline(); hasEnd && time.Until(end) <= 0 {
		<-ctx.Done()
	}
	return ctx.Err() == nil
}

// waitAtMost waits for so long, or until done is closed.
func waitAtMost(longest time.Duration, done <-chan struct{}) {
	timer := time.NewTimer(longest)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}
