package main

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
)

type row = map[string]*dynamodb.AttributeValue

func number(n int64) *dynamodb.AttributeValue {
	return &dynamodb.AttributeValue{N: aws.String(strconv.FormatInt(n, 10))}
}

// integer reads a number; nil if it is none.
func integer(v *dynamodb.AttributeValue) *int64 {
	if v == nil || v.N == nil {
		return nil
	}
	n, err := strconv.ParseInt(*v.N, 10, 64)
	if err != nil {
		return nil
	}
	return &n
}

// firstTokenAttribute is what "lease add" writes beside the library's own attributes: the
// FencingToken of the registration. Without it a row that was never leased looks like one that was
// released.
const firstTokenAttribute = "FirstToken"

// weightAttribute is how much of a worker's load an item is.
const weightAttribute = "LeaseWeight"

// forcedAttribute is what "lease release" leaves in a row: the FencingToken of the tenure that it
// ends by force. Without it that looks like the holder's own release.
const forcedAttribute = "ForcedToken"

// shownAttributes are those that an item is made of, beside its key: the library's own.
var shownAttributes = []string{
	"ProcessID",
	"LeaseUntil",
	"FencingToken",
	"WantedBy",
	"WantedUntil",
	weightAttribute,
	"LeaseCapacity",
	firstTokenAttribute,
	forcedAttribute,
}

// item is what a row shows.
type item struct {
	lease.LeaseItem
	why       string // no worker can lease it
	tokenless bool   // there is no FencingToken
	unleased  bool   // for sure nobody has ever leased it
	maybe     bool   // nobody has, or it was released
	users     string // its own attributes, as JSON, if they were asked for
	forced    *int64 // the tenure that an operator ended last, by its token
}

// aTime is more than any count of tenures: FencingTokens that count from the time of registration
// are greater.
const aTime = int64(1e12)

// noteLeased notes whether anybody has ever leased an item that is free, as far as its row tells.
func (i *item) noteLeased(attributes row) {
	first := attributes[firstTokenAttribute]
	if first != nil && first.N != nil {
		i.unleased = *first.N == strconv.FormatInt(i.FencingToken, 10)
		return
	}
	if attributes["LeaseUntil"] == nil || i.FencingToken == 0 {
		i.unleased = true
		return
	}
	i.maybe = i.FencingToken >= aTime
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
	switch i.StateAt(now) {
	case lease.ItemUnusable:
		return unusable
	case lease.ItemReserved:
		return reserved
	case lease.ItemHeld, lease.ItemWanted: // Who wants it has a column of its own.
		return held
	}
	if i.unleased {
		return neverLeased
	}
	return free
}

// live tells whether somebody has the item.
func (i item) live(now time.Time) bool {
	switch i.StateAt(now) {
	case lease.ItemHeld, lease.ItemWanted, lease.ItemReserved:
		return true
	}
	return false
}

// hasHolder tells whether a lessee has the item. One that was released by a worker that has a
// namesake is live without a holder.
func (i item) hasHolder(now time.Time) bool { return i.live(now) && i.LesseeID != "" }

// wishUntil is when the wish for the item ends, by this host's clock as Until is; zero if there is
// none.
func (i item) wishUntil() time.Time {
	if i.WantedUntil <= 0 || i.Until.IsZero() {
		return time.Time{}
	}
	return i.Until.Add(time.Duration(i.WantedUntil - i.LeaseUntil))
}

func (i item) wished(now time.Time) bool { return i.wishUntil().After(now) }

// wanted tells whether somebody asks for the item, which is usable and not reserved for that one
// already.
func (i item) wanted(now time.Time) bool {
	if i.why != "" || !i.wished(now) {
		return false
	}
	return i.state(now) != reserved
}

// wanter says who wants the item; "" if nobody does. An operator's wish is for whoever comes.
func (i item) wanter(now time.Time) string {
	if !i.wanted(now) {
		return ""
	}
	if i.WantedBy == "" {
		return "(anyone)"
	}
	return show(i.WantedBy)
}

// describe says in a few words what became of an item.
func (i item) describe(now time.Time) string {
	left := short(i.Until.Sub(now))
	switch i.state(now) {
	case unusable:
		return "can't be leased: " + i.why
	case reserved:
		return fmt.Sprintf("is reserved for %s, for another %s", show(i.LesseeID), left)
	case held:
		return i.describeHolder(left)
	case neverLeased:
		return "is free, and was never leased"
	}
	if i.LesseeID != "" {
		return fmt.Sprintf("is free: the lease of %s has ended", show(i.LesseeID))
	}
	return "is free"
}

// describeHolder says who holds an item for what time.
func (i item) describeHolder(left string) string {
	if i.LesseeID == "" {
		return fmt.Sprintf("is kept from all for another %s, "+
			"as an older process of its last holder's name may rely on it", left)
	}
	token := fmt.Sprintf("the token %d", i.FencingToken)
	if i.tokenless {
		token = "no token"
	}
	return fmt.Sprintf("is held by %s with %s, for another %s", show(i.LesseeID), token, left)
}

// readItem returns what a row shows: found and unusable are what the library has found in it.
func readItem(attributes row, found lease.LeaseItem, unusable error) item {
	i := item{
		LeaseItem: found,
		tokenless: attributes["FencingToken"] == nil,
		forced:    integer(attributes[forcedAttribute]),
	}
	if unusable != nil {
		i.why = whyUnusable(unusable, attributes)
		return i
	}
	released := found.LesseeID == "" && found.LeaseUntil == 0
	if released {
		i.noteLeased(attributes)
	}
	return i
}

// whyUnusable is the reason in the library's error, without the item's name, and with the value
// that it is about.
func whyUnusable(err error, attributes row) string {
	_, why, ok := strings.Cut(err.Error(), "can't be leased: ")
	if !ok {
		return err.Error()
	}
	name, _, _ := strings.Cut(why, " ")
	value := attributes[name]
	_, reason, isOfValue := strings.Cut(why, " is ")
	if value == nil || !isOfValue {
		return why
	}
	const most = 40 // columns
	return fmt.Sprintf("%s %s is %s", name, shorten(textOf(value), most), reason)
}

// unreadable says why an item isn't retired that no worker can lease.
func (i item) unreadable() string {
	return fmt.Sprintf("%s stays, as its row doesn't tell whether it is held (%s): "+
		"mend the row, or delete it by other means", show(i.LeaseID), i.why)
}

// isCalled tells whether an item has a name, or one of a pattern.
func (i item) isCalled(name string) bool {
	is, _ := path.Match(name, i.LeaseID)
	return is || i.LeaseID == name
}
