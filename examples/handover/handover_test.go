package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease/internal/ddblocal"
)

// programEnv makes a run of this test binary one of the program.
const programEnv = "HANDOVER_TEST_PROGRAM"

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
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), programEnv+"=1", ddblocal.EndpointEnv+"="+server.Endpoint)
	return cmd
}

func TestEveryHandoverHappens(t *testing.T) {
	cmd := program(t)
	bytes, err := cmd.CombinedOutput()
	out := string(bytes)
	require.NoError(t, err, out)
	_, summary, _ := strings.Cut(out, "Summary")
	row := `mailbox-\d +worker-\d +-> worker-\d +token \d+ -> \d+ +\d+\.\d\d s after `
	assert.Len(t, regexp.MustCompile(row+"its lease's end").FindAllString(summary, -1), 2, out)
	assert.Len(t, regexp.MustCompile(row+"its release").FindAllString(summary, -1), 1, out)
	assert.Contains(t, summary, "no mailbox had two holders at once", out)
	for _, line := range []string{
		"stands by",
		"Valid() is false; its context is done: Lease Expired",
		"Heartbeat returned: Lease Lost",
		"a late write with token 1 returned: refused",
		"ReleaseLease returned: Lease Lost",
	} {
		assert.Contains(t, out, line)
	}
	assertNothingLeft(t, out)
}

func TestItFailsWhenNobodyCanTakeOver(t *testing.T) {
	cmd := program(t, "-workers", "3", "-items", "3")
	bytes, err := cmd.CombinedOutput()
	out := string(bytes)
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit, out)
	assert.Equal(t, 1, exit.ExitCode(), out)
	assert.Regexp(t, `FAILED: 2\. a holder is killed: nobody took over mailbox-\d from worker-\d`, out)
	assertNothingLeft(t, out)
}

func TestNothingIsLeftWhenItIsEndedEarly(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		signal syscall.Signal
		at     string
	}{
		{syscall.SIGINT, "stands by"},
		{syscall.SIGKILL, "SIGSTOP"},
	} {
		t.Run(test.signal.String(), func(t *testing.T) {
			cmd := program(t)
			stdout, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			var out strings.Builder
			for lines := bufio.NewScanner(io.TeeReader(stdout, &out)); lines.Scan(); {
				if strings.Contains(lines.Text(), test.at) {
					cmd.Process.Signal(test.signal)
				}
			}
			assert.Error(t, cmd.Wait(), out.String())
			assert.NotContains(t, out.String(), "SIGCONT")
			assertProcessesGone(t, tableOf(t, out.String()))
			if test.signal != syscall.SIGKILL {
				assertNothingLeft(t, out.String())
			}
		})
	}
}

func TestTwoHoldersAtOnceAndTokensOutOfOrderAreFound(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	a, b := &process{name: "a"}, &process{name: "b"}
	first := &tenure{item: "x", by: a, token: 1, from: at(0), until: at(5)}
	assert.NoError(t, (&fleet{tenures: []*tenure{first,
		{item: "x", by: b, token: 2, from: at(6), until: at(9)},
		{item: "y", by: b, token: 1, from: at(3), until: at(9)}}}).checkTenures())
	assert.EqualError(t, (&fleet{tenures: []*tenure{first,
		{item: "x", by: b, token: 2, from: at(4), until: at(9)}}}).checkTenures(), "a and b held x at once")
	assert.EqualError(t, (&fleet{tenures: []*tenure{first,
		{item: "x", by: b, token: 1, from: at(6), until: at(9)}}}).checkTenures(), "x has the tokens 1 and 1 in the wrong order")
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
	for _, table := range []string{table, cursorTable(table)} {
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
