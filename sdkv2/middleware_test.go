package sdkv2_test

import (
	"context"
	"errors"
	"testing"

	awsv2 "github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	v2 "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/request"
	v1 "github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// onInitialize adds a first step.
func onInitialize(step func(
	ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
) (middleware.InitializeOutput, middleware.Metadata, error)) func(*v2.Options) {
	return withSteps(func(stack *middleware.Stack) error {
		mine := middleware.InitializeMiddlewareFunc("mine", step)
		return stack.Initialize.Add(mine, middleware.After)
	})
}

// onAttempt adds a step to each attempt.
func onAttempt(step func(
	ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
) (middleware.FinalizeOutput, middleware.Metadata, error)) func(*v2.Options) {
	return withSteps(func(stack *middleware.Stack) error {
		mine := middleware.FinalizeMiddlewareFunc("mine", step)
		return stack.Finalize.Insert(mine, "Retry", middleware.After)
	})
}

// onDeserialize adds a last step.
func onDeserialize(step func(
	ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler,
) (middleware.DeserializeOutput, middleware.Metadata, error)) func(*v2.Options) {
	return withSteps(func(stack *middleware.Stack) error {
		mine := middleware.DeserializeMiddlewareFunc("mine", step)
		return stack.Deserialize.Add(mine, middleware.After)
	})
}

func TestMiddlewareSeesTheOperationAndTheTable(t *testing.T) {
	var saw string
	ddb := stubbed(always(200, `{}`), onInitialize(func(
		ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
	) (middleware.InitializeOutput, middleware.Metadata, error) {
		table := in.Parameters.(*v2.GetItemInput).TableName
		saw = awsmiddleware.GetOperationName(ctx) + " " + *table
		return next.HandleInitialize(ctx, in)
	}))
	_, err := ddb.GetItem(&v1.GetItemInput{TableName: aws.String("mailboxes"), Key: keyA})
	require.NoError(t, err)
	assert.Equal(t, "GetItem mailboxes", saw)
}

func TestMiddlewareErrorComesBackAlsoAfterAGoodAnswer(t *testing.T) {
	bad := errors.New("bad")
	ddb := stubbed(always(200, `{}`), onInitialize(func(
		ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
	) (middleware.InitializeOutput, middleware.Metadata, error) {
		out, md, _ := next.HandleInitialize(ctx, in)
		return out, md, bad
	}))
	assert.ErrorIs(t, list(ddb), bad)
}

// In one attempt: what came of the first call is not the answer to the second.
func TestMiddlewareThatSendsTwiceHasTheLastResponse(t *testing.T) {
	expired := says(400, refusal("ExpiredTokenException", ""))
	transport := scripted(expired, fails(errors.New("reset")))
	twice := onAttempt(func(
		ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
	) (middleware.FinalizeOutput, middleware.Metadata, error) {
		out, md, err := next.HandleFinalize(ctx, in)
		if err == nil {
			return out, md, err
		}
		return next.HandleFinalize(ctx, in)
	})
	once := func(o *v2.Options) { o.Retryer = awsv2.NopRetryer{} }
	req, _ := stubbed(transport, once, twice).GetItemRequest(getA)
	err := req.Send()
	assert.ErrorContains(t, err, request.ErrCodeRequestError)
	assert.Empty(t, req.HTTPResponse.Header.Get("Date"))
	assert.Zero(t, req.HTTPResponse.StatusCode)
	assert.Equal(t, 1, req.RetryCount)
}

func TestMiddlewareThatFailsAboveTheTransportMakesNoAttempt(t *testing.T) {
	first := true
	ddb := stubbed(scripted(says(200, oneItem)), quick, onDeserialize(func(
		ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler,
	) (out middleware.DeserializeOutput, md middleware.Metadata, err error) {
		if first {
			first = false
			return out, md, &smithyhttp.RequestSendError{Err: errors.New("injected")}
		}
		return next.HandleDeserialize(ctx, in)
	}))
	req, _ := ddb.GetItemRequest(getA)
	require.NoError(t, req.Send())
	assert.Zero(t, req.RetryCount)
}

func TestMiddlewareErrorsAreNotThoseOfCredentials(t *testing.T) {
	ddb := stubbed(scripted(), onAttempt(func(
		context.Context, middleware.FinalizeInput, middleware.FinalizeHandler,
	) (out middleware.FinalizeOutput, md middleware.Metadata, err error) {
		return out, md, errors.New("circuit open")
	}))
	_, err := ddb.GetItem(getA)
	assert.ErrorContains(t, err, "UnknownError")
}
