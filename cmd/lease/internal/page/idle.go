package page

import (
	"cmp"
	"slices"
	"time"

	"github.com/intercom/lease/cmd/lease/internal/history"
)

// freeView is what nobody works on.
type freeView struct {
	asOf
	Items   []itemRow    `json:"items"` // idle for longest first
	Count   int          `json:"count"`
	Page    int          `json:"page"`
	Pages   int          `json:"pages"`
	Holders []lastHolder `json:"last_holders"` // those that left most first
	Workers int          `json:"workers"`
}

// lastHolder is a holder and how much of what it had nobody has now.
type lastHolder struct {
	Holder  string        `json:"last_holder"`
	Items   int           `json:"items"`
	Longest float64       `json:"longest_seconds"`
	For     time.Duration `json:"-"`
}

func (v *view) free() (any, error) {
	const rows = 200
	page, err := v.pageNumber()
	if err != nil {
		return nil, err
	}
	idle := idleItems(v.present.Items)
	fv := freeView{asOf: v.asOf(), Items: []itemRow{}, Count: len(idle)}
	fv.Workers = v.summary().Workers
	fv.Holders = lastHolders(idle, v.present.Clock)
	shown, pages := pageOf(idle, page, rows)
	fv.Page, fv.Pages = min(page, pages), pages
	for _, c := range shown {
		fv.Items = append(fv.Items, v.itemRow(c))
	}
	return fv, nil
}

// idleItems are those that nobody works on, the ones that are so for longest first.
func idleItems(items []history.Current) (idle []history.Current) {
	for _, c := range items {
		if classOf(c.Strip) == "idle" {
			idle = append(idle, c)
		}
	}
	slices.SortStableFunc(idle, func(a, b history.Current) int {
		return a.Strip.Began.Compare(b.Strip.Began)
	})
	return idle
}

func lastHolders(idle []history.Current, now time.Time) []lastHolder {
	all := []lastHolder{}
	index := make(map[string]int)
	for _, c := range idle {
		n, isKnown := index[c.Strip.Before]
		if !isKnown {
			n = len(all)
			index[c.Strip.Before] = n
			// What it has left for longest comes first.
			l := lastHolder{Holder: c.Strip.Before, For: c.Strip.Lasted(now)}
			l.Longest = l.For.Seconds()
			all = append(all, l)
		}
		all[n].Items++
	}
	slices.SortStableFunc(all, func(a, b lastHolder) int { return cmp.Compare(b.Items, a.Items) })
	return all
}
