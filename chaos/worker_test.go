package chaos_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/chaos"
	"github.com/intercom/lease/internal/ddblocal"
)

// How a worker works.
const (
	usesLibrary  = "library"     // by the documented pattern and Hold, in turn
	isOriginal   = "original"    // as the original library does, by its clock
	isCareless   = "careless"    // believes in its lease until its heartbeat says otherwise
	isRolledBack = "rolled back" // by the library, then as the original, under the same name
	isSharing    = "sharing"     // by HoldShare
	isRestless   = "restless"    // by HoldShare, but what work began goes on after its return
	isRepeating  = "repeating"   // by HoldShare; each handover of it arrives again and again
	isHasty      = "hasty"       // by HoldShare, but it frees the row of work that hangs by itself
	isHeedless   = "heedless"    // by HoldShare, but it forgets that it has a class
)

// worker leases items, one after the other or many at once, works on them, and records what it
// sees. It is a lease.LeaseRequest.
type worker struct {
	Name       string // unique: a worker that is started again has another
	Lessee     string
	How        string
	Endpoint   string // of the lease table
	Guards     string // the endpoint of the table of guarded writes
	Table      string
	Duration   time.Duration
	Wait       time.Duration
	Patience   time.Duration // how long it keeps an item at the most; 0 for ever
	Saves      float64       // how often it saves how far it has come, of the times that it could
	Hangs      float64       // how many of the works of one that shares hang; unless it's steady
	Retries    int           // of the SDK
	Seed       uint64
	History    string // the directory
	ClockError time.Duration
	Measures   bool     // the works of one that shares measure weights that change; unless it's steady
	Class      []string // the items that one that shares takes part in; nil for all
	Most       int      // how many items one that shares takes; 0 for no limit
	Steady     bool     // one that shares doesn't leave, and its work doesn't return unasked
	Restarted  bool     // when it is started again, it has the same LesseeID
	Step       step     // of its host's clock, during its first request

	steady *atomic.Bool // Steady from when on it's true; nil in a process of its own
	ready  func()       // is called when it begins to work
}

// step is one of a worker's clock while a request is under way. The clock can't be set: the
// worker's proxy has it wrong all the time, and what is made is what the library sees of that.
type step int

const (
	noStep     step = iota
	isNoticed       // the time at which the request was sent is that of the other clock
	isMistaken      // the reply counts as heard, though it says nothing of the time
)

func (w worker) LesseeID() string             { return w.Lessee }
func (w worker) LeaseDuration() time.Duration { return w.Duration }

// again returns the worker that is the nth to be started with these settings.
func (w worker) again(n int) worker {
	w.Name = fmt.Sprintf("%s.%d", w.Name, n)
	w.Seed += uint64(n)
	if !w.Restarted {
		w.Lessee = w.Name
	}
	return w
}

// shares tells whether it works by HoldShare.
func (w worker) shares() bool {
	switch w.How {
	case isSharing, isRestless, isRepeating, isHasty, isHeedless:
		return true
	}
	return false
}

// sharesAll tells whether it works by HoldShare, and takes part in all items.
func (w worker) sharesAll() bool { return w.shares() && w.Class == nil }

func (w worker) isSteady() bool { return w.Steady || w.steady != nil && w.steady.Load() }

// guardTable is the name of the table with a row for each item, which is written by its holder.
func (w worker) guardTable() string { return w.Table + "-guarded" }

// workAsTold runs a worker that is given in JSON, until standard input ends or SIGTERM comes.
// It says when it begins to work.
func workAsTold(settings string) error {
	var w worker
	if err := json.Unmarshal([]byte(settings), &w); err != nil {
		return err
	}
	w.ready = func() { fmt.Println("ready") }
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	return w.run(ctx)
}

// run is a running worker.
type run struct {
	worker
	history       *chaos.Recorder
	leases, guard *dynamodb.DynamoDB
	store         *lease.LockStore
	locker        *lease.Locker
	asked         sync.Map // when the last write that leases was first sent, by item
	stepped       atomic.Bool
	watching      sync.WaitGroup
	underWay      atomic.Int32 // requests
	stopping      <-chan struct{}

	mu   sync.Mutex // guards:
	rand *rand.Rand
}

// run works until ctx is done.
func (w worker) run(ctx context.Context) error {
	history, err := chaos.NewRecorder(w.History, w.Name)
	if err != nil {
		return err
	}
	defer history.Close()
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	defer transport.CloseIdleConnections()
	r := newRun(w, history, transport)
	r.stopping = ctx.Done()
	r.recordClass()
	defer r.waitForQuiet()
	defer r.watching.Wait()
	if w.ClockError != 0 {
		r.settleClock(ctx)
	}
	w.ready()
	for ctx.Err() == nil {
		r.once(ctx)
		r.sleep(ctx, r.rest())
	}
	return nil
}

// waitForQuiet waits for what goes on in the background: writes whose caller gave them up, and
// the releases of what they obtained all the same.
func (r *run) waitForQuiet() {
	const looks = 10
	for quiet := 0; quiet < looks; quiet++ {
		if r.underWay.Load() > 0 {
			quiet = 0
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// rest is how long it lets others have what it had, at the most.
func (w worker) rest() time.Duration {
	if w.Patience > 0 {
		return min(w.Patience, w.Duration)
	}
	return w.Duration
}

func newRun(w worker, history *chaos.Recorder, transport *http.Transport) *run {
	r := &run{worker: w, history: history, rand: rand.New(rand.NewPCG(w.Seed, 1))}
	client := &http.Client{Transport: transport}
	config := aws.NewConfig().WithHTTPClient(client).WithMaxRetries(w.Retries)
	r.guard = ddblocal.NewClient(w.Guards, config, aws.NewConfig().WithMaxRetries(0))
	r.leases = ddblocal.NewClient(w.Endpoint, config)
	r.leases.Handlers.Validate.PushFront(func(*request.Request) { r.underWay.Add(1) })
	r.leases.Handlers.Complete.PushBack(func(*request.Request) { r.underWay.Add(-1) })
	r.leases.Handlers.Send.PushFront(r.sending)
	r.leases.Handlers.Complete.PushBack(r.completed)
	if w.Step != noStep {
		r.leases.Handlers.Complete.PushBack(r.stepClock)
	}
	r.store = lease.NewLockStore(r.leases, w.Table, "id")
	r.locker = lease.NewLocker(r.store)
	return r
}

// stepClock makes the worker's first reply one during which the clock was stepped.
func (r *run) stepClock(req *request.Request) {
	isFirst := req.Error == nil && !r.stepped.Swap(true)
	if !isFirst {
		return
	}
	if r.Step == isMistaken {
		req.HTTPResponse.Header.Del("Date")
		return
	}
	now := chaos.Now()
	r.history.Add(chaos.Event{Kind: chaos.Fault, Begin: now, End: now, Lessee: r.Lessee, Note: clockStepped})
	req.AttemptTime = byOtherClock(req.AttemptTime, time.Minute)
}

// byOtherClock returns the time as it reads where the wall clock is ahead by d, and the
// monotonic one isn't. No API makes such a time; it lies in the second word of a [time.Time].
func byOtherClock(t time.Time, d time.Duration) time.Time {
	t = t.Add(d)
	(*struct {
		wall      uint64
		monotonic int64
	})(unsafe.Pointer(&t)).monotonic -= int64(d)
	return t
}

// once works once, in its way.
func (r *run) once(ctx context.Context) {
	if r.shares() {
		r.share(ctx)
		return
	}
	switch r.How {
	case isOriginal:
		r.original(ctx)
	case isCareless:
		r.careless(ctx)
	case isRolledBack:
		r.rolledBack(ctx)
	default:
		r.single(ctx)
	}
}

// settleClock looks at the table until the replies have told the time to within the worker's
// ClockError. A Date header alone has a resolution of a second, which is more than the margin of
// the short leases here; doc.go says so. What tells more is replies from just before and just after
// a second begins: it looks often, several times side by side.
func (r *run) settleClock(ctx context.Context) {
	told := &timeTold{low: -1000 * time.Hour, high: 1000 * time.Hour}
	look := request.NamedHandler{Name: "settleClock", Fn: told.look}
	r.leases.Handlers.Complete.PushBackNamed(look)
	defer r.leases.Handlers.Complete.Remove(look)
	var looking sync.WaitGroup
	for range 4 {
		looking.Go(func() {
			for told.within() > 2*r.ClockError && ctx.Err() == nil {
				r.lookAtTable(ctx)
				r.sleep(ctx, 10*time.Millisecond)
			}
		})
	}
	looking.Wait()
}

// lookAtTable sends a scan, and gives it up when that takes long.
func (r *run) lookAtTable(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	r.store.ScanLeaseItemsWithContext(ctx, "", 0)
}

// timeTold is what replies have told of the server's time: by how much it is ahead.
type timeTold struct {
	mu        sync.Mutex // guards:
	low, high time.Duration
}

func (t *timeTold) look(req *request.Request) {
	received := time.Now()
	if req.Error != nil {
		return
	}
	date, err := http.ParseTime(req.HTTPResponse.Header.Get("Date"))
	if err != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.low = max(t.low, date.Sub(received))
	t.high = min(t.high, date.Add(time.Second).Sub(req.Time))
}

// within returns how closely the time is known.
func (t *timeTold) within() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.high - t.low
}

func (r *run) chance(p float64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rand.Float64() < p
}

func (r *run) number(least, most float64) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return least + (most-least)*r.rand.Float64()
}

func (r *run) upTo(d time.Duration) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Duration(r.rand.Int64N(int64(d)))
}

// sleep blocks for a random time up to d, or until ctx is done.
func (r *run) sleep(ctx context.Context, d time.Duration) { sleep(ctx, r.upTo(d)) }
