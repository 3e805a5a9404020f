package lease

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go/aws/request"
)

// atOnce is a timer's time. Many of 0 side by side crash the race detector of Go 1.26
// in synctest bubbles.
const atOnce = time.Nanosecond

// HoldShare keeps this worker at its fair share of all lease items, at most `most` at
// once (0: no limit), and runs work for each in a goroutine of its own, until ctx is
// done. What it is short of it wishes for, and who has more hands it over. Call it once
// for a LesseeID.
//
// It looks every third of the lease's duration, more often while items move, less in
// fleets of over 100. On a store of two methods it takes what is free. work must stop
// when its context is done: see [Locker.Hold]. An item whose work returns unasked is
// released, and rests here for a third of the lease's duration, or after errors with
// backoff up to 5 minutes (or that third); that is logged, as are errors of the store,
// which are waited out.
//
// HoldShare blocks until all works have returned, for however long that takes, and their
// items are released, in 10 seconds at most. It returns the cause of ctx, wrapped if items stay leased; or at
// once what is wrong with an argument, or with the store until the first look succeeds.
// A panic goes through it.
func (l *Locker) HoldShare(
	ctx context.Context, request LeaseRequest, most int,
	work func(ctx context.Context, lease *Lease) error,
) error {
	r, err := l.checked(ctx, request)
	if err != nil {
		return err
	}
	if most < 0 {
		return fmt.Errorf("lease: most is %d; want the number of items to hold, or 0 for no limit", most)
	}
	if work == nil {
		return errors.New("lease: the work to hold a share for is nil")
	}
	random := mathrand.New(mathrand.NewPCG(mathrand.Uint64(), mathrand.Uint64()))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &share{
		locker:  l,
		cancel:  cancel,
		request: r,
		work:    work,
		plan:    newPlanner(r, most, random),
		timer:   time.NewTimer(atOnce),
		answers: make(chan sent),
		ended:   make(chan workRun),
	}
	defer s.timer.Stop()
	defer s.drain(ctx)
	return s.run(ctx)
}

// share is one HoldShare: a loop over what happens. All of it belongs to the goroutine
// that called it, but for the requests and the works, which send what came of them. The
// planner decides.
type share struct {
	locker  *Locker
	cancel  context.CancelFunc
	request requested
	work    func(ctx context.Context, lease *Lease) error
	plan    *planner

	timer   *time.Timer         // it is time to look
	running int                 // how many works have not ended
	looking <-chan result[page] // the look that is under way; nil if none is
	sending <-chan result[bool] // the step that is under way: did the store answer?
	answers chan sent           // a request of the step has ended
	ended   chan workRun        // a work has ended

	hasLooked bool      // a look has succeeded
	failure   error     // what ends the share, whatever ctx says
	panicked  any       // what one of the caller's functions panicked with
	stay      int       // how many items could not be released
	stayUntil time.Time // until when they stay leased
}

// run is the loop. It ends when ctx is done, and nothing is under way.
func (s *share) run(ctx context.Context) error {
	done := ctx.Done()
	for ctx.Err() == nil || s.isBusy() {
		select {
		case <-s.timer.C:
			s.look(ctx)
		case look := <-s.looking:
			s.guard(func() { s.looked(ctx, look) })
		case a := <-s.answers:
			s.guard(func() { s.heard(ctx, a) })
		case step := <-s.sending:
			s.guard(func() { s.stepped(ctx, step) })
		case end := <-s.ended:
			s.guard(func() { s.workEnded(ctx, end) })
		case <-done:
			done = nil
			s.timer.Stop()
		}
	}
	return s.result(ctx)
}

// drain ends what is under way. That is nothing, unless a logger has left this goroutine,
// and the loop with it (runtime.Goexit). A lease that arrives then is given to hold, whose
// work finds its context done, as only hold releases it.
func (s *share) drain(ctx context.Context) {
	s.cancel()
	for s.isBusy() {
		select {
		case <-s.looking:
			s.looking = nil
		case <-s.sending:
			s.sending = nil
		case a := <-s.answers:
			if a.value != nil {
				s.startWork(ctx, a.candidate, a.value)
			}
		case <-s.ended:
			s.running--
		}
	}
}

// result is what HoldShare returns, or panics with.
func (s *share) result(ctx context.Context) error {
	if s.panicked != nil {
		panic(s.panicked)
	}
	if s.failure != nil {
		return s.failure
	}
	if s.stay > 0 {
		return fmt.Errorf("lease: %d items of %q stay leased until %v: %w",
			s.stay, s.request.lessee, s.stayUntil.Round(0), contextError(ctx))
	}
	return context.Cause(ctx)
}

// isBusy tells that works or requests are under way.
func (s *share) isBusy() bool {
	isSending := s.looking != nil || s.sending != nil
	return isSending || s.running > 0
}

// guard has a panic end the share, when all works have returned.
func (s *share) guard(handle func()) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if s.panicked == nil {
			s.panicked = p
		}
		s.cancel() // so that the works return
	}()
	handle()
}

// look begins to scan all items.
func (s *share) look(ctx context.Context) {
	s.looking = async(func() (page, error) {
		var all page
		for {
			seen, err := s.locker.scan(ctx, s.request, all.next, 0)
			if err != nil {
				return page{}, err
			}
			all.items = append(all.items, seen.items...)
			all.unseen = seen.unseen
			all.next = seen.next
			if all.next == "" {
				return all, nil
			}
		}
	})
}

// looked goes on after a look.
func (s *share) looked(ctx context.Context, look result[page]) {
	s.looking = nil
	seen, err := look.returned()
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		s.hasLooked = true
		s.do(ctx, s.plan.looked(time.Now(), seen, s.isUsed))
		return
	}
	if !s.hasLooked && !transient(err) {
		s.failure = err
		s.cancel()
		return
	}
	s.setTimer(s.plan.lookFailed(time.Now()))
	logFailure(err, "lessee_id", s.request.lessee)
}

func (s *share) isUsed(leaseID string) bool {
	return s.locker.usage(holding{leaseID: leaseID, lessee: s.request.lessee}) == inUse
}

func (s *share) setTimer(then time.Time) {
	s.timer.Reset(max(minWaitPeriod, time.Until(then)))
}

// do begins a step.
func (s *share) do(ctx context.Context, next step) {
	switch next.kind {
	case lookAgain:
		s.setTimer(next.look)
	case leaseItems:
		s.send(next, func(c candidate) (*Lease, error) { return s.leaseFor(ctx, c) })
	case makeWishes:
		s.send(next, func(c candidate) (*Lease, error) { return nil, s.wishFor(ctx, c) })
	}
}

// stepped goes on after a step, all of whose answers have been heard.
func (s *share) stepped(ctx context.Context, end result[bool]) {
	s.sending = nil
	isAnswered, _ := end.returned()
	if ctx.Err() == nil {
		s.do(ctx, s.plan.next(time.Now(), isAnswered))
	}
}

// send sends a request for each item of a step, 16 at a time, until all of a
// wave have failed.
func (s *share) send(now step, request func(c candidate) (*Lease, error)) {
	const width = 16
	s.sending = async(func() (isAnswered bool, err error) {
		for wave := range slices.Chunk(now.items, width) {
			if !s.sendWave(now.kind, wave, request) {
				return false, nil
			}
		}
		return true, nil
	})
}

// sendWave sends requests side by side, and tells whether the store has answered one.
func (s *share) sendWave(
	kind stepKind, wave []candidate, request func(c candidate) (*Lease, error),
) bool {
	var all sync.WaitGroup
	all.Add(len(wave))
	isAnswered := make([]bool, len(wave))
	for i, c := range wave {
		call := func() (*Lease, error) { return request(c) }
		start(call, func(r result[*Lease]) {
			defer all.Done()
			isAnswered[i] = r.err == nil || errors.Is(r.err, LeaseNotObtainedError)
			s.answers <- sent{kind: kind, candidate: c, result: r}
		})
	}
	all.Wait()
	return slices.Contains(isAnswered, true)
}

// leaseFor tries to lease an item. What was written isn't left behind when ctx is done
// meanwhile.
func (s *share) leaseFor(ctx context.Context, c candidate) (*Lease, error) {
	if ctx.Err() != nil {
		return nil, LeaseNotObtainedError // nothing to log
	}
	lasting, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout(s.request.duration))
	defer cancel()
	a := attempt{seen: c.LeaseItem, unseen: c.unseen, request: s.request, purpose: forWork}
	if c.handedToMe {
		a.predecessor = madeUpPredecessor(c.LeaseItem, s.request)
	}
	answer := make(chan result[*Lease], 1)
	s.locker.beginLease(lasting, a, func(r result[*Lease]) { answer <- r })
	return (<-answer).returned()
}

// wishFor asks the holder of an item for it.
func (s *share) wishFor(ctx context.Context, c candidate) error {
	until := wishUntil(time.Now(), c.LeaseItem, s.request.duration)
	timeout := s.locker.store.patience(requestTimeout(s.request.duration))
	err := awaitError(ctx, timeout, func(ctx context.Context) error {
		return s.locker.store.WantLease(ctx, c.LeaseItem, s.request.lessee, until)
	})
	s.locker.countWrite(ctx, err)
	return err
}

// sent is what came of one request.
type sent struct {
	kind stepKind // leaseItems or makeWishes
	candidate
	result[*Lease]
}

// heard notes what came of a request, and begins the work on an item that was leased.
func (s *share) heard(ctx context.Context, a sent) {
	isLeased := a.kind == leaseItems && a.err == nil && a.panicked == nil
	hasFailed := a.kind == leaseItems && a.err != nil && !errors.Is(a.err, LeaseNotObtainedError)
	if isLeased {
		s.plan.leased(a.LeaseID)
		s.startWork(ctx, a.candidate, a.value)
	}
	if hasFailed {
		s.plan.failed(time.Now(), a.LeaseID)
	}
	if a.kind == makeWishes {
		s.plan.wished(a.LeaseItem)
	}
	_, err := a.returned()
	logFailure(err, "lessee_id", s.request.lessee, "lease_id", a.LeaseID)
}

// workRun is the work on one item.
type workRun struct {
	candidate
	tenure *tenure
	began  time.Time
	end    result[nothing]
}

func (s *share) startWork(ctx context.Context, c candidate, lease *Lease) {
	t := lease.tenure // whatever work does to its lease
	began := time.Now()
	s.running++
	first := 1 + mathrand.N(s.request.period()) // The renewals of many items are spread.
	hold := func() (nothing, error) {
		return nothing{}, s.locker.hold(ctx, lease, first, s.work)
	}
	start(hold, func(r result[nothing]) {
		s.ended <- workRun{candidate: c, tenure: t, began: began, end: r}
		r.logPanic() // where its stack is known
	})
}

// workEnded notes how the work on an item has ended.
func (s *share) workEnded(ctx context.Context, w workRun) {
	s.running--
	now := time.Now()
	is := w.tenure.check()
	err := w.end.err
	end := workEnd{
		leaseID:   w.LeaseID,
		lasted:    now.Sub(w.began),
		toldToEnd: ctx.Err() != nil || is.isWanted(),
		wished:    w.wished,
		failed:    err != nil,
		lost:      is.isGone(err != nil),
	}
	rest := s.plan.workEnded(now, end)
	if w.end.panicked != nil {
		panic(w.end.panicked)
	}
	if end.lost {
		s.logLoss(w, is)
		return
	}
	s.noteStay(ctx, w.tenure)
	isAsExpected := end.toldToEnd && isEnd(ctx, err)
	if !isAsExpected {
		logError("Work Ended", "lessee_id", s.request.lessee, "lease_id", w.LeaseID,
			"error", err, "rests", rest.until.Sub(now))
	}
}

// isEnd tells that a work's error only says that its context was done.
func isEnd(ctx context.Context, err error) bool {
	if err == nil || errorCode(err) == request.CanceledErrorCode {
		return true
	}
	for _, end := range []error{LeaseWantedError, context.Canceled, context.Cause(ctx)} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// logLoss logs what the store hasn't logged.
func (s *share) logLoss(w workRun, is term) {
	if is.phase == expired || w.unseen {
		logError("Lease Lost", "lessee_id", s.request.lessee, "lease_id", w.LeaseID, "error", w.end.err)
	}
}

// noteStay notes an item that could not be released when the share ends.
func (s *share) noteStay(ctx context.Context, t *tenure) {
	is := t.state()
	isSettled := is.discarded || is.fate != notFreed
	if ctx.Err() == nil || isSettled {
		return
	}
	if end := t.freeAt(); end.After(time.Now()) {
		s.stay++
		s.stayUntil = later(s.stayUntil, end)
	}
}
