package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/spf13/cobra"

	"github.com/intercom/lease"
)

func (a *app) yield() *cobra.Command {
	var to string
	var wait time.Duration
	c := a.command(cobra.Command{
		Use:     "yield ITEM... [-to LESSEE] [-wait 1m]",
		Short:   "ask a holder to give it up",
		Long:    yieldHelp,
		Example: "lease yield -table mailboxes alice -to host-2:4711 -wait 2m",
	}, func(ctx context.Context, ids []string) error {
		if wait < 0 {
			return usagef("-wait is %v; want 0 or more", wait)
		}
		c, err := a.openFor(ctx, "yield", ids)
		if err != nil {
			return err
		}
		y := &yielding{
			client: c,
			app:    a,
			to:     to,
			waits:  wait > 0,
			until:  time.Now().Add(wait),
			few:    make(chan struct{}, 16),
		}
		return y.run(ctx, ids)
	})
	c.Flags().StringVar(&to, "to", "", "it is to hand the item over to `LESSEE`; else it frees it\nfor whoever comes")
	c.Flags().DurationVar(&wait, "wait", time.Minute, "wait for `D` at most, else 1m; 0: ask, and don't wait. The wish\n"+
		"stands until the lease would end, so the holder will see it")
	return c
}

const yieldHelp = `Asks the holder of an item to finish its work and give the item up. It learns
of that with its next renewal, and nothing happens by force: a worker that
heeds no wishes keeps the item. Then it waits until somebody else has the
item, or nobody, and says who. If the holder still has it then, the exit
status is 1.`

// yielding asks for items.
type yielding struct {
	*client
	app   *app
	to    string // who is to have them; "" is whoever comes
	waits bool   // until they are given up
	until time.Time
	few   chan struct{} // so many looks at once
}

// run asks for the items side by side: each has the whole time.
func (y *yielding) run(ctx context.Context, ids []string) error {
	var all sync.WaitGroup
	var failed atomic.Bool
	for _, id := range ids {
		all.Go(func() {
			err := y.runOne(ctx, id)
			if err != nil && ctx.Err() == nil {
				y.app.complain(err)
				failed.Store(true)
			}
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if failed.Load() {
		return exitStatus(statusFailed)
	}
	return nil
}

// runOne asks for an item, waits until somebody else has it, and says what became of it.
func (y *yielding) runOne(ctx context.Context, id string) error {
	q := &asking{id: id, to: y.to}
	v, err := y.ask(ctx, q)
	if err != nil {
		return err
	}
	if v.step == stepAsked {
		v.text = q.text()
	}
	if v.step == stepAsked && y.waits {
		if err := say("%s: %s\n", show(id), v.text); err != nil {
			return err
		}
		v, err = y.await(ctx, q)
		if err != nil {
			return err
		}
	}
	if v.step == stepFailed {
		return errors.New(v.text)
	}
	return say("%s: %s\n", show(id), v.text)
}

// ask asks the holder, if that is to be asked. An error, or a verdict other than stepAsked, is
// the end.
func (y *yielding) ask(ctx context.Context, q *asking) (verdict, error) {
	const tries = 5 // The row may change under its hands.
	for range tries {
		s, err := y.see(ctx, q.id)
		if err != nil {
			return verdict{}, err
		}
		if !s.found {
			return verdict{}, y.missing(q.id)
		}
		v := q.judgeHolder(s)
		if v.step == stepAsked {
			q.noteAsked(s)
		}
		if v.step != stepAsk {
			return v, nil
		}
		err = y.WantLease(ctx, s.LeaseItem, q.to, s.endOfWish())
		if err == nil {
			s.WantedBy = q.to
			q.noteAsked(s)
			return verdict{step: stepAsked}, nil
		}
		if !errors.Is(err, lease.LeaseNotObtainedError) {
			return verdict{}, err
		}
	}
	return failedf("%s changes all the time: try again", show(q.id)), nil
}

// The time from one look at an item to the next: it grows with each.
const (
	firstPause   = 200 * time.Millisecond
	pauseGrowth  = 50 * time.Millisecond
	longestPause = time.Second
)

// await looks again and again until there is an outcome.
func (y *yielding) await(ctx context.Context, q *asking) (verdict, error) {
	pause := firstPause
	for {
		left := max(0, time.Until(y.until))
		if aws.SleepWithContext(ctx, min(pause, left)) != nil {
			return verdict{}, context.Cause(ctx)
		}
		pause = min(longestPause, pause+pauseGrowth)
		v, err := y.look(ctx, q)
		if err != nil || v.isOutcome() {
			return v, err
		}
	}
}

// look looks once, and asks again where nobody asks any more. What goes wrong is waited out.
func (y *yielding) look(ctx context.Context, q *asking) (verdict, error) {
	s, err := y.see(ctx, q.id)
	if err != nil {
		return verdict{}, y.waitOut(ctx, q, s, err)
	}
	q.noteFreed(s)
	v := q.judge(s)
	if v.step != stepAsk {
		return v, nil
	}
	v, err = y.ask(ctx, q)
	if errors.As(err, new(awserr.Error)) {
		return verdict{step: stepWait}, nil
	}
	return v, err
}

// waitOut returns the error of a look if there is no time left, or nil after it has told of the
// first.
func (y *yielding) waitOut(ctx context.Context, q *asking, s sight, err error) error {
	if s.late || ctx.Err() != nil {
		return err
	}
	if !q.troubled {
		q.troubled = true
		warn("%s; it asks on", y.app.explain(err))
	}
	return nil
}

// see looks at an item. Only few look at once.
func (y *yielding) see(ctx context.Context, id string) (sight, error) {
	y.few <- struct{}{}
	defer func() { <-y.few }()
	i, found, err := y.get(ctx, id)
	now := time.Now()
	return sight{item: i, found: found, now: now, late: !now.Before(y.until)}, err
}
