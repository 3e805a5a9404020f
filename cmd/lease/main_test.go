package main

import (
	"flag"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHelpFitsAScreenHasAnExampleAndNamesTheFlags(t *testing.T) {
	t.Parallel()
	for _, c := range append([]command{{help: help, setup: noSetup}}, commands...) {
		ways := [][]string{{c.name, "-h"}, {"help", c.name}}
		if c.name == "" {
			ways = [][]string{{"-h"}, {"help"}}
		}
		for _, way := range ways {
			r := runWith(t, environment(), way...)
			assert.Equal(t, result{stdout: c.help}, r, way)
		}
		lines := strings.Split(strings.TrimSuffix(c.help, "\n"), "\n")
		assert.LessOrEqual(t, len(lines), 23, "%s: and a line for the prompt", c.name)
		for _, line := range lines {
			assert.LessOrEqual(t, len(line), 79, line)
		}
		assert.Regexp(t, `(?m)^Examples?: .*lease `, c.help)
		flags := (&app{}).newFlags(c.name)
		c.setup(&app{}, flags)
		flags.VisitAll(func(f *flag.Flag) {
			assert.Regexp(t, `[\s[]-`+f.Name+`\b`, c.help, "%s -%s", c.name, f.Name)
		})
		for _, named := range regexp.MustCompile(`(?m)^  -([a-z]+)`).FindAllStringSubmatch(c.help, -1) {
			assert.NotNil(t, flags.Lookup(named[1]), "%s -%s", c.name, named[1])
		}
	}
}

func TestParseTakesFlagsBetweenTheArguments(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args     string
		verbatim bool
		rest     string
	}{
		{"-x 1 a b", false, "a b"}, {"a -x 1 b", false, "a b"}, {"a b -x 1", false, "a b"}, {"a -x=1 -- -y b", false, "a -y b"},
		{"-x 1 -- a -y", true, "a -y"}, {"-x 1 a -x 2 -y", true, "a -x 2 -y"}, {"a -- -y -x 1", true, "a -- -y -x 1"},
	} {
		flags := flag.NewFlagSet("", flag.ContinueOnError)
		x := flags.Int("x", 0, "")
		rest, err := parse(flags, strings.Fields(test.args), test.verbatim)
		require.NoError(t, err, test.args)
		assert.Equal(t, test.rest, strings.Join(rest, " "), test.args)
		if !strings.HasPrefix(test.args, "a -- ") {
			assert.Equal(t, 1, *x, test.args)
		}
	}
}

func TestUsageErrorsAreOneLineAndStatus2(t *testing.T) {
	t.Parallel()
	env := environment("LEASE_TABLE=unused")
	for _, test := range []struct{ args, words string }{
		{"", "no command"}, {"show", `"show"`}, {"list -color", "-color"}, {"list alice", "no arguments"}, {"list -held -free", "one of"},
		{"watch -every 0s", "-every"}, {"add", "add -h"}, {"add a -set b", "NAME=VALUE"}, {"retire", "retire -h"}, {"init x", "-table"},
		{"yield", "yield -h"}, {"yield a -wait -1s", "-wait"}, {"release a", "-token"}, {"release a b -token 1", "one item"},
		{"release a -token 1", "-yes"}, {"hold -- true", "-as"}, {"hold -as w", "no command"}, {"hold -as w -most -1 true", "-most"},
		{"hold -as w -duration 1ms true", "-duration"}, {"list -endpoint localhost:8000", "http://"},
	} {
		r := runWith(t, env, strings.Fields(test.args)...)
		assertOneLine(t, r, 2, test.words)
		assert.Empty(t, r.stdout, test.args)
	}
	assertOneLine(t, runWith(t, environment(), "list"), 2, "-table", "LEASE_TABLE")
}

func noSetup(*app, *flag.FlagSet) action { return nil }
