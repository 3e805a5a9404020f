package lease

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// literal is a Lease of a caller's own.
func literal(d time.Duration) *Lease {
	r := requested{lessee: "w1", duration: d}
	return &Lease{LeaseID: "a", Request: r, Until: time.Now().Add(d)}
}

func TestContextOfABareLeaseGoesWithIt(t *testing.T) {
	const many = 100_000
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	for range many {
		if literal(24*time.Hour).Context().Err() != nil {
			t.Fatal("a lease of a day is over")
		}
	}
	for tries := 0; ; tries++ {
		kept := heap() - before
		if kept < 5<<20 {
			return
		}
		if tries > 100 {
			t.Fatalf("%d discarded Leases hold %d MB", many, kept>>20)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestContextOfABareLeaseIsDoneInTimeForWhoOnlyHasItsChannel(t *testing.T) {
	done := literal(100 * time.Millisecond).Context().Done()
	for range 5 {
		runtime.GC()
	}
	<-done
}

func TestContextOfABareLeaseIsOneThatContextsAreMadeOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := literal(10 * time.Second)
		ctx := l.Context()
		child, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		called := false
		context.AfterFunc(ctx, func() { called = true })
		deadline, ok := ctx.Deadline()
		assert.True(t, ok)
		assert.Equal(t, 9*time.Second, time.Until(deadline))
		assert.NoError(t, context.Cause(ctx))

		time.Sleep(9*time.Second - 1)
		assert.NoError(t, ctx.Err())
		assert.NoError(t, child.Err())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		assert.Equal(t, context.DeadlineExceeded, ctx.Err(), "at its very end")
		assert.Equal(t, context.DeadlineExceeded, child.Err())
		assert.True(t, called)
		assert.Equal(t, LeaseExpiredError, context.Cause(ctx))
		assert.Equal(t, LeaseExpiredError, context.Cause(child))
		assert.Same(t, ctx, l.Context(), "the same when it is over")
	})
}

func TestContextOfABareLeaseThatIsOverIsDoneAtOnce(t *testing.T) {
	for name, l := range map[string]*Lease{
		"over": literal(-time.Hour), "without an end": {}, "nil": nil,
	} {
		ctx := l.Context()
		assert.Error(t, ctx.Err(), name)
		assert.Equal(t, LeaseExpiredError, context.Cause(ctx), name)
		<-ctx.Done()
	}
}

func TestBareLeaseThatIsProlongedHasAnotherContext(t *testing.T) {
	l := &Lease{LeaseID: "a", Until: time.Now().Add(time.Hour)}
	before := bareContextOf(l)
	l.Until = l.Until.Add(time.Hour)
	end, _ := bareContextOf(l).Deadline()
	was, _ := before.Deadline()
	assert.Equal(t, time.Hour, end.Sub(was))
}
