package chaos

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Rule names a guarantee.
type Rule string

// The guarantees. Each event brackets the moment of what it tells, and a rule counts as broken
// only if it is so for every choice of the moments. So no pause of a process, wherever it
// strikes, makes a violation of what was right; what is missed are breaches shorter than the
// time between two checks.
//
// A tenure that was valid at two moments was valid in between, for one that has ended never
// comes back (which is checked as well). So it was valid from the End of its first check that
// said so to the Begin of the last. One tenure is older than another if it was obtained before
// the other's write was sent.
const (
	// Overlap: two tenures of an item, of different lessees, were valid at the same time. A lessee
	// may lease its own item anew at any time: for tenures of namesakes there is StaleRenewal.
	Overlap Rule = "overlap"

	// Tokens: a tenure doesn't have a greater token than every older one of the item, or two have
	// the same. Tenures of the original library have none.
	Tokens Rule = "tokens"

	// StaleRenewal: a tenure was renewed by a write that was sent after a newer one was obtained.
	StaleRenewal Rule = "stale renewal"

	// StaleWrite: a guarded write of a tenure was sent after one of a newer tenure had been
	// accepted, and was accepted.
	StaleWrite Rule = "stale write"

	// Revived: a tenure was valid after it had been over.
	Revived Rule = "revived"

	// LostAttribute: an item or one of its user attributes is not as it was registered.
	LostAttribute Rule = "lost attribute"

	// LostSave: a tenure began with a smaller number than an older one had saved. They count up.
	LostSave Rule = "lost save"

	// StaleSave: a tenure saved a number by a write that was sent after a newer one was obtained.
	StaleSave Rule = "stale save"

	// Overwork: a tenure was valid, or work went on that relied on it, after its release or
	// handover was sent.
	Overwork Rule = "overwork"

	// OutsideClass: a worker that takes part in some items only obtained another.
	OutsideClass Rule = "outside of the class"

	// NotHeld: an item was not held within the given time after the faults had ended, or when
	// only those that share were left nobody held it for longer than that.
	NotHeld Rule = "not held"

	// NotLevel: within the given time after only those that share were left, there was no
	// moment at which they held all items and no two differed by more than one, of which the
	// poorer was not at its limit.
	NotLevel Rule = "not level"
)

// Violation says which guarantee was broken, and on which part of the history.
type Violation struct {
	Rule     Rule
	Item     string
	From, To time.Duration
	Text     string
}

func (v Violation) String() string {
	return fmt.Sprintf("%s of %s between %v and %v: %s", v.Rule, v.Item, v.From, v.To, v.Text)
}

// Report is what a history shows.
type Report struct {
	Violations []Violation

	Tenures, Renewals, Releases int
	Handovers                   int // releases to who wanted the item
	Takeovers                   int // tenures after one of another lessee that was not released
	InClass                     int // tenures of workers that take part in some items only
	Weights                     int // that renewals have written
	Accepted, Refused           int // guarded writes
	Saves                       int // of numbers, to the items' rows
	Faults                      map[string]int
	Gap                         map[string]time.Duration // the longest that an item wasn't held
	Recovery                    time.Duration            // until all were held after the faults

	// Shared tells that at the end there were only those that share. Then there are also the
	// longest time that an item wasn't held, and how long it took until all were level.
	Shared                 bool
	SharedGap, SharedLevel time.Duration
}

// Count returns how many violations of a rule there are.
func (r Report) Count(rule Rule) int {
	n := 0
	for _, v := range r.Violations {
		if v.Rule == rule {
			n++
		}
	}
	return n
}

// String is the summary table.
func (r Report) String() string {
	var b strings.Builder
	row := func(name string, value any) { fmt.Fprintf(&b, "%-50s %v\n", name, value) }
	row("tenures", r.Tenures)
	row("renewals", r.Renewals)
	row("releases", r.Releases)
	row("handovers", r.Handovers)
	row("takeovers", r.Takeovers)
	row("tenures of workers with a class", r.InClass)
	row("weights written", r.Weights)
	row("guarded writes accepted", r.Accepted)
	row("guarded writes refused", r.Refused)
	row("numbers saved", r.Saves)
	for _, kind := range sortedKeys(r.Faults) {
		row("fault: "+kind, r.Faults[kind])
	}
	for _, item := range sortedKeys(r.Gap) {
		row("longest gap of "+item, r.Gap[item].Round(time.Millisecond))
	}
	after := func(name string, d time.Duration) {
		if d < never {
			row(name, d.Round(time.Millisecond))
		} else {
			row(name, "never")
		}
	}
	after("all held after the faults", r.Recovery)
	if r.Shared {
		after("longest gap when only those that share were left", r.SharedGap)
		after("level then after", r.SharedLevel)
	}
	row("overlaps", r.Count(Overlap))
	row("violations in all", len(r.Violations))
	return b.String()
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func (r *Report) violate(
	rule Rule, item string, from, to time.Duration, format string, args ...any,
) {
	text := fmt.Sprintf(format, args...)
	r.Violations = append(r.Violations, Violation{rule, item, from, to, text})
}
