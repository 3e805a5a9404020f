package leasetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
)

func obtained(c *conformance) {
	c.shows("", time.Time{})
	until := time.Now().Add(time.Minute)
	l, err := c.Lease(item, terms{"w1", time.Minute}, until)
	if err != nil {
		c.Fatal(err)
	}
	c.equal("LeaseID", l.LeaseID, item)
	c.equal("Request", l.Request, lease.LeaseRequest(terms{"w1", time.Minute}))
	c.equal("FencingToken is over 0", l.FencingToken() > 0, true)
	if !l.Until.Equal(until) || !l.Valid() {
		c.Errorf("Until = %v, Valid = %v; want %v, true", l.Until, l.Valid(), until)
	}
	holder := &dynamodb.AttributeValue{S: aws.String("w1")}
	c.equal("ProcessID", l.AttributeValues[holderAttribute], holder)
	c.equal("LeaseUntil", l.AttributeValues[untilAttribute], number(until.UnixNano()))
	c.equal("FencingToken's attribute", l.AttributeValues[tokenAttribute], number(l.FencingToken()))
	c.equal("FencingToken in a scan", c.row().FencingToken, l.FencingToken())
	c.shows("w1", until)
}

func heldIsNotObtained(c *conformance) {
	l := c.obtain("w1")
	c.refuse("w2")
	c.shows("w1", l.Until)
	c.noError("the holder's renewal", c.RenewLease(l, l.Until))
}

func ownIsObtained(c *conformance) {
	first := c.obtain("w1")
	for _, d := range []time.Duration{time.Hour, time.Second} {
		l := c.obtainFor("w1", d)
		c.equal("FencingToken is greater", l.FencingToken() > first.FencingToken(), true)
		c.shows("w1", l.Until)
		first = l
	}
}

func unregistered(c *conformance) {
	if err := c.RemoveLeaseID(item); err != nil {
		c.Fatal(err)
	}
	c.refuse("w1")
	l := &lease.Lease{LeaseID: item, Request: terms{"w1", time.Minute}}
	c.bareLost("RenewLease", c.RenewLease(l, time.Now().Add(time.Minute)))
	c.bareLost("ReleaseLease", c.ReleaseLease(l))
	items, err := c.ListLeaseIDs()
	c.equal("ListLeaseIDs of an empty store", items, []string{})
	c.noError("ListLeaseIDs", err)
	c.equal("a scan of an empty store shows", len(c.scan("")), 0)
}

func takenAfterItsEnd(c *conformance) {
	l := c.obtainFor("w1", 300*time.Millisecond)
	c.takeOver("w2", l.Until)
}

// takeOver tries to lease the item until that succeeds, not before until and soon after.
func (c *conformance) takeOver(lessee string, until time.Time) *lease.Lease {
	c.Helper()
	for {
		asked := time.Now()
		l, err := c.lease(lessee, time.Minute)
		switch {
		case err == nil && time.Now().Before(until):
			c.Fatalf("obtained %v before the other's lease ended", time.Until(until))
		case err == nil:
			return l
		case err != lease.LeaseNotObtainedError:
			c.Fatal(err)
		case asked.Sub(until) > 2*time.Second: // the Date header of a server is as exact as that
			c.Fatalf("not obtained %v after the other's lease ended", asked.Sub(until))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func renewed(c *conformance) {
	l := c.obtainFor("w1", 500*time.Millisecond)
	until := time.Now().Add(time.Second)
	c.noError("RenewLease", c.RenewLease(l, until))
	c.shows("w1", until)
	time.Sleep(time.Until(l.Until) + 20*time.Millisecond)
	c.equal("FencingToken of the next tenure", c.takeOver("w2", until).FencingToken(), l.FencingToken()+1)
}

func neverBack(c *conformance) {
	l := c.obtain("w1")
	until := time.Now().Add(time.Hour)
	c.noError("a renewal", c.RenewLease(l, until))
	c.noError("an earlier one that comes later", c.RenewLease(l, l.Until))
	c.shows("w1", until)
}

func renewedWithoutToken(c *conformance) {
	c.obtain("w1")
	literal := &lease.Lease{LeaseID: item, Request: terms{"w1", time.Minute}}
	until := time.Now().Add(time.Hour)
	c.noError("RenewLease", c.RenewLease(literal, until))
	c.shows("w1", until)
	literal.Request = terms{"w2", time.Minute}
	c.bareLost("RenewLease by another lessee", c.RenewLease(literal, until.Add(time.Hour)))
	c.shows("w1", until)
}

func tokensGrow(c *conformance) {
	first := c.obtain("w1").FencingToken()
	l := c.obtain("w1")
	c.equal("token of the namesake", l.FencingToken(), first+1)
	c.noError("ReleaseLease", c.ReleaseLease(l))
	l = c.obtainFor("w1", 100*time.Millisecond)
	c.equal("token after a release", l.FencingToken(), first+2)
	time.Sleep(time.Until(l.Until) + time.Millisecond)
	c.equal("token after the end", c.takeOver("w2", l.Until).FencingToken(), first+3)
}

func olderTenure(c *conformance, newer string) {
	older := c.obtainFor("w1", 100*time.Millisecond)
	time.Sleep(time.Until(older.Until) + time.Millisecond)
	l := c.takeOver(newer, older.Until)
	c.bareLost("the older one's RenewLease", c.RenewLease(older, time.Now().Add(time.Hour)))
	c.bareLost("the older one's ReleaseLease", c.ReleaseLease(older))
	c.bareLost("the older one's RemoveLease", c.RemoveLease(older))
	c.shows(newer, l.Until)
	until := time.Now().Add(time.Hour)
	c.noError("the newer one's RenewLease", c.RenewLease(l, until))
	c.shows(newer, until)
	c.noError("the newer one's ReleaseLease", c.ReleaseLease(l))
	c.bareLost("the older one's ReleaseLease after that", c.ReleaseLease(older))
}

func released(c *conformance) {
	l := c.obtain("w1")
	c.noError("ReleaseLease", c.ReleaseLease(l))
	c.shows("", time.Time{})
	c.noError("ReleaseLease again", c.ReleaseLease(l))
	c.bareLost("RenewLease of a released lease", c.RenewLease(l, time.Now().Add(time.Hour)))
	c.bareLost("RemoveLease of a released lease", c.RemoveLease(l))
	next := c.obtain("w2")
	c.bareLost("ReleaseLease of a lease that is another's", c.ReleaseLease(l))
	c.shows("w2", next.Until)
}

func retiredIsLost(c *conformance) {
	l := c.obtain("w1")
	c.noError("RemoveLease", c.RemoveLease(l))
	c.noError("RemoveLease again", c.RemoveLease(l))
	c.bareLost("RenewLease", c.RenewLease(l, time.Now().Add(time.Hour)))
	c.bareLost("ReleaseLease", c.ReleaseLease(l))
	c.refuse("w1")
	c.equal("a scan shows", len(c.scan("")), 0)
}

// userAttributes returns an attribute of each kind that a user may have.
func userAttributes() map[string]*dynamodb.AttributeValue {
	text := func(s string) *dynamodb.AttributeValue { return &dynamodb.AttributeValue{S: &s} }
	return map[string]*dynamodb.AttributeValue{
		"text": text("grün \u0000"), "number": {N: aws.String("-1.5")}, "bytes": {B: []byte{0, 255}},
		"flag": {BOOL: aws.Bool(false)}, "null": {NULL: aws.Bool(true)},
		"texts": {SS: aws.StringSlice([]string{"a", "b"})}, "numbers": {NS: aws.StringSlice([]string{"1", "2.5"})},
		"blobs": {BS: [][]byte{{1}, {2, 3}}},
		"list":  {L: []*dynamodb.AttributeValue{text("x"), {L: []*dynamodb.AttributeValue{}}}},
		"map":   {M: map[string]*dynamodb.AttributeValue{"deep": {M: map[string]*dynamodb.AttributeValue{"er": text("")}}}},
	}
}

func attributesSurvive(c *conformance) {
	given := userAttributes()
	if err := c.AddLeaseID(item, given); err != nil {
		c.Fatal(err)
	}
	check := func(l *lease.Lease) {
		c.Helper()
		for name, want := range userAttributes() {
			c.equal("attribute "+name, l.AttributeValues[name], want)
		}
		if c.Failed() {
			c.FailNow()
		}
		*l.AttributeValues["text"].S = "changed"
		l.AttributeValues["bytes"].B[0]++
		l.AttributeValues["map"].M["deep"].M["er"] = nil
	}
	*given["text"].S = "changed" // too late
	given["map"].M["deep"] = nil
	l := c.obtain("w1")
	check(l)
	c.noError("RenewLease", c.RenewLease(l, time.Now().Add(time.Hour)))
	check(c.obtain("w1"))
	c.noError("ReleaseLease", c.ReleaseLease(c.obtain("w1")))
	check(c.obtain("w2"))
}

func registeredOnce(c *conformance) {
	l := c.obtain("w1")
	if err := c.AddLeaseID(item, nil); !errors.Is(err, lease.LeaseIDExistsError) {
		c.Errorf("AddLeaseID again = %v; want LeaseIDExistsError", err)
	}
	c.shows("w1", l.Until)
	text := &dynamodb.AttributeValue{S: aws.String("x")}
	for _, name := range []string{"", holderAttribute, untilAttribute, tokenAttribute} {
		c.refuseAttribute(name, text)
	}
	c.refuseAttribute("colour", nil)
	for _, token := range []string{"x", "1.5", "-1", "9223372036854775807", "9223372036854775808"} {
		c.refuseAttribute(tokenAttribute, &dynamodb.AttributeValue{N: aws.String(token)})
	}
	c.row()
}

func (c *conformance) refuseAttribute(name string, value *dynamodb.AttributeValue) {
	c.Helper()
	err := c.AddLeaseID("new", map[string]*dynamodb.AttributeValue{name: value})
	if err == nil || !strings.Contains(err.Error(), name) {
		c.Errorf("AddLeaseID with an attribute %q of %v = %v; want an error that names it", name, value, err)
	}
}

// firstToken registers the item, leases it, and returns the token.
func (c *conformance) firstToken(attributes map[string]*dynamodb.AttributeValue) int64 {
	c.Helper()
	if err := c.AddLeaseID(item, attributes); err != nil {
		c.Fatal(err)
	}
	return c.obtain("w1").FencingToken()
}

func tokenStarts(c *conformance) {
	now := time.Now()
	start := c.firstToken(nil) - 1
	if time.UnixMilli(start).Sub(now).Abs() > 2*time.Second { // a server has a clock of its own
		c.Errorf("the token starts at %d; want the Unix milliseconds of %v", start, now)
	}
	for _, start := range []int64{41, 0, 1 << 53} {
		c.noError("RemoveLease", c.RemoveLease(c.obtain("w1")))
		got := c.firstToken(map[string]*dynamodb.AttributeValue{tokenAttribute: number(start)})
		c.equal("first token", got, start+1)
	}
}

func tokenNeverRepeats(c *conformance) {
	last := int64(0)
	for range 3 {
		if first := c.firstToken(nil); first <= last {
			c.Errorf("token %d after token %d", first, last)
		}
		l := c.obtain("w1")
		last = l.FencingToken()
		c.noError("RemoveLease", c.RemoveLease(l))
		time.Sleep(5 * time.Millisecond) // that many tenures are sure to be over
	}
}

func retiredByItsHolder(c *conformance) {
	l := c.obtainFor("w1", 300*time.Millisecond)
	if err := c.RemoveLeaseID(item); !errors.Is(err, lease.LeaseHeldError) && time.Now().Before(l.Until) {
		c.Errorf("RemoveLeaseID of a held item = %v; want LeaseHeldError", err)
	}
	time.Sleep(time.Until(l.Until) + 20*time.Millisecond)
	c.noError("RemoveLeaseID of an item whose lease has ended", c.RemoveLeaseID(item))
	c.noError("RemoveLeaseID of an item that isn't there", c.RemoveLeaseID(item))
	c.noError("AddLeaseID of an item that was retired", c.AddLeaseID(item, nil))
	c.noError("RemoveLease by its holder", c.RemoveLease(c.obtain("w1")))
	c.equal("a scan shows", len(c.scan("")), 0)
}

func listed(c *conformance) {
	want, tokens := make(map[string]string), make(map[string]int64) // holders, and their tokens
	for i, id := range many {
		want[id] = ""
		if i%3 == 0 {
			want[id] = fmt.Sprintf("w%d", i)
			l, err := c.Lease(id, terms{want[id], time.Minute}, time.Now().Add(time.Minute))
			c.noError("Lease", err)
			tokens[id] = l.FencingToken()
		}
	}
	got := make(map[string]string)
	for _, item := range c.scan("") {
		got[item.LeaseID] += item.LesseeID
		free := item.LesseeID == ""
		c.equal("Until is zero", item.Until.IsZero(), free)
		c.equal("LeaseUntil is 0", item.LeaseUntil == 0, free)
		c.equal("a held item's FencingToken", free || item.FencingToken == tokens[item.LeaseID], true)
	}
	c.equal("holders in a scan", got, want)
	listed, err := c.ListLeaseIDs()
	c.noError("ListLeaseIDs", err)
	slices.Sort(listed)
	c.equal("ListLeaseIDs", listed, slices.Sorted(slices.Values(many)))
}

func scannedFromAnywhere(c *conformance) {
	all := c.scan("")
	for i, item := range all {
		c.equal("a scan after "+item.LeaseID, leaseIDs(c.scan(item.LeaseID)), leaseIDs(all[i+1:]))
	}
	for range 20 {
		after := fmt.Sprintf("no item %x", rand.Uint64())
		rest := c.scan(after)
		c.equal("a scan after "+after, leaseIDs(rest), leaseIDs(all[len(all)-len(rest):]))
	}
}

func leaseIDs(items []lease.LeaseItem) []string {
	ids := []string{}
	for _, item := range items {
		ids = append(ids, item.LeaseID)
	}
	return ids
}

// withContext calls each method that takes a context.
func (c *conformance) withContext(ctx context.Context, l *lease.Lease) map[string]error {
	until := time.Now().Add(time.Hour)
	_, errLease := c.LeaseWithContext(ctx, item, l.Request, until)
	_, errSeen := c.LeaseAsSeen(ctx, lease.LeaseItem{LeaseID: item}, nil, l.Request, until)
	_, errList := c.ListLeaseIDsWithContext(ctx)
	_, _, errScan := c.ScanLeaseItemsWithContext(ctx, "", 0)
	_, errRenew := c.RenewLeaseItem(ctx, l, until, until)
	return map[string]error{
		"Lease": errLease, "LeaseAsSeen": errSeen, "ListLeaseIDs": errList, "ScanLeaseItems": errScan,
		"RenewLease":    c.RenewLeaseWithContext(ctx, l, until),
		"ReleaseLease":  c.ReleaseLeaseWithContext(ctx, l),
		"AddLeaseID":    c.AddLeaseIDWithContext(ctx, "new", nil),
		"RemoveLeaseID": c.RemoveLeaseIDWithContext(ctx, item),
		"RemoveLease":   c.RemoveLeaseWithContext(ctx, l),
		"WantLease":     c.WantLease(ctx, lease.LeaseItem{LeaseID: item, LesseeID: "w1", FencingToken: l.FencingToken()}, "w2", until),
		"HandOverLease": c.HandOverLease(ctx, l, until), "RenewLeaseItem": errRenew,
		"SaveAttributes": c.SaveAttributes(ctx, l, map[string]*dynamodb.AttributeValue{"a": textValue("x")}),
	}
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
	ctx, cancel = context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
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
	says string // words
}

func badInput(c *conformance) {
	held := c.obtain("w1")
	for _, bad := range append(badLeasing(c), badCalls(c, held)...) {
		for word := range strings.FieldsSeq(bad.says) {
			if bad.err == nil || !strings.Contains(bad.err.Error(), word) {
				c.Errorf("got %v; want an error that says %s", bad.err, bad.says)
				break
			}
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

// badLeasing calls Lease and LeaseAsSeen.
func badLeasing(c *conformance) (all []refusal) {
	good, soon := terms{"w1", time.Minute}, time.Now().Add(time.Hour)
	long := strings.Repeat("x", 2049)
	for _, bad := range []struct {
		id      string
		request lease.LeaseRequest
		until   time.Time
		says    string
	}{
		{"", good, soon, "lease ID empty"},
		{"a\xc3", good, soon, `lease ID "a\xc3" UTF-8`},
		{long, good, soon, "lease ID 2049"},
		{item, nil, soon, "LeaseRequest nil"},
		{item, (*terms)(nil), soon, "LeaseRequest nil"},
		{item, terms{"", time.Minute}, soon, "LesseeID empty"},
		{item, terms{"\xff", time.Minute}, soon, `LesseeID "\xff" UTF-8`},
		{item, terms{long, time.Minute}, soon, "LesseeID 2049"},
		{item, terms{"w1", 0}, soon, "LeaseDuration 0s"},
		{item, terms{"w1", -time.Second}, soon, "LeaseDuration -1s"},
		{item, terms{"w1", 1<<63 - 1}, soon, "100 years 1970 2262"},
		{item, terms{"w1", 100*365*24*time.Hour + 1}, soon, "100 years 1970 2262"},
		{item, good, time.Time{}, "0001-01-01 1970 2262"},
	} {
		_, err := c.Lease(bad.id, bad.request, bad.until)
		_, errSeen := c.LeaseAsSeen(c.Context(), lease.LeaseItem{LeaseID: bad.id}, nil, bad.request, bad.until)
		all = append(all, refusal{err, bad.says}, refusal{errSeen, bad.says})
	}
	return all
}

// badCalls calls the other methods.
func badCalls(c *conformance, held *lease.Lease) []refusal {
	good, soon := terms{"w1", time.Minute}, time.Now().Add(time.Hour)
	scan := func(after string) error {
		_, _, err := c.ScanLeaseItems(after, 0)
		return err
	}
	want := func(id, by string, until time.Time) error {
		seen := lease.LeaseItem{LeaseID: id, LesseeID: "w1", FencingToken: held.FencingToken()}
		return c.WantLease(c.Context(), seen, by, until)
	}
	save := func(l *lease.Lease, name string) error {
		return c.SaveAttributes(c.Context(), l, map[string]*dynamodb.AttributeValue{"colour": textValue("red"), name: textValue("x")})
	}
	renew := func(l *lease.Lease, until time.Time) error {
		_, err := c.RenewLeaseItem(c.Context(), l, until, soon)
		return err
	}
	return []refusal{
		{c.RenewLease(held, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)), "9999-01-01 1970 2262"},
		{c.RenewLease(nil, soon), "Lease nil"},
		{c.RenewLease(&lease.Lease{LeaseID: item}, soon), "LeaseRequest nil"},
		{c.RenewLease(&lease.Lease{Request: good}, soon), "lease ID empty"},
		{renew(nil, soon), "Lease nil"},
		{renew(held, time.Time{}), "0001-01-01 1970 2262"},
		{want("", "w2", soon), "lease ID empty"},
		{want(item, "\xff", soon), `LesseeID "\xff" UTF-8`},
		{want(item, strings.Repeat("x", 2049), soon), "LesseeID 2049"},
		{want(item, "w2", time.Time{}), "0001-01-01 1970 2262"},
		{c.HandOverLease(c.Context(), nil, soon), "Lease nil"},
		{c.HandOverLease(c.Context(), &lease.Lease{LeaseID: item}, soon), "LeaseRequest nil"},
		{c.HandOverLease(c.Context(), held, time.Time{}), "0001-01-01 1970 2262"},
		{save(nil, "a"), "Lease nil"},
		{save(&lease.Lease{LeaseID: item, Request: good}, "a"), "token"},
		{save(held, ""), "empty name"},
		{save(held, holderAttribute), "ProcessID library"},
		{save(held, untilAttribute), "LeaseUntil library"},
		{save(held, tokenAttribute), "FencingToken library"},
		{save(held, wantedBy), "WantedBy library"},
		{save(held, wantedUntil), "WantedUntil library"},
		{c.ReleaseLease(nil), "Lease nil"},
		{c.ReleaseLease(&lease.Lease{LeaseID: item}), "LeaseRequest nil"},
		{c.RemoveLease(nil), "Lease nil"},
		{c.AddLeaseID("", nil), "lease ID empty"},
		{c.RemoveLeaseID(strings.Repeat("x", 2049)), "lease ID 2049"},
		{scan("\xff"), `"\xff" UTF-8`},
		{scan(strings.Repeat("x", 2049)), "2049"},
	}
}
