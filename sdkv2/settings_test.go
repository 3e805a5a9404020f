package sdkv2_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	awsv2 "github.com/aws/aws-sdk-go-v2/aws"
	configv2 "github.com/aws/aws-sdk-go-v2/config"
	v2 "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/request"
	v1 "github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/intercom/lease/sdkv2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSettingsOfV2SayHowManyAttemptsAreMade(t *testing.T) {
	for _, most := range []int{1, 3, 5} {
		s := newServer(t, refuses(500, "InternalFailure"))
		ddb := sdkv2.NewFromConfig(configOf(nil, s.URL), func(o *v2.Options) {
			quick(o)
			o.RetryMaxAttempts = most
		})
		ddb.Config.MaxRetries = aws.Int(9) // v1 never retries, whatever it is told.
		ddb.Retryer = eager{}
		assert.Error(t, list(ddb))
		assert.Len(t, s.all(), most)
	}
}

// eager is a v1 retryer that would.
type eager struct{}

func (eager) MaxRetries() int                           { return 9 }
func (eager) ShouldRetry(*request.Request) bool         { return true }
func (eager) RetryRules(*request.Request) time.Duration { return 0 }

func TestSettingsOfV2HaveTheHTTPClient(t *testing.T) {
	transport := &script{answers: answers(says(200, `{}`))}
	client := &http.Client{Transport: transport}
	ddb := sdkv2.New(v2.NewFromConfig(configOf(client, "http://stub")))
	require.NoError(t, list(ddb))
	assert.Equal(t, int64(1), transport.attempts.Load())
	assert.Same(t, client, ddb.Config.HTTPClient)
}

// TestSettingsOfTheEnvironmentCount: the environment's endpoint, attempts and region, as
// config.LoadDefaultConfig reads them.
func TestSettingsOfTheEnvironmentCount(t *testing.T) {
	s := newServer(t, refuses(500, "InternalFailure"))
	for name, value := range map[string]string{"AWS_ENDPOINT_URL_DYNAMODB": s.URL, "AWS_REGION": "eu-west-1", "AWS_MAX_ATTEMPTS": "2",
		"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_CA_BUNDLE": ""} {
		t.Setenv(name, value)
	}
	cfg, err := configv2.LoadDefaultConfig(t.Context())
	require.NoError(t, err)
	ddb := sdkv2.NewFromConfig(cfg)
	assert.Error(t, list(ddb))
	require.Len(t, s.all(), 2)
	assert.Contains(t, s.all()[0].Header.Get("Authorization"), "Credential=AKID/")
	assert.Contains(t, s.all()[0].Header.Get("Authorization"), "/eu-west-1/dynamodb/")
	assert.Equal(t, s.URL, ddb.Endpoint)
}

// TestSettingsOfV2MayHaveAnAccountsEndpoint: that of the credentials' account, or of a table's
// ARN.
func TestSettingsOfV2MayHaveAnAccountsEndpoint(t *testing.T) {
	var host string
	cfg := configOf(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		host = r.URL.Host
		return answer(r, 200, `{}`), nil
	})}, "")
	cfg.BaseEndpoint = nil
	cfg.AccountIDEndpointMode = awsv2.AccountIDEndpointModePreferred
	cfg.Credentials = awsv2.CredentialsProviderFunc(func(context.Context) (awsv2.Credentials, error) {
		return awsv2.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret", AccountID: "111122223333"}, nil
	})
	ddb := sdkv2.NewFromConfig(cfg)
	for table, want := range map[string]string{"mailboxes": "111122223333.ddb.us-east-1.amazonaws.com",
		"arn:aws:dynamodb:us-east-1:444455556666:table/mailboxes": "444455556666.ddb.us-east-1.amazonaws.com"} {
		_, err := ddb.DescribeTable(&v1.DescribeTableInput{TableName: &table})
		require.NoError(t, err)
		assert.Equal(t, want, host)
		_, err = ddb.TransactWriteItems(&v1.TransactWriteItemsInput{TransactItems: []*v1.TransactWriteItem{{Delete: &v1.Delete{
			TableName: &table, Key: map[string]*v1.AttributeValue{"id": {S: aws.String("a")}}}}}})
		require.NoError(t, err)
		assert.Equal(t, want, host)
	}
	assert.Equal(t, "https://dynamodb.us-east-1.amazonaws.com", ddb.Endpoint)
}
