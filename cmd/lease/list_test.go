package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// lines returns the lines of a list by their first word.
func lines(text string) map[string]string {
	found := make(map[string]string)
	for _, line := range strings.Split(text, "\n") {
		if name, rest, ok := strings.Cut(line, "  "); ok && found[name] == "" {
			found[name] = strings.Join(strings.Fields(rest), " ")
		}
	}
	return found
}

// everyState is a table with an item in each state.
func everyState(t *testing.T) *fixture {
	f := newFixture(t, "held", "wanted", "reserved", "released")
	now := time.Now()
	f.lease("held", "w1", time.Hour)
	f.lease("wanted", "w1", time.Hour)
	require.NoError(t, f.WantLease(t.Context(), f.item("wanted"), "w2", now.Add(time.Minute)))
	handed := f.lease("reserved", "w3", time.Hour)
	require.NoError(t, f.WantLease(t.Context(), f.item("reserved"), "w2", now.Add(time.Minute)))
	require.NoError(t, f.HandOverLease(t.Context(), handed, now.Add(time.Minute)))
	require.NoError(t, f.ReleaseLease(f.lease("released", "w1", time.Hour)))
	f.put(row{"id": str("ended"), "ProcessID": str("w9"), "LeaseUntil": number(now.Add(-time.Minute).UnixNano()), "FencingToken": number(3)})
	f.put(row{"id": str("bare")})
	f.put(row{"id": str("spoiled"), "ProcessID": str("w1"), "LeaseUntil": str("soon")})
	f.put(row{"id": str("to free"), "ProcessID": str("w2"), "LeaseUntil": number(now.Add(time.Hour).UnixNano()), "FencingToken": number(4),
		"WantedBy": str(""), "WantedUntil": number(now.Add(time.Minute).UnixNano())})
	require.Equal(t, 0, f.run("add", "new").status)
	return f
}

func TestListShowsEveryStateAndCountsTheHolders(t *testing.T) {
	t.Parallel()
	f := everyState(t)
	r := f.run("list")
	require.Equal(t, 0, r.status, r.stderr)
	assert.Empty(t, r.stderr)
	shown := lines(r.stdout)
	for name, want := range map[string]string{
		"ITEM": `^STATE HOLDER ENDS IN TOKEN WANTED BY$`, "held": `^held w1 (1h0m0s|59m\d+s) \d+ -$`, "wanted": `^held w1 \S+ \d+ w2$`,
		"reserved": `^reserved w2 (1m0s|\d+(\.\d)?s) \d+ -$`, "released": `^free \(never leased\?\) - - \d+ -$`, "ended": `^free - - 3 -$`,
		"bare": `^never leased - - - -$`, "spoiled": `^unusable - - - - LeaseUntil "" is not a number$`,
		"to free": `^held w2 \S+ 4 \(anyone\)$`, "new": `^never leased - - \d+ -$`,
	} {
		assert.Regexp(t, want, shown[name], name)
	}
	_, end, _ := strings.Cut(r.stdout, "\n\n")
	assert.Equal(t, "ITEMS  HOLDER\n    2  w1\n    2  w2\n\n"+
		"9 items: 3 held, 1 reserved, 2 free, 2 never leased, 1 unusable (0.5 read units)\n", end)
}

func TestListFilters(t *testing.T) {
	t.Parallel()
	f := everyState(t)
	for flags, want := range map[string][]string{
		"-held": {"held", "wanted", "reserved", "to free"}, "-free": {"released", "ended", "bare", "new"},
		"-holder w1": {"held", "wanted"}, "-holder w9": nil, "-holder ": nil,
	} {
		args := append([]string{"list", "-json"}, strings.SplitN(flags, " ", 2)...)
		r := f.run(args...)
		require.Equal(t, 0, r.status, r.stderr)
		var got []string
		all := strings.Split(strings.TrimSpace(r.stdout), "\n")
		for _, line := range all[:len(all)-1] {
			var item jsonItem
			require.NoError(t, json.Unmarshal([]byte(line), &item))
			got = append(got, item.Item)
		}
		assert.ElementsMatch(t, want, got, flags)
		var sum counts
		require.NoError(t, json.Unmarshal([]byte(all[len(all)-1]), &sum))
		assert.Equal(t, len(want), sum.Items, flags)
	}
}

func TestListAsJSON(t *testing.T) {
	t.Parallel()
	f := everyState(t)
	r := f.run("list", "-json")
	items := make(map[string]jsonItem)
	var sum counts
	for s := bufio.NewScanner(strings.NewReader(r.stdout)); s.Scan(); {
		d := json.NewDecoder(strings.NewReader(s.Text()))
		d.DisallowUnknownFields()
		var item jsonItem
		if d.Decode(&item) == nil {
			items[item.Item] = item
		} else {
			require.NoError(t, json.Unmarshal(s.Bytes(), &sum))
		}
	}
	assert.Equal(t, counts{9, 3, 1, 2, 2, 1, map[string]int{"w1": 2, "w2": 2}, 1, 0.5}, sum)
	row := f.item("wanted")
	wanted := items["wanted"]
	assert.InDelta(t, 3600, *wanted.EndsIn, 30)
	wanted.EndsIn = nil
	assert.Equal(t, jsonItem{Item: "wanted", State: held, Holder: "w1", Ends: databaseTime(row.LeaseUntil), Token: &row.FencingToken,
		WantedBy: aws.String("w2"), WantedUntil: databaseTime(row.WantedUntil)}, wanted)
	assert.Equal(t, "", *items["to free"].WantedBy)
	assert.Equal(t, jsonItem{Item: "spoiled", State: unusable, Why: `LeaseUntil "" is not a number`}, items["spoiled"])
	assert.Equal(t, jsonItem{Item: "bare", State: neverLeased}, items["bare"])
	assert.Equal(t, "w9", items["ended"].LastHolder)
	assert.Equal(t, free, items["released"].State)
	assert.True(t, items["released"].Uncertain)
	assert.Equal(t, neverLeased, items["new"].State)
}

func TestAnItemThatWasAddedAndLeasedIsFreeAfterwards(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	require.Equal(t, 0, f.run("add", "a").status)
	require.NoError(t, f.ReleaseLease(f.lease("a", "w1", time.Hour)))
	assert.Regexp(t, `^free - - \d+ -$`, lines(f.run("list").stdout)["a"])
}

func TestListSurvivesOddNamesAndAnEmptyTable(t *testing.T) {
	t.Parallel()
	f := newFixtureKey(t, "Name")
	r := f.run("list")
	assert.Equal(t, 0, r.status)
	assert.Regexp(t, `\A0 items: 0 held, 0 reserved, 0 free, 0 never leased, 0 unusable \(\d.\d read units\)\n\z`, r.stdout)
	odd := []string{"-x", "with  two spaces", "\x1b[2J", "line\nbreak", "ünïcödé", "$(rm)", `"quoted"`, " ", strings.Repeat("long", 500), "\u202e"}
	require.Equal(t, 0, f.run(append([]string{"add", "--"}, odd...)...).status)
	out := f.run("list").stdout
	for _, shown := range []string{"\n-x  ", `"with  two spaces"`, `"\x1b[2J"`, `"line\nbreak"`, "ünïcödé", "$(rm)", `"\"quoted\""`, `" "`, "longlonglong", `"\u202e"`} {
		assert.Contains(t, out, shown)
	}
	assert.NotContains(t, out, "\x1b")
	assert.Contains(t, out, "10 items:")
	r = f.run("list", "-json")
	for _, name := range odd {
		quoted, err := json.Marshal(name)
		require.NoError(t, err)
		assert.Contains(t, r.stdout, string(quoted))
	}
	assert.Equal(t, 0, f.run(append([]string{"retire", "--"}, odd...)...).status)
	assert.Contains(t, f.run("list").stdout, "0 items:")
}

// TestTimesAreTheDatabases: this host's clock is an hour behind the database's, which is as if its replies came an hour later.
func TestTimesAreTheDatabases(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	late := f.through(nil, func(w http.ResponseWriter, _ *http.Request, reply *http.Response) {
		date, err := http.ParseTime(reply.Header.Get("Date"))
		require.NoError(t, err)
		w.Header().Set("Date", date.Add(time.Hour).Format(http.TimeFormat))
	})
	end := time.Now().Add(time.Hour + 40*time.Second)
	f.put(row{"id": str("a"), "ProcessID": str("w1"), "LeaseUntil": number(end.UnixNano()), "FencingToken": number(1)})
	f.put(row{"id": str("b"), "ProcessID": str("w1"), "LeaseUntil": number(end.Add(-2 * time.Minute).UnixNano()), "FencingToken": number(1)})
	r := runWith(t, late, "list", "-json")
	var a, b jsonItem
	d := json.NewDecoder(strings.NewReader(r.stdout))
	require.NoError(t, d.Decode(&a))
	require.NoError(t, d.Decode(&b))
	if a.Item == "b" {
		a, b = b, a
	}
	assert.Equal(t, held, a.State)
	assert.InDelta(t, 38, *a.EndsIn, 3)
	assert.Equal(t, databaseTime(end.UnixNano()), a.Ends)
	assert.Equal(t, free, b.State)

	require.NoError(t, runWith(t, late, "add", "c").err())
	token, err := strconv.ParseInt(*f.row("c")["FencingToken"].N, 10, 64)
	require.NoError(t, err)
	assert.InDelta(t, time.Now().Add(time.Hour).UnixMilli(), token, 5000)
}

// through returns the environment for the command on a server that passes all on, but for what answer has answered; reply has
// the last word about the headers. Either may be nil.
func (f *fixture) through(answer func(w http.ResponseWriter, r *http.Request) bool, reply func(w http.ResponseWriter, r *http.Request, reply *http.Response)) []string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answer != nil && answer(w, r) {
			return
		}
		out, err := http.NewRequest(r.Method, f.ddb.Endpoint, r.Body)
		if err != nil {
			return
		}
		out.Header = r.Header.Clone()
		got, err := http.DefaultClient.Do(out)
		if err != nil {
			return
		}
		defer got.Body.Close()
		for name, values := range got.Header {
			w.Header()[name] = values
		}
		if reply != nil {
			reply(w, r, got)
		}
		w.WriteHeader(got.StatusCode)
		io.Copy(w, got.Body)
	}))
	f.tb.Cleanup(server.Close)
	return append(f.env[:len(f.env):len(f.env)], "AWS_ENDPOINT_URL="+server.URL)
}

// outage has the command reach the table through a proxy, which breaks off all requests while that is true.
func (f *fixture) outage() *atomic.Bool {
	down := new(atomic.Bool)
	f.env = f.through(func(http.ResponseWriter, *http.Request) bool {
		if down.Load() {
			panic(http.ErrAbortHandler)
		}
		return false
	}, nil)
	return down
}

func TestAReaderThatLeavesEndsListQuietly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.fill(3000)
	cmd := exec.Command("sh", "-c", binary(t)+" list | head -1")
	cmd.Env = f.env
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	assert.Empty(t, stderr.String())
	assert.Regexp(t, `\AITEM [^\n]*\n\z`, string(out))
}

func TestTheTableAndItsKeyAreFoundOut(t *testing.T) {
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

func TestErrorsAreOneLineThatSaysWhatToDo(t *testing.T) {
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

func TestADeniedActionIsNamed(t *testing.T) {
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
	} {
		denied.Store(test.action)
		r := runWith(t, env, strings.Fields(test.args)...)
		assert.Equal(t, test.status, r.status, test.args)
		last := strings.Split(strings.TrimSpace(r.stderr), "\n")
		assert.Regexp(t, "^lease: no permission for dynamodb:"+test.action+` on table "`+f.table, last[len(last)-1], test.args)
	}
}

// fill adds many rows, each with an attribute of the user's.
func (f *fixture) fill(n int) {
	f.tb.Helper()
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for first := worker * 25; first < n; first += 100 {
				var batch []*dynamodb.WriteRequest
				for i := first; i < min(n, first+25); i++ {
					batch = append(batch, &dynamodb.WriteRequest{PutRequest: &dynamodb.PutRequest{Item: row{"id": str(fmt.Sprintf("item-%06d", i)),
						"ProcessID": str(fmt.Sprintf("worker-%02d", i%20)), "LeaseUntil": number(time.Now().Add(time.Hour).UnixNano()),
						"FencingToken": number(int64(i)), "Server": str("imap.example.com")}}})
				}
				_, err := f.ddb.BatchWriteItem(&dynamodb.BatchWriteItemInput{RequestItems: map[string][]*dynamodb.WriteRequest{f.table: batch}})
				assert.NoError(f.tb, err)
			}
		})
	}
	all.Wait()
}

func TestAFullDiskIsAnError(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	cmd := exec.Command(binary(t), "list")
	cmd.Env = f.env
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	defer full.Close()
	cmd.Stdout = full
	var stderr strings.Builder
	cmd.Stderr = &stderr
	assert.Error(t, cmd.Run())
	assert.Regexp(t, `\Alease: [^\n]*no space left[^\n]*\n\z`, stderr.String())
}
