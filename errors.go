package lease

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"

	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// The errors of the documented API. They are returned as they are, never wrapped where the
// documentation names them, so that callers may compare with ==.
var (
	// LeaseNotObtainedError says that the item, or every item, is held by someone else.
	LeaseNotObtainedError error = errors.New("Lease Not Obtained")

	// LeaseLostError says that the tenure is over: another lessee holds the item, the item was
	// retired, or the lease ended before it could be renewed. An error that wraps it together with
	// a cause says that the lease ended in an outage with that cause.
	LeaseLostError error = errors.New("Lease Lost")
)

// Further errors. Where a detail helps they are wrapped: compare with [errors.Is].
var (
	// LeaseExpiredError is the [context.Cause] of a lease's context when its time was up.
	LeaseExpiredError = errors.New("Lease Expired")

	// LeaseReleasedError is the [context.Cause] of a lease's context after its release.
	LeaseReleasedError = errors.New("Lease Released")

	// ReleaseUnsupportedError says that the tenure was ended here, but that the store has no way to
	// free the item, which therefore stays leased until its time is up.
	ReleaseUnsupportedError = errors.New("Release Unsupported")

	// LeaseIDExistsError says that an item of that lease ID is registered already.
	LeaseIDExistsError = errors.New("Lease ID Exists")

	// LeaseHeldError says that an item can't be retired because someone holds it.
	LeaseHeldError = errors.New("Lease Held")
)

// requestError explains an error of the SDK. It still is one: callers that assert awserr.Error or
// awserr.RequestFailure get the SDK's code, message and request ID.
type requestError struct {
	awserr.RequestFailure
	text  string
	cause error // besides the SDK's error: a context's, say; may be nil
}

func (e *requestError) Error() string { return e.text }

func (e *requestError) Unwrap() []error {
	if e.cause == nil {
		return []error{e.RequestFailure}
	}
	return []error{e.RequestFailure, e.cause}
}

// explain returns err, an error of the SDK, with the text put before its own and cause beside it.
func explain(err error, cause error, format string, args ...any) error {
	text := fmt.Sprintf(format, args...) + ": " + err.Error()
	var failure awserr.RequestFailure
	var plain awserr.Error
	switch {
	case errors.As(err, &failure):
	case errors.As(err, &plain):
		failure = awserr.NewRequestFailure(plain, 0, "")
	default:
		return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), err)
	}
	return &requestError{RequestFailure: failure, text: text, cause: cause}
}

// errorCode returns the code of an SDK error, or "".
func errorCode(err error) string {
	var e awserr.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return ""
}

// conditionFailed tells whether a write was refused by its condition, and the row that refused it
// (empty where there is none), which ReturnValuesOnConditionCheckFailure asks for.
func conditionFailed(err error) (map[string]*dynamodb.AttributeValue, bool) {
	var failed *dynamodb.ConditionalCheckFailedException
	if errors.As(err, &failed) {
		return failed.Item, true
	}
	return nil, false
}

// transient tells whether another try of the same request may succeed: throttling, server errors,
// timeouts and connection errors, as the SDK classifies them. TransactionConflictException is
// added: it says that a transaction of the user's has the row right now.
func transient(err error) bool {
	var failure awserr.RequestFailure
	if errors.As(err, &failure) {
		code := failure.StatusCode()
		if code >= 500 && code != http.StatusNotImplemented || code == http.StatusTooManyRequests {
			return true
		}
	}
	var sdk awserr.Error
	if errors.As(err, &sdk) {
		return request.IsErrorThrottle(sdk) || request.IsErrorRetryable(sdk) ||
			sdk.Code() == dynamodb.ErrCodeTransactionConflictException ||
			errors.Is(err, context.DeadlineExceeded) || connectionError(sdk)
	}
	// From a store of the caller's own. The SDK's answer to an error it doesn't know is "retry";
	// only the network's errors and a timeout are known here.
	var network net.Error
	var inURL *url.Error
	return errors.As(err, &inURL) || errors.As(err, &network) || errors.Is(err, context.DeadlineExceeded)
}

// connectionError tells whether an SDK error, which doesn't unwrap, comes from a connection.
func connectionError(err awserr.Error) bool {
	for {
		cause := err.OrigErr()
		var network net.Error
		if errors.As(cause, &network) || errors.Is(cause, io.ErrUnexpectedEOF) || errors.Is(cause, syscall.ECONNRESET) {
			return true
		}
		var inner awserr.Error
		if !errors.As(cause, &inner) {
			return false
		}
		err = inner
	}
}
