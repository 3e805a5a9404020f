package chaos_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/chaos"
	"github.com/intercom/lease/internal/ddblocal"
)

// The requests that a worker sends, told by their update expressions. docs/protocol.md has them
// whole.
func isLease(update string) bool    { return strings.Contains(update, "if_not_exists") }
func isHandover(update string) bool { return strings.Contains(update, "#holder = #wantedBy") }
func isRelease(update string) bool  { return strings.Contains(update, "REMOVE #holder") }
func isWish(update string) bool     { return strings.Contains(update, "#wantedBy = :by") }
func isWeighing(update string) bool { return strings.Contains(update, "#weight = :weight") }
func isSave(update string) bool     { return strings.Contains(update, "#s0 = :s0") }

// counter is the attribute in which workers save how far they have come.
const counter = "Counter"

// sending records that a release or handover is about to be sent.
func (r *run) sending(req *request.Request) {
	in, isUpdate := req.Params.(*dynamodb.UpdateItemInput)
	if !isUpdate {
		return
	}
	update := aws.StringValue(in.UpdateExpression)
	if isHandover(update) || isRelease(update) {
		r.wrote(chaos.Freeing, chaos.Now(), in, "")
	}
}

// completed records the writes that succeeded, as the SDK reports them, and when one that
// leases was sent.
func (r *run) completed(req *request.Request) {
	in, isUpdate := req.Params.(*dynamodb.UpdateItemInput)
	if !isUpdate {
		return
	}
	// Early rather than late, wherever the process is paused.
	begin := chaos.Now() - time.Since(req.Time)
	update := aws.StringValue(in.UpdateExpression)
	if isLease(update) {
		r.asked.Store(*in.Key["id"].S, begin)
		return
	}
	if req.Error != nil {
		return
	}
	switch {
	case isSave(update):
		r.wrote(chaos.Saved, begin, in, *in.ExpressionAttributeValues[":s0"].N)
	case isHandover(update):
		r.wrote(chaos.HandedOver, begin, in, "")
		if r.How == isRepeating {
			r.watching.Go(func() { r.repeat(in) })
		}
	case isRelease(update):
		r.wrote(chaos.Released, begin, in, "")
	default:
		r.wrote(chaos.Renewed, begin, in, "")
		if isWeighing(update) {
			r.wrote(chaos.Weighed, begin, in, *in.ExpressionAttributeValues[":weight"].N)
		}
	}
}

// repeat sends a handover again and again, as a network might, for four leases' time.
func (r *run) repeat(in *dynamodb.UpdateItemInput) {
	again := ddblocal.NewClient(r.Endpoint, &aws.Config{HTTPClient: r.leases.Config.HTTPClient})
	for end := time.Now().Add(4 * r.Duration); time.Now().Before(end); {
		select {
		case <-time.After(r.upTo(r.Duration / 5)):
			again.UpdateItem(in)
		case <-r.stopping:
			return
		}
	}
}

// wrote records a write of a tenure of this worker, but for those of the original, which don't
// name it. A wish is about somebody else's.
func (r *run) wrote(
	kind chaos.Kind, begin time.Duration, in *dynamodb.UpdateItemInput, note string,
) {
	token := in.ExpressionAttributeValues[":token"]
	if isWish(*in.UpdateExpression) || token == nil {
		return
	}
	n, err := strconv.ParseInt(*token.N, 10, 64)
	if err != nil {
		panic(err)
	}
	item := *in.Key["id"].S
	r.history.Add(chaos.Event{Kind: kind, Begin: begin, End: chaos.Now(),
		Item: item, Tenure: r.tenure(item, n), Note: note})
}

// tenure names a tenure of this worker.
func (r *run) tenure(item string, token int64) string {
	return fmt.Sprintf("%s/%s/%d", r.Name, item, token)
}

// begun records that a tenure has begun, and what it says from now on.
func (r *run) begun(ctx context.Context, l *lease.Lease) (tenure string) {
	return r.begunUntil(ctx, l, l.Valid)
}

// begunUntil records that a tenure has begun, and what valid says of it from now on.
func (r *run) begunUntil(
	ctx context.Context, l *lease.Lease, valid func() bool,
) (tenure string) {
	tenure = r.tenure(l.LeaseID, l.FencingToken())
	asked, _ := r.asked.Load(l.LeaseID)
	r.obtained(l.LeaseID, tenure, l.FencingToken(), asked.(time.Duration))
	r.watch(ctx, l, tenure, valid)
	return tenure
}

// recordClass records which items it takes part in, if it isn't all.
func (r *run) recordClass() {
	now := chaos.Now()
	for _, item := range r.Class {
		r.history.Add(chaos.Event{Kind: chaos.InClass, Begin: now, End: now,
			Lessee: r.Lessee, Item: item})
	}
}

// obtained records that a tenure began, by a write that was sent at the time asked.
func (r *run) obtained(item, tenure string, token int64, asked time.Duration) {
	r.history.Add(chaos.Event{Kind: chaos.Obtained, Begin: asked, End: chaos.Now(),
		Item: item, Lessee: r.Lessee, Tenure: tenure, Token: token})
}

// watch records what valid says until the tenure is over, and then makes one guarded write too
// many.
func (r *run) watch(ctx context.Context, l *lease.Lease, tenure string, valid func() bool) {
	r.watching.Go(func() {
		for r.look(l.LeaseID, tenure, valid) {
			time.Sleep(10 * time.Millisecond)
		}
		r.sleep(ctx, 3*r.Duration)
		r.guardedWrite(ctx, l, tenure)
	})
}

// look records what valid says, and returns it.
func (r *run) look(item, tenure string, valid func() bool) bool {
	begin := chaos.Now()
	is := valid()
	kind := chaos.Over
	if is {
		kind = chaos.Valid
	}
	r.history.Add(chaos.Event{Kind: kind, Begin: begin, End: chaos.Now(),
		Item: item, Tenure: tenure})
	return is
}

// working records that work goes on. One that may hang relies on its tenure only as long as that
// says so: its item may be given up, and nobody waits for it.
func (r *run) working(l *lease.Lease, tenure string) {
	begin := chaos.Now()
	mayBeGivenUp := r.Hangs > 0 && l.Context().Err() != nil
	if mayBeGivenUp {
		return
	}
	r.history.Add(chaos.Event{Kind: chaos.Working, Begin: begin, End: chaos.Now(),
		Item: l.LeaseID, Tenure: tenure})
}

// resume goes on counting where the last holder of the item has saved to have come, and returns
// what may save the next number.
func (r *run) resume(l *lease.Lease, tenure string) (save func(ctx context.Context)) {
	now := chaos.Now()
	n := 0
	if found := l.AttributeValues[counter]; found != nil {
		n, _ = strconv.Atoi(*found.N)
	}
	r.history.Add(chaos.Event{Kind: chaos.Resumed, Begin: now, End: now,
		Item: l.LeaseID, Tenure: tenure, Note: strconv.Itoa(n)})
	return func(ctx context.Context) {
		if r.chance(r.Saves) {
			n++
			ctx, cancel := context.WithTimeout(ctx, r.Duration/3)
			defer cancel()
			r.locker.SaveAttributes(ctx, l, row{counter: num(int64(n))})
		}
	}
}

// guardedWrite writes to what the item is about, which refuses holders older than one that it
// has seen.
func (r *run) guardedWrite(ctx context.Context, l *lease.Lease, tenure string) {
	token := l.FencingToken()
	if token == 0 || ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	begin := chaos.Now()
	_, err := r.guard.UpdateItemWithContext(ctx, &dynamodb.UpdateItemInput{
		TableName:                 aws.String(r.guardTable()),
		Key:                       row{"id": str(l.LeaseID)},
		UpdateExpression:          aws.String("SET Seen = :token, Writer = :me"),
		ConditionExpression:       aws.String("attribute_not_exists(Seen) OR Seen <= :token"),
		ExpressionAttributeValues: row{":token": num(token), ":me": str(r.Name)},
	})
	event := chaos.Event{Begin: begin, End: chaos.Now(), Item: l.LeaseID, Tenure: tenure}
	switch err.(type) {
	case nil:
		event.Kind = chaos.Accepted
	case *dynamodb.ConditionalCheckFailedException:
		event.Kind = chaos.Refused
	default:
		return
	}
	r.history.Add(event)
}
