package chaos_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/chaos"
	"github.com/intercom/lease/internal/ddblocal"
)

// row is a row of DynamoDB's.
type row = map[string]*dynamodb.AttributeValue

func str(s string) *dynamodb.AttributeValue { return &dynamodb.AttributeValue{S: &s} }

func num(n int64) *dynamodb.AttributeValue {
	return &dynamodb.AttributeValue{N: aws.String(strconv.FormatInt(n, 10))}
}

// table is a lease table as an operator sees it: past all proxies.
type table struct {
	*lease.LockStore
	t         *testing.T
	ddb       *dynamodb.DynamoDB
	name      string
	transport *http.Transport
}

// newTable makes a table.
func newTable(t *testing.T, endpoint string) *table {
	made := &table{
		t:         t,
		name:      fmt.Sprintf("chaos-%016x", rand.Uint64()),
		transport: &http.Transport{MaxIdleConnsPerHost: 16},
	}
	t.Cleanup(made.transport.CloseIdleConnections)
	client := &http.Client{Transport: made.transport}
	made.ddb = ddblocal.NewClient(endpoint, &aws.Config{HTTPClient: client})
	made.LockStore = lease.NewLockStore(made.ddb, made.name, "id")
	require.NoError(t, made.EnsureTable())
	return made
}

// get reads a row.
func (f *table) get(item string) row {
	out, err := f.ddb.GetItem(&dynamodb.GetItemInput{
		TableName: &f.name, Key: row{"id": str(item)}, ConsistentRead: aws.Bool(true),
	})
	require.NoError(f.t, err)
	return out.Item
}

// holders returns which worker holds each item until after that moment, as the table says. What is
// reserved nobody holds.
func (f *table) holders(after time.Time) map[string]string {
	items, _, err := f.ScanLeaseItems("", 0)
	if err != nil {
		return nil
	}
	holders := make(map[string]string)
	for _, item := range items {
		isReserved := item.WantedBy == item.LesseeID && item.WantedUntil != 0
		if item.LesseeID != "" && !isReserved && item.Until.After(after) {
			holders[item.LeaseID] = item.LesseeID
		}
	}
	return holders
}

// measure measures the machine, until the test is over.
func measure(t *testing.T, endpoint string) *chaos.Machine {
	measured := newTable(t, endpoint)
	require.NoError(t, measured.AddLeaseID("a", nil))
	// When the server is gone, that is not a late reply.
	measured.ddb.Config.MaxRetries = aws.Int(0)
	request := func(ctx context.Context) error {
		_, err := measured.ddb.UpdateItemWithContext(ctx, &dynamodb.UpdateItemInput{
			TableName: &measured.name, Key: row{"id": str("a")},
			UpdateExpression:          aws.String("SET Measured = :now"),
			ExpressionAttributeValues: row{":now": num(time.Now().UnixNano())},
		})
		return err
	}
	process := func(ctx context.Context) error { return as(ctx, "nothing", "").Run() }
	machine := chaos.NewMachine(request, process)
	t.Cleanup(func() {
		machine.Stop()
		measured.transport.CloseIdleConnections()
	})
	return machine
}
