package lease

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/aws-sdk-go/service/dynamodb/expression"
)

// The attributes of a row that are this package's. All others are the user's.
const (
	holderAttribute = "ProcessID"    // S: the holder's LesseeID; absent when there is none
	untilAttribute  = "LeaseUntil"   // N: Unix nanoseconds at which the lease ends; 0 when free
	tokenAttribute  = "FencingToken" // N: grows by one with every tenure
)

// maxTries bounds how often one Lease writes while replies are lost.
const maxTries = 4

// LockStore leases the rows of one DynamoDB table by conditional writes, one request each. It never
// sleeps and starts no goroutines; all its methods are safe for concurrent use. A cancelled context
// ends a request at once, with an error that wraps the context's; whether the write was applied is
// then unknown, and nothing that was written by it can harm a later tenure.
//
// Errors that are not this package's own are the SDK's: awserr.Error, or something that wraps one.
// They are logged here, once.
type LockStore struct {
	*dynamodb.DynamoDB

	table, key string

	leasing, leasingSeen, renewing, releasing, adding, retiring, retiringOwn, listing, viewing template

	clock   clock
	tenures tenures
	skipped sync.Map // lease IDs of the rows that were logged as unreadable
}

// NewLockStore returns a store on the rows of a table whose hash key, of type string, has the given
// name. It sends nothing: what is wrong with its arguments or the table is the error of every method.
func NewLockStore(ddb *dynamodb.DynamoDB, lockTableName, lockHashKeyName string) *LockStore {
	s := &LockStore{DynamoDB: ddb, table: lockTableName, key: lockHashKeyName}
	if s.check() != nil {
		return s
	}
	key, holder, until, token := expression.Name(keyMark), expression.Name(holderAttribute),
		expression.Name(untilAttribute), expression.Name(tokenAttribute)
	free := until.AttributeNotExists().Or(until.LessThan(param("now")))
	mine := holder.Equal(param("me")).And(token.Equal(param("token")))

	// The holder's own row may be leased again, but not back to an earlier end: else a late duplicate
	// of this write could shorten a newer tenure. leasingSeen may do so, for it names the tenure that it
	// has seen, and ends it.
	lease := expression.Set(holder, param("me")).Set(until, param("until")).
		Set(token, expression.Plus(expression.IfNotExists(token, expression.Value(0)), expression.Value(1)))
	leasable := func(own expression.ConditionBuilder) expression.ConditionBuilder {
		return key.AttributeExists().And(free.Or(holder.Equal(param("me")).And(own)))
	}
	s.leasing = s.newTemplate(expression.NewBuilder().
		WithCondition(leasable(until.LessThan(param("until")))).WithUpdate(lease))
	s.leasingSeen = s.newTemplate(expression.NewBuilder().
		WithCondition(leasable(until.Equal(param("seen")).
			And(token.Equal(param("token")).Or(token.AttributeNotExists())))).WithUpdate(lease))

	// Not only "mine": a renewal that arrives late must not undo a later one.
	s.renewing = s.newTemplate(expression.NewBuilder().
		WithCondition(mine.And(until.LessThanEqual(param("until")))).
		WithUpdate(expression.Set(until, param("until"))))

	s.releasing = s.newTemplate(expression.NewBuilder().
		WithCondition(mine).
		WithUpdate(expression.Set(until, expression.Value(0)).Remove(holder)))

	s.adding = s.newTemplate(expression.NewBuilder().WithCondition(key.AttributeNotExists()))
	s.retiring = s.newTemplate(expression.NewBuilder().WithCondition(key.AttributeNotExists().Or(free)))
	s.retiringOwn = s.newTemplate(expression.NewBuilder().WithCondition(mine))

	s.listing = s.newTemplate(expression.NewBuilder().WithProjection(expression.NamesList(key)))
	s.viewing = s.newTemplate(expression.NewBuilder().WithProjection(expression.NamesList(key, holder, until, token)))
	return s
}

// template is a request's expressions, built once. Their values are filled in for each request.
type template struct {
	expression.Expression
	names     map[string]*string
	constants map[string]*dynamodb.AttributeValue
	params    map[string]string // placeholder → the name of its parameter
}

// values are the parameters of a template by name.
type values map[string]*dynamodb.AttributeValue

// param stands for a value that each request gives anew.
func param(name string) expression.ValueBuilder { return expression.Value(name) }

// keyMark stands for the hash key's name, which the expression package would split at its dots.
const keyMark = "key"

func (s *LockStore) newTemplate(b expression.Builder) template {
	e, err := b.Build()
	if err != nil {
		panic(fmt.Sprintf("lease: can't build an expression: %v", err)) // Its parts are all constants.
	}
	t := template{Expression: e, names: e.Names(), constants: e.Values(), params: make(map[string]string)}
	for placeholder, name := range t.names {
		if *name == keyMark {
			t.names[placeholder] = &s.key
		}
	}
	for placeholder, value := range t.constants {
		if value.S != nil { // What is not a parameter's name is a number.
			t.params[placeholder] = *value.S
		}
	}
	return t
}

// fill returns the placeholders' values.
func (t template) fill(v values) map[string]*dynamodb.AttributeValue {
	filled := make(map[string]*dynamodb.AttributeValue, len(t.constants))
	for placeholder, value := range t.constants {
		if name, ok := t.params[placeholder]; ok {
			value = v[name]
		}
		filled[placeholder] = value
	}
	return filled
}

func text(s string) *dynamodb.AttributeValue { return &dynamodb.AttributeValue{S: aws.String(s)} }

func number(n int64) *dynamodb.AttributeValue {
	return &dynamodb.AttributeValue{N: aws.String(strconv.FormatInt(n, 10))}
}

// Lease acquires the item for the request's lessee until then, or renews what that lessee holds, and
// returns the row. Each call begins a new tenure and ends an older one of the same lessee: at once if
// that is a lease of this LockStore, or else at its next renewal. It writes one unit, also when it fails. The row must exist; it is never created.
//
// The error is bare [LeaseNotObtainedError], and the Lease nil, when someone else holds the item or
// there is none.
//
// until is by this host's clock. It should be time.Now() of just before the call plus the request's
// LeaseDuration, as the tenure is over a tenth of the LeaseDuration before until. An earlier one
// shortens a lease that the lessee holds.
func (s *LockStore) Lease(leaseID string, request LeaseRequest, until time.Time) (*Lease, error) {
	return s.LeaseWithContext(context.Background(), leaseID, request, until)
}

// LeaseWithContext is [LockStore.Lease] with a context.
func (s *LockStore) LeaseWithContext(ctx context.Context, leaseID string, request LeaseRequest, until time.Time) (*Lease, error) {
	if err := s.checkCall(ctx, leaseID); err != nil {
		return nil, err
	}
	terms, err := checkRequest(request)
	if err != nil {
		return nil, err
	}
	if err := checkUntil(until); err != nil {
		return nil, err
	}

	// What a reply has shown may call for another try, conditional on the row as it was shown.
	var last *row
	for tries := 1; ; tries++ {
		_, correction, _ := s.clock.correction()
		end, now := until.Add(correction).UnixNano(), s.now()
		t, v := s.leasing, values{"me": text(terms.lessee), "now": number(now), "until": number(end)}
		if last != nil {
			t, v["seen"], v["token"] = s.leasingSeen, number(last.until), number(last.token)
		}
		item, resent, err := s.update(ctx, leaseID, t, v)

		_, corrected, _ := s.clock.correction()
		found, refused := conditionFailed(err)
		if refused {
			item = found
		}
		switch {
		case err != nil && !refused:
			err = s.explainTable(ctx, err)
			if _, explained := err.(*requestError); !explained && errorCode(err) == validationException {
				// DynamoDB adds only to numbers, and no item may be larger than 400 KB.
				err = &rowError{leaseID, s.table, err}
			}
			return nil, err
		case len(item) == 0:
			return nil, LeaseNotObtainedError
		case !refused && (tries > 1 || near(correction, corrected)):
			return s.newLease(leaseID, item, terms, until)
		}
		seen, err := s.parse(leaseID, item)
		if err != nil {
			return nil, err
		}
		own := seen.holder == terms.lessee
		switch {
		case own && tries == 1: // to be shortened, or written by a clock that this reply proved wrong
		case own && resent && tries < maxTries: // perhaps obtained by a write whose reply was lost
		case tries == 1 && seen.until < s.serverNow(): // free, but the server's clock wasn't known yet
		default:
			return nil, LeaseNotObtainedError
		}
		last = &seen
	}
}

// newLease returns the lease that a write of those terms obtained, with the row as it is now.
func (s *LockStore) newLease(leaseID string, row map[string]*dynamodb.AttributeValue, terms terms, until time.Time) (*Lease, error) {
	token, err := fencingToken(row)
	if err != nil {
		return nil, &rowError{leaseID, s.table, err}
	}
	t := newTenure(token, until, terms.duration)
	s.tenures.begin(leaseID, terms.lessee, t)
	return &Lease{LeaseID: leaseID, AttributeValues: row, Request: terms.request, Until: until, tenure: t}, nil
}

// RenewLease moves the end of the lease's tenure to until, see [LockStore.Lease]; never back. It
// writes one unit.
//
// The error is bare [LeaseLostError] when the tenure is over, whoever holds the item now; the log
// says who. A lease that shows no token, one built as a literal, is leased anew.
func (s *LockStore) RenewLease(lease *Lease, until time.Time) error {
	return s.RenewLeaseWithContext(context.Background(), lease, until)
}

// RenewLeaseWithContext is [LockStore.RenewLease] with a context.
func (s *LockStore) RenewLeaseWithContext(ctx context.Context, lease *Lease, until time.Time) error {
	terms, err := s.checkHeld(ctx, lease)
	if err != nil {
		return err
	}
	if err := checkUntil(until); err != nil {
		return err
	}
	token := lease.FencingToken()
	if token == 0 {
		_, err := s.LeaseWithContext(ctx, lease.LeaseID, lease.Request, until)
		if err == LeaseNotObtainedError {
			return LeaseLostError
		}
		return err
	}
	for again := false; ; again = true {
		_, correction, _ := s.clock.correction()
		end := until.Add(correction).UnixNano()
		_, _, err := s.update(ctx, lease.LeaseID, s.renewing, values{
			"me": text(terms.lessee), "token": number(token), "until": number(end)})

		_, corrected, _ := s.clock.correction()
		item, refused := conditionFailed(err)
		switch {
		case err == nil && (again || near(correction, corrected)):
		case err == nil:
			continue // Written by a clock that this reply proved wrong.
		case !refused:
			return s.explainTable(ctx, err)
		default:
			seen, err := s.parse(lease.LeaseID, item)
			switch {
			case err != nil || seen.holder != terms.lessee || seen.token != token:
				return s.lost(lease, terms, seen)
			case seen.until >= until.Add(corrected).UnixNano(): // An own later renewal got there first.
			case !again:
				continue
			default:
				return fmt.Errorf("lease: the row of %q in table %q refuses its holder's renewal", lease.LeaseID, s.table)
			}
		}
		if lease.tenure != nil {
			lease.tenure.extend(until)
		}
		return nil
	}
}

// lost ends the tenure of a lease that the row was seen to deny, and returns LeaseLostError.
func (s *LockStore) lost(lease *Lease, terms terms, seen row) error {
	if lease.tenure != nil {
		lease.tenure.finish(LeaseLostError)
	}
	logError("Lease Lost", "lessee_id", terms.lessee, "lease_id", lease.LeaseID,
		"fencing_token", lease.FencingToken(), "holder", seen.holder, "holder_fencing_token", seen.token)
	return LeaseLostError
}

// ReleaseLease ends the tenure and then frees the row, so that others can lease it at once. It
// writes one unit. A lease that was released already is fine.
//
// The error is bare [LeaseLostError] when the tenure was over before; the row is then untouched.
// After any other error the release may be tried again; else the item stays leased until its end.
// To stop a Heartbeat and wait for it, use [Locker.ReleaseLease].
func (s *LockStore) ReleaseLease(lease *Lease) error {
	return s.ReleaseLeaseWithContext(context.Background(), lease)
}

// ReleaseLeaseWithContext is [LockStore.ReleaseLease] with a context.
func (s *LockStore) ReleaseLeaseWithContext(ctx context.Context, lease *Lease) error {
	terms, err := s.checkHeld(ctx, lease)
	if err != nil {
		return err
	}
	if lease.tenure != nil {
		lease.tenure.finish(LeaseReleasedError)
	}
	token := lease.FencingToken()
	_, _, err = s.update(ctx, lease.LeaseID, s.releasing, values{
		"me": text(terms.lessee), "token": number(token)})
	item, refused := conditionFailed(err)
	if !refused {
		return s.explainTable(ctx, err)
	}
	seen, err := s.parse(lease.LeaseID, item)
	if err == nil && len(item) > 0 && seen.holder == "" && seen.token == token {
		return nil // Released before, perhaps by a request whose reply was lost.
	}
	return s.lost(lease, terms, seen)
}

// update sends one UpdateItem and returns the new row, and whether the SDK sent it more than once.
func (s *LockStore) update(ctx context.Context, leaseID string, t template, v values) (map[string]*dynamodb.AttributeValue, bool, error) {
	req, out := s.UpdateItemRequest(&dynamodb.UpdateItemInput{
		TableName:                           &s.table,
		Key:                                 map[string]*dynamodb.AttributeValue{s.key: text(leaseID)},
		ConditionExpression:                 t.Condition(),
		UpdateExpression:                    t.Update(),
		ExpressionAttributeNames:            t.names,
		ExpressionAttributeValues:           t.fill(v),
		ReturnValues:                        aws.String(dynamodb.ReturnValueAllNew),
		ReturnValuesOnConditionCheckFailure: aws.String(dynamodb.ReturnValuesOnConditionCheckFailureAllOld),
	})
	err := s.send(ctx, req, "lease_id", leaseID)
	return out.Attributes, req.RetryCount > 0, err
}

// send sends a request, learns from the reply what the server's clock says, and logs an error that
// is neither a failed condition nor the caller's own cancellation.
func (s *LockStore) send(ctx context.Context, req *request.Request, keyvals ...interface{}) error {
	req.SetContext(ctx)
	err := req.Send()
	if req.HTTPResponse.StatusCode != 0 { // else there was no reply
		s.clock.observe(req.AttemptTime, time.Now(), req.HTTPResponse.Header.Get("Date"))
	}
	if err == nil {
		return nil
	}
	if _, refused := conditionFailed(err); refused {
		return err
	}
	if ctx.Err() != nil && errorCode(err) == request.CanceledErrorCode {
		err = explain(err, context.Cause(ctx), "lease: %s of table %q was given up", req.Operation.Name, s.table)
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return err
		}
	}
	logFailure(err, append([]interface{}{"operation", req.Operation.Name, "table", s.table}, keyvals...)...)
	return err
}

// self lets NewLocker tell a LockStore from a type that embeds one.
func (s *LockStore) self() *LockStore { return s }

// now is [LockStore.serverNow]; but while no reply has told anything about the server's clock, it is
// 1: after no end but 0, so that nobody's lease is taken on the word of a clock that may be wrong.
func (s *LockStore) now() int64 {
	if _, _, known := s.clock.correction(); !known {
		return 1
	}
	return s.serverNow()
}

// serverNow is a time that the server's clock is past, as far as that is known, in Unix nanoseconds.
func (s *LockStore) serverNow() int64 {
	correction, _, _ := s.clock.correction()
	return time.Now().Add(correction).UnixNano()
}

// check tells what is wrong with the store itself.
func (s *LockStore) check() error {
	switch {
	case s == nil:
		return errors.New("lease: the LockStore is nil; was SetupLockStoreGlobal called?")
	case s.DynamoDB == nil:
		return errors.New("lease: the LockStore's *dynamodb.DynamoDB is nil")
	case s.table == "":
		return errors.New("lease: the LockStore's table name is empty")
	case s.key == "":
		return errors.New("lease: the LockStore's hash key name is empty")
	case s.key == holderAttribute || s.key == untilAttribute || s.key == tokenAttribute:
		return fmt.Errorf("lease: the hash key %q has the name of an attribute of this package", s.key)
	}
	return nil
}

func (s *LockStore) checkContext(ctx context.Context) error {
	if err := s.check(); err != nil {
		return err
	}
	if ctx == nil {
		return errors.New("lease: the context is nil")
	}
	return nil
}

func (s *LockStore) checkCall(ctx context.Context, leaseID string) error {
	if err := s.checkContext(ctx); err != nil {
		return err
	}
	return checkLeaseID(leaseID)
}

func (s *LockStore) checkHeld(ctx context.Context, lease *Lease) (terms, error) {
	if err := s.checkContext(ctx); err != nil {
		return terms{}, err
	}
	if err := checkLease(lease); err != nil {
		return terms{}, err
	}
	return checkRequest(lease.Request)
}

// explainTable says what is wrong with the table when err comes from that.
func (s *LockStore) explainTable(ctx context.Context, err error) error {
	switch errorCode(err) {
	case dynamodb.ErrCodeResourceNotFoundException:
		return explain(err, nil, "lease: table %q does not exist", s.table)
	case validationException:
		if !strings.Contains(strings.ToLower(err.Error()), "key") {
			break
		}
		if misfit := s.checkTable(ctx); misfit != nil {
			return explain(err, misfit, "%v", misfit)
		}
	}
	return err
}
