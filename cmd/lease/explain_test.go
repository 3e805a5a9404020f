package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestExplainSaysInOneLineWhatToDo(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	assertOneLine(t, f.run("list", "-table", "missing"), 1, `"missing" does not exist`, "lease init")
	assertOneLine(t, f.run("hold", "-as", "w", "-table", "missing", "true"), 125, `"missing" does not exist`)
	assertOneLine(t, f.run("list", "-table", "x"), 1, "-table")
	assertOneLine(t, f.run("list", "-key", "wrong"), 1, `"id"`, `"wrong"`)
	assertOneLine(t, f.run("list", "-key", "ProcessID"), 1, "ProcessID")
	assertOneLine(t, f.run("list", "-endpoint", "http://127.0.0.1:1"), 1, "127.0.0.1:1", "refused", "-endpoint")
	noCredentials := environment("LEASE_TABLE="+f.table, "AWS_ENDPOINT_URL="+f.ddb.Endpoint)
	assertOneLine(t, runWith(t, noCredentials, "list"), 1, "AWS_ACCESS_KEY_ID", "AWS_PROFILE")
	assertOneLine(t, runWith(t, append(noCredentials, "AWS_PROFILE=nobody"), "list"), 1, "nobody")
	noRegion := environment("LEASE_TABLE=" + f.table)
	assertOneLine(t, runWith(t, noRegion, "list"), 1, "-region", "AWS_REGION")
	no := httptest.NewServer(http.NotFoundHandler())
	defer no.Close()
	r := f.run("list", "-endpoint", no.URL)
	assert.Equal(t, 1, r.status)
	assert.Equal(t, 1, strings.Count(r.stderr, "\n"), r.stderr)
}

func TestExplainNamesADeniedAction(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l := f.lease("a", "w1", time.Hour)
	require.NoError(t, f.AddLeaseID("free", nil))
	var denied atomic.Value
	env := f.through(func(w http.ResponseWriter, r *http.Request) bool {
		deny := strings.HasSuffix(r.Header.Get("X-Amz-Target"), "."+denied.Load().(string))
		if deny {
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"User: x is not authorized"}`)
		}
		return deny
	}, nil)
	for _, test := range []struct {
		action, args string
		status       int
	}{
		{"DescribeTable", "list", 1}, {"Scan", "list", 1}, {"Scan", "watch", 1}, {"PutItem", "add b", 1}, {"DeleteItem", "retire free", 1},
		{"UpdateItem", "yield a", 1}, {"CreateTable", "init -table " + f.table + "-2", 1}, {"GetItem", "yield a", 1},
		{"UpdateItem", "release a -yes -token " + strconv.FormatInt(l.FencingToken(), 10), 1}, {"UpdateItem", "hold -as w true", 125},
		{"UpdateItem", "hold -as w -most 2 true", 125}, {"Scan", "hold -as w true", 125},
	} {
		denied.Store(test.action)
		r := runWith(t, env, strings.Fields(test.args)...)
		assert.Equal(t, test.status, r.status, test.args)
		last := strings.Split(strings.TrimSpace(r.stderr), "\n")
		assert.Regexp(t, `^([\d-]+ [\d:]+ )?lease: `+"no permission for dynamodb:"+test.action+` on table "`+f.table, last[len(last)-1], test.args)
	}
}

func TestExplainKnowsAnAnswerThatIsNotDynamoDBs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.env = f.through(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusNotFound)
		w.Write([]byte(`{"message":"no Route matched with those values"}`))
		return true
	}, nil)
	assertOneLine(t, f.run("list"), 1, "is no DynamoDB")
}

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

func TestExplainHearsOfAWrongClockFromTheReply(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	env := f.through(func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"__type":"com.amazon.coral.service#ExpiredTokenException","message":"The security token included in the request is expired"}`)
		return true
	}, nil)
	assertOneLine(t, runWith(t, env, "list"), 1, "this host's clock is wrong: it is 1h", "ahead of AWS's")
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
		assert.Equal(t, want, mayPass(fmt.Errorf("wrapped: %w", awserr.New(code, "", nil))), code)
	}
	assert.True(t, mayPass(awserr.NewRequestFailure(awserr.New("Internal", "", nil), 503, "")))
	assert.False(t, mayPass(awserr.NewRequestFailure(awserr.New("Internal", "", nil), 400, "")))
	assert.False(t, mayPass(errors.New("no")))
	assert.False(t, mayPass(nil))
}
