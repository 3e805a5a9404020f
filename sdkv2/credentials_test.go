package sdkv2_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	awsv2 "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/smithy-go"
	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
	"github.com/intercom/lease/sdkv2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// rotating are credentials that change each 100 ms, and are good for as long.
type rotating struct{ given atomic.Int64 }

func (r *rotating) Retrieve(context.Context) (awsv2.Credentials, error) {
	return awsv2.Credentials{AccessKeyID: fmt.Sprint("KEY", r.given.Add(1)), SecretAccessKey: "secret", CanExpire: true,
		Expires: time.Now().Add(100 * time.Millisecond)}, nil
}

// TestCredentialsThatRotate: each request is signed by good ones, from several goroutines, and
// the lease goes on.
func TestCredentialsThatRotate(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	var mu sync.Mutex
	keys := map[string]bool{}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	spy := roundTrip(func(r *http.Request) (*http.Response, error) {
		_, key, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
		key, _, _ = strings.Cut(key, "/")
		mu.Lock()
		keys[key] = true
		mu.Unlock()
		return transport.RoundTrip(r)
	})
	endpoint := ddblocal.ForTest(t).Endpoint
	cfg := configOf(&http.Client{Transport: spy}, endpoint)
	cfg.Credentials = awsv2.NewCredentialsCache(&rotating{})
	ddb := sdkv2.NewFromConfig(cfg)
	table := newTable(t, ddb, "a", "b", "c")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	var held atomic.Int64
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			err := lease.NewLocker(lease.NewLockStore(ddb, table, "id")).Hold(ctx, for1s(fmt.Sprint("w", held.Add(1))),
				func(ctx context.Context, l *lease.Lease) error { <-ctx.Done(); return context.Cause(ctx) })
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.NotErrorIs(t, err, lease.LeaseLostError)
		})
	}
	all.Wait()
	mu.Lock()
	defer mu.Unlock()
	assert.Greater(t, len(keys), 5, "keys that signed")
}

// for1s is a LeaseRequest.
type for1s string

func (w for1s) LesseeID() string           { return string(w) }
func (for1s) LeaseDuration() time.Duration { return time.Second }

// TestCredentialsThatHaveExpiredAreGotAnew: v2 alone would use the cached ones until they say
// that they end.
func TestCredentialsThatHaveExpiredAreGotAnew(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Authorization"), "Credential=KEY1/") {
			refuses(400, "ExpiredTokenException")(w, r)
			return
		}
		ok(w, r)
	})
	cfg := configOf(nil, s.URL)
	var given atomic.Int64
	cfg.Credentials = awsv2.NewCredentialsCache(awsv2.CredentialsProviderFunc(func(context.Context) (awsv2.Credentials, error) {
		return awsv2.Credentials{AccessKeyID: fmt.Sprint("KEY", given.Add(1)), SecretAccessKey: "secret"}, nil
	}))
	require.NoError(t, list(sdkv2.NewFromConfig(cfg)))
	assert.Len(t, s.all(), 2)
}

// unreachable is an error of a credentials service that can't be reached.
type unreachable struct{ error }

func (unreachable) Timeout() bool   { return true }
func (unreachable) Temporary() bool { return true }

// TestCredentialsThatFail: what the lease library gives up at, and what it tries again.
func TestCredentialsThatFail(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		final bool
	}{
		"plainly":                              {errors.New("no profile of that name"), true},
		"as the role may not be assumed":       {&smithy.GenericAPIError{Code: "AccessDenied"}, true},
		"as the credentials service throttles": {&smithy.GenericAPIError{Code: "ThrottlingException"}, false},
		"as the credentials service is away":   {unreachable{errors.New("no route to host")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := configOf(&http.Client{Transport: always(200, `{}`)}, "http://stub")
			cfg.Credentials = awsv2.CredentialsProviderFunc(func(context.Context) (awsv2.Credentials, error) { return awsv2.Credentials{}, c.err })
			ddb := sdkv2.NewFromConfig(cfg, quick)
			req, _ := ddb.ListTablesRequest(nil)
			err := req.Send()
			var failure awserr.Error
			require.ErrorAs(t, err, &failure)
			assert.Equal(t, "NoCredentialProviders", failure.Code())
			assert.Zero(t, req.RetryCount, "nothing was sent")
			assert.ErrorIs(t, err, c.err)
			assert.Equal(t, !c.final, transient(t, err))

			// And through a LockStore, which puts its own error around that.
			_, err = lease.NewLockStore(ddb, "t", "id").ListLeaseIDs()
			assert.ErrorIs(t, err, c.err)
			assert.Equal(t, !c.final, transient(t, err))
		})
	}
}

// The error of a file is an Errno, and that has the methods of an error of the network.
func TestCredentialsWhoseFileIsMissingAreAFinalError(t *testing.T) {
	cfg := configOf(&http.Client{Transport: &script{}}, "http://stub")
	cfg.Credentials = awsv2.CredentialsProviderFunc(func(context.Context) (awsv2.Credentials, error) {
		_, err := os.ReadFile("/no/such/token")
		return awsv2.Credentials{}, err
	})
	_, err := sdkv2.NewFromConfig(cfg, quick).GetItem(getA)
	assert.ErrorContains(t, err, "NoCredentialProviders")
	assert.False(t, errors.As(err, new(net.Error)))
	assert.ErrorIs(t, err, os.ErrNotExist, "v2's error is found")
}
