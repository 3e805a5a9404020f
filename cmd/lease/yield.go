package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"

	"github.com/intercom/lease"
)

const yieldHelp = `Usage: lease yield ITEM... [-to LESSEE] [-wait 1m]

Asks the holder of an item to finish its work and give the item up. It learns
of that with its next renewal, and nothing happens by force: a worker that
heeds no wishes keeps the item. Then it waits until somebody else has the
item, or nobody, and says who. If the holder still has it then, the exit
status is 1.

  -to LESSEE  it is to hand the item over to LESSEE; else it frees it for
              whoever comes
  -wait 1m    how long to wait at most; 0: ask, and don't wait. The wish
              stands until the lease would end, so the holder will see it

  -table T, -key K, -region R, -endpoint URL, -v: see "lease -h"

Example: lease yield -table mailboxes alice -to host-2:4711 -wait 2m
`

func yield(a *app, flags *flag.FlagSet) func(ctx context.Context, args []string) error {
	to := flags.String("to", "", "")
	wait := flags.Duration("wait", time.Minute, "")
	return func(ctx context.Context, ids []string) error {
		if *wait < 0 {
			return usagef("-wait is %v; want 0 or more", *wait)
		}
		c, err := a.openFor(ctx, "yield", ids)
		if err != nil {
			return err
		}
		var all sync.WaitGroup
		var failed atomic.Bool
		few, until := make(chan struct{}, 16), time.Now().Add(*wait)
		for _, id := range ids { // side by side: each has the whole time
			all.Go(func() {
				y := &yielding{app: a, client: c, id: id, to: *to, wait: *wait, until: until, few: few}
				outcome, err := y.run(ctx)
				if err == nil {
					err = say("%s: %s\n", show(id), outcome)
				}
				if err != nil && ctx.Err() == nil {
					a.complain(err)
					failed.Store(true)
				}
			})
		}
		all.Wait()
		if ctx.Err() == nil && failed.Load() {
			return exitStatus(statusFailed)
		}
		return context.Cause(ctx)
	}
}

// yielding is one item that is to be given up.
type yielding struct {
	*client
	app     *app
	id, to  string // to "" is whoever comes
	wait    time.Duration
	until   time.Time
	few     chan struct{} // so many requests at once
	asked   item          // as it was when its holder was asked
	askedAt time.Time
}

// lookAround is how long a freed item is watched for somebody who takes it: workers look every third of a lease.
const lookAround = 15 * time.Second

// run asks for the item, waits, and returns what became of it.
func (y *yielding) run(ctx context.Context) (outcome string, err error) {
	switch outcome, err := y.ask(ctx); {
	case outcome != "" || err != nil:
		return outcome, err
	case y.wait == 0:
		return y.askedFor(), nil
	}
	if err := say("%s: %s\n", show(y.id), y.askedFor()); err != nil {
		return "", err
	}
	var freed time.Time
	failed := ""
	for pause := 200 * time.Millisecond; ; pause = min(time.Second, pause+50*time.Millisecond) {
		if aws.SleepWithContext(ctx, min(pause, max(0, time.Until(y.until)))) != nil {
			return "", context.Cause(ctx)
		}
		i, found, err := y.see(ctx)
		now, holder := time.Now(), show(i.LesseeID)
		over := !now.Before(y.until)
		switch {
		case err != nil && !over && ctx.Err() == nil:
			if failed == "" {
				failed = y.app.explain(err)
				warn("%s; it asks on", failed)
			}
		case err != nil:
			return "", err
		case !found:
			return "was retired", nil
		case i.why != "":
			return i.describe(now), nil
		case !i.live(now) || i.LesseeID == "":
			if !i.live(now) && freed.IsZero() {
				freed = now
			}
			if over && y.to != "" && y.to == y.asked.LesseeID {
				return "", fmt.Errorf("%s was reserved for %s, which has not taken it: it %s", show(y.id), show(y.to), i.describe(now))
			} else if over && y.to != "" {
				return "", fmt.Errorf("%s was given up by %s, but %s has not taken it", show(y.id), show(y.asked.LesseeID), show(y.to))
			} else if over || y.to == "" && !freed.IsZero() && now.Sub(freed) > lookAround {
				return fmt.Sprintf("%s gave it up, and nobody has it yet: it %s", show(y.asked.LesseeID), i.describe(now)), nil
			}
		case i.state(now) == reserved && i.LesseeID != y.asked.LesseeID:
			if over && y.to != "" {
				return "", fmt.Errorf("%s is reserved for %s, which has not taken it yet", show(y.id), holder)
			} else if over {
				return fmt.Sprintf("%s gave it up, and it is reserved for %s, which has not taken it yet", show(y.asked.LesseeID), holder), nil
			}
		case y.still(i):
			if over && i.state(now) == reserved {
				return "", fmt.Errorf("%s is reserved for %s, which has not taken it yet", show(y.id), holder)
			} else if over {
				return "", fmt.Errorf("%s was not given up: it %s; work may take longer, or the holder heeds no wishes", show(y.id), i.describe(now))
			}
			if i.wished(now) && (y.to == "" || i.WantedBy == y.to) {
				continue
			}
			if outcome, err := y.ask(ctx); outcome != "" || err != nil && !errors.As(err, new(awserr.Error)) {
				return outcome, err
			}
		case y.to != "" && i.LesseeID != y.to:
			return "", fmt.Errorf("%s went to %s, not to %s: it %s", show(y.id), holder, show(y.to), i.describe(now))
		case i.LesseeID == y.asked.LesseeID:
			return fmt.Sprintf("%s gave it up, and has it again, with the token %d", holder, i.FencingToken), nil
		default:
			return fmt.Sprintf("%s has it, with the token %d", holder, i.FencingToken), nil
		}
	}
}

// still tells whether the holder that was asked is still the one to ask: in the same tenure, or as what was reserved for it is
// its own now.
func (y *yielding) still(i item) bool {
	return i.LesseeID == y.asked.LesseeID && (i.FencingToken == y.asked.FencingToken || y.asked.state(y.askedAt) == reserved)
}

func (y *yielding) see(ctx context.Context) (item, bool, error) {
	y.few <- struct{}{}
	defer func() { <-y.few }()
	return y.get(ctx, y.id)
}

func (y *yielding) askedFor() string {
	if y.to == y.asked.LesseeID {
		return "is reserved for " + show(y.to) + " already"
	} else if by := y.asked.wanter(y.askedAt); y.to == "" && y.asked.WantedBy != "" && by != "" {
		return by + " has asked " + show(y.asked.LesseeID) + " for it already"
	} else if y.to == "" {
		return "asked " + show(y.asked.LesseeID) + " to give it up, for whoever comes"
	}
	return "asked " + show(y.asked.LesseeID) + " to hand it over to " + show(y.to)
}

// ask asks the holder, unless it was asked already. It returns an outcome if there is nothing to ask for.
func (y *yielding) ask(ctx context.Context) (outcome string, err error) {
	for try := 0; try < 5; try++ { // The row may change under its hands.
		i, found, err := y.see(ctx)
		now := time.Now()
		switch {
		case err != nil:
			return "", err
		case !found:
			return "", fmt.Errorf("there is no item %s in table %q", show(y.id), y.table)
		case i.why != "":
			return "", fmt.Errorf("%s %s", show(y.id), i.describe(now))
		case (!i.live(now) || i.LesseeID == "") && y.to != "":
			return "", fmt.Errorf("nobody holds %s, to hand it over to %s: it %s", show(y.id), show(y.to), i.describe(now))
		case !i.live(now):
			return "nobody holds it", nil
		case i.LesseeID == "":
			return "nobody holds it; it " + i.describe(now), nil
		case i.LesseeID == y.to && i.state(now) != reserved:
			return fmt.Sprintf("%s has it, with the token %d", show(y.to), i.FencingToken), nil
		case i.LesseeID == y.to:
			y.asked, y.askedAt = i, now
			return "", nil
		case i.wished(now) && (i.WantedBy == y.to || y.to == "") && !i.wishUntil().Before(i.Until):
			y.asked, y.askedAt = i, now // Somebody else's wish frees the item too.
			return "", nil
		}
		err = y.WantLease(ctx, i.LeaseItem, y.to, y.wishUntil(i, now))
		if err == nil {
			y.asked, y.askedAt = i, now
			y.asked.WantedBy = y.to
		}
		if !errors.Is(err, lease.LeaseNotObtainedError) {
			return "", err
		}
	}
	return "", fmt.Errorf("%s changes all the time: try again", show(y.id))
}

// wishUntil is until when a wish is to count: till the lease's end, as the renewal before that shows it to the holder. One
// that heeds wishes prolongs it while its work takes longer, and a reservation is to be no longer than need be.
func (y *yielding) wishUntil(i item, now time.Time) time.Time {
	if soon := now.Add(5 * time.Second); i.Until.Before(soon) {
		return soon
	}
	return i.Until
}
