package lease_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
)

// saverEnv makes a run of this test binary a worker that counts in an item's row: its value is the endpoint and the table.
const saverEnv = "LEASE_TEST_SAVER"

// saverChild obtains the item, saves one number after the other, in three ways, and says what became of each.
func saverChild() bool {
	endpoint, table, ok := strings.Cut(os.Getenv(saverEnv), " ")
	if !ok {
		return false
	}
	ctx := context.Background()
	store := lease.NewLockStore(ddblocal.NewClient(endpoint), table, "id")
	locker := lease.NewLocker(store)
	l, err := locker.ObtainLease(worker{"stopped", 1500 * time.Millisecond})
	if err != nil {
		fmt.Println(err)
		return true
	}
	go locker.Heartbeat(l, 300*time.Millisecond)
	bare := &lease.Lease{LeaseID: l.LeaseID, AttributeValues: l.AttributeValues, Request: l.Request} // which knows of no end
	for n := int64(1); err == nil; n++ {
		err = locker.SaveAttributes(ctx, l, row{"Counter": num(n)})
		fmt.Println("saved", n, err)
		time.Sleep(20 * time.Millisecond)
	}
	late := row{"Counter": num(-1)}
	fmt.Println("late", err == lease.LeaseLostError, store.SaveAttributes(ctx, l, late) == lease.LeaseLostError,
		store.SaveAttributes(ctx, bare, late) == lease.LeaseLostError)
	return true
}

// A process that is stopped loses its item to another; what it saves when it goes on is refused.
func TestALateSaveOfAStoppedProcessIsRefused(t *testing.T) {
	f := newFixture(t, "a")
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), saverEnv+"="+ddblocal.ForTest(t).Endpoint+" "+f.table)
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	t.Cleanup(func() { child.Process.Kill() })
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "saved 5 <nil>") {
		require.Contains(t, lines.Text(), "<nil>")
	}
	require.NoError(t, child.Process.Signal(syscall.SIGSTOP))

	locker := lease.NewLocker(f.LockStore)
	l := locker.WaitUntilLeaseObtained(for30s("next"), 50*time.Millisecond)
	found := mustInt(t, l.AttributeValues["Counter"])
	assert.GreaterOrEqual(t, found, int64(5), "the next holder goes on from there")
	require.NoError(t, locker.SaveAttributes(t.Context(), l, row{"Counter": num(found + 1)}))
	require.NoError(t, child.Process.Signal(syscall.SIGCONT))
	last := ""
	for lines.Scan() {
		last = lines.Text()
	}
	assert.Equal(t, "late true true true", last)
	assert.NoError(t, child.Wait())
	assert.Equal(t, num(found+1), f.get("a")["Counter"])
	assert.False(t, errors.Is(context.Cause(l.Context()), lease.LeaseLostError))
}
