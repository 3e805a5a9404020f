// Package lease shares long-lived work items (shards, mailboxes, tenants) among the workers of a
// fleet. The items are rows of a DynamoDB table. Each worker holds one row's lease and heartbeats it;
// when it dies, another worker takes over.
//
// It is a drop-in replacement of the archived library of the same import path, made safe: a holder
// can't go on believing in a lease that another worker has taken without being told.
//
// # What is guaranteed
//
// A lease is obtained or renewed by one conditional write. Let start be the time just before that
// write was first sent, and D the lease's duration. Then
//
//	the row says          start + D           others may take the item once their clock is past this
//	the holder may rely   start + D - D/10    on the lease until this, [Lease.Valid] and [Lease.Context]
//
// So two lessees never rely on one item at the same time while their clocks differ by less than the
// margin, D/10. The end of the tenure is measured on the monotonic clock and checked against the wall
// clock, whichever comes first. It comes whatever else happens: while a request hangs, while the SDK
// retries, when no renewal was even tried. A tenure that has ended never comes back.
//
// Clocks are kept close by the package itself. Each reply of DynamoDB carries its Date, to the second;
// where those prove that this host's clock is more than a second off, [LockStore] corrects both what it
// writes and what it compares, and logs the error it measured. What is proved is bounded by the
// header's resolution: an error of up to a second, or two in an unlucky phase, or more while all replies
// are slow, may stay. Leases under 20 seconds therefore rely on the hosts' own synchronisation for the
// rest. Where the error is known only roughly, what is written ends too late rather than too early, and
// what is compared is taken too late.
//
// Only the tenure that obtained a lease can renew or release it: a later tenure, of another lessee or
// of a namesake on another host, has a greater [Lease.FencingToken], which every write but the first is
// conditional on. No write can be applied to the harm of a later one, however late or often it
// arrives. A lost reply costs nothing: each write, sent again, has the same outcome.
//
// No write changes or drops an attribute that isn't the package's own, and leasing creates no rows.
//
// # What is not
//
// A process that is paused between asking Valid and acting on the answer can act late. No lease can
// prevent that; a resource that refuses an older [Lease.FencingToken] than it has seen can.
//
// Clocks that are further apart than the margin, where no reply has proved it: tenures can overlap by
// the excess.
//
// Workers of the original library on the same table: they neither stop early nor count tokens. Ours
// and theirs never hold one row at once by the row itself, but an original worker can believe in a
// lease that is gone, and two tenures with only original ones between them are one number apart.
//
// A LesseeID that two live workers share: either may take the row from the other at any time, and the
// older one learns of it at its next renewal, not before. LesseeIDs must be unique for the rest to hold.
//
// Order, fairness, and at-once takeover: an item is free when its time is up, not when its holder
// dies; and whoever comes first gets it.
//
// # A tenure
//
//	           Lease: one write                       time is up: LeaseExpiredError
//	(free) ──────────────────────▶ ┌────────────┐ ───────────────────────────────────▶ ┌────────┐
//	   ▲                           │ valid      │   another tenure or no row seen:      │        │
//	   │                 renewal ┌─│ Context is │   LeaseLostError                      │ over   │
//	   │                         └▶│ not done   │ ───────────────────────────────────▶ │ for    │
//	   │                           └────────────┘   ReleaseLease: LeaseReleasedError    │ good   │
//	   │                                            ───────────────────────────────────▶│        │
//	   └────────────────────────────────────────────────────────────────────────────── └────────┘
//	            the row is free: at once after a release, else at its LeaseUntil
//
// The errors beside the arrows are the [context.Cause] of the lease's context.
//
// # What to do on each outcome
//
//	ObtainLease, Lease   LeaseNotObtainedError           someone else has it: wait, or come again
//	                     another error                   DynamoDB or the input is at fault: see the message
//	Lease.Context        done                            stop the work; another worker may start it
//	Heartbeat            nil                             the lease was released: nothing
//	                     LeaseLostError (==)             stop; the context is done
//	                     errors.Is(…, LeaseLostError)    the same, after an outage; the error wraps its cause
//	                     another error                   not renewed any more: stop before the context is done
//	ReleaseLease         nil                             others can lease the item at once
//	                     LeaseLostError (==)             it is someone else's already: nothing was touched
//	                     another error                   try again, or leave it to its end
//	Hold                 nil, or what work returned      done
//	                     errors.Is(…, LeaseLostError)    work was cut short: Hold again
//	a guarded write      refused                         a later tenure was there: stop
//
// # Reading order
//
// lease.go (a lease and its tenure), errors.go, locker.go (obtaining and waiting), heartbeat.go,
// hold.go (release, and all of it in one call), lockstore.go (the conditional writes), scan.go (reading
// rows), clock.go (what the Date headers prove), registry.go (registering and retiring items).
package lease
