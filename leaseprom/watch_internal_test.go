package leaseprom

import (
	"strings"
	"testing"
	"time"

	"github.com/intercom/lease"
)

// seen is what a probe finds, so long after the one before.
type seen struct {
	after time.Duration
	stats lease.LockerStats
}

// watched is a watch that has followed some probes, since its Locker was new.
func watched(options HandlerOptions, probes ...seen) *watch {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	w := newWatch(options, now, lease.LockerStats{})
	for _, p := range probes {
		now = now.Add(p.after)
		if p.stats.Looks > 0 {
			p.stats.LastLook = now.Add(-5 * time.Second)
		}
		w.follow(now, p.stats)
	}
	return w
}

func TestWatchJudgesHealth(t *testing.T) {
	peace := seen{time.Second, lease.LockerStats{Looks: 1, Held: 2, Working: 2}}
	stuck := func(after time.Duration, answered, failed int64) seen {
		return seen{after, lease.LockerStats{
			Looks: 1 + answered, FailedRenewals: failed, Held: 1, Working: 2, Stuck: 1,
		}}
	}
	for name, c := range map[string]struct {
		probes []seen
		isGood bool
		reason string
	}{
		"in peace": {[]seen{peace}, true, "ok: 2 leases are held, 2 works run"},
		"a work is stuck": {
			[]seen{peace, stuck(1, 1, 0)}, true,
			"ok: 1 of 2 works go on without a lease, which counts from 10m0s on",
		},
		"just before it counts": {
			[]seen{peace, stuck(1, 1, 0), stuck(9*time.Minute+59*time.Second, 9, 0)}, true, "ok: 1 of",
		},
		"when it counts": {
			[]seen{peace, stuck(1, 1, 0), stuck(10*time.Minute, 9, 0)}, false,
			"1 of 2 works go on without a lease, for 10m0s: they hang, or don't heed their contexts",
		},
		"it has returned meanwhile": {
			[]seen{peace, stuck(1, 1, 0), stuck(time.Minute, 2, 0), peace,
				stuck(9*time.Minute, 9, 0)},
			true, "which counts from",
		},
		"nobody probed meanwhile": {
			[]seen{peace, stuck(1, 1, 0), stuck(time.Hour, 9, 0)}, true, "which counts from",
		},
		"in an outage": {
			[]seen{peace, stuck(1, 0, 1), stuck(9*time.Minute, 0, 2), stuck(9*time.Minute, 0, 3)},
			true, "ok: 1 of 2 works go on without a lease while requests fail, which counts from",
		},
		"in an outage of writes": {
			[]seen{
				peace,
				{1, lease.LockerStats{Looks: 1, FailedWrites: 1, Working: 2, Stuck: 1}},
				{9 * time.Minute, lease.LockerStats{Looks: 1, FailedWrites: 2, Working: 2, Stuck: 1}},
				{9 * time.Minute, lease.LockerStats{Looks: 1, FailedWrites: 3, Working: 2, Stuck: 1}},
			},
			true, "while requests fail",
		},
		"after all but the time that no probe has seen": {
			[]seen{peace, stuck(1, 1, 0), stuck(10*time.Minute+1, 9, 0)}, true, "which counts from",
		},
		"nothing is sent after an outage": {
			[]seen{peace, stuck(1, 0, 1), stuck(9*time.Minute, 0, 1), stuck(time.Minute, 0, 1)},
			false, "1 of 2 works go on without a lease while requests fail, for 10m0s",
		},
		"some requests fail": {
			[]seen{peace, stuck(1, 1, 1), stuck(9*time.Minute, 2, 2), stuck(time.Minute, 3, 3)},
			false, "1 of 2 works go on without a lease, for 10m0s",
		},
	} {
		got := watched(HandlerOptions{StuckFor: 10 * time.Minute}, c.probes...).health()
		if got.isGood != c.isGood || !strings.Contains(got.reason, c.reason) {
			t.Errorf("%s: health() = %+v; want %t, %q", name, got, c.isGood, c.reason)
		}
	}
}

// TestWatchKnowsAnOutagesEndByAnyAnswer: whatever was asked.
func TestWatchKnowsAnOutagesEndByAnyAnswer(t *testing.T) {
	for name, answered := range map[string]lease.LockerStats{
		"a look":     {Looks: 1},
		"a lease":    {Obtained: 1},
		"a renewal":  {Renewed: 1},
		"a release":  {Released: 1},
		"a handover": {HandedOver: 1},
	} {
		w := watched(HandlerOptions{}, seen{time.Second, lease.LockerStats{FailedLooks: 1}})
		if !w.isCutOff {
			t.Fatal("after a look that failed it isn't cut off")
		}
		answered.FailedLooks = 1
		w.follow(w.lastAt.Add(time.Second), answered)
		if w.isCutOff {
			t.Errorf("after %s it is still cut off", name)
		}
	}
}

func TestWatchJudgesReadiness(t *testing.T) {
	looked := func(good, failed int64) seen {
		return seen{10 * time.Second, lease.LockerStats{Looks: good, FailedLooks: failed}}
	}
	for name, c := range map[string]struct {
		lookAge time.Duration
		probes  []seen
		isGood  bool
		reason  string
	}{
		"before the first look": {
			0, []seen{looked(0, 0)}, false, "no look at the table has succeeded yet: why",
		},
		"after a good one":   {0, []seen{looked(1, 0)}, true, "the last look at the table was 5s ago"},
		"after a failed one": {0, []seen{looked(1, 0), looked(1, 1)}, false, "looks fail; "},
		"nothing since that": {0, []seen{looked(1, 0), looked(1, 1), looked(1, 1)}, false, ": why"},
		"a good one since":   {0, []seen{looked(1, 0), looked(1, 1), looked(2, 1)}, true, "ok: "},
		"renewals succeed": {
			0, []seen{looked(1, 0), {10, lease.LockerStats{Looks: 1, FailedLooks: 1, Renewed: 9}}},
			false, "looks fail; ",
		},
		"some fail":           {0, []seen{looked(1, 0), looked(2, 1)}, true, "ok: "},
		"one that is young":   {5 * time.Second, []seen{looked(1, 0)}, true, "ok: "},
		"one that is too old": {4 * time.Second, []seen{looked(1, 0)}, false, "want at most 4s"},
	} {
		got := watched(HandlerOptions{LookAge: c.lookAge}, c.probes...).readiness(": why")
		if got.isGood != c.isGood || !strings.Contains(got.reason, c.reason) {
			t.Errorf("%s: readiness() = %+v; want %t, %q", name, got, c.isGood, c.reason)
		}
	}
}

// TestWatchOfReadsHasNoAge: HoldItem reads its item, and never looks at the table.
func TestWatchOfReadsHasNoAge(t *testing.T) {
	w := newWatch(HandlerOptions{}, time.Now(), lease.LockerStats{})
	w.follow(time.Now(), lease.LockerStats{Looks: 1})
	if got := w.readiness(""); !got.isGood || !strings.HasPrefix(got.reason, "ok: ") {
		t.Errorf("readiness() = %+v; want that it is", got)
	}
}
