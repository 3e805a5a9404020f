package leasetest_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestDocShowsTheExample: each function in the package's documentation is in example_test.go or
// conformance_test.go, to the letter.
func TestDocShowsTheExample(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	var source strings.Builder
	for _, name := range []string{"example_test.go", "conformance_test.go"} {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		source.Write(text)
	}
	function := regexp.MustCompile(`(?m)^//\tfunc .*\n(//(\t.*)?\n)+?//\t}\n`)
	blocks := function.FindAllString(string(doc), -1)
	require.Len(t, blocks, 2)
	for _, block := range blocks {
		code := regexp.MustCompile(`(?m)^//\t?`).ReplaceAllString(block, "")
		assert.Contains(t, source.String(), strings.TrimRight(code, "\n"))
	}
}
