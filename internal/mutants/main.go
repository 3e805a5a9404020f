// Command mutants breaks the library one line at a time, and tells which tests notice.
//
//	go run ./internal/mutants [-only TEXT] [-p N]
//
// mutants.txt lists the changes: each says what it breaks, where, and which tests are the lowest
// that should see it. For each the module is copied, the change is made, and those tests are run.
// A mutant that they don't kill is a survivor; the exit status is then 1. A change that doesn't
// fit the source any more, or doesn't compile, is an error: the list is to follow the code.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

func main() {
	only := flag.String("only", "", "run the mutants whose file or text has this `string`")
	width := flag.Int("p", 2, "how many to run side by side")
	flag.Parse()
	if err := run(*only, *width); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(only string, width int) error {
	root, err := output(".", "go", "list", "-m", "-f", "{{.Dir}}")
	if err != nil {
		return err
	}
	list, err := os.ReadFile(filepath.Join(root, "internal/mutants/mutants.txt"))
	if err != nil {
		return err
	}
	mutants, err := parse(string(list))
	if err != nil {
		return err
	}
	mutants = choose(mutants, only)
	results := runAll(root, mutants, width)
	return report(results)
}

func choose(mutants []mutant, only string) (chosen []mutant) {
	for _, m := range mutants {
		if strings.Contains(m.file+": "+m.what, only) {
			chosen = append(chosen, m)
		}
	}
	return chosen
}

// verdict is what became of a mutant.
type verdict string

const (
	killed   verdict = "killed"
	survived verdict = "SURVIVED"
	misfit   verdict = "MISFIT" // the list doesn't fit the source
)

type result struct {
	mutant
	verdict verdict
	by      string // the tests that failed, or what doesn't fit
	took    time.Duration
}

func runAll(root string, mutants []mutant, width int) []result {
	results := make([]result, len(mutants))
	next := make(chan int)
	var workers sync.WaitGroup
	for range width {
		workers.Go(func() { work(root, mutants, next, results) })
	}
	for i := range mutants {
		next <- i
	}
	close(next)
	workers.Wait()
	return results
}

// work runs mutants in one copy of the module, one after the other.
func work(root string, mutants []mutant, next <-chan int, results []result) {
	dir, err := copyModule(root)
	defer os.RemoveAll(dir)
	for i := range next {
		m := mutants[i]
		if err != nil {
			results[i] = result{mutant: m, verdict: misfit, by: err.Error()}
			continue
		}
		start := time.Now()
		r := try(dir, m)
		r.took = time.Since(start)
		results[i] = r
		fmt.Printf("%-8s %5.1f s  %s: %s  [%s]\n", r.verdict, r.took.Seconds(), m.file, m.what, r.by)
	}
}

// copyModule copies what git knows of the module, and the installed DynamoDB Local by a link.
func copyModule(root string) (string, error) {
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return "", err
	}
	files, err := output(root, "git", "ls-files", "--cached", "--others", "--exclude-standard")
	if err != nil {
		return dir, err
	}
	for _, file := range strings.Split(files, "\n") {
		if err := copyFile(filepath.Join(root, file), filepath.Join(dir, file)); err != nil {
			return dir, err
		}
	}
	installed := filepath.Join("testdata", "node_modules")
	return dir, os.Symlink(filepath.Join(root, installed), filepath.Join(dir, installed))
}

func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if os.IsNotExist(err) { // deleted, and not committed yet
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o644)
}

// try makes the change, runs the tests, and takes the change back.
func try(dir string, m mutant) result {
	path := filepath.Join(dir, m.file)
	source, err := os.ReadFile(path)
	if err != nil {
		return result{mutant: m, verdict: misfit, by: err.Error()}
	}
	defer os.WriteFile(path, source, 0o644)
	if n := strings.Count(string(source), m.from); n != 1 {
		return result{mutant: m, verdict: misfit, by: fmt.Sprintf("%d places in the source; want 1", n)}
	}
	changed := strings.Replace(string(source), m.from, m.to, 1)
	if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
		return result{mutant: m, verdict: misfit, by: err.Error()}
	}
	if text, err := output(dir, "go", "build", "./"+filepath.Dir(m.file)); err != nil {
		return result{mutant: m, verdict: misfit, by: "it doesn't compile: " + text}
	}
	for _, test := range m.tests {
		text, err := output(dir, "go", "test", "-count=1", "-timeout=5m", "-run", test.run, test.folder)
		if err != nil {
			return result{mutant: m, verdict: killed, by: failed(text)}
		}
		if strings.Contains(text, "no tests to run") {
			return result{mutant: m, verdict: misfit, by: "no test is called " + test.run}
		}
	}
	return result{mutant: m, verdict: survived}
}

// failed names the first test that failed.
func failed(text string) string {
	for _, line := range strings.Split(text, "\n") {
		if name, isFailure := strings.CutPrefix(strings.TrimSpace(line), "--- FAIL: "); isFailure {
			return strings.Fields(name)[0]
		}
	}
	return "a panic or a time-out"
}

// output returns what a command prints.
func output(dir, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		return text, fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return text, nil
}

func report(results []result) error {
	counts := make(map[verdict]int)
	for _, r := range results {
		counts[r.verdict]++
	}
	fmt.Printf("%d mutants: %d killed, %d survived, %d misfits\n",
		len(results), counts[killed], counts[survived], counts[misfit])
	if counts[killed] < len(results) {
		return fmt.Errorf("not all were killed")
	}
	return nil
}
