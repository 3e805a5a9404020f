package lease

import (
	"context"
	"errors"
	mathrand "math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go/aws/request"
)

// atOnce is a timer's time. Many of 0 side by side crash the race detector of Go 1.26
// in synctest bubbles.
const atOnce = time.Nanosecond

// HoldShare keeps this worker at its fair share of all lease items, at most `most` at
// once (0: no limit), and runs work for each in a goroutine of its own, until ctx is
// done. What it is short of it wishes for, and who has more hands it over. Call it once
// for a LesseeID, which no other process may have.
//
// It looks every third of the lease's duration, 30 seconds at most; more often while items
// move, less in fleets of over 100. On a store of two methods it takes what is free. work
// must stop when its context is done: see [Locker.Hold]. An item whose work returns unasked
// is released, and rests here for as long as from look to look, or after errors with backoff
// up to 5 minutes; that is logged, as are errors of the store, which are waited out.
//
// HoldShare blocks until all works have returned, for however long that takes, or are
// stuck, see [Lease.Progress]; and until their items are released, in 10 seconds at most.
// Meanwhile its wishes are withdrawn, and what was reserved for it is released. It returns
//   - the cause of ctx, wrapped if items stay leased or reserved, or may: the error says
//     how many, and until when; or with [LeaseStuckError], if stuck works still run: the
//     error says how many;
//   - at once what is wrong with an argument, or with the store until the first look
//     succeeds;
//   - an error that wraps [LesseeIDInUseError], once it finds that another process leases
//     items under its name.
//
// A panic goes through it.
func (l *Locker) HoldShare(
	ctx context.Context, request LeaseRequest, most int,
	work func(ctx context.Context, lease *Lease) error,
) error {
	return l.HoldShareWith(ctx, request, ShareOptions{Most: most}, work)
}

// HoldShareWith is [Locker.HoldShare] by options. What is wrong with one of them is its
// error, at once. With a Patience, of 5 seconds or more, it returns in that time and 10 seconds,
// whatever the works do; but calls of a store of two methods that hang are waited for. The item
// of a stuck work isn't worked on by this Locker again before that has returned: keep one for
// the process's life.
func (l *Locker) HoldShareWith(
	ctx context.Context, request LeaseRequest, options ShareOptions,
	work func(ctx context.Context, lease *Lease) error,
) error {
	r, err := l.checked(ctx, request)
	if err != nil {
		return err
	}
	if err := options.check(); err != nil {
		return err
	}
	if work == nil {
		return errors.New("lease: the work to hold a share for is nil")
	}
	if options.Capacity != 0 {
		r.capacity = options.Capacity
	}
	random := mathrand.New(mathrand.NewPCG(mathrand.Uint64(), mathrand.Uint64()))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &share{
		locker:      l,
		cancel:      cancel,
		request:     r,
		takesPartIn: options.Items,
		patience:    options.Patience,
		work:        work,
		plan:        newPlanner(r, options.Most, random),
		timer:       time.NewTimer(atOnce),
		works:       make(map[string]*tenure),
		answers:     make(chan sent),
		ended:       make(chan workRun),
		over:        make(chan struct{}),
	}
	defer close(s.over)
	defer s.timer.Stop()
	s.lasting, s.giveUp = context.WithCancel(context.WithoutCancel(ctx))
	defer s.giveUp()
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
	plan    *planner

	// the caller's
	work        func(ctx context.Context, lease *Lease) error
	takesPartIn func(leaseID string) bool // nil: in all items
	patience    time.Duration             // with works that are told to end; 0: for ever

	timer   *time.Timer         // it is time to look
	works   map[string]*tenure  // those of the works that have not ended, by their items
	awaited int                 // how many requests have not been answered
	lasting context.Context     // of leases: done when the share no longer waits for them
	giveUp  context.CancelFunc  // ends it
	looking <-chan result[page] // the look that is under way; nil if none is
	sending <-chan result[bool] // the step that is under way: did the store answer?
	answers chan sent           // a request of a step has ended
	ended   chan workRun        // a work is stuck, and its item was given up; or it has returned
	over    chan struct{}       // closed when nobody hears of works any more

	hasLooked bool  // a look has succeeded
	failure   error // what ends the share, whatever ctx says
	panicked  any   // what one of the caller's functions panicked with
}

// run is the loop. It ends when the share was stopped, and nothing is under way.
func (s *share) run(ctx context.Context) error {
	done := ctx.Done()
	for done != nil || s.isBusy() {
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
			s.guard(func() { s.heardOfWork(ctx, end) })
		case <-done:
			done = nil
			s.stop(ctx)
		}
	}
	return s.result(ctx)
}

// drain ends what is under way. That is nothing, unless a logger has left this goroutine,
// and the loop with it (runtime.Goexit). A lease that arrives then is given to hold, whose
// work finds its context done, as only hold releases it.
func (s *share) drain(ctx context.Context) {
	s.cancel()
	s.giveUp()
	for s.isBusy() {
		select {
		case <-s.looking:
			s.looking = nil
		case <-s.sending:
			s.sending = nil
		case a := <-s.answers:
			s.awaited--
			if a.value != nil {
				s.startWork(ctx, a.candidate, a.value)
			}
		case end := <-s.ended:
			delete(s.works, end.LeaseID)
		}
	}
}

// isBusy tells that works or requests are under way.
func (s *share) isBusy() bool {
	isSending := s.looking != nil || s.sending != nil
	return isSending || s.awaited+len(s.works) > 0
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
		first, own := s.plan.looked(time.Now(), s.sortOut(seen), s.isUsed)
		s.heed(own)
		s.do(ctx, first)
		return
	}
	if !s.hasLooked && !transient(err) {
		s.failure = err
		s.cancel()
		return
	}
	s.setTimer(s.plan.lookFailed(time.Now()))
}

func (s *share) isUsed(leaseID string) bool {
	return s.locker.usage(holding{leaseID: leaseID, lessee: s.request.lessee}) == inUse
}

func (s *share) setTimer(then time.Time) {
	s.timer.Reset(max(minWaitPeriod, time.Until(then)))
}

// workRun is the work on one item.
type workRun struct {
	candidate
	tenure *tenure
	began  time.Time
	end    result[nothing]
	runsOn bool // it is stuck: its item was given up before it has returned
}

func (s *share) startWork(ctx context.Context, c candidate, lease *Lease) {
	t := lease.tenure // whatever work does to its lease
	run := workRun{candidate: c, tenure: t, began: time.Now()}
	s.works[c.LeaseID] = t
	terms := workTerms{
		first:    1 + mathrand.N(s.request.period()), // The renewals of many items are spread.
		patience: s.patience,
		givenUp: func(r result[nothing]) {
			stuck := run.endedBy(r)
			stuck.runsOn = true
			s.tell(stuck)
		},
	}
	hold := func() (nothing, error) {
		return nothing{}, s.locker.hold(ctx, lease, terms, s.work)
	}
	start(hold, func(r result[nothing]) {
		s.tell(run.endedBy(r))
		r.logPanic() // where its stack is known
	})
}

func (w workRun) endedBy(r result[nothing]) workRun {
	w.end = r
	return w
}

// tell tells the share of a work, unless it is over: it doesn't wait for works that are stuck.
func (s *share) tell(w workRun) {
	select {
	case s.ended <- w:
	case <-s.over:
	}
}

// heardOfWork notes that a work is stuck, or has returned: by the first of these it ends.
func (s *share) heardOfWork(ctx context.Context, w workRun) {
	if !s.plan.hung[w.LeaseID] {
		s.workEnded(ctx, w)
		return
	}
	s.plan.stuckReturned(time.Now(), w.LeaseID)
	if w.end.panicked != nil {
		panic(w.end.panicked)
	}
}

// workEnded notes how the work on an item has ended, for the share: it may hang on.
func (s *share) workEnded(ctx context.Context, w workRun) {
	delete(s.works, w.LeaseID)
	now := time.Now()
	is := w.tenure.check()
	err := w.end.err
	failed := w.runsOn || err != nil
	end := workEnd{
		leaseID:   w.LeaseID,
		lasted:    now.Sub(w.began),
		toldToEnd: ctx.Err() != nil || is.isWanted(),
		wished:    w.wished,
		failed:    failed,
		stuck:     w.runsOn,
		lost:      is.isGone(failed),
		freed:     w.tenure.isSettled(),
	}
	if is.phase != lost {
		end.rowEnd = w.tenure.freeAt()
	}
	rest := s.plan.workEnded(now, end)
	if w.end.panicked != nil {
		panic(w.end.panicked)
	}
	if end.lost {
		s.logLoss(w, is)
		return
	}
	isAsExpected := end.toldToEnd && isEnd(ctx, err)
	isTold := w.runsOn || isAsExpected
	if !isTold {
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
