package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// guardName is what a guard's process is called.
const guardName = "lease-guard"

// guard is a process that outlives this one, to kill what this one leaves: when this one is gone, or when it is stopped and
// a tenure ends. It learns the ends over a pipe, a line each: the group, when its tenure ends in Unix nanoseconds, and how
// many nanoseconds are left till then. If nothing is left, the group has ended.
type guard struct {
	mu   sync.Mutex
	pipe *os.File
	ends map[int]time.Time // of the tenures, by group
}

func startGuard() (*guard, error) {
	g := &guard{ends: make(map[int]time.Time)}
	if err := g.start(); err != nil {
		return nil, fmt.Errorf("the guard of the command can't be started: %w", err)
	}
	adoptOrphans()
	return g, nil
}

// start starts the process, and again when that was killed.
func (g *guard) start() error {
	self := "/proc/self/exe" // It is there also when the file is gone, as after "go run".
	if _, err := os.Stat(self); err != nil {
		if self, err = os.Executable(); err != nil {
			return err
		}
	}
	in, out, err := os.Pipe()
	if err != nil {
		return err
	}
	defer in.Close()
	cmd := &exec.Cmd{Path: self, Args: []string{guardName}, Stdin: in, Dir: "/", SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	if err := cmd.Start(); err != nil {
		out.Close()
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pipe != nil {
		g.pipe.Close()
	}
	g.pipe = out
	for group, end := range g.ends {
		g.send(group, end)
	}
	go func() {
		cmd.Wait()
		for wait := time.Second; ; wait = time.Minute {
			time.Sleep(wait)
			if g.start() == nil {
				return
			}
		}
	}()
	return nil
}

// keep says until when a group may work.
func (g *guard) keep(group int, end time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ends[group] = end
	g.send(group, end)
}

// drop says that a group has ended.
func (g *guard) drop(group int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.ends, group)
	g.write(group, 0, 0)
}

func (g *guard) send(group int, end time.Time) {
	g.write(group, end.UnixNano(), max(1, time.Until(end)))
}

func (g *guard) write(group int, end int64, left time.Duration) {
	g.pipe.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)) // It may be stopped.
	fmt.Fprintf(g.pipe, "%d %d %d\n", group, end, int64(left))
}

// runGuard is the whole of the guard's process.
func runGuard(in io.Reader) {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(in); s.Scan(); {
			lines <- s.Text()
		}
	}()
	guardGroups(lines, func(group int) { syscall.Kill(-group, syscall.SIGKILL) })
}

// guardGroups kills a group when its time is up, and all when the lines end. It counts by the monotonic clock from when a line
// came, and by the wall clock: the line may come late, and that clock may be set back.
func guardGroups(lines <-chan string, kill func(group int)) {
	groups := make(map[int]time.Time)
	next, wake := time.Now(), time.After(0)
	left := func(end time.Time) time.Duration {
		now := time.Now()
		return min(end.Sub(now), end.Round(0).Sub(now.Round(0)))
	}
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				for group := range groups {
					kill(group)
				}
				return
			}
			var group int
			var end, nanoseconds int64
			if n, err := fmt.Sscan(line, &group, &end, &nanoseconds); n < 3 || err != nil || group <= 1 {
				continue
			}
			if delete(groups, group); nanoseconds > 0 {
				now := time.Now()
				groups[group] = now.Add(min(time.Duration(nanoseconds), time.Unix(0, end).Sub(now)))
				if ends := groups[group]; ends.Before(next) {
					next, wake = ends, time.After(ends.Sub(now))
				}
			}
		case <-wake:
			wait := time.Second
			for group, end := range groups {
				if left := left(end); left > 0 {
					wait = min(wait, left)
				} else {
					kill(group)
					wait = min(wait, 50*time.Millisecond) // It may just have forked.
				}
			}
			next, wake = time.Now().Add(wait), time.After(wait)
		}
	}
}
