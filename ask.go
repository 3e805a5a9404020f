package lease

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// errand is a request that a Locker makes of its store, in words.
type errand struct {
	deed    string // "lease", say
	leaseID string // "" if it is of no item
	lessee  string
	where   string    // the store
	ends    time.Time // when the row's lease ends that isn't released; else zero
	token   int64     // of the tenure that makes it; 0: none does
	begun   time.Time
}

func (l *Locker) errand(deed, leaseID, lessee string) errand {
	return errand{
		deed:    deed,
		leaseID: leaseID,
		lessee:  lessee,
		where:   l.where,
		begun:   time.Now(),
	}
}

// errandOf is an errand that a tenure makes.
func (l *Locker) errandOf(deed string, t *tenure) errand {
	e := l.errand(deed, t.leaseID, t.lessee)
	e.token = t.state().token
	return e
}

func (e errand) String() string {
	if e.leaseID == "" {
		return fmt.Sprintf("the %s of %s", e.deed, e.where)
	}
	return fmt.Sprintf("the %s of %q in %s", e.deed, e.leaseID, e.where)
}

// keyvals tell of the errand in a log.
func (e errand) keyvals() []any {
	all := []any{"lessee_id", e.lessee}
	if e.leaseID != "" {
		all = append(all, "lease_id", e.leaseID)
	}
	if !e.ends.IsZero() {
		all = append(all, "lease_ends", e.ends)
	}
	return all
}

// ask calls a store, and returns what f returns. It gives up when ctx is done, or patience
// is over; both errors say so. What fails is told by the Locker's log.
func ask[T any](
	ctx context.Context, l *Locker, e errand, patience time.Duration,
	f func(ctx context.Context) (T, error),
) (T, error) {
	begun := time.Now()
	tried, tries := withTries(ctx)
	got, err := await(tried, patience, func(ctx context.Context) (T, error) {
		return reported(ctx, l, e, f)
	})
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return got, e.abandoned(err)
	}
	isOver := err != nil && !isVerdict(err) && time.Since(begun) >= patience
	if isOver {
		err = e.unanswered(patience, tries)
		l.failed(e, err)
	}
	return got, err
}

// askError is ask of a function that returns an error only.
func askError(
	ctx context.Context, l *Locker, e errand, patience time.Duration,
	f func(ctx context.Context) error,
) error {
	_, err := ask(ctx, l, e, patience, func(ctx context.Context) (nothing, error) {
		return nothing{}, f(ctx)
	})
	return err
}

// reported is f, with the Locker's log told of how it goes.
func reported[T any](
	ctx context.Context, l *Locker, e errand, f func(ctx context.Context) (T, error),
) (T, error) {
	const soon = 4 * time.Second // An outage is to be told of within 5.
	tried, tries := withTries(ctx)
	timer := time.AfterFunc(soon, func() {
		if ctx.Err() == nil {
			l.hung(e, e.unanswered(soon, tries))
		}
	})
	defer timer.Stop()
	got, err := f(tried)
	switch {
	case err == nil:
		l.answered()
	case ctx.Err() != nil:
		// Who waits tells of it. What err wraps may be the cause of ctx, and no answer.
	case isVerdict(err):
		l.answered()
	default:
		l.failed(e, err)
	}
	return got, err
}

// tries is what has become of a request so far, which its store may try several times. A
// store that finds it in its context doesn't log its errors: the Locker does.
type tries struct {
	mu   sync.Mutex
	last error
}

type triesKey struct{}

// withTries returns ctx with a tries in it, and that.
func withTries(ctx context.Context) (context.Context, *tries) {
	if known := triesOf(ctx); known != nil {
		return ctx, known
	}
	fresh := &tries{}
	return context.WithValue(ctx, triesKey{}, fresh), fresh
}

// triesOf returns what withTries has put into a context; nil if it hasn't.
func triesOf(ctx context.Context) *tries {
	known, _ := ctx.Value(triesKey{}).(*tries)
	return known
}

func (t *tries) failed(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = err
}

func (t *tries) failure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}

// unansweredError says that a store hasn't answered for as long as this package waits. It
// isn't the error of a context: the caller's may be fine.
type unansweredError struct {
	errand errand
	waited time.Duration
	cause  error // of the last try that has failed; nil if none has
}

func (e errand) unanswered(waited time.Duration, tries *tries) error {
	return &unansweredError{errand: e, waited: waited, cause: tries.failure()}
}

func (e *unansweredError) Error() string {
	text := fmt.Sprintf("lease: %v was not answered within %v",
		e.errand, e.waited.Round(time.Millisecond))
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return text
}

// Timeout and Temporary make it a net.Error, which another try may mend.
func (*unansweredError) Timeout() bool   { return true }
func (*unansweredError) Temporary() bool { return true }

// abandoned is the error of an errand that ended by that error of its caller's context.
func (e errand) abandoned(err error) error {
	return fmt.Errorf("lease: %v was given up: %w", e, err)
}

// reports is what a Locker's log has told of failures. Its mutex is of its own, as the
// logger is the user's.
type reports struct {
	mu     sync.Mutex
	outage outage
	faults faults
}

// failed tells of a failure, or keeps it as a detail.
func (l *Locker) failed(e errand, err error) {
	if isLogged(err) {
		return
	}
	if isOfRow(err) {
		logError("AWS Error", failureOf(e, err)...)
		return
	}
	if mayPass(err) {
		l.failedForNow(e, err)
		return
	}
	kind := e.deed + " " + errorCode(err)
	if errorCode(err) == "" {
		kind = err.Error()
	}
	l.reports.mu.Lock()
	isNew := l.reports.faults.failed(time.Now(), kind)
	l.reports.mu.Unlock()
	if isNew {
		logError("AWS Error", failureOf(e, err)...)
	} else {
		logDetail("AWS Error", failureOf(e, err)...)
	}
}

// failedForNow tells of a failure that may pass: an outage.
func (l *Locker) failedForNow(e errand, err error) {
	l.reports.mu.Lock()
	now := time.Now()
	is, saying := l.reports.outage.failed(now)
	l.reports.outage = is
	l.reports.mu.Unlock()
	is.tell(saying, now, e, err)
}

// hung tells of a request that isn't answered, if nothing was told of before.
func (l *Locker) hung(e errand, err error) {
	l.reports.mu.Lock()
	now := time.Now()
	is, saying := l.reports.outage.hung(now)
	l.reports.outage = is
	l.reports.mu.Unlock()
	is.tell(saying, now, e, err)
}

// answered tells that failures are over, if any were told of.
func (l *Locker) answered() {
	l.reports.mu.Lock()
	is, saying := l.reports.outage.answered()
	l.reports.outage = is
	l.reports.mu.Unlock()
	if saying == outageIsOver {
		logError("Outage Over", "failures", is.failures, "lasted", time.Since(is.since))
	}
}

// tell logs a failure. What isn't new is a detail.
func (o outage) tell(saying saying, now time.Time, e errand, err error) {
	keyvals := failureOf(e, err)
	switch saying {
	case outageBegins:
		logError("AWS Error", keyvals...)
	case outageGoesOn:
		logError("AWS Error", append(keyvals, "failures", o.failures, "lasted", now.Sub(o.since))...)
	default:
		logDetail("AWS Error", keyvals...)
	}
}

// failureOf returns the keys and values that tell of an errand's error: in the words of
// the original, and in the error's own.
func failureOf(e errand, err error) []any {
	all := describe(err)
	if all[0] != "error" {
		all = append(all, "error", err)
	}
	return append(all, e.keyvals()...)
}
