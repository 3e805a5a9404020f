package sdkv2_test

import (
	"context"
	"log"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/intercom/lease"
	"github.com/intercom/lease/sdkv2"
)

func Example() {
	// A connection for each of 100 leases. By itself v2 keeps 10.
	connections := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConnsPerHost = 100
	})
	cfg, err := config.LoadDefaultConfig(context.Background(), config.WithHTTPClient(connections))
	if err != nil {
		log.Fatal(err)
	}
	store := lease.NewLockStore(sdkv2.NewFromConfig(cfg), "mailboxes", "mailbox")
	lease.NewLocker(store) // from here on as with v1
}

func ExampleNewFromConfig() {
	var cfg aws.Config // as above
	ddb := sdkv2.NewFromConfig(cfg, func(o *dynamodb.Options) {
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts, o.MaxBackoff, o.RateLimiter = 5, time.Second, ratelimit.None
		})
	})
	lease.NewLockStore(ddb, "mailboxes", "mailbox") // for leases of 10 s, say
}
