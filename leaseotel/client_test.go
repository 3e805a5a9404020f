package leaseotel_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
	"github.com/intercom/lease/leaseotel"
)

var tables atomic.Int64

// actual is a Locker on DynamoDB Local, which is observed, with its requests.
type actual struct {
	*observation
	client *dynamodb.DynamoDB
	table  string
	store  *lease.LockStore
	locker *lease.Locker
}

// newActual makes a table with one item, "alice". What was sent for that has no spans.
func newActual(t *testing.T, options ...leaseotel.Option) *actual {
	t.Parallel()
	plain := ddblocal.ForTest(t).Client()
	r := &actual{
		observation: newObservation(t, options...),
		table:       fmt.Sprintf("leaseotel-%d-%d", time.Now().UnixNano(), tables.Add(1)),
	}
	setUp := lease.NewLockStore(plain, r.table, "id")
	require.NoError(t, setUp.EnsureTable())
	t.Cleanup(func() { plain.DeleteTable(&dynamodb.DeleteTableInput{TableName: &r.table}) })
	require.NoError(t, setUp.AddLeaseID("alice", nil))
	r.client = r.telemetry.Client(plain)
	r.store = lease.NewLockStore(r.client, r.table, "id")
	r.locker = lease.NewLocker(r.store)
	r.telemetry.Observe(r.locker)
	return r
}

// requests are the spans of an operation, in the order in which they have ended.
func (o *observation) requests(operation string) (requests []tracetest.SpanStub) {
	for _, span := range o.spans.GetSpans() {
		if span.Name == "DynamoDB."+operation {
			requests = append(requests, span)
		}
	}
	return requests
}

func TestClientsRequestsAreChildrenOfTheTenureOrOfTheCaller(t *testing.T) {
	r := newActual(t)
	ctx, caller := r.tracer().Start(t.Context(), "caller")
	var user trace.Span
	work := func(ctx context.Context, l *lease.Lease) error {
		plain := ctx
		ctx = r.telemetry.Context(ctx, l)
		// As the Locker does, in ten seconds.
		if err := r.store.RenewLeaseWithContext(plain, l, time.Now().Add(time.Minute)); err != nil {
			return err
		}
		ctx, user = r.tracer().Start(ctx, "user")
		defer user.End()
		seen := map[string]*dynamodb.AttributeValue{"Seen": {N: aws.String("1")}}
		return r.locker.SaveAttributes(ctx, l, seen)
	}
	require.NoError(t, r.locker.Hold(ctx, for30s("w1"), work))
	require.NoError(t, r.telemetry.Shutdown(t.Context()))
	tenure := r.tenure().SpanContext
	looks := r.requests("Scan")
	require.NotEmpty(t, looks)
	for _, look := range looks {
		assert.Equal(t, caller.SpanContext().SpanID(), look.Parent.SpanID())
	}
	writes := r.requests("UpdateItem")
	require.Len(t, writes, 4)
	parents := make(map[trace.SpanID]int)
	for _, write := range writes {
		parents[write.Parent.SpanID()]++
	}
	assert.Equal(t, map[trace.SpanID]int{
		caller.SpanContext().SpanID(): 1, // the lease
		tenure.SpanID():               2, // the renewal and the release
		user.SpanContext().SpanID():   1, // the save
	}, parents)
	release := writes[3]
	assert.Equal(t, tenure.SpanID(), release.Parent.SpanID())
	got := attributesOf(release.Attributes)
	assert.Equal(t, "alice", got["lease.item"])
	token := attributesOf(r.tenure().Attributes)["lease.fencing_token"]
	assert.Equal(t, token, got["lease.fencing_token"])
}

func TestClientsRequestWithoutASpanInItsContextIsARoot(t *testing.T) {
	r := newActual(t)
	_, err := r.store.ListLeaseIDs()
	require.NoError(t, err)
	scan := r.requests("Scan")[0]
	assert.False(t, scan.Parent.IsValid())
	assert.Equal(t, trace.SpanKindClient, scan.SpanKind)
	assert.Equal(t, codes.Unset, scan.Status.Code)
	got := attributesOf(scan.Attributes)
	for key, want := range map[string]any{
		"db.system.name":             "aws.dynamodb",
		"db.operation.name":          "Scan",
		"db.collection.name":         r.table,
		"aws.dynamodb.table_names":   []string{r.table},
		"aws.dynamodb.count":         int64(1),
		"aws.dynamodb.scanned_count": int64(1),
		"rpc.system.name":            "aws-api",
		"cloud.region":               *r.client.Config.Region,
		"http.response.status_code":  int64(http.StatusOK),
	} {
		assert.Equal(t, want, got[key], key)
	}
	assert.NotEmpty(t, got["aws.request_id"])
	assert.NotEmpty(t, got["server.address"])
	assert.NotContains(t, got, "aws.dynamodb.consumed_capacity")
	assert.NotContains(t, got, "http.request.resend_count")
	for series, point := range r.histogram("db.client.operation.duration") {
		assert.Contains(t, series, "db.operation.name=Scan")
		assert.Equal(t, uint64(1), point.Count)
		took := scan.EndTime.Sub(scan.StartTime).Seconds()
		assert.InDelta(t, took, point.Sum, 1e-6)
	}
}

func TestClientThatAsksForConsumedCapacity(t *testing.T) {
	r := newActual(t, leaseotel.WithConsumedCapacity())
	in := &dynamodb.ScanInput{TableName: &r.table}
	_, err := r.client.Scan(in)
	require.NoError(t, err)
	assert.Nil(t, in.ReturnConsumedCapacity, "it is the caller's")
	batch := map[string]*dynamodb.KeysAndAttributes{
		r.table: {Keys: []map[string]*dynamodb.AttributeValue{{"id": {S: aws.String("alice")}}}},
	}
	_, err = r.client.BatchGetItem(&dynamodb.BatchGetItemInput{RequestItems: batch})
	require.NoError(t, err)
	_, err = r.client.DescribeTable(&dynamodb.DescribeTableInput{TableName: &r.table})
	require.NoError(t, err)
	for _, operation := range []string{"Scan", "BatchGetItem"} {
		got := attributesOf(r.requests(operation)[0].Attributes)
		assert.Equal(t, []string{r.table}, got["aws.dynamodb.table_names"], operation)
		consumed := got["aws.dynamodb.consumed_capacity"].([]string)
		require.Len(t, consumed, 1)
		var parsed struct {
			TableName     string
			CapacityUnits float64
		}
		require.NoError(t, json.Unmarshal([]byte(consumed[0]), &parsed))
		assert.Equal(t, r.table, parsed.TableName)
		assert.Equal(t, 0.5, parsed.CapacityUnits)
	}
	assert.NotContains(t, attributesOf(r.requests("DescribeTable")[0].Attributes),
		"aws.dynamodb.consumed_capacity")
}

func TestClientsRefusedWriteIsNoError(t *testing.T) {
	r := newActual(t)
	soon := time.Now().Add(time.Minute)
	_, err := r.store.Lease("alice", for30s("w1"), soon)
	require.NoError(t, err)
	_, err = r.store.Lease("alice", for30s("w2"), soon)
	require.Equal(t, lease.LeaseNotObtainedError, err)
	writes := r.requests("UpdateItem")
	refused := writes[len(writes)-1]
	assert.Equal(t, codes.Unset, refused.Status.Code)
	got := attributesOf(refused.Attributes)
	assert.Equal(t, "ConditionalCheckFailedException", got["db.response.status_code"])
	assert.Equal(t, int64(http.StatusBadRequest), got["http.response.status_code"])
	assert.NotContains(t, got, "error.type")
	assert.Empty(t, refused.Events)
}

func TestClientsFailedRequestIsAnError(t *testing.T) {
	r := newActual(t)
	_, err := lease.NewLockStore(r.client, "no-such-table", "id").ListLeaseIDs()
	require.Error(t, err)
	failed := r.requests("Scan")[0]
	assert.Equal(t, codes.Error, failed.Status.Code)
	got := attributesOf(failed.Attributes)
	assert.Equal(t, "ResourceNotFoundException", got["error.type"])
	assert.Equal(t, "ResourceNotFoundException", got["db.response.status_code"])
	assert.NotContains(t, got, "aws.dynamodb.count")
	for series := range r.histogram("db.client.operation.duration") {
		assert.Contains(t, series, "error.type=ResourceNotFoundException")
	}
}

func TestClientsRetriesAreEventsOfOneSpan(t *testing.T) {
	r := newActual(t)
	fails := 2
	r.client.Handlers.Send.PushFront(func(req *request.Request) {
		if fails > 0 {
			fails--
			req.Error = awserr.New(request.ErrCodeRequestError, "no", errors.New("no"))
			req.Retryable = aws.Bool(true)
		}
	})
	_, err := r.client.DescribeTable(&dynamodb.DescribeTableInput{TableName: &r.table})
	require.NoError(t, err)
	described := r.requests("DescribeTable")
	require.Len(t, described, 1)
	assert.Equal(t, []string{"attempt failed", "attempt failed"}, eventsOf(described[0]))
	got := attributesOf(described[0].Attributes)
	assert.Equal(t, int64(2), got["http.request.resend_count"])
	assert.NotContains(t, got, "error.type")
}

// What the SDK refuses before it sends anything has a span, too.
func TestClientsInvalidRequestHasASpan(t *testing.T) {
	o := newObservation(t)
	ddb := o.telemetry.Client(ddblocal.NewClient("http://127.0.0.1:1"))
	_, err := ddb.GetItem(&dynamodb.GetItemInput{})
	require.Error(t, err)
	got := o.requests("GetItem")
	require.Len(t, got, 1)
	assert.Equal(t, codes.Error, got[0].Status.Code)
	assert.Equal(t, request.InvalidParameterErrCode, attributesOf(got[0].Attributes)["error.type"])
}

// Whoever gets its URL may send it, or not.
func TestClientsPresignedRequestHasNoSpan(t *testing.T) {
	o := newObservation(t)
	ddb := o.telemetry.Client(ddblocal.NewClient("http://127.0.0.1:1"))
	presigned, _ := ddb.DescribeTableRequest(&dynamodb.DescribeTableInput{
		TableName: aws.String("mailboxes"),
	})
	_, err := presigned.Presign(time.Minute)
	require.NoError(t, err)
	assert.Empty(t, o.spans.GetSpans())
	assert.NotContains(t, o.metrics(), "db.client.operation.duration")
}

func TestClientLeavesTheOriginalAsItIs(t *testing.T) {
	o := newObservation(t)
	original := ddblocal.NewClient("http://127.0.0.1:1")
	once := o.telemetry.Client(original)
	twice := o.telemetry.Client(once)
	_, err := original.GetItem(&dynamodb.GetItemInput{})
	require.Error(t, err)
	assert.Empty(t, o.spans.GetSpans())
	_, err = twice.GetItem(&dynamodb.GetItemInput{})
	require.Error(t, err)
	assert.Len(t, o.spans.GetSpans(), 1)
	assert.Nil(t, o.telemetry.Client(nil))
	notMade := &dynamodb.DynamoDB{}
	assert.Same(t, notMade, o.telemetry.Client(notMade))
}
