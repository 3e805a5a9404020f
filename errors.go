package lease

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// The errors of this package. One that is called bare is returned as it is, to be compared with ==; else use [errors.Is].
var (
	LeaseLostError                = errors.New("Lease Lost")          // the tenure is over: the item is another's, retired, or not renewed in time
	LeaseNotObtainedError         = errors.New("Lease Not Obtained")  // the item, or every item, is held by someone else
	LeaseIDExistsError            = errors.New("Lease ID Exists")     // an item of that lease ID is registered already
	LeaseHeldError                = errors.New("Lease Held")          // an item can't be retired, as someone holds it
	ReleaseUnsupportedError       = errors.New("Release Unsupported") // the store can't free the item, which stays leased until its end
	LeaseReleasedError            = errors.New("Lease Released")      // the [context.Cause] of a lease's context after its release
	LeaseWantedError              = errors.New("Lease Wanted")        // the [context.Cause] of a work's context when it is to give the item up
	LeaseExpiredError       error = lostError("Lease Expired")        // the same when its time was up; a LeaseLostError for [errors.Is]
)

type (
	lostError  string          // a way of losing a lease
	setupError struct{ error } // what no waiting makes good: there is no store, or its table can't hold lease items
	rowError   struct{ error } // a row can't be leased, whoever tries, while others may be
)

func (e lostError) Error() string             { return string(e) }
func (e lostError) Is(target error) bool      { return target == LeaseLostError }
func setupf(format string, args ...any) error { return setupError{fmt.Errorf(format, args...)} }

// requestError is an error of the SDK with the request named before it. It still is an awserr.RequestFailure.
type requestError struct {
	awserr.RequestFailure
	text   string
	causes []error // the SDK's error, and beside it the context's if the request was given up
	logged bool
}

func (e *requestError) Error() string   { return e.text + ": " + e.causes[0].Error() }
func (e *requestError) Unwrap() []error { return e.causes }

func newRequestError(text string, logged bool, causes ...error) error {
	e, sdk := &requestError{text: text, causes: causes, logged: logged}, awserr.Error(nil)
	if !errors.As(causes[0], &e.RequestFailure) { // Of a handler that the user gave the SDK, it may be any error.
		errors.As(causes[0], &sdk)
		e.RequestFailure = awserr.NewRequestFailure(cmp.Or(sdk, awserr.New("UnknownError", causes[0].Error(), causes[0])), 0, "")
	}
	return e
}

// says tells whether an error is the store's word: the cause of a context that is done may be that of another lease.
func says(ctx context.Context, err, word error) bool {
	return err == word || ctx.Err() == nil && errors.Is(err, word)
}

func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

func errorCode(err error) string {
	var sdk awserr.Error
	if errors.As(err, &sdk) {
		return sdk.Code()
	}
	return ""
}

// transient tells whether another try may succeed: the SDK doesn't look for all such errors inside of its own.
func transient(err error) bool {
	var failure awserr.RequestFailure
	var sdk awserr.Error
	switch {
	case errors.As(err, &failure) && (failure.StatusCode() >= 500 && failure.StatusCode() != 501 || failure.StatusCode() == 429),
		errors.As(err, &sdk) && (request.IsErrorThrottle(sdk) || request.IsErrorRetryable(sdk) ||
			sdk.Code() == dynamodb.ErrCodeTransactionConflictException || transient(sdk.OrigErr())):
		return true
	}
	return errors.As(err, new(net.Error)) /* a *url.Error, Errno or deadline, too */ || errors.Is(err, io.ErrUnexpectedEOF)
}
