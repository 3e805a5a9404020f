package lease

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go/service/dynamodb"
)

// SaveAttributes writes attributes of the caller's own into the row of an item, for as
// long as the lease holds it: a nil value removes that one, others stay as they are.
// The next holder finds them in [Lease].AttributeValues. It is one write, guarded by
// holder and token as a release is, at one unit for each KB of the whole row, of which
// DynamoDB takes 400 KB at most; all later renewals cost as much. It also takes no more
// than some 250 attributes at once: an expression has 4 KB. No attributes are nothing
// to save, and no request.
//
// The error is bare [LeaseLostError] if the item is another's by now or was retired, or
// if the tenure is over in this process, then without a request. It names an attribute
// that is the hash key or this package's. After any other error, also of a done
// context, the attributes may have been written, and may be saved again; after
// LeaseLostError too, if a reply was lost: the next holder sees it. Leave some 5 KB of
// the row to the library.
func (s *LockStore) SaveAttributes(
	ctx context.Context, lease *Lease, attributes map[string]*dynamodb.AttributeValue,
) error {
	mine, err := s.holderOf(ctx, lease)
	if err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(attributes))
	if err := s.checkSave(lease.LeaseID, mine, names); err != nil {
		return err
	}
	if lease.isOver() {
		return LeaseLostError
	}
	if len(names) == 0 {
		return nil
	}
	both, cancel := lease.whileHeld(ctx)
	defer cancel()
	err = s.save(both, mine, lease.LeaseID, attributes, names)
	if err != nil && lease.isOver() {
		return LeaseLostError
	}
	return err
}

// checkEnd returns LeaseLostError if the row's end is known, and past.
func (s *LockStore) checkEnd(ctx context.Context, mine holder) error {
	if mine.claim == unknownClaim {
		return nil
	}
	now, err := s.past(ctx)
	if err != nil {
		return err
	}
	if mine.claim.furthestShown.Load() < now {
		return LeaseLostError
	}
	return nil
}

// save sends the write; again, if a later write of the same tenure has overtaken it.
func (s *LockStore) save(
	ctx context.Context, mine holder, leaseID string, given attributes, names []string,
) error {
	if err := s.checkEnd(ctx, mine); err != nil {
		return err
	}
	for {
		end := mine.claim.furthestAsked.Load()
		sets := []string{}
		if mine.claim != unknownClaim {
			// Each save moves the row's end on by a nanosecond: a late duplicate must
			// not undo a later one. What it is to show is noted now, so that saves side
			// by side have different ends.
			end = mine.claim.ask(mine.claim.furthestShown.Add(1))
			sets = append(sets, "#until = :until")
		}
		w := write{
			leaseID:   leaseID,
			condition: ownCondition,
			values:    mine.own(end),
			holder:    mine.lessee,
			token:     mine.token,
		}
		w.setAll(given, names, sets)
		got, err := s.update(ctx, w)
		if err != nil {
			return err
		}
		if got.verdict == applied {
			return nil
		}
		if mine.refusal(got.row, end) != overtaken {
			return mine.lost(leaseID, got.row)
		}
	}
}

// setAll has the write set or remove the attributes of these names, and do sets.
func (w *write) setAll(given attributes, names, sets []string) {
	w.names = make(map[string]*string)
	var removes []string
	for i, name := range names {
		placeholder := fmt.Sprint("s", i)
		w.names["#"+placeholder] = &name
		if given[name] == nil {
			removes = append(removes, "#"+placeholder)
			continue
		}
		w.values[":"+placeholder] = given[name]
		sets = append(sets, "#"+placeholder+" = :"+placeholder)
	}
	var clauses []string
	if len(sets) > 0 {
		clauses = append(clauses, "SET "+strings.Join(sets, ", "))
	}
	if len(removes) > 0 {
		clauses = append(clauses, "REMOVE "+strings.Join(removes, ", "))
	}
	w.update = strings.Join(clauses, " ")
}

func (s *LockStore) checkSave(leaseID string, mine holder, names []string) error {
	for _, name := range names {
		if err := s.checkUsers(leaseID, name); err != nil {
			return err
		}
	}
	if mine.token == 0 {
		return fmt.Errorf("lease: the lease of %q has no fencing token to save attributes under", leaseID)
	}
	return nil
}

// checkUsers tells what is wrong with an attribute that is to be the user's.
func (s *LockStore) checkUsers(leaseID, attribute string) error {
	if attribute == s.key || slices.Contains(ours, attribute) {
		return fmt.Errorf("lease: the attribute %q of lease ID %q is the library's to write", attribute, leaseID)
	}
	if attribute == "" {
		return fmt.Errorf("lease: an attribute of lease ID %q has an empty name", leaseID)
	}
	if !utf8.ValidString(attribute) {
		return fmt.Errorf("lease: the attribute %q of lease ID %q has a name that is not valid UTF-8",
			attribute, leaseID)
	}
	return nil
}
