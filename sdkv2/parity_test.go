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
	"github.com/stretchr/testify/assert"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
	"github.com/intercom/lease/sdkv2"
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
	cause      string // what OrigErr is, of a request that was not sent or was cancelled
}

func (o outcome) String() string {
	return fmt.Sprintf("%s %d %s %s%s, %d attributes, %d attempts, %d retries, date %t",
		o.code, o.status, o.requestID, o.kind, o.item,
		o.attributes, o.attempts, o.retries, o.date)
}

// answered is the outcome of a request that got a response to the last of so many attempts.
func answered(status, attempts int, code string) outcome {
	return outcome{
		code:      code,
		status:    status,
		requestID: "REQUEST",
		attempts:  attempts,
		retries:   attempts - 1,
		date:      true,
	}
}

// succeeded is the outcome of a success at the last of so many attempts.
func succeeded(attempts int) outcome {
	o := answered(200, attempts, "")
	o.attributes = 4
	return o
}

// unanswered is the outcome of a request that got no response to any of so many attempts.
func unanswered(attempts int, code string) outcome {
	return outcome{code: code, attempts: attempts, retries: max(0, attempts-1)}
}

// typed is that of one of v1's exceptions.
func (o outcome) typed(item string) outcome {
	o.kind = "typed"
	o.item = item
	return o
}

// try sends a write that leases, and returns what comes of it.
func try(ctx context.Context, ddb *v1.DynamoDB, transport *script) (outcome, error) {
	in := &v1.UpdateItemInput{TableName: aws.String("t"), Key: keyA}
	req, out := ddb.UpdateItemRequest(in)
	req.SetContext(ctx)
	before := time.Now()
	err := req.Send()
	if req.AttemptTime.Before(before) || req.AttemptTime.After(time.Now()) {
		return outcome{}, fmt.Errorf("AttemptTime is %v", req.AttemptTime)
	}

	o := outcome{
		status:     req.HTTPResponse.StatusCode,
		requestID:  req.RequestID,
		attributes: len(out.Attributes),
		attempts:   int(transport.attempts.Load()),
		retries:    req.RetryCount,
		date:       req.HTTPResponse.Header.Get("Date") != "",
	}
	var failure awserr.Error
	if errors.As(err, &failure) {
		o.code = failure.Code()
	}
	switch o.code {
	case request.ErrCodeRequestError, request.CanceledErrorCode:
		o.cause = fmt.Sprintf("%T", failure.OrigErr())
	}
	switch err := err.(type) {
	case *v1.ConditionalCheckFailedException:
		o.kind = "typed"
		if err.Item != nil {
			o.item = *err.Item["ProcessID"].S
		}
	case *v1.ResourceNotFoundException:
		o.kind = "typed"
	}
	return o, err
}

// parityCase is one case of the table. Both SDKs make up to three attempts.
type parityCase struct {
	name    string
	replies []reply
	v1      func(*aws.Config) // changes plain v1
	v2      func(*v2.Options) // changes the v2 client
	ctx     caseContext       // if it isn't the test's
	want    outcome           // of both
	bridge  func(o *outcome)  // changes want where the bridge differs
	final   bool              // another try is of no use, says what the lease library looks at
	v2Error any               // a pointer to what errors.As finds in the bridge's error
}

// caseContext returns the context of a request, and may change what is replied.
type caseContext func(*script) (context.Context, context.CancelFunc)

const broken = `{"Attributes":{"id":{"S":"a"`

// What comes of an attempt.
var (
	good       = says(200, leased)
	cutOff     = says(200, broken)
	portal     = says(200, "<html>a captive portal</html>")
	throttles  = says(400, refusal("ThrottlingException", ""))
	expires    = says(400, refusal("ExpiredTokenException", ""))
	invalid    = says(400, refusal("ValidationException", ""))
	noTable    = says(400, refusal("ResourceNotFoundException", ""))
	denies     = says(400, refusal("AccessDeniedException", ""))
	unmet      = says(400, refusal("ConditionalCheckFailedException", ""))
	heldByW2   = `,"Item":{"ProcessID":{"S":"w2"}}`
	unmetByW2  = says(400, refusal("ConditionalCheckFailedException", heldByW2))
	breaks     = says(500, refusal("InternalFailure", ""))
	busyProxy  = says(503, "<html>busy</html>")
	rightCRC   = sums(leased, crc32.ChecksumIEEE([]byte(leased)))
	wrongCRC   = sums(leased, 1)
	errReset   = &os.SyscallError{Syscall: "read", Err: syscall.ECONNRESET}
	resets     = fails(errReset)
	anAPIError smithy.APIError
)

// silence is no reply.
func silence(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// resetInTheBody breaks a connection off in the middle of a response.
func resetInTheBody(r *http.Request) (*http.Response, error) {
	resp := answer(r, 200, leased)
	body := io.MultiReader(strings.NewReader(broken), errorReader{errReset})
	resp.Body = io.NopCloser(body)
	return resp, nil
}

func cancelledBefore(*script) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx, cancel
}

func cancelledDuring(s *script) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	s.replies = []reply{func(r *http.Request) (*http.Response, error) {
		cancel()
		return silence(r)
	}}
	return ctx, cancel
}

func cancelledInBackoff(s *script) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	s.replies = []reply{func(r *http.Request) (*http.Response, error) {
		resp, err := breaks(r)
		resp.Body = closing{resp.Body, cancel}
		return resp, err
	}}
	return ctx, cancel
}

func deadlineDuring(*script) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 200*time.Millisecond)
}

// parityCases are told apart by what the transport does.
func parityCases() []parityCase {
	return append(answeredCases(), unansweredCases()...)
}

func answeredCases() []parityCase {
	return []parityCase{
		{
			name:    "success",
			replies: []reply{good},
			want:    succeeded(1),
		},
		{
			name:    "an empty body in a 200",
			replies: []reply{says(200, "")},
			want:    answered(200, 1, ""),
		},
		{
			name:    "conditional failure with Item",
			replies: []reply{unmetByW2},
			want:    answered(400, 1, "ConditionalCheckFailedException").typed("w2"),
			final:   true,
		},
		{
			name:    "conditional failure without Item",
			replies: []reply{unmet},
			want:    answered(400, 1, "ConditionalCheckFailedException").typed(""),
			final:   true,
		},
		{
			name:    "throttling, then success",
			replies: []reply{throttles, good},
			want:    succeeded(2),
		},
		{
			name:    "constant throttling",
			replies: []reply{throttles},
			want:    answered(400, 3, "ThrottlingException"),
			v2Error: &anAPIError,
		},
		{
			name:    "500, then success",
			replies: []reply{breaks, good},
			want:    succeeded(2),
		},
		{
			name:    "constant 500",
			replies: []reply{breaks},
			want:    answered(500, 3, "InternalFailure"),
			v2Error: &anAPIError,
		},
		{
			name:    "503 of a proxy, in HTML",
			replies: []reply{busyProxy},
			want:    answered(503, 3, request.ErrCodeSerialization),
		},
		{
			name:    "reset connection in the body",
			replies: []reply{resetInTheBody},
			want:    answered(200, 3, request.ErrCodeSerialization),
			v2Error: new(*os.SyscallError),
		},
		{
			name:    "expired token, then success",
			replies: []reply{expires, good},
			want:    succeeded(2),
		},
		{
			name:    "expired token",
			replies: []reply{expires},
			want:    answered(400, 3, "ExpiredTokenException"),
			v2Error: &anAPIError,
		},
		{
			name:    "bad JSON in a 200, then success",
			replies: []reply{cutOff, good},
			want:    succeeded(2),
		},
		{
			name:    "bad JSON in a 200",
			replies: []reply{cutOff},
			want:    answered(200, 3, request.ErrCodeSerialization),
			v2Error: new(*smithy.OperationError),
		},
		{
			name:    "HTML in a 200",
			replies: []reply{portal},
			want:    answered(200, 3, request.ErrCodeSerialization),
		},
		{
			name:    "right CRC",
			replies: []reply{rightCRC},
			want:    succeeded(1),
		},
		{
			name:    "wrong CRC, then success",
			replies: []reply{wrongCRC, good},
			want:    succeeded(2),
		},
		{
			name:    "wrong CRC",
			replies: []reply{wrongCRC},
			want: func() outcome {
				o := succeeded(3)
				o.code = "CRC32CheckFailed"
				return o
			}(),
			bridge: func(o *outcome) { o.attributes = 0 }, // It doesn't read what can't be trusted.
		},
		{
			name:    "validation error",
			replies: []reply{invalid},
			want:    answered(400, 1, "ValidationException"),
			final:   true,
			v2Error: &anAPIError,
		},
		{
			name:    "unknown table",
			replies: []reply{noTable},
			want:    answered(400, 1, "ResourceNotFoundException").typed(""),
			final:   true,
		},
		{
			name:    "access denied",
			replies: []reply{denies},
			want:    answered(400, 1, "AccessDeniedException"),
			final:   true,
			v2Error: &anAPIError,
		},
	}
}

func unansweredCases() []parityCase {
	const timeout = 100 * time.Millisecond
	noCredentials := provider(func(context.Context) (awsv2.Credentials, error) {
		return awsv2.Credentials{}, errors.New("there are none")
	})
	return []parityCase{
		{
			name:    "500, then a reset connection",
			replies: []reply{breaks, resets},
			want: func() outcome {
				o := unanswered(3, request.ErrCodeRequestError)
				o.requestID = "REQUEST"
				return o
			}(),
			bridge:  func(o *outcome) { o.requestID = "" }, // It was that of the attempt before.
			v2Error: new(*os.SyscallError),
		},
		{
			name:    "reset connection",
			replies: []reply{resets},
			want:    unanswered(3, request.ErrCodeRequestError),
			v2Error: new(*os.SyscallError),
		},
		{
			name:    "time-out of the HTTP client",
			replies: []reply{silence},
			v1:      func(c *aws.Config) { c.HTTPClient.Timeout = timeout },
			v2:      func(o *v2.Options) { o.HTTPClient.(*http.Client).Timeout = timeout },
			want:    unanswered(3, request.ErrCodeRequestError),
			v2Error: new(*url.Error),
		},
		{
			name:    "cancelled before",
			replies: []reply{silence},
			ctx:     cancelledBefore,
			want:    unanswered(0, request.CanceledErrorCode),
			final:   true,
		},
		{
			name:    "cancelled during",
			replies: []reply{silence},
			ctx:     cancelledDuring,
			want:    unanswered(1, request.CanceledErrorCode),
			final:   true,
		},
		{
			name:    "deadline during",
			replies: []reply{silence},
			ctx:     deadlineDuring,
			want:    unanswered(1, request.CanceledErrorCode),
		},
		{
			name:    "cancelled in backoff",
			replies: []reply{silence},
			ctx:     cancelledInBackoff,
			want:    answered(500, 1, request.CanceledErrorCode),
			final:   true,
		},
		{
			name:    "missing credentials",
			replies: []reply{good},
			v1:      func(c *aws.Config) { c.Credentials = credentialsv1.NewChainCredentials(nil) },
			v2:      func(o *v2.Options) { o.Credentials = noCredentials },
			want:    unanswered(0, "NoCredentialProviders"),
			v2Error: new(*smithy.OperationError),
		},
		{
			name:    "empty region",
			replies: []reply{good},
			v1:      func(c *aws.Config) { c.Region = aws.String("") },
			v2:      func(o *v2.Options) { o.Region = "" },
			want:    unanswered(0, "MissingRegion"),
			final:   true,
		},
	}
}

// run sends the request by one of the clients. In the bubble no time passes but in backoffs.
func (c parityCase) run(
	t *testing.T, newClient func(*http.Client) *v1.DynamoDB,
) (got outcome, err error) {
	synctest.Test(t, func(t *testing.T) {
		transport := scripted(c.replies...)
		ddb := newClient(&http.Client{Transport: transport})
		ctx := t.Context()
		if c.ctx != nil {
			var cancel context.CancelFunc
			ctx, cancel = c.ctx(transport)
			defer cancel()
		}
		got, err = try(ctx, ddb, transport)
	})
	return got, err
}

func (c parityCase) plain(client *http.Client) *v1.DynamoDB {
	cfg := aws.NewConfig().WithHTTPClient(client).WithMaxRetries(2)
	if c.v1 != nil {
		c.v1(cfg)
	}
	return ddblocal.NewClient("http://stub", cfg)
}

func (c parityCase) bridged(client *http.Client) *v1.DynamoDB {
	return sdkv2.NewFromConfig(configOf(client, "http://stub"), quick, func(o *v2.Options) {
		o.RetryMaxAttempts = 3
		if c.v2 != nil {
			c.v2(o)
		}
	})
}

// The bridge is held against plain v1, in what is seen of a request.
func TestParity(t *testing.T) {
	t.Setenv("AWS_REGION", "")
	for _, c := range parityCases() {
		t.Run(c.name, func(t *testing.T) {
			plain, plainErr := c.run(t, c.plain)
			bridged, err := c.run(t, c.bridged)
			t.Logf("v1:     %v: %v", plain, oneLine(plainErr))
			t.Logf("bridge: %v: %v", bridged, oneLine(err))

			want := c.want
			assert.Equal(t, want.String(), plain.String(), "plain v1")
			if c.bridge != nil {
				c.bridge(&want)
			}
			assert.Equal(t, want.String(), bridged.String(), "the bridge")
			assert.Equal(t, plain.cause, bridged.cause)
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

func (c closing) Close() error {
	c.closed()
	return c.ReadCloser.Close()
}

// transient tells whether package lease goes on after that error: a Heartbeat does so until the
// lease ends.
func transient(t *testing.T, err error) (transient bool) {
	synctest.Test(t, func(t *testing.T) {
		l := &lease.Lease{
			LeaseID: "a",
			Request: for5m("w1"),
			Until:   time.Now().Add(5 * time.Minute),
		}
		end := lease.NewLocker(failing{err}).Heartbeat(l, time.Minute)
		transient = errors.Is(end, lease.LeaseLostError)
	})
	return transient
}

// failing is a store of two methods that fail.
type failing struct{ err error }

func (f failing) ListLeaseIDs() ([]string, error) { return nil, f.err }

func (f failing) Lease(string, lease.LeaseRequest, time.Time) (*lease.Lease, error) {
	return nil, f.err
}
