package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/chaos"
)

// single keeps one item for a while.
func (r *run) single(ctx context.Context) {
	if r.chance(0.5) {
		r.hold(ctx)
	} else {
		r.documented(ctx)
	}
}

// hold keeps an item for a while by Hold.
func (r *run) hold(ctx context.Context) {
	r.locker.Hold(ctx, r, func(leased context.Context, l *lease.Lease) error {
		r.work(ctx, leased, l)
		return nil
	})
}

// documented keeps an item for a while by the documented pattern. It then releases it, or walks
// away from it: it lets it expire, or soon leases it, or another one, anew.
func (r *run) documented(ctx context.Context) {
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
		if ctx.Err() != nil || r.chance(0.6) {
			r.locker.ReleaseLease(l)
			return
		}
		walkAway()
		if r.chance(0.5) {
			<-l.Context().Done()
		}
	}()
	r.locker.HeartbeatWithContext(beating, l, r.Duration/3)
	<-done
}

// work works until its patience is at an end, ctx is done (to stop the worker), or the lease is, as
// leased says.
func (r *run) work(ctx, leased context.Context, l *lease.Lease) {
	tenure := r.begun(ctx, l)
	defer r.working(l, tenure)
	var patience <-chan time.Time
	if r.Patience > 0 {
		patience = time.After(r.upTo(r.Patience))
	}
	r.write(ctx, leased, patience, l, tenure)
}

// write makes guarded writes until its patience is at an end, ctx is done, or leased is.
func (r *run) write(
	ctx, leased context.Context, patience <-chan time.Time, l *lease.Lease, tenure string,
) {
	save := r.resume(l, tenure)
	for {
		r.working(l, tenure)
		r.measure(l)
		r.guardedWrite(ctx, l, tenure)
		save(leased)
		select {
		case <-time.After(r.upTo(100 * time.Millisecond)):
		case <-leased.Done():
			return
		case <-ctx.Done():
			return
		case <-patience:
			stays := r.shares() && r.isSteady()
			if !stays {
				return
			}
		}
	}
}

// share shares the items by HoldShare, and leaves after a while.
func (r *run) share(ctx context.Context) {
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	timer := time.AfterFunc(2*r.Duration+r.upTo(8*r.Duration), func() {
		if !r.isSteady() {
			leave()
		}
	})
	defer timer.Stop()
	r.locker.HoldShareWith(ctx, r, r.options(), func(leased context.Context, l *lease.Lease) error {
		if r.chance(r.Hangs) && !r.isSteady() {
			return r.hang(ctx, leased, l)
		}
		return r.shared(ctx, leased, l)
	})
}

// options say how it shares.
func (r *run) options() lease.ShareOptions {
	options := lease.ShareOptions{Most: r.Most}
	if r.Hangs > 0 {
		options.Patience = 2 * r.Duration
	}
	hasClass := r.Class != nil
	if hasClass && r.How != isHeedless {
		options.Items = func(leaseID string) bool { return slices.Contains(r.Class, leaseID) }
	}
	return options
}

// measure says what the item weighs, which is something else each time: from a tenth to a thousand.
func (r *run) measure(l *lease.Lease) {
	if r.Measures && !r.isSteady() {
		l.SetWeight(math.Pow(10, r.number(-1, 3)))
	}
}

// hang works for a moment, promises progress, and then hangs, whatever its context says.
// What it writes at last is late.
func (r *run) hang(ctx, leased context.Context, l *lease.Lease) error {
	r.watching.Add(1) // HoldShare may not wait for it.
	defer r.watching.Done()
	tenure := r.begun(ctx, l)
	r.write(ctx, leased, time.After(r.upTo(r.Duration/2)), l, tenure)
	end := time.After(r.Duration + r.upTo(4*r.Duration))
	if r.How == isHasty {
		r.freeRow(ctx, l)
	} else {
		l.Progress(r.Duration / 3)
	}
	<-leased.Done()
	if context.Cause(leased) == lease.LeaseStuckError {
		now := chaos.Now()
		r.history.Add(chaos.Event{Kind: chaos.Fault, Begin: now, End: now, Lessee: r.Lessee, Note: hung})
	}
	<-end
	r.guardedWrite(ctx, l, tenure)
	return leased.Err()
}

// freeRow frees the row of a lease that its Locker relies on.
func (r *run) freeRow(ctx context.Context, l *lease.Lease) {
	bare := &lease.Lease{LeaseID: l.LeaseID, AttributeValues: l.AttributeValues, Request: r}
	r.store.ReleaseLeaseWithContext(ctx, bare)
}

// shared works until leased is done, or sometimes for less, and then takes its time. When it
// returns unasked, it may have failed.
func (r *run) shared(ctx, leased context.Context, l *lease.Lease) error {
	tenure := r.begun(ctx, l)
	var patience <-chan time.Time
	if r.Patience > 0 && r.chance(0.3) {
		patience = time.After(r.upTo(2 * r.Patience))
	}
	r.write(ctx, leased, patience, l, tenure)
	if r.How == isRestless {
		r.watching.Go(func() { r.workOn(ctx, l, tenure) })
		return leased.Err()
	}
	if leased.Err() != nil {
		r.finish(l)
	}
	r.working(l, tenure)
	if leased.Err() == nil && r.chance(0.3) {
		return errors.New("work failed")
	}
	return leased.Err()
}

// workOn goes on with work for a while that should have ended.
func (r *run) workOn(ctx context.Context, l *lease.Lease, tenure string) {
	for end := time.Now().Add(r.Duration); time.Now().Before(end); {
		r.working(l, tenure)
		r.sleep(ctx, 50*time.Millisecond)
	}
}

// finish takes the time that work needs to return; some takes long.
func (r *run) finish(l *lease.Lease) {
	most := 50 * time.Millisecond
	if r.chance(0.1) {
		most = r.Duration
	}
	r.sleep(l.Context(), most)
}

// careless keeps an item for as long as its renewals aren't refused.
func (r *run) careless(ctx context.Context) {
	l, err := r.locker.WaitUntilLeaseObtainedWithContext(ctx, r, r.Wait)
	if err != nil {
		return
	}
	var told atomic.Bool
	beating, done := context.WithCancel(ctx)
	defer done()
	go func() {
		defer done()
		defer told.Store(true)
		for err != lease.LeaseLostError && beating.Err() == nil {
			r.sleep(beating, r.Duration/3)
			err = r.store.RenewLeaseWithContext(beating, l, time.Now().Add(r.Duration))
		}
	}()
	r.begunUntil(ctx, l, func() bool { return !told.Load() })
	<-beating.Done()
}

// rolledBack keeps an item for a moment, and then a worker of the original of the same name
// keeps it. The release of the first comes late.
func (r *run) rolledBack(ctx context.Context) {
	l, err := r.locker.WaitUntilLeaseObtainedWithContext(ctx, r, r.Wait)
	if err != nil {
		return
	}
	r.begun(ctx, l)
	r.sleep(ctx, r.Duration/5)
	write, err := r.writeAsOriginal(ctx, l.LeaseID)
	if err != nil {
		return
	}
	r.watching.Go(func() {
		r.sleep(ctx, r.Duration/5)
		r.locker.ReleaseLease(l)
	})
	r.keepAsOriginal(ctx, l.LeaseID, write)
}

// original keeps an item for a while as a worker of the original library does: by its one write, of
// which it tries each item in turn, and without a release. It relies on the lease until LeaseUntil;
// the real one has no such check and relies on it for longer.
func (r *run) original(ctx context.Context) {
	var item string
	var write originalWrite
	in := &dynamodb.ScanInput{TableName: &r.Table}
	r.leases.ScanPagesWithContext(ctx, in, func(page *dynamodb.ScanOutput, _ bool) bool {
		for _, row := range page.Items {
			tried, err := r.writeAsOriginal(ctx, *row["id"].S)
			if err == nil {
				item = *row["id"].S
				write = tried
				return false
			}
		}
		return true
	})
	if item == "" {
		r.sleep(ctx, 2*r.Wait)
		return
	}
	r.keepAsOriginal(ctx, item, write)
}

// keepAsOriginal keeps an item that the original's write has leased.
func (r *run) keepAsOriginal(ctx context.Context, item string, write originalWrite) {
	var end atomic.Int64
	end.Store(write.until.UnixNano())
	valid := func() bool { return time.Now().UnixNano() < end.Load() }
	tenure := fmt.Sprintf("%s/%s/%v", r.Name, item, write.asked)
	r.obtained(item, tenure, 0, write.asked)
	r.watch(ctx, &lease.Lease{LeaseID: item}, tenure, valid)
	patience := time.Now().Add(r.upTo(r.Patience))
	for time.Now().Before(patience) && ctx.Err() == nil {
		r.sleep(ctx, r.Duration/3)
		renewal, err := r.writeAsOriginal(ctx, item)
		if !valid() {
			return // Its tenure is over; if it got the item again, nobody knows.
		}
		if err == nil {
			end.Store(renewal.until.UnixNano())
			r.history.Add(chaos.Event{Kind: chaos.Renewed, Begin: renewal.asked, End: chaos.Now(),
				Item: item, Tenure: tenure})
		}
	}
}

// originalWrite is one write as the original does it.
type originalWrite struct {
	asked time.Duration // when it was sent
	until time.Time     // the end of the lease
}

// writeAsOriginal is the original library's only write.
func (r *run) writeAsOriginal(ctx context.Context, item string) (originalWrite, error) {
	asked := chaos.Now()
	now := time.Now()
	until := now.Add(r.Duration)
	_, err := r.leases.UpdateItemWithContext(ctx, &dynamodb.UpdateItemInput{
		TableName:        &r.Table,
		Key:              row{"id": str(item)},
		UpdateExpression: aws.String("SET ProcessID = :me, LeaseUntil = :until"),
		ConditionExpression: aws.String(
			"attribute_exists(id) AND (LeaseUntil < :now OR ProcessID = :me)"),
		ExpressionAttributeValues: row{
			":me": str(r.Lessee), ":until": num(until.UnixNano()), ":now": num(now.UnixNano()),
		},
	})
	return originalWrite{asked, until}, err
}
