package main

import (
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease/cmd/lease/internal/fleet"
)

func TestInitMakesTheTableAndSaysWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.table += "-new"
	r := f.run("init", "-table", f.table, "-key", "mailbox")
	assert.Equal(t, result{stdout: f.table + ": made, with the hash key mailbox\n"}, r)
	out, err := f.ddb.DescribeTable(&dynamodb.DescribeTableInput{TableName: &f.table})
	require.NoError(t, err)
	assert.Equal(t, "PAY_PER_REQUEST", *out.Table.BillingModeSummary.BillingMode)
	assert.Equal(t, "mailbox", *out.Table.KeySchema[0].AttributeName)
	assert.Equal(t, result{stdout: f.table + ": was there already, with the hash key mailbox\n"}, f.run("init", "-table", f.table))
	assertOneLine(t, f.run("init", "-table", f.table, "-key", "other"), 1, `"mailbox"`, `"other"`)
	f.table += "-2"
	assert.Equal(t, result{stdout: f.table + ": made, with the hash key id\n"}, f.run("init", "-table", f.table))
}

func TestAddAndRetireGoOnAfterOneFails(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "b")
	began := time.Now()
	r := f.run("add", "a", "b", "-set", "Server=imap=1", "c", "-set", "Port=993")
	assertOneLine(t, r, 1, "b is registered already")
	assert.Equal(t, "a: added\nc: added\n", r.stdout)
	added := f.row("c")
	assert.Equal(t, str("imap=1"), added["Server"])
	assert.Equal(t, str("993"), added["Port"])
	token, err := strconv.ParseInt(*added["FencingToken"].N, 10, 64)
	require.NoError(t, err)
	assert.WithinRange(t, time.UnixMilli(token), began.Add(-2*time.Second), time.Now().Add(2*time.Second))
	assert.Equal(t, fleet.Number(0), added["LeaseUntil"])
	assert.Equal(t, added["FencingToken"], added["FirstToken"])
	assertOneLine(t, f.run("add", "d", "-set", "ProcessID=me"), 1, "ProcessID")
	assertOneLine(t, f.run("add", "d", "-set", "LeaseWeight=2"), 2, "give -weight")
	assertOneLine(t, f.run("add", ""), 1, "empty")

	f.lease("a", "w1", time.Hour)
	f.put(fleet.Row{"id": str("bad"), "LeaseUntil": str("soon")})
	r = f.run("retire", "a", "missing", "bad", "c")
	assert.Equal(t, 1, r.status)
	assert.Equal(t, "c: retired\n", r.stdout)
	assert.Regexp(t, `\Alease: a is held by w1 with the token \d+, for another \S+: "lease retire ITEM -yield" asks for it, and deletes it then\n`+
		`lease: there is no item missing in table "\S+"\nlease: bad stays, [^\n]*LeaseUntil "soon" is not a number\): [^\n]*\n\z`, r.stderr)
	assert.Nil(t, f.row("c"))
	assert.NotNil(t, f.row("a"))
}
