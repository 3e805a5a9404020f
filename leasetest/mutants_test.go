package leasetest_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
)

// These are broken in one way, by which they break more than one promise.

func leasesUnbound(b *broken) {
	b.asSeen = func(c asSeenCall) (*lease.Lease, error) {
		return c.unbound().on(b.Store)
	}
}

func remembersNothing(b *broken) {
	b.asSeen = func(c asSeenCall) (*lease.Lease, error) {
		if _, err := c.on(b.Store); err != nil {
			return nil, err
		}

		// Once more, to the same end, as if nothing was seen.
		c.until = time.Unix(0, b.now(c.id).LeaseUntil)
		return c.unbound().on(b.Store)
	}
}

func remembersItsOwn(b *broken) {
	b.asSeen = func(c asSeenCall) (*lease.Lease, error) {
		c.predecessor = nil
		return c.on(b.Store)
	}
}

func retiresOnly(b *broken) {
	b.retire = func(l *lease.Lease) error { return b.Store.RemoveLease(untenured(l)) }
}

func startsTokensAt41(b *broken) {
	b.add = func(id string, attributes attributeValues) error {
		if attributes == nil {
			attributes = tokenAttribute(41)
		}
		return b.Store.AddLeaseID(id, attributes)
	}
}

// mutants are ways to break a store, with the promise that each breaks.
var mutants = map[string]struct {
	breaks string
	mutate func(b *broken)
}{
	"takes what is held": {
		breaks: "a held item is not obtained by another lessee",
		mutate: leases(func(b *broken, c leaseCall) (*lease.Lease, error) {
			if b.isThere(c.id) && b.Store.Holder(c.id) != c.request.LesseeID() {
				b.free(c.id)
			}
			return c.on(b.Store)
		}),
	},
	"wraps the sentinel": {
		breaks: "a held item is not obtained by another lessee",
		mutate: leases(func(b *broken, c leaseCall) (*lease.Lease, error) {
			l, err := c.on(b.Store)
			if err != nil {
				err = fmt.Errorf("lease of %q: %w", c.id, err)
			}
			return l, err
		}),
	},
	"creates rows": {
		breaks: "an item that is not registered is not obtained",
		mutate: leases(func(b *broken, c leaseCall) (*lease.Lease, error) {
			_ = b.Store.AddLeaseID(c.id, nil)
			return c.on(b.Store)
		}),
	},
	"takes an item early": {
		breaks: "an ended lease can be taken, but never before its end",
		mutate: leases(func(b *broken, c leaseCall) (*lease.Lease, error) {
			if b.isThere(c.id) && time.Until(b.now(c.id).Until) < 50*time.Millisecond {
				b.free(c.id)
			}
			return c.on(b.Store)
		}),
	},
	"never lets go": {
		breaks: "an ended lease can be taken",
		mutate: leases(func(b *broken, c leaseCall) (*lease.Lease, error) {
			until := c.until
			c.until = until.Add(time.Hour)
			l, err := c.on(b.Store)
			if err == nil {
				l.Until = until
			}
			return l, err
		}),
	},
	"checks, then acts": {
		breaks: "of many lessees at once, never two hold an item",
		mutate: leases(func(b *broken, c leaseCall) (*lease.Lease, error) {
			if !b.isThere(c.id) || b.Store.Holder(c.id) != "" {
				return nil, lease.LeaseNotObtainedError
			}
			time.Sleep(time.Millisecond)
			b.Store.Steal(c.id, c.request.LesseeID(), time.Until(c.until))
			row, _ := b.Store.Row(c.id)
			return &lease.Lease{
				LeaseID:         c.id,
				Request:         c.request,
				Until:           c.until,
				AttributeValues: row,
			}, nil
		}),
	},
	"takes what is held, as seen": {
		breaks: "LeaseAsSeen obtains what is free, and nothing that is another's",
		mutate: leasesAsSeen(func(b *broken, c asSeenCall) (*lease.Lease, error) {
			if b.isThere(c.id) && b.Store.Holder(c.id) != c.request.LesseeID() {
				b.Store.Steal(c.id, c.request.LesseeID(), time.Minute)
			}
			return c.unbound().on(b.Store)
		}),
	},
	"shortens what was seen": {
		breaks: "LeaseAsSeen of an own live row begins a tenure, and never moves the end back",
		mutate: leasesUnbound,
	},
	"leases unbound": {
		breaks: "a namesake's Locker gets the row, the older one loses it, and others wait",
		mutate: leasesUnbound,
	},
	"remembers nothing": {
		breaks: "until the end that LeaseAsSeen saw, the item stays with its lessee",
		mutate: remembersNothing,
	},
	"forgets the namesake": {
		breaks: "a namesake's Locker gets the row, the older one loses it, and others wait",
		mutate: remembersNothing,
	},
	"remembers its own": {
		breaks: "LeaseAsSeen of what the predecessor left has nothing new to remember",
		mutate: remembersItsOwn,
	},
	"takes itself for a namesake": {
		breaks: "a Locker that obtains its own item again frees it by one release",
		mutate: remembersItsOwn,
	},
	"forgets in the second step": {
		breaks: "what the predecessor remembers, LeaseAsSeen of what it left remembers too",
		mutate: leasesAsSeen(func(b *broken, c asSeenCall) (*lease.Lease, error) {
			isSecondStep := c.predecessor.FencingToken() == c.seen.FencingToken
			if c.predecessor != nil && isSecondStep {
				return c.unbound().on(b.Store)
			}
			return c.on(b.Store)
		}),
	},
	"refuses what has changed": {
		breaks: "LeaseAsSeen of an own live row that has changed since leases it as it is now",
		mutate: leasesAsSeen(func(b *broken, c asSeenCall) (*lease.Lease, error) {
			if b.isThere(c.id) && b.now(c.id).LeaseUntil != c.seen.LeaseUntil {
				return nil, lease.LeaseNotObtainedError
			}
			return c.on(b.Store)
		}),
	},
	"shortens what has changed": {
		breaks: "LeaseAsSeen of an own live row that has changed since leases it as it is now",
		mutate: leasesAsSeen(func(b *broken, c asSeenCall) (*lease.Lease, error) {
			if b.isThere(c.id) && b.now(c.id).LeaseUntil != c.seen.LeaseUntil {
				return c.unbound().on(b.Store)
			}
			return c.on(b.Store)
		}),
	},
	"rests once": {
		breaks: "until the end that LeaseAsSeen saw, the item stays with its lessee",
		mutate: func(b *broken) {
			b.release = func(l *lease.Lease) error {
				if b.Store.Holder(l.LeaseID) == "" {
					return lease.LeaseLostError
				}
				return b.Store.ReleaseLease(l)
			}
		},
	},
	"ignores contexts": {
		breaks: "a context that is done is honoured",
		mutate: leases(func(b *broken, c leaseCall) (*lease.Lease, error) {
			if c.ctx != nil {
				c.ctx = context.WithoutCancel(c.ctx)
			}
			return c.on(b.Store)
		}),
	},
	"accepts a long duration": {
		breaks: "bad input is refused",
		mutate: leases(func(b *broken, c leaseCall) (*lease.Lease, error) {
			if c.request.LeaseDuration() > 100*365*24*time.Hour {
				c.request = for30s(c.request.LesseeID())
			}
			return c.on(b.Store)
		}),
	},
	"accepts any duration": {
		breaks: "bad input is refused",
		mutate: leases(func(b *broken, c leaseCall) (*lease.Lease, error) {
			if c.request.LeaseDuration() < 0 {
				c.request = for30s(c.request.LesseeID())
			}
			return c.on(b.Store)
		}),
	},
	"shares its attributes": {
		breaks: "the user's attributes survive, and are copies",
		mutate: func(b *broken) {
			shared := make(attributeValues)
			b.lease = func(c leaseCall) (*lease.Lease, error) {
				l, err := c.on(b.Store)
				if err == nil {
					maps.Copy(l.AttributeValues, shared)
					shared["text"] = l.AttributeValues["text"]
				}
				return l, err
			}
		},
	},
	"renews without the token": {
		breaks: "an older tenure touches nothing of a newer one of its own lessee",
		mutate: func(b *broken) {
			b.renew = func(l *lease.Lease, until time.Time) error {
				literal := &lease.Lease{LeaseID: l.LeaseID, Request: l.Request}
				return b.Store.RenewLease(literal, until)
			}
		},
	},
	"renews back": {
		breaks: "a late renewal never moves the end back",
		mutate: func(b *broken) {
			b.renew = func(l *lease.Lease, until time.Time) error {
				row := b.now(l.LeaseID)
				isHeld := row.LesseeID != "" && l.Request != nil
				if isHeld && until.Before(row.Until) {
					b.Store.Steal(l.LeaseID, l.Request.LesseeID(), time.Until(until))
				}
				return b.Store.RenewLease(l, until)
			}
		},
	},
	"says it renewed": {
		breaks: "a renewal moves the end",
		mutate: func(b *broken) {
			b.renew = func(*lease.Lease, time.Time) error { return nil }
		},
	},
	"releases without the token": {
		breaks: "an older tenure touches nothing of a newer one of its own lessee",
		mutate: func(b *broken) {
			b.release = func(l *lease.Lease) error {
				return b.Store.ReleaseLease(withToken(l, b.now(l.LeaseID).FencingToken))
			}
		},
	},
	"forgets the token": {
		breaks: "tokens grow",
		mutate: func(b *broken) {
			b.release = func(l *lease.Lease) error {
				b.Store.Retire(l.LeaseID)
				return b.Store.AddLeaseID(l.LeaseID, tokenAttribute(0))
			}
		},
	},
	"releases once": {
		breaks: "a release frees the item at once, and may be repeated",
		mutate: func(b *broken) {
			b.release = func(l *lease.Lease) error {
				if row, ok := b.Store.Row(l.LeaseID); ok && row["ProcessID"] == nil {
					return lease.LeaseLostError
				}
				return b.Store.ReleaseLease(l)
			}
		},
	},
	"says it released": {
		breaks: "a release frees the item at once",
		mutate: func(b *broken) {
			b.release = func(*lease.Lease) error { return nil }
		},
	},
	"releases the row only": {
		breaks: "a release or a removal ends a Locker's lease in this process",
		mutate: func(b *broken) {
			b.release = func(l *lease.Lease) error { return b.Store.ReleaseLease(untenured(l)) }
		},
	},
	"retires the row only": {
		breaks: "a release or a removal ends a Locker's lease in this process",
		mutate: retiresOnly,
	},
	"loses what it has retired": {
		breaks: "work that removes its own item inside of Hold is fine",
		mutate: retiresOnly,
	},
	"retires what is held": {
		breaks: "an item that someone holds is retired by its holder only",
		mutate: func(b *broken) {
			b.remove = func(id string) error { b.Store.Retire(id); return nil }
		},
	},
	"registers twice": {
		breaks: "an item is registered once",
		mutate: func(b *broken) {
			b.add = func(id string, attributes attributeValues) error {
				if attributes == nil {
					b.Store.Retire(id)
				}
				return b.Store.AddLeaseID(id, attributes)
			}
		},
	},
	"starts all tokens at 41": {
		breaks: "a registered item's token starts at the time in Unix milliseconds",
		mutate: startsTokensAt41,
	},
	"repeats tokens": {
		breaks: "an item that is retired and registered anew never repeats a token",
		mutate: startsTokensAt41,
	},
	"starts tokens itself": {
		breaks: "a registered item's token starts at the time in Unix milliseconds, " +
			"or where its attributes say",
		mutate: func(b *broken) {
			b.add = func(id string, attributes attributeValues) error {
				err := b.Store.AddLeaseID(id, attributes)
				if err != nil || attributes["FencingToken"] == nil {
					return err
				}
				b.Store.Retire(id)
				return b.Store.AddLeaseID(id, nil)
			}
		},
	},
	"accepts any token": {
		breaks: "an item is registered once",
		mutate: func(b *broken) {
			b.add = func(id string, attributes attributeValues) error {
				if token := attributes["FencingToken"]; token != nil && token.N != nil {
					attributes = nil
				}
				return b.Store.AddLeaseID(id, attributes)
			}
		},
	},
	"hides who wants it": {
		breaks: "RenewLeaseItem shows the row",
		mutate: renewsItem(func(b *broken, r renewal) (lease.LeaseItem, error) {
			got, err := r.on(b.Store)
			got.WantedBy, got.WantedUntil = "", 0
			return got, err
		}),
	},
	"shows the row as it was": {
		breaks: "RenewLeaseItem shows the row",
		mutate: renewsItem(func(b *broken, r renewal) (lease.LeaseItem, error) {
			before := b.now(r.l.LeaseID)
			_, err := r.on(b.Store)
			return before, err
		}),
	},
	"shows who wanted it only": {
		breaks: "RenewLeaseItem shows the row",
		mutate: renewsItem(func(b *broken, r renewal) (lease.LeaseItem, error) {
			got, err := r.on(b.Store)
			if got.WantedBy == "" {
				got.WantedUntil = 0
			}
			return got, err
		}),
	},
	"prolongs no wish": {
		breaks: "RenewLeaseItem prolongs a wish",
		mutate: renewsItem(func(b *broken, r renewal) (lease.LeaseItem, error) {
			r.wanted = time.Time{}
			return r.on(b.Store)
		}),
	},
	"prolongs a lessee's wish only": {
		breaks: "RenewLeaseItem prolongs a wish",
		mutate: renewsItem(func(b *broken, r renewal) (lease.LeaseItem, error) {
			if b.now(r.l.LeaseID).WantedBy == "" {
				r.wanted = time.Time{}
			}
			return r.on(b.Store)
		}),
	},
	"loses what nobody wants": {
		breaks: "RenewLeaseItem renews as well where there is no wish to prolong",
		mutate: renewsItem(func(b *broken, r renewal) (lease.LeaseItem, error) {
			if !r.wanted.IsZero() && b.now(r.l.LeaseID).WantedUntil == 0 {
				return lease.LeaseItem{}, lease.LeaseLostError
			}
			return r.on(b.Store)
		}),
	},
	"makes a wish": {
		breaks: "RenewLeaseItem renews as well where there is no wish to prolong",
		mutate: renewsItem(func(b *broken, r renewal) (lease.LeaseItem, error) {
			if seen := b.now(r.l.LeaseID); !r.wanted.IsZero() && seen.WantedUntil == 0 {
				_ = b.Store.WantLease(background, seen, "", r.wanted)
			}
			return r.on(b.Store)
		}),
	},
	"says it wished": {
		breaks: "a wish shows in a scan",
		mutate: func(b *broken) {
			b.want = func(lease.LeaseItem, string, time.Time) error { return nil }
		},
	},
	"never levels out": {
		breaks: "two Lockers share the items by HoldShare",
		mutate: func(b *broken) {
			b.want = func(lease.LeaseItem, string, time.Time) error { return nil }
		},
	},
	"hears the first wish only": {
		breaks: "a wish shows in a scan, may replace another",
		mutate: func(b *broken) {
			b.want = func(seen lease.LeaseItem, by string, until time.Time) error {
				if seen.WantedUntil != 0 {
					return lease.LeaseNotObtainedError
				}
				return b.Store.WantLease(background, seen, by, until)
			}
		},
	},
	"takes no operator's wish": {
		breaks: "a wish shows in a scan, may replace another",
		mutate: func(b *broken) {
			b.want = func(seen lease.LeaseItem, by string, until time.Time) error {
				if by == "" {
					return lease.LeaseNotObtainedError
				}
				return b.Store.WantLease(background, seen, by, until)
			}
		},
	},
	"wishes by force": {
		breaks: "a wish shows in a scan, may replace another, and changes nothing else",
		mutate: func(b *broken) {
			b.want = func(seen lease.LeaseItem, by string, until time.Time) error {
				isByLessee := by != "" && seen.LesseeID != ""
				isAsSeen := b.now(seen.LeaseID).FencingToken == seen.FencingToken
				if !isByLessee || !isAsSeen {
					return b.Store.WantLease(background, seen, by, until)
				}
				b.give(seen.LeaseID, by, seen.FencingToken, until)
				return nil
			}
		},
	},
	"wishes of any holder": {
		breaks: "a wish for what isn't as it was seen is refused",
		mutate: wants(func(seen, now lease.LeaseItem) lease.LeaseItem {
			if seen.LesseeID != "" {
				seen.LesseeID = now.LesseeID
			}
			return seen
		}),
	},
	"wishes through tenures": {
		breaks: "a wish for what isn't as it was seen is refused",
		mutate: wants(func(seen, now lease.LeaseItem) lease.LeaseItem {
			seen.FencingToken = now.FencingToken
			return seen
		}),
	},
	"wishes through wishes": {
		breaks: "a wish for what isn't as it was seen is refused",
		mutate: wants(func(seen, now lease.LeaseItem) lease.LeaseItem {
			seen.WantedUntil = now.WantedUntil
			return seen
		}),
	},
	"wraps a refused wish": {
		breaks: "a wish for what isn't as it was seen is refused: bare",
		mutate: func(b *broken) {
			b.want = func(seen lease.LeaseItem, by string, until time.Time) error {
				if err := b.Store.WantLease(background, seen, by, until); err != nil {
					return fmt.Errorf("wish for %q: %w", seen.LeaseID, err)
				}
				return nil
			}
		},
	},
	"creates rows to wish for": {
		breaks: "a wish for what isn't as it was seen is refused",
		mutate: func(b *broken) {
			b.want = func(seen lease.LeaseItem, by string, until time.Time) error {
				if seen.LeaseID != "" {
					_ = b.Store.AddLeaseID(seen.LeaseID, nil)
				}
				return b.Store.WantLease(background, seen, by, until)
			}
		},
	},
	"keeps a wish when it leases": {
		breaks: "a lease and a release remove the wish",
		mutate: leases(func(b *broken, c leaseCall) (*lease.Lease, error) {
			was := b.now(c.id)
			l, err := c.on(b.Store)
			isGone := was.WantedUntil != 0 && b.now(c.id).WantedUntil == 0
			if err == nil && isGone {
				until := time.Unix(0, was.WantedUntil)
				_ = b.Store.WantLease(background, b.now(c.id), was.WantedBy, until)
			}
			return l, err
		}),
	},
	"removes an own item's wish": {
		breaks: "a lease of the lessee's own item keeps another's wish",
		mutate: leases(func(b *broken, c leaseCall) (*lease.Lease, error) {
			was := b.now(c.id)
			l, err := c.on(b.Store)
			if err == nil && was.WantedBy != "" {
				b.give(c.id, l.Request.LesseeID(), l.FencingToken(), l.Until)
			}
			return l, err
		}),
	},
	"removes an own item's wish as seen": {
		breaks: "a lease of the lessee's own item keeps another's wish",
		mutate: leasesAsSeen(func(b *broken, c asSeenCall) (*lease.Lease, error) {
			was := b.now(c.id)
			l, err := c.on(b.Store)
			if err == nil && was.WantedUntil != 0 {
				b.give(c.id, l.Request.LesseeID(), l.FencingToken(), l.Until)
			}
			return l, err
		}),
	},
	"removes an own item's wish that is an operator's": {
		breaks: "a lease of the lessee's own item keeps another's wish",
		mutate: leases(func(b *broken, c leaseCall) (*lease.Lease, error) {
			was := b.now(c.id)
			l, err := c.on(b.Store)
			if err == nil && was.WantedBy == "" && was.WantedUntil != 0 {
				b.give(c.id, l.Request.LesseeID(), l.FencingToken(), l.Until)
			}
			return l, err
		}),
	},
	"says it withdrew": {
		breaks: "WithdrawWish removes the wish",
		mutate: withdraws(func(b *broken, w withdrawal) (lease.LeaseItem, error) {
			return b.now(w.seen.LeaseID), nil
		}),
	},
	"withdraws what was written only": {
		breaks: "WithdrawWish removes the wish, also one that was prolonged",
		mutate: withdraws(func(b *broken, w withdrawal) (lease.LeaseItem, error) {
			now := b.now(w.seen.LeaseID)
			if now.WantedUntil != w.until.UnixNano() {
				return now, nil
			}
			return w.on(b.Store)
		}),
	},
	"shows no row when it withdraws": {
		breaks: "WithdrawWish removes the wish, also one that was prolonged, and shows the row",
		mutate: withdraws(func(b *broken, w withdrawal) (lease.LeaseItem, error) {
			_, err := w.on(b.Store)
			return lease.LeaseItem{LeaseID: w.seen.LeaseID}, err
		}),
	},
	"withdraws anybody's wish": {
		breaks: "WithdrawWish removes no other wish",
		mutate: withdraws(func(b *broken, w withdrawal) (lease.LeaseItem, error) {
			now := b.now(w.seen.LeaseID)
			if now.LesseeID != w.by {
				w.by = now.WantedBy
			}
			return w.on(b.Store)
		}),
	},
	"has to have something to withdraw": {
		breaks: "WithdrawWish removes no other wish, and none is fine",
		mutate: withdraws(func(b *broken, w withdrawal) (lease.LeaseItem, error) {
			now := b.now(w.seen.LeaseID)
			if now.WantedUntil == 0 {
				return now, lease.LeaseNotObtainedError
			}
			return w.on(b.Store)
		}),
	},
	"withdraws from a reservation": {
		breaks: "WithdrawWish after the handover is refused",
		mutate: withdraws(func(b *broken, w withdrawal) (lease.LeaseItem, error) {
			now := b.now(w.seen.LeaseID)
			if w.by != "" && now.LesseeID == w.by {
				b.give(w.seen.LeaseID, w.by, now.FencingToken, now.Until)
				return b.now(w.seen.LeaseID), nil
			}
			return w.on(b.Store)
		}),
	},
	"wraps a refused withdrawal": {
		breaks: "WithdrawWish after the handover is refused: bare",
		mutate: withdraws(func(b *broken, w withdrawal) (lease.LeaseItem, error) {
			item, err := w.on(b.Store)
			if err != nil {
				return item, fmt.Errorf("withdrawal: %w", err)
			}
			return item, nil
		}),
	},
	"keeps a wish when it releases": {
		breaks: "a lease and a release remove the wish",
		mutate: func(b *broken) {
			kept := make(map[string]lease.LeaseItem)
			b.release = func(l *lease.Lease) error {
				was := b.now(l.LeaseID)
				err := b.Store.ReleaseLease(l)
				if err == nil && was.WantedUntil != 0 {
					kept[l.LeaseID] = was
				}
				return err
			}
			b.scan = func(after string) ([]lease.LeaseItem, string, error) {
				items, next, err := b.Store.ScanLeaseItems(after, 0)
				for i, item := range items {
					if was := kept[item.LeaseID]; item.LesseeID == "" {
						items[i].WantedBy, items[i].WantedUntil = was.WantedBy, was.WantedUntil
					}
				}
				return items, next, err
			}
		},
	},
	"removes nothing": {
		breaks: "SaveAttributes sets and removes attributes",
		mutate: saves(func(_ *broken, l *lease.Lease, attributes attributeValues) *lease.Lease {
			maps.DeleteFunc(attributes, func(_ string, value *dynamodb.AttributeValue) bool {
				return value == nil
			})
			return l
		}),
	},
	"saves of any tenure": {
		breaks: "SaveAttributes saves nothing when the lease is over",
		mutate: saves(func(b *broken, l *lease.Lease, _ attributeValues) *lease.Lease {
			if row := b.now(l.LeaseID); row.LesseeID == l.Request.LesseeID() {
				return withToken(l, row.FencingToken)
			}
			return l
		}),
	},
	"saves of any lessee": {
		breaks: "SaveAttributes saves nothing when the lease is over",
		mutate: saves(func(b *broken, l *lease.Lease, _ attributeValues) *lease.Lease {
			row := b.now(l.LeaseID)
			holders := &lease.Lease{LeaseID: l.LeaseID, Request: for30s(row.LesseeID)}
			return withToken(holders, row.FencingToken)
		}),
	},
	"saves in silence": {
		breaks: "SaveAttributes saves nothing when the lease is over: bare",
		mutate: func(b *broken) {
			b.save = func(l *lease.Lease, attributes attributeValues) error {
				err := b.Store.SaveAttributes(background, l, attributes)
				if err != lease.LeaseLostError {
					return err
				}
				return nil
			}
		},
	},
	"saves once": {
		breaks: "SaveAttributes sets and removes attributes",
		mutate: func(b *broken) {
			again := false
			b.save = func(l *lease.Lease, attributes attributeValues) error {
				if again {
					return nil
				}
				again = true
				return b.Store.SaveAttributes(background, l, attributes)
			}
		},
	},
	"saves an older lease's": {
		breaks: "a Locker saves attributes under the lease that it holds",
		mutate: func(b *broken) {
			b.save = func(l *lease.Lease, attributes attributeValues) error {
				row := b.now(l.LeaseID)
				if row.LesseeID == l.Request.LesseeID() && l.Context().Err() == nil {
					l = withToken(l, row.FencingToken)
				}
				return b.Store.SaveAttributes(background, l, attributes)
			}
		},
	},
	"releases only": {
		breaks: "a handover reserves the item for who wants it",
		mutate: handsOver(func(b *broken, h handover) bool {
			return b.Store.ReleaseLease(h.l) == nil
		}),
	},
	"begins a tenure for another": {
		breaks: "a handover reserves the item for who wants it, and keeps token",
		mutate: handsOver(func(b *broken, h handover) bool {
			if h.row.WantedBy != "" {
				b.give(h.l.LeaseID, h.row.WantedBy, h.row.FencingToken+1, h.until)
			}
			return h.row.WantedBy != ""
		}),
	},
	"removes the wish that it fulfils": {
		breaks: "a handover reserves the item for who wants it, and keeps token and wish",
		mutate: handsOver(func(b *broken, h handover) bool {
			if h.row.WantedBy != "" {
				b.give(h.l.LeaseID, h.row.WantedBy, h.row.FencingToken, h.until)
			}
			return h.row.WantedBy != ""
		}),
	},
	"reserves for an hour": {
		breaks: "a handover reserves the item for who wants it",
		mutate: func(b *broken) {
			b.handOver = func(l *lease.Lease, until time.Time) error {
				return b.Store.HandOverLease(background, l, until.Add(time.Hour))
			}
		},
	},
	"hands over to who was first": {
		breaks: "a handover is to who wants the item at that moment",
		mutate: func(b *broken) {
			first := make(map[int64]string) // by token
			b.want = func(seen lease.LeaseItem, by string, until time.Time) error {
				if seen.WantedUntil == 0 {
					first[seen.FencingToken] = by
				}
				return b.Store.WantLease(background, seen, by, until)
			}
			b.handOver = func(l *lease.Lease, until time.Time) error {
				token := l.FencingToken()
				if b.isOf(l) && first[token] != "" {
					b.give(l.LeaseID, first[token], token, until)
					return nil
				}
				return b.Store.HandOverLease(background, l, until)
			}
		},
	},
	"keeps what nobody wants": {
		breaks: "a handover to nobody, or to the holder itself, is a release",
		mutate: handsOver(func(_ *broken, h handover) bool {
			return h.row.WantedUntil == 0
		}),
	},
	"keeps what an operator wants": {
		breaks: "a handover to nobody, or to the holder itself, is a release",
		mutate: handsOver(func(_ *broken, h handover) bool {
			return h.row.WantedUntil != 0 && h.row.WantedBy == ""
		}),
	},
	"hands over to the past": {
		breaks: "a handover to nobody, or to the holder itself, is a release",
		mutate: handsOver(func(b *broken, h handover) bool {
			if h.row.WantedUntil < time.Now().UnixNano() {
				_ = b.Store.WantLease(background, h.row, h.row.WantedBy, h.until)
			}
			return false
		}),
	},
	"hands over to itself": {
		breaks: "a handover to nobody, or to the holder itself, is a release",
		mutate: handsOver(func(_ *broken, h handover) bool {
			return h.row.WantedBy == h.row.LesseeID
		}),
	},
	"hands over to the far future": {
		breaks: "a handover heeds no wish that is too far ahead, and frees the item",
		mutate: handsOver(func(b *broken, h handover) bool {
			if h.row.WantedUntil > h.until.UnixNano() {
				_ = b.Store.WantLease(background, h.row, h.row.WantedBy, h.until)
			}
			return false
		}),
	},
	"looks ahead for 10 minutes": {
		breaks: "a handover heeds no wish that is too far ahead",
		mutate: handsOver(func(b *broken, h handover) bool {
			farthest := time.Now().Add(10 * time.Minute).UnixNano()
			return h.row.WantedUntil > farthest && b.Store.ReleaseLease(h.l) == nil
		}),
	},
	"looks ahead by its own duration": {
		breaks: "a handover heeds no wish that is too far ahead",
		mutate: handsOver(func(b *broken, h handover) bool {
			tenMinutes := 10 * time.Minute
			ahead := max(tenMinutes, 3*h.l.Request.LeaseDuration())
			farthest := time.Now().Add(ahead).UnixNano()
			return h.row.WantedUntil > farthest && b.Store.ReleaseLease(h.l) == nil
		}),
	},
	"hands over once": {
		breaks: "a handover may be repeated",
		mutate: func(b *broken) {
			b.handOver = func(l *lease.Lease, until time.Time) error {
				if row := b.now(l.LeaseID); row.LesseeID != l.Request.LesseeID() {
					return lease.LeaseLostError
				}
				return b.Store.HandOverLease(background, l, until)
			}
		},
	},
	"prolongs a reservation": {
		breaks: "a handover may be repeated",
		mutate: func(b *broken) {
			b.handOver = func(l *lease.Lease, until time.Time) error {
				row := b.now(l.LeaseID)
				isAnothers := row.LesseeID != "" && row.LesseeID != l.Request.LesseeID()
				if isAnothers && row.FencingToken == l.FencingToken() {
					b.give(l.LeaseID, row.LesseeID, row.FencingToken, until)
				}
				return b.Store.HandOverLease(background, l, until)
			}
		},
	},
	"hands over what is lost": {
		breaks: "a handover may be repeated, but not when the lease is lost",
		mutate: func(b *broken) {
			b.handOver = func(l *lease.Lease, until time.Time) error {
				if err := b.Store.HandOverLease(background, l, until); err != lease.LeaseLostError {
					return err
				}
				return nil
			}
		},
	},
	"hands over without the token": {
		breaks: "a handover may be repeated, but not when the lease is lost",
		mutate: func(b *broken) {
			b.handOver = func(l *lease.Lease, until time.Time) error {
				newest := withToken(l, b.now(l.LeaseID).FencingToken)
				return b.Store.HandOverLease(background, newest, until)
			}
		},
	},
	"hands over past a namesake": {
		breaks: "a handover before the end that a namesake relies on is a release",
		mutate: remembersNamesakes(func(b *broken, h handover) bool {
			if h.row.WantedBy != "" {
				b.give(h.l.LeaseID, h.row.WantedBy, h.row.FencingToken, h.until)
			}
			return h.row.WantedBy != ""
		}),
	},
	"frees what a namesake is past": {
		breaks: "a handover after the end that a namesake relied on reserves the item",
		mutate: remembersNamesakes(func(b *broken, h handover) bool {
			return b.Store.ReleaseLease(h.l) == nil
		}),
	},
	"hands the row over only": {
		breaks: "a release or a removal ends a Locker's lease in this process",
		mutate: func(b *broken) {
			b.handOver = func(l *lease.Lease, until time.Time) error {
				return b.Store.HandOverLease(background, untenured(l), until)
			}
		},
	},
	"scans from anything": {
		breaks: "bad input is refused",
		mutate: func(b *broken) {
			b.scan = func(after string) ([]lease.LeaseItem, string, error) {
				return b.Store.ScanLeaseItems(strings.ToValidUTF8(after, "?"), 0)
			}
		},
	},
	"hides the tenure": {
		breaks: "listing and scanning show every item once, and who holds it",
		mutate: func(b *broken) {
			b.scan = func(after string) ([]lease.LeaseItem, string, error) {
				items, next, err := b.Store.ScanLeaseItems(after, 0)
				for i := range items {
					items[i].FencingToken, items[i].LeaseUntil = 0, 0
				}
				return items, next, err
			}
		},
	},
	"always scans from the start": {
		breaks: "a scan goes on after any string",
		mutate: func(b *broken) {
			b.scan = func(string) ([]lease.LeaseItem, string, error) {
				return b.Store.ScanLeaseItems("", 0)
			}
		},
	},
	"hides the holder": {
		breaks: "listing and scanning show every item once, and who holds it",
		mutate: func(b *broken) {
			b.scan = func(after string) ([]lease.LeaseItem, string, error) {
				items, next, err := b.Store.ScanLeaseItems(after, 0)
				for i := range items {
					items[i].LesseeID = ""
				}
				return items, next, err
			}
		},
	}, "writes no weight": {
		breaks: "a renewal writes the weight that a Locker's lease has measured",
		mutate: renewsItem(func(b *broken, r renewal) (lease.LeaseItem, error) {
			r.l = untenured(r.l)
			return r.on(b.Store)
		}),
	},
	"writes a weight where there is a wish only": {
		breaks: "a renewal writes the weight that a Locker's lease has measured",
		mutate: renewsItem(func(b *broken, r renewal) (lease.LeaseItem, error) {
			if r.wanted.IsZero() {
				r.l = untenured(r.l)
			}
			return r.on(b.Store)
		}),
	},
	"writes another weight": {
		breaks: "a renewal writes no weight that is near to the row's",
		mutate: renewsItem(func(b *broken, r renewal) (lease.LeaseItem, error) {
			r.l.SetWeight(1e6)
			return r.on(b.Store)
		}),
	},
	"registers without the weight": {
		breaks: "an item may be registered with its weight",
		mutate: func(b *broken) {
			b.add = func(id string, attributes attributeValues) error {
				attributes = maps.Clone(attributes)
				delete(attributes, "LeaseWeight")
				return b.Store.AddLeaseID(id, attributes)
			}
		},
	},
	"writes no capacity": {
		breaks: "a worker's capacity is the row's for as long as it holds the item",
		mutate: leases(func(b *broken, c leaseCall) (*lease.Lease, error) {
			if c.request != nil {
				c.request = onlyTerms{c.request}
			}
			return c.on(b.Store)
		}),
	},
	"takes any capacity": {
		breaks: "bad input is refused",
		mutate: leases(func(b *broken, c leaseCall) (*lease.Lease, error) {
			if c.request != nil {
				c.request = onlyTerms{c.request}
			}
			return c.on(b.Store)
		}),
	},
	"shows no capacity": {
		breaks: "a worker's capacity is the row's for as long as it holds the item",
		mutate: func(b *broken) {
			b.scan = func(after string) ([]lease.LeaseItem, string, error) {
				items, next, err := b.Store.ScanLeaseItems(after, 0)
				for i := range items {
					items[i].Capacity = 0
				}
				return items, next, err
			}
		},
	},
	"shows no weight": {
		breaks: "a renewal writes the weight that a Locker's lease has measured",
		mutate: func(b *broken) {
			b.scan = func(after string) ([]lease.LeaseItem, string, error) {
				items, next, err := b.Store.ScanLeaseItems(after, 0)
				for i := range items {
					items[i].Weight = 0
				}
				return items, next, err
			}
		},
	},
	"reads no wish": {
		breaks: "one item is read as it is at that moment",
		mutate: func(b *broken) {
			b.get = func(id string) (lease.LeaseItem, error) {
				item, err := b.Store.GetLeaseItem(background, id)
				item.WantedBy, item.WantedUntil = "", 0
				return item, err
			}
		},
	},
	"reads what isn't there": {
		breaks: "one item is read as it is at that moment",
		mutate: func(b *broken) {
			b.get = func(id string) (lease.LeaseItem, error) {
				item, err := b.Store.GetLeaseItem(background, id)
				if errors.Is(err, lease.LeaseIDUnknownError) {
					return lease.LeaseItem{LeaseID: id}, nil
				}
				return item, err
			}
		},
	},
}

// onlyTerms is a request without its capacity.
type onlyTerms struct{ lease.LeaseRequest }
