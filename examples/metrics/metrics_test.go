package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

// fleetOfOne runs a worker with leases of 30 s on a store in memory, and what serves its figures.
func fleetOfOne(t *testing.T, test func(store *leasetest.Store, get func(path string) (int, string))) {
	synctest.Test(t, func(t *testing.T) {
		lease.SetLogger(nil)
		store := leasetest.NewStore("alice", "bob", "carol")
		locker := lease.NewLocker(store)
		ctx, stop := context.WithCancel(t.Context())
		stopped := make(chan error)
		go func() {
			stopped <- locker.HoldShare(ctx, worker{"w1", 30 * time.Second}, 0, func(ctx context.Context, l *lease.Lease) error {
				<-ctx.Done()
				return ctx.Err()
			})
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

func TestAScrapeShowsWhatTheWorkerDoes(t *testing.T) {
	fleetOfOne(t, func(store *leasetest.Store, get func(path string) (int, string)) {
		time.Sleep(5 * time.Minute)
		now := float64(time.Now().UnixNano()) / 1e9
		figures := scrape(t, get)
		for name, want := range map[string]float64{"lease_held": 3, "lease_in_handover": 0, "lease_obtained_total": 3,
			"lease_lost_total": 0, "lease_expired_total": 0, "lease_failed_renewals_total": 0, "lease_failed_looks_total": 0} {
			if got, there := figures[name]; !there || got != want {
				t.Errorf("%s = %v, %t; want %v", name, got, there, want)
			}
		}
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
		if figures := scrape(t, get); figures["lease_lost_total"] != 1 || figures["lease_held"] != 2 {
			t.Errorf("lost, held = %v, %v; want 1, 2", figures["lease_lost_total"], figures["lease_held"])
		}
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
			if got != code || len(r.Problems) != problems || len(r.Leases) != leases {
				t.Errorf("/healthz = %d, %d problems, %d leases; want %d, %d, %d\n%s", got, len(r.Problems), len(r.Leases),
					code, problems, leases, body)
			}
		}
		health(http.StatusOK, 0, 3)
		store.SetOutage(true)
		time.Sleep(5 * time.Second)
		health(http.StatusOK, 0, 3) // not yet worth a word
		for range 100 {             // until the first lease has less than 10 s left
			if code, _ := get("/healthz"); code != http.StatusOK {
				break
			}
			time.Sleep(time.Second / 2)
		}
		code, body := get("/healthz")
		if code != http.StatusServiceUnavailable || !strings.Contains(body, "isn't renewed") {
			t.Errorf("/healthz in an outage = %d %s", code, body)
		}
		if figures := scrape(t, get); figures["lease_expired_total"] != 0 || figures["lease_failed_renewals_total"] == 0 {
			t.Errorf("expired, failed renewals = %v, %v; want 0 and more than 0", figures["lease_expired_total"], figures["lease_failed_renewals_total"])
		}
		time.Sleep(time.Minute)
		if figures := scrape(t, get); figures["lease_expired_total"] != 3 || figures["lease_held"] != 0 || figures["lease_failed_looks_total"] == 0 {
			t.Errorf("figures after an outage of a minute: %v", figures)
		}
		health(http.StatusServiceUnavailable, 1, 0) // no looks
		store.SetOutage(false)
		time.Sleep(time.Minute)
		health(http.StatusOK, 0, 3)
	})
}
