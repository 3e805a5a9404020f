package tend

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

// GuardName is what a guard's process is called.
const GuardName = "lease-guard"

// guard is a process that outlives this one, to kill what this one leaves: when this one is gone,
// or when it is stopped and a tenure ends. It learns the ends over a pipe, a line each: the
// group, when its tenure ends in Unix nanoseconds, and how many nanoseconds are left till then.
// If nothing is left, the group has ended.
type guard struct {
	mu   sync.Mutex
	ends map[int]time.Time // of the tenures, by group
	news map[int]bool      // the groups that the guard is to hear of

	wake    chan struct{}
	writing sync.Mutex
	pipe    *os.File
}

// StartGuard starts what sees to it that no command outlives its tenure or this process.
func (k *Keeper) StartGuard() error {
	g := &guard{
		ends: make(map[int]time.Time),
		news: make(map[int]bool),
		wake: make(chan struct{}, 1),
	}
	if err := g.start(); err != nil {
		return fmt.Errorf("the guard of the command can't be started: %w", err)
	}
	adoptOrphans()
	go buryOrphans()
	go g.flushNews()
	k.guard = g
	return nil
}

func (g *guard) flushNews() {
	for range g.wake {
		g.flush()
	}
}

// ownBinary is the path of this program. It is there also when the file is gone, as after "go run".
func ownBinary() (string, error) {
	if self := "/proc/self/exe"; Exists(self) {
		return self, nil
	}
	return os.Executable()
}

func Exists(path string) bool {
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
	cmd := &exec.Cmd{
		Path:        self,
		Args:        []string{GuardName},
		Stdin:       in,
		Dir:         "/",
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if err := startOwn(cmd); err != nil {
		out.Close()
		return err
	}
	g.writeTo(out)
	g.noteAll()
	g.flush()
	go g.restartAfter(cmd)
	return nil
}

// writeTo changes the pipe: there is another process at its end.
func (g *guard) writeTo(pipe *os.File) {
	g.writing.Lock()
	defer g.writing.Unlock()
	if g.pipe != nil {
		g.pipe.Close()
	}
	g.pipe = pipe
}

// noteAll has the process hear of all groups.
func (g *guard) noteAll() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for group := range g.ends {
		g.news[group] = true
	}
}

func (g *guard) restartAfter(cmd *exec.Cmd) {
	waitOwn(cmd)
	time.Sleep(time.Second)
	for g.start() != nil {
		time.Sleep(time.Minute)
	}
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

// flush writes what is new. If the guard is stopped, it hears it with the next word.
func (g *guard) flush() {
	g.writing.Lock()
	defer g.writing.Unlock()
	news := g.takeNews()
	g.pipe.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := io.WriteString(g.pipe, g.lines(news)); err != nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		maps.Copy(g.news, news)
	}
}

func (g *guard) takeNews() map[int]bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	news := g.news
	g.news = make(map[int]bool)
	return news
}

// lines returns what the guard is to hear of these groups.
func (g *guard) lines(groups map[int]bool) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var lines strings.Builder
	for group := range groups {
		end, ok := g.ends[group]
		if !ok {
			fmt.Fprintf(&lines, "%d 0 0\n", group)
			continue
		}
		left := max(1, time.Until(end))
		fmt.Fprintf(&lines, "%d %d %d\n", group, end.UnixNano(), left.Nanoseconds())
	}
	return lines.String()
}

// RunPart is the whole of the guard's process, or a stub's, if this process is one of them. The
// guard doesn't end by these signals.
func RunPart(signals []os.Signal) bool {
	switch os.Args[0] {
	case GuardName:
		signal.Ignore(signals...)
		runGuard(os.Stdin)
		return true
	case stubName:
		runStub()
	}
	return false
}

func runGuard(in io.Reader) {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(in); s.Scan(); {
			lines <- s.Text()
		}
	}()
	guardGroups(lines, func(group int) { syscall.Kill(-group, syscall.SIGKILL) })
}

// guardGroups kills a group when its time is up, and all when the lines end.
func guardGroups(lines <-chan string, kill func(group int)) {
	s := newSentry(kill)
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				s.killAll()
				return
			}
			s.hear(line)
		case <-s.wake:
			s.look()
		}
	}
}

// How often a sentry looks at what it guards.
const (
	lookEach  = time.Second
	killEach  = 50 * time.Millisecond  // when it kills: what is killed may just have forked
	listenFor = 50 * time.Millisecond  // after it was stopped
	lateness  = 100 * time.Millisecond // if a look is later, this process was stopped
)

// sentry is what the guard's process does.
type sentry struct {
	groups map[int]time.Time // when each is to be killed
	kill   func(group int)
	next   time.Time // when it looks next
	wake   <-chan time.Time
}

func newSentry(kill func(group int)) *sentry {
	s := &sentry{groups: make(map[int]time.Time), kill: kill}
	s.lookAfter(0)
	return s
}

func (s *sentry) lookAfter(d time.Duration) {
	s.next = time.Now().Add(d)
	s.wake = time.After(d)
}

func (s *sentry) killAll() {
	for group := range s.groups {
		s.kill(group)
	}
}

// hear takes a line of the holder's.
func (s *sentry) hear(line string) {
	w, ok := parseWord(line)
	if !ok {
		return
	}
	delete(s.groups, w.group)
	if w.left <= 0 {
		return
	}
	now := time.Now()
	left := w.leftAt(now)
	end := now.Add(left)
	s.groups[w.group] = end
	if end.Before(s.next) {
		s.lookAfter(left)
	}
}

// look kills those whose time is up. When this process was stopped, it first hears what has come
// meanwhile.
func (s *sentry) look() {
	if time.Since(s.next) > lateness {
		s.lookAfter(listenFor)
		return
	}
	wait := lookEach
	for group, end := range s.groups {
		left := timeLeft(end, time.Now())
		if left <= 0 {
			s.kill(group)
			left = killEach
		}
		wait = min(wait, left)
	}
	s.lookAfter(wait)
}

// timeLeft is until end by the monotonic clock, or by the wall clock if that is sooner: the
// monotonic one stands still while a machine sleeps.
func timeLeft(end, now time.Time) time.Duration {
	byWall := end.Round(0).Sub(now.Round(0))
	return min(end.Sub(now), byWall)
}

// word is a line from the holder to its guard.
type word struct {
	group int
	end   time.Time
	left  time.Duration // till then, as it was sent; 0 if the group has ended
}

func parseWord(line string) (word, bool) {
	var group int
	var end, left int64
	n, err := fmt.Sscan(line, &group, &end, &left)
	if n < 3 || err != nil || group <= 1 {
		return word{}, false
	}
	return word{group, time.Unix(0, end), time.Duration(left)}, true
}

// leftAt is how long the group may work on when the word has come: it may come late, and the wall
// clock may be set back.
func (w word) leftAt(now time.Time) time.Duration {
	return min(w.left, w.end.Sub(now))
}
