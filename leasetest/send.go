package leasetest

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
)

// write is send of a write to an item's row. It is refused if there is no such row.
func (s *Store) write(
	ctx context.Context, counter *int, leaseID string, apply func(r *row, now int64) outcome,
) (outcome, error) {
	return s.send(ctx, counter, func(now int64) outcome {
		r := s.find(leaseID)
		if r == nil {
			return refused
		}
		return apply(r, now)
	})
}

// send does what the switches say with a request, of which apply is the work: it is called with
// s.mu held, and with this host's clock in Unix nanoseconds. The error says what the switches
// made of it.
func (s *Store) send(
	ctx context.Context, counter *int, apply func(now int64) outcome,
) (outcome, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		return refused, gaveUp(ctx)
	}
	*counter++

	if s.repliesLost {
		s.arrive(apply)
		s.counts.Faulty++
		if err := s.fault(ctx); err != nil {
			return refused, err
		}
		return refused, ConnectionError
	}

	if err := s.fault(ctx); err != nil {
		s.counts.Faulty++
		return refused, err
	}
	return s.arrive(apply), nil
}

// arrive does the work of a request that has reached the table.
func (s *Store) arrive(apply func(now int64) outcome) outcome {
	result := apply(s.hostTime(time.Now()))
	if result != applied {
		s.counts.Refused++
	}
	return result
}

// hostTime is what this host's clock shows, in Unix nanoseconds, when the right one shows t.
func (s *Store) hostTime(t time.Time) int64 { return t.Add(s.skew).UnixNano() }

// fault blocks while calls hang, and returns the error that they fail with, if they do. s.mu is
// held, except while it blocks.
func (s *Store) fault(ctx context.Context) error {
	for s.lift != nil {
		lift := s.lift
		s.mu.Unlock()
		select {
		case <-lift:
		case <-ctx.Done():
		}
		s.mu.Lock()
		if ctx.Err() != nil {
			return gaveUp(ctx)
		}
	}

	if s.err != nil {
		return s.err
	}
	if time.Now().Before(s.outage) {
		return OutageError
	}
	return nil
}

// gaveUp is the error of a call whose context is done: the SDK's, and the cause.
func gaveUp(ctx context.Context) error {
	canceled := awserr.New(request.CanceledErrorCode, "request context canceled", ctx.Err())
	return fmt.Errorf("leasetest: the call was given up: %w: %w", canceled, context.Cause(ctx))
}
