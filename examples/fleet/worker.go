package main

import (
	"context"
	"errors"
	"time"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/workers"
)

const (
	// leaseDuration is short, so that there is something to see soon. In production 30 s is a
	// good value.
	leaseDuration = 6 * time.Second
	// step is how long one piece of the work takes.
	step = 300 * time.Millisecond
)

// worker is one worker of the fleet. It is a lease.LeaseRequest, too.
type worker struct {
	name   string // must differ from that of every other worker
	locker *lease.Locker
	guard  guard
	report func(workers.Event) // tells the fleet's owner what happens
}

func (w *worker) LesseeID() string             { return w.name }
func (w *worker) LeaseDuration() time.Duration { return leaseDuration }

// run delivers the worker's share of the mailboxes, until ctx is done: it is told to stop. The
// error is nil if it has released them all then.
func (w *worker) run(ctx context.Context) error {
	err := w.locker.HoldShare(ctx, w, 0, w.deliver)
	if err == context.Cause(ctx) {
		return nil
	}
	return err
}

// deliver works on a mailbox until ctx is done. Each piece of the work is a write to the guard.
func (w *worker) deliver(ctx context.Context, l *lease.Lease) error {
	w.tell("began", l, time.Now(), "")
	for ctx.Err() == nil && l.Valid() {
		w.work(l)
		select {
		case <-time.After(step):
		case <-ctx.Done():
		}
	}
	w.tell("ended", l, time.Now(), string(causeOf(ctx, l)))
	return ctx.Err()
}

// work does one piece of the work.
func (w *worker) work(l *lease.Lease) {
	// Before Valid: what the answer is good for, if there is a pause meanwhile.
	asked := time.Now()
	if !l.Valid() {
		return
	}
	err := w.guard.write(l.Context(), l)
	switch {
	case err == nil:
		w.tell("wrote", l, asked, "")
	case err == errRefused && l.Valid():
		w.tell("refused", l, asked, "")
	case err == errRefused:
		w.tell("late", l, asked, "") // It was paused, or cut off: that is what the guard is for.
	case l.Valid():
		w.report(workers.Event{Kind: "log", Text: "a write failed: " + err.Error()})
	}
}

// causeOf tells why the work on a mailbox has ended.
func causeOf(ctx context.Context, l *lease.Lease) cause {
	if !l.Valid() {
		return loss
	}
	if context.Cause(ctx) == lease.LeaseWantedError {
		return handover
	}
	return sigterm
}

// tell reports what happens to a mailbox.
func (w *worker) tell(kind string, l *lease.Lease, at time.Time, text string) {
	item := workers.Event{Kind: kind, At: at, Text: text, Item: l.LeaseID, Token: l.FencingToken()}
	w.report(item)
}

// guard is what the workers write to, a row for each mailbox. A row takes no write of an older
// tenure than its last one, nor of another worker with the same token: the error is then bare
// errRefused.
type guard interface {
	write(ctx context.Context, l *lease.Lease) error
}

var errRefused = errors.New("refused by the guard")
