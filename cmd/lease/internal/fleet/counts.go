package fleet

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/intercom/lease/cmd/lease/internal/say"
)

// Counts are those of the items that were listed.
type Counts struct {
	Items       int            `json:"items"`
	Held        int            `json:"held"`
	Reserved    int            `json:"reserved"`
	Free        int            `json:"free"`
	NeverLeased int            `json:"never_leased"`
	Unusable    int            `json:"unusable"`
	Holders     map[string]int `json:"holders"`
	Pages       int            `json:"pages"`
	ReadUnits   float64        `json:"read_units"`
}

func NewCounts() *Counts { return &Counts{Holders: make(map[string]int)} }

func (c *Counts) Add(items []Item, now time.Time) {
	for _, i := range items {
		c.Items++
		*c.of(i.State(now))++
		if i.HasHolder(now) {
			c.Holders[i.LesseeID]++
		}
	}
}

// of returns the count of the items in a state.
func (c *Counts) of(s State) *int {
	switch s {
	case Held:
		return &c.Held
	case Reserved:
		return &c.Reserved
	case NeverLeased:
		return &c.NeverLeased
	case Unusable:
		return &c.Unusable
	}
	return &c.Free
}

func (c *Counts) String() string {
	return fmt.Sprintf("%s: %d held, %d reserved, %d free, %d never leased, %d unusable",
		say.Items(c.Items), c.Held, c.Reserved, c.Free, c.NeverLeased, c.Unusable)
}

// Ranking returns the holders, those with the most items first.
func (c *Counts) Ranking() []string {
	return slices.SortedFunc(maps.Keys(c.Holders), func(a, b string) int {
		byCount := cmp.Compare(c.Holders[b], c.Holders[a])
		byName := cmp.Compare(a, b)
		return cmp.Or(byCount, byName)
	})
}
