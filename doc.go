// Package lease shares long-lived work items among the workers of a fleet, over a
// DynamoDB table: each worker holds items and keeps them, and when it dies others take
// over. The words:
//
//   - A lease item is a row of the table: a work item that somebody registered. A
//     lessee holds it, see [LeaseRequest].
//   - A tenure is one uninterrupted time of one lessee holding one item. A heartbeat is
//     renewals of it at intervals.
//   - A fencing token is a tenure's number: greater than that of every earlier tenure
//     of the item.
//   - A wish asks a holder to hand its item over: to release it, reserved for the
//     lessee that wished for it. In the API the item is wanted.
//   - Namesakes are live processes that use one name as their LesseeID.
//   - A period is a third of a lease: the usual time from one renewal to the next.
//   - A row's end is its LeaseUntil: until then nobody else may lease the item. The
//     holder relies on its lease for a tenth of the duration less, the margin.
//
// A [Locker] owns tenures: its Leases know when theirs is over. Those of a [LockStore]
// are bare: they know their fields only.
//
// # What is guaranteed
//
// Let start be the time just before a lease or a renewal was first sent, and D the
// LeaseDuration that it asked for. If it succeeds, and until a release,
//
//	the holder may rely on it    until start + D - D/10: see Lease.Valid and Lease.Context
//	others may take the item     once their clock is past start + D, or a later row's end
//
// So two lessees never rely on one item at once while their clocks differ by less than
// D/10. The holder's end is kept by the monotonic clock and by the wall clock, also
// while a request hangs. A tenure that is over stays over. A late or repeated request
// never harms a later tenure. Only SaveAttributes touches the attributes that are the
// user's.
//
// Each reply of DynamoDB tells its time, to the second. Where replies prove this host's
// clock more than a second wrong, LockStore corrects it for its own use, and logs that.
// An error of two seconds may stay until some more replies have come. So leases should
// last 20 seconds or more, and hosts should keep their clocks by NTP.
//
// # What is not
//
//   - A process that is paused between asking Valid and acting on the answer acts late.
//     No lease prevents that. A resource that refuses a lower fencing token than it has
//     seen does.
//   - Work that hangs isn't ended, and may write when others work on its item: see
//     [Lease.Progress]. The fencing token is for that too.
//   - Of two namesakes, one may take the other's item, and both rely on it until the
//     other's next renewal; third parties are kept out until that one's end. LesseeIDs
//     should be unique.
//   - Workers of the original library on the same table neither stop early, nor count
//     tokens, nor heed wishes.
//   - A lease is good in one region: the replicas of a global table take writes without
//     asking each other.
package lease
