package lease

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// always is the context of the methods without one.
var always = context.Background()

type value = dynamodb.AttributeValue
type attributes = map[string]*value // of a row, or of the placeholders of a request

func text(s string) *value  { return &value{S: &s} }
func number(n int64) *value { return &value{N: aws.String(strconv.FormatInt(n, 10))} }

// decimal writes a number without an exponent, in as few digits as show it.
func decimal(n float64) *value {
	return &value{N: aws.String(strconv.FormatFloat(n, 'f', -1, 64))}
}

// verdict is what a write came to.
type verdict int

const (
	unanswered verdict = iota
	applied
	appliedBefore // a refusal shows what was asked for: the reply was lost
	overtaken     // a refusal shows a later write of the same tenure
	refused       // a refusal shows anything else
)

// reply is DynamoDB's to a conditional write.
type reply struct {
	verdict verdict // unanswered, with an error; applied or refused
	row     row     // as it is: after the write, or as it refused it
	resent  bool    // the SDK has sent the request more than once: the first may have been applied
}

// write is one UpdateItem.
type write struct {
	leaseID   string
	condition string
	update    string
	values    attributes
	names     map[string]*string // placeholders of more names than the library's own; may be nil

	// The reply to a write of a tenure that begins or goes on must show whose it is.
	holder string // "": anybody's
	token  int64  // 0: any
}

// names are the placeholders of attribute names in an expression: a key may have any name.
func (s *LockStore) names(expression string) map[string]*string {
	names := make(map[string]*string)
	if strings.Contains(expression, "#key") {
		names["#key"] = &s.key
	}
	for placeholder, attribute := range placeholders {
		if strings.Contains(expression, placeholder) {
			names[placeholder] = attribute
		}
	}
	return names
}

// placeholders are those of the library's own attributes. The SDK wants pointers: these are for all
// requests.
var placeholders = map[string]*string{
	"#holder":      aws.String(holderAttribute),
	"#until":       aws.String(untilAttribute),
	"#token":       aws.String(tokenAttribute),
	"#wantedBy":    aws.String(wantedByAttribute),
	"#wantedUntil": aws.String(wantedUntilAttribute),
	"#weight":      aws.String(weightAttribute),
	"#capacity":    aws.String(capacityAttribute),
}

// update sends a write.
func (s *LockStore) update(ctx context.Context, w write) (reply, error) {
	names := s.names(w.condition + w.update)
	for placeholder, name := range w.names {
		names[placeholder] = name
	}
	req, out := s.UpdateItemRequest(&dynamodb.UpdateItemInput{
		TableName:                           &s.table,
		Key:                                 attributes{s.key: text(w.leaseID)},
		ConditionExpression:                 &w.condition,
		UpdateExpression:                    &w.update,
		ExpressionAttributeNames:            names,
		ExpressionAttributeValues:           w.values,
		ReturnValues:                        aws.String(dynamodb.ReturnValueAllNew),
		ReturnValuesOnConditionCheckFailure: aws.String(dynamodb.ReturnValuesOnConditionCheckFailureAllOld),
	})
	got, err := s.send(ctx, req, w.leaseID)
	if err != nil || got.verdict == refused {
		return got, err
	}
	if id, _ := s.keyOf(out.Attributes); id != w.leaseID {
		return reply{}, s.showsNothing(ctx, req, w.leaseID)
	}
	got.row, err = s.parse(w.leaseID, out.Attributes)
	if err != nil {
		return got, err
	}
	if !w.isShownBy(got.row) {
		return reply{}, s.showsNothing(ctx, req, w.leaseID)
	}
	return got, nil
}

// isShownBy tells that a row may be what the write has left.
func (w write) isShownBy(r row) bool {
	if w.holder != "" && w.holder != r.LesseeID {
		return false
	}
	return w.token == 0 || w.token == r.FencingToken
}

// showsNothing is the error of a success that doesn't show what was asked for. It isn't
// DynamoDB's, or was cut short: nothing is known of what was done, and another try may
// show it.
func (s *LockStore) showsNothing(
	ctx context.Context, req *request.Request, leaseID string,
) error {
	const text = "the reply doesn't show what was asked for"
	err := awserr.New(request.ErrCodeSerialization, text, io.ErrUnexpectedEOF)
	return s.named(ctx, err, req.Operation.Name, leaseID)
}

// send sends a request. A failed condition is no error, but a refusal. It logs other
// errors, but for those that EnsureTable expects.
func (s *LockStore) send(ctx context.Context, req *request.Request, leaseID string) (reply, error) {
	req.SetContext(ctx)
	tries := triesOf(ctx)
	if tries != nil {
		req.Handlers.CompleteAttempt.PushBack(func(r *request.Request) { tries.failed(r.Error) })
	}
	err := req.Send()
	s.hear(req, time.Now(), err)
	if err == nil {
		return reply{verdict: applied}, nil
	}
	var failed *dynamodb.ConditionalCheckFailedException
	if errors.As(err, &failed) {
		found, err := s.parse(leaseID, failed.Item)
		return reply{verdict: refused, row: found, resent: req.RetryCount > 0}, err
	}
	return reply{}, s.named(ctx, err, req.Operation.Name, leaseID)
}

// hear has the clock learn of a reply. What has no request ID of DynamoDB's isn't its own: a
// proxy's 503 has the Date of another clock. A success is from what imitates DynamoDB, and
// tells no time: this host's clock stands.
func (s *LockStore) hear(req *request.Request, received time.Time, err error) {
	got := req.HTTPResponse
	if got == nil {
		return
	}
	if isDynamoDBs(req) {
		s.clock.observe(req.AttemptTime, received, got.Header.Get("Date"))
		return
	}
	if err == nil {
		s.clock.observe(req.AttemptTime, received, "")
	}
}

// isDynamoDBs tells that the reply to a request is DynamoDB's own, and no proxy's.
func isDynamoDBs(req *request.Request) bool {
	isAnswered := req.HTTPResponse != nil // A stub of the SDK's has none.
	return isAnswered && req.HTTPResponse.Header.Get("X-Amzn-Requestid") != ""
}

// named names the request in its error, and logs it, unless the caller knows what to do, or
// is a Locker, which does so.
func (s *LockStore) named(ctx context.Context, err error, operation, leaseID string) error {
	code := errorCode(err)
	text := s.nameOf(operation, leaseID) + fmt.Sprintf(" with the hash key %q", s.key)
	if code == request.CanceledErrorCode && ctx.Err() != nil {
		return newRequestError(text+" was given up", false, err, contextError(ctx))
	}
	isMissing := code == dynamodb.ErrCodeResourceNotFoundException
	if isExpected(operation, code) {
		return err
	}
	if isMissing {
		text = fmt.Sprintf("%s: table %q does not exist", s.nameOf(operation, leaseID), s.table)
	}
	isLockers := triesOf(ctx) != nil
	if !isLockers {
		logFailure(err, "operation", operation, "table", s.table, "lease_id", leaseID)
	}
	return newRequestError(text, !isLockers, err)
}

// isExpected tells of an error that EnsureTable expects.
func isExpected(operation, code string) bool {
	switch operation {
	case "DescribeTable":
		return code == dynamodb.ErrCodeResourceNotFoundException
	case "CreateTable":
		return code == dynamodb.ErrCodeResourceInUseException
	}
	return false
}

// nameOf is a request in words.
func (s *LockStore) nameOf(operation, leaseID string) string {
	if leaseID == "" {
		return fmt.Sprintf("lease: %s of table %q", operation, s.table)
	}
	return fmt.Sprintf("lease: %s of %q in table %q", operation, leaseID, s.table)
}
