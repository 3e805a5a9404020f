package lease

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
)

func TestErrorIsTransientWhereAnotherTryMaySucceed(t *testing.T) {
	coded := func(code string) error { return awserr.New(code, "", nil) }
	status := func(status int) error {
		return awserr.NewRequestFailure(awserr.New("Some", "", nil), status, "")
	}
	around := func(err error) error { return awserr.New(request.ErrCodeSerialization, "", err) }
	refused := &url.Error{Op: "Post", Err: syscall.ECONNREFUSED}
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"none":                {nil, false},
		"one of the caller's": {errors.New("out of disk"), false},
		"200":                 {status(200), false},
		"400":                 {status(400), false},
		"403":                 {status(403), false},
		"408":                 {status(408), true},
		"428":                 {status(428), false},
		"429":                 {status(429), true},
		"430":                 {status(430), false},
		"499":                 {status(499), false},
		"500":                 {status(500), true},
		"501":                 {status(501), false},
		"502":                 {status(502), true},
		"503":                 {status(503), true},
		"599":                 {status(599), true},
		"throttled": {
			coded(dynamodb.ErrCodeProvisionedThroughputExceededException), true,
		},
		"throttled, by the account": {coded("ThrottlingException"), true},
		"a request that failed":     {coded(request.ErrCodeRequestError), true},
		"a transaction in the way":  {coded(dynamodb.ErrCodeTransactionConflictException), true},
		"a refused condition": {
			coded(dynamodb.ErrCodeConditionalCheckFailedException), false,
		},
		"no access":                  {coded("AccessDeniedException"), false},
		"invalid":                    {coded("ValidationException"), false},
		"no table":                   {coded(dynamodb.ErrCodeResourceNotFoundException), false},
		"cut off":                    {io.ErrUnexpectedEOF, true},
		"cut off, inside of another": {around(fmt.Errorf("read: %w", io.ErrUnexpectedEOF)), true},
		"malformed, as from a proxy": {around(errors.New("no JSON")), true},
		"given up": {
			awserr.New(request.CanceledErrorCode, "", context.Canceled), false,
		},
		"no connection":         {refused, true},
		"no connection, inside": {fmt.Errorf("wrapped: %w", around(refused)), true},
		"a deadline":            {context.DeadlineExceeded, true},
		"a deadline of a file":  {os.ErrDeadlineExceeded, true},
		"canceled":              {context.Canceled, false},
		"a system call's":       {syscall.ECONNRESET, true},
	} {
		assert.Equal(t, c.want, transient(c.err), name)
	}
}

func TestErrorSaysAWordBareOrWhileItsContextIsNotDone(t *testing.T) {
	done, cancel := context.WithCancel(context.Background())
	cancel()
	wrapped := fmt.Errorf("of another lease: %w", LeaseLostError)
	assert.True(t, says(always, LeaseLostError, LeaseLostError))
	assert.True(t, says(done, LeaseLostError, LeaseLostError))
	assert.True(t, says(always, wrapped, LeaseLostError))
	assert.False(t, says(done, wrapped, LeaseLostError))
	assert.False(t, says(always, LeaseHeldError, LeaseLostError))
	assert.False(t, says(always, nil, LeaseLostError))
}

func TestErrorOfADoneContextHasItsCause(t *testing.T) {
	bare, cancel := context.WithCancel(context.Background())
	cancel()
	assert.True(t, contextError(bare) == context.Canceled)
	why := errors.New("shutdown")
	caused, cancelCause := context.WithCancelCause(context.Background())
	cancelCause(why)
	assert.ErrorIs(t, contextError(caused), why)
	assert.ErrorIs(t, contextError(caused), context.Canceled)
	more := fmt.Errorf("shutdown: %w", context.Canceled)
	wrapping, cancelCause := context.WithCancelCause(context.Background())
	cancelCause(more)
	assert.True(t, contextError(wrapping) == more, "which says both")
}

func TestErrorOfTheSDKKeepsItsCodeAndStatus(t *testing.T) {
	failure := awserr.NewRequestFailure(awserr.New("Some", "said", nil), 500, "id")
	assert.Equal(t, "Some", errorCode(fmt.Errorf("wrapped: %w", failure)))
	assert.Empty(t, errorCode(errors.New("another")))
	assert.True(t, requestFailure(fmt.Errorf("wrapped: %w", failure)) == failure)
	assert.Equal(t, "Some", requestFailure(awserr.New("Some", "said", nil)).Code())
	other := requestFailure(errors.New("another"))
	assert.Equal(t, "UnknownError", other.Code())
	assert.Zero(t, other.StatusCode())
}

func TestLeaseExpiredErrorIsALossAndNothingElse(t *testing.T) {
	assert.ErrorIs(t, LeaseExpiredError, LeaseLostError)
	assert.NotErrorIs(t, LeaseExpiredError, LeaseReleasedError)
	assert.NotErrorIs(t, LeaseLostError, LeaseExpiredError)
}
