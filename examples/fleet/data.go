package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"
)

// change is a row of the data: somebody got or lost a mailbox, or a scene began.
type change struct {
	at    time.Time
	by    *member
	n     int // 1 or -1, or 0 for no change
	scene string
}

// writeData writes who held how many: a row for each change, and for each scene's beginning.
func (f *fleet) writeData(file string) error {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(csv.NewWriter(out).WriteAll(f.rows()), out.Close())
}

// rows returns the data with their header.
func (f *fleet) rows() [][]string {
	header := []string{"seconds"}
	for _, m := range f.members {
		header = append(header, m.name)
	}
	rows := [][]string{append(header, "nobody", "scene")}
	held := make(map[*member]int)
	for _, c := range f.changes() {
		held[c.by] += c.n
		rows = append(rows, f.row(c, held))
	}
	return rows
}

func (f *fleet) row(c change, held map[*member]int) []string {
	row := []string{fmt.Sprintf("%.3f", c.at.Sub(f.began).Seconds())}
	nobody := mailboxes
	for _, m := range f.members {
		row = append(row, strconv.Itoa(held[m]))
		nobody -= held[m]
	}
	return append(row, strconv.Itoa(nobody), c.scene)
}

// changes returns all changes until the fleet was told to stop, in order.
func (f *fleet) changes() []change {
	all := []change{{at: f.began}}
	for _, t := range f.tenures {
		all = append(all, change{at: t.from, by: t.by, n: 1})
		if !t.until.IsZero() {
			all = append(all, change{at: t.until, by: t.by, n: -1})
		}
	}
	for _, n := range f.notes {
		if n.scene {
			all = append(all, change{at: n.at, scene: n.text})
		}
	}
	slices.SortStableFunc(all, func(a, b change) int { return a.at.Compare(b.at) })

	// From then on they only stop.
	all = slices.DeleteFunc(all, func(c change) bool { return !c.at.Before(f.over) })
	return append(all, change{at: f.over})
}
