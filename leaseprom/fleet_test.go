package leaseprom_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leaseprom"
	"github.com/intercom/lease/leasetest"
)

// worker is a lease.LeaseRequest.
type worker struct {
	name     string
	duration time.Duration
}

func (w worker) LesseeID() string             { return w.name }
func (w worker) LeaseDuration() time.Duration { return w.duration }

// obedient is a work that returns when it is told to.
func obedient(ctx context.Context, _ *lease.Lease) error {
	<-ctx.Done()
	return ctx.Err()
}

// obedientFor returns a work that ends by itself.
func obedientFor(d time.Duration) func(ctx context.Context, _ *lease.Lease) error {
	return func(context.Context, *lease.Lease) error {
		time.Sleep(d)
		return nil
	}
}

// process is a worker of a test, by leases of 30 s, with its figures and probes.
type process struct {
	t        *testing.T
	store    *leasetest.Store
	locker   *lease.Locker
	registry *prometheus.Registry
	probes   http.Handler
}

func newProcess(t *testing.T, store *leasetest.Store, options leaseprom.HandlerOptions) *process {
	locker := lease.NewLocker(store)
	p := &process{
		t:        t,
		store:    store,
		locker:   locker,
		registry: prometheus.NewPedanticRegistry(),
		probes:   leaseprom.HandlerWith(options, locker),
	}
	p.registry.MustRegister(leaseprom.NewCollector(locker))
	return p
}

// share runs HoldShare until stop is called.
func (p *process) share(
	name string, work func(ctx context.Context, l *lease.Lease) error,
) (stop func()) {
	p.t.Helper()
	ctx, cancel := context.WithCancel(p.t.Context())
	stopped := make(chan error)
	go func() { stopped <- p.locker.HoldShare(ctx, worker{name, 30 * time.Second}, 0, work) }()
	return func() {
		p.t.Helper()
		cancel()
		if err := <-stopped; !errors.Is(err, context.Canceled) {
			p.t.Errorf("HoldShare = %v; want context.Canceled", err)
		}
	}
}

// withProcess runs a test in a bubble, of a process that shares three items.
func withProcess(
	t *testing.T, work func(ctx context.Context, l *lease.Lease) error, test func(p *process),
) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		lease.SetLogger(nil)
		store := leasetest.NewStore("alice", "bob", "carol")
		p := newProcess(t, store, leaseprom.HandlerOptions{})
		stop := p.share("w1", work)
		test(p)
		stop()
	})
}

// scrape returns the figures by name and labels, a histogram by its count.
func (p *process) scrape() map[string]float64 {
	p.t.Helper()
	synctest.Wait() // for the observers
	families, err := p.registry.Gather()
	if err != nil {
		p.t.Fatal(err)
	}
	figures := make(map[string]float64)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			counted := float64(m.GetHistogram().GetSampleCount())
			figures[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + counted
		}
	}
	return figures
}

// want checks some of the figures, and returns all.
func (p *process) want(want map[string]float64) map[string]float64 {
	p.t.Helper()
	figures := p.scrape()
	for name, value := range want {
		if got, there := figures[name]; !there || got != value {
			p.t.Errorf("%s = %v, %t; want %v", name, got, there, value)
		}
	}
	return figures
}

// probe returns the status and the text of a probe's answer.
func (p *process) probe(path string) (code int, text string) {
	p.t.Helper()
	synctest.Wait()
	return probe(p.t, p.probes, path)
}

func probe(t *testing.T, probes http.Handler, path string) (code int, text string) {
	t.Helper()
	answer := httptest.NewRecorder()
	probes.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
	body, err := io.ReadAll(answer.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	line, isLine := strings.CutSuffix(string(body), "\n")
	if !isLine || strings.Contains(line, "\n") {
		t.Errorf("%s = %q; want one line", path, body)
	}
	return answer.Code, line
}

// wantProbe checks a probe's answer: its status, and what its text says.
func (p *process) wantProbe(path string, wantCode int, wantText string) {
	p.t.Helper()
	code, text := p.probe(path)
	if code != wantCode || !strings.Contains(text, wantText) {
		p.t.Errorf("%s = %d %q; want %d %q", path, code, text, wantCode, wantText)
	}
}
