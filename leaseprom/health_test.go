package leaseprom_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/intercom/lease"
	"github.com/intercom/lease/leaseprom"
	"github.com/intercom/lease/leasetest"
)

// probeFor probes each 10 seconds, as Kubernetes does, and checks all answers.
func (p *process) probeFor(d time.Duration, path string, wantCode int, wantText string) {
	p.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end) && !p.t.Failed(); {
		p.wantProbe(path, wantCode, wantText)
		time.Sleep(10 * time.Second)
	}
}

// TestHealthzStandsAnOutageInWhichWorksHang: the disaster would be that a liveness probe
// restarts all processes of a fleet, as the database can't be reached and the works that write
// to it don't return either.
func TestHealthzStandsAnOutageInWhichWorksHang(t *testing.T) {
	var isOutage atomic.Bool
	hangs := func(ctx context.Context, _ *lease.Lease) error {
		<-ctx.Done()
		for isOutage.Load() {
			time.Sleep(time.Second)
		}
		return ctx.Err()
	}
	for name, fault := range map[string]func(store *leasetest.Store, on bool){
		"refused":  (*leasetest.Store).SetOutage,
		"silent":   (*leasetest.Store).SetHang,
		"no reply": (*leasetest.Store).SetLoseReplies,
	} {
		t.Run(name, func(t *testing.T) {
			withProcess(t, hangs, func(p *process) {
				time.Sleep(time.Minute)
				isOutage.Store(true)
				fault(p.store, true)
				p.probeFor(2*time.Minute, "/healthz", http.StatusOK, "")
				p.want(map[string]float64{"lease_stuck": 3, "lease_held": 0})
				p.probeFor(time.Hour, "/healthz", http.StatusOK, "while requests fail")
				isOutage.Store(false)
				fault(p.store, false)
				time.Sleep(time.Minute)
				p.wantProbe("/healthz", http.StatusOK, "3 leases are held, 3 works run")
			})
		})
	}
}

// TestHealthzFailsByWorksThatAreStillStuckAfterAnOutage: counted from its end on.
func TestHealthzFailsByWorksThatAreStillStuckAfterAnOutage(t *testing.T) {
	over := make(chan struct{})
	hangs := func(ctx context.Context, _ *lease.Lease) error {
		<-ctx.Done()
		<-over
		return ctx.Err()
	}
	synctest.Test(t, func(t *testing.T) {
		lease.SetLogger(nil)
		over = make(chan struct{})
		p := newProcess(t, leasetest.NewStore("alice"), leaseprom.HandlerOptions{})
		stop := p.share("w1", hangs)
		time.Sleep(time.Minute)
		p.store.OutageFor(20 * time.Minute)
		p.probeFor(29*time.Minute, "/healthz", http.StatusOK, "")
		for range 12 {
			time.Sleep(10 * time.Second)
			p.probe("/healthz")
		}
		p.wantProbe("/healthz", http.StatusServiceUnavailable,
			"1 of 1 works go on without a lease, for 1")
		p.wantProbe("/readyz", http.StatusOK, "ok")
		close(over)
		p.wantProbe("/healthz", http.StatusOK, "ok")
		stop()
	})
}

// TestHealthzFailsByAWorkThatIsStuck: after the ten minutes, or what the options say, and not
// if it returns before.
func TestHealthzFailsByAWorkThatIsStuck(t *testing.T) {
	for name, c := range map[string]struct {
		options   leaseprom.HandlerOptions
		stillGood time.Duration
		hangs     time.Duration
		wantFails bool
	}{
		"by default": {stillGood: 9 * time.Minute, hangs: time.Hour, wantFails: true},
		"by options": {
			options:   leaseprom.HandlerOptions{StuckFor: 2 * time.Minute},
			stillGood: time.Minute,
			hangs:     time.Hour,
			wantFails: true,
		},
		"unless it returned": {stillGood: 9 * time.Minute, hangs: 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lease.SetLogger(nil)
				p := newProcess(t, leasetest.NewStore("alice", "bob"), c.options)
				var hung atomic.Bool
				stop := p.share("w1", func(ctx context.Context, l *lease.Lease) error {
					if !hung.Swap(true) {
						l.Progress(time.Minute)
						time.Sleep(c.hangs)
					}
					return obedient(ctx, l)
				})
				time.Sleep(time.Second)
				p.probeFor(time.Minute, "/healthz", http.StatusOK, "2 leases are held, 2 works run")
				p.probeFor(c.stillGood, "/healthz", http.StatusOK, "1 of 2 works go on")
				for range 7 {
					p.probe("/healthz")
					time.Sleep(10 * time.Second)
				}
				code, text := p.probe("/healthz")
				if fails := code == http.StatusServiceUnavailable; fails != c.wantFails {
					t.Errorf("/healthz = %d %q; want a failure: %t", code, text, c.wantFails)
				}
				time.Sleep(time.Hour)
				stop()
			})
		})
	}
}

// TestReadyzSaysWhetherLooksSucceed: before the first, in peace, in an outage and after it.
func TestReadyzSaysWhetherLooksSucceed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lease.SetLogger(nil)
		p := newProcess(t, leasetest.NewStore("alice"), leaseprom.HandlerOptions{})
		p.wantProbe("/readyz", http.StatusServiceUnavailable, "no look at the table has succeeded")
		p.store.SetOutage(true)
		stop := p.share("w1", obedient)
		p.probeFor(time.Minute, "/readyz", http.StatusServiceUnavailable, "")
		p.wantProbe("/readyz", http.StatusServiceUnavailable,
			"no look at the table has succeeded yet: ServiceUnavailable: leasetest: outage status code: 503")
		p.store.SetOutage(false)
		time.Sleep(20 * time.Second)
		p.probeFor(time.Minute, "/readyz", http.StatusOK, "ok: the last look at the table was ")
		p.store.SetOutage(true)
		p.probe("/readyz") // It may see looks of before.
		time.Sleep(20 * time.Second)
		p.probeFor(time.Hour, "/readyz", http.StatusServiceUnavailable,
			"ago: ServiceUnavailable: leasetest: outage status code: 503")
		p.store.SetOutage(false)
		time.Sleep(20 * time.Second)
		p.probeFor(time.Minute, "/readyz", http.StatusOK, "ok")
		stop()
	})
}

// TestReadyzOfAHoldInAnOutage: it looks no sooner than its lease has ended.
func TestReadyzOfAHoldInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lease.SetLogger(nil)
		p := newProcess(t, leasetest.NewStore("alice"), leaseprom.HandlerOptions{})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan bool)
		go func() {
			for ctx.Err() == nil {
				_ = p.locker.Hold(ctx, worker{"w1", 5 * time.Minute}, obedient)
			}
			close(ended)
		}()
		time.Sleep(time.Minute)
		p.store.SetOutage(true)
		p.probeFor(2*time.Minute, "/readyz", http.StatusOK, "ok")
		time.Sleep(5 * time.Minute)
		p.probeFor(10*time.Minute, "/readyz", http.StatusServiceUnavailable, "looks fail")
		p.wantProbe("/healthz", http.StatusOK, "ok: 0 leases are held, 0 works run")
		p.store.SetOutage(false)
		time.Sleep(5 * time.Minute)
		p.probeFor(time.Minute, "/readyz", http.StatusOK, "ok")
		cancel()
		<-ended
	})
}

// TestReadyzByAgeOfTheLook: a Hold that works doesn't look, so its last look is old; one that
// is to be judged by that isn't ready.
func TestReadyzByAgeOfTheLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lease.SetLogger(nil)
		locker := lease.NewLocker(leasetest.NewStore("alice"))
		anyAge := leaseprom.Handler(locker)
		judged := leaseprom.HandlerWith(leaseprom.HandlerOptions{LookAge: time.Minute}, locker)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- locker.Hold(ctx, worker{"w1", 30 * time.Second}, obedient) }()
		time.Sleep(30 * time.Minute)
		if code, text := probe(t, anyAge, "/readyz"); code != http.StatusOK {
			t.Errorf("/readyz = %d %q; want 200", code, text)
		}
		code, text := probe(t, judged, "/readyz")
		if code != http.StatusServiceUnavailable || !strings.Contains(text, "want at most 1m0s") {
			t.Errorf("/readyz with a LookAge = %d %q; want 503", code, text)
		}
		cancel()
		<-ended
	})
}

// TestHandlerOfSeveralLockersFailsIfOneDoes: and says which.
func TestHandlerOfSeveralLockersFailsIfOneDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lease.SetLogger(nil)
		good := lease.NewLocker(leasetest.NewStore("alice"))
		cutOff := leasetest.NewStore("bob")
		bad := lease.NewLocker(cutOff)
		probes := leaseprom.Handler(good, bad)
		for _, locker := range []*lease.Locker{good, bad} {
			if _, err := locker.ObtainLease(worker{"w1", time.Hour}); err != nil {
				t.Fatal(err)
			}
		}
		code, text := probe(t, probes, "/readyz")
		both := strings.Contains(text, "Locker 1: ok") && strings.Contains(text, "; Locker 2: ok")
		if code != http.StatusOK || !both {
			t.Errorf("/readyz = %d %q; want that both are well", code, text)
		}
		cutOff.SetError(leasetest.AccessDeniedError)
		if _, err := bad.ObtainLease(worker{"w1", time.Hour}); err == nil {
			t.Fatal("an item was leased without a permission")
		}
		synctest.Wait()
		code, text = probe(t, probes, "/readyz")
		isOther := strings.Contains(text, "Locker 1")
		isNamed := strings.HasPrefix(text, "Locker 2: looks fail; ")
		if code != http.StatusServiceUnavailable || isOther || !isNamed {
			t.Errorf("/readyz = %d %q; want that the second Locker's looks fail", code, text)
		}
	})
}

// TestHandlerSaysWhatIsWrongWithAnArgument: by each answer.
func TestHandlerSaysWhatIsWrongWithAnArgument(t *testing.T) {
	locker := lease.NewLocker(leasetest.NewStore("alice"))
	with := func(o leaseprom.HandlerOptions) http.Handler { return leaseprom.HandlerWith(o, locker) }
	for want, probes := range map[string]http.Handler{
		"the Locker is nil":  leaseprom.Handler(locker, nil),
		"there is no Locker": leaseprom.Handler(),

		"StuckFor is 59s; want a minute": with(leaseprom.HandlerOptions{StuckFor: 59 * time.Second}),
		"StuckFor is -1s; want a minute": with(leaseprom.HandlerOptions{StuckFor: -time.Second}),
		"LookAge is 1ms; want a second":  with(leaseprom.HandlerOptions{LookAge: time.Millisecond}),
		"LookAge is -1s; want a second":  with(leaseprom.HandlerOptions{LookAge: -time.Second}),
	} {
		for _, path := range []string{"/healthz", "/readyz"} {
			code, text := probe(t, probes, path)
			if code != http.StatusInternalServerError || !strings.Contains(text, want) {
				t.Errorf("%s = %d %q; want 500 and %q", path, code, text, want)
			}
		}
	}
}

func TestHandlerTakesTheLeastOfItsOptions(t *testing.T) {
	least := leaseprom.HandlerOptions{StuckFor: time.Minute, LookAge: time.Second}
	probes := leaseprom.HandlerWith(least, lease.NewLocker(leasetest.NewStore("alice")))
	code, text := probe(t, probes, "/healthz")
	if want := "ok: 0 leases are held, 0 works run"; code != http.StatusOK || text != want {
		t.Errorf("/healthz = %d %q; want 200 %q", code, text, want)
	}
}

// TestHandlersAnswersAreTextThatNobodyKeeps: bad ones too.
func TestHandlersAnswersAreTextThatNobodyKeeps(t *testing.T) {
	for _, probes := range []http.Handler{
		leaseprom.Handler(lease.NewLocker(leasetest.NewStore("alice"))), leaseprom.Handler(),
	} {
		for _, path := range []string{"/healthz", "/readyz"} {
			answer := httptest.NewRecorder()
			probes.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
			for key, want := range map[string]string{
				"Cache-Control":          "no-store",
				"Content-Type":           "text/plain; charset=utf-8",
				"X-Content-Type-Options": "nosniff",
			} {
				if got := answer.Header().Get(key); got != want {
					t.Errorf("%s: %s = %q; want %q", path, key, got, want)
				}
			}
		}
	}
}

// TestHandlerOfALockerThatHasLongWorked: what failed before is over.
func TestHandlerOfALockerThatHasLongWorked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lease.SetLogger(nil)
		store := leasetest.NewStore("alice")
		locker := lease.NewLocker(store)
		me := worker{"w1", time.Hour}
		if _, err := locker.ObtainLease(me); err != nil {
			t.Fatal(err)
		}
		first := leaseprom.Handler(locker)
		store.SetOutage(true)
		if _, err := locker.ObtainLease(me); err == nil {
			t.Fatal("an item was leased in an outage")
		}
		if code, text := probe(t, first, "/readyz"); code != http.StatusServiceUnavailable {
			t.Errorf("/readyz = %d %q; want 503", code, text)
		}
		store.SetOutage(false)
		if err := locker.HoldItem(t.Context(), "alice", me, obedientFor(time.Second)); err != nil {
			t.Fatal(err)
		}
		second := leaseprom.Handler(locker)
		for _, probes := range []http.Handler{first, second} {
			if code, text := probe(t, probes, "/readyz"); code != http.StatusOK {
				t.Errorf("/readyz = %d %q; want 200", code, text)
			}
		}
	})
}

// TestReadyzNamesWhyLooksFail: not why something else did, later.
func TestReadyzNamesWhyLooksFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lease.SetLogger(nil)
		store := leasetest.NewStore("alice")
		locker := lease.NewLocker(store)
		probes := leaseprom.Handler(locker)
		me := worker{"w1", time.Hour}
		l, err := locker.ObtainLease(me)
		if err != nil {
			t.Fatal(err)
		}
		probe(t, probes, "/readyz") // which sees the good look
		store.SetError(leasetest.AccessDeniedError)
		if _, err := locker.ObtainLease(me); err == nil {
			t.Fatal("an item was leased without a permission")
		}
		store.SetError(nil)
		store.SetOutage(true)
		if err := locker.ReleaseLease(l); err == nil {
			t.Fatal("an item was released in an outage")
		}
		synctest.Wait()
		_, text := probe(t, probes, "/readyz")
		if !strings.Contains(text, "AccessDenied") {
			t.Errorf("/readyz says %q; want that access is denied", text)
		}
	})
}

func TestHandlerAnswersProbesOnly(t *testing.T) {
	probes := leaseprom.Handler(lease.NewLocker(leasetest.NewStore("alice")))
	for request, want := range map[*http.Request]int{
		httptest.NewRequest(http.MethodGet, "/", nil):          http.StatusNotFound,
		httptest.NewRequest(http.MethodPost, "/healthz", nil):  http.StatusMethodNotAllowed,
		httptest.NewRequest(http.MethodHead, "/healthz", nil):  http.StatusOK,
		httptest.NewRequest(http.MethodGet, "/healthz/x", nil): http.StatusNotFound,
	} {
		answer := httptest.NewRecorder()
		probes.ServeHTTP(answer, request)
		if answer.Code != want {
			t.Errorf("%s %s = %d; want %d", request.Method, request.URL, answer.Code, want)
		}
	}
}

// TestReadyzDoesNotWaitForObservers: one of the user's hangs, and the probes are told of
// nothing any more.
func TestReadyzDoesNotWaitForObservers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lease.SetLogger(nil)
		store := leasetest.NewStore("alice")
		locker := lease.NewLocker(store)
		over := make(chan struct{})
		locker.Observe(func(lease.Event) { <-over })
		probes := leaseprom.Handler(locker)
		me := worker{"w1", time.Hour}
		if _, err := locker.ObtainLease(me); err != nil {
			t.Fatal(err)
		}
		if code, text := probe(t, probes, "/readyz"); code != http.StatusOK {
			t.Errorf("/readyz = %d %q; want 200", code, text)
		}
		store.SetOutage(true)
		if _, err := locker.ObtainLease(me); err == nil {
			t.Fatal("an item was leased in an outage")
		}
		if code, text := probe(t, probes, "/readyz"); code != http.StatusServiceUnavailable {
			t.Errorf("/readyz = %d %q; want 503", code, text)
		}
		close(over)
	})
}
