package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"io"
	"os"
	"os/exec"
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
)

// programEnv makes a run of this test binary one of the program.
const programEnv = "FLEET_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(programEnv) != "" {
		main()
		os.Exit(0)
	}
	ddblocal.Main(m)
}

// program is a run of the program on the tests' server, killed after two minutes.
func program(t *testing.T, args ...string) *exec.Cmd {
	server := ddblocal.ForTest(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), programEnv+"=1", ddblocal.EndpointEnv+"="+server.Endpoint)
	return cmd
}

func TestTheSharesMoveAndNobodyHoldsTwice(t *testing.T) {
	file := filepath.Join(t.TempDir(), "fleet.csv")
	cmd := program(t, "-data", file)
	began := time.Now()
	bytes, err := cmd.CombinedOutput()
	took, out := time.Since(began), string(bytes)
	t.Log(out)
	require.NoError(t, err)
	assert.Less(t, took, time.Minute)
	assertNothingLeft(t, out)

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
			cmd := program(t)
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
			assertProcessesGone(t, tableOf(t, out.String()))
			if signal != syscall.SIGKILL {
				assertNothingLeft(t, out.String())
			}
		})
	}
}

func TestDoubleHoldersAreFound(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	a, b := &process{name: "a"}, &process{name: "b"}
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

func tableOf(t *testing.T, out string) string {
	t.Helper()
	match := regexp.MustCompile(`made the table (\S+)`).FindStringSubmatch(out)
	require.NotNil(t, match, out)
	return match[1]
}

// assertNothingLeft looks for what the run with that output may have left.
func assertNothingLeft(t *testing.T, out string) {
	t.Helper()
	table := tableOf(t, out)
	assertProcessesGone(t, table)
	for _, table := range []string{table, guardTable(table)} {
		_, err := ddblocal.ForTest(t).Client().DescribeTable(&dynamodb.DescribeTableInput{TableName: &table})
		assert.IsType(t, (*dynamodb.ResourceNotFoundException)(nil), err)
	}
}

// assertProcessesGone waits until no process has the table's name among its arguments.
func assertProcessesGone(t *testing.T, table string) {
	t.Helper()
	assert.Eventually(t, func() bool {
		return exec.Command("pgrep", "-f", table).Run() != nil
	}, 10*time.Second, 50*time.Millisecond, "a worker is left")
}

// TestTheGuardRefuses what an older tenure, or another process with the same token, writes.
func TestTheGuardRefuses(t *testing.T) {
	ddb, table := ddblocal.ForTest(t).Client(), "TestTheGuardRefuses"
	require.NoError(t, lease.NewLockStore(ddb, table, hashKey).EnsureTable())
	t.Cleanup(func() { dropTables(ddb, table) })
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
