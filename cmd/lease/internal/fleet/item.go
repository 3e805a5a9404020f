// Package fleet is what the rows of a table show: items, what has happened to them between two
// looks, who holds how many, and what that costs. It is made of values, and asks nobody.
package fleet

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"

	"github.com/intercom/lease"
	"github.com/intercom/lease/cmd/lease/internal/say"
)

type Row = map[string]*dynamodb.AttributeValue

func Number(n int64) *dynamodb.AttributeValue {
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

// FirstTokenAttribute is what "lease add" writes beside the library's own attributes: the
// FencingToken of the registration. Without it a row that was never leased looks like one that was
// released.
const FirstTokenAttribute = "FirstToken"

// WeightAttribute is how much of a worker's load an item is.
const WeightAttribute = "LeaseWeight"

// ForcedAttribute is what "lease release" leaves in a row: the FencingToken of the tenure that it
// ends by force. Without it that looks like the holder's own release.
const ForcedAttribute = "ForcedToken"

// ShownAttributes are those that an item is made of, beside its key: the library's own.
var ShownAttributes = []string{
	"ProcessID",
	"LeaseUntil",
	"FencingToken",
	"WantedBy",
	"WantedUntil",
	WeightAttribute,
	"LeaseCapacity",
	FirstTokenAttribute,
	ForcedAttribute,
}

// Item is what a row shows.
type Item struct {
	lease.LeaseItem
	Why       string // no worker can lease it
	Tokenless bool   // there is no FencingToken
	Unleased  bool   // for sure nobody has ever leased it
	Maybe     bool   // nobody has, or it was released
	Users     string // its own attributes, as JSON, if they were asked for
	Forced    *int64 // the tenure that an operator ended last, by its token
}

// aTime is more than any count of tenures: FencingTokens that count from the time of registration
// are greater.
const aTime = int64(1e12)

// noteLeased notes whether anybody has ever leased an item that is free, as far as its row tells.
func (i *Item) noteLeased(attributes Row) {
	first := attributes[FirstTokenAttribute]
	if first != nil && first.N != nil {
		i.Unleased = *first.N == strconv.FormatInt(i.FencingToken, 10)
		return
	}
	if attributes["LeaseUntil"] == nil || i.FencingToken == 0 {
		i.Unleased = true
		return
	}
	i.Maybe = i.FencingToken >= aTime
}

// State is what an item is to people.
type State string

const (
	Held        State = "held"
	Reserved    State = "reserved" // handed over, and not yet leased by whom it was handed to
	Free        State = "free"
	NeverLeased State = "never leased" // and free
	Unusable    State = "unusable"     // no worker can lease it
)

func (i Item) State(now time.Time) State {
	switch i.StateAt(now) {
	case lease.ItemUnusable:
		return Unusable
	case lease.ItemReserved:
		return Reserved
	case lease.ItemHeld, lease.ItemWanted: // Who wants it has a column of its own.
		return Held
	}
	if i.Unleased {
		return NeverLeased
	}
	return Free
}

// Live tells whether somebody has the item.
func (i Item) Live(now time.Time) bool {
	switch i.StateAt(now) {
	case lease.ItemHeld, lease.ItemWanted, lease.ItemReserved:
		return true
	}
	return false
}

// HasHolder tells whether a lessee has the item. One that was released by a worker that has a
// namesake is live without a holder.
func (i Item) HasHolder(now time.Time) bool { return i.Live(now) && i.LesseeID != "" }

// WishUntil is when the wish for the item ends, by this host's clock as Until is; zero if there is
// none.
func (i Item) WishUntil() time.Time {
	if i.WantedUntil <= 0 || i.Until.IsZero() {
		return time.Time{}
	}
	return i.Until.Add(time.Duration(i.WantedUntil - i.LeaseUntil))
}

func (i Item) Wished(now time.Time) bool { return i.WishUntil().After(now) }

// wanted tells whether somebody asks for the item, which is usable and not reserved for that one
// already.
func (i Item) wanted(now time.Time) bool {
	if i.Why != "" || !i.Wished(now) {
		return false
	}
	return i.State(now) != Reserved
}

// Wanter says who wants the item; "" if nobody does. An operator's wish is for whoever comes.
func (i Item) Wanter(now time.Time) string {
	if !i.wanted(now) {
		return ""
	}
	if i.WantedBy == "" {
		return "(anyone)"
	}
	return say.Name(i.WantedBy)
}

// Describe says in a few words what became of an item.
func (i Item) Describe(now time.Time) string {
	left := say.Duration(i.Until.Sub(now))
	switch i.State(now) {
	case Unusable:
		return "can't be leased: " + i.Why
	case Reserved:
		return fmt.Sprintf("is reserved for %s, for another %s", say.Name(i.LesseeID), left)
	case Held:
		return i.describeHolder(left)
	case NeverLeased:
		return "is free, and was never leased"
	}
	if i.LesseeID != "" {
		return fmt.Sprintf("is free: the lease of %s has ended", say.Name(i.LesseeID))
	}
	return "is free"
}

// describeHolder says who holds an item for what time.
func (i Item) describeHolder(left string) string {
	if i.LesseeID == "" {
		return fmt.Sprintf("is kept from all for another %s, "+
			"as an older process of its last holder's name may rely on it", left)
	}
	token := fmt.Sprintf("the token %d", i.FencingToken)
	if i.Tokenless {
		token = "no token"
	}
	return fmt.Sprintf("is held by %s with %s, for another %s", say.Name(i.LesseeID), token, left)
}

// ReadItem returns what a row shows: found and unusable are what the library has found in it.
func ReadItem(attributes Row, found lease.LeaseItem, unusable error) Item {
	i := Item{
		LeaseItem: found,
		Tokenless: attributes["FencingToken"] == nil,
		Forced:    integer(attributes[ForcedAttribute]),
	}
	if unusable != nil {
		i.Why = whyUnusable(unusable, attributes)
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
func whyUnusable(err error, attributes Row) string {
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
	return fmt.Sprintf("%s %s is %s", name, say.Shorten(TextOf(value), most), reason)
}

// Unreadable says why an item isn't retired that no worker can lease.
func (i Item) Unreadable() string {
	return fmt.Sprintf("%s stays, as its row doesn't tell whether it is held (%s): "+
		"mend the row, or delete it by other means", say.Name(i.LeaseID), i.Why)
}

// IsCalled tells whether an item has a name, or one of a pattern.
func (i Item) IsCalled(name string) bool { return i.LeaseID == name || Matches(name, i.LeaseID) }

// Matches tells whether a name is of a pattern, as shells have it: but * and ? stand for any
// characters, as items are no files.
func Matches(pattern, name string) bool {
	is, _ := path.Match(noPath.Replace(pattern), noPath.Replace(name))
	return is
}

// IsPattern tells whether a pattern can be understood.
func IsPattern(pattern string) bool {
	_, err := path.Match(pattern, "")
	return err == nil
}

// noPath has slashes be like other characters for path.Match.
var noPath = strings.NewReplacer("/", "\x01", "\x01", "/")
