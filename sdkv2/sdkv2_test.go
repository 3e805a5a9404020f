package sdkv2_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	awsv2 "github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	configv2 "github.com/aws/aws-sdk-go-v2/config"
	v2 "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	v1 "github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
	"github.com/intercom/lease/leasetest"
	"github.com/intercom/lease/sdkv2"
)

func TestLockStoreConforms(t *testing.T) {
	client := sdkv2.NewFromConfig(configOf(&http.Client{Transport: newTransport(t)}, ddblocal.ForTest(t).Endpoint))
	leasetest.TestStore(t, func(t *testing.T, leaseIDs ...string) leasetest.StoreInterface {
		return lease.NewLockStore(client, newTable(t, client, leaseIDs...), "id")
	})
}

// server answers over HTTP, and keeps what it was sent.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
}

func newServer(t *testing.T, answer http.HandlerFunc) *server {
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r)
		s.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) all() []*http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

func ok(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{}`) }

func refuses(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, refusal(code, ""))
	}
}

func list(ddb *v1.DynamoDB) error {
	_, err := ddb.ListTables(&v1.ListTablesInput{})
	return err
}

func TestTheServerCountsWhatRetryMaxAttemptsSays(t *testing.T) {
	for _, most := range []int{1, 3, 5} {
		s := newServer(t, refuses(500, "InternalFailure"))
		ddb := sdkv2.NewFromConfig(configOf(nil, s.URL), func(o *v2.Options) {
			quick(o)
			o.RetryMaxAttempts = most
		})
		ddb.Config.MaxRetries = aws.Int(9) // v1 never retries, whatever it is told.
		ddb.Retryer = eager{}
		assert.Error(t, list(ddb))
		assert.Len(t, s.all(), most)
	}
}

// eager is a v1 retryer that would.
type eager struct{}

func (eager) MaxRetries() int                           { return 9 }
func (eager) ShouldRetry(*request.Request) bool         { return true }
func (eager) RetryRules(*request.Request) time.Duration { return 0 }

func TestTheUserAgentIsV2s(t *testing.T) {
	s := newServer(t, ok)
	require.NoError(t, list(sdkv2.NewFromConfig(configOf(nil, s.URL))))
	agent := s.all()[0].Header.Get("User-Agent")
	assert.True(t, strings.HasPrefix(agent, "aws-sdk-go-v2/"), agent)
	assert.NotContains(t, agent, "aws-sdk-go/")
}

// TestWhatV1HasBuiltIsSent: headers too, and v2's signature covers them.
func TestWhatV1HasBuiltIsSent(t *testing.T) {
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

func TestTheCallersHTTPClientIsUsed(t *testing.T) {
	transport := &script{answers: answers(says(200, `{}`))}
	client := &http.Client{Transport: transport}
	ddb := sdkv2.New(v2.NewFromConfig(configOf(client, "http://stub")))
	require.NoError(t, list(ddb))
	assert.Equal(t, int64(1), transport.attempts.Load())
	assert.Same(t, client, ddb.Config.HTTPClient)
}

// TestTheCallersMiddlewareIsUsed: it sees the operation and the table.
func TestTheCallersMiddlewareIsUsed(t *testing.T) {
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

// TestTheV2ClientsSettingsCount: the environment's endpoint, attempts and region, as config.LoadDefaultConfig reads them.
func TestTheV2ClientsSettingsCount(t *testing.T) {
	s := newServer(t, refuses(500, "InternalFailure"))
	for name, value := range map[string]string{"AWS_ENDPOINT_URL_DYNAMODB": s.URL, "AWS_REGION": "eu-west-1", "AWS_MAX_ATTEMPTS": "2",
		"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_CA_BUNDLE": ""} {
		t.Setenv(name, value)
	}
	cfg, err := configv2.LoadDefaultConfig(t.Context())
	require.NoError(t, err)
	ddb := sdkv2.NewFromConfig(cfg)
	assert.Error(t, list(ddb))
	require.Len(t, s.all(), 2)
	assert.Contains(t, s.all()[0].Header.Get("Authorization"), "Credential=AKID/")
	assert.Contains(t, s.all()[0].Header.Get("Authorization"), "/eu-west-1/dynamodb/")
	assert.Equal(t, s.URL, ddb.Endpoint)
}

// TestTheAccountsEndpointIsUsed: that of the credentials' account, or of a table's ARN.
func TestTheAccountsEndpointIsUsed(t *testing.T) {
	var host string
	cfg := configOf(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		host = r.URL.Host
		return answer(r, 200, `{}`), nil
	})}, "")
	cfg.BaseEndpoint = nil
	cfg.AccountIDEndpointMode = awsv2.AccountIDEndpointModePreferred
	cfg.Credentials = awsv2.CredentialsProviderFunc(func(context.Context) (awsv2.Credentials, error) {
		return awsv2.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret", AccountID: "111122223333"}, nil
	})
	ddb := sdkv2.NewFromConfig(cfg)
	for table, want := range map[string]string{"mailboxes": "111122223333.ddb.us-east-1.amazonaws.com",
		"arn:aws:dynamodb:us-east-1:444455556666:table/mailboxes": "444455556666.ddb.us-east-1.amazonaws.com"} {
		_, err := ddb.DescribeTable(&v1.DescribeTableInput{TableName: &table})
		require.NoError(t, err)
		assert.Equal(t, want, host)
		_, err = ddb.TransactWriteItems(&v1.TransactWriteItemsInput{TransactItems: []*v1.TransactWriteItem{{Delete: &v1.Delete{
			TableName: &table, Key: map[string]*v1.AttributeValue{"id": {S: aws.String("a")}}}}}})
		require.NoError(t, err)
		assert.Equal(t, want, host)
	}
	assert.Equal(t, "https://dynamodb.us-east-1.amazonaws.com", ddb.Endpoint)
}

// rotating are credentials that change each 100 ms, and are good for as long.
type rotating struct{ given atomic.Int64 }

func (r *rotating) Retrieve(context.Context) (awsv2.Credentials, error) {
	return awsv2.Credentials{AccessKeyID: fmt.Sprint("KEY", r.given.Add(1)), SecretAccessKey: "secret", CanExpire: true,
		Expires: time.Now().Add(100 * time.Millisecond)}, nil
}

// TestCredentialsThatRotate: each request is signed by good ones, from several goroutines, and the lease goes on.
func TestCredentialsThatRotate(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	var mu sync.Mutex
	keys := map[string]bool{}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	spy := roundTrip(func(r *http.Request) (*http.Response, error) {
		_, key, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
		key, _, _ = strings.Cut(key, "/")
		mu.Lock()
		keys[key] = true
		mu.Unlock()
		return transport.RoundTrip(r)
	})
	endpoint := ddblocal.ForTest(t).Endpoint
	cfg := configOf(&http.Client{Transport: spy}, endpoint)
	cfg.Credentials = awsv2.NewCredentialsCache(&rotating{})
	ddb := sdkv2.NewFromConfig(cfg)
	table := newTable(t, ddb, "a", "b", "c")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	var held atomic.Int64
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			err := lease.NewLocker(lease.NewLockStore(ddb, table, "id")).Hold(ctx, for1s(fmt.Sprint("w", held.Add(1))),
				func(ctx context.Context, l *lease.Lease) error { <-ctx.Done(); return context.Cause(ctx) })
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.NotErrorIs(t, err, lease.LeaseLostError)
		})
	}
	all.Wait()
	mu.Lock()
	defer mu.Unlock()
	assert.Greater(t, len(keys), 5, "keys that signed")
}

// for1s is a LeaseRequest.
type for1s string

func (w for1s) LesseeID() string           { return string(w) }
func (for1s) LeaseDuration() time.Duration { return time.Second }

// TestExpiredCredentialsAreGotAnew: v2 alone would use the cached ones until they say that they end.
func TestExpiredCredentialsAreGotAnew(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Authorization"), "Credential=KEY1/") {
			refuses(400, "ExpiredTokenException")(w, r)
			return
		}
		ok(w, r)
	})
	cfg := configOf(nil, s.URL)
	var given atomic.Int64
	cfg.Credentials = awsv2.NewCredentialsCache(awsv2.CredentialsProviderFunc(func(context.Context) (awsv2.Credentials, error) {
		return awsv2.Credentials{AccessKeyID: fmt.Sprint("KEY", given.Add(1)), SecretAccessKey: "secret"}, nil
	}))
	require.NoError(t, list(sdkv2.NewFromConfig(cfg)))
	assert.Len(t, s.all(), 2)
}

// unreachable is an error of a credentials service that can't be reached.
type unreachable struct{ error }

func (unreachable) Timeout() bool   { return true }
func (unreachable) Temporary() bool { return true }

// TestCredentialsThatFail: what the lease library gives up at, and what it tries again.
func TestCredentialsThatFail(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		final bool
	}{
		"plainly":                              {errors.New("no profile of that name"), true},
		"as the role may not be assumed":       {&smithy.GenericAPIError{Code: "AccessDenied"}, true},
		"as the credentials service throttles": {&smithy.GenericAPIError{Code: "ThrottlingException"}, false},
		"as the credentials service is away":   {unreachable{errors.New("no route to host")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := configOf(&http.Client{Transport: always(200, `{}`)}, "http://stub")
			cfg.Credentials = awsv2.CredentialsProviderFunc(func(context.Context) (awsv2.Credentials, error) { return awsv2.Credentials{}, c.err })
			ddb := sdkv2.NewFromConfig(cfg, quick)
			req, _ := ddb.ListTablesRequest(nil)
			err := req.Send()
			var failure awserr.Error
			require.ErrorAs(t, err, &failure)
			assert.Equal(t, "NoCredentialProviders", failure.Code())
			assert.Zero(t, req.RetryCount, "nothing was sent")
			assert.ErrorIs(t, err, c.err)
			assert.Equal(t, !c.final, transient(t, err))

			// And through a LockStore, which puts its own error around that.
			_, err = lease.NewLockStore(ddb, "t", "id").ListLeaseIDs()
			assert.ErrorIs(t, err, c.err)
			assert.Equal(t, !c.final, transient(t, err))
		})
	}
}

// quick makes v2 wait for almost nothing between attempts.
func quick(o *v2.Options) {
	o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Millisecond })
}

// TestOnlyAttemptsThatReachedTheTransportCount: the credentials of the second attempt fail. What came to the first is not shown.
func TestOnlyAttemptsThatReachedTheTransportCount(t *testing.T) {
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

// TestAttemptTimeIsTheLastAttempts: the lease library takes it for the time just before a reply's Date. Signing is over by then.
func TestAttemptTimeIsTheLastAttempts(t *testing.T) {
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

// TestAHostClockThatIsAnHourWrong: the server refuses signatures of another time than its own, as AWS does. v2 corrects what it
// signs, and the lease library what it writes into the row.
func TestAHostClockThatIsAnHourWrong(t *testing.T) {
	for _, off := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			local := ddblocal.ForTest(t).Endpoint
			theirs := func() time.Time { return time.Now().Add(-off) }
			refused := 0
			transport := newTransport(t)
			skewed := roundTrip(func(r *http.Request) (*http.Response, error) {
				var resp *http.Response
				signed, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
				if err != nil {
					return nil, err
				}
				if signed.Sub(theirs()).Abs() > 5*time.Minute {
					refused++
					resp = answer(r, 400, refusal("InvalidSignatureException", ""))
				} else if resp, err = transport.RoundTrip(r); err != nil {
					return nil, err
				}
				resp.Header.Set("Date", theirs().UTC().Format(http.TimeFormat))
				return resp, nil
			})
			table := newTable(t, ddblocal.NewClient(local), "a")
			ddb := sdkv2.NewFromConfig(configOf(&http.Client{Transport: skewed}, local))
			l, err := lease.NewLocker(lease.NewLockStore(ddb, table, "id")).ObtainLease(for30s("w1"))
			require.NoError(t, err)
			assert.Equal(t, 1, refused, "the client remembers the skew")
			var until int64
			fmt.Sscan(*l.AttributeValues["LeaseUntil"].N, &until)
			assert.InDelta(t, theirs().Add(30*time.Second).Unix(), time.Unix(0, until).Unix(), 2, "the row's end is in the database's time")
			assert.True(t, l.Valid())
			assert.InDelta(t, 27, l.Remaining().Seconds(), 2)
		})
	}
}

// TestAContextEndsARequest: in each place where it may wait, at once, and with nothing left behind.
func TestAContextEndsARequest(t *testing.T) {
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

func TestARequestCanNotBePresigned(t *testing.T) {
	req, _ := sdkv2.NewFromConfig(configOf(nil, "http://stub")).ListTablesRequest(nil)
	_, err := req.Presign(time.Minute)
	assert.ErrorContains(t, err, "presigned")
}
