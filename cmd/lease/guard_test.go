package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestGuardLetsNobodyWorkAfterTheTenuresEnd: in an outage, when the holder is stopped, and when it is killed with its group or alone.
func TestGuardLetsNobodyWorkAfterTheTenuresEnd(t *testing.T) {
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

// A command that stops its holder with its first breath is guarded by then.
func TestGuardKnowsACommandBeforeItRuns(t *testing.T) {
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

// TestGuardIsReplacedWhenItIsKilled; until then, on Linux, a command still dies with its holder.
func TestGuardIsReplacedWhenItIsKilled(t *testing.T) {
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

func TestGuardKillsAtTheEndByEitherClock(t *testing.T) {
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
