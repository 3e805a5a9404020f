package alerttest

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leaseprom"
	"github.com/intercom/lease/leasetest"
)

const scrapeEach = 15 * time.Second

// fleet is a fleet of a test, all of whose processes are scraped.
type fleet struct {
	t         *testing.T
	store     *leasetest.Store
	duration  time.Duration // of the leases
	processes map[string]*process
	recording *recording
	scraped   time.Time
}

// process is one of a fleet, with a Locker and what shows it.
type process struct {
	t        *testing.T
	name     string
	duration time.Duration // of the leases
	store    *distant
	locker   *lease.Locker
	registry *prometheus.Registry
	ctx      context.Context
	cancel   context.CancelFunc
	running  int
	ended    chan error
}

// work is what a worker does with an item.
type work func(ctx context.Context, l *lease.Lease) error

// worker is a lease.LeaseRequest.
type worker struct {
	lessee   string
	duration time.Duration
}

func (w worker) LesseeID() string             { return w.lessee }
func (w worker) LeaseDuration() time.Duration { return w.duration }

// obedient is a work that returns when it is told to.
func obedient(ctx context.Context, _ *lease.Lease) error {
	<-ctx.Done()
	return ctx.Err()
}

// simulate returns what a scraper has seen of a fleet, in a bubble.
func simulate(t *testing.T, items int, run func(f *fleet)) *recording {
	recording := newRecording()
	synctest.Test(t, func(t *testing.T) {
		lease.SetLogger(nil)
		f := &fleet{
			t:         t,
			store:     leasetest.NewStore(),
			duration:  30 * time.Second,
			processes: make(map[string]*process),
			recording: recording,
			scraped:   time.Now(),
		}
		for i := range items {
			if err := f.store.AddLeaseID(fmt.Sprint("item-", i), nil); err != nil {
				t.Fatal(err)
			}
		}
		recording.begins = time.Now()
		run(f)
		recording.ends = time.Now()
		for name := range f.processes {
			f.stop(name)
		}
	})
	return recording
}

// start adds a process.
func (f *fleet) start(name string) *process {
	store := &distant{client: f.store.NewClient(), latency: 20 * time.Millisecond}
	p := &process{
		t:        f.t,
		name:     name,
		duration: f.duration,
		store:    store,
		locker:   lease.NewLocker(store),
		registry: prometheus.NewPedanticRegistry(),
		ended:    make(chan error),
	}
	p.ctx, p.cancel = context.WithCancel(f.t.Context())
	p.registry.MustRegister(leaseprom.NewCollector(p.locker))
	f.processes[name] = p
	return p
}

// stop ends a process as SIGTERM does; it is scraped no more.
func (f *fleet) stop(name string) {
	p := f.processes[name]
	p.cancel()
	for range p.running {
		<-p.ended
	}
	delete(f.processes, name)
	f.recording.gone(name, time.Now())
}

// share runs HoldShare by a lessee's name.
func (p *process) share(lessee string, most int, w work) *process {
	p.running++
	go func() { p.ended <- p.locker.HoldShare(p.ctx, worker{lessee, p.duration}, most, w) }()
	return p
}

// hold runs Hold.
func (p *process) hold(w work) *process {
	p.running++
	go func() { p.ended <- p.locker.Hold(p.ctx, worker{p.name, p.duration}, w) }()
	return p
}

// pass lets time pass, and scrapes.
func (f *fleet) pass(d time.Duration) {
	f.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		next := f.scraped.Add(scrapeEach)
		if next.After(end) {
			time.Sleep(time.Until(end))
			return
		}
		time.Sleep(time.Until(next))
		f.scraped = next
		synctest.Wait() // for the observers
		for name, p := range f.processes {
			families, err := p.registry.Gather()
			if err != nil {
				f.t.Fatal(err)
			}
			f.recording.scraped(name, next, families)
		}
	}
}
