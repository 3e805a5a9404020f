package browsertest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/intercom/lease/internal/ddblocal"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { ddblocal.Main(m) }

// site is a table, the workers of it, and a page.
type site struct {
	t       *testing.T
	dir     string
	command string // the path of the binary
	env     []string
	page    *exec.Cmd
	base    string // of its addresses
}

// newSite makes a table of its own, and builds the command.
func newSite(t *testing.T) *site {
	server := ddblocal.ForTest(t)
	s := &site{t: t, dir: t.TempDir()}
	s.command = filepath.Join(s.dir, "lease")
	out, err := exec.Command("go", "build", "-C", "..", "-o", s.command, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	table := "mailboxes"
	if os.Getenv(ddblocal.EndpointEnv) != "" { // The server is another's too.
		table += fmt.Sprintf("-%d", time.Now().UnixNano())
	}
	s.env = append(ddblocal.Environ(server.Endpoint), "AWS_ENDPOINT_URL="+server.Endpoint, "LEASE_TABLE="+table)
	s.lease("init")
	return s
}

// lease runs a command of lease.
func (s *site) lease(args ...string) {
	s.t.Helper()
	cmd := exec.Command(s.command, args...)
	cmd.Env = s.env
	out, err := cmd.CombinedOutput()
	require.NoError(s.t, err, "%v: %s", args, out)
}

// start starts a command in a process group of its own, which ends with the test.
func (s *site) start(stderr io.Writer, args ...string) *exec.Cmd {
	s.t.Helper()
	cmd := exec.Command(s.command, args...)
	cmd.Env = s.env
	cmd.Stderr = stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(s.t, cmd.Start())
	s.t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGCONT)
		syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		cmd.Wait()
	})
	return cmd
}

// worker starts a worker of that name, of so many items at most.
func (s *site) worker(name string, most int) *exec.Cmd {
	return s.start(io.Discard, "hold", "-most", strconv.Itoa(most), "-as", name, "-duration", "6s", "--", "sleep", "1000")
}

var address = regexp.MustCompile(`http://[^/]+`)

// show starts the page, and waits until it can be reached.
func (s *site) show(args ...string) {
	s.t.Helper()
	stderr, to, err := os.Pipe()
	require.NoError(s.t, err)
	s.t.Cleanup(func() { stderr.Close() })
	s.page = s.start(to, append([]string{"page", "-listen", "127.0.0.1:0", "-every", "500ms"}, args...)...)
	to.Close()
	lines := bufio.NewScanner(stderr)
	require.True(s.t, lines.Scan(), "the page has ended")
	s.base = address.FindString(lines.Text())
	require.NotEmpty(s.t, s.base, lines.Text())
}

// end ends the page by SIGTERM, as a supervisor does.
func (s *site) end() {
	s.t.Helper()
	require.NoError(s.t, s.page.Process.Signal(syscall.SIGTERM))
	require.NoError(s.t, s.page.Wait())
}

// api asks for JSON.
func (s *site) api(path string, into any) {
	s.t.Helper()
	answer, err := http.Get(s.base + path)
	require.NoError(s.t, err)
	defer answer.Body.Close()
	require.Equal(s.t, http.StatusOK, answer.StatusCode, path)
	require.NoError(s.t, json.NewDecoder(answer.Body).Decode(into))
}

// fallen is of a holder that renews no more, and of whom all leases have ended.
const fallen = -1

// holdersNow are who holds how many items.
func (s *site) holdersNow() map[string]int {
	s.t.Helper()
	var seen struct {
		Holders []struct {
			Holder string
			Items  int
			Fell   bool
		}
	}
	s.api("/api/holders", &seen)
	items := make(map[string]int)
	for _, h := range seen.Holders {
		items[h.Holder] = h.Items
		if h.Fell && h.Items == 0 {
			items[h.Holder] = fallen
		}
	}
	return items
}

// await waits until the holders are as they are to be.
func (s *site) await(what string, are func(items map[string]int) bool) {
	s.t.Helper()
	var last map[string]int
	for range 900 {
		if last = s.holdersNow(); are(last) {
			s.t.Log(what, last)
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	require.Fail(s.t, "it never came: "+what, "%v", last)
}
