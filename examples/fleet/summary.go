package main

import (
	"errors"
	"fmt"
	"time"
)

// summarize prints how often mailboxes moved, and how long they were without a holder.
func (f *fleet) summarize() {
	vacancies := f.vacancies()
	moves := -vacancies[start].times
	for _, v := range vacancies {
		moves += v.times
	}
	fmt.Fprintf(f.out, "\nSummary\n")
	fmt.Fprintf(f.out, "  %d moves; how long a mailbox was without a holder, by cause:\n", moves)
	f.printVacancies("the start of the fleet", vacancies[start])
	f.printVacancies("a handover, for level shares", vacancies[handover])
	f.printVacancies("SIGTERM", vacancies[sigterm])
	f.printVacancies(fmt.Sprintf("SIGKILL; leases last %v", leaseDuration), vacancies[sigkill])
	f.printVacancies("a lost lease", vacancies[loss])

	refused := 0
	for _, t := range f.tenures {
		if t.refused {
			refused++
		}
	}
	fmt.Fprintf(f.out, "  %d double holders; the guard took %d writes, ", len(f.doubles()), f.wrote)
	fmt.Fprintf(f.out, "and refused those of %d tenures\n", refused)
	fmt.Fprintf(f.out, "  %d of %d mailboxes held at the end, after %.0f s\n",
		f.held, mailboxes, f.over.Sub(f.began).Seconds())
}

// vacancies are the times in which mailboxes had no holder, of one cause.
type vacancies struct {
	times   int
	longest time.Duration
}

// vacancies returns those that ended before the fleet was told to stop.
func (f *fleet) vacancies() map[cause]vacancies {
	all := make(map[cause]vacancies)
	for i, t := range f.tenures {
		if t.from.After(f.over) {
			continue
		}
		why := start
		since := f.began
		if last := f.before(i); last != nil {
			why = last.cause
			since = last.until
		}
		all[why] = vacancies{
			times:   all[why].times + 1,
			longest: max(all[why].longest, t.from.Sub(since)),
		}
	}
	return all
}

func (f *fleet) printVacancies(cause string, v vacancies) {
	if v.times == 0 {
		return
	}
	longest := v.longest.Seconds()
	fmt.Fprintf(f.out, "    %-28s  %2d times, %.2f s at most\n", cause, v.times, longest)
}

// checkTenures tells which mailboxes had two holders at once.
func (f *fleet) checkTenures() error { return errors.Join(f.doubles()...) }

// doubles returns an error for each double holder, by the guard or by the workers' own words.
func (f *fleet) doubles() []error {
	var doubles []error
	for i, t := range f.tenures {
		if t.defied {
			err := fmt.Errorf("the guard refused a write of %s to %s with the token %d",
				t.by.name, t.item, t.token)
			doubles = append(doubles, err)
			continue
		}
		for _, earlier := range f.tenures[:i] {
			if err := checkPair(earlier, t); err != nil {
				doubles = append(doubles, err)
			}
		}
	}
	return doubles
}

// checkPair tells whether two tenures are of one mailbox and overlap, or are out of their
// tokens' order.
func checkPair(a, b *tenure) error {
	if a.item != b.item {
		return nil
	}
	apart := a.from.After(b.relied) || b.from.After(a.relied)
	if !apart {
		return fmt.Errorf("%s and %s held %s at once", a.by.name, b.by.name, a.item)
	}
	inOrder := a.token != b.token && b.from.After(a.from) == (b.token > a.token)
	if !inOrder {
		return fmt.Errorf("%s has the tokens %d and %d in the wrong order",
			a.item, a.token, b.token)
	}
	return nil
}
