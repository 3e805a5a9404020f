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
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
	"github.com/intercom/lease/sdkv2"
)

// rotating are credentials that are good for a moment.
type rotating struct{ given atomic.Int64 }

func (r *rotating) Retrieve(context.Context) (awsv2.Credentials, error) {
	credentials := withKey(fmt.Sprint("KEY", r.given.Add(1)))
	credentials.CanExpire = true
	credentials.Expires = time.Now().Add(10 * time.Millisecond)
	return credentials, nil
}

// keySpy notes which keys have signed.
type keySpy struct {
	next http.RoundTripper
	mu   sync.Mutex
	keys map[string]bool
}

func (s *keySpy) RoundTrip(r *http.Request) (*http.Response, error) {
	_, credential, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	key, _, _ := strings.Cut(credential, "/")
	s.mu.Lock()
	s.keys[key] = true
	s.mu.Unlock()
	return s.next.RoundTrip(r)
}

func (s *keySpy) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.keys)
}

// Each request is signed by good ones, from several goroutines, and the leases go on.
func TestCredentialsMayRotate(t *testing.T) {
	endpoint := ddblocal.ForTest(t).Endpoint
	ignored := goleak.IgnoreCurrent()
	transport := &http.Transport{}
	spy := &keySpy{next: transport, keys: make(map[string]bool)}
	cfg := configOf(&http.Client{Transport: spy}, endpoint)
	cfg.Credentials = awsv2.NewCredentialsCache(&rotating{})
	ddb := sdkv2.NewFromConfig(cfg)
	table := newTable(t, ddb, "a", "b", "c")

	var all sync.WaitGroup
	for i := range 3 {
		all.Go(func() {
			locker := lease.NewLocker(lease.NewLockStore(ddb, table, "id"))
			l, err := locker.ObtainLeaseWithContext(t.Context(), for5m(fmt.Sprint("w", i)))
			if !assert.NoError(t, err) {
				return
			}
			before := spy.count()
			ctx, stop := context.WithCancel(t.Context())
			go func() {
				defer stop()
				for spy.count() < before+5 && l.Valid() {
					time.Sleep(time.Millisecond)
				}
			}()
			err = locker.HeartbeatWithContext(ctx, l, 10*time.Millisecond)
			assert.ErrorIs(t, err, context.Canceled)
			assert.True(t, l.Valid())
			assert.GreaterOrEqual(t, spy.count(), before+5, "keys that signed")
			assert.NoError(t, locker.ReleaseLease(l))
		})
	}
	all.Wait()
	transport.CloseIdleConnections()
	awaitNoGoroutines(t, ignored)
}

// v2 alone would use the cached ones until they say that they end.
func TestCredentialsThatHaveExpiredAreGotAnew(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Authorization"), "Credential=KEY1/") {
			refuses(400, "ExpiredTokenException")(w, r)
			return
		}
		ok(w, r)
	})
	var given atomic.Int64
	cfg := configOf(nil, s.URL)
	next := provider(func(context.Context) (awsv2.Credentials, error) {
		return withKey(fmt.Sprint("KEY", given.Add(1))), nil
	})
	cfg.Credentials = awsv2.NewCredentialsCache(next)
	require.NoError(t, list(sdkv2.NewFromConfig(cfg)))
	assert.Len(t, s.all(), 2)
}

// withFailingCredentials configures a client whose credentials are never had.
func withFailingCredentials(err error) awsv2.Config {
	cfg := configOf(&http.Client{Transport: always(200, `{}`)}, "http://stub")
	cfg.Credentials = provider(func(context.Context) (awsv2.Credentials, error) {
		return awsv2.Credentials{}, err
	})
	return cfg
}

// unreachable is an error of a credentials service that can't be reached.
type unreachable struct{ error }

func (unreachable) Timeout() bool   { return true }
func (unreachable) Temporary() bool { return true }

// Whatever the reason, it may be gone in a moment: the lease library tries again.
func TestCredentialsThatFail(t *testing.T) {
	noProfile := errors.New("no profile of that name")
	denied := &smithy.GenericAPIError{Code: "AccessDenied"}
	throttled := &smithy.GenericAPIError{Code: "ThrottlingException"}
	away := unreachable{errors.New("no route to host")}
	for name, cause := range map[string]error{
		"plainly":                              noProfile,
		"as the role may not be assumed":       denied,
		"as the credentials service throttles": throttled,
		"as the credentials service is away":   away,
	} {
		t.Run(name, func(t *testing.T) {
			ddb := sdkv2.NewFromConfig(withFailingCredentials(cause), quick)
			req, _ := ddb.ListTablesRequest(nil)
			err := req.Send()
			var failure awserr.Error
			require.ErrorAs(t, err, &failure)
			assert.Equal(t, "NoCredentialProviders", failure.Code())
			assert.Zero(t, req.RetryCount, "nothing was sent")
			assert.ErrorIs(t, err, cause)
			assert.True(t, transient(t, err))

			// And through a LockStore, which puts its own error around that.
			_, err = lease.NewLockStore(ddb, "t", "id").ListLeaseIDs()
			assert.ErrorIs(t, err, cause)
			assert.True(t, transient(t, err))
		})
	}
}

// The error of a file is an Errno, and that has the methods of an error of the network.
func TestCredentialsWhoseFileIsMissingAreAFinalError(t *testing.T) {
	_, missing := os.ReadFile("/no/such/token")
	require.Error(t, missing)
	_, err := sdkv2.NewFromConfig(withFailingCredentials(missing), quick).GetItem(getA)
	assert.ErrorContains(t, err, "NoCredentialProviders")
	assert.False(t, errors.As(err, new(net.Error)))
	assert.ErrorIs(t, err, os.ErrNotExist, "v2's error is found")
}
