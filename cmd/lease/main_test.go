package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
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
	"github.com/intercom/lease/internal/ddblocal"
	"github.com/intercom/lease/internal/race"
)

func TestMain(m *testing.M) {
	lease.SetLogger(nil)
	for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGINT} {
		if signal.Ignored(sig) { // as under nohup: the commands are not to inherit that
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == parallel.DefValue {
		flag.Set("test.parallel", "4") // They mostly wait.
	}
	code := m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code) // DynamoDB Local ends with this process.
}

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
		if race.Enabled() {
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

func (f *fixture) put(r row) {
	f.tb.Helper()
	_, err := f.ddb.PutItem(&dynamodb.PutItemInput{TableName: &f.table, Item: r})
	require.NoError(f.tb, err)
}

func (f *fixture) row(id string) row {
	f.tb.Helper()
	out, err := f.ddb.GetItem(&dynamodb.GetItemInput{TableName: &f.table, Key: row{"id": str(id)}, ConsistentRead: aws.Bool(true)})
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
	l, err := f.Lease(id, lessee{by, d}, time.Now().Add(d))
	require.NoError(f.tb, err)
	return l
}

func str(s string) *dynamodb.AttributeValue { return &dynamodb.AttributeValue{S: &s} }

// result is how a run of the command ended.
type result struct {
	stdout, stderr string
	status         int
}

// run runs the command to its end.
func (f *fixture) run(args ...string) result {
	f.tb.Helper()
	return runWith(f.tb, f.env, args...)
}

func runWith(tb testing.TB, env []string, args ...string) result {
	tb.Helper()
	p := startWith(tb, env, args...)
	return p.wait()
}

// process is a run of the command that goes on. It is killed at the end of the test, and with it what it left.
type process struct {
	*exec.Cmd
	tb             testing.TB
	stdout, stderr output
	ended          chan struct{}
}

func (f *fixture) start(args ...string) *process {
	f.tb.Helper()
	return startWith(f.tb, f.env, args...)
}

func startWith(tb testing.TB, env []string, args ...string) *process {
	tb.Helper()
	p := prepareWith(tb, env, args...)
	p.begin()
	return p
}

func (f *fixture) prepare(args ...string) *process { return prepareWith(f.tb, f.env, args...) }

func prepareWith(tb testing.TB, env []string, args ...string) *process {
	p := &process{Cmd: exec.Command(binary(tb), args...), tb: tb, ended: make(chan struct{})}
	p.Env, p.Cmd.Stdout, p.Cmd.Stderr = env, &p.stdout, &p.stderr
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.WaitDelay = 5 * time.Second
	return p
}

func (p *process) begin() {
	tb := p.tb
	tb.Helper()
	require.NoError(tb, p.Start())
	go func() {
		p.Cmd.Wait()
		close(p.ended)
	}()
	tb.Cleanup(func() {
		p.Process.Signal(syscall.SIGCONT)
		p.Process.Kill()
		<-p.ended
		if tb.Failed() {
			tb.Logf("lease %.200q: %v\n%.2000s%.2000s", p.Args[1:], p.ProcessState, p.stdout.String(), p.stderr.String())
		}
	})
}

// wait waits until the process has ended.
func (p *process) wait() result {
	p.tb.Helper()
	select {
	case <-p.ended:
	case <-time.After(30 * time.Second):
		require.Fail(p.tb, "it doesn't end", "lease %q\n%s%s", p.Args[1:], &p.stdout, &p.stderr)
	}
	return result{p.stdout.String(), p.stderr.String(), exitCode(p.Cmd)}
}

func exitCode(cmd *exec.Cmd) int {
	if s := cmd.ProcessState.Sys().(syscall.WaitStatus); s.Signaled() {
		return -int(s.Signal())
	}
	return cmd.ProcessState.ExitCode()
}

// output is what a process has written so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await waits until a condition holds.
func await(tb testing.TB, what string, condition func() bool) {
	tb.Helper()
	for end := time.Now().Add(20 * time.Second); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			require.Fail(tb, "timed out", "waiting until %s", what)
		}
	}
}

func (o *output) await(tb testing.TB, text string) {
	tb.Helper()
	await(tb, fmt.Sprintf("it says %q", text), func() bool { return strings.Contains(o.String(), text) })
}

// assertOneLine checks that a run failed as it should: with one line on stderr that has these words.
func assertOneLine(t *testing.T, r result, status int, words ...string) {
	t.Helper()
	assert.Equal(t, status, r.status)
	assert.Regexp(t, `\Alease: [^\n]+\n\z`, r.stderr)
	for _, word := range words {
		assert.Contains(t, r.stderr, word)
	}
}

func TestEachHelpFitsAScreenHasAnExampleAndNamesTheFlags(t *testing.T) {
	t.Parallel()
	for _, c := range append([]command{{help: help, setup: noSetup}}, commands...) {
		ways := [][]string{{c.name, "-h"}, {"help", c.name}}
		if c.name == "" {
			ways = [][]string{{"-h"}, {"help"}}
		}
		for _, way := range ways {
			r := runWith(t, environment(), way...)
			assert.Equal(t, result{stdout: c.help}, r, way)
		}
		lines := strings.Split(strings.TrimSuffix(c.help, "\n"), "\n")
		assert.LessOrEqual(t, len(lines), 23, "%s: and a line for the prompt", c.name)
		for _, line := range lines {
			assert.LessOrEqual(t, len(line), 79, line)
		}
		assert.Regexp(t, `(?m)^Examples?: .*lease `, c.help)
		flags := (&app{}).newFlags(c.name)
		c.setup(&app{}, flags)
		flags.VisitAll(func(f *flag.Flag) {
			assert.Regexp(t, `[\s[]-`+f.Name+`\b`, c.help, "%s -%s", c.name, f.Name)
		})
		for _, named := range regexp.MustCompile(`(?m)^  -([a-z]+)`).FindAllStringSubmatch(c.help, -1) {
			assert.NotNil(t, flags.Lookup(named[1]), "%s -%s", c.name, named[1])
		}
	}
}

func TestFlagsMayComeBetweenTheArguments(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args     string
		verbatim bool
		rest     string
	}{
		{"-x 1 a b", false, "a b"}, {"a -x 1 b", false, "a b"}, {"a b -x 1", false, "a b"}, {"a -x=1 -- -y b", false, "a -y b"},
		{"-x 1 -- a -y", true, "a -y"}, {"-x 1 a -x 2 -y", true, "a -x 2 -y"}, {"a -- -y -x 1", true, "a -- -y -x 1"},
	} {
		flags := flag.NewFlagSet("", flag.ContinueOnError)
		x := flags.Int("x", 0, "")
		rest, err := parse(flags, strings.Fields(test.args), test.verbatim)
		require.NoError(t, err, test.args)
		assert.Equal(t, test.rest, strings.Join(rest, " "), test.args)
		if !strings.HasPrefix(test.args, "a -- ") {
			assert.Equal(t, 1, *x, test.args)
		}
	}
}

func TestWrongUsageIsOneLineAndStatus2(t *testing.T) {
	t.Parallel()
	env := environment("LEASE_TABLE=unused")
	for _, test := range []struct{ args, words string }{
		{"", "no command"}, {"show", `"show"`}, {"list -color", "-color"}, {"list alice", "no arguments"}, {"list -held -free", "one of"},
		{"watch -every 0s", "-every"}, {"add", "add -h"}, {"add a -set b", "NAME=VALUE"}, {"retire", "retire -h"}, {"init x", "-table"},
		{"yield", "yield -h"}, {"yield a -wait -1s", "-wait"}, {"release a", "-token"}, {"release a b -token 1", "one item"},
		{"release a -token 1", "-yes"}, {"hold -- true", "-as"}, {"hold -as w", "no command"}, {"hold -as w -most -1 true", "-most"},
		{"hold -as w -duration 1ms true", "-duration"}, {"list -endpoint localhost:8000", "http://"},
	} {
		r := runWith(t, env, strings.Fields(test.args)...)
		assertOneLine(t, r, 2, test.words)
		assert.Empty(t, r.stdout, test.args)
	}
	assertOneLine(t, runWith(t, environment(), "list"), 2, "-table", "LEASE_TABLE")
}

func noSetup(*app, *flag.FlagSet) action { return nil }
