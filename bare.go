package lease

import (
	"context"
	"runtime"
	"sync"
	"time"
	"weak"
)

// bareContexts are the contexts of bare Leases, which they leave with their Leases.
var bareContexts sync.Map // bareKey → *bareContext

// bareKey names the context of a Lease as long as that ends at the same time.
type bareKey struct {
	lease weak.Pointer[Lease]
	end   time.Time
}

// bareContextOf returns the same context for a Lease as long as that ends at the same time.
func bareContextOf(l *Lease) context.Context {
	if l == nil {
		return &bareContext{}
	}
	key := bareKey{lease: weak.Make(l), end: l.bareEnd()}
	ctx, isThere := bareContexts.LoadOrStore(key, &bareContext{end: key.end})
	if !isThere {
		runtime.AddCleanup(l, func(k bareKey) { bareContexts.Delete(k) }, key)
	}
	return ctx.(*bareContext)
}

// bareContext is done at the end of a bare Lease. It is a few words, until somebody wants to
// be woken then: only from that moment on a timer has to keep it, as who waits for a channel
// keeps nothing but that.
type bareContext struct {
	end   time.Time
	once  sync.Once
	timed context.Context // with a timer; made by the first who needs it
}

func (c *bareContext) timer() context.Context {
	c.once.Do(func() {
		ctx, cancel := context.WithDeadlineCause(context.Background(), c.end, LeaseExpiredError)
		context.AfterFunc(ctx, cancel)
		c.timed = ctx
	})
	return c.timed
}

func (c *bareContext) Deadline() (deadline time.Time, ok bool) { return c.end, true }

func (c *bareContext) Done() <-chan struct{} { return c.timer().Done() }

// Err makes no timer before the end.
func (c *bareContext) Err() error {
	if time.Now().Before(c.end) {
		return nil
	}
	return c.timer().Err()
}

// Value is how contexts that are made of this one, and [context.Cause], find the timer.
func (c *bareContext) Value(key any) any { return c.timer().Value(key) }
