package leaseotel_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leaseotel"
	"github.com/intercom/lease/leasetest"
)

// figures are the values of all series of whole numbers, by name and, in brackets, attributes.
func (o *observation) figures() map[string]int64 {
	figures := make(map[string]int64)
	for name, m := range o.metrics() {
		if sum, isSum := m.Data.(metricdata.Sum[int64]); isSum {
			for _, point := range sum.DataPoints {
				figures[name+seriesOf(point.Attributes)] = point.Value
			}
		}
	}
	return figures
}

func seriesOf(attributes attribute.Set) string {
	if attributes.Len() == 0 {
		return ""
	}
	return "{" + attributes.Encoded(attribute.DefaultEncoder()) + "}"
}

func TestMetricsShowWhatTheLockerDoes(t *testing.T) {
	imagine(t, func(i *imagined) {
		ctx, stop := context.WithCancel(i.ctx)
		stopped := make(chan error)
		work := func(ctx context.Context, _ *lease.Lease) error {
			<-ctx.Done()
			time.Sleep(time.Second)
			return ctx.Err()
		}
		go func() { stopped <- i.locker.Hold(ctx, for30s("w1"), work) }()
		time.Sleep(time.Second)
		go func() { stopped <- i.locker.Hold(ctx, for30s("w2"), untilDone) }()
		time.Sleep(time.Minute)
		i.store.SetError(errors.New("no"))
		time.Sleep(11 * time.Second)
		i.store.SetError(nil)
		got := i.figures()
		for name, want := range map[string]int64{
			"lease.tenure.count{lease.tenure.state=held}":   1,
			"lease.tenure.count{lease.tenure.state=wanted}": 0,
			"lease.work.count{lease.work.state=leased}":     1,
			"lease.work.count{lease.work.state=leaseless}":  0,
			"lease.wait.count":                               1,
			"lease.tenure.obtained":                          1,
			"lease.tenure.lost":                              0,
			"lease.tenure.expired":                           0,
			"lease.item.released":                            0,
			"lease.item.handed_over":                         0,
			"lease.work.stuck":                               0,
			"lease.namesake.met":                             0,
			"lease.race.lost":                                0,
			"lease.request.failed{lease.request.kind=write}": 0,
		} {
			assert.Equal(t, want, got[name], name)
			assert.Contains(t, got, name)
		}
		stats := i.locker.Stats()
		assert.Equal(t, stats.Renewed, got["lease.tenure.renewed"])
		assert.Equal(t, stats.Looks, got["lease.look.answered"])
		assert.Equal(t, stats.FailedRenewals, got["lease.request.failed{lease.request.kind=renewal}"])
		assert.Equal(t, stats.FailedLooks, got["lease.request.failed{lease.request.kind=look}"])
		assert.Positive(t, stats.Renewed)
		assert.Positive(t, stats.FailedRenewals)
		assert.Positive(t, stats.FailedLooks)
		remaining := i.gauge("lease.tenure.remaining")
		assert.Equal(t, i.locker.Leases()[0].Remaining().Seconds(), remaining)
		assert.Equal(t, time.Since(stats.LastLook).Seconds(), i.gauge("lease.look.age"))
		stop()
		<-stopped
		<-stopped
		synctest.Wait()
		assert.Equal(t, i.locker.Stats().Released, i.figures()["lease.item.released"])
		assert.Positive(t, i.locker.Stats().Released)
		assert.NotContains(t, i.metrics(), "lease.tenure.remaining")
	})
}

func TestMetricsShowTheLeaseThatIsNextToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &imagined{observation: newObservation(t), ctx: t.Context()}
		i.locker = lease.NewLocker(leasetest.NewStore("alice", "bob", "carol"))
		i.telemetry.Observe(i.locker)
		for _, item := range []string{"bob", "alice", "carol"} {
			_, err := i.locker.ObtainItem(i.ctx, item, for30s("w1"))
			require.NoError(t, err)
			time.Sleep(time.Second)
		}
		assert.Equal(t, 24.0, i.gauge("lease.tenure.remaining")) // bob's
	})
}

// gauge is the only value of one.
func (o *observation) gauge(name string) float64 {
	o.t.Helper()
	data, isGauge := o.metrics()[name].Data.(metricdata.Gauge[float64])
	require.True(o.t, isGauge, name)
	require.Len(o.t, data.DataPoints, 1)
	return data.DataPoints[0].Value
}

// histogram returns the points of one, by their attributes.
func (o *observation) histogram(name string) map[string]metricdata.HistogramDataPoint[float64] {
	o.t.Helper()
	data, isHistogram := o.metrics()[name].Data.(metricdata.Histogram[float64])
	require.True(o.t, isHistogram, name)
	points := make(map[string]metricdata.HistogramDataPoint[float64])
	for _, p := range data.DataPoints {
		points[seriesOf(p.Attributes)] = p
	}
	return points
}

func TestMetricsMeasureTenuresAndRequests(t *testing.T) {
	imagine(t, func(i *imagined) {
		i.hold(time.Minute)
		time.AfterFunc(15*time.Second, func() { i.store.Steal("alice", "w2", time.Second) })
		i.holdLosing(lease.LeaseLostError)
		synctest.Wait()
		tenures := i.histogram("lease.tenure.duration")
		assert.Len(t, tenures, 2)
		assert.Equal(t, 60.0, tenures["{lease.tenure.end=released}"].Sum)
		assert.Equal(t, 20.0, tenures["{lease.tenure.end=lost}"].Sum)
		for n, end := range []string{"released", "lost"} {
			examples := tenures["{lease.tenure.end="+end+"}"].Exemplars
			require.Len(t, examples, 1)
			span := i.tenures()[n].SpanContext.SpanID()
			assert.Equal(t, span[:], examples[0].SpanID)
		}
		i.store.SetError(errors.New("no"))
		_, err := i.locker.ObtainItem(i.ctx, "alice", for30s("w1"))
		require.Error(t, err)
		synctest.Wait()
		stats := i.locker.Stats()
		counts := make(map[string]int64)
		for series, point := range i.histogram("lease.request.duration") {
			counts[series] = int64(point.Count)
		}
		assert.Equal(t, map[string]int64{
			"{lease.request.name=scan}":                   stats.Looks,
			"{lease.request.name=lease}":                  2,
			"{lease.request.name=renewal}":                stats.Renewed,
			"{lease.request.name=release}":                1,
			"{error.type=_OTHER,lease.request.name=read}": 1,
		}, counts)
	})
}

func TestMetricsHaveUnitsAndNoSeriesForEachItem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &imagined{
			observation: newObservation(t, leaseotel.WithAttributes(attribute.String("team", "mail"))),
			store:       leasetest.NewStore("alice", "bob", "carol"),
			ctx:         t.Context(),
		}
		i.locker = lease.NewLocker(i.store)
		i.telemetry.Observe(i.locker)
		for _, item := range []string{"alice", "bob", "carol"} {
			require.NoError(t, i.locker.HoldItem(i.ctx, item, for30s("w1"), workFor(time.Minute)))
		}
		synctest.Wait()
		all := i.metrics()
		assert.Len(t, all, 16) // but for the two gauges: no lease is held, and the table wasn't looked at
		for name, m := range all {
			assert.NotEmpty(t, m.Unit, name)
			assert.NotEmpty(t, m.Description, name)
		}
		for series := range i.figures() {
			assert.Contains(t, series, "team=mail")
			assert.NotContains(t, series, "alice")
		}
		for _, name := range []string{"lease.tenure.duration", "lease.request.duration"} {
			for series := range i.histogram(name) {
				assert.Contains(t, series, "team=mail")
				assert.NotContains(t, series, "alice")
			}
		}
		for _, span := range i.tenures() {
			assert.Equal(t, "mail", attributesOf(span.Attributes)["team"])
		}
	})
}

func TestMetricsOfLockersAreAddedUp(t *testing.T) {
	imagine(t, func(i *imagined) {
		require.NoError(t, i.store.AddLeaseID("bob", nil))
		other := lease.NewLocker(i.store)
		i.telemetry.Observe(other)
		for n, locker := range []*lease.Locker{i.locker, other} {
			who := for30s([]string{"w1", "w2"}[n])
			_, err := locker.ObtainLease(who)
			require.NoError(t, err)
			time.Sleep(time.Second)
		}
		assert.Equal(t, int64(2), i.figures()["lease.tenure.count{lease.tenure.state=held}"])
		assert.Equal(t, 25.0, i.gauge("lease.tenure.remaining"))
		assert.Equal(t, 2.0, i.gauge("lease.look.age"))
	})
}

func TestMetricsWithoutALockerAreNone(t *testing.T) {
	assert.Empty(t, newObservation(t).metrics())
}
