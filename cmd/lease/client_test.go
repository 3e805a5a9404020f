package main

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/cmd/lease/internal/say"
)

// This host's clock is an hour behind the database's, which is as if its replies came an hour later. It is set right by as
// much as the replies prove, which is less where they come slowly.
func TestClientShowsTheDatabasesTimes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	late := f.through(nil, func(w http.ResponseWriter, _ *http.Request, reply *http.Response) {
		date, err := http.ParseTime(reply.Header.Get("Date"))
		require.NoError(t, err)
		w.Header().Set("Date", date.Add(time.Hour).Format(http.TimeFormat))
	})
	end := time.Now().Add(time.Hour + 10*time.Minute)
	f.put(fleet.Row{"id": str("a"), "ProcessID": str("w1"), "LeaseUntil": fleet.Number(end.UnixNano()), "FencingToken": fleet.Number(1)})
	f.put(fleet.Row{"id": str("b"), "ProcessID": str("w1"), "LeaseUntil": fleet.Number(end.Add(-20 * time.Minute).UnixNano()), "FencingToken": fleet.Number(1)})
	r := runWith(t, late, "list", "-json")
	var a, b fleet.JSONItem
	d := json.NewDecoder(strings.NewReader(r.stdout))
	require.NoError(t, d.Decode(&a))
	require.NoError(t, d.Decode(&b))
	if a.Item == "b" {
		a, b = b, a
	}
	assert.Equal(t, fleet.Held, a.State)
	const minute = 60.
	assert.Greater(t, *a.EndsIn, 5*minute)
	assert.Less(t, *a.EndsIn, 15*minute)
	assert.Equal(t, say.DatabaseTime(end.UnixNano()), a.Ends)
	assert.Equal(t, fleet.Free, b.State)

	require.NoError(t, runWith(t, late, "add", "c").err())
	token, err := strconv.ParseInt(*f.row("c")["FencingToken"].N, 10, 64)
	require.NoError(t, err)
	assert.WithinRange(t, time.UnixMilli(token), end.Add(-15*time.Minute), end.Add(-5*time.Minute))
}

func TestClientFindsTheTableItsKeyAndTheEndpoint(t *testing.T) {
	t.Parallel()
	f := newFixtureKey(t, "lock.id", "a")
	without := environment("AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local")
	for _, args := range [][]string{
		{"list", "-table", f.table, "-endpoint", f.ddb.Endpoint}, {"-table", f.table, "-endpoint", f.ddb.Endpoint, "list", "-key", "lock.id"},
	} {
		r := runWith(t, without, args...)
		assert.Equal(t, 0, r.status, r.stderr)
		assert.Contains(t, r.stdout, "\na ")
	}
	for _, variable := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB", "DYNAMODB_ENDPOINT"} {
		r := runWith(t, append(without, variable+"="+f.ddb.Endpoint, "LEASE_TABLE="+f.table, "LEASE_KEY=lock.id"), "list")
		assert.Contains(t, r.stdout, "\na ", variable)
	}
	r := runWith(t, append(without, "AWS_REGION=", "AWS_ENDPOINT_URL="+f.ddb.Endpoint, "LEASE_TABLE="+f.table), "list", "-region", "eu-west-1")
	assert.Contains(t, r.stdout, "\na ")
}
