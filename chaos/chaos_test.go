package chaos_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/intercom/lease/internal/chaos"
)

var (
	duration = flag.Duration("chaos.duration", 8*time.Second,
		"how long TestChaos makes faults; it goes on until all sorts of things have happened")
	all = flag.Bool("chaos.all", false,
		"run TestChaosCatchesUnequalShares too, which takes as long as the rest")
	fixedSeed = flag.Uint64("chaos.seed", 0, "the seed of TestChaos; 0 for a random one")
)

// TestChaos lets many workers, of several processes, compete for few items under all sorts of
// faults, and holds what they saw against the guarantees.
func TestChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: left out, it takes half a minute and needs DynamoDB Local")
	}
	deadline, limited := t.Deadline()
	if limited && time.Until(deadline) < *duration+20*time.Second {
		t.Fatalf("-chaos.duration=%v doesn't fit into this run's -timeout", *duration)
	}
	seed := *fixedSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	again := fmt.Sprintf("go test -run TestChaos$ -chaos.seed=%d -chaos.duration=%v ./chaos",
		seed, *duration)
	t.Log("to run it again:", again)
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })

	server := startServer(t)
	f := newFleet(t, server.endpoint, seed, 16)
	f.machine = measure(t, server.endpoint)
	time.Sleep(time.Second) // to know the machine as it is without chaos
	quiet := f.late(0)

	f.crew()
	f.storm(server)
	f.calmDown()
	f.awaitHeld()
	f.stopOthers()
	f.weighAlike()
	f.levelAlone()
	f.moveOne()
	f.stop()

	report := f.report()
	t.Logf("chaos with seed %d:\n%s%s", seed, report, f.lateness(quiet))
	f.explain(report)
	assert.Positive(t, report.Handovers)
	assert.Positive(t, report.Saves)
	if t.Failed() {
		t.Log("to run it again:", again)
	}
}

// crew makes the workers of TestChaos, and starts all but one, which joins during the storm.
func (f *fleet) crew() {
	f.template = worker{
		Duration: 1500 * time.Millisecond,
		Wait:     300 * time.Millisecond,
		Patience: 3 * time.Second,
		Saves:    0.5,
	}
	f.weather = chaos.Options{Rate: 0.15, Faults: chaos.AnyFault, Longest: 2 * f.template.Duration}
	inOrder := f.weather // The original's writes undo each other if they arrive out of order.
	inOrder.Faults = chaos.InOrder
	fast := f.weather
	fast.Skew = 187 * time.Second
	slow := f.weather
	slow.Skew = -311 * time.Second
	const clockError = 40 * time.Millisecond // well within the margin of 150 ms

	for range 2 {
		f.child(f.weather, worker{})
		f.child(f.weather, worker{How: isSharing, Hangs: 0.4, Measures: true})
	}
	wrong := worker{ClockError: clockError, Step: isNoticed}
	wrongSharing := wrong
	wrongSharing.How = isSharing
	wrongRestarted := wrongSharing
	wrongRestarted.Restarted = true
	wrongRestarted.Measures = true
	f.child(slow, wrongRestarted)
	lastName := f.children[len(f.children)-1].settings.Lessee
	f.later(f.weather, worker{How: isSharing, Measures: true})
	f.start(fast, wrongSharing)
	f.start(f.weather, worker{How: isSharing, Most: 1})
	f.child(slow, wrong)
	f.child(inOrder, worker{How: isOriginal})
	f.start(inOrder, worker{How: isOriginal})
	f.start(fast, wrong)
	for range 3 {
		f.start(f.weather, worker{})
	}
	half := f.items[:len(f.items)/2]
	f.start(f.weather, worker{How: isSharing, Class: half})
	f.double = f.worker(f.weather, worker{How: isSharing, Lessee: lastName, Restarted: true})
}

// storm makes faults for as long as was asked for, and until all sorts of things have happened.
func (f *fleet) storm(server *server) {
	ctx, calm := context.WithCancel(f.t.Context())
	defer calm()
	var faults sync.WaitGroup
	for i, p := range f.proxies {
		faults.Go(func() { f.darken(ctx, p, f.random(100+i)) })
	}
	for i, c := range f.children {
		faults.Go(func() { f.torment(ctx, c, f.random(200+i)) })
	}
	faults.Go(func() { f.crash(ctx, server, f.random(300)) })
	faults.Go(func() { f.operate(ctx, f.random(400)) })
	faults.Go(func() { f.haunt(ctx, f.random(500)) })

	begin := time.Now()
	sleep(ctx, *duration)
	var last []string
	for missing := f.missing(); len(missing) > 0; missing = f.missing() {
		if time.Since(begin) > *duration+hangs {
			f.t.Errorf("in %v these did not happen: %q", time.Since(begin), missing)
			break
		}
		last = missing
		time.Sleep(200 * time.Millisecond)
	}
	f.t.Logf("the storm took %v; at the last it waited for %q", time.Since(begin), last)
	calm()
	faults.Wait()
}

// missing names what a storm is about and hasn't happened yet.
func (f *fleet) missing() []string {
	report := f.report()
	counts := map[string]int{
		"renewals":              report.Renewals,
		"takeovers":             report.Takeovers,
		"guarded write refused": report.Refused,
		"weight written":        report.Weights,
		"tenure in a class":     report.InClass,
	}
	kinds := slices.Concat(chaos.AnyFault, []string{
		chaos.BlackHole, killed, terminated, stopped, operated, crashed, hung, clockStepped, doubled,
	})
	for _, kind := range kinds {
		counts[kind] = report.Faults[kind]
	}
	var missing []string
	for what, n := range counts {
		if n == 0 {
			missing = append(missing, what)
		}
	}
	return missing
}

// calmDown ends all faults. The last blow kills all children, so that there is something to
// recover from.
func (f *fleet) calmDown() {
	var calming sync.WaitGroup
	for _, p := range f.proxies {
		calming.Go(p.Calm)
	}
	calming.Wait()
	for _, c := range f.children {
		f.kill(c)
	}
	f.since = chaos.Now()
	f.lease = f.template.Duration
	f.record(chaos.Event{Kind: chaos.Calm})
	f.steady.Store(true)
	for _, c := range f.children {
		c.settings.Steady = true
		require.NoError(f.t, c.spawn())
	}
}
