package sdkv2_test

import (
	"context"
	"log"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/intercom/lease"
	"github.com/intercom/lease/sdkv2"
)

func Example() {
	cfg, err := config.LoadDefaultConfig(context.Background())
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
