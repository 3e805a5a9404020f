package leaseotel

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/intercom/lease"
)

// figure is a metric that Locker.Stats shows.
type figure struct {
	name string
	unit string
	help string
	of   func(s lease.LockerStats) int64
}

// counters only grow.
var counters = []figure{
	{"lease.tenure.obtained", "{tenure}", "Leases obtained.",
		func(s lease.LockerStats) int64 { return s.Obtained }},
	{"lease.tenure.renewed", "{renewal}", "Renewals that succeeded.",
		func(s lease.LockerStats) int64 { return s.Renewed }},
	{"lease.tenure.lost", "{tenure}",
		"Leases whose item turned out to be another's, or retired, or leased anew here.",
		func(s lease.LockerStats) int64 { return s.Lost }},
	{"lease.tenure.expired", "{tenure}", "Leases that weren't renewed in time.",
		func(s lease.LockerStats) int64 { return s.Expired }},
	{"lease.item.released", "{item}", "Items freed, be it after their leases had expired.",
		func(s lease.LockerStats) int64 { return s.Released }},
	{"lease.item.handed_over", "{item}",
		"Items handed over to who wanted them, or freed as an operator asked.",
		func(s lease.LockerStats) int64 { return s.HandedOver }},
	{"lease.work.stuck", "{work}", "Works that were stuck, so that their items were given up.",
		func(s lease.LockerStats) int64 { return s.Stucks }},
	{"lease.race.lost", "{item}", "Items that another worker took first, or that had gone.",
		func(s lease.LockerStats) int64 { return s.RacesLost }},
	{"lease.namesake.met", "{share}", "Shares that met another process of their name.",
		func(s lease.LockerStats) int64 { return s.Namesakes }},
	{"lease.look.answered", "{look}", "Looks at the table, page by page, and at one item.",
		func(s lease.LockerStats) int64 { return s.Looks }},
}

// part is one series of a metric that Locker.Stats shows.
type part struct {
	value string // of the attribute
	of    func(s lease.LockerStats) int64
}

// sum is a metric of several series, whose sum makes sense.
type sum struct {
	name  string
	unit  string
	help  string
	key   attribute.Key
	parts []part
}

// failures only grow.
var failures = sum{
	"lease.request.failed", "{request}",
	"Requests that failed, by an error of the database or the network.",
	"lease.request.kind",
	[]part{
		{"renewal", func(s lease.LockerStats) int64 { return s.FailedRenewals }},
		{"look", func(s lease.LockerStats) int64 { return s.FailedLooks }},
		{"write", func(s lease.LockerStats) int64 { return s.FailedWrites }},
	},
}

// levels go up and down.
var levels = []sum{
	{"lease.tenure.count", "{tenure}", "Leases held now; wanted: somebody else asks for the item.",
		"lease.tenure.state",
		[]part{
			{"held", func(s lease.LockerStats) int64 { return int64(s.Held - s.InHandover) }},
			{"wanted", func(s lease.LockerStats) int64 { return int64(s.InHandover) }},
		}},
	{"lease.work.count", "{work}", "Works that run now; leaseless: they hold nothing any more.",
		"lease.work.state",
		[]part{
			{"leased", func(s lease.LockerStats) int64 { return int64(s.Working - s.Stuck) }},
			{"leaseless", func(s lease.LockerStats) int64 { return int64(s.Stuck) }},
		}},
	{"lease.wait.count", "{call}", "Calls that wait for a lease now.", "", []part{
		{"", func(s lease.LockerStats) int64 { return int64(s.Waiting) }},
	}},
}

// span of time that Lockers show: the gravest of them. ok is false if there is none.
type gauge struct {
	name string
	help string
	of   func(locker *lease.Locker) (d time.Duration, ok bool)
	over func(a, b time.Duration) time.Duration // which of two is graver
}

var gauges = []gauge{
	{"lease.tenure.remaining", "The least time that a lease held now has left.",
		leastRemaining, shorter},
	{"lease.look.age", "How long ago the last look at the table succeeded.", lookAge, longer},
}

func shorter(a, b time.Duration) time.Duration { return min(a, b) }
func longer(a, b time.Duration) time.Duration  { return max(a, b) }

// leastRemaining is of the lease that ends first, if nothing renews it.
func leastRemaining(locker *lease.Locker) (least time.Duration, ok bool) {
	for _, l := range locker.Leases() {
		left := l.Remaining()
		if !ok || left < least {
			least = left
		}
		ok = true
	}
	return least, ok
}

func lookAge(locker *lease.Locker) (time.Duration, bool) {
	last := locker.Stats().LastLook
	return time.Since(last), !last.IsZero()
}

// board shows the figures of Lockers, whenever metrics are read. That sends no request.
type board struct {
	meter      metric.Meter
	attributes []attribute.KeyValue
	lockers    func() []*lease.Locker
}

// showFigures makes the instruments. They show nothing while there is no Locker.
func showFigures(
	meter metric.Meter, attributes []attribute.KeyValue, lockers func() []*lease.Locker,
) {
	b := board{meter: meter, attributes: attributes, lockers: lockers}
	for _, f := range counters {
		b.count(sum{name: f.name, unit: f.unit, help: f.help, parts: []part{{of: f.of}}})
	}
	b.count(failures)
	for _, level := range levels {
		b.level(level)
	}
	for _, g := range gauges {
		b.gauge(g)
	}
}

func (b board) count(s sum) {
	_, err := b.meter.Int64ObservableCounter(s.name, metric.WithUnit(s.unit),
		metric.WithDescription(s.help), metric.WithInt64Callback(b.show(s)))
	handle(err)
}

func (b board) level(s sum) {
	_, err := b.meter.Int64ObservableUpDownCounter(s.name, metric.WithUnit(s.unit),
		metric.WithDescription(s.help), metric.WithInt64Callback(b.show(s)))
	handle(err)
}

// show returns what shows each part of a sum, over all Lockers.
func (b board) show(s sum) metric.Int64Callback {
	var options []metric.ObserveOption
	for _, p := range s.parts {
		options = append(options, b.with(s.key, p.value))
	}
	return func(_ context.Context, to metric.Int64Observer) error {
		lockers := b.lockers()
		if len(lockers) == 0 {
			return nil
		}
		totals := make([]int64, len(s.parts))
		for _, locker := range lockers {
			stats := locker.Stats()
			for i, p := range s.parts {
				totals[i] += p.of(stats)
			}
		}
		for i, total := range totals {
			to.Observe(total, options[i])
		}
		return nil
	}
}

// with is the attributes of a series.
func (b board) with(key attribute.Key, value string) metric.MeasurementOption {
	all := append([]attribute.KeyValue(nil), b.attributes...)
	if key != "" {
		all = append(all, key.String(value))
	}
	return metric.WithAttributeSet(attribute.NewSet(all...))
}

func (b board) gauge(g gauge) {
	attributes := b.with("", "")
	show := func(_ context.Context, to metric.Float64Observer) error {
		var gravest time.Duration
		isThere := false
		for _, locker := range b.lockers() {
			d, ok := g.of(locker)
			if ok && isThere {
				d = g.over(d, gravest)
			}
			if ok {
				gravest = d
				isThere = true
			}
		}
		if isThere {
			to.Observe(gravest.Seconds(), attributes)
		}
		return nil
	}
	_, err := b.meter.Float64ObservableGauge(g.name, metric.WithUnit("s"),
		metric.WithDescription(g.help), metric.WithFloat64Callback(show))
	handle(err)
}
