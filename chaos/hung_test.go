package chaos_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
)

// hangAsTold shares the items of the table at the endpoint until SIGTERM comes. Its work asks
// the URL, and waits for an answer. Then it says what it was, and is.
func hangAsTold(endpointTableURL string) error {
	needs := strings.Fields(endpointTableURL)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	store := lease.NewLockStore(ddblocal.NewClient(needs[0]), needs[1], "id")
	locker := lease.NewLocker(store)
	options := lease.ShareOptions{Patience: time.Second}
	me := worker{Lessee: "hangs", Duration: time.Minute}
	err := locker.HoldShareWith(ctx, me, options, func(_ context.Context, l *lease.Lease) error {
		fmt.Println("works", l.LeaseID, l.FencingToken())
		l.Progress(2 * time.Second)
		go func() {
			<-l.Context().Done()
			late := locker.SaveAttributes(context.Background(), l, row{counter: num(-1)})
			fmt.Println("over", l.LeaseID, context.Cause(l.Context()) == lease.LeaseStuckError,
				late == lease.LeaseLostError)
		}()
		_, err := http.Get(needs[2])
		return err
	})
	stats := locker.Stats()
	fmt.Println("stopped", errors.Is(err, lease.LeaseStuckError), stats.Working, stats.Stuck)
	return nil
}

// silent is a server that accepts connections, and says nothing.
func silent(t *testing.T) (url string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var mu sync.Mutex
	var accepted []net.Conn
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			accepted = append(accepted, conn)
			mu.Unlock()
		}
	})
	t.Cleanup(func() {
		listener.Close()
		accepting.Wait()
		for _, conn := range accepted {
			conn.Close()
		}
	})
	return "http://" + listener.Addr().String()
}

// said is what a process says, line by line.
type said struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

// starts starts a process of this test binary in a role, which ends with the test at the latest.
func starts(t *testing.T, role, needs string) *said {
	cmd := as(t.Context(), role, needs)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	watchdog := time.AfterFunc(hangs, func() { cmd.Process.Kill() })
	t.Cleanup(func() { watchdog.Stop() })
	return &said{t: t, cmd: cmd, lines: bufio.NewScanner(out)}
}

// next returns the next line.
func (s *said) next() string {
	require.True(s.t, s.lines.Scan(), "the process has ended: %v", s.lines.Err())
	return s.lines.Text()
}

// A process whose works wait for what is never answered loses its items to another, writes nothing
// more, takes none back, and ends when it is told to.
func TestProcessWhoseWorksHangGivesTheirItemsUp(t *testing.T) {
	t.Parallel()
	endpoint := ddblocal.ForTest(t).Endpoint
	table := newTable(t, endpoint)
	items := []string{"a", "b", "c"}
	for _, item := range items {
		require.NoError(t, table.AddLeaseID(item, nil))
	}
	child := starts(t, "hanger", endpoint+" "+table.name+" "+silent(t))
	tokens := make(map[string]int64)
	over := 0
	for over < len(items) {
		var item string
		var token int64
		line := child.next()
		if n, _ := fmt.Sscanf(line, "works %s %d", &item, &token); n == 2 {
			require.NotContains(t, tokens, item, "it works on it twice")
			tokens[item] = token
			continue
		}
		fields := strings.Fields(line)
		require.Equal(t, []string{"over", fields[1], "true", "true"}, fields)
		over++
	}

	// Others work on all of them, with later tokens.
	ctx, stop := context.WithCancel(t.Context())
	began := make(chan *lease.Lease, len(items))
	stopped := make(chan error)
	go func() {
		next := worker{Lessee: "next", Duration: 2 * hangs}
		stopped <- lease.NewLocker(table.LockStore).HoldShare(ctx, next, 0,
			func(ctx context.Context, l *lease.Lease) error {
				began <- l
				<-ctx.Done()
				return ctx.Err()
			})
	}()
	for range items {
		l := <-began
		assert.Greater(t, l.FencingToken(), tokens[l.LeaseID])
		assert.NotContains(t, l.AttributeValues, counter, "nothing was written late")
	}
	assert.NoError(t, child.cmd.Process.Signal(syscall.SIGTERM))
	assert.Equal(t, "stopped true 3 3", child.next())
	assert.NoError(t, child.cmd.Wait())
	stop()
	assert.ErrorIs(t, <-stopped, context.Canceled)
}

// promiseAsTold holds an item of the table at the endpoint, and says so each time that its work
// promises progress; until SIGTERM comes. Then it says how many works were stuck.
func promiseAsTold(endpointAndTable string) error {
	endpoint, table, _ := strings.Cut(endpointAndTable, " ")
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	locker := lease.NewLocker(lease.NewLockStore(ddblocal.NewClient(endpoint), table, "id"))
	me := worker{Lessee: "promises", Duration: 2 * hangs}
	err := locker.Hold(ctx, me, func(ctx context.Context, l *lease.Lease) error {
		for ctx.Err() == nil {
			l.Progress(5 * time.Second)
			fmt.Println("goes on")
			sleep(ctx, 20*time.Millisecond)
		}
		return nil
	})
	fmt.Println("stopped", err, locker.Stats().Stucks)
	return nil
}

// A process that is stopped for longer than its work has promised goes on.
func TestPauseOfAProcessBreaksNoPromise(t *testing.T) {
	t.Parallel()
	endpoint := ddblocal.ForTest(t).Endpoint
	table := newTable(t, endpoint)
	require.NoError(t, table.AddLeaseID("a", nil))
	child := starts(t, "promiser", endpoint+" "+table.name)
	for range 10 {
		require.Equal(t, "goes on", child.next())
	}
	require.NoError(t, child.cmd.Process.Signal(syscall.SIGSTOP))
	time.Sleep(7 * time.Second)
	require.NoError(t, child.cmd.Process.Signal(syscall.SIGCONT))
	for range 50 {
		require.Equal(t, "goes on", child.next())
	}
	require.NoError(t, child.cmd.Process.Signal(syscall.SIGTERM))
	last := ""
	for child.lines.Scan() {
		last = child.lines.Text()
	}
	assert.Equal(t, "stopped <nil> 0", last)
	assert.NoError(t, child.cmd.Wait())
}
