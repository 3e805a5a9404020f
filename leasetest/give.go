package leasetest

import (
	"context"
	"time"

	"github.com/intercom/lease"
)

// giving names a tenure that has given its item away.
type giving struct {
	leaseID string
	tenure  tenure
}

// give is write of a request by which a lease's tenure gives its item away, and its error.
//
// If the reply is lost, the end that the row had is noted: until then, less the margin, nobody
// else can have the item unless it was given away. So a refusal proves that it was.
func (s *Store) give(
	ctx context.Context, counter *int, l *lease.Lease, apply func(r *row, now int64) outcome,
) error {
	g := giving{leaseID: l.LeaseID, tenure: tenureOf(l)}
	var end int64 // that the row had; 0 if it wasn't given away
	result, err := s.write(ctx, counter, l.LeaseID, func(r *row, now int64) outcome {
		had := r.until
		result := apply(r, now)
		if result == applied {
			end = had
		}
		return result
	})
	if err != nil {
		s.noteUnanswered(g, end)
		return err
	}
	margin := l.Request.LeaseDuration() / 10
	if result == refused && s.hadGiven(g, margin) {
		return nil
	}
	return result.orElse(lease.LeaseLostError)
}

func (s *Store) noteUnanswered(g giving, end int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if end != 0 {
		s.given[g] = end
	}
}

// hadGiven tells that a refusal comes too early to be anything but that of a second try.
func (s *Store) hadGiven(g giving, margin time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.find(g.leaseID)
	if r != nil && r.holder == g.tenure.lessee {
		return false // One of the own name needs no end to have it.
	}
	earliest := s.given[g] - margin.Nanoseconds()
	return s.hostTime(time.Now()) < earliest
}
