package lease_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
)

func TestMain(m *testing.M) {
	lease.SetLogger(nil)
	ddblocal.SideBySide(8)
	ddblocal.Main(m)
}

// row is a row of DynamoDB's.
type row = map[string]*dynamodb.AttributeValue

// worker is a LeaseRequest.
type worker struct {
	id       string
	duration time.Duration
}

func (w worker) LesseeID() string { return w.id }

func (w worker) LeaseDuration() time.Duration { return w.duration }

// for30s is a worker that wants leases of 30 s.
func for30s(id string) worker { return worker{id, 30 * time.Second} }

func str(s string) *dynamodb.AttributeValue { return &dynamodb.AttributeValue{S: &s} }

func num(n int64) *dynamodb.AttributeValue {
	return &dynamodb.AttributeValue{N: aws.String(strconv.FormatInt(n, 10))}
}

func mustInt(t *testing.T, v *dynamodb.AttributeValue) int64 {
	t.Helper()
	require.NotNil(t, v)
	var n int64
	_, err := fmt.Sscan(*v.N, &n)
	require.NoError(t, err)
	return n
}

// eventually waits until something is so.
func eventually(tb testing.TB, what string, so func() bool) {
	tb.Helper()
	for start := time.Now(); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Since(start) > aWhile {
			require.Fail(tb, "it never happens", what)
		}
	}
}

// within is a context for calls that must not block.
func within(tb testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	tb.Cleanup(cancel)
	return ctx
}

// aWhile is how long a test waits for what comes at once on an idle machine: a guard against
// hangs, no bound.
const aWhile = 2 * time.Minute

// soon fails the test if a call blocks.
func soon(t *testing.T, call func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		call()
	}()
	select {
	case <-done:
	case <-time.After(aWhile):
		t.Fatal("it blocks")
	}
}

func ids(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("item-%d", i)
	}
	return ids
}

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

// between puts a transport before the real one.
type between = func(next http.RoundTripper) http.RoundTripper

// newClient returns a client with connections of its own, closed when the test is over. A transport
// that wraps the real one may be put between.
func newClient(tb testing.TB, endpoint string, wrap between, cfgs ...*aws.Config) (*dynamodb.DynamoDB, *http.Transport) {
	transport := &http.Transport{MaxIdleConnsPerHost: 256}
	tb.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}
	if wrap != nil {
		client.Transport = wrap(transport)
	}
	return ddblocal.NewClient(endpoint, append(cfgs, &aws.Config{HTTPClient: client})...), transport
}

// through returns a store on the same table whose requests go through wrap.
func (f *fixture) through(wrap between) *lease.LockStore {
	ddb, _ := newClient(f.tb, f.ddb.Endpoint, wrap)
	return lease.NewLockStore(ddb, f.table, f.key)
}

// metered is f.through with a meter of its own.
func (f *fixture) metered(wrap between) (*lease.LockStore, *meter) {
	s, m := f.through(wrap), &meter{requests: make(map[string]int)}
	m.attach(s.DynamoDB)
	_, err := s.ListLeaseIDs() // learns the clock
	require.NoError(f.tb, err)
	m.reset()
	return s, m
}

// store returns a store of a process of its own: it remembers nothing.
func (f *fixture) store() *lease.LockStore { return lease.NewLockStore(f.ddb, f.table, f.key) }

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

// fill writes many rows, 25 a request.
func (f *fixture) fill(rows []row) {
	f.tb.Helper()
	for len(rows) > 0 {
		n := min(25, len(rows))
		batch := make([]*dynamodb.WriteRequest, n)
		for i, r := range rows[:n] {
			batch[i] = &dynamodb.WriteRequest{PutRequest: &dynamodb.PutRequest{Item: r}}
		}
		_, err := f.ddb.BatchWriteItem(&dynamodb.BatchWriteItemInput{
			RequestItems: map[string][]*dynamodb.WriteRequest{f.table: batch}})
		require.NoError(f.tb, err)
		rows = rows[n:]
	}
	f.reset()
}

// createTable makes a table of these keys, each "name:type", the hash key first.
func (f *fixture) createTable(keys ...string) {
	in := &dynamodb.CreateTableInput{TableName: &f.table, BillingMode: aws.String("PAY_PER_REQUEST")}
	for i, key := range keys {
		name, kind, _ := strings.Cut(key, ":")
		in.AttributeDefinitions = append(in.AttributeDefinitions,
			&dynamodb.AttributeDefinition{AttributeName: &name, AttributeType: &kind})
		in.KeySchema = append(in.KeySchema, &dynamodb.KeySchemaElement{AttributeName: &name,
			KeyType: aws.String([]string{"HASH", "RANGE"}[i])})
	}
	_, err := f.ddb.CreateTable(in)
	require.NoError(f.tb, err)
}

// pass makes a row's lease end a second ago, as if its time had passed.
func (f *fixture) pass(id string) {
	f.tb.Helper()
	r := f.get(id)
	r["LeaseUntil"] = num(time.Now().Add(-time.Second).UnixNano())
	f.put(r)
}

// held is a row that someone holds until then.
func (f *fixture) held(id, holder string, until time.Time) row {
	return row{f.key: str(id), "ProcessID": str(holder), "LeaseUntil": num(until.UnixNano())}
}

// padded is a free row of about that size.
func padded(id string, size int) row {
	return row{"id": str(id), "LeaseUntil": num(0), "data": str(strings.Repeat("x", size))}
}

// original is a worker of the original library: its only write, by its documentation.
func (f *fixture) original(id, lessee string, until time.Time) error {
	_, err := f.ddb.UpdateItem(&dynamodb.UpdateItemInput{
		TableName: &f.table, Key: row{f.key: str(id)},
		UpdateExpression:         aws.String("SET ProcessID = :p, LeaseUntil = :u"),
		ConditionExpression:      aws.String("attribute_exists(#k) AND (LeaseUntil < :now OR ProcessID = :p)"),
		ExpressionAttributeNames: map[string]*string{"#k": &f.key},
		ExpressionAttributeValues: row{":p": str(lessee), ":u": num(until.UnixNano()),
			":now": num(time.Now().UnixNano())},
	})
	return err
}

// seen returns the fixture's only item as a scan shows it.
func (f *fixture) seen() lease.LeaseItem {
	f.tb.Helper()
	items, _, err := f.store().ScanLeaseItems("", 0)
	require.NoError(f.tb, err)
	require.Len(f.tb, items, 1)
	return items[0]
}

// item returns an item as a scan shows it.
func (f *fixture) item(leaseID string) lease.LeaseItem {
	f.tb.Helper()
	items, _, err := f.store().ScanLeaseItems("", 0)
	require.NoError(f.tb, err)
	for _, item := range items {
		if item.LeaseID == leaseID {
			return item
		}
	}
	require.Fail(f.tb, "no such item", leaseID)
	return lease.LeaseItem{}
}

// ends returns when the row of "a" says that its lease ends.
func (f *fixture) ends(t *testing.T) time.Time {
	t.Helper()
	return time.Unix(0, mustInt(t, f.get("a")["LeaseUntil"]))
}

// wanted leases "a" to w1 for a minute, lets w2 wish for it, and returns the lease and the wish's
// end.
func (f *fixture) wanted() (*lease.Lease, time.Time) {
	f.tb.Helper()
	l, err := f.Lease("a", worker{"w1", time.Minute}, time.Now().Add(time.Minute))
	require.NoError(f.tb, err)
	until := time.Now().Add(40 * time.Second)
	require.NoError(f.tb, f.WantLease(context.Background(), f.seen(), "w2", until))
	return l, until
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
		case *dynamodb.GetItemInput:
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
		case *dynamodb.GetItemOutput:
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

// assertUnanswered asserts that an error says that the library's own patience was over, with
// what, and no context of the caller's.
func assertUnanswered(t *testing.T, err error, what string) {
	t.Helper()
	assert.ErrorContains(t, err, what)
	assert.ErrorContains(t, err, " was not answered within ")
	assert.NotErrorIs(t, err, context.DeadlineExceeded)
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
