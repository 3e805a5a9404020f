package ddblocal

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// childEnv makes a run of this test binary a child that starts a server, prints its endpoint, and then
// does what the variable says.
const childEnv = "DDBLOCAL_TEST_CHILD"

func TestMain(m *testing.M) {
	if how := os.Getenv(childEnv); how != "" {
		s, err := Start(context.Background(), Options{})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(s.Endpoint)
		switch how {
		case "panic":
			panic("as a test might")
		case "exit":
			os.Exit(3)
		}
		select {} // until it is killed
	}
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

// assertGone waits until nothing answers at an endpoint.
func assertGone(t *testing.T, endpoint string) {
	t.Helper()
	port := endpoint[strings.LastIndex(endpoint, ":")+1:]
	assert.Eventually(t, func() bool {
		return exec.Command("pgrep", "-f", "DynamoDBLocal.jar.*-port "+port+"( |$)").Run() != nil
	}, 10*time.Second, 20*time.Millisecond, "the server on port %s still runs", port)
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
	require.NoError(t, a.Stop())
	require.NoError(t, a.Stop(), "again")
	require.NoError(t, b.Stop())
	assertGone(t, a.Endpoint)
	assertGone(t, b.Endpoint)
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
			endpoint, err := bufio.NewReader(out).ReadString('\n')
			require.NoError(t, err)
			require.Contains(t, endpoint, "http://127.0.0.1:")
			switch how {
			case "SIGKILL":
				require.NoError(t, child.Process.Kill())
			case "SIGINT":
				require.NoError(t, child.Process.Signal(syscall.SIGINT))
			}
			assert.Error(t, child.Wait())
			assertGone(t, strings.TrimSpace(endpoint))
		})
	}
}

func TestDataInADirectorySurvivesARestart(t *testing.T) {
	needsLocal(t)
	dir := t.TempDir()
	s := start(t, Options{Dir: dir})
	makeTable(t, s, "kept")
	require.NoError(t, s.Stop())
	var port int
	_, err := fmt.Sscanf(s.Endpoint, "http://127.0.0.1:%d", &port)
	require.NoError(t, err)
	again := start(t, Options{Dir: dir, Port: port})
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

func TestWhatIsMissingIsNamed(t *testing.T) {
	_, err := run(context.Background(), t.TempDir(), "", 1, func() {})
	if err == nil || !strings.Contains(err.Error(), "did not start") {
		t.Errorf("run without the jar: %v", err)
	}
	t.Setenv("PATH", "")
	_, err = run(context.Background(), t.TempDir(), "", 1, func() {})
	assert.ErrorContains(t, err, "apt-get install default-jre-headless")
	root := t.TempDir()
	require.NoError(t, os.WriteFile(root+"/go.mod", []byte("module github.com/intercom/lease\n"), 0o666))
	require.NoError(t, os.Mkdir(root+"/testdata", 0o777))
	require.NoError(t, os.WriteFile(root+"/testdata/package-lock.json", nil, 0o666))
	t.Chdir(root)
	_, err = Start(context.Background(), Options{})
	assert.ErrorContains(t, err, "apt-get install nodejs npm")
	assert.ErrorContains(t, err, EndpointEnv)
}

func TestTheEnvironmentsEndpointIsUsed(t *testing.T) {
	t.Setenv(EndpointEnv, "http://127.0.0.1:1")
	s, err := Open(context.Background())
	require.NoError(t, err)
	assert.Equal(t, "http://127.0.0.1:1", s.Endpoint)
	assert.NoError(t, s.Stop())
}
