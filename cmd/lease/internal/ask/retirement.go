package ask

import (
	"context"
	"errors"
	"time"

	"github.com/intercom/lease"
	"github.com/intercom/lease/cmd/lease/internal/dynamo"
	"github.com/intercom/lease/cmd/lease/internal/say"
)

// retirement asks for items, to have them itself and to delete them.
type retirement struct {
	*yielding
	locker *lease.Locker
	as     dynamo.Lessee
}

// Retire asks for items, and deletes those that it has in that time.
func Retire(ctx context.Context, a *dynamo.Address, ids []string, wait time.Duration) error {
	y, err := New(a, "", wait)
	if err != nil {
		return err
	}
	y.longest = firstPause // What is handed over may be reserved for a second only.
	if err := y.Patiently(ctx, y.Reach); err != nil {
		return err
	}
	r := &retirement{
		yielding: y,
		locker:   lease.NewLocker(y.LockStore),
		as:       dynamo.Lessee{Name: lease.UniqueLesseeID(), Duration: 30 * time.Second},
	}
	return r.run(ctx, ids, r.runOne)
}

// runOne takes an item, and deletes it. If that can't be done in time, it asks no longer.
func (r *retirement) runOne(ctx context.Context, id string) error {
	q := &asking{id: id, to: r.as.Name}
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
	return say.Printf("%s: %s\n", say.Name(id), v.text)
}

// look looks once, and asks the holder or takes the item, as the look shows it.
func (r *retirement) look(ctx context.Context, q *asking) (verdict, error) {
	s, err := r.see(ctx, q.id)
	if err != nil {
		return verdict{}, err
	}
	wasThere := s.found || !q.askedAt.IsZero()
	if !wasThere {
		return verdict{}, r.Missing(q.id)
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
	return say.Printf("%s: asked %s to give it up, to be retired\n", say.Name(q.id), say.Name(s.LesseeID))
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
	patient := context.WithoutCancel(ctx)
	err = r.RemoveLeaseWithContext(patient, l)
	if err == nil || dynamo.MayPass(err) {
		return done("retired"), err
	}
	if err := r.ReleaseLeaseWithContext(patient, l); err != nil {
		say.Warn("%s stays leased to this command: %s", say.Name(q.id), r.at.Explain(err))
	}
	return failedf("%s stays, and is released: %s", say.Name(q.id), r.at.Explain(err)), nil
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
	wish := sight{Item: q.asked, now: q.askedAt}
	is, err := r.WithdrawWish(patient, q.asked.LeaseItem, q.to, wish.endOfWish())
	isOurs := err != nil && is.LesseeID == q.to
	if ctx.Err() != nil && (err == nil || isOurs) {
		say.Warn("%s stays, and is asked for no longer", say.Name(q.id))
	}
	if isOurs && ctx.Err() != nil {
		err = r.ReleaseLeaseWithContext(patient, dynamo.LeaseOf(is))
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
		say.Warn("%s is asked for till the lease of %s would end: %s",
			say.Name(q.id), say.Name(q.asked.LesseeID), r.at.Explain(err))
	}
	return v, failed
}
