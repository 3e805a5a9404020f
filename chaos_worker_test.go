package lease_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/chaos"
	"github.com/intercom/lease/internal/ddblocal"
)

// chaosEnv makes a run of this test binary a worker: its value is a chaosWorker in JSON.
const chaosEnv = "LEASE_CHAOS_WORKER"

// chaosChild runs the worker that this process was started for, until its standard input ends or SIGTERM
// comes, and tells whether it was one.
func chaosChild() bool {
	var w chaosWorker
	config := os.Getenv(chaosEnv)
	if config == "" {
		return false
	}
	lease.SetLogger(nil)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	err := json.Unmarshal([]byte(config), &w)
	if err == nil {
		err = w.run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

// How a worker works.
const (
	usesLibrary  = "library"     // by the documented pattern and Hold, in turn
	isOriginal   = "original"    // as the original library does, by its clock
	isCareless   = "careless"    // believes in its lease until its heartbeat says otherwise
	isRolledBack = "rolled back" // by the library, and then as the original does, under the same name
	isSharing    = "sharing"     // by HoldShare
	isRestless   = "restless"    // by HoldShare, but what its work began goes on after it has returned
	isRepeating  = "repeating"   // by HoldShare; each handover of it arrives again and again
)

// chaosWorker leases items, one after the other, works on them, and records what it sees.
type chaosWorker struct {
	Name             string // unique: a worker that is started again has another
	Lessee           string
	How              string
	Endpoint, Guards string // of the lease table, and of the table of guarded writes
	Table            string
	Duration, Wait   time.Duration
	Patience         time.Duration // how long it keeps an item at the most; 0 for ever
	Retries          int           // of the SDK
	Seed             uint64
	History          string // the directory
	ClockError       time.Duration
	Most             int  // how many items one that shares takes; 0 for no limit
	Steady           bool // one that shares doesn't leave, and its work doesn't return unasked
	Restarted        bool // when it is started again, it has the same LesseeID

	steady *atomic.Bool // Steady from when on it's true; may be nil
}

// shares tells whether it works by HoldShare.
func (w chaosWorker) shares() bool {
	return w.How == isSharing || w.How == isRestless || w.How == isRepeating
}

func (w chaosWorker) isSteady() bool { return w.Steady || w.steady != nil && w.steady.Load() }

func (w chaosWorker) LesseeID() string             { return w.Lessee }
func (w chaosWorker) LeaseDuration() time.Duration { return w.Duration }

// guardTable is the name of the table with a row for each item, which is written by its holder.
func (w chaosWorker) guardTable() string { return w.Table + "-guarded" }

// chaosRun is a running worker.
type chaosRun struct {
	chaosWorker
	history       *chaos.Recorder
	leases, guard *dynamodb.DynamoDB
	store         *lease.LockStore
	locker        *lease.Locker
	asked         sync.Map // when the last write that leases was first sent, by item
	watching      sync.WaitGroup

	mu   sync.Mutex // guards:
	rand *rand.Rand
}

// run works until ctx is done.
func (w chaosWorker) run(ctx context.Context) (err error) {
	r := &chaosRun{chaosWorker: w, rand: rand.New(rand.NewPCG(w.Seed, 1))}
	if r.history, err = chaos.NewRecorder(w.History, w.Name); err != nil {
		return err
	}
	defer r.history.Close()
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	defer transport.CloseIdleConnections()
	config := aws.NewConfig().WithHTTPClient(&http.Client{Transport: transport}).WithMaxRetries(w.Retries)
	r.leases = ddblocal.NewClient(w.Endpoint, config)
	r.guard = ddblocal.NewClient(w.Guards, config, aws.NewConfig().WithMaxRetries(0))
	r.leases.Handlers.Complete.PushBack(r.completed)
	r.leases.Handlers.Send.PushFront(r.sending)
	r.store = lease.NewLockStore(r.leases, w.Table, "id")
	r.locker = lease.NewLocker(r.store)
	defer r.watching.Wait()
	if w.ClockError != 0 {
		r.settleClock(ctx)
	}
	for ctx.Err() == nil {
		switch {
		case w.How == isOriginal:
			r.original(ctx)
		case w.How == isCareless:
			r.careless(ctx)
		case w.How == isRolledBack:
			r.rolledBack(ctx)
		case w.shares():
			r.share(ctx)
		case r.chance(0.5):
			r.hold(ctx)
		default:
			r.documented(ctx)
		}
		r.sleep(ctx, r.Duration) // Let others have it, too.
	}
	return nil
}

// completed records the renewals and releases that succeeded, as the SDK reports them.
func (r *chaosRun) completed(req *request.Request) {
	in, ok := req.Params.(*dynamodb.UpdateItemInput)
	if !ok {
		return
	}
	begin := chaos.Now() - time.Since(req.Time) // early rather than late, wherever the process is paused
	update := aws.StringValue(in.UpdateExpression)
	if strings.Contains(update, "if_not_exists") {
		r.asked.Store(*in.Key["id"].S, begin)
		return
	}
	if req.Error != nil {
		return
	}
	kind, note := chaos.Renewed, ""
	switch {
	case isSave(update):
		kind, note = chaos.Saved, *in.ExpressionAttributeValues[":s0"].N
	case isHandover(update):
		kind = chaos.HandedOver
		if r.How == isRepeating {
			r.watching.Go(func() { r.repeat(in) })
		}
	case isRelease(update):
		kind = chaos.Released
	}
	r.wrote(kind, begin, in, note)
}

// repeat sends a handover again and again, as a network might.
func (r *chaosRun) repeat(in *dynamodb.UpdateItemInput) {
	again := ddblocal.NewClient(r.Endpoint, &aws.Config{HTTPClient: r.leases.Config.HTTPClient})
	for end := time.Now().Add(4 * r.Duration); time.Now().Before(end); {
		r.sleep(context.Background(), r.Duration/5)
		again.UpdateItem(in)
	}
}

// sending records that a release or handover is about to be sent.
func (r *chaosRun) sending(req *request.Request) {
	in, ok := req.Params.(*dynamodb.UpdateItemInput)
	if ok && (isHandover(aws.StringValue(in.UpdateExpression)) || isRelease(aws.StringValue(in.UpdateExpression))) {
		r.wrote(chaos.Freeing, chaos.Now(), in, "")
	}
}

func isHandover(update string) bool { return strings.Contains(update, "#holder = #wantedBy") }
func isRelease(update string) bool  { return strings.Contains(update, "REMOVE #holder") }
func isWish(update string) bool     { return strings.Contains(update, "#wantedBy = :by") }
func isSave(update string) bool     { return strings.Contains(update, "#s0 = :s0") }

// wrote records a write of a tenure of this worker, but for those of the original, which don't name it. A wish is about
// somebody else's.
func (r *chaosRun) wrote(kind chaos.Kind, begin time.Duration, in *dynamodb.UpdateItemInput, note string) {
	if r.How == isOriginal || isWish(*in.UpdateExpression) {
		return
	}
	item := *in.Key["id"].S
	mine := in.ExpressionAttributeValues[":token"]
	if mine == nil {
		return // one as the original does it, by who was rolled back
	}
	token, err := strconv.ParseInt(*mine.N, 10, 64)
	if err != nil {
		panic(err)
	}
	r.history.Add(chaos.Event{Kind: kind, Begin: begin, End: chaos.Now(), Item: item, Tenure: r.tenure(item, token), Note: note})
}

// askedFor returns when the last write that leases the item was first sent.
func (r *chaosRun) askedFor(item string) time.Duration {
	asked, _ := r.asked.Load(item)
	return asked.(time.Duration)
}

// tenure names a tenure of this worker.
func (r *chaosRun) tenure(item string, token int64) string {
	return fmt.Sprintf("%s/%s/%d", r.Name, item, token)
}

// hold keeps an item for a while by Hold.
func (r *chaosRun) hold(ctx context.Context) {
	r.locker.Hold(ctx, r, func(leased context.Context, l *lease.Lease) error {
		r.work(ctx, leased, l)
		return nil
	})
}

// documented keeps an item for a while by the documented pattern. It then releases it, or walks away
// from it: it lets it expire, or soon leases it, or another one, anew.
func (r *chaosRun) documented(ctx context.Context) {
	l, err := r.locker.WaitUntilLeaseObtainedWithContext(ctx, r, r.Wait)
	if err != nil {
		return
	}
	beating, walkAway := context.WithCancel(context.Background())
	defer walkAway()
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.work(ctx, l.Context(), l)
		switch {
		case ctx.Err() != nil || r.chance(0.6):
			r.locker.ReleaseLease(l)
		case r.chance(0.5):
			walkAway()
			<-l.Context().Done()
		default:
			walkAway()
		}
	}()
	r.locker.HeartbeatWithContext(beating, l, r.Duration/3)
	<-done
}

// work makes guarded writes until its patience is at an end, ctx is done (to stop the worker), or the
// lease is, as leased says.
func (r *chaosRun) work(ctx, leased context.Context, l *lease.Lease) {
	tenure := r.begun(ctx, l)
	defer r.working(l.LeaseID, tenure)
	save := r.resume(l, tenure)
	var patience <-chan time.Time
	if r.Patience > 0 {
		patience = time.After(r.upTo(r.Patience))
	}
	for {
		r.working(l.LeaseID, tenure)
		r.guardedWrite(ctx, l, tenure)
		save(leased)
		select {
		case <-time.After(r.upTo(100 * time.Millisecond)):
		case <-patience:
			return
		case <-leased.Done():
			return
		case <-ctx.Done():
			return
		}
	}
}

// chaosCounter is the attribute in which workers save how far they have come.
const chaosCounter = "Counter"

// resume goes on counting where the last holder of the item has saved to have come, and returns what saves the next number,
// every other time.
func (r *chaosRun) resume(l *lease.Lease, tenure string) (save func(ctx context.Context)) {
	n, now := 0, chaos.Now()
	if found := l.AttributeValues[chaosCounter]; found != nil {
		n, _ = strconv.Atoi(*found.N)
	}
	r.history.Add(chaos.Event{Kind: chaos.Resumed, Begin: now, End: now, Item: l.LeaseID, Tenure: tenure, Note: strconv.Itoa(n)})
	return func(ctx context.Context) {
		if r.chance(0.5) {
			n++
			ctx, cancel := context.WithTimeout(ctx, r.Duration/3)
			defer cancel()
			r.locker.SaveAttributes(ctx, l, row{chaosCounter: num(int64(n))})
		}
	}
}

// begun records that a tenure has begun, and what it says from now on.
func (r *chaosRun) begun(ctx context.Context, l *lease.Lease) (tenure string) {
	tenure = r.obtained(l.LeaseID, r.tenure(l.LeaseID, l.FencingToken()), l.FencingToken(), r.askedFor(l.LeaseID))
	r.watch(ctx, l, tenure, l.Valid)
	return tenure
}

// working records that work goes on.
func (r *chaosRun) working(item, tenure string) {
	now := chaos.Now()
	r.history.Add(chaos.Event{Kind: chaos.Working, Begin: now, End: now, Item: item, Tenure: tenure})
}

// share shares the items by HoldShare, and leaves after a while.
func (r *chaosRun) share(ctx context.Context) {
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	timer := time.AfterFunc(2*r.Duration+r.upTo(8*r.Duration), func() {
		if !r.isSteady() {
			leave()
		}
	})
	defer timer.Stop()
	r.locker.HoldShare(ctx, r, r.Most, func(leased context.Context, l *lease.Lease) error {
		return r.shared(ctx, leased, l)
	})
}

// shared makes guarded writes until leased is done, and then takes its time. Sometimes it returns unasked.
func (r *chaosRun) shared(ctx, leased context.Context, l *lease.Lease) error {
	tenure := r.begun(ctx, l)
	save := r.resume(l, tenure)
	var patience <-chan time.Time
	if r.Patience > 0 && r.chance(0.3) {
		patience = time.After(r.upTo(2 * r.Patience))
	}
	for over := false; !over; {
		r.working(l.LeaseID, tenure)
		r.guardedWrite(ctx, l, tenure)
		save(leased)
		select {
		case <-time.After(r.upTo(100 * time.Millisecond)):
		case <-leased.Done():
			over = true
		case <-patience:
			over = !r.isSteady()
		}
	}
	if r.How == isRestless {
		r.watching.Go(func() {
			for end := time.Now().Add(r.Duration); time.Now().Before(end); r.sleep(ctx, 50*time.Millisecond) {
				r.working(l.LeaseID, tenure)
			}
		})
		return leased.Err()
	}
	if leased.Err() != nil { // Some work takes long to return.
		most := 50 * time.Millisecond
		if r.chance(0.1) {
			most = r.Duration
		}
		select {
		case <-time.After(r.upTo(most)):
		case <-l.Context().Done():
		}
	}
	r.working(l.LeaseID, tenure)
	if leased.Err() == nil && r.chance(0.3) {
		return errors.New("work failed")
	}
	return leased.Err()
}

// obtained records that a tenure began, by a write that was sent at the time asked.
func (r *chaosRun) obtained(item, tenure string, token int64, asked time.Duration) string {
	r.history.Add(chaos.Event{Kind: chaos.Obtained, Begin: asked, End: chaos.Now(), Item: item,
		Lessee: r.Lessee, Tenure: tenure, Token: token})
	return tenure
}

// watch records what valid says until the tenure is over, and then makes one guarded write too many.
func (r *chaosRun) watch(ctx context.Context, l *lease.Lease, tenure string, valid func() bool) {
	r.watching.Go(func() {
		for is := true; is; time.Sleep(10 * time.Millisecond) {
			begin := chaos.Now()
			is = valid()
			event := chaos.Event{Kind: chaos.Valid, Begin: begin, End: chaos.Now(), Item: l.LeaseID, Tenure: tenure}
			if !is {
				event.Kind = chaos.Over
			}
			r.history.Add(event)
		}
		r.sleep(ctx, 3*r.Duration)
		r.guardedWrite(ctx, l, tenure)
	})
}

// guardedWrite writes to what the item is about, which refuses holders older than one that it has seen.
func (r *chaosRun) guardedWrite(ctx context.Context, l *lease.Lease, tenure string) {
	token := l.FencingToken()
	if token == 0 || ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	begin := chaos.Now()
	_, err := r.guard.UpdateItemWithContext(ctx, &dynamodb.UpdateItemInput{
		TableName: aws.String(r.guardTable()), Key: row{"id": str(l.LeaseID)},
		UpdateExpression:          aws.String("SET Seen = :token, Writer = :me"),
		ConditionExpression:       aws.String("attribute_not_exists(Seen) OR Seen <= :token"),
		ExpressionAttributeValues: row{":token": num(token), ":me": str(r.Name)},
	})
	event := chaos.Event{Kind: chaos.Accepted, Begin: begin, End: chaos.Now(), Item: l.LeaseID, Tenure: tenure}
	if _, refused := err.(*dynamodb.ConditionalCheckFailedException); refused {
		event.Kind = chaos.Refused
	} else if err != nil {
		return
	}
	r.history.Add(event)
}

// settleClock looks at the table until the replies have told the time to within the worker's
// ClockError. A Date header alone has a resolution of a second, which is more than the margin of the
// short leases here; doc.go says so.
func (r *chaosRun) settleClock(ctx context.Context) {
	var date time.Time
	look := request.NamedHandler{Name: "settleClock", Fn: func(req *request.Request) {
		date, _ = http.ParseTime(req.HTTPResponse.Header.Get("Date"))
	}}
	r.leases.Handlers.Complete.PushBackNamed(look)
	defer r.leases.Handlers.Complete.Remove(look)
	low, high := -1000*time.Hour, 1000*time.Hour
	for high-low > 2*r.ClockError && ctx.Err() == nil {
		tryCtx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		sent := time.Now()
		_, _, err := r.store.ScanLeaseItemsWithContext(tryCtx, "", 0)
		cancel()
		if err == nil {
			low, high = max(low, time.Until(date)), min(high, date.Add(time.Second).Sub(sent))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// careless keeps an item for as long as its renewals aren't refused.
func (r *chaosRun) careless(ctx context.Context) {
	l, err := r.locker.WaitUntilLeaseObtainedWithContext(ctx, r, r.Wait)
	if err != nil {
		return
	}
	var told atomic.Bool
	beating, done := context.WithCancel(ctx)
	defer done()
	go func() {
		for err := error(nil); err != lease.LeaseLostError && beating.Err() == nil; {
			r.sleep(beating, r.Duration/3)
			err = r.store.RenewLeaseWithContext(beating, l, time.Now().Add(r.Duration))
		}
		told.Store(true)
		done()
	}()
	tenure := r.obtained(l.LeaseID, r.tenure(l.LeaseID, l.FencingToken()), l.FencingToken(), r.askedFor(l.LeaseID))
	r.watch(ctx, l, tenure, func() bool { return !told.Load() })
	<-beating.Done()
}

// original keeps an item for a while as a worker of the original library does: by its one write, of
// which it tries each item in turn, and without a release. It relies on the lease until LeaseUntil;
// the real one has no such check and relies on it for longer.
func (r *chaosRun) original(ctx context.Context) {
	item, asked, until := "", time.Duration(0), time.Time{}
	r.leases.ScanPagesWithContext(ctx, &dynamodb.ScanInput{TableName: &r.Table}, func(page *dynamodb.ScanOutput, _ bool) bool {
		for _, row := range page.Items {
			var err error
			if asked, until, err = r.originalWrite(ctx, *row["id"].S); err == nil {
				item = *row["id"].S
				return false
			}
		}
		return true
	})
	if item == "" {
		r.sleep(ctx, 2*r.Wait)
		return
	}
	r.keepAsOriginal(ctx, item, asked, until)
}

// keepAsOriginal keeps an item that the original's write has leased.
func (r *chaosRun) keepAsOriginal(ctx context.Context, item string, asked time.Duration, until time.Time) {
	var end atomic.Int64
	end.Store(until.UnixNano())
	valid := func() bool { return time.Now().UnixNano() < end.Load() }
	tenure := r.obtained(item, fmt.Sprintf("%s/%s/%v", r.Name, item, asked), 0, asked)
	r.watch(ctx, &lease.Lease{LeaseID: item}, tenure, valid)
	for patience := time.Now().Add(r.upTo(r.Patience)); time.Now().Before(patience) && ctx.Err() == nil; {
		r.sleep(ctx, r.Duration/3)
		asked, until, err := r.originalWrite(ctx, item)
		switch {
		case !valid():
			return // Its tenure is over; if it got the item again, nobody knows.
		case err == nil:
			end.Store(until.UnixNano())
			r.history.Add(chaos.Event{Kind: chaos.Renewed, Begin: asked, End: chaos.Now(), Item: item, Tenure: tenure})
		}
	}
}

// rolledBack keeps an item for a moment, and then a worker of the original of the same name keeps it. The
// release of the first comes late.
func (r *chaosRun) rolledBack(ctx context.Context) {
	l, err := r.locker.WaitUntilLeaseObtainedWithContext(ctx, r, r.Wait)
	if err != nil {
		return
	}
	r.begun(ctx, l)
	r.sleep(ctx, r.Duration/5)
	asked, until, err := r.originalWrite(ctx, l.LeaseID)
	if err != nil {
		return
	}
	r.watching.Go(func() {
		r.sleep(ctx, r.Duration/5)
		r.locker.ReleaseLease(l)
	})
	r.keepAsOriginal(ctx, l.LeaseID, asked, until)
}

// originalWrite is the original library's only write.
func (r *chaosRun) originalWrite(ctx context.Context, item string) (asked time.Duration, until time.Time, err error) {
	asked, now := chaos.Now(), time.Now()
	until = now.Add(r.Duration)
	_, err = r.leases.UpdateItemWithContext(ctx, &dynamodb.UpdateItemInput{
		TableName: &r.Table, Key: row{"id": str(item)},
		UpdateExpression:    aws.String("SET ProcessID = :me, LeaseUntil = :until"),
		ConditionExpression: aws.String("attribute_exists(id) AND (LeaseUntil < :now OR ProcessID = :me)"),
		ExpressionAttributeValues: row{":me": str(r.Lessee), ":until": num(until.UnixNano()),
			":now": num(now.UnixNano())},
	})
	return asked, until, err
}

func (r *chaosRun) chance(p float64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rand.Float64() < p
}

func (r *chaosRun) upTo(d time.Duration) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Duration(r.rand.Int64N(int64(d)))
}

// sleep blocks for a random time up to d, or until ctx is done.
func (r *chaosRun) sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(r.upTo(d)):
	case <-ctx.Done():
	}
}
