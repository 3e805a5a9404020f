package lease_test

import (
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestReadmeShowsCompiledCode: above each Go block of the README, and of docs/, stands where its code is, and it is
// that to the letter: <!-- FILE --> is the whole file, <!-- FILE FUNCTION… --> some functions of it with their
// comments, or an example's body.
func TestReadmeShowsCompiledCode(t *testing.T) {
	documents, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	total := 0
	for _, document := range append(documents, "README.md") {
		text, err := os.ReadFile(document)
		require.NoError(t, err)
		blocks := regexp.MustCompile("(?s)<!-- (\\S+\\.go)([ \\w]*) -->\n+```go\n(.*?)```").FindAllStringSubmatch(string(text), -1)
		require.Len(t, blocks, strings.Count(string(text), "```go"), "%s has a Go block that doesn't say where it is from", document)
		total += len(blocks)
		for _, block := range blocks {
			file, names, shown := block[1], strings.Fields(block[2]), block[3]
			source, err := os.ReadFile(file)
			require.NoError(t, err)
			want := string(source)
			if len(names) > 0 {
				parts := make([]string, len(names))
				for i, name := range names {
					parts[i] = function(t, source, name)
				}
				want = strings.Join(parts, "\n\n")
			}
			assert.Equal(t, strings.TrimSpace(want), strings.TrimSpace(shown), "%s: %s %s", document, file, names)
		}
	}
	require.NotZero(t, total)
}

// TestReadmeIsShort: what not everybody needs is in docs/.
func TestReadmeIsShort(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	assert.LessOrEqual(t, strings.Count(string(text), "\n"), 350)
}

func TestReadmesLoopsOfHoldPause(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	loops := 0
	for _, block := range regexp.MustCompile("(?s)```go\n.*?```").FindAllString(string(readme), -1) {
		if at := strings.Index(block, "for ctx.Err() == nil {"); at >= 0 && strings.Contains(block[at:], ".Hold(") {
			loops++
			assert.Regexp(t, `time\.(After|Sleep|NewTimer)|pause\(ctx`, block[at:], "work that fails at once makes it spin")
		}
	}
	assert.Positive(t, loops)
}

// TestReadmesLinksLead: what the README and docs/ link to in this repository is there, headings included.
func TestReadmesLinksLead(t *testing.T) {
	documents, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	for _, document := range append(documents, "README.md", "CHANGELOG.md", "BENCHMARKS.md", "model/README.md") {
		text, err := os.ReadFile(document)
		require.NoError(t, err)
		for _, link := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(link[1], "://") {
				continue
			}
			path, heading, _ := strings.Cut(link[1], "#")
			file := document
			if path != "" {
				file = filepath.Join(filepath.Dir(document), path)
			}
			target, err := os.ReadFile(file)
			if info, failed := os.Stat(file); failed == nil && info.IsDir() {
				err = nil
			}
			if assert.NoError(t, err, "%s links to %s", document, link[1]) && heading != "" {
				assert.Contains(t, headings(string(target)), heading, "%s links to %s", document, link[1])
			}
		}
	}
}

// TestReadmesReadingOrderHasEveryFile: of the package, each once.
func TestReadmesReadingOrderHasEveryFile(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, order, found := strings.Cut(string(text), "- The source is a flat package")
	require.True(t, found)
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, file := range files {
		if isTest := strings.HasSuffix(file, "_test.go"); isTest || file == "doc.go" {
			continue
		}
		assert.Equal(t, 1, strings.Count(order, "["+file+"]"), file)
	}
}

// headings returns the anchors of a Markdown file's headings.
func headings(text string) (anchors []string) {
	for _, line := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		anchor := regexp.MustCompile(`[^\w\- ]`).ReplaceAllString(strings.ToLower(line[1]), "")
		anchors = append(anchors, strings.ReplaceAll(anchor, " ", "-"))
	}
	return anchors
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
