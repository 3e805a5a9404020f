package lease

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// workTerms are what a Hold grants its work.
type workTerms struct {
	first    time.Duration         // after its lease was asked for, that is renewed first
	patience time.Duration         // for how long it may go on when its context is done; 0: for ever
	givenUp  func(result[nothing]) // is told once when the item of stuck work is given up; or nil
}

// watcher watches over the work of a Hold: it asks the watch in time, and gives the item up
// when the work is stuck.
type watcher struct {
	tenure *tenure
	terms  workTerms
	free   func() error         // ends the tenure, frees the row, and returns the loss of the lease
	freed  chan result[nothing] // what came of that, when the work was stuck
	untold func() bool          // stops waiting for the end of the work's context

	mu        sync.Mutex // guards what follows
	watch     watch
	timer     *time.Timer // nil before it is time for anything
	stuckAt   limit       // why the work is stuck; noLimit if it isn't
	isOver    bool        // the work has returned, or is stuck
	hasWarned bool        // a promise that makes no sense was told of
}

// watchOver begins to watch over a work that has that context.
func watchOver(ctx context.Context, t *tenure, terms workTerms, free func() error) *watcher {
	w := &watcher{
		tenure: t,
		terms:  terms,
		free:   free,
		freed:  make(chan result[nothing], 1),
		untold: func() bool { return true },
		watch:  watch{patience: terms.patience},
	}
	if terms.patience > 0 {
		w.untold = context.AfterFunc(ctx, w.toldToEnd)
	}
	t.watcher.Store(w)
	return w
}

// promise notes a promise to be heard of again.
func (w *watcher) promise(within time.Duration) {
	isSlip := within > 0 && within < shortestDuration
	if isSlip {
		w.warn(within)
		return
	}
	w.change(func(is watch) watch { return is.promised(time.Now(), max(within, 0)) })
}

// warn tells, once, of a promise that makes no sense.
func (w *watcher) warn(within time.Duration) {
	w.mu.Lock()
	hasWarned := w.hasWarned
	w.hasWarned = true
	w.mu.Unlock()
	if !hasWarned {
		logError("Progress Ignored", "lessee_id", w.tenure.lessee, "lease_id", w.tenure.leaseID,
			"within", within, "error", "want a millisecond or more, or 0 for no promise")
	}
}

// toldToEnd notes that the work's context is done.
func (w *watcher) toldToEnd() {
	w.change(func(is watch) watch { return is.toldToEnd(time.Now()) })
}

// change changes the watch, unless that is over, and sees to it that it is asked in time.
func (w *watcher) change(change func(is watch) watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.isOver {
		return
	}
	w.watch = change(w.watch)
	w.plan()
}

// plan sets the timer. The mutex is held.
func (w *watcher) plan() {
	if w.watch.next.IsZero() {
		return
	}
	wait := max(time.Until(w.watch.next), atOnce)
	if w.timer == nil {
		w.timer = time.AfterFunc(wait, w.tick)
	} else {
		w.timer.Reset(wait)
	}
}

// tick asks the watch, and gives the item up if the work is stuck.
func (w *watcher) tick() {
	if isStuck := w.judge(); !isStuck {
		return
	}
	start(w.giveUp, func(r result[nothing]) {
		if w.terms.givenUp != nil {
			w.terms.givenUp(r)
		}
		w.freed <- r
	})
}

// judge asks the watch, and ends it if the work is stuck. No later call of Progress, and no
// return of the work, change that.
func (w *watcher) judge() (isStuck bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.isOver {
		return false
	}
	is, met := w.watch.asked(time.Now())
	w.watch = is
	w.stuckAt = met
	if met.kind == noLimit {
		w.plan()
		return false
	}
	w.isOver = true
	return true
}

// giveUp ends the tenure of a work that is stuck, and only then frees the row: others may
// work on the item from then on, and nothing here is to rely on it.
func (w *watcher) giveUp() (none nothing, loss error) {
	w.tenure.happen(fact{kind: workStuck})

	// The logger is the user's: the row is freed first, whatever that does.
	defer logError("Work Stuck", "lessee_id", w.tenure.lessee, "lease_id", w.tenure.leaseID,
		"reason", w.stuckAt.String(), "since", w.stuckAt.since.Round(0))
	return none, w.free()
}

// end ends the watch, as work has returned, and then the hold; or waits for the end of that,
// if the work was stuck. It returns how the lease was lost before; nil if it wasn't.
func (w *watcher) end() error {
	at := w.stop()
	w.tenure.watcher.Store(nil)
	w.tenure.endWork()
	if at.kind == noLimit {
		return w.free()
	}
	_, loss := (<-w.freed).returned()
	logError("Stuck Work Returned", "lessee_id", w.tenure.lessee, "lease_id", w.tenure.leaseID,
		"lasted", time.Since(at.since))
	stuck := fmt.Errorf("lease: the work on %q was stuck: %v: %w",
		w.tenure.leaseID, at, LeaseStuckError)
	if loss == nil {
		return stuck
	}
	return errors.Join(stuck, loss)
}

// stop ends the watch, and returns at which limit the work was stuck.
func (w *watcher) stop() limit {
	w.untold()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isOver = true
	if w.timer != nil {
		w.timer.Stop()
	}
	return w.stuckAt
}
