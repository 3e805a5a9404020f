package sdkv2_test

import (
	"fmt"
	"net/http"
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
	ddblocal.SideBySide(8)
	ddblocal.Main(m)
}

// configOf returns one of v2's, for an endpoint, with credentials that are made up.
func configOf(client awsv2.HTTPClient, endpoint string) awsv2.Config {
	return awsv2.Config{
		Region:       "us-east-1",
		HTTPClient:   client,
		BaseEndpoint: &endpoint,
		Credentials:  credentials.NewStaticCredentialsProvider("local", "local", ""),
	}
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

// for5m is a LeaseRequest.
type for5m string

func (w for5m) LesseeID() string           { return string(w) }
func (for5m) LeaseDuration() time.Duration { return 5 * time.Minute }
