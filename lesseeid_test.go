package lease

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestUniqueLesseeIDIsAnotherEachTimeAndSaysWhereTheWorkerIs(t *testing.T) {
	host, err := os.Hostname()
	assert.NoError(t, err)
	prefix := host + ":" + strconv.Itoa(os.Getpid()) + ":"
	seen := make(map[string]bool)
	for range 1000 {
		name := UniqueLesseeID()
		assert.True(t, strings.HasPrefix(name, prefix), name)
		assert.False(t, seen[name], name)
		seen[name] = true
	}
}

func TestUniqueLesseeIDIsANameWhateverTheHostIsCalled(t *testing.T) {
	noName := errors.New("no name")
	for _, c := range []struct {
		host string
		err  error
		want string
	}{
		{"web-1", nil, "web-1:7:R"},
		{"", nil, "unknown:7:R"},
		{"", noName, "unknown:7:R"},
		{"half", noName, "unknown:7:R"},
		{"a\xffb", nil, "a?b:7:R"},
		{strings.Repeat("x", 3000), nil, strings.Repeat("x", 255) + ":7:R"},
		{strings.Repeat("é", 200), nil, strings.Repeat("é", 127) + "?:7:R"},
	} {
		got := lesseeIDOf(hostName(c.host, c.err), 7, "R")
		assert.Equal(t, c.want, got)
		assert.NoError(t, checkName("LesseeID", got))
	}
}
