package leasetest

import (
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
	OutageError error = answer("ServiceUnavailable", "outage", http.StatusServiceUnavailable)

	// ConnectionError is what calls return whose replies are lost. A Heartbeat retries it.
	ConnectionError error = awserr.New(
		request.ErrCodeRequestError,
		"leasetest: the reply was lost",
		&url.Error{Op: "Post", URL: "http://leasetest", Err: io.ErrUnexpectedEOF},
	)

	// AccessDeniedError is for [Store.SetError]: status 400, which no retry makes good.
	AccessDeniedError error = answer("AccessDeniedException", "access denied", http.StatusBadRequest)
)

// answer is an error that the service answers with.
func answer(code, message string, status int) awserr.RequestFailure {
	err := awserr.New(code, "leasetest: "+message, nil)
	return awserr.NewRequestFailure(err, status, "leasetest")
}

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

// NewClient returns another host's client of the same rows: a Store whose switches are off,
// whose clock is right and whose counts are 0. Cut one worker off, and see another take over.
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

// SetError makes every call fail with err and change nothing, until it is set to nil. It comes
// before an outage.
func (s *Store) SetError(err error) { s.set(func() { s.err = err }) }

// SetHang makes every call block until it is set off or the call's context is done: the error
// then wraps the context's, and nothing is changed. A call without a context blocks until it is
// set off. Then it goes on as if it were made at that moment.
func (s *Store) SetHang(on bool) {
	s.set(func() {
		isOn := s.lift != nil
		if on == isOn {
			return
		}
		if on {
			s.lift = make(chan struct{})
			return
		}
		close(s.lift)
		s.lift = nil
	})
}

// SetLoseReplies makes every call do its work and then fail with [ConnectionError]; or in the
// way of the other switches that are on: with SetHang it blocks after its work, not before.
func (s *Store) SetLoseReplies(on bool) { s.set(func() { s.repliesLost = on }) }

// SetClockSkew makes this client a host whose clock is d ahead of the right one, behind if d is
// negative, and which doesn't know. What it writes into a row ends d later than it would; what
// it reads there seems to end d earlier: it takes an item d too early. The times that its
// methods take and return are by the clock of the process, as the Locker's are: a worker
// measures its tenure by the monotonic clock, which is right even where the wall clock is
// wrong.
func (s *Store) SetClockSkew(d time.Duration) { s.set(func() { s.skew = d }) }

// Steal gives the item to another lessee now, whoever holds it, for d from now by the right
// clock. The holder before has lost it: the token is greater. It panics if there is no such
// item.
func (s *Store) Steal(leaseID, lesseeID string, d time.Duration) {
	s.set(func() {
		r := s.find(leaseID)
		if r == nil {
			panic(fmt.Sprintf("leasetest: there is no item %q to steal", leaseID))
		}
		r.wish = wish{}
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
