package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// setAside renames a folder's files with tests of which a call of go test needs none. The function
// that it returns brings them back.
func setAside(folder, run string) (restore func(), err error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		return nil, err
	}
	files := make([]testFile, 0, len(paths))
	for _, path := range paths {
		f, err := readTestFile(path)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	var aside []string
	restore = func() {
		for _, path := range aside {
			os.Rename(path+".aside", path)
		}
	}
	needed := neededFiles(files, run)
	for _, f := range files {
		if needed[f.path] {
			continue
		}
		if err := os.Rename(f.path, f.path+".aside"); err != nil {
			restore()
			return nil, err
		}
		aside = append(aside, f.path)
	}
	return restore, nil
}

// testFile is what a file declares, and what names it uses that it doesn't declare: a method's has a
// dot before it. Methods come with their types, but for those of types of other files.
type testFile struct {
	path, of       string // the package
	declares, uses map[string]bool
}

func readTestFile(path string) (testFile, error) {
	f := testFile{path: path, declares: make(map[string]bool), uses: make(map[string]bool)}
	parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		return f, err
	}
	f.of = parsed.Name.Name
	for _, d := range parsed.Decls {
		if d, is := d.(*ast.GenDecl); is {
			f.declare(d)
		}
	}
	for _, d := range parsed.Decls {
		if d, is := d.(*ast.FuncDecl); is {
			f.declareFunction(d)
		}
	}
	for _, name := range parsed.Unresolved { // in this file
		f.uses[name.Name] = true
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		if selected, is := n.(*ast.SelectorExpr); is {
			f.uses["."+selected.Sel.Name] = true
		}
		return true
	})
	return f, nil
}

func (f testFile) declareFunction(d *ast.FuncDecl) {
	if d.Recv == nil {
		f.declares[d.Name.Name] = true
		return
	}
	of := d.Recv.List[0].Type
	if pointer, is := of.(*ast.StarExpr); is {
		of = pointer.X
	}
	if name, is := of.(*ast.Ident); is && !f.declares[name.Name] {
		f.declares["."+d.Name.Name] = true
	}
}

func (f testFile) declare(d *ast.GenDecl) {
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			f.declares[spec.Name.Name] = true
		case *ast.ValueSpec:
			for _, name := range spec.Names {
				f.declares[name.Name] = true
			}
		}
	}
}

// neededFiles returns those that have the tests, or what runs before all, and what these use.
func neededFiles(files []testFile, run string) map[string]bool {
	needed := make(map[string]bool)
	for _, f := range files {
		if f.hasTest(run) || f.declares["TestMain"] || f.declares["init"] {
			needed[f.path] = true
		}
	}
	for count := 0; count < len(needed); {
		count = len(needed)
		for _, f := range files {
			needed[f.path] = needed[f.path] || isUsed(f, files, needed)
		}
		for path, is := range needed {
			if !is {
				delete(needed, path)
			}
		}
	}
	return needed
}

func (f testFile) hasTest(run string) bool {
	for name := range strings.SplitSeq(run, "|") {
		name, _, _ = strings.Cut(name, "/") // of its subtest
		pattern := regexp.MustCompile(name) // It was tried when the list was read.
		for declared := range f.declares {
			isTest := strings.HasPrefix(declared, "Test") || strings.HasPrefix(declared, "Fuzz")
			if isTest && pattern.MatchString(declared) {
				return true
			}
		}
	}
	return false
}

// isUsed tells whether one of the needed files uses something of a file's, by its name.
func isUsed(f testFile, files []testFile, needed map[string]bool) bool {
	for _, other := range files {
		if needed[other.path] && f.isUsedBy(other) {
			return true
		}
	}
	return false
}

func (f testFile) isUsedBy(other testFile) bool {
	isUsers := other.of == f.of+"_test" // It says p.name.
	if other.of != f.of && !isUsers {
		return false
	}
	for name := range f.declares {
		if isUsers {
			name = "." + name
		}
		if other.uses[name] {
			return true
		}
	}
	return false
}
