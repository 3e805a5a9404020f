package sdkv2_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/intercom/lease/internal/race"
)

var (
	suite = flag.String("suite", "^TestLockStore",
		"which of the library's own tests TestSuite runs: a regular expression, . for all")
	suitePackage = flag.String("suite.package", ".",
		"the package of the library that they are in, as ./chaos")
	suiteArgs = flag.String("suite.args", "",
		"more arguments for them, as -chaos.duration=1m")
)

// It runs the library's own tests with the bridge under all their clients. The module of the
// library knows nothing of this one: a workspace has both, and an overlay puts one more file
// into the package that makes the clients.
func TestSuite(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: left out, it takes a while and needs DynamoDB Local")
	}
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	here := filepath.Join(root, "sdkv2")
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o666))
		return path
	}

	added := filepath.Join(root, "internal/ddblocal/bridged.go")
	overlay, err := json.Marshal(map[string]any{
		"Replace": map[string]string{added: filepath.Join(here, "testdata/bridged.go")},
	})
	require.NoError(t, err)
	work := write("go.work", fmt.Sprintf("go 1.25.0\nuse (\n\t%q\n\t%q\n)\n", root, here))

	args := []string{"test", "-count=1", "-run", *suite}
	if race.Enabled() {
		args = append(args, "-race")
	}
	args = append(args, "-overlay", write("overlay.json", string(overlay)), *suitePackage)
	args = append(args, strings.Fields(*suiteArgs)...)
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOWORK="+work, "GOFLAGS=")
	out, err := cmd.CombinedOutput()
	t.Logf("go %s\n%s", strings.Join(args, " "), out)
	require.NoError(t, err)
	require.NotContains(t, string(out), "no tests to run")
}
