package sdkv2_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	awsv2 "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	v1 "github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
)

func TestMain(m *testing.M) {
	lease.SetLogger(nil)
	ddblocal.Main(m)
}

// configOf returns one of v2's, for an endpoint, with credentials that are made up.
func configOf(client awsv2.HTTPClient, endpoint string) awsv2.Config {
	return awsv2.Config{Region: "us-east-1", HTTPClient: client, BaseEndpoint: &endpoint,
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", "")}
}

// newTransport returns a transport that is closed when the test is over.
func newTransport(tb testing.TB) *http.Transport {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	tb.Cleanup(transport.CloseIdleConnections)
	return transport
}

var tables atomic.Int64

// newTable makes a table with these lease items, which is deleted when the test is over.
func newTable(tb testing.TB, ddb *v1.DynamoDB, ids ...string) string {
	tb.Helper()
	table := fmt.Sprintf("sdkv2-%d-%d", time.Now().UnixNano(), tables.Add(1))
	store := lease.NewLockStore(ddb, table, "id")
	require.NoError(tb, store.EnsureTable())
	tb.Cleanup(func() { ddb.DeleteTable(&v1.DeleteTableInput{TableName: &table}) })
	for _, id := range ids {
		require.NoError(tb, store.AddLeaseID(id, nil))
	}
	return table
}

// roundTrip makes a function a transport.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answer is a response as DynamoDB's.
func answer(r *http.Request, status int, body string) *http.Response {
	return &http.Response{Request: r, StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, ContentLength: int64(len(body)),
		Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{"X-Amzn-Requestid": {"REQUEST"},
			"Date": {time.Now().UTC().Format(http.TimeFormat)}, "Content-Type": {"application/x-amz-json-1.0"}}}
}
