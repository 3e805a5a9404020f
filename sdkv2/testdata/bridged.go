package ddblocal

import (
	"context"

	awsv2 "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/client"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease/sdkv2"
)

// init puts the bridge under every client of the library's tests, with the settings that they give v1's.
func init() {
	newClient = func(p client.ConfigProvider, cfgs ...*aws.Config) *dynamodb.DynamoDB {
		c := p.ClientConfig(dynamodb.EndpointsID, cfgs...)
		attempts := 11 // as v1
		if c.Config.MaxRetries != nil && *c.Config.MaxRetries != aws.UseServiceDefaultRetries {
			attempts = 1 + *c.Config.MaxRetries
		}
		return sdkv2.NewFromConfig(awsv2.Config{Region: *c.Config.Region, BaseEndpoint: &c.Endpoint, HTTPClient: c.Config.HTTPClient,
			RetryMaxAttempts: attempts, Credentials: awsv2.CredentialsProviderFunc(func(ctx context.Context) (awsv2.Credentials, error) {
				v, err := c.Config.Credentials.GetWithContext(ctx)
				return awsv2.Credentials{AccessKeyID: v.AccessKeyID, SecretAccessKey: v.SecretAccessKey, SessionToken: v.SessionToken}, err
			})})
	}
}
