package chaos_test

import (
	"sync"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease/internal/chaos"
)

// awaitHeld waits until each item has been leased or renewed since, or for as long as that may
// take.
func (f *fleet) awaitHeld() {
	anew := time.Now().Add(f.lease) // No lease from before lasts longer.
	held := make(map[string]string)
	for len(held) < len(f.items) && chaos.Now()-f.since < f.bounds().Recovery {
		time.Sleep(10 * time.Millisecond)
		for item, lessee := range f.table.holders(anew) {
			held[item] = lessee
		}
	}
}

// stopOthers stops or kills all workers but those that share all items.
func (f *fleet) stopOthers() {
	var stopping sync.WaitGroup
	var children []*child
	for i, c := range f.children {
		switch {
		case c.settings.sharesAll():
			children = append(children, c)
		case i%2 == 0:
			stopping.Go(func() { assert.NoError(f.t, c.process.stop()) })
		default:
			f.kill(c)
		}
	}
	f.children = children
	var locals []*local
	for _, l := range f.locals {
		if l.sharesAll() {
			locals = append(locals, l)
		} else {
			stopping.Go(l.stop)
		}
	}
	f.locals = locals
	stopping.Wait()
}

// weighAlike has an operator take away what the items weigh: then whoever has as many as the others
// has as much. Nobody measures any more: those who did were processes, and were killed.
func (f *fleet) weighAlike() {
	for _, item := range f.items {
		_, err := f.table.ddb.UpdateItemWithContext(f.ctx, &dynamodb.UpdateItemInput{
			TableName:        &f.table.name,
			Key:              row{"id": str(item)},
			UpdateExpression: aws.String("REMOVE LeaseWeight"),
		})
		require.NoError(f.t, err)
	}
}

// knownClocks is how long leases must be to be shared by hosts whose clocks are wrong: DynamoDB's
// is known to a second, and a wish, which lasts five sixths of a lease, must not seem over before.
const knownClocks = 4 * time.Second

// levelAlone lets those that share be alone, and one of them be killed, until all are level.
// First they are started anew, with leases that are long enough: whom the storm kept from heeding
// wishes the others would pass over for long. When the machine was too late for their leases, it
// is done again with longer ones.
func (f *fleet) levelAlone() {
	since := f.since
	for range 5 {
		f.lengthen(max(knownClocks, longEnough(f.late(since))))
		since = chaos.Now()
		f.kill(f.children[0])
		require.NoError(f.t, f.children[0].spawn())
		f.onlySharing()
		f.awaitLevel()
		if f.template.Duration >= longEnough(f.late(since)) {
			return
		}
	}
}

// lengthen starts those that share anew with longer leases, if theirs are shorter.
func (f *fleet) lengthen(lease time.Duration) {
	if f.template.Duration >= lease {
		return
	}
	f.template.Duration = lease
	var stopping sync.WaitGroup
	for _, l := range f.locals {
		stopping.Go(l.stop)
	}
	for _, c := range f.children {
		stopping.Go(func() { assert.NoError(f.t, c.process.stop()) })
	}
	stopping.Wait()
	for i, l := range f.locals {
		f.locals[i] = l.again(f, lease)
	}
	for _, c := range f.children {
		c.settings.Duration = lease
		require.NoError(f.t, c.spawn())
	}
	f.awaitReady()
	f.await("all items are held", func() bool {
		return len(f.table.holders(time.Now())) == len(f.items)
	})
}

// onlySharing records that from now on there are only those that share, when they are at work.
func (f *fleet) onlySharing() {
	f.awaitReady()
	now := chaos.Now()
	for lessee, most := range f.limits() {
		f.history.Add(chaos.Event{Kind: chaos.Sharing, Begin: now, End: now,
			Lessee: lessee, Token: int64(most)})
	}
}

// awaitReady waits until all workers work.
func (f *fleet) awaitReady() {
	for _, l := range f.locals {
		require.NoError(f.t, l.awaitReady())
	}
	for _, c := range f.children {
		require.NoError(f.t, c.process.awaitReady())
	}
}

// awaitLevel waits until the table has been level for a period, or for as long as that may take.
func (f *fleet) awaitLevel() {
	begin := chaos.Now()
	period := f.template.Duration / 3
	limits := f.limits()
	var since time.Duration // it is level; 0 if it isn't
	for chaos.Now()-begin < f.bounds().Level+period {
		time.Sleep(10 * time.Millisecond)
		now := chaos.Now()
		if !f.isLevel(limits) {
			since = 0
			continue
		}
		if since == 0 {
			since = now
		}
		// All must have seen it, too.
		if now-since > period+f.late(f.since).Steps(3) {
			return
		}
	}
}

// isLevel tells whether the table is level.
func (f *fleet) isLevel(limits map[string]int) bool {
	counts := make(map[string]int)
	held := f.table.holders(time.Now())
	for _, lessee := range held {
		counts[lessee]++
	}
	return len(held) == len(f.items) && chaos.Level(counts, limits)
}

// moveOne has an operator ask for an item for one of those that share, and waits until that one
// has it.
func (f *fleet) moveOne() {
	item := f.items[0]
	wisher := f.children[0].process.Lessee
	if f.table.holders(time.Now())[item] == wisher {
		wisher = f.children[1].process.Lessee
	}
	var asked time.Time
	f.await("an item moves", func() bool {
		if time.Since(asked) > f.template.Duration {
			asked = time.Now()
			f.wish(f.ctx, item, str(wisher), num(asked.Add(2*f.template.Duration).UnixNano()))
		}
		return f.table.holders(time.Now())[item] == wisher
	})
}

// await waits until something is so.
func (f *fleet) await(what string, is func() bool) {
	require.Eventually(f.t, is, hangs, 10*time.Millisecond, what)
}
