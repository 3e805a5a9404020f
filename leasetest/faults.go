package leasetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
)

// The errors of the switches, of the types that the SDK returns.
var (
	// OutageError is what calls return during an outage: status 503, which a Heartbeat retries.
	OutageError error = awserr.NewRequestFailure(
		awserr.New("ServiceUnavailable", "leasetest: outage", nil), http.StatusServiceUnavailable, "leasetest")

	// ConnectionError is what calls return whose replies are lost. A Heartbeat retries it.
	ConnectionError error = awserr.New(request.ErrCodeRequestError, "leasetest: the reply was lost",
		&url.Error{Op: "Post", URL: "http://leasetest", Err: io.ErrUnexpectedEOF})

	// AccessDeniedError is for [Store.SetError]: status 400, which no retry makes good.
	AccessDeniedError error = awserr.NewRequestFailure(
		awserr.New("AccessDeniedException", "leasetest: access denied", nil), http.StatusBadRequest, "leasetest")
)

// forever is the end of an outage that was given none.
var forever = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// faults are the switches of one client and what it counts.
type faults struct {
	lift        chan struct{} // closed when the hang is lifted; nil when there is none
	outage      time.Time     // when it ends
	err         error
	repliesLost bool
	skew        time.Duration
	counts      Counts
}

// Counts are the requests that a client sent, by kind. A call with bad input or a context that was done
// before sends none. Listing sends one Scan for each page.
type Counts struct {
	Scans         int
	Leases        int
	Renewals      int
	Releases      int
	Wishes        int // WantLease
	Handovers     int // HandOverLease, whether that handed over or released
	Saves         int // SaveAttributes
	Registrations int // AddLeaseID
	Retirements   int // RemoveLeaseID and RemoveLease

	Refused int // of the writes: how many were refused by their condition; they cost as much as others
	Faulty  int // of all: how many failed because of a switch
}

// Requests is how many requests were sent.
func (c Counts) Requests() int { return c.Scans + c.Writes() }

// Writes is how many requests were sent that aren't Scans.
func (c Counts) Writes() int {
	return c.Leases + c.Renewals + c.Releases + c.Wishes + c.Handovers + c.Saves + c.Registrations + c.Retirements
}

// Counts returns what this client has sent so far.
func (s *Store) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// NewClient returns another host's client of the same rows: a Store whose switches are off, whose clock is
// right and whose counts are 0. Cut one worker off, and see another take over.
func (s *Store) NewClient() *Store { return &Store{table: s.table} }

// SetOutage makes every call fail with [OutageError] and change nothing, until it is set off.
func (s *Store) SetOutage(on bool) {
	s.set(func() {
		s.outage = time.Time{}
		if on {
			s.outage = forever
		}
	})
}

// OutageFor is SetOutage(true) with an end.
func (s *Store) OutageFor(d time.Duration) { s.set(func() { s.outage = time.Now().Add(d) }) }

// SetError makes every call fail with err and change nothing, until it is set to nil. It comes before
// an outage.
func (s *Store) SetError(err error) { s.set(func() { s.err = err }) }

// SetHang makes every call block until it is set off or the call's context is done: the error then
// wraps the context's, and nothing is changed. A call without a context blocks until it is set off. Then
// it goes on as if it were made at that moment.
func (s *Store) SetHang(on bool) {
	s.set(func() {
		switch {
		case on && s.lift == nil:
			s.lift = make(chan struct{})
		case !on && s.lift != nil:
			close(s.lift)
			s.lift = nil
		}
	})
}

// SetLoseReplies makes every call do its work and then fail with [ConnectionError]; or in the way of
// the other switches that are on: with SetHang it blocks after its work, not before.
func (s *Store) SetLoseReplies(on bool) { s.set(func() { s.repliesLost = on }) }

// SetClockSkew makes this client a host whose clock is d ahead of the right one, behind if d is
// negative, and which doesn't know. What it writes into a row ends d later than it would; what it reads
// there seems to end d earlier: it takes an item d too early. The times that its methods take and return
// are by the clock of the process, as the Locker's are: a worker measures its tenure by the monotonic
// clock, which is right even where the wall clock is wrong.
func (s *Store) SetClockSkew(d time.Duration) { s.set(func() { s.skew = d }) }

// Steal gives the item to another lessee now, whoever holds it, for d from now by the right clock. The
// holder before has lost it: the token is greater. It panics if there is no such item.
func (s *Store) Steal(leaseID, lesseeID string, d time.Duration) {
	s.set(func() {
		r := s.find(leaseID)
		if r == nil {
			panic(fmt.Sprintf("leasetest: there is no item %q to steal", leaseID))
		}
		r.begin(lesseeID, time.Now().Add(d).UnixNano(), 0)
	})
}

// Retire deletes the item's row now, whoever holds it. An item that is not there is fine.
func (s *Store) Retire(leaseID string) { s.set(func() { s.remove(leaseID) }) }

func (s *Store) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// errAlready is the result of a write that was refused because nothing was left to do: no error.
var errAlready = errors.New("leasetest: done already")

// send does what the switches say with a request, of which apply is the work. apply's error says that
// the condition of a write refused it; now is this host's clock in Unix nanoseconds.
func (s *Store) send(ctx context.Context, kind *int, apply func(now int64) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		return gaveUp(ctx)
	}
	*kind++
	if s.repliesLost {
		_ = s.arrive(apply)
		s.counts.Faulty++
		return cmp.Or(s.fault(ctx), ConnectionError)
	}
	if err := s.fault(ctx); err != nil {
		s.counts.Faulty++
		return err
	}
	return s.arrive(apply)
}

func (s *Store) arrive(apply func(now int64) error) error {
	err := apply(s.end(time.Now()))
	if err != nil {
		s.counts.Refused++
	}
	if err == errAlready {
		return nil
	}
	return err
}

// end is what this host's clock shows, in Unix nanoseconds, when the right one shows t.
func (s *Store) end(t time.Time) int64 { return t.Add(s.skew).UnixNano() }

// fault blocks while calls hang, and returns the error that they fail with, if they do. s.mu is held,
// except while it blocks.
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
	switch {
	case s.err != nil:
		return s.err
	case time.Now().Before(s.outage):
		return OutageError
	}
	return nil
}

// gaveUp is the error of a call whose context is done: the SDK's, and the cause.
func gaveUp(ctx context.Context) error {
	return fmt.Errorf("leasetest: the call was given up: %w: %w",
		awserr.New(request.CanceledErrorCode, "request context canceled", ctx.Err()), context.Cause(ctx))
}
