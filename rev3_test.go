package lease_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leasetest"
)

// R: a queue: each item is registered, worked on, retired
func TestRevR(t *testing.T) {
	lease.SetLogger(nil)
	synctest.Test(t, func(t *testing.T) {
		st := leasetest.NewStore()
		ctx, cancel := context.WithCancel(t.Context())
		w := &sharer{name: "w", duration: 30 * time.Second}
		done := make(chan error)
		heap := func() uint64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc / 1024
		}
		go func() {
			done <- lease.NewLocker(st).HoldShare(ctx, w, 0, func(ctx context.Context, l *lease.Lease) error { st.Retire(l.LeaseID); return nil })
		}()
		for round := range 4 {
			for i := range 5000 {
				st.AddLeaseID(fmt.Sprintf("%0200d-%d", round, i), nil)
				if i%100 == 0 {
					time.Sleep(10 * time.Second)
				}
			}
			time.Sleep(20 * time.Minute)
			n, _ := st.ListLeaseIDs()
			t.Log("R: heap KB", heap(), "items left", len(n))
		}
		cancel()
		<-done
	})
}

type two struct{ s *leasetest.Store }

func (t two) Lease(id string, r lease.LeaseRequest, u time.Time) (*lease.Lease, error) {
	return t.s.Lease(id, r, u)
}
func (t two) ListLeaseIDs() ([]string, error) { return t.s.ListLeaseIDs() }

// S: a store of two methods, one free item of 100
func TestRevS(t *testing.T) {
	lease.SetLogger(nil)
	for range 3 {
		synctest.Test(t, func(t *testing.T) {
			st := leasetest.NewStore()
			for i := range 100 {
				id := fmt.Sprint(i)
				st.AddLeaseID(id, nil)
				if i > 0 {
					st.Steal(id, "other", 100*time.Hour)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			start := time.Now()
			w := &sharer{name: "w", duration: 30 * time.Second}
			lease.NewLocker(two{st}).HoldShare(ctx, w, 1, func(ctx context.Context, l *lease.Lease) error { cancel(); return nil })
			t.Log("S: most=1 found the free item after", time.Since(start), "; ", st.Counts().Refused, "refused writes")
		})
	}
	synctest.Test(t, func(t *testing.T) {
		st := leasetest.NewStore()
		for i := range 1000 {
			st.AddLeaseID(fmt.Sprint(i), nil)
			st.Steal(fmt.Sprint(i), "other", 100*time.Hour)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		w := &sharer{name: "w", duration: 30 * time.Second}
		lease.NewLocker(two{st}).HoldShare(ctx, w, 0, func(ctx context.Context, l *lease.Lease) error { <-ctx.Done(); return nil })
		t.Log("S: most=0, 1000 held by others: refused writes a period", st.Counts().Refused/60)
	})
}
