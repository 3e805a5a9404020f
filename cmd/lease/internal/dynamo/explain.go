package dynamo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease/cmd/lease/internal/say"
)

// Explain says in one line what went wrong, and what to do about it.
func (a *Address) Explain(err error) string {
	var sdk awserr.Error
	if !errors.As(err, &sdk) {
		return err.Error()
	}
	f := failure{
		whole:    err,
		sdk:      sdk,
		code:     sdk.Code(),
		message:  sdk.Message(),
		table:    a.Table,
		key:      a.Key,
		endpoint: a.Endpoint,
		profile:  os.Getenv("AWS_PROFILE"),
	}
	if c := a.Client.Load(); c != nil {
		f.operation = c.failed.operation(err)
		f.skew = time.Duration(c.skew.Load())
	}
	return f.explain()
}

// failure is an error of the SDK, and what was tried.
type failure struct {
	whole         error        // as it came
	sdk           awserr.Error // in it
	code, message string       // of sdk
	operation     string       // "" if it isn't known
	table, key    string
	endpoint      string
	profile       string
	skew          time.Duration // by how much this host's clock is ahead of the service's
}

// explanations are what there is to say about a failure: the first counts whose kind it is of.
var explanations = []struct {
	of  func(f failure) bool
	say func(f failure) string
}{
	{failure.isMissingTable, failure.sayMissingTable},
	{failure.isNoCredentials, failure.sayNoCredentials},
	{failure.isNoRegion, failure.sayNoRegion},
	{failure.isDenied, failure.sayDenied},
	{failure.isWrongClock, failure.sayWrongClock},
	{failure.isBadCredentials, failure.sayBadCredentials},
	{failure.isNoAnswer, failure.sayNoAnswer},
	{failure.isGivenUp, failure.sayGivenUp},
	{failure.isThrottled, failure.sayThrottled},
	{failure.isNoDynamoDB, failure.sayNoDynamoDB},
	{failure.isBadTableName, failure.sayBadTableName},
	{failure.isBadKey, failure.sayBadKey},
	{failure.isOfOperation, failure.sayOperation},
}

func (f failure) explain() string {
	for _, e := range explanations {
		if e.of(f) {
			return e.say(f)
		}
	}
	return f.whole.Error()
}

func (f failure) isMissingTable() bool {
	return f.code == dynamodb.ErrCodeResourceNotFoundException
}

func (f failure) sayMissingTable() string {
	return fmt.Sprintf(`table %q does not exist at %s: make it with "lease init", `+
		`or check -table, -region and -endpoint`, f.table, f.endpoint)
}

func (f failure) isNoCredentials() bool { return f.code == "NoCredentialProviders" }

func (f failure) sayNoCredentials() string {
	where := ""
	if f.profile != "" {
		where = fmt.Sprintf(" in the profile %q", f.profile)
	}
	return "no AWS credentials" + where + ": set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, " +
		"or AWS_PROFILE (DynamoDB Local takes any)"
}

func (f failure) isNoRegion() bool { return f.code == "MissingRegion" }

func (f failure) sayNoRegion() string {
	return "no AWS region: give -region, or set AWS_REGION"
}

func (f failure) isDenied() bool {
	return strings.HasPrefix(f.code, "AccessDenied") || f.code == "UnauthorizedOperation"
}

func (f failure) sayDenied() string {
	text := fmt.Sprintf("no permission for dynamodb:%s on table %q: have that action allowed for "+
		"these credentials (%s: %s)", f.operation, f.table, f.code, f.message)
	if f.operation == "DescribeTable" && f.key == "" {
		text += "; or give -key NAME, the name of the table's hash key"
	}
	return text
}

// badCredentials are the codes of credentials that are there, but no good.
var badCredentials = []string{
	"UnrecognizedClientException",
	"InvalidClientTokenId",
	"InvalidSignatureException",
	"SignatureDoesNotMatch",
	"ExpiredTokenException",
	"ExpiredToken",
	"RequestExpired",
	"IncompleteSignatureException",
	"MissingAuthenticationTokenException",
}

func (f failure) isBadCredentials() bool { return slices.Contains(badCredentials, f.code) }

func (f failure) sayBadCredentials() string {
	return fmt.Sprintf("AWS refuses the credentials: "+
		"renew them, or check AWS_PROFILE and the region (%s: %s)", f.code, f.message)
}

// isWrongClock tells of credentials that are refused for their time, by a service whose clock
// says otherwise than this host's.
func (f failure) isWrongClock() bool {
	const most = 5 * time.Minute // AWS takes what differs by less.
	text := strings.ToLower(f.code + f.message)
	isOfTime := strings.Contains(text, "expired") || strings.Contains(text, "not yet current")
	return f.isBadCredentials() && isOfTime && f.skew.Abs() > most
}

func (f failure) sayWrongClock() string {
	wrong := "ahead of"
	if f.skew < 0 {
		wrong = "behind"
	}
	return fmt.Sprintf("AWS refuses the credentials, as this host's clock is wrong: "+
		"it is %s %s AWS's; set it (%s: %s)", say.Duration(f.skew.Abs()), wrong, f.code, f.message)
}

func (f failure) isNoAnswer() bool {
	return f.code == request.ErrCodeRequestError || f.code == request.ErrCodeResponseTimeout
}

func (f failure) sayNoAnswer() string {
	return fmt.Sprintf("no answer from %s: check -endpoint, -region and the network (%v)",
		f.endpoint, innermost(f.sdk))
}

func (f failure) isGivenUp() bool { return f.code == request.CanceledErrorCode }

func (f failure) sayGivenUp() string { return "given up: " + f.whole.Error() }

func (f failure) isThrottled() bool { return request.IsErrorThrottle(f.sdk) }

func (f failure) sayThrottled() string {
	return fmt.Sprintf("table %q is throttled: try again, or give it more capacity (%s: %s)",
		f.table, f.code, f.message)
}

func (f failure) isNoDynamoDB() bool {
	return f.code == request.ErrCodeSerialization || f.code == ""
}

func (f failure) sayNoDynamoDB() string {
	return fmt.Sprintf("what answers at %s is no DynamoDB: check -endpoint (%v)",
		f.endpoint, innermost(f.sdk))
}

func (f failure) isInvalid() bool { return f.code == "ValidationException" }

func (f failure) isBadTableName() bool {
	return f.isInvalid() && strings.Contains(strings.ToLower(f.message), "table")
}

func (f failure) sayBadTableName() string {
	return fmt.Sprintf("%q is no name for a table: check -table (%s)", f.table, f.message)
}

func (f failure) isBadKey() bool {
	isOfKey := func(words string) bool { return strings.Contains(f.message, words) }
	return f.isInvalid() && slices.ContainsFunc([]string{"the key ", "key element", "key schema", "required keys"}, isOfKey)
}

func (f failure) sayBadKey() string {
	return fmt.Sprintf("DynamoDB refuses dynamodb:%s on table %q with the hash key %q: "+
		"check -key (%s)", f.operation, f.table, f.key, f.message)
}

func (f failure) isOfOperation() bool { return f.operation != "" }

func (f failure) sayOperation() string {
	return fmt.Sprintf("dynamodb:%s on table %q failed: %s: %s",
		f.operation, f.table, f.code, f.message)
}

// MayPass tells of a failure that is an outage, which may be over soon.
func MayPass(err error) bool {
	var sdk awserr.Error
	if !errors.As(err, &sdk) {
		return false
	}
	var reply awserr.RequestFailure
	if errors.As(err, &reply) && reply.StatusCode() >= http.StatusInternalServerError {
		return true
	}
	f := failure{sdk: sdk, code: sdk.Code()}
	return f.isNoAnswer() || f.isThrottled()
}

// Patiently does something again, with a pause before it, while an outage is why it fails, and until
// a time; if that is zero, whenever it is over.
func Patiently(
	ctx context.Context, until time.Time, pause time.Duration, do func(context.Context) error,
) error {
	for {
		err := do(ctx)
		isLate := !until.IsZero() && !time.Now().Before(until)
		if !MayPass(err) || isLate {
			return err
		}
		if aws.SleepWithContext(ctx, pause) != nil {
			return context.Cause(ctx)
		}
	}
}

// IsCutOff tells of a request that somebody has stopped waiting for: it is no reason.
func IsCutOff(err error) bool {
	var sdk awserr.Error
	if errors.As(err, &sdk) {
		return sdk.Code() == request.CanceledErrorCode
	}
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

// IsDenied tells of a permission that is missing.
func IsDenied(err error) bool {
	var sdk awserr.Error
	return errors.As(err, &sdk) && failure{code: sdk.Code()}.isDenied()
}

// innermost is the error that the SDK has wrapped in its own.
func innermost(err error) error {
	for {
		sdk, ok := err.(awserr.Error)
		if !ok || sdk.OrigErr() == nil {
			return err
		}
		err = sdk.OrigErr()
	}
}

// Complain writes an error to stderr, as one line.
func (a *Address) Complain(err error) { say.Warn("%s", a.Explain(err)) }

// Explanation is what to say about the error of a look; "" if there is none.
func (a *Address) Explanation(err error) string {
	if err == nil {
		return ""
	}
	return a.Explain(err)
}
