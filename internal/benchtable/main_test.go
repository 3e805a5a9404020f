package main

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const bench = `goos: linux
BenchmarkObtain/rows=1/held=50%/ours-2   5   114037836 ns/op   0.5000 RCU/op   1.000 WCU/op   0 refused/op   2.000 requests/op
PASS
`

func TestRunReplacesTheTable(t *testing.T) {
	path := t.TempDir() + "/README.md"
	require.NoError(t, os.WriteFile(path, []byte("before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n"), 0o666))
	require.NoError(t, run(path, strings.NewReader(bench)))
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, `before
<!-- bench -->
| | requests/op | refused/op | RCU/op | WCU/op |
|---|---:|---:|---:|---:|
| Obtain rows 1 held 50% ours | 2.000 | 0 | 0.5000 | 1.000 |
<!-- /bench -->
after
`, string(got))
	assert.Error(t, run(path, strings.NewReader("PASS\n")), "nothing to show")
	assert.Error(t, run(t.TempDir(), strings.NewReader(bench)))
}
