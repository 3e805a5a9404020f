package lease_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

func TestErrorsOfBadInputSayWhatAndNothingIsSent(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	good, soon := for30s("w1"), time.Now().Add(time.Minute)
	l, err := f.Lease("a", good, soon)
	require.NoError(t, err)
	f.reset()
	long := strings.Repeat("x", 2049)
	locker := lease.NewLocker(f.LockStore)
	leaseOf := func(id string, r lease.LeaseRequest, until time.Time) func() error {
		return func() error { _, err := f.Lease(id, r, until); return err }
	}
	store := func(ddb *dynamodb.DynamoDB, table, key string) func() error {
		return func() error { _, err := lease.NewLockStore(ddb, table, key).ListLeaseIDs(); return err }
	}
	for _, c := range []struct {
		says string
		call func() error
	}{
		{"LeaseRequest is nil", leaseOf("a", nil, soon)},
		{"LeaseRequest is nil", leaseOf("a", (*worker)(nil), soon)},
		{"LesseeID is empty", leaseOf("a", for30s(""), soon)},
		{`LesseeID "\xff" is not valid UTF-8`, leaseOf("a", for30s("\xff"), soon)},
		{"2049 bytes", leaseOf("a", for30s(long), soon)},
		{"lease ID is empty", leaseOf("", good, soon)},
		{`lease ID "a\xc3" is not valid UTF-8`, leaseOf("a\xc3", good, soon)},
		{"2049 bytes", leaseOf(long, good, soon)},
		{"LeaseDuration is 0s", leaseOf("a", worker{"w1", 0}, soon)},
		{"LeaseDuration is -1s", leaseOf("a", worker{"w1", -time.Second}, soon)},
		{"LeaseDuration is 30ns; want a millisecond", leaseOf("a", worker{"w1", 30}, soon)},
		{"LeaseDuration is 999.999µs", leaseOf("a", worker{"w1", time.Millisecond - 1}, soon)},
		{"between 1970 and 2262", leaseOf("a", worker{"w1", 1<<63 - 1}, soon)},
		{"between 1970 and 2262", leaseOf("a", good, time.Time{})},
		{"between 1970 and 2262", leaseOf("a", good, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))},
		{"table name is empty", store(f.ddb, "", "id")},
		{"hash key name is empty", store(f.ddb, "t", "")},
		{"DynamoDB is nil", store(nil, "t", "id")},
		{`hash key "LeaseUntil"`, store(f.ddb, "t", "LeaseUntil")},
		{"LockStore is nil", func() error { _, err := (*lease.LockStore)(nil).ListLeaseIDs(); return err }},
		{"LockStore is nil", func() error { _, err := lease.NewLocker((*lease.LockStore)(nil)).ObtainLease(good); return err }},
		{"no store", func() error { _, err := lease.NewLocker(nil).ObtainLease(good); return err }},
		{"LeaseRequest is nil", func() error { _, err := locker.ObtainLease(nil); return err }},
		{"LesseeID is empty", func() error { _, err := locker.ObtainLease(for30s("")); return err }},
		{"LeaseDuration is 0s", func() error {
			_, err := locker.WaitUntilLeaseObtainedWithContext(context.Background(), worker{"w1", 0}, time.Second)
			return err
		}},
		{"context is nil", func() error { _, err := locker.ObtainLeaseWithContext(nil, good); return err }}, //lint:ignore SA1012 what is tested
		{"Lease is nil", func() error { return locker.Heartbeat(nil, time.Second) }},
		{"Lease is nil", func() error { return locker.ReleaseLease(nil) }},
		{"Lease is nil", func() error { return f.RenewLease(nil, soon) }},
		{"LeaseRequest is nil", func() error { return locker.Heartbeat(&lease.Lease{LeaseID: "a"}, time.Second) }},
		{"heartbeatDuration is 0s", func() error { return locker.Heartbeat(l, 0) }},
		{"heartbeatDuration is -1s", func() error { return locker.Heartbeat(l, -time.Second) }},
		{"work to Hold a lease for is nil", func() error { return locker.Hold(context.Background(), good, nil) }},
		{"lease ID is empty", func() error { return f.AddLeaseID("", nil) }},
		{`attribute "LeaseUntil"`, func() error { return f.AddLeaseID("b", row{"LeaseUntil": num(1)}) }},
		{`attribute "id"`, func() error { return f.AddLeaseID("b", row{"id": str("c")}) }},
		{`attribute "x" of lease ID "b" is nil`, func() error { return f.AddLeaseID("b", row{"x": nil}) }},
		{"lease ID is empty", func() error { return f.RemoveLeaseID("") }},
	} {
		err := c.call()
		assert.ErrorContains(t, err, c.says)
	}
	assert.Zero(t, f.count())
	assert.Nil(t, locker.WaitUntilLeaseObtained(nil, time.Second))
}

func TestErrorsOfTheSDKKeepTheirTypeAndAreLogged(t *testing.T) {
	logger := record(t)
	f := newFixture(t, "a")
	f.ddb.Handlers.Send.PushBack(func(r *request.Request) {
		r.HTTPResponse.StatusCode = http.StatusBadRequest
		r.HTTPResponse.Body = io.NopCloser(strings.NewReader(`{"__type":"x#AccessDeniedException","message":"no"}`))
	})
	_, err := f.Lease("a", for30s("w1"), time.Now().Add(time.Minute))
	failure, ok := err.(awserr.RequestFailure)
	require.True(t, ok, "%T", err)
	assert.Equal(t, "AccessDeniedException", failure.Code())
	events := logger.named("AWS Error")
	require.Len(t, events, 1)
	assert.Equal(t, "error", events[0].level)
	assert.Equal(t, "AccessDeniedException", events[0].keyvals["Code"])
	assert.Equal(t, "no", events[0].keyvals["AWSMessage"])
	assert.Equal(t, 400, events[0].keyvals["StatusCode"])
	assert.Contains(t, events[0].keyvals, "DDBRequestID")
}

func TestErrorsOfADoneContextWrapItsErrorAndItsCause(t *testing.T) {
	t.Parallel()
	why := errors.New("shutting down")
	type calls map[string]func(ctx context.Context, l *lease.Lease) error
	of := func(locker *lease.Locker) calls {
		return calls{
			"ObtainLease": func(ctx context.Context, _ *lease.Lease) error {
				_, err := locker.ObtainLeaseWithContext(ctx, for30s("w2"))
				return err
			},
			"WaitUntilLeaseObtained": func(ctx context.Context, _ *lease.Lease) error {
				_, err := locker.WaitUntilLeaseObtainedWithContext(ctx, for30s("w2"), time.Hour)
				return err
			},
			"Hold": func(ctx context.Context, _ *lease.Lease) error {
				return locker.Hold(ctx, for30s("w2"), func(context.Context, *lease.Lease) error { return nil })
			},
			"Heartbeat": func(ctx context.Context, l *lease.Lease) error {
				return locker.HeartbeatWithContext(ctx, l, 10*time.Second)
			},
			"ReleaseLease": func(ctx context.Context, l *lease.Lease) error { return locker.ReleaseLeaseWithContext(ctx, l) },
		}
	}
	check := func(t *testing.T, locker *lease.Locker, all calls, hang func()) {
		for name, call := range all {
			for _, deadline := range []bool{true, false} {
				l, err := locker.ObtainLease(for30s("w1"))
				require.NoError(t, err)
				hang()
				ctx, cancel := context.WithTimeoutCause(context.Background(), time.Second, why)
				want := context.DeadlineExceeded
				if !deadline {
					inner, cancelInner := context.WithCancelCause(ctx)
					time.AfterFunc(time.Second/2, func() { cancelInner(why) })
					ctx, want = inner, context.Canceled
				}
				err = call(ctx, l)
				assert.ErrorIs(t, err, want, name)
				assert.ErrorIs(t, err, why, name)
				err = call(ctx, l) // It is done before.
				if name != "ReleaseLease" || err != nil {
					assert.ErrorIs(t, err, want, name)
					assert.ErrorIs(t, err, why, name)
				}
				cancel()
				hang()
			}
		}
	}
	t.Run("LockStore", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			i := newImagined(t, 0)
			locker := lease.NewLocker(i.LockStore)
			all := of(locker)
			maps.Copy(all, calls{
				"EnsureTable": func(ctx context.Context, _ *lease.Lease) error { return i.EnsureTableWithContext(ctx) },
				"AddLeaseID":  func(ctx context.Context, _ *lease.Lease) error { return i.AddLeaseIDWithContext(ctx, "b", nil) },
				"RemoveLeaseID": func(ctx context.Context, _ *lease.Lease) error {
					return i.RemoveLeaseIDWithContext(ctx, "b")
				},
				"RemoveLease": func(ctx context.Context, l *lease.Lease) error { return i.RemoveLeaseWithContext(ctx, l) },
				"ListLeaseIDs": func(ctx context.Context, _ *lease.Lease) error {
					_, err := i.ListLeaseIDsWithContext(ctx)
					return err
				},
				"ScanLeaseItems": func(ctx context.Context, _ *lease.Lease) error {
					_, _, err := i.ScanLeaseItemsWithContext(ctx, "", 0)
					return err
				},
				"Lease": func(ctx context.Context, _ *lease.Lease) error {
					_, err := i.LeaseWithContext(ctx, "a", for30s("w1"), time.Now().Add(time.Minute))
					return err
				},
				"RenewLease": func(ctx context.Context, l *lease.Lease) error {
					return i.RenewLeaseWithContext(ctx, l, time.Now().Add(time.Minute))
				},
				"store's ReleaseLease": func(ctx context.Context, l *lease.Lease) error { return i.ReleaseLeaseWithContext(ctx, l) },
			})
			hangs := false
			check(t, locker, all, func() {
				hangs = !hangs
				i.mode.Store(map[bool]string{true: "hang", false: ""}[hangs])
			})
		})
	})
	t.Run("two methods", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newScript("a")
			lifted := make(chan struct{})
			hangs := false
			locker := lease.NewLocker(s)
			all := of(locker)
			delete(all, "ReleaseLease") // it can't
			check(t, locker, all, func() {
				if hangs = !hangs; hangs {
					lifted = make(chan struct{})
					s.ids = func() ([]string, error) { <-lifted; return nil, nil }
					s.lease = func(string, time.Time) (*lease.Lease, error) { <-lifted; return nil, lease.LeaseNotObtainedError }
					return
				}
				close(lifted)
				synctest.Wait()
				s.ids, s.lease = func() ([]string, error) { return []string{"a"}, nil }, nil
			})
		})
	})
}

func TestErrorsUnderTheContextOfAnotherLostLeaseAreNoLoss(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := leasetest.NewStore("a", "b")
		locker := lease.NewLocker(store)
		obtain := func() *lease.Lease {
			l, err := locker.ObtainLease(worker{"w", time.Hour})
			require.NoError(t, err)
			return l
		}
		lost, kept := obtain(), obtain()
		store.Steal(lost.LeaseID, "thief", time.Hour)
		assert.ErrorIs(t, locker.Heartbeat(lost, time.Second), lease.LeaseLostError)
		for name, call := range map[string]func() error{
			"SaveAttributes": func() error { return locker.SaveAttributes(lost.Context(), kept, row{"x": num(1)}) },
			"Heartbeat":      func() error { return locker.HeartbeatWithContext(lost.Context(), kept, time.Second) },
			"a hanging Heartbeat": func() error {
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(3*time.Second, func() { cancel(lease.LeaseExpiredError) })
				store.SetHang(true)
				defer store.SetHang(false)
				return locker.HeartbeatWithContext(ctx, kept, 2*time.Second)
			},
		} {
			err := call()
			assert.False(t, err == nil || err == lease.LeaseLostError, "%s: %v", name, err)
			assert.True(t, kept.Valid(), name)
			assert.EqualValues(t, 1, locker.Stats().Lost, name)
		}
		assert.False(t, locker.ReleaseLeaseWithContext(lost.Context(), kept) == lease.LeaseLostError)
		assert.NoError(t, locker.ReleaseLease(kept), "it was not lost")
		assert.EqualValues(t, 1, locker.Stats().Lost)
	})
}

// TestErrorsOfRequestsNameOperationTableAndItem: whatever went wrong.
func TestErrorsOfRequestsNameOperationTableAndItem(t *testing.T) {
	t.Parallel()
	done, cancel := context.WithCancel(context.Background())
	cancel()
	until := time.Now().Add(time.Minute)
	answer := func(status int, body string) between {
		return func(http.RoundTripper) http.RoundTripper {
			return roundTrip(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: status, Header: http.Header{}, Body: jsonBody(body)}, nil
			})
		}
	}
	for name, c := range map[string]struct {
		ctx context.Context
		is  between
	}{
		"no table":     {context.Background(), answer(400, `{"__type":"x#ResourceNotFoundException"}`)},
		"denied":       {context.Background(), answer(400, `{"__type":"x#AccessDeniedException"}`)},
		"a proxy's":    {context.Background(), answer(502, "bad gateway")},
		"no JSON":      {context.Background(), answer(200, "<html>")},
		"empty":        {context.Background(), answer(200, "")},
		"ctx is done":  {done, nil},
		"in use":       {context.Background(), answer(400, `{"__type":"x#ResourceInUseException"}`)},
		"no condition": {context.Background(), answer(400, `{"__type":"x#ValidationException"}`)},
	} {
		ddb, _ := newClient(t, "http://imagined", c.is, &aws.Config{MaxRetries: aws.Int(0)})
		s := lease.NewLockStore(ddb, "leases", "id")
		literal := &lease.Lease{LeaseID: "alice", Request: for30s("w1"), Until: until, AttributeValues: row{"FencingToken": num(7)}}
		for what, call := range map[string]func() error{
			"Scan":       func() error { _, err := s.ListLeaseIDsWithContext(c.ctx); return err },
			"UpdateItem": func() error { return s.SaveAttributes(c.ctx, literal, row{"x": num(1)}) },
			"DeleteItem": func() error { return s.RemoveLeaseWithContext(c.ctx, literal) },
		} {
			err := call()
			if what == "DeleteItem" && err == nil {
				continue // It shows nothing.
			}
			require.Error(t, err, "%s, %s", name, what)
			assert.ErrorContains(t, err, what, name)
			assert.ErrorContains(t, err, `"leases"`, name)
			if what != "Scan" {
				assert.ErrorContains(t, err, `"alice"`, name)
			}
			assert.NotContains(t, err.Error(), `""`, name)
			var failure awserr.RequestFailure
			assert.ErrorAs(t, err, &failure, "%s, %s", name, what)
		}
	}
}
