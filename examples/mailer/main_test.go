package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease/internal/ddblocal"
)

func TestMain(m *testing.M) { ddblocal.Main(m) }

// TestMailerRunsInAnEmptyModule copies the program into a module of its own, as a reader of the README
// would, and runs it there. (That the README shows this very program is tested beside the README.)
func TestMailerRunsInAnEmptyModule(t *testing.T) {
	server := ddblocal.ForTest(t)
	ddb := server.Client()
	table := fmt.Sprintf("mailer-%d", time.Now().UnixNano())
	t.Cleanup(func() { ddb.DeleteTable(&dynamodb.DeleteTableInput{TableName: &table}) })
	path := build(t)

	first := start(t, server.Endpoint, path, "-table", table)
	first.await(t, " after mail 0, with the token ")
	first.await(t, "'s mail 2")
	was := held(t, ddb, table)
	require.Len(t, was, 1, "of alice, bob and carol")
	first.stop(t)
	assert.Empty(t, held(t, ddb, table), "it has released its mailbox")
	last := first.lastMail(t)

	var others []*program
	var heard []string
	for range 3 {
		p := start(t, server.Endpoint, path, "-table", table)
		heard = append(heard, p.await(t, "delivering "))
		others = append(others, p)
	}
	assert.Len(t, held(t, ddb, table), 3, "one each: %q", heard)
	goesOn := fmt.Sprintf("delivering %s after mail %s,", was[0], last)
	assert.Contains(t, strings.Join(heard, "\n"), goesOn, "where the first one stopped")
	for _, p := range others {
		p.stop(t)
	}
	assert.Empty(t, held(t, ddb, table))
}

// build builds the program in a module that has nothing else, and returns the path of the binary.
func build(t *testing.T) string {
	t.Helper()
	here, err := filepath.Abs("../..")
	require.NoError(t, err)
	program, err := os.ReadFile("main.go")
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), program, 0o666))

	// The versions are the library's, which are here: it needs no network.
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(here, name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o666))
	}
	for _, args := range []string{
		"mod edit -module mailer -require github.com/intercom/lease@v0.0.0",
		"mod edit -replace github.com/intercom/lease=" + here,
		"build -mod=mod -o mailer .",
	} {
		cmd := exec.CommandContext(t.Context(), "go", strings.Split(args, " ")...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PWD="+dir, "GOPROXY=off", "GOFLAGS=", "GOWORK=off")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "go %s: %s", args, out)
	}
	return filepath.Join(dir, "mailer")
}

// program is a run of the program. It is killed when the test is over.
type program struct {
	*exec.Cmd
	lines *bufio.Scanner
	said  strings.Builder
}

// start starts the program with the environment that the README names.
func start(t *testing.T, endpoint, path string, args ...string) *program {
	t.Helper()
	// Else a program that says nothing is awaited for ever.
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	p := &program{Cmd: exec.CommandContext(ctx, path, args...)}
	p.Env = ddblocal.Environ(endpoint)
	stderr, err := p.StderrPipe()
	require.NoError(t, err)
	p.lines = bufio.NewScanner(io.TeeReader(stderr, &p.said))
	require.NoError(t, p.Start())
	return p
}

// await blocks until the program has said that, and returns the line.
func (p *program) await(t *testing.T, text string) string {
	t.Helper()
	for p.lines.Scan() {
		if strings.Contains(p.lines.Text(), text) {
			return p.lines.Text()
		}
	}
	require.Fail(t, "the program has ended", "without %q; it said: %s", text, &p.said)
	return ""
}

// stop tells the program to stop, and checks that it does.
func (p *program) stop(t *testing.T) {
	t.Helper()
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	p.await(t, "stopped")
	require.NoError(t, p.Wait(), "%s", &p.said)
}

// lastMail returns the number of the last mail that the program has delivered.
func (p *program) lastMail(t *testing.T) string {
	t.Helper()
	delivered := regexp.MustCompile(`delivered \w+'s mail (\d+)`)
	mails := delivered.FindAllStringSubmatch(p.said.String(), -1)
	require.NotEmpty(t, mails, "%s", &p.said)
	return mails[len(mails)-1][1]
}

// held returns the mailboxes that someone holds.
func held(t *testing.T, ddb *dynamodb.DynamoDB, table string) (mailboxes []string) {
	t.Helper()
	out, err := ddb.Scan(&dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true)})
	require.NoError(t, err)
	require.Len(t, out.Items, 3)
	for _, item := range out.Items {
		if item["ProcessID"] != nil {
			mailboxes = append(mailboxes, *item["mailbox"].S)
		}
	}
	return mailboxes
}
