package chaos_test

import (
	"bufio"
	"context"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
)

// saveAsTold obtains an item of the table at the endpoint, saves one number after the other,
// and when that fails says which of three ways to save are refused as late.
func saveAsTold(endpointAndTable string) error {
	endpoint, table, _ := strings.Cut(endpointAndTable, " ")
	ctx := context.Background()
	store := lease.NewLockStore(ddblocal.NewClient(endpoint), table, "id")
	locker := lease.NewLocker(store)
	l, err := locker.WaitUntilLeaseObtainedWithContext(ctx,
		worker{Lessee: "stopped", Duration: 3 * time.Second}, 50*time.Millisecond)
	if err != nil {
		return err
	}
	go locker.Heartbeat(l, 300*time.Millisecond)

	for n := int64(1); err == nil; n++ {
		err = locker.SaveAttributes(ctx, l, row{counter: num(n)})
		fmt.Println("saved", n, err)
		time.Sleep(20 * time.Millisecond)
	}
	// A lease that knows of no end.
	bare := &lease.Lease{LeaseID: l.LeaseID, AttributeValues: l.AttributeValues, Request: l.Request}
	late := row{counter: num(-1)}
	fmt.Println("late",
		err == lease.LeaseLostError,
		store.SaveAttributes(ctx, l, late) == lease.LeaseLostError,
		store.SaveAttributes(ctx, bare, late) == lease.LeaseLostError)
	return nil
}

// A process that is stopped loses its item to another; what it saves when it goes on is refused.
func TestSaveOfAStoppedProcessIsRefused(t *testing.T) {
	t.Parallel()
	endpoint := ddblocal.ForTest(t).Endpoint
	table := newTable(t, endpoint)
	require.NoError(t, table.AddLeaseID("a", nil))
	child := as(t.Context(), "saver", endpoint+" "+table.name)
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "saved 5 <nil>") {
		require.Contains(t, lines.Text(), "<nil>")
	}
	require.NoError(t, child.Process.Signal(syscall.SIGSTOP))

	locker := lease.NewLocker(table.LockStore)
	l := locker.WaitUntilLeaseObtained(
		worker{Lessee: "next", Duration: 2 * hangs}, 50*time.Millisecond)
	found, err := strconv.ParseInt(*l.AttributeValues[counter].N, 10, 64)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, found, int64(5), "the next holder goes on from there")
	require.NoError(t, locker.SaveAttributes(t.Context(), l, row{counter: num(found + 1)}))

	require.NoError(t, child.Process.Signal(syscall.SIGCONT))
	last := ""
	for lines.Scan() {
		last = lines.Text()
	}
	assert.Equal(t, "late true true true", last)
	assert.NoError(t, child.Wait())
	assert.Equal(t, num(found+1), table.get("a")[counter])
	assert.NotErrorIs(t, context.Cause(l.Context()), lease.LeaseLostError)
}
