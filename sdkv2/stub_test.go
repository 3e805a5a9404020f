package sdkv2_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v2 "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go/aws"
	v1 "github.com/aws/aws-sdk-go/service/dynamodb"
)

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

// quick makes v2 wait for almost nothing between attempts.
func quick(o *v2.Options) {
	o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Millisecond })
}

const oneItem = `{"Item":{"id":{"S":"a"},"x":{"N":"1"}}}`

var getA = &v1.GetItemInput{TableName: aws.String("t"), Key: map[string]*v1.AttributeValue{"id": {S: aws.String("a")}}}

func refusal(code string, more string) string {
	return fmt.Sprintf(`{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":"because"%s}`, code, more)
}

// script is a transport that gives each attempt its answer, and the last of them to all further
// ones.
type script struct {
	attempts atomic.Int64
	answers  []func(*http.Request) (*http.Response, error)
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return nil, err
		}
		r.Body.Close()
	}
	n := int(s.attempts.Add(1))
	return s.answers[min(n, len(s.answers))-1](r)
}

func says(status int, body string) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) { return answer(r, status, body), nil }
}

func fails(err error) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

// sums is an answer with a checksum.
func sums(body string, sum uint32) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		resp := answer(r, 200, body)
		resp.Header.Set("X-Amz-Crc32", fmt.Sprint(sum))
		return resp, nil
	}
}

func answers(all ...func(*http.Request) (*http.Response, error)) []func(*http.Request) (*http.Response, error) {
	return all
}
