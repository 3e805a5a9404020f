package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/intercom/lease"
)

// collector shows a Locker's figures to Prometheus. A process with several Lockers registers
// one for each, with a label of its own by prometheus.WrapRegistererWith. A scrape sends no
// request.
type collector struct{ locker *lease.Locker }

var (
	held       = desc("held", "Leases that this process holds now.")
	waiting    = desc("waiting", "Calls that wait for a lease now.")
	inHandover = desc(
		"in_handover",
		"Leases whose item is wanted elsewhere, and whose work hasn't returned yet.",
	)
	working = desc("working", "Works that run now.")
	stuck   = desc(
		"stuck",
		"Works that run now and hold nothing any more: stuck, or deaf to their loss.",
	)
	leastRemaining = desc(
		"least_remaining_seconds",
		"The least time that a lease had left when it was renewed.",
	)
	shortest = desc(
		"shortest_remaining_seconds",
		"The least time that a lease has left now; absent if none is held.",
	)
	lastLook = desc(
		"last_look_timestamp_seconds",
		"When the last look at the table succeeded; absent before the first.",
	)
	lastRenewal = desc(
		"last_renewal_timestamp_seconds",
		"When the last renewal succeeded; absent before the first.",
	)
	obtained   = desc("obtained_total", "Leases obtained.")
	renewed    = desc("renewed_total", "Renewals that succeeded.")
	released   = desc("released_total", "Leases released.")
	handedOver = desc(
		"handed_over_total",
		"Items handed over to who wanted them, or freed as an operator asked.",
	)
	lost = desc(
		"lost_total",
		"Leases whose item someone else had taken, or that was retired, or leased anew here.",
	)
	expired   = desc("expired_total", "Leases that weren't renewed in time.")
	stucks    = desc("stucks_total", "Works that were stuck, so that their items were given up.")
	racesLost = desc(
		"races_lost_total",
		"Items that another worker took first, or that had gone.",
	)
	namesakes = desc(
		"namesakes_total",
		"Shares that met another process of their name.",
	)
	looks          = desc("looks_total", "Looks at the table that succeeded.")
	failedRenewals = desc(
		"failed_renewals_total",
		"Renewals that failed, by an error of the database or the network.",
	)
	failedLooks  = desc("failed_looks_total", "Looks at the table that failed.")
	failedWrites = desc(
		"failed_writes_total",
		"Other writes that failed: leases, releases, handovers, wishes and saves.",
	)
)

func desc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("lease_"+name, help, nil, nil)
}

func (c collector) Describe(to chan<- *prometheus.Desc) {
	all := []*prometheus.Desc{
		held, waiting, inHandover, working, stuck,
		leastRemaining, shortest, lastLook, lastRenewal,
		obtained, renewed, released, handedOver, lost, expired, stucks,
		racesLost, namesakes, looks, failedRenewals, failedLooks, failedWrites,
	}
	for _, d := range all {
		to <- d
	}
}

func (c collector) Collect(to chan<- prometheus.Metric) {
	s := c.locker.Stats()
	f := figuresTo{to}
	f.gauge(held, float64(s.Held))
	f.gauge(waiting, float64(s.Waiting))
	f.gauge(inHandover, float64(s.InHandover))
	f.gauge(working, float64(s.Working))
	f.gauge(stuck, float64(s.Stuck))
	if s.Renewed > 0 {
		f.gauge(leastRemaining, s.LeastRemaining.Seconds())
	}
	if l := nextToEnd(c.locker.Leases()); l != nil {
		f.gauge(shortest, l.Remaining().Seconds())
	}
	f.moment(lastLook, s.LastLook)
	f.moment(lastRenewal, s.LastRenewal)
	f.count(obtained, s.Obtained)
	f.count(renewed, s.Renewed)
	f.count(released, s.Released)
	f.count(handedOver, s.HandedOver)
	f.count(lost, s.Lost)
	f.count(expired, s.Expired)
	f.count(stucks, s.Stucks)
	f.count(racesLost, s.RacesLost)
	f.count(namesakes, s.Namesakes)
	f.count(looks, s.Looks)
	f.count(failedRenewals, s.FailedRenewals)
	f.count(failedLooks, s.FailedLooks)
	f.count(failedWrites, s.FailedWrites)
}

// figuresTo sends figures of each kind to Prometheus.
type figuresTo struct{ to chan<- prometheus.Metric }

func (f figuresTo) gauge(d *prometheus.Desc, v float64) {
	f.to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
}

func (f figuresTo) count(d *prometheus.Desc, n int64) {
	f.to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n))
}

// moment sends nothing of what has never been.
func (f figuresTo) moment(d *prometheus.Desc, t time.Time) {
	if !t.IsZero() {
		f.gauge(d, float64(t.UnixNano())/1e9)
	}
}

// nextToEnd returns the lease with the least time left, nil if there is none.
func nextToEnd(leases []*lease.Lease) (next *lease.Lease) {
	for _, l := range leases {
		if next == nil || l.Remaining() < next.Remaining() {
			next = l
		}
	}
	return next
}
