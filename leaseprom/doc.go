// Package leaseprom shows a [lease.Locker] to Prometheus, and answers the probes of an
// orchestrator: [NewCollector] and [Handler]. It is a module of its own, so that the library
// needs no client of Prometheus.
//
// Beside it lie alerts.yaml, alert rules, and dashboard.json, a dashboard for Grafana. They
// name these metrics:
//
//	lease_held                            leases held now
//	lease_waiting                         calls that wait for a lease now
//	lease_in_handover                     leases whose item is wanted, while their work runs
//	lease_working                         works that run now
//	lease_stuck                           those of them that hold nothing any more
//	lease_shortest_remaining_seconds      the least time that a lease has left now
//	lease_shortest_remaining_ratio        the same, as a part of that lease's duration
//	lease_least_remaining_seconds         the least ever that was left when one was renewed
//	lease_last_look_timestamp_seconds     when the last scan succeeded
//	lease_last_renewal_timestamp_seconds  when the last renewal succeeded
//	lease_obtained_total                  leases obtained
//	lease_renewed_total                   renewals that succeeded
//	lease_released_total                  items freed
//	lease_handed_over_total               items handed over, or freed as an operator asked
//	lease_lost_total                      leases whose item turned out to be another's
//	lease_expired_total                   leases that weren't renewed in time
//	lease_stucks_total                    works that were stuck
//	lease_races_lost_total                items that somebody else took first
//	lease_namesakes_total                 shares that met another process of their name
//	lease_looks_total                     looks at the table that succeeded
//	lease_failed_renewals_total           renewals that failed
//	lease_failed_looks_total              looks that failed
//	lease_failed_writes_total             other writes that failed
//	lease_request_duration_seconds        how long requests took, by request and outcome
//	lease_yield_duration_seconds          how long holders took to give up wanted items
//
// The last two come of [lease.Locker.Observe], all others of [lease.Locker.Stats] and
// [lease.Locker.Leases]. No label names an item or a lessee: a Locker has 37 series at most,
// and 14 for each kind of request and outcome.
package leaseprom
