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

// summarize prints how often mailboxes moved, and how long they were without a holder.
func (f *fleet) summarize() {
	times, longest := make(map[cause]int), make(map[cause]time.Duration)
	moves := -mailboxes
	for i, t := range f.tenures {
		if t.from.After(f.over) {
			continue
		}
		why, since := start, f.began
		if last := f.before(i, t); last != nil {
			why, since = last.cause, last.until
		}
		moves++
		times[why]++
		longest[why] = max(longest[why], t.from.Sub(since))
	}
	fmt.Printf("\nSummary\n  %d moves; how long a mailbox was without a holder, by cause:\n", moves)
	for _, row := range []struct {
		cause cause
		text  string
	}{
		{start, "the start of the fleet"},
		{handover, "a handover, for level shares"},
		{sigterm, "SIGTERM"},
		{sigkill, fmt.Sprintf("SIGKILL; leases last %v", leaseDuration)},
		{loss, "a lost lease"},
	} {
		if times[row.cause] > 0 {
			fmt.Printf("    %-28s  %2d times, %.2f s at most\n", row.text, times[row.cause], longest[row.cause].Seconds())
		}
	}
	refused := 0
	for _, t := range f.tenures {
		if t.refused {
			refused++
		}
	}
	fmt.Printf("  %d double holders; the guard took %d writes, and refused those of %d tenures\n", len(f.doubles()), f.wrote, refused)
	fmt.Printf("  %d of %d mailboxes held at the end, after %.0f s\n", f.held, mailboxes, f.over.Sub(f.began).Seconds())
}

// doubles tells which mailboxes had two holders at once, by the guard or by the workers' own words.
func (f *fleet) doubles() (doubles []error) {
	for i, a := range f.tenures {
		if a.refused {
			doubles = append(doubles, fmt.Errorf("the guard refused a write of %s to %s with the token %d", a.by.Name, a.item, a.token))
			continue
		}
		for _, b := range f.tenures[:i] {
			switch {
			case a.item != b.item:
			case !a.from.After(b.relied) && !b.from.After(a.relied):
				doubles = append(doubles, fmt.Errorf("%s and %s held %s at once", b.by.Name, a.by.Name, a.item))
			case a.token == b.token || a.from.After(b.from) != (a.token > b.token):
				doubles = append(doubles, fmt.Errorf("%s has the tokens %d and %d in the wrong order", a.item, b.token, a.token))
			}
		}
	}
	return doubles
}

func (f *fleet) checkTenures() error { return errors.Join(f.doubles()...) }

// writeData writes who held how many: a row for each change, and for each scene's beginning.
func (f *fleet) writeData(file string) error {
	type change struct {
		at   time.Time
		by   *process
		n    int
		text string
	}
	changes := []change{{at: f.began}, {at: f.over}}
	for _, t := range f.tenures {
		changes = append(changes, change{at: t.from, by: t.by, n: 1})
		if !t.until.IsZero() {
			changes = append(changes, change{at: t.until, by: t.by, n: -1})
		}
	}
	for _, n := range f.notes {
		if n.scene {
			changes = append(changes, change{at: n.at, text: n.text})
		}
	}
	slices.SortStableFunc(changes, func(a, b change) int { return a.at.Compare(b.at) })

	row := []string{"seconds"}
	for _, p := range f.processes {
		row = append(row, p.Name)
	}
	rows := [][]string{append(row, "nobody", "scene")}
	held := make(map[*process]int)
	for _, c := range changes {
		if c.at.After(f.over) {
			break
		}
		held[c.by] += c.n
		row, nobody := []string{fmt.Sprintf("%.3f", c.at.Sub(f.began).Seconds())}, mailboxes
		for _, p := range f.processes {
			row = append(row, strconv.Itoa(held[p]))
			nobody -= held[p]
		}
		rows = append(rows, append(row, strconv.Itoa(nobody), c.text))
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(csv.NewWriter(out).WriteAll(rows), out.Close())
}
