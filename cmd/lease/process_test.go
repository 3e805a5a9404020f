package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease/cmd/lease/internal/tend"
)

// hang is more than anything takes, on a machine that does much else too: it only ends a test that hangs.
const hang = 2 * time.Minute

// result is how a run of the command ended.
type result struct {
	stdout, stderr string
	status         int
}

// run runs the command to its end.
func (f *fixture) run(args ...string) result {
	f.tb.Helper()
	return runWith(f.tb, f.env, args...)
}

func runWith(tb testing.TB, env []string, args ...string) result {
	tb.Helper()
	p := startWith(tb, env, args...)
	return p.wait()
}

// process is a run of the command that goes on. It is killed at the end of the test, and with it what it left.
type process struct {
	*exec.Cmd
	tb             testing.TB
	stdout, stderr output
	ended          chan struct{}
}

func (f *fixture) start(args ...string) *process {
	f.tb.Helper()
	return startWith(f.tb, f.env, args...)
}

func startWith(tb testing.TB, env []string, args ...string) *process {
	tb.Helper()
	p := prepareWith(tb, env, args...)
	p.begin()
	return p
}

func (f *fixture) prepare(args ...string) *process { return prepareWith(f.tb, f.env, args...) }

func prepareWith(tb testing.TB, env []string, args ...string) *process {
	p := &process{Cmd: exec.Command(binary(tb), args...), tb: tb, ended: make(chan struct{})}
	p.Env, p.Cmd.Stdout, p.Cmd.Stderr = env, &p.stdout, &p.stderr
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.WaitDelay = 5 * time.Second
	return p
}

func (p *process) begin() {
	tb := p.tb
	tb.Helper()
	require.NoError(tb, p.Start())
	go func() {
		p.Cmd.Wait()
		close(p.ended)
	}()
	tb.Cleanup(func() {
		p.Process.Signal(syscall.SIGCONT)
		p.Process.Kill()
		<-p.ended
		if tb.Failed() {
			tb.Logf("lease %.200q: %v\n%.2000s%.2000s", p.Args[1:], p.ProcessState, p.stdout.String(), p.stderr.String())
		}
	})
}

// wait waits until the process has ended.
func (p *process) wait() result {
	p.tb.Helper()
	select {
	case <-p.ended:
	case <-time.After(hang):
		p.Process.Signal(syscall.SIGQUIT) // It says where its goroutines are.
		select {
		case <-p.ended:
		case <-time.After(hang):
		}
		require.Fail(p.tb, "it doesn't end", "lease %q\n%s%s", p.Args[1:], &p.stdout, &p.stderr)
	}
	return result{p.stdout.String(), p.stderr.String(), exitCode(p.Cmd)}
}

func exitCode(cmd *exec.Cmd) int {
	if s := cmd.ProcessState.Sys().(syscall.WaitStatus); s.Signaled() {
		return -int(s.Signal())
	}
	return cmd.ProcessState.ExitCode()
}

// output is what a process has written so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await waits until a condition holds.
func await(tb testing.TB, what string, condition func() bool) {
	tb.Helper()
	for end := time.Now().Add(hang); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			require.Fail(tb, "timed out", "waiting until %s", what)
		}
	}
}

func awaitTime(tb testing.TB, at time.Time) {
	tb.Helper()
	await(tb, "it is time", func() bool { return time.Now().After(at) })
}

func (o *output) await(tb testing.TB, text string) {
	tb.Helper()
	await(tb, fmt.Sprintf("it says %q", text), func() bool { return strings.Contains(o.String(), text) })
}

// assertOneLine checks that a run failed as it should: with one line on stderr that has these words.
func assertOneLine(t *testing.T, r result, status int, words ...string) {
	t.Helper()
	assert.Equal(t, status, r.status)
	assert.Regexp(t, `\A([\d-]+ [\d:]+ )?lease: [^\n]+\n\z`, r.stderr)
	for _, word := range words {
		assert.Contains(t, r.stderr, word)
	}
}

// children returns the processes that a process has started.
func children(pid int) (pids []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		for _, word := range strings.Fields(string(text)) {
			n, _ := strconv.Atoi(word)
			pids = append(pids, n)
		}
	}
	return pids
}

// guards returns the guards of a holder.
func guards(p *process) (found []int) {
	for _, child := range children(p.Process.Pid) {
		if text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", child)); strings.HasPrefix(string(text), tend.GuardName) {
			found = append(found, child)
		}
	}
	return found
}

// groupsOf returns the process groups that a holder's commands have.
func groupsOf(p *process) (found []int) {
	for _, child := range children(p.Process.Pid) {
		if !slices.Contains(guards(p), child) {
			found = append(found, child)
		}
	}
	return found
}

// alive tells whether a process of a group is left, but for those that have ended and wait to be buried.
func alive(group int) bool {
	if syscall.Kill(-group, 0) == syscall.ESRCH {
		return false
	}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		text, _ := os.ReadFile(stat)
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest) // state, parent, group
		if len(fields) > 2 && fields[0] != "Z" && fields[2] == strconv.Itoa(group) {
			return true
		}
	}
	return false
}

func awaitEnded(tb testing.TB, groups ...int) {
	tb.Helper()
	require.NotEmpty(tb, groups)
	await(tb, "its commands have ended", func() bool { return !slices.ContainsFunc(groups, alive) })
}

// measureLateness tells by how much this machine has been late, at worst, since it was measured first. What should come in time
// may be as late.
func measureLateness(t *testing.T) func() time.Duration {
	const pause = 5 * time.Millisecond
	var worst atomic.Int64
	go func() {
		for t.Context().Err() == nil {
			due := time.Now().Add(pause)
			time.Sleep(pause)
			worst.Store(max(worst.Load(), int64(time.Since(due))))
		}
	}()
	return func() time.Duration { return time.Duration(worst.Load()) }
}

func awaitTicks(tb testing.TB, file string) {
	tb.Helper()
	await(tb, "it works", func() bool {
		text, _ := os.ReadFile(file)
		return len(text) > 0
	})
}

func lastTick(t *testing.T, file string) time.Time {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	all := strings.Fields(string(text))
	require.NotEmpty(t, all)
	n, err := strconv.ParseInt(all[len(all)-1], 10, 64)
	require.NoError(t, err)
	return time.Unix(0, n)
}

func (r result) err() error {
	if r.status != 0 {
		return fmt.Errorf("status %d: %s", r.status, r.stderr)
	}
	return nil
}

// work is a shell script that says what it holds, notes the time, and ends on SIGTERM with status 7.
func work(file string) []string {
	return []string{"sh", "-c", `trap 'echo "$LEASE_LESSEE: TERM"; exit 7' TERM; echo "$LEASE_LESSEE: $LEASE_ID $LEASE_TOKEN"
		` + ticking(file)}
}

// ticking is a shell command that notes the time in a file again and again.
func ticking(file string) string {
	return `while :; do date +%s%N >>"` + file + `"; sleep 0.1; done`
}

// hold starts a holder, and waits until its command runs.
func (f *fixture) hold(name string, args ...string) *process {
	f.tb.Helper()
	p := f.start(append([]string{"hold", "-as", name}, args...)...)
	p.stdout.await(f.tb, name+": ")
	return p
}
