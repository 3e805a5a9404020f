package lease_test

import (
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestReadmeShowsTheExamples: each Go block of the README is the declaration or the example's body in
// example_test.go that the comment above it names, to the letter.
func TestReadmeShowsTheExamples(t *testing.T) {
	source, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "", source, parser.ParseComments)
	require.NoError(t, err)
	offset := func(p token.Pos) int { return fset.Position(p).Offset }
	examples := make(map[string]string)
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			switch {
			case strings.HasPrefix(d.Name.Name, "Example"):
				body, err := format.Source(source[offset(d.Body.Lbrace)+1 : offset(d.Body.Rbrace)])
				require.NoError(t, err)
				examples[d.Name.Name] = outdent(string(body))
			case d.Recv != nil:
				examples["Worker"] += string(source[offset(d.Pos()):offset(d.End())]) + "\n"
			case d.Name.Name == "saveCursor":
				examples["saveCursor"] = string(source[offset(d.Doc.Pos()):offset(d.End())])
			}
		case *ast.GenDecl:
			if d.Tok == token.TYPE {
				examples["Worker"] += string(source[offset(d.Doc.Pos()):offset(d.End())]) + "\n\n"
			}
		}
	}

	delete(examples, "ExampleLease_FencingToken") // calls saveCursor, which is shown
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)<!-- (\\w+) -->\n```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	assert.Len(t, blocks, strings.Count(string(readme), "```go"), "a Go block without a name")
	for _, block := range blocks {
		assert.Equal(t, strings.TrimSpace(examples[block[1]]), strings.TrimSpace(block[2]), block[1])
		delete(examples, block[1])
	}
	assert.Empty(t, examples, "in no block of the README")
}

// outdent takes one tab off each line.
func outdent(s string) string {
	return regexp.MustCompile(`(?m)^\t`).ReplaceAllString(strings.Trim(s, "\n"), "")
}
