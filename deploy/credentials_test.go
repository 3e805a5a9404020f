package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
)

// bouncer is a proxy before DynamoDB Local that refuses some requests.
type bouncer struct {
	url     string
	refuses atomic.Value // string: those with this text in their headers or action
	refused atomic.Int64 // so many
}

// newBouncer returns one that refuses none yet, and others with that code.
func newBouncer(t *testing.T, code string) *bouncer {
	target, err := url.Parse(ddblocal.ForTest(t).Endpoint)
	require.NoError(t, err)
	b := &bouncer{}
	b.refuses.Store(nothing)
	proxy := httputil.NewSingleHostReverseProxy(target)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		what := r.Header.Get("Authorization") + " " + r.Header.Get("X-Amz-Target")
		if strings.Contains(what, b.refuses.Load().(string)) {
			b.refused.Add(1)
			refuse(w, code, "refused")
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	b.url = server.URL
	return b
}

// What a bouncer refuses.
const (
	nothing = "no such thing"
	byOld   = "Credential=old/"
	updates = ".UpdateItem"
)

const expired = "ExpiredTokenException"

// awaitRefusals waits until three requests were refused.
func (b *bouncer) awaitRefusals(ctx context.Context) {
	for b.refused.Load() < 3 && ctx.Err() == nil {
		aws.SleepWithContext(ctx, 10*time.Millisecond)
	}
}

// long is a lessee whose lease outlasts some failures on a busy machine.
var long = worker{"me", 10 * time.Second}

// renewals returns a channel that gets a value for each renewal.
func renewals(locker *lease.Locker) <-chan struct{} {
	renewed := make(chan struct{}, 1000)
	locker.Observe(func(e lease.Event) {
		if e.Kind == lease.EventRenewed {
			renewed <- struct{}{}
		}
	})
	return renewed
}

// await waits for an event, or returns why the context is done.
func await(ctx context.Context, event <-chan struct{}) error {
	select {
	case <-event:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// provider gives credentials whose access key ID is what it is set to.
type provider struct {
	id        atomic.Value // string
	retrieved atomic.Int64 // how often
}

func (p *provider) Retrieve() (credentials.Value, error) {
	p.retrieved.Add(1)
	return credentials.Value{
		AccessKeyID:     p.id.Load().(string),
		SecretAccessKey: "secret",
		SessionToken:    "token",
	}, nil
}

func (p *provider) IsExpired() bool { return false } // as far as it knows

// client returns a client behind a bouncer.
func (p *provider) client(b *bouncer) *dynamodb.DynamoDB {
	config := aws.NewConfig().WithCredentials(credentials.NewCredentials(p))
	return ddblocal.NewClient(b.url, config)
}

func newProvider(id string) *provider {
	p := &provider{}
	p.id.Store(id)
	return p
}

// TestCredentials_that_expire_are_fetched_anew: the caller sees nothing of it.
func TestCredentials_that_expire_are_fetched_anew(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	b := newBouncer(t, expired)
	p := newProvider("old")
	client := p.client(b)
	store := lease.NewLockStore(client, f.table, key)
	_, err := store.Lease("a", me, in(time.Minute))
	require.NoError(t, err)

	b.refuses.Store(byOld)
	p.id.Store("new")
	_, err = store.GetLeaseItem(t.Context(), "a")
	assert.NoError(t, err)
	assert.EqualValues(t, 1, b.refused.Load())
	assert.EqualValues(t, 2, p.retrieved.Load())
}

// TestCredentials_that_are_refused_for_a_while_cost_no_lease: its renewal is repeated.
func TestCredentials_that_are_refused_for_a_while_cost_no_lease(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	b := newBouncer(t, expired)
	p := newProvider("old")
	client := p.client(b)
	locker := lease.NewLocker(lease.NewLockStore(client, f.table, key))
	renewed := renewals(locker)
	err := locker.Hold(f.ctx, long, func(ctx context.Context, _ *lease.Lease) error {
		b.refuses.Store(byOld)
		b.awaitRefusals(ctx)
		p.id.Store("new")
		return await(ctx, renewed)
	})
	assert.NoError(t, err)
	assert.Zero(t, locker.Stats().Expired)
}

// TestConflict_of_regions_costs_no_lease: the answer of a global table with strong consistency, to a
// write that meets another region's.
func TestConflict_of_regions_costs_no_lease(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a", "b")
	b := newBouncer(t, "ReplicatedWriteConflictException")
	store := lease.NewLockStore(ddblocal.NewClient(b.url), f.table, key)
	locker := lease.NewLocker(store)
	renewed := renewals(locker)
	err := locker.Hold(f.ctx, long, func(ctx context.Context, _ *lease.Lease) error {
		b.refuses.Store(updates)
		_, err := lease.NewLocker(store).ObtainLeaseWithContext(ctx, other)
		assert.ErrorContains(t, err, "ReplicatedWriteConflictException")
		b.awaitRefusals(ctx)
		b.refuses.Store(nothing)
		return await(ctx, renewed)
	})
	assert.NoError(t, err)
	assert.Positive(t, locker.Stats().FailedRenewals)
}
