package chaos_test

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom/lease/internal/chaos"
	"github.com/intercom/lease/internal/ddblocal"
)

// brief is what the workers of the variants have in common. They save nothing: a save that is refused
// would soon tell them what a broken renewal or release hides.
var brief = worker{
	Duration: time.Second,
	Wait:     100 * time.Millisecond,
	Patience: 1200 * time.Millisecond,
}

// variant is a way to break the library, from without. The same circumstances without it are sound.
type variant struct {
	name   string
	breaks chaos.Rule
	items  int
	start  func(f *fleet, broken bool)
}

// variants are all that break safety, those that take longest to catch first.
var variants = []variant{
	{"a save whoever holds the item", chaos.LostSave, 1,
		func(f *fleet, broken bool) {
			saver := briefNamesake
			saver.Saves = 1
			f.several(4, saver, rewritten(broken, saveAnyway))
		}},
	{"a handover by name only", chaos.Overlap, 4,
		func(f *fleet, broken bool) { f.wished(isRepeating, rewritten(broken, handOverByName)) }},
	{"a renewal without the token", chaos.StaleRenewal, 1,
		func(f *fleet, broken bool) { f.namesakes(rewritten(broken, renewByNameOnly)) }},
	{"a release that frees what an older process of the name relies on", chaos.Overlap, 1,
		func(f *fleet, broken bool) { f.briefNamesakes(rewritten(broken, releaseAtOnce)) }},
	{"a holder that ignores the end of its tenure", chaos.Overlap, 1,
		func(f *fleet, broken bool) { f.darkened(choose(broken, isCareless, usesLibrary)) }},
	{"a release whatever the row's end", chaos.Overlap, 1,
		func(f *fleet, broken bool) { f.rollback(rewritten(broken, releaseByToken)) }},
	{"work that goes on after the handover", chaos.Overwork, 1,
		func(f *fleet, broken bool) {
			f.wished(choose(broken, isRestless, isSharing), chaos.Options{})
		}},
	{"a fast clock without correction", chaos.Overlap, 1,
		func(f *fleet, broken bool) { f.skewed(2*time.Minute, broken) }},
	{"a slow clock without correction", chaos.Overlap, 1,
		func(f *fleet, broken bool) { f.skewed(-2*time.Minute, broken) }},
	{"a store without the condition", chaos.Overlap, 1,
		func(f *fleet, broken bool) { f.several(4, worker{}, rewritten(broken, leaseAnyway)) }},
}

// rewritten returns the options of a proxy that breaks requests, or doesn't.
func rewritten(broken bool, rewrite rewrite) chaos.Options {
	if !broken {
		return chaos.Options{}
	}
	return chaos.Options{Rewrite: rewrite}
}

func choose(broken bool, brokenHow, soundHow string) string {
	if broken {
		return brokenHow
	}
	return soundHow
}

// several starts workers.
func (f *fleet) several(n int, w worker, o chaos.Options) {
	for range n {
		f.start(o, w)
	}
}

// namesakes starts two of one name, which keep what they have for long.
func (f *fleet) namesakes(o chaos.Options) {
	f.several(2, worker{Lessee: "host:1", Patience: 5 * time.Second}, o)
}

// briefNamesake is one of several of one name, which keep nothing for long.
var briefNamesake = worker{Lessee: "host:1", Patience: 300 * time.Millisecond}

// briefNamesakes starts namesakes that keep nothing for long, and others.
func (f *fleet) briefNamesakes(o chaos.Options) {
	f.several(3, briefNamesake, o)
	f.several(2, worker{}, chaos.Options{})
}

// rollback starts a worker that is rolled back to the original, and others.
func (f *fleet) rollback(o chaos.Options) {
	f.start(o, worker{How: isRolledBack})
	f.several(2, worker{}, chaos.Options{})
}

// skewed starts a worker whose clock is off, and another. If it's slow, it only takes what is free.
func (f *fleet) skewed(by time.Duration, uncorrected bool) {
	f.start(chaos.Options{Skew: by, OwnDate: uncorrected}, worker{ClockError: 40 * time.Millisecond})
	f.start(chaos.Options{}, worker{})
}

// darkened starts a worker in black holes that are longer than its lease, and another.
func (f *fleet) darkened(how string) {
	f.start(chaos.Options{Longest: brief.Duration}, worker{How: how})
	dark := f.proxies[0]
	f.background(func(ctx context.Context) {
		for r := f.random(0); pause(ctx, r, 3*brief.Duration, 5*brief.Duration); {
			dark.Dark(2 * brief.Duration)
		}
	})
	f.start(chaos.Options{}, worker{})
}

// wished starts workers that share, and an operator who keeps them handing over.
func (f *fleet) wished(how string, o chaos.Options) {
	f.several(2, worker{How: how}, o)
	f.steady.Store(true)
	f.background(func(ctx context.Context) {
		for r := f.random(0); pause(ctx, r, 20*time.Millisecond, 100*time.Millisecond); {
			until := time.Now().Add(brief.Duration)
			f.wish(ctx, f.items[r.IntN(len(f.items))], str(f.anyLessee(r)), num(until.UnixNano()))
		}
	})
}

// side is how many variants run side by side.
const side = 10

// TestChaosCatches breaks the library in several ways, from without, and wants the checker to see
// it. Under the same circumstances the library as it is must pass.
func TestChaosCatches(t *testing.T) {
	endpoint := ddblocal.ForTest(t).Endpoint
	slots := make(chan struct{}, side)
	var running sync.WaitGroup
	for _, v := range variants {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			t.Run(v.name, func(t *testing.T) { v.test(t, endpoint) })
		})
	}
	running.Wait()
}

// test runs the broken variant until it is caught, and the sound one beside it.
func (v variant) test(t *testing.T, endpoint string) {
	caught := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		defer close(caught)
		untilCaught(t, v.breaks, func(seed uint64) *fleet { return v.run(t, endpoint, seed) })
	})
	sound := newFleet(t, endpoint, rand.Uint64(), v.items)
	sound.template = brief
	v.start(sound, false)
	<-caught
	for end := time.Now().Add(hangs); sound.report().Tenures < 5 && time.Now().Before(end); {
		time.Sleep(100 * time.Millisecond)
	}
	sound.stop()
	report := sound.report()
	require.GreaterOrEqual(t, report.Tenures, 5)
	sound.explain(report)
}

// run runs the broken variant for a while, or until the checker sees that it is broken.
func (v variant) run(t *testing.T, endpoint string, seed uint64) *fleet {
	f := newFleet(t, endpoint, seed, v.items)
	f.template = brief
	v.start(f, true)
	end := time.Now().Add(20 * time.Second)
	for f.report().Count(v.breaks) == 0 && time.Now().Before(end) {
		time.Sleep(100 * time.Millisecond)
	}
	f.stop()
	return f
}

// untilCaught runs a broken fleet again and again, each time with another seed, until the checker sees
// that it is broken.
func untilCaught(t *testing.T, breaks chaos.Rule, run func(seed uint64) *fleet) {
	begin := time.Now()
	for n := 1; ; n++ {
		f := run(rand.Uint64())
		report := f.report()
		i := slices.IndexFunc(report.Violations, func(v chaos.Violation) bool { return v.Rule == breaks })
		if i >= 0 {
			took := time.Since(begin).Round(time.Second / 10)
			t.Logf("caught in run %d, after %v: %v", n, took, report.Violations[i])
			os.RemoveAll(f.dir)
			return
		}
		if time.Since(begin) > hangs {
			t.Errorf("there is no %q in %d runs; the history of the last, in %s, shows\n%s",
				breaks, n, f.dir, report)
			return
		}
		os.RemoveAll(f.dir)
	}
}
