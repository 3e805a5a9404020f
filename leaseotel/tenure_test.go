package leaseotel_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

// ways are those in which a tenure can end.
var ways = []struct {
	name   string
	run    func(i *imagined)
	how    string
	status codes.Code
	says   string // the status's description
	typ    any    // error.type
	events []string
	lasts  time.Duration // 0: that isn't told
}{
	{
		name:   "released",
		run:    func(i *imagined) { i.hold(time.Minute) },
		how:    "released",
		events: []string{"lease.given_up", "lease.released"},
		lasts:  time.Minute,
	},
	{
		name:   "handed over",
		run:    func(i *imagined) { i.holdWanted("w2") },
		how:    "handed_over",
		events: []string{"lease.wanted", "lease.given_up", "lease.handed_over"},
		lasts:  10 * time.Second,
	},
	{
		name:   "freed for an operator",
		run:    func(i *imagined) { i.holdWanted("") },
		how:    "handed_over",
		events: []string{"lease.wanted", "lease.given_up", "lease.handed_over"},
		lasts:  10 * time.Second,
	},
	{
		name: "lost",
		run: func(i *imagined) {
			time.AfterFunc(15*time.Second, func() { i.store.Steal("alice", "w2", time.Hour) })
			i.holdLosing(lease.LeaseLostError)
		},
		how:    "lost",
		status: codes.Error,
		says:   "Lease Lost",
		typ:    "lease_lost",
		events: []string{"lease.lost"},
		lasts:  20 * time.Second,
	},
	{
		name: "expired",
		run: func(i *imagined) {
			time.AfterFunc(5*time.Second, func() { i.store.OutageFor(time.Minute) })
			i.holdLosing(lease.LeaseLostError)
		},
		how:    "expired",
		status: codes.Error,
		says:   "Lease Expired",
		typ:    "lease_expired",
		lasts:  27 * time.Second,
	},
	{
		name: "stuck",
		run: func(i *imagined) {
			err := i.locker.Hold(i.ctx, for30s("w1"), func(_ context.Context, l *lease.Lease) error {
				l.Progress(5 * time.Second)
				time.Sleep(time.Minute)
				return nil
			})
			require.ErrorIs(i.t, err, lease.LeaseStuckError)
		},
		how:    "stuck",
		status: codes.Error,
		says:   "Lease Stuck",
		typ:    "lease_stuck",
		events: []string{"lease.stuck", "lease.released"},
	},
	{
		name: "not released",
		run: func(i *imagined) {
			_ = i.locker.Hold(i.ctx, for30s("w1"), func(context.Context, *lease.Lease) error {
				i.store.SetError(errors.New("no"))
				return nil
			})
		},
		how:    "given_up",
		status: codes.Error,
		says:   "no",
		typ:    "_OTHER",
		events: []string{"lease.given_up", "lease.write_failed"},
	},
	{
		name: "released by the store",
		run: func(i *imagined) {
			l, err := i.locker.ObtainLease(for30s("w1"))
			require.NoError(i.t, err)
			time.Sleep(3 * time.Second)
			require.NoError(i.t, i.store.ReleaseLease(l))
			time.Sleep(time.Minute)
		},
		how:    "given_up",
		events: []string{"lease.given_up"},
		lasts:  3 * time.Second,
	},
	{
		name: "another's at its release",
		run: func(i *imagined) {
			_ = i.locker.Hold(i.ctx, for30s("w1"), func(context.Context, *lease.Lease) error {
				time.Sleep(5 * time.Second)
				i.store.Steal("alice", "w2", time.Hour)
				return nil
			})
		},
		how:    "lost",
		status: codes.Error,
		says:   "Lease Lost",
		typ:    "lease_lost",
		events: []string{"lease.given_up", "lease.lost"},
		lasts:  5 * time.Second,
	},
	{
		name: "leased anew here",
		run: func(i *imagined) {
			for range 2 {
				_, err := i.locker.ObtainLease(for30s("w1"))
				require.NoError(i.t, err)
				time.Sleep(2 * time.Second)
			}
		},
		how:    "lost",
		status: codes.Error,
		says:   "Lease Lost",
		typ:    "lease_lost",
		events: []string{"lease.lost"},
		lasts:  2 * time.Second,
	},
	{
		name: "a panic",
		run: func(i *imagined) {
			assert.PanicsWithValue(i.t, "oh", func() {
				_ = i.locker.Hold(i.ctx, for30s("w1"), func(context.Context, *lease.Lease) error {
					panic("oh")
				})
			})
		},
		how:    "released",
		events: []string{"lease.given_up", "lease.released"},
	},
	{
		name: "nothing, but it is shut down",
		run: func(i *imagined) {
			_, err := i.locker.ObtainLease(for30s("w1"))
			require.NoError(i.t, err)
			time.Sleep(time.Second)
			require.NoError(i.t, i.telemetry.Shutdown(i.ctx))
		},
		how:   "shutdown",
		lasts: time.Second,
	},
}

func (i *imagined) holdWanted(by string) {
	time.AfterFunc(5*time.Second, func() {
		item, err := i.store.GetLeaseItem(i.ctx, "alice")
		require.NoError(i.t, err)
		require.NoError(i.t, i.store.WantLease(i.ctx, item, by, time.Now().Add(time.Minute)))
	})
	require.ErrorIs(i.t, i.locker.Hold(i.ctx, for30s("w1"), untilDone), lease.LeaseWantedError)
}

func (i *imagined) holdLosing(by error) {
	require.ErrorIs(i.t, i.locker.Hold(i.ctx, for30s("w1"), untilDone), by)
}

func TestTenureHasASpanHoweverItEnds(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			imagine(t, func(i *imagined) {
				begun := time.Now()
				way.run(i)
				synctest.Wait()
				require.NotEmpty(t, i.tenures())
				measured := 0
				for _, point := range i.histogram("lease.tenure.duration") {
					measured += int(point.Count)
				}
				assert.Len(t, i.tenures(), measured)
				span := i.tenures()[0]
				assert.Equal(t, begun, span.StartTime)
				if way.lasts != 0 {
					assert.Equal(t, way.lasts, span.EndTime.Sub(span.StartTime))
				}
				assert.False(t, span.Parent.IsValid())
				assert.Equal(t, way.status, span.Status.Code)
				assert.Equal(t, way.says, span.Status.Description)
				got := attributesOf(span.Attributes)
				assert.Equal(t, "alice", got["lease.item"])
				assert.Equal(t, "w1", got["lease.lessee"])
				assert.Equal(t, int64(1), got["lease.fencing_token"])
				assert.Equal(t, way.how, got["lease.tenure.end"])
				assert.Equal(t, way.typ, got["error.type"])
				if way.name != "expired" { // by failed renewals, of which there are some
					assert.Equal(t, way.events, eventsOf(span))
				}
			})
		})
	}
}

func TestTenureThatExpiresShowsItsFailedRenewals(t *testing.T) {
	imagine(t, func(i *imagined) {
		time.AfterFunc(15*time.Second, func() { i.store.OutageFor(time.Minute) })
		i.holdLosing(lease.LeaseLostError)
		synctest.Wait()
		span := i.tenure()
		got := attributesOf(span.Attributes)
		failed := len(span.Events) - 1
		require.Positive(t, failed)
		assert.Equal(t, int64(1), got["lease.tenure.renewals"])
		assert.Equal(t, int64(failed), got["lease.tenure.failed_renewals"])
		for _, e := range span.Events[:failed] {
			assert.Equal(t, "lease.renewal_failed", e.Name)
			of := attributesOf(e.Attributes)
			assert.Equal(t, "renewal", of["lease.request.name"])
			assert.NotEmpty(t, of["error.type"])
			assert.NotEmpty(t, of["exception.message"])
		}
		assert.Equal(t, "lease.expired", span.Events[failed].Name)
	})
}

func TestTenureShowsWhoWantedIt(t *testing.T) {
	imagine(t, func(i *imagined) {
		i.holdWanted("w2")
		synctest.Wait()
		span := i.tenure()
		assert.Equal(t, "w2", attributesOf(span.Events[0].Attributes)["lease.wanted_by"])
		assert.Equal(t, "w2", attributesOf(span.Events[2].Attributes)["lease.wanted_by"])
	})
}

func TestTenuresOfAnItemHaveASpanEach(t *testing.T) {
	imagine(t, func(i *imagined) {
		i.hold(time.Minute)
		time.Sleep(time.Second)
		i.hold(2 * time.Minute)
		tenures := i.tenures()
		require.Len(t, tenures, 2)
		assert.NotEqual(t, tenures[0].SpanContext.TraceID(), tenures[1].SpanContext.TraceID())
		for n, span := range tenures {
			got := attributesOf(span.Attributes)
			assert.Equal(t, int64(n+1), got["lease.fencing_token"])
			assert.Equal(t, time.Duration(n+1)*time.Minute, span.EndTime.Sub(span.StartTime))
			assert.NotZero(t, got["lease.tenure.renewals"])
		}
	})
}

func TestTenureObtainedBeforeObserveHasNoSpan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &imagined{observation: newObservation(t), ctx: t.Context()}
		i.attachLate()
		work := func(context.Context, *lease.Lease) error {
			time.Sleep(5 * time.Second)
			i.telemetry.Observe(i.locker)
			time.Sleep(time.Minute)
			return nil
		}
		require.NoError(t, i.locker.Hold(i.ctx, for30s("w1"), work))
		synctest.Wait()
		assert.Empty(t, i.spans.GetSpans())
		i.hold(time.Second)
		assert.Equal(t, int64(2), attributesOf(i.tenure().Attributes)["lease.fencing_token"])
	})
}

func TestTenureObtainedBeforeObserveGetsASpanFromContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &imagined{observation: newObservation(t), ctx: t.Context()}
		i.attachLate()
		work := func(ctx context.Context, l *lease.Lease) error {
			time.Sleep(5 * time.Second)
			i.telemetry.Observe(i.locker)
			i.userSpan(ctx, l)
			time.Sleep(time.Minute)
			return nil
		}
		require.NoError(t, i.locker.Hold(i.ctx, for30s("w1"), work))
		synctest.Wait()
		span := i.tenure()
		assert.Equal(t, time.Minute, span.EndTime.Sub(span.StartTime))
		assert.Equal(t, "released", attributesOf(span.Attributes)["lease.tenure.end"])
	})
}

func TestContextHasTheTenuresSpan(t *testing.T) {
	imagine(t, func(i *imagined) {
		ctx, caller := i.tracer().Start(i.ctx, "caller")
		work := func(ctx context.Context, l *lease.Lease) error {
			for range 2 {
				i.userSpan(ctx, l)
			}
			time.Sleep(time.Minute)
			i.userSpan(ctx, l)
			return nil
		}
		require.NoError(t, i.locker.Hold(ctx, for30s("w1"), work))
		synctest.Wait()
		tenure := i.tenure()
		children := 0
		for _, span := range i.spans.GetSpans() {
			if span.Name == "user" {
				children++
				assert.Equal(t, tenure.SpanContext.SpanID(), span.Parent.SpanID())
				assert.Equal(t, tenure.SpanContext.TraceID(), span.SpanContext.TraceID())
			}
		}
		assert.Equal(t, 3, children)
		require.Len(t, tenure.Links, 1)
		assert.Equal(t, caller.SpanContext(), tenure.Links[0].SpanContext)
	})
}

func TestContextOfItsOwnTenureMakesNoLink(t *testing.T) {
	imagine(t, func(i *imagined) {
		work := func(ctx context.Context, l *lease.Lease) error {
			ctx, span := i.tracer().Start(i.telemetry.Context(ctx, l), "user")
			defer span.End()
			i.telemetry.Context(ctx, l)
			return nil
		}
		require.NoError(t, i.locker.Hold(i.ctx, for30s("w1"), work))
		synctest.Wait()
		assert.Empty(t, i.tenure().Links)
	})
}

// userSpan makes a span of a work's own.
func (i *imagined) userSpan(ctx context.Context, l *lease.Lease) {
	_, span := i.tracer().Start(i.telemetry.Context(ctx, l), "user")
	span.End()
}

func (i *imagined) attachLate() {
	i.store = newStore()
	i.locker = lease.NewLocker(i.store)
}

func TestContextOfATenureThatIsOverIsItself(t *testing.T) {
	imagine(t, func(i *imagined) {
		var of *lease.Lease
		work := func(_ context.Context, l *lease.Lease) error {
			of = l
			return nil
		}
		require.NoError(t, i.locker.Hold(i.ctx, for30s("w1"), work))
		time.Sleep(time.Minute)
		assert.Equal(t, i.ctx, i.telemetry.Context(i.ctx, of))
		assert.Equal(t, i.ctx, i.telemetry.Context(i.ctx, nil))
		assert.Equal(t, i.ctx, i.telemetry.Context(i.ctx, &lease.Lease{LeaseID: "alice"}))
		var none context.Context
		assert.NotNil(t, i.telemetry.Context(none, nil))
	})
}

// A Locker that nobody observes tells nothing: what Context has begun is ended all the same.
func TestContextOfALockerThatIsNotObserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &imagined{observation: newObservation(t), ctx: t.Context()}
		i.attachLate()
		work := func(ctx context.Context, l *lease.Lease) error {
			i.userSpan(ctx, l)
			time.Sleep(time.Minute)
			return nil
		}
		require.NoError(t, i.locker.Hold(i.ctx, for30s("w1"), work))
		time.Sleep(time.Minute)
		span := i.tenure()
		assert.Equal(t, time.Minute, span.EndTime.Sub(span.StartTime))
		assert.Equal(t, "given_up", attributesOf(span.Attributes)["lease.tenure.end"])
	})
}

// The context of a bare lease is done at its first end, whatever renews it.
func TestContextOfABareLeaseThatIsRenewed(t *testing.T) {
	imagine(t, func(i *imagined) {
		bare, err := i.store.Lease("alice", for30s("w1"), time.Now().Add(30*time.Second))
		require.NoError(t, err)
		i.telemetry.Context(i.ctx, bare)
		ctx, stop := context.WithCancel(i.ctx)
		stopped := make(chan error)
		go func() { stopped <- i.locker.HeartbeatWithContext(ctx, bare, 10*time.Second) }()
		time.Sleep(time.Minute)
		assert.Empty(t, i.tenures())
		stop()
		<-stopped
		require.NoError(t, i.locker.ReleaseLease(bare))
		synctest.Wait()
		span := i.tenure()
		assert.Equal(t, time.Minute, span.EndTime.Sub(span.StartTime))
		got := attributesOf(span.Attributes)
		assert.Equal(t, "released", got["lease.tenure.end"])
		assert.NotZero(t, got["lease.tenure.renewals"])
	})
}

func TestShutdownWaitsForWhatObserversAreYetToBeTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &imagined{observation: newObservation(t), ctx: t.Context()}
		i.attachLate()
		const slow = 100 * time.Millisecond
		i.locker.Observe(func(lease.Event) { time.Sleep(slow) })
		i.telemetry.Observe(i.locker)
		require.NoError(t, i.locker.Hold(i.ctx, for30s("w1"), workFor(time.Minute)))
		require.Empty(t, i.tenures())
		require.NoError(t, i.telemetry.Shutdown(i.ctx))
		assert.Equal(t, "released", attributesOf(i.tenure().Attributes)["lease.tenure.end"])
	})
}

func TestShutdownThatIsHurriedEndsSpansAsTheyAre(t *testing.T) {
	imagine(t, func(i *imagined) {
		block := make(chan struct{})
		i.locker.Observe(func(e lease.Event) {
			if e.Kind == lease.EventRenewed {
				<-block
			}
		})
		require.NoError(t, i.locker.Hold(i.ctx, for30s("w1"), workFor(time.Minute)))
		ctx, cancel := context.WithTimeout(i.ctx, time.Second)
		defer cancel()
		err := i.telemetry.Shutdown(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		const text = "leaseotel: the ends of 1 tenures were not told: context deadline exceeded"
		assert.EqualError(t, err, text)
		assert.Equal(t, "shutdown", attributesOf(i.tenure().Attributes)["lease.tenure.end"])
		close(block)
		synctest.Wait()
	})
}

func TestShutdownIsTheEndOfSpans(t *testing.T) {
	imagine(t, func(i *imagined) {
		require.NoError(t, i.telemetry.Shutdown(i.ctx))
		require.NoError(t, i.telemetry.Shutdown(i.ctx))
		work := func(ctx context.Context, l *lease.Lease) error {
			assert.False(t, trace.SpanFromContext(i.telemetry.Context(ctx, l)).SpanContext().IsValid())
			return nil
		}
		require.NoError(t, i.locker.Hold(i.ctx, for30s("w1"), work))
		time.Sleep(time.Minute)
		assert.Empty(t, i.spans.GetSpans())
	})
}

func TestOptionThatIsNilIsTold(t *testing.T) {
	var told []string
	before := otel.GetErrorHandler()
	t.Cleanup(func() { otel.SetErrorHandler(before) })
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { told = append(told, err.Error()) }))
	imagine(t, func(i *imagined) {
		i.observation = newObservation(t, nil)
		i.telemetry.Observe(i.locker)
		i.hold(time.Minute)
		i.tenure()
	})
	assert.Equal(t, []string{"leaseotel: New's option 1 is nil"}, told)
}

func TestObserveTwiceTellsOnce(t *testing.T) {
	imagine(t, func(i *imagined) {
		i.telemetry.Observe(i.locker)
		i.telemetry.Observe(nil)
		i.holdWanted("w2")
		synctest.Wait()
		assert.Len(t, i.tenure().Events, 3)
	})
}

// twoMethods is a store of two methods: renewing is leasing anew, and nothing can be released.
type twoMethods struct{ store *leasetest.Store }

func (s twoMethods) ListLeaseIDs() ([]string, error) { return s.store.ListLeaseIDs() }

func (s twoMethods) Lease(
	leaseID string, request lease.LeaseRequest, until time.Time,
) (*lease.Lease, error) {
	return s.store.Lease(leaseID, request, until)
}

func TestTenureOnAStoreOfTwoMethods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &imagined{observation: newObservation(t), ctx: t.Context()}
		i.locker = lease.NewLocker(twoMethods{newStore()})
		i.telemetry.Observe(i.locker)
		for range 2 {
			require.NoError(t, i.locker.Hold(i.ctx, for30s("w1"), workFor(time.Minute)))
			time.Sleep(time.Minute)
		}
		tenures := i.tenures()
		require.Len(t, tenures, 2)
		renewals := int64(0)
		for _, span := range tenures {
			got := attributesOf(span.Attributes)
			assert.Equal(t, "given_up", got["lease.tenure.end"])
			assert.Equal(t, time.Minute, span.EndTime.Sub(span.StartTime))
			assert.Equal(t, codes.Unset, span.Status.Code)
			renewals += got["lease.tenure.renewals"].(int64)
		}
		assert.Equal(t, i.locker.Stats().Renewed, renewals)
		assert.Positive(t, renewals)
	})
}
