package chaos_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/intercom/lease"
	"github.com/intercom/lease/internal/ddblocal"
)

// hangs is longer than anything takes that doesn't hang, however busy the machine is.
const hangs = 3 * time.Minute

// roleEnv makes a run of this test binary something else: its value is a role and what that one
// needs.
const roleEnv = "LEASE_CHAOS_ROLE"

// roles is what a run of this test binary can be.
var roles = map[string]func(string) error{
	"nothing":  func(string) error { return nil },
	"worker":   workAsTold,
	"saver":    saveAsTold,
	"hanger":   hangAsTold,
	"promiser": promiseAsTold,
}

func TestMain(m *testing.M) {
	lease.SetLogger(nil)
	role, needs, _ := strings.Cut(os.Getenv(roleEnv), " ")
	if role == "" {
		// DynamoDB Local is started many times: it should start soon, and take little of the
		// machine.
		os.Setenv("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
		ddblocal.SideBySide(8)
		ddblocal.Main(m)
	}
	if err := roles[role](needs); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// as returns a run of this test binary in a role.
func as(ctx context.Context, role, needs string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"="+role+" "+needs,
		"GORACE=atexit_sleep_ms=0") // else a race detector's process takes a second to end
	return cmd
}

// pause blocks for a random time, or until ctx is done: then it returns false.
func pause(ctx context.Context, r *rand.Rand, least, most time.Duration) bool {
	return sleep(ctx, least+time.Duration(r.Int64N(int64(most-least))))
}

// sleep blocks for a time, or until ctx is done: then it returns false.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
