package sdkv2_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	awsv2 "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v2 "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	v1 "github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/smithy-go"
	"github.com/intercom/lease/sdkv2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestRequestHasV2sUserAgent(t *testing.T) {
	s := newServer(t, ok)
	require.NoError(t, list(sdkv2.NewFromConfig(configOf(nil, s.URL))))
	agent := s.all()[0].Header.Get("User-Agent")
	assert.True(t, strings.HasPrefix(agent, "aws-sdk-go-v2/"), agent)
	assert.NotContains(t, agent, "aws-sdk-go/")
}

// TestRequestIsSentAsV1HasBuiltIt: headers too, and v2's signature covers them.
func TestRequestIsSentAsV1HasBuiltIt(t *testing.T) {
	s := newServer(t, ok)
	ddb := sdkv2.NewFromConfig(configOf(nil, s.URL))
	ddb.Handlers.Build.PushBack(func(r *request.Request) { r.HTTPRequest.Header.Set("X-Amz-Mine", "yes") })
	require.NoError(t, list(ddb))
	header := s.all()[0].Header
	assert.Equal(t, "yes", header.Get("X-Amz-Mine"))
	assert.Equal(t, "DynamoDB_20120810.ListTables", header.Get("X-Amz-Target"))
	assert.Equal(t, "application/x-amz-json-1.0", header.Get("Content-Type"))
	assert.Contains(t, header.Get("Authorization"), "x-amz-mine")
}

// TestRequestCountsOnlyAttemptsThatReachedTheTransport: the credentials of the second attempt
// fail. What came to the first is not shown.
func TestRequestCountsOnlyAttemptsThatReachedTheTransport(t *testing.T) {
	transport := &script{answers: answers(says(500, refusal("InternalFailure", "")))}
	cfg := configOf(&http.Client{Transport: transport}, "http://stub")
	var asked atomic.Int64
	cfg.Credentials = awsv2.CredentialsProviderFunc(func(context.Context) (awsv2.Credentials, error) {
		if asked.Add(1) == 1 {
			return awsv2.Credentials{AccessKeyID: "KEY", SecretAccessKey: "secret"}, nil
		}
		return awsv2.Credentials{}, errors.New("gone")
	})
	req, _ := sdkv2.NewFromConfig(cfg, quick).ListTablesRequest(nil)
	err := req.Send()
	assert.ErrorContains(t, err, "gone")
	var failure awserr.Error
	require.ErrorAs(t, err, &failure)
	assert.Equal(t, "NoCredentialProviders", failure.Code())
	assert.Equal(t, int64(1), transport.attempts.Load())
	assert.Zero(t, req.RetryCount)
	assert.Zero(t, req.HTTPResponse.StatusCode)
	assert.Empty(t, req.RequestID)
}

// TestRequestHasTheTimeOfItsLastAttempt: the lease library takes it for the time just before a
// reply's Date. Signing is over by then.
func TestRequestHasTheTimeOfItsLastAttempt(t *testing.T) {
	var sent time.Time
	transport := roundTrip(func(r *http.Request) (*http.Response, error) {
		first := sent.IsZero()
		if sent = time.Now(); first {
			return nil, errors.New("lost")
		}
		return answer(r, 200, `{}`), nil
	})
	cfg := configOf(&http.Client{Transport: transport}, "http://stub")
	var signed time.Time
	cfg.Credentials = awsv2.CredentialsProviderFunc(func(context.Context) (awsv2.Credentials, error) {
		signed = time.Now()
		return awsv2.Credentials{AccessKeyID: "KEY", SecretAccessKey: "secret"}, nil
	})
	req, _ := sdkv2.NewFromConfig(cfg, quick).ListTablesRequest(nil)
	require.NoError(t, req.Send())
	assert.Equal(t, 1, req.RetryCount)
	assert.True(t, signed.Before(req.AttemptTime) && req.AttemptTime.Before(sent), "%v, %v, %v", signed, req.AttemptTime, sent)
}

// TestRequestEndsWithItsContext: in each place where it may wait, at once, and with nothing
// left behind.
func TestRequestEndsWithItsContext(t *testing.T) {
	s := newServer(t, func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // else the server sees no end of the connection
		<-r.Context().Done()
	})
	slow := newServer(t, refuses(500, "InternalFailure"))
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for name, c := range map[string]struct {
		url string
		opt func(*v2.Options)
	}{
		"a reply": {s.URL, func(*v2.Options) {}},
		"backoff": {slow.URL, func(o *v2.Options) {
			o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
				o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return time.Hour, nil })
			})
		}},
		"credentials": {slow.URL, func(o *v2.Options) {
			o.Credentials = awsv2.CredentialsProviderFunc(func(ctx context.Context) (awsv2.Credentials, error) {
				<-ctx.Done()
				return awsv2.Credentials{}, ctx.Err()
			})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			ddb := sdkv2.NewFromConfig(configOf(&http.Client{Transport: transport}, c.url), c.opt)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, err := ddb.ListTablesWithContext(ctx, &v1.ListTablesInput{})
			var failure awserr.Error
			require.ErrorAs(t, err, &failure)
			assert.Equal(t, request.CanceledErrorCode, failure.Code())
			assert.Equal(t, context.DeadlineExceeded, failure.OrigErr())
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.ErrorAs(t, err, new(*smithy.OperationError))
		})
	}
}

func TestRequestCanNotBePresigned(t *testing.T) {
	req, _ := sdkv2.NewFromConfig(configOf(nil, "http://stub")).ListTablesRequest(nil)
	_, err := req.Presign(time.Minute)
	assert.ErrorContains(t, err, "presigned")
}

func TestHandlerMayWrapABody(t *testing.T) {
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

func TestHandlerMayReadARequest(t *testing.T) {
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

func TestRequestThatTheServiceRefusesDoesNotPanicHere(t *testing.T) {
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

func TestRequestThatIsBuiltCanNotBePresignedEither(t *testing.T) {
	req, _ := sdkv2.NewFromConfig(configOf(&http.Client{Transport: &script{}}, "http://stub")).GetItemRequest(getA)
	require.NoError(t, req.Build())
	_, err := req.Presign(time.Minute)
	assert.ErrorContains(t, err, "NotImplemented")
}
