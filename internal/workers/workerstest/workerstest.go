// Package workerstest runs the examples that start workers, for their tests, and looks for what such
// a run may have left behind.
package workerstest

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease/internal/ddblocal"
)

// programEnv makes a run of a test binary one of the program.
const programEnv = "WORKERS_TEST_PROGRAM"

// Both are long, as the machine may be busy.
const (
	running = 8 * time.Minute // how long a program may run
	ending  = 2 * time.Minute // how long its workers may still be there after its end
)

// TestMain is the whole of a TestMain of a program whose tests run it.
func TestMain(m *testing.M, main func()) {
	if os.Getenv(programEnv) != "" {
		main()
		os.Exit(0)
	}
	ddblocal.SideBySide(8)
	ddblocal.Main(m)
}

// Program is a run of the program on the tests' server. After minutes it is killed.
func Program(t *testing.T, args ...string) *exec.Cmd {
	return program(t, ddblocal.ForTest(t).Endpoint, args)
}

// Bare is a run of the program where nothing is installed, so that it can't start a server either.
func Bare(t *testing.T, args ...string) *exec.Cmd {
	cmd := program(t, "", args)
	cmd.Env = append(cmd.Env, "PATH=")
	return cmd
}

func program(t *testing.T, endpoint string, args []string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), running)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), programEnv+"=1", ddblocal.EndpointEnv+"="+endpoint)
	return cmd
}

// TableOf returns the table that the run with that output made.
func TableOf(t *testing.T, out string) string {
	t.Helper()
	match := regexp.MustCompile(`made the table (\S+)`).FindStringSubmatch(out)
	require.NotNil(t, match, out)
	return match[1]
}

// AssertNothingLeft looks for what the run with that output may have left: processes, its table, and
// the other that belongs to that.
func AssertNothingLeft(t *testing.T, out string, other func(table string) string) {
	t.Helper()
	table := TableOf(t, out)
	AssertProcessesGone(t, table)
	ddb := ddblocal.ForTest(t).Client()
	for _, name := range []string{table, other(table)} {
		_, err := ddb.DescribeTable(&dynamodb.DescribeTableInput{TableName: &name})
		assert.IsType(t, (*dynamodb.ResourceNotFoundException)(nil), err)
	}
}

// AssertProcessesGone waits until no process has the table's name among its arguments.
func AssertProcessesGone(t *testing.T, table string) {
	t.Helper()
	pgrep, err := exec.LookPath("pgrep")
	require.NoError(t, err, "this test needs pgrep: apt-get install procps")
	gone := func() bool { return exec.Command(pgrep, "-f", table).Run() != nil }
	assert.Eventually(t, gone, ending, 50*time.Millisecond, "a worker is left")
}
