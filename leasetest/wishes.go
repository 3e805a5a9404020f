package leasetest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/intercom/lease"
)

// want asks for the item as a scan shows it.
func (c *conformance) want(by string, until time.Time) {
	c.Helper()
	c.noError("WantLease by "+by, c.WantLease(c.Context(), c.row(), by, until))
	c.wished(by, until)
}

// wished checks which wish a scan shows; a zero time stands for none.
func (c *conformance) wished(by string, until time.Time) {
	c.Helper()
	got, want := c.row(), int64(0)
	if !until.IsZero() {
		want = until.UnixNano()
	}
	if got.WantedBy != by || got.WantedUntil != want {
		c.Errorf("a scan shows a wish of %q until %d; want %q, %d", got.WantedBy, got.WantedUntil, by, want)
	}
}

// refuseWish is WantLease that must not succeed, and change nothing.
func (c *conformance) refuseWish(what string, seen lease.LeaseItem, by string) {
	c.Helper()
	before := c.scan("")
	if err := c.WantLease(c.Context(), seen, by, time.Now().Add(time.Minute)); err != lease.LeaseNotObtainedError {
		c.Errorf("WantLease of %s = %v; want bare LeaseNotObtainedError", what, err)
	}
	c.equal("what a scan shows after WantLease of "+what, c.scan(""), before)
}

func (c *conformance) handOver(l *lease.Lease, until time.Time) {
	c.Helper()
	c.noError("HandOverLease", c.HandOverLease(c.Context(), l, until))
}

func renewalShowsTheRow(c *conformance) {
	l := c.obtain("w1")
	until := time.Now().Add(time.Hour)
	got, err := c.RenewLeaseItem(c.Context(), l, until, time.Time{})
	c.noError("RenewLeaseItem", err)
	c.equal("what the renewal shows", got, c.row())
	c.equal("FencingToken", got.FencingToken, l.FencingToken())
	c.shows("w1", until)
	for _, by := range []string{"w2", ""} {
		c.want(by, until)
		got, err = c.RenewLeaseItem(c.Context(), l, until.Add(time.Hour), time.Time{})
		c.noError("RenewLeaseItem", err)
		c.equal("what the renewal shows of a wish", got, c.row())
		c.wished(by, until)
	}
}

func wishProlonged(c *conformance) {
	l, until := c.obtain("w1"), time.Now().Add(time.Hour)
	for i, by := range []string{"w2", ""} {
		wanted := until.Add(time.Duration(i) * time.Minute)
		c.want(by, wanted)
		got, err := c.RenewLeaseItem(c.Context(), l, wanted, wanted.Add(time.Second))
		c.noError("RenewLeaseItem", err)
		c.wished(by, wanted.Add(time.Second))
		c.equal("what the renewal shows", got, c.row())
	}
}

func noWishToProlong(c *conformance) {
	l, until := c.obtain("w1"), time.Now().Add(time.Hour)
	for range 2 { // also to the same end
		got, err := c.RenewLeaseItem(c.Context(), l, until, until)
		c.noError("RenewLeaseItem", err)
		c.equal("what the renewal shows", got, c.row())
		c.shows("w1", until)
		c.wished("", time.Time{})
	}
}

func wanted(c *conformance) {
	l, soon := c.obtain("w1"), time.Now().Add(time.Minute)
	c.want("w2", soon)
	c.want("w2", soon.Add(1))
	seen := c.row()
	c.want("w3", soon)
	c.noError("WantLease again, as its reply was lost", c.WantLease(c.Context(), seen, "w3", soon))
	c.wished("w3", soon)
	c.want("w4", time.Now().Add(-time.Second))
	c.noError("WantLease as it was before a wish that is past", c.WantLease(c.Context(), seen, "", soon))
	c.want("w2", soon)
	c.shows("w1", l.Until)
	c.equal("FencingToken in a scan", c.row().FencingToken, l.FencingToken())
	c.refuse("w2")
	c.noError("the holder's renewal", c.RenewLease(l, time.Now().Add(time.Hour)))
}

func wantedAsSeen(c *conformance) {
	soon := time.Now().Add(time.Minute)
	c.refuseWish("a free item", c.row(), "w2")
	c.refuseWish("an item that is not registered", lease.LeaseItem{LeaseID: "new", LesseeID: "w1", FencingToken: 1}, "w2")
	l := c.obtain("w1")
	c.refuseWish("one's own item", c.row(), "w1")

	seen := c.row()
	c.want("w2", soon)
	c.refuseWish("an item that is wanted meanwhile", seen, "w3")
	seen = c.row()
	c.want("w2", soon.Add(1))
	c.refuseWish("an item whose wish was prolonged", seen, "w3")

	seen = c.row()
	c.handOver(l, soon)
	c.refuseWish("an item that has another holder, by the same token", seen, "w3")
	c.obtain("w2")
	seen = c.row()
	c.obtain("w2")
	c.refuseWish("a tenure that is over", seen, "w3")
	seen = c.row()
	c.noError("RemoveLease", c.RemoveLease(c.obtain("w2")))
	c.refuseWish("a retired item", seen, "w3")
}

func wishesEnd(c *conformance) {
	until := time.Now().Add(time.Hour)
	c.obtain("w1")
	c.want("w2", until)
	l := c.obtain("w1")
	c.wished("", time.Time{})
	c.want("w2", until)
	c.noError("ReleaseLease", c.ReleaseLease(l))
	c.wished("", time.Time{})
	l = c.obtainFor("w1", 200*time.Millisecond)
	c.want("w2", until)
	c.takeOver("w3", l.Until)
	c.wished("", time.Time{})
	c.want("w2", until)
	c.obtainAsSeen(c.row(), nil, "w3", time.Minute)
	c.wished("", time.Time{})
}

func handedOver(c *conformance) {
	l, until := c.obtain("w1"), time.Now().Add(2*time.Second)
	wanted := time.Now().Add(time.Minute)
	c.want("w2", wanted)
	c.handOver(l, until)
	c.shows("w2", until)
	c.wished("w2", wanted)
	c.equal("FencingToken of the reservation", c.row().FencingToken, l.FencingToken())
	c.bareLost("RenewLease of a lease that was handed over", c.RenewLease(l, time.Now().Add(time.Hour)))
	c.refuse("w3")
	c.refuse("w1")
	next := c.obtainAsSeen(c.row(), nil, "w2", time.Minute)
	c.equal("FencingToken of who wanted it", next.FencingToken(), l.FencingToken()+1)
	c.wished("", time.Time{})

	until = time.Now().Add(300 * time.Millisecond)
	c.want("w3", wanted)
	c.handOver(c.obtain("w2"), until) // which removes the wish
	c.shows("", time.Time{})
	l = c.obtain("w2")
	c.want("w3", wanted)
	c.handOver(l, until)
	c.shows("w3", until)
	c.takeOver("w1", until) // w3 has died
}

func handedOverNow(c *conformance) {
	l, wanted := c.obtain("w1"), time.Now().Add(time.Minute)
	c.want("w2", wanted)
	c.want("w3", wanted)
	c.handOver(l, wanted)
	c.shows("w3", wanted)
	c.wished("w3", wanted)
}

func handedOverWithoutAWish(c *conformance) {
	free := func(what string, l *lease.Lease) {
		c.Helper()
		c.handOver(l, time.Now().Add(time.Minute))
		if c.shows("", time.Time{}); c.Failed() {
			c.Fatalf("a handover of an item %s is no release", what)
		}
		c.wished("", time.Time{})
	}
	free("that nobody wants", c.obtain("w1"))
	l := c.obtain("w1")
	c.want("", time.Now().Add(time.Minute))
	free("that an operator wants freed", l)
	l = c.obtain("w1")
	wish := time.Now().Add(100 * time.Millisecond)
	c.want("w2", wish)
	time.Sleep(time.Until(wish) + 20*time.Millisecond)
	free("that somebody wanted", l)
	l = c.obtain("w1")
	c.want("w2", time.Now().Add(time.Minute))
	c.handOver(l, time.Now().Add(time.Minute))
	reserved := &lease.Lease{LeaseID: item, Request: terms{"w2", time.Minute}, AttributeValues: l.AttributeValues}
	free("that the holder itself wants", reserved)
}

func wantedTooLong(c *conformance) {
	const slack = 10 * time.Second
	for _, duration := range []time.Duration{time.Minute, time.Hour} {
		horizon := max(10*duration/3, 10*time.Minute)
		l := c.obtainFor("w1", duration)
		c.want("w2", time.Now().Add(horizon+slack))
		c.handOver(l, time.Now().Add(time.Minute))
		c.shows("", time.Time{})

		l = c.obtainFor("w1", duration)
		c.want("w2", time.Now().Add(horizon-slack))
		until := time.Now().Add(time.Minute)
		c.handOver(l, until)
		c.shows("w2", until)
		c.noError("ReleaseLease", c.ReleaseLease(c.obtain("w2")))
	}
}

func handedOverAgain(c *conformance) {
	l, until := c.obtain("w1"), time.Now().Add(time.Minute)
	c.want("w2", until)
	c.handOver(l, until)
	before := c.row()
	c.handOver(l, until)
	c.handOver(l, until.Add(time.Hour))
	c.equal("what a scan shows after a second handover", c.row(), before)
	next := c.obtain("w2")
	lost := func(what string, l *lease.Lease) {
		c.Helper()
		before := c.scan("")
		c.bareLost("HandOverLease "+what, c.HandOverLease(c.Context(), l, until))
		c.equal("what a scan shows after HandOverLease "+what, c.scan(""), before)
	}
	lost("of what another has", l)
	c.want("w3", until)
	newer := c.obtain("w2")
	lost("of an older tenure", next)
	c.want("w3", until)
	lost("of an older tenure that is wanted", next)
	c.noError("ReleaseLease", c.ReleaseLease(newer))
	c.handOver(newer, until)
	c.shows("", time.Time{})
	c.noError("RemoveLease", c.RemoveLease(c.obtain("w2")))
	lost("of a retired item", newer)
}

func handedOverPastANamesake(c *conformance) {
	older := c.obtainFor("w1", 500*time.Millisecond)
	l := c.obtainAsSeen(c.row(), nil, "w1", time.Minute)
	c.want("w2", time.Now().Add(time.Minute))
	c.handOver(l, time.Now().Add(time.Minute))
	c.shows("", older.Until)
	c.wished("", time.Time{})
	c.takeOver("w2", older.Until)
}

func handedOverAfterANamesake(c *conformance) {
	older := c.obtainFor("w1", 200*time.Millisecond)
	l := c.obtainAsSeen(c.row(), nil, "w1", time.Minute)
	until := time.Now().Add(time.Minute)
	c.want("w2", until)
	time.Sleep(time.Until(older.Until) + 20*time.Millisecond)
	c.handOver(l, until)
	c.shows("w2", until)
}

// shared lets one worker hold all items, a second join, and the first leave.
func shared(c *conformance) {
	const most = 30 * time.Second
	held := func() (of map[string]int) {
		of = make(map[string]int)
		for _, item := range c.scan("") {
			if item.Until.After(time.Now()) {
				of[item.LesseeID]++
			}
		}
		return of
	}
	until := func(what string, so func(of map[string]int) bool) {
		c.Helper()
		for start := time.Now(); !so(held()); time.Sleep(50 * time.Millisecond) {
			if time.Since(start) > most {
				c.Errorf("after %v not yet %s, but %v", most, what, held())
				return
			}
		}
	}
	var working sync.Map // lease ID → *atomic.Int32
	share := func(lessee string) (stop func()) {
		ctx, cancel := context.WithCancel(c.Context())
		stopped := make(chan error, 1)
		go func() {
			stopped <- lease.NewLocker(c.StoreInterface).HoldShare(ctx, terms{lessee, 3 * time.Second}, 0,
				func(ctx context.Context, l *lease.Lease) error {
					at, _ := working.LoadOrStore(l.LeaseID, new(atomic.Int32))
					if n := at.(*atomic.Int32).Add(1); n != 1 {
						c.Errorf("%d are at work on %s", n, l.LeaseID)
					}
					<-ctx.Done()
					at.(*atomic.Int32).Add(-1)
					return context.Cause(ctx)
				})
		}()
		return func() {
			cancel()
			if err := <-stopped; !errors.Is(err, context.Canceled) {
				c.Errorf("HoldShare of %s = %v; want context.Canceled", lessee, err)
			}
		}
	}
	stop1 := share("w1")
	until("all with w1", func(of map[string]int) bool { return of["w1"] == len(five) })
	stop2 := share("w2")
	until("level", func(of map[string]int) bool {
		return of["w1"]+of["w2"] == len(five) && min(of["w1"], of["w2"]) == len(five)/2
	})
	stop1()
	until("all with w2", func(of map[string]int) bool { return of["w2"] == len(five) })
	stop2()
	c.equal("what is held in the end", held(), map[string]int{})
}
