package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
)

type row = map[string]*dynamodb.AttributeValue

func number(n int64) *dynamodb.AttributeValue {
	return &dynamodb.AttributeValue{N: aws.String(strconv.FormatInt(n, 10))}
}

// firstTokenAttribute is what "lease add" writes beside the library's own attributes: the FencingToken of the registration.
// Without it a row that was never leased looks like one that was released.
const firstTokenAttribute = "FirstToken"

// item is what a row shows.
type item struct {
	lease.LeaseItem
	why       string // no worker can lease it
	tokenless bool   // there is no FencingToken
	unleased  bool   // for sure nobody has ever leased it
	maybe     bool   // nobody has, or it was released
}

func (c *client) projection() (string, map[string]*string) {
	names := map[string]*string{"#key": &c.key}
	projection := "#key"
	for i, name := range []string{"ProcessID", "LeaseUntil", "FencingToken", "WantedBy", "WantedUntil", firstTokenAttribute} {
		if name != c.key {
			placeholder := fmt.Sprint("#a", i)
			names[placeholder], projection = aws.String(name), projection+", "+placeholder
		}
	}
	return projection, names
}

// aTime is more than any count of tenures: FencingTokens that count from the time of registration are greater.
const aTime = int64(1e12)

func (c *client) parse(attributes row) item {
	found, err := c.ParseLeaseItem(attributes)
	i := item{LeaseItem: found, tokenless: attributes["FencingToken"] == nil}
	if err != nil {
		_, why, ok := strings.Cut(err.Error(), "can't be leased: ")
		if i.why = why; !ok {
			i.why = err.Error()
		}
		return i
	}
	if found.LesseeID == "" && found.LeaseUntil == 0 {
		first := attributes[firstTokenAttribute]
		switch {
		case first != nil && first.N != nil:
			i.unleased = *first.N == strconv.FormatInt(found.FencingToken, 10)
		case attributes["LeaseUntil"] == nil || found.FencingToken == 0:
			i.unleased = true
		default:
			i.maybe = found.FencingToken >= aTime
		}
	}
	return i
}

// state is what an item is to people.
type state string

const (
	held        state = "held"
	reserved    state = "reserved" // handed over, and not yet leased by whom it was handed to
	free        state = "free"
	neverLeased state = "never leased" // and free
	unusable    state = "unusable"     // no worker can lease it
)

func (i item) state(now time.Time) state {
	switch {
	case i.why != "":
		return unusable
	case i.Until.After(now) && i.LesseeID != "" && i.WantedBy == i.LesseeID && i.wished(now):
		return reserved
	case i.Until.After(now):
		return held
	case i.unleased:
		return neverLeased
	}
	return free
}

// live tells whether somebody has the item.
func (i item) live(now time.Time) bool { return i.why == "" && i.Until.After(now) }

// wishUntil is when the wish for the item ends, by this host's clock as Until is; zero if there is none.
func (i item) wishUntil() time.Time {
	if i.WantedUntil <= 0 || i.Until.IsZero() {
		return time.Time{}
	}
	return i.Until.Add(time.Duration(i.WantedUntil - i.LeaseUntil))
}

func (i item) wished(now time.Time) bool { return i.wishUntil().After(now) }

// wanter says who wants the item; "" if nobody does. An operator's wish is for whoever comes.
func (i item) wanter(now time.Time) string {
	switch {
	case i.why != "" || !i.wished(now) || i.state(now) == reserved:
		return ""
	case i.WantedBy == "":
		return "(anyone)"
	}
	return show(i.WantedBy)
}

// describe says in a few words what became of an item.
func (i item) describe(now time.Time) string {
	switch i.state(now) {
	case unusable:
		return "can't be leased: " + i.why
	case reserved:
		return fmt.Sprintf("is reserved for %s, for another %s", show(i.LesseeID), short(i.Until.Sub(now)))
	case held:
		if i.LesseeID == "" {
			return fmt.Sprintf("is kept from all for another %s, as an older process of its last holder's name may rely on it", short(i.Until.Sub(now)))
		}
		token := fmt.Sprintf("the token %d", i.FencingToken)
		if i.tokenless {
			token = "no token"
		}
		return fmt.Sprintf("is held by %s with %s, for another %s", show(i.LesseeID), token, short(i.Until.Sub(now)))
	case neverLeased:
		return "is free, and was never leased"
	}
	if i.LesseeID != "" {
		return fmt.Sprintf("is free: the lease of %s has ended", show(i.LesseeID))
	}
	return "is free"
}

// show returns a name as it is, or quoted where a reader or a terminal could take it for something else.
func show(name string) string {
	odd := name == "" || name == "-" || strings.TrimSpace(name) != name || strings.Contains(name, "  ") || strings.HasPrefix(name, `"`)
	for _, r := range name {
		odd = odd || !strconv.IsPrint(r) || r == utf8.RuneError
	}
	if odd {
		return strconv.Quote(name)
	}
	return name
}

// short writes a duration for people.
func short(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d >= time.Minute:
		return d.Round(time.Second).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

// databaseTime writes Unix nanoseconds of the database's clock.
func databaseTime(nanoseconds int64) string {
	return time.Unix(0, nanoseconds).UTC().Format("2006-01-02T15:04:05.000Z")
}
