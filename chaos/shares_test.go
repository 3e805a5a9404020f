package chaos_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom/lease/internal/chaos"
	"github.com/intercom/lease/internal/ddblocal"
)

// TestChaosCatchesUnequalShares is TestChaosCatches for what must be so when only workers that share are
// left.
func TestChaosCatchesUnequalShares(t *testing.T) {
	endpoint := ddblocal.ForTest(t).Endpoint
	machine := measure(t, endpoint)
	shares := func(t *testing.T, wished bool, rewrite rewrite) func(uint64) *fleet {
		return func(seed uint64) *fleet {
			f := newFleet(t, endpoint, seed, 5)
			f.machine = machine
			f.level(wished, rewrite)
			return f
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
		f := shares(t, false, nil)(rand.Uint64())
		f.explain(f.report())
	})
	test("sound, with reservations", func(t *testing.T) {
		f := shares(t, true, nil)(rand.Uint64())
		f.explain(f.report())
	})
	running.Wait()
	t.Log("machine:", machine.Worst(0))
}

// level lets one worker hold all items, and two more join; then it waits until all are level, or for as
// long as that may take. An operator may want items for nobody.
func (f *fleet) level(wished bool, rewrite rewrite) {
	f.template = worker{Duration: 1500 * time.Millisecond, Wait: 100 * time.Millisecond}
	f.steady.Store(true)
	o := chaos.Options{Rewrite: rewrite}
	f.start(o, worker{How: isSharing})
	holdsAll := func() bool { return f.isLevel(f.limits()) }
	require.Eventually(f.t, holdsAll, hangs, 10*time.Millisecond)
	f.several(2, worker{How: isSharing}, o)
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
