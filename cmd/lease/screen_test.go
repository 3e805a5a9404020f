package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestKeyLengthTellsKeysApart(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"q":          1,
		"jk":         1,
		"\x1b":       1,
		"\x1b[":      1,
		"\x1b[Aq":    3,
		"\x1bOAq":    3,
		"\x1b[5~q":   4,
		"\x1b[1;5Aq": 6,
		"\x1b[12":    4,
		"\x1bxyz":    1,
	} {
		assert.Equal(t, want, keyLength([]byte(text)), "%q", text)
	}
}
