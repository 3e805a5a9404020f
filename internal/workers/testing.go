package workers

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

// TestMain is the whole of a TestMain of a program whose tests run it.
func TestMain(m *testing.M, main func()) {
	if os.Getenv(programEnv) != "" {
		main()
		os.Exit(0)
	}
	ddblocal.Main(m)
}

// Program is a run of the program on the tests' server, killed after two minutes.
func Program(t *testing.T, args ...string) *exec.Cmd {
	server := ddblocal.ForTest(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), programEnv+"=1", ddblocal.EndpointEnv+"="+server.Endpoint)
	return cmd
}

// TableOf returns the table that the run with that output made.
func TableOf(t *testing.T, out string) string {
	t.Helper()
	match := regexp.MustCompile(`made the table (\S+)`).FindStringSubmatch(out)
	require.NotNil(t, match, out)
	return match[1]
}

// AssertNothingLeft looks for what the run with that output may have left: processes, its table, and the other that belongs
// to that.
func AssertNothingLeft(t *testing.T, out string, other func(table string) string) {
	t.Helper()
	table := TableOf(t, out)
	AssertProcessesGone(t, table)
	for _, table := range []string{table, other(table)} {
		_, err := ddblocal.ForTest(t).Client().DescribeTable(&dynamodb.DescribeTableInput{TableName: &table})
		assert.IsType(t, (*dynamodb.ResourceNotFoundException)(nil), err)
	}
}

// AssertProcessesGone waits until no process has the table's name among its arguments.
func AssertProcessesGone(t *testing.T, table string) {
	t.Helper()
	assert.Eventually(t, func() bool {
		return exec.Command("pgrep", "-f", table).Run() != nil
	}, 10*time.Second, 50*time.Millisecond, "a worker is left")
}
