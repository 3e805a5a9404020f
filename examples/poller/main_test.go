package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
)

func TestMain(m *testing.M) {
	lease.SetLogger(nil)
	ddblocal.Main(m)
}

// TestPollersShareByLoad runs the program, most of whose source is in the README: three workers, of which one carries twice
// the load of another, and one meets a mailbox that hangs.
func TestPollersShareByLoad(t *testing.T) {
	server := ddblocal.ForTest(t)
	fleet := newFleet(t, server.Client(), server.Endpoint)

	first := fleet.startFirst("HANGING=mailbox-100")
	hung := fleet.look().holder("mailbox-100")
	second := fleet.start("")
	third := fleet.start("", "-capacity", "2")

	fleet.eventually("what hangs there goes on elsewhere", func(f *sight) bool {
		by := f.holder("mailbox-100")
		return by != "" && by != hung && f.seen("mailbox-100") > 0
	})
	fleet.eventually("the heavy ones weigh more", func(f *sight) bool {
		return f.item("mailbox-004").Weight > 15 && f.item("mailbox-005").Weight == 1
	})
	fleet.eventually("all is level", func(f *sight) bool {
		loads := f.loads()
		t.Log(loads)
		return len(f.held) == 200 && len(loads) == 3 && slices.Max(loads) < 1.1*mean(loads)
	})
	second.assertFigures(t)

	began := time.Now()
	first.stop(t)
	t.Logf("it stopped in %v", time.Since(began))
	assert.Contains(t, first.said.String(), "1 stuck works")
	fleet.eventually("the others have what it left", func(f *sight) bool {
		return len(f.held) == 200 && !slices.ContainsFunc(f.held, func(i lease.LeaseItem) bool { return i.LesseeID == hung })
	})
	for _, p := range []*program{second, third} {
		p.stop(t)
		assert.NotContains(t, p.said.String(), "stay leased")
	}
	assert.Empty(t, fleet.look().held)
	fleet.assertNothingWentBack()
}

// fleet is some runs of the program on tables of their own.
type fleet struct {
	*testing.T
	ddb      *dynamodb.DynamoDB
	store    *lease.LockStore
	table    string
	endpoint string
	path     string
	lease    time.Duration
	programs []*program
}

func newFleet(t *testing.T, ddb *dynamodb.DynamoDB, endpoint string) *fleet {
	table := fmt.Sprintf("poller-%d", time.Now().UnixNano())
	path := filepath.Join(t.TempDir(), "poller")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Cleanup(func() {
		for _, name := range []string{table, table + "-mails"} {
			ddb.DeleteTable(&dynamodb.DeleteTableInput{TableName: &name})
		}
	})
	return &fleet{T: t, ddb: ddb, store: lease.NewLockStore(ddb, table, "mailbox"), table: table, endpoint: endpoint, path: path}
}

// program is one of them. It is killed when the test is over.
type program struct {
	*exec.Cmd
	figures string
	said    bytes.Buffer
}

// startFirst starts the program, and waits until it has all items. A machine that is too busy to
// renew them all in time gets longer leases.
func (f *fleet) startFirst(environment string) *program {
	f.Helper()
	for f.lease = 6 * time.Second; f.lease < 5*time.Minute; f.lease *= 2 {
		p := f.start(environment)
		if f.within(5*f.lease, func(s *sight) bool { return s.count(p) == 200 }) {
			f.Logf("leases last %v", f.lease)
			return p
		}
		p.Process.Kill()
		p.Wait()
	}
	f.Fatal("the first never has it all\n", f.said())
	return nil
}

// start starts the program, with something in its environment.
func (f *fleet) start(environment string, args ...string) *program {
	f.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(f, err)
	p := &program{figures: free.Addr().String()}
	require.NoError(f, free.Close())
	args = append(args, "-table", f.table, "-lease", f.lease.String(), "-figures", p.figures)
	p.Cmd = exec.CommandContext(f.Context(), f.path, args...)
	p.Env = append(ddblocal.Environ(f.endpoint), environment)
	p.Stderr = &p.said
	require.NoError(f, p.Start())
	f.programs = append(f.programs, p)
	return p
}

// stop tells the program to stop, and waits for that.
func (p *program) stop(t *testing.T) {
	t.Helper()
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	require.NoError(t, p.Wait(), "%s", &p.said)
	assert.Contains(t, p.said.String(), "stopped: ")
}

// assertFigures asserts that the program shows what it does.
func (p *program) assertFigures(t *testing.T) {
	t.Helper()
	reply, err := http.Get("http://" + p.figures + "/debug/vars")
	require.NoError(t, err)
	defer reply.Body.Close()
	var shown struct {
		Lease  lease.LockerStats `json:"lease"`
		Events map[string]int64  `json:"lease_events"`
	}
	require.NoError(t, json.NewDecoder(reply.Body).Decode(&shown))
	assert.Positive(t, shown.Lease.Held)
	assert.Positive(t, shown.Events["renewed"])
	assert.Positive(t, shown.Events["obtained"])
}

// sight is what a look at the fleet's items shows.
type sight struct {
	items map[string]lease.LeaseItem
	held  []lease.LeaseItem
	rows  map[string]int // the checkpoints
}

// look looks at all items; it shows none before there are any.
func (f *fleet) look() *sight {
	s := &sight{items: make(map[string]lease.LeaseItem), rows: f.numbers(f.table, "Seen")}
	items, _, err := f.store.ScanLeaseItems("", 0)
	if err != nil {
		return s
	}
	for _, item := range items {
		s.items[item.LeaseID] = item
		if item.State() != lease.ItemFree {
			s.held = append(s.held, item)
		}
	}
	return s
}

// numbers returns a number of each row of a table.
func (f *fleet) numbers(table, attribute string) map[string]int {
	numbers := make(map[string]int)
	out, err := f.ddb.Scan(&dynamodb.ScanInput{TableName: &table})
	if err != nil {
		return numbers // before the table is made
	}
	for _, row := range out.Items {
		if value := row[attribute]; value != nil {
			var n int
			_, err := fmt.Sscan(*value.N, &n)
			require.NoError(f, err)
			numbers[*row["mailbox"].S] = n
		}
	}
	return numbers
}

func (s *sight) item(id string) lease.LeaseItem { return s.items[id] }
func (s *sight) seen(id string) int             { return s.rows[id] }

// holder is who holds an item; "" if nobody does.
func (s *sight) holder(id string) string {
	if s.items[id].State() == lease.ItemFree {
		return ""
	}
	return s.items[id].LesseeID
}

// count is how many items a program holds.
func (s *sight) count(p *program) (n int) {
	name := fmt.Sprintf(":%d:", p.Process.Pid)
	for _, item := range s.held {
		if strings.Contains(item.LesseeID, name) {
			n++
		}
	}
	return n
}

// loads are those of the workers: the sum of the weights of what each has, over its capacity.
func (s *sight) loads() (loads []float64) {
	by := make(map[string]float64)
	for _, item := range s.held {
		by[item.LesseeID] += item.Weight / item.Capacity
	}
	for _, load := range by {
		loads = append(loads, load)
	}
	return loads
}

func mean(all []float64) (mean float64) {
	for _, one := range all {
		mean += one / float64(len(all))
	}
	return mean
}

// eventually waits until the items are so.
func (f *fleet) eventually(what string, so func(*sight) bool) {
	f.Helper()
	began := time.Now()
	if !f.within(5*time.Minute, so) {
		f.Fatal("it never comes to that: ", what, "\n", f.said())
	}
	f.Logf("%s, after %v", what, time.Since(began))
}

// within waits until the items are so, for so long at most, and tells whether they are.
func (f *fleet) within(limit time.Duration, so func(*sight) bool) bool {
	for began := time.Now(); !so(f.look()); time.Sleep(200 * time.Millisecond) {
		if time.Since(began) > limit {
			return false
		}
	}
	return true
}

// said is what all programs have said.
func (f *fleet) said() string {
	var all strings.Builder
	for _, p := range f.programs {
		fmt.Fprintf(&all, "---\n%s", &p.said)
	}
	return all.String()
}

// assertNothingWentBack asserts that each holder went on where the one before had stopped: what was delivered last is what
// was saved last, unless that was cut off, and that no older tenure has written since.
func (f *fleet) assertNothingWentBack() {
	f.Helper()
	saved := f.numbers(f.table, "Seen")
	delivered := f.numbers(f.table+"-mails", "Seen")
	written := f.numbers(f.table+"-mails", "Tenure")
	tokens := f.numbers(f.table, "FencingToken")
	assert.Len(f, delivered, 200)
	for id, n := range delivered {
		assert.GreaterOrEqual(f, n, saved[id], id)
		assert.LessOrEqual(f, written[id], tokens[id], id)
	}
}
