package alerttest

import (
	"context"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
)

// scenario is what happens to a fleet, and what people are told of it.
type scenario struct {
	name  string
	items int
	run   func(f *fleet)
	fires []string // all of these
	may   []string // and nothing but these
}

var scenarios = []scenario{
	{
		name:  "peace, and a rolling restart",
		items: 12,
		run: func(f *fleet) {
			f.startSharing(3, obedient)
			f.pass(2 * time.Hour)
			for i := range 3 {
				f.stop(fmt.Sprint("w", i))
				f.pass(15 * time.Second)
				name := fmt.Sprint("new", i)
				f.start(name).share(name, 0, obedient)
				f.pass(time.Minute)
			}
			f.pass(time.Hour)
		},
	},
	{
		name:  "an outage of five seconds",
		items: 12,
		run: func(f *fleet) {
			f.startSharing(3, obedient)
			f.pass(30 * time.Minute)
			f.outage(5 * time.Second)
			f.pass(30 * time.Minute)
		},
	},
	{
		name:  "a rolling restart of holders, each of which waits for another to go",
		items: 3,
		run: func(f *fleet) {
			for i := range 3 {
				f.start(fmt.Sprint("w", i)).hold(obedient)
			}
			f.pass(2 * time.Hour)
			for i := range 3 {
				f.start(fmt.Sprint("new", i)).hold(obedient)
				f.pass(6 * time.Minute)
				f.stop(fmt.Sprint("w", i))
				f.pass(time.Minute)
			}
			f.pass(2 * time.Hour)
		},
	},
	{
		name:  "a first look that fails",
		items: 1,
		run: func(f *fleet) {
			p := f.start("w0")
			f.pass(20 * time.Second)
			p.store.client.SetOutage(true)
			p.hold(obedient)
			f.pass(20 * time.Second)
			p.store.client.SetOutage(false)
			f.pass(30 * time.Minute)
		},
	},
	{
		name:  "an outage of fifteen minutes",
		items: 12,
		run: func(f *fleet) {
			f.startSharing(3, obedient)
			f.pass(2 * time.Hour)
			f.outage(15 * time.Minute)
			f.pass(20 * time.Minute)
		},
		fires: []string{"LeaseExpired", "LeaseItemsIdle", "LeaseLooksFail"},
		may:   []string{"LeaseRenewalsLate"}, // for ten seconds, which a scrape may miss
	},
	{
		name:  "an outage of two fifths of a lease",
		items: 12,
		run: func(f *fleet) {
			f.duration = 5 * time.Minute
			f.startSharing(3, obedient)
			f.pass(30 * time.Minute)
			for f.left() > f.duration/5*3 { // till a renewal is due
				f.pass(time.Second)
			}
			f.outage(2 * time.Minute)
			f.pass(30 * time.Minute)
		},
		fires: []string{"LeaseRenewalsLate"},
	},
	{
		name:  "a network that is bad",
		items: 12,
		run: func(f *fleet) {
			f.startSharing(3, obedient)
			f.pass(10 * time.Minute)
			for range 150 {
				f.outage(2 * time.Second)
				f.pass(6 * time.Second)
			}
		},
		fires: []string{"LeaseRenewalsFail"},
		may:   []string{"LeaseWritesFail"},
	},
	{
		name:  "an item that is taken by force",
		items: 4,
		run: func(f *fleet) {
			f.startSharing(2, obedient)
			f.pass(30 * time.Minute)
			f.store.Steal("item-0", "somebody", time.Minute)
			f.pass(30 * time.Minute)
		},
		fires: []string{"LeaseLost"},
	},
	{
		name:  "two processes of one name",
		items: 4,
		run: func(f *fleet) {
			f.start("w0").share("same", 0, obedient)
			f.pass(10 * time.Minute)
			f.start("w1").share("same", 0, obedient)
			f.pass(10 * time.Minute)
		},
		fires: []string{"LeaseNamesakes"},
		may:   []string{"LeaseLost"},
	},
	{
		name:  "a worker goes, and the other is at its limit",
		items: 6,
		run: func(f *fleet) {
			f.start("w0").share("w0", 3, obedient)
			f.start("w1").share("w1", 3, obedient)
			f.pass(2 * time.Hour)
			f.stop("w1")
			f.pass(20 * time.Minute)
		},
		fires: []string{"LeaseItemsIdle"},
	},
	{
		name:  "all workers go",
		items: 6,
		run: func(f *fleet) {
			f.startSharing(2, obedient)
			f.pass(2 * time.Hour)
			f.stop("w0")
			f.stop("w1")
			f.pass(20 * time.Minute)
		},
		fires: []string{"LeaseItemsIdle"},
	},
	{
		name:  "saves are denied",
		items: 1,
		run: func(f *fleet) {
			p := f.start("w0")
			p.share("w0", 0, func(ctx context.Context, l *lease.Lease) error {
				for ctx.Err() == nil {
					text := "done"
					_ = p.locker.SaveAttributes(ctx, l, map[string]*dynamodb.AttributeValue{
						"State": {S: &text},
					})
					wait(ctx, 30*time.Second)
				}
				return ctx.Err()
			})
			f.pass(30 * time.Minute)
			p.store.deniesSaves.Store(true)
			f.pass(30 * time.Minute)
		},
		fires: []string{"LeaseWritesFail"},
	},
	{
		name:  "a work that doesn't heed its context",
		items: 2,
		run: func(f *fleet) {
			f.start("w0").share("w0", 0, func(ctx context.Context, _ *lease.Lease) error {
				<-ctx.Done()
				time.Sleep(20 * time.Minute)
				return ctx.Err()
			})
			f.pass(10 * time.Minute)
			f.start("w1").share("w1", 0, obedient)
			f.pass(30 * time.Minute)
		},
		fires: []string{"LeaseHandoverSlow"},
	},
	{
		name:  "a work that hangs",
		items: 2,
		run: func(f *fleet) {
			var hung atomic.Bool
			f.startSharing(2, func(ctx context.Context, l *lease.Lease) error {
				if !hung.Swap(true) {
					l.Progress(time.Minute)
					time.Sleep(20 * time.Minute)
				}
				return obedient(ctx, l)
			})
			f.pass(30 * time.Minute)
		},
		fires: []string{"LeaseWorkStuck", "LeaseWorkWasStuck"},
	},
	{
		name:  "a worker that comes and goes",
		items: 4,
		run: func(f *fleet) {
			f.startSharing(1, obedient)
			for range 30 {
				f.start("w9").share("w9", 0, obedient)
				f.pass(3 * time.Minute)
				f.stop("w9")
				f.pass(time.Minute)
			}
		},
		fires: []string{"LeaseItemsChurn"},
	},
	{
		name:  "a standby goes",
		items: 1,
		run: func(f *fleet) {
			f.start("w0").hold(obedient)
			f.pass(time.Minute)
			f.start("w1").hold(obedient)
			f.pass(time.Hour)
			f.stop("w1")
			f.pass(30 * time.Minute)
		},
		fires: []string{"LeaseNoStandby"},
	},
	{
		name:  "many want a lock at once",
		items: 1,
		run: func(f *fleet) {
			for i := range 8 {
				p := f.start(fmt.Sprint("w", i))
				p.running++
				go func() { p.ended <- p.lockEach(5 * time.Second) }()
			}
			f.pass(time.Hour)
		},
		fires: []string{"LeaseRacesLost"},
	},
}

// startSharing starts so many processes that share.
func (f *fleet) startSharing(n int, w work) {
	for i := range n {
		name := fmt.Sprint("w", i)
		f.start(name).share(name, 0, w)
	}
}

// outage cuts all processes off.
func (f *fleet) outage(d time.Duration) {
	for _, p := range f.processes {
		p.store.client.SetOutage(true)
	}
	f.pass(d)
	for _, p := range f.processes {
		p.store.client.SetOutage(false)
	}
}

// left is the least time that a lease of a process has left.
func (f *fleet) left() time.Duration {
	least := f.duration
	for _, p := range f.processes {
		for _, l := range p.locker.Leases() {
			least = min(least, l.Remaining())
		}
	}
	return least
}

// lockEach tries to lease an item for a moment, again and again.
func (p *process) lockEach(d time.Duration) error {
	for p.ctx.Err() == nil {
		l, err := p.locker.ObtainLease(worker{p.name, p.duration})
		if err == nil {
			err = p.locker.ReleaseLease(l)
		}
		if err != nil && err != lease.LeaseNotObtainedError {
			return err
		}
		wait(p.ctx, d-time.Duration(time.Now().UnixNano())%d)
	}
	return p.ctx.Err()
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// TestAlertsFireByWhatTheyAreFor: each scenario's do, and no others.
func TestAlertsFireByWhatTheyAreFor(t *testing.T) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			e := newEngine(t, simulate(t, s.items, s.run))
			fired := e.fired()
			for _, name := range s.fires {
				if _, hasFired := fired[name]; !hasFired {
					t.Errorf("%s hasn't fired", name)
				}
			}
			for name, a := range fired {
				t.Logf("%s after %v: %s", name, a.after, a.annotations.Get("summary"))
				if isForeseen := slices.Contains(slices.Concat(s.fires, s.may), name); !isForeseen {
					t.Errorf("%s has fired after %v: %v", name, a.after, a.labels)
				}
				checkAlert(t, name, a)
			}
		})
	}
}

// TestAlertsHaveAScenarioEach: that has them fire.
func TestAlertsHaveAScenarioEach(t *testing.T) {
	var tested []string
	for _, s := range scenarios {
		tested = append(tested, s.fires...)
	}
	for _, name := range newEngine(t, newRecording()).ruleNames() {
		if !slices.Contains(tested, name) {
			t.Errorf("no scenario has %s fire", name)
		}
	}
}

// checkAlert checks what people are told.
func checkAlert(t *testing.T, name string, a alert) {
	t.Helper()
	for _, text := range []string{a.annotations.Get("summary"), a.annotations.Get("description")} {
		if !isFilledIn(text) {
			t.Errorf("%s says %q", name, text)
		}
	}
	severities := []string{"info", "warning", "critical"}
	if got := a.labels.Get("severity"); !slices.Contains(severities, got) {
		t.Errorf("%s has severity %q; want one of %q", name, got, severities)
	}
}

// TestAlertsNameMetricsThatExist: by exactly what a collector shows.
func TestAlertsNameMetricsThatExist(t *testing.T) {
	r := eventful(t)
	e := newEngine(t, r)
	for _, group := range e.loadRules() {
		for _, rule := range group.AlertingRules() {
			wantExisting(t, rule.Name(), rule.Query().String(), r.metrics())
		}
	}
}

// TestAlertsAreDocumented: docs/operations.md has a row for each, and none of any other.
func TestAlertsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]bool)
	_, section, _ := strings.Cut(string(doc), "\n## Alerts\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\|").
		FindAllStringSubmatch(section, -1) {
		documented[row[1]] = true
	}
	names := newEngine(t, newRecording()).ruleNames()
	slices.Sort(names)
	if rows := slices.Sorted(maps.Keys(documented)); !slices.Equal(rows, names) {
		t.Errorf("documented alerts, and rules:\n%q\n%q", rows, names)
	}
}
