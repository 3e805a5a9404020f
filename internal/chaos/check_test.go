package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// The events of the histories below are those of one item, "x". Times are small numbers.

func obtained(tenure, lessee string, token int64, begin, end time.Duration) Event {
	return Event{Kind: Obtained, Item: "x", Lessee: lessee, Tenure: tenure, Token: token, Begin: begin, End: end}
}

func saw(kind Kind, tenure string, begin, end time.Duration) Event {
	return Event{Kind: kind, Item: "x", Tenure: tenure, Begin: begin, End: end}
}

func noted(kind Kind, tenure string, at time.Duration, note string) Event {
	return Event{Kind: kind, Item: "x", Tenure: tenure, Begin: at, End: at, Note: note}
}

func TestChecker(t *testing.T) {
	registered := Event{Kind: Registered, Item: "x", Note: "attributes"}
	found := Event{Kind: Found, Item: "x", Note: "attributes"}
	for name, c := range map[string]struct {
		history []Event
		want    []Rule
	}{
		"nothing happened": {nil, nil},
		"one after the other": {[]Event{
			registered,
			obtained("a", "A", 1, 0, 2), saw(Valid, "a", 3, 4), saw(Valid, "a", 9, 10), saw(Over, "a", 15, 16),
			obtained("b", "B", 2, 20, 22), saw(Valid, "b", 23, 24), saw(Valid, "b", 29, 30),
			found,
		}, nil},
		"both valid throughout": {[]Event{
			obtained("a", "A", 1, 0, 2), saw(Valid, "a", 3, 4), saw(Valid, "a", 29, 30),
			obtained("b", "B", 2, 10, 12), saw(Valid, "b", 13, 14), saw(Valid, "b", 19, 20),
		}, []Rule{Overlap}},
		"the older valid for a moment after the newer": {[]Event{
			obtained("a", "A", 1, 0, 2), saw(Valid, "a", 3, 4), saw(Valid, "a", 15, 16),
			obtained("b", "B", 2, 10, 12), saw(Valid, "b", 13, 14), saw(Valid, "b", 19, 20),
		}, []Rule{Overlap}},
		"the only check of one within the other": {[]Event{
			obtained("a", "A", 1, 0, 2), saw(Valid, "a", 3, 4), saw(Valid, "a", 15, 16),
			obtained("b", "B", 2, 10, 12), saw(Valid, "b", 13, 14),
		}, []Rule{Overlap}},
		"a pause in the check before the answer was used": {[]Event{ // It may have been valid at 10 only.
			obtained("a", "A", 1, 0, 2), saw(Valid, "a", 3, 4), saw(Valid, "a", 10, 60),
			obtained("b", "B", 2, 20, 22), saw(Valid, "b", 23, 24), saw(Valid, "b", 29, 30),
		}, nil},
		"a pause in the first check": {[]Event{ // It may have been valid at 24 only.
			obtained("a", "A", 1, 0, 2), saw(Valid, "a", 3, 4), saw(Valid, "a", 14, 15),
			obtained("b", "B", 2, 10, 12), saw(Valid, "b", 13, 24),
		}, nil},
		"namesakes may take from each other": {[]Event{
			obtained("a", "A", 1, 0, 2), saw(Valid, "a", 3, 4), saw(Valid, "a", 29, 30),
			obtained("b", "A", 2, 10, 12), saw(Valid, "b", 13, 14), saw(Valid, "b", 19, 20),
		}, nil},
		"but not renew then": {[]Event{
			obtained("a", "A", 1, 0, 2), saw(Renewed, "a", 5, 6), saw(Renewed, "a", 13, 14),
			obtained("b", "A", 2, 10, 12),
		}, []Rule{StaleRenewal}},
		"a renewal that was sent before": {[]Event{
			obtained("a", "A", 1, 0, 2), saw(Renewed, "a", 11, 14),
			obtained("b", "A", 2, 10, 12),
		}, nil},
		"the token is not greater": {[]Event{
			obtained("a", "A", 2, 0, 2), obtained("b", "B", 1, 10, 12),
		}, []Rule{Tokens}},
		"the token is the same": {[]Event{
			obtained("a", "A", 1, 0, 20), obtained("b", "B", 1, 10, 12),
		}, []Rule{Tokens}},
		"the token is the same for one worker": {[]Event{
			obtained("a/x/1", "A", 1, 0, 2), obtained("a/x/1", "A", 1, 10, 12),
		}, []Rule{Tokens}},
		"the order of the writes is not known": {[]Event{
			obtained("a", "A", 2, 0, 20), obtained("b", "B", 1, 10, 12),
		}, nil},
		"the original library has no tokens": {[]Event{
			obtained("a", "A", 1, 0, 2), obtained("o", "O", 0, 10, 12), obtained("p", "O", 0, 20, 22), obtained("b", "B", 2, 30, 32),
		}, nil},
		"a write of the older before, and one refused after": {[]Event{
			obtained("a", "A", 1, 0, 2), obtained("b", "B", 2, 10, 12),
			saw(Accepted, "a", 13, 14), saw(Accepted, "b", 15, 16), saw(Refused, "a", 17, 18),
		}, nil},
		"a write of the older after": {[]Event{
			obtained("a", "A", 1, 0, 2), obtained("b", "B", 2, 10, 12),
			saw(Accepted, "b", 15, 16), saw(Accepted, "a", 17, 18),
		}, []Rule{StaleWrite}},
		"a tenure that comes back": {[]Event{
			obtained("a", "A", 1, 0, 2), saw(Valid, "a", 3, 4), saw(Over, "a", 5, 6), saw(Valid, "a", 7, 8),
		}, []Rule{Revived}},
		"an attribute is gone":    {[]Event{registered, {Kind: Found, Item: "x", Note: "less"}}, []Rule{LostAttribute}},
		"the item is gone":        {[]Event{registered}, []Rule{LostAttribute}},
		"another item":            {[]Event{registered, found, {Kind: Found, Item: "y"}}, nil},
		"held soon after the end": {[]Event{registered, found, {Kind: Calm, End: 100}, obtained("a", "A", 1, 140, 145), saw(Valid, "a", 145, 150)}, []Rule{}},
		"held all along":          {[]Event{registered, found, {Kind: Calm, End: 100}, obtained("a", "A", 1, 0, 2), saw(Valid, "a", 3, 4), saw(Valid, "a", 200, 201)}, nil},
		"held too late":           {[]Event{registered, found, {Kind: Calm, End: 100}, obtained("a", "A", 1, 140, 145), saw(Valid, "a", 145, 151)}, []Rule{NotHeld}},
		"held no more":            {[]Event{registered, found, {Kind: Calm, End: 100}, obtained("a", "A", 1, 0, 2), saw(Valid, "a", 3, 4), saw(Valid, "a", 99, 101)}, []Rule{NotHeld}},
		"the next begins with what was saved, or more": {[]Event{
			obtained("a", "A", 1, 0, 2), noted(Resumed, "a", 3, "0"), noted(Saved, "a", 5, "1"), noted(Saved, "a", 6, "2"), noted(Saved, "a", 11, "4"),
			obtained("b", "B", 2, 10, 12), noted(Resumed, "b", 13, "3"), noted(Saved, "b", 14, "4"),
			obtained("c", "C", 3, 20, 22), noted(Resumed, "c", 23, "4"),
			obtained("o", "O", 0, 30, 32),
		}, nil},
		"the next begins with less": {[]Event{
			obtained("a", "A", 1, 0, 2), noted(Saved, "a", 5, "2"), obtained("b", "B", 2, 10, 12), noted(Resumed, "b", 13, "1"),
		}, []Rule{LostSave}},
		"one saves after the next has begun": {[]Event{
			obtained("a", "A", 1, 0, 2), obtained("b", "A", 2, 10, 12), noted(Saved, "a", 13, "2"),
		}, []Rule{StaleSave}},
		"work until the handover, and the wisher's": {[]Event{
			obtained("a", "A", 1, 0, 2), saw(Valid, "a", 3, 4), saw(Working, "a", 5, 5), saw(Valid, "a", 6, 14), saw(Freeing, "a", 8, 10),
			saw(HandedOver, "a", 8, 20), saw(Over, "a", 16, 17), obtained("b", "B", 2, 20, 22), saw(Valid, "b", 23, 24),
		}, nil},
		"work after the handover was sent": {[]Event{
			obtained("a", "A", 1, 0, 2), saw(Working, "a", 5, 5), saw(Freeing, "a", 8, 10), saw(HandedOver, "a", 8, 20), saw(Working, "a", 12, 12),
		}, []Rule{Overwork}},
		"work after a handover whose reply was lost": {[]Event{
			obtained("a", "A", 1, 0, 2), saw(Freeing, "a", 8, 10), saw(Working, "a", 12, 12), saw(Freeing, "a", 8, 20), saw(HandedOver, "a", 8, 22),
		}, []Rule{Overwork}},
		"valid after the release was sent": {[]Event{
			obtained("a", "A", 1, 0, 2), saw(Freeing, "a", 8, 10), saw(Valid, "a", 12, 13),
		}, []Rule{Overwork}},
		"items of a class, and those of who has none": {[]Event{
			{Kind: InClass, Lessee: "A", Item: "w"}, {Kind: InClass, Lessee: "A", Item: "x"}, {Kind: InClass, Lessee: "B", Item: "w"},
			obtained("a", "A", 1, 0, 2), obtained("c", "C", 2, 10, 12),
		}, nil},
		"an item outside of the class": {[]Event{
			{Kind: InClass, Lessee: "A", Item: "x"}, {Kind: InClass, Lessee: "B", Item: "w"},
			obtained("a", "A", 1, 0, 2), obtained("b", "B", 2, 10, 12),
		}, []Rule{OutsideClass}},
		"other items are others": {[]Event{
			obtained("a", "A", 1, 0, 2), saw(Valid, "a", 3, 4), saw(Valid, "a", 29, 30),
			{Kind: Obtained, Item: "y", Lessee: "B", Tenure: "b", Token: 1, Begin: 10, End: 12},
			{Kind: Valid, Item: "y", Tenure: "b", Begin: 13, End: 14}, {Kind: Valid, Item: "y", Tenure: "b", Begin: 19, End: 20},
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for range 5 { // The order of the events is of no importance.
				checker := NewChecker()
				for _, i := range rand.Perm(len(c.history)) {
					checker.Add(c.history[i])
				}
				got := []Rule{}
				for _, v := range checker.Report(Bounds{Recovery: 50}).Violations {
					got = append(got, v.Rule)
				}
				assert.ElementsMatch(t, c.want, got)
			}
		})
	}
}

func TestCheckerOfThoseThatShare(t *testing.T) {
	on := func(item, lessee string, from, to time.Duration) []Event {
		tenure := fmt.Sprint(item, lessee, from)
		return []Event{{Kind: Obtained, Item: item, Lessee: lessee, Tenure: tenure, Token: int64(from) + 1, Begin: from - 1, End: from},
			{Kind: Valid, Item: item, Tenure: tenure, Begin: from, End: from}, {Kind: Valid, Item: item, Tenure: tenure, Begin: to, End: to}}
	}
	join := func(parts ...[]Event) []Event { return slices.Concat(parts...) }
	sharing := func(limits ...int64) (events []Event) {
		for i, limit := range limits {
			events = append(events, Event{Kind: Sharing, Lessee: string(rune('A' + i)), Token: limit, End: 100})
		}
		return events
	}
	for name, c := range map[string]struct {
		history    []Event
		want       []Rule
		gap, level time.Duration
	}{
		"level all along":           {join(sharing(0, 0), on("x", "A", 1, 200), on("y", "B", 2, 200), on("z", "B", 3, 200)), nil, 0, 0},
		"level in time":             {join(sharing(0, 0), on("x", "A", 1, 110), on("x", "B", 120, 200), on("y", "A", 2, 200), on("z", "A", 3, 200)), nil, 10, 20},
		"the last to be left count": {join([]Event{{Kind: Sharing, Lessee: "C", End: 90}}, sharing(0, 0), on("x", "A", 1, 200), on("y", "B", 2, 200)), nil, 0, 0},
		"level too late":            {join(sharing(0, 0), on("x", "A", 1, 160), on("x", "B", 190, 200), on("y", "A", 2, 200), on("z", "A", 3, 200)), []Rule{NotLevel}, 30, never},
		"one has all":               {join(sharing(0, 0), on("x", "A", 1, 200), on("y", "A", 2, 200), on("z", "A", 3, 200)), []Rule{NotLevel}, 0, never},
		"one can't take":            {join(sharing(0, 1), on("x", "A", 1, 200), on("y", "A", 2, 200), on("z", "A", 3, 200), on("u", "B", 3, 200)), nil, 0, 0},
		"one can take more":         {join(sharing(0, 2), on("x", "A", 1, 200), on("y", "A", 2, 200), on("z", "A", 3, 200), on("u", "B", 3, 200)), []Rule{NotLevel}, 0, never},
		"a stranger has one":        {join(sharing(0, 0), on("x", "S", 1, 200), on("y", "A", 2, 200)), []Rule{NotLevel}, 0, never},
		"never all at once":         {join(sharing(0, 0), on("x", "A", 1, 130), on("x", "A", 160, 200), on("y", "B", 131, 159)), []Rule{NotLevel}, 41, never},
		"one is never held":         {join(sharing(0), on("x", "A", 1, 200), []Event{{Kind: Registered, Item: "y"}, {Kind: Found, Item: "y"}}), []Rule{NotHeld, NotLevel}, 100, never},
		"nobody for too long":       {join(sharing(0), on("x", "A", 1, 200), on("y", "A", 160, 200)), []Rule{NotHeld}, 60, 60},
		"held, and then no more":    {join(sharing(0), on("x", "A", 1, 200), on("y", "A", 50, 140)), []Rule{NotHeld}, 60, 0},
	} {
		t.Run(name, func(t *testing.T) {
			checker := NewChecker()
			for _, i := range rand.Perm(len(c.history)) {
				checker.Add(c.history[i])
			}
			report, got := checker.Report(Bounds{Gap: 50, Level: 80}), []Rule(nil)
			for _, v := range report.Violations {
				got = append(got, v.Rule)
			}
			assert.Equal(t, c.want, got)
			assert.Equal(t, []any{true, c.gap, c.level}, []any{report.Shared, report.SharedGap, report.SharedLevel})
		})
	}
}

func TestReportCounts(t *testing.T) {
	checker := NewChecker()
	for _, e := range []Event{
		{Kind: Registered, Item: "x"}, {Kind: Found, Item: "x"},
		obtained("a", "A", 1, 0, 2), saw(Valid, "a", 3, 4), saw(Renewed, "a", 5, 6), saw(Weighed, "a", 5, 6), saw(Accepted, "a", 6, 7), saw(Valid, "a", 9, 10),
		obtained("b", "B", 2, 20, 22), saw(Valid, "b", 23, 24), saw(Valid, "b", 29, 30), saw(Released, "b", 31, 32), saw(Refused, "a", 33, 34),
		obtained("c", "C", 3, 40, 42), saw(Valid, "c", 43, 44), saw(Valid, "c", 49, 50),
		obtained("d", "D", 4, 60, 62), saw(HandedOver, "d", 64, 65), obtained("e", "E", 5, 70, 72),
		{Kind: Fault, Note: Throttled}, {Kind: Fault, Note: Throttled},
		{Kind: InClass, Lessee: "D", Item: "x"},
		{Kind: Calm, End: 48},
	} {
		checker.Add(e)
	}
	assert.Equal(t, Report{Tenures: 5, Renewals: 1, Releases: 2, Handovers: 1, Takeovers: 2, InClass: 1, Weights: 1, Accepted: 1, Refused: 1,
		Faults: map[string]int{Throttled: 2}, Gap: map[string]time.Duration{"x": 44 - 29}, Recovery: 0}, checker.Report(Bounds{Recovery: 50}))
}

func TestViolationsNameTheTenures(t *testing.T) {
	checker := NewChecker()
	checker.Add(obtained("a", "A", 7, 0, 2))
	checker.Add(obtained("b", "B", 7, 10, 12))
	assert.Equal(t, `tokens of x between 0s and 12ns: tenure a (token 7, by "A", obtained at 2ns by a write of 0s) and `+
		`tenure b (token 7, by "B", obtained at 12ns by a write of 10ns) have the same token`,
		fmt.Sprint(checker.Report(Bounds{}).Violations[0]))
}
