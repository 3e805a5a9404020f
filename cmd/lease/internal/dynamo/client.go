// Package dynamo reaches a table: it finds it, reads and watches it, writes what the library
// doesn't, and explains what goes wrong.
package dynamo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
	"github.com/intercom/lease/cmd/lease/internal/exit"
	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/say"
)

// Address is where a table is to be found, by the flags, and its client once there is one.
type Address struct {
	Table, Key, Region, Endpoint string
	Client                       atomic.Pointer[Client]
}

// Client is a table, and how to reach it.
type Client struct {
	*lease.LockStore
	DDB        *dynamodb.DynamoDB
	Table, Key string
	wide       bool // items have their own attributes too
	failed     failures
	attempt    atomic.Value // attempted: what the last attempt at a request came to
	skew       atomic.Int64 // a time.Duration: how far this host's clock is ahead, by the last reply
}

// How often the SDK may repeat a request. Where somebody waits for an answer, it is not to go on
// for half a minute.
const (
	FewRetries = 3  // it gives up after a second, or after some 12 if nothing answers
	SDKRetries = -1 // as many as is its own default
)

// Open returns the client of a table that is there.
func (a *Address) Open(ctx context.Context, retries int) (*Client, error) {
	c, err := a.Connect(retries)
	if err != nil {
		return nil, err
	}
	return c, c.Reach(ctx)
}

// Reach makes sure that the table is there. After a reply the database's clock is known.
func (c *Client) Reach(ctx context.Context) error {
	if c.Key == "" {
		key, err := c.askKey(ctx)
		if err != nil {
			return err
		}
		c.Key = key
	}
	c.LockStore = lease.NewLockStore(c.DDB, c.Table, c.Key)
	return c.learnClock(ctx)
}

// Connect returns a client that has sent nothing. Its key may be missing.
func (a *Address) Connect(retries int) (*Client, error) {
	if a.Table == "" {
		return nil, exit.Usagef("no table: give -table NAME, or set LEASE_TABLE")
	}
	if a.Endpoint == "" {
		a.Endpoint = endpointOfEnvironment()
	}
	if a.Endpoint != "" && !isURL(a.Endpoint) {
		return nil, exit.Usagef("the endpoint %q is no URL: want http://HOST:PORT or https://HOST",
			a.Endpoint)
	}
	s, err := a.newSession(retries)
	if err != nil {
		return nil, fmt.Errorf("the AWS configuration can't be used: %w", err)
	}
	c := &Client{DDB: dynamodb.New(s), Table: a.Table, Key: a.Key}
	c.DDB.Handlers.Complete.PushBack(c.failed.note)
	c.DDB.Handlers.CompleteAttempt.PushBack(c.noteAttempt)
	a.Endpoint = c.DDB.Endpoint
	a.Client.Store(c)
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
func (a *Address) newSession(retries int) (*session.Session, error) {
	config := aws.NewConfig().WithMaxRetries(retries)
	config.WithHTTPClient(&http.Client{Transport: transport(retries)})
	if a.Region != "" {
		config.WithRegion(a.Region)
	}
	if a.Endpoint != "" {
		config.WithEndpoint(a.Endpoint)
	}
	s, err := session.NewSessionWithOptions(session.Options{
		Config:            *config,
		SharedConfigState: session.SharedConfigEnable,
	})
	if err != nil {
		return nil, err
	}

	// DynamoDB Local takes any region, but the SDK wants one.
	ofAWS := a.Endpoint == "" || strings.Contains(a.Endpoint, ".amazonaws.com")
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
	if retries == FewRetries {
		t.ResponseHeaderTimeout = 3 * time.Second
	}
	return t
}

// WithOwnAttributes returns a client of the same table whose items have their own attributes too.
func (c *Client) WithOwnAttributes() *Client {
	return &Client{LockStore: c.LockStore, DDB: c.DDB, Table: c.Table, Key: c.Key, wide: true}
}

// failures are the latest ones, and of which operations they are: the SDK's errors don't say.
type failures struct {
	mu     sync.Mutex
	latest []operationsError
}

type operationsError struct {
	operation string
	err       error
}

// note remembers what a request, or an attempt at it, has come to.
func (f *failures) note(r *request.Request) {
	const most = 32
	if r.Error == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.latest = append(f.latest, operationsError{r.Operation.Name, r.Error})
	if len(f.latest) > most {
		f.latest = slices.Clone(f.latest[1:])
	}
}

// operation says of which operation an error is; "" if that isn't known.
func (f *failures) operation(err error) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, failed := range slices.Backward(f.latest) {
		if errors.Is(err, failed.err) {
			return failed.operation
		}
	}
	return ""
}

// attempted is what an attempt at a request came to.
type attempted struct{ err error }

// noteAttempt remembers what the last attempt came to. The SDK repeats what fails, for long, and
// says nothing meanwhile.
func (c *Client) noteAttempt(r *request.Request) {
	c.failed.note(r)
	c.noteSkew(r.HTTPResponse)
	err := r.Error
	if isRefused(err) { // That is an answer.
		err = nil
	}
	if !IsCutOff(err) { // Why it took so long the attempt before says.
		c.attempt.Store(attempted{err})
	}
}

// noteSkew remembers how this host's clock differs from what a reply says.
func (c *Client) noteSkew(reply *http.Response) {
	if reply == nil {
		return
	}
	date, err := http.ParseTime(reply.Header.Get("Date"))
	if err == nil {
		c.skew.Store(int64(time.Since(date)))
	}
}

// LastFailure is why the last attempt at a request has failed; nil if it hasn't.
func (c *Client) LastFailure() error {
	last, _ := c.attempt.Load().(attempted)
	return last.err
}

// askKey asks the table for its hash key's name.
func (c *Client) askKey(ctx context.Context) (string, error) {
	input := &dynamodb.DescribeTableInput{TableName: &c.Table}
	out, err := c.DDB.DescribeTableWithContext(ctx, input)
	if err != nil {
		return "", err
	}
	for _, element := range out.Table.KeySchema {
		if aws.StringValue(element.KeyType) == dynamodb.KeyTypeHash {
			return *element.AttributeName, nil
		}
	}
	return "", fmt.Errorf("table %q has no hash key", c.Table)
}

// learnClock makes the library's store hear from the database, whose clock it then knows. It also
// finds a table that is no table of lease items.
func (c *Client) learnClock(ctx context.Context) error {
	_, _, err := c.ScanLeaseItemsWithContext(ctx, "", 1)
	return err
}

// now is the time by the database's clock.
func (c *Client) now() time.Time { return time.Now().Add(c.correction()) }

// Region is where the table is, for AWS.
func (c *Client) Region() string { return aws.StringValue(c.DDB.Config.Region) }

// correction is what the store adds to this host's clock: by how much it moves the end that a row
// shows.
func (c *Client) correction() time.Duration {
	at := time.Now().UnixNano()
	item, err := c.ParseLeaseItem(fleet.Row{c.Key: {S: aws.String("-")}, "LeaseUntil": fleet.Number(at)})
	if err != nil {
		return 0
	}
	return time.Unix(0, at).Sub(item.Until)
}

// PageRows is how many rows a page has at most: the SDK takes some 10 KB of memory for 1 KB of a
// page of small rows.
const PageRows = 2000

// Cost is what reading a table took.
type Cost struct {
	Pages int
	Units float64 // read units
}

// eachPage is called with each page of a table; after an error with no more.
type eachPage func(page []fleet.Item) error

// Scan reads all rows, and calls each with each page of them.
func (c *Client) Scan(ctx context.Context, consistent bool, each eachPage) (Cost, error) {
	projection, names := c.projection()
	input := &dynamodb.ScanInput{
		TableName:                &c.Table,
		ProjectionExpression:     projection,
		ExpressionAttributeNames: names,
		ConsistentRead:           &consistent,
		Limit:                    aws.Int64(PageRows),
		ReturnConsumedCapacity:   aws.String(dynamodb.ReturnConsumedCapacityTotal),
	}
	var sum Cost
	var failed error
	err := c.DDB.ScanPagesWithContext(ctx, input, func(out *dynamodb.ScanOutput, _ bool) bool {
		sum.Pages++
		if out.ConsumedCapacity != nil {
			sum.Units += aws.Float64Value(out.ConsumedCapacity.CapacityUnits)
		}
		failed = each(c.parsePage(out.Items))
		return failed == nil
	})
	if failed != nil {
		return sum, failed
	}
	return sum, err
}

func (c *Client) parsePage(rows []fleet.Row) []fleet.Item {
	page := make([]fleet.Item, len(rows))
	for n, attributes := range rows {
		page[n] = c.parse(attributes)
	}
	return page
}

// Get reads one row; there is none if it returns false.
func (c *Client) Get(ctx context.Context, id string) (i fleet.Item, found bool, err error) {
	if id == "" {
		return fleet.Item{}, false, errNoName
	}
	projection, names := c.projection()
	out, err := c.DDB.GetItemWithContext(ctx, &dynamodb.GetItemInput{
		TableName:                &c.Table,
		Key:                      fleet.Row{c.Key: {S: &id}},
		ProjectionExpression:     projection,
		ExpressionAttributeNames: names,
		ConsistentRead:           aws.Bool(true),
	})
	if err != nil || len(out.Item) == 0 {
		return fleet.Item{}, false, err
	}
	return c.parse(out.Item), true, nil
}

var errNoName = exit.Usagef("the item's name is empty")

// Find is get of a row that is to be there.
func (c *Client) Find(ctx context.Context, id string) (fleet.Item, error) {
	i, found, err := c.Get(ctx, id)
	if err != nil {
		return fleet.Item{}, err
	}
	if !found {
		return fleet.Item{}, c.Missing(id)
	}
	return i, nil
}

func (c *Client) Missing(id string) error {
	return fmt.Errorf("there is no item %s in table %q", say.Name(id), c.Table)
}

// Unanswered says why there is no answer.
func (a *Address) Unanswered() string {
	c := a.Client.Load()
	if c == nil {
		return "for the AWS configuration"
	}
	if err := c.LastFailure(); err != nil {
		return a.Explain(err)
	}
	return "for an answer from " + a.Endpoint
}
