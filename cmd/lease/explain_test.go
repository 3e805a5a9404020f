package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestExplainSaysInOneLineWhatToDo(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	assertOneLine(t, f.run("list", "-table", "missing"), 1, `"missing" does not exist`, "lease init")
	assertOneLine(t, f.run("hold", "-as", "w", "-table", "missing", "true"), 125, `"missing" does not exist`)
	assertOneLine(t, f.run("list", "-table", "x"), 1, "-table")
	assertOneLine(t, f.run("list", "-key", "wrong"), 1, `"id"`, `"wrong"`)
	assertOneLine(t, f.run("list", "-key", "ProcessID"), 1, "ProcessID")
	assertOneLine(t, f.run("list", "-endpoint", "http://127.0.0.1:1"), 1, "127.0.0.1:1", "refused", "-endpoint")
	noCredentials := environment("LEASE_TABLE="+f.table, "AWS_ENDPOINT_URL="+f.ddb.Endpoint)
	assertOneLine(t, runWith(t, noCredentials, "list"), 1, "AWS_ACCESS_KEY_ID", "AWS_PROFILE")
	assertOneLine(t, runWith(t, append(noCredentials, "AWS_PROFILE=nobody"), "list"), 1, "nobody")
	noRegion := environment("LEASE_TABLE=" + f.table)
	assertOneLine(t, runWith(t, noRegion, "list"), 1, "-region", "AWS_REGION")
	no := httptest.NewServer(http.NotFoundHandler())
	defer no.Close()
	r := f.run("list", "-endpoint", no.URL)
	assert.Equal(t, 1, r.status)
	assert.Equal(t, 1, strings.Count(r.stderr, "\n"), r.stderr)
}

func TestExplainNamesADeniedAction(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l := f.lease("a", "w1", time.Hour)
	require.NoError(t, f.AddLeaseID("free", nil))
	var denied atomic.Value
	env := f.through(func(w http.ResponseWriter, r *http.Request) bool {
		deny := strings.HasSuffix(r.Header.Get("X-Amz-Target"), "."+denied.Load().(string))
		if deny {
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"User: x is not authorized"}`)
		}
		return deny
	}, nil)
	for _, test := range []struct {
		action, args string
		status       int
	}{
		{"DescribeTable", "list", 1}, {"Scan", "list", 1}, {"Scan", "watch", 1}, {"PutItem", "add b", 1}, {"DeleteItem", "retire free", 1},
		{"UpdateItem", "yield a", 1}, {"CreateTable", "init -table " + f.table + "-2", 1}, {"GetItem", "yield a", 1},
		{"UpdateItem", "release a -yes -token " + strconv.FormatInt(l.FencingToken(), 10), 1}, {"UpdateItem", "hold -as w true", 125},
		{"UpdateItem", "hold -as w -most 2 true", 125}, {"Scan", "hold -as w true", 125},
		{"GetItem", "hold -as w -item free true", 125}, {"UpdateItem", "hold -as w -item free true", 125},
	} {
		denied.Store(test.action)
		r := runWith(t, env, strings.Fields(test.args)...)
		assert.Equal(t, test.status, r.status, test.args)
		last := strings.Split(strings.TrimSpace(r.stderr), "\n")
		assert.Regexp(t, `^([\d-]+ [\d:]+ )?lease: `+"no permission for dynamodb:"+test.action+` on table "`+f.table, last[len(last)-1], test.args)
	}
}

func TestExplainKnowsAnAnswerThatIsNotDynamoDBs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.env = f.through(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusNotFound)
		w.Write([]byte(`{"message":"no Route matched with those values"}`))
		return true
	}, nil)
	assertOneLine(t, f.run("list"), 1, "is no DynamoDB")
}

func TestExplainHearsOfAWrongClockFromTheReply(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	env := f.through(func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"__type":"com.amazon.coral.service#ExpiredTokenException","message":"The security token included in the request is expired"}`)
		return true
	}, nil)
	assertOneLine(t, runWith(t, env, "list"), 1, "this host's clock is wrong: it is 1h", "ahead of AWS's")
}
