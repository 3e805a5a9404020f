package lease

import (
	"context"
	"errors"
	"slices"
	"time"
)

// What a share sends: the steps of its planner's rounds.

// do begins a step.
func (s *share) do(ctx context.Context, next step) {
	switch next.kind {
	case lookAgain:
		s.setTimer(next.look)
	case leaseItems:
		s.send(next, func(c candidate) (*Lease, error) { return s.leaseFor(ctx, c) })
	case giveBack:
		s.send(next, func(c candidate) (*Lease, error) { return nil, s.giveBackFor(ctx, c.LeaseItem) })
	case makeWishes:
		s.send(next, func(c candidate) (*Lease, error) { return nil, s.wishFor(ctx, c) })
	case withdrawWishes:
		s.send(next, func(c candidate) (*Lease, error) { return nil, s.withdrawFor(ctx, c) })
	}
}

// stepped goes on after a step, all of whose answers have been heard, or are late.
func (s *share) stepped(ctx context.Context, end result[bool]) {
	s.sending = nil
	isAnswered, _ := end.returned()
	if ctx.Err() != nil {
		s.leave(ctx)
		return
	}
	s.do(ctx, s.plan.next(time.Now(), isAnswered))
}

// sent is what came of one request.
type sent struct {
	kind stepKind // leaseItems, giveBack or makeWishes
	candidate
	result[*Lease]
}

// isAnswered tells that the store has answered.
func (a sent) isAnswered() bool { return a.err == nil || errors.Is(a.err, LeaseNotObtainedError) }

// send sends a request for each item of a step, 16 at a time, until none of a wave is
// answered in time. Each has one answer, which is heard whenever it comes.
func (s *share) send(now step, request func(c candidate) (*Lease, error)) {
	const width = 16
	s.awaited += len(now.items)
	s.sending = async(func() (isAnswered bool, err error) {
		isAnswered = true
		for wave := range slices.Chunk(now.items, width) {
			if isAnswered {
				isAnswered = s.sendWave(now.kind, wave, request)
			} else {
				s.leaveUnsent(now.kind, wave)
			}
		}
		return isAnswered, nil
	})
}

// sendWave sends requests side by side, and tells whether the store has answered one in
// time. Those that are late don't hold up the others.
func (s *share) sendWave(
	kind stepKind, wave []candidate, request func(c candidate) (*Lease, error),
) bool {
	answers := make(chan bool, len(wave))
	for _, c := range wave {
		call := func() (*Lease, error) { return request(c) }
		start(call, func(r result[*Lease]) {
			answer := sent{kind: kind, candidate: c, result: r}
			s.answers <- answer
			answers <- answer.isAnswered()
		})
	}
	isAnswered := false
	late := time.After(requestTimeout(s.request.duration))
	for range wave {
		select {
		case answered := <-answers:
			isAnswered = isAnswered || answered
		case <-late:
			return isAnswered
		}
	}
	return isAnswered
}

func (s *share) leaveUnsent(kind stepKind, wave []candidate) {
	for _, c := range wave {
		s.answers <- sent{kind: kind, candidate: c, result: result[*Lease]{err: errUnsent}}
	}
}

// errUnsent is that of a request that was not sent, as others before it were not answered.
// Their errors are logged.
var errUnsent = errors.New("lease: the request was not sent")

// errGivenBack is that of a lease that came when the share was at its end, and was released.
var errGivenBack = errors.New("lease: the lease was given back")

// leaseFor tries to lease an item, and waits for the answer as long as the lease would
// last. What was written isn't left behind when ctx is done meanwhile.
func (s *share) leaseFor(ctx context.Context, c candidate) (*Lease, error) {
	if ctx.Err() != nil {
		return nil, errUnsent
	}
	a := attempt{seen: c.LeaseItem, unseen: c.unseen, request: s.request, purpose: forWork}
	if c.handedToMe {
		a.predecessor = madeUpPredecessor(c.LeaseItem, s.request)
	}
	answer := make(chan result[*Lease], 1)
	s.locker.beginLease(s.lasting, a, func(r result[*Lease]) { answer <- r })
	r := <-answer
	isLate := ctx.Err() != nil
	if isLate && r.value != nil {
		s.locker.giveBack(r)
		if r.value.tenure.isSettled() {
			return nil, errGivenBack
		}
		return nil, contextError(ctx)
	}
	return r.returned()
}

// giveBackFor releases an item that was handed over to this worker, which can't use it.
func (s *share) giveBackFor(ctx context.Context, item LeaseItem) error {
	_, err := askWrite(ctx, s, "release", item.LeaseID, func(ctx context.Context) (none nothing, err error) {
		return none, s.locker.store.ReleaseLeaseWithContext(ctx, madeUpPredecessor(item, s.request))
	})
	return err
}

// askWrite sends another request than a lease, and waits for it also when ctx is done.
func askWrite[T any](
	ctx context.Context, s *share, deed, leaseID string, request func(ctx context.Context) (T, error),
) (T, error) {
	lasting := context.WithoutCancel(ctx)
	patience := s.locker.store.patience(requestTimeout(s.request.duration))
	errand := s.locker.errand(deed, leaseID, s.request.lessee)
	got, err := ask(lasting, s.locker, errand, patience, request)
	s.locker.countWrite(lasting, errand, err)
	return got, err
}

// wishFor asks the holder of an item for it.
func (s *share) wishFor(ctx context.Context, c candidate) error {
	if ctx.Err() != nil {
		return errUnsent
	}
	_, err := askWrite(ctx, s, "wish", c.LeaseID, func(ctx context.Context) (none nothing, err error) {
		return none, s.locker.store.WantLease(ctx, c.LeaseItem, s.request.lessee, c.wishUntil)
	})
	return err
}

// heard notes what came of a request, and begins the work on an item that was leased.
func (s *share) heard(ctx context.Context, a sent) {
	s.awaited--
	_, err := a.returned()
	isRefused := isRefusal(err)
	switch a.kind {
	case leaseItems:
		s.heardOfLease(ctx, a, isRefused)
	case giveBack:
		if err == nil {
			s.plan.givenBack(a.LeaseID)
		}
	case makeWishes:
		s.heardOfWish(ctx, a, isRefused)
	case withdrawWishes:
		if err == nil {
			s.plan.givenBack(a.LeaseID) // where it was reserved by then
		} else { // It may be handed over to this worker yet.
			until := time.Now().Add(max(s.request.period(), 30*time.Second))
			s.plan.unsure(a.LeaseID, until)
		}
	}
}

// isRefusal tells of an answer that leaves nothing behind.
func isRefusal(err error) bool {
	switch err {
	case errUnsent, errGivenBack:
		return true
	}
	return errors.Is(err, LeaseNotObtainedError)
}

func (s *share) heardOfWish(ctx context.Context, a sent, isRefused bool) {
	if !isRefused {
		s.plan.wished(time.Now(), a.candidate, a.err == nil)
	}
	isLate := ctx.Err() != nil && s.sending == nil
	if isLate { // The others may be withdrawn by now.
		s.leave(ctx)
	}
}

func (s *share) heardOfLease(ctx context.Context, a sent, isRefused bool) {
	if a.err == nil {
		s.plan.leased(a.LeaseID, a.value.FencingToken())
		s.startWork(ctx, a.candidate, a.value)
		return
	}
	if a.err == errGivenBack {
		s.plan.givenBack(a.LeaseID)
	}
	if isRefused {
		s.plan.outrun(a.LeaseID)
		return
	}
	s.plan.failed(time.Now(), a.LeaseID)
}
