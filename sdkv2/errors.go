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

// credentialsError is why an attempt has no credentials. Whether v2 retries that is up to the cause.
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

type awsError = awserr.Error // not to be a field named as its method

// sdkError is an error of v1's with v2's inside, which [errors.As] finds.
type sdkError struct {
	awsError
	v2 error
}

func (e *sdkError) Unwrap() error { return e.v2 }

// finalError is the same of an error that v2 holds for final, whatever is in it: package lease would take the error of a file
// that isn't there for one of the network.
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

// v1Error returns what v1 says where the v2 client returned err. It is nil where v1 is to read the response.
func (c *call) v1Error(err error) error {
	switch {
	case err == nil && c.response != nil:
		return nil
	case err == nil:
		err = errNoResponse
	}
	r, ctx := c.request, c.request.Context()
	var body *bodyError
	var credentials *credentialsError
	var transport *smithyhttp.RequestSendError
	switch {
	case ctx.Err() != nil && (c.response == nil || isCanceled(err, ctx.Err())):
		r.Retryable = aws.Bool(false)
		return &sdkError{awserr.New(request.CanceledErrorCode, "request context canceled", ctx.Err()), err}
	case c.response != nil && c.response.StatusCode >= http.StatusMultipleChoices:
		r.Handlers.UnmarshalError.PushBack(func(r *request.Request) { r.Error = withV2(r.Error, err) })
		return nil
	case errors.As(err, &body):
		failure := awserr.NewRequestFailure(awserr.New(body.code, body.text, err), c.response.StatusCode, r.RequestID)
		return &answerError{failure, err}
	case errors.As(err, &credentials):
		return c.sdkError("NoCredentialProviders", "the v2 client has no credentials: "+err.Error(), err)
	case errors.As(err, &transport):
		return &sdkError{awserr.New(request.ErrCodeRequestError, "send request failed", transport.Err), err}
	}
	return c.sdkError("UnknownError", err.Error(), err)
}

// sdkError returns an error that v1 and package lease take for one to be tried again, if v2 does: they do where there is
// a cause that they don't know.
func (c *call) sdkError(code, text string, err error) error {
	if c.settled.Retryer.IsErrorRetryable(err) {
		return &sdkError{awserr.New(code, text, err), err}
	}
	return &finalError{awserr.New(code, text, nil), err}
}

// withV2 puts v2's error into an answer's. The typed exceptions of v1 have no place for it, and stay.
func withV2(answer, err error) error {
	failure, ok := answer.(awserr.RequestFailure)
	if _, typed := answer.(fmt.GoStringer); typed || !ok { // as all types that v1 generates
		return answer
	}
	return &answerError{failure, err}
}

func isCanceled(err, done error) bool {
	var canceled interface{ CanceledError() bool }
	return errors.Is(err, done) || errors.As(err, &canceled) && canceled.CanceledError()
}
