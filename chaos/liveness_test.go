package chaos_test

import (
	"fmt"
	"time"

	"github.com/intercom/lease/internal/chaos"
)

// What must happen in time, must do so on this machine as it is: the bounds are what it should take on an
// idle machine, and as much more as the machine is late in as many steps as that takes, one after the
// other. How late it is, is the worst that was measured since the time began.

// idleBounds are the bounds on a machine on which nothing is late. A period is a third of the lease; in
// each, those that share look once.
func (f *fleet) idleBounds() chaos.Bounds {
	lease := f.template.Duration
	period := lease / 3
	return chaos.Bounds{
		Recovery: lease + period + time.Second,
		Gap:      lease + period + time.Second,
		Level:    10*period + time.Second,
	}
}

// In how many steps items are held that nobody held, and are level that one held.
const (
	stepsToHold  = 10
	stepsToLevel = 20
)

// bounds are the bounds on this machine. For a fleet that needn't do anything in time they are 0.
func (f *fleet) bounds() chaos.Bounds {
	if f.machine == nil {
		return chaos.Bounds{}
	}
	late := f.machine.Worst(f.since)
	bounds := f.idleBounds()
	bounds.Recovery += late.Process + late.Steps(stepsToHold)
	bounds.Gap += late.Steps(stepsToHold)
	bounds.Level += late.Steps(stepsToLevel)
	return bounds
}

// lateness says what the machine was like, and how much wider that made the bounds.
func (f *fleet) lateness(quiet chaos.Lateness) string {
	idle := f.idleBounds()
	wide := f.bounds()
	row := func(name string, value any) string { return fmt.Sprintf("%-50s %v\n", name, value) }
	bound := func(name string, of, at time.Duration) string {
		return row(name, fmt.Sprintf("%v + %v", at, (of-at).Round(time.Millisecond)))
	}
	return row("machine before the chaos", quiet) +
		row("machine in all", f.machine.Worst(0)) +
		row("machine since the faults ended", f.machine.Worst(f.since)) +
		bound("bound: all held after the faults", wide.Recovery, idle.Recovery) +
		bound("bound: gap when only those that share were left", wide.Gap, idle.Gap) +
		bound("bound: level then", wide.Level, idle.Level)
}

// awaitHeld waits until each item has been leased or renewed since, or for as long as that may take.
func (f *fleet) awaitHeld() {
	anew := time.Now().Add(f.template.Duration) // No lease from before lasts longer.
	held := make(map[string]string)
	for len(held) < len(f.items) && chaos.Now()-f.since < f.bounds().Recovery {
		time.Sleep(10 * time.Millisecond)
		for item, lessee := range f.table.holders(anew) {
			held[item] = lessee
		}
	}
}

// awaitLevel waits until the table has been level for a period, or for as long as that may take.
func (f *fleet) awaitLevel() {
	begin := chaos.Now()
	period := f.template.Duration / 3
	limits := f.limits()
	var since time.Duration // it is level; 0 if it isn't
	for chaos.Now()-begin < f.bounds().Level+period {
		time.Sleep(10 * time.Millisecond)
		now := chaos.Now()
		if !f.isLevel(limits) {
			since = 0
			continue
		}
		if since == 0 {
			since = now
		}
		// All must have seen it, too.
		if now-since > period+f.machine.Worst(f.since).Steps(3) {
			return
		}
	}
}

// isLevel tells whether the table is level.
func (f *fleet) isLevel(limits map[string]int) bool {
	counts := make(map[string]int)
	held := f.table.holders(time.Now())
	for _, lessee := range held {
		counts[lessee]++
	}
	return len(held) == len(f.items) && chaos.Level(counts, limits)
}
