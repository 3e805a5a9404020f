package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFilesThatATestUsesAreCompiledWithIt(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	write("a_test.go", "package p\nfunc TestA() { help(); x := other{field: 1}; x.helped() }")
	write("b_test.go", "package p\nfunc help() { _ = deeper }\nfunc TestB() { TestHelped() }")
	write("c_test.go", "package p\nvar deeper, TestHelped = 1, 2\ntype other struct{ field int }")
	write("c2_test.go", "package p\nfunc (o *other) helped() {}\nfunc (other) twice() {}")
	write("d_test.go", "package p\nfunc helped() {}\nfunc field() {}\nfunc FuzzD() {}")
	write("users_test.go", "package p_test\nfunc deeper() { p.Shown() }\nfunc TestUsers() {}")
	write("shown_test.go", "package p\nfunc Shown() {}")
	write("main_test.go", "package p_test\nfunc TestMain() {}")
	compiled := func() (names []string) {
		paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
		require.NoError(t, err)
		for _, path := range paths {
			names = append(names, filepath.Base(path))
		}
		return names
	}
	all := compiled()
	for run, want := range map[string][]string{
		"TestA":            {"a_test.go", "b_test.go", "c2_test.go", "c_test.go", "main_test.go"},
		"FuzzD/sub|TestU":  {"d_test.go", "main_test.go", "shown_test.go", "users_test.go"},
		"TestNobodyCalled": {"main_test.go"},
	} {
		restore, err := setAside(dir, run)
		require.NoError(t, err)
		assert.Equal(t, want, compiled(), run)
		restore()
		assert.Equal(t, all, compiled())
	}
	write("broken_test.go", "package")
	_, err := setAside(dir, "TestA")
	assert.ErrorContains(t, err, "broken_test.go")
	assert.Len(t, compiled(), len(all)+1)
}
