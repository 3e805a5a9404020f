package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
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

// client is a table, and how to reach it.
type client struct {
	*lease.LockStore
	ddb        *dynamodb.DynamoDB
	table, key string
	failed     atomic.Value // string: the operation that failed last
}

// open returns the client of a table that is there. It has had a reply, so it knows the database's clock. Where somebody
// waits for an answer, the SDK is not to retry for half a minute: retries is how often it may.
func (a *app) open(ctx context.Context, retries int) (*client, error) {
	c, err := a.connect(retries)
	if err != nil {
		return nil, err
	}
	if c.key == "" {
		if c.key, err = c.askKey(ctx); err != nil {
			return nil, err
		}
	}
	c.LockStore = lease.NewLockStore(c.ddb, c.table, c.key)
	return c, c.learnClock(ctx)
}

const fewRetries = 3 // it gives up after a second, or after some 12 if nothing answers
const sdkRetries = -1

// connect returns a client that has sent nothing. Its key may be missing.
func (a *app) connect(retries int) (*client, error) {
	if a.table == "" {
		return nil, usagef("no table: give -table NAME, or set LEASE_TABLE")
	}
	config := aws.NewConfig().WithHTTPClient(&http.Client{Transport: transport(retries)}).WithMaxRetries(retries)
	if a.region != "" {
		config.WithRegion(a.region)
	}
	if a.endpoint == "" { // The SDK reads none of these.
		for _, name := range []string{"AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL", "DYNAMODB_ENDPOINT"} {
			if a.endpoint = os.Getenv(name); a.endpoint != "" {
				break
			}
		}
	}
	if a.endpoint != "" {
		if u, err := url.Parse(a.endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, usagef("the endpoint %q is no URL: want http://HOST:PORT or https://HOST", a.endpoint)
		}
		config.WithEndpoint(a.endpoint)
	}
	s, err := session.NewSessionWithOptions(session.Options{Config: *config, SharedConfigState: session.SharedConfigEnable})
	if err != nil {
		return nil, fmt.Errorf("the AWS configuration can't be used: %w", err)
	}
	if a.endpoint != "" && !strings.Contains(a.endpoint, ".amazonaws.com") && aws.StringValue(s.Config.Region) == "" {
		s.Config.WithRegion("us-east-1") // DynamoDB Local takes any.
	}
	c := &client{ddb: dynamodb.New(s), table: a.table, key: a.key}
	c.ddb.Handlers.Complete.PushBack(func(r *request.Request) {
		if r.Error != nil {
			c.failed.Store(r.Operation.Name)
		}
	})
	a.endpoint = c.ddb.Endpoint
	a.client = c
	return c, nil
}

// transport gives up on a host that doesn't answer sooner than the SDK's own.
func transport(retries int) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	if t.ResponseHeaderTimeout = 20 * time.Second; retries == fewRetries {
		t.ResponseHeaderTimeout = 3 * time.Second
	}
	t.MaxIdleConnsPerHost = 64
	return t
}

// askKey asks the table for its hash key's name.
func (c *client) askKey(ctx context.Context) (string, error) {
	out, err := c.ddb.DescribeTableWithContext(ctx, &dynamodb.DescribeTableInput{TableName: &c.table})
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

// learnClock makes the library's store hear from the database, whose clock it then knows. It also finds a table that is no
// table of lease items.
func (c *client) learnClock(ctx context.Context) error {
	_, _, err := c.ScanLeaseItemsWithContext(ctx, "", 1)
	return err
}

// now is the time by the database's clock.
func (c *client) now() time.Time { return time.Now().Add(c.correction()) }

// correction is what the store adds to this host's clock: by how much it moves the end that a row shows.
func (c *client) correction() time.Duration {
	at := time.Now().UnixNano()
	item, err := c.ParseLeaseItem(row{c.key: {S: aws.String("-")}, "LeaseUntil": number(at)})
	if err != nil {
		return 0
	}
	return time.Unix(0, at).Sub(item.Until)
}

// pageRows is how many rows a page has at most: the SDK takes some 10 KB of memory for 1 KB of a page of small rows.
const pageRows = 2000

// scan reads all rows, and calls f with each page of them.
func (c *client) scan(ctx context.Context, consistent bool, f func(page []item) error) (pages int, units float64, err error) {
	projection, names := c.projection()
	var failed error
	err = c.ddb.ScanPagesWithContext(ctx, &dynamodb.ScanInput{
		TableName:                &c.table,
		ProjectionExpression:     &projection,
		ExpressionAttributeNames: names,
		ConsistentRead:           &consistent,
		Limit:                    aws.Int64(pageRows),
		ReturnConsumedCapacity:   aws.String(dynamodb.ReturnConsumedCapacityTotal),
	}, func(out *dynamodb.ScanOutput, _ bool) bool {
		pages++
		if out.ConsumedCapacity != nil {
			units += aws.Float64Value(out.ConsumedCapacity.CapacityUnits)
		}
		page := make([]item, len(out.Items))
		for i, attributes := range out.Items {
			page[i] = c.parse(attributes)
		}
		failed = f(page)
		return failed == nil
	})
	if failed != nil {
		err = failed
	}
	return pages, units, err
}

// get reads one row; there is none if it returns false.
func (c *client) get(ctx context.Context, id string) (item, bool, error) {
	if id == "" {
		return item{}, false, usagef("the item's name is empty")
	}
	projection, names := c.projection()
	out, err := c.ddb.GetItemWithContext(ctx, &dynamodb.GetItemInput{
		TableName:                &c.table,
		Key:                      row{c.key: {S: &id}},
		ProjectionExpression:     &projection,
		ExpressionAttributeNames: names,
		ConsistentRead:           aws.Bool(true),
	})
	if err != nil || len(out.Item) == 0 {
		return item{}, false, err
	}
	return c.parse(out.Item), true, nil
}

// explain says in one line what went wrong, and what to do about it.
func (a *app) explain(err error) string {
	sdk, ok := awserr.Error(nil), false
	if ok = errors.As(err, &sdk); !ok {
		return err.Error()
	}
	operation, key := "", ""
	if a.client != nil {
		operation, _ = a.client.failed.Load().(string)
		key = a.client.key
	}
	message := sdk.Message()
	switch code := sdk.Code(); {
	case code == dynamodb.ErrCodeResourceNotFoundException:
		return fmt.Sprintf(`table %q does not exist at %s: make it with "lease init", or check -table, -region and -endpoint`, a.table, a.endpoint)
	case code == "NoCredentialProviders":
		where := ""
		if profile := os.Getenv("AWS_PROFILE"); profile != "" {
			where = fmt.Sprintf(" in the profile %q", profile)
		}
		return "no AWS credentials" + where + ": set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE (DynamoDB Local takes any)"
	case code == "MissingRegion":
		return "no AWS region: give -region, or set AWS_REGION"
	case strings.HasPrefix(code, "AccessDenied") || code == "UnauthorizedOperation":
		return fmt.Sprintf("no permission for dynamodb:%s on table %q: have that action allowed for these credentials (%s: %s)", operation, a.table, code, message)
	case slices.Contains(strings.Fields("UnrecognizedClientException InvalidClientTokenId InvalidSignatureException SignatureDoesNotMatch "+
		"ExpiredTokenException ExpiredToken RequestExpired IncompleteSignatureException MissingAuthenticationTokenException"), code):
		return fmt.Sprintf("AWS refuses the credentials: renew them, or check AWS_PROFILE and the region (%s: %s)", code, message)
	case code == request.ErrCodeRequestError || code == request.ErrCodeResponseTimeout:
		return fmt.Sprintf("no answer from %s: check -endpoint, -region and the network (%v)", a.endpoint, innermost(sdk))
	case code == request.CanceledErrorCode:
		return "given up: " + err.Error()
	case request.IsErrorThrottle(sdk):
		return fmt.Sprintf("table %q is throttled: try again, or give it more capacity (%s: %s)", a.table, code, message)
	case code == request.ErrCodeSerialization || code == "":
		return fmt.Sprintf("what answers at %s is no DynamoDB: check -endpoint (%v)", a.endpoint, innermost(sdk))
	case code == "ValidationException" && strings.Contains(strings.ToLower(message), "table"):
		return fmt.Sprintf("%q is no name for a table: check -table (%s)", a.table, message)
	case code == "ValidationException" && strings.Contains(message, "key"):
		return fmt.Sprintf("DynamoDB refuses dynamodb:%s on table %q with the hash key %q: check -key (%s)", operation, a.table, key, message)
	case operation != "":
		return fmt.Sprintf("dynamodb:%s on table %q failed: %s: %s", operation, a.table, code, message)
	}
	return err.Error()
}

func innermost(err error) error {
	for {
		sdk, ok := err.(awserr.Error)
		if !ok || sdk.OrigErr() == nil {
			return err
		}
		err = sdk.OrigErr()
	}
}
