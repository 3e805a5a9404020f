package leasetest

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
)

var inputPromises = []promise{
	{
		says:  "a context that is done is honoured",
		items: one,
		test:  cancelled,
	},
	{
		says:  "bad input is refused with an error that says what is wrong",
		items: one,
		test:  badInput,
	},
}

// withContext calls each method that takes a context, by its name.
func (c *conformance) withContext(ctx context.Context, l *lease.Lease) map[string]error {
	until := fromNow(time.Hour)
	seen := lease.LeaseItem{LeaseID: item}
	held := lease.LeaseItem{LeaseID: item, LesseeID: "w1", FencingToken: l.FencingToken()}
	attributes := map[string]*dynamodb.AttributeValue{"a": text("x")}

	errs := make(map[string]error)
	_, errs["Lease"] = c.LeaseWithContext(ctx, item, l.Request, until)
	_, errs["LeaseAsSeen"] = c.LeaseAsSeen(ctx, seen, nil, l.Request, until)
	_, errs["ListLeaseIDs"] = c.ListLeaseIDsWithContext(ctx)
	_, _, errs["ScanLeaseItems"] = c.ScanLeaseItemsWithContext(ctx, "", 0)
	_, errs["RenewLeaseItem"] = c.RenewLeaseItem(ctx, l, until, until)
	errs["RenewLease"] = c.RenewLeaseWithContext(ctx, l, until)
	errs["ReleaseLease"] = c.ReleaseLeaseWithContext(ctx, l)
	errs["AddLeaseID"] = c.AddLeaseIDWithContext(ctx, "new", nil)
	errs["RemoveLeaseID"] = c.RemoveLeaseIDWithContext(ctx, item)
	errs["RemoveLease"] = c.RemoveLeaseWithContext(ctx, l)
	errs["WantLease"] = c.WantLease(ctx, held, "w2", until)
	_, errs["WithdrawWish"] = c.WithdrawWish(ctx, held, "w2", until)
	errs["HandOverLease"] = c.HandOverLease(ctx, l, until)
	errs["SaveAttributes"] = c.SaveAttributes(ctx, l, attributes)
	return errs
}

func cancelled(c *conformance) {
	l := c.obtain("w1")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for name, err := range c.withContext(ctx, l) {
		if !errors.Is(err, context.Canceled) {
			c.Errorf("%s with a cancelled context = %v; want context.Canceled", name, err)
		}
	}
	ctx, cancel = context.WithDeadline(context.Background(), fromNow(-time.Second))
	defer cancel()
	for name, err := range c.withContext(ctx, l) {
		if !errors.Is(err, context.DeadlineExceeded) {
			c.Errorf("%s after its deadline = %v; want context.DeadlineExceeded", name, err)
		}
	}
	c.shows("w1", l.Until)
}

// refusal is how a call with bad input ended.
type refusal struct {
	err  error
	says string // words that the error must have
}

// missing returns the first word that the error doesn't have; "" if it has all.
func (r refusal) missing() string {
	for word := range strings.FieldsSeq(r.says) {
		if r.err == nil || !strings.Contains(r.err.Error(), word) {
			return word
		}
	}
	return ""
}

func badInput(c *conformance) {
	held := c.obtain("w1")
	refusals := slices.Concat(
		badLeasing(c),
		badRenewals(c, held),
		badWishes(c, held),
		badSaves(c, held),
		badReleases(c),
		badItems(c),
	)
	for _, bad := range refusals {
		if bad.missing() != "" {
			c.Errorf("got %v; want an error that says %s", bad.err, bad.says)
		}
	}
	var none context.Context
	for name, err := range c.withContext(none, held) {
		if err == nil || !strings.Contains(err.Error(), "context is nil") {
			c.Errorf("%s(nil, …) = %v; want an error that says that the context is nil", name, err)
		}
	}
	c.shows("w1", held.Until)
}

const (
	notUTF8     = "a\xc3"
	saysNotUTF8 = `"a\xc3" UTF-8`
	saysYears   = "1970 2262"
)

var (
	tooLong = strings.Repeat("x", 2049)
	good    = terms{"w1", long}
)

// badLeasing calls Lease and LeaseAsSeen.
func badLeasing(c *conformance) (all []refusal) {
	const hundredYears = 100 * 365 * 24 * time.Hour
	const longest = time.Duration(1<<63 - 1)
	soon := fromNow(time.Hour)
	for _, bad := range []struct {
		id      string
		request lease.LeaseRequest
		until   time.Time
		says    string
	}{
		{"", good, soon, "lease ID empty"},
		{notUTF8, good, soon, "lease ID " + saysNotUTF8},
		{tooLong, good, soon, "lease ID 2049"},
		{item, nil, soon, "LeaseRequest nil"},
		{item, (*terms)(nil), soon, "LeaseRequest nil"},
		{item, terms{"", long}, soon, "LesseeID empty"},
		{item, terms{notUTF8, long}, soon, "LesseeID " + saysNotUTF8},
		{item, terms{tooLong, long}, soon, "LesseeID 2049"},
		{item, terms{"w1", 0}, soon, "LeaseDuration 0s millisecond"},
		{item, terms{"w1", 30}, soon, "LeaseDuration 30ns millisecond"},
		{item, terms{"w1", time.Millisecond - 1}, soon, "LeaseDuration 999.999µs millisecond"},
		{item, terms{"w1", -time.Second}, soon, "LeaseDuration -1s"},
		{item, terms{"w1", longest}, soon, "100 years " + saysYears},
		{item, terms{"w1", hundredYears + 1}, soon, "100 years " + saysYears},
		{item, spacious{good, 0}, soon, "LeaseCapacity 0"},
		{item, spacious{good, -1}, soon, "LeaseCapacity -1"},
		{item, spacious{good, math.NaN()}, soon, "LeaseCapacity NaN"},
		{item, spacious{good, math.Inf(1)}, soon, "LeaseCapacity +Inf"},
		{item, good, time.Time{}, "0001-01-01 " + saysYears},
	} {
		seen := lease.LeaseItem{LeaseID: bad.id}
		_, err := c.Lease(bad.id, bad.request, bad.until)
		_, errAsSeen := c.LeaseAsSeen(c.Context(), seen, nil, bad.request, bad.until)
		all = append(all, refusal{err, bad.says}, refusal{errAsSeen, bad.says})
	}
	return all
}

func badRenewals(c *conformance, held *lease.Lease) []refusal {
	soon := fromNow(time.Hour)
	year9999 := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	renewItem := func(l *lease.Lease, until time.Time) error {
		_, err := c.RenewLeaseItem(c.Context(), l, until, soon)
		return err
	}
	return []refusal{
		{c.RenewLease(held, year9999), "9999-01-01 " + saysYears},
		{c.RenewLease(nil, soon), "Lease nil"},
		{c.RenewLease(&lease.Lease{LeaseID: item}, soon), "LeaseRequest nil"},
		{c.RenewLease(&lease.Lease{Request: good}, soon), "lease ID empty"},
		{renewItem(nil, soon), "Lease nil"},
		{renewItem(held, time.Time{}), "0001-01-01 " + saysYears},
	}
}

func badWishes(c *conformance, held *lease.Lease) []refusal {
	soon := fromNow(time.Hour)
	want := func(id, by string, until time.Time) error {
		seen := lease.LeaseItem{LeaseID: id, LesseeID: "w1", FencingToken: held.FencingToken()}
		return c.WantLease(c.Context(), seen, by, until)
	}
	withdraw := func(id, by string, until time.Time) error {
		_, err := c.WithdrawWish(c.Context(), lease.LeaseItem{LeaseID: id}, by, until)
		return err
	}
	handOver := func(l *lease.Lease, until time.Time) error {
		return c.HandOverLease(c.Context(), l, until)
	}
	return []refusal{
		{want("", "w2", soon), "lease ID empty"},
		{want(item, notUTF8, soon), "LesseeID " + saysNotUTF8},
		{want(item, tooLong, soon), "LesseeID 2049"},
		{want(item, "w2", time.Time{}), "0001-01-01 " + saysYears},
		{withdraw("", "w2", soon), "lease ID empty"},
		{withdraw(item, notUTF8, soon), "LesseeID " + saysNotUTF8},
		{withdraw(item, "w2", time.Time{}), "0001-01-01 " + saysYears},
		{handOver(nil, soon), "Lease nil"},
		{handOver(&lease.Lease{LeaseID: item}, soon), "LeaseRequest nil"},
		{handOver(held, time.Time{}), "0001-01-01 " + saysYears},
	}
}

func badSaves(c *conformance, held *lease.Lease) []refusal {
	save := func(l *lease.Lease, name string) error {
		attributes := map[string]*dynamodb.AttributeValue{"colour": text("red"), name: text("x")}
		return c.SaveAttributes(c.Context(), l, attributes)
	}
	return []refusal{
		{save(nil, "a"), "Lease nil"},
		{save(&lease.Lease{LeaseID: item, Request: good}, "a"), "token"},
		{save(held, ""), "empty name"},
		{save(held, holderAttribute), "ProcessID library"},
		{save(held, untilAttribute), "LeaseUntil library"},
		{save(held, tokenAttribute), "FencingToken library"},
		{save(held, wantedBy), "WantedBy library"},
		{save(held, wantedUntil), "WantedUntil library"},
		{save(held, weightAttribute), "LeaseWeight library"},
		{save(held, capacityAttribute), "LeaseCapacity library"},
	}
}

func badReleases(c *conformance) []refusal {
	return []refusal{
		{c.ReleaseLease(nil), "Lease nil"},
		{c.ReleaseLease(&lease.Lease{LeaseID: item}), "LeaseRequest nil"},
		{c.RemoveLease(nil), "Lease nil"},
	}
}

func badItems(c *conformance) []refusal {
	scan := func(after string) error {
		_, _, err := c.ScanLeaseItems(after, 0)
		return err
	}
	return []refusal{
		{c.AddLeaseID("", nil), "lease ID empty"},
		{c.RemoveLeaseID(tooLong), "lease ID 2049"},
		{scan(notUTF8), saysNotUTF8},
		{scan(tooLong), "2049"},
	}
}
