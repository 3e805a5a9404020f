// Package leasetest lets users of package lease test their workers without a database, a
// network or a sleep. What net/http/httptest is to net/http, it is to lease.
//
// # Testing a worker
//
// [Store] is a store in memory that does what [lease.LockStore] does, and fails when it is told
// to. In a [testing/synctest] bubble such a test is exact and takes no time:
//
//	func TestMailerStopsWhenItsLeaseIsLost(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			store := leasetest.NewStore("alice")
//			mailer := &Mailer{ID: "host-1", Duration: 30 * time.Second, Deliver: func(string) {}}
//			stopped := make(chan error)
//			go func() { stopped <- mailer.Run(t.Context(), lease.NewLocker(store)) }()
//
//			time.Sleep(time.Minute + time.Second) // takes no time in here
//			store.Steal("alice", "host-2", time.Hour)
//			stolen := time.Now()
//			if err := <-stopped; !errors.Is(err, lease.LeaseLostError) {
//				t.Errorf("Run = %v; want LeaseLostError", err)
//			}
//			if took := time.Since(stolen); took > 10*time.Second {
//				t.Errorf("the mailer stopped after %v; want no more than a heartbeat", took)
//			}
//		})
//	}
//
// What may go wrong, and what the worker should then meet with:
//
//	Steal, Retire       LeaseLostError, at its next renewal
//	OutageFor(d)        nothing, while d leaves a renewal its time
//	SetOutage, SetHang  LeaseLostError and its cause, a tenth before the lease ends
//	SetError            that error from Heartbeat, at its next renewal
//	SetLoseReplies      nothing, once it is off again
//	SetClockSkew        another's lease is taken too early, or its own is: LeaseLostError
//	a second Locker     LeaseLostError, at its next renewal, if it has the same LesseeID
//	its work hangs      LeaseStuckError, if it breaks a promise by Progress, or outstays its Patience
//	WantLease           LeaseWantedError, at its next renewal; the item is handed over when work has returned
//
// The switches are those of one client. [Store.NewClient] makes another host's, to see one
// worker take over from another that is cut off.
//
// # Testing a store
//
// [TestStore] tests a store of one's own against what LockStore promises:
//
//	func TestMemoryStoreConforms(t *testing.T) {
//		leasetest.TestStore(t, newMemory, synctest.Test)
//	}
//
// # Reading order
//
// The store: store.go (leasing, renewing, releasing), wish.go (wishes and handovers), save.go,
// scan.go and registry.go (the other calls), row.go (what becomes of a row, decided apart from
// all else), table.go (the rows), faults.go (the switches), send.go (what they do to a
// request), counts.go, check.go (bad input).
//
// The suite: conformance.go (TestStore), steps.go (what sub-tests have in common), and
// promises_leasing.go to promises_sharing.go (the sub-tests, by subject).
package leasetest
