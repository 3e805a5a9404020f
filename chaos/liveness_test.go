package chaos_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/intercom/lease/internal/chaos"
)

// What must happen in time, must do so on this machine as it is: the bounds are what it should
// take on an idle machine, and as much more as the machine is late in as many steps as that
// takes, one after the other. How late it is, is measured from when the time begins.

// idleBounds are the bounds on a machine on which nothing is late. A period is a third of the
// lease; in each, those that share look once.
func (f *fleet) idleBounds() chaos.Bounds {
	lease := f.template.Duration
	period := lease / 3
	return chaos.Bounds{
		Recovery: f.lease + f.lease/3 + time.Second,
		Gap:      lease + period + time.Second,
		Level:    10*period + time.Second,
	}
}

// longEnough returns how long leases must be at least on a machine that is so late, lest they
// are lost all the time: then nothing is ever level. A renewal is due after a third of the lease,
// and in time before nine tenths.
func longEnough(late chaos.Lateness) time.Duration {
	return late.Steps(4).Round(time.Millisecond)
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
	late := f.late(f.since)
	bounds := f.idleBounds()
	bounds.Recovery += late.Process.Worst + late.Steps(stepsToHold)
	bounds.Gap += late.Steps(stepsToHold)
	bounds.Level += late.Steps(stepsToLevel)
	return bounds
}

// lateness says what the machine was like, and how much wider that made the bounds.
func (f *fleet) lateness(quiet chaos.Lateness) string {
	idle := f.idleBounds()
	wide := f.bounds()
	var b strings.Builder
	row := func(name string, value any) { fmt.Fprintf(&b, "%-50s %v\n", name, value) }
	bound := func(name string, idle, wide time.Duration) {
		row("bound: "+name, fmt.Sprintf("%v + %v", idle, (wide-idle).Round(time.Millisecond)))
	}
	row("machine before the chaos", quiet)
	row("machine in all", f.late(0))
	row("machine since the faults ended", f.late(f.since))
	row("leases", f.lease)
	row("leases when only those that share were left", f.template.Duration)
	bound("all held after the faults", idle.Recovery, wide.Recovery)
	bound("gap when only those that share were left", idle.Gap, wide.Gap)
	bound("level then", idle.Level, wide.Level)
	return b.String()
}
