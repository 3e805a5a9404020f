package leasetest_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
	"github.com/intercom/lease/leasetest"
)

var (
	differentialFor = flag.Duration("differential.for", 3*time.Second,
		"how long to compare leasetest's store with LockStore")
	differentialSeed = flag.Uint64("differential.seed", 0,
		"the seed to begin with; 0: the time")
)

// TestStoreDoesWhatLockStoreDoes sends random requests to both, and compares what they answer,
// and the rows. It takes longer with -differential.for.
func TestStoreDoesWhatLockStoreDoes(t *testing.T) {
	t.Parallel()
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	t.Cleanup(transport.CloseIdleConnections)
	client := ddblocal.ForTest(t).Client(&aws.Config{
		HTTPClient: &http.Client{Transport: transport},
		MaxRetries: aws.Int(0), // DynamoDB Local answers some bad values with a 500.
	})
	seed := *differentialSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	table, name := newTable(t, client, leasetest.HashKey)

	ends := time.Now().Add(*differentialFor)
	rounds := 0
	requests := 0
	for ; rounds == 0 || time.Now().Before(ends); rounds++ {
		c := newComparison(t, table, name, seed)
		if !c.run(50) {
			return
		}
		requests += len(c.said)
		seed++
	}
	t.Logf("%d requests in %d rounds", requests, rounds)
}

// both is what one call has to do with, on either store.
type both[T any] struct{ memory, table T }

// comparison is a round of requests, on an empty table. What they are is up to the seed.
type comparison struct {
	*testing.T
	*rand.Rand
	seed   uint64
	start  time.Time
	memory *leasetest.Store
	table  *lease.LockStore
	name   string // of the table

	leases []both[*lease.Lease]
	wishes []wished
	seen   []both[lease.LeaseItem]
	token  int // in thousands, with which the last item was registered
	said   []string
}

func newComparison(t *testing.T, table *lease.LockStore, name string, seed uint64) *comparison {
	return &comparison{
		T:      t,
		Rand:   rand.New(rand.NewPCG(seed, 0)),
		seed:   seed,
		start:  time.Now().Round(0),
		memory: leasetest.NewStore(),
		table:  table,
		name:   name,
	}
}

// run sends so many requests, until one does other things to the two.
func (c *comparison) run(requests int) (areOne bool) {
	defer c.empty()
	c.add()
	c.add()
	c.lease()
	kinds := []func(){
		c.scan, c.scan, c.lease, c.lease, c.leaseAsSeen, c.leaseAsSeen, c.leaseAsSeen,
		c.renew, c.renew, c.release, c.handOver, c.handOver, c.save, c.save, c.want, c.want,
		c.withdraw, c.add, c.retire, c.retireOwn, c.makeLiteral, c.weigh, c.weigh,
	}
	for range requests {
		one(c, kinds)()
		if !c.compareRows() {
			c.Errorf("with -differential.seed=%d:\n%s", c.seed, strings.Join(c.said, "\n"))
			return false
		}
	}
	return true
}

// one returns any of them.
func one[T any](c *comparison, of []T) T { return of[c.IntN(len(of))] }

func (c *comparison) items() []string { return []string{"a", "b", "c"} }
func (c *comparison) item() string    { return one(c, c.items()) }
func (c *comparison) lessee() string  { return one(c, []string{"w1", "w1", "w2", "w3"}) }

// end returns one that stays ahead, or past, for the whole round.
func (c *comparison) end() time.Time {
	minutes := one(c, []int{-500, -10, 11, 11, 23, 23, 47, 47, 97, 301, 1900})
	return c.start.Add(time.Duration(minutes) * time.Minute)
}

func (c *comparison) request() lease.LeaseRequest {
	durations := []time.Duration{time.Minute, 30 * time.Minute, 10 * time.Hour}
	request := terms{lessee: c.lessee(), duration: one(c, durations)}
	if c.IntN(3) > 0 {
		return request
	}
	return spacious{request, one(c, []float64{0.5, 1, 1.0 / 3, 2, 1e9, 0})}
}

// spacious are terms of a worker that says its capacity.
type spacious struct {
	terms
	capacity float64
}

func (s spacious) LeaseCapacity() float64 { return s.capacity }

// terms are a LeaseRequest.
type terms struct {
	lessee   string
	duration time.Duration
}

func (t terms) LesseeID() string             { return t.lessee }
func (t terms) LeaseDuration() time.Duration { return t.duration }

// anyLease returns a lease that was obtained, or made up.
func (c *comparison) anyLease() both[*lease.Lease] {
	if len(c.leases) == 0 {
		return both[*lease.Lease]{}
	}
	recent := c.leases[max(0, len(c.leases)-6):]
	return one(c, recent)
}

// anyGranted returns a lease that was obtained.
func (c *comparison) anyGranted() both[*lease.Lease] {
	l := c.anyLease()
	if l.memory == nil || l.memory.AttributeValues[leasetest.HashKey] == nil {
		return both[*lease.Lease]{}
	}
	return l
}

// anySeen returns what a scan has shown, now or some time ago.
func (c *comparison) anySeen() both[lease.LeaseItem] {
	if len(c.seen) == 0 || c.IntN(3) > 0 {
		c.scan()
	}
	if len(c.seen) == 0 {
		nothing := lease.LeaseItem{LeaseID: "a"}
		return both[lease.LeaseItem]{nothing, nothing}
	}
	recent := c.seen[max(0, len(c.seen)-8):]
	return one(c, recent)
}

// says notes a request and what it came to, and compares that.
func (c *comparison) says(inMemory, inTable answer, format string, args ...any) {
	memory := inMemory.String()
	table := inTable.String()
	line := fmt.Sprintf(format, args...) + " = " + memory
	if memory != table {
		line += ", and of LockStore " + table
		c.Errorf("%s", line)
	}
	c.said = append(c.said, line)
}

// answer is what a call returned. A bare Lease is compared by its fields.
type answer struct {
	what any
	err  error
}

func (a answer) String() string {
	if a.err != nil {
		return verdict(a.err)
	}
	switch what := a.what.(type) {
	case *lease.Lease:
		return fmt.Sprintf("%s %v %v %s", what.LeaseID, what.Request, what.Until, show(what.AttributeValues))
	case lease.LeaseItem:
		return fmt.Sprintf("%+v", what)
	}
	return "done"
}

// show writes a row in one line.
func show(r row) string { return strings.Join(strings.Fields(fmt.Sprint(r)), " ") }

// verdict names an error. Of those without a name the texts differ.
func verdict(err error) string {
	switch err {
	case lease.LeaseLostError, lease.LeaseNotObtainedError:
		return err.Error()
	}
	for _, known := range []error{lease.LeaseIDExistsError, lease.LeaseHeldError} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return "an error"
}

func (c *comparison) scan() {
	limit := c.IntN(4)
	pages := func(s leasetest.StoreInterface) (all []lease.LeaseItem) {
		for after := ""; ; {
			items, next, err := s.ScanLeaseItems(after, limit)
			require.NoError(c, err)
			all = append(all, items...)
			if next == "" {
				break
			}
			after = next
		}
		slices.SortFunc(all, func(a, b lease.LeaseItem) int {
			return strings.Compare(a.LeaseID, b.LeaseID)
		})
		return all
	}
	memory, table := pages(c.memory), pages(c.table)
	require.Equal(c, table, memory, "with -differential.seed=%d: %s", c.seed, c.said)
	for i := range memory {
		c.seen = append(c.seen, both[lease.LeaseItem]{memory[i], table[i]})
	}
}

// obtained keeps leases, some of them as a Locker's: of those alone a weight is written.
func (c *comparison) obtained(memory, table *lease.Lease) {
	isToHaveTenure := memory != nil && table != nil && c.IntN(2) == 0
	if !isToHaveTenure {
		c.keep(memory, table)
		return
	}
	c.keep(tenured(memory), tenured(table))
}

// tenured returns a lease as a Locker's; nil if it is over by then.
func tenured(l *lease.Lease) *lease.Lease {
	got, err := lease.NewLocker(giver{l}).ObtainLease(l.Request)
	if err != nil {
		return nil
	}
	return got
}

// giver is a store that has one lease to give.
type giver struct{ given *lease.Lease }

func (g giver) Lease(string, lease.LeaseRequest, time.Time) (*lease.Lease, error) {
	return g.given, nil
}

func (g giver) ListLeaseIDs() ([]string, error) { return []string{g.given.LeaseID}, nil }

// weigh says what an item weighs. It is written with a renewal.
func (c *comparison) weigh() {
	l := c.anyLease()
	weight := one(c, []float64{0, 1, 7, 30, 1e9})
	l.memory.SetWeight(weight)
	l.table.SetWeight(weight)
	c.said = append(c.said, fmt.Sprintf("SetWeight(%s, %v)", tenureOf(l.memory), weight))
}

func (c *comparison) keep(memory, table *lease.Lease) {
	if memory != nil && table != nil {
		c.leases = append(c.leases, both[*lease.Lease]{memory, table})
	}
}

func (c *comparison) lease() {
	id, request, end := c.item(), c.request(), c.end()
	memory, err := c.memory.Lease(id, request, end)
	table, tableErr := c.table.Lease(id, request, end)
	c.says(answer{memory, err}, answer{table, tableErr}, "Lease(%s, %v, %v)", id, request, end)
	c.obtained(memory, table)
}

func (c *comparison) leaseAsSeen() {
	seen, request, end := c.anySeen(), c.request(), c.end()
	var predecessor both[*lease.Lease]
	if c.IntN(2) == 0 {
		predecessor = c.anyGranted()
	}
	ctx := c.Context()
	memory, err := c.memory.LeaseAsSeen(ctx, seen.memory, predecessor.memory, request, end)
	table, tableErr := c.table.LeaseAsSeen(ctx, seen.table, predecessor.table, request, end)
	c.says(answer{memory, err}, answer{table, tableErr}, "LeaseAsSeen(%+v, %s, %v, %v)",
		seen.memory, tenureOf(predecessor.memory), request, end)
	c.obtained(memory, table)
}

// tenureOf names a lease's tenure.
func tenureOf(l *lease.Lease) string {
	if l == nil || l.Request == nil {
		return "nothing"
	}
	return fmt.Sprintf("%s %s %d", l.LeaseID, l.Request.LesseeID(), l.FencingToken())
}

// wished is a wish that was made.
type wished struct {
	by  string
	end time.Time
}

// anyWish returns one that was made a short time ago, or that wasn't.
func (c *comparison) anyWish() wished {
	if len(c.wishes) == 0 || c.IntN(4) == 0 {
		return wished{by: c.wisher(), end: c.end()}
	}
	return one(c, c.wishes[max(0, len(c.wishes)-3):])
}

// makeLiteral makes a Lease as a caller may, of one that there is.
func (c *comparison) makeLiteral() {
	like := c.anyLease()
	if like.memory == nil {
		return
	}
	token := like.memory.FencingToken()
	if c.IntN(4) == 0 {
		token = 0
	}
	literal := literalOf(like, token)
	c.keep(literal.memory, literal.table)
}

func literalOf(l both[*lease.Lease], token int64) both[*lease.Lease] {
	made := func(l *lease.Lease) *lease.Lease {
		literal := withToken(l, token)
		literal.Until = l.Until
		return literal
	}
	return both[*lease.Lease]{made(l.memory), made(l.table)}
}

func (c *comparison) renew() {
	l, end := c.anyLease(), c.end()
	wanted := one(c, []time.Time{{}, c.end()})
	memory, err := c.memory.RenewLeaseItem(c.Context(), l.memory, end, wanted)
	table, tableErr := c.table.RenewLeaseItem(c.Context(), l.table, end, wanted)
	c.says(answer{memory, err}, answer{table, tableErr}, "RenewLeaseItem(%s, %v, %v)",
		tenureOf(l.memory), end, wanted)
}

func (c *comparison) release() {
	l := c.anyLease()
	err, tableErr := c.memory.ReleaseLease(l.memory), c.table.ReleaseLease(l.table)
	c.says(answer{err: err}, answer{err: tableErr}, "ReleaseLease(%s)", tenureOf(l.memory))
}

func (c *comparison) handOver() {
	l, end := c.anyLease(), c.end()
	err := c.memory.HandOverLease(c.Context(), l.memory, end)
	tableErr := c.table.HandOverLease(c.Context(), l.table, end)
	c.says(answer{err: err}, answer{err: tableErr}, "HandOverLease(%s, %v)",
		tenureOf(l.memory), end)
}

// attributes returns some of the user's own, one in four of which DynamoDB refuses.
func (c *comparison) attributes() (attributes row, isGood bool) {
	good := []row{
		nil,
		{"n": num(c.IntN(9))},
		{"n": num(c.IntN(9)), "gone": nil},
		{"gone": {S: aws.String("")}},
		{"deep": {M: row{"x": {L: []*dynamodb.AttributeValue{{NULL: aws.Bool(true)}}}}}},
		{"set": {SS: aws.StringSlice([]string{"x", "y"})}},
	}
	bad := []row{
		{"n": {}},
		{"n": {N: aws.String("abc")}},
		{"n": {N: aws.String("1e200")}},
		{"n": {N: aws.String("")}},
		{"n": {NULL: aws.Bool(false)}},
		{"n": {S: aws.String("x"), N: aws.String("1")}},
		{"n": {M: row{"x": {}}}},
		{"n": {M: row{"x": nil}}},
		{"n": {L: []*dynamodb.AttributeValue{{N: aws.String("x")}}}},
		{"n": {NS: aws.StringSlice([]string{"1", "x"})}},
		{"n": {NS: aws.StringSlice([]string{"1", "1.0"})}},
		{"n": {SS: []*string{}}},
		{"n": {SS: aws.StringSlice([]string{"x", "x"})}},
		{"\xff": num(1)},
		{"": num(1)},
		{strings.Repeat("x", 65536): num(1)},
	}
	if c.IntN(4) == 0 {
		return one(c, bad), false
	}
	return one(c, good), true
}

func num(n int) *dynamodb.AttributeValue {
	return &dynamodb.AttributeValue{N: aws.String(fmt.Sprint(n))}
}

type row = map[string]*dynamodb.AttributeValue

func (c *comparison) save() {
	l := c.anyLease()
	attributes, isGood := c.attributes()
	if !isGood && l.memory != nil {
		// One that was obtained would note, of a LockStore, that it has asked for a later end.
		l = literalOf(l, l.memory.FencingToken())
	}
	err := c.memory.SaveAttributes(c.Context(), l.memory, attributes)
	tableErr := c.table.SaveAttributes(c.Context(), l.table, attributes)
	areRefused := err != nil && tableErr != nil
	if !isGood && areRefused { // What is wrong with them, or that the lease is over, is said first.
		err = tableErr
	}
	c.says(answer{err: err}, answer{err: tableErr}, "SaveAttributes(%s, %.100s)",
		tenureOf(l.memory), show(attributes))
}

func (c *comparison) wisher() string { return one(c, []string{"", "w1", "w2", "w3"}) }

func (c *comparison) want() {
	seen, by, end := c.anySeen(), c.wisher(), c.end()
	err := c.memory.WantLease(c.Context(), seen.memory, by, end)
	tableErr := c.table.WantLease(c.Context(), seen.table, by, end)
	c.says(answer{err: err}, answer{err: tableErr}, "WantLease(%+v, %q, %v)",
		seen.memory, by, end)
	if err == nil {
		c.wishes = append(c.wishes, wished{by, end})
	}
}

func (c *comparison) withdraw() {
	seen, wish := c.anySeen(), c.anyWish()
	memory, err := c.memory.WithdrawWish(c.Context(), seen.memory, wish.by, wish.end)
	table, tableErr := c.table.WithdrawWish(c.Context(), seen.table, wish.by, wish.end)
	c.says(answer{memory, err}, answer{table, tableErr}, "WithdrawWish(%+v, %+v)",
		seen.memory, wish)
}

// tokenToStart returns what an item's token is to start with, greater than any before. One in
// four is refused.
func (c *comparison) tokenToStart() string {
	c.token++
	good := []string{"%d000", "%dE3", "%d000.0"}
	bad := []string{"%d000.5", "-%d", "9007199254%d0000000", "%dE20", "%dX"}
	if c.IntN(4) == 0 {
		return fmt.Sprintf(one(c, bad), c.token)
	}
	return fmt.Sprintf(one(c, good), c.token)
}

func (c *comparison) add() {
	id := c.item()
	token := c.tokenToStart()
	attributes := row{"FencingToken": {N: &token}}
	given, _ := c.attributes()
	for name, value := range given {
		if value != nil {
			attributes[name] = value
		}
	}
	if c.IntN(2) == 0 {
		weights := []row{
			{"LeaseWeight": num(7)},
			{"LeaseWeight": {N: aws.String("0.25")}},
			{"LeaseWeight": {N: aws.String("20.5")}},
			{"LeaseWeight": num(0)},
			{"LeaseWeight": {N: aws.String("-1E20")}},
			{"LeaseWeight": {S: aws.String("7")}},
			{"LeaseCapacity": num(7)},
		}
		maps.Copy(attributes, one(c, weights))
	}
	err := c.memory.AddLeaseID(id, maps.Clone(attributes))
	tableErr := c.table.AddLeaseID(id, attributes)
	c.says(answer{err: err}, answer{err: tableErr}, "AddLeaseID(%s, %.100s)", id, show(attributes))
}

func (c *comparison) retire() {
	if c.IntN(3) > 0 {
		return // There would be few.
	}
	id := c.item()
	err, tableErr := c.memory.RemoveLeaseID(id), c.table.RemoveLeaseID(id)
	c.says(answer{err: err}, answer{err: tableErr}, "RemoveLeaseID(%s)", id)
}

func (c *comparison) retireOwn() {
	if c.IntN(3) > 0 {
		return
	}
	l := c.anyLease()
	err, tableErr := c.memory.RemoveLease(l.memory), c.table.RemoveLease(l.table)
	c.says(answer{err: err}, answer{err: tableErr}, "RemoveLease(%s)", tenureOf(l.memory))
}

// compareRows tells whether all is as it should be so far, rows included.
func (c *comparison) compareRows() bool {
	table := make(map[string]row)
	for _, r := range c.rows() {
		table[*r[leasetest.HashKey].S] = r
	}
	for _, id := range c.items() {
		memory, _ := c.memory.Row(id)
		if a, b := show(memory), show(table[id]); a != b {
			c.Errorf("the row of %s = %s; of LockStore %s", id, a, b)
		}
	}
	return !c.Failed()
}

func (c *comparison) rows() []row {
	out, err := c.table.Scan(&dynamodb.ScanInput{
		TableName:      &c.name,
		ConsistentRead: aws.Bool(true),
	})
	require.NoError(c, err)
	return out.Items
}

// empty ends all tenures and deletes all rows, for the next round.
func (c *comparison) empty() {
	for _, l := range c.leases {
		l.memory.Discard()
		l.table.Discard()
	}
	for _, r := range c.rows() {
		_, err := c.table.DeleteItem(&dynamodb.DeleteItemInput{
			TableName: &c.name,
			Key:       row{leasetest.HashKey: r[leasetest.HashKey]},
		})
		require.NoError(c, err)
	}
}
