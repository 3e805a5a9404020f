package lease_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"

	"github.com/intercom/lease"
)

// kinds counts the writes of a client by what they do.
type kinds struct {
	mu sync.Mutex
	of map[string]int
}

func (k *kinds) attach(ddb *dynamodb.DynamoDB) {
	ddb.Handlers.CompleteAttempt.PushBack(func(r *request.Request) {
		in, ok := r.Params.(*dynamodb.UpdateItemInput)
		if !ok {
			return
		}
		kind := "renewals"
		switch update := aws.StringValue(in.UpdateExpression); {
		case strings.Contains(update, ":by"):
			kind = "wishes"
		case strings.Contains(update, "#holder = #wantedBy"):
			kind = "handovers"
		case strings.Contains(update, ":rest"):
			kind = "releases"
		case strings.Contains(update, ":one"):
			kind = "leases"
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		k.of[kind]++
	})
}

// number returns how many writes of those kinds there were.
func (k *kinds) number(kinds ...string) (n float64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, kind := range kinds {
		n += float64(k.of[kind])
	}
	return n
}

func (k *kinds) moves() float64 { return k.number("wishes", "handovers", "releases", "leases") }

// sharers are a table of free items, and the workers of this process on it.
type sharers struct {
	*fixture
	kinds
	items int
	on    [2]atomic.Int32 // how many items each worker works on
	stops []func()
}

// share starts a worker that shares all items.
func (f *sharers) share(worker int) {
	work := func(ctx context.Context, l *lease.Lease) error {
		f.on[worker].Add(1)
		defer f.on[worker].Add(-1)
		return untilDone(ctx, l)
	}
	me := for30s(fmt.Sprint("w", worker))
	stop := sharing(lease.NewLocker(f.store()), me, 0, work)
	f.stops = append(f.stops, func() { _ = stop() })
}

// each starts what did for sharing before: a goroutine for each item, each a lessee of its own.
func (f *sharers) each(worker int) {
	locker := lease.NewLocker(f.store())
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for i := range f.items {
		all.Go(func() {
			me := for30s(fmt.Sprintf("w%d-%d", worker, i))
			for ctx.Err() == nil {
				l, err := locker.WaitUntilLeaseObtainedWithContext(ctx, me, time.Second)
				if err != nil {
					return
				}
				f.on[worker].Add(1)
				_ = locker.HeartbeatWithContext(ctx, l, 10*time.Second)
				f.on[worker].Add(-1)
				_ = locker.ReleaseLease(l)
			}
		})
	}
	f.stops = append(f.stops, func() { cancel(); all.Wait() })
}

func (f *sharers) stop() {
	for _, stop := range f.stops {
		stop()
	}
	f.stops = nil
}

// until waits until something is so, and returns how long that took.
func (f *sharers) until(b *testing.B, so func() bool) time.Duration {
	start := time.Now()
	for !so() {
		if time.Since(start) > 5*time.Minute {
			b.Fatalf("the workers hold %d and %d of %d", f.on[0].Load(), f.on[1].Load(), f.items)
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(start)
}

func (f *sharers) allHeld() bool { return int(f.on[0].Load()) == f.items }

// footprint returns the goroutines and bytes in use, but for those of idle connections.
func (f *sharers) footprint() (goroutines, bytes float64) {
	time.Sleep(100 * time.Millisecond)
	f.transport.CloseIdleConnections()
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(runtime.NumGoroutine()), float64(m.HeapAlloc + m.StackInuse)
}

func newSharers(b *testing.B, items int) *sharers {
	f := &sharers{fixture: newFixture(b), kinds: kinds{of: make(map[string]int)}, items: items}
	f.kinds.attach(f.ddb)
	f.rows(items, 100, 0, 0)
	f.reset()
	return f
}

// BenchmarkShare is one process that takes all items, then keeps them in peace for two periods,
// and then, if it shares them, gives half of them to a second worker. "each" is what did for that
// before: a lessee for each item.
func BenchmarkShare(b *testing.B) {
	for _, items := range []int{100, 1000} {
		for _, kind := range []string{"share", "each"} {
			b.Run(fmt.Sprintf("items=%d/%s", items, kind), func(b *testing.B) {
				for b.Loop() {
					f := newSharers(b, items)
					goroutines, bytes := f.footprint()
					n := float64(items)
					start := f.each
					if kind == "share" {
						start = f.share
					}
					start(0)
					took := f.until(b, f.allHeld)
					requests, rcu := float64(f.count())-f.number("renewals"), f.rcu
					g, by := f.footprint()
					b.ReportMetric(took.Seconds(), "s-to-take")
					b.ReportMetric(requests/n, "requests/item")
					b.ReportMetric(rcu/n, "RCU/item")
					b.ReportMetric((g-goroutines)/n, "goroutines/item")
					b.ReportMetric((by-bytes)/n, "B/item")
					if kind == "share" {
						assert.LessOrEqual(b, requests/n, 1.1)
					}

					time.Sleep(10 * time.Second) // the first renewals come at random
					f.reset()
					time.Sleep(20 * time.Second)
					b.ReportMetric(float64(f.count("UpdateItem"))/2, "writes/period")
					b.ReportMetric(float64(f.count("Scan"))/2, "scans/period")

					if kind == "share" {
						before := f.kinds.moves()
						f.share(1)
						took := f.until(b, func() bool {
							first, second := f.on[0].Load(), f.on[1].Load()
							return int(first+second) == items && max(first-second, second-first) <= 1
						})
						b.ReportMetric(took.Seconds(), "s-to-level")
						b.ReportMetric((f.kinds.moves()-before)/float64(f.on[1].Load()), "writes/move")
					}
					f.stop()
				}
			})
		}
	}
}
