package chaos

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Rule names a guarantee.
type Rule string

// The guarantees. Each event brackets the moment of what it tells, and a rule counts as broken only if
// it is so for every choice of the moments. So no pause of a process, wherever it strikes, makes a
// violation of what was right; what is missed are breaches shorter than the time between two checks.
//
// A tenure that was valid at two moments was valid in between, for one that has ended never comes back
// (which is checked as well). So it was valid from the End of its first check that said so to the Begin
// of the last. One tenure is older than another if it was obtained before the other's write was sent.
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

	// Overwork: a tenure was valid, or work went on that relied on it, after its release or handover was sent.
	Overwork Rule = "overwork"

	// NotHeld: an item was not held within the given time after the faults had ended, or when only those
	// that share were left nobody held it for longer than that.
	NotHeld Rule = "not held"

	// NotLevel: within the given time after only those that share were left, there was no moment at which
	// they held all items and no two differed by more than one, of which the poorer was not at its limit.
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
	Accepted, Refused           int // guarded writes
	Saves                       int // of numbers, to the items' rows
	Faults                      map[string]int
	Gap                         map[string]time.Duration // the longest time that an item was not seen held
	Recovery                    time.Duration            // from the end of the faults to when every item was seen held
	Shared                      bool                     // at the end there were only those that share; then:
	SharedGap, SharedLevel      time.Duration            // the longest time that an item was not seen held, and from when they were alone to level
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

// never is later than all moments.
const never time.Duration = math.MaxInt64

// tenure is what the history tells about one tenure.
type tenure struct {
	Event // Obtained

	validFrom, validTo              time.Duration // seen valid throughout; never and -never if never seen
	over                            time.Duration // the End of the first check that said so
	renewed                         time.Duration // the Begin of the last renewal
	freed                           time.Duration // the End of what came before the first release or handover was sent
	worked                          time.Duration // the Begin of the last moment at which work went on
	handovers                       int
	firstAccepted, lastAccepted     time.Duration // the End of the first guarded write, the Begin of the last
	resumed                         int           // the number that it found; -1 if it didn't look
	saves                           []Event
	obtained, renewals, wasReleased int
}

// Checker takes the events of a history, in any order.
type Checker struct {
	// When only those that share are left: for how long an item may have no holder, and how soon all must be level.
	HeldWithin, LevelWithin time.Duration

	sharers    map[string]int // and their limits
	alone      time.Duration  // from when on there are no others
	tenures    map[string]*tenure
	registered map[string]Event
	found      map[string]string
	calm       time.Duration
	report     Report
}

// NewChecker returns a checker of an empty history.
func NewChecker() *Checker {
	return &Checker{sharers: make(map[string]int), alone: -never, tenures: make(map[string]*tenure), registered: make(map[string]Event), found: make(map[string]string),
		calm: never, report: Report{Faults: make(map[string]int), Gap: make(map[string]time.Duration)}}
}

// Add takes an event.
func (c *Checker) Add(e Event) {
	switch e.Kind {
	case Registered:
		c.registered[e.Item] = e
		return
	case Found:
		c.found[e.Item] = e.Note
		return
	case Fault:
		c.report.Faults[e.Note]++
		return
	case Calm:
		c.calm = e.End
		return
	case Sharing:
		c.sharers[e.Lessee] = int(e.Token)
		c.alone = max(c.alone, e.End)
		return
	}
	t := c.tenures[e.Tenure]
	if t == nil {
		t = &tenure{validFrom: never, validTo: -never, over: never, renewed: -never, freed: never, worked: -never, firstAccepted: never, lastAccepted: -never, resumed: -1}
		c.tenures[e.Tenure] = t
	}
	switch e.Kind {
	case Obtained:
		t.Event = e
		t.obtained++
	case Valid:
		t.validFrom, t.validTo = min(t.validFrom, e.End), max(t.validTo, e.Begin)
	case Over:
		t.over = min(t.over, e.End)
	case Renewed:
		t.renewals++
		t.renewed = max(t.renewed, e.Begin)
	case Released:
		t.wasReleased++
	case HandedOver:
		t.wasReleased++
		t.handovers++
	case Freeing:
		t.freed = min(t.freed, e.End)
	case Saved:
		c.report.Saves++
		t.saves = append(t.saves, e)
	case Resumed:
		t.resumed = number(e)
	case Working:
		t.worked = max(t.worked, e.Begin)
	case Accepted:
		c.report.Accepted++
		t.firstAccepted, t.lastAccepted = min(t.firstAccepted, e.End), max(t.lastAccepted, e.Begin)
	case Refused:
		c.report.Refused++
	}
}

// number returns the number in an event's note.
func number(e Event) int {
	n, err := strconv.Atoi(e.Note)
	if err != nil {
		panic(fmt.Sprintf("chaos: %+v has no number: %v", e, err))
	}
	return n
}

// Report holds what was added against the rules. recovery is how soon after the faults every item must
// be held.
func (c *Checker) Report(recovery time.Duration) Report {
	items := make(map[string][]*tenure)
	for item := range c.registered {
		items[item] = nil
	}
	for _, t := range c.tenures {
		if t.obtained > 0 { // else its process was killed before it could say so
			items[t.Item] = append(items[t.Item], t)
		}
	}
	r, end := c.report, -never
	for _, t := range c.tenures {
		end = max(end, t.validTo)
	}
	for _, item := range sortedKeys(items) {
		tenures := items[item]
		slices.SortFunc(tenures, func(a, b *tenure) int { return cmp.Compare(a.End, b.End) })
		r.count(tenures)
		r.checkEach(tenures)
		r.checkPairs(tenures)
		if e, ok := c.registered[item]; ok && c.found[item] != e.Note {
			r.violate(LostAttribute, item, e.Begin, never, "registered with %q, found %q", e.Note, c.found[item])
		}
		if c.calm < never {
			r.checkHeld(item, tenures, c.calm, recovery)
		}
		if len(c.sharers) > 0 {
			r.checkGaps(item, tenures, c.alone, end, c.HeldWithin)
		}
	}
	if r.Shared = len(c.sharers) > 0; r.Shared {
		r.SharedLevel = c.checkLevel(&r, items)
	}
	return r
}

// checkHeld checks how long after the faults an item was seen held.
func (r *Report) checkHeld(item string, tenures []*tenure, since, within time.Duration) {
	held := never
	for _, t := range tenures {
		if t.validTo >= since {
			held = min(held, max(t.validFrom, since))
		}
	}
	took := never
	if held < never {
		took = held - since
	}
	r.Recovery = max(r.Recovery, took)
	if took > within {
		r.violate(NotHeld, item, since, held, "the faults ended at %v; want a holder %v later", since, within)
	}
}

// checkGaps checks for how long nobody held an item, from one time to another.
func (r *Report) checkGaps(item string, tenures []*tenure, since, until, within time.Duration) {
	seen := slices.DeleteFunc(slices.Clone(tenures), func(t *tenure) bool { return t.validFrom > t.validTo || t.validTo < since })
	slices.SortFunc(seen, func(a, b *tenure) int { return cmp.Compare(a.validFrom, b.validFrom) })
	check := func(from, to time.Duration) {
		r.SharedGap = max(r.SharedGap, to-from)
		if to-from > within {
			r.violate(NotHeld, item, from, to, "nobody held it for %v when only those that share were left, since %v; want at most %v",
				to-from, since, within)
		}
	}
	for _, t := range seen {
		check(since, t.validFrom)
		since = max(since, t.validTo)
	}
	check(since, until)
}

// checkLevel returns how long after all but those that share had left all items were seen held by them, and level.
func (c *Checker) checkLevel(r *Report, items map[string][]*tenure) time.Duration {
	moments := []time.Duration{c.alone}
	for _, tenures := range items {
		for _, t := range tenures {
			if t.validFrom > c.alone && t.validFrom < never {
				moments = append(moments, t.validFrom)
			}
		}
	}
	slices.Sort(moments)
	var counts map[string]int
	for _, moment := range moments {
		held := 0
		counts = make(map[string]int)
		for _, tenures := range items {
			if i := slices.IndexFunc(tenures, func(t *tenure) bool { return t.validFrom <= moment && moment <= t.validTo }); i >= 0 {
				counts[tenures[i].Lessee]++
				held++
			}
		}
		if held < len(items) || !Level(counts, c.sharers) {
			continue
		}
		if took := moment - c.alone; took <= c.LevelWithin {
			return took
		}
		break
	}
	r.violate(NotLevel, "", c.alone, never, "all but those that share had left at %v; want them level %v later; at the last there were %v",
		c.alone, c.LevelWithin, counts)
	return never
}

// Level tells whether workers with these limits (0 for none) hold as many items as the others, but for one, or as they
// can, and nobody else holds any.
func Level(counts, limits map[string]int) bool {
	for lessee, n := range counts {
		if _, ok := limits[lessee]; !ok && n > 0 {
			return false
		}
		for other, limit := range limits {
			if n > counts[other]+1 && (limit == 0 || counts[other] < limit) {
				return false
			}
		}
	}
	return true
}

func (r *Report) violate(rule Rule, item string, from, to time.Duration, format string, args ...any) {
	r.Violations = append(r.Violations, Violation{rule, item, from, to, fmt.Sprintf(format, args...)})
}

// count counts what happened to an item, given its tenures by the time they were obtained.
func (r *Report) count(tenures []*tenure) {
	r.Tenures += len(tenures)
	for i, t := range tenures {
		r.Renewals += t.renewals
		r.Releases += t.wasReleased
		r.Handovers += t.handovers
		if i > 0 && tenures[i-1].Lessee != t.Lessee && tenures[i-1].wasReleased == 0 {
			r.Takeovers++
		}
	}
	seen := slices.DeleteFunc(slices.Clone(tenures), func(t *tenure) bool { return t.validFrom > t.validTo })
	slices.SortFunc(seen, func(a, b *tenure) int { return cmp.Compare(a.validFrom, b.validFrom) })
	for i, last := 0, -never; i < len(seen); i++ {
		if t := seen[i]; i > 0 && t.validFrom > last {
			r.Gap[t.Item] = max(r.Gap[t.Item], t.validFrom-last)
		}
		last = max(last, seen[i].validTo)
	}
}

func (r *Report) checkEach(tenures []*tenure) {
	for _, t := range tenures {
		if t.obtained > 1 {
			r.violate(Tokens, t.Item, t.Begin, t.End, "%s was obtained %d times", t, t.obtained)
		}
		if t.over <= t.validTo {
			r.violate(Revived, t.Item, t.Begin, t.validTo, "%s was over at %v and valid at %v", t, t.over, t.validTo)
		}
		if last := max(t.validTo, t.worked); t.freed <= last {
			r.violate(Overwork, t.Item, t.Begin, last, "%s was given away after %v; it was valid at %v, and work went on at %v",
				t, t.freed, t.validTo, t.worked)
		}
	}
}

func (r *Report) checkPairs(tenures []*tenure) {
	for i, a := range tenures {
		for _, b := range tenures[:i] {
			from, to := min(a.Begin, b.Begin), max(a.validTo, b.validTo, a.End, b.End)
			if a.Lessee != b.Lessee && a.validFrom <= b.validTo && b.validFrom <= a.validTo {
				r.violate(Overlap, a.Item, from, to, "%s was valid from %v to %v, %s from %v to %v",
					b, b.validFrom, b.validTo, a, a.validFrom, a.validTo)
			}
			if a.Token == b.Token && a.Token != 0 {
				r.violate(Tokens, a.Item, from, to, "%s and %s have the same token", b, a)
			}
			if b.End > a.Begin {
				continue
			}
			// b is older than a.
			if b.Token > a.Token && a.Token != 0 {
				r.violate(Tokens, a.Item, from, to, "%s is older than %s", b, a)
			}
			if b.renewed >= a.End {
				r.violate(StaleRenewal, a.Item, from, max(to, b.renewed), "%s was renewed at %v; it is older than %s",
					b, b.renewed, a)
			}
			for _, save := range b.saves {
				if save.End <= a.Begin && a.resumed >= 0 && number(save) > a.resumed {
					r.violate(LostSave, a.Item, from, to, "%s began with %d, but %s had saved %s by %v", a, a.resumed, b, save.Note, save.End)
				}
				if save.Begin >= a.End {
					r.violate(StaleSave, a.Item, from, max(to, save.End), "%s saved %s at %v; it is older than %s", b, save.Note, save.Begin, a)
				}
			}
			if b.lastAccepted >= a.firstAccepted {
				r.violate(StaleWrite, a.Item, from, max(to, b.lastAccepted), "a write of %s was accepted at %v, after one at %v of %s",
					b, b.lastAccepted, a.firstAccepted, a)
			}
		}
	}
}

func (t *tenure) String() string {
	return fmt.Sprintf("tenure %s (token %d, by %q, obtained at %v by a write of %v)", t.Tenure, t.Token, t.Lessee, t.End, t.Begin)
}
