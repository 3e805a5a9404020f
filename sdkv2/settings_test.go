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
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease/sdkv2"
)

func TestSettingsOfV2SayHowManyAttemptsAreMade(t *testing.T) {
	for _, most := range []int{1, 3, 5} {
		s := newServer(t, refuses(500, "InternalFailure"))
		attempts := func(o *v2.Options) { o.RetryMaxAttempts = most }
		ddb := sdkv2.NewFromConfig(configOf(nil, s.URL), quick, attempts)
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
	transport := scripted(says(200, `{}`))
	client := &http.Client{Transport: transport}
	ddb := sdkv2.New(v2.NewFromConfig(configOf(client, "http://stub")))
	require.NoError(t, list(ddb))
	assert.Equal(t, int64(1), transport.attempts.Load())
	assert.Same(t, client, ddb.Config.HTTPClient)
}

// The environment's endpoint, attempts and region, as config.LoadDefaultConfig reads them.
func TestSettingsOfTheEnvironmentCount(t *testing.T) {
	s := newServer(t, refuses(500, "InternalFailure"))
	t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", s.URL)
	t.Setenv("AWS_REGION", "eu-west-1")
	t.Setenv("AWS_MAX_ATTEMPTS", "2")
	t.Setenv("AWS_ACCESS_KEY_ID", "AKID")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_CA_BUNDLE", "")
	cfg, err := configv2.LoadDefaultConfig(t.Context())
	require.NoError(t, err)
	ddb := sdkv2.NewFromConfig(cfg)
	assert.Error(t, list(ddb))
	require.Len(t, s.all(), 2)
	signature := s.all()[0].Header.Get("Authorization")
	assert.Contains(t, signature, "Credential=AKID/")
	assert.Contains(t, signature, "/eu-west-1/dynamodb/")
	assert.Equal(t, s.URL, ddb.Endpoint)
}

// That of the credentials' account, or of a table's ARN.
func TestSettingsOfV2MayHaveAnAccountsEndpoint(t *testing.T) {
	var host string
	client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		host = r.URL.Host
		return answer(r, 200, `{}`), nil
	})}
	cfg := configOf(client, "")
	cfg.BaseEndpoint = nil
	cfg.AccountIDEndpointMode = awsv2.AccountIDEndpointModePreferred
	cfg.Credentials = provider(func(context.Context) (awsv2.Credentials, error) {
		credentials := withKey("AKID")
		credentials.AccountID = "111122223333"
		return credentials, nil
	})
	ddb := sdkv2.NewFromConfig(cfg)
	const arn = "arn:aws:dynamodb:us-east-1:444455556666:table/mailboxes"
	for table, want := range map[string]string{
		"mailboxes": "111122223333.ddb.us-east-1.amazonaws.com",
		arn:         "444455556666.ddb.us-east-1.amazonaws.com",
	} {
		_, err := ddb.DescribeTable(&v1.DescribeTableInput{TableName: &table})
		require.NoError(t, err)
		assert.Equal(t, want, host)

		deletes := []*v1.TransactWriteItem{{Delete: &v1.Delete{TableName: &table, Key: keyA}}}
		_, err = ddb.TransactWriteItems(&v1.TransactWriteItemsInput{TransactItems: deletes})
		require.NoError(t, err)
		assert.Equal(t, want, host)
	}
	assert.Equal(t, "https://dynamodb.us-east-1.amazonaws.com", ddb.Endpoint)
}
