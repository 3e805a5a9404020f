package ddblocal

import (
	"context"

	awsv2 "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/client"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease/sdkv2"
)

// init puts the bridge under every client of the library's tests.
func init() { newClient = bridged }

// bridged is a client with the settings that the tests give v1's.
func bridged(p client.ConfigProvider, cfgs ...*aws.Config) *dynamodb.DynamoDB {
	c := p.ClientConfig(dynamodb.EndpointsID, cfgs...)
	return sdkv2.NewFromConfig(awsv2.Config{
		Region:           *c.Config.Region,
		BaseEndpoint:     &c.Endpoint,
		HTTPClient:       c.Config.HTTPClient,
		RetryMaxAttempts: attempts(c.Config.MaxRetries),
		Credentials:      provider(c.Config.Credentials),
	})
}

func attempts(retries *int) int {
	if retries == nil || *retries == aws.UseServiceDefaultRetries {
		return 11 // as v1
	}
	return 1 + *retries
}

func provider(v1 *credentials.Credentials) awsv2.CredentialsProviderFunc {
	return func(ctx context.Context) (awsv2.Credentials, error) {
		v, err := v1.GetWithContext(ctx)
		return awsv2.Credentials{
			AccessKeyID:     v.AccessKeyID,
			SecretAccessKey: v.SecretAccessKey,
			SessionToken:    v.SessionToken,
		}, err
	}
}
