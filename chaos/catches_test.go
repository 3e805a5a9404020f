package chaos_test

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/intercom/lease/internal/chaos"
	"github.com/intercom/lease/internal/ddblocal"
)

// brief is what the workers of the variants have in common. They save nothing: a save that is
// refused would soon tell them what a broken renewal or release hides.
var brief = worker{
	Duration: time.Second,
	Wait:     100 * time.Millisecond,
	Patience: 1200 * time.Millisecond,
}

// variant is a way to break the library, from without. The same circumstances without it are sound.
type variant struct {
	name          string
	items         int
	breaks        chaos.Rule
	broken, sound circumstances
}

// circumstances starts workers, and what else happens to them.
type circumstances func(*fleet)

// straight are the options of a proxy that does nothing, through of one that rewrites requests.
var straight chaos.Options

func through(rewrite rewrite) chaos.Options { return chaos.Options{Rewrite: rewrite} }

// variants are all that break safety.
var variants = []variant{
	{
		"a save whoever holds the item", 1, chaos.LostSave,
		several(4, briefSaver, through(saveAnyway)), several(4, briefSaver, straight),
	}, {
		"a handover by name only", 4, chaos.Overlap,
		wished(isRepeating, through(handOverByName)), wished(isRepeating, straight),
	}, {
		"a renewal without the token", 1, chaos.StaleRenewal,
		several(2, namesake, through(renewByNameOnly)), several(2, namesake, straight),
	}, {
		"a release that frees what an older process of the name relies on", 1, chaos.Overlap,
		briefNamesakes(through(releaseAtOnce)), briefNamesakes(straight),
	}, {
		"a release whatever the row's end", 1, chaos.Overlap,
		rollback(through(releaseByToken)), rollback(straight),
	}, {
		"a store without the condition", 1, chaos.Overlap,
		several(4, worker{}, through(leaseAnyway)), several(4, worker{}, straight),
	}, {
		"a holder that ignores the end of its tenure", 1, chaos.Overlap,
		darkened(isCareless), darkened(usesLibrary),
	}, {
		"work that goes on after the handover", 1, chaos.Overwork,
		wished(isRestless, straight), wished(isSharing, straight),
	}, {
		"a stuck work's item that is released before its tenure has ended", 4, chaos.Overwork,
		several(2, worker{How: isHasty, Hangs: 0.5}, straight),
		several(2, worker{How: isSharing, Hangs: 0.5}, straight),
	}, {
		"a class yielded to a worker outside of it", 4, chaos.OutsideClass,
		outsider(isHeedless), outsider(isSharing),
	}, {
		"a fast clock without correction", 1, chaos.Overlap,
		skewed(chaos.Options{Skew: 2 * time.Minute, OwnDate: true}),
		skewed(chaos.Options{Skew: 2 * time.Minute}),
	}, {
		"a slow clock without correction", 1, chaos.Overlap,
		skewed(chaos.Options{Skew: -2 * time.Minute, OwnDate: true}),
		skewed(chaos.Options{Skew: -2 * time.Minute}),
	}, {
		"a reply that spans a step of the clock counts as heard", 1, chaos.Overlap,
		stepped(worker{Step: isMistaken}),
		stepped(worker{Step: isNoticed, ClockError: 40 * time.Millisecond}),
	},
}

var (
	// namesake is one of several of one name, which keep what they have for long.
	namesake = worker{Lessee: "host:1", Patience: 5 * time.Second}

	// briefNamesake keeps nothing for long. briefSaver always saves.
	briefNamesake = worker{Lessee: "host:1", Patience: 300 * time.Millisecond}
	briefSaver    = worker{Lessee: "host:1", Patience: 300 * time.Millisecond, Saves: 1}
)

// several are workers of one kind.
func several(n int, w worker, o chaos.Options) circumstances {
	return func(f *fleet) {
		for range n {
			f.start(o, w)
		}
	}
}

// briefNamesakes are namesakes that keep nothing for long, and others.
func briefNamesakes(o chaos.Options) circumstances {
	return func(f *fleet) {
		several(3, briefNamesake, o)(f)
		several(2, worker{}, straight)(f)
	}
}

// rollback is a worker that is rolled back to the original, and others.
func rollback(o chaos.Options) circumstances {
	return func(f *fleet) {
		f.start(o, worker{How: isRolledBack})
		several(2, worker{}, straight)(f)
	}
}

// skewed is a worker whose clock is off, and another. If it's slow, it only takes what is free.
func skewed(o chaos.Options) circumstances {
	return func(f *fleet) {
		f.start(o, worker{ClockError: 40 * time.Millisecond})
		f.start(straight, worker{})
	}
}

// stepped are a worker whose clock is fast from its first request on, which is started again and
// again, and another.
func stepped(w worker) circumstances {
	return func(f *fleet) {
		f.start(straight, worker{})
		fast := f.run(f.worker(chaos.Options{Skew: 2 * time.Minute}, w))
		f.background(func(ctx context.Context) {
			lease := f.template.Duration
			for r := f.random(0); pause(ctx, r, lease, 3*lease); {
				fast.stop()
				fast = fast.again(f, lease)
			}
			fast.stop()
		})
	}
}

// darkened is a worker in black holes that are longer than its lease, and another.
func darkened(how string) circumstances {
	return func(f *fleet) {
		lease := f.template.Duration
		f.start(chaos.Options{Longest: lease}, worker{How: how})
		dark := f.proxies[0]
		f.background(func(ctx context.Context) {
			for r := f.random(0); pause(ctx, r, 3*lease, 5*lease); {
				dark.Dark(2 * lease)
			}
		})
		f.start(straight, worker{})
	}
}

// wished are workers that share, and an operator who keeps them handing over.
func wished(how string, o chaos.Options) circumstances {
	return func(f *fleet) {
		several(2, worker{How: how}, o)(f)
		f.steady.Store(true)
		f.background(f.wishForAny)
	}
}

// wishForAny is an operator who wants any item for any worker.
func (f *fleet) wishForAny(ctx context.Context) {
	for r := f.random(0); pause(ctx, r, 20*time.Millisecond, 100*time.Millisecond); {
		item := f.items[r.IntN(len(f.items))]
		until := time.Now().Add(f.template.Duration)
		f.wish(ctx, item, str(f.anyLessee(r)), num(until.UnixNano()))
	}
}

// outsider is a worker that takes part in half of the items, of which another holds all. So it gets
// what that one yields to it, because it or an operator wants it so.
func outsider(how string) circumstances {
	return func(f *fleet) {
		f.steady.Store(true)
		f.start(straight, worker{How: isSharing})
		f.await("the first holds all", func() bool { return f.isLevel(f.limits()) })
		f.start(straight, worker{How: how, Class: f.items[:len(f.items)/2]})
		f.background(f.wishForAny)
	}
}

// TestChaosCatches breaks the library in several ways, from without, and wants the checker to see
// it. Under the same circumstances the library as it is must pass.
func TestChaosCatches(t *testing.T) {
	t.Parallel()
	endpoint := ddblocal.ForTest(t).Endpoint
	var running sync.WaitGroup
	for _, v := range variants { // Side by side: mostly they wait.
		running.Go(func() { t.Run(v.name, func(t *testing.T) { v.test(t, endpoint) }) })
	}
	running.Wait()
}

// test runs the broken variant until it is caught, the first time beside the sound one.
func (v variant) test(t *testing.T, endpoint string) {
	sound := newFleet(t, endpoint, rand.Uint64(), v.items)
	sound.template = brief
	v.sound(sound)
	untilCaught(t, v.breaks, func(n int) *fleet {
		if n == 1 {
			defer v.end(sound)
		}
		return v.run(t, endpoint, brief.slower(n))
	})
}

// end stops the sound fleet, in which nothing must be found.
func (v variant) end(sound *fleet) {
	sound.await("it was at work", func() bool { return sound.report().Tenures >= 5 })
	sound.stop()
	sound.explain(sound.report())
}

// run runs the broken variant for a while, or until the checker sees that it is broken.
func (v variant) run(t *testing.T, endpoint string, template worker) *fleet {
	f := newFleet(t, endpoint, rand.Uint64(), v.items)
	f.template = template
	v.broken(f)
	end := time.Now().Add(20 * template.Duration)
	for f.report().Count(v.breaks) == 0 && time.Now().Before(end) {
		time.Sleep(100 * time.Millisecond)
	}
	f.stop()
	return f
}

// slower is the worker with leases that are longer each time that it was tried in vain: on a busy
// machine short ones are always lost.
func (w worker) slower(n int) worker {
	times := time.Duration(min(n, 4))
	w.Duration *= times
	w.Patience *= times
	return w
}

// alone is held by a run that is not the first of its variant: on a busy machine too much may go
// on beside the first ones.
var alone sync.Mutex

// untilCaught runs a broken fleet again and again, each time with another seed, until the
// checker sees that it is broken. run is told how many times it was called.
func untilCaught(t *testing.T, breaks chaos.Rule, run func(n int) *fleet) {
	const most = 12
	for n := 1; ; n++ {
		f := runOnce(n, run)
		report := f.report()
		isCaught := func(v chaos.Violation) bool { return v.Rule == breaks }
		if i := slices.IndexFunc(report.Violations, isCaught); i >= 0 {
			t.Logf("caught in run %d: %v", n, report.Violations[i])
			os.RemoveAll(f.dir)
			return
		}
		if n == most {
			t.Errorf("there is no %q in %d runs; the history of the last, in %s, shows\n%s",
				breaks, n, f.dir, report)
			return
		}
		os.RemoveAll(f.dir)
	}
}

func runOnce(n int, run func(n int) *fleet) *fleet {
	if n > 1 {
		alone.Lock()
		defer alone.Unlock()
	}
	return run(n)
}
