package lease

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// The attributes of a row that are this package's. All others are the user's.
const (
	holderAttribute = "ProcessID"    // S: the holder's LesseeID; absent when there is none
	untilAttribute  = "LeaseUntil"   // N: Unix nanoseconds at which the lease ends; 0 when free
	tokenAttribute  = "FencingToken" // N: grows by one with every tenure
)

// LockStore leases the rows of one DynamoDB table by conditional writes. It never sleeps and starts no
// goroutines; all its methods are safe for concurrent use. It knows nothing of tenures: the Leases that it
// returns are bare. A cancelled context ends a request at once, with an error that wraps the context's;
// whether the write was applied is then unknown, and it can't harm a later tenure.
//
// A write that compares or sets times needs the database's clock, which every reply shows. If none has come
// yet, or this host's clock was stepped since, the store first sends a Scan of one row.
//
// Errors that are not this package's own are the SDK's, with the request named: awserr.Error and
// awserr.RequestFailure. They are logged here, once, except those of a request that was given up.
type LockStore struct {
	*dynamodb.DynamoDB

	table, key string
	clock      clock
	skipped    sync.Map    // lease IDs of the rows that were logged as unreadable
	described  atomic.Bool // the table was found empty, and its description asked for
}

// NewLockStore returns a store on the rows of a table whose hash key, of type string, has the given
// name. It sends nothing: what is wrong with its arguments or the table is the error of every method.
func NewLockStore(ddb *dynamodb.DynamoDB, lockTableName, lockHashKeyName string) *LockStore {
	return &LockStore{DynamoDB: ddb, table: lockTableName, key: lockHashKeyName}
}

// Lease acquires the item for the request's lessee until then, or renews what that lessee holds, and
// returns the row. Each call begins a new tenure; an older one of the same lessee learns of that at its
// next renewal. It costs one write, also when it fails, and a second one if the row is the lessee's own but
// refused the first: a reply was lost, or the lease is to be shortened. Leasing never creates a row.
//
// The error is bare [LeaseNotObtainedError], and the Lease nil, when someone else holds the item or
// there is none.
//
// until is by this host's clock. It should be time.Now() of just before the call plus the request's
// LeaseDuration, as the lease is over a tenth of the LeaseDuration before until. An earlier one
// shortens a lease that the lessee holds.
func (s *LockStore) Lease(leaseID string, request LeaseRequest, until time.Time) (*Lease, error) {
	return s.LeaseWithContext(context.Background(), leaseID, request, until)
}

// LeaseWithContext is [LockStore.Lease] with a context.
func (s *LockStore) LeaseWithContext(ctx context.Context, leaseID string, request LeaseRequest, until time.Time) (*Lease, error) {
	terms, err := s.checkLeasing(ctx, leaseID, request, until)
	if err != nil {
		return nil, err
	}
	// Not back to an earlier end: else a late duplicate of this write could shorten a newer tenure.
	w := leasing{end: s.clock.written(until)}
	l, found, err := s.lease(ctx, leaseID, terms, until, w)
	if err == LeaseNotObtainedError && found.holder == terms.lessee {
		w.seen = found
		l, _, err = s.lease(ctx, leaseID, terms, until, w)
	}
	return l, err
}

// LeaseAsSeen is what a [Locker] leases by: [LockStore.Lease] of an item that a scan has shown, which takes
// care of another process of the same name that may still rely on its lease, paused or cut off.
//
// The lessee's own live row is leased only as it was seen, by its token and end; if it has changed since,
// once more as the refusal shows it. Its end is never moved back, and the new tenure remembers it: until
// then a release keeps the item from other lessees. If the row is exactly as older has left it, a lease
// that this process has or had of the item, there is nothing new to remember. older may be nil.
func (s *LockStore) LeaseAsSeen(ctx context.Context, seen LeaseItem, older *Lease, request LeaseRequest, until time.Time) (*Lease, error) {
	terms, err := s.checkLeasing(ctx, seen.LeaseID, request, until)
	if err != nil {
		return nil, err
	}
	token, c := older.held()
	row := &row{holder: seen.LesseeID, until: seen.LeaseUntil, token: seen.FencingToken}
	for again := false; ; again = true {
		w := leasing{end: s.clock.written(until), seen: row}
		if row.holder == terms.lessee {
			w.end, w.older = max(w.end, row.until), row.until
			if c != nil && token == row.token && c.furthest.Load() == row.until {
				w.older = c.older
			}
		}
		l, found, err := s.lease(ctx, seen.LeaseID, terms, until, w)
		if again || err != LeaseNotObtainedError || found.holder != terms.lessee {
			return l, err
		}
		row = found
	}
}

// leasing is one write that leases a row.
type leasing struct {
	end   int64 // for LeaseUntil
	seen  *row  // as which the lessee's own live row may be leased; nil: if that moves its end on
	older int64 // for the claim
}

// lease sends one write. With LeaseNotObtainedError comes the row that refused it.
func (s *LockStore) lease(ctx context.Context, leaseID string, terms terms, until time.Time, w leasing) (*Lease, *row, error) {
	v := attributes{":me": text(terms.lessee), ":until": number(w.end), ":now": number(s.clock.now()), ":zero": number(0), ":one": number(1)}
	condition := "attribute_exists(#key) AND (attribute_not_exists(#until) OR #until < :now OR " +
		"(#holder = :me AND #until < :until))"
	if w.seen != nil {
		condition = "attribute_exists(#key) AND (attribute_not_exists(#until) OR #until < :now OR " +
			"(#holder = :me AND #until = :seenUntil AND (#token = :seenToken OR attribute_not_exists(#token))))"
		v[":seenUntil"], v[":seenToken"] = number(w.seen.until), number(w.seen.token)
	}
	item, found, err := s.update(ctx, leaseID, v, condition,
		"SET #holder = :me, #until = :until, #token = if_not_exists(#token, :zero) + :one")
	if err == nil && found != nil {
		return nil, found, LeaseNotObtainedError
	}
	if err == nil {
		_, err = s.parse(leaseID, item)
	}
	if err != nil {
		return nil, nil, err
	}
	l := &Lease{LeaseID: leaseID, AttributeValues: item, Request: terms.request, Until: until, claim: &claim{older: w.older}}
	l.claim.ask(w.end)
	return l, nil, nil
}

// RenewLease moves the end of the lease's row to until, see [LockStore.Lease]; never back. It costs one
// write. The tenure of a Locker's lease is extended by its Heartbeat only.
//
// The error is bare [LeaseLostError] when the tenure is over, whoever holds the item now; the log
// says who. A lease that shows no token, one built as a literal, is leased anew.
func (s *LockStore) RenewLease(lease *Lease, until time.Time) error {
	return s.RenewLeaseWithContext(context.Background(), lease, until)
}

// RenewLeaseWithContext is [LockStore.RenewLease] with a context.
func (s *LockStore) RenewLeaseWithContext(ctx context.Context, lease *Lease, until time.Time) error {
	h, err := s.checkHeld(ctx, lease)
	if err = cmp.Or(err, checkUntil(until)); err != nil {
		return err
	}
	if h.token == 0 {
		if _, err = s.LeaseWithContext(ctx, lease.LeaseID, lease.Request, until); err == LeaseNotObtainedError {
			return LeaseLostError
		}
		return err
	}
	if err := s.learnClock(ctx); err != nil {
		return err
	}
	end := h.claim.ask(s.clock.written(until))
	// Not only "mine": a renewal that arrives late must not undo a later one.
	_, found, err := s.update(ctx, lease.LeaseID,
		attributes{":me": text(h.lessee), ":token": number(h.token), ":until": number(end)},
		"#holder = :me AND #token = :token AND #until <= :until", "SET #until = :until")
	if found == nil || err != nil || found.holder == h.lessee && found.token == h.token && found.until >= end {
		return err // At the last, an own later renewal got there first.
	}
	return h.lost(found)
}

// ReleaseLease ends the lease in this process, see [Lease.Discard], and then frees the row, so that others
// can lease it at once. It costs one write. A lease that was released already is fine.
//
// The error is bare [LeaseLostError] when the tenure was over before; the row is then untouched.
// After any other error the release may be tried again; else the item stays leased until its end.
func (s *LockStore) ReleaseLease(lease *Lease) error {
	return s.ReleaseLeaseWithContext(context.Background(), lease)
}

// ReleaseLeaseWithContext is [LockStore.ReleaseLease] with a context.
func (s *LockStore) ReleaseLeaseWithContext(ctx context.Context, lease *Lease) error {
	h, err := s.checkHeld(ctx, lease)
	if err != nil {
		return err
	}
	lease.Discard()
	v := h.values()
	v[":rest"] = number(h.claim.older) // Until then an older process of the name may rely on the item.
	_, found, err := s.update(ctx, lease.LeaseID, v, ownCondition, "SET #until = :rest REMOVE #holder")
	if found == nil || err != nil || len(found.item) > 0 && found.holder == "" && found.token == h.token {
		return err // At the last, it was released before, perhaps by a request whose reply was lost.
	}
	return h.lost(found)
}

// ownCondition holds while the row is as a tenure may have left it. Not only its token: a worker of the
// original library under the same name leases the row without touching that.
const ownCondition = "#holder = :me AND #token = :token AND #until <= :furthest"

// held is a lease as a method got it.
type held struct {
	leaseID, lessee string
	token           int64
	claim           *claim
}

// values are those of ownCondition.
func (h held) values() attributes {
	return attributes{":me": text(h.lessee), ":token": number(h.token), ":furthest": number(h.claim.furthest.Load())}
}

// lost logs who has the row instead, and returns LeaseLostError.
func (h held) lost(found *row) error {
	logError("Lease Lost", "lessee_id", h.lessee, "lease_id", h.leaseID, "fencing_token", h.token,
		"holder", found.holder, "holder_fencing_token", found.token)
	return LeaseLostError
}

// attributes are those of a row, or the values of a request's placeholders.
type attributes = map[string]*dynamodb.AttributeValue

func text(s string) *dynamodb.AttributeValue { return &dynamodb.AttributeValue{S: &s} }

func number(n int64) *dynamodb.AttributeValue {
	return (&dynamodb.AttributeValue{}).SetN(strconv.FormatInt(n, 10))
}

// names are the placeholders of attribute names in an expression: a key may have any name.
func (s *LockStore) names(expression string) map[string]*string {
	names := make(map[string]*string, 4)
	for _, n := range [...][2]string{{"#key", s.key}, {"#holder", holderAttribute}, {"#until", untilAttribute}, {"#token", tokenAttribute}} {
		if strings.Contains(expression, n[0]) {
			names[n[0]] = aws.String(n[1])
		}
	}
	return names
}

// update sends one UpdateItem, and returns the new row, or the one that refused it.
func (s *LockStore) update(ctx context.Context, leaseID string, v attributes, condition, update string) (item attributes, refusal *row, err error) {
	req, out := s.UpdateItemRequest(&dynamodb.UpdateItemInput{
		TableName:                           &s.table,
		Key:                                 attributes{s.key: text(leaseID)},
		ConditionExpression:                 &condition,
		UpdateExpression:                    &update,
		ExpressionAttributeNames:            s.names(condition + update),
		ExpressionAttributeValues:           v,
		ReturnValues:                        aws.String(dynamodb.ReturnValueAllNew),
		ReturnValuesOnConditionCheckFailure: aws.String(dynamodb.ReturnValuesOnConditionCheckFailureAllOld),
	})
	refusal, err = s.write(ctx, req, leaseID)
	return out.Attributes, refusal, err
}

// write sends a conditional write, and returns the row that refused it, if one did, also where that can't be
// read.
func (s *LockStore) write(ctx context.Context, req *request.Request, leaseID string) (refusal *row, err error) {
	err = s.send(ctx, req, leaseID, dynamodb.ErrCodeConditionalCheckFailedException)
	var failed *dynamodb.ConditionalCheckFailedException
	if !errors.As(err, &failed) {
		return nil, err
	}
	found, err := s.parse(leaseID, failed.Item)
	return &found, err
}

// send sends a request, of an item if leaseID is not "", and learns from the reply what the database's clock
// says. An error is the SDK's with the request named, and is logged; one of the expected code is left as
// it is.
func (s *LockStore) send(ctx context.Context, req *request.Request, leaseID, expected string) error {
	req.SetContext(ctx)
	err := req.Send()
	if req.HTTPResponse != nil && req.HTTPResponse.StatusCode != 0 { // else there was no reply
		s.clock.observe(req.AttemptTime, time.Now(), req.HTTPResponse.Header.Get("Date"))
	}
	code := errorCode(err)
	if err == nil || code == expected {
		return err
	}
	failed := newRequestError(err, fmt.Sprintf("lease: %s of %q in table %q with the hash key %q", req.Operation.Name, leaseID, s.table, s.key))
	switch {
	case ctx.Err() != nil && code == request.CanceledErrorCode:
		failed.text += " was given up"
		failed.causes = append(failed.causes, contextError(ctx))
		return failed
	case code == dynamodb.ErrCodeResourceNotFoundException:
		failed.text = fmt.Sprintf("lease: table %q does not exist", s.table)
	}
	failed.logged = true
	logFailure(err, "operation", req.Operation.Name, "table", s.table, "lease_id", leaseID)
	return failed
}

// check tells what is wrong with the store itself.
func (s *LockStore) check(ctx context.Context) error {
	switch {
	case s == nil:
		return setupf("lease: the LockStore is nil; was SetupLockStoreGlobal called?")
	case s.DynamoDB == nil:
		return setupf("lease: the LockStore's *dynamodb.DynamoDB is nil")
	case s.DynamoDB.Client == nil:
		return setupf("lease: the LockStore's *dynamodb.DynamoDB was not made by dynamodb.New")
	case s.table == "":
		return setupf("lease: the LockStore's table name is empty")
	case s.key == "":
		return setupf("lease: the LockStore's hash key name is empty")
	case s.key == holderAttribute || s.key == untilAttribute || s.key == tokenAttribute:
		return setupf("lease: the hash key %q has the name of an attribute of this package", s.key)
	}
	return checkContext(ctx)
}

// checkLeasing checks what a lease is asked for with, and learns the clock.
func (s *LockStore) checkLeasing(ctx context.Context, leaseID string, request LeaseRequest, until time.Time) (terms, error) {
	if err := cmp.Or(s.check(ctx), checkName("lease ID", leaseID)); err != nil {
		return terms{}, err
	}
	t, err := checkRequest(request)
	if err = cmp.Or(err, checkUntil(until)); err != nil {
		return terms{}, err
	}
	return t, s.learnClock(ctx)
}

func (s *LockStore) checkHeld(ctx context.Context, lease *Lease) (held, error) {
	if err := s.check(ctx); err != nil {
		return held{}, err
	}
	terms, err := checkLease(lease)
	if err != nil {
		return held{}, err
	}
	h := held{leaseID: lease.LeaseID, lessee: terms.lessee}
	if h.token, h.claim = lease.held(); h.claim == nil { // a literal, of which nothing is known
		h.claim = &claim{}
		h.claim.ask(math.MaxInt64)
	}
	return h, nil
}
