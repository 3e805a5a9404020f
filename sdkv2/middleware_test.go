package sdkv2_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	awsv2 "github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	v2 "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/request"
	v1 "github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/intercom/lease/sdkv2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMiddlewareOfTheCallersIsUsed: it sees the operation and the table.
func TestMiddlewareOfTheCallersIsUsed(t *testing.T) {
	var saw string
	look := middleware.InitializeMiddlewareFunc("look", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (
		middleware.InitializeOutput, middleware.Metadata, error) {
		saw = awsmiddleware.GetOperationName(ctx) + " " + *in.Parameters.(*v2.GetItemInput).TableName
		return next.HandleInitialize(ctx, in)
	})
	ddb := sdkv2.NewFromConfig(configOf(&http.Client{Transport: always(200, `{}`)}, "http://stub"), func(o *v2.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error { return stack.Initialize.Add(look, middleware.After) })
	})
	_, err := ddb.GetItem(&v1.GetItemInput{TableName: aws.String("mailboxes"), Key: map[string]*v1.AttributeValue{"id": {S: aws.String("a")}}})
	require.NoError(t, err)
	assert.Equal(t, "GetItem mailboxes", saw)

	// What it fails with comes back, also where there was a good answer.
	bad := errors.New("bad")
	ddb = sdkv2.NewFromConfig(configOf(&http.Client{Transport: always(200, `{}`)}, "http://stub"), func(o *v2.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("bad", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (
				middleware.InitializeOutput, middleware.Metadata, error) {
				out, md, _ := next.HandleInitialize(ctx, in)
				return out, md, bad
			}), middleware.After)
		})
	})
	assert.ErrorIs(t, list(ddb), bad)
}

// Middleware that calls the rest twice in one attempt: what came of the first call is not the
// answer to the second.
func TestMiddlewareThatSendsTwiceHasTheLastResponse(t *testing.T) {
	transport := &script{answers: answers(says(400, refusal("ExpiredTokenException", "")), fails(errors.New("reset")))}
	ddb := sdkv2.NewFromConfig(configOf(&http.Client{Transport: transport}, "http://stub"), func(o *v2.Options) {
		o.Retryer = awsv2.NopRetryer{}
		o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
			return s.Finalize.Insert(middleware.FinalizeMiddlewareFunc("twice", func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
				out middleware.FinalizeOutput, md middleware.Metadata, err error,
			) {
				if out, md, err = next.HandleFinalize(ctx, in); err == nil {
					return out, md, err
				}
				return next.HandleFinalize(ctx, in)
			}), "Retry", middleware.After)
		})
	})
	req, _ := ddb.GetItemRequest(getA)
	err := req.Send()
	assert.ErrorContains(t, err, request.ErrCodeRequestError)
	assert.Empty(t, req.HTTPResponse.Header.Get("Date"))
	assert.Zero(t, req.HTTPResponse.StatusCode)
	assert.Equal(t, 1, req.RetryCount)
}

func TestMiddlewareThatFailsAboveTheTransportMakesNoAttempt(t *testing.T) {
	transport := &script{answers: answers(says(200, oneItem))}
	first := true
	ddb := sdkv2.NewFromConfig(configOf(&http.Client{Transport: transport}, "http://stub"), quick, func(o *v2.Options) {
		o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
			return s.Deserialize.Add(middleware.DeserializeMiddlewareFunc("fault", func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
				out middleware.DeserializeOutput, md middleware.Metadata, err error,
			) {
				if first {
					first = false
					return out, md, &smithyhttp.RequestSendError{Err: errors.New("injected")}
				}
				return next.HandleDeserialize(ctx, in)
			}), middleware.After)
		})
	})
	req, _ := ddb.GetItemRequest(getA)
	require.NoError(t, req.Send())
	assert.Zero(t, req.RetryCount)
}

func TestMiddlewareErrorsAreNotThoseOfCredentials(t *testing.T) {
	ddb := sdkv2.NewFromConfig(configOf(&http.Client{Transport: &script{}}, "http://stub"), func(o *v2.Options) {
		o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
			return s.Finalize.Insert(middleware.FinalizeMiddlewareFunc("breaker", func(context.Context, middleware.FinalizeInput, middleware.FinalizeHandler) (
				out middleware.FinalizeOutput, md middleware.Metadata, err error,
			) {
				return out, md, errors.New("circuit open")
			}), "Retry", middleware.After)
		})
	})
	_, err := ddb.GetItem(getA)
	assert.ErrorContains(t, err, "UnknownError")
}
