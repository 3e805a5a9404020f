package main

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// checkAll finds out whether the mutants fit the source, compile and have tests, and runs none.
func checkAll(root string, mutants []mutant) []result {
	folders := make(map[string]*folder)
	results := make([]result, 0, len(mutants))
	for _, m := range mutants {
		err := check(folders, root, m)
		r := result{mutant: m, verdict: fits}
		if err != nil {
			r = m.misfit(err.Error())
			r.print()
		}
		results = append(results, r)
	}
	return results
}

func check(folders map[string]*folder, root string, m mutant) error {
	source, err := os.ReadFile(filepath.Join(root, m.file))
	if err != nil {
		return err
	}
	changed, err := m.apply(string(source))
	if err != nil {
		return err
	}
	name := filepath.Dir(m.file)
	if folders[name] == nil {
		folders[name], err = readFolder(filepath.Join(root, name))
		if err != nil {
			return err
		}
	}
	if err := folders[name].compile(filepath.Base(m.file), changed); err != nil {
		return err
	}
	return m.checkTests(root)
}

// folder is a package that mutants are made of: what it takes to compile it without the go command,
// which takes seconds each time.
type folder struct {
	files   *token.FileSet
	parsed  map[string]*ast.File
	imports types.Importer
}

func readFolder(dir string) (*folder, error) {
	names, err := output(dir, "go", "list", "-f", `{{join .GoFiles "\n"}}`)
	if err != nil {
		return nil, err
	}
	exports, err := output(dir, "go", "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}")
	if err != nil {
		return nil, err
	}
	f := &folder{files: token.NewFileSet(), parsed: make(map[string]*ast.File)}
	for name := range strings.FieldsSeq(names) {
		file, err := parser.ParseFile(f.files, filepath.Join(dir, name), nil, 0)
		if err != nil {
			return nil, err
		}
		f.parsed[name] = file
	}
	f.imports = importer.ForCompiler(f.files, "gc", opener(exports))
	return f, nil
}

// opener opens what the compiler has written of a package, by a list of packages and files.
func opener(exports string) func(path string) (io.ReadCloser, error) {
	files := make(map[string]string)
	for line := range strings.Lines(exports) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		files[path] = file
	}
	return func(path string) (io.ReadCloser, error) { return os.Open(files[path]) }
}

// compile tells what is wrong with the package when that is the text of one of its files.
func (f *folder) compile(name, text string) error {
	changed, err := parser.ParseFile(f.files, name, text, 0)
	if err != nil {
		return err
	}
	files := []*ast.File{changed}
	for other, file := range f.parsed {
		if other != name {
			files = append(files, file)
		}
	}
	config := types.Config{Importer: f.imports}
	_, err = config.Check(changed.Name.Name, f.files, files, nil)
	return err
}

// checkTests looks for the tests in the source, by each of their names.
func (m mutant) checkTests(root string) error {
	for _, test := range m.tests {
		names, err := testNames(filepath.Join(root, test.folder))
		if err != nil {
			return err
		}
		for name := range strings.SplitSeq(test.run, "|") {
			isName := regexp.MustCompile(name).MatchString
			if !slices.ContainsFunc(names, isName) {
				return fmt.Errorf("no test is called %s", name)
			}
		}
	}
	return nil
}

var testName = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w*)\(`)

// testNames returns the names of the tests in a folder.
func testNames(folder string) (names []string, err error) {
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, match := range testName.FindAllStringSubmatch(string(text), -1) {
			names = append(names, match[1])
		}
	}
	return names, nil
}
