package main

import (
	"fmt"
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

// In an outage, when the holder is stopped, and when it is killed with its group or alone.
func TestGuardLetsNobodyWorkAfterTheTenuresEnd(t *testing.T) {
	t.Parallel()
	const duration = 20 * time.Second
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
				`sh -c 'trap "" TERM; `+ticking(ticks)+`' & echo "w1: runs"; wait; sleep 100`)
			awaitTicks(t, ticks)
			groups := groupsOf(p)
			late := measureLateness(t)
			struck := time.Now()
			strike(p, down)
			awaitEnded(t, groups...)
			until := f.item("a").Until
			last := lastTick(t, ticks)
			assert.LessOrEqual(t, last.Sub(until), late(), "it worked %v after the strike", last.Sub(struck))
			if strings.HasPrefix(name, "SIGKILL") {
				assert.True(t, time.Now().Before(until), "it is ended at once")
				assert.Equal(t, -9, p.wait().status)
				return
			}
			if name == "outage" {
				assert.Greater(t, last.Sub(struck), duration/2, "short outages are survived")
			}
			awaitTime(t, until)
			down.Store(false)
			syscall.Kill(-p.Process.Pid, syscall.SIGCONT)
			r := p.wait()
			assert.Equal(t, 75, r.status)
			assert.Regexp(t, `(?m) lease: the lease of a could not be renewed in time, and its command was ended$`, r.stderr)
		})
	}
}

// A command that stops its holder with its first breath is guarded by then.
func TestGuardKnowsACommandBeforeItRuns(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	ticks := filepath.Join(t.TempDir(), "ticks")
	p := f.start("hold", "-as", "w1", "-duration", "20s", "sh", "-c", `kill -STOP $PPID; (`+ticking(ticks)+`) & wait`)
	awaitTicks(t, ticks)
	late := measureLateness(t)
	awaitEnded(t, groupsOf(p)...)
	until := f.item("a").Until
	assert.LessOrEqual(t, lastTick(t, ticks).Sub(until), late())
	awaitTime(t, until)
	require.NoError(t, p.Process.Signal(syscall.SIGCONT))
	assert.Equal(t, 75, p.wait().status)
}

func TestSentryThatWasStoppedFirstHearsWhatHasCome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var killed []int
		s := newSentry(func(group int) { killed = append(killed, group) })
		line := func(group int, left time.Duration) string {
			return fmt.Sprintf("%d %d %d", group, time.Now().Add(left).UnixNano(), left)
		}
		s.hear(line(5, 2*time.Second))
		s.hear(line(6, 2*time.Second))
		time.Sleep(10 * time.Second) // It is stopped.
		<-s.wake
		s.look()
		assert.Empty(t, killed)
		s.hear(line(5, 2*time.Second))
		<-s.wake
		s.look()
		assert.Equal(t, []int{6}, killed, "the other was renewed")
	})
}

// Until then, on Linux, a command still dies with its holder.
func TestGuardIsReplacedWhenItIsKilled(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a", "b")
	p := f.hold("w1", work(t.TempDir()+"/ticks")...)
	old := guards(p)
	require.Len(t, old, 1)
	groups := groupsOf(p)
	require.NoError(t, syscall.Kill(old[0], syscall.SIGKILL))
	if runtime.GOOS == "linux" {
		require.NoError(t, p.Process.Kill())
		p.wait()
		awaitEnded(t, groups...)
	}

	p = f.hold("w2", "sh", "-c", `(`+ticking(t.TempDir()+"/ticks")+`) & echo "w2: runs"; wait`)
	old = guards(p)
	groups = groupsOf(p)
	require.NoError(t, syscall.Kill(old[0], syscall.SIGKILL))
	await(t, "there is another", func() bool { now := guards(p); return len(now) == 1 && now[0] != old[0] })
	f.awaitRenewals("w2", 2) // The new guard hears of the command by the second, if not before.
	require.NoError(t, p.Process.Kill())
	p.wait()
	awaitEnded(t, groups...)
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
	assert.Equal(t, []kill{{5, 300 * time.Millisecond}}, guarded(t, func(lines chan<- string, line func(int, time.Duration, time.Duration)) {
		time.Sleep(100 * time.Millisecond)
		line(5, second/5, second/5)
		time.Sleep(2 * second)
		line(5, 0, 0)
	}), "sooner than it would look next")
}
