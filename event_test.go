package lease

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestEventsOfEachTransition(t *testing.T) {
	for name, c := range map[string]struct {
		was  term
		kind factKind
		want []EventKind
	}{
		"nothing":                  {termAt(held, notFreed), timePassed, nil},
		"renewed":                  {termAt(held, notFreed), renewed, []EventKind{EventRenewed}},
		"renewed when it was over": {termAt(lost, notFreed), renewed, nil},
		"wanted":                   {termAt(held, notFreed), wishSeen, []EventKind{EventWanted}},
		"wanted once more":         {termAt(wanted, notFreed), wishSeen, nil},
		"not wanted":               {termAt(held, notFreed), noWishSeen, nil},
		"lost":                     {termAt(wanted, notFreed), lossSeen, []EventKind{EventLost}},
		"lost when it was over":    {termAt(released, notFreed), lossSeen, nil},
		"given up":                 {termAt(held, notFreed), givenUp, []EventKind{EventGivenUp}},
		"given up by the store":    {termAt(held, notFreed), discardCalled, []EventKind{EventGivenUp}},
		"given up again":           {termAt(released, notFreed), givenUp, nil},
		"stuck":                    {termAt(held, notFreed), workStuck, []EventKind{EventStuck}},
		"stuck when it was over":   {termAt(lost, notFreed), workStuck, []EventKind{EventStuck}},
		"released":                 {termAt(released, notFreed), rowFreed, []EventKind{EventReleased}},
		"released again":           {termAt(released, freed), rowFreed, nil},
		"released after its end":   {termAt(expired, notFreed), rowFreed, []EventKind{EventReleased}},
		"handed over":              {termAt(released, notFreed), rowHandedOver, []EventKind{EventHandedOver}},
		"taken":                    {termAt(released, notFreed), rowTaken, []EventKind{EventLost}},
		"taken after its end":      {termAt(expired, notFreed), rowTaken, nil},
	} {
		f := fact{kind: c.kind, at: noon.Add(sec), grant: grantUntil(31 * sec)}
		assert.Equal(t, c.want, transitions(f, c.was, c.was.after(f)), name)
	}
}

func TestEventsOfATenureThatExpiresComeOnce(t *testing.T) {
	was := termAt(held, notFreed)
	for _, kind := range allFacts {
		f := fact{kind: kind, at: was.end, grant: grantUntil(hour)}
		is := was.after(f)
		got := transitions(f, was, is)
		assert.Equal(t, EventExpired, got[0], "fact %d", kind)
		assert.Empty(t, transitions(fact{kind: timePassed, at: was.end}, is, is))
	}
}

// TestEventsAreWhatStatsCount: in each phase and fate, whatever happens, at any time.
func TestEventsAreWhatStatsCount(t *testing.T) {
	for _, phase := range allPhases {
		for _, fate := range allFates {
			for _, kind := range allFacts {
				was := termAt(phase, fate)
				for _, at := range []time.Time{noon.Add(sec), was.end} {
					f := fact{kind: kind, at: at, grant: grantUntil(31 * sec)}
					is := was.after(f)
					var counted LockerStats
					counted.follow(forCaller, f, was, is)
					told := make(map[EventKind]int64)
					for _, kind := range transitions(f, was, is) {
						told[kind]++
					}
					what := []any{"phase %d, fate %d, fact %d", phase, fate, kind}
					assert.Equal(t, counted.Renewed, told[EventRenewed], what...)
					assert.Equal(t, counted.Released, told[EventReleased], what...)
					assert.Equal(t, counted.HandedOver, told[EventHandedOver], what...)
					assert.Equal(t, counted.Lost, told[EventLost], what...)
					assert.Equal(t, counted.Expired, told[EventExpired], what...)
					assert.Equal(t, counted.Stucks, told[EventStuck], what...)
				}
			}
		}
	}
}

func TestEventSaysWhy(t *testing.T) {
	is := term{wish: wish{by: "w2"}}
	f := fact{took: sec}
	for kind, want := range map[EventKind]Event{
		EventRenewed:    {Request: "renewal", Took: sec},
		EventReleased:   {Request: "release", Took: sec},
		EventHandedOver: {Request: "handover", Took: sec, WantedBy: "w2"},
		EventWanted:     {WantedBy: "w2"},
		EventGivenUp:    {},
		EventLost:       {Err: LeaseLostError},
		EventExpired:    {Err: LeaseExpiredError},
		EventStuck:      {Err: LeaseStuckError},
	} {
		want.Kind = kind
		want.LeaseID = "a"
		assert.Equal(t, want, Event{LeaseID: "a"}.as(kind, f, is))
	}
}

func TestEventKindsHaveNames(t *testing.T) {
	names := make(map[string]bool)
	for kind := EventObtained; kind <= EventWriteFailed; kind++ {
		name := kind.String()
		assert.NotEmpty(t, name)
		assert.False(t, names[name], name)
		names[name] = true
	}
	assert.Equal(t, "renewal failed", EventRenewalFailed.String())
	for _, kind := range []EventKind{-1, 0, EventWriteFailed + 1} {
		assert.Equal(t, "unknown", kind.String())
	}
}
