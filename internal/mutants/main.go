// Command mutants breaks the library one line at a time, and tells which tests notice.
//
//	go run ./internal/mutants [-only TEXT] [-p N] [-check]
//
// mutants.txt lists the changes: each says what it breaks, where, and which tests are the lowest
// that should see it. For each the module is copied, the change is made, and those tests are run.
// A mutant that they don't kill is a survivor; the exit status is then 1. A change that doesn't
// fit the source any more, or doesn't compile, or whose tests are gone, is an error: the list is
// to follow the code. With -check that is all that is looked for, and no test is run.
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
	isCheck := flag.Bool("check", false, "run no tests")
	flag.Parse()
	if err := run(*only, *width, *isCheck); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(only string, width int, isCheck bool) error {
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
	if isCheck {
		return report(checkAll(root, mutants))
	}
	return report(runAll(root, mutants, width))
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
	fits     verdict = "fits"   // it was only checked
)

type result struct {
	mutant
	verdict verdict
	by      string // the tests that failed, or what doesn't fit
	took    time.Duration
}

func (r result) print() {
	fmt.Printf("%-8s %5.1f s  %s: %s  [%s]\n", r.verdict, r.took.Seconds(), r.file, r.what, r.by)
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
			results[i] = m.misfit(err.Error())
			continue
		}
		start := time.Now()
		r := try(dir, m)
		r.took = time.Since(start)
		results[i] = r
		r.print()
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

// try makes the change, runs the tests, and takes it back.
func try(dir string, m mutant) result {
	path := filepath.Join(dir, m.file)
	source, err := os.ReadFile(path)
	if err != nil {
		return m.misfit(err.Error())
	}
	defer os.WriteFile(path, source, 0o644)
	changed, err := m.apply(string(source))
	if err != nil {
		return m.misfit(err.Error())
	}
	if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
		return m.misfit(err.Error())
	}
	return m.runTests(dir)
}

func (m mutant) misfit(why string) result { return result{mutant: m, verdict: misfit, by: why} }

// runTests runs them, each in its folder: that may be of a module of its own.
func (m mutant) runTests(dir string) result {
	for _, test := range m.tests {
		r := m.runTest(filepath.Join(dir, test.folder), test.run)
		if r.verdict != survived {
			return r
		}
	}
	return result{mutant: m, verdict: survived}
}

// runTest runs tests of a folder, compiled without the other ones: they are most of its lines.
func (m mutant) runTest(folder, run string) result {
	restore, err := setAside(folder, run)
	if err != nil {
		return m.misfit(err.Error())
	}
	text, err := goTest(folder, run)
	restore()
	switch {
	case strings.Contains(text, "[build failed]"):
		return m.misfit("it doesn't compile, or its tests don't: " + text)
	case strings.Contains(text, "no tests to run"):
		return m.misfit("no test is called " + run)
	case err != nil:
		return result{mutant: m, verdict: killed, by: failed(text)}
	}
	return result{mutant: m, verdict: survived}
}

// goTest leaves out what takes the most time: vet, which is to judge no mutant, and what a debugger
// would need of the linker. A test that goes on for so long spins, or hangs.
func goTest(folder, run string) (string, error) {
	return output(folder, "go", "test", "-count=1", "-vet=off", "-ldflags=-w", "-timeout=90s",
		"-run", run, ".")
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
	fmt.Printf("%d mutants: %d killed, %d survived, %d fit, %d misfits\n",
		len(results), counts[killed], counts[survived], counts[fits], counts[misfit])
	if counts[survived]+counts[misfit] > 0 {
		return fmt.Errorf("there are survivors or misfits")
	}
	return nil
}
