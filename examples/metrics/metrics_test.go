package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

// fleetOfOne runs a worker with leases of 30 s on a store in memory, and what serves its
// figures.
func fleetOfOne(t *testing.T, test func(store *leasetest.Store, get func(path string) (int, string))) {
	t.Helper()
	fleetOf(t, func(ctx context.Context, _ *lease.Lease) error {
		<-ctx.Done()
		return ctx.Err()
	}, test)
}

// fleetOf is fleetOfOne with that work.
func fleetOf(
	t *testing.T, work func(ctx context.Context, l *lease.Lease) error,
	test func(store *leasetest.Store, get func(path string) (int, string)),
) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		lease.SetLogger(nil)
		store := leasetest.NewStore("alice", "bob", "carol")
		locker := lease.NewLocker(store)
		ctx, stop := context.WithCancel(t.Context())
		stopped := make(chan error)
		go func() {
			stopped <- locker.HoldShare(ctx, worker{"w1", 30 * time.Second}, 0, work)
		}()
		server := figures(locker, 30*time.Second)
		test(store, func(path string) (int, string) {
			answer := httptest.NewRecorder()
			server.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
			return answer.Code, answer.Body.String()
		})
		stop()
		if err := <-stopped; !errors.Is(err, context.Canceled) {
			t.Errorf("HoldShare = %v; want context.Canceled", err)
		}
	})
}

// scrape returns the figures of a page of Prometheus's text format.
func scrape(t *testing.T, get func(path string) (int, string)) map[string]float64 {
	t.Helper()
	code, page := get("/metrics")
	if code != http.StatusOK {
		t.Fatalf("GET /metrics = %d %s", code, page)
	}
	figures := make(map[string]float64)
	for line := range strings.Lines(page) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		f, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatal(err)
		}
		figures[name] = f
	}
	return figures
}

// wantFigures checks some of the figures, and returns all.
func wantFigures(
	t *testing.T, get func(path string) (int, string), want map[string]float64,
) map[string]float64 {
	t.Helper()
	figures := scrape(t, get)
	for name, value := range want {
		if got, there := figures[name]; !there || got != value {
			t.Errorf("%s = %v, %t; want %v", name, got, there, value)
		}
	}
	return figures
}

func TestMetricsShowWhatTheWorkerDoes(t *testing.T) {
	fleetOfOne(t, func(store *leasetest.Store, get func(path string) (int, string)) {
		time.Sleep(5 * time.Minute)
		now := float64(time.Now().UnixNano()) / 1e9
		figures := wantFigures(t, get, map[string]float64{
			"lease_held":                  3,
			"lease_in_handover":           0,
			"lease_obtained_total":        3,
			"lease_lost_total":            0,
			"lease_expired_total":         0,
			"lease_failed_renewals_total": 0,
			"lease_failed_looks_total":    0,
		})
		for name, within := range map[string][2]float64{
			"lease_renewed_total":                  {3 * 25, 3 * 32}, // 5 minutes, each 10 s
			"lease_looks_total":                    {25, 40},
			"lease_shortest_remaining_seconds":     {15, 27},
			"lease_least_remaining_seconds":        {15, 27},
			"lease_last_look_timestamp_seconds":    {now - 11, now},
			"lease_last_renewal_timestamp_seconds": {now - 11, now},
		} {
			if got := figures[name]; got < within[0] || got > within[1] {
				t.Errorf("%s = %v; want %v to %v", name, got, within[0], within[1])
			}
		}
		store.Steal("alice", "w2", time.Minute)
		time.Sleep(15 * time.Second)
		wantFigures(t, get, map[string]float64{"lease_lost_total": 1, "lease_held": 2})
	})
}

// TestMetricsAndHealthShowWorkThatHangs: and its item is held no more.
func TestMetricsAndHealthShowWorkThatHangs(t *testing.T) {
	var hung atomic.Bool
	work := func(ctx context.Context, l *lease.Lease) error {
		if !hung.Swap(true) {
			l.Progress(time.Minute)
			time.Sleep(150 * time.Second)
		}
		<-ctx.Done()
		return ctx.Err()
	}
	fleetOf(t, work, func(store *leasetest.Store, get func(path string) (int, string)) {
		time.Sleep(50 * time.Second)
		wantFigures(t, get, map[string]float64{"lease_working": 3, "lease_stuck": 0})
		if code, body := get("/healthz"); code != http.StatusOK {
			t.Errorf("/healthz = %d %s", code, body)
		}
		time.Sleep(time.Minute)
		wantFigures(t, get, map[string]float64{
			"lease_working": 3, "lease_held": 2, "lease_stuck": 1, "lease_stucks_total": 1,
		})
		code, body := get("/healthz")
		if code != http.StatusServiceUnavailable || !strings.Contains(body, "1 works go on") {
			t.Errorf("/healthz = %d %s", code, body)
		}
		time.Sleep(2 * time.Minute)
		wantFigures(t, get, map[string]float64{
			"lease_working": 3, "lease_held": 3, "lease_stuck": 0, "lease_stucks_total": 1,
		})
	})
}

func TestHealthShowsAnOutageBeforeALeaseEnds(t *testing.T) {
	fleetOfOne(t, func(store *leasetest.Store, get func(path string) (int, string)) {
		time.Sleep(time.Minute)
		health := func(code int, problems, leases int) {
			t.Helper()
			got, body := get("/healthz")
			var r report
			if err := json.Unmarshal([]byte(body), &r); err != nil {
				t.Fatalf("%v in %s", err, body)
			}
			shown := []int{got, len(r.Problems), len(r.Leases)}
			want := []int{code, problems, leases}
			if !slices.Equal(shown, want) {
				t.Errorf("status, problems and leases of /healthz = %v; want %v\n%s", shown, want, body)
			}
		}
		health(http.StatusOK, 0, 3)
		store.SetOutage(true)
		time.Sleep(5 * time.Second)
		health(http.StatusOK, 0, 3) // not yet worth a word

		// Until the first lease has less than 10 s left.
		for range 100 {
			if code, _ := get("/healthz"); code != http.StatusOK {
				break
			}
			time.Sleep(time.Second / 2)
		}
		code, body := get("/healthz")
		if code != http.StatusServiceUnavailable || !strings.Contains(body, "isn't renewed") {
			t.Errorf("/healthz in an outage = %d %s", code, body)
		}
		figures := wantFigures(t, get, map[string]float64{"lease_expired_total": 0})
		if figures["lease_failed_renewals_total"] == 0 {
			t.Error("no renewal has failed")
		}
		time.Sleep(time.Minute)
		figures = wantFigures(t, get, map[string]float64{"lease_expired_total": 3, "lease_held": 0})
		if figures["lease_failed_looks_total"] == 0 {
			t.Error("no look has failed")
		}
		health(http.StatusServiceUnavailable, 1, 0) // no looks
		store.SetOutage(false)
		time.Sleep(time.Minute)
		health(http.StatusOK, 0, 3)
	})
}
