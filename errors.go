package lease

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// The errors of this package. One that is called bare is returned as it is, to be
// compared with ==; else use [errors.Is].
var (
	// LeaseLostError says that the tenure is over: the item is another's, it was
	// retired, or the lease wasn't renewed in time.
	LeaseLostError = errors.New("Lease Lost")
	// LeaseNotObtainedError says that the item, or every item, is held by someone else.
	LeaseNotObtainedError = errors.New("Lease Not Obtained")
	// LeaseIDExistsError says that an item of that lease ID is registered already.
	LeaseIDExistsError = errors.New("Lease ID Exists")
	// LeaseIDUnknownError says that no item of that lease ID is registered.
	LeaseIDUnknownError = errors.New("Lease ID Unknown")
	// LeaseHeldError says that an item can't be retired, as someone holds it.
	LeaseHeldError = errors.New("Lease Held")
	// ReleaseUnsupportedError says that the store can't free the item, which stays
	// leased until its end.
	ReleaseUnsupportedError = errors.New("Release Unsupported")
	// LeaseReleasedError is the [context.Cause] of a lease's context after its release.
	LeaseReleasedError = errors.New("Lease Released")
	// LeaseWantedError is the [context.Cause] of a work's context when it is to give
	// the item up.
	LeaseWantedError = errors.New("Lease Wanted")
	// LeaseStuckError is the [context.Cause] of a work's context when its item is given up as
	// the work is stuck: it broke a promise by [Lease.Progress], or didn't return in time.
	// Others may work on the item by then. Find out on what the work hangs: a goroutine
	// profile shows that.
	LeaseStuckError = errors.New("Lease Stuck")
	// LesseeIDInUseError says that another process leases items under this worker's name.
	LesseeIDInUseError = errors.New("Lessee ID In Use")
	// LeaseExpiredError is the [context.Cause] of a lease's context when its time was
	// up. It is a LeaseLostError for [errors.Is].
	LeaseExpiredError error = lostError("Lease Expired")
)

// lostError is a way of losing a lease.
type lostError string

func (e lostError) Error() string        { return string(e) }
func (e lostError) Is(target error) bool { return target == LeaseLostError }

// setupError is what no waiting makes good: there is no store, or its table can't hold
// lease items.
type setupError struct{ error }

func setupf(format string, args ...any) error { return setupError{fmt.Errorf(format, args...)} }

// stepError says that a LockStore can't learn the database's clock. Another try may.
type stepError struct{ table string }

func (e *stepError) Error() string {
	const text = "lease: the clock of table %q isn't known: this host's was stepped during each request"
	return fmt.Sprintf(text, e.table)
}

// rowError says that a row can't be leased, whoever tries, while others may be.
type rowError struct{ error }

// requestError is an error of the SDK with the request named before it. It still is an
// awserr.RequestFailure.
type requestError struct {
	awserr.RequestFailure
	text   string
	causes []error // the SDK's error, and beside it the context's if the request was given up
	logged bool
}

func (e *requestError) Error() string   { return e.text + ": " + e.causes[0].Error() }
func (e *requestError) Unwrap() []error { return e.causes }

func newRequestError(text string, logged bool, causes ...error) error {
	return &requestError{
		RequestFailure: requestFailure(causes[0]),
		text:           text,
		causes:         causes,
		logged:         logged,
	}
}

// requestFailure returns an error as the SDK's kind: that of a handler that the user
// gave the SDK may be of any.
func requestFailure(err error) awserr.RequestFailure {
	var failure awserr.RequestFailure
	if errors.As(err, &failure) {
		return failure
	}
	var sdk awserr.Error
	if !errors.As(err, &sdk) {
		sdk = awserr.New("UnknownError", err.Error(), err)
	}
	return awserr.NewRequestFailure(sdk, 0, "")
}

// says tells whether a store has answered by that error, bare or wrapped. Once ctx is done
// only a bare one counts: others may wrap the cause of ctx, which is that of another lease.
func says(ctx context.Context, err, answer error) bool {
	if err == answer {
		return true
	}
	return ctx.Err() == nil && errors.Is(err, answer)
}

// contextError is the error of a context that is done, with its cause.
func contextError(ctx context.Context) error {
	err := ctx.Err()
	cause := context.Cause(ctx)
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

// transient tells whether another try may succeed.
func transient(err error) bool {
	var failure awserr.RequestFailure
	if errors.As(err, &failure) && isTransientStatus(failure.StatusCode()) {
		return true
	}
	var sdk awserr.Error
	if errors.As(err, &sdk) && isTransientCode(sdk) {
		return true
	}
	var step *stepError
	if errors.As(err, &step) {
		return true
	}
	var network net.Error // also a *url.Error, a syscall.Errno or the error of a deadline
	return errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF)
}

// mayPass tells of a failure that waiting may make good.
func mayPass(err error) bool { return transient(err) || lacksCredentials(err) }

// lacksCredentials tells that a request wasn't sent, as nobody gave credentials for it: these
// are the codes of the SDK's providers, and sdkv2's. A service that gives them may be away
// for a moment.
func lacksCredentials(err error) bool {
	switch errorCode(err) {
	case "NoCredentialProviders", "EC2RoleRequestError", "CredentialsEndpointError",
		"WebIdentityErr", "ProcessProviderExecutionError", "SharedCredsLoad":
		return true
	}
	return false
}

func isTransientStatus(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusRequestTimeout:
		return true
	case http.StatusNotImplemented:
		return false
	}
	return status >= http.StatusInternalServerError
}

// isTransientCode looks inside of the SDK's errors too, which the SDK doesn't for all
// that matters.
func isTransientCode(err awserr.Error) bool {
	if request.IsErrorThrottle(err) {
		return true
	}
	if request.IsErrorRetryable(err) {
		return true
	}
	if err.Code() == dynamodb.ErrCodeTransactionConflictException {
		return true
	}
	return transient(err.OrigErr())
}
