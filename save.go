package lease

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go/aws/awsutil"
	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// SaveAttributes writes attributes of the caller's own into the row of an item, for as long as the lease holds it: a nil
// value removes that one, others stay as they are. The next holder finds them in [Lease].AttributeValues. It is one write,
// guarded by holder and token as a release is, at one unit for each KB of the whole row, of which DynamoDB takes 400 KB at
// most; all later renewals cost as much. It also takes no more than some 250 attributes at once: an expression has 4 KB. No
// attributes are nothing to save, and no request. The error is bare [LeaseLostError] if the item is another's by now or was
// retired, or if the tenure is over in this process, then without a request. It names an attribute that is the hash key or this
// package's. After any other error, also of a done context, the attributes may have been written, and may be saved again; after
// LeaseLostError too, if a reply was lost: the next holder sees it. Leave some 5 KB of the row to the library.
func (s *LockStore) SaveAttributes(ctx context.Context, lease *Lease, attributes map[string]*dynamodb.AttributeValue) (err error) {
	mine, c, err := s.held(ctx, lease)
	names := slices.Sorted(maps.Keys(attributes))
	if err == nil {
		err = s.checkSave(lease.LeaseID, mine, names)
	}
	if err != nil {
		return err
	}
	now, _ := s.clock.times(time.Now())
	switch {
	case lease.tenure != nil && lease.tenure.over() != nil || c != anyClaim && c.shown.Load() < now:
		return LeaseLostError
	case len(names) == 0:
		return nil
	}
	if t := lease.tenure; t != nil {
		both, cancel := within(ctx, t.ctx)
		defer cancel()
		defer func() {
			if err != nil && t.over() != nil {
				err = LeaseLostError
			}
		}()
		ctx = both
	}
	end, set := c.furthest.Load(), ""
	if c != anyClaim { // Each save moves the row's end on by a nanosecond: a late duplicate must not undo a later one.
		end, set = c.ask(c.shown.Add(1)), ", #until = :until"
	}
	v := mine.own(end)
	saved, update := saving(attributes, names, set, v)
	_, found, err := s.write(ctx, lease.LeaseID, v, saved, ownCondition, update)
	switch {
	case found == nil || err != nil:
		return err
	case c.overtaken(mine, found, end):
		return s.SaveAttributes(ctx, lease, attributes)
	}
	return mine.lost(lease.LeaseID, found)
}

func (s *LockStore) checkSave(leaseID string, mine row, names []string) error {
	for _, name := range names {
		if err := s.notOurs(leaseID, name); err != nil {
			return err
		}
	}
	if mine.FencingToken == 0 {
		return fmt.Errorf("lease: the lease of %q has no fencing token to save attributes under", leaseID)
	}
	return nil
}

// saving returns the expression that saves attributes of these names, and sets what else is to be set, with the placeholders of
// the names. Those of the values it adds to v.
func saving(given attributes, names []string, set string, v attributes) (saved map[string]*string, update string) {
	saved, remove := make(map[string]*string), ""
	for i, name := range names {
		n := fmt.Sprint("s", i)
		if saved["#"+n] = &name; given[name] == nil {
			remove += ", #" + n
			continue
		}
		v[":"+n], set = given[name], set+", #"+n+" = :"+n
	}
	return saved, strings.TrimSpace(strings.Replace(set, ",", "SET", 1) + strings.Replace(remove, ",", " REMOVE", 1))
}

func (s *LockStore) notOurs(leaseID, attribute string) error {
	switch {
	case attribute == s.key || slices.Contains(ours, attribute):
		return fmt.Errorf("lease: the attribute %q of lease ID %q is the library's to write", attribute, leaseID)
	case attribute == "":
		return fmt.Errorf("lease: an attribute of lease ID %q has an empty name", leaseID)
	case !utf8.ValidString(attribute):
		return fmt.Errorf("lease: the attribute %q of lease ID %q has a name that is not valid UTF-8", attribute, leaseID)
	}
	return nil
}

// SaveAttributes is [LockStore.SaveAttributes] for a lease that this Locker holds. It blocks until the reply, or ctx or the
// tenure ends: then with LeaseLostError. A loss that it shows ends the tenure. Work that is told to stop still has its lease: it
// saves what it has done by a context that isn't done, [context.WithoutCancel] of its own, say. The attributes are the caller's
// again when it returns. The error wraps [errors.ErrUnsupported] on a store of two methods.
func (l *Locker) SaveAttributes(ctx context.Context, lease *Lease, attributes map[string]*dynamodb.AttributeValue) error {
	t, err := l.tenureOf(ctx, lease, false)
	switch {
	case err != nil:
		return err
	case t == nil || t.stats != &l.stats:
		return fmt.Errorf("lease: the lease of %q is not one that this Locker holds", lease.LeaseID)
	}
	left, kept := t.expire(), awsutil.CopyOf(&attributes).(*map[string]*dynamodb.AttributeValue)
	if left == 0 {
		return LeaseLostError
	}
	both, cancel := within(ctx, t.ctx)
	defer cancel()
	err = l.stats.wrote(both, l.await(both, left, func(ctx context.Context) error {
		return l.store.SaveAttributes(ctx, t.lease(), *kept)
	}))
	if says(ctx, err, LeaseLostError) || err != nil && t.over() != nil {
		t.finish(LeaseLostError)
		return LeaseLostError
	}
	return err
}

// SaveAttributes says that the store can't.
func (a *adapter) SaveAttributes(context.Context, *Lease, map[string]*dynamodb.AttributeValue) error {
	return fmt.Errorf("lease: the store %T can't save attributes: %w", a.two, errors.ErrUnsupported)
}
