package leaseotel

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"reflect"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/dbconv"
	"go.opentelemetry.io/otel/trace"
)

// Client returns a copy of a client of DynamoDB whose requests have spans and are measured, for
// [lease.NewLockStore] and for whatever else. The client itself stays as it is. One of the module
// sdkv2 is fine too; one that is nil, or was not made by dynamodb.New, is returned.
//
// A span is of one call, with the SDK's retries in it. Its parent is the span of the context, if
// that comes from [Telemetry.Context]; else that of the tenure, of a renewal, release, handover,
// save or other write that only its holder makes; else the span of the context, if there is one:
// so it is for looks, leases and wishes, and the context is that of HoldShare, say.
//
// A condition that failed is no error, but an answer: the item is another's. The status of its
// span isn't set; its db.response.status_code says so.
func (t *Telemetry) Client(ddb *dynamodb.DynamoDB) *dynamodb.DynamoDB {
	if ddb == nil || ddb.Client == nil {
		return ddb
	}
	copied := *ddb.Client
	copied.Handlers = ddb.Handlers.Copy()
	h := &copied.Handlers
	h.Validate.SetFrontNamed(named("begin", t.requests.begin))
	h.CompleteAttempt.SetBackNamed(named("attempted", t.requests.attempted))
	h.Complete.SetBackNamed(named("end", t.requests.end))
	return &dynamodb.DynamoDB{Client: &copied}
}

func named(what string, call func(r *request.Request)) request.NamedHandler {
	return request.NamedHandler{Name: "leaseotel." + what, Fn: call}
}

// requests makes the spans of requests, and measures them.
type requests struct {
	tracer       trace.Tracer
	attributes   []attribute.KeyValue
	duration     dbconv.ClientOperationDuration
	tenures      *tenures
	asksCapacity bool
}

// sent is a request that was begun. It goes with the request's context.
type sent struct {
	span       trace.Span
	begun      time.Time
	attributes []attribute.KeyValue // of its measurement
}

type sentKey struct{}

// begin begins the span of a request. It is the first handler.
func (rs *requests) begin(r *request.Request) {
	if r.IsPresigned() { // It isn't sent here.
		return
	}
	if rs.asksCapacity {
		askCapacity(r)
	}
	all := append([]attribute.KeyValue(nil), rs.attributes...)
	all = append(all, attributesOfRequest(r)...)
	s := &sent{begun: time.Now(), attributes: all}
	ctx := context.WithValue(r.Context(), sentKey{}, s)
	parent, own := rs.parentOf(ctx, r.Params)
	_, s.span = rs.tracer.Start(parent, "DynamoDB."+r.Operation.Name,
		trace.WithSpanKind(trace.SpanKindClient),
		trace.WithTimestamp(s.begun),
		trace.WithAttributes(all...),
		trace.WithAttributes(semconv.RPCSystemNameKey.String("aws-api")),
		trace.WithAttributes(semconv.AWSDynamoDBTableNames(tablesOf(r.Params)...)),
		trace.WithAttributes(own...),
	)
	r.SetContext(trace.ContextWithSpan(ctx, s.span))
}

// parentOf returns the context whose span is the parent of a request's, and the attributes that
// say of whose tenure that is.
func (rs *requests) parentOf(
	ctx context.Context, params any,
) (parent context.Context, own []attribute.KeyValue) {
	of := rs.tenures.ofRequest(conditionOf(params))
	if of == nil {
		return ctx, nil
	}
	own = append(own, itemKey.String(of.leaseID), tokenKey.Int64(of.token))
	if isInTenure(ctx) {
		return ctx, own
	}
	return trace.ContextWithSpan(ctx, of.span), own
}

// conditionOf returns the item that a write is of, and the values of its condition.
func conditionOf(params any) (leaseID string, values map[string]*dynamodb.AttributeValue) {
	var key map[string]*dynamodb.AttributeValue
	switch in := params.(type) {
	case *dynamodb.UpdateItemInput:
		key = in.Key
		values = in.ExpressionAttributeValues
	case *dynamodb.DeleteItemInput:
		key = in.Key
		values = in.ExpressionAttributeValues
	}
	if len(key) != 1 {
		return "", nil
	}
	for _, v := range key {
		if v != nil {
			leaseID = aws.StringValue(v.S)
		}
	}
	return leaseID, values
}

// attributesOfRequest are those of spans and measurements alike.
func attributesOfRequest(r *request.Request) []attribute.KeyValue {
	all := []attribute.KeyValue{
		semconv.DBSystemNameAWSDynamoDB,
		semconv.DBOperationName(r.Operation.Name),
	}
	if tables := tablesOf(r.Params); len(tables) == 1 {
		all = append(all, semconv.DBCollectionName(tables[0]))
	}
	if region := aws.StringValue(r.Config.Region); region != "" {
		all = append(all, semconv.CloudRegion(region))
	}
	return append(all, serverOf(r.ClientInfo.Endpoint)...)
}

// serverOf is where an endpoint is.
func serverOf(endpoint string) (all []attribute.KeyValue) {
	at, err := url.Parse(endpoint)
	if err != nil || at.Hostname() == "" {
		return nil
	}
	all = append(all, semconv.ServerAddress(at.Hostname()))
	port, err := strconv.Atoi(at.Port())
	if err == nil {
		all = append(all, semconv.ServerPort(port))
	}
	return all
}

// tablesOf are the names of the tables of a request of one table, or of a batch.
func tablesOf(params any) (tables []string) {
	switch in := params.(type) {
	case *dynamodb.BatchGetItemInput:
		for table := range in.RequestItems {
			tables = append(tables, table)
		}
		return tables
	case *dynamodb.BatchWriteItemInput:
		for table := range in.RequestItems {
			tables = append(tables, table)
		}
		return tables
	}
	if table, isThere := field(params, "TableName"); isThere {
		name, _ := table.Interface().(*string)
		if name != nil {
			tables = append(tables, *name)
		}
	}
	return tables
}

// field returns a field of what is pointed to.
func field(pointer any, name string) (of reflect.Value, isThere bool) {
	to := reflect.ValueOf(pointer)
	isStruct := to.Kind() == reflect.Pointer && !to.IsNil() && to.Elem().Kind() == reflect.Struct
	if !isStruct {
		return reflect.Value{}, false
	}
	of = to.Elem().FieldByName(name)
	return of, of.IsValid()
}

// askCapacity has a request ask for the capacity that it consumes, in a copy of its parameters:
// those are the caller's.
func askCapacity(r *request.Request) {
	const name = "ReturnConsumedCapacity"
	asked, isThere := field(r.Params, name)
	if !isThere || !asked.IsNil() {
		return
	}
	original := reflect.ValueOf(r.Params).Elem()
	copied := reflect.New(original.Type())
	copied.Elem().Set(original)
	copied.Elem().FieldByName(name).Set(reflect.ValueOf(
		aws.String(dynamodb.ReturnConsumedCapacityTotal)))
	r.Params = copied.Interface()
}

// attempted notes an attempt that failed, and after which the SDK may try again.
func (rs *requests) attempted(r *request.Request) {
	s := sentOf(r)
	if s == nil || r.Error == nil || isRefusal(r.Error) {
		return
	}
	s.span.AddEvent("attempt failed", trace.WithAttributes(
		errorType(r.Error),
		semconv.ExceptionMessage(r.Error.Error()),
		semconv.HTTPRequestResendCount(r.RetryCount),
	))
}

// sentOf returns what begin has noted; nil if it hasn't.
func sentOf(r *request.Request) *sent {
	s, _ := r.Context().Value(sentKey{}).(*sent)
	return s
}

// end ends the span of a request, and measures it. It is the last handler.
func (rs *requests) end(r *request.Request) {
	s := sentOf(r)
	if s == nil {
		return
	}
	outcome := outcomeOf(r)
	s.span.SetAttributes(outcome...)
	s.span.SetAttributes(detailsOf(r)...)
	if r.Error != nil && !isRefusal(r.Error) {
		s.span.SetStatus(codes.Error, r.Error.Error())
	}
	now := time.Now()
	s.span.End(trace.WithTimestamp(now))
	all := attribute.NewSet(append(s.attributes, outcome...)...)
	rs.duration.RecordSet(r.Context(), now.Sub(s.begun).Seconds(), all)
}

// isRefusal tells that the condition of a write failed.
func isRefusal(err error) bool {
	var failed *dynamodb.ConditionalCheckFailedException
	return errors.As(err, &failed)
}

// outcomeOf is what came of a request: of few values.
func outcomeOf(r *request.Request) (all []attribute.KeyValue) {
	if r.Error == nil {
		return nil
	}
	var answered awserr.RequestFailure
	if errors.As(r.Error, &answered) {
		all = append(all, semconv.DBResponseStatusCode(answered.Code()))
	}
	if isRefusal(r.Error) {
		return all
	}
	return append(all, errorType(r.Error))
}

// detailsOf are what else is known of a request that is over.
func detailsOf(r *request.Request) (all []attribute.KeyValue) {
	if r.RequestID != "" {
		all = append(all, semconv.AWSRequestID(r.RequestID))
	}
	if r.HTTPResponse != nil && r.HTTPResponse.StatusCode != 0 {
		all = append(all, semconv.HTTPResponseStatusCode(r.HTTPResponse.StatusCode))
	}
	if r.RetryCount > 0 {
		all = append(all, semconv.HTTPRequestResendCount(r.RetryCount))
	}
	if found, isScan := r.Data.(*dynamodb.ScanOutput); isScan && r.Error == nil {
		all = append(all,
			semconv.AWSDynamoDBCount(int(aws.Int64Value(found.Count))),
			semconv.AWSDynamoDBScannedCount(int(aws.Int64Value(found.ScannedCount))))
	}
	if consumed := consumedBy(r.Data); len(consumed) > 0 {
		all = append(all, semconv.AWSDynamoDBConsumedCapacity(consumed...))
	}
	return all
}

// consumedBy is the capacity that a reply says was consumed, in JSON, for each table.
func consumedBy(reply any) (all []string) {
	consumed, isThere := field(reply, "ConsumedCapacity")
	if !isThere {
		return nil
	}
	switch c := consumed.Interface().(type) {
	case *dynamodb.ConsumedCapacity:
		return appendConsumed(nil, c)
	case []*dynamodb.ConsumedCapacity:
		for _, each := range c {
			all = appendConsumed(all, each)
		}
	}
	return all
}

func appendConsumed(all []string, c *dynamodb.ConsumedCapacity) []string {
	if c == nil {
		return all
	}
	text, err := json.Marshal(struct{ TableName, CapacityUnits any }{
		aws.StringValue(c.TableName), aws.Float64Value(c.CapacityUnits),
	})
	if err != nil { // A number that is none.
		return all
	}
	return append(all, string(text))
}
