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

// TestReadmeShowsCompiledCode: above each Go block of the README stands where its code is, and it is that to
// the letter: <!-- FILE --> is the whole file, <!-- FILE FUNCTION --> one function of it with its comment, or
// an example's body.
func TestReadmeShowsCompiledCode(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)<!-- (\\S+) ?(\\w*) -->\n+```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	require.NotEmpty(t, blocks)
	require.Len(t, blocks, strings.Count(string(readme), "```go"), "a Go block that doesn't say where it is from")
	for _, block := range blocks {
		file, name, shown := block[1], block[2], block[3]
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		want := string(source)
		if name != "" {
			want = function(t, source, name)
		}
		assert.Equal(t, strings.TrimSpace(want), strings.TrimSpace(shown), "%s %s", file, name)
	}
}

// function returns a function's source with its comment; of an example, what is between the braces.
func function(t *testing.T, source []byte, name string) string {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "", source, parser.ParseComments)
	require.NoError(t, err)
	text := func(from, to token.Pos) []byte {
		return source[fset.Position(from).Offset:fset.Position(to).Offset]
	}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		switch {
		case !ok || f.Recv != nil || f.Name.Name != name:
		case strings.HasPrefix(name, "Example"):
			body, err := format.Source(text(f.Body.Lbrace+1, f.Body.Rbrace))
			require.NoError(t, err)
			return regexp.MustCompile(`(?m)^\t`).ReplaceAllString(strings.Trim(string(body), "\n"), "")
		case f.Doc != nil:
			return string(text(f.Doc.Pos(), f.End()))
		default:
			return string(text(f.Pos(), f.End()))
		}
	}
	require.Fail(t, "no function", name)
	return ""
}
