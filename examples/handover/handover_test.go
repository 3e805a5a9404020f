package main

import (
	"bufio"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease/internal/ddblocal"
	"github.com/intercom/lease/internal/workers"
	"github.com/intercom/lease/internal/workers/workerstest"
)

func TestMain(m *testing.M) { workerstest.TestMain(m, main) }

func program(t *testing.T, args ...string) *exec.Cmd {
	ddblocal.ForTest(t)
	t.Parallel()
	return workerstest.Program(t, args...)
}

func TestEveryHandoverHappens(t *testing.T) {
	cmd := program(t, "-patience", "1m") // The machine may be busy.
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
		"ReleaseLease returned: Lease Lost",
	} {
		assert.Contains(t, out, line)
	}
	assert.Regexp(t, `a late write with token \d+ returned: refused`, out)
	workerstest.AssertNothingLeft(t, out, cursorTable)
}

func TestItFailsWhenNobodyCanTakeOver(t *testing.T) {
	cmd := program(t, "-workers", "3", "-items", "3")
	bytes, err := cmd.CombinedOutput()
	out := string(bytes)
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit, out)
	assert.Equal(t, 1, exit.ExitCode(), out)
	assert.Regexp(t, `FAILED: 2\. a holder is killed: nobody took over mailbox-\d from worker-\d`, out)
	workerstest.AssertNothingLeft(t, out, cursorTable)
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
			workerstest.AssertProcessesGone(t, workerstest.TableOf(t, out.String()))
			if test.signal != syscall.SIGKILL {
				workerstest.AssertNothingLeft(t, out.String(), cursorTable)
			}
		})
	}
}

func TestTwoHoldersAtOnceAndTokensOutOfOrderAreFound(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	a, b := &process{Process: &workers.Process{Name: "a"}}, &process{Process: &workers.Process{Name: "b"}}
	first := &tenure{item: "x", by: a, token: 1, from: at(0), until: at(5)}
	assert.NoError(t, (&fleet{tenures: []*tenure{first,
		{item: "x", by: b, token: 2, from: at(6), until: at(9)},
		{item: "y", by: b, token: 1, from: at(3), until: at(9)}}}).checkTenures())
	assert.EqualError(t, (&fleet{tenures: []*tenure{first,
		{item: "x", by: b, token: 2, from: at(4), until: at(9)}}}).checkTenures(), "a and b held x at once")
	assert.EqualError(t, (&fleet{tenures: []*tenure{first,
		{item: "x", by: b, token: 1, from: at(6), until: at(9)}}}).checkTenures(), "x has the tokens 1 and 1 in the wrong order")
}
