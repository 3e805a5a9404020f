package sdkv2_test

import (
	"flag"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
)

var newestAll = flag.Bool("newest.all", false,
	"run all tests with the newest release of SDK v2, not only those that need no database")

// It runs these tests with the newest release of SDK v2 that was tried. go.mod has the oldest
// that they pass with.
func TestNewestReleaseOfV2Passes(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: left out, it compiles another SDK")
	}
	args := []string{
		"test", "-modfile", "testdata/newest.mod", "-count=1",
		"-skip", "^(TestNewestReleaseOfV2Passes|TestSuite)$",
	}
	if !*newestAll {
		args = append(args, "-short")
	}
	cmd := exec.CommandContext(t.Context(), "go", append(args, ".")...)
	out, err := cmd.CombinedOutput()
	assert.NoError(t, err, "%s: %s", cmd, out)
}
