package leaseprom

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/intercom/lease"
)

// NewCollector returns a collector of a Locker's figures. A scrape sends no request, and takes
// time by how many leases are held. Make one for each Locker, and once, early: it observes the
// Locker for as long as that lives, and what happened before is in no histogram.
//
// A registry takes one. Those of several Lockers are told apart by a label of yours:
//
//	prometheus.WrapRegistererWith(prometheus.Labels{"locker": "mailboxes"}, registry).
//		MustRegister(leaseprom.NewCollector(locker))
//
// With a nil Locker each scrape fails, and says why.
func NewCollector(locker *lease.Locker) prometheus.Collector {
	c := &collector{locker: locker, observed: newObserved()}
	if locker != nil {
		locker.Observe(c.observed.follow)
	}
	return c
}

// errNilLocker is what scrapes and probes say of a Locker that isn't there.
var errNilLocker = errors.New("leaseprom: the Locker is nil")

type collector struct {
	locker   *lease.Locker
	observed *observed
}

// figure is a metric that a Locker's Stats have.
type figure struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	// value returns false of what is not known yet: that isn't shown.
	value func(s *lease.LockerStats) (float64, bool)
}

var figures = []figure{
	gauge("held", "Leases that this process holds now.",
		func(s *lease.LockerStats) int { return s.Held }),
	gauge("waiting", "Calls that wait for a lease now.",
		func(s *lease.LockerStats) int { return s.Waiting }),
	gauge("in_handover",
		"Leases whose item is wanted elsewhere, and whose work hasn't returned yet.",
		func(s *lease.LockerStats) int { return s.InHandover }),
	gauge("working", "Works that run now.",
		func(s *lease.LockerStats) int { return s.Working }),
	gauge("stuck", "Works that run now and hold nothing any more: stuck, or deaf to their loss.",
		func(s *lease.LockerStats) int { return s.Stuck }),
	counter("obtained_total", "Leases obtained.",
		func(s *lease.LockerStats) int64 { return s.Obtained }),
	counter("renewed_total", "Renewals that succeeded.",
		func(s *lease.LockerStats) int64 { return s.Renewed }),
	counter("released_total", "Items that this process freed.",
		func(s *lease.LockerStats) int64 { return s.Released }),
	counter("handed_over_total",
		"Items handed over to who wanted them, or freed as an operator asked.",
		func(s *lease.LockerStats) int64 { return s.HandedOver }),
	counter("lost_total",
		"Leases whose item someone else had taken, or that was retired, or leased anew here.",
		func(s *lease.LockerStats) int64 { return s.Lost }),
	counter("expired_total", "Leases that weren't renewed in time.",
		func(s *lease.LockerStats) int64 { return s.Expired }),
	counter("stucks_total", "Works that were stuck, so that their items were given up.",
		func(s *lease.LockerStats) int64 { return s.Stucks }),
	counter("races_lost_total", "Items that another worker took first, or that had gone.",
		func(s *lease.LockerStats) int64 { return s.RacesLost }),
	counter("namesakes_total", "Shares that met another process of their name.",
		func(s *lease.LockerStats) int64 { return s.Namesakes }),
	counter("looks_total", "Looks at the table, or at one item, that succeeded.",
		func(s *lease.LockerStats) int64 { return s.Looks }),
	counter("failed_renewals_total",
		"Renewals that failed, by an error of the database or the network.",
		func(s *lease.LockerStats) int64 { return s.FailedRenewals }),
	counter("failed_looks_total", "Looks at the table, or at one item, that failed.",
		func(s *lease.LockerStats) int64 { return s.FailedLooks }),
	counter("failed_writes_total",
		"Other writes that failed: leases, releases, handovers, wishes and saves.",
		func(s *lease.LockerStats) int64 { return s.FailedWrites }),
	moment("last_look_timestamp_seconds",
		"When the last look at the table succeeded; absent before the first.",
		func(s *lease.LockerStats) time.Time { return s.LastLook }),
	moment("last_renewal_timestamp_seconds",
		"When the last renewal succeeded; absent before the first.",
		func(s *lease.LockerStats) time.Time { return s.LastRenewal }),
	{
		desc: desc("least_remaining_seconds",
			"The least time that a lease ever had left when it was renewed; absent before."),
		kind: prometheus.GaugeValue,
		value: func(s *lease.LockerStats) (float64, bool) {
			return s.LeastRemaining.Seconds(), s.Renewed > 0
		},
	},
}

var (
	shortestSeconds = desc("shortest_remaining_seconds",
		"The least time that a lease has left now; absent if none is held.")
	shortestRatio = desc("shortest_remaining_ratio",
		"The least part of its duration that a lease has left now, 0.9 at most: "+
			"one that is renewed in time has over half; absent if none is held.")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("lease_"+name, help, labels, nil)
}

func gauge(name, help string, value func(s *lease.LockerStats) int) figure {
	return figure{
		desc: desc(name, help),
		kind: prometheus.GaugeValue,
		value: func(s *lease.LockerStats) (float64, bool) {
			return float64(value(s)), true
		},
	}
}

func counter(name, help string, value func(s *lease.LockerStats) int64) figure {
	return figure{
		desc: desc(name, help),
		kind: prometheus.CounterValue,
		value: func(s *lease.LockerStats) (float64, bool) {
			return float64(value(s)), true
		},
	}
}

func moment(name, help string, value func(s *lease.LockerStats) time.Time) figure {
	return figure{
		desc: desc(name, help),
		kind: prometheus.GaugeValue,
		value: func(s *lease.LockerStats) (float64, bool) {
			at := value(s)
			return float64(at.UnixNano()) / 1e9, !at.IsZero()
		},
	}
}

func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, f := range figures {
		to <- f.desc
	}
	to <- shortestSeconds
	to <- shortestRatio
	c.observed.describe(to)
}

func (c *collector) Collect(to chan<- prometheus.Metric) {
	if c.locker == nil {
		to <- prometheus.NewInvalidMetric(figures[0].desc, errNilLocker)
		return
	}
	stats := c.locker.Stats()
	for _, f := range figures {
		if v, isKnown := f.value(&stats); isKnown {
			to <- prometheus.MustNewConstMetric(f.desc, f.kind, v)
		}
	}
	collectShortest(to, c.locker.Leases())
	c.observed.collect(to)
}

// collectShortest tells of the lease that is next to end, by time and by the part of its
// duration. These may be two: leases of one process may last for longer and for less long.
func collectShortest(to chan<- prometheus.Metric, leases []*lease.Lease) {
	if len(leases) == 0 {
		return
	}
	first := leases[0]
	seconds := first.Remaining().Seconds()
	ratio := ratioLeft(first)
	for _, l := range leases[1:] {
		seconds = min(seconds, l.Remaining().Seconds())
		ratio = min(ratio, ratioLeft(l))
	}
	to <- prometheus.MustNewConstMetric(shortestSeconds, prometheus.GaugeValue, seconds)
	to <- prometheus.MustNewConstMetric(shortestRatio, prometheus.GaugeValue, ratio)
}

// ratioLeft is the part of its duration that a lease has left, whatever its request says of
// that by now.
func ratioLeft(l *lease.Lease) float64 {
	duration := l.Request.LeaseDuration()
	if duration <= 0 {
		return 0
	}
	return min(1, l.Remaining().Seconds()/duration.Seconds())
}
