package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHoldRunsACommandAndHasItsStatus(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	r := f.run("hold", "-as", "w 1", "sh", "-c", `echo "$LEASE_ID $LEASE_TOKEN $LEASE_LESSEE $1"; echo oops >&2; exit 3`, "-", "-x")
	assert.Equal(t, result{fmt.Sprintf("a %d w 1 -x\n", f.item("a").FencingToken), "oops\n", 3}, r)
	assert.Empty(t, f.item("a").LesseeID, "it was released")
	assert.Equal(t, result{status: 0}, f.run("hold", "-as", "w1", "--", "true"))
	assert.Equal(t, result{status: 128 + 10}, f.run("hold", "-as", "w1", "--", "sh", "-c", "kill -USR1 $$"))
	assert.Equal(t, result{status: 75}, f.run("hold", "-as", "w1", "sh", "-c", "exit 75"))
	assertOneLine(t, f.run("hold", "-as", "w1", "no-such-command"), 127, "no-such-command")
	assertOneLine(t, f.run("hold", "-as", "w1", "/no/such/command"), 127, "/no/such/command")
	assertOneLine(t, f.run("hold", "-as", "w1", "/etc/passwd"), 126, "/etc/passwd", "permission denied")
	assertOneLine(t, f.run("hold", "-as", "w1", "/etc"), 126, "/etc")
	script := filepath.Join(t.TempDir(), "script")
	require.NoError(t, os.WriteFile(script, []byte("#!/no/such/shell\n"), 0o755))
	assertOneLine(t, f.run("hold", "-as", "w1", script), 127, "script")
	assert.Empty(t, f.item("a").LesseeID, "it was released")
}

func TestHoldPassesStdinOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	p := f.prepare("hold", "-as", "w1", "cat")
	p.Stdin = strings.NewReader("hello\n")
	p.begin()
	assert.Equal(t, result{stdout: "hello\n"}, p.wait())
}

func TestHoldPassesOtherDescriptorsOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	p := f.prepare("hold")
	p.Path, p.Args = "/bin/sh", []string{"sh", "-c", `"$0" hold -as w1 -- sh -c 'cat <&3; cat <&4' 3<"$1" 4<"$1"`, binary(t), filepath.Join(t.TempDir(), "file")}
	require.NoError(t, os.WriteFile(p.Args[4], []byte("read\n"), 0o600))
	p.begin()
	r := p.wait()
	assert.Equal(t, 0, r.status, r.stderr)
	assert.Equal(t, "read\nread\n", r.stdout)
}

func TestHoldOfAnItemWhoseNameNoEnvironmentCanHave(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a\x00b")
	assertOneLine(t, f.run("hold", "-as", "w1", "true"), 125, `"a\x00b"`, "name")
	assert.Empty(t, f.item("a\x00b").LesseeID, "it was released")
}

func TestHoldWaitsForAnItemAndCanBeStoppedMeanwhile(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	l := f.lease("a", "w1", time.Hour)
	stopped := f.start("hold", "-as", "w2", "-duration", "1s", "echo", "w2: never")
	waits := f.start("hold", "-as", "w3", "-duration", "1s", "echo", "w3: at last")
	await(t, "both have started their guards", func() bool { return len(children(stopped.Process.Pid)) == 1 && len(children(waits.Process.Pid)) == 1 })
	require.NoError(t, stopped.Process.Signal(syscall.SIGTERM))
	assert.Equal(t, result{status: 128 + 15}, stopped.wait())
	require.NoError(t, f.ReleaseLease(l))
	assert.Equal(t, result{stdout: "w3: at last\n"}, waits.wait())
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
		if text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", child)); strings.HasPrefix(string(text), guardName) {
			found = append(found, child)
		}
	}
	return found
}

func TestHoldToldToStopWaitsForTheWholeGroupAndThenReleases(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	done := filepath.Join(t.TempDir(), "done")
	// The shell ends at once, and what it has started a moment later.
	p := f.hold("w1", "-duration", "2s", "sh", "-c", `(trap 'sleep 3; echo done >`+done+`; exit' TERM; while :; do sleep 0.05; done) &
		sleep 0.3; echo "w1: runs"; wait`)
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	held := true
	for !exists(done) {
		time.Sleep(5 * time.Millisecond)
		held = held && (f.item("a").LesseeID == "w1" || exists(done))
	}
	assert.True(t, held, "it is held till then, also after the lease's duration")
	assert.Equal(t, 128+15, p.wait().status)
	assert.Empty(t, f.item("a").LesseeID)
}

func TestASecondSignalKillsACommandThatIgnoresTheFirst(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	p := f.hold("w1", "sh", "-c", `trap '' TERM; echo "w1: deaf"; while :; do sleep 0.05; done`)
	require.NoError(t, p.Process.Signal(syscall.SIGINT))
	for end := time.Now().Add(900 * time.Millisecond); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		assert.NoError(t, p.Process.Signal(syscall.SIGTERM)) // Within a second they count as one: timeout(1) sends two.
		assert.Equal(t, "w1", f.item("a").LesseeID)
	}
	await(t, "another signal kills it", func() bool { return p.Process.Signal(syscall.SIGTERM) != nil })
	assert.Equal(t, 128+9, p.wait().status)
	assert.Empty(t, f.item("a").LesseeID)
}

func TestWhatACommandLeavesRunningIsEndedBeforeTheRelease(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	ticks := filepath.Join(t.TempDir(), "ticks")
	r := f.run("hold", "-as", "w1", "sh", "-c", `(trap '' TERM; while :; do date +%s%N >>`+ticks+`; sleep 0.05; done) >/dev/null 2>&1 & sleep 0.3; exit 4`)
	assert.Equal(t, result{status: 4}, r)
	assertNoTicksAfter(t, ticks, time.Now())
}

// assertNoTicksAfter checks that nothing wrote to the file after that time.
func assertNoTicksAfter(t *testing.T, file string, end time.Time) {
	t.Helper()
	time.Sleep(300 * time.Millisecond)
	last := lastTick(t, file)
	assert.Less(t, last.Sub(end), 30*time.Millisecond, "the last tick came at %v; the end was %v", last, end)
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

func TestALeaseThatIsTakenAwayEndsTheCommand(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	ticks := filepath.Join(t.TempDir(), "ticks")
	p := f.hold("w1", append([]string{"-duration", "3s"}, work(ticks)...)...)
	r := f.run("release", "a", "-yes", "-token", strconv.FormatInt(f.item("a").FencingToken, 10))
	require.Equal(t, 0, r.status, r.stderr)
	f.lease("a", "thief", time.Hour)
	r = p.wait()
	assert.Equal(t, 75, r.status)
	assert.Contains(t, r.stdout, "w1: TERM\n", "it could clean up")
	assert.Contains(t, r.stderr, "lease: the lease of a was lost, and its command was ended\n")
	assert.Equal(t, "thief", f.item("a").LesseeID)
}

func TestADeafCommandIsKilledSoonAfterItsLeaseIsTakenAway(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	ticks := filepath.Join(t.TempDir(), "ticks")
	p := f.hold("w1", "-duration", "12s", "sh", "-c", `trap '' TERM; echo "w1: deaf"; while :; do date +%s%N >>`+ticks+`; sleep 0.05; done`)
	began, l := time.Now(), f.item("a")
	require.NoError(t, f.run("release", "a", "-yes", "-token", strconv.FormatInt(l.FencingToken, 10)).err())
	assert.Equal(t, 75, p.wait().status)
	assert.Less(t, time.Since(began), 8*time.Second, "a renewal after 4 s, a second of grace; it might have worked for 10.8 s")
	assertNoTicksAfter(t, ticks, time.Now())
}

func TestHoldUnderNohupStays(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	p := f.prepare("hold")
	p.Path, p.Args = "/bin/sh", []string{"sh", "-c", `trap '' HUP; exec "$0" hold -as w1 -- sh -c 'echo "w1: runs"; sleep 0.5; exit 6'`, binary(t)}
	p.begin()
	p.stdout.await(t, "w1: runs")
	require.NoError(t, p.Process.Signal(syscall.SIGHUP))
	assert.Equal(t, 6, p.wait().status)
}

func (r result) err() error {
	if r.status != 0 {
		return fmt.Errorf("status %d: %s", r.status, r.stderr)
	}
	return nil
}

// TestNobodyWorksAfterTheTenuresEnd: in an outage, when the holder is stopped, and when it is killed with its group or alone.
func TestNobodyWorksAfterTheTenuresEnd(t *testing.T) {
	t.Parallel()
	const duration = 3 * time.Second
	for name, strike := range map[string]func(p *process, down *atomic.Bool){
		"outage":  func(_ *process, down *atomic.Bool) { down.Store(true) },
		"SIGSTOP": func(p *process, _ *atomic.Bool) { syscall.Kill(p.Process.Pid, syscall.SIGSTOP) },
		"SIGSTOP of the group": func(p *process, _ *atomic.Bool) {
			syscall.Kill(-p.Process.Pid, syscall.SIGSTOP)
		},
		"SIGKILL":              func(p *process, _ *atomic.Bool) { syscall.Kill(p.Process.Pid, syscall.SIGKILL) },
		"SIGKILL of the group": func(p *process, _ *atomic.Bool) { syscall.Kill(-p.Process.Pid, syscall.SIGKILL) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, "a")
			down := f.outage()
			ticks := filepath.Join(t.TempDir(), "ticks")
			// A grandchild works, which heeds no SIGTERM.
			p := f.hold("w1", "-duration", duration.String(), "sh", "-c",
				`sh -c 'trap "" TERM; while :; do date +%s%N >>`+ticks+`; sleep 0.05; done' & echo "w1: runs"; wait; sleep 100`)
			await(t, "it works", func() bool { text, _ := os.ReadFile(ticks); return len(text) > 0 })
			began := time.Now()
			strike(p, down)
			until := f.item("a").Until
			for time.Now().Before(until.Add(300 * time.Millisecond)) {
				time.Sleep(50 * time.Millisecond)
				if renewed := f.item("a").Until; renewed.After(until) { // It was under way.
					until = renewed
				}
			}
			end := until.Add(-duration / 10) // of the tenure
			assert.LessOrEqual(t, lastTick(t, ticks).Sub(end), 50*time.Millisecond, "it worked %v after the strike", lastTick(t, ticks).Sub(began))
			if strings.HasPrefix(name, "SIGSTOP") {
				syscall.Kill(-p.Process.Pid, syscall.SIGCONT)
			}
			down.Store(false)
			switch r := p.wait(); {
			case strings.HasPrefix(name, "SIGKILL"):
				assert.Equal(t, -9, r.status)
				assert.Less(t, lastTick(t, ticks).Sub(began), time.Second, "it is ended at once")
			default:
				assert.Equal(t, 75, r.status)
				assert.Regexp(t, `(?m)^lease: the lease of a was lost, and its command was ended$`, r.stderr)
			}
			if name == "outage" {
				assert.Greater(t, lastTick(t, ticks).Sub(began), duration/2, "short outages are survived")
			}
		})
	}
}

func TestInAnOutageACommandIsToldToStopBeforeItIsKilled(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	down := f.outage()
	p := f.hold("w1", append([]string{"-duration", "3s"}, work(t.TempDir()+"/ticks")...)...)
	down.Store(true)
	p.stdout.await(t, "w1: TERM\n")
	assert.True(t, time.Now().Before(f.item("a").Until))
	assert.Equal(t, 75, p.wait().status)
}

// A command that stops its holder with its first breath is guarded by then.
func TestACommandIsGuardedBeforeItRuns(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	ticks := filepath.Join(t.TempDir(), "ticks")
	p := f.start("hold", "-as", "w1", "-duration", "2s", "sh", "-c", `kill -STOP $PPID; (while :; do date +%s%N >>`+ticks+`; sleep 0.05; done) & wait`)
	await(t, "it works", func() bool { return exists(ticks) })
	end := f.item("a").Until.Add(-200 * time.Millisecond)
	await(t, "it was ended", func() bool { return time.Since(lastTick(t, ticks)) > 500*time.Millisecond })
	assert.Less(t, lastTick(t, ticks).Sub(end), 50*time.Millisecond)
	require.NoError(t, p.Process.Signal(syscall.SIGCONT))
	assert.Equal(t, 75, p.wait().status)
}

func TestAGuardThatWasStoppedKillsNoHealthyCommand(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	p := f.hold("w1", append([]string{"-duration", "2s"}, work(t.TempDir()+"/ticks")...)...)
	guard := guards(p)
	require.Len(t, guard, 1)
	require.NoError(t, syscall.Kill(guard[0], syscall.SIGSTOP))
	time.Sleep(4 * time.Second) // two tenures, as it knows
	require.NoError(t, syscall.Kill(guard[0], syscall.SIGCONT))
	time.Sleep(time.Second)
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	assert.Equal(t, 7, p.wait().status, "it could clean up")
}

func TestHoldBuriesWhatItsCommandsLeave(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere they aren't adopted")
	}
	f := newFixture(t, "a")
	p := f.hold("w1", "-most", "1", "sh", "-c", `for i in 1 2 3; do (setsid sleep 0.5 &); done; echo "w1: runs"; sleep 100`)
	await(t, "they have ended and are buried", func() bool {
		left := 0
		for _, child := range children(p.Process.Pid) {
			if text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child)); strings.Contains(string(text), ") Z ") {
				left++
			}
		}
		return left == 0 && len(children(p.Process.Pid)) == 2
	})
}

// TestAGuardThatIsKilledIsReplaced; until then, on Linux, a command still dies with its holder.
func TestAGuardThatIsKilledIsReplaced(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a", "b")
	ticks := filepath.Join(t.TempDir(), "ticks")
	p := f.hold("w1", work(ticks)...)
	await(t, "it works", func() bool { text, _ := os.ReadFile(ticks); return len(text) > 0 })
	old := guards(p)
	require.Len(t, old, 1)
	require.NoError(t, syscall.Kill(old[0], syscall.SIGKILL))
	if runtime.GOOS == "linux" {
		require.NoError(t, p.Process.Kill())
		p.wait()
		assertNoTicksAfter(t, ticks, time.Now())
	}

	ticks = filepath.Join(t.TempDir(), "ticks")
	p = f.hold("w2", "sh", "-c", `(while :; do date +%s%N >>`+ticks+`; sleep 0.05; done) & echo "w2: runs"; wait`)
	old = guards(p)
	require.NoError(t, syscall.Kill(old[0], syscall.SIGKILL))
	await(t, "there is another", func() bool { now := guards(p); return len(now) == 1 && now[0] != old[0] })
	require.NoError(t, p.Process.Kill())
	p.wait()
	await(t, "the new guard has ended it", func() bool { return time.Since(lastTick(t, ticks)) > time.Second })
}

func TestHoldMostRunsACommandForEachItemOfItsShare(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a", "b", "c", "d")
	ticks := filepath.Join(t.TempDir(), "ticks")
	first := f.start(append([]string{"hold", "-as", "w1", "-most", "3", "-duration", "2s"}, work(ticks)...)...)
	count := func(p *process, text string) int { return strings.Count(p.stdout.String(), text) }
	await(t, "it has three", func() bool { return count(first, "w1: ") == 3 })
	second := f.start(append([]string{"hold", "-as", "w2", "-most", "0", "-duration", "2s"}, work(ticks)...)...)
	await(t, "they have two each", func() bool { return count(first, "TERM") == 1 && count(second, "w2: ") == 2 })
	require.NoError(t, first.Process.Signal(syscall.SIGTERM))
	r := first.wait()
	assert.Equal(t, 0, r.status, r.stderr)
	assert.Equal(t, 3, count(first, "w1: TERM"))
	await(t, "the other has all", func() bool { return count(second, "w2: ") == 4 })
	require.NoError(t, second.Process.Kill())
	<-second.ended
	assertNoTicksAfter(t, ticks, time.Now())
}

func TestHoldMostSaysWhichCommandsFail(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	p := f.start("hold", "-as", "w1", "-most", "1", "-duration", "1s", "sh", "-c", "exit 3")
	p.stderr.await(t, "lease: the command for a ended with status 3\n")
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	assert.Equal(t, 0, p.wait().status)
}

func TestTheGuardKillsAtTheEndByEitherClock(t *testing.T) {
	t.Parallel()
	type kill struct {
		group int
		after time.Duration
	}
	guarded := func(t *testing.T, feed func(lines chan<- string, line func(group int, end, left time.Duration))) (kills []kill) {
		synctest.Test(t, func(t *testing.T) {
			began, lines, done := time.Now(), make(chan string), make(chan struct{})
			go func() {
				guardGroups(lines, func(group int) {
					if len(kills) == 0 || kills[len(kills)-1].group != group {
						kills = append(kills, kill{group, time.Since(began)})
					}
				})
				close(done)
			}()
			feed(lines, func(group int, end, left time.Duration) {
				lines <- fmt.Sprintf("%d %d %d", group, time.Now().Add(end).UnixNano(), left)
			})
			close(lines)
			<-done
		})
		return kills
	}
	const second = time.Second
	assert.Equal(t, []kill{{5, 3 * second}}, guarded(t, func(lines chan<- string, line func(int, time.Duration, time.Duration)) {
		line(5, 2*second, 2*second)
		time.Sleep(second)
		line(5, 2*second, 2*second)
		time.Sleep(10 * second)
		line(5, 0, 0)
	}), "a renewal moves the end")
	assert.Equal(t, []kill{{5, second}}, guarded(t, func(lines chan<- string, line func(int, time.Duration, time.Duration)) {
		line(5, second, 5*second) // a line that came late
		time.Sleep(2 * second)
		line(5, 0, 0)
	}))
	assert.Equal(t, []kill{{5, second}}, guarded(t, func(lines chan<- string, line func(int, time.Duration, time.Duration)) {
		line(5, 5*second, second) // the wall clock was set back
		time.Sleep(2 * second)
		line(5, 0, 0)
	}))
	assert.Equal(t, []kill{{5, 2 * second}}, guarded(t, func(lines chan<- string, line func(int, time.Duration, time.Duration)) {
		line(5, 9*second, 9*second)
		line(6, 9*second, 9*second)
		line(6, 0, 0) // has ended
		lines <- "nonsense"
		lines <- "1 2"
		time.Sleep(2 * second)
	}), "it is alone")
}
