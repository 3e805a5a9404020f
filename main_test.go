package lease_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
)

func TestMain(m *testing.M) {
	lease.SetLogger(nil)
	ddblocal.Main(m)
}

// row is a row of DynamoDB's.
type row = map[string]*dynamodb.AttributeValue

// worker is a LeaseRequest.
type worker struct {
	id       string
	duration time.Duration
}

func (w worker) LesseeID() string             { return w.id }
func (w worker) LeaseDuration() time.Duration { return w.duration }

// for30s is a worker that wants leases of 30 s.
func for30s(id string) worker { return worker{id, 30 * time.Second} }

// fixture is one table on DynamoDB Local, used by one test, and a client that counts.
type fixture struct {
	*lease.LockStore
	*meter
	tb        testing.TB
	ddb       *dynamodb.DynamoDB
	table     string
	key       string
	transport *http.Transport
}

var tables atomic.Int64

// newFixture makes a table with the hash key "id" and registers the items.
func newFixture(tb testing.TB, ids ...string) *fixture { return newFixtureKey(tb, "id", ids...) }

func newFixtureKey(tb testing.TB, key string, ids ...string) *fixture {
	tb.Helper()
	f := newFixtureOn(tb, ddblocal.ForTest(tb).Endpoint, key)
	require.NoError(tb, f.EnsureTable())
	for _, id := range ids {
		require.NoError(tb, f.AddLeaseID(id, row{"FencingToken": num(0)})) // so that the first token is 1
	}
	f.reset()
	return f
}

// newFixtureOn makes the fixture of a table that is not made yet.
func newFixtureOn(tb testing.TB, endpoint, key string) *fixture {
	f := &fixture{tb: tb, key: key, meter: &meter{requests: make(map[string]int)},
		table: fmt.Sprintf("leases-%d-%d", time.Now().UnixNano(), tables.Add(1))}
	f.ddb, f.transport = newClient(tb, endpoint, nil)
	f.meter.attach(f.ddb)
	f.LockStore = lease.NewLockStore(f.ddb, f.table, key)
	return f
}

// newClient returns a client with connections of its own, closed when the test is over. A transport
// that wraps the real one may be put between.
func newClient(tb testing.TB, endpoint string, wrap func(http.RoundTripper) http.RoundTripper, cfgs ...*aws.Config) (*dynamodb.DynamoDB, *http.Transport) {
	transport := &http.Transport{MaxIdleConnsPerHost: 256}
	tb.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}
	if wrap != nil {
		client.Transport = wrap(transport)
	}
	return ddblocal.NewClient(endpoint, append(cfgs, &aws.Config{HTTPClient: client})...), transport
}

// through returns a store on the same table whose requests go through wrap.
func (f *fixture) through(wrap func(http.RoundTripper) http.RoundTripper) *lease.LockStore {
	ddb, _ := newClient(f.tb, f.ddb.Endpoint, wrap)
	return lease.NewLockStore(ddb, f.table, f.key)
}

// get reads a row; nil if there is none.
func (f *fixture) get(id string) row {
	f.tb.Helper()
	out, err := f.ddb.GetItem(&dynamodb.GetItemInput{TableName: &f.table, ConsistentRead: aws.Bool(true),
		Key: row{f.key: str(id)}})
	require.NoError(f.tb, err)
	return out.Item
}

// put writes a row as somebody else might.
func (f *fixture) put(r row) {
	f.tb.Helper()
	_, err := f.ddb.PutItem(&dynamodb.PutItemInput{TableName: &f.table, Item: r})
	require.NoError(f.tb, err)
}

// held is a row that someone holds until then.
func (f *fixture) held(id, holder string, until time.Time) row {
	return row{f.key: str(id), "ProcessID": str(holder), "LeaseUntil": num(until.UnixNano())}
}

func str(s string) *dynamodb.AttributeValue { return &dynamodb.AttributeValue{S: &s} }

func num(n int64) *dynamodb.AttributeValue {
	return &dynamodb.AttributeValue{N: aws.String(strconv.FormatInt(n, 10))}
}

// meter counts what a client sends: each attempt is a request.
type meter struct {
	mu       sync.Mutex
	requests map[string]int // by operation
	refused  int            // failed conditions
	rcu, wcu float64
}

func (m *meter) attach(ddb *dynamodb.DynamoDB) {
	ddb.Handlers.Validate.PushFront(func(r *request.Request) {
		total := aws.String(dynamodb.ReturnConsumedCapacityTotal)
		switch in := r.Params.(type) {
		case *dynamodb.ScanInput:
			in.ReturnConsumedCapacity = total
		case *dynamodb.UpdateItemInput:
			in.ReturnConsumedCapacity = total
		case *dynamodb.PutItemInput:
			in.ReturnConsumedCapacity = total
		case *dynamodb.DeleteItemInput:
			in.ReturnConsumedCapacity = total
		}
	})
	attempts := make(map[*request.Request]int) // that are counted: some clients report several as one
	ddb.Handlers.Complete.PushBack(func(r *request.Request) {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(attempts, r)
	})
	ddb.Handlers.CompleteAttempt.PushBack(func(r *request.Request) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.requests[r.Operation.Name] += 1 + r.RetryCount - attempts[r]
		attempts[r] = 1 + r.RetryCount
		var used *dynamodb.ConsumedCapacity
		switch out := r.Data.(type) {
		case *dynamodb.ScanOutput:
			if used = out.ConsumedCapacity; used != nil {
				m.rcu += *used.CapacityUnits
			}
			return
		case *dynamodb.UpdateItemOutput:
			used = out.ConsumedCapacity
		case *dynamodb.PutItemOutput:
			used = out.ConsumedCapacity
		case *dynamodb.DeleteItemOutput:
			used = out.ConsumedCapacity
		}
		switch _, refused := r.Error.(*dynamodb.ConditionalCheckFailedException); {
		case refused:
			m.refused++
			m.wcu++ // A failed condition costs what the write would have.
		case used != nil:
			m.wcu += *used.CapacityUnits
		}
	})
}

func (m *meter) reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests, m.refused, m.rcu, m.wcu = make(map[string]int), 0, 0, 0
}

// count returns the requests of the named operations, or of all.
func (m *meter) count(operations ...string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	if len(operations) == 0 {
		for _, c := range m.requests {
			n += c
		}
	}
	for _, operation := range operations {
		n += m.requests[operation]
	}
	return n
}

// refusals returns how many writes failed on their condition.
func (m *meter) refusals() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.refused
}

// recorder is a logger that keeps the events.
type recorder struct {
	mu     sync.Mutex
	events []event
}

type event struct {
	level, message string
	keyvals        map[string]interface{}
}

// record makes a recorder the package's logger until the test is over.
func record(tb testing.TB) *recorder {
	r := &recorder{}
	lease.SetLogger(r)
	tb.Cleanup(func() { lease.SetLogger(nil) })
	return r
}

func (r *recorder) log(level, message string, keyvals []interface{}) {
	e := event{level, message, make(map[string]interface{})}
	for i := 0; i+1 < len(keyvals); i += 2 {
		e.keyvals[fmt.Sprint(keyvals[i])] = keyvals[i+1]
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *recorder) LogInfoMessage(message string, keyvals ...interface{}) {
	r.log("info", message, keyvals)
}

func (r *recorder) LogErrorMessage(message string, keyvals ...interface{}) {
	r.log("error", message, keyvals)
}

// named returns the events of that message.
func (r *recorder) named(message string) []event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []event
	for _, e := range r.events {
		if e.message == message {
			found = append(found, e)
		}
	}
	return found
}

// text returns all events, to look for what none or some of them says.
func (r *recorder) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all strings.Builder
	for _, e := range r.events {
		fmt.Fprintln(&all, e.level, e.message, e.keyvals)
	}
	return all.String()
}

// roundTrip makes a function a transport.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// within is a context for calls that must not block.
func within(tb testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	tb.Cleanup(cancel)
	return ctx
}

func median(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2]
}

func jsonBody(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }
