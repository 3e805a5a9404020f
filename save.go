package lease

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// SaveAttributes writes attributes of the caller's own into the row of an item, for as long as the lease holds it: a nil
// value removes that one, others stay as they are. The next holder finds them in [Lease].AttributeValues. It is one write,
// guarded by holder and token as a release is, at one unit for each KB of the whole row, of which DynamoDB takes 400 KB at
// most; all later renewals cost as much. It also takes no more than some 250 attributes at once: an expression has 4 KB. No
// attributes are nothing to save, and no request. The error is bare [LeaseLostError] if the item is another's by now or was
// retired, and, without a request, if the tenure is over in this process. It names an attribute that is the hash key or this
// package's. After any other error, also of a done context, the attributes may have been written, and may be saved again.
func (s *LockStore) SaveAttributes(ctx context.Context, lease *Lease, attributes map[string]*dynamodb.AttributeValue) error {
	mine, c, err := s.held(ctx, lease)
	if err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(attributes))
	for _, name := range names {
		if err := s.notOurs(lease.LeaseID, name); err != nil {
			return err
		}
	}
	now, _ := s.clock.times(time.Now())
	switch {
	case mine.FencingToken == 0:
		return fmt.Errorf("lease: the lease of %q has no fencing token to save attributes under", lease.LeaseID)
	case lease.tenure != nil && lease.tenure.over() != nil || lease.tenure == nil && c.furthest.Load() < now:
		return LeaseLostError
	case len(attributes) == 0:
		return nil
	}
	end, set, remove := c.furthest.Load(), "", ""
	if c != anyClaim { // Each save moves the row's end on a little: a late duplicate must not undo a later one.
		end, set = c.furthest.Add(1), ", #until = :until"
	}
	v, saved := mine.own(end), make(map[string]*string)
	for i, name := range names {
		n := fmt.Sprint("s", i)
		if saved["#"+n] = &name; attributes[name] == nil {
			remove += ", #" + n
			continue
		}
		v[":"+n], set = attributes[name], set+", #"+n+" = :"+n
	}
	update := strings.TrimSpace(strings.Replace(set, ",", "SET", 1) + strings.Replace(remove, ",", " REMOVE", 1))
	_, found, err := s.write(ctx, lease.LeaseID, v, saved, ownCondition, update)
	switch {
	case found == nil || err != nil:
		return err
	case mine.holds(found) && found.LeaseUntil > end && found.LeaseUntil <= c.furthest.Load():
		return s.SaveAttributes(ctx, lease, attributes) // A renewal or another save of the tenure has overtaken it.
	}
	return mine.lost(lease.LeaseID, found)
}

func (s *LockStore) notOurs(leaseID, attribute string) error {
	switch {
	case attribute == s.key || slices.Contains(ours, attribute):
		return fmt.Errorf("lease: the attribute %q of lease ID %q is the library's to write", attribute, leaseID)
	case attribute == "":
		return fmt.Errorf("lease: an attribute of lease ID %q has an empty name", leaseID)
	}
	return nil
}

// SaveAttributes is [LockStore.SaveAttributes] for a lease that this Locker holds, or a bare one, which it holds from then on. It
// blocks until the reply, or ctx or the tenure ends: then with LeaseLostError. A loss that it shows ends the tenure. Work that is
// told to stop still has its lease: it saves what it has done by a context that isn't done, [context.WithoutCancel] of its own,
// say. The error wraps [errors.ErrUnsupported] on a store of two methods.
func (l *Locker) SaveAttributes(ctx context.Context, lease *Lease, attributes map[string]*dynamodb.AttributeValue) error {
	t, err := l.tenureOf(ctx, lease)
	if err != nil {
		return err
	}
	left := t.expire()
	if left == 0 {
		return LeaseLostError
	}
	both, cancel := within(ctx, t.ctx)
	defer cancel()
	err = l.stats.wrote(both, l.await(both, left, func(ctx context.Context) error {
		return l.store.SaveAttributes(ctx, t.lease(), attributes)
	}))
	if errors.Is(err, LeaseLostError) || err != nil && ctx.Err() == nil && t.over() != nil {
		t.finish(LeaseLostError)
		return LeaseLostError
	}
	return err
}

// SaveAttributes says that the store can't.
func (a *adapter) SaveAttributes(context.Context, *Lease, map[string]*dynamodb.AttributeValue) error {
	return fmt.Errorf("lease: the store %T can't save attributes: %w", a.two, errors.ErrUnsupported)
}
