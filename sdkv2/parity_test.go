package sdkv2_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	awsv2 "github.com/aws/aws-sdk-go-v2/aws"
	v2 "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	credentialsv1 "github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/request"
	v1 "github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/smithy-go"
	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
	"github.com/intercom/lease/sdkv2"
	"github.com/stretchr/testify/assert"
)

// outcome is what a caller of v1's, and package lease, see of a request.
type outcome struct {
	code       string
	status     int
	requestID  string
	kind       string // the error's type, if it is one of v1's exceptions
	item       string // in a failed condition
	attributes int    // of a success
	attempts   int
	retries    int
	date       bool
	cause      string // what OrigErr is, of a request that was not sent or was cancelled: set by try
}

func (o outcome) String() string {
	return fmt.Sprintf("%s %d %s %s%s, %d attributes, %d attempts, %d retries, date %t",
		o.code, o.status, o.requestID, o.kind, o.item, o.attributes, o.attempts, o.retries, o.date)
}

// try sends a write that leases, and returns what comes of it.
func try(ctx context.Context, ddb *v1.DynamoDB, transport *script) (outcome, error) {
	req, out := ddb.UpdateItemRequest(&v1.UpdateItemInput{TableName: aws.String("t"),
		Key: map[string]*v1.AttributeValue{"id": {S: aws.String("a")}}})
	req.SetContext(ctx)
	before := time.Now()
	err := req.Send()
	o := outcome{attributes: len(out.Attributes), attempts: int(transport.attempts.Load()), retries: req.RetryCount,
		date: req.HTTPResponse.Header.Get("Date") != "", requestID: req.RequestID, status: req.HTTPResponse.StatusCode}
	if req.AttemptTime.Before(before) || req.AttemptTime.After(time.Now()) {
		return o, fmt.Errorf("AttemptTime is %v", req.AttemptTime)
	}
	var failure awserr.Error
	if errors.As(err, &failure) {
		o.code = failure.Code()
		if o.code == request.ErrCodeRequestError || o.code == request.CanceledErrorCode {
			o.cause = fmt.Sprintf("%T", failure.OrigErr())
		}
	}
	if refused, ok := err.(*v1.ConditionalCheckFailedException); ok {
		o.kind = "typed"
		if refused.Item != nil {
			o.item = " with " + *refused.Item["ProcessID"].S
		}
	} else if _, ok := err.(*v1.ResourceNotFoundException); ok {
		o.kind = "typed"
	}
	return o, err
}

// parityCase is one case of the table. Both SDKs make up to three attempts.
type parityCase struct {
	name    string
	answers []func(*http.Request) (*http.Response, error)
	v1      func(*aws.Config)                       // changes plain v1
	v2      func(*v2.Options)                       // changes the v2 client
	ctx     func(*script) (context.Context, func()) // if it isn't the test's
	want    outcome                                 // of both
	bridge  func(*outcome)                          // changes want where the bridge differs
	final   bool                                    // another try is of no use, says what the lease library looks at
	v2Error any                                     // a pointer to what errors.As finds in the bridge's error
}

const broken = `{"Attributes":{"id":{"S":"a"`

func parityCases() []parityCase {
	var api smithy.APIError
	reset := &os.SyscallError{Syscall: "read", Err: syscall.ECONNRESET}
	timeout := func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }
	cancelled := outcome{code: request.CanceledErrorCode}
	return []parityCase{
		{name: "success", answers: answers(says(200, leased)),
			want: outcome{status: 200, requestID: "REQUEST", attributes: 4, attempts: 1, date: true}},
		{name: "an empty body in a 200", answers: answers(says(200, "")),
			want: outcome{status: 200, requestID: "REQUEST", attempts: 1, date: true}},
		{name: "conditional failure with Item", answers: answers(says(400, refusal("ConditionalCheckFailedException", `,"Item":{"ProcessID":{"S":"w2"}}`))),
			want: outcome{code: "ConditionalCheckFailedException", status: 400, requestID: "REQUEST", kind: "typed", item: " with w2", attempts: 1, date: true}, final: true},
		{name: "conditional failure without Item", answers: answers(says(400, refusal("ConditionalCheckFailedException", ""))),
			want: outcome{code: "ConditionalCheckFailedException", status: 400, requestID: "REQUEST", kind: "typed", attempts: 1, date: true}, final: true},
		{name: "throttling, then success", answers: answers(says(400, refusal("ThrottlingException", "")), says(200, leased)),
			want: outcome{status: 200, requestID: "REQUEST", attributes: 4, attempts: 2, retries: 1, date: true}},
		{name: "constant throttling", answers: answers(says(400, refusal("ThrottlingException", ""))),
			want: outcome{code: "ThrottlingException", status: 400, requestID: "REQUEST", attempts: 3, retries: 2, date: true}, v2Error: &api},
		{name: "500, then success", answers: answers(says(500, refusal("InternalFailure", "")), says(200, leased)),
			want: outcome{status: 200, requestID: "REQUEST", attributes: 4, attempts: 2, retries: 1, date: true}},
		{name: "constant 500", answers: answers(says(500, refusal("InternalFailure", ""))),
			want: outcome{code: "InternalFailure", status: 500, requestID: "REQUEST", attempts: 3, retries: 2, date: true}, v2Error: &api},
		{name: "503 of a proxy, in HTML", answers: answers(says(503, "<html>busy</html>")),
			want: outcome{code: request.ErrCodeSerialization, status: 503, requestID: "REQUEST", attempts: 3, retries: 2, date: true}},
		{name: "500, then a reset connection", answers: answers(says(500, refusal("InternalFailure", "")), fails(reset)),
			want: outcome{code: request.ErrCodeRequestError, requestID: "REQUEST", attempts: 3, retries: 2}, v2Error: new(*os.SyscallError),
			bridge: func(o *outcome) { o.requestID = "" }}, // It was that of the attempt before.
		{name: "reset connection", answers: answers(fails(reset)),
			want: outcome{code: request.ErrCodeRequestError, attempts: 3, retries: 2}, v2Error: new(*os.SyscallError)},
		{name: "reset connection in the body", answers: answers(func(r *http.Request) (*http.Response, error) {
			resp := answer(r, 200, leased)
			resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(broken), errorReader{reset}))
			return resp, nil
		}), want: outcome{code: request.ErrCodeSerialization, status: 200, requestID: "REQUEST", attempts: 3, retries: 2, date: true}, v2Error: new(*os.SyscallError)},
		{name: "time-out of the HTTP client", answers: answers(timeout),
			v1:   func(c *aws.Config) { c.HTTPClient.Timeout = 100 * time.Millisecond },
			v2:   func(o *v2.Options) { o.HTTPClient.(*http.Client).Timeout = 100 * time.Millisecond },
			want: outcome{code: request.ErrCodeRequestError, attempts: 3, retries: 2}, v2Error: new(*url.Error)},
		{name: "cancelled before", answers: answers(timeout), ctx: func(*script) (context.Context, func()) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			return ctx, cancel
		}, want: cancelled, final: true},
		{name: "cancelled during", answers: answers(timeout), ctx: func(s *script) (context.Context, func()) {
			ctx, cancel := context.WithCancel(context.Background())
			s.answers = answers(func(r *http.Request) (*http.Response, error) { cancel(); return timeout(r) })
			return ctx, cancel
		}, want: outcome{code: request.CanceledErrorCode, attempts: 1}, final: true},
		{name: "deadline during", answers: answers(timeout), ctx: func(s *script) (context.Context, func()) {
			return context.WithTimeout(context.Background(), 200*time.Millisecond)
		}, want: outcome{code: request.CanceledErrorCode, attempts: 1}},
		{name: "cancelled in backoff", answers: answers(timeout), ctx: func(s *script) (context.Context, func()) {
			ctx, cancel := context.WithCancel(context.Background())
			s.answers = answers(func(r *http.Request) (*http.Response, error) {
				resp := answer(r, 500, refusal("InternalFailure", ""))
				resp.Body = closing{resp.Body, cancel}
				return resp, nil
			})
			return ctx, cancel
		}, want: outcome{code: request.CanceledErrorCode, status: 500, requestID: "REQUEST", attempts: 1, date: true}, final: true,
		},
		{name: "expired token, then success", answers: answers(says(400, refusal("ExpiredTokenException", "")), says(200, leased)),
			want: outcome{status: 200, requestID: "REQUEST", attributes: 4, attempts: 2, retries: 1, date: true}},
		{name: "expired token", answers: answers(says(400, refusal("ExpiredTokenException", ""))),
			want: outcome{code: "ExpiredTokenException", status: 400, requestID: "REQUEST", attempts: 3, retries: 2, date: true}, v2Error: &api},
		{name: "missing credentials", answers: answers(says(200, leased)),
			v1: func(c *aws.Config) { c.Credentials = credentialsv1.NewChainCredentials(nil) },
			v2: func(o *v2.Options) {
				o.Credentials = awsv2.CredentialsProviderFunc(func(context.Context) (awsv2.Credentials, error) {
					return awsv2.Credentials{}, errors.New("there are none")
				})
			}, want: outcome{code: "NoCredentialProviders"}, final: true, v2Error: new(*smithy.OperationError)},
		{name: "bad JSON in a 200, then success", answers: answers(says(200, broken), says(200, leased)),
			want: outcome{status: 200, requestID: "REQUEST", attributes: 4, attempts: 2, retries: 1, date: true}},
		{name: "bad JSON in a 200", answers: answers(says(200, broken)),
			want: outcome{code: request.ErrCodeSerialization, status: 200, requestID: "REQUEST", attempts: 3, retries: 2, date: true}, v2Error: new(*smithy.OperationError)},
		{name: "HTML in a 200", answers: answers(says(200, "<html>a captive portal</html>")),
			want: outcome{code: request.ErrCodeSerialization, status: 200, requestID: "REQUEST", attempts: 3, retries: 2, date: true}},
		{name: "right CRC", answers: answers(sums(leased, crc32.ChecksumIEEE([]byte(leased)))),
			want: outcome{status: 200, requestID: "REQUEST", attributes: 4, attempts: 1, date: true}},
		{name: "wrong CRC, then success", answers: answers(sums(leased, 1), says(200, leased)),
			want: outcome{status: 200, requestID: "REQUEST", attributes: 4, attempts: 2, retries: 1, date: true}},
		{name: "wrong CRC", answers: answers(sums(leased, 1)),
			want:   outcome{code: "CRC32CheckFailed", status: 200, requestID: "REQUEST", attributes: 4, attempts: 3, retries: 2, date: true},
			bridge: func(o *outcome) { o.attributes = 0 }}, // It doesn't read what can't be trusted.
		{name: "validation error", answers: answers(says(400, refusal("ValidationException", ""))),
			want: outcome{code: "ValidationException", status: 400, requestID: "REQUEST", attempts: 1, date: true}, final: true, v2Error: &api},
		{name: "unknown table", answers: answers(says(400, refusal("ResourceNotFoundException", ""))),
			want: outcome{code: "ResourceNotFoundException", status: 400, requestID: "REQUEST", kind: "typed", attempts: 1, date: true}, final: true},
		{name: "access denied", answers: answers(says(400, refusal("AccessDeniedException", ""))),
			want: outcome{code: "AccessDeniedException", status: 400, requestID: "REQUEST", attempts: 1, date: true}, final: true, v2Error: &api},
		{name: "empty region", answers: answers(says(200, leased)), v1: func(c *aws.Config) { c.Region = aws.String("") },
			v2: func(o *v2.Options) { o.Region = "" }, want: outcome{code: "MissingRegion"}, final: true},
	}
}

// TestParity holds the bridge against plain v1, in what is seen of a request.
func TestParity(t *testing.T) {
	t.Setenv("AWS_REGION", "")
	for _, c := range parityCases() {
		t.Run(c.name, func(t *testing.T) {
			run := func(newClient func(*http.Client) *v1.DynamoDB) (outcome, error) {
				transport := &script{answers: c.answers}
				ddb := newClient(&http.Client{Transport: transport})
				ctx := t.Context()
				if c.ctx != nil {
					var cancel func()
					ctx, cancel = c.ctx(transport)
					defer cancel()
				}
				return try(ctx, ddb, transport)
			}
			plain, plainErr := run(func(client *http.Client) *v1.DynamoDB {
				cfg := aws.NewConfig().WithHTTPClient(client).WithMaxRetries(2)
				if c.v1 != nil {
					c.v1(cfg)
				}
				return ddblocal.NewClient("http://stub", cfg)
			})
			bridged, err := run(func(client *http.Client) *v1.DynamoDB {
				return sdkv2.NewFromConfig(configOf(client, "http://stub"), func(o *v2.Options) {
					quick(o)
					o.RetryMaxAttempts = 3
					if c.v2 != nil {
						c.v2(o)
					}
				})
			})
			assert.Equal(t, plain.cause, bridged.cause)
			t.Logf("v1:     %v: %v", plain, oneLine(plainErr))
			t.Logf("bridge: %v: %v", bridged, oneLine(err))
			assert.Equal(t, c.want.String(), plain.String(), "plain v1")
			want := c.want
			if c.bridge != nil {
				c.bridge(&want)
			}
			assert.Equal(t, want.String(), bridged.String(), "the bridge")
			if c.v2Error != nil {
				assert.ErrorAs(t, err, c.v2Error)
			}
			if err != nil {
				assert.Equal(t, !c.final, transient(t, err), "another try may succeed")
			}
		})
	}
}

func oneLine(err error) string { return strings.Join(strings.Fields(fmt.Sprint(err)), " ") }

type errorReader struct{ err error }

func (e errorReader) Read([]byte) (int, error) { return 0, e.err }

// closing is a body that tells of its end.
type closing struct {
	io.ReadCloser
	closed func()
}

func (c closing) Close() error { c.closed(); return c.ReadCloser.Close() }

// transient tells whether package lease goes on after that error: a Heartbeat does so until the
// lease ends.
func transient(t *testing.T, err error) (transient bool) {
	synctest.Test(t, func(t *testing.T) {
		l := &lease.Lease{LeaseID: "a", Request: for30s("w1"), Until: time.Now().Add(30 * time.Second)}
		transient = errors.Is(lease.NewLocker(failing{err}).Heartbeat(l, 10*time.Second), lease.LeaseLostError)
	})
	return transient
}

// failing is a store of two methods that fail.
type failing struct{ err error }

func (f failing) ListLeaseIDs() ([]string, error) { return nil, f.err }

func (f failing) Lease(string, lease.LeaseRequest, time.Time) (*lease.Lease, error) {
	return nil, f.err
}

// for30s is a LeaseRequest.
type for30s string

func (w for30s) LesseeID() string           { return string(w) }
func (for30s) LeaseDuration() time.Duration { return 30 * time.Second }
