package lease

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
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
	holderAttribute      = "ProcessID"    // S: the holder's LesseeID; absent when there is none
	untilAttribute       = "LeaseUntil"   // N: Unix nanoseconds at which the lease ends; 0 when free
	tokenAttribute       = "FencingToken" // N: grows by one with every tenure
	wantedByAttribute    = "WantedBy"     // S: the LesseeID that asks for the item; empty: an operator asks to free it
	wantedUntilAttribute = "WantedUntil"  // N: Unix nanoseconds after which that counts no more; there if WantedBy is
)

// LockStore leases the rows of one DynamoDB table by conditional writes. Its Leases are bare. Its methods are safe for concurrent
// use, start no goroutines, and block for as long as their requests take. Before a write that needs the time, a Scan of one row
// learns the database's, if no reply has come yet or this host's clock was stepped. Errors of the SDK are awserr.RequestFailures
// with the request named, and logged here; those of a done context wrap its error: a write may be applied then, to no harm.
type LockStore struct {
	*dynamodb.DynamoDB
	table, key string
	clock      clock
	skipped    sync.Map    // lease IDs of the rows that were logged as unreadable
	described  atomic.Bool // the table was found empty, and its description asked for
}

// NewLockStore sends nothing: what is wrong with its arguments or the table is the error of every method.
func NewLockStore(ddb *dynamodb.DynamoDB, lockTableName, lockHashKeyName string) *LockStore {
	return &LockStore{DynamoDB: ddb, table: lockTableName, key: lockHashKeyName}
}

// Lease acquires the item for the request's lessee until then, by this host's clock, or renews what it holds. Each call
// begins a new tenure; an older one of the same lessee learns of that at its next renewal. The error is bare
// [LeaseNotObtainedError], and the Lease nil, when someone else holds the item or there is none. It costs one write, also
// when it fails, and a second one if the lessee's own row refused the first: after a lost reply, or to shorten the lease.
func (s *LockStore) Lease(leaseID string, request LeaseRequest, until time.Time) (*Lease, error) {
	return s.LeaseWithContext(always, leaseID, request, until)
}

// LeaseWithContext is [LockStore.Lease] with a context.
func (s *LockStore) LeaseWithContext(ctx context.Context, leaseID string, request LeaseRequest, until time.Time) (*Lease, error) {
	return s.lease(ctx, leaseID, nil, nil, request, until)
}

// LeaseAsSeen is [LockStore.Lease] of an item that a scan has shown, which takes care of another process of the same name
// that may still rely on its lease, paused or cut off. The lessee's own live row is leased only as it was seen, by token and
// end; if it has changed, once more as the refusal shows it. Its end is never moved back, and until then a release keeps the
// item from others; but not if the row is exactly as older has left it, a lease that this process has or had, or nil.
func (s *LockStore) LeaseAsSeen(ctx context.Context, seen LeaseItem, older *Lease, req LeaseRequest, until time.Time) (*Lease, error) {
	return s.lease(ctx, seen.LeaseID, &row{LeaseItem: seen}, older, req, until)
}

// lease leases a row: an own live one as seen, or if that is nil, if its end moves on: no late duplicate is to shorten a tenure.
func (s *LockStore) lease(ctx context.Context, id string, seen *row, older *Lease, req LeaseRequest, until time.Time) (*Lease, error) {
	terms, err := checkRequest(req)
	if err = s.ready(ctx, checkName("lease ID", id), err, checkUntil(until)); err != nil {
		return nil, err
	}
	token, last := older.held()
	for again, keeping := false, seen != nil; ; again = true { // keeping the end that an older process relies on
		c := &claim{}
		now, end := s.clock.times(until)
		if keeping && seen.LesseeID == terms.lessee && seen.LeaseUntil >= now {
			end, c.older = max(end, seen.LeaseUntil), seen.LeaseUntil
			if token == seen.FencingToken && last.furthest.Load() == seen.LeaseUntil {
				c.older = last.older
			}
		}
		v := attributes{":me": text(terms.lessee), ":until": number(c.ask(end)), ":now": number(now),
			":zero": zero, ":one": number(1)}
		condition := "attribute_exists(#key) AND (attribute_not_exists(#until) OR #until < :now OR (#holder = :me AND #until < :until))"
		if seen != nil {
			condition = "attribute_exists(#key) AND (attribute_not_exists(#until) OR #until < :now OR " +
				"(#holder = :me AND #until = :seenUntil AND (#token = :seenToken OR attribute_not_exists(#token))))"
			v[":seenUntil"], v[":seenToken"] = number(seen.LeaseUntil), number(seen.FencingToken)
		}
		got, found, err := s.update(ctx, id, v, condition, "SET #holder = :me, #until = :until, "+
			"#token = if_not_exists(#token, :zero) + :one REMOVE #wantedBy, #wantedUntil")
		switch {
		case err != nil:
			return nil, err
		case found == nil:
			raise(&c.shown, got.LeaseUntil)
			return &Lease{LeaseID: id, AttributeValues: got.item, Request: terms.request, Until: until, claim: c}, nil
		case again || found.LesseeID != terms.lessee:
			return nil, LeaseNotObtainedError
		case found.resent && found.LeaseUntil == c.furthest.Load():
			last, token = c, found.FencingToken // This very call has written it, and the reply was lost.
		}
		seen = found // for one more try, as the refusal shows it
	}
}

// RenewLease moves the end of the row, but not of a Locker's tenure, to until, and never back. It costs one write. A literal
// without a token is leased anew. The error is bare [LeaseLostError] if the lease was lost; the log says who has the item.
func (s *LockStore) RenewLease(l *Lease, until time.Time) error {
	return s.RenewLeaseWithContext(always, l, until)
}

// RenewLeaseWithContext is [LockStore.RenewLease] with a context.
func (s *LockStore) RenewLeaseWithContext(ctx context.Context, lease *Lease, until time.Time) error {
	_, err := s.RenewLeaseItem(ctx, lease, until, time.Time{})
	return err
}

// RenewLeaseItem is [LockStore.RenewLease] that returns what the row then shows, and prolongs a wish for the item, if there
// is one, until the time wanted, unless that is zero.
func (s *LockStore) RenewLeaseItem(ctx context.Context, lease *Lease, until, wanted time.Time) (item LeaseItem, err error) {
	mine, c, err := s.held(ctx, lease)
	if err = s.ready(ctx, err, checkUntil(until)); err != nil {
		return item, err
	}
	if mine.FencingToken == 0 {
		if _, err = s.LeaseWithContext(ctx, lease.LeaseID, lease.Request, until); err == LeaseNotObtainedError {
			return item, LeaseLostError
		}
		return item, err
	}
	_, end := s.clock.times(until)
	end = c.ask(end)
	v, condition, update := mine.own(end), ownCondition, "SET #until = :until"
	if !wanted.IsZero() {
		_, wish := s.clock.times(wanted)
		v[":wanted"] = number(wish)
		condition, update = condition+" AND attribute_exists(#wantedBy)", update+", #wantedUntil = :wanted"
	}
	got, found, err := s.update(ctx, lease.LeaseID, v, condition, update)
	switch {
	case err != nil:
		return item, err
	case found == nil:
		raise(&c.shown, got.LeaseUntil)
		return got.LeaseItem, nil
	case mine.holds(found) && found.LeaseUntil >= end: // An own later renewal got there first.
		raise(&c.shown, found.LeaseUntil)
		return found.LeaseItem, nil
	case !mine.holds(found) || wanted.IsZero():
		return item, mine.lost(lease.LeaseID, found)
	}
	return s.RenewLeaseItem(ctx, lease, until, time.Time{}) // The wish is gone.
}

// ReleaseLease ends the lease in this process, see [Lease.Discard], and then frees the row for others, see
// [LockStore.LeaseAsSeen]. It costs one write. A lease that was released already is fine. The error is bare
// [LeaseLostError] when the tenure was over before; the row is then untouched. After any other, it may be tried again.
func (s *LockStore) ReleaseLease(lease *Lease) error { return s.ReleaseLeaseWithContext(always, lease) }

// ReleaseLeaseWithContext is [LockStore.ReleaseLease] with a context.
func (s *LockStore) ReleaseLeaseWithContext(ctx context.Context, lease *Lease) error {
	mine, c, err := s.held(ctx, lease)
	if err != nil {
		return err
	}
	lease.Discard()
	furthest := c.furthest.Load()
	v := mine.own(furthest)
	v[":rest"] = number(c.older) // Until then an older process of the name may rely on the item.
	_, found, err := s.update(ctx, lease.LeaseID, v, ownCondition, "SET #until = :rest REMOVE #holder, #wantedBy, #wantedUntil")
	if found == nil || err != nil || len(found.item) > 0 && found.LesseeID == "" && found.FencingToken == mine.FencingToken {
		return err // At the last, it was released before, perhaps by a request whose reply was lost.
	} else if c.overtaken(mine, found, furthest) {
		return s.ReleaseLeaseWithContext(ctx, lease)
	}
	return mine.lost(lease.LeaseID, found)
}

// WantLease asks the holder of an item, as a scan has shown it, to hand it over to that lessee, or if that is "" to free it.
// It obliges nobody, counts until then, but not for more than 10 minutes (or 3 of its leases) ahead, and costs one write. The
// error is bare [LeaseNotObtainedError] if the row has changed.
func (s *LockStore) WantLease(ctx context.Context, seen LeaseItem, wantedBy string, until time.Time) error {
	err := s.ready(ctx, checkName("lease ID", seen.LeaseID), checkName("LesseeID", cmp.Or(wantedBy, "-")), checkUntil(until))
	if err != nil || seen.LesseeID == "" || seen.LesseeID == wantedBy {
		return cmp.Or(err, LeaseNotObtainedError)
	}
	now, end := s.clock.times(until)
	v := attributes{":holder": text(seen.LesseeID), ":token": number(seen.FencingToken), ":seen": number(seen.WantedUntil),
		":by": text(wantedBy), ":wanted": number(end), ":now": number(now), ":ever": number(math.MaxInt64)}
	_, found, err := s.update(ctx, seen.LeaseID, v, "#holder = :holder AND (#token = :token OR attribute_not_exists(#token)) AND "+
		"(NOT #wantedUntil BETWEEN :now AND :ever OR #wantedUntil = :seen)", "SET #wantedBy = :by, #wantedUntil = :wanted")
	if found == nil || err != nil || found.WantedBy == wantedBy && found.WantedUntil == end {
		return err // At the last, the reply was lost.
	}
	return LeaseNotObtainedError
}

// HandOverLease is [LockStore.ReleaseLease] that reserves the item until then for the lessee that wants it, if one still does:
// to others that one holds the row, and it leases it as its own. It costs one write, or two if nobody wants it any more.
func (s *LockStore) HandOverLease(ctx context.Context, lease *Lease, until time.Time) error {
	mine, c, err := s.held(ctx, lease)
	if err = s.ready(ctx, err, checkUntil(until)); err != nil {
		return err
	}
	lease.Discard()
	if now, end := s.clock.times(until); c.older < now { // else an older process of the name may rely on the item
		furthest := c.furthest.Load()
		v := mine.own(furthest)
		v[":now"], v[":end"], v[":nobody"], v[":text"] = number(now), number(end), text(""), text("S")
		v[":horizon"] = number(now + int64(horizon(lease.Request.LeaseDuration())))
		_, found, err := s.update(ctx, lease.LeaseID, v, ownCondition+" AND #wantedUntil BETWEEN :now AND :horizon "+
			"AND attribute_type(#wantedBy, :text) AND NOT #wantedBy IN (:me, :nobody)", "SET #holder = #wantedBy, #until = :end")
		if found == nil || err != nil || !mine.holds(found) && found.FencingToken == mine.FencingToken && (found.LesseeID == "" || found.LesseeID == found.WantedBy) {
			return err // At the last, it was handed over before.
		} else if c.overtaken(mine, found, furthest) {
			return s.HandOverLease(ctx, lease, until)
		}
	}
	return s.ReleaseLeaseWithContext(ctx, lease)
}

// ownCondition needs the end too: workers of the original don't touch the token, and no renewal is to undo a later one.
const ownCondition = "#holder = :me AND #token = :token AND #until <= :until"

func (s *LockStore) held(ctx context.Context, lease *Lease) (mine row, c *claim, err error) {
	terms, err := checkLease(lease)
	mine.LesseeID = terms.lessee
	mine.FencingToken, c = lease.held()
	return mine, c, cmp.Or(s.check(ctx), err)
}

func (r row) own(until int64) attributes {
	return attributes{":me": text(r.LesseeID), ":token": number(r.FencingToken), ":until": number(until)}
}

func (r row) holds(f *row) bool { return f.LesseeID == r.LesseeID && f.FencingToken == r.FencingToken }

func (r row) lost(leaseID string, found *row) error {
	logError("Lease Lost", "lessee_id", r.LesseeID, "lease_id", leaseID, "fencing_token", r.FencingToken,
		"holder", found.LesseeID, "holder_fencing_token", found.FencingToken)
	return LeaseLostError
}

type value = dynamodb.AttributeValue
type attributes = map[string]*value // of a row, or of the placeholders of a request

func text(s string) *value  { return &value{S: &s} }
func number(n int64) *value { return &value{N: aws.String(strconv.FormatInt(n, 10))} }

// names are the placeholders of attribute names in an expression: a key may have any name.
func (s *LockStore) names(expression string) map[string]*string {
	names := map[string]*string{"#key": &s.key, "#holder": aws.String(holderAttribute),
		"#until": aws.String(untilAttribute), "#token": aws.String(tokenAttribute),
		"#wantedBy": aws.String(wantedByAttribute), "#wantedUntil": aws.String(wantedUntilAttribute)}
	maps.DeleteFunc(names, func(name string, _ *string) bool { return !strings.Contains(expression, name) })
	return names
}

func (s *LockStore) update(ctx context.Context, id string, v attributes, condition, update string) (got, refusal *row, err error) {
	return s.write(ctx, id, v, nil, condition, update)
}

// write sends an update with placeholders for more names than the library's own.
func (s *LockStore) write(ctx context.Context, id string, v attributes, more map[string]*string, condition, update string) (got, refusal *row, err error) {
	names := s.names(condition + update)
	maps.Copy(names, more)
	req, out := s.UpdateItemRequest(&dynamodb.UpdateItemInput{
		TableName:                           &s.table,
		Key:                                 attributes{s.key: text(id)},
		ConditionExpression:                 &condition,
		UpdateExpression:                    &update,
		ExpressionAttributeNames:            names,
		ExpressionAttributeValues:           v,
		ReturnValues:                        aws.String(dynamodb.ReturnValueAllNew),
		ReturnValuesOnConditionCheckFailure: aws.String(dynamodb.ReturnValuesOnConditionCheckFailureAllOld),
	})
	if refusal, err = s.send(ctx, req, id); refusal == nil && err == nil {
		got, err = s.parse(id, out.Attributes)
	}
	return got, refusal, err
}

// send returns the row that refused the request, if one did, and logs other errors, but for those that EnsureTable expects.
func (s *LockStore) send(ctx context.Context, req *request.Request, leaseID string) (refusal *row, err error) {
	req.SetContext(ctx)
	err = req.Send()
	if req.HTTPResponse != nil && req.HTTPResponse.StatusCode != 0 { // else there was no reply
		s.clock.observe(req.AttemptTime, time.Now(), req.HTTPResponse.Header.Get("Date"))
	}
	if refused := (*dynamodb.ConditionalCheckFailedException)(nil); errors.As(err, &refused) {
		refusal, err = s.parse(leaseID, refused.Item)
		refusal.resent = req.RetryCount > 0
		return refusal, err
	}
	operation, code := req.Operation.Name, errorCode(err)
	missing := code == dynamodb.ErrCodeResourceNotFoundException
	text := fmt.Sprintf("lease: %s of %q in table %q with the hash key %q", operation, leaseID, s.table, s.key)
	switch {
	case err == nil || missing && operation == "DescribeTable" || code == dynamodb.ErrCodeResourceInUseException:
		return nil, err
	case code == request.CanceledErrorCode && ctx.Err() != nil:
		return nil, newRequestError(text+" was given up", false, err, contextError(ctx))
	case missing:
		text = fmt.Sprintf("lease: table %q does not exist", s.table)
	}
	logFailure(err, "operation", operation, "table", s.table, "lease_id", leaseID)
	return nil, newRequestError(text, true, err)
}

var always = context.Background() // for the methods without a context
var zero = number(0)
var ours = []string{holderAttribute, untilAttribute, tokenAttribute, wantedByAttribute, wantedUntilAttribute}

func (s *LockStore) check(ctx context.Context) error {
	switch {
	case s == nil:
		return setupf("lease: the LockStore is nil; was SetupLockStoreGlobal called?")
	case s.DynamoDB == nil || s.DynamoDB.Client == nil:
		return setupf("lease: the LockStore's *dynamodb.DynamoDB is nil, or was not made by dynamodb.New")
	case s.table == "":
		return setupf("lease: the LockStore's table name is empty")
	case s.key == "":
		return setupf("lease: the LockStore's hash key name is empty")
	case slices.Contains(ours, s.key):
		return setupf("lease: the hash key %q has the name of an attribute of this package", s.key)
	case ctx == nil:
		return errors.New("lease: the context is nil")
	}
	return nil
}

// ready returns what is wrong with the store or was found by checks. If nothing is, it learns the clock.
func (s *LockStore) ready(ctx context.Context, checked ...error) error {
	if err := cmp.Or(s.check(ctx), cmp.Or(checked...)); err != nil || s.clock.known() {
		return err
	}
	_, _, err := s.page(ctx, "", 1, "#key")
	return err
}
