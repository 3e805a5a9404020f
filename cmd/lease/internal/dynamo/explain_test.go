package dynamo

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/stretchr/testify/assert"
)

func TestExplainKnowsEachKindOfFailure(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ code, message, want string }{
		{"ResourceNotFoundException", "no", `table "boxes" does not exist at http://here: make it with "lease init", or check -table, -region and -endpoint`},
		{"NoCredentialProviders", "no", "no AWS credentials in the profile \"me\": set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE (DynamoDB Local takes any)"},
		{"MissingRegion", "no", "no AWS region: give -region, or set AWS_REGION"},
		{"AccessDeniedException", "no", `no permission for dynamodb:Scan on table "boxes": have that action allowed for these credentials (AccessDeniedException: no)`},
		{"UnauthorizedOperation", "no", `no permission for dynamodb:Scan on table "boxes": have that action allowed for these credentials (UnauthorizedOperation: no)`},
		{"ExpiredToken", "old", "AWS refuses the credentials: renew them, or check AWS_PROFILE and the region (ExpiredToken: old)"},
		{"RequestError", "send", "no answer from http://here: check -endpoint, -region and the network (inside)"},
		{"ResponseTimeout", "read", "no answer from http://here: check -endpoint, -region and the network (inside)"},
		{"RequestCanceled", "ended", "given up: wrapped: RequestCanceled: ended\ncaused by: inside"},
		{"ThrottlingException", "slow", `table "boxes" is throttled: try again, or give it more capacity (ThrottlingException: slow)`},
		{"SerializationError", "html", "what answers at http://here is no DynamoDB: check -endpoint (inside)"},
		{"", "html", "what answers at http://here is no DynamoDB: check -endpoint (inside)"},
		{"ValidationException", "TableName is short", `"boxes" is no name for a table: check -table (TableName is short)`},
		{"ValidationException", "the key is missing", `DynamoDB refuses dynamodb:Scan on table "boxes" with the hash key "box": check -key (the key is missing)`},
		{"ValidationException", "else", `dynamodb:Scan on table "boxes" failed: ValidationException: else`},
		{"InternalServerError", "oops", `dynamodb:Scan on table "boxes" failed: InternalServerError: oops`},
	} {
		sdk := awserr.New(test.code, test.message, errors.New("inside"))
		f := failure{
			whole:     fmt.Errorf("wrapped: %w", sdk),
			sdk:       sdk,
			code:      test.code,
			message:   test.message,
			operation: "Scan",
			table:     "boxes",
			key:       "box",
			endpoint:  "http://here",
			profile:   "me",
		}
		assert.Equal(t, test.want, f.explain(), test.code)
	}
	sdk := awserr.New("Other", "oops", nil)
	assert.Equal(t, "Other: oops", failure{whole: sdk, sdk: sdk, code: "Other"}.explain(), "of no operation")
}

func TestExplainSaysThatThisHostsClockIsWrong(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		code, message string
		skew          time.Duration
		want          string
	}{
		{"ExpiredToken", "old", time.Hour, "AWS refuses the credentials, as this host's clock is wrong: it is 1h0m0s ahead of AWS's; set it (ExpiredToken: old)"},
		{"InvalidSignatureException", "Signature expired: 1", -6 * time.Minute, "AWS refuses the credentials, as this host's clock is wrong: it is 6m0s behind AWS's; set it (InvalidSignatureException: Signature expired: 1)"},
		{"InvalidSignatureException", "Signature not yet current", 6 * time.Minute, "AWS refuses the credentials, as this host's clock is wrong: it is 6m0s ahead of AWS's; set it (InvalidSignatureException: Signature not yet current)"},
		{"ExpiredToken", "old", 5 * time.Minute, "AWS refuses the credentials: renew them, or check AWS_PROFILE and the region (ExpiredToken: old)"},
		{"UnrecognizedClientException", "who", time.Hour, "AWS refuses the credentials: renew them, or check AWS_PROFILE and the region (UnrecognizedClientException: who)"},
	} {
		f := failure{sdk: awserr.New(test.code, test.message, nil), code: test.code, message: test.message, skew: test.skew}
		assert.Equal(t, test.want, f.explain())
	}
}

func TestExplainNamesTheFlagThatNeedsNoDescribeTable(t *testing.T) {
	t.Parallel()
	sdk := awserr.New("AccessDeniedException", "no", nil)
	f := failure{sdk: sdk, code: sdk.Code(), message: "no", operation: "DescribeTable", table: "boxes"}
	assert.Equal(t, `no permission for dynamodb:DescribeTable on table "boxes": have that action allowed for these credentials `+
		`(AccessDeniedException: no); or give -key NAME, the name of the table's hash key`, f.explain())
	f.key = "box"
	assert.NotContains(t, f.explain(), "-key")
}

func TestOutageMayPassAndARefusalDoesNot(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]bool{
		"RequestError": true, "ResponseTimeout": true, "ThrottlingException": true, "ProvisionedThroughputExceededException": true,
		"AccessDeniedException": false, "ExpiredTokenException": false, "ResourceNotFoundException": false, "ValidationException": false,
		"NoCredentialProviders": false, "RequestCanceled": false,
	} {
		assert.Equal(t, want, MayPass(fmt.Errorf("wrapped: %w", awserr.New(code, "", nil))), code)
	}
	assert.True(t, MayPass(awserr.NewRequestFailure(awserr.New("Internal", "", nil), 503, "")))
	assert.False(t, MayPass(awserr.NewRequestFailure(awserr.New("Internal", "", nil), 400, "")))
	assert.False(t, MayPass(errors.New("no")))
	assert.False(t, MayPass(nil))
}
