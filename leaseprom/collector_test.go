package leaseprom_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leaseprom"
	"github.com/intercom/lease/leasetest"
)

func TestCollectorShowsWhatTheWorkerDoes(t *testing.T) {
	withProcess(t, obedient, func(p *process) {
		time.Sleep(5 * time.Minute)
		now := float64(time.Now().UnixNano()) / 1e9
		figures := p.want(map[string]float64{
			"lease_held":                  3,
			"lease_working":               3,
			"lease_in_handover":           0,
			"lease_obtained_total":        3,
			"lease_lost_total":            0,
			"lease_expired_total":         0,
			"lease_failed_renewals_total": 0,
			"lease_failed_looks_total":    0,

			"lease_request_duration_seconds succeeded lease": 3,
		})
		for name, within := range map[string][2]float64{
			"lease_renewed_total":                  {3 * 25, 3 * 32}, // 5 minutes, each 10 s
			"lease_looks_total":                    {25, 40},
			"lease_shortest_remaining_seconds":     {15, 27},
			"lease_shortest_remaining_ratio":       {.5, .9},
			"lease_least_remaining_seconds":        {15, 27},
			"lease_last_look_timestamp_seconds":    {now - 11, now},
			"lease_last_renewal_timestamp_seconds": {now - 11, now},
		} {
			if got := figures[name]; got < within[0] || got > within[1] {
				t.Errorf("%s = %v; want %v to %v", name, got, within[0], within[1])
			}
		}
		p.want(map[string]float64{
			"lease_request_duration_seconds succeeded renewal": figures["lease_renewed_total"],
			"lease_request_duration_seconds succeeded scan":    figures["lease_looks_total"],
		})
		p.store.Steal("alice", "w2", time.Minute)
		time.Sleep(15 * time.Second)
		p.want(map[string]float64{"lease_lost_total": 1, "lease_held": 2})
	})
}

func TestCollectorShowsFailuresByRequest(t *testing.T) {
	withProcess(t, obedient, func(p *process) {
		time.Sleep(time.Minute)
		p.store.SetOutage(true)
		time.Sleep(time.Minute)
		figures := p.want(map[string]float64{"lease_held": 0, "lease_expired_total": 3})
		for total, counted := range map[string]string{
			"lease_failed_renewals_total": "lease_request_duration_seconds failed renewal",
			"lease_failed_looks_total":    "lease_request_duration_seconds failed scan",
		} {
			if figures[total] == 0 || figures[total] != figures[counted] {
				t.Errorf("%s, %s = %v, %v; want the same, and some", total, counted,
					figures[total], figures[counted])
			}
		}
		for _, absent := range []string{
			"lease_shortest_remaining_seconds", "lease_shortest_remaining_ratio",
		} {
			if got, there := figures[absent]; there {
				t.Errorf("%s = %v, while nothing is held", absent, got)
			}
		}
		p.store.SetOutage(false)
		time.Sleep(time.Minute)
		p.want(map[string]float64{"lease_held": 3})
	})
}

// TestCollectorShowsNothingOfWhatHasNotBeen: no time that is 1970, no lease that is over.
func TestCollectorShowsNothingOfWhatHasNotBeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lease.SetLogger(nil)
		p := newProcess(t, leasetest.NewStore("alice"), leaseprom.HandlerOptions{})
		figures := p.want(map[string]float64{"lease_held": 0, "lease_looks_total": 0})
		for _, absent := range []string{
			"lease_last_look_timestamp_seconds", "lease_last_renewal_timestamp_seconds",
			"lease_least_remaining_seconds", "lease_shortest_remaining_seconds",
			"lease_shortest_remaining_ratio",
		} {
			if got, there := figures[absent]; there {
				t.Errorf("%s = %v in a process that has done nothing", absent, got)
			}
		}
	})
}

// TestCollectorShowsTheLeaseThatIsNextToEnd: by time one, and by the part of its duration
// another.
func TestCollectorShowsTheLeaseThatIsNextToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lease.SetLogger(nil)
		p := newProcess(t, leasetest.NewStore("alice", "bob"), leaseprom.HandlerOptions{})
		obtain := func(duration time.Duration) {
			t.Helper()
			if _, err := p.locker.ObtainLease(worker{"w1", duration}); err != nil {
				t.Fatal(err)
			}
		}
		obtain(100 * time.Second) // of which 90 may be relied on
		time.Sleep(50 * time.Second)
		obtain(30 * time.Second)
		p.want(map[string]float64{
			"lease_shortest_remaining_seconds": 27, "lease_shortest_remaining_ratio": .4,
		})
	})
}

// TestCollectorMeasuresHowLongWantedItemsTake: by a work that takes three seconds to return.
func TestCollectorMeasuresHowLongWantedItemsTake(t *testing.T) {
	slow := func(ctx context.Context, _ *lease.Lease) error {
		<-ctx.Done()
		time.Sleep(3 * time.Second)
		return ctx.Err()
	}
	withProcess(t, slow, func(p *process) {
		time.Sleep(time.Minute)
		p.want(map[string]float64{"lease_yield_duration_seconds": 0})
		second := newProcess(p.t, p.store.NewClient(), leaseprom.HandlerOptions{})
		stop := second.share("w2", slow)
		time.Sleep(2 * time.Minute)
		p.want(map[string]float64{
			"lease_yield_duration_seconds": 1, "lease_handed_over_total": 1,
		})
		families, err := p.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			if family.GetName() != "lease_yield_duration_seconds" {
				continue
			}
			if got := family.GetMetric()[0].GetHistogram().GetSampleSum(); got != 3 {
				t.Errorf("the item was given up after %v s; want 3", got)
			}
		}
		stop()
	})
}

// TestCollectorShowsWorkThatHangs: and its item is held no more.
func TestCollectorShowsWorkThatHangs(t *testing.T) {
	var hung atomic.Bool
	work := func(ctx context.Context, l *lease.Lease) error {
		if !hung.Swap(true) {
			l.Progress(time.Minute)
			time.Sleep(150 * time.Second)
		}
		<-ctx.Done()
		return ctx.Err()
	}
	withProcess(t, work, func(p *process) {
		time.Sleep(50 * time.Second)
		p.want(map[string]float64{"lease_working": 3, "lease_stuck": 0})
		time.Sleep(time.Minute)
		p.want(map[string]float64{
			"lease_working": 3, "lease_held": 2, "lease_stuck": 1, "lease_stucks_total": 1,
		})
		time.Sleep(2 * time.Minute)
		p.want(map[string]float64{
			"lease_working": 3, "lease_held": 3, "lease_stuck": 0, "lease_stucks_total": 1,
		})
	})
}

// TestCollectorKeepsPrometheusConventions: and doc.go has all metrics.
func TestCollectorKeepsPrometheusConventions(t *testing.T) {
	withProcess(t, obedient, func(p *process) {
		time.Sleep(time.Minute)
		synctest.Wait()
		families, err := p.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		problems, err := promlint.NewWithMetricFamilies(families).Lint()
		if err != nil {
			t.Fatal(err)
		}
		for _, problem := range problems {
			t.Errorf("%s: %s", problem.Metric, problem.Text)
		}
		var names []string
		for _, family := range families {
			names = append(names, family.GetName())
		}
		doc, err := os.ReadFile("doc.go")
		if err != nil {
			t.Fatal(err)
		}
		var documented []string
		for _, line := range regexp.MustCompile(`(?m)^//\t(lease_\w+) `).
			FindAllStringSubmatch(string(doc), -1) {
			documented = append(documented, line[1])
		}
		slices.Sort(documented)
		if !slices.Equal(names, documented) {
			t.Errorf("metrics shown, and documented in doc.go:\n%v\n%v", names, documented)
		}
	})
}

// TestCollectorsSeriesDontGrowWithTheItems: nor with what passes.
func TestCollectorsSeriesDontGrowWithTheItems(t *testing.T) {
	series := func(items int) (n int) {
		synctest.Test(t, func(t *testing.T) {
			lease.SetLogger(nil)
			store := leasetest.NewStore(manyItems(items)...)
			p := newProcess(t, store, leaseprom.HandlerOptions{})
			stop := p.share("w1", obedient)
			time.Sleep(time.Minute)
			n = len(p.scrape())
			stop()
		})
		return n
	}
	if few, many := series(2), series(200); few != many {
		t.Errorf("with 2 items there are %d series, with 200 %d", few, many)
	}
}

func TestCollectorsOfSeveralLockersAreToldApart(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	first := lease.NewLocker(leasetest.NewStore("alice"))
	second := lease.NewLocker(leasetest.NewStore("bob"))
	labelled := func(name string) prometheus.Registerer {
		return prometheus.WrapRegistererWith(prometheus.Labels{"locker": name}, registry)
	}
	labelled("mailboxes").MustRegister(leaseprom.NewCollector(first))
	labelled("feeds").MustRegister(leaseprom.NewCollector(second))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if got := len(family.GetMetric()); got != 2 {
			t.Errorf("%s has %d series; want one for each Locker", family.GetName(), got)
		}
	}
	if err := labelled("feeds").Register(leaseprom.NewCollector(first)); err == nil {
		t.Error("two Lockers have one label")
	}
}

func TestCollectorOfANilLockerSaysSo(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(leaseprom.NewCollector(nil))
	_, err := registry.Gather()
	if err == nil || !strings.Contains(err.Error(), "the Locker is nil") {
		t.Errorf("Gather = %v; want that the Locker is nil", err)
	}
}

func BenchmarkCollectorOf5000Leases(b *testing.B) {
	lease.SetLogger(nil)
	locker := lease.NewLocker(leasetest.NewStore(manyItems(5000)...))
	for _, item := range manyItems(5000) {
		if _, err := locker.ObtainItem(b.Context(), item, worker{"w1", time.Hour}); err != nil {
			b.Fatal(err)
		}
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(leaseprom.NewCollector(locker))
	for b.Loop() {
		if _, err := registry.Gather(); err != nil {
			b.Fatal(err)
		}
	}
}

func manyItems(n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprint("item-", i))
	}
	return ids
}
