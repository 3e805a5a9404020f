package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
)

func TestItemDescribesItsState(t *testing.T) {
	t.Parallel()
	tokenless := heldItem("w1", 0)
	tokenless.tokenless = true
	over := heldItem("w1", 5)
	over.Until = noon.Add(-1) // At its end it is still held.
	fresh := freeItem(5)
	fresh.unleased = true
	for _, test := range []struct {
		is     item
		state  state
		text   string
		wanter string
	}{
		{heldItem("w1", 5), held, "is held by w1 with the token 5, for another 20s", ""},
		{tokenless, held, "is held by w1 with no token, for another 20s", ""},
		{wishedItem("w1", 5, "w2", time.Minute), held, "is held by w1 with the token 5, for another 20s", "w2"},
		{wishedItem("w1", 5, "", time.Minute), held, "is held by w1 with the token 5, for another 20s", "(anyone)"},
		{wishedItem("w1", 5, "w2", 0), held, "is held by w1 with the token 5, for another 20s", ""},
		{reservedItem("w 2", 5), reserved, "is reserved for w 2, for another 20s", ""},
		{wishedItem("w2", 5, "w2", -1), held, "is held by w2 with the token 5, for another 20s", ""},
		{heldItem("", 5), held, "is kept from all for another 20s, as an older process of its last holder's name may rely on it", ""},
		{over, free, "is free: the lease of w1 has ended", ""},
		{freeItem(5), free, "is free", ""},
		{fresh, neverLeased, "is free, and was never leased", ""},
		{unusableItem(), unusable, "can't be leased: odd", ""},
	} {
		assert.Equal(t, test.state, test.is.state(noon), test.text)
		assert.Equal(t, test.text, test.is.describe(noon))
		assert.Equal(t, test.wanter, test.is.wanter(noon), test.text)
	}
}

func TestItemTellsFromItsRowWhetherItWasEverLeased(t *testing.T) {
	t.Parallel()
	ddb := ddblocal.NewClient("http://localhost:1") // nothing is sent
	c := &client{LockStore: lease.NewLockStore(ddb, "boxes", "id"), key: "id"}
	for _, test := range []struct {
		name            string
		row             row
		unleased, maybe bool
	}{
		{"added", row{"LeaseUntil": number(0), "FencingToken": number(aTime), "FirstToken": number(aTime)}, true, false},
		{"added, and leased", row{"LeaseUntil": number(0), "FencingToken": number(aTime + 1), "FirstToken": number(aTime)}, false, false},
		{"put by hand", row{}, true, false},
		{"put by hand with an end", row{"LeaseUntil": number(0)}, true, false},
		{"put by hand, and leased", row{"LeaseUntil": number(0), "FencingToken": number(3)}, false, false},
		{"registered by AddLeaseID, or released since", row{"LeaseUntil": number(0), "FencingToken": number(aTime)}, false, true},
		{"held", row{"ProcessID": str("w1"), "LeaseUntil": number(5), "FencingToken": number(aTime)}, false, false},
	} {
		test.row["id"] = str("a")
		i := c.parse(test.row)
		assert.Empty(t, i.why, test.name)
		assert.Equal(t, test.unleased, i.unleased, test.name)
		assert.Equal(t, test.maybe, i.maybe, test.name)
	}
}

func TestItemSaysWhichValueMakesItUnusable(t *testing.T) {
	t.Parallel()
	ddb := ddblocal.NewClient("http://localhost:1") // nothing is sent
	c := &client{LockStore: lease.NewLockStore(ddb, "boxes", "id"), key: "id"}
	for _, test := range []struct {
		row  row
		want string
	}{
		{row{"LeaseUntil": str("soon")}, `LeaseUntil "soon" is not a number`},
		{row{"FencingToken": number(-5)}, `FencingToken -5 is no number that a count of tenures reaches`},
		{row{"ProcessID": number(7)}, `ProcessID 7 is not a string`},
		{row{"ProcessID": {M: row{"host": str("web")}}}, `ProcessID {"host":"web"} is not a string`},
		{row{"LeaseUntil": str("2026-11-28 10:00:00.123456 in the morning, UTC")},
			`LeaseUntil "2026-11-28 10:00:00…n the morning, UTC" is not a number`},
	} {
		test.row["id"] = str("a")
		assert.Equal(t, test.want, c.parse(test.row).why)
	}
}

func TestShowQuotesWhatMisleads(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"a":       "a",
		"ünï 1":   "ünï 1",
		"":        `""`,
		"-":       `"-"`,
		"-x":      "-x",
		" a":      `" a"`,
		"a  b":    `"a  b"`,
		`"a"`:     `"\"a\""`,
		"a\n":     `"a\n"`,
		"\x1b[2J": `"\x1b[2J"`,
		"\u202e":  `"\u202e"`,
		"\xff":    `"\xff"`,
	} {
		assert.Equal(t, want, show(name))
	}
}

func TestShortWritesADurationForPeople(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		49 * time.Hour:                       "2d",
		47*time.Hour + 1400*time.Millisecond: "47h0m1s",
		time.Minute:                          "1m0s",
		59940 * time.Millisecond:             "59.9s",
		30 * time.Millisecond:                "0s",
	} {
		assert.Equal(t, want, short(d))
	}
}
