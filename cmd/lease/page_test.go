package main

import (
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// startPage starts a page, and returns where it is once it answers.
func startPage(tb testing.TB, f *fixture, args ...string) (*process, string) {
	tb.Helper()
	p := f.prepare(append([]string{"page", "-listen", "127.0.0.1:0"}, args...)...)
	p.tb = tb
	p.begin()
	p.stderr.await(tb, "showing table")
	base := regexp.MustCompile(`http://[^/]+`).FindString(p.stderr.String())
	require.NotEmpty(tb, base, p.stderr.String())
	return p, base
}

// fetch asks for a page that there is.
func fetch(tb testing.TB, address string) string {
	tb.Helper()
	answer, err := http.Get(address)
	require.NoError(tb, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(tb, err)
	require.Equal(tb, http.StatusOK, answer.StatusCode, "%s", text)
	return string(text)
}

func TestPageShowsATakeoverWritesNothingAndEndsAtSIGTERM(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a", "b")
	f.lease("a", "w1", time.Hour)
	f.lease("b", "w2", time.Hour)
	var writes atomic.Int64
	f.env = f.through(func(_ http.ResponseWriter, r *http.Request) bool {
		if !regexp.MustCompile(`\.(Scan|GetItem|DescribeTable)$`).MatchString(r.Header.Get("X-Amz-Target")) {
			writes.Add(1)
		}
		return false
	}, nil)
	file := filepath.Join(t.TempDir(), "page.db")
	p, base := startPage(t, f, "-every", "100ms", "-db", file, "-write-price", "0.7")
	assert.Contains(t, fetch(t, base+"/cost"), "At 0.7 and 0.125 dollars for a million write and read units, as given.")
	assert.Contains(t, fetch(t, base+"/api/item?name=a"), `"holder":"w1"`)
	f.expire("a")
	await(t, "the page says why a is free", func() bool {
		return regexp.MustCompile(`It is free, as w1 did not renew its lease`).MatchString(fetch(t, base+"/item?name=a"))
	})
	f.lease("a", "w2", time.Hour)
	await(t, "w2 has both", func() bool {
		return regexp.MustCompile(`lease_table_holder_items\{holder="w2"\} 2\n`).MatchString(fetch(t, base+"/metrics"))
	})
	assert.Contains(t, fetch(t, base+"/"), "the lease of w1, token ")
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	assert.Equal(t, 0, p.wait().status)
	assert.Regexp(t, `^lease: showing table "cmd-\S+" at http://127\.0\.0\.1:\d+/\n$`, p.stderr.String())
	assert.Zero(t, writes.Load())

	p, base = startPage(t, f, "-db", file)
	assert.Contains(t, fetch(t, base+"/"), "the lease of w1, token ", "it goes on")
	assertOneLine(t, f.run("page", "-listen", "127.0.0.1:0", "-db", file), 1, file, "another process has it open")
	require.NoError(t, p.Process.Signal(syscall.SIGINT))
	assert.Equal(t, 0, p.wait().status)
	other := newFixture(t)
	assertOneLine(t, other.run("page", "-listen", "127.0.0.1:0", "-db", file), 1, file, "it is about table "+f.table)
}

func TestPageGoesOnThroughAnOutage(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "a")
	down := f.outage()
	p, base := startPage(t, f, "-every", "100ms")
	down.Store(true)
	await(t, "it says that looking fails", func() bool {
		return regexp.MustCompile(`LOOKING FAILS.*ago: `).MatchString(fetch(t, base+"/"))
	})
	down.Store(false)
	p.stderr.await(t, "the look works again, after ")
	await(t, "that is over", func() bool { return !regexp.MustCompile(`LOOKING FAILS`).MatchString(fetch(t, base+"/")) })
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	assert.Equal(t, 0, p.wait().status)
	assert.Regexp(t, `\nlease: the look fails: .*; it goes on\nlease: the look works again, after \S+\n$`, p.stderr.String())
}

func TestPageThatCantBeSaysWhy(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	assertOneLine(t, f.run("page", "-listen", taken.Addr().String()), 1, "can't listen", "address already in use")
	assertOneLine(t, f.run("page", "-db", filepath.Join(t.TempDir(), "no", "x.db")), 1, "is its folder there")
	assertOneLine(t, f.run("page", "-table", "missing"), 1, `"missing" does not exist`)
	for args, words := range map[string]string{
		"-listen=8099": "HOST:PORT", "-listen=127.0.0.1:99999": "HOST:PORT", "-db=": "-db is empty",
		"-write-price=-1": "want dollars", "-read-price=NaN": "want dollars", "-every=1ms": "50ms", "-keep=1s": "-keep", "x": "no arguments",
	} {
		assertOneLine(t, f.run("page", args), 2, words)
	}
	p := f.prepare("page", "-listen", "0.0.0.0:0")
	p.begin()
	p.stderr.await(t, "to whoever can reach it")
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	assert.Equal(t, 0, p.wait().status)
}
