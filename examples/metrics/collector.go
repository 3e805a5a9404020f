package main

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/intercom/lease"
)

// collector shows a Locker's figures to Prometheus. A process with several Lockers registers one for each, with a label of its
// own by prometheus.WrapRegistererWith. A scrape sends no request.
type collector struct{ locker *lease.Locker }

var (
	held           = desc("held", "Leases that this process holds now.")
	waiting        = desc("waiting", "Calls that wait for a lease now.")
	inHandover     = desc("in_handover", "Leases whose item is wanted elsewhere, and whose work hasn't returned yet.")
	leastRemaining = desc("least_remaining_seconds", "The least time that a lease had left when it was renewed.")
	shortest       = desc("shortest_remaining_seconds", "The least time that a lease has left now; absent if none is held.")
	lastLook       = desc("last_look_timestamp_seconds", "When the last look at the table succeeded; absent before the first.")
	lastRenewal    = desc("last_renewal_timestamp_seconds", "When the last renewal succeeded; absent before the first.")
	obtained       = desc("obtained_total", "Leases obtained.")
	renewed        = desc("renewed_total", "Renewals that succeeded.")
	released       = desc("released_total", "Leases released.")
	handedOver     = desc("handed_over_total", "Items handed over to who wanted them, or freed as an operator asked.")
	lost           = desc("lost_total", "Leases whose item someone else had taken, or that was retired, or leased anew here.")
	expired        = desc("expired_total", "Leases that weren't renewed in time.")
	racesLost      = desc("races_lost_total", "Items that another worker took first, or that had gone.")
	looks          = desc("looks_total", "Looks at the table that succeeded.")
	failedRenewals = desc("failed_renewals_total", "Renewals that failed, by an error of the database or the network.")
	failedLooks    = desc("failed_looks_total", "Looks at the table that failed.")
	failedWrites   = desc("failed_writes_total", "Other writes that failed: leases, releases, handovers, wishes and saves.")
)

func desc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("lease_"+name, help, nil, nil)
}

func (c collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{held, waiting, inHandover, leastRemaining, shortest, lastLook, lastRenewal, obtained, renewed,
		released, handedOver, lost, expired, racesLost, looks, failedRenewals, failedLooks, failedWrites} {
		to <- d
	}
}

func (c collector) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64) { to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	count := func(d *prometheus.Desc, n int64) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n))
	}
	when := func(d *prometheus.Desc, t time.Time) {
		if !t.IsZero() {
			gauge(d, float64(t.UnixNano())/1e9)
		}
	}
	s := c.locker.Stats()
	gauge(held, float64(s.Held))
	gauge(waiting, float64(s.Waiting))
	gauge(inHandover, float64(s.InHandover))
	if s.Renewed > 0 {
		gauge(leastRemaining, s.LeastRemaining.Seconds())
	}
	if l := nextToEnd(c.locker.Leases()); l != nil {
		gauge(shortest, l.Remaining().Seconds())
	}
	when(lastLook, s.LastLook)
	when(lastRenewal, s.LastRenewal)
	count(obtained, s.Obtained)
	count(renewed, s.Renewed)
	count(released, s.Released)
	count(handedOver, s.HandedOver)
	count(lost, s.Lost)
	count(expired, s.Expired)
	count(racesLost, s.RacesLost)
	count(looks, s.Looks)
	count(failedRenewals, s.FailedRenewals)
	count(failedLooks, s.FailedLooks)
	count(failedWrites, s.FailedWrites)
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
