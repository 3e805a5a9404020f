package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom/lease/cmd/lease/internal/cli"
)

// documents are the texts that have commands in them.
func documents(t *testing.T) (text string) {
	for _, name := range []string{"README.md", "docs/command.md", "docs/deploy.md", "docs/operations.md", "docs/sharing.md"} {
		bytes, err := os.ReadFile(filepath.Join("../..", name))
		require.NoError(t, err)
		text += string(bytes)
	}
	return text
}

// TestDocumentsCommandsAreUnderstood: each has a command that there is, and flags that it has.
func TestDocumentsCommandsAreUnderstood(t *testing.T) {
	t.Parallel()
	inText := regexp.MustCompile("(?s)`lease\\s+([a-z][^`]*)`").FindAllStringSubmatch(documents(t), -1)
	inBlocks := regexp.MustCompile(`(?m)^    lease ([a-z][^#\n|]*)`).FindAllStringSubmatch(documents(t), -1)
	optional := strings.NewReplacer("[", " ", "]", " ", " | ", " ", "...", "", "…", " ", "'", "")
	seen := 0
	for _, found := range append(inText, inBlocks...) {
		args := strings.Fields(optional.Replace(found[1]))
		root := (&app{}).commands()
		root.InitDefaultCompletionCmd()
		c, rest, err := root.Find(cli.WithTwoDashes(root, args))
		require.NoError(t, err, found[1])
		if !assert.NotEqual(t, root, c, found[1]) {
			continue
		}
		for _, flag := range rest {
			if flag == "--" || cli.IsVerbatim(c) && !strings.HasPrefix(flag, "-") && len(args) > 4 {
				break
			}
			if name, isFlag := strings.CutPrefix(flag, "--"); isFlag {
				name, _, _ = strings.Cut(name, "=")
				assert.NotNil(t, cli.Lookup(c, name), "%s: %s", found[1], flag)
			}
		}
		seen++
	}
	assert.Greater(t, seen, 20)
}

// TestDocumentsWaysToRunIt: as README and docs/command.md have them, from the repository's root.
func TestDocumentsWaysToRunIt(t *testing.T) {
	t.Parallel()
	text := documents(t)
	for _, way := range []string{"go run -C cmd/lease . ", "go install -C cmd/lease ."} {
		assert.Contains(t, text, way)
	}
	assert.NotRegexp(t, `go (run|install) \./cmd/lease`, text)
	bin := t.TempDir()
	run := func(name string, args ...string) string {
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = "../.."
		cmd.Env = append(os.Environ(), "GOBIN="+bin)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	assert.Contains(t, run("go", "run", "-C", "cmd/lease", ".", "-h"), "Usage: lease COMMAND")
	run("go", "install", "-C", "cmd/lease", ".")
	assert.Contains(t, run(filepath.Join(bin, "lease"), "hold", "-h"), "Usage: lease hold")
}
