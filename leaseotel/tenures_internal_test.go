package leaseotel

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

type for30s string

func (w for30s) LesseeID() string           { return string(w) }
func (for30s) LeaseDuration() time.Duration { return 30 * time.Second }

func newTraced() (*Telemetry, *tracetest.InMemoryExporter) {
	spans := tracetest.NewInMemoryExporter()
	return New(WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)))), spans
}

// leftBehind is how many tenures are known, and how many of their spans haven't ended.
func (t *Telemetry) leftBehind() (known, unclosed int) {
	synctest.Wait()
	t.tenures.mu.Lock()
	defer t.tenures.mu.Unlock()
	for _, all := range t.tenures.byItem {
		known += len(all)
	}
	return known, t.tenures.unclosed
}

func TestTenThousandTenuresLeaveNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		telemetry, spans := newTraced()
		locker := lease.NewLocker(leasetest.NewStore("alice"))
		telemetry.Observe(locker)
		const tenures = 10_000
		for n := range tenures {
			err := locker.HoldItem(t.Context(), "alice", for30s("w1"),
				func(ctx context.Context, l *lease.Lease) error {
					if n%2 == 0 {
						telemetry.Context(ctx, l)
					}
					time.Sleep(time.Second)
					return nil
				})
			require.NoError(t, err)
			known, unclosed := telemetry.leftBehind()
			require.LessOrEqual(t, known, 11) // A tenure of a second is known for 10 more.
			require.Zero(t, unclosed)
		}
		require.Equal(t, tenures, len(spans.GetSpans()))
		time.Sleep(afterglow)
		known, _ := telemetry.leftBehind()
		assert.Zero(t, known)
		assert.Empty(t, telemetry.tenures.byItem)
	})
}

// Who is too many events behind is not told of the end of a tenure.
func TestTenuresWhoseEndsAreNotToldEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		telemetry, spans := newTraced()
		store := leasetest.NewStore("held")
		locker := lease.NewLocker(store)
		telemetry.Observe(locker)
		_, err := locker.ObtainItem(t.Context(), "held", for30s("w1"))
		require.NoError(t, err)
		synctest.Wait()
		for n := range leastCrowd - 1 {
			telemetry.told(lease.Event{
				Kind:         lease.EventObtained,
				At:           time.Now(),
				LeaseID:      fmt.Sprint(n),
				LesseeID:     "w1",
				FencingToken: 1,
			})
		}
		late := lease.Event{
			Kind:         lease.EventGivenUp,
			At:           time.Now(),
			LeaseID:      "0",
			LesseeID:     "w1",
			FencingToken: 1,
		}
		telemetry.told(late)
		late.Kind = lease.EventReleased
		telemetry.told(late)
		time.Sleep(settleWithin)
		synctest.Wait()
		hows := make(map[string]int)
		for _, span := range spans.GetSpans() {
			for _, kv := range span.Attributes {
				if kv.Key == endKey {
					hows[kv.Value.AsString()]++
				}
			}
		}
		assert.Equal(t, map[string]int{"released": 1, "untold": leastCrowd - 2}, hows)
		_, unclosed := telemetry.leftBehind()
		assert.Equal(t, 1, unclosed)
	})
}

func TestTenureInALongOutageHasSomeEventsAndAllCounts(t *testing.T) {
	telemetry, spans := newTraced()
	e := lease.Event{LeaseID: "alice", LesseeID: "w1", FencingToken: 1, At: time.Now()}
	tell := func(kind lease.EventKind, err error) {
		e.Kind = kind
		e.Err = err
		telemetry.told(e)
	}
	tell(lease.EventObtained, nil)
	for range 500 {
		tell(lease.EventRenewalFailed, errors.New("no"))
	}
	tell(lease.EventExpired, lease.LeaseExpiredError)
	span := spans.GetSpans()[0]
	assert.Len(t, span.Events, 101)
	assert.Equal(t, "lease.expired", span.Events[100].Name)
	assert.Contains(t, span.Attributes, failuresKey.Int(500))
}

// A save may fail, or be told of, after the work has returned: the release is yet to come.
func TestTenureWhoseSaveFailsBeforeItsReleaseIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		telemetry, spans := newTraced()
		telemetry.told(event(lease.EventObtained, "alice"))
		telemetry.told(event(lease.EventGivenUp, "alice"))
		telemetry.told(failedWrite("save"))
		assert.Empty(t, spans.GetSpans())
		time.Sleep(time.Second)
		telemetry.told(event(lease.EventReleased, "alice"))
		require.Len(t, spans.GetSpans(), 1)
		span := spans.GetSpans()[0]
		assert.Contains(t, span.Attributes, endKey.String(endReleased))
		assert.Equal(t, codes.Unset, span.Status.Code)
		assert.Equal(t, time.Second, span.EndTime.Sub(span.StartTime))
		var names []string
		for _, e := range span.Events {
			names = append(names, e.Name)
		}
		assert.Equal(t,
			[]string{"lease.given_up", "lease.write_failed", "lease.released"}, names)
	})
}

// Who is too many events behind may be told that the release has failed, and not of the end.
func TestTenureWhoseReleaseFailsGoesOnUnlessItsEndIsTold(t *testing.T) {
	telemetry, spans := newTraced()
	telemetry.told(event(lease.EventObtained, "alice"))
	failed := failedWrite("release")
	telemetry.told(failed)
	assert.Empty(t, spans.GetSpans())
	telemetry.told(event(lease.EventGivenUp, "alice"))
	telemetry.told(failed)
	require.Len(t, spans.GetSpans(), 1)
	assert.Contains(t, spans.GetSpans()[0].Attributes, endKey.String(endGivenUp))
}

// A wish may fail for an item that its worker has obtained meanwhile.
func TestTenureIsNotToldOfAWriteWithoutAToken(t *testing.T) {
	telemetry, spans := newTraced()
	telemetry.told(event(lease.EventObtained, "alice"))
	failed := failedWrite("wish")
	failed.FencingToken = 0
	telemetry.told(failed)
	telemetry.told(event(lease.EventReleased, "alice"))
	require.Len(t, spans.GetSpans(), 1)
	require.Len(t, spans.GetSpans()[0].Events, 1)
	assert.Equal(t, "lease.released", spans.GetSpans()[0].Events[0].Name)
}

// A store of two methods may give no tokens.
func TestTenuresWithoutTokensHaveASpanEach(t *testing.T) {
	telemetry, spans := newTraced()
	for range 2 {
		for _, kind := range []lease.EventKind{lease.EventObtained, lease.EventLost} {
			e := event(kind, "alice")
			e.FencingToken = 0
			telemetry.told(e)
		}
	}
	assert.Len(t, spans.GetSpans(), 2)
}

// Its row is then free when the lease's time is up: the span ends when that is known, by what
// ended the tenure.
func TestTenureThatIsStuckAndWhoseReleaseFails(t *testing.T) {
	telemetry, spans := newTraced()
	begun := time.Now()
	for n, e := range []lease.Event{
		{Kind: lease.EventObtained},
		{Kind: lease.EventStuck, Err: lease.LeaseStuckError},
		{Kind: lease.EventWriteFailed, Request: "release", Err: errors.New("no")},
	} {
		e.At = begun.Add(time.Duration(n) * time.Second)
		e.LeaseID = "alice"
		e.LesseeID = "w1"
		e.FencingToken = 1
		telemetry.told(e)
	}
	require.Len(t, spans.GetSpans(), 1)
	span := spans.GetSpans()[0]
	assert.Equal(t, 2*time.Second, span.EndTime.Sub(span.StartTime))
	assert.Equal(t, "Lease Stuck", span.Status.Description)
	assert.Contains(t, span.Attributes, endKey.String(endStuck))
}

// On a store of two methods a tenure's token grows, as renewing is leasing anew.
func TestTenureWhoseTokenGrows(t *testing.T) {
	telemetry, spans := newTraced()
	for _, e := range []lease.Event{
		{Kind: lease.EventObtained, FencingToken: 5},
		{Kind: lease.EventRenewed, FencingToken: 6},
		{Kind: lease.EventRenewed, FencingToken: 7},
		{Kind: lease.EventLost, FencingToken: 7, Err: lease.LeaseLostError},
		{Kind: lease.EventObtained, FencingToken: 9},
		{Kind: lease.EventRenewed, FencingToken: 10},
		{Kind: lease.EventRenewed, FencingToken: 7}, // of the one before
		{Kind: lease.EventExpired, FencingToken: 10, Err: lease.LeaseExpiredError},
	} {
		e.At = time.Now()
		e.LeaseID = "alice"
		e.LesseeID = "w1"
		telemetry.told(e)
	}
	require.Len(t, spans.GetSpans(), 2)
	who := holding{leaseID: "alice", lessee: "w1"}
	for _, token := range []int64{5, 7} {
		of, _ := telemetry.tenures.ofLease(who, token, true)
		assert.Equal(t, int64(5), of.token)
	}
	assert.Contains(t, spans.GetSpans()[0].Attributes, renewalsKey.Int(2))
	assert.Contains(t, spans.GetSpans()[1].Attributes, renewalsKey.Int(1))
}

// A line of the log may be about a tenure of a Locker that isn't observed.
func TestTenureThatOnlyTheLogKnowsIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		telemetry, spans := newTraced()
		telemetry.Observe(lease.NewLocker(leasetest.NewStore()))
		line := []any{"lessee_id", "w1", "lease_id", "alice", "fencing_token", int64(7)}
		require.True(t, telemetry.spanOf(line).IsValid())
		time.Sleep(settleWithin)
		known, unclosed := telemetry.leftBehind()
		assert.Zero(t, known)
		assert.Zero(t, unclosed)
		assert.Empty(t, spans.GetSpans())
	})
}

func TestLineOfTheLogBeginsNoSpanWhereNoLockerIsObserved(t *testing.T) {
	telemetry, _ := newTraced()
	line := []any{"lessee_id", "w1", "lease_id", "alice", "fencing_token", int64(7)}
	assert.False(t, telemetry.spanOf(line).IsValid())
	assert.Empty(t, telemetry.tenures.byItem)
}

func TestLineOfTheLogWithoutItsLastValue(t *testing.T) {
	who, token := namedIn([]any{"lessee_id", "w1", "fencing_token", int64(7), "lease_id"})
	assert.Equal(t, holding{lessee: "w1"}, who)
	assert.Equal(t, int64(7), token)
}

// What is known of how it has ended is kept.
func TestShutdownOfATenureWhoseReleaseIsYetToBeTold(t *testing.T) {
	telemetry, spans := newTraced()
	telemetry.told(event(lease.EventObtained, "alice"))
	telemetry.told(event(lease.EventGivenUp, "alice"))
	hurried, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, telemetry.Shutdown(hurried), context.Canceled)
	require.Len(t, spans.GetSpans(), 1)
	assert.Contains(t, spans.GetSpans()[0].Attributes, endKey.String(endGivenUp))
}

// slow is who exports spans, and takes its time.
type slow struct{ *tracetest.InMemoryExporter }

func (s slow) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	time.Sleep(time.Second)
	return s.InMemoryExporter.ExportSpans(ctx, spans)
}

func TestShutdownWaitsForSpansThatEndJustNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spans := tracetest.NewInMemoryExporter()
		traces := sdktrace.NewTracerProvider(sdktrace.WithSyncer(slow{spans}))
		telemetry := New(WithTracerProvider(traces))
		locker := lease.NewLocker(leasetest.NewStore("alice"))
		telemetry.Observe(locker)
		work := func(context.Context, *lease.Lease) error { return nil }
		require.NoError(t, locker.Hold(t.Context(), for30s("w1"), work))
		time.Sleep(time.Millisecond)
		require.Empty(t, spans.GetSpans())
		require.NoError(t, telemetry.Shutdown(t.Context()))
		assert.Len(t, spans.GetSpans(), 1)
	})
}
