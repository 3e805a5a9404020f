package lease

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
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
	// LeaseExpiredError is the [context.Cause] of a lease's context when its time was up. It is a
	// LeaseLostError, for [errors.Is].
	LeaseExpiredError error = lostError("Lease Expired")

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

// lostError is a way of losing a lease.
type lostError string

func (e lostError) Error() string        { return string(e) }
func (e lostError) Is(target error) bool { return target == LeaseLostError }

type (
	// setupError is what no waiting makes good: there is no store, or its table can't hold lease items.
	setupError struct{ error }

	// rowError says that a row can't be leased, whoever tries, while others may be.
	rowError struct{ error }
)

func setupf(format string, args ...any) error { return setupError{fmt.Errorf(format, args...)} }

// unusable tells whether an error comes from one row, and should stop nobody from trying others. DynamoDB
// has no better code for a row that is too large, or whose token is no number.
func unusable(err error) bool {
	return errors.As(err, new(rowError)) || errorCode(err) == "ValidationException"
}

// requestError is an error of the SDK with the request named before it. It still is an awserr.RequestFailure.
type requestError struct {
	awserr.RequestFailure
	text   string
	causes []error // the SDK's error, and beside it the context's if the request was given up
	logged bool
}

func (e *requestError) Error() string   { return e.text + ": " + e.causes[0].Error() }
func (e *requestError) Unwrap() []error { return e.causes }

// newRequestError puts text before an error of the SDK's, or of a handler that the user gave it.
func newRequestError(err error, text string) *requestError {
	e := &requestError{text: text, causes: []error{err}}
	if !errors.As(err, &e.RequestFailure) {
		plain := awserr.New("UnknownError", err.Error(), err)
		errors.As(err, &plain)
		e.RequestFailure = awserr.NewRequestFailure(plain, 0, "")
	}
	return e
}

// contextError returns why ctx is done: its error, and its cause where that is another.
func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// errorCode returns the code of an SDK error, or "".
func errorCode(err error) string {
	var e awserr.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return ""
}

// transient tells whether another try of the same request may succeed: throttling, server errors, timeouts and
// connection errors. The SDK doesn't look for all of them inside of its own errors.
func transient(err error) bool {
	var failure awserr.RequestFailure
	if errors.As(err, &failure) {
		code := failure.StatusCode()
		if code >= 500 && code != http.StatusNotImplemented || code == http.StatusTooManyRequests {
			return true
		}
	}
	var sdk awserr.Error
	if errors.As(err, &sdk) && (request.IsErrorThrottle(sdk) || request.IsErrorRetryable(sdk) ||
		sdk.Code() == dynamodb.ErrCodeTransactionConflictException || sdk.OrigErr() != nil && transient(sdk.OrigErr())) {
		return true
	}
	var network net.Error // *url.Error is one
	return errors.As(err, &network) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}
