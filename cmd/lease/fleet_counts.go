package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// counts are those of the items that were listed.
type counts struct {
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

func newCounts() *counts { return &counts{Holders: make(map[string]int)} }

func (c *counts) add(items []item, now time.Time) {
	for _, i := range items {
		c.Items++
		*c.of(i.state(now))++
		if i.hasHolder(now) {
			c.Holders[i.LesseeID]++
		}
	}
}

// of returns the count of the items in a state.
func (c *counts) of(s state) *int {
	switch s {
	case held:
		return &c.Held
	case reserved:
		return &c.Reserved
	case neverLeased:
		return &c.NeverLeased
	case unusable:
		return &c.Unusable
	}
	return &c.Free
}

func (c *counts) String() string {
	return fmt.Sprintf("%s: %d held, %d reserved, %d free, %d never leased, %d unusable",
		items(c.Items), c.Held, c.Reserved, c.Free, c.NeverLeased, c.Unusable)
}

// ranking returns the holders, those with the most items first.
func (c *counts) ranking() []string {
	return slices.SortedFunc(maps.Keys(c.Holders), func(a, b string) int {
		byCount := cmp.Compare(c.Holders[b], c.Holders[a])
		byName := cmp.Compare(a, b)
		return cmp.Or(byCount, byName)
	})
}
