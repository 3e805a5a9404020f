package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/cmd/lease/internal/dynamo"
	"github.com/intercom/lease/cmd/lease/internal/fleet"
	"github.com/intercom/lease/internal/ddblocal"
)

func TestMain(m *testing.M) {
	if socket := os.Getenv("NOTIFY_SOCKET"); socket != "" && len(os.Args) > 1 { // as systemd-notify
		conn, err := net.Dial("unixgram", socket)
		if err != nil {
			panic(err)
		}
		conn.Write([]byte(os.Args[1]))
		os.Exit(0)
	}
	lease.SetLogger(nil)
	for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGINT} {
		if signal.Ignored(sig) { // as under nohup: the commands are not to inherit that
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
	ddblocal.SideBySide(16)
	code := m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code) // DynamoDB Local ends with this process.
}

var raceBinary = flag.Bool("binary.race", false, "build the command with the race detector: its processes take twice as long")

// built is the command's binary, which is built once.
var built struct {
	sync.Once
	dir, path string
	err       error
}

func binary(tb testing.TB) string {
	built.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "lease-test-"); built.err != nil {
			return
		}
		built.path = filepath.Join(built.dir, "lease")
		args := []string{"build", "-o", built.path}
		if *raceBinary {
			args = append(args, "-race")
		}
		if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
			built.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	require.NoError(tb, built.err)
	return built.path
}

// fixture is a table on DynamoDB Local, used by one test.
type fixture struct {
	*lease.LockStore
	tb    testing.TB
	ddb   *dynamodb.DynamoDB
	table string
	env   []string // of the command
}

var tables atomic.Int64

// newFixture makes a table with the hash key "id" and registers the items.
func newFixture(tb testing.TB, ids ...string) *fixture { return newFixtureKey(tb, "id", ids...) }

func newFixtureKey(tb testing.TB, key string, ids ...string) *fixture {
	tb.Helper()
	server := ddblocal.ForTest(tb)
	f := &fixture{tb: tb, ddb: server.Client(), table: fmt.Sprintf("cmd-%d-%d", time.Now().UnixNano(), tables.Add(1))}
	f.env = environment("LEASE_TABLE="+f.table, "AWS_ENDPOINT_URL="+server.Endpoint, "AWS_REGION=us-east-1",
		"AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local")
	f.LockStore = lease.NewLockStore(f.ddb, f.table, key)
	require.NoError(tb, f.EnsureTable())
	for _, id := range ids {
		require.NoError(tb, f.AddLeaseID(id, nil))
	}
	return f
}

// environment is this process's without what tells the command where to go, and then what is given.
func environment(more ...string) []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "AWS_") && !strings.HasPrefix(e, "LEASE_") && !strings.HasPrefix(e, "DYNAMODB_") && !strings.HasPrefix(e, "HOME=") {
			env = append(env, e)
		}
	}
	return append(append(env, "HOME=/nonexistent", "AWS_EC2_METADATA_DISABLED=true", "TERM=xterm", "GORACE=atexit_sleep_ms=0"), more...)
}

func (f *fixture) put(r fleet.Row) {
	f.tb.Helper()
	_, err := f.ddb.PutItem(&dynamodb.PutItemInput{TableName: &f.table, Item: r})
	require.NoError(f.tb, err)
}

// want has somebody wish for an item.
func (f *fixture) want(id, by string) {
	f.tb.Helper()
	require.NoError(f.tb, f.WantLease(f.tb.Context(), f.item(id), by, time.Now().Add(10*time.Minute)))
}

// expire has the lease of an item end now, as it would if its holder had died a while ago.
func (f *fixture) expire(id string) {
	f.tb.Helper()
	r := f.row(id)
	r["LeaseUntil"] = fleet.Number(time.Now().UnixNano() - 1)
	f.put(r)
}

func (f *fixture) delete(id string) {
	f.tb.Helper()
	_, err := f.ddb.DeleteItem(&dynamodb.DeleteItemInput{TableName: &f.table, Key: fleet.Row{"id": str(id)}})
	require.NoError(f.tb, err)
}

func (f *fixture) row(id string) fleet.Row {
	f.tb.Helper()
	out, err := f.ddb.GetItem(&dynamodb.GetItemInput{TableName: &f.table, Key: fleet.Row{"id": str(id)}, ConsistentRead: aws.Bool(true)})
	require.NoError(f.tb, err)
	return out.Item
}

func (f *fixture) item(id string) lease.LeaseItem {
	f.tb.Helper()
	item, err := f.ParseLeaseItem(f.row(id))
	require.NoError(f.tb, err)
	return item
}

// lease leases an item as a worker would.
func (f *fixture) lease(id, by string, d time.Duration) *lease.Lease {
	f.tb.Helper()
	l, err := f.Lease(id, dynamo.Lessee{Name: by, Duration: d}, time.Now().Add(d))
	require.NoError(f.tb, err)
	return l
}

func str(s string) *dynamodb.AttributeValue { return &dynamodb.AttributeValue{S: &s} }

// everyState is a table with an item in each state.
func everyState(t *testing.T) *fixture {
	f := newFixture(t, "held", "wanted", "reserved", "released")
	now := time.Now()
	f.lease("held", "w1", time.Hour)
	f.lease("wanted", "w1", time.Hour)
	f.want("wanted", "w2")
	handed := f.lease("reserved", "w3", time.Hour)
	f.want("reserved", "w2")
	require.NoError(t, f.HandOverLease(t.Context(), handed, now.Add(10*time.Minute)))
	require.NoError(t, f.ReleaseLease(f.lease("released", "w1", time.Hour)))
	f.put(fleet.Row{"id": str("ended"), "ProcessID": str("w9"), "LeaseUntil": fleet.Number(now.Add(-time.Minute).UnixNano()), "FencingToken": fleet.Number(3)})
	f.put(fleet.Row{"id": str("bare")})
	f.put(fleet.Row{"id": str("spoiled"), "ProcessID": str("w1"), "LeaseUntil": str("soon")})
	f.put(fleet.Row{"id": str("to free"), "ProcessID": str("w2"), "LeaseUntil": fleet.Number(now.Add(time.Hour).UnixNano()), "FencingToken": fleet.Number(4),
		"WantedBy": str(""), "WantedUntil": fleet.Number(now.Add(10 * time.Minute).UnixNano())})
	require.Equal(t, 0, f.run("add", "new").status)
	return f
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

// awaitRenewals waits until the lease of the item that somebody holds was renewed so often.
func (f *fixture) awaitRenewals(by string, n int) {
	f.tb.Helper()
	end := func() int64 {
		items, _, err := f.ScanLeaseItems("", 0)
		require.NoError(f.tb, err)
		for _, item := range items {
			if item.LesseeID == by {
				return item.LeaseUntil
			}
		}
		return 0
	}
	for range n {
		before := end()
		await(f.tb, by+" has renewed its lease", func() bool { return end() != before })
	}
}

// fill adds many rows, each with an attribute of the user's.
func (f *fixture) fill(n int) {
	f.tb.Helper()
	f.fillFor(n, func(i int) string { return fmt.Sprintf("worker-%02d", i%20) })
}

// fillFor writes many rows, each leased for an hour by whom it is for.
func (f *fixture) fillFor(n int, holder func(i int) string) {
	f.tb.Helper()
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for first := worker * 25; first < n; first += 100 {
				var batch []*dynamodb.WriteRequest
				for i := first; i < min(n, first+25); i++ {
					batch = append(batch, &dynamodb.WriteRequest{PutRequest: &dynamodb.PutRequest{Item: fleet.Row{"id": str(fmt.Sprintf("item-%06d", i)),
						"ProcessID": str(holder(i)), "LeaseUntil": fleet.Number(time.Now().Add(time.Hour).UnixNano()),
						"FencingToken": fleet.Number(int64(i)), "Server": str("imap.example.com")}}})
				}
				_, err := f.ddb.BatchWriteItem(&dynamodb.BatchWriteItemInput{RequestItems: map[string][]*dynamodb.WriteRequest{f.table: batch}})
				assert.NoError(f.tb, err)
			}
		})
	}
	all.Wait()
}
