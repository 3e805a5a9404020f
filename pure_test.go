package lease

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mayImport are the packages that a pure file may use.
const mayImport = `"cmp" "errors" "maps" "math" "math/rand/v2" "slices" "time"`

// asksNobody are the functions of those packages that ask a clock or a random source,
// or wait.
var asksNobody = map[string]string{
	"time": "Now Since Until After AfterFunc Sleep Tick NewTicker NewTimer",
	"rand": "Float32 Float64 ExpFloat64 NormFloat64 Int Int32 Int32N Int64 Int64N IntN N Perm " +
		"Shuffle Uint Uint32 Uint32N Uint64 Uint64N UintN",
}

const logs = "logInfo logError logDetail logFailure logPanic"

// pureFiles are those that decide, and do nothing.
func pureFiles(t *testing.T) (names []string) {
	for _, pattern := range []string{"plan*.go", "term.go", "pulse.go", "choose.go", "item.go", "outage.go", "weight.go"} {
		found, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, found, pattern)
		for _, name := range found {
			if !strings.HasSuffix(name, "_test.go") {
				names = append(names, name)
			}
		}
	}
	return names
}

func TestPureFilesAskNobody(t *testing.T) {
	for _, name := range pureFiles(t) {
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, imported := range file.Imports {
			path := imported.Path.Value
			assert.True(t, isAmong(path, mayImport), "%s imports %s", name, path)
			assert.Nil(t, imported.Name, "%s renames %s", name, path)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if fault := impurity(n); fault != "" {
				t.Errorf("%v: %s", set.Position(n.Pos()), fault)
			}
			return true
		})
	}
}

// impurity names what a pure file must not have; "" if it is none.
func impurity(n ast.Node) string {
	switch n := n.(type) {
	case *ast.GoStmt:
		return "go"
	case *ast.ChanType:
		return "chan"
	case *ast.SelectStmt:
		return "select"
	case *ast.Ident:
		if isAmong(n.Name, logs) {
			return n.Name
		}
	case *ast.SelectorExpr:
		of, isName := n.X.(*ast.Ident)
		if isName && isAmong(n.Sel.Name, asksNobody[of.Name]) {
			return of.Name + "." + n.Sel.Name
		}
	}
	return ""
}

func isAmong(name, names string) bool {
	for _, one := range strings.Fields(names) {
		if one == name {
			return true
		}
	}
	return false
}

func TestPureFilesTestSeesWhatIsImpure(t *testing.T) {
	for _, text := range []string{
		"time.Now()", "time.Since(x)", "time.Until(x)", "time.After(x)", "time.Sleep(x)",
		"rand.N(x)", "rand.IntN(x)", "rand.Shuffle(x, y)",
		"logInfo(x)", "logError(x)", "logFailure(x)",
	} {
		expression, err := parser.ParseExpr(text)
		require.NoError(t, err)
		var faults []string
		ast.Inspect(expression, func(n ast.Node) bool {
			if fault := impurity(n); fault != "" {
				faults = append(faults, fault)
			}
			return true
		})
		assert.Len(t, faults, 1, text)
	}
}
