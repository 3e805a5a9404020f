package ddblocal

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// Client returns a client of the server, see [NewClient].
func (s *Server) Client(cfgs ...*aws.Config) *dynamodb.DynamoDB {
	return NewClient(s.Endpoint, cfgs...)
}

// NewClient returns a client of an endpoint, in the region of AWS_REGION or us-east-1. Unless
// the endpoint is one of AWS, the credentials are made up. What cfgs set overrides all that.
// It panics where the SDK can't read its configuration; it sends nothing.
func NewClient(endpoint string, cfgs ...*aws.Config) *dynamodb.DynamoDB {
	environment := environment()
	transport := environment.Config.HTTPClient.Transport.(*http.Transport)
	cfg := aws.NewConfig().WithEndpoint(endpoint).WithRegion("us-east-1").
		WithHTTPClient(&http.Client{Transport: transport.Clone()}) // connections of its own
	if region := os.Getenv("AWS_REGION"); region != "" {
		cfg.WithRegion(region)
	}
	if !strings.Contains(endpoint, ".amazonaws.com") {
		cfg.WithCredentials(credentials.NewStaticCredentials("local", "local", ""))
	}
	return newClient(environment.Copy(cfg), cfgs...)
}

// environment is what the SDK reads of the process' environment. It is read once: where
// AWS_CA_BUNDLE is set, that takes longer than all else of a client.
var environment = sync.OnceValue(func() *session.Session {
	return session.Must(session.NewSession(aws.NewConfig().
		// A transport of its own: the session may change it, for AWS_CA_BUNDLE.
		WithHTTPClient(&http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()})))
})

// newClient makes every client. The suite of the module sdkv2 puts its own in this place, by
// an overlay.
var newClient = dynamodb.New

// shared is the server of this test binary, or why it can't be had.
var shared struct {
	sync.Mutex
	server *Server
	err    error
}

// ForTest returns the server that all tests of this binary share. The first call starts it,
// see [Open], and blocks as that does; the others wait for it. With -short the test is
// skipped; where the server can't be had, this test and all later ones fail with the same
// error.
func ForTest(tb testing.TB) *Server {
	tb.Helper()
	if testing.Short() {
		tb.Skip("-short: left out, it needs DynamoDB Local")
	}
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = Open(context.Background())
	}
	if shared.err != nil {
		tb.Fatal(shared.err)
	}
	return shared.server
}

// Environ is the environment of a program that is to use DynamoDB at an endpoint. Where this
// process has no region and no credentials, it has made-up ones.
func Environ(endpoint string) []string {
	env := append(os.Environ(), EndpointEnv+"="+endpoint)
	for name, value := range map[string]string{
		"AWS_REGION":            "us-east-1",
		"AWS_ACCESS_KEY_ID":     "local",
		"AWS_SECRET_ACCESS_KEY": "local",
	} {
		if os.Getenv(name) == "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// SideBySide has so many tests run at once, unless -parallel says how many: for packages whose
// tests mostly wait. It is called before [Main].
func SideBySide(tests int) {
	flag.Parse()
	parallel := flag.Lookup("test.parallel")
	if parallel.Value.String() == parallel.DefValue {
		flag.Set("test.parallel", strconv.Itoa(tests))
	}
}

// Main is the whole of a TestMain: it runs the tests, stops the shared server, and exits with
// the tests' code. It doesn't return.
func Main(m *testing.M) {
	code := m.Run()
	shared.Lock()
	if shared.server != nil {
		if err := shared.server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	os.Exit(code)
}
