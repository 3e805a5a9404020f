package ask

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go/aws"

	"github.com/intercom/lease"
	"github.com/intercom/lease/cmd/lease/internal/dynamo"
	"github.com/intercom/lease/cmd/lease/internal/exit"
	"github.com/intercom/lease/cmd/lease/internal/say"
)

// yielding asks for items.
type yielding struct {
	*dynamo.Client
	at      *dynamo.Address
	to      string // who is to have them; "" is whoever comes
	waits   bool   // until they are given up
	until   time.Time
	longest time.Duration // from one look at an item to the next
	few     chan struct{} // so many looks at once
}

// New returns what asks for items, and waits for them so long. It has sent nothing.
func New(a *dynamo.Address, to string, wait time.Duration) (*yielding, error) {
	c, err := a.Connect(dynamo.FewRetries)
	if err != nil {
		return nil, err
	}
	return &yielding{
		Client:  c,
		at:      a,
		to:      to,
		waits:   wait > 0,
		until:   time.Now().Add(wait),
		longest: time.Second,
		few:     make(chan struct{}, 16),
	}, nil
}

// Patiently does what comes before all looks, again after an outage, while there is time. If that
// takes long it says what it waits for.
func (y *yielding) Patiently(ctx context.Context, do func(context.Context) error) error {
	newsCtx, stop := context.WithCancel(ctx)
	defer stop()
	go say.About{}.WhileWaiting(newsCtx, y.at.Unanswered)
	return dynamo.Patiently(ctx, y.until, y.longest, do)
}

// run asks for the items side by side: each has the whole time.
func (y *yielding) run(
	ctx context.Context, ids []string, runOne func(ctx context.Context, id string) error,
) error {
	var all sync.WaitGroup
	var failed atomic.Bool
	for _, id := range ids {
		all.Go(func() {
			err := runOne(ctx, id)
			if err != nil && ctx.Err() == nil {
				y.at.Complain(err)
				failed.Store(true)
			}
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if failed.Load() {
		return exit.Status(exit.Failed)
	}
	return nil
}

// Run asks for the items, waits until somebody else has them, and says what became of each.
func (y *yielding) Run(ctx context.Context, ids []string) error {
	return y.run(ctx, ids, y.runOne)
}

// runOne asks for an item, waits until somebody else has it, and says what became of it.
func (y *yielding) runOne(ctx context.Context, id string) error {
	q := &asking{id: id, to: y.to}
	v, err := y.await(ctx, q, y.ask)
	if err != nil {
		return err
	}
	if v.step == stepAsked {
		v.text = q.text()
	}
	if v.step == stepAsked && y.waits {
		if err := say.Printf("%s: %s\n", say.Name(id), v.text); err != nil {
			return err
		}
		v, err = y.await(ctx, q, y.look)
		if err != nil {
			return err
		}
	}
	if v.step == stepFailed {
		return errors.New(v.text)
	}
	return say.Printf("%s: %s\n", say.Name(id), v.text)
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
			return verdict{}, y.Missing(q.id)
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
	return failedf("%s changes all the time: try again", say.Name(q.id)), nil
}

// The time from one look at an item to the next: it grows with each.
const (
	firstPause  = 200 * time.Millisecond
	pauseGrowth = 50 * time.Millisecond
)

// await looks again and again, while there is nothing but to wait. What goes wrong is waited out.
func (y *yielding) await(
	ctx context.Context, q *asking, look func(context.Context, *asking) (verdict, error),
) (verdict, error) {
	pause := firstPause
	for {
		v, err := look(ctx, q)
		if err != nil {
			err = y.waitOut(ctx, q, err)
			v = verdict{step: stepWait}
		}
		if err != nil || v.step != stepWait {
			return v, err
		}
		left := max(0, time.Until(y.until))
		if aws.SleepWithContext(ctx, min(pause, left)) != nil {
			return verdict{}, context.Cause(ctx)
		}
		pause = min(y.longest, pause+pauseGrowth)
	}
}

// look looks once, and asks again where nobody asks any more.
func (y *yielding) look(ctx context.Context, q *asking) (verdict, error) {
	s, err := y.see(ctx, q.id)
	if err != nil {
		return verdict{}, err
	}
	q.noteFreed(s)
	v := q.judge(s)
	if v.step == stepAsk {
		v, err = y.ask(ctx, q)
	}
	if v.step == stepAsked {
		v.step = stepWait
	}
	return v, err
}

// waitOut returns the error of a look if there is no time left, or nil after it has told of the
// first. Before a holder is asked, only an outage is waited out.
func (y *yielding) waitOut(ctx context.Context, q *asking, err error) error {
	isOver := ctx.Err() != nil || !time.Now().Before(y.until)
	isHopeless := q.askedAt.IsZero() && !dynamo.MayPass(err)
	if isOver || isHopeless {
		return err
	}
	if !q.troubled {
		q.troubled = true
		say.Warn("%s; it asks on", y.at.Explain(err))
	}
	return nil
}

// see looks at an item. Only few look at once.
func (y *yielding) see(ctx context.Context, id string) (sight, error) {
	y.few <- struct{}{}
	defer func() { <-y.few }()
	i, found, err := y.Get(ctx, id)
	now := time.Now()
	return sight{Item: i, found: found, now: now, late: !now.Before(y.until)}, err
}
