package main

import (
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
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
