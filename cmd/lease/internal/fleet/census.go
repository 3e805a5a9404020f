package fleet

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/intercom/lease/cmd/lease/internal/say"
)

// census is who is there, as far as a table shows it: who has items, and who asks for some.
type census struct {
	Items   map[string][]string // by who has them
	wishers map[string]bool
}

func NewCensus() census {
	return census{Items: make(map[string][]string), wishers: make(map[string]bool)}
}

func (c census) Add(page []Item, now time.Time) {
	for _, i := range page {
		if i.HasHolder(now) {
			c.Items[i.LesseeID] = append(c.Items[i.LesseeID], i.LeaseID)
		}
		if i.wanted(now) {
			c.wishers[i.WantedBy] = true
		}
	}
}

// Refuse returns why nothing is asked for in the name of a worker that isn't seen to be there.
func (c census) Refuse(name string) error {
	isThere := c.Items[name] != nil || c.wishers[name]
	if isThere {
		return nil
	}
	near := "."
	if found := c.nearest(name); found != "" {
		near = fmt.Sprintf("; is it %s?", say.Name(found))
	}
	return fmt.Errorf("nothing was asked for: no live worker %s is seen%s One that holds no item, "+
		"and asks for none, can't be seen: if you are sure of the name, give -force",
		say.Name(name), near)
}

// nearest returns the name that a name is a slip of, it seems; "" if there is none.
func (c census) nearest(name string) string {
	const most = 2
	best := ""
	least := most + 1
	names := slices.AppendSeq(slices.Collect(maps.Keys(c.Items)), maps.Keys(c.wishers))
	slices.Sort(names)
	for _, other := range names {
		if d := Distance(name, other); other != "" && d < least {
			best = other
			least = d
		}
	}
	return best
}

// Distance is how many letters are to be changed, added or left out to make one name another
// (Levenshtein's).
func Distance(a, b string) int {
	to := []rune(b)
	costs := make([]int, len(to)+1) // of what was read of a, to each beginning of b
	for j := range costs {
		costs[j] = j
	}
	for _, letter := range a {
		diagonal := costs[0]
		costs[0]++
		for j, other := range to {
			change := diagonal
			if letter != other {
				change++
			}
			diagonal = costs[j+1]
			costs[j+1] = min(change, diagonal+1, costs[j]+1)
		}
	}
	return costs[len(to)]
}
