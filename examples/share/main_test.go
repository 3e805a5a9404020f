package main

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
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

// TestShareIsKeptByWorkersThatComeAndGo runs the program, whose source is in the README.
func TestShareIsKeptByWorkersThatComeAndGo(t *testing.T) {
	server := ddblocal.ForTest(t)
	ddb := server.Client()
	table := fmt.Sprintf("share-%d", time.Now().UnixNano())
	t.Cleanup(func() { ddb.DeleteTable(&dynamodb.DeleteTableInput{TableName: &table}) })
	path := filepath.Join(t.TempDir(), "share")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	store := lease.NewLockStore(ddb, table, "mailbox")

	first := start(t, server.Endpoint, path, "-table", table, "-lease", "9s")
	eventually(t, store, 20)
	second := start(t, server.Endpoint, path, "-table", table, "-lease", "9s", "-most", "8")
	eventually(t, store, 8, 12)
	first.stop(t)
	eventually(t, store, 8)
	second.stop(t)
	eventually(t, store)
	assert.Contains(t, first.said.String(), "Lease Wanted")
}

// eventually waits until the workers hold so many mailboxes.
func eventually(t *testing.T, store *lease.LockStore, want ...int) {
	t.Helper()
	var got []int
	require.Eventually(t, func() bool {
		items, _, err := store.ScanLeaseItems("", 0)
		if err != nil {
			return false // before the table is made
		}
		by := make(map[string]int)
		for _, item := range items {
			if item.Until.After(time.Now()) {
				by[item.LesseeID]++
			}
		}
		got = slices.Sorted(maps.Values(by))
		return slices.Equal(got, want)
	}, 5*time.Minute, 50*time.Millisecond, "want %v", want)
}

// program is a run of the program. It is killed when the test is over.
type program struct {
	*exec.Cmd
	said bytes.Buffer
}

func start(t *testing.T, endpoint, path string, args ...string) *program {
	t.Helper()
	p := &program{Cmd: exec.CommandContext(t.Context(), path, args...)}
	p.Env = ddblocal.Environ(endpoint)
	p.Stderr = &p.said
	require.NoError(t, p.Start())
	return p
}

// stop tells the program to stop, and checks that it does.
func (p *program) stop(t *testing.T) {
	t.Helper()
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	require.NoError(t, p.Wait(), "%s", &p.said)
	assert.Contains(t, p.said.String(), "stopped: ")
	assert.NotContains(t, p.said.String(), "stay leased")
}

// A worker of 80 items sends their renewals side by side, each period anew.
func TestShareKeepsItsConnections(t *testing.T) {
	const atOnce = 80
	var opened atomic.Int32
	all := &sync.WaitGroup{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		all.Done()
		all.Wait() // Each has a connection.
		fmt.Fprint(w, `{}`)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	for name, value := range map[string]string{
		ddblocal.EndpointEnv: server.URL, "AWS_REGION": "x", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
	} {
		t.Setenv(name, value)
	}

	ddb := newClient()
	for range 3 {
		all.Add(atOnce)
		var sent sync.WaitGroup
		for range atOnce {
			sent.Go(func() {
				_, err := ddb.ListTables(&dynamodb.ListTablesInput{})
				assert.NoError(t, err)
			})
		}
		sent.Wait()
	}
	assert.Equal(t, int32(atOnce), opened.Load())
}
