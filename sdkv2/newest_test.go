package sdkv2_test

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestTheNewestRelease runs these tests with the newest release of SDK v2 that was tried.
// go.mod has the oldest that they pass with.
func TestTheNewestRelease(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: left out, it needs DynamoDB Local")
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-modfile", "testdata/newest.mod", "-count=1",
		"-skip", "^(TestTheNewestRelease|TestSuite)$", ".")
	out, err := cmd.CombinedOutput()
	assert.NoError(t, err, "%s: %s", cmd, out)
}
