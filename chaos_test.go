package lease_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/intercom/lease/internal/chaos"
	"github.com/intercom/lease/internal/ddblocal"
)

var (
	chaosDuration = flag.Duration("chaos.duration", 18*time.Second, "how long TestChaos makes faults")
	chaosSeed     = flag.Uint64("chaos.seed", 0, "the seed of TestChaos; 0 for a random one")
)

// TestChaos lets many workers, of several processes, compete for few items under all sorts of faults, and
// holds what they saw against the guarantees.
func TestChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: left out, it takes half a minute and needs DynamoDB Local")
	}
	if deadline, ok := t.Deadline(); ok && time.Until(deadline) < *chaosDuration+20*time.Second {
		t.Fatalf("-chaos.duration=%v doesn't fit into this run's -timeout", *chaosDuration)
	}
	seed := *chaosSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	again := fmt.Sprintf("go test -run TestChaos$ -chaos.seed=%d -chaos.duration=%v .", seed, *chaosDuration)
	t.Log("to run it again:", again)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("to run it again:", again)
		}
	})
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())

	// DynamoDB Local is killed and started again many times: it should start soon.
	t.Setenv("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
	data := t.TempDir()
	server, err := ddblocal.Start(t.Context(), ddblocal.Options{Dir: data})
	require.NoError(t, err)
	stopServer := func() { assert.NoError(t, server.Stop()) }
	defer func() { stopServer() }()

	f := newFleet(t, server.Endpoint, seed, 16)
	f.template = chaosWorker{Duration: 1500 * time.Millisecond, Wait: 300 * time.Millisecond, Patience: 3 * time.Second}
	f.weather = chaos.Options{Rate: 0.15, Faults: chaos.AnyFault, Longest: 2 * f.template.Duration}
	inOrder := f.weather // The original's writes undo each other if they arrive out of order.
	inOrder.Faults = chaos.InOrder
	fast, slow := f.weather, f.weather
	fast.Skew, slow.Skew = 187*time.Second, -311*time.Second
	const clockError = 40 * time.Millisecond // well within the margin of 150 ms

	for range 2 {
		f.child(f.weather, chaosWorker{})
		f.child(f.weather, chaosWorker{How: isSharing})
	}
	f.child(slow, chaosWorker{How: isSharing, ClockError: clockError, Restarted: true})
	f.later(f.weather, chaosWorker{How: isSharing}) // It joins during the storm.
	f.start(fast, chaosWorker{How: isSharing, ClockError: clockError})
	f.start(f.weather, chaosWorker{How: isSharing, Most: 1})
	f.child(slow, chaosWorker{ClockError: clockError})
	f.child(inOrder, chaosWorker{How: isOriginal})
	f.start(inOrder, chaosWorker{How: isOriginal})
	f.start(fast, chaosWorker{ClockError: clockError})
	for range 3 {
		f.start(f.weather, chaosWorker{})
	}

	storm, calm := context.WithTimeout(t.Context(), *chaosDuration)
	defer calm()
	var faults sync.WaitGroup
	for i, p := range f.proxies {
		faults.Go(func() { f.darken(storm, p, f.random(100+i)) })
	}
	for i, c := range f.children {
		faults.Go(func() { f.torment(storm, c, f.random(200+i)) })
	}
	faults.Go(func() { f.operate(storm, f.random(400)) })
	faults.Go(func() {
		early, cancel := context.WithTimeout(storm, *chaosDuration*2/3) // It takes a while until it's back.
		defer cancel()
		for r := f.random(300); pause(early, r, 4*time.Second, 12*time.Second); {
			f.fault("server", "DynamoDB Local killed and started again")
			stopServer()
			pause(storm, r, 0, time.Second)
			server, err = ddblocal.Start(context.WithoutCancel(storm), ddblocal.Options{Dir: data, Port: port(t, server)})
			if err != nil {
				t.Errorf("starting DynamoDB Local again: %v", err)
				stopServer = func() {}
				return
			}
		}
	})
	faults.Wait()
	for _, p := range f.proxies {
		faults.Go(p.Calm)
	}
	faults.Wait()
	for _, c := range f.children { // The last blow, so that there is something to recover from.
		f.kill(c)
	}
	f.history.Add(chaos.Event{Kind: chaos.Calm, Begin: chaos.Now(), End: chaos.Now()})
	f.steady.Store(true)
	for _, c := range f.children {
		c.worker.Steady = true
		require.NoError(t, c.spawn())
	}
	recovery := f.recover()
	f.alone()
	f.awaitLevel()
	f.stop()

	report := f.report(recovery)
	t.Logf("chaos for %v with seed %d:\n%s", *chaosDuration, seed, report)
	f.explain(report)
	assert.Positive(t, report.Renewals)
	assert.Positive(t, report.Handovers)
	assert.Positive(t, report.Takeovers)
	assert.Positive(t, report.Refused)
	assert.Positive(t, report.Saves)
	if *chaosDuration >= 18*time.Second {
		kinds := append([]string{chaos.BlackHole, "SIGKILL", "SIGTERM", "SIGSTOP and SIGCONT", "wish of an operator", "DynamoDB Local killed and started again"}, chaos.AnyFault...)
		assert.ElementsMatch(t, kinds, slices.Collect(maps.Keys(report.Faults)), "kinds of faults")
	}
}

// TestChaosCatches breaks the library in several ways, from without, and wants the checker to see
// it. Under the same circumstances the library as it is must pass.
func TestChaosCatches(t *testing.T) {
	endpoint := ddblocal.ForTest(t).Endpoint
	worker := chaosWorker{Duration: time.Second, Wait: 100 * time.Millisecond, Patience: 1200 * time.Millisecond}
	all := func(n int, w chaosWorker, o chaos.Options) func(*fleet) {
		return func(f *fleet) {
			for range n {
				f.start(o, w)
			}
		}
	}
	// off runs two workers, the first of which has a clock that is off: if it's slow, it only takes what is free.
	off := func(o chaos.Options) func(*fleet) {
		return func(f *fleet) {
			f.start(o, chaosWorker{ClockError: 40 * time.Millisecond})
			all(1, chaosWorker{}, chaos.Options{})(f)
		}
	}
	// in runs a worker in black holes that are longer than its lease, among others.
	in := func(w chaosWorker) func(*fleet) {
		return func(f *fleet) {
			f.start(chaos.Options{Longest: worker.Duration}, w)
			f.background(func(ctx context.Context) {
				for r := f.random(0); pause(ctx, r, 3*worker.Duration, 5*worker.Duration); {
					f.proxies[0].Dark(2 * worker.Duration)
				}
			})
			all(1, chaosWorker{}, chaos.Options{})(f)
		}
	}
	namesakes := func(o chaos.Options) func(*fleet) {
		return all(2, chaosWorker{Lessee: "host:1", Patience: 5 * time.Second}, o)
	}
	// rollback runs a worker that is rolled back to the original, among others.
	rollback := func(o chaos.Options) func(*fleet) {
		return func(f *fleet) {
			f.start(o, chaosWorker{How: isRolledBack})
			all(2, chaosWorker{}, chaos.Options{})(f)
		}
	}
	// brief runs namesakes that keep nothing for long, among others.
	brief := func(o chaos.Options) func(*fleet) {
		return func(f *fleet) {
			all(3, chaosWorker{Lessee: "host:1", Patience: 300 * time.Millisecond}, o)(f)
			all(2, chaosWorker{}, chaos.Options{})(f)
		}
	}
	// wished runs workers that share, and an operator who keeps them handing over.
	wished := func(w chaosWorker, o chaos.Options) func(*fleet) {
		return func(f *fleet) {
			all(2, w, o)(f)
			f.steady.Store(true)
			f.background(func(ctx context.Context) {
				for r := f.random(0); pause(ctx, r, 20*time.Millisecond, 100*time.Millisecond); {
					f.wish(ctx, f.items[0], str(f.anyLessee(r)), num(time.Now().Add(worker.Duration).UnixNano()))
				}
			})
		}
	}
	cases := map[string]struct {
		broken, sound func(*fleet)
		rule          chaos.Rule
	}{
		"a holder that ignores the end of its tenure": {
			in(chaosWorker{How: isCareless}), in(chaosWorker{}), chaos.Overlap},
		"a store without the condition": {
			all(4, chaosWorker{}, chaos.Options{Rewrite: leaseAnyway}), all(4, chaosWorker{}, chaos.Options{}), chaos.Overlap},
		"a renewal without the token": {
			namesakes(chaos.Options{Rewrite: renewByNameOnly}), namesakes(chaos.Options{}), chaos.StaleRenewal},
		"a release whatever the row's end": {
			rollback(chaos.Options{Rewrite: releaseByToken}), rollback(chaos.Options{}), chaos.Overlap},
		"a release that frees what an older process of the name relies on": {
			brief(chaos.Options{Rewrite: releaseAtOnce}), brief(chaos.Options{}), chaos.Overlap},
		"a save whoever holds the item": {
			brief(chaos.Options{Rewrite: saveAnyway}), brief(chaos.Options{}), chaos.LostSave},
		"work that goes on after the handover": {
			wished(chaosWorker{How: isRestless}, chaos.Options{}), wished(chaosWorker{How: isSharing}, chaos.Options{}), chaos.Overwork},
		"a handover by name only": {
			wished(chaosWorker{How: isRepeating}, chaos.Options{Rewrite: handOverByName}), wished(chaosWorker{How: isRepeating}, chaos.Options{}), chaos.Overlap},
		"a fast clock without correction": {
			off(chaos.Options{Skew: 2 * time.Minute, OwnDate: true}), off(chaos.Options{Skew: 2 * time.Minute}), chaos.Overlap},
		"a slow clock without correction": {
			off(chaos.Options{Skew: -2 * time.Minute, OwnDate: true}), off(chaos.Options{Skew: -2 * time.Minute}), chaos.Overlap},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broken, sound := newFleet(t, endpoint, rand.Uint64(), 1), newFleet(t, endpoint, rand.Uint64(), 1)
			broken.template, sound.template = worker, worker
			c.broken(broken)
			c.sound(sound)
			for end := time.Now().Add(40 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
				if broken.report(0).Count(c.rule) > 0 && sound.report(0).Tenures >= 5 {
					break
				}
			}
			broken.stop()
			sound.stop()
			report := broken.report(0)
			if report.Count(c.rule) == 0 {
				t.Errorf("there is no %q; the history, in %s, shows\n%s", c.rule, broken.dir, report)
				return
			}
			t.Log("caught:", report.Violations[slices.IndexFunc(report.Violations, func(v chaos.Violation) bool { return v.Rule == c.rule })])
			os.RemoveAll(broken.dir)
			sound.explain(sound.report(0))
		})
	}
}

// TestChaosCatchesUnequalShares is TestChaosCatches for what must be so when only workers that share are left.
func TestChaosCatchesUnequalShares(t *testing.T) {
	endpoint := ddblocal.ForTest(t).Endpoint
	// run lets one worker hold all items, and two more join. An operator may want them for nobody.
	run := func(t *testing.T, rewrite func(string, map[string]any), wished bool) (*fleet, chaos.Report) {
		f := newFleet(t, endpoint, rand.Uint64(), 5)
		f.template = chaosWorker{Duration: 1500 * time.Millisecond, Wait: 100 * time.Millisecond}
		f.steady.Store(true)
		o := chaos.Options{Rewrite: rewrite}
		f.start(o, chaosWorker{How: isSharing})
		assert.Eventually(t, func() bool { return chaos.Level(f.holders(), f.limits()) && len(f.holders()) > 0 }, 10*time.Second, 10*time.Millisecond)
		f.start(o, chaosWorker{How: isSharing})
		f.start(o, chaosWorker{How: isSharing})
		for _, item := range f.items[:3] {
			if wished {
				f.wish(f.ctx, item, str("nobody knows"), num(time.Now().Add(f.template.Duration/2).UnixNano()))
			}
		}
		f.onlySharing()
		f.awaitLevel()
		f.stop()
		return f, f.report(0)
	}
	for name, c := range map[string]struct {
		rewrite func(string, map[string]any)
		wished  bool
		rule    chaos.Rule
	}{
		"wishes that don't arrive":       {dropWishes, false, chaos.NotLevel},
		"a reservation that doesn't end": {reserveForLong, true, chaos.NotHeld},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, report := run(t, c.rewrite, c.wished)
			if report.Count(c.rule) == 0 {
				t.Errorf("there is no %q; the history, in %s, shows\n%s", c.rule, f.dir, report)
				return
			}
			os.RemoveAll(f.dir)
		})
		t.Run("not "+name, func(t *testing.T) {
			t.Parallel()
			f, report := run(t, nil, c.wished)
			f.explain(report)
		})
	}
}

// dropWishes makes every wish fail.
func dropWishes(_ string, body map[string]any) {
	if update, _ := body["UpdateExpression"].(string); isWish(update) {
		body["ConditionExpression"] = fmt.Sprintf("#holder = :by AND %v", body["ConditionExpression"])
	}
}

// reserveForLong makes reservations last.
func reserveForLong(_ string, body map[string]any) {
	if update, _ := body["UpdateExpression"].(string); isHandover(update) {
		body["ExpressionAttributeValues"].(map[string]any)[":end"] = map[string]any{"N": fmt.Sprint(time.Now().Add(time.Hour).UnixNano())}
	}
}

// handOverByName makes every handover by the row's holder succeed if somebody else wants the item.
func handOverByName(_ string, body map[string]any) {
	if update, _ := body["UpdateExpression"].(string); isHandover(update) {
		body["ConditionExpression"] = fmt.Sprintf("(#holder = :me AND #wantedUntil > :now AND NOT #wantedBy IN (:me, :nobody)) OR (%v)",
			body["ConditionExpression"])
	}
}

// saveAnyway makes every save succeed.
func saveAnyway(_ string, body map[string]any) {
	if update, _ := body["UpdateExpression"].(string); isSave(update) {
		body["ConditionExpression"] = fmt.Sprintf("attribute_exists(id) OR (%v)", body["ConditionExpression"])
		body["UpdateExpression"] = "SET #s0 = :s0"
	}
}

// leaseAnyway makes every write that leases succeed.
func leaseAnyway(_ string, body map[string]any) {
	if update, _ := body["UpdateExpression"].(string); strings.Contains(update, "if_not_exists") {
		body["ConditionExpression"] = fmt.Sprintf("attribute_exists(id) OR (%v)", body["ConditionExpression"])
	}
}

// renewByNameOnly makes every renewal of the row's holder succeed, whatever its token.
func renewByNameOnly(_ string, body map[string]any) {
	update, _ := body["UpdateExpression"].(string)
	if update == "" || strings.Contains(update, "if_not_exists") || isRelease(update) || isHandover(update) || isWish(update) || isSave(update) {
		return
	}
	var holder, me string
	for placeholder, name := range body["ExpressionAttributeNames"].(map[string]any) {
		if name == "ProcessID" {
			holder = placeholder
		}
	}
	for placeholder, value := range body["ExpressionAttributeValues"].(map[string]any) {
		if value.(map[string]any)["S"] != nil {
			me = placeholder
		}
	}
	if holder != "" && me != "" {
		body["ConditionExpression"] = fmt.Sprintf("%s = %s OR (%v)", holder, me, body["ConditionExpression"])
	}
}

// releaseByToken makes every release by the row's holder and its token succeed, whatever the row's end.
func releaseByToken(_ string, body map[string]any) {
	if update, _ := body["UpdateExpression"].(string); isRelease(update) {
		body["ConditionExpression"] = fmt.Sprintf("(#holder = :me AND #token = :token) OR (%v)", body["ConditionExpression"])
	}
}

// releaseAtOnce makes every release free the row at once.
func releaseAtOnce(_ string, body map[string]any) {
	if update, _ := body["UpdateExpression"].(string); isRelease(update) {
		body["ExpressionAttributeValues"].(map[string]any)[":rest"] = map[string]any{"N": "0"}
	}
}
