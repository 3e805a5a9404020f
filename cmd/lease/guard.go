package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"strings"
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
	mu      sync.Mutex
	ends    map[int]time.Time // of the tenures, by group
	news    map[int]bool      // the groups that the guard is to hear of
	wake    chan struct{}
	writing sync.Mutex
	pipe    *os.File
}

func startGuard() (*guard, error) {
	g := &guard{ends: make(map[int]time.Time), news: make(map[int]bool), wake: make(chan struct{}, 1)}
	if err := g.start(); err != nil {
		return nil, fmt.Errorf("the guard of the command can't be started: %w", err)
	}
	adoptOrphans()
	go buryOrphans()
	go func() {
		for range g.wake {
			g.flush()
		}
	}()
	return g, nil
}

// ownBinary is the path of this program. It is there also when the file is gone, as after "go run".
func ownBinary() (string, error) {
	if self := "/proc/self/exe"; exists(self) {
		return self, nil
	}
	return os.Executable()
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// start starts the process, and again when that was killed.
func (g *guard) start() error {
	self, err := ownBinary()
	if err != nil {
		return err
	}
	in, out, err := os.Pipe()
	if err != nil {
		return err
	}
	defer in.Close()
	cmd := &exec.Cmd{Path: self, Args: []string{guardName}, Stdin: in, Dir: "/", SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	if err := startOwn(cmd); err != nil {
		out.Close()
		return err
	}
	g.writing.Lock()
	if g.pipe != nil {
		g.pipe.Close()
	}
	g.pipe = out
	g.writing.Unlock()
	g.mu.Lock()
	for group := range g.ends {
		g.news[group] = true
	}
	g.mu.Unlock()
	g.flush()
	go func() {
		waitOwn(cmd)
		for wait := time.Second; ; wait = time.Minute {
			time.Sleep(wait)
			if g.start() == nil {
				return
			}
		}
	}()
	return nil
}

// keep says until when a group may work. It doesn't wait for the guard.
func (g *guard) keep(group int, end time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ends[group] = end
	g.note(group)
}

func (g *guard) note(group int) {
	g.news[group] = true
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// know is keep of a new group: the guard has heard of it when this returns, unless that is stopped.
func (g *guard) know(group int, end time.Time) {
	g.keep(group, end)
	g.flush()
}

// drop says that a group has ended.
func (g *guard) drop(group int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.ends, group)
	g.note(group)
}

// flush writes what is new.
func (g *guard) flush() {
	g.writing.Lock()
	defer g.writing.Unlock()
	g.mu.Lock()
	var lines strings.Builder
	news := g.news
	g.news = make(map[int]bool)
	for group := range news {
		if end, ok := g.ends[group]; ok {
			fmt.Fprintf(&lines, "%d %d %d\n", group, end.UnixNano(), int64(max(1, time.Until(end))))
		} else {
			fmt.Fprintf(&lines, "%d 0 0\n", group)
		}
	}
	g.mu.Unlock()
	g.pipe.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)) // It may be stopped. Then it hears it with the next word.
	if _, err := io.WriteString(g.pipe, lines.String()); err != nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		maps.Copy(g.news, news)
	}
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
			if time.Since(next) > 100*time.Millisecond { // This process was stopped: first it hears what has come meanwhile.
				next, wake = time.Now().Add(50*time.Millisecond), time.After(50*time.Millisecond)
				continue
			}
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
