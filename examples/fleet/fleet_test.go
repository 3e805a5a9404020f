package main

import (
	"bufio"
	"encoding/csv"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
	"github.com/intercom/lease/internal/workers"
)

func TestMain(m *testing.M) { workers.TestMain(m, main) }

func TestTheSharesMoveAndNobodyHoldsTwice(t *testing.T) {
	file := filepath.Join(t.TempDir(), "fleet.csv")
	cmd := workers.Program(t, "-data", file)
	began := time.Now()
	bytes, err := cmd.CombinedOutput()
	took, out := time.Since(began), string(bytes)
	t.Log(out)
	require.NoError(t, err)
	assert.Less(t, took, time.Minute)
	workers.AssertNothingLeft(t, out, guardTable)

	table, summary, _ := strings.Cut(out, "Summary")
	for _, line := range []string{"  0 double holders; ", "refused those of 0 tenures", "  30 of 30 mailboxes held at the end",
		"the start of the fleet        30 times"} {
		assert.Contains(t, summary, line)
	}
	assert.Regexp(t, `\n  [1-9]\d* moves; `, summary)
	for _, cause := range []string{"a handover", "SIGTERM", "SIGKILL"} {
		assert.Regexp(t, cause+`.* [1-9]\d* times, \d+\.\d\d s at most`, summary)
	}
	for _, note := range []string{"worker-4 joins", "SIGKILL for worker-2", "SIGTERM for worker-3"} {
		assert.Contains(t, table, note)
	}
	assert.Equal(t, 4, strings.Count(table, "level"))
	lines := regexp.MustCompile(`(?m)^ *\d+  [ \d-]{36}.*$`).FindAllString(table, -1)
	assert.Greater(t, len(lines), 16, "four quiet times of 4 s")
	assert.Regexp(t, `^ *\d+ +15 +- +- +15 +0 +0`, lines[len(lines)-1])

	data, err := os.Open(file)
	require.NoError(t, err)
	defer data.Close()
	rows, err := csv.NewReader(data).ReadAll()
	require.NoError(t, err)
	assert.Equal(t, []string{"seconds", "worker-1", "worker-2", "worker-3", "worker-4", "nobody", "scene"}, rows[0])
	assert.Equal(t, []string{"15", "0", "0", "15", "0", ""}, rows[len(rows)-1][1:])
}

func TestNothingIsLeftWhenItIsEndedEarly(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			cmd := workers.Program(t)
			stdout, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			var out strings.Builder
			for lines := bufio.NewScanner(io.TeeReader(stdout, &out)); lines.Scan(); {
				if strings.HasPrefix(lines.Text(), "  1 ") {
					cmd.Process.Signal(signal)
				}
			}
			assert.Error(t, cmd.Wait(), out.String())
			assert.NotContains(t, out.String(), "SIGTERM")
			workers.AssertProcessesGone(t, workers.TableOf(t, out.String()))
			if signal != syscall.SIGKILL {
				workers.AssertNothingLeft(t, out.String(), guardTable)
			}
		})
	}
}

func TestDoubleHoldersAreFound(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	a, b := &process{Process: &workers.Process{Name: "a"}}, &process{Process: &workers.Process{Name: "b"}}
	first := &tenure{item: "x", by: a, token: 1, from: at(0), relied: at(5)}
	assert.NoError(t, (&fleet{tenures: []*tenure{first,
		{item: "x", by: b, token: 2, from: at(6), relied: at(9)},
		{item: "y", by: b, token: 1, from: at(3), relied: at(9)}}}).checkTenures())
	assert.EqualError(t, (&fleet{tenures: []*tenure{first,
		{item: "x", by: b, token: 2, from: at(4), relied: at(9)}}}).checkTenures(), "a and b held x at once")
	assert.EqualError(t, (&fleet{tenures: []*tenure{first,
		{item: "x", by: b, token: 1, from: at(6), relied: at(9)}}}).checkTenures(), "x has the tokens 1 and 1 in the wrong order")
	assert.EqualError(t, (&fleet{tenures: []*tenure{
		{item: "x", by: b, token: 2, from: at(6), relied: at(9), refused: true}}}).checkTenures(),
		"the guard refused a write of b to x with the token 2")
}

// TestTheGuardRefuses what an older tenure, or another process with the same token, writes.
func TestTheGuardRefuses(t *testing.T) {
	ddb, table := ddblocal.ForTest(t).Client(), "TestTheGuardRefuses"
	require.NoError(t, lease.NewLockStore(ddb, table, hashKey).EnsureTable())
	t.Cleanup(func() { workers.DropTables("fleet", ddb, table) })
	as := func(by worker, token string) error {
		return write(t.Context(), ddb, table, &lease.Lease{LeaseID: "x", Request: by,
			AttributeValues: map[string]*dynamodb.AttributeValue{"FencingToken": {N: &token}}})
	}
	assert.NoError(t, as("a", "5"))
	assert.NoError(t, as("a", "5"))
	assert.Equal(t, errRefused, as("b", "5"))
	assert.NoError(t, as("b", "6"))
	assert.Equal(t, errRefused, as("a", "5"))
}
