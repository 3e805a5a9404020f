package sdkv2_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	awsv2 "github.com/aws/aws-sdk-go-v2/aws"
	v2 "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/request"
	v1 "github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease/sdkv2"
)

// What a hostile user found.

const oneItem = `{"Item":{"id":{"S":"a"},"x":{"N":"1"}}}`

var getA = &v1.GetItemInput{TableName: aws.String("t"), Key: map[string]*v1.AttributeValue{"id": {S: aws.String("a")}}}

func TestABodyThatAHandlerWrapsIsReadAllTheSame(t *testing.T) {
	ddb := sdkv2.NewFromConfig(configOf(&http.Client{Transport: &script{answers: answers(says(200, oneItem), says(200, oneItem))}}, "http://stub"))
	out, err := ddb.GetItemWithContext(t.Context(), getA, request.WithResponseReadTimeout(time.Second))
	require.NoError(t, err)
	assert.Len(t, out.Item, 2)
	ddb.Handlers.Unmarshal.PushFront(func(r *request.Request) {
		body, _ := io.ReadAll(r.HTTPResponse.Body)
		r.HTTPResponse.Body = io.NopCloser(bytes.NewReader(body))
	})
	out, err = ddb.GetItem(getA)
	require.NoError(t, err)
	assert.Len(t, out.Item, 2)
}

func TestARequestThatAHandlerHasReadIsSentWhole(t *testing.T) {
	var sent []byte
	transport := roundTrip(func(r *http.Request) (*http.Response, error) {
		sent, _ = io.ReadAll(r.Body)
		return answer(r, 200, oneItem), nil
	})
	ddb := sdkv2.NewFromConfig(configOf(&http.Client{Transport: transport}, "http://stub"))
	ddb.Handlers.Send.PushFront(func(r *request.Request) {
		_, _ = io.ReadAll(r.Body)
		r.HTTPRequest.Header["X-Mine"] = []string{"mine"}
	})
	_, err := ddb.GetItem(getA)
	require.NoError(t, err)
	assert.JSONEq(t, `{"Key":{"id":{"S":"a"}},"TableName":"t"}`, string(sent))
}

// Middleware that calls the rest twice in one attempt: what came of the first call is not the answer to the second.
func TestAResponseIsThatOfTheLastTransmission(t *testing.T) {
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

func TestFaultsAboveTheTransportAreNoAttempts(t *testing.T) {
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

func TestErrorsOfMiddlewareAreNotThoseOfCredentials(t *testing.T) {
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

// The error of a file is an Errno, and that has the methods of an error of the network.
func TestCredentialsWhoseFileIsMissingAreAFinalError(t *testing.T) {
	cfg := configOf(&http.Client{Transport: &script{}}, "http://stub")
	cfg.Credentials = awsv2.CredentialsProviderFunc(func(context.Context) (awsv2.Credentials, error) {
		_, err := os.ReadFile("/no/such/token")
		return awsv2.Credentials{}, err
	})
	_, err := sdkv2.NewFromConfig(cfg, quick).GetItem(getA)
	assert.ErrorContains(t, err, "NoCredentialProviders")
	assert.False(t, errors.As(err, new(net.Error)))
	assert.ErrorIs(t, err, os.ErrNotExist, "v2's error is found")
}

func TestWhatTheServiceRefusesDoesNotPanicHere(t *testing.T) {
	refused := says(400, refusal("ValidationException", ""))
	ddb := sdkv2.NewFromConfig(configOf(&http.Client{Transport: &script{answers: answers(refused, refused, refused)}}, "http://stub"))
	_, err := ddb.TransactGetItems(&v1.TransactGetItemsInput{TransactItems: []*v1.TransactGetItem{nil}})
	assert.ErrorContains(t, err, "ValidationException")
	_, err = ddb.TransactWriteItems(&v1.TransactWriteItemsInput{TransactItems: []*v1.TransactWriteItem{nil}})
	assert.ErrorContains(t, err, "ValidationException")
	ddb.Handlers.Validate.Clear()
	_, err = ddb.ImportTable(&v1.ImportTableInput{})
	assert.ErrorContains(t, err, "ValidationException")
}

func TestABuiltRequestCanNotBePresignedEither(t *testing.T) {
	req, _ := sdkv2.NewFromConfig(configOf(&http.Client{Transport: &script{}}, "http://stub")).GetItemRequest(getA)
	require.NoError(t, req.Build())
	_, err := req.Presign(time.Minute)
	assert.ErrorContains(t, err, "NotImplemented")
}
