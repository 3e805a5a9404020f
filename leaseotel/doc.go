// Package leaseotel shows by OpenTelemetry what lease does: a span for each tenure and each
// request, metrics, and the trace's ID in the lines of the log.
//
//	telemetry := leaseotel.New()
//	store := lease.NewLockStore(telemetry.Client(ddb), "mailboxes", "mailbox")
//	locker := lease.NewLocker(store)
//	telemetry.Observe(locker)
//	lease.SetLogger(telemetry.Logger(nil))
//	err := locker.HoldShare(ctx, me, 0, func(ctx context.Context, l *lease.Lease) error {
//		return work(telemetry.Context(ctx, l), l) // whose spans are the tenure's children
//	})
//	telemetry.Shutdown(context.Background())
//
// It needs OpenTelemetry's API only: which SDK makes something of it is the program's choice.
//
// # Spans
//
// "lease tenure" is a root, and begins a trace of its own, as a tenure may last for months. It
// goes from when the lease was obtained until the row is free, or until the tenure was lost, has
// expired, or is over without a word of the row for 15 seconds. Its attributes are lease.item,
// lease.lessee, lease.fencing_token and, at the end, lease.tenure.end (released, handed_over,
// given_up, lost, expired, stuck; shutdown, if it was still held; untold, if the observer was so
// far behind that it missed the end), lease.tenure.renewals and lease.tenure.failed_renewals.
// Its status is an error, with the cause, where it was lost, has expired or is stuck, or where
// its release has failed. Its events are lease.renewal_failed, lease.wanted, lease.given_up,
// lease.released, lease.handed_over, lease.lost, lease.expired, lease.stuck and
// lease.write_failed: the first hundred, and those of the end. It links to the span of who called
// Hold, if its work has called [Telemetry.Context].
//
// Its children are the spans that the work starts, with the context that [Telemetry.Context]
// returns, and those of the requests that only the holder makes: renewals, release, handover, and
// saves, which are children of the work's own span, if that is in their context.
//
// "DynamoDB.UpdateItem", say, is a request of a [Telemetry.Client], by the conventions for
// DynamoDB. Looks, leases and wishes are of no tenure: they are children of the span in the
// context that HoldShare, say, was called with, and roots if there is none. A sampler that wants
// no traces of looks drops roots named DynamoDB.Scan.
//
// A sampler is asked once for each tenure, at its root, and mostly holds to that for the children:
// of a tenure that isn't sampled no span of the work is, for as long as it lasts. Where samplers
// take one trace in a hundred, let yours take all roots that are named "lease tenure": they are
// few; or start the work's spans as roots, with a link to the tenure's span.
//
// # Metrics
//
// No metric has a series for each item. These come from [lease.Locker.Stats], and are right
// whenever the Locker was observed first; Lockers of one [Telemetry] are added up:
//
//	lease.tenure.count        up-down  leases held; lease.tenure.state is held or wanted
//	lease.work.count          up-down  works that run; lease.work.state is leased or leaseless
//	lease.wait.count          up-down  calls that wait for a lease
//	lease.tenure.obtained     counter  tenures
//	lease.tenure.renewed      counter  renewals that succeeded
//	lease.tenure.lost         counter  tenures whose item turned out to be another's
//	lease.tenure.expired      counter  tenures that weren't renewed in time
//	lease.item.released       counter  items freed
//	lease.item.handed_over    counter  items handed over
//	lease.work.stuck          counter  works that were stuck
//	lease.race.lost           counter  items that another worker took first
//	lease.namesake.met        counter  shares that met another process of their name
//	lease.look.answered       counter  looks at the table, or at one item
//	lease.request.failed      counter  requests; lease.request.kind is renewal, look or write
//	lease.tenure.remaining    gauge    s, the least that a lease held now has left
//	lease.look.age            gauge    s, since the last look at the table succeeded
//
// These are measured, from when the Locker is observed on:
//
//	lease.tenure.duration         histogram  s, by lease.tenure.end
//	lease.request.duration        histogram  s, by lease.request.name and, of failures, error.type:
//	                                         what the Locker has waited, retries included
//	db.client.operation.duration  histogram  s, by the conventions, of a Client
//
// # Costs
//
// With OpenTelemetry's SDK a tenure takes 1 KB while it lasts, and for 10 seconds more, and a
// renewal a microsecond. What an exporter takes on top holds up other observers of the Locker,
// and no work: see [lease.Locker.Observe].
//
// A span is exported when it ends. That of a tenure of days comes long after those of its
// requests and its work, and a place that keeps traces for hours may show these without it.
package leaseotel
