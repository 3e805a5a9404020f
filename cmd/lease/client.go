package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
)

// address is where a table is to be found, by the flags, and its client once there is one.
type address struct {
	table, key, region, endpoint string
	client                       atomic.Pointer[client]
}

// client is a table, and how to reach it.
type client struct {
	*lease.LockStore
	ddb        *dynamodb.DynamoDB
	table, key string
	wide       bool         // items have their own attributes too
	failed     atomic.Value // string: the operation that failed last
	attempt    atomic.Value // attempted: what the last attempt at a request came to
	skew       atomic.Int64 // a time.Duration: how far this host's clock is ahead, by the last reply
}

// How often the SDK may repeat a request. Where somebody waits for an answer, it is not to go on
// for half a minute.
const (
	fewRetries = 3  // it gives up after a second, or after some 12 if nothing answers
	sdkRetries = -1 // as many as is its own default
)

// open returns the client of a table that is there.
func (a *address) open(ctx context.Context, retries int) (*client, error) {
	c, err := a.connect(retries)
	if err != nil {
		return nil, err
	}
	return c, c.reach(ctx)
}

// reach makes sure that the table is there. After a reply the database's clock is known.
func (c *client) reach(ctx context.Context) error {
	if c.key == "" {
		key, err := c.askKey(ctx)
		if err != nil {
			return err
		}
		c.key = key
	}
	c.LockStore = lease.NewLockStore(c.ddb, c.table, c.key)
	return c.learnClock(ctx)
}

// connect returns a client that has sent nothing. Its key may be missing.
func (a *address) connect(retries int) (*client, error) {
	if a.table == "" {
		return nil, usagef("no table: give -table NAME, or set LEASE_TABLE")
	}
	if a.endpoint == "" {
		a.endpoint = endpointOfEnvironment()
	}
	if a.endpoint != "" && !isURL(a.endpoint) {
		return nil, usagef("the endpoint %q is no URL: want http://HOST:PORT or https://HOST",
			a.endpoint)
	}
	s, err := a.newSession(retries)
	if err != nil {
		return nil, fmt.Errorf("the AWS configuration can't be used: %w", err)
	}
	c := &client{ddb: dynamodb.New(s), table: a.table, key: a.key}
	c.ddb.Handlers.Complete.PushBack(c.noteFailure)
	c.ddb.Handlers.CompleteAttempt.PushBack(c.noteAttempt)
	a.endpoint = c.ddb.Endpoint
	a.client.Store(c)
	return c, nil
}

// endpointOfEnvironment returns the endpoint that the environment names: the SDK reads none of
// these.
func endpointOfEnvironment() string {
	return cmp.Or(
		os.Getenv("AWS_ENDPOINT_URL_DYNAMODB"),
		os.Getenv("AWS_ENDPOINT_URL"),
		os.Getenv("DYNAMODB_ENDPOINT"),
	)
}

func isURL(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return false
	}
	return u.Scheme == "http" || u.Scheme == "https"
}

// newSession returns the SDK's session, with the region and the endpoint of the flags.
func (a *address) newSession(retries int) (*session.Session, error) {
	config := aws.NewConfig().WithMaxRetries(retries)
	config.WithHTTPClient(&http.Client{Transport: transport(retries)})
	if a.region != "" {
		config.WithRegion(a.region)
	}
	if a.endpoint != "" {
		config.WithEndpoint(a.endpoint)
	}
	s, err := session.NewSessionWithOptions(session.Options{
		Config:            *config,
		SharedConfigState: session.SharedConfigEnable,
	})
	if err != nil {
		return nil, err
	}

	// DynamoDB Local takes any region, but the SDK wants one.
	ofAWS := a.endpoint == "" || strings.Contains(a.endpoint, ".amazonaws.com")
	if !ofAWS && aws.StringValue(s.Config.Region) == "" {
		s.Config.WithRegion("us-east-1")
	}
	return s, nil
}

// transport gives up on a host that doesn't answer sooner than the SDK's own.
func transport(retries int) *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = dialer.DialContext
	t.MaxIdleConnsPerHost = 64
	t.ResponseHeaderTimeout = 20 * time.Second
	if retries == fewRetries {
		t.ResponseHeaderTimeout = 3 * time.Second
	}
	return t
}

// noteFailure remembers what failed: the SDK's errors don't say.
func (c *client) noteFailure(r *request.Request) {
	if r.Error != nil {
		c.failed.Store(r.Operation.Name)
	}
}

// attempted is what an attempt at a request came to.
type attempted struct{ err error }

// noteAttempt remembers what the last attempt came to. The SDK repeats what fails, for long, and
// says nothing meanwhile.
func (c *client) noteAttempt(r *request.Request) {
	c.failed.Store(r.Operation.Name)
	c.noteSkew(r.HTTPResponse)
	err := r.Error
	if isRefused(err) { // That is an answer.
		err = nil
	}
	var sdk awserr.Error
	isCutOff := errors.As(err, &sdk) && sdk.Code() == request.CanceledErrorCode
	if !isCutOff { // Why it took so long the attempt before says.
		c.attempt.Store(attempted{err})
	}
}

// noteSkew remembers how this host's clock differs from what a reply says.
func (c *client) noteSkew(reply *http.Response) {
	if reply == nil {
		return
	}
	date, err := http.ParseTime(reply.Header.Get("Date"))
	if err == nil {
		c.skew.Store(int64(time.Since(date)))
	}
}

// lastFailure is why the last attempt at a request has failed; nil if it hasn't.
func (c *client) lastFailure() error {
	last, _ := c.attempt.Load().(attempted)
	return last.err
}

// askKey asks the table for its hash key's name.
func (c *client) askKey(ctx context.Context) (string, error) {
	input := &dynamodb.DescribeTableInput{TableName: &c.table}
	out, err := c.ddb.DescribeTableWithContext(ctx, input)
	if err != nil {
		return "", err
	}
	for _, element := range out.Table.KeySchema {
		if aws.StringValue(element.KeyType) == dynamodb.KeyTypeHash {
			return *element.AttributeName, nil
		}
	}
	return "", fmt.Errorf("table %q has no hash key", c.table)
}

// learnClock makes the library's store hear from the database, whose clock it then knows. It also
// finds a table that is no table of lease items.
func (c *client) learnClock(ctx context.Context) error {
	_, _, err := c.ScanLeaseItemsWithContext(ctx, "", 1)
	return err
}

// now is the time by the database's clock.
func (c *client) now() time.Time { return time.Now().Add(c.correction()) }

// region is where the table is, for AWS.
func (c *client) region() string { return aws.StringValue(c.ddb.Config.Region) }

// correction is what the store adds to this host's clock: by how much it moves the end that a row
// shows.
func (c *client) correction() time.Duration {
	at := time.Now().UnixNano()
	item, err := c.ParseLeaseItem(row{c.key: {S: aws.String("-")}, "LeaseUntil": number(at)})
	if err != nil {
		return 0
	}
	return time.Unix(0, at).Sub(item.Until)
}

// pageRows is how many rows a page has at most: the SDK takes some 10 KB of memory for 1 KB of a
// page of small rows.
const pageRows = 2000

// cost is what reading a table took.
type cost struct {
	pages int
	units float64 // read units
}

// eachPage is called with each page of a table; after an error with no more.
type eachPage func(page []item) error

// scan reads all rows, and calls each with each page of them.
func (c *client) scan(ctx context.Context, consistent bool, each eachPage) (cost, error) {
	projection, names := c.projection()
	input := &dynamodb.ScanInput{
		TableName:                &c.table,
		ProjectionExpression:     projection,
		ExpressionAttributeNames: names,
		ConsistentRead:           &consistent,
		Limit:                    aws.Int64(pageRows),
		ReturnConsumedCapacity:   aws.String(dynamodb.ReturnConsumedCapacityTotal),
	}
	var sum cost
	var failed error
	err := c.ddb.ScanPagesWithContext(ctx, input, func(out *dynamodb.ScanOutput, _ bool) bool {
		sum.pages++
		if out.ConsumedCapacity != nil {
			sum.units += aws.Float64Value(out.ConsumedCapacity.CapacityUnits)
		}
		failed = each(c.parsePage(out.Items))
		return failed == nil
	})
	if failed != nil {
		return sum, failed
	}
	return sum, err
}

func (c *client) parsePage(rows []row) []item {
	page := make([]item, len(rows))
	for n, attributes := range rows {
		page[n] = c.parse(attributes)
	}
	return page
}

// get reads one row; there is none if it returns false.
func (c *client) get(ctx context.Context, id string) (i item, found bool, err error) {
	if id == "" {
		return item{}, false, errNoName
	}
	projection, names := c.projection()
	out, err := c.ddb.GetItemWithContext(ctx, &dynamodb.GetItemInput{
		TableName:                &c.table,
		Key:                      row{c.key: {S: &id}},
		ProjectionExpression:     projection,
		ExpressionAttributeNames: names,
		ConsistentRead:           aws.Bool(true),
	})
	if err != nil || len(out.Item) == 0 {
		return item{}, false, err
	}
	return c.parse(out.Item), true, nil
}

var errNoName = usagef("the item's name is empty")

// find is get of a row that is to be there.
func (c *client) find(ctx context.Context, id string) (item, error) {
	i, found, err := c.get(ctx, id)
	if err != nil {
		return item{}, err
	}
	if !found {
		return item{}, c.missing(id)
	}
	return i, nil
}

func (c *client) missing(id string) error {
	return fmt.Errorf("there is no item %s in table %q", show(id), c.table)
}

// unanswered says why there is no answer.
func (a *address) unanswered() string {
	c := a.client.Load()
	if c == nil {
		return "for the AWS configuration"
	}
	if err := c.lastFailure(); err != nil {
		return a.explain(err)
	}
	return "for an answer from " + a.endpoint
}
