package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
	"github.com/intercom/lease/internal/workers"
	"github.com/intercom/lease/internal/workers/workerstest"
	"github.com/intercom/lease/leasetest"
)

func TestMain(m *testing.M) { workerstest.TestMain(m, main) }

func TestFleet_shares_move_and_nobody_holds_twice(t *testing.T) {
	t.Run("on DynamoDB Local", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "fleet.csv")
		cmd := workerstest.Program(t, "-data", file, "-limit", "6m") // The machine may be busy.
		bytes, err := cmd.CombinedOutput()
		out := string(bytes)
		t.Log(out)
		require.NoError(t, err)
		workerstest.AssertNothingLeft(t, out, guardTable)
		assertMoves(t, out)
		assertData(t, file)
	})
	t.Run("in memory", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "fleet.csv")
		synctest.Test(t, func(t *testing.T) {
			var out strings.Builder
			began := time.Now()
			err := run(t.Context(), &out, options{engine: "memory", data: file, limit: 50 * time.Second})
			t.Log(out.String())
			require.NoError(t, err)
			assert.Less(t, time.Since(began), 40*time.Second, "of imagined time")
			assertMoves(t, out.String())
			assert.Contains(t, out.String(), "refused those of 0 tenures")
			assert.NotContains(t, out.String(), "a lost lease")
		})
		assertData(t, file)
	})
}

// assertMoves looks at what a run has printed.
func assertMoves(t *testing.T, out string) {
	t.Helper()
	table, summary, _ := strings.Cut(out, "Summary")
	for _, line := range []string{
		"  0 double holders; ",
		"  30 of 30 mailboxes held at the end",
		"the start of the fleet        30 times",
	} {
		assert.Contains(t, summary, line)
	}
	assert.Regexp(t, `\n  [1-9]\d* moves; `, summary)
	for _, cause := range []string{"a handover", "SIGTERM", "SIGKILL"} {
		assert.Regexp(t, cause+`.* [1-9]\d* times, \d+\.\d\d s at most`, summary)
	}
	assert.Regexp(t, `the guard took [1-9]\d\d+ writes`, summary)

	for _, note := range []string{
		"three workers start", "worker-4 joins", "SIGKILL for worker-2", "SIGTERM for worker-3",
	} {
		assert.Contains(t, table, note)
	}
	assert.Equal(t, 4, strings.Count(table, "level"))
	lines := regexp.MustCompile(`(?m)^ *\d+  [ \d-]{36}.*$`).FindAllString(table, -1)
	assert.Greater(t, len(lines), 16, "four quiet times of 4 s")
	assert.Regexp(t, `^ *\d+ +15 +- +- +15 +0 +0`, lines[len(lines)-1])
}

// assertData looks at the file that a run has written.
func assertData(t *testing.T, file string) {
	t.Helper()
	data, err := os.Open(file)
	require.NoError(t, err)
	defer data.Close()
	rows, err := csv.NewReader(data).ReadAll()
	require.NoError(t, err)
	header := []string{"seconds", "worker-1", "worker-2", "worker-3", "worker-4", "nobody", "scene"}
	assert.Equal(t, header, rows[0])
	assert.Equal(t, []string{"15", "0", "0", "15", "0", ""}, rows[len(rows)-1][1:])
}

func TestFleet_ended_early_leaves_nothing(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			out := endEarly(t, workerstest.Program(t), signal)
			workerstest.AssertProcessesGone(t, workerstest.TableOf(t, out))
			if signal != syscall.SIGKILL {
				workerstest.AssertNothingLeft(t, out, guardTable)
			}
		})
	}
}

// endEarly ends a run when its table has begun, sees it fail, and returns what it has printed.
func endEarly(t *testing.T, cmd *exec.Cmd, signal syscall.Signal) string {
	t.Helper()
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var out strings.Builder
	for lines := bufio.NewScanner(io.TeeReader(stdout, &out)); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "  1 ") {
			assert.NoError(t, cmd.Process.Signal(signal))
		}
	}
	assert.Error(t, cmd.Wait(), out.String())
	assert.NotContains(t, out.String(), "SIGTERM for")
	return out.String()
}

func TestFleet_on_a_bare_machine_is_in_memory_and_says_why(t *testing.T) {
	out := endEarly(t, workerstest.Bare(t), syscall.SIGINT)
	why, rest, _ := strings.Cut(out, "\n")
	assert.Regexp(t, `^DynamoDB Local needs java.*, not found here; .* -engine memory$`, why)
	assert.Contains(t, rest, "In memory: 30 mailboxes")
	assert.Contains(t, rest, "three workers start")
}

func TestFleet_in_memory_says_nothing_of_what_is_missing_when_told_to(t *testing.T) {
	out := endEarly(t, workerstest.Bare(t, "-engine", "memory"), syscall.SIGINT)
	assert.True(t, strings.HasPrefix(out, "In memory: 30 mailboxes"), out)
}

func TestFleet_on_a_bare_machine_fails_with_the_engine_local(t *testing.T) {
	out, err := workerstest.Bare(t, "-engine", "local").CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	assert.Equal(t, 1, exit.ExitCode())
	assert.Contains(t, string(out), "DynamoDB Local needs java")
}

// TestFleet_is_in_memory_where_the_server_does_not_start, of whose error it shows a line.
func TestFleet_is_in_memory_where_the_server_does_not_start(t *testing.T) {
	dir := t.TempDir()
	java := "#!/bin/sh\necho too old >&2\nexit 1\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "java"), []byte(java), 0o777))
	npm := "#!/bin/sh\necho no network >&2\nexit 1\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "npm"), []byte(npm), 0o777))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Setenv(ddblocal.EndpointEnv, "")

	var out strings.Builder
	e, err := open(t.Context(), &out, "")
	require.NoError(t, err)
	assert.IsType(t, (*memory)(nil), e)
	assert.NoError(t, e.close())
	starting, why, _ := strings.Cut(out.String(), "\n")
	assert.Equal(t, "Starting DynamoDB Local, which npm installs the first time", starting)
	assert.Regexp(t, `^ddblocal: .*; instead all is in this one process, .*\n$`, why)
	assert.Equal(t, 1, strings.Count(why, "\n"))

	_, err = open(t.Context(), &out, "local")
	assert.ErrorContains(t, err, "ddblocal: ")
}

func TestFleet_refuses_bad_arguments(t *testing.T) {
	for want, args := range map[string][]string{
		`invalid value "remote" for flag -engine: want local or memory`: {"-engine", "remote"},
		"fleet: want no other arguments":                                {"more"},
	} {
		out, err := workerstest.Bare(t, args...).CombinedOutput()
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
		assert.Equal(t, 2, exit.ExitCode())
		assert.Contains(t, string(out), want)
	}
}

// faulty is the engine in memory with an outage for all workers that start.
type faulty struct{ *memory }

func (e faulty) start(name string) (process, error) {
	p, err := e.memory.start(name)
	e.threads[len(e.threads)-1].client.SetOutage(true)
	return p, err
}

func TestFleet_fails_when_the_shares_are_not_level_in_time(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tooLong := errors.New("took too long")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, tooLong)
		defer cancel()
		e := faulty{newMemory(ctx)}
		defer e.close()
		_, err := e.prepare(ctx, mailboxIDs())
		require.NoError(t, err)
		err = newFleet(e, io.Discard).play(ctx)
		assert.ErrorIs(t, err, tooLong)
		assert.ErrorContains(t, err, "waiting for level shares, with 0 of 30 mailboxes held")
	})
}

func TestFleet_watches_until_the_shares_have_been_level_for_a_while(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newMemory(t.Context())
		defer e.close()
		_, err := e.prepare(t.Context(), mailboxIDs())
		require.NoError(t, err)
		f := newFleet(e, io.Discard)
		f.began = time.Now()
		require.NoError(t, errors.Join(f.start(), f.start()))
		require.NoError(t, f.await(t.Context(), f.level))
		level := time.Now()
		e.store.Steal("mailbox-1", "somebody else", 10*time.Second)
		require.NoError(t, f.awaitLevel(t.Context()))
		assert.Greater(t, time.Since(level), 10*time.Second)
	})
}

func TestFleet_fails_when_a_worker_ends_unasked(t *testing.T) {
	f := newFleet(nil, io.Discard)
	f.members = []*member{{name: "a", running: true}}
	assert.EqualError(t, f.members[0].exited(""), "a exited: ")
	f.members[0].asked = true
	assert.NoError(t, f.members[0].exited(""))
	assert.EqualError(t, f.members[0].exited("exit status 1"), "a exited: exit status 1")
	f.members[0].killed = time.Now()
	assert.NoError(t, f.members[0].exited("signal: killed"))
}

func TestFleet_finds_double_holders(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	a := &member{name: "a"}
	b := &member{name: "b"}
	first := &tenure{item: "x", by: a, token: 1, from: at(0), relied: at(5)}
	for _, test := range []struct {
		then *tenure
		want string
	}{
		{&tenure{item: "x", by: b, token: 2, from: at(6), relied: at(9)}, ""},
		{&tenure{item: "y", by: b, token: 1, from: at(3), relied: at(9)}, ""},
		{&tenure{item: "x", by: b, token: 2, from: at(4), relied: at(9)}, "a and b held x at once"},
		{&tenure{item: "x", by: b, token: 1, from: at(6), relied: at(9)},
			"x has the tokens 1 and 1 in the wrong order"},
		{&tenure{item: "x", by: b, token: 2, from: at(6), relied: at(9), refused: true, defied: true},
			"the guard refused a write of b to x with the token 2"},
		{&tenure{item: "x", by: b, token: 2, from: at(6), relied: at(9), refused: true}, ""},
	} {
		err := (&fleet{tenures: []*tenure{first, test.then}}).checkTenures()
		if test.want == "" {
			assert.NoError(t, err)
		} else {
			assert.EqualError(t, err, test.want)
		}
	}
}

// TestGuard_refuses what an older tenure, or another worker with the same token, writes.
func TestGuard_refuses(t *testing.T) {
	t.Run("in memory", func(t *testing.T) { testGuard(t, new(memoryGuard)) })
	t.Run("in a table", func(t *testing.T) {
		ddb := ddblocal.ForTest(t).Client()
		table := "TestGuard_refuses"
		require.NoError(t, lease.NewLockStore(ddb, table, hashKey).EnsureTable())
		t.Cleanup(func() { ddb.DeleteTable(&dynamodb.DeleteTableInput{TableName: &table}) })
		testGuard(t, &tableGuard{ddb, table})
	})
}

func testGuard(t *testing.T, g guard) {
	write := func(name, token string) error {
		return g.write(t.Context(), &lease.Lease{
			LeaseID:         "x",
			Request:         &worker{name: name},
			AttributeValues: map[string]*dynamodb.AttributeValue{"FencingToken": {N: &token}},
		})
	}
	assert.NoError(t, write("a", "5"))
	assert.NoError(t, write("a", "5"))
	assert.Equal(t, errRefused, write("b", "5"))
	assert.NoError(t, write("b", "6"))
	assert.Equal(t, errRefused, write("a", "5"))
}

// guardFunc is a guard.
type guardFunc func(ctx context.Context) error

func (g guardFunc) write(ctx context.Context, _ *lease.Lease) error { return g(ctx) }

func TestWorker_tells_of_a_refusal_whether_it_relied_on_its_lease(t *testing.T) {
	for want, guard := range map[string]guardFunc{
		"refused": func(context.Context) error { return errRefused },
		"late":    func(ctx context.Context) error { <-ctx.Done(); return errRefused },
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			store := leasetest.NewStore("x")
			kinds := make(map[string]bool)
			w := &worker{name: "a", locker: lease.NewLocker(store), guard: guard, report: func(e workers.Event) {
				kinds[e.Kind] = true
				if e.Kind == want {
					cancel()
				}
			}}
			time.AfterFunc(time.Minute, func() { store.Steal("x", "b", time.Hour) })
			assert.NoError(t, w.run(ctx))
			assert.Equal(t, map[string]bool{"began": true, want: true, "ended": true}, kinds)
		})
	}
}
