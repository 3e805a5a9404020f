package sdkv2_test

import (
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
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v2 "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go/aws"
	v1 "github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/aws/smithy-go/middleware"

	"github.com/intercom/lease/sdkv2"
)

// stubbed returns a bridged client whose requests a transport answers.
func stubbed(transport http.RoundTripper, options ...func(*v2.Options)) *v1.DynamoDB {
	cfg := configOf(&http.Client{Transport: transport}, "http://stub")
	return sdkv2.NewFromConfig(cfg, options...)
}

// quick makes v2 wait for almost nothing between attempts.
func quick(o *v2.Options) {
	o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxBackoff = time.Millisecond
	})
}

// withSteps changes the steps of v2's requests.
func withSteps(change func(stack *middleware.Stack) error) func(*v2.Options) {
	return func(o *v2.Options) { o.APIOptions = append(o.APIOptions, change) }
}

// provider makes a function give the credentials.
type provider = awsv2.CredentialsProviderFunc

func withKey(key string) awsv2.Credentials {
	return awsv2.Credentials{AccessKeyID: key, SecretAccessKey: "secret"}
}

// reply is what a transport makes of a request.
type reply func(*http.Request) (*http.Response, error)

// roundTrip makes a reply a transport.
type roundTrip reply

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// always is a transport that answers at once.
func always(status int, body string) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		io.Copy(io.Discard, r.Body)
		return answer(r, status, body), nil
	}
}

// answer is a response as DynamoDB's.
func answer(r *http.Request, status int, body string) *http.Response {
	header := http.Header{
		"Content-Type":     {"application/x-amz-json-1.0"},
		"Date":             {time.Now().UTC().Format(http.TimeFormat)},
		"X-Amzn-Requestid": {"REQUEST"},
	}
	return &http.Response{
		Request:       r,
		StatusCode:    status,
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        header,
		ContentLength: int64(len(body)),
		Body:          io.NopCloser(strings.NewReader(body)),
	}
}

func says(status int, body string) reply {
	return func(r *http.Request) (*http.Response, error) { return answer(r, status, body), nil }
}

func fails(err error) reply {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

// sums is an answer with a checksum.
func sums(body string, sum uint32) reply {
	return func(r *http.Request) (*http.Response, error) {
		resp := answer(r, 200, body)
		resp.Header.Set("X-Amz-Crc32", fmt.Sprint(sum))
		return resp, nil
	}
}

// refusal is the body of an error of the service.
func refusal(code string, more string) string {
	const format = `{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":"because"%s}`
	return fmt.Sprintf(format, code, more)
}

// script is a transport that gives each attempt its reply, and the last of them to all further
// ones.
type script struct {
	attempts atomic.Int64
	replies  []reply
}

func scripted(replies ...reply) *script { return &script{replies: replies} }

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return nil, err
		}
		r.Body.Close()
	}
	n := int(s.attempts.Add(1))
	return s.replies[min(n, len(s.replies))-1](r)
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

// list sends a request.
func list(ddb *v1.DynamoDB) error {
	_, err := ddb.ListTables(&v1.ListTablesInput{})
	return err
}

const oneItem = `{"Item":{"id":{"S":"a"},"x":{"N":"1"}}}`

var keyA = map[string]*v1.AttributeValue{"id": {S: aws.String("a")}}

var getA = &v1.GetItemInput{TableName: aws.String("t"), Key: keyA}
