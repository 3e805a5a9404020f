package dynamo

import (
	"testing"

	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"

	"github.com/intercom/lease"
	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/internal/ddblocal"
)

func TestItemTellsFromItsRowWhetherItWasEverLeased(t *testing.T) {
	t.Parallel()
	ddb := ddblocal.NewClient("http://localhost:1") // nothing is sent
	c := &Client{LockStore: lease.NewLockStore(ddb, "boxes", "id"), Key: "id"}
	for _, test := range []struct {
		name            string
		row             fleet.Row
		unleased, maybe bool
	}{
		{"added", fleet.Row{"LeaseUntil": fleet.Number(0), "FencingToken": fleet.Number(registeredAt), "FirstToken": fleet.Number(registeredAt)}, true, false},
		{"added, and leased", fleet.Row{"LeaseUntil": fleet.Number(0), "FencingToken": fleet.Number(registeredAt + 1), "FirstToken": fleet.Number(registeredAt)}, false, false},
		{"put by hand", fleet.Row{}, true, false},
		{"put by hand with an end", fleet.Row{"LeaseUntil": fleet.Number(0)}, true, false},
		{"put by hand, and leased", fleet.Row{"LeaseUntil": fleet.Number(0), "FencingToken": fleet.Number(3)}, false, false},
		{"registered by AddLeaseID, or released since", fleet.Row{"LeaseUntil": fleet.Number(0), "FencingToken": fleet.Number(registeredAt)}, false, true},
		{"held", fleet.Row{"ProcessID": text("w1"), "LeaseUntil": fleet.Number(5), "FencingToken": fleet.Number(registeredAt)}, false, false},
	} {
		test.row["id"] = text("a")
		i := c.parse(test.row)
		assert.Empty(t, i.Why, test.name)
		assert.Equal(t, test.unleased, i.Unleased, test.name)
		assert.Equal(t, test.maybe, i.Maybe, test.name)
	}
}

func TestItemSaysWhichValueMakesItUnusable(t *testing.T) {
	t.Parallel()
	ddb := ddblocal.NewClient("http://localhost:1") // nothing is sent
	c := &Client{LockStore: lease.NewLockStore(ddb, "boxes", "id"), Key: "id"}
	for _, test := range []struct {
		row  fleet.Row
		want string
	}{
		{fleet.Row{"LeaseUntil": text("soon")}, `LeaseUntil "soon" is not a number`},
		{fleet.Row{"FencingToken": fleet.Number(-5)}, `FencingToken -5 is no number that a count of tenures reaches`},
		{fleet.Row{"ProcessID": fleet.Number(7)}, `ProcessID 7 is not a string`},
		{fleet.Row{"ProcessID": {M: fleet.Row{"host": text("web")}}}, `ProcessID {"host":"web"} is not a string`},
		{fleet.Row{"LeaseUntil": text("2026-11-28 10:00:00.123456 in the morning, UTC")},
			`LeaseUntil "2026-11-28 10:00:00…n the morning, UTC" is not a number`},
	} {
		test.row["id"] = text("a")
		assert.Equal(t, test.want, c.parse(test.row).Why)
	}
}

// registeredAt is a token that counts from the time of registration.
const registeredAt = int64(1_767_225_600_000)

func text(s string) *dynamodb.AttributeValue { return &dynamodb.AttributeValue{S: &s} }
