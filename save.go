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
// most; all later renewals cost as much. No attributes are nothing to save, and no request. The error is bare
// [LeaseLostError] if the item is another's by now or was retired, and, without a request, if the tenure is over in this
// process. It names an attribute that is the hash key or this package's. After any other error the attributes may have been
// written, and may be saved again; a repeated save changes nothing more.
func (s *LockStore) SaveAttributes(ctx context.Context, lease *Lease, attributes map[string]*dynamodb.AttributeValue) error {
	mine, c, err := s.held(ctx, lease)
	if err = s.ready(ctx, err); err != nil {
		return err
	}
	v, names, update, err := s.saving(lease.LeaseID, attributes, c != anyClaim)
	now, _ := s.clock.times(time.Now())
	switch {
	case err != nil:
		return err
	case mine.FencingToken == 0:
		return fmt.Errorf("lease: the lease of %q has no fencing token to save attributes under", lease.LeaseID)
	case lease.tenure != nil && lease.tenure.over() != nil || lease.tenure == nil && c.furthest.Load() < now:
		return LeaseLostError
	case len(attributes) == 0:
		return nil
	}
	end := c.furthest.Load()
	if c != anyClaim { // Each save moves the row's end on a little: a late duplicate must not undo a later one.
		end = c.furthest.Add(1)
	}
	maps.Copy(v, mine.own(end))
	maps.Copy(names, s.names(ownCondition))
	_, found, err := s.updateNamed(ctx, lease.LeaseID, names, v, ownCondition, update)
	switch {
	case found == nil || err != nil:
		return err
	case mine.holds(found) && found.LeaseUntil > end && found.LeaseUntil <= c.furthest.Load():
		return s.SaveAttributes(ctx, lease, attributes) // A renewal or another save of the tenure has overtaken it.
	}
	return mine.lost(lease.LeaseID, found)
}

// saving returns the expression that saves attributes, in the order of their names, with its placeholders.
func (s *LockStore) saving(leaseID string, given attributes, withEnd bool) (v attributes, names map[string]*string, update string, err error) {
	v, names = make(attributes), make(map[string]*string)
	var set, remove []string
	if withEnd {
		set = append(set, "#until = :until")
	}
	for i, name := range slices.Sorted(maps.Keys(given)) {
		if err := s.notOurs(leaseID, name); err != nil {
			return nil, nil, "", err
		}
		n := fmt.Sprintf("#saved%d", i)
		names[n] = &name
		if given[name] == nil {
			remove = append(remove, n)
		} else {
			v[":"+n[1:]] = given[name]
			set = append(set, n+" = :"+n[1:])
		}
	}
	if set != nil {
		update = "SET " + strings.Join(set, ", ")
	}
	if remove != nil {
		update += " REMOVE " + strings.Join(remove, ", ")
	}
	return v, names, strings.TrimSpace(update), nil
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

// SaveAttributes is [LockStore.SaveAttributes] for a lease that this Locker holds. A loss that it shows ends the tenure, and
// the end of the tenure ends it, with LeaseLostError. The error wraps [errors.ErrUnsupported] on a store of two methods.
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
	err = l.await(both, left, func(ctx context.Context) error {
		return l.store.SaveAttributes(ctx, t.lease(), attributes)
	})
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
