package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const example = `Some words about the list.

# one is two
a.go TestOne|TestTwo sub:TestThree
 if isOne {
-return 1
+return 2

# nobody asks
sub/b.go TestFour
-ask()
`

func TestParseReadsMutants(t *testing.T) {
	got, err := parse(example)
	require.NoError(t, err)
	want := []mutant{
		{
			what:  "one is two",
			file:  "a.go",
			from:  []string{"if isOne {", "return 1"},
			to:    []string{"if isOne {", "return 2"},
			tests: []test{{".", "TestOne|TestTwo"}, {"sub", "TestThree"}},
		},
		{
			what:  "nobody asks",
			file:  "sub/b.go",
			from:  []string{"ask()"},
			tests: []test{{"sub", "TestFour"}},
		},
	}
	assert.Equal(t, want, got)
}

func TestParseRefusesWhatIsNoMutant(t *testing.T) {
	for name, text := range map[string]string{
		"no change":             "# x\na.go TestOne",
		"no tests":              "# x\na.go\n-a\n+b",
		"a change of nothing":   "# x\na.go TestOne\n-a\n+a",
		"a line without a sign": "# x\na.go TestOne\n-a\nb",
		"no regular expression": "# x\na.go Test(\n-a\n+b",
	} {
		_, err := parse(text)
		assert.Error(t, err, name)
	}
}

func TestMutantIsAppliedWhereItFitsOnce(t *testing.T) {
	m := mutant{from: []string{"if isOne {", "return 1"}, to: []string{"if isOne {", "return 2"}}
	once := "\treturn 1\n\tif isOne {\n\t\treturn 1\n\t}"
	got, err := m.apply(once)
	require.NoError(t, err)
	assert.Equal(t, "\treturn 1\nif isOne {\nreturn 2\n\t}", got)

	for _, source := range []string{"", "if isOne {", "return 1", once + "\n" + once} {
		_, err := m.apply(source)
		assert.Error(t, err, source)
	}
}

func TestListIsOfAtLeast100MutantsThatSayDifferentThings(t *testing.T) {
	list, err := os.ReadFile("mutants.txt")
	require.NoError(t, err)
	mutants, err := parse(string(list))
	require.NoError(t, err)
	assert.GreaterOrEqual(t, len(mutants), 100)
	seen := make(map[string]bool)
	for _, m := range mutants {
		key := m.file + ": " + m.what
		assert.False(t, seen[key], "twice: %s", key)
		seen[key] = true
	}
}
