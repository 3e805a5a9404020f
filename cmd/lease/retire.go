package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/intercom/lease"
)

func (a *app) retire() *cobra.Command {
	var yields bool
	var wait time.Duration
	var c *cobra.Command
	c = a.command(cobra.Command{
		Use:     "retire ITEM... [-yield [-wait 1m]]",
		Short:   "delete items",
		Long:    retireHelp,
		Example: "lease retire -table mailboxes alice bob -yield",
	}, func(ctx context.Context, ids []string) error {
		if len(ids) == 0 {
			return usagef(`retire what? see "lease retire -h"`)
		}
		if wait <= 0 {
			return usagef("-wait is %v; want a time to wait for", wait)
		}
		if yields {
			return a.takeAndRetire(ctx, ids, wait)
		}
		if isGiven(c, "wait") {
			return usagef("-wait is for -yield: without that it waits for nothing")
		}
		c, err := a.open(ctx, fewRetries)
		if err != nil {
			return err
		}
		return a.each(ctx, ids, func(id string) error { return c.retire(ctx, id) })
	})
	c.Flags().BoolVar(&yields, "yield", false,
		"ask the holder to finish and hand the item over, and then\n"+
			"delete it, so that nobody else comes first")
	c.Flags().DurationVar(&wait, "wait", time.Minute,
		"with -yield: wait for `D` at most, else 1m. An item that isn't\n"+
			"given up in that time stays, and is asked for no longer")
	return c
}

const retireHelp = `Deletes items that nobody holds, with all their attributes. One that is held
stays, and the exit status is 1, unless it is had by -yield in time.`

func (c *client) retire(ctx context.Context, id string) error {
	i, err := c.find(ctx, id)
	if err != nil {
		return err
	}
	err = c.RemoveLeaseIDWithContext(ctx, id)
	if errors.Is(err, lease.LeaseHeldError) {
		return c.heldError(ctx, id)
	}
	if err != nil && i.why != "" {
		return errors.New(i.unreadable())
	}
	if err != nil {
		return err
	}
	return say("%s: retired\n", show(id))
}

// unreadable says why an item isn't retired that no worker can lease.
func (i item) unreadable() string {
	return fmt.Sprintf("%s stays, as its row doesn't tell whether it is held (%s): "+
		"mend the row, or delete it by other means", show(i.LeaseID), i.why)
}

// heldError says who holds an item that was to be retired.
func (c *client) heldError(ctx context.Context, id string) error {
	state := "is held"
	i, err := c.find(ctx, id)
	if err == nil {
		state = i.describe(time.Now())
	}
	return fmt.Errorf(`%s %s: "lease retire ITEM -yield" asks for it, and deletes it then`,
		show(id), state)
}

// retirement asks for items, to have them itself and to delete them.
type retirement struct {
	*yielding
	locker *lease.Locker
	as     lessee
}

func (a *app) takeAndRetire(ctx context.Context, ids []string, wait time.Duration) error {
	y, err := a.newYielding(wait)
	if err != nil {
		return err
	}
	y.longest = firstPause // What is handed over may be reserved for a second only.
	if err := y.patiently(ctx, y.reach); err != nil {
		return err
	}
	r := &retirement{
		yielding: y,
		locker:   lease.NewLocker(y.LockStore),
		as:       lessee{lease.UniqueLesseeID(), 30 * time.Second},
	}
	return r.run(ctx, ids, r.runOne)
}

// runOne takes an item, and deletes it. If that can't be done in time, it asks no longer.
func (r *retirement) runOne(ctx context.Context, id string) error {
	q := &asking{id: id, to: r.as.name}
	v, err := r.await(ctx, q, r.look)
	if v.step != stepDone && !q.askedAt.IsZero() {
		v, err = r.withdraw(ctx, q, v, err)
	}
	if err != nil {
		return err
	}
	if v.step != stepDone {
		return errors.New(v.text)
	}
	return say("%s: %s\n", show(id), v.text)
}

// look looks once, and asks the holder or takes the item, as the look shows it.
func (r *retirement) look(ctx context.Context, q *asking) (verdict, error) {
	s, err := r.see(ctx, q.id)
	if err != nil {
		return verdict{}, err
	}
	wasThere := s.found || !q.askedAt.IsZero()
	if !wasThere {
		return verdict{}, r.missing(q.id)
	}
	v := q.judgeRetirement(s)
	switch v.step {
	case stepTake:
		return r.take(ctx, q)
	case stepAsk:
		return verdict{step: stepWait}, r.want(ctx, q, s)
	}
	return v, nil
}

// want asks the holder.
func (r *retirement) want(ctx context.Context, q *asking, s sight) error {
	err := r.WantLease(ctx, s.LeaseItem, q.to, s.endOfWish())
	if errors.Is(err, lease.LeaseNotObtainedError) {
		return nil // It has changed: the next look shows that.
	}
	if err != nil {
		return err
	}
	isFirst := q.askedAt.IsZero()
	q.noteAsked(s)
	if !isFirst {
		return nil
	}
	return say("%s: asked %s to give it up, to be retired\n", show(q.id), show(s.LesseeID))
}

// take leases an item that is to be had, and deletes it as its holder.
func (r *retirement) take(ctx context.Context, q *asking) (verdict, error) {
	l, err := r.locker.ObtainItem(ctx, q.id, r.as)
	if errors.Is(err, lease.LeaseNotObtainedError) {
		return verdict{step: stepWait}, nil // Another was faster.
	}
	if err != nil {
		return verdict{}, err
	}
	err = r.RemoveLeaseWithContext(context.WithoutCancel(ctx), l)
	return done("retired"), err
}

// withdraw takes the wish back, and returns the outcome: the given one, unless that comes too
// late, as the item was just handed over. Then it is retired all the same; or released, if a
// signal came.
func (r *retirement) withdraw(
	ctx context.Context, q *asking, v verdict, failed error,
) (verdict, error) {
	const most = 5 * time.Second
	patient, cancel := context.WithTimeout(context.WithoutCancel(ctx), most)
	defer cancel()
	wish := sight{item: q.asked, now: q.askedAt}
	is, err := r.WithdrawWish(patient, q.asked.LeaseItem, q.to, wish.endOfWish())
	isOurs := err != nil && is.LesseeID == q.to
	if isOurs && ctx.Err() != nil {
		err = r.ReleaseLeaseWithContext(patient, leaseOf(is))
		return v, errors.Join(failed, err)
	}
	if isOurs {
		last, err := r.take(ctx, q)
		if err != nil || last.step == stepDone {
			return last, err
		}
		return v, failed
	}
	if err != nil {
		warn("%s is asked for till the lease of %s would end: %s",
			show(q.id), show(q.asked.LesseeID), r.app.explain(err))
	}
	return v, failed
}
