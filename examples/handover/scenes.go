package main

import (
	"errors"
	"fmt"
	"time"
)

// handover says how an item went from one worker to another.
type handover struct {
	from, to *tenure
	delay    time.Duration
	since    string // what the delay is counted from
}

// play plays the scenes one after the other; the first that fails is the last.
func (f *fleet) play() error {
	for i, scene := range []struct {
		title string
		play  func(item string) error
	}{
		{"every mailbox gets a holder, who keeps it; the other workers stand by", f.share},
		{"a holder is killed", f.kill},
		{"a holder is told to stop", f.release},
		{"a holder is paused for longer than its lease", f.pause},
	} {
		fmt.Printf("\n%d. %s\n", i+1, scene.title)
		if err := scene.play(f.items[i%len(f.items)]); err != nil {
			return fmt.Errorf("%d. %s: %w", i+1, scene.title, err)
		}
	}
	return nil
}

func (f *fleet) share(string) error {
	start := 6 * f.patience // Many processes start at once.
	if err := f.await(start, func() bool { return len(f.holders) == len(f.items) }); err != nil {
		return fmt.Errorf("%d of %d mailboxes have a holder: %w", len(f.holders), len(f.items), err)
	}
	for _, p := range f.processes {
		f.sayIfStandby(p)
	}

	// While the machine is busy with their start they may still change hands.
	const longer = leaseDuration * 6 / 5
	if err := f.await(start, f.unchangedFor(longer)); err != nil {
		return fmt.Errorf("mailboxes change hands: %w", err)
	}
	f.say("leases last %v; after %v, 0 of %d have changed hands",
		leaseDuration, longer, len(f.items))
	return nil
}

// unchangedFor tells, again and again, whether nothing has changed hands for so long.
func (f *fleet) unchangedFor(d time.Duration) func() bool {
	seen := len(f.tenures)
	since := time.Now()
	return func() bool {
		if len(f.tenures) > seen {
			seen = len(f.tenures)
			since = time.Now()
		}
		return time.Since(since) >= d
	}
}

func (f *fleet) kill(item string) error {
	old := f.holders[item]
	f.say("sends SIGKILL to %s, which holds %s", old.by.Name, item)
	if err := old.by.Kill(); err != nil {
		return err
	}
	end, err := f.rowEnd(item)
	if err != nil {
		return err
	}
	if err := f.takeover(old, end, "its lease's end"); err != nil {
		return err
	}
	return f.replace()
}

func (f *fleet) release(item string) error {
	old := f.holders[item]
	f.say("sends SIGTERM to %s, which holds %s", old.by.Name, item)
	if err := old.by.Terminate(); err != nil {
		return err
	}
	if err := f.await(f.patience, func() bool { return old.by.has("exited") }); err != nil {
		return fmt.Errorf("%s has not exited: %w", old.by.Name, err)
	}
	if err := old.by.check("stopping", "release", "heartbeat"); err != nil {
		return err
	}
	if err := f.takeover(old, old.by.last["stopping"].At, "its release"); err != nil {
		return err
	}
	return f.replace()
}

func (f *fleet) pause(item string) error {
	old := f.holders[item]
	f.say("sends SIGSTOP to %s, which holds %s", old.by.Name, item)
	resume, err := old.by.pause()
	if err != nil {
		return err
	}
	defer resume()
	end, err := f.rowEnd(item)
	if err != nil {
		return err
	}
	if err := f.takeover(old, end, "its lease's end"); err != nil {
		return err
	}
	now := f.holders[item]
	if err := f.works(now); err != nil {
		return err
	}

	f.say("sends SIGCONT to %s", old.by.Name)
	resumed := time.Now()
	resume()
	if err := f.await(f.patience, func() bool { return old.by.has("heartbeat") }); err != nil {
		return fmt.Errorf("%s has not learned of its loss: %w", old.by.Name, err)
	}
	if old.until.After(resumed) {
		return fmt.Errorf("%s relied on %s once more after its pause", old.by.Name, item)
	}
	if err := old.by.check("over", "late write", "release", "heartbeat"); err != nil {
		return err
	}
	f.sayIfStandby(old.by)
	return f.works(now)
}

// replace starts one more worker, as whatever runs the fleet would when one has ended.
func (f *fleet) replace() error {
	if err := f.startWorker(); err != nil {
		return err
	}
	if err := f.watch(waitPeriod / 2); err != nil { // It scans, and then waits like the others.
		return err
	}
	f.sayIfStandby(f.processes[len(f.processes)-1])
	return nil
}

// rowEnd returns when the lease of a worker that was just killed or paused will end.
func (f *fleet) rowEnd(item string) (time.Time, error) {
	if err := f.watch(leaseDuration / 6); err != nil { // A renewal may be under way.
		return time.Time{}, err
	}
	rows, _, err := f.store.ScanLeaseItemsWithContext(f.Ctx, "", 0)
	if err != nil {
		return time.Time{}, err
	}
	for _, row := range rows {
		if row.LeaseID == item {
			until := row.Until.Sub(f.began).Seconds()
			f.say("the row of %s: held by %s until %.2f s", item, row.LesseeID, until)
			return row.Until, nil
		}
	}
	return time.Time{}, fmt.Errorf("%s has no row any more", item)
}

// takeover waits until another worker has the item, and notes how long that took since some
// moment.
func (f *fleet) takeover(old *tenure, since time.Time, what string) error {
	if err := f.await(f.patience, func() bool { return f.holders[old.item] != old }); err != nil {
		return fmt.Errorf("nobody took over %s from %s: %w", old.item, old.by.Name, err)
	}
	h := handover{from: old, to: f.holders[old.item], since: what}
	h.delay = h.to.from.Sub(since)
	f.handovers = append(f.handovers, h)
	f.say("%s went from %s to %s %.2f s after %s",
		old.item, old.by.Name, h.to.by.Name, h.delay.Seconds(), what)
	return nil
}

// works waits until a worker has written once more.
func (f *fleet) works(t *tenure) error {
	steps := t.steps
	if err := f.await(f.patience, func() bool { return t.steps > steps }); err != nil {
		return fmt.Errorf("%s has written nothing with token %d: %w", t.by.Name, t.token, err)
	}
	f.print(time.Now(), t.by.Name, fmt.Sprintf("a write with token %d was accepted", t.token))
	return nil
}

// sayIfStandby says so if a worker holds nothing.
func (f *fleet) sayIfStandby(p *process) {
	for _, t := range f.holders {
		if t.by == p {
			return
		}
	}
	f.print(time.Now(), p.Name, "stands by")
}

// has tells whether a worker has made a report of that kind since it obtained its item.
func (p *process) has(kind string) bool {
	_, ok := p.last[kind]
	return ok
}

// check tells which of these reports of a worker say what they must not, or are missing.
func (p *process) check(kinds ...string) error {
	var errs []error
	for _, kind := range kinds {
		if e := p.last[kind]; !e.OK {
			errs = append(errs, fmt.Errorf("%s: %s: %q", p.Name, kind, e.Text))
		}
	}
	return errors.Join(errs...)
}

// checkTenures tells which tenures of an item overlap, or are out of the order of their tokens.
func (f *fleet) checkTenures() error {
	var errs []error
	for i, t := range f.tenures {
		for _, earlier := range f.tenures[:i] {
			if t.item == earlier.item {
				errs = append(errs, checkPair(earlier, t))
			}
		}
	}
	return errors.Join(errs...)
}

// checkPair tells whether two tenures of an item overlap, or are out of the order of their
// tokens.
func checkPair(a, b *tenure) error {
	apart := a.from.After(b.until) || b.from.After(a.until)
	if !apart {
		return fmt.Errorf("%s and %s held %s at once", a.by.Name, b.by.Name, a.item)
	}
	inOrder := a.token != b.token && b.from.After(a.from) == (b.token > a.token)
	if !inOrder {
		return fmt.Errorf("%s has the tokens %d and %d in the wrong order",
			a.item, a.token, b.token)
	}
	return nil
}

// summarize prints what happened, and tells what checkTenures finds.
func (f *fleet) summarize() error {
	fmt.Printf("\nSummary\n")
	for _, h := range f.handovers {
		from := h.from
		to := h.to
		fmt.Printf("  %-10s  %-9s -> %-9s  token %d -> %d  %5.2f s after %s\n",
			from.item, from.by.Name, to.by.Name, from.token, to.token, h.delay.Seconds(), h.since)
	}
	steps := 0
	for _, t := range f.tenures {
		steps += t.steps
	}
	fmt.Printf("  %d tenures, %d accepted writes", len(f.tenures), steps)
	err := f.checkTenures()
	if err == nil {
		fmt.Printf("; no mailbox had two holders at once")
	}
	fmt.Println()
	return err
}
