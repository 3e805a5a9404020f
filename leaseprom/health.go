package leaseprom

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/intercom/lease"
)

// HandlerOptions say when a probe fails. The zero value is [Handler]'s.
type HandlerOptions struct {
	// StuckFor is for how long works must go on without a lease until /healthz fails; a
	// minute or more, so that an outage shows first. 0: 10 minutes, of which the alert on
	// stuck works leaves people five to look where they hang.
	StuckFor time.Duration

	// LookAge is how old the last look at the table may be until /readyz fails; a second or
	// more. 0: of any age, which is right for Hold, HoldItem and Heartbeat, as they don't
	// look while they hold. A share looks each third of its leases' duration, and each 30
	// seconds at least; in a fleet of over 100 workers that often times workers/100.
	LookAge time.Duration
}

// defaultStuckFor is longer than alerts.yaml waits.
const defaultStuckFor = 10 * time.Minute

// Handler answers GET /healthz and GET /readyz, for an orchestrator's probes: with 200 or 503,
// and a line of text that says why.
//
// /healthz fails where only a restart helps: works have gone on for 10 minutes without a lease,
// stuck or deaf to its end. It never fails because of the database or the network: what they
// fail by in one process they fail by in all, and a liveness probe would restart the whole
// fleet. While requests fail, no time counts.
//
// /readyz fails before the first look at the table has succeeded, and while looks fail: in an
// outage, in all processes. That is for a readiness probe: an orchestrator halts a rollout by
// it, and sends the process no requests of its own; it restarts nothing. Never use it as a
// liveness or startup probe.
//
// A process with several Lockers gives all of them: a probe fails if it fails for one. Make
// one Handler, early: it observes the Lockers for as long as they live. With no Locker, or a nil
// one, it answers 500 and says so.
func Handler(lockers ...*lease.Locker) http.Handler {
	return HandlerWith(HandlerOptions{}, lockers...)
}

// HandlerWith is [Handler] by options. What is wrong with one of them is the answer to each
// probe, with status 500.
func HandlerWith(options HandlerOptions, lockers ...*lease.Locker) http.Handler {
	mux := http.NewServeMux()
	probes, err := newProbes(options, lockers)
	if err != nil {
		broken := func(w http.ResponseWriter, _ *http.Request) {
			answer(w, http.StatusInternalServerError, err.Error())
		}
		mux.HandleFunc("GET /healthz", broken)
		mux.HandleFunc("GET /readyz", broken)
		return mux
	}
	mux.HandleFunc("GET /healthz", probes.serve((*probe).health))
	mux.HandleFunc("GET /readyz", probes.serve((*probe).readiness))
	return mux
}

// checked returns the options with their defaults.
func (o HandlerOptions) checked() (HandlerOptions, error) {
	if o.StuckFor == 0 {
		o.StuckFor = defaultStuckFor
	}
	if o.StuckFor < time.Minute {
		return o, fmt.Errorf("leaseprom: StuckFor is %v; want a minute or more, or 0", o.StuckFor)
	}
	isLookAge := o.LookAge == 0 || o.LookAge >= time.Second
	if !isLookAge {
		return o, fmt.Errorf("leaseprom: LookAge is %v; want a second or more, or 0", o.LookAge)
	}
	return o, nil
}

type probes []*probe

func newProbes(options HandlerOptions, lockers []*lease.Locker) (probes, error) {
	options, err := options.checked()
	if err != nil {
		return nil, err
	}
	if len(lockers) == 0 {
		return nil, errors.New("leaseprom: there is no Locker to tell the health of")
	}
	var all probes
	for _, locker := range lockers {
		if locker == nil {
			return nil, errNilLocker
		}
		all = append(all, newProbe(options, locker))
	}
	return all, nil
}

// serve answers with all bad verdicts, or, if there is none, with the good ones.
func (all probes) serve(judge func(p *probe) verdict) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		var goods, bads []string
		for i, p := range all {
			v := judge(p)
			if len(all) > 1 {
				v.reason = fmt.Sprintf("Locker %d: %s", i+1, v.reason)
			}
			if v.isGood {
				goods = append(goods, v.reason)
			} else {
				bads = append(bads, v.reason)
			}
		}
		if len(bads) > 0 {
			answer(w, http.StatusServiceUnavailable, strings.Join(bads, "; "))
			return
		}
		answer(w, http.StatusOK, strings.Join(goods, "; "))
	}
}

// answer writes a line of text.
func answer(w http.ResponseWriter, code int, reason string) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, reason+"\n") // Whoever asked may have gone.
}

// probe is what a Handler knows of one Locker.
type probe struct {
	locker  *lease.Locker
	failure atomic.Pointer[string] // why the last look that failed did

	mu    sync.Mutex
	watch *watch
}

func newProbe(options HandlerOptions, locker *lease.Locker) *probe {
	p := &probe{
		locker: locker,
		watch:  newWatch(options, time.Now(), locker.Stats()),
	}
	locker.Observe(p.follow)
	return p
}

// follow is the observer. A verdict doesn't rest on it, only its reason.
func (p *probe) follow(e lease.Event) {
	if e.Kind == lease.EventLookFailed {
		failure := oneLine(e.Err)
		p.failure.Store(&failure)
	}
}

func (p *probe) health() verdict {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watch.follow(time.Now(), p.locker.Stats())
	return p.watch.health()
}

func (p *probe) readiness() verdict {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watch.follow(time.Now(), p.locker.Stats())
	failure := ""
	if known := p.failure.Load(); known != nil {
		failure = ": " + *known
	}
	return p.watch.readiness(failure)
}

// oneLine is an error without the line breaks that the SDK puts in, cut to what a probe's log
// shows.
func oneLine(err error) string {
	const most = 300 // runes
	line := []rune(strings.Join(strings.Fields(err.Error()), " "))
	if len(line) > most {
		line = append(line[:most], '…')
	}
	return string(line)
}
