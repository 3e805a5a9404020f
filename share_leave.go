package lease

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// How a share ends, and what it leaves behind.

// stop begins the end: nothing more is asked for, and what was asked for is waited for as
// long as for any request.
func (s *share) stop(ctx context.Context) {
	s.timer.Stop()
	time.AfterFunc(requestTimeout(s.request.duration), s.giveUp)
	if s.sending == nil {
		s.leave(ctx)
	}
}

// leave withdraws the wishes that are noted, each once.
func (s *share) leave(ctx context.Context) {
	if last := s.plan.leave(); len(last.items) > 0 {
		s.do(ctx, last)
	}
}

// withdrawFor withdraws a wish, or gives the item back if it was handed over for it.
func (s *share) withdrawFor(ctx context.Context, c candidate) error {
	item, err := askWrite(ctx, s, "withdraw the wish", c.LeaseID, func(ctx context.Context) (LeaseItem, error) {
		return s.locker.store.WithdrawWish(ctx, c.LeaseItem, s.request.lessee, c.wishUntil)
	})
	if !errors.Is(err, LeaseNotObtainedError) {
		return err
	}
	isHandedToMe := item.LesseeID == s.request.lessee && item.FencingToken == c.FencingToken
	if isHandedToMe {
		return s.giveBackFor(ctx, item)
	}
	return err
}

// heed tells the tenures who wants their items, as a look has shown, and which of them are
// to end; it ends the share if that has shown a namesake.
func (s *share) heed(own news) {
	for _, item := range own.wanted {
		s.works[item.LeaseID].heed(item)
	}
	s.giveUpOutside(own.outside)
	i := slices.IndexFunc(own.namesakes, s.isNamesakes)
	if i < 0 || s.failure != nil {
		return
	}
	namesake := own.namesakes[i]
	s.locker.count(func(stats *LockerStats) { stats.Namesakes++ })
	logError("Lessee ID In Use", "lessee_id", s.request.lessee,
		"lease_id", namesake.LeaseID, "fencing_token", namesake.FencingToken)
	s.failure = fmt.Errorf("lease: another process leases items as %q, %q for one: %w",
		s.request.lessee, namesake.LeaseID, LesseeIDInUseError)
	s.cancel()
}

// isNamesakes tells of an own row whose tenure isn't one of this Locker's, which may be in
// use beside this share: by ObtainLease, say.
func (s *share) isNamesakes(item LeaseItem) bool {
	_, works := s.works[item.LeaseID]
	isTried := !works && s.isUsed(item.LeaseID)
	h := holding{leaseID: item.LeaseID, lessee: s.request.lessee}
	return !isTried && s.locker.lastToken(h) < item.FencingToken
}

// result is what HoldShare returns, or panics with.
func (s *share) result(ctx context.Context) error {
	if s.panicked != nil {
		panic(s.panicked)
	}
	stay, until := s.plan.staying(time.Now())
	hung := len(s.plan.hung)
	isClean := stay+hung == 0
	if isClean && s.failure != nil {
		return s.failure
	}
	if isClean {
		return context.Cause(ctx)
	}
	end := s.failure
	if end == nil {
		end = contextError(ctx)
	}
	if hung > 0 {
		end = fmt.Errorf("%d stuck works of %q still run: %w: %w",
			hung, s.request.lessee, LeaseStuckError, end)
	}
	if stay > 0 {
		end = fmt.Errorf("%d items of %q stay leased until %v: %w",
			stay, s.request.lessee, until.Format(time.RFC3339), end)
	}
	return fmt.Errorf("lease: %w", end)
}
