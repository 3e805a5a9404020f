package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
)

func TestMain(m *testing.M) {
	lease.SetLogger(nil)
	ddblocal.SideBySide(8)
	code := m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code) // DynamoDB Local ends with this process.
}

// worker is a lessee.
type worker struct {
	name     string
	duration time.Duration
}

func (w worker) LesseeID() string             { return w.name }
func (w worker) LeaseDuration() time.Duration { return w.duration }

var (
	me    = worker{"me", 30 * time.Second}
	other = worker{"other", 30 * time.Second}
	next  = worker{"next", 30 * time.Second}
)

// in is a time from now.
func in(d time.Duration) time.Time { return time.Now().Add(d) }

const key = "mailbox" // the hash key's name

// fixture is a table on DynamoDB Local, with a guard before it.
type fixture struct {
	tb     testing.TB
	ctx    context.Context // done when the test has ended, or an action was denied twice
	guard  *guard
	table  string
	store  *lease.LockStore // through the guard
	direct *lease.LockStore // around it
	held   *lease.Lease     // of item "a", if a test prepares one
	seen   lease.LeaseItem  // item "a", likewise
}

var tables atomic.Int64

// newFixture makes a table, and registers items.
func newFixture(tb testing.TB, ids ...string) *fixture {
	tb.Helper()
	f := newFixtureWithoutTable(tb)
	require.NoError(tb, f.direct.EnsureTable())
	for _, id := range ids {
		require.NoError(tb, f.direct.AddLeaseID(id, nil))
	}
	return f
}

func newFixtureWithoutTable(tb testing.TB) *fixture {
	tb.Helper()
	server := ddblocal.ForTest(tb)
	ctx, cancel := context.WithCancel(context.Background())
	tb.Cleanup(cancel)
	f := &fixture{
		tb:    tb,
		ctx:   ctx,
		guard: newGuard(tb, server.Endpoint, cancel),
		table: fmt.Sprintf("deploy-%d-%d", os.Getpid(), tables.Add(1)),
	}
	f.store = lease.NewLockStore(ddblocal.NewClient(f.guard.endpoint), f.table, key)
	f.direct = lease.NewLockStore(server.Client(), f.table, key)
	return f
}

// hold has a lessee lease an item, around the guard.
func (f *fixture) hold(id string, by worker) *lease.Lease {
	f.tb.Helper()
	l, err := f.direct.Lease(id, by, in(time.Minute))
	require.NoError(f.tb, err)
	return l
}

// look returns what the row of an item shows, around the guard.
func (f *fixture) look(id string) lease.LeaseItem {
	f.tb.Helper()
	item, err := f.direct.GetLeaseItem(context.Background(), id)
	require.NoError(f.tb, err)
	return item
}

// heed has the holder of an item hand it over when somebody wants it, and then next have it.
func (f *fixture) heed(l *lease.Lease) {
	go func() {
		for f.ctx.Err() == nil {
			item, err := f.direct.GetLeaseItem(f.ctx, l.LeaseID)
			isWanted := err == nil && item.WantedUntil > 0
			if !isWanted {
				aws.SleepWithContext(f.ctx, 20*time.Millisecond)
				continue
			}
			if f.direct.HandOverLease(f.ctx, l, in(time.Minute)) == nil {
				f.direct.LeaseWithContext(f.ctx, l.LeaseID, next, in(time.Minute))
			}
			return
		}
	}()
}

// built is the command.
var built struct {
	sync.Once
	dir, path string
	err       error
}

// command returns the path of the command, which the first call builds.
func command(tb testing.TB) string {
	tb.Helper()
	built.Do(func() {
		built.dir, built.err = os.MkdirTemp("", "lease-deploy-")
		if built.err != nil {
			return
		}
		built.path = filepath.Join(built.dir, "lease")
		build := exec.Command("go", "build", "-o", built.path, ".")
		build.Dir = "../cmd/lease"
		if out, err := build.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	require.NoError(tb, built.err)
	return built.path
}

// output is what a process has written so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	seen func(text string)
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.text.Write(p)
	if o.seen != nil {
		o.seen(o.text.String())
	}
	return n, err
}

// run runs the command through the guard, until it ends; it is told to when it has written a
// text, unless that is "". Where the key isn't given, the command asks the table.
func (f *fixture) run(key, until string, args ...string) (stdout string, err error) {
	cmd := exec.CommandContext(f.ctx, command(f.tb), args...)
	cmd.WaitDelay = 10 * time.Second
	cmd.Env = append(ddblocal.Environ(f.guard.endpoint),
		"AWS_EC2_METADATA_DISABLED=true", "LEASE_TABLE="+f.table, "LEASE_KEY="+key)
	var out, errs output
	cmd.Stdout, cmd.Stderr = &out, &errs
	if until != "" {
		out.seen = func(text string) {
			if strings.Contains(text, until) {
				cmd.Process.Signal(syscall.SIGTERM)
			}
		}
		errs.seen = out.seen
	}
	if err := cmd.Run(); err != nil {
		return out.text.String(), fmt.Errorf("lease %q: %w: %s", args, err, errs.text.String())
	}
	return out.text.String(), nil
}
