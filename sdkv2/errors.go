package sdkv2

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

var (
	errTransport  = errors.New("sdkv2: the v2 client's transport is not HTTP")
	errNoResponse = errors.New("sdkv2: the v2 client's middleware has returned without a response")
)

// credentialsError is why an attempt has no credentials. Whether v2 retries that is up to the
// cause.
type credentialsError struct{ error }

func (e *credentialsError) Unwrap() error { return e.error }

// expiredError is an answer that says that the credentials have expired.
type expiredError struct{ error }

func (e *expiredError) Unwrap() error      { return e.error }
func (*expiredError) RetryableError() bool { return true }

// bodyError is a response whose body is not what the service has sent.
type bodyError struct {
	code, text string
	cause      error // may be nil
}

func (e *bodyError) Error() string      { return "sdkv2: " + e.text + ": " + e.code }
func (e *bodyError) Unwrap() error      { return e.cause }
func (*bodyError) RetryableError() bool { return true }

type awsError = awserr.Error // else the field would be named as its method

// sdkError is an error of v1's with v2's inside, which [errors.As] finds.
type sdkError struct {
	awsError
	v2 error
}

func (e *sdkError) Unwrap() error { return e.v2 }

// finalError is the same of an error that v2 holds for final, whatever is in it: package lease
// would take the error of a file that isn't there for one of the network.
type finalError struct {
	awsError
	v2 error
}

func (e *finalError) Is(target error) bool {
	return target != io.ErrUnexpectedEOF && errors.Is(e.v2, target)
}

func (e *finalError) As(target any) bool {
	_, network := target.(*net.Error)
	return !network && errors.As(e.v2, target)
}

// answerError is the same for an answer of the service.
type answerError struct {
	awserr.RequestFailure
	v2 error
}

func (e *answerError) Unwrap() error { return e.v2 }

// v1Error returns what v1 says where the v2 client returned err. It is nil where v1 is to read
// the response.
func (c *call) v1Error(err error) error {
	if err == nil && c.response != nil {
		return nil
	}
	if err == nil {
		err = errNoResponse
	}

	if c.isGivenUp(err) {
		return c.givenUp(err)
	}
	if c.isRefused() {
		c.request.Handlers.UnmarshalError.PushBack(func(r *request.Request) {
			r.Error = withV2(r.Error, err)
		})
		return nil
	}
	return c.failure(err)
}

// isGivenUp tells whether it is because its context is done that a request has failed.
func (c *call) isGivenUp(err error) bool {
	done := c.request.Context().Err()
	if done == nil {
		return false
	}
	return c.response == nil || isCanceled(err, done)
}

func (c *call) givenUp(err error) error {
	done := c.request.Context().Err()
	c.request.Retryable = aws.Bool(false)
	canceled := awserr.New(request.CanceledErrorCode, "request context canceled", done)
	return &sdkError{canceled, err}
}

// isRefused tells whether v1 is to read an error of the service.
func (c *call) isRefused() bool {
	return c.response != nil && c.response.StatusCode >= http.StatusMultipleChoices
}

// failure is the error of a request that got no answer, or none that v1 can read.
func (c *call) failure(err error) error {
	var body *bodyError
	if errors.As(err, &body) {
		unreadable := awserr.New(body.code, body.text, err)
		status := c.response.StatusCode
		return &answerError{awserr.NewRequestFailure(unreadable, status, c.request.RequestID), err}
	}
	var credentials *credentialsError
	if errors.As(err, &credentials) {
		text := "the v2 client has no credentials: " + err.Error()
		return c.sdkError("NoCredentialProviders", text, err)
	}
	var transport *smithyhttp.RequestSendError
	if errors.As(err, &transport) {
		unsent := awserr.New(request.ErrCodeRequestError, "send request failed", transport.Err)
		return &sdkError{unsent, err}
	}
	return c.sdkError("UnknownError", err.Error(), err)
}

// sdkError returns an error that v1 and package lease take for one to be tried again, if v2
// does: they do where there is a cause that they don't know.
func (c *call) sdkError(code, text string, err error) error {
	if c.settled.Retryer.IsErrorRetryable(err) {
		return &sdkError{awserr.New(code, text, err), err}
	}
	return &finalError{awserr.New(code, text, nil), err}
}

// withV2 puts v2's error into an answer's. The typed exceptions of v1 have no place for it, and
// stay.
func withV2(answer, err error) error {
	if _, generated := answer.(fmt.GoStringer); generated { // as all types that v1 generates
		return answer
	}
	failure, ok := answer.(awserr.RequestFailure)
	if !ok {
		return answer
	}
	return &answerError{failure, err}
}

func isCanceled(err, done error) bool {
	if errors.Is(err, done) {
		return true
	}
	var canceled interface{ CanceledError() bool }
	return errors.As(err, &canceled) && canceled.CanceledError()
}
