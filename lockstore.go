package lease

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// LockStore leases the rows of one DynamoDB table by conditional writes. Its Leases are
// bare. Its methods are safe for concurrent use, start no goroutines, and block for as
// long as their requests take. Before a write that needs the time, a Scan of one row
// learns the database's, if no reply has come yet or this host's clock was stepped.
// Errors of the SDK are awserr.RequestFailures with the request named, and logged here;
// those of a done context wrap its error: a write may be applied then, to no harm.
type LockStore struct {
	*dynamodb.DynamoDB
	table     string
	key       string
	clock     clock
	skipped   sync.Map    // lease IDs of the rows that were logged as unreadable
	described atomic.Bool // the table was found empty, and its description asked for
}

// NewLockStore sends nothing: what is wrong with its arguments or the table is the
// error of every method.
func NewLockStore(ddb *dynamodb.DynamoDB, lockTableName, lockHashKeyName string) *LockStore {
	return &LockStore{DynamoDB: ddb, table: lockTableName, key: lockHashKeyName}
}

func (s *LockStore) check(ctx context.Context) error {
	if s == nil {
		return setupf("lease: the LockStore is nil; was SetupLockStoreGlobal called?")
	}
	if s.DynamoDB == nil || s.DynamoDB.Client == nil {
		return setupf("lease: the LockStore's *dynamodb.DynamoDB is nil, or was not made by dynamodb.New")
	}
	if s.table == "" {
		return setupf("lease: the LockStore's table name is empty")
	}
	if s.key == "" {
		return setupf("lease: the LockStore's hash key name is empty")
	}
	if slices.Contains(ours, s.key) {
		return setupf("lease: the hash key %q has the name of an attribute of this package", s.key)
	}
	if ctx == nil {
		return errors.New("lease: the context is nil")
	}
	return nil
}

// ready returns what is wrong with the store or was found by checks.
func (s *LockStore) ready(ctx context.Context, checks ...error) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	return firstOf(checks...)
}

// times returns, in Unix nanoseconds, a moment that the database's clock is past, and what
// to write for then. It learns that clock by a scan of one row, if it isn't known: again,
// if this host's clock is stepped meanwhile. No request has times from anywhere else.
func (s *LockStore) times(ctx context.Context, then time.Time) (past, end int64, err error) {
	const mostScans = 3
	for range mostScans {
		past, end, isKnown := s.clock.times(then)
		if isKnown {
			return past, end, nil
		}
		if _, _, err := s.page(ctx, "", 1, "#key"); err != nil {
			return 0, 0, err
		}
	}
	past, end, isKnown := s.clock.times(then)
	if !isKnown {
		return 0, 0, &stepError{table: s.table}
	}
	return past, end, nil
}

// past returns a moment that the database's clock is past, see times.
func (s *LockStore) past(ctx context.Context) (int64, error) {
	past, _, err := s.times(ctx, time.Now())
	return past, err
}

// Lease acquires the item for the request's lessee until then, by this host's clock, or
// renews what it holds. Each call begins a new tenure; an older one of the same lessee
// learns of that at its next renewal. The error is bare [LeaseNotObtainedError], and
// the Lease nil, when someone else holds the item or there is none. A wish for the item is
// removed, but not another's for one that the lessee holds. It costs one write, also when
// it fails, and a second one if the lessee's own row refused the first: after a lost
// reply, to shorten the lease, or because another wants the item.
func (s *LockStore) Lease(leaseID string, request LeaseRequest, until time.Time) (*Lease, error) {
	return s.LeaseWithContext(always, leaseID, request, until)
}

// LeaseWithContext is [LockStore.Lease] with a context.
func (s *LockStore) LeaseWithContext(
	ctx context.Context, leaseID string, request LeaseRequest, until time.Time,
) (*Lease, error) {
	return s.lease(ctx, request, leasing{leaseID: leaseID, until: until})
}

// LeaseAsSeen is [LockStore.Lease] of an item that a scan has shown, which takes care
// of a namesake: another process of the same name that may still rely on its lease,
// paused or cut off. The lessee's own live row is leased only as it was seen, by token
// and end; if it has changed, once more as the refusal shows it. Its end is never moved
// back, and a release keeps the item from others until then. Another row is leased only if
// its lease has ended, and no later than it was seen to end.
//
// The latter isn't so if the predecessor, a lease that this process has or had, has left
// the row exactly as it is. There may be none: nil.
func (s *LockStore) LeaseAsSeen(
	ctx context.Context, seen LeaseItem, predecessor *Lease, request LeaseRequest,
	until time.Time,
) (*Lease, error) {
	l := leasing{
		leaseID:          seen.LeaseID,
		until:            until,
		seen:             &seen,
		mindsNamesakes:   true,
		predecessorToken: predecessor.FencingToken(),
		predecessor:      predecessor.claimed(),
	}
	return s.lease(ctx, request, l)
}

// RenewLease moves the end of the row, but not of a Locker's tenure, to until, and
// never back. It costs one write. A literal without a token is leased anew. The error
// is bare [LeaseLostError] if the lease was lost; the log says who has the item.
func (s *LockStore) RenewLease(l *Lease, until time.Time) error {
	return s.RenewLeaseWithContext(always, l, until)
}

// RenewLeaseWithContext is [LockStore.RenewLease] with a context.
func (s *LockStore) RenewLeaseWithContext(
	ctx context.Context, lease *Lease, until time.Time,
) error {
	_, err := s.RenewLeaseItem(ctx, lease, until, time.Time{})
	return err
}

// RenewLeaseItem is [LockStore.RenewLease] that returns what the row then shows, and
// prolongs a wish for the item, if there is one, until the time wanted, unless that is
// zero. It writes the weight that a Locker's lease has measured, if that is due: see
// [Lease.WeightToWrite].
func (s *LockStore) RenewLeaseItem(
	ctx context.Context, lease *Lease, until, wanted time.Time,
) (LeaseItem, error) {
	mine, err := s.holderOf(ctx, lease)
	if err = s.ready(ctx, err, checkUntil(until)); err != nil {
		return LeaseItem{}, err
	}
	if mine.token == 0 {
		return LeaseItem{}, s.renewAnew(ctx, lease, until)
	}
	_, end, err := s.times(ctx, until)
	if err != nil {
		return LeaseItem{}, err
	}
	w, end := mine.renew(lease, end)
	var got reply
	if wanted.IsZero() {
		got, err = s.update(ctx, w)
	} else {
		got, err = s.prolong(ctx, mine, w, end, wanted)
	}
	if err != nil {
		return LeaseItem{}, err
	}
	switch mine.renewal(got, end) {
	case applied, overtaken:
		mine.claim.show(got.row.LeaseUntil)
		return got.row.LeaseItem, nil
	}
	return LeaseItem{}, mine.lost(lease.LeaseID, got.row)
}

// prolong sends a renewal that asks for that end, and prolongs the wish for the item. If there
// is none, it sends the renewal alone.
func (s *LockStore) prolong(
	ctx context.Context, mine holder, w write, end int64, wanted time.Time,
) (reply, error) {
	_, wish, err := s.times(ctx, wanted)
	if err != nil {
		return reply{}, err
	}
	both := w
	both.condition += " AND attribute_exists(#wantedBy)"
	both.update += ", #wantedUntil = :wanted"
	both.values = maps.Clone(w.values)
	both.values[":wanted"] = number(wish)
	got, err := s.update(ctx, both)
	if err != nil {
		return got, err
	}
	isGone := mine.renewal(got, end) == refused && mine.holds(got.row)
	if isGone {
		return s.update(ctx, w)
	}
	return got, nil
}

// renew returns the request of a renewal that is to move the row's end there, and to which end
// it does. It is always one of two.
func (h holder) renew(lease *Lease, end int64) (w write, asked int64) {
	w = write{
		leaseID:   lease.LeaseID,
		condition: ownCondition,
		update:    "SET #until = :until",
		holder:    h.lessee,
		token:     h.token,
	}
	weight, isToWrite := lease.WeightToWrite()
	if !isToWrite {
		end = h.claim.ask(end)
		w.values = h.own(end)
		return w, end
	}
	end = h.claim.askToWeigh(end)
	w.update = "SET #until = :until, #weight = :weight"
	w.values = h.own(end)
	w.values[":weight"] = decimal(weight)
	return w, end
}

// renewal is what a renewal came to. Whatever has moved the row's end on further, it is
// renewed.
func (h holder) renewal(got reply, asked int64) verdict {
	isLater := got.verdict == refused && got.row.LeaseUntil >= asked
	if isLater && h.holds(got.row) {
		return overtaken
	}
	return got.verdict
}

func (s *LockStore) renewAnew(ctx context.Context, lease *Lease, until time.Time) error {
	_, err := s.LeaseWithContext(ctx, lease.LeaseID, lease.Request, until)
	if err == LeaseNotObtainedError {
		return LeaseLostError
	}
	return err
}

// ReleaseLease ends the lease in this process, see [Lease.Discard], and then frees the
// row for others, see [LockStore.LeaseAsSeen]. It costs one write. A lease that was
// released already is fine. The error is bare [LeaseLostError] when the tenure was over
// before; the row is then untouched. After any other, it may be tried again.
func (s *LockStore) ReleaseLease(lease *Lease) error { return s.ReleaseLeaseWithContext(always, lease) }

// ReleaseLeaseWithContext is [LockStore.ReleaseLease] with a context.
func (s *LockStore) ReleaseLeaseWithContext(ctx context.Context, lease *Lease) error {
	mine, err := s.holderOf(ctx, lease)
	if err != nil {
		return err
	}
	lease.Discard()
	asked := mine.claim.furthestAsked.Load()
	w := write{
		leaseID:   lease.LeaseID,
		condition: ownCondition,
		update:    "SET #until = :rest REMOVE #holder, #wantedBy, #wantedUntil, #capacity",
		values:    mine.own(asked),
	}
	w.values[":rest"] = number(mine.claim.namesakeUntil)
	got, err := s.update(ctx, w)
	mine.noteGiving(got)
	if err != nil {
		return err
	}
	switch mine.release(got, asked) {
	case applied, appliedBefore:
		return nil
	case overtaken:
		return s.ReleaseLeaseWithContext(ctx, lease)
	}
	if s.hadGiven(mine, got.row) {
		return nil
	}
	return mine.lost(lease.LeaseID, got.row)
}

// release is what a release came to.
func (h holder) release(got reply, asked int64) verdict {
	if got.verdict == applied {
		return applied
	}
	isFree := got.row.isThere() && got.row.LesseeID == ""
	if isFree && got.row.FencingToken == h.token {
		return appliedBefore
	}
	return h.refusal(got.row, asked)
}
