package lease_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

type revLog struct {
	mu sync.Mutex
	l  []string
}

func (r *revLog) LogInfoMessage(m string, kv ...interface{}) {}
func (r *revLog) LogErrorMessage(m string, kv ...interface{}) {
	r.mu.Lock()
	r.l = append(r.l, fmt.Sprint(m, kv))
	r.mu.Unlock()
}
func (r *revLog) n() int { r.mu.Lock(); defer r.mu.Unlock(); return len(r.l) }

// A
func TestRevA(t *testing.T) {
	for _, n := range []int{100, 300, 500} {
		simulate(t, n, func(f *simulation) {
			f.startAll(n, 0)
			f.until("held", 5*time.Minute, f.held)
			time.Sleep(3 * time.Minute)
			b := f.requests()
			time.Sleep(10 * time.Minute)
			a := f.requests()
			f.Logf("W=%d: %.3f scans a worker a period, design %.3f", n, float64(a.Scans-b.Scans)/float64(n)/60, min(1, 100/float64(n)))
		})
	}
}

// B
func TestRevB(t *testing.T) {
	simulate(t, 2, func(f *simulation) {
		f.returns = 0
		w0 := f.start("w0")
		f.until("held", time.Minute, f.held)
		time.Sleep(time.Minute)
		w1 := f.start("w1", func(w *sharer) { w.most = 1 })
		for w1.client.Counts().Wishes == 0 {
			time.Sleep(10 * time.Millisecond)
		}
		w1.client.SetHang(true)
		for w0.client.Counts().Handovers == 0 {
			time.Sleep(10 * time.Millisecond)
		}
		f.leave(w0)
		time.Sleep(2 * time.Minute) // an outage of w1's network
		w1.client.SetHang(false)
		time.Sleep(time.Hour)
		of, nobody := f.counts()
		f.Logf("B: an hour later: %v nobody %d, %+v", of, nobody, w1.client.Counts())
	})
}

// C
func TestRevC(t *testing.T) {
	lease.SetLogger(nil)
	synctest.Test(t, func(t *testing.T) {
		st := leasetest.NewStore("a", "b", "c", "d", "e", "f", "g", "h")
		for _, id := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} { // own rows of a restarted worker: one batch
			st.Lease(id, worker{"w", 30 * time.Second}, time.Now().Add(30*time.Second))
		}
		s := &hooked{to: st, hook: func(ctx context.Context, seen lease.LeaseItem) error {
			if seen.LeaseID == "a" {
				panic("store")
			}
			return nil
		}}
		var running atomic.Int32
		release := make(chan struct{})
		func() {
			defer func() { t.Log("recovered", recover()) }()
			w := &sharer{name: "w", duration: 30 * time.Second}
			lease.NewLocker(s).HoldShare(t.Context(), w, 0, func(ctx context.Context, l *lease.Lease) error {
				running.Add(1)
				defer running.Add(-1)
				<-ctx.Done()
				time.Sleep(time.Second)
				return nil
			})
		}()
		synctest.Wait()
		t.Logf("C: works still running after HoldShare has panicked: %d", running.Load())
		close(release)
		time.Sleep(time.Hour)
		synctest.Wait()
	})
}

// D
func TestRevD(t *testing.T) {
	lease.SetLogger(nil)
	for _, d := range []time.Duration{2 * time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			st := leasetest.NewStore()
			for i := range 1000 {
				id := fmt.Sprint(i)
				st.AddLeaseID(id, nil)
				st.Lease(id, worker{"w", 30 * time.Second}, time.Now().Add(30*time.Second))
			}
			s := &hooked{to: st}
			s.hook = func(ctx context.Context, seen lease.LeaseItem) error {
				s.n.Add(1)
				select {
				case <-time.After(d):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			var at time.Time
			var then int32
			go func() { time.Sleep(time.Second); at, then = time.Now(), s.n.Load(); cancel() }()
			w := &sharer{name: "w", duration: 30 * time.Second}
			err := lease.NewLocker(s).HoldShare(ctx, w, 0, func(ctx context.Context, l *lease.Lease) error { <-ctx.Done(); return nil })
			t.Logf("D: lease takes %v: returned %v after ctx, with %d lease requests sent after it (%d before): %v", d, time.Since(at), s.n.Load()-then, then, err)
		})
	}
}

// E
func TestRevE(t *testing.T) {
	lease.SetLogger(nil)
	synctest.Test(t, func(t *testing.T) {
		defer func() { t.Log("E: recovered", recover()) }()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		w := &sharer{name: "w", duration: 30 * time.Second}
		err := lease.NewLocker(leasetest.NewStore("a", "b")).HoldShare(ctx, w, 0, func(ctx context.Context, l *lease.Lease) error {
			*l = lease.Lease{}
			<-ctx.Done()
			return nil
		})
		t.Log(err)
	})
}

// F
func TestRevF(t *testing.T) {
	log := &revLog{}
	lease.SetLogger(log)
	defer lease.SetLogger(nil)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		st := leasetest.NewStore("a")
		w := &sharer{name: "w", duration: 30 * time.Second}
		go func() { time.Sleep(time.Minute); st.Steal("a", "thief", time.Minute); cancel() }()
		err := lease.NewLocker(st).HoldShare(ctx, w, 0, func(ctx context.Context, l *lease.Lease) error { <-ctx.Done(); return ctx.Err() })
		t.Log("F:", err, log.l)
	})
}

// G
func TestRevG(t *testing.T) {
	log := &revLog{}
	lease.SetLogger(log)
	defer lease.SetLogger(nil)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		st := leasetest.NewStore("a", "b")
		w := &sharer{name: "w", duration: 30 * time.Second}
		go func() { time.Sleep(time.Minute); cancel() }()
		err := lease.NewLocker(st).HoldShare(ctx, w, 0, func(ctx context.Context, l *lease.Lease) error {
			if l.LeaseID == "b" {
				<-ctx.Done()
			}
			t.Log("G: removed", st.RemoveLease(l))
			return nil
		})
		t.Log("G:", err, log.l)
	})
}

// H: a broken worker
func TestRevH(t *testing.T) {
	simulate(t, 40, func(f *simulation) {
		f.startAll(3, 0)
		f.until("level", time.Minute, f.level)
		time.Sleep(time.Minute)
		var runs atomic.Int32
		f.start("broken", func(w *sharer) {
			w.work = func(ctx context.Context, l *lease.Lease) error { runs.Add(1); return errors.New("disk full") }
		})
		for range 4 {
			time.Sleep(time.Hour)
			of, nobody := f.counts()
			f.Logf("H: %d failed runs an hour, %v nobody %d, %+v", runs.Swap(0), of, nobody, f.workers["broken"].client.Counts())
		}
	})
}

// I: short foreign leases
func TestRevI(t *testing.T) {
	for _, d := range []time.Duration{time.Minute, 3 * time.Second, 300 * time.Millisecond, 30 * time.Millisecond} {
		simulate(t, 100, func(f *simulation) {
			f.returns = 0
			f.start("short", func(w *sharer) { w.duration = d })
			l := f.start("long", func(w *sharer) { w.duration = time.Minute })
			time.Sleep(2 * time.Minute)
			b := l.client.Counts()
			time.Sleep(5 * time.Minute)
			a := l.client.Counts()
			f.Logf("I: D of the others %v: %.2f scans a period (P=20s)", d, float64(a.Scans-b.Scans)/15)
		})
	}
}

// J
func TestRevJ(t *testing.T) {
	for _, d := range []time.Duration{11 * time.Minute, 13 * time.Minute, time.Hour} {
		simulate(t, 20, func(f *simulation) {
			f.start("short")
			f.until("held", time.Minute, f.held)
			l := f.start("long", func(w *sharer) { w.duration = d })
			time.Sleep(24 * time.Hour)
			of, _ := f.counts()
			f.Logf("J: D %v beside 30s: %v, %+v", d, of, l.client.Counts())
		})
	}
}

// K
func TestRevK(t *testing.T) {
	for _, d := range []time.Duration{1, time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond, time.Second} {
		simulate(t, 10, func(f *simulation) {
			l := f.start("x", func(w *sharer) {
				w.duration = d
				w.work = func(ctx context.Context, l *lease.Lease) error { return nil }
			})
			time.Sleep(10 * time.Second)
			b := l.client.Counts()
			time.Sleep(10 * time.Second)
			a := l.client.Counts()
			f.Logf("K: D %v, work returns at once: %d scans, %d leases, %d releases a second", d, (a.Scans-b.Scans)/10, (a.Leases-b.Leases)/10, (a.Releases-b.Releases)/10)
		})
	}
}

// L
func TestRevL(t *testing.T) {
	simulate(t, 4, func(f *simulation) {
		f.returns = 0
		f.start("x", func(w *sharer) { w.most = 1 })
		time.Sleep(5 * time.Second)
		f.start("y")
		f.until("held", time.Minute, f.held)
		time.Sleep(time.Minute)
		items, _, _ := f.store.ScanLeaseItems("", 0)
		for _, i := range items {
			if i.LesseeID == "y" {
				f.store.WantLease(context.Background(), i, "x", time.Now().Add(9*time.Minute))
				break
			}
		}
		f.until("free", time.Minute, func() bool { return !f.held() })
		f.Log("L: idle for ", f.until("held", 20*time.Minute, f.held))
	})
}

// M namesakes
func TestRevM(t *testing.T) {
	simulate(t, 20, func(f *simulation) {
		f.returns = 0
		x := f.start("x")
		time.Sleep(time.Minute)
		y := &sharer{simulation: f, name: "x", client: f.store.NewClient(), duration: shareD, stopped: make(chan error, 1)}
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			y.stopped <- lease.NewLocker(y.client).HoldShare(ctx, y, 0, func(ctx context.Context, l *lease.Lease) error { <-ctx.Done(); return nil })
		}()
		time.Sleep(10 * time.Minute)
		f.Logf("M: in 60 P, 20 items: %+v, %+v", x.client.Counts(), y.client.Counts())
		cancel()
		<-y.stopped
		f.double = 0
	})
}

// N
func TestRevN(t *testing.T) {
	log := &revLog{}
	simulate(t, 2, func(f *simulation) {
		lease.SetLogger(log)
		wrap := func(w *sharer) {
			w.work = func(ctx context.Context, l *lease.Lease) error {
				<-ctx.Done()
				return fmt.Errorf("poll: %w", ctx.Err())
			}
		}
		w0 := f.start("w0", wrap)
		time.Sleep(time.Minute)
		w1 := f.start("w1", wrap)
		time.Sleep(time.Minute)
		f.leave(w1)
		f.leave(w0)
		f.Log("N:", log.l)
	})
}

type hooked struct {
	to   *leasetest.Store
	n    atomic.Int32
	hook func(ctx context.Context, seen lease.LeaseItem) error
}

func (s *hooked) LeaseAsSeen(ctx context.Context, seen lease.LeaseItem, older *lease.Lease, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
	if s.hook != nil {
		if err := s.hook(ctx, seen); err != nil {
			return nil, err
		}
	}
	return s.to.LeaseAsSeen(ctx, seen, older, r, until)
}
func (s *hooked) Lease(id string, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
	return s.to.Lease(id, r, until)
}
func (s *hooked) LeaseWithContext(ctx context.Context, id string, r lease.LeaseRequest, until time.Time) (*lease.Lease, error) {
	return s.to.LeaseWithContext(ctx, id, r, until)
}
func (s *hooked) ListLeaseIDs() ([]string, error) { return s.to.ListLeaseIDs() }
func (s *hooked) ScanLeaseItemsWithContext(ctx context.Context, after string, limit int) ([]lease.LeaseItem, string, error) {
	return s.to.ScanLeaseItemsWithContext(ctx, after, limit)
}
func (s *hooked) RenewLeaseItem(ctx context.Context, l *lease.Lease, until, wanted time.Time) (lease.LeaseItem, error) {
	return s.to.RenewLeaseItem(ctx, l, until, wanted)
}
func (s *hooked) ReleaseLeaseWithContext(ctx context.Context, l *lease.Lease) error {
	return s.to.ReleaseLeaseWithContext(ctx, l)
}
func (s *hooked) WantLease(ctx context.Context, seen lease.LeaseItem, by string, until time.Time) error {
	return s.to.WantLease(ctx, seen, by, until)
}
func (s *hooked) HandOverLease(ctx context.Context, l *lease.Lease, until time.Time) error {
	return s.to.HandOverLease(ctx, l, until)
}
