package leasetest

import (
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
)

var registryPromises = []promise{
	{
		says: "the user's attributes survive, and are copies",
		test: attributesSurvive,
	},
	{
		says:  "an item is registered once, without attributes of the library's",
		items: one,
		test:  registeredOnce,
	},
	{
		says: "a registered item's token starts at the time in Unix milliseconds, " +
			"or where its attributes say",
		test: tokenStarts,
	},
	{
		says: "an item that is retired and registered anew never repeats a token",
		test: tokenNeverRepeats,
	},
	{
		says:  "an item that someone holds is retired by its holder only",
		items: one,
		test:  retiredByItsHolder,
	},
}

// userAttributes returns an attribute of each kind that a user may have.
func userAttributes() map[string]*dynamodb.AttributeValue {
	list := []*dynamodb.AttributeValue{
		text("x"),
		{L: []*dynamodb.AttributeValue{}},
	}
	inner := map[string]*dynamodb.AttributeValue{"er": text("")}
	outer := map[string]*dynamodb.AttributeValue{"deep": {M: inner}}
	return map[string]*dynamodb.AttributeValue{
		"text":    text("grün \u0000"),
		"number":  {N: aws.String("-1.5")},
		"bytes":   {B: []byte{0, 255}},
		"flag":    {BOOL: aws.Bool(false)},
		"null":    {NULL: aws.Bool(true)},
		"texts":   {SS: aws.StringSlice([]string{"a", "b"})},
		"numbers": {NS: aws.StringSlice([]string{"1", "2.5"})},
		"blobs":   {BS: [][]byte{{1}, {2, 3}}},
		"list":    {L: list},
		"map":     {M: outer},
	}
}

func attributesSurvive(c *conformance) {
	given := userAttributes()
	if err := c.AddLeaseID(item, given); err != nil {
		c.Fatal(err)
	}

	// What is done to the caller's own after a call changes nothing.
	*given["text"].S = "changed"
	given["map"].M["deep"] = nil
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

	l := c.obtain("w1")
	check(l)
	c.renew("", l, fromNow(time.Hour))
	check(c.obtain("w1"))
	c.release("", c.obtain("w1"))
	check(c.obtain("w2"))
}

func registeredOnce(c *conformance) {
	l := c.obtain("w1")
	if err := c.AddLeaseID(item, nil); !errors.Is(err, lease.LeaseIDExistsError) {
		c.Errorf("AddLeaseID again = %v; want LeaseIDExistsError", err)
	}
	c.shows("w1", l.Until)

	for _, name := range []string{"", holderAttribute, untilAttribute, tokenAttribute} {
		c.refuseAttribute(name, text("x"))
	}
	c.refuseAttribute("colour", nil)
	const largest, tooLarge = "9223372036854775807", "9223372036854775808"
	for _, token := range []string{"x", "1.5", "-1", largest, tooLarge} {
		c.refuseAttribute(tokenAttribute, &dynamodb.AttributeValue{N: aws.String(token)})
	}
	c.row() // the only one
}

// refuseAttribute is AddLeaseID that must not succeed.
func (c *conformance) refuseAttribute(name string, value *dynamodb.AttributeValue) {
	c.Helper()
	err := c.AddLeaseID("new", map[string]*dynamodb.AttributeValue{name: value})
	if err == nil || !strings.Contains(err.Error(), name) {
		c.Errorf("AddLeaseID with an attribute %q of %v = %v; want an error that names it",
			name, value, err)
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
	earliest := fromNow(-clockError).UnixMilli()
	start := c.firstToken(nil) - 1
	latest := fromNow(clockError).UnixMilli()
	if start < earliest || start > latest {
		c.Errorf("the token starts at %d; want the Unix milliseconds of now, %d to %d",
			start, earliest, latest)
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

		// Two tenures in less than two milliseconds would be more than a start at the time
		// allows.
		time.Sleep(5 * time.Millisecond)
	}
}

func retiredByItsHolder(c *conformance) {
	c.obtain("w1")
	if err := c.RemoveLeaseID(item); !errors.Is(err, lease.LeaseHeldError) {
		c.Errorf("RemoveLeaseID of a held item = %v; want LeaseHeldError", err)
	}
	l := c.obtainFor("w1", brief)
	c.onceEnded(l.Until, lease.LeaseHeldError, func() error { return c.RemoveLeaseID(item) })
	c.noError("RemoveLeaseID of an item that isn't there", c.RemoveLeaseID(item))
	c.noError("AddLeaseID of an item that was retired", c.AddLeaseID(item, nil))
	c.noError("RemoveLease by its holder", c.RemoveLease(c.obtain("w1")))
	c.showsNoItem()
}
