package chaos_test

import (
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/intercom/lease/internal/chaos"
	"github.com/intercom/lease/internal/ddblocal"
)

// TestChaosCatchesUnequalShares is TestChaosCatches for what must be so when only workers that
// share are left.
func TestChaosCatchesUnequalShares(t *testing.T) {
	if !*all {
		t.Skip("left out without -chaos.all: four fleets that wait for each other")
	}
	t.Parallel()
	endpoint := ddblocal.ForTest(t).Endpoint
	machine := measure(t, endpoint)
	shares := func(t *testing.T, wished bool, rewrite rewrite) func(int) *fleet {
		return func(int) *fleet {
			return levelFleet(t, endpoint, rand.Uint64(), machine, wished, rewrite)
		}
	}
	var running sync.WaitGroup
	test := func(name string, do func(t *testing.T)) {
		running.Go(func() { t.Run(name, do) })
	}
	test("wishes that don't arrive", func(t *testing.T) {
		untilCaught(t, chaos.NotLevel, shares(t, false, dropWishes))
	})
	test("a reservation that doesn't end", func(t *testing.T) {
		untilCaught(t, chaos.NotHeld, shares(t, true, reserveForLong))
	})
	test("sound", func(t *testing.T) {
		f := shares(t, false, nil)(1)
		f.explain(f.report())
	})
	test("sound, with reservations", func(t *testing.T) {
		f := shares(t, true, nil)(1)
		f.explain(f.report())
	})
	running.Wait()
	t.Log("machine:", machine.Since(0))
}

// levelFleet runs a fleet until it is level, or for as long as that may take. When the machine
// was too late for its leases, it is done again with longer ones.
func levelFleet(
	t *testing.T, endpoint string, seed uint64, machine *chaos.Machine,
	wished bool, rewrite rewrite,
) *fleet {
	lease := 1500 * time.Millisecond
	for {
		f := newFleet(t, endpoint, seed, 5)
		f.machine = machine
		f.template = worker{Duration: lease, Wait: 100 * time.Millisecond}
		f.level(wished, rewrite)
		enough := longEnough(f.late(f.since))
		if lease >= enough {
			return f
		}
		lease = enough
		os.RemoveAll(f.dir)
	}
}

// level lets one worker hold all items, and two more join; then it waits until all are level,
// or for as long as that may take. An operator may want items for nobody.
func (f *fleet) level(wished bool, rewrite rewrite) {
	f.steady.Store(true)
	o := chaos.Options{Rewrite: rewrite}
	f.start(o, worker{How: isSharing})
	f.await("the first holds all", func() bool { return f.isLevel(f.limits()) })
	several(2, worker{How: isSharing}, o)(f)
	if wished {
		for _, item := range f.items[:3] {
			until := time.Now().Add(f.template.Duration / 2)
			f.wish(f.ctx, item, str("nobody knows"), num(until.UnixNano()))
		}
	}
	f.since = chaos.Now()
	f.onlySharing()
	f.awaitLevel()
	f.stop()
}
