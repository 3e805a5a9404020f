package sdkv2_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	awsv2 "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v2 "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	v1 "github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/intercom/lease/sdkv2"
)

func TestRequestHasV2sUserAgent(t *testing.T) {
	s := newServer(t, ok)
	require.NoError(t, list(sdkv2.NewFromConfig(configOf(nil, s.URL))))
	agent := s.all()[0].Header.Get("User-Agent")
	assert.True(t, strings.HasPrefix(agent, "aws-sdk-go-v2/"), agent)
	assert.NotContains(t, agent, "aws-sdk-go/")
}

// Headers too, and v2's signature covers them.
func TestRequestIsSentAsV1HasBuiltIt(t *testing.T) {
	s := newServer(t, ok)
	ddb := sdkv2.NewFromConfig(configOf(nil, s.URL))
	ddb.Handlers.Build.PushBack(func(r *request.Request) {
		r.HTTPRequest.Header.Set("X-Amz-Mine", "yes")
	})
	require.NoError(t, list(ddb))
	header := s.all()[0].Header
	assert.Equal(t, "yes", header.Get("X-Amz-Mine"))
	assert.Equal(t, "DynamoDB_20120810.ListTables", header.Get("X-Amz-Target"))
	assert.Equal(t, "application/x-amz-json-1.0", header.Get("Content-Type"))
	assert.Contains(t, header.Get("Authorization"), "x-amz-mine")
}

// The credentials of the second attempt fail. What came to the first is not shown.
func TestRequestCountsOnlyAttemptsThatReachedTheTransport(t *testing.T) {
	transport := scripted(says(500, refusal("InternalFailure", "")))
	asked := 0
	ddb := stubbed(transport, quick, func(o *v2.Options) {
		o.Credentials = provider(func(context.Context) (awsv2.Credentials, error) {
			asked++
			if asked == 1 {
				return withKey("KEY"), nil
			}
			return awsv2.Credentials{}, errors.New("gone")
		})
	})
	req, _ := ddb.ListTablesRequest(nil)
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

// The lease library takes it for the time just before a reply's Date. Signing is over by then.
func TestRequestHasTheTimeOfItsLastAttempt(t *testing.T) {
	var signed, sent time.Time
	transport := roundTrip(func(r *http.Request) (*http.Response, error) {
		first := sent.IsZero()
		sent = time.Now()
		if first {
			return nil, errors.New("lost")
		}
		return answer(r, 200, `{}`), nil
	})
	ddb := stubbed(transport, quick, func(o *v2.Options) {
		o.Credentials = provider(func(context.Context) (awsv2.Credentials, error) {
			signed = time.Now()
			return withKey("KEY"), nil
		})
	})
	req, _ := ddb.ListTablesRequest(nil)
	require.NoError(t, req.Send())
	assert.Equal(t, 1, req.RetryCount)
	began := req.AttemptTime
	assert.True(t, signed.Before(began), "signed at %v, began at %v", signed, began)
	assert.True(t, began.Before(sent), "began at %v, sent at %v", began, sent)
}

// In each place where it may wait, and with nothing left behind.
func TestRequestEndsWithItsContext(t *testing.T) {
	silent := newServer(t, func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // else the server sees no end of the connection
		<-r.Context().Done()
	})
	failing := newServer(t, refuses(500, "InternalFailure"))
	hourly := retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) {
		return time.Hour, nil
	})
	pending := provider(func(ctx context.Context) (awsv2.Credentials, error) {
		<-ctx.Done()
		return awsv2.Credentials{}, ctx.Err()
	})
	ignored := goleak.IgnoreCurrent()
	for name, c := range map[string]struct {
		url    string
		option func(*v2.Options)
	}{
		"a reply": {silent.URL, func(*v2.Options) {}},
		"backoff": {failing.URL, func(o *v2.Options) {
			o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) { o.Backoff = hourly })
		}},
		"credentials": {failing.URL, func(o *v2.Options) { o.Credentials = pending }},
	} {
		t.Run(name, func(t *testing.T) {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			cfg := configOf(&http.Client{Transport: transport}, c.url)
			ddb := sdkv2.NewFromConfig(cfg, c.option)
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
	awaitNoGoroutines(t, ignored)
}

// awaitNoGoroutines waits until there are no goroutines but those.
func awaitNoGoroutines(t *testing.T, ignored goleak.Option) {
	t.Helper()
	start := time.Now()
	for {
		err := goleak.Find(ignored)
		if err == nil {
			return
		}
		if time.Since(start) > time.Minute {
			require.NoError(t, err)
		}
	}
}

func TestRequestCanNotBePresigned(t *testing.T) {
	req, _ := stubbed(scripted()).ListTablesRequest(nil)
	_, err := req.Presign(time.Minute)
	assert.ErrorContains(t, err, "presigned")
}

func TestRequestThatIsBuiltCanNotBePresignedEither(t *testing.T) {
	req, _ := stubbed(scripted()).GetItemRequest(getA)
	require.NoError(t, req.Build())
	_, err := req.Presign(time.Minute)
	assert.ErrorContains(t, err, "NotImplemented")
}

func TestRequestThatTheServiceRefusesDoesNotPanicHere(t *testing.T) {
	ddb := stubbed(scripted(says(400, refusal("ValidationException", ""))))
	gets := []*v1.TransactGetItem{nil}
	_, err := ddb.TransactGetItems(&v1.TransactGetItemsInput{TransactItems: gets})
	assert.ErrorContains(t, err, "ValidationException")
	writes := []*v1.TransactWriteItem{nil}
	_, err = ddb.TransactWriteItems(&v1.TransactWriteItemsInput{TransactItems: writes})
	assert.ErrorContains(t, err, "ValidationException")
	ddb.Handlers.Validate.Clear()
	_, err = ddb.ImportTable(&v1.ImportTableInput{})
	assert.ErrorContains(t, err, "ValidationException")
}

func TestHandlerMayWrapABody(t *testing.T) {
	ddb := stubbed(scripted(says(200, oneItem)))
	patient := request.WithResponseReadTimeout(time.Minute)
	out, err := ddb.GetItemWithContext(t.Context(), getA, patient)
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
	ddb := stubbed(roundTrip(func(r *http.Request) (*http.Response, error) {
		sent, _ = io.ReadAll(r.Body)
		return answer(r, 200, oneItem), nil
	}))
	ddb.Handlers.Send.PushFront(func(r *request.Request) {
		_, _ = io.ReadAll(r.Body)
		r.HTTPRequest.Header["X-Mine"] = []string{"mine"}
	})
	_, err := ddb.GetItem(getA)
	require.NoError(t, err)
	assert.JSONEq(t, `{"Key":{"id":{"S":"a"}},"TableName":"t"}`, string(sent))
}
